//! Mixtral: Mistral with a mixture of experts for its feed-forward. Paper: Jiang et al.,
//! "Mixtral of Experts", 2024. Reference: `models/mixtral/modeling_mixtral.py` of transformers.
//! On disk an expert's `w1` is the gate, `w3` the up and `w2` the down projection.
//! Not supported: `router_jitter_noise` in training; experts fused into one tensor.

use serde::Deserialize;
use serde_json::Value;

use super::Described;
use super::config::{Family, StandardSizes};
use super::defaults::{decoder, decoder_block, named};
use super::llama::{ATTENTION, PRE_NORMS, silu, table};
use super::rope::{Dialect, STANDARD, rotary};
use crate::models::error::Error;
use crate::models::spec::{FeedForward, NormKind, Position};
use crate::models::tensors::BlockTensor;

/// Bounds the table of names (three for every expert of every layer); the largest model has 448.
const MOST_EXPERTS_IN_ALL: usize = 16_384;

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
    sliding_window: Option<usize>,
    #[serde(default = "experts")]
    num_local_experts: usize,
    #[serde(default = "experts_per_token")]
    num_experts_per_tok: usize,
    #[serde(default)]
    router_jitter_noise: f64,
    pad_token_id: Option<i64>,
}

#[expect(clippy::unnecessary_wraps, reason = "the default of an optional field")]
fn key_value_heads() -> Option<usize> {
    Some(8)
}

fn eps() -> f64 {
    1e-5
}

fn experts() -> usize {
    8
}

fn experts_per_token() -> usize {
    2
}

pub(super) fn read(config: &Value) -> Result<Described, Error> {
    let family = Family("mixtral");
    let c: Config = family.parse(config)?;
    let sizes = family.sizes(&c.sizes, c.num_key_value_heads, c.head_dim)?;
    family.only("router_jitter_noise", c.router_jitter_noise, 0.0)?;
    let experts =
        family.size(("num_local_experts", c.num_local_experts), MOST_EXPERTS_IN_ALL / sizes.layers)?;
    let top_k = family.size(("num_experts_per_tok", c.num_experts_per_tok), experts)?;
    let norm = family.norm(NormKind::RmsNorm, "rms_norm_eps", c.rms_norm_eps)?;
    let activation = family.activation("hidden_act", &c.hidden_act)?;
    let dialect = Dialect { theta: ("rope_theta", 1e6), ..STANDARD };
    let position = Position::Rotary(rotary(family, config, &sizes, dialect)?);
    let feed_forward = FeedForward::Mixture { experts, top_k, activation };
    let mut block = decoder_block(&sizes, norm, feed_forward, position);
    block.attention.window = family.past_window("sliding_window", c.sliding_window)?;
    let padding = family.padding(c.pad_token_id, sizes.vocab)?;
    let spec = decoder(family.0, &sizes, padding, vec![block; sizes.layers], norm);
    let tensors = table(&sizes, |_, prefix| {
        let mut sources = named(prefix, &PRE_NORMS);
        sources.extend(named(prefix, &ATTENTION));
        sources.extend(named(prefix, &[(BlockTensor::RouterWeight, "block_sparse_moe.gate.weight")]));
        for expert in 0..experts {
            let prefix = format!("{prefix}block_sparse_moe.experts.{expert}.");
            let names = [
                (BlockTensor::ExpertGateWeight(expert), "w1.weight"),
                (BlockTensor::ExpertUpWeight(expert), "w3.weight"),
                (BlockTensor::ExpertDownWeight(expert), "w2.weight"),
            ];
            sources.extend(named(&prefix, &names));
        }
        sources
    });
    Ok((spec, tensors))
}
