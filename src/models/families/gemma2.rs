//! Gemma 2: four norms a block, capped attention scores, every other layer with a window. Paper:
//! Gemma Team, "Gemma 2: Improving Open Language Models at a Practical Size", 2024. Reference:
//! `models/gemma2/modeling_gemma2.py` of transformers (its SDPA path of version 4.44 drops the cap).
//! Not supported: `use_bidirectional_attention`; `rope_scaling` of type `dynamic`. The cap on
//! logits stands in the language-model head, which is not part of a probe.

use serde::Deserialize;
use serde_json::Value;

use super::Described;
use super::config::{Family, Sizes, StandardSizes};
use super::defaults::{decoder, decoder_block, inverse_root};
use super::gemma::{eps, head_dim, padding, scaled};
use super::llama::{ATTENTION, FEED_FORWARD, OUTPUT_BIAS, QK_NORMS, QKV_BIASES, listed};
use super::rope::{STANDARD, rotary};
use crate::models::error::Error;
use crate::models::spec::{AttentionSpec, BlockSpec, FeedForward, Norm, NormKind, Placement, Position};
use crate::models::tensors::{BlockTensor, TensorTable};

/// What Gemma 2 and Gemma 3 have in common.
#[derive(Deserialize)]
pub(super) struct Shared {
    #[serde(flatten)]
    sizes: StandardSizes,
    #[serde(default = "key_value_heads")]
    num_key_value_heads: Option<usize>,
    #[serde(default = "head_dim")]
    head_dim: usize,
    #[serde(default = "activation")]
    hidden_activation: String,
    #[serde(default = "eps")]
    rms_norm_eps: f64,
    #[serde(default)]
    pub(super) attention_bias: bool,
    use_bidirectional_attention: Option<bool>,
    #[serde(default = "score_scalar")]
    query_pre_attn_scalar: f64,
    #[serde(default = "window")]
    pub(super) sliding_window: Option<usize>,
    pub(super) layer_types: Option<Vec<String>>,
    #[serde(default = "padding")]
    pad_token_id: Option<i64>,
}

#[derive(Deserialize)]
struct Config {
    #[serde(flatten)]
    shared: Shared,
    #[serde(default = "cap")]
    attn_logit_softcapping: Option<f64>,
}

#[expect(clippy::unnecessary_wraps, reason = "the default of an optional field")]
fn key_value_heads() -> Option<usize> {
    Some(4)
}

fn activation() -> String {
    "gelu_pytorch_tanh".to_owned()
}

fn score_scalar() -> f64 {
    256.0
}

#[expect(clippy::unnecessary_wraps, reason = "the default of an optional field")]
fn window() -> Option<usize> {
    Some(4096)
}

/// Absent means 50, null means no cap.
#[expect(clippy::unnecessary_wraps, reason = "the default of an optional field")]
fn cap() -> Option<f64> {
    Some(50.0)
}

const NORMS: [(BlockTensor, &str); 4] = [
    (BlockTensor::AttentionNormWeight, "input_layernorm.weight"),
    (BlockTensor::AttentionOutputNormWeight, "post_attention_layernorm.weight"),
    (BlockTensor::FeedForwardNormWeight, "pre_feedforward_layernorm.weight"),
    (BlockTensor::FeedForwardOutputNormWeight, "post_feedforward_layernorm.weight"),
];

impl Shared {
    /// Checked sizes, the norm, the padding id, and a block without positions and window.
    pub(super) fn check(
        &self,
        family: Family,
        cap: Option<f64>,
    ) -> Result<(Sizes, Norm, Option<u32>, BlockSpec), Error> {
        family.only(
            "use_bidirectional_attention",
            self.use_bidirectional_attention.unwrap_or(false),
            false,
        )?;
        let sizes = family.sizes(&self.sizes, self.num_key_value_heads, Some(self.head_dim))?;
        let norm = family.norm(NormKind::RmsNormPlusOne, "rms_norm_eps", self.rms_norm_eps)?;
        let scalar = family.positive("query_pre_attn_scalar", self.query_pre_attn_scalar)?;
        let cap = cap.map(|cap| family.positive("attn_logit_softcapping", cap)).transpose()?;
        let feed_forward =
            FeedForward::Gated(family.activation("hidden_activation", &self.hidden_activation)?);
        let base = decoder_block(&sizes, norm, feed_forward, Position::None);
        let attention = AttentionSpec {
            scale: inverse_root(scalar),
            soft_cap: cap.map(|cap| cap as f32),
            ..base.attention.clone()
        };
        let block = BlockSpec { placement: Placement::PrePost, attention, ..base };
        Ok((sizes, norm, family.padding(self.pad_token_id, sizes.vocab)?, block))
    }

    /// The names, with norms of query and key heads or without.
    pub(super) fn tensors(&self, sizes: &Sizes, qk_norms: bool) -> TensorTable {
        listed(
            sizes,
            &[
                (true, &NORMS),
                (true, &ATTENTION),
                (self.attention_bias, &QKV_BIASES),
                (self.attention_bias, &OUTPUT_BIAS),
                (qk_norms, &QK_NORMS),
                (true, &FEED_FORWARD),
            ],
        )
    }
}

pub(super) fn read(config: &Value) -> Result<Described, Error> {
    let family = Family("gemma2");
    let c: Config = family.parse(config)?;
    let (sizes, norm, padding, mut block) = c.shared.check(family, c.attn_logit_softcapping)?;
    block.position = Position::Rotary(rotary(family, config, &sizes, STANDARD)?);
    let window = family.past_window("sliding_window", c.shared.sliding_window)?;
    let sliding = family.sliding(c.shared.layer_types.as_deref(), sizes.layers, |layer| layer % 2 == 0)?;
    let blocks =
        sliding.into_iter().map(|sliding| block.clone().with_window(window.filter(|_| sliding))).collect();
    let spec = scaled(decoder(family.0, &sizes, padding, blocks, norm));
    Ok((spec, c.shared.tensors(&sizes, false)))
}
