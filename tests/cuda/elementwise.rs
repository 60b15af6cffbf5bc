//! Linear maps, norms, activations, sums, heads, and Adam.

use std::sync::Arc;

use pifi_probe::device::Device;
use pifi_probe::nn::activation::{self, Activation};
use pifi_probe::nn::adam::{Adam, Moments, gradient_norms, gradient_norms_of};
use pifi_probe::nn::frozen::Stored;
use pifi_probe::nn::heads::{self, Heads};
use pifi_probe::nn::norm::{self, Kind, Saved};
use pifi_probe::nn::{self, Arena, Buffer, Frozen, Layout, residual};
use pifi_probe::nn::{embedding, linear};

use super::support::{CLOSE, EQUAL, K, agree, agree_on, arena, buffer, random, rounding};

/// A map that trains and a frozen one, forward and backward, of factors that went through `given`.
fn linear_maps(
    shape: linear::Shape,
    device: Device,
    given: impl Fn(Vec<f32>) -> Vec<f32>,
) -> Vec<(&'static str, Vec<f32>)> {
    let linear::Shape { members, rows, inputs, outputs } = shape;
    let x = Buffer::from_vec(device, given(random(1, members * rows * inputs)));
    let dy = Buffer::from_vec(device, given(random(2, members * rows * outputs)));
    let (mut values, [weight, bias]) = arena(device, 3, inputs * outputs, outputs);
    for member in 0..members {
        let own = values.read(weight, member).into_owned();
        values.write(weight, member, &given(own));
    }
    let (mut grads, _) = arena(device, 9, inputs * outputs, outputs);
    let frozen = (0..members).map(|k| Stored::F32(given(random(20 + k as u64, inputs * outputs))));
    let frozen = Frozen::matrices(device, frozen.collect());
    let (mut y, mut plain, mut dx) = (Buffer::default(), Buffer::default(), Buffer::default());
    let w = values.param(weight);
    linear::forward(shape, &x, w, Some(values.param(bias)), &mut y);
    linear::forward(shape, &x, frozen.param(), None, &mut plain);
    linear::backward_input(shape, &dy, w, &mut dx, false);
    linear::backward_input(shape, &dy, frozen.param(), &mut dx, true);
    linear::backward_weight(shape, &x, &dy, grads.param_mut(weight));
    // no product, so that nothing is rounded
    let dy = buffer(device, 2, members * rows * outputs);
    linear::backward_bias(shape, &dy, grads.param_mut(bias));
    let (one, mut later) = (linear::Shape { members: 1, ..shape }, Buffer::default());
    let first = Buffer::from_vec(device, given(random(1, rows * inputs)));
    linear::forward(one, &first, w.from_member(members - 1), None, &mut later);
    vec![
        ("y", y.to_vec()),
        ("frozen y", plain.to_vec()),
        ("dx", dx.to_vec()),
        ("gradients", grads.read_all().into_owned()),
        ("a later member's y", later.to_vec()),
    ]
}

const LINEAR: [(usize, usize, usize); 4] = [(1, 5, 3), (7, 33, 2), (70, 16, 40), (2, 1, 1)];

#[test]
fn linear_maps_and_their_gradients() {
    for (rows, inputs, outputs) in LINEAR {
        let shape = linear::Shape { members: K, rows, inputs, outputs };
        agree(&format!("{shape:?}"), CLOSE, |device| linear_maps(shape, device, |numbers| numbers));
    }
}

/// Where factors are rounded, the CPU computes with factors that were rounded beforehand.
#[test]
fn linear_maps_round_both_factors() {
    let Some(gpu) = rounding() else { return };
    for (rows, inputs, outputs) in LINEAR {
        let shape = linear::Shape { members: K, rows, inputs, outputs };
        agree_on(gpu, &format!("{shape:?}, rounded"), CLOSE, |device| {
            linear_maps(shape, device, |numbers| match device {
                Device::Cpu(_) => numbers.iter().map(|x| half::bf16::from_f32(*x).to_f32()).collect(),
                Device::Cuda(..) => numbers,
            })
        });
    }
}

