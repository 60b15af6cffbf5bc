//! Gemma 3, the language models: Gemma 2 without caps, with norms of query and key heads; five of
//! six layers have a window and a rotary base of their own, the sixth sees everything with scaled
//! positions. Paper: Gemma Team, "Gemma 3 Technical Report", 2025. Reference:
//! `models/gemma3/modeling_gemma3.py` of transformers.
//! Not supported: `use_bidirectional_attention`; the multimodal models (`gemma3`).

use serde::Deserialize;
use serde_json::Value;

use super::Described;
use super::config::Family;
use super::defaults::decoder;
use super::gemma::scaled;
use super::gemma2::Shared;
use super::rope::{Dialect, STANDARD, rotary};
use crate::models::error::Error;
use crate::models::spec::{BlockSpec, Position, QkNorm};

#[derive(Deserialize)]
struct Config {
    #[serde(flatten)]
    shared: Shared,
    attn_logit_softcapping: Option<f64>,
    #[serde(default = "pattern")]
    sliding_window_pattern: usize,
}

fn pattern() -> usize {
    6
}

const GLOBAL: Dialect =
    Dialect { layer_type: Some("full_attention"), theta: ("rope_theta", 1e6), ..STANDARD };

const LOCAL: Dialect = Dialect {
    layer_type: Some("sliding_attention"),
    theta: ("rope_local_base_freq", 10_000.0),
    scaled: false,
    ..STANDARD
};

pub(super) fn read(config: &Value) -> Result<Described, Error> {
    let family = Family("gemma3_text");
    let c: Config = family.parse(config)?;
    let (sizes, norm, padding, mut block) = c.shared.check(family, c.attn_logit_softcapping)?;
    block.attention.qk_norm = QkNorm::PerHead(norm);
    let window = family.past_window("sliding_window", c.shared.sliding_window)?;
    let pattern = family.rows(("sliding_window_pattern", c.sliding_window_pattern))?;
    let windowed = |layer: usize| !(layer + 1).is_multiple_of(pattern);
    let sliding = family.sliding(c.shared.layer_types.as_deref(), sizes.layers, windowed)?;
    let global = Position::Rotary(rotary(family, config, &sizes, GLOBAL)?);
    let local = Position::Rotary(rotary(family, config, &sizes, LOCAL)?);
    let blocks = sliding
        .into_iter()
        .map(|sliding| {
            let position = if sliding { local.clone() } else { global.clone() };
            BlockSpec { position, ..block.clone() }.with_window(window.filter(|_| sliding))
        })
        .collect();
    let spec = scaled(decoder(family.0, &sizes, padding, blocks, norm));
    Ok((spec, c.shared.tensors(&sizes, true)))
}
