//! DeBERTa, version 1: content and relative positions meet in the scores, positions through
//! projections of their own. Paper: He et al., "DeBERTa: Decoding-enhanced BERT with Disentangled
//! Attention", 2021. Reference: `models/deberta/modeling_deberta.py` of transformers. Rows of
//! `in_proj` are q, k, v of every head, with biases for q and v only. Rows of padding see nothing
//! (transformers 5 gives them uniform attention).
//! Not supported: `relative_attention` false, `talking_head`, an `embedding_size` of its own.

use serde::Deserialize;
use serde_json::Value;

use super::Described;
use super::bert::{ATTENTION_NORM, EMBEDDINGS, FEED_FORWARD, POSITIONS, TYPES, dropout, padding};
use super::config::{Family, MOST_ROWS, Sizes, StandardSizes, shortened, yes};
use super::defaults::{
    blocks, counted_positions, encoder, encoder_block, fused_qkv, fused_rows, inverse_root, named, outside,
};
use super::falcon::gelu;
use crate::models::error::Error;
use crate::models::spec::{
    Disentangled, DropoutSites, EmbeddingSpec, ModelSpec, NormKind, Position, RelativeTable,
};
use crate::models::tensors::{BlockTensor as T, ModelTensor, Source, TensorTable};

/// What all versions have in common.
#[derive(Deserialize)]
pub(super) struct Config {
    #[serde(flatten)]
    sizes: StandardSizes,
    max_position_embeddings: usize,
    #[serde(default = "unlimited")]
    max_relative_positions: i64,
    #[serde(default)]
    relative_attention: bool,
    #[serde(default = "yes")]
    position_biased_input: bool,
    pos_att_type: Option<Value>,
    embedding_size: Option<usize>,
    #[serde(default)]
    type_vocab_size: usize,
    #[serde(default)]
    talking_head: bool,
    #[serde(default = "gelu")]
    hidden_act: String,
    #[serde(default = "eps")]
    layer_norm_eps: f64,
    #[serde(default = "dropout")]
    hidden_dropout_prob: f64,
    #[serde(default = "dropout")]
    attention_probs_dropout_prob: f64,
    #[serde(default = "padding")]
    pad_token_id: Option<i64>,
}

fn unlimited() -> i64 {
    -1
}

fn eps() -> f64 {
    1e-7
}

/// The table of relative positions.
pub(super) const RELATIVE: [(ModelTensor, &str); 1] =
    [(ModelTensor::RelativeEmbeddings, "encoder.rel_embeddings.weight")];

impl Config {
    /// The largest distance; below 1 it is the number of positions.
    pub(super) fn farthest(&self, family: Family) -> Result<usize, Error> {
        let given = usize::try_from(self.max_relative_positions).ok().filter(|given| *given > 0);
        match given {
            Some(given) => family.size(("max_relative_positions", given), MOST_ROWS / 2),
            None => family.size(("max_position_embeddings", self.max_position_embeddings), MOST_ROWS / 2),
        }
    }

    /// Checks the configuration and builds the model with this kind of relative positions, whose
    /// two terms are set from `pos_att_type`.
    pub(super) fn build(
        &self,
        family: Family,
        relative: Disentangled,
    ) -> Result<(ModelSpec, Sizes, Disentangled), Error> {
        family.only("relative_attention", self.relative_attention, true)?;
        family.only("talking_head", self.talking_head, false)?;
        let sizes = family.sizes(&self.sizes, None, None)?;
        family.only("embedding_size", self.embedding_size.unwrap_or(sizes.hidden), sizes.hidden)?;
        let norm = family.norm(NormKind::LayerNorm, "layer_norm_eps", self.layer_norm_eps)?;
        let activation = family.activation("hidden_act", &self.hidden_act)?;
        let hidden_dropout = family.probability("hidden_dropout_prob", self.hidden_dropout_prob)?;
        let attention_dropout =
            family.probability("attention_probs_dropout_prob", self.attention_probs_dropout_prob)?;
        let (content_to_position, position_to_content) = self.terms(family)?;
        let relative = Disentangled { content_to_position, position_to_content, ..relative };
        let terms = 1 + usize::from(content_to_position) + usize::from(position_to_content);
        let mut block = encoder_block(&sizes, norm, activation, attention_dropout);
        block.attention.scale = inverse_root((sizes.head_dim * terms) as f64);
        block.position = Position::Disentangled(relative);
        let padding = family.padding(self.pad_token_id, sizes.vocab)?;
        let base = encoder(family.0, &sizes, padding, &block, hidden_dropout);
        let rows = family.rows(("max_position_embeddings", self.max_position_embeddings))?;
        let types = match self.type_vocab_size {
            0 => None,
            types => Some(family.rows(("type_vocab_size", types))?),
        };
        let spec = ModelSpec {
            embeddings: EmbeddingSpec {
                token_types: types,
                positions: self.position_biased_input.then(|| counted_positions(rows)),
                mask_padding: true,
                ..base.embeddings
            },
            relative: Some(RelativeTable { rows: 2 * relative.span, norm: None }),
            dropout_sites: DropoutSites { relative: true, ..DropoutSites::ALL },
            ..base
        };
        Ok((spec, sizes, relative))
    }

