//! The block's own names of its tensors, and where a family's checkpoint keeps them. Checkpoint
//! names are written without the model's prefix (`bert.`, `model.`), as the base model of
//! transformers names its parameters.

use std::ops::Range;

use super::spec::{BlockSpec, FeedForward, ModelSpec, Position, ProjectionPlace, QkNorm};

/// A tensor of one block, by its role. Weights are `[out, in]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum BlockTensor {
    /// Norm before attention: `[hidden_size]`.
    AttentionNormWeight,
    /// Its bias.
    AttentionNormBias,
    /// Norm after attention (placement post, pre-post, output).
    AttentionOutputNormWeight,
    /// Its bias.
    AttentionOutputNormBias,
    /// Norm before the feed-forward.
    FeedForwardNormWeight,
    /// Its bias.
    FeedForwardNormBias,
    /// Norm after the feed-forward (placement post, pre-post, output).
    FeedForwardOutputNormWeight,
    /// Its bias.
    FeedForwardOutputNormBias,
    /// `[num_heads * head_dim, hidden_size]`.
    QueryWeight,
    /// Its bias.
    QueryBias,
    /// `[num_kv_heads * head_dim, hidden_size]`.
    KeyWeight,
    /// Its bias.
    KeyBias,
    /// `[num_kv_heads * head_dim, hidden_size]`.
    ValueWeight,
    /// Its bias.
    ValueBias,
    /// `[hidden_size, num_heads * head_dim]`.
    OutputWeight,
    /// Its bias.
    OutputBias,
    /// Norm of queries: `[head_dim]` or `[num_heads * head_dim]`.
    QueryNormWeight,
    /// Norm of keys: `[head_dim]` or `[num_kv_heads * head_dim]`.
    KeyNormWeight,
    /// DeBERTa v1: projection of relative positions met by queries (`pos_proj`).
    PositionKeyWeight,
    /// DeBERTa v1: projection of relative positions that meets keys (`pos_q_proj`).
    PositionQueryWeight,
    /// Its bias.
    PositionQueryBias,
    /// `[intermediate_size, hidden_size]`.
    GateWeight,
    /// Its bias.
    GateBias,
    /// `[intermediate_size, hidden_size]`; the first matrix of a plain feed-forward.
    UpWeight,
    /// Its bias.
    UpBias,
    /// `[hidden_size, intermediate_size]`.
    DownWeight,
    /// Its bias.
    DownBias,
    /// `[experts, hidden_size]`.
    RouterWeight,
    /// Gate of one expert.
    ExpertGateWeight(usize),
    /// Up of one expert.
    ExpertUpWeight(usize),
    /// Down of one expert.
    ExpertDownWeight(usize),
}

impl BlockTensor {
    /// Whether a plug of one token never reads it: queries, keys and positions meet one key only,
    /// whose softmax is 1.
    pub fn unused_by_one_token(self) -> bool {
        matches!(
            self,
            Self::QueryWeight
                | Self::QueryBias
                | Self::KeyWeight
                | Self::KeyBias
                | Self::QueryNormWeight
                | Self::KeyNormWeight
                | Self::PositionKeyWeight
                | Self::PositionQueryWeight
                | Self::PositionQueryBias
        )
    }

    /// Shape in a block of this specification, weights as `[out, in]`.
    pub fn shape(self, block: &BlockSpec) -> Vec<usize> {
        let attention = &block.attention;
        let hidden = block.hidden_size;
        let inner = block.intermediate_size;
        let queries = attention.num_heads * attention.head_dim;
        let keys = attention.num_kv_heads * attention.head_dim;
        let normed = |whole: usize| match attention.qk_norm {
            QkNorm::PerHead(_) => attention.head_dim,
            QkNorm::Whole(_) | QkNorm::None => whole,
        };
        match self {
            Self::AttentionNormWeight
            | Self::AttentionNormBias
            | Self::AttentionOutputNormWeight
            | Self::AttentionOutputNormBias
            | Self::FeedForwardNormWeight
            | Self::FeedForwardNormBias
            | Self::FeedForwardOutputNormWeight
            | Self::FeedForwardOutputNormBias
            | Self::OutputBias
            | Self::DownBias => vec![hidden],
            Self::QueryWeight | Self::PositionKeyWeight | Self::PositionQueryWeight => vec![queries, hidden],
            Self::QueryBias | Self::PositionQueryBias => vec![queries],
            Self::KeyWeight | Self::ValueWeight => vec![keys, hidden],
            Self::KeyBias | Self::ValueBias => vec![keys],
            Self::OutputWeight => vec![hidden, queries],
            Self::QueryNormWeight => vec![normed(queries)],
            Self::KeyNormWeight => vec![normed(keys)],
            Self::GateWeight | Self::UpWeight | Self::ExpertGateWeight(_) | Self::ExpertUpWeight(_) => {
                vec![inner, hidden]
            }
            Self::GateBias | Self::UpBias => vec![inner],
            Self::DownWeight | Self::ExpertDownWeight(_) => vec![hidden, inner],
            Self::RouterWeight => match block.feed_forward {
                FeedForward::Mixture { experts, .. } => vec![experts, hidden],
                FeedForward::Plain(_) | FeedForward::Gated(_) => vec![1, hidden],
            },
        }
    }
}

