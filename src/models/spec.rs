//! What the one transformer block, and the encoder around it, can be. A family's table turns a
//! checkpoint's `config.json` into these; an option that is not expressible here is refused there.

/// Which normalisation, and its epsilon.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Norm {
    /// The formula.
    pub kind: NormKind,
    /// Added to the variance or the mean square.
    pub eps: f64,
}

/// Formula of a normalisation over a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NormKind {
    /// Subtract the mean, divide by the standard deviation, times weight, plus bias if there is one.
    LayerNorm,
    /// Divide by the root mean square, times weight.
    RmsNorm,
    /// Divide by the root mean square, times (1 + weight): the Gemma families.
    RmsNormPlusOne,
}

/// Where the norms of a block stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// Before attention and before the feed-forward.
    Pre,
    /// After each residual sum (BERT).
    Post,
    /// Before and after both, inside the residual (Gemma 2).
    PrePost,
    /// On the outputs of attention and feed-forward only, inside the residual (OLMo 2).
    Output,
}

/// How attention and feed-forward are joined to the residual stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Residual {
    /// x + attention, then + feed-forward.
    Sequential,
    /// x + attention(n(x)) + feed-forward(n(x)), one norm (Falcon 7B).
    Parallel,
    /// The same with a norm of its own for each branch (GPT-NeoX, Falcon 40B).
    ParallelTwoNorms,
}

/// One transformer block.
#[derive(Clone, Debug, PartialEq)]
pub struct BlockSpec {
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Width inside the feed-forward.
    pub intermediate_size: usize,
    /// All norms of the block but those of queries and keys.
    pub norm: Norm,
    /// Where they stand.
    pub placement: Placement,
    /// Whether there is a norm before attention: true for placements [`Pre`](Placement::Pre) and
    /// [`PrePost`](Placement::PrePost), but for ModernBERT's first block, which has none.
    pub attention_norm: bool,
    /// How the branches are joined.
    pub residual: Residual,
    /// Attention.
    pub attention: AttentionSpec,
    /// How attention knows positions.
    pub position: Position,
    /// Feed-forward.
    pub feed_forward: FeedForward,
}

impl BlockSpec {
    /// The same block with this window.
    #[must_use]
    pub fn with_window(mut self, window: Option<Window>) -> Self {
        self.attention.window = window;
        self
    }
}

/// Attention's sizes and options. Whether a projection has a bias is decided by
/// the family's [`TensorTable`](super::tensors::TensorTable) naming one.
#[derive(Clone, Debug, PartialEq)]
pub struct AttentionSpec {
    /// H.
    pub num_heads: usize,
    /// G; each serves H / G consecutive query heads.
    pub num_kv_heads: usize,
    /// Width of one head; independent of `hidden_size`.
    pub head_dim: usize,
    /// Scores are multiplied by this.
    pub scale: f32,
    /// Scores become cap * tanh(score / cap).
    pub soft_cap: Option<f32>,
    /// Normalisation of queries and keys before positions are applied.
    pub qk_norm: QkNorm,
    /// The window of this block when windows are honoured.
    pub window: Option<Window>,
    /// Probability of dropping an attention weight in training.
    pub dropout: f32,
}

/// Normalisation of queries and keys.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum QkNorm {
    /// None.
    None,
    /// Each head by itself, one weight of `head_dim` for all heads (Qwen 3, Gemma 3).
    PerHead(Norm),
    /// The whole projected row (OLMo 2).
    Whole(Norm),
}

/// Which keys a query of a windowed block sees besides the mask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Window {
    /// 0 <= query - key < size, the decoders' sliding window.
    Past(usize),
    /// |query - key| <= size, ModernBERT's local attention (size = `local_attention` / 2).
    Around(usize),
}

/// How attention knows positions.
#[derive(Clone, Debug, PartialEq)]
pub enum Position {
    /// Not at all inside the block.
    None,
    /// Rotated queries and keys.
    Rotary(Rotary),
    /// Linear biases on the scores.
    Alibi(Alibi),
    /// A learned bias a head and bucket of distance, one table for all blocks (MPNet).
    RelativeBias(RelativeBuckets),
    /// DeBERTa's content-to-position and position-to-content terms.
    Disentangled(Disentangled),
}

