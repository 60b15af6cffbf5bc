//! Attention of every kind in one place: any number of key-value heads, masks, windows, a soft cap,
//! linear, learned and disentangled position biases, dropout, and queries for some rows only.
//!
//! One score is `scale * q.k` plus what the [`Bias`] adds, then `cap * tanh(score / cap)`, then the
//! masks; a softmax over the visible keys of the query's example, dropout, and a weighted sum of
//! values. Work is divided by member, example and key-value head, each computed as if it were
//! alone, and gradients of tables that examples share are summed in the order of the examples: the
//! result depends neither on the number of threads nor on how many members are stacked.

mod backward;
mod forward;
#[cfg(feature = "cuda")]
#[path = "../cuda/attention.rs"]
mod on_gpu;
mod products;
mod segments;
mod split;
mod tables;

use super::dropout::Dropout;
use super::parallel::PARALLEL_FROM;
use super::{Buffer, Param, ParamMut, Rows};
use products::View;
use segments::Segment;

/// Sizes of an attention.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// K.
    pub members: usize,
    /// H, heads of queries.
    pub heads: usize,
    /// G, heads of keys and values; each serves H / G consecutive heads of queries.
    pub kv_heads: usize,
    /// d, channels of one head.
    pub head_dim: usize,
}

/// Which keys a query sees besides the other masks, by the positions of both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Window {
    /// 0 <= query - key < size.
    Past(usize),
    /// |query - key| <= size.
    Around(usize),
}

/// What a query that sees no key attends to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Empty {
    /// Nothing: its output is zero (`transformers` 4 in disentangled attention).
    Zero,
    /// All keys of its example equally, those that are not real included: what a softmax over
    /// equal, very negative scores gives (`transformers` 5, and every additive mask).
    #[default]
    Uniform,
}

/// What decides scores and weights besides queries, keys and the bias.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Options {
    /// Factor of the scores; the disentangled terms are scaled by it too, so there it is
    /// 1 / sqrt(d * (1 + number of terms)).
    pub scale: f32,
    /// Scores become cap * tanh(score / cap).
    pub soft_cap: Option<f32>,
    /// No key after its query is seen.
    pub causal: bool,
    /// Only keys in the window are seen.
    pub window: Option<Window>,
    /// Queries that are not real see nothing (a mask that is the outer product of the padding
    /// mask with itself).
    pub mask_padded_queries: bool,
    /// What a query that sees nothing attends to.
    pub empty: Empty,
    /// Drops weights after the softmax. The mask's token is the query's position, its channel
    /// head * 65536 + the key's position.
    pub dropout: Option<Dropout>,
}

impl Options {
    /// Every query sees every real key; no cap, no window, no dropout.
    pub fn scaled(scale: f32) -> Self {
        Self {
            scale,
            soft_cap: None,
            causal: false,
            window: None,
            mask_padded_queries: false,
            empty: Empty::default(),
            dropout: None,
        }
    }
}

/// What positions add to the scores.
#[derive(Clone, Copy, Default)]
pub enum Bias<'a> {
    /// Nothing.
    #[default]
    None,
    /// slope * key position, one slope a head.
    Alibi {
        /// `[H]`.
        slopes: &'a [f32],
        /// Slope, position and product are each rounded to bfloat16, and the product is added
        /// before scaling: (q.k + product) * scale (Falcon). Otherwise it is added after scaling,
        /// unrounded (BLOOM).
        rounded_before_scaling: bool,
    },
    /// A learned number a bucket of distance and head, added after scaling.
    Relative {
        /// `[buckets, H]`.
        table: Param<'a>,
        /// The bucket of key position - query position; the distances of one bucket are consecutive.
        bucket: &'a (dyn Fn(i64) -> usize + Sync),
    },
    /// DeBERTa's terms, scaled as the scores are: a query with the projected key of the distance's
    /// row, and a key with the projected query of the same row. H = G.
    Disentangled {
        /// Content to position, `[K, P, H * d]`.
        position_keys: Option<&'a Buffer>,
        /// Position to content, `[K, P, H * d]`.
        position_queries: Option<&'a Buffer>,
        /// The row, below P, of query position - key position; the distances of one row are
        /// consecutive. One index serves both terms
        /// (see [`Distances::row`](super::relative::Distances::row)).
        row: &'a (dyn Fn(i64) -> usize + Sync),
    },
}

/// Where the gradient of a [`Bias`] goes; the variant and its options match the bias.
#[derive(Default)]
pub enum BiasGradient<'a> {
    /// The bias has nothing that trains, or its gradient is not wanted.
    #[default]
    None,
    /// Of [`Bias::Relative`]'s table, `[buckets, H]`; added to.
    Relative(ParamMut<'a>),
    /// Of [`Bias::Disentangled`]'s projections, `[K, P, H * d]`; overwritten.
    Disentangled {
        /// Of `position_keys`.
        position_keys: Option<&'a mut Buffer>,
        /// Of `position_queries`.
        position_queries: Option<&'a mut Buffer>,
    },
}

/// Where the gradients of an attention's inputs go; buffers are resized and overwritten.
pub struct Gradients<'a> {
    /// `[K, Rq, H * d]`.
    pub queries: &'a mut Buffer,
    /// `[K, Rk, G * d]`.
    pub keys: &'a mut Buffer,
    /// `[K, Rk, G * d]`.
    pub values: &'a mut Buffer,
    /// Of the bias.
    pub bias: BiasGradient<'a>,
}

/// What backward needs of forward, all in the layout K, example, H, query, key.
#[derive(Clone, Debug, Default)]
pub struct Saved {
    /// After the softmax.
    probabilities: Buffer,
    /// After dropout; empty without it.
    dropped: Buffer,
    /// Derivative of the soft cap, 1 - tanh^2; empty without one.
    cap_slopes: Buffer,
    /// Of the scores: backward's own scratch between its two passes, kept here for its memory.
    score_gradients: Buffer,
}

