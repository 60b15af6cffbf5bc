//! Operations of a training step, forward and backward, at the sizes of BERT-base and of one layer of
//! Llama-3.1-8B: `cargo bench --bench kernels`, or `-- NAME` for those whose name holds it.
//! `RAYON_NUM_THREADS` says how many threads; products print GFLOP/s as Gelem/s.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use pifi_probe::device::Device;
use pifi_probe::nn::activation::{self, Activation};
use pifi_probe::nn::adam::{Adam, Moments, gradient_norms};
use pifi_probe::nn::attention::{Attention, Bias, BiasGradient, Gradients, Options, Saved, Shape};
use pifi_probe::nn::dropout::{self, Dropout};
use pifi_probe::nn::frozen::Stored;
use pifi_probe::nn::join::Join;
use pifi_probe::nn::linear;
use pifi_probe::nn::norm::{self, Kind};
use pifi_probe::nn::{Arena, Buffer, DropoutKey, Frozen, Layout, Rows, embedding};
use pifi_probe::seed::Seed;

/// Texts of a batch, and their tokens.
const BATCH: usize = 32;
const TOKENS: usize = 32;
const ROWS: usize = BATCH * TOKENS;
/// BERT-base.
const WIDTH: usize = 768;
const INNER: usize = 3072;
const HEADS: usize = 12;
const VOCABULARY: usize = 30_522;

fn numbers(len: usize, seed: u64) -> Vec<f32> {
    let mut stream = Seed(seed).stream();
    (0..len).map(|_| stream.uniform() as f32 - 0.5).collect()
}

fn buffer(len: usize, seed: u64) -> Buffer {
    Buffer::from_vec(Device::CPU, numbers(len, seed))
}

fn key() -> DropoutKey {
    DropoutKey { seed: Seed(7), step: 3, site: 1 }
}

/// One arena of these parameters, and their slots.
fn arena(shapes: &[&[usize]]) -> (Arena, Vec<pifi_probe::nn::Slot>) {
    let mut layout = Layout::default();
    let slots = shapes.iter().enumerate().map(|(at, shape)| layout.push(at.to_string(), shape)).collect();
    let mut arena = Arena::zeros(Device::CPU, Arc::new(layout), 1);
    let len = arena.layout().len();
    arena.member_mut(0).copy_from_slice(&numbers(len, 5));
    (arena, slots)
}

fn products(c: &mut Criterion) {
    let shapes = [
        ("bert up", ROWS, WIDTH, INNER, false),
        ("bert square", ROWS, WIDTH, WIDTH, false),
        ("bert up, a row a text", BATCH, WIDTH, INNER, false),
        ("llama up", BATCH, 4096, 14_336, true),
        ("llama down", BATCH, 14_336, 4096, true),
    ];
    for (name, rows, inputs, outputs, frozen) in shapes {
        let mut group = c.benchmark_group("linear");
        group.throughput(Throughput::Elements(2 * (rows * inputs * outputs) as u64));
        let shape = linear::Shape { members: 1, rows, inputs, outputs };
        let (x, dy) = (buffer(rows * inputs, 1), buffer(rows * outputs, 2));
        let weight = numbers(inputs * outputs, 3);
        let weight = match frozen {
            // as checkpoints have it
            true => {
                Stored::Bf16(weight.iter().flat_map(|x| half::bf16::from_f32(*x).to_le_bytes()).collect())
            }
            false => Stored::F32(weight),
        };
        let weight = Frozen::matrices(Device::CPU, vec![weight]);
        let (mut y, mut dx) = (Buffer::default(), Buffer::default());
        group.bench_function(format!("{name} forward"), |b| {
            b.iter(|| linear::forward(shape, &x, weight.param(), None, &mut y));
        });
        group.bench_function(format!("{name} backward of inputs"), |b| {
            b.iter(|| linear::backward_input(shape, &dy, weight.param(), &mut dx, false));
        });
        if !frozen {
            let (mut gradients, slots) = arena(&[&[outputs, inputs]]);
            group.bench_function(format!("{name} backward of weights"), |b| {
                b.iter(|| linear::backward_weight(shape, &x, &dy, gradients.param_mut(slots[0])));
            });
        }
    }
}

fn attention(c: &mut Criterion) {
    for tokens in [TOKENS, 100] {
        let rows = Rows::packed(&[tokens; BATCH]);
        let dropout = Some(Dropout { key: key(), probability: 0.1 });
        let attention = Attention {
            shape: Shape { members: 1, heads: HEADS, kv_heads: HEADS, head_dim: WIDTH / HEADS },
            options: Options { dropout, ..Options::scaled(0.125) },
            queries: &rows,
            keys: &rows,
            bias: Bias::None,
        };
        let [q, k, v, dout] = [1, 2, 3, 4].map(|seed| buffer(rows.len() * WIDTH, seed));
        let (mut out, mut saved) = (Buffer::default(), Saved::default());
        let [mut dq, mut dk, mut dv] = [(); 3].map(|()| Buffer::default());
        let mut group = c.benchmark_group("attention");
        group.throughput(Throughput::Elements((BATCH * HEADS * tokens * tokens) as u64));
        group.bench_function(format!("{tokens} tokens forward"), |b| {
            b.iter(|| attention.forward(&q, &k, &v, &mut out, &mut saved));
        });
        group.bench_function(format!("{tokens} tokens backward"), |b| {
            b.iter(|| {
                let bias = BiasGradient::None;
                let gradients = Gradients { queries: &mut dq, keys: &mut dk, values: &mut dv, bias };
                attention.backward(&q, &k, &v, &dout, &mut saved, gradients);
            });
        });
    }
}