/// Rotary positions, "rotate half" layout: channel i pairs with channel i + `rotary_dim` / 2.
#[derive(Clone, Debug, PartialEq)]
pub struct Rotary {
    /// How many of a head's first channels rotate.
    pub rotary_dim: usize,
    /// Angle a position for each of the `rotary_dim` / 2 pairs, scaling included.
    pub inverse_frequencies: Vec<f64>,
    /// Cosines and sines are multiplied by this (longrope, yarn).
    pub attention_factor: f64,
    /// Other frequencies for every position as soon as a sequence is longer than this (longrope).
    pub long: Option<LongRotary>,
}

/// Frequencies of sequences beyond the original context.
#[derive(Clone, Debug, PartialEq)]
pub struct LongRotary {
    /// Longest sequence that still uses the ordinary frequencies.
    pub original_max_position_embeddings: usize,
    /// The frequencies beyond it.
    pub inverse_frequencies: Vec<f64>,
}

/// Linear biases on the scores, one slope a head.
#[derive(Clone, Debug, PartialEq)]
pub struct Alibi {
    /// The slopes, H of them (Falcon's are rounded to bfloat16 already).
    pub slopes: Vec<f32>,
    /// Falcon: slope times key position is rounded to bfloat16 and added before the scores are
    /// scaled; otherwise (BLOOM) it is added after, unrounded.
    pub rounded_before_scaling: bool,
}

/// T5's buckets of distances.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RelativeBuckets {
    /// Rows of the table.
    pub num_buckets: usize,
    /// Distances from here on share the last bucket.
    pub max_distance: usize,
    /// Half of the buckets for keys after the query.
    pub bidirectional: bool,
}

/// DeBERTa's relative positions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "independent options of one formula")]
pub struct Disentangled {
    /// Queries meet projected key positions.
    pub content_to_position: bool,
    /// Keys meet projected query positions.
    pub position_to_content: bool,
    /// Positions go through the content projections (v2, v3) or their own (v1).
    pub share_projections: bool,
    /// Half the rows of the relative table (`attention_span`).
    pub span: usize,
    /// v2, v3: log buckets beyond half of this; `None`: plain distances.
    pub position_buckets: Option<usize>,
    /// Largest distance of the log buckets.
    pub max_relative_positions: usize,
    /// v1: the span in use is the smaller of `span` and the longest text of the batch.
    pub span_follows_length: bool,
}

/// Activation functions by their exact formula.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// max(x, 0).
    Relu,
    /// x * Phi(x), exact.
    Gelu,
    /// The tanh approximation (`gelu_new`, `gelu_pytorch_tanh`, BLOOM's).
    GeluTanh,
    /// x * sigmoid(x) (`silu`, `swish`).
    Silu,
}

/// Feed-forward of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FeedForward {
    /// down(act(up(x))).
    Plain(Activation),
    /// down(act(gate(x)) * up(x)).
    Gated(Activation),
    /// A softmax over all experts, the best `top_k` renormalised, each a gated feed-forward (Mixtral).
    Mixture {
        /// How many experts.
        experts: usize,
        /// How many a token uses.
        top_k: usize,
        /// Of every expert.
        activation: Activation,
    },
}

/// A whole model up to its last hidden state: embeddings, blocks, final norm.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelSpec {
    /// `model_type` of the configuration.
    pub model_type: String,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Before the first block.
    pub embeddings: EmbeddingSpec,
    /// The blocks in order (with `shared_blocks`, equal specifications that share one set of weights).
    pub blocks: Vec<BlockSpec>,
    /// ALBERT: all blocks use the weights of block 0.
    pub shared_blocks: bool,
    /// After the last block.
    pub final_norm: Option<Norm>,
    /// OPT-350m: a projection without bias to this width after the last block.
    pub output_projection: Option<usize>,
    /// Every token sees only itself and those before it.
    pub causal: bool,
    /// DeBERTa: the table of relative positions, shared by all blocks.
    pub relative: Option<RelativeTable>,
    /// DeBERTa v2: a convolution beside block 0.
    pub convolution: Option<Convolution>,
    /// Probability of dropping an element in training, at the places of `dropout_sites`.
    pub hidden_dropout: f32,
    /// Where elements are dropped.
    pub dropout_sites: DropoutSites,
}

