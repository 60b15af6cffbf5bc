//! BERT: learned positions and token types, norms after the residual sums. Paper: Devlin et al.,
//! "BERT: Pre-training of Deep Bidirectional Transformers for Language Understanding", 2019.
//! Reference: `models/bert/modeling_bert.py` of transformers. bert-base-uncased on the Hub spells
//! its norms `LayerNorm.gamma` and `LayerNorm.beta`.
//! Not supported: `is_decoder`, `add_cross_attention`, relative `position_embedding_type`s.

use serde::Deserialize;
use serde_json::Value;

use super::Described;
use super::config::{Family, Sizes, StandardSizes};
use super::defaults::{blocks, counted_positions, encoder, encoder_block, named, outside};
use super::falcon::gelu;
use crate::models::error::Error;
use crate::models::spec::{EmbeddingSpec, ModelSpec, NormKind, PositionTable};
use crate::models::tensors::{BlockTensor as T, ModelTensor, TensorTable};

/// What BERT, RoBERTa, XLM-R, ELECTRA and MPNet have in common.
#[derive(Deserialize)]
pub(super) struct Config {
    #[serde(flatten)]
    sizes: StandardSizes,
    pub(super) max_position_embeddings: usize,
    #[serde(default = "types")]
    type_vocab_size: usize,
    #[serde(default = "gelu")]
    hidden_act: String,
    #[serde(default = "eps")]
    layer_norm_eps: f64,
    #[serde(default = "dropout")]
    hidden_dropout_prob: f64,
    #[serde(default = "dropout")]
    attention_probs_dropout_prob: f64,
    position_embedding_type: Option<String>,
    #[serde(default)]
    is_decoder: bool,
    #[serde(default)]
    add_cross_attention: bool,
}

/// The id of padding: absent means 0.
#[derive(Deserialize)]
struct Padding {
    #[serde(default = "padding")]
    pad_token_id: Option<i64>,
}

#[expect(clippy::unnecessary_wraps, reason = "the default of an optional field")]
pub(super) fn padding() -> Option<i64> {
    Some(0)
}

fn types() -> usize {
    2
}

pub(super) fn eps() -> f64 {
    1e-12
}

pub(super) fn dropout() -> f64 {
    0.1
}

/// Query, key and value projections, and those after attention and in the feed-forward.
const BLOCK: [(T, &str); 8] = [
    (T::QueryWeight, "attention.self.query.weight"),
    (T::QueryBias, "attention.self.query.bias"),
    (T::KeyWeight, "attention.self.key.weight"),
    (T::KeyBias, "attention.self.key.bias"),
    (T::ValueWeight, "attention.self.value.weight"),
    (T::ValueBias, "attention.self.value.bias"),
    (T::OutputWeight, "attention.output.dense.weight"),
    (T::OutputBias, "attention.output.dense.bias"),
];

/// The norm after attention.
pub(super) const ATTENTION_NORM: [(T, &str); 2] = [
    (T::AttentionOutputNormWeight, "attention.output.LayerNorm.weight"),
    (T::AttentionOutputNormBias, "attention.output.LayerNorm.bias"),
];

/// Feed-forward and its norm (DeBERTa and MPNet name them the same).
pub(super) const FEED_FORWARD: [(T, &str); 6] = [
    (T::UpWeight, "intermediate.dense.weight"),
    (T::UpBias, "intermediate.dense.bias"),
    (T::DownWeight, "output.dense.weight"),
    (T::DownBias, "output.dense.bias"),
    (T::FeedForwardOutputNormWeight, "output.LayerNorm.weight"),
    (T::FeedForwardOutputNormBias, "output.LayerNorm.bias"),
];

/// Words and the norm of the sum.
pub(super) const EMBEDDINGS: [(ModelTensor, &str); 3] = [
    (ModelTensor::WordEmbeddings, "embeddings.word_embeddings.weight"),
    (ModelTensor::EmbeddingNormWeight, "embeddings.LayerNorm.weight"),
    (ModelTensor::EmbeddingNormBias, "embeddings.LayerNorm.bias"),
];

/// Absolute positions.
pub(super) const POSITIONS: [(ModelTensor, &str); 1] =
    [(ModelTensor::PositionEmbeddings, "embeddings.position_embeddings.weight")];

/// Token types.
pub(super) const TYPES: [(ModelTensor, &str); 1] =
    [(ModelTensor::TokenTypeEmbeddings, "embeddings.token_type_embeddings.weight")];

impl Config {
    /// Checks the configuration and builds the model with these positions.
    pub(super) fn build(
        &self,
        family: Family,
        padding_id: Option<i64>,
        positions: impl FnOnce(usize) -> PositionTable,
    ) -> Result<(ModelSpec, Sizes), Error> {
        let kind = self.position_embedding_type.as_deref().unwrap_or("absolute");
        family.only("position_embedding_type", kind, "absolute")?;
        family.only("is_decoder", self.is_decoder, false)?;
        family.only("add_cross_attention", self.add_cross_attention, false)?;
        let sizes = family.sizes(&self.sizes, None, None)?;
        let norm = family.norm(NormKind::LayerNorm, "layer_norm_eps", self.layer_norm_eps)?;
        let activation = family.activation("hidden_act", &self.hidden_act)?;
        let hidden = family.probability("hidden_dropout_prob", self.hidden_dropout_prob)?;
        let attention =
            family.probability("attention_probs_dropout_prob", self.attention_probs_dropout_prob)?;
        let block = encoder_block(&sizes, norm, activation, attention);
        let padding = family.padding(padding_id, sizes.vocab)?;
        let base = encoder(family.0, &sizes, padding, &block, hidden);
        let rows = family.rows(("max_position_embeddings", self.max_position_embeddings))?;
        let types = family.rows(("type_vocab_size", self.type_vocab_size))?;
        let embeddings =
            EmbeddingSpec { token_types: Some(types), positions: Some(positions(rows)), ..base.embeddings };
        Ok((ModelSpec { embeddings, ..base }, sizes))
    }
}

/// The names of a model of this layout.
pub(super) fn table(prefix: &'static str, sizes: &Sizes) -> TensorTable {
    TensorTable {
        prefixes: vec![prefix, ""],
        block_prefix: "encoder.layer.",
        model: [outside(&EMBEDDINGS), outside(&POSITIONS), outside(&TYPES)].concat(),
        blocks: blocks(sizes.layers, "encoder.layer.", |_, prefix| {
            [named(prefix, &BLOCK), named(prefix, &ATTENTION_NORM), named(prefix, &FEED_FORWARD)].concat()
        }),
    }
}

pub(super) fn read(config: &Value) -> Result<Described, Error> {
    let family = Family("bert");
    let c: Config = family.parse(config)?;
    let padding: Padding = family.parse(config)?;
    let (spec, sizes) = c.build(family, padding.pad_token_id, counted_positions)?;
    Ok((spec, table("bert.", &sizes)))
}
