//! Falcon: 7B (one norm feeds both branches, one key-value head), 40B and 180B (`ln_attn` and
//! `ln_mlp`, groups of heads), 11B (groups, one norm) and RW (ALiBi, sequential, biases). Paper:
//! Almazrouei et al., "The Falcon Series of Open Language Models", 2023. Reference:
//! `models/falcon/modeling_falcon.py` of transformers.
//! Not supported: the new decoder architecture without parallel branches; configurations under
//! the old names `RefinedWeb` and `RefinedWebModel`; `rope_scaling` of type `dynamic`.

use serde::Deserialize;
use serde_json::Value;

use super::Described;
use super::alibi::slopes;
use super::config::{Family, NamedSizes, Sizes, yes};
use super::defaults::{blocks, decoder, decoder_block, fused_qkv, fused_rows, named, outside};
use super::rope::{STANDARD, rotary};
use crate::models::error::Error;
use crate::models::spec::{Alibi, BlockSpec, FeedForward, NormKind, Position, Residual};
use crate::models::tensors::{BlockTensor as T, ModelTensor, TensorTable};

#[derive(Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "the configuration's own flags")]
struct Config {
    hidden_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    vocab_size: usize,
    num_kv_heads: Option<usize>,
    ffn_hidden_size: Option<usize>,
    num_ln_in_parallel_attn: Option<usize>,
    #[serde(default = "gelu")]
    activation: String,
    #[serde(default = "eps")]
    layer_norm_epsilon: f64,
    #[serde(default)]
    alibi: bool,
    #[serde(default)]
    bias: bool,
    #[serde(default = "yes")]
    multi_query: bool,
    #[serde(default = "yes")]
    parallel_attn: bool,
    #[serde(default)]
    new_decoder_architecture: bool,
}

pub(super) fn gelu() -> String {
    "gelu".to_owned()
}

fn eps() -> f64 {
    1e-5
}

const TWO_NORMS: [(T, &str); 4] = [
    (T::AttentionNormWeight, "ln_attn.weight"),
    (T::AttentionNormBias, "ln_attn.bias"),
    (T::FeedForwardNormWeight, "ln_mlp.weight"),
    (T::FeedForwardNormBias, "ln_mlp.bias"),
];

/// The norm before attention (BLOOM and GPT-NeoX name it the same).
pub(super) const INPUT_NORM: [(T, &str); 2] =
    [(T::AttentionNormWeight, "input_layernorm.weight"), (T::AttentionNormBias, "input_layernorm.bias")];

/// The norm before the feed-forward (BLOOM and GPT-NeoX name it the same).
pub(super) const SECOND_NORM: [(T, &str); 2] = [
    (T::FeedForwardNormWeight, "post_attention_layernorm.weight"),
    (T::FeedForwardNormBias, "post_attention_layernorm.bias"),
];

/// The feed-forward (BLOOM and GPT-NeoX name it the same).
pub(super) const FEED_FORWARD: [(T, &str); 2] =
    [(T::UpWeight, "mlp.dense_h_to_4h.weight"), (T::DownWeight, "mlp.dense_4h_to_h.weight")];

/// Its biases.
pub(super) const FEED_FORWARD_BIASES: [(T, &str); 2] =
    [(T::UpBias, "mlp.dense_h_to_4h.bias"), (T::DownBias, "mlp.dense_4h_to_h.bias")];

