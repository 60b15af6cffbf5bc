//! BLOOM: ALiBi, biases everywhere, a norm of the word embeddings. Paper: BigScience Workshop,
//! "BLOOM: A 176B-Parameter Open-Access Multilingual Language Model", 2022. Reference:
//! `models/bloom/modeling_bloom.py` of transformers. Rows of `query_key_value` are q, k, v of every
//! head; the activation is the tanh approximation of GELU.
//! Not supported: `apply_residual_connection_post_layernorm`. `pretraining_tp` and `slow_but_exact`
//! change no number.

use serde::Deserialize;
use serde_json::Value;

use super::Described;
use super::alibi::slopes;
use super::config::{Family, NamedSizes};
use super::defaults::{blocks, decoder, decoder_block, fused_rows, named, outside};
use super::falcon::{FEED_FORWARD, FEED_FORWARD_BIASES, INPUT_NORM, SECOND_NORM, attention};
use crate::models::error::Error;
use crate::models::spec::{Activation, Alibi, EmbeddingSpec, FeedForward, ModelSpec, NormKind, Position};
use crate::models::tensors::{ModelTensor, TensorTable};

#[derive(Deserialize)]
struct Config {
    vocab_size: usize,
    n_embed: Option<usize>,
    hidden_size: Option<usize>,
    n_layer: Option<usize>,
    num_hidden_layers: Option<usize>,
    n_head: Option<usize>,
    num_attention_heads: Option<usize>,
    #[serde(default = "eps")]
    layer_norm_epsilon: f64,
    #[serde(default)]
    apply_residual_connection_post_layernorm: bool,
}

fn eps() -> f64 {
    1e-5
}

pub(super) fn read(config: &Value) -> Result<Described, Error> {
    let family = Family("bloom");
    let c: Config = family.parse(config)?;
    let option = "apply_residual_connection_post_layernorm";
    family.only(option, c.apply_residual_connection_post_layernorm, false)?;
    let either = |first: Option<usize>, second: Option<usize>, field: &'static str| {
        let missing = || Error::MissingField { family: family.0, field: field.to_owned() };
        first.or(second).map(|value| (field, value)).ok_or_else(missing)
    };
    let hidden = either(c.n_embed, c.hidden_size, "hidden_size")?;
    let sizes = NamedSizes {
        hidden,
        intermediate: ("hidden_size", hidden.1.saturating_mul(4)),
        layers: either(c.n_layer, c.num_hidden_layers, "n_layer")?,
        heads: either(c.n_head, c.num_attention_heads, "n_head")?,
        vocab: ("vocab_size", c.vocab_size),
    };
    let sizes = family.sizes(sizes, None, None)?;
    let norm = family.norm(NormKind::LayerNorm, "layer_norm_epsilon", c.layer_norm_epsilon)?;
    let position = Position::Alibi(Alibi { slopes: slopes(sizes.heads), rounded_before_scaling: false });
    let block = decoder_block(&sizes, norm, FeedForward::Plain(Activation::GeluTanh), position);
    let base = decoder(family.0, &sizes, None, vec![block; sizes.layers], norm);
    let embeddings = EmbeddingSpec { norm: Some(norm), ..base.embeddings.clone() };
    let rows = fused_rows(sizes.heads, [1, 1, 1], sizes.head_dim);
    let tensors = TensorTable {
        prefixes: vec!["", "transformer."],
        block_prefix: "h.",
        model: outside(&[
            (ModelTensor::WordEmbeddings, "word_embeddings.weight"),
            (ModelTensor::EmbeddingNormWeight, "word_embeddings_layernorm.weight"),
            (ModelTensor::EmbeddingNormBias, "word_embeddings_layernorm.bias"),
            (ModelTensor::FinalNormWeight, "ln_f.weight"),
            (ModelTensor::FinalNormBias, "ln_f.bias"),
        ]),
        blocks: blocks(sizes.layers, "h.", |_, prefix| {
            let mut sources = named(prefix, &INPUT_NORM);
            sources.extend(named(prefix, &SECOND_NORM));
            sources.extend(attention(&format!("{prefix}self_attention."), true, &rows));
            sources.extend(named(prefix, &FEED_FORWARD));
            sources.extend(named(prefix, &FEED_FORWARD_BIASES));
            sources
        }),
    };
    Ok((ModelSpec { embeddings, ..base }, tensors))
}
