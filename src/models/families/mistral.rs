//! Mistral 7B and its successors of the same `model_type` (Mistral-Nemo has heads wider than
//! their share of the hidden size). Paper: Jiang et al., "Mistral 7B", 2023. Reference:
//! `models/mistral/modeling_mistral.py` of transformers.
//! Not supported: `layer_types` (transformers ignores them here), `rope_scaling` of type `dynamic`.

use serde::Deserialize;
use serde_json::Value;

use super::Described;
use super::config::{Family, StandardSizes, shortened};
use super::defaults::{decoder, decoder_block};
use super::llama::{ATTENTION, FEED_FORWARD, PRE_NORMS, listed, silu};
use super::rope::{STANDARD, rotary};
use crate::models::error::Error;
use crate::models::spec::{FeedForward, NormKind, Position};

#[derive(Deserialize)]
struct Config {
    #[serde(flatten)]
    sizes: StandardSizes,
    #[serde(default = "key_value_heads")]
    num_key_value_heads: Option<usize>,
    head_dim: Option<usize>,
    #[serde(default = "silu")]
    hidden_act: String,
    #[serde(default = "eps")]
    rms_norm_eps: f64,
    #[serde(default = "window")]
    sliding_window: Option<usize>,
    layer_types: Option<Value>,
    pad_token_id: Option<i64>,
}

/// Absent means 8, null means as many as heads.
#[expect(clippy::unnecessary_wraps, reason = "the default of an optional field")]
fn key_value_heads() -> Option<usize> {
    Some(8)
}

fn eps() -> f64 {
    1e-6
}

/// Absent means 4096, null means no window.
#[expect(clippy::unnecessary_wraps, reason = "the default of an optional field")]
fn window() -> Option<usize> {
    Some(4096)
}

pub(super) fn read(config: &Value) -> Result<Described, Error> {
    let family = Family("mistral");
    let c: Config = family.parse(config)?;
    if let Some(types) = &c.layer_types {
        return Err(family.refuse("layer_types", &shortened(types), "no such option"));
    }
    let sizes = family.sizes(&c.sizes, c.num_key_value_heads, c.head_dim)?;
    let norm = family.norm(NormKind::RmsNorm, "rms_norm_eps", c.rms_norm_eps)?;
    let feed_forward = FeedForward::Gated(family.activation("hidden_act", &c.hidden_act)?);
    let position = Position::Rotary(rotary(family, config, &sizes, STANDARD)?);
    let mut block = decoder_block(&sizes, norm, feed_forward, position);
    block.attention.window = family.past_window("sliding_window", c.sliding_window)?;
    let padding = family.padding(c.pad_token_id, sizes.vocab)?;
    let spec = decoder(family.0, &sizes, padding, vec![block; sizes.layers], norm);
    Ok((spec, listed(&sizes, &[(true, &PRE_NORMS), (true, &ATTENTION), (true, &FEED_FORWARD)])))
}
