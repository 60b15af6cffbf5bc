//! OLMo 2: norms stand on the outputs of attention and feed-forward only, and on whole rows of
//! queries and keys. Paper: OLMo Team, "2 OLMo 2 Furious", 2025. Reference:
//! `models/olmo2/modeling_olmo2.py` of transformers.
//! Not supported: `rope_scaling` of type `dynamic`; OLMo 1 and the mixtures of experts.

use serde::Deserialize;
use serde_json::Value;

use super::Described;
use super::config::{Family, StandardSizes};
use super::defaults::{decoder, decoder_block};
use super::llama::{ATTENTION, FEED_FORWARD, OUTPUT_BIAS, QK_NORMS, QKV_BIASES, listed, silu};
use super::rope::{STANDARD, rotary};
use crate::models::error::Error;
use crate::models::spec::{BlockSpec, FeedForward, NormKind, Placement, Position, QkNorm};
use crate::models::tensors::BlockTensor;

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
    #[serde(default = "padding")]
    pad_token_id: Option<i64>,
}

fn eps() -> f64 {
    1e-5
}

#[expect(clippy::unnecessary_wraps, reason = "the default of an optional field")]
fn padding() -> Option<i64> {
    Some(1)
}

const NORMS: [(BlockTensor, &str); 2] = [
    (BlockTensor::AttentionOutputNormWeight, "post_attention_layernorm.weight"),
    (BlockTensor::FeedForwardOutputNormWeight, "post_feedforward_layernorm.weight"),
];

pub(super) fn read(config: &Value) -> Result<Described, Error> {
    let family = Family("olmo2");
    let c: Config = family.parse(config)?;
    let sizes = family.sizes(&c.sizes, c.num_key_value_heads, c.head_dim)?;
    let norm = family.norm(NormKind::RmsNorm, "rms_norm_eps", c.rms_norm_eps)?;
    let feed_forward = FeedForward::Gated(family.activation("hidden_act", &c.hidden_act)?);
    let position = Position::Rotary(rotary(family, config, &sizes, STANDARD)?);
    let base = decoder_block(&sizes, norm, feed_forward, position);
    let mut block = BlockSpec { placement: Placement::Output, attention_norm: false, ..base };
    block.attention.qk_norm = QkNorm::Whole(norm);
    let padding = family.padding(c.pad_token_id, sizes.vocab)?;
    let spec = decoder(family.0, &sizes, padding, vec![block; sizes.layers], norm);
    let tensors = listed(
        &sizes,
        &[
            (true, &NORMS),
            (true, &ATTENTION),
            (c.attention_bias, &QKV_BIASES),
            (c.attention_bias, &OUTPUT_BIAS),
            (true, &QK_NORMS),
            (true, &FEED_FORWARD),
        ],
    );
    Ok((spec, tensors))
}
