//! Attention over packed and padded segments with every mask that the GPU has.

use pifi_probe::nn::attention::{
    Attention, Bias, BiasGradient, Empty, Gradients, Options, Saved, Shape, Window,
};
use pifi_probe::nn::dropout::Dropout;
use pifi_probe::nn::{Buffer, DropoutKey, Rows};
use pifi_probe::seed::Seed;

use super::support::{CLOSE, K, agree, buffer, packed, padded};

fn case(what: &str, shape: Shape, options: Options, queries: &Rows, keys: &Rows) {
    agree(what, CLOSE, |device| {
        let attention = Attention { shape, options, queries, keys, bias: Bias::None };
        let across = shape.heads * shape.head_dim;
        let narrow = shape.kv_heads * shape.head_dim;
        let q = buffer(device, 1, K * queries.len() * across);
        let k = buffer(device, 2, K * keys.len() * narrow);
        let v = buffer(device, 3, K * keys.len() * narrow);
        let dout = buffer(device, 4, K * queries.len() * across);
        let (mut out, mut saved) = (Buffer::default(), Saved::default());
        attention.forward(&q, &k, &v, &mut out, &mut saved);
        let [mut dq, mut dk, mut dv] = [const { None::<Buffer> }; 3].map(Option::unwrap_or_default);
        let to = Gradients { queries: &mut dq, keys: &mut dk, values: &mut dv, bias: BiasGradient::None };
        attention.backward(&q, &k, &v, &dout, &mut saved, to);
        vec![("out", out.to_vec()), ("dq", dq.to_vec()), ("dk", dk.to_vec()), ("dv", dv.to_vec())]
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
