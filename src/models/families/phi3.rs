//! Phi-3 and Phi-3.5 mini and medium, Phi-4 mini: Llama's block with fused projections, rotary
//! positions on part of a head, and longrope. Paper: Abdin et al., "Phi-3 Technical Report", 2024.
//! Reference: `models/phi3/modeling_phi3.py` of transformers. Rows of `qkv_proj` are all queries,
//! all keys, all values; rows of `gate_up_proj` the gate, then up.
//! Not supported: `short_mscale` and `long_mscale`; Phi-3-small and the mixtures of experts.

use serde::Deserialize;
use serde_json::Value;

use super::Described;
use super::config::{Family, StandardSizes};
use super::defaults::{decoder, decoder_block, fused_qkv, fused_rows, named};
use super::llama::{PRE_NORMS, silu, table};
use super::rope::{Dialect, STANDARD, rotary};
use crate::models::error::Error;
use crate::models::spec::{FeedForward, NormKind, Position};
use crate::models::tensors::{BlockTensor, Source};

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
    sliding_window: Option<usize>,
    #[serde(default = "padding")]
    pad_token_id: Option<i64>,
}

fn eps() -> f64 {
    1e-5
}

#[expect(clippy::unnecessary_wraps, reason = "the default of an optional field")]
fn padding() -> Option<i64> {
    Some(32_000)
}

const ROPE: Dialect =
    Dialect { partial: Some(("partial_rotary_factor", 1.0)), only_longrope: true, ..STANDARD };

const WHOLE: [(BlockTensor, &str); 2] = [
    (BlockTensor::OutputWeight, "self_attn.o_proj.weight"),
    (BlockTensor::DownWeight, "mlp.down_proj.weight"),
];

pub(super) fn read(config: &Value) -> Result<Described, Error> {
    let family = Family("phi3");
    let c: Config = family.parse(config)?;
    let sizes = family.sizes(&c.sizes, c.num_key_value_heads, c.head_dim)?;
    let norm = family.norm(NormKind::RmsNorm, "rms_norm_eps", c.rms_norm_eps)?;
    let feed_forward = FeedForward::Gated(family.activation("hidden_act", &c.hidden_act)?);
    let position = Position::Rotary(rotary(family, config, &sizes, ROPE)?);
    let mut block = decoder_block(&sizes, norm, feed_forward, position);
    block.attention.window = family.past_window("sliding_window", c.sliding_window)?;
    let padding = family.padding(c.pad_token_id, sizes.vocab)?;
    let spec = decoder(family.0, &sizes, padding, vec![block; sizes.layers], norm);

    let rows = fused_rows(1, [sizes.heads, sizes.kv_heads, sizes.kv_heads], sizes.head_dim);
    let inner = sizes.intermediate;
    let tensors = table(&sizes, |_, prefix| {
        let mut sources = named(prefix, &PRE_NORMS);
        sources.extend(fused_qkv(&format!("{prefix}self_attn.qkv_proj.weight"), None, false, &rows));
        let gate_up = format!("{prefix}mlp.gate_up_proj.weight");
        sources.push((BlockTensor::GateWeight, Source::run(&gate_up, 0..inner)));
        sources.push((BlockTensor::UpWeight, Source::run(&gate_up, inner..2 * inner)));
        sources.extend(named(prefix, &WHOLE));
        sources
    });
    Ok((spec, tensors))
}