/// Matrices of bfloat16 stay that on a GPU that rounds to it; what meets them is rounded too. Sums are
/// in f32, so the definition is held against in f64.
#[test]
fn frozen_matrices_of_bfloat16_meet_rounded_rows() {
    let Some(device) = rounding() else { return };
    let rounded = |x: f32| half::bf16::from_f32(x);
    for (rows, inputs, outputs) in [(1, 5, 3), (7, 33, 2), (70, 16, 40)] {
        let shape = linear::Shape { members: K, rows, inputs, outputs };
        let weights: Vec<Vec<half::bf16>> = (0..K)
            .map(|k| random(20 + k as u64, inputs * outputs).into_iter().map(rounded).collect())
            .collect();
        let stored =
            |weight: &Vec<half::bf16>| Stored::Bf16(weight.iter().flat_map(|x| x.to_le_bytes()).collect());
        let frozen = Frozen::matrices(device, weights.iter().map(stored).collect());
        let (x, dy) = (buffer(device, 1, K * rows * inputs), buffer(device, 2, K * rows * outputs));
        let (mut y, mut dx, mut later) = (Buffer::default(), Buffer::default(), Buffer::default());
        linear::forward(shape, &x, frozen.param(), None, &mut y);
        linear::backward_input(shape, &dy, frozen.param(), &mut dx, false);
        let last = buffer(device, 1, rows * inputs);
        let one = linear::Shape { members: 1, ..shape };
        linear::forward(one, &last, frozen.param().from_member(K - 1), None, &mut later);
        assert_eq!(nn::check(device), Ok(()));

        let (x, dy) = (x.to_vec(), dy.to_vec());
        let product = |rows_of: &[f32], row: usize, depth: usize, weight: &dyn Fn(usize) -> half::bf16| {
            let terms = (0..depth).map(|d| rounded(rows_of[row * depth + d]).to_f64() * weight(d).to_f64());
            terms.fold((0.0, 1.0), |(sum, scale): (f64, f64), x| (sum + x, scale + x.abs()))
        };
        let near = |found: f32, (sum, scale): (f64, f64)| {
            assert!(
                (f64::from(found) - sum).abs() < 1e-6 * scale,
                "{rows} {inputs} {outputs}: {found}, not {sum}"
            );
        };
        for (at, found) in y.to_vec().into_iter().enumerate() {
            let (row, output) = (at / outputs, at % outputs);
            near(found, product(&x, row, inputs, &|d| weights[row / rows][output * inputs + d]));
        }
        for (at, found) in dx.to_vec().into_iter().enumerate() {
            let (row, input) = (at / inputs, at % inputs);
            near(found, product(&dy, row, outputs, &|d| weights[row / rows][d * inputs + input]));
        }
        for (at, found) in later.to_vec().into_iter().enumerate() {
            let (row, output) = (at / outputs, at % outputs);
            near(found, product(&x, row, inputs, &|d| weights[K - 1][output * inputs + d]));
        }
    }
}

#[test]
fn a_map_of_later_members_alone() {
    agree("linear of member 1", CLOSE, |device| {
        let shape = linear::Shape { members: 1, rows: 4, inputs: 3, outputs: 2 };
        let (x, dy) = (buffer(device, 1, 12), buffer(device, 2, 8));
        let (values, [weight, _]) = arena(device, 3, 6, 2);
        let (mut grads, _) = arena(device, 9, 6, 2);
        let mut y = Buffer::default();
        let w = values.param(weight).from_member(1);
        linear::forward(shape, &x, w, None, &mut y);
        linear::backward_weight(shape, &x, &dy, grads.param_mut(weight).from_member(1));
        vec![("y", y.to_vec()), ("gradients", grads.read_all().into_owned())]
    });
}

#[test]
fn norms_and_their_gradients() {
    for kind in [Kind::LayerNorm, Kind::RmsNorm, Kind::RmsNormPlusOne] {
        for (rows, width, accumulate) in [(1, 1, false), (5, 37, true), (40, 300, false)] {
            agree(&format!("{kind:?} {rows} {width}"), CLOSE, |device| {
                let shape = norm::Shape { members: K, rows, width };
                let x = buffer(device, 1, K * rows * width);
                let dy = buffer(device, 2, K * rows * width);
                let mut dx = buffer(device, 3, K * rows * width);
                let (values, [weight, bias]) = arena(device, 4, width, width);
                let (mut grads, _) = arena(device, 8, width, width);
                let (mut y, mut saved) = (Buffer::default(), Saved::default());
                let with_bias = (kind == Kind::LayerNorm).then(|| values.param(bias));
                let w = values.param(weight);
                norm::forward(kind, 1e-5, shape, &x, w, with_bias, &mut y, &mut saved);
                let slots = [Some(weight), with_bias.map(|_| bias)];
                let (dw, db) = grads.params_mut(slots);
                norm::backward(kind, shape, &x, w, &saved, &dy, dw, db, &mut dx, accumulate);
                vec![("y", y.to_vec()), ("dx", dx.to_vec()), ("gradients", grads.read_all().into_owned())]
            });
        }
    }
}

