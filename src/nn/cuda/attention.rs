//! Attention on a GPU: products of the small matrices of every head, and a softmax between them.

use super::{Attention, Bias, Empty, Gradients, Saved, Window};
use crate::nn::cuda::{Gpu, WARP, arguments, word};
use crate::nn::{Buffer, Rows};

/// Sides of the square of a result that one block computes.
const TILE: usize = 32;

/// Threads of such a block.
const TILE_THREADS: u32 = 256;

/// Warps of a block of the softmax; each takes a row.
const ROWS_A_BLOCK: u64 = 4;

/// What the kernels of one attention share.
struct Call<'a> {
    gpu: &'static Gpu,
    attention: &'a Attention<'a>,
    /// First row and number of queries, the same of keys, pairs before; for every example.
    segments: u64,
    examples: usize,
    pairs: usize,
    longest_queries: usize,
    longest_keys: usize,
}

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
    let call = Call::new(gpu, attention);
    let scores = call.scores();
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
    call.score_product(q, k, scores_at, attention.options.scale);
    let mask = call.mask();
    let (low, high, probability, scale) = dropping.map_or((0, 0, 0.0, 1.0), |it| it.mask().parts());
    let empty: f32 = match attention.options.empty {
        Empty::Zero => 0.0,
        Empty::Uniform => 1.0,
    };
    let rows = call.rows();
    gpu.launch(
        "softmax_forward",
        [word(rows.div_ceil(ROWS_A_BLOCK) as usize), 1, 1],
        [ROWS_A_BLOCK as u32 * WARP, 1],
        arguments![
            scores_at,
            slopes,
            dropped,
            call.segments,
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
            word(call.examples),
            word(attention.shape.heads),
            word(attention.queries.len()),
            call.pairs as u64,
            rows,
        ],
    );
    let weights = if dropped == 0 { scores_at } else { dropped };
    call.query_product(weights, v, out, 1.0);
}

pub(super) fn backward(
    gpu: &'static Gpu,
    attention: &Attention<'_>,
    [q, k, v, dout]: [&Buffer; 4],
    saved: &mut Saved,
    to: Gradients<'_>,
) {
    let call = Call::new(gpu, attention);
    let probabilities = saved.probabilities.pointer();
    let dropping = attention.dropout();
    let dropped = if dropping.is_some() { saved.dropped.pointer() } else { 0 };
    let slopes = if attention.options.soft_cap.is_some() { saved.cap_slopes.pointer() } else { 0 };
    let gradients = saved.score_gradients.room(gpu, call.scores());
    let Gradients { queries, keys, values, .. } = to;
    let dq = queries.room(gpu, q.len());
    let dk = keys.room(gpu, k.len());
    let dv = values.room(gpu, v.len());
    call.key_product(if dropped == 0 { probabilities } else { dropped }, dout, dv, 1.0);
    call.score_product(dout, v, gradients, 1.0);
    let mask = call.mask();
    let rows = call.rows();
    gpu.launch(
        "softmax_backward",
        [word(rows.div_ceil(ROWS_A_BLOCK) as usize), 1, 1],
        [ROWS_A_BLOCK as u32 * WARP, 1],
        arguments![
            gradients,
            probabilities,
            slopes,
            dropped,
            call.segments,
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
            word(attention.queries.len()),
            call.pairs as u64,
            rows,
        ],
    );
    call.query_product(gradients, k, dq, attention.options.scale);
    call.key_product(gradients, q, dk, attention.options.scale);
}

impl<'a> Call<'a> {
    /// # Panics
    /// With a bias of positions, which the check of models for their device refuses.
    fn new(gpu: &'static Gpu, attention: &'a Attention<'a>) -> Self {
        assert!(matches!(attention.bias, Bias::None), "biases of positions have no CUDA form");
        let (queries, keys) = (attention.queries, attention.keys);
        let mut words = Vec::with_capacity(5 * queries.examples());
        let mut pairs = 0;
        let longest = |rows: &Rows| (0..rows.examples()).map(|b| rows.segment(b).len()).max().unwrap_or(0);
        for example in 0..queries.examples() {
            let (q, k) = (queries.segment(example), keys.segment(example));
            words.extend([q.start, q.len(), k.start, k.len(), pairs].map(word));
            pairs += q.len() * k.len();
        }
        Self {
            gpu,
            attention,
            segments: gpu.table(&words),
            examples: queries.examples(),
            pairs,
            longest_queries: longest(queries),
            longest_keys: longest(keys),
        }
    }

    /// Scores of all members and heads.
    fn scores(&self) -> usize {
        self.attention.shape.members * self.attention.shape.heads * self.pairs
    }

    /// Rows of scores.
    fn rows(&self) -> u64 {
        (self.attention.shape.members * self.attention.shape.heads * self.attention.queries.len()) as u64
    }

    fn mask(&self) -> Mask {
        let Attention { options, queries, keys, .. } = self.attention;
        let (window, window_size) = match options.window {
            None => (0, 0),
            Some(Window::Past(size)) => (1, size),
            Some(Window::Around(size)) => (2, size),
        };
        let real_queries = if options.mask_padded_queries { self.gpu.real(queries) } else { 0 };
        let real_keys = self.gpu.real(keys);
        Mask {
            query_positions: self.gpu.positions(queries),
            key_positions: self.gpu.positions(keys),
            real_queries,
            real_keys,
            masked: options.causal || window > 0 || real_queries != 0 || real_keys != 0,
            causal: options.causal,
            window,
            window_size: u32::try_from(window_size).unwrap_or(u32::MAX),
        }
    }

    fn product(
        &self,
        kernel: &'static str,
        [left, right, to]: [u64; 3],
        factor: f32,
        heads: usize,
        [down, across]: [usize; 2],
    ) {
        let Attention { shape, queries, keys, .. } = self.attention;
        let (down, across) = (down.div_ceil(TILE), across.div_ceil(TILE));
        let blocks = shape.members * self.examples * heads * down * across;
        self.gpu.launch(
            kernel,
            [word(blocks), 1, 1],
            [TILE_THREADS, 1],
            arguments![
                left,
                right,
                to,
                self.segments,
                factor,
                word(self.examples),
                word(shape.heads),
                word(shape.kv_heads),
                word(shape.head_dim),
                word(queries.len()),
                word(keys.len()),
                self.pairs as u64,
                word(down),
                word(across),
            ],
        );
    }

    /// scores = factor a bᵀ, of rows of queries and rows of keys.
    fn score_product(&self, a: &Buffer, b: &Buffer, scores: u64, factor: f32) {
        let tiles = [self.longest_queries, self.longest_keys];
        let places = [a.pointer(), b.pointer(), scores];
        self.product("score_product", places, factor, self.attention.shape.heads, tiles);
    }

    /// Rows of queries = factor scores b, of rows of keys.
    fn query_product(&self, scores: u64, b: &Buffer, to: u64, factor: f32) {
        let shape = self.attention.shape;
        let tiles = [self.longest_queries, shape.head_dim];
        self.product("query_product", [scores, b.pointer(), to], factor, shape.heads, tiles);
    }

    /// Rows of keys = factor scoresᵀ a, of rows of queries.
    fn key_product(&self, scores: u64, a: &Buffer, to: u64, factor: f32) {
        let shape = self.attention.shape;
        let tiles = [self.longest_keys, shape.head_dim];
        self.product("key_product", [scores, a.pointer(), to], factor, shape.kv_heads, tiles);
    }
}
