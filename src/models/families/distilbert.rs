//! DistilBERT: BERT's blocks without token types, under names of their own. Paper: Sanh et al.,
//! "DistilBERT, a distilled version of BERT", 2019. Reference:
//! `models/distilbert/modeling_distilbert.py` of transformers. Norms have a fixed epsilon of 1e-12;
//! nothing is dropped after the output projection of attention.
//! Not supported: `sinusoidal_pos_embds` (positions that do not train).

use serde::Deserialize;
use serde_json::Value;

use super::Described;
use super::bert::{EMBEDDINGS, POSITIONS, dropout, padding};
use super::config::{Family, NamedSizes};
use super::defaults::{blocks, counted_positions, encoder, encoder_block, named, outside};
use super::falcon::gelu;
use crate::models::error::Error;
use crate::models::spec::{DropoutSites, EmbeddingSpec, ModelSpec, Norm, NormKind};
use crate::models::tensors::{BlockTensor as T, TensorTable};

#[derive(Deserialize)]
struct Config {
    vocab_size: usize,
    max_position_embeddings: usize,
    dim: usize,
    hidden_dim: usize,
    n_layers: usize,
    n_heads: usize,
    #[serde(default = "gelu")]
    activation: String,
    #[serde(default = "dropout")]
    dropout: f64,
    #[serde(default = "dropout")]
    attention_dropout: f64,
    #[serde(default)]
    sinusoidal_pos_embds: bool,
    #[serde(default = "padding")]
    pad_token_id: Option<i64>,
}

const BLOCK: [(T, &str); 16] = [
    (T::QueryWeight, "attention.q_lin.weight"),
    (T::QueryBias, "attention.q_lin.bias"),
    (T::KeyWeight, "attention.k_lin.weight"),
    (T::KeyBias, "attention.k_lin.bias"),
    (T::ValueWeight, "attention.v_lin.weight"),
    (T::ValueBias, "attention.v_lin.bias"),
    (T::OutputWeight, "attention.out_lin.weight"),
    (T::OutputBias, "attention.out_lin.bias"),
    (T::AttentionOutputNormWeight, "sa_layer_norm.weight"),
    (T::AttentionOutputNormBias, "sa_layer_norm.bias"),
    (T::UpWeight, "ffn.lin1.weight"),
    (T::UpBias, "ffn.lin1.bias"),
    (T::DownWeight, "ffn.lin2.weight"),
    (T::DownBias, "ffn.lin2.bias"),
    (T::FeedForwardOutputNormWeight, "output_layer_norm.weight"),
    (T::FeedForwardOutputNormBias, "output_layer_norm.bias"),
];

pub(super) fn read(config: &Value) -> Result<Described, Error> {
    let family = Family("distilbert");
    let c: Config = family.parse(config)?;
    family.only("sinusoidal_pos_embds", c.sinusoidal_pos_embds, false)?;
    let sizes = NamedSizes {
        hidden: ("dim", c.dim),
        intermediate: ("hidden_dim", c.hidden_dim),
        layers: ("n_layers", c.n_layers),
        heads: ("n_heads", c.n_heads),
        vocab: ("vocab_size", c.vocab_size),
    };
    let sizes = family.sizes(sizes, None, None)?;
    let norm = Norm { kind: NormKind::LayerNorm, eps: 1e-12 };
    let activation = family.activation("activation", &c.activation)?;
    let attention_dropout = family.probability("attention_dropout", c.attention_dropout)?;
    let block = encoder_block(&sizes, norm, activation, attention_dropout);
    let padding = family.padding(c.pad_token_id, sizes.vocab)?;
    let base = encoder(family.0, &sizes, padding, &block, family.probability("dropout", c.dropout)?);
    let positions = counted_positions(family.rows(("max_position_embeddings", c.max_position_embeddings))?);
    let spec = ModelSpec {
        embeddings: EmbeddingSpec { positions: Some(positions), ..base.embeddings },
        dropout_sites: DropoutSites { attention: false, ..DropoutSites::ALL },
        ..base
    };
    let tensors = TensorTable {
        prefixes: vec!["distilbert.", ""],
        block_prefix: "transformer.layer.",
        model: [outside(&EMBEDDINGS), outside(&POSITIONS)].concat(),
        blocks: blocks(sizes.layers, "transformer.layer.", |_, prefix| named(prefix, &BLOCK)),
    };
    Ok((spec, tensors))
}