/// One attention over a batch. `queries` and `keys` hold the same examples in the same order, but
/// can have different rows.
#[derive(Clone, Copy)]
pub struct Attention<'a> {
    /// Sizes.
    pub shape: Shape,
    /// Options.
    pub options: Options,
    /// Rows of the queries and of the output, Rq of them.
    pub queries: &'a Rows,
    /// Rows of the keys and values, Rk of them.
    pub keys: &'a Rows,
    /// What positions add.
    pub bias: Bias<'a>,
}

impl Attention<'_> {
    /// Attends: `q` `[K, Rq, H * d]`, `k` and `v` `[K, Rk, G * d]` give `out` `[K, Rq, H * d]`.
    /// Rows that are not real are computed as queries and never seen as keys.
    pub fn forward(&self, q: &Buffer, k: &Buffer, v: &Buffer, out: &mut Buffer, saved: &mut Saved) {
        self.check(q, k, v);
        #[cfg(feature = "cuda")]
        if let Some(gpu) = q.gpu() {
            return on_gpu::forward(gpu, self, [q, k, v], out, saved);
        }
        forward::run(self, [q.cpu(), k.cpu(), v.cpu()], out, saved);
    }

    /// Gradients of everything that [`forward`](Self::forward) read, from that of its output,
    /// `[K, Rq, H * d]`, and from what it saved.
    pub fn backward(
        &self,
        q: &Buffer,
        k: &Buffer,
        v: &Buffer,
        dout: &Buffer,
        saved: &mut Saved,
        gradients: Gradients<'_>,
    ) {
        self.check(q, k, v);
        debug_assert_eq!(dout.len(), q.len());
        #[cfg(feature = "cuda")]
        if let Some(gpu) = q.gpu() {
            return on_gpu::backward(gpu, self, [q, k, v, dout], saved, gradients);
        }
        let Gradients { queries, keys, values, bias } = gradients;
        let segments = segments::read(self);
        let wanted = !matches!(bias, BiasGradient::None);
        let operands = [q.cpu(), k.cpu(), v.cpu(), dout.cpu()];
        backward::run(self, &segments, operands, saved, [queries, keys, values], wanted);
        tables::run(self, &segments, [q.cpu(), k.cpu()], saved, bias);
    }

    fn check(&self, q: &Buffer, k: &Buffer, v: &Buffer) {
        let Shape { members, heads, kv_heads, head_dim } = self.shape;
        debug_assert_eq!(heads % kv_heads, 0);
        debug_assert_eq!(self.queries.examples(), self.keys.examples());
        debug_assert_eq!(q.len(), members * self.queries.len() * heads * head_dim);
        debug_assert_eq!(k.len(), members * self.keys.len() * kv_heads * head_dim);
        debug_assert_eq!(v.len(), k.len());
        debug_assert!(!matches!(self.bias, Bias::Disentangled { .. }) || heads == kv_heads);
    }

    /// The dropout, unless it drops nothing.
    fn dropout(&self) -> Option<Dropout> {
        self.options.dropout.filter(|dropout| dropout.probability > 0.0)
    }

    /// Tasks that stay on one thread: all where handing work over would cost more than the work.
    fn tasks_together(&self, segments: &[Segment]) -> usize {
        let Shape { members, heads, kv_heads, head_dim } = self.shape;
        let pairs: usize = segments.iter().map(Segment::pairs).sum();
        let small = members * heads * pairs * head_dim < PARALLEL_FROM;
        if small { (members * kv_heads * segments.len()).max(1) } else { 1 }
    }

    /// Heads of queries that share one head of keys.
    fn shared(&self) -> usize {
        self.shape.heads / self.shape.kv_heads
    }

    /// One head of one example's rows among `[K, Rq, H * d]`, as a matrix `[Tq, d]`.
    fn of_queries<'b>(&self, numbers: &'b [f32], place: Place, segment: &Segment) -> View<'b> {
        let stride = self.shape.heads * self.shape.head_dim;
        let row = place.member * self.queries.len() + segment.queries.start;
        View::rows(&numbers[row * stride + place.head * self.shape.head_dim..], stride)
    }

    /// The head of keys or values that serves a head of queries, among `[K, Rk, G * d]`, as a
    /// matrix `[Tk, d]`.
    fn of_keys<'b>(&self, numbers: &'b [f32], place: Place, segment: &Segment) -> View<'b> {
        let stride = self.shape.kv_heads * self.shape.head_dim;
        let row = place.member * self.keys.len() + segment.keys.start;
        View::rows(&numbers[row * stride + place.head / self.shared() * self.shape.head_dim..], stride)
    }

    /// One head of the rows that a segment reads of projected positions `[K, P, H * d]`.
    fn of_positions<'b>(&self, positions: &'b Buffer, place: Place, segment: &Segment) -> View<'b> {
        let stride = self.shape.heads * self.shape.head_dim;
        let row = place.member * self.positions(positions) + segment.reach.start;
        View::rows(&positions.cpu()[row * stride + place.head * self.shape.head_dim..], stride)
    }

    /// Place of a head's first score within the layout K, example, H, query, key.
    fn scores_start(&self, place: Place, segment: &Segment) -> usize {
        let before = place.member * segment.pairs_of_all + segment.start;
        before * self.shape.heads + place.head * segment.pairs()
    }

    /// P of projected positions.
    fn positions(&self, positions: &Buffer) -> usize {
        positions.len() / (self.shape.members * self.shape.heads * self.shape.head_dim)
    }
}

/// Which member and which head of queries.
#[derive(Clone, Copy)]
struct Place {
    member: usize,
    head: usize,
}