    /// Whether queries meet positions, and keys do: `c2p|p2c`, or a list of these.
    fn terms(&self, family: Family) -> Result<(bool, bool), Error> {
        let wrong = |value: &Value| family.refuse("pos_att_type", &shortened(value), "`c2p`, `p2c` or both");
        let listed: Vec<String> = match &self.pos_att_type {
            None => Vec::new(),
            Some(Value::String(joined)) => joined.split('|').map(|term| term.trim().to_lowercase()).collect(),
            Some(Value::Array(terms)) => {
                let words: Option<Vec<_>> =
                    terms.iter().map(|term| term.as_str().map(str::to_owned)).collect();
                words.ok_or_else(|| wrong(&Value::Array(terms.clone())))?
            }
            Some(other) => return Err(wrong(other)),
        };
        let (c2p, p2c) = (listed.iter().any(|term| term == "c2p"), listed.iter().any(|term| term == "p2c"));
        if listed.is_empty() || listed.len() != usize::from(c2p) + usize::from(p2c) {
            return Err(wrong(self.pos_att_type.as_ref().unwrap_or(&Value::Null)));
        }
        Ok((c2p, p2c))
    }

    /// Names outside the blocks.
    pub(super) fn outside(&self) -> Vec<(ModelTensor, Source)> {
        let mut model = [outside(&EMBEDDINGS), outside(&RELATIVE)].concat();
        if self.position_biased_input {
            model.extend(outside(&POSITIONS));
        }
        if self.type_vocab_size > 0 {
            model.extend(outside(&TYPES));
        }
        model
    }
}

/// The projection after attention.
pub(super) const OUTPUT: [(T, &str); 2] =
    [(T::OutputWeight, "attention.output.dense.weight"), (T::OutputBias, "attention.output.dense.bias")];

const BIASES: [(T, &str); 2] =
    [(T::QueryBias, "attention.self.q_bias"), (T::ValueBias, "attention.self.v_bias")];

const POSITION_KEY: [(T, &str); 1] = [(T::PositionKeyWeight, "attention.self.pos_proj.weight")];

const POSITION_QUERY: [(T, &str); 2] = [
    (T::PositionQueryWeight, "attention.self.pos_q_proj.weight"),
    (T::PositionQueryBias, "attention.self.pos_q_proj.bias"),
];

pub(super) fn read(config: &Value) -> Result<Described, Error> {
    let family = Family("deberta");
    let c: Config = family.parse(config)?;
    let span = c.farthest(family)?;
    let relative = Disentangled {
        content_to_position: true,
        position_to_content: true,
        share_projections: false,
        span,
        position_buckets: None,
        max_relative_positions: span,
        span_follows_length: true,
    };
    let (spec, sizes, relative) = c.build(family, relative)?;
    let rows = fused_rows(sizes.heads, [1, 1, 1], sizes.head_dim);
    let tensors = TensorTable {
        prefixes: vec!["deberta.", ""],
        block_prefix: "encoder.layer.",
        model: c.outside(),
        blocks: blocks(sizes.layers, "encoder.layer.", |_, prefix| {
            let fused = format!("{prefix}attention.self.in_proj.weight");
            let mut sources = fused_qkv(&fused, None, false, &rows);
            sources.extend(named(prefix, &BIASES));
            if relative.content_to_position {
                sources.extend(named(prefix, &POSITION_KEY));
            }
            if relative.position_to_content {
                sources.extend(named(prefix, &POSITION_QUERY));
            }
            sources.extend(named(prefix, &OUTPUT));
            sources.extend(named(prefix, &ATTENTION_NORM));
            sources.extend(named(prefix, &FEED_FORWARD));
            sources
        }),
    };
    Ok((spec, tensors))
}