/// A tensor outside the blocks, by its role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ModelTensor {
    /// `[vocab_size, embedding_size]`.
    WordEmbeddings,
    /// `[rows, embedding_size]`.
    PositionEmbeddings,
    /// `[types, embedding_size]`.
    TokenTypeEmbeddings,
    /// Norm of the embeddings.
    EmbeddingNormWeight,
    /// Its bias.
    EmbeddingNormBias,
    /// `[hidden_size, embedding_size]`.
    EmbeddingProjectionWeight,
    /// Its bias.
    EmbeddingProjectionBias,
    /// Norm after the last block.
    FinalNormWeight,
    /// Its bias.
    FinalNormBias,
    /// After the last block (OPT-350m).
    OutputProjectionWeight,
    /// MPNet: `[num_buckets, num_heads]`, shared by all blocks.
    RelativeBias,
    /// DeBERTa: `[rows, hidden_size]`, shared by all blocks.
    RelativeEmbeddings,
    /// Norm of that table.
    RelativeNormWeight,
    /// Its bias.
    RelativeNormBias,
    /// DeBERTa v2: `[hidden_size, hidden_size / groups, kernel_size]`.
    ConvolutionWeight,
    /// Its bias.
    ConvolutionBias,
    /// Norm of the convolution branch.
    ConvolutionNormWeight,
    /// Its bias.
    ConvolutionNormBias,
}

impl ModelTensor {
    /// Shape in a model of this specification; `None` for a part that it does not have.
    pub fn shape(self, model: &ModelSpec) -> Option<Vec<usize>> {
        let hidden = model.hidden_size;
        let embeddings = &model.embeddings;
        let width = embeddings.embedding_size;
        let summed = match embeddings.projection.map(|projection| projection.place) {
            Some(ProjectionPlace::Words) => hidden,
            Some(ProjectionPlace::Sum) | None => width,
        };
        Some(match self {
            Self::WordEmbeddings => vec![embeddings.vocab_size, width],
            Self::PositionEmbeddings => vec![embeddings.positions?.rows, summed],
            Self::TokenTypeEmbeddings => vec![embeddings.token_types?, summed],
            Self::EmbeddingNormWeight | Self::EmbeddingNormBias => vec![summed],
            Self::EmbeddingProjectionWeight => vec![hidden, width],
            Self::OutputProjectionWeight => vec![model.output_projection?, hidden],
            Self::RelativeBias => match model.blocks.first()?.position {
                Position::RelativeBias(buckets) => {
                    vec![buckets.num_buckets, model.blocks.first()?.attention.num_heads]
                }
                _ => return None,
            },
            Self::RelativeEmbeddings => vec![model.relative?.rows, hidden],
            Self::ConvolutionWeight => {
                let convolution = model.convolution?;
                vec![hidden, hidden / convolution.groups, convolution.kernel_size]
            }
            Self::EmbeddingProjectionBias
            | Self::FinalNormWeight
            | Self::FinalNormBias
            | Self::RelativeNormWeight
            | Self::RelativeNormBias
            | Self::ConvolutionBias
            | Self::ConvolutionNormWeight
            | Self::ConvolutionNormBias => vec![hidden],
        })
    }
}

/// Where a tensor stands in a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Name without the model's prefix.
    pub name: String,
    /// The checkpoint holds it as `[in, out]` (GPT-2's `Conv1D`); `rows` count after transposing.
    pub transpose: bool,
    /// The rows (of the first axis, after transposing) that belong to it, in order; `None`: all.
    pub rows: Option<Vec<Range<usize>>>,
}

impl Source {
    /// The whole tensor of this name.
    pub fn whole(name: impl Into<String>) -> Self {
        Self { name: name.into(), transpose: false, rows: None }
    }

    /// One run of rows of a fused tensor.
    pub fn run(name: impl Into<String>, rows: Range<usize>) -> Self {
        Self::rows(name, Vec::from([rows]))
    }

    /// Some rows of a fused tensor.
    pub fn rows(name: impl Into<String>, rows: Vec<Range<usize>>) -> Self {
        Self { name: name.into(), transpose: false, rows: Some(rows) }
    }
}

/// Roles and places of all tensors of a model.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TensorTable {
    /// Prefixes that checkpoints of the family carry, tried in order; the empty one included.
    pub prefixes: Vec<&'static str>,
    /// What the names of all blocks' tensors begin with (`layers.`), after the prefix.
    pub block_prefix: &'static str,
    /// Outside the blocks.
    pub model: Vec<(ModelTensor, Source)>,
    /// One list a block.
    pub blocks: Vec<Vec<(BlockTensor, Source)>>,
}
