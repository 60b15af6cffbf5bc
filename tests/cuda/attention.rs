//! Attention over packed and padded segments with every mask and every bias of positions, and
//! convolution over tokens.

use std::sync::Arc;

use pifi_probe::nn::attention::{Empty, Options, Shape, Window};
use pifi_probe::nn::convolution::{self, Convolution};
use pifi_probe::nn::dropout::Dropout;
use pifi_probe::nn::relative::{Buckets, Distances};
use pifi_probe::nn::{Arena, Buffer, DropoutKey, Layout, Rows};
use pifi_probe::seed::Seed;

use super::case::{Case, Position};
use super::support::{CLOSE, K, agree, buffer, packed, padded, random};

fn case(what: &str, shape: Shape, options: Options, queries: &Rows, keys: &Rows) {
    at(what, Position::None, shape, options, queries, keys);
}

fn at(what: &str, position: Position, shape: Shape, options: Options, queries: &Rows, keys: &Rows) {
    let case = Case::new(shape, queries, keys, position).with(|of| *of = options);
    agree(what, CLOSE, |device| {
        let results = case.run(device);
        let [dq, dk, dv, table, position_keys, position_queries] = results.gradients;
        vec![
            ("out", results.out),
            ("dq", dq),
            ("dk", dk),
            ("dv", dv),
            ("table", table),
            ("position keys", position_keys),
            ("position queries", position_queries),
        ]
    });
}

const SHAPE: Shape = Shape { members: K, heads: 4, kv_heads: 4, head_dim: 5 };

/// One row, and lengths on both sides of a tile of 32.
fn lengths() -> Rows {
    packed(&[1, 33, 5, 32, 70])
}

#[test]
fn plain_attention_of_awkward_lengths() {
    let rows = lengths();
    case("plain", SHAPE, Options::scaled(0.4), &rows, &rows);
    let one = packed(&[1]);
    case("one row", Shape { heads: 1, kv_heads: 1, head_dim: 1, ..SHAPE }, Options::scaled(1.0), &one, &one);
    let wide = Shape { heads: 2, kv_heads: 2, head_dim: 70, ..SHAPE };
    case("wide heads", wide, Options::scaled(0.1), &rows, &rows);
}

#[test]
fn shared_heads_of_keys() {
    let rows = lengths();
    case("grouped", Shape { heads: 6, kv_heads: 2, ..SHAPE }, Options::scaled(0.4), &rows, &rows);
    case("one head of keys", Shape { kv_heads: 1, ..SHAPE }, Options::scaled(0.4), &rows, &rows);
}

#[test]
fn masks_windows_and_the_cap() {
    let rows = padded(&[3, 36, 0, 1], 36);
    for empty in [Empty::Zero, Empty::Uniform] {
        let plain = Options { empty, ..Options::scaled(0.4) };
        case("padded", SHAPE, plain, &rows, &rows);
        case("padded queries", SHAPE, Options { mask_padded_queries: true, ..plain }, &rows, &rows);
        case("causal", SHAPE, Options { causal: true, ..plain }, &rows, &rows);
        case("past", SHAPE, Options { window: Some(Window::Past(4)), ..plain }, &rows, &rows);
        case("around", SHAPE, Options { window: Some(Window::Around(2)), ..plain }, &rows, &rows);
        case("capped", SHAPE, Options { soft_cap: Some(0.7), causal: true, ..plain }, &rows, &rows);
    }
}

#[test]
fn dropped_weights_have_the_masks_of_the_cpu() {
    let rows = packed(&[1, 33, 6]);
    let key = DropoutKey { seed: Seed(5), step: 7, site: 3 };
    let dropout = Some(Dropout { key, probability: 0.3 });
    case("dropped", SHAPE, Options { dropout, ..Options::scaled(0.4) }, &rows, &rows);
    let capped = Options { dropout, soft_cap: Some(1.5), causal: true, ..Options::scaled(0.4) };
    case("dropped and capped", Shape { kv_heads: 2, ..SHAPE }, capped, &rows, &rows);
}

#[test]
fn queries_for_some_rows_only() {
    let keys = lengths();
    let mut queries = keys.pooled();
    queries.positions = vec![0, 32, 4, 0, 69];
    case("selected", SHAPE, Options { causal: true, ..Options::scaled(0.4) }, &queries, &keys);
}