#[test]
fn activations_are_those_of_the_cpu_bit_for_bit() {
    let numbers: Vec<f32> = [0.0, -0.0, 1e20, -1e20, f32::NAN, f32::INFINITY, -150.0, 12.5, -12.5, 1e-30]
        .into_iter()
        .chain(random(5, 1000).into_iter().map(|x| 3.0 * x))
        .collect();
    let n = numbers.len();
    for kind in [Activation::Relu, Activation::Gelu, Activation::GeluTanh, Activation::Silu] {
        agree(&format!("{kind:?}"), EQUAL, |device| {
            let x = Buffer::from_vec(device, numbers.clone());
            let (up, dy) = (buffer(device, 6, n), buffer(device, 7, n));
            let [mut y, mut dx, mut gated, mut dgate, mut dup] =
                [const { None::<Buffer> }; 5].map(Option::unwrap_or_default);
            activation::forward(kind, [1, 1, n], &x, None, &mut y);
            activation::backward(kind, [1, 1, n], &x, None, &dy, &mut dx);
            activation::gated_forward(kind, &x, &up, &mut gated);
            activation::gated_backward(kind, &x, &up, &dy, &mut dgate, &mut dup);
            let named = [("y", y), ("dx", dx), ("gated", gated), ("dgate", dgate), ("dup", dup)];
            named.into_iter().map(|(name, buffer): (_, Buffer)| (name, buffer.to_vec())).collect()
        });
    }
}

#[test]
fn biased_activations_are_those_of_the_cpu_bit_for_bit() {
    // rows that begin at 16 bytes, and rows that do not
    for width in [1, 3, 8, 37, 1100] {
        agree(&format!("biased, {width} wide"), EQUAL, |device| {
            let (rows, n) = (5, K * 5 * width);
            let (x, dy) = (buffer(device, 6, n), buffer(device, 7, n));
            let (values, [bias, _]) = arena(device, 1, width, 1);
            let (mut y, mut dx) = (Buffer::default(), Buffer::default());
            let bias = Some(values.param(bias));
            activation::forward(Activation::Gelu, [K, rows, width], &x, bias, &mut y);
            activation::backward(Activation::Gelu, [K, rows, width], &x, bias, &dy, &mut dx);
            vec![("y", y.to_vec()), ("dx", dx.to_vec())]
        });
    }
}

#[test]
fn sums_copies_and_heads() {
    agree("residual", EQUAL, |device| {
        let n = K * 5 * 7;
        let (a, b) = (buffer(device, 1, n), buffer(device, 2, n));
        let (mut sum, mut scaled, mut repeated) = (Buffer::default(), Buffer::default(), Buffer::default());
        residual::sum(&a, &b, &mut sum);
        residual::add(&a, &mut sum);
        residual::scaled(&a, -0.3, &mut scaled);
        residual::add_scaled(&b, 0.7, &mut scaled);
        residual::zero_rows(K, 5, 7, |row| row % 2 == 1, &mut sum);
        residual::repeat(K, &a, &mut repeated);
        let heads = Heads { heads: 6, kv_heads: 2, head_dim: 3 };
        let values = buffer(device, 3, 5 * 6);
        let (mut out, mut back) = (Buffer::default(), Buffer::default());
        heads::repeat(heads, 5, &values, &mut out);
        heads::reduce(heads, 5, &out, &mut back);
        let mut filled = Buffer::zeros(device, 3);
        let zeros = filled.to_vec();
        filled.fill(2.5);
        let mut copy = Buffer::default();
        copy.copy_from(&filled);
        copy.resize(2);
        vec![
            ("sum", sum.to_vec()),
            ("scaled", scaled.to_vec()),
            ("repeated", repeated.to_vec()),
            ("out", out.to_vec()),
            ("back", back.to_vec()),
            ("zeros", zeros),
            ("copy", copy.to_vec()),
            ("clone", copy.clone().to_vec()),
        ]
    });
}