pub(super) fn read(config: &Value) -> Result<Described, Error> {
    let family = Family("falcon");
    let c: Config = family.parse(config)?;
    let kv_heads = match (c.new_decoder_architecture, c.multi_query) {
        (true, _) => c.num_kv_heads,
        (false, true) => Some(1),
        (false, false) => None,
    };
    let inner = c.ffn_hidden_size.unwrap_or(c.hidden_size.saturating_mul(4));
    let named = NamedSizes {
        hidden: ("hidden_size", c.hidden_size),
        intermediate: ("ffn_hidden_size", inner),
        layers: ("num_hidden_layers", c.num_hidden_layers),
        heads: ("num_attention_heads", c.num_attention_heads),
        vocab: ("vocab_size", c.vocab_size),
    };
    let sizes = family.sizes(named, kv_heads, None)?;
    let residual = residual(family, &c)?;
    let norm = family.norm(NormKind::LayerNorm, "layer_norm_epsilon", c.layer_norm_epsilon)?;
    let feed_forward = FeedForward::Plain(family.activation("activation", &c.activation)?);
    let position = if c.alibi {
        // transformers rounds the slopes before they meet a position
        let rounded = slopes(sizes.heads).into_iter().map(|slope| half::bf16::from_f32(slope).to_f32());
        Position::Alibi(Alibi { slopes: rounded.collect(), rounded_before_scaling: true })
    } else {
        Position::Rotary(rotary(family, config, &sizes, STANDARD)?)
    };
    let block = BlockSpec { residual, ..decoder_block(&sizes, norm, feed_forward, position) };
    let spec = decoder(family.0, &sizes, None, vec![block; sizes.layers], norm);
    Ok((spec, table(&c, &sizes, residual)))
}

fn residual(family: Family, c: &Config) -> Result<Residual, Error> {
    if !c.new_decoder_architecture {
        return Ok(if c.parallel_attn { Residual::Parallel } else { Residual::Sequential });
    }
    family.only("parallel_attn", c.parallel_attn, true)?;
    match c.num_ln_in_parallel_attn.unwrap_or(2) {
        1 => Ok(Residual::Parallel),
        2 => Ok(Residual::ParallelTwoNorms),
        other => Err(family.refuse("num_ln_in_parallel_attn", &other, "`1` or `2`")),
    }
}

fn table(c: &Config, sizes: &Sizes, residual: Residual) -> TensorTable {
    let rows = if c.new_decoder_architecture {
        // per key-value head: its queries, the key, the value
        fused_rows(sizes.kv_heads, [sizes.heads / sizes.kv_heads, 1, 1], sizes.head_dim)
    } else if c.multi_query {
        fused_rows(1, [sizes.heads, 1, 1], sizes.head_dim)
    } else {
        fused_rows(sizes.heads, [1, 1, 1], sizes.head_dim)
    };
    TensorTable {
        prefixes: vec!["transformer.", ""],
        block_prefix: "h.",
        model: outside(&[
            (ModelTensor::WordEmbeddings, "word_embeddings.weight"),
            (ModelTensor::FinalNormWeight, "ln_f.weight"),
            (ModelTensor::FinalNormBias, "ln_f.bias"),
        ]),
        blocks: blocks(sizes.layers, "h.", |_, prefix| {
            let mut sources = match residual {
                Residual::ParallelTwoNorms => named(prefix, &TWO_NORMS),
                Residual::Parallel | Residual::Sequential => named(prefix, &INPUT_NORM),
            };
            if residual == Residual::Sequential {
                sources.extend(named(prefix, &SECOND_NORM));
            }
            sources.extend(attention(&format!("{prefix}self_attention."), c.bias, &rows));
            sources.extend(named(prefix, &FEED_FORWARD));
            if c.bias {
                sources.extend(named(prefix, &FEED_FORWARD_BIASES));
            }
            sources
        }),
    }
}

/// `query_key_value` and `dense` (BLOOM and GPT-NeoX name them the same).
pub(super) fn attention(
    prefix: &str,
    bias: bool,
    rows: &[Vec<std::ops::Range<usize>>; 3],
) -> Vec<(T, crate::models::tensors::Source)> {
    let fused_bias = format!("{prefix}query_key_value.bias");
    let fused_bias = bias.then_some(fused_bias.as_str());
    let mut sources = fused_qkv(&format!("{prefix}query_key_value.weight"), fused_bias, false, rows);
    sources.extend(named(prefix, &[(T::OutputWeight, "dense.weight")]));
    if bias {
        sources.extend(named(prefix, &[(T::OutputBias, "dense.bias")]));
    }
    sources
}
