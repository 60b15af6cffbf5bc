//! Qwen3, the dense models: heads of a width of their own, each query and key head normalised.
//! Paper: Yang et al., "Qwen3 Technical Report", 2025. Reference:
//! `models/qwen3/modeling_qwen3.py` of transformers.
//! Not supported: `rope_scaling` of type `dynamic`; the mixtures of experts (`qwen3_moe`).

use serde::Deserialize;
use serde_json::Value;

use super::Described;
use super::config::{Family, StandardSizes};
use super::defaults::{decoder, decoder_block};
use super::llama::{ATTENTION, FEED_FORWARD, OUTPUT_BIAS, PRE_NORMS, QK_NORMS, QKV_BIASES, listed, silu};
use super::qwen2::{Windows, eps, key_value_heads};
use super::rope::{STANDARD, rotary};
use crate::models::error::Error;
use crate::models::spec::{FeedForward, NormKind, Position, QkNorm};

#[derive(Deserialize)]
struct Config {
    #[serde(flatten)]
    sizes: StandardSizes,
    #[serde(default = "key_value_heads")]
    num_key_value_heads: Option<usize>,
    #[serde(default = "head_dim")]
    head_dim: usize,
    #[serde(default = "silu")]
    hidden_act: String,
    #[serde(default = "eps")]
    rms_norm_eps: f64,
    #[serde(default)]
    attention_bias: bool,
    #[serde(flatten)]
    windows: Windows,
    pad_token_id: Option<i64>,
}

fn head_dim() -> usize {
    128
}

pub(super) fn read(config: &Value) -> Result<Described, Error> {
    let family = Family("qwen3");
    let c: Config = family.parse(config)?;
    let sizes = family.sizes(&c.sizes, c.num_key_value_heads, Some(c.head_dim))?;
    let norm = family.norm(NormKind::RmsNorm, "rms_norm_eps", c.rms_norm_eps)?;
    let feed_forward = FeedForward::Gated(family.activation("hidden_act", &c.hidden_act)?);
    let position = Position::Rotary(rotary(family, config, &sizes, STANDARD)?);
    let mut block = decoder_block(&sizes, norm, feed_forward, position);
    block.attention.qk_norm = QkNorm::PerHead(norm);
    let windows = c.windows.of_layers(family, &sizes)?;
    let blocks = windows.into_iter().map(|window| block.clone().with_window(window)).collect();
    let padding = family.padding(c.pad_token_id, sizes.vocab)?;
    let spec = decoder(family.0, &sizes, padding, blocks, norm);
    let tensors = listed(
        &sizes,
        &[
            (true, &PRE_NORMS),
            (true, &ATTENTION),
            (c.attention_bias, &QKV_BIASES),
            (c.attention_bias, &OUTPUT_BIAS),
            (true, &QK_NORMS),
            (true, &FEED_FORWARD),
        ],
    );
    Ok((spec, tensors))
}
