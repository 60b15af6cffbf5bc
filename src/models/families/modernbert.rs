//! ModernBERT: rotary positions, gated feed-forwards, norms before the branches (none before the
//! first attention), two of three blocks with a local window and a rotary base of their own. Paper:
//! Warner et al., "Smarter, Better, Faster, Longer: A Modern Bidirectional Encoder", 2024.
//! Reference: `models/modernbert/modeling_modernbert.py` of transformers. Rows of `Wqkv` are all
//! queries, all keys, all values; rows of `Wi` what the activation gates with, then the rest.
//! Not supported: dropout (published models have none; it would stand inside the feed-forward).

use serde::Deserialize;
use serde_json::Value;

use super::Described;
use super::config::{Family, Sizes, StandardSizes};
use super::defaults::{blocks, decoder_block, encoder, fused_qkv, fused_rows, named, outside};
use super::falcon::gelu;
use super::rope::{Dialect, STANDARD, rotary};
use crate::models::error::Error;
use crate::models::spec::{BlockSpec, DropoutSites, FeedForward, ModelSpec, NormKind, Position, Window};
use crate::models::tensors::{BlockTensor as T, ModelTensor, Source, TensorTable};

#[derive(Deserialize)]
struct Config {
    #[serde(flatten)]
    sizes: StandardSizes,
    #[serde(default = "gelu")]
    hidden_activation: String,
    #[serde(default = "eps")]
    norm_eps: f64,
    #[serde(default)]
    norm_bias: bool,
    #[serde(default)]
    attention_bias: bool,
    #[serde(default)]
    mlp_bias: bool,
    #[serde(default = "every")]
    global_attn_every_n_layers: usize,
    layer_types: Option<Vec<String>>,
    #[serde(default = "local")]
    local_attention: usize,
    #[serde(default)]
    embedding_dropout: f64,
    #[serde(default)]
    attention_dropout: f64,
    #[serde(default)]
    mlp_dropout: f64,
    #[serde(default = "padding")]
    pad_token_id: Option<i64>,
}

fn eps() -> f64 {
    1e-5
}

fn every() -> usize {
    3
}

fn local() -> usize {
    128
}

#[expect(clippy::unnecessary_wraps, reason = "the default of an optional field")]
fn padding() -> Option<i64> {
    Some(50_283)
}

const GLOBAL: Dialect =
    Dialect { layer_type: Some("full_attention"), theta: ("global_rope_theta", 160_000.0), ..STANDARD };

const LOCAL: Dialect =
    Dialect { layer_type: Some("sliding_attention"), theta: ("local_rope_theta", 10_000.0), ..STANDARD };

pub(super) fn read(config: &Value) -> Result<Described, Error> {
    let family = Family("modernbert");
    let c: Config = family.parse(config)?;
    family.only("embedding_dropout", c.embedding_dropout, 0.0)?;
    family.only("attention_dropout", c.attention_dropout, 0.0)?;
    family.only("mlp_dropout", c.mlp_dropout, 0.0)?;
    let sizes = family.sizes(&c.sizes, None, None)?;
    let norm = family.norm(NormKind::LayerNorm, "norm_eps", c.norm_eps)?;
    let every = family.rows(("global_attn_every_n_layers", c.global_attn_every_n_layers))?;
    let is_local = |layer: usize| !layer.is_multiple_of(every);
    let is_local = family.sliding(c.layer_types.as_deref(), sizes.layers, is_local)?;
    let window = Window::Around(family.rows(("local_attention", c.local_attention))? / 2);
    let global = Position::Rotary(rotary(family, config, &sizes, GLOBAL)?);
    let local = Position::Rotary(rotary(family, config, &sizes, LOCAL)?);
    let feed_forward = FeedForward::Gated(family.activation("hidden_activation", &c.hidden_activation)?);
    let block = decoder_block(&sizes, norm, feed_forward, Position::None);
    let of_layer = |(layer, is_local): (usize, bool)| {
        let position = if is_local { local.clone() } else { global.clone() };
        BlockSpec { attention_norm: layer > 0, position, ..block.clone() }
            .with_window(is_local.then_some(window))
    };
    let padding = family.padding(c.pad_token_id, sizes.vocab)?;
    let spec = ModelSpec {
        blocks: is_local.into_iter().enumerate().map(of_layer).collect(),
        final_norm: Some(norm),
        dropout_sites: DropoutSites::NONE,
        ..encoder(family.0, &sizes, padding, &block, 0.0)
    };
    Ok((spec, table(&c, &sizes)))
}

fn table(c: &Config, sizes: &Sizes) -> TensorTable {
    let mut model = outside(&[
        (ModelTensor::WordEmbeddings, "embeddings.tok_embeddings.weight"),
        (ModelTensor::EmbeddingNormWeight, "embeddings.norm.weight"),
        (ModelTensor::FinalNormWeight, "final_norm.weight"),
    ]);
    if c.norm_bias {
        model.extend(outside(&[
            (ModelTensor::EmbeddingNormBias, "embeddings.norm.bias"),
            (ModelTensor::FinalNormBias, "final_norm.bias"),
        ]));
    }
    let rows = fused_rows(1, [sizes.heads; 3], sizes.head_dim);
    TensorTable {
        prefixes: vec!["model.", ""],
        block_prefix: "layers.",
        model,
        blocks: blocks(sizes.layers, "layers.", |layer, prefix| block(c, sizes, layer, prefix, &rows)),
    }
}

fn block(
    c: &Config,
    sizes: &Sizes,
    layer: usize,
    prefix: &str,
    rows: &[Vec<std::ops::Range<usize>>; 3],
) -> Vec<(T, Source)> {
    let mut vectors = vec![(T::FeedForwardNormWeight, "mlp_norm.weight")];
    if c.norm_bias {
        vectors.push((T::FeedForwardNormBias, "mlp_norm.bias"));
    }
    if layer > 0 {
        vectors.push((T::AttentionNormWeight, "attn_norm.weight"));
        if c.norm_bias {
            vectors.push((T::AttentionNormBias, "attn_norm.bias"));
        }
    }
    vectors.extend([(T::OutputWeight, "attn.Wo.weight"), (T::DownWeight, "mlp.Wo.weight")]);
    if c.attention_bias {
        vectors.push((T::OutputBias, "attn.Wo.bias"));
    }
    if c.mlp_bias {
        vectors.push((T::DownBias, "mlp.Wo.bias"));
    }
    let mut sources = named(prefix, &vectors);
    let bias = format!("{prefix}attn.Wqkv.bias");
    let bias = c.attention_bias.then_some(bias.as_str());
    sources.extend(fused_qkv(&format!("{prefix}attn.Wqkv.weight"), bias, false, rows));
    let (first, second) = (0..sizes.intermediate, sizes.intermediate..2 * sizes.intermediate);
    let weight = format!("{prefix}mlp.Wi.weight");
    sources.push((T::GateWeight, Source::run(&weight, first.clone())));
    sources.push((T::UpWeight, Source::run(&weight, second.clone())));
    if c.mlp_bias {
        let bias = format!("{prefix}mlp.Wi.bias");
        sources.push((T::GateBias, Source::run(&bias, first)));
        sources.push((T::UpBias, Source::run(&bias, second)));
    }
    sources
}