#[test]
fn forgotten_gradients_are_overwritten_added_to_or_zero() {
    let (rows, inputs, outputs) = (7, 6, 5);
    agree("forgotten", CLOSE, |device| {
        let mut layout = Layout::default();
        let shapes =
            [vec![outputs, inputs], vec![outputs], vec![outputs], vec![outputs], vec![9, outputs], vec![4]];
        let slots: Vec<_> =
            shapes.iter().enumerate().map(|(at, shape)| layout.push(at.to_string(), shape)).collect();
        let [weight, bias, norm_weight, norm_bias, table, _] = slots[..] else { panic!("six parameters") };
        let len = layout.len();
        let layout = Arc::new(layout);
        let mut grads = Arena::from_numbers(device, layout, K, random(1, K * len));
        let shape = linear::Shape { members: K, rows, inputs, outputs };
        let one = linear::Shape { members: 1, ..shape };
        let (x, dy) = (buffer(device, 2, K * rows * inputs), buffer(device, 3, K * rows * outputs));
        let (x_of_one, dy_of_one) = (buffer(device, 4, rows * inputs), buffer(device, 5, rows * outputs));
        let scale = buffer(device, 6, K * outputs);
        let mut scales = Arena::zeros(device, Arc::clone(grads.layout()), K);
        scales.write(norm_weight, 1, &scale.to_vec()[..outputs]);

        grads.forget();
        // the second adds: one member's numbers are no zeros any more
        linear::backward_weight(one, &x_of_one, &dy_of_one, grads.param_mut(weight).from_member(1));
        linear::backward_weight(shape, &x, &dy, grads.param_mut(weight));
        // the first replaces, the second adds
        linear::backward_bias(shape, &dy, grads.param_mut(bias));
        linear::backward_bias(shape, &dy, grads.param_mut(bias));
        let (shape, mut saved) = (norm::Shape { members: K, rows, width: outputs }, Saved::default());
        let (mut y, mut dx) = (Buffer::default(), Buffer::default());
        let w = scales.param(norm_weight);
        norm::forward(Kind::LayerNorm, 1e-6, shape, &dy, w, None, &mut y, &mut saved);
        let (dw, db) = grads.params_mut([Some(norm_weight), Some(norm_bias)]);
        norm::backward(Kind::LayerNorm, shape, &dy, w, &saved, &dy, dw, db, &mut dx, false);
        // rows that no id asks for are zero
        embedding::backward(K, &[3, 0, 3, 8, 1, 3, 0], outputs, &dy, 0.5, None, grads.param_mut(table));
        grads.settle();
        vec![("gradients", grads.read_all().into_owned())]
    });
}

#[test]
fn adam_and_its_norms() {
    for decoupled in [false, true] {
        agree("adam", EQUAL, |device| {
            let rule = Adam { weight_decay: 0.01, decoupled, ..Adam::default() };
            let (mut values, slots) = arena(device, 1, 9000, 17);
            let (mut grads, _) = arena(device, 5, 9000, 17);
            let (first, _) = arena(device, 9, 9000, 17);
            let (mut second, _) = arena(device, 13, 9000, 17);
            let squares: Vec<f32> = second.read_all().iter().map(|x| x * x).collect();
            second = Arena::from_numbers(device, Arc::clone(second.layout()), 3, squares);
            let mut moments = Moments { first, second };
            rule.step(3, 1e-3, &[1.0, 0.5, 0.0], &slots, &mut values, &grads, &mut moments);
            // without decay what has no gradient and never had one rests
            let rest = Adam { weight_decay: 0.0, ..rule };
            for arena in [&mut grads, &mut moments.first, &mut moments.second] {
                arena.write(slots[0], 1, &vec![0.0; 9000]);
            }
            rest.step(4, 1e-3, &[1.0, 0.5, 0.0], &slots, &mut values, &grads, &mut moments);
            vec![
                ("values", values.read_all().into_owned()),
                ("first", moments.first.read_all().into_owned()),
                ("second", moments.second.read_all().into_owned()),
            ]
        });
        agree("norms", 1e-7, |device| {
            let (grads, slots) = arena(device, 5, 9000, 17);
            let numbers = |norms: Vec<f64>| norms.into_iter().map(|norm| norm as f32).collect();
            vec![
                ("all", numbers(gradient_norms(&grads))),
                ("some", numbers(gradient_norms_of(&grads, &slots))),
                ("one", numbers(gradient_norms_of(&grads, &slots[1..]))),
            ]
        });
    }
}

#[test]
fn arenas_are_read_and_written_by_member() {
    agree("arena", EQUAL, |device| {
        let (mut values, [first, _]) = arena(device, 1, 4, 3);
        let (other, _) = arena(device, 50, 4, 3);
        values.write(first, 1, &[1.0, 2.0, 3.0, 4.0]);
        values.fill_member(2, 9.0);
        values.copy_member(0, &other);
        let read = values.read(first, 1).into_owned();
        vec![("all", values.read_all().into_owned()), ("one", read), ("member", values.read_member(1))]
    });
}
