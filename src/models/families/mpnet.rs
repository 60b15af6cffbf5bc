//! MPNet: BERT's blocks with a T5-like table of relative biases shared by all of them, positions as
//! RoBERTa's, no token types. Paper: Song et al., "MPNet: Masked and Permuted Pre-training for
//! Language Understanding", 2020. Reference: `models/mpnet/modeling_mpnet.py` of transformers,
//! which fixes the padding id to 1 and the buckets to 32 over a distance of 128.
//! Not supported: another `relative_attention_num_buckets`.

use serde::Deserialize;
use serde_json::Value;

use super::Described;
use super::bert::{Config, EMBEDDINGS, FEED_FORWARD, POSITIONS};
use super::config::Family;
use super::defaults::{blocks, named, outside, positions_after_padding};
use crate::models::error::Error;
use crate::models::spec::{EmbeddingSpec, ModelSpec, Position, RelativeBuckets};
use crate::models::tensors::{BlockTensor as T, ModelTensor, TensorTable};

const PADDING_ID: u32 = 1;

const BUCKETS: RelativeBuckets = RelativeBuckets { num_buckets: 32, max_distance: 128, bidirectional: true };

#[derive(Deserialize)]
struct Relative {
    #[serde(default = "buckets")]
    relative_attention_num_buckets: usize,
}

fn buckets() -> usize {
    BUCKETS.num_buckets
}

const ATTENTION: [(T, &str); 10] = [
    (T::QueryWeight, "attention.attn.q.weight"),
    (T::QueryBias, "attention.attn.q.bias"),
    (T::KeyWeight, "attention.attn.k.weight"),
    (T::KeyBias, "attention.attn.k.bias"),
    (T::ValueWeight, "attention.attn.v.weight"),
    (T::ValueBias, "attention.attn.v.bias"),
    (T::OutputWeight, "attention.attn.o.weight"),
    (T::OutputBias, "attention.attn.o.bias"),
    (T::AttentionOutputNormWeight, "attention.LayerNorm.weight"),
    (T::AttentionOutputNormBias, "attention.LayerNorm.bias"),
];

const RELATIVE: [(ModelTensor, &str); 1] =
    [(ModelTensor::RelativeBias, "encoder.relative_attention_bias.weight")];

pub(super) fn read(config: &Value) -> Result<Described, Error> {
    let family = Family("mpnet");
    let c: Config = family.parse(config)?;
    let relative: Relative = family.parse(config)?;
    let option = "relative_attention_num_buckets";
    family.only(option, relative.relative_attention_num_buckets, BUCKETS.num_buckets)?;
    let positions = |rows| positions_after_padding(rows, PADDING_ID);
    let (mut spec, sizes) = c.build(family, Some(i64::from(PADDING_ID)), positions)?;
    for block in &mut spec.blocks {
        block.position = Position::RelativeBias(BUCKETS);
    }
    let embeddings = EmbeddingSpec { token_types: None, ..spec.embeddings };
    let tensors = TensorTable {
        prefixes: vec!["mpnet.", ""],
        block_prefix: "encoder.layer.",
        model: [outside(&EMBEDDINGS), outside(&POSITIONS), outside(&RELATIVE)].concat(),
        blocks: blocks(sizes.layers, "encoder.layer.", |_, prefix| {
            [named(prefix, &ATTENTION), named(prefix, &FEED_FORWARD)].concat()
        }),
    };
    Ok((ModelSpec { embeddings, ..spec }, tensors))
}