/// Where a model drops elements of its rows in training, all with one probability
/// (attention weights have their own: [`AttentionSpec::dropout`]).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "a set of places")]
pub struct DropoutSites {
    /// After the embeddings' norm, before a projection that follows it.
    pub embeddings: bool,
    /// After the output projection of attention (not in DistilBERT).
    pub attention: bool,
    /// After the feed-forward (not in ALBERT).
    pub feed_forward: bool,
    /// DeBERTa: every block's reading of the table of relative positions, before it is projected.
    pub relative: bool,
    /// DeBERTa v2: the convolution's output, before its activation.
    pub convolution: bool,
}

impl DropoutSites {
    /// Nowhere: decoders, whose layers are studied without noise.
    pub const NONE: Self = Self {
        embeddings: false,
        attention: false,
        feed_forward: false,
        relative: false,
        convolution: false,
    };
    /// Embeddings, attention and feed-forward: BERT and what follows it.
    pub const ALL: Self = Self { embeddings: true, attention: true, feed_forward: true, ..Self::NONE };
}

/// What happens before the first block.
#[derive(Clone, Debug, PartialEq)]
pub struct EmbeddingSpec {
    /// Rows of the word table.
    pub vocab_size: usize,
    /// Width of the word table, and of the others unless `projection` stands before them.
    pub embedding_size: usize,
    /// Word embeddings are multiplied by this (Gemma).
    pub scale: Option<f32>,
    /// Rows of the token type table.
    pub token_types: Option<usize>,
    /// Learned absolute positions.
    pub positions: Option<PositionTable>,
    /// Norm of the sum.
    pub norm: Option<Norm>,
    /// A projection from `embedding_size` to `hidden_size`, with a bias or not.
    pub projection: Option<Projection>,
    /// Id of padding: this row of the word table gets no gradient.
    pub padding_id: Option<u32>,
    /// Embeddings of tokens that are not real are set to zero (DeBERTa).
    pub mask_padding: bool,
}

/// A linear map of the embeddings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Projection {
    /// Whether it has a bias.
    pub bias: bool,
    /// Where it stands.
    pub place: ProjectionPlace,
}

/// Where the projection of the embeddings stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProjectionPlace {
    /// Of the word embeddings alone; positions, of width `hidden_size`, are added after it (OPT-350m).
    Words,
    /// Of the sum after its norm and dropout (ELECTRA, ALBERT).
    Sum,
}

/// Learned absolute positions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PositionTable {
    /// Rows of the table (`max_position_embeddings`, unused rows included).
    pub rows: usize,
    /// How a token finds its row.
    pub start: PositionStart,
}

impl PositionTable {
    /// Tokens of the longest text that every token finds a row for.
    pub fn longest_text(self) -> usize {
        match self.start {
            PositionStart::Offset(offset) => self.rows.saturating_sub(offset),
            PositionStart::AfterPadding(padding) => self.rows.saturating_sub(padding + 1),
        }
    }
}

/// How a token finds its row of the position table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PositionStart {
    /// Its place in the text plus this (0 for BERT and GPT-2, 2 for OPT).
    Offset(usize),
    /// Real tokens count from `padding_id` + 1; padding stays at `padding_id`, whose row gets no
    /// gradient (RoBERTa, MPNet).
    AfterPadding(usize),
}

/// DeBERTa's table of relative positions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RelativeTable {
    /// Rows: twice the span.
    pub rows: usize,
    /// v2, v3: a norm over the table's rows.
    pub norm: Option<Norm>,
}

/// DeBERTa v2's convolution branch: norm(block 0's output + act(conv(embeddings))).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Convolution {
    /// Taps.
    pub kernel_size: usize,
    /// Channel groups.
    pub groups: usize,
    /// After the convolution.
    pub activation: Activation,
    /// Of the sum.
    pub norm: Norm,
}