fn elementwise(c: &mut Criterion) {
    let mut group = c.benchmark_group("elementwise");
    group.throughput(Throughput::Elements((ROWS * INNER) as u64));
    let (x, dy) = (buffer(ROWS * INNER, 1), buffer(ROWS * INNER, 2));
    let (mut y, mut dx) = (Buffer::default(), Buffer::default());
    let (values, slots) = arena(&[&[INNER], &[WIDTH]]);
    let (gelu, shape, bias) = (Activation::Gelu, [1, ROWS, INNER], Some(values.param(slots[0])));
    group.bench_function("bias and gelu forward", |b| {
        b.iter(|| activation::forward(gelu, shape, &x, bias, &mut y));
    });
    group.bench_function("bias and gelu backward", |b| {
        b.iter(|| activation::backward(gelu, shape, &x, bias, &dy, &mut dx));
    });

    group.throughput(Throughput::Elements((ROWS * WIDTH) as u64));
    let rows = Rows::packed(&[TOKENS; BATCH]);
    let mut dropped = buffer(ROWS * WIDTH, 3);
    group.bench_function("dropout", |b| {
        let dropout = Dropout { key: key(), probability: 0.1 };
        b.iter(|| dropout::forward(1, &rows, WIDTH, dropout, black_box(&mut dropped)));
    });
    let (x, dy) = (buffer(ROWS * WIDTH, 1), buffer(ROWS * WIDTH, 2));
    group.bench_function("bias, dropout and sum", |b| {
        let dropout = Some(Dropout { key: key(), probability: 0.1 });
        let join = Join { members: 1, rows: &rows, width: WIDTH, dropout };
        b.iter(|| join.forward(&x, &dy, Some(values.param(slots[1])), &mut y));
    });
    let shape = norm::Shape { members: 1, rows: ROWS, width: WIDTH };
    for (name, kind) in [("layer norm", Kind::LayerNorm), ("rms norm", Kind::RmsNorm)] {
        let (values, slots) = arena(&[&[WIDTH], &[WIDTH]]);
        let (mut gradients, _) = arena(&[&[WIDTH], &[WIDTH]]);
        let mut saved = norm::Saved::default();
        let (weight, bias) = (values.param(slots[0]), values.param(slots[1]));
        group.bench_function(format!("{name} forward"), |b| {
            b.iter(|| norm::forward(kind, 1e-5, shape, &x, weight, Some(bias), &mut y, &mut saved));
        });
        group.bench_function(format!("{name} backward"), |b| {
            b.iter(|| {
                let (dweight, dbias) = gradients.params_mut([Some(slots[0]), Some(slots[1])]);
                norm::backward(kind, shape, &x, weight, &saved, &dy, dweight, dbias, &mut dx, false);
            });
        });
    }
}

/// A third of BERT-base's parameters, half of them a table of which a batch touches a few rows.
fn optimiser(c: &mut Criterion) {
    let matrices: &[usize] = &[VOCABULARY / 2, WIDTH];
    let (mut values, slots) = arena(&[&[VOCABULARY / 2, WIDTH], matrices]);
    let (mut gradients, _) = arena(&[&[VOCABULARY / 2, WIDTH], matrices]);
    gradients.param_mut(slots[0]).cpu(0).fill(0.0);
    let ids: Vec<u32> = (0..ROWS as u32).map(|row| row * 7 % 3000).collect();
    let dy = buffer(ROWS * WIDTH, 2);
    let layout = Arc::clone(values.layout());
    let zeros = || Arena::zeros(Device::CPU, Arc::clone(&layout), 1);
    let mut moments = Moments { first: zeros(), second: zeros() };
    let mut group = c.benchmark_group("update");
    group.throughput(Throughput::Elements(layout.len() as u64));
    group.bench_function("embedding backward", |b| {
        b.iter(|| embedding::backward(1, &ids, WIDTH, &dy, 1.0, None, gradients.param_mut(slots[0])));
    });
    group.bench_function("norm of gradients", |b| b.iter(|| gradient_norms(black_box(&gradients))));
    group.bench_function("adam", |b| {
        let adam = Adam::default();
        b.iter(|| adam.step(1, 1e-5, &[1.0], &slots, &mut values, &gradients, &mut moments));
    });
    group.bench_function("zeros", |b| b.iter(|| black_box(gradients.buffer_mut()).fill(0.0)));
}

criterion_group! {
    name = kernels;
    config = Criterion::default()
        .without_plots()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2));
    targets = products, attention, elementwise, optimiser
}
criterion_main!(kernels);
