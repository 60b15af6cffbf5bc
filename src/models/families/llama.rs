//! Llama 2 and 3, and what shares their architecture by name (SmolLM2, TinyLlama).
//! Paper: Touvron et al., "Llama 2", 2023; "The Llama 3 Herd of Models", 2024. Reference:
//! `models/llama/modeling_llama.py` of transformers.
//! Not supported: `rope_scaling` of type `dynamic`. `pretraining_tp` changes no number.

use serde::Deserialize;
use serde_json::Value;

use super::Described;
use super::config::{Family, Sizes, StandardSizes};
use super::defaults::{blocks, decoder, decoder_block, named, outside};
use super::rope::{STANDARD, rotary};
use crate::models::error::Error;
use crate::models::spec::{FeedForward, NormKind, Position};
use crate::models::tensors::{BlockTensor, ModelTensor, Source, TensorTable};

#[derive(Deserialize)]
struct Config {
    #[serde(flatten)]
    sizes: StandardSizes,
    num_key_value_heads: Option<usize>,
    head_dim: Option<usize>,
    #[serde(default = "silu")]
    hidden_act: String,
    #[serde(default = "eps")]
    rms_norm_eps: f64,
    #[serde(default)]
    attention_bias: bool,
    #[serde(default)]
    mlp_bias: bool,
    pad_token_id: Option<i64>,
}

pub(super) fn silu() -> String {
    "silu".to_owned()
}

fn eps() -> f64 {
    1e-6
}

/// Norms of a block that has one before attention and one before the feed-forward.
pub(super) const PRE_NORMS: [(BlockTensor, &str); 2] = [
    (BlockTensor::AttentionNormWeight, "input_layernorm.weight"),
    (BlockTensor::FeedForwardNormWeight, "post_attention_layernorm.weight"),
];

/// The projections of attention.
pub(super) const ATTENTION: [(BlockTensor, &str); 4] = [
    (BlockTensor::QueryWeight, "self_attn.q_proj.weight"),
    (BlockTensor::KeyWeight, "self_attn.k_proj.weight"),
    (BlockTensor::ValueWeight, "self_attn.v_proj.weight"),
    (BlockTensor::OutputWeight, "self_attn.o_proj.weight"),
];

/// Biases of queries, keys and values.
pub(super) const QKV_BIASES: [(BlockTensor, &str); 3] = [
    (BlockTensor::QueryBias, "self_attn.q_proj.bias"),
    (BlockTensor::KeyBias, "self_attn.k_proj.bias"),
    (BlockTensor::ValueBias, "self_attn.v_proj.bias"),
];

/// Bias of the output projection.
pub(super) const OUTPUT_BIAS: [(BlockTensor, &str); 1] = [(BlockTensor::OutputBias, "self_attn.o_proj.bias")];

/// Norms of query and key heads (Qwen 3, Gemma 3, OLMo 2).
pub(super) const QK_NORMS: [(BlockTensor, &str); 2] = [
    (BlockTensor::QueryNormWeight, "self_attn.q_norm.weight"),
    (BlockTensor::KeyNormWeight, "self_attn.k_norm.weight"),
];

/// The gated feed-forward.
pub(super) const FEED_FORWARD: [(BlockTensor, &str); 3] = [
    (BlockTensor::GateWeight, "mlp.gate_proj.weight"),
    (BlockTensor::UpWeight, "mlp.up_proj.weight"),
    (BlockTensor::DownWeight, "mlp.down_proj.weight"),
];

const FEED_FORWARD_BIASES: [(BlockTensor, &str); 3] = [
    (BlockTensor::GateBias, "mlp.gate_proj.bias"),
    (BlockTensor::UpBias, "mlp.up_proj.bias"),
    (BlockTensor::DownBias, "mlp.down_proj.bias"),
];

/// The names of a model of this layout, whose blocks have these tensors.
pub(super) fn table(
    sizes: &Sizes,
    of_block: impl Fn(usize, &str) -> Vec<(BlockTensor, Source)>,
) -> TensorTable {
    TensorTable {
        prefixes: vec!["model.", ""],
        block_prefix: "layers.",
        model: outside(&[
            (ModelTensor::WordEmbeddings, "embed_tokens.weight"),
            (ModelTensor::FinalNormWeight, "norm.weight"),
        ]),
        blocks: blocks(sizes.layers, "layers.", of_block),
    }
}

/// The same, from lists of names of which some are there only under a condition.
pub(super) fn listed(sizes: &Sizes, lists: &[(bool, &[(BlockTensor, &str)])]) -> TensorTable {
    table(sizes, |_, prefix| {
        lists.iter().filter(|(there, _)| *there).flat_map(|(_, names)| named(prefix, names)).collect()
    })
}

pub(super) fn read(config: &Value) -> Result<Described, Error> {
    let family = Family("llama");
    let c: Config = family.parse(config)?;
    let sizes = family.sizes(&c.sizes, c.num_key_value_heads, c.head_dim)?;
    let norm = family.norm(NormKind::RmsNorm, "rms_norm_eps", c.rms_norm_eps)?;
    let feed_forward = FeedForward::Gated(family.activation("hidden_act", &c.hidden_act)?);
    let position = Position::Rotary(rotary(family, config, &sizes, STANDARD)?);
    let block = decoder_block(&sizes, norm, feed_forward, position);
    let padding = family.padding(c.pad_token_id, sizes.vocab)?;
    let spec = decoder(family.0, &sizes, padding, vec![block; sizes.layers], norm);
    let tensors = listed(
        &sizes,
        &[
            (true, &PRE_NORMS),
            (true, &ATTENTION),
            (c.attention_bias, &QKV_BIASES),
            (c.attention_bias, &OUTPUT_BIAS),
            (true, &FEED_FORWARD),
            (c.mlp_bias, &FEED_FORWARD_BIASES),
        ],
    );
    Ok((spec, tensors))
}
