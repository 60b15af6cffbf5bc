//! GPT-NeoX and Pythia: two norms of the same input, branches in parallel, rotary positions on a
//! quarter of each head. Paper: Black et al., "GPT-NeoX-20B", 2022. Reference:
//! `models/gpt_neox/modeling_gpt_neox.py` of transformers. Rows of `query_key_value` are q, k, v of
//! every head.
//! Not supported: `rope_scaling` of type `dynamic`. Stored causal masks and frequencies are ignored.

use serde::Deserialize;
use serde_json::Value;

use super::Described;
use super::config::{Family, StandardSizes, yes};
use super::defaults::{blocks, decoder, decoder_block, fused_rows, named, outside};
use super::falcon::{FEED_FORWARD, FEED_FORWARD_BIASES, INPUT_NORM, SECOND_NORM, attention, gelu};
use super::rope::{Dialect, STANDARD, rotary};
use crate::models::error::Error;
use crate::models::spec::{BlockSpec, FeedForward, NormKind, Position, Residual};
use crate::models::tensors::{ModelTensor, TensorTable};

#[derive(Deserialize)]
struct Config {
    #[serde(flatten)]
    sizes: StandardSizes,
    #[serde(default = "gelu")]
    hidden_act: String,
    #[serde(default = "eps")]
    layer_norm_eps: f64,
    #[serde(default = "yes")]
    use_parallel_residual: bool,
    #[serde(default = "yes")]
    attention_bias: bool,
}

fn eps() -> f64 {
    1e-5
}

const ROPE: Dialect =
    Dialect { theta: ("rotary_emb_base", 10_000.0), partial: Some(("rotary_pct", 0.25)), ..STANDARD };

pub(super) fn read(config: &Value) -> Result<Described, Error> {
    let family = Family("gpt_neox");
    let c: Config = family.parse(config)?;
    let sizes = family.sizes(&c.sizes, None, None)?;
    let norm = family.norm(NormKind::LayerNorm, "layer_norm_eps", c.layer_norm_eps)?;
    let feed_forward = FeedForward::Plain(family.activation("hidden_act", &c.hidden_act)?);
    let position = Position::Rotary(rotary(family, config, &sizes, ROPE)?);
    let residual = if c.use_parallel_residual { Residual::ParallelTwoNorms } else { Residual::Sequential };
    let block = BlockSpec { residual, ..decoder_block(&sizes, norm, feed_forward, position) };
    let spec = decoder(family.0, &sizes, None, vec![block; sizes.layers], norm);
    let rows = fused_rows(sizes.heads, [1, 1, 1], sizes.head_dim);
    let tensors = TensorTable {
        prefixes: vec!["gpt_neox.", ""],
        block_prefix: "layers.",
        model: outside(&[
            (ModelTensor::WordEmbeddings, "embed_in.weight"),
            (ModelTensor::FinalNormWeight, "final_layer_norm.weight"),
            (ModelTensor::FinalNormBias, "final_layer_norm.bias"),
        ]),
        blocks: blocks(sizes.layers, "layers.", |_, prefix| {
            let mut sources = named(prefix, &INPUT_NORM);
            sources.extend(named(prefix, &SECOND_NORM));
            sources.extend(attention(&format!("{prefix}attention."), c.attention_bias, &rows));
            sources.extend(named(prefix, &FEED_FORWARD));
            sources.extend(named(prefix, &FEED_FORWARD_BIASES));
            sources
        }),
    };
    Ok((spec, tensors))
}
