//! GPT-2: learned positions, biases everywhere, weights stored as `[in, out]` (`Conv1D`). Paper:
//! Radford et al., "Language Models are Unsupervised Multitask Learners", 2019. Reference:
//! `models/gpt2/modeling_gpt2.py` of transformers. Columns of `c_attn` are all queries, all keys,
//! all values.
//! Not supported: `add_cross_attention`. `reorder_and_upcast_attn` changes no number in f32.

use serde::Deserialize;
use serde_json::Value;

use super::Described;
use super::config::{Family, NamedSizes, yes};
use super::defaults::{
    blocks, counted_positions, decoder, decoder_block, fused_qkv, fused_rows, named, outside,
};
use crate::models::error::Error;
use crate::models::spec::{EmbeddingSpec, FeedForward, ModelSpec, NormKind, Position};
use crate::models::tensors::{BlockTensor as T, ModelTensor, Source, TensorTable};

#[derive(Deserialize)]
struct Config {
    vocab_size: usize,
    n_positions: usize,
    n_embd: usize,
    n_layer: usize,
    n_head: usize,
    n_inner: Option<usize>,
    #[serde(default = "activation")]
    activation_function: String,
    #[serde(default = "eps")]
    layer_norm_epsilon: f64,
    #[serde(default = "yes")]
    scale_attn_weights: bool,
    #[serde(default)]
    scale_attn_by_inverse_layer_idx: bool,
    #[serde(default)]
    add_cross_attention: bool,
}

fn activation() -> String {
    "gelu_new".to_owned()
}

fn eps() -> f64 {
    1e-5
}

const VECTORS: [(T, &str); 7] = [
    (T::AttentionNormWeight, "ln_1.weight"),
    (T::AttentionNormBias, "ln_1.bias"),
    (T::FeedForwardNormWeight, "ln_2.weight"),
    (T::FeedForwardNormBias, "ln_2.bias"),
    (T::OutputBias, "attn.c_proj.bias"),
    (T::UpBias, "mlp.c_fc.bias"),
    (T::DownBias, "mlp.c_proj.bias"),
];

const TRANSPOSED: [(T, &str); 3] = [
    (T::OutputWeight, "attn.c_proj.weight"),
    (T::UpWeight, "mlp.c_fc.weight"),
    (T::DownWeight, "mlp.c_proj.weight"),
];

pub(super) fn read(config: &Value) -> Result<Described, Error> {
    let family = Family("gpt2");
    let c: Config = family.parse(config)?;
    family.only("add_cross_attention", c.add_cross_attention, false)?;
    let sizes = NamedSizes {
        hidden: ("n_embd", c.n_embd),
        intermediate: ("n_inner", c.n_inner.unwrap_or(c.n_embd.saturating_mul(4))),
        layers: ("n_layer", c.n_layer),
        heads: ("n_head", c.n_head),
        vocab: ("vocab_size", c.vocab_size),
    };
    let sizes = family.sizes(sizes, None, None)?;
    let norm = family.norm(NormKind::LayerNorm, "layer_norm_epsilon", c.layer_norm_epsilon)?;
    let feed_forward = FeedForward::Plain(family.activation("activation_function", &c.activation_function)?);
    let block = decoder_block(&sizes, norm, feed_forward, Position::None);
    let of_layer = |layer: usize| {
        let mut block = block.clone();
        if !c.scale_attn_weights {
            block.attention.scale = 1.0;
        }
        if c.scale_attn_by_inverse_layer_idx {
            block.attention.scale /= (layer + 1) as f32;
        }
        block
    };
    let base = decoder(family.0, &sizes, None, (0..sizes.layers).map(of_layer).collect(), norm);
    let positions = Some(counted_positions(family.rows(("n_positions", c.n_positions))?));
    let embeddings = EmbeddingSpec { positions, ..base.embeddings.clone() };
    let rows = fused_rows(1, [sizes.heads; 3], sizes.head_dim);
    let tensors = TensorTable {
        prefixes: vec!["", "transformer."],
        block_prefix: "h.",
        model: outside(&[
            (ModelTensor::WordEmbeddings, "wte.weight"),
            (ModelTensor::PositionEmbeddings, "wpe.weight"),
            (ModelTensor::FinalNormWeight, "ln_f.weight"),
            (ModelTensor::FinalNormBias, "ln_f.bias"),
        ]),
        blocks: blocks(sizes.layers, "h.", |_, prefix| {
            let mut sources = named(prefix, &VECTORS);
            let bias = format!("{prefix}attn.c_attn.bias");
            sources.extend(fused_qkv(&format!("{prefix}attn.c_attn.weight"), Some(&bias), true, &rows));
            let transposed = named(prefix, &TRANSPOSED).into_iter();
            sources.extend(transposed.map(|(role, source)| (role, Source { transpose: true, ..source })));
            sources
        }),
    };
    Ok((ModelSpec { embeddings, ..base }, tensors))
}
