//! Gemma (the first): norms multiply by 1 + w, embeddings are scaled by the root of the hidden
//! size, the feed-forward is gated by the tanh approximation of GELU. Paper: Gemma Team, "Gemma:
//! Open Models Based on Gemini Research and Technology", 2024. Reference:
//! `models/gemma/modeling_gemma.py` of transformers.
//! Not supported: `use_bidirectional_attention`; `rope_scaling` of type `dynamic`.

use serde::Deserialize;
use serde_json::Value;

use super::Described;
use super::config::{Family, StandardSizes};
use super::defaults::{decoder, decoder_block};
use super::llama::{ATTENTION, FEED_FORWARD, OUTPUT_BIAS, PRE_NORMS, QKV_BIASES, listed};
use super::rope::{STANDARD, rotary};
use crate::models::error::Error;
use crate::models::spec::{Activation, EmbeddingSpec, FeedForward, ModelSpec, NormKind, Position};

#[derive(Deserialize)]
struct Config {
    #[serde(flatten)]
    sizes: StandardSizes,
    #[serde(default = "key_value_heads")]
    num_key_value_heads: Option<usize>,
    #[serde(default = "head_dim")]
    head_dim: usize,
    hidden_act: Option<String>,
    hidden_activation: Option<String>,
    #[serde(default = "eps")]
    rms_norm_eps: f64,
    #[serde(default)]
    attention_bias: bool,
    use_bidirectional_attention: Option<bool>,
    #[serde(default = "padding")]
    pad_token_id: Option<i64>,
}

#[expect(clippy::unnecessary_wraps, reason = "the default of an optional field")]
fn key_value_heads() -> Option<usize> {
    Some(16)
}

pub(super) fn head_dim() -> usize {
    256
}

pub(super) fn eps() -> f64 {
    1e-6
}

/// Absent means 0, null means that no row stands for padding.
#[expect(clippy::unnecessary_wraps, reason = "the default of an optional field")]
pub(super) fn padding() -> Option<i64> {
    Some(0)
}

/// The model with word embeddings scaled by the root of the hidden size.
pub(super) fn scaled(spec: ModelSpec) -> ModelSpec {
    let scale = Some((spec.hidden_size as f64).sqrt() as f32);
    ModelSpec { embeddings: EmbeddingSpec { scale, ..spec.embeddings }, ..spec }
}

pub(super) fn read(config: &Value) -> Result<Described, Error> {
    let family = Family("gemma");
    let c: Config = family.parse(config)?;
    // the first releases say `gelu` and mean the approximation; versions of transformers differ on
    // which of the two keys counts for anything else
    for (key, value) in [("hidden_activation", &c.hidden_activation), ("hidden_act", &c.hidden_act)] {
        let value = value.as_deref().unwrap_or("gelu_pytorch_tanh");
        if !(value == "gelu_pytorch_tanh" || value == "gelu" && key == "hidden_act") {
            return Err(family.refuse(key, &value, "`gelu_pytorch_tanh`"));
        }
    }
    family.only("use_bidirectional_attention", c.use_bidirectional_attention.unwrap_or(false), false)?;
    let sizes = family.sizes(&c.sizes, c.num_key_value_heads, Some(c.head_dim))?;
    let norm = family.norm(NormKind::RmsNormPlusOne, "rms_norm_eps", c.rms_norm_eps)?;
    let position = Position::Rotary(rotary(family, config, &sizes, STANDARD)?);
    let block = decoder_block(&sizes, norm, FeedForward::Gated(Activation::GeluTanh), position);
    let padding = family.padding(c.pad_token_id, sizes.vocab)?;
    let spec = scaled(decoder(family.0, &sizes, padding, vec![block; sizes.layers], norm));
    let tensors = listed(
        &sizes,
        &[
            (true, &PRE_NORMS),
            (true, &ATTENTION),
            (c.attention_bias, &QKV_BIASES),
            (c.attention_bias, &OUTPUT_BIAS),
            (true, &FEED_FORWARD),
        ],
    );
    Ok((spec, tensors))
}
