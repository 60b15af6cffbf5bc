//! Qwen2 and Qwen2.5: Llama's block with biases on queries, keys and values. Paper: Yang et al.,
//! "Qwen2 Technical Report", 2024. Reference: `models/qwen2/modeling_qwen2.py` of transformers.
//! With `use_sliding_window`, layers from `max_window_layers` on have a window.
//! Not supported: `rope_scaling` of type `dynamic`.

use serde::Deserialize;
use serde_json::Value;

use super::Described;
use super::config::{Family, Sizes, StandardSizes};
use super::defaults::{decoder, decoder_block};
use super::llama::{ATTENTION, FEED_FORWARD, PRE_NORMS, QKV_BIASES, listed, silu};
use super::rope::{STANDARD, rotary};
use crate::models::error::Error;
use crate::models::spec::{FeedForward, NormKind, Position, Window};

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
    #[serde(flatten)]
    windows: Windows,
    pad_token_id: Option<i64>,
}

/// The windows of Qwen2 and Qwen3.
#[derive(Deserialize)]
pub(super) struct Windows {
    #[serde(default)]
    use_sliding_window: bool,
    #[serde(default = "window")]
    sliding_window: Option<usize>,
    #[serde(default = "first_windowed_layer")]
    max_window_layers: usize,
    layer_types: Option<Vec<String>>,
}

/// Absent means 32, null means as many as heads.
#[expect(clippy::unnecessary_wraps, reason = "the default of an optional field")]
pub(super) fn key_value_heads() -> Option<usize> {
    Some(32)
}

pub(super) fn eps() -> f64 {
    1e-6
}

#[expect(clippy::unnecessary_wraps, reason = "the default of an optional field")]
fn window() -> Option<usize> {
    Some(4096)
}

fn first_windowed_layer() -> usize {
    28
}

impl Windows {
    /// The window of every layer.
    pub(super) fn of_layers(&self, family: Family, sizes: &Sizes) -> Result<Vec<Option<Window>>, Error> {
        let size = self.sliding_window.filter(|_| self.use_sliding_window);
        let window = family.past_window("sliding_window", size)?;
        let windowed = |layer| window.is_some() && layer >= self.max_window_layers;
        let sliding = family.sliding(self.layer_types.as_deref(), sizes.layers, windowed)?;
        if window.is_none() && sliding.contains(&true) {
            let expected = "a `sliding_window` with `use_sliding_window` beside `sliding_attention`";
            return Err(family.bad("layer_types", &"sliding_attention", expected));
        }
        Ok(sliding.into_iter().map(|sliding| window.filter(|_| sliding)).collect())
    }
}

pub(super) fn read(config: &Value) -> Result<Described, Error> {
    let family = Family("qwen2");
    let c: Config = family.parse(config)?;
    let sizes = family.sizes(&c.sizes, c.num_key_value_heads, c.head_dim)?;
    let norm = family.norm(NormKind::RmsNorm, "rms_norm_eps", c.rms_norm_eps)?;
    let feed_forward = FeedForward::Gated(family.activation("hidden_act", &c.hidden_act)?);
    let position = Position::Rotary(rotary(family, config, &sizes, STANDARD)?);
    let block = decoder_block(&sizes, norm, feed_forward, position);
    let windows = c.windows.of_layers(family, &sizes)?;
    let blocks = windows.into_iter().map(|window| block.clone().with_window(window)).collect();
    let padding = family.padding(c.pad_token_id, sizes.vocab)?;
    let spec = decoder(family.0, &sizes, padding, blocks, norm);
    let lists: [(bool, &[_]); 4] =
        [(true, &PRE_NORMS), (true, &ATTENTION), (true, &QKV_BIASES), (true, &FEED_FORWARD)];
    Ok((spec, listed(&sizes, &lists)))
}
