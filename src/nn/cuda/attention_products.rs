//! Products of the small matrices of every head, on a GPU: which rows meet which, and where scores go.

use crate::nn::Rows;
use crate::nn::attention::Shape;
use crate::nn::cuda::{Gpu, arguments, word};

/// Sides of the square of a result that one block computes.
const TILE: usize = 32;

/// Threads of such a block.
const TILE_THREADS: u32 = 256;

/// Rows of "queries" and rows of "keys" in segments of which each meets its like, in every head.
pub(super) struct Products {
    pub(super) gpu: &'static Gpu,
    pub(super) shape: Shape,
    /// First row and number of queries, the same of keys, pairs before; for every example.
    pub(super) segments: u64,
    pub(super) examples: usize,
    pub(super) pairs: usize,
    /// Rows of all queries, and of all keys.
    pub(super) queries: usize,
    pub(super) keys: usize,
    longest_queries: usize,
    longest_keys: usize,
}

impl Products {
    /// The rows of an example with its own.
    pub(super) fn new(gpu: &'static Gpu, shape: Shape, queries: &Rows, keys: &Rows) -> Self {
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
            shape,
            segments: gpu.table(&words),
            examples: queries.examples(),
            pairs,
            queries: queries.len(),
            keys: keys.len(),
            longest_queries: longest(queries),
            longest_keys: longest(keys),
        }
    }

    /// Every row with every position of a table, `heads` of them each.
    pub(super) fn with_positions(gpu: &'static Gpu, shape: Shape, rows: usize, positions: usize) -> Self {
        Self {
            gpu,
            shape: Shape { kv_heads: shape.heads, ..shape },
            segments: gpu.table(&[0, rows, 0, positions, 0].map(word)),
            examples: 1,
            pairs: rows * positions,
            queries: rows,
            keys: positions,
            longest_queries: rows,
            longest_keys: positions,
        }
    }

    /// Scores of all members and heads.
    pub(super) fn scores(&self) -> usize {
        self.shape.members * self.shape.heads * self.pairs
    }

    /// Rows of scores.
    pub(super) fn rows(&self) -> u64 {
        (self.shape.members * self.shape.heads * self.queries) as u64
    }

    fn launch(
        &self,
        kernel: &'static str,
        [left, right, to]: [u64; 3],
        (factor, accumulate): (f32, bool),
        heads: usize,
        [down, across]: [usize; 2],
    ) {
        let Shape { members, heads: all_heads, kv_heads, head_dim } = self.shape;
        let (down, across) = (down.div_ceil(TILE), across.div_ceil(TILE));
        let blocks = members * self.examples * heads * down * across;
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
                accumulate,
                word(self.examples),
                word(all_heads),
                word(kv_heads),
                word(head_dim),
                word(self.queries),
                word(self.keys),
                self.pairs as u64,
                word(down),
                word(across),
            ],
        );
    }

    /// scores = factor a bᵀ, of rows of queries and rows of keys.
    pub(super) fn of_scores(&self, [a, b, scores]: [u64; 3], factor: f32) {
        let tiles = [self.longest_queries, self.longest_keys];
        self.launch("score_product", [a, b, scores], (factor, false), self.shape.heads, tiles);
    }

    /// Rows of queries = factor scores b, of rows of keys; or added to them.
    pub(super) fn of_queries(&self, [scores, b, to]: [u64; 3], factor: f32, accumulate: bool) {
        let tiles = [self.longest_queries, self.shape.head_dim];
        self.launch("query_product", [scores, b, to], (factor, accumulate), self.shape.heads, tiles);
    }

    /// Rows of keys = factor scoresᵀ a, of rows of queries.
    pub(super) fn of_keys(&self, [scores, a, to]: [u64; 3], factor: f32) {
        let tiles = [self.longest_keys, self.shape.head_dim];
        self.launch("key_product", [scores, a, to], (factor, false), self.shape.kv_heads, tiles);
    }
}
