//! What decoders and encoders are unless their family says otherwise, and how tables of names
//! become sources. A family starts from these and overrides what differs.

use std::ops::Range;

use super::config::Sizes;
use crate::models::spec::{
    Activation, AttentionSpec, BlockSpec, DropoutSites, EmbeddingSpec, FeedForward, ModelSpec, Norm,
    Placement, Position, PositionStart, PositionTable, QkNorm, Residual,
};
use crate::models::tensors::{BlockTensor, ModelTensor, Source};

/// Attention of plain heads: scores divided by the root of the head's width.
pub(super) fn attention(sizes: &Sizes) -> AttentionSpec {
    AttentionSpec {
        num_heads: sizes.heads,
        num_kv_heads: sizes.kv_heads,
        head_dim: sizes.head_dim,
        scale: inverse_root(sizes.head_dim as f64),
        soft_cap: None,
        qk_norm: QkNorm::None,
        window: None,
        dropout: 0.0,
    }
}

/// 1 / sqrt(x), rounded once.
pub(super) fn inverse_root(x: f64) -> f32 {
    (1.0 / x.sqrt()) as f32
}

/// A decoder's block: norms before attention and feed-forward, residuals in sequence.
pub(super) fn decoder_block(
    sizes: &Sizes,
    norm: Norm,
    feed_forward: FeedForward,
    position: Position,
) -> BlockSpec {
    BlockSpec {
        hidden_size: sizes.hidden,
        intermediate_size: sizes.intermediate,
        norm,
        placement: Placement::Pre,
        attention_norm: true,
        residual: Residual::Sequential,
        attention: attention(sizes),
        position,
        feed_forward,
    }
}

/// An encoder's block: norms after the residual sums, a plain feed-forward, no positions of its own.
pub(super) fn encoder_block(sizes: &Sizes, norm: Norm, activation: Activation, dropout: f32) -> BlockSpec {
    BlockSpec {
        placement: Placement::Post,
        attention_norm: false,
        attention: AttentionSpec { dropout, ..attention(sizes) },
        ..decoder_block(sizes, norm, FeedForward::Plain(activation), Position::None)
    }
}

/// A decoder: words, blocks, a norm. No dropout: its layers are studied frozen, without noise.
pub(super) fn decoder(
    model_type: &str,
    sizes: &Sizes,
    padding_id: Option<u32>,
    blocks: Vec<BlockSpec>,
    norm: Norm,
) -> ModelSpec {
    ModelSpec {
        model_type: model_type.to_owned(),
        hidden_size: sizes.hidden,
        embeddings: EmbeddingSpec {
            vocab_size: sizes.vocab,
            embedding_size: sizes.hidden,
            scale: None,
            token_types: None,
            positions: None,
            norm: None,
            projection: None,
            padding_id,
            mask_padding: false,
        },
        blocks,
        shared_blocks: false,
        final_norm: Some(norm),
        output_projection: None,
        causal: true,
        relative: None,
        convolution: None,
        hidden_dropout: 0.0,
        dropout_sites: DropoutSites::NONE,
    }
}

/// An encoder: words with a norm of their own, blocks, nothing after them.
pub(super) fn encoder(
    model_type: &str,
    sizes: &Sizes,
    padding_id: Option<u32>,
    block: &BlockSpec,
    hidden_dropout: f32,
) -> ModelSpec {
    let base = decoder(model_type, sizes, padding_id, vec![block.clone(); sizes.layers], block.norm);
    ModelSpec {
        embeddings: EmbeddingSpec { norm: Some(block.norm), ..base.embeddings },
        final_norm: None,
        causal: false,
        hidden_dropout,
        dropout_sites: DropoutSites::ALL,
        ..base
    }
}

/// Learned positions that count from the text's first token.
pub(super) fn counted_positions(rows: usize) -> PositionTable {
    PositionTable { rows, start: PositionStart::Offset(0) }
}

/// Learned positions that count real tokens from the row after padding's.
pub(super) fn positions_after_padding(rows: usize, padding_id: u32) -> PositionTable {
    PositionTable { rows, start: PositionStart::AfterPadding(padding_id as usize) }
}

/// One list of sources a block, each name below `prefix` and the block's number.
pub(super) fn blocks(
    layers: usize,
    prefix: &str,
    of_block: impl Fn(usize, &str) -> Vec<(BlockTensor, Source)>,
) -> Vec<Vec<(BlockTensor, Source)>> {
    (0..layers).map(|layer| of_block(layer, &format!("{prefix}{layer}."))).collect()
}

/// Roles and names below a prefix, each a tensor of its own.
pub(super) fn named<Role: Copy>(prefix: &str, names: &[(Role, &str)]) -> Vec<(Role, Source)> {
    names.iter().map(|(role, name)| (*role, Source::whole(format!("{prefix}{name}")))).collect()
}

/// Roles and names outside the blocks.
pub(super) fn outside(names: &[(ModelTensor, &str)]) -> Vec<(ModelTensor, Source)> {
    named("", names)
}

/// Rows of queries, keys and values in a fused projection of `groups` equal groups, each of which
/// holds these numbers of query, key and value heads one after the other.
pub(super) fn fused_rows(groups: usize, heads: [usize; 3], head_dim: usize) -> [Vec<Range<usize>>; 3] {
    let group = heads.iter().sum::<usize>() * head_dim;
    let mut before = 0;
    heads.map(|count| {
        let (start, length) = (before, count * head_dim);
        before += length;
        (0..groups).map(|index| index * group + start..index * group + start + length).collect()
    })
}

/// Queries, keys and values as rows of one tensor, and of its bias.
pub(super) fn fused_qkv(
    weight: &str,
    bias: Option<&str>,
    transpose: bool,
    rows: &[Vec<Range<usize>>; 3],
) -> Vec<(BlockTensor, Source)> {
    use BlockTensor as T;
    let weights = [T::QueryWeight, T::KeyWeight, T::ValueWeight];
    let biases = [T::QueryBias, T::KeyBias, T::ValueBias];
    let mut sources = Vec::new();
    for (role, rows) in weights.into_iter().zip(rows) {
        sources.push((role, Source { transpose, ..Source::rows(weight, rows.clone()) }));
    }
    for (role, rows) in biases.into_iter().zip(rows) {
        sources.extend(bias.map(|bias| (role, Source::rows(bias, rows.clone()))));
    }
    sources
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fused_rows_follow_the_order_of_groups_and_heads() {
        // Phi-3, Falcon 7B: all q, all k, all v
        let one = |run: Range<usize>| Vec::from([run]);
        assert_eq!(fused_rows(1, [4, 1, 1], 8), [one(0..32), one(32..40), one(40..48)]);
        // GPT-NeoX, BLOOM, DeBERTa: q, k, v of every head
        let [q, k, v] = fused_rows(2, [1, 1, 1], 3);
        assert_eq!((q, k, v), (vec![0..3, 9..12], vec![3..6, 12..15], vec![6..9, 15..18]));
        // Falcon 40B: two queries, k, v of every key-value head
        let [q, k, v] = fused_rows(2, [2, 1, 1], 8);
        assert_eq!((q, k, v), (vec![0..16, 32..48], vec![16..24, 48..56], vec![24..32, 56..64]));
    }
}
