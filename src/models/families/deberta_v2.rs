//! DeBERTa, versions 2 and 3: logarithmic buckets of distances, positions through the content's
//! own projections, a norm of the relative table, and (version 2) a convolution beside the first
//! block. Papers: He et al., "DeBERTa", 2021, and "DeBERTaV3", 2023. Reference:
//! `models/deberta_v2/modeling_deberta_v2.py` of transformers.
//! Not supported: `share_att_key` false; heads wider than their share; a convolution activation of
//! tanh (transformers' default where the configuration names none).

use serde::Deserialize;
use serde_json::Value;

use super::Described;
use super::bert::{ATTENTION_NORM, FEED_FORWARD};
use super::config::{Family, MOST_ROWS, Sizes};
use super::deberta::{Config, OUTPUT};
use super::defaults::{blocks, named, outside};
use crate::models::error::Error;
use crate::models::spec::{Convolution, Disentangled, DropoutSites, ModelSpec, Norm, RelativeTable};
use crate::models::tensors::{BlockTensor as T, ModelTensor, TensorTable};

/// Taps of the convolution; published models have 3.
const MOST_TAPS: usize = 255;

#[derive(Deserialize)]
struct Version2 {
    #[serde(default = "none")]
    position_buckets: i64,
    #[serde(default = "no_norm")]
    norm_rel_ebd: String,
    #[serde(default)]
    share_att_key: bool,
    attention_head_size: Option<usize>,
    #[serde(default)]
    conv_kernel_size: i64,
    #[serde(default = "one")]
    conv_groups: usize,
    #[serde(default = "tanh")]
    conv_act: String,
}

fn none() -> i64 {
    -1
}

fn no_norm() -> String {
    "none".to_owned()
}

fn one() -> usize {
    1
}

fn tanh() -> String {
    "tanh".to_owned()
}

const ATTENTION: [(T, &str); 6] = [
    (T::QueryWeight, "attention.self.query_proj.weight"),
    (T::QueryBias, "attention.self.query_proj.bias"),
    (T::KeyWeight, "attention.self.key_proj.weight"),
    (T::KeyBias, "attention.self.key_proj.bias"),
    (T::ValueWeight, "attention.self.value_proj.weight"),
    (T::ValueBias, "attention.self.value_proj.bias"),
];

const RELATIVE_NORM: [(ModelTensor, &str); 2] = [
    (ModelTensor::RelativeNormWeight, "encoder.LayerNorm.weight"),
    (ModelTensor::RelativeNormBias, "encoder.LayerNorm.bias"),
];

const CONVOLUTION: [(ModelTensor, &str); 4] = [
    (ModelTensor::ConvolutionWeight, "encoder.conv.conv.weight"),
    (ModelTensor::ConvolutionBias, "encoder.conv.conv.bias"),
    (ModelTensor::ConvolutionNormWeight, "encoder.conv.LayerNorm.weight"),
    (ModelTensor::ConvolutionNormBias, "encoder.conv.LayerNorm.bias"),
];

pub(super) fn read(config: &Value) -> Result<Described, Error> {
    let family = Family("deberta-v2");
    let c: Config = family.parse(config)?;
    let v2: Version2 = family.parse(config)?;
    family.only("share_att_key", v2.share_att_key, true)?;
    let farthest = c.farthest(family)?;
    let buckets = usize::try_from(v2.position_buckets).ok().filter(|buckets| *buckets > 0);
    let buckets =
        buckets.map(|buckets| family.size(("position_buckets", buckets), MOST_ROWS / 2)).transpose()?;
    let relative = Disentangled {
        content_to_position: true,
        position_to_content: true,
        share_projections: true,
        span: buckets.unwrap_or(farthest),
        position_buckets: buckets,
        max_relative_positions: farthest,
        span_follows_length: false,
    };
    let (base, sizes, relative) = c.build(family, relative)?;
    family.only("attention_head_size", v2.attention_head_size.unwrap_or(sizes.head_dim), sizes.head_dim)?;
    let norm = base.blocks[0].norm;
    let normed = match v2.norm_rel_ebd.trim().to_lowercase().as_str() {
        "layer_norm" => true,
        "none" => false,
        other => return Err(family.refuse("norm_rel_ebd", &other, "`layer_norm` or `none`")),
    };
    let convolution = v2.convolution(family, &sizes, norm)?;
    let spec = ModelSpec {
        relative: Some(RelativeTable { rows: 2 * relative.span, norm: normed.then_some(norm) }),
        convolution,
        dropout_sites: DropoutSites { convolution: convolution.is_some(), ..base.dropout_sites },
        ..base
    };
    let mut model = c.outside();
    if normed {
        model.extend(outside(&RELATIVE_NORM));
    }
    if convolution.is_some() {
        model.extend(outside(&CONVOLUTION));
    }
    let tensors = TensorTable {
        prefixes: vec!["deberta.", ""],
        block_prefix: "encoder.layer.",
        model,
        blocks: blocks(sizes.layers, "encoder.layer.", |_, prefix| {
            let lists: [&[_]; 4] = [&ATTENTION, &OUTPUT, &ATTENTION_NORM, &FEED_FORWARD];
            lists.into_iter().flat_map(|names| named(prefix, names)).collect()
        }),
    };
    Ok((spec, tensors))
}

impl Version2 {
    fn convolution(&self, family: Family, sizes: &Sizes, norm: Norm) -> Result<Option<Convolution>, Error> {
        let Some(taps) = usize::try_from(self.conv_kernel_size).ok().filter(|taps| *taps > 0) else {
            return Ok(None);
        };
        let kernel_size = family.size(("conv_kernel_size", taps), MOST_TAPS)?;
        if kernel_size.is_multiple_of(2) {
            // an even kernel would shorten the text
            return Err(family.refuse("conv_kernel_size", &kernel_size, "an odd number"));
        }
        let groups = family.size(("conv_groups", self.conv_groups), sizes.hidden)?;
        if !sizes.hidden.is_multiple_of(groups) {
            let expected = format!("a divisor of `hidden_size`, which is {}", sizes.hidden);
            return Err(family.bad("conv_groups", &groups, expected));
        }
        let activation = family.activation("conv_act", &self.conv_act)?;
        Ok(Some(Convolution { kernel_size, groups, activation, norm }))
    }
}
