//! ALBERT: one block's weights for all blocks, narrow embeddings with a projection. Paper: Lan et
//! al., "ALBERT: A Lite BERT for Self-supervised Learning of Language Representations", 2020.
//! Reference: `models/albert/modeling_albert.py` of transformers. Nothing is dropped after the
//! feed-forward.
//! Not supported: more than one group of layers (`num_hidden_groups`, `inner_group_num`).

use serde::Deserialize;
use serde_json::Value;

use super::Described;
use super::bert::{EMBEDDINGS, POSITIONS, TYPES, eps, padding};
use super::config::{Family, StandardSizes};
use super::defaults::{counted_positions, encoder, encoder_block, named, outside};
use crate::models::error::Error;
use crate::models::spec::{DropoutSites, EmbeddingSpec, ModelSpec, NormKind, Projection, ProjectionPlace};
use crate::models::tensors::{BlockTensor as T, ModelTensor, TensorTable};

#[derive(Deserialize)]
struct Config {
    #[serde(flatten)]
    sizes: StandardSizes,
    max_position_embeddings: usize,
    #[serde(default = "width")]
    embedding_size: usize,
    #[serde(default = "types")]
    type_vocab_size: usize,
    #[serde(default = "one")]
    num_hidden_groups: usize,
    #[serde(default = "one")]
    inner_group_num: usize,
    #[serde(default = "activation")]
    hidden_act: String,
    #[serde(default = "eps")]
    layer_norm_eps: f64,
    #[serde(default)]
    hidden_dropout_prob: f64,
    #[serde(default)]
    attention_probs_dropout_prob: f64,
    position_embedding_type: Option<String>,
    #[serde(default = "padding")]
    pad_token_id: Option<i64>,
}

fn width() -> usize {
    128
}

fn types() -> usize {
    2
}

fn one() -> usize {
    1
}

fn activation() -> String {
    "gelu_new".to_owned()
}

/// Where the weights of the one group stand.
const GROUP: &str = "encoder.albert_layer_groups.0.albert_layers.0.";

const BLOCK: [(T, &str); 16] = [
    (T::QueryWeight, "attention.query.weight"),
    (T::QueryBias, "attention.query.bias"),
    (T::KeyWeight, "attention.key.weight"),
    (T::KeyBias, "attention.key.bias"),
    (T::ValueWeight, "attention.value.weight"),
    (T::ValueBias, "attention.value.bias"),
    (T::OutputWeight, "attention.dense.weight"),
    (T::OutputBias, "attention.dense.bias"),
    (T::AttentionOutputNormWeight, "attention.LayerNorm.weight"),
    (T::AttentionOutputNormBias, "attention.LayerNorm.bias"),
    (T::UpWeight, "ffn.weight"),
    (T::UpBias, "ffn.bias"),
    (T::DownWeight, "ffn_output.weight"),
    (T::DownBias, "ffn_output.bias"),
    (T::FeedForwardOutputNormWeight, "full_layer_layer_norm.weight"),
    (T::FeedForwardOutputNormBias, "full_layer_layer_norm.bias"),
];

const PROJECTION: [(ModelTensor, &str); 2] = [
    (ModelTensor::EmbeddingProjectionWeight, "encoder.embedding_hidden_mapping_in.weight"),
    (ModelTensor::EmbeddingProjectionBias, "encoder.embedding_hidden_mapping_in.bias"),
];

pub(super) fn read(config: &Value) -> Result<Described, Error> {
    let family = Family("albert");
    let c: Config = family.parse(config)?;
    family.only("num_hidden_groups", c.num_hidden_groups, 1)?;
    family.only("inner_group_num", c.inner_group_num, 1)?;
    let kind = c.position_embedding_type.as_deref().unwrap_or("absolute");
    family.only("position_embedding_type", kind, "absolute")?;
    let sizes = family.sizes(&c.sizes, None, None)?;
    let norm = family.norm(NormKind::LayerNorm, "layer_norm_eps", c.layer_norm_eps)?;
    let hidden_dropout = family.probability("hidden_dropout_prob", c.hidden_dropout_prob)?;
    let attention_dropout =
        family.probability("attention_probs_dropout_prob", c.attention_probs_dropout_prob)?;
    let activation = family.activation("hidden_act", &c.hidden_act)?;
    let block = encoder_block(&sizes, norm, activation, attention_dropout);
    let padding = family.padding(c.pad_token_id, sizes.vocab)?;
    let base = encoder(family.0, &sizes, padding, &block, hidden_dropout);
    let rows = family.rows(("max_position_embeddings", c.max_position_embeddings))?;
    let spec = ModelSpec {
        embeddings: EmbeddingSpec {
            embedding_size: family.width(("embedding_size", c.embedding_size))?,
            token_types: Some(family.rows(("type_vocab_size", c.type_vocab_size))?),
            positions: Some(counted_positions(rows)),
            // there even where the widths are equal
            projection: Some(Projection { bias: true, place: ProjectionPlace::Sum }),
            ..base.embeddings
        },
        shared_blocks: true,
        dropout_sites: DropoutSites { feed_forward: false, ..DropoutSites::ALL },
        ..base
    };
    let tensors = TensorTable {
        prefixes: vec!["albert.", ""],
        block_prefix: "encoder.albert_layer_groups.",
        model: [outside(&EMBEDDINGS), outside(&POSITIONS), outside(&TYPES), outside(&PROJECTION)].concat(),
        blocks: vec![named(GROUP, &BLOCK); sizes.layers],
    };
    Ok((spec, tensors))
}