/// Every bias: linear, rounded or not; learned, of both directions or one; disentangled, with one term
/// or both, every distance a row of its own or not.
fn positions() -> Vec<(&'static str, Position)> {
    // slopes and products that bfloat16 does not hold
    let slopes = vec![0.3, 0.07, 0.011, 0.5];
    let linear = |rounded| Position::Alibi { slopes: slopes.clone(), rounded_before_scaling: rounded };
    let learned =
        |bidirectional| Position::Relative(Buckets { num_buckets: 8, max_distance: 40, bidirectional });
    let disentangled = |distances, keys, queries| Position::Disentangled { distances, keys, queries };
    let logarithmic = Distances::Logarithmic { buckets: 8, max_distance: 40 };
    vec![
        ("linear", linear(false)),
        ("linear, rounded", linear(true)),
        ("learned", learned(true)),
        ("learned of the past", learned(false)),
        ("disentangled", disentangled(logarithmic, true, true)),
        ("content to position", disentangled(Distances::Plain { span: 80 }, true, false)),
        ("position to content", disentangled(Distances::Plain { span: 9 }, false, true)),
    ]
}

#[test]
fn biases_of_positions() {
    let rows = lengths();
    let padded = padded(&[3, 36, 0, 1], 36);
    let mut selected = rows.pooled();
    selected.positions = vec![0, 32, 4, 0, 69];
    let key = DropoutKey { seed: Seed(5), step: 7, site: 3 };
    let plain = Options::scaled(0.4);
    let all = Options {
        mask_padded_queries: true,
        soft_cap: Some(1.5),
        dropout: Some(Dropout { key, probability: 0.3 }),
        ..plain
    };
    for (what, position) in positions() {
        at(what, position.clone(), SHAPE, plain, &rows, &rows);
        at(what, position.clone(), SHAPE, all, &padded, &padded);
        at(what, position.clone(), SHAPE, Options { causal: true, ..plain }, &selected, &rows);
        if !matches!(position, Position::Disentangled { .. }) {
            at(what, position, Shape { kv_heads: 2, ..SHAPE }, plain, &rows, &rows);
        }
    }
}

#[test]
fn convolutions_over_tokens() {
    for (inputs, outputs, taps, groups) in [(3, 4, 3, 1), (6, 4, 5, 2), (40, 70, 3, 1), (2, 2, 1, 1)] {
        for rows in [packed(&[5, 1, 33, 3]), packed(&[2]), padded(&[3, 0, 5, 1], 5)] {
            agree(&format!("convolution of {taps} taps"), CLOSE, |device| {
                let mut layout = Layout::default();
                layout.push("before", &[3]);
                let weight = layout.push("weight", &[outputs, inputs / groups, taps]);
                let bias = layout.push("bias", &[outputs]);
                let layout = Arc::new(layout);
                let mut values = Arena::zeros(device, layout.clone(), K);
                let mut grads = Arena::zeros(device, layout, K);
                for member in 0..K {
                    let len = values.layout().len();
                    values.write_member(member, &random(member as u64, len));
                    grads.write_member(member, &random(9 + member as u64, len));
                }
                let shape = convolution::Shape { members: K, inputs, outputs, taps, groups };
                let operation = Convolution { shape, rows: &rows };
                let x = buffer(device, 1, K * rows.len() * inputs);
                let dy = buffer(device, 2, K * rows.len() * outputs);
                let mut scratch = convolution::Scratch::default();
                let [mut y, mut plain, mut dx] = [const { None::<Buffer> }; 3].map(Option::unwrap_or_default);
                let (weights, biases) = (values.param(weight), values.param(bias));
                operation.forward(&x, weights, Some(biases), &mut y, &mut scratch);
                operation.forward(&x, weights, None, &mut plain, &mut scratch);
                let (Some(to), bias_to) = grads.params_mut([Some(weight), Some(bias)]) else {
                    unreachable!()
                };
                let to = convolution::Gradients { weight: to, bias: bias_to, input: &mut dx };
                operation.backward(&x, weights, &dy, to, &mut scratch);
                vec![
                    ("y", y.to_vec()),
                    ("without bias", plain.to_vec()),
                    ("dx", dx.to_vec()),
                    ("gradients", grads.read_all().into_owned()),
                ]
            });
        }
    }
}
