//! Attention on a GPU: products of the small matrices of every head, and a softmax between them.

#[path = "attention_bias.rs"]
mod bias;
#[path = "attention_products.rs"]
mod products;

use super::{Attention, Bias, Empty, Gradients, Saved, Window};
use crate::nn::Buffer;
use crate::nn::cuda::{Gpu, WARP, arguments, word};
use products::Products;

/// Warps of a block of the softmax; each takes a row.
const ROWS_A_BLOCK: u64 = 4;

/// Who sees whom, as kernels take it.
struct Mask {
    query_positions: u64,
    key_positions: u64,
    real_queries: u64,
    real_keys: u64,
    /// Whether any query could miss a key.
    masked: bool,
    causal: bool,
    window: u32,
    window_size: u32,
}

pub(super) fn forward(
    gpu: &'static Gpu,
    attention: &Attention<'_>,
    [q, k, v]: [&Buffer; 3],
    out: &mut Buffer,
    saved: &mut Saved,
) {
    let products = Products::new(gpu, attention.shape, attention.queries, attention.keys);
    let scores = products.scores();
    let dropping = attention.dropout();
    let scores_at = saved.probabilities.room(gpu, scores);
    let slopes = match attention.options.soft_cap {
        Some(_) => saved.cap_slopes.room(gpu, scores),
        None => 0,
    };
    let dropped = match dropping {
        Some(_) => saved.dropped.room(gpu, scores),
        None => 0,
    };
    let out = out.room(gpu, q.len());
    // where positions add something, it decides when scores are scaled
    let factor = if matches!(attention.bias, Bias::None) { attention.options.scale } else { 1.0 };
    products.of_scores([q.pointer(), k.pointer(), scores_at], factor);
    bias::add(&products, attention, [q, k], scores_at);
    let mask = Mask::new(gpu, attention);
    let (low, high, probability, scale) = dropping.map_or((0, 0, 0.0, 1.0), |it| it.mask().parts());
    let empty: f32 = match attention.options.empty {
        Empty::Zero => 0.0,
        Empty::Uniform => 1.0,
    };
    gpu.launch(
        "softmax_forward",
        [rows_of_blocks(&products), 1, 1],
        [ROWS_A_BLOCK as u32 * WARP, 1],
        arguments![
            scores_at,
            slopes,
            dropped,
            products.segments,
            gpu.examples_of_rows(attention.queries),
            gpu.example_ids(attention.queries),
            mask.query_positions,
            mask.key_positions,
            mask.real_queries,
            mask.real_keys,
            mask.masked,
            mask.causal,
            mask.window,
            mask.window_size,
            attention.options.soft_cap.unwrap_or(1.0),
            empty,
            low,
            high,
            probability,
            scale,
            word(products.examples),
            word(attention.shape.heads),
            word(products.queries),
            products.pairs as u64,
            products.rows(),
        ],
    );
    let weights = if dropped == 0 { scores_at } else { dropped };
    products.of_queries([weights, v.pointer(), out], 1.0, false);
}

pub(super) fn backward(
    gpu: &'static Gpu,
    attention: &Attention<'_>,
    [q, k, v, dout]: [&Buffer; 4],
    saved: &mut Saved,
    to: Gradients<'_>,
) {
    let products = Products::new(gpu, attention.shape, attention.queries, attention.keys);
    let probabilities = saved.probabilities.pointer();
    let dropping = attention.dropout();
    let dropped = if dropping.is_some() { saved.dropped.pointer() } else { 0 };
    let slopes = if attention.options.soft_cap.is_some() { saved.cap_slopes.pointer() } else { 0 };
    let gradients = saved.score_gradients.room(gpu, products.scores());
    let dq = to.queries.room(gpu, q.len());
    let dk = to.keys.room(gpu, k.len());
    let dv = to.values.room(gpu, v.len());
    let weights = if dropped == 0 { probabilities } else { dropped };
    products.of_keys([weights, dout.pointer(), dv], 1.0);
    products.of_scores([dout.pointer(), v.pointer(), gradients], 1.0);
    let mask = Mask::new(gpu, attention);
    gpu.launch(
        "softmax_backward",
        [rows_of_blocks(&products), 1, 1],
        [ROWS_A_BLOCK as u32 * WARP, 1],
        arguments![
            gradients,
            probabilities,
            slopes,
            dropped,
            products.segments,
            gpu.examples_of_rows(attention.queries),
            mask.query_positions,
            mask.key_positions,
            mask.real_queries,
            mask.real_keys,
            mask.masked,
            mask.causal,
            mask.window,
            mask.window_size,
            dropping.map_or(1.0, |it| it.mask().parts().3),
            word(attention.shape.heads),
            word(products.queries),
            products.pairs as u64,
            products.rows(),
        ],
    );
    let scale = attention.options.scale;
    products.of_queries([gradients, k.pointer(), dq], scale, false);
    products.of_keys([gradients, q.pointer(), dk], scale);
    bias::backward(&products, attention, [q, k], gradients, [dq, dk], to.bias);
}

/// Blocks whose warps take one row of scores each.
fn rows_of_blocks(products: &Products) -> u32 {
    word(products.rows().div_ceil(ROWS_A_BLOCK) as usize)
}

impl Mask {
    fn new(gpu: &'static Gpu, attention: &Attention<'_>) -> Self {
        let Attention { options, queries, keys, .. } = attention;
        let (window, window_size) = match options.window {
            None => (0, 0),
            Some(Window::Past(size)) => (1, size),
            Some(Window::Around(size)) => (2, size),
        };
        let real_queries = if options.mask_padded_queries { gpu.real(queries) } else { 0 };
        let real_keys = gpu.real(keys);
        Self {
            query_positions: gpu.positions(queries),
            key_positions: gpu.positions(keys),
            real_queries,
            real_keys,
            masked: options.causal || window > 0 || real_queries != 0 || real_keys != 0,
            causal: options.causal,
            window,
            window_size: u32::try_from(window_size).unwrap_or(u32::MAX),
        }
    }
}
