//! OPT: learned positions that start at row 2, norms before the branches or (350M) after the
//! residual sums, where embeddings are narrower than the blocks. Paper: Zhang et al., "OPT: Open
//! Pre-trained Transformer Language Models", 2022. Reference: `models/opt/modeling_opt.py` of
//! transformers. Norms have a fixed epsilon of 1e-5.
//! Not supported: norms without weights (`layer_norm_elementwise_affine` false).

use serde::Deserialize;
use serde_json::Value;

use super::Described;
use super::config::{Family, NamedSizes, Sizes, yes};
use super::defaults::{blocks, decoder, decoder_block, named, outside};
use crate::models::error::Error;
use crate::models::spec::{
    BlockSpec, EmbeddingSpec, FeedForward, ModelSpec, Norm, NormKind, Placement, Position, PositionStart,
    PositionTable, Projection, ProjectionPlace,
};
use crate::models::tensors::{BlockTensor as T, ModelTensor, TensorTable};

/// Rows of the position table that no token uses.
const UNUSED_POSITIONS: usize = 2;

#[derive(Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "the configuration's own flags")]
struct Config {
    vocab_size: usize,
    hidden_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    ffn_dim: usize,
    max_position_embeddings: usize,
    word_embed_proj_dim: Option<usize>,
    #[serde(default = "relu")]
    activation_function: String,
    #[serde(default = "yes")]
    do_layer_norm_before: bool,
    #[serde(default, rename = "_remove_final_layer_norm")]
    remove_final_layer_norm: bool,
    #[serde(default = "yes")]
    enable_bias: bool,
    #[serde(default = "yes")]
    layer_norm_elementwise_affine: bool,
    #[serde(default = "padding")]
    pad_token_id: Option<i64>,
}

fn relu() -> String {
    "relu".to_owned()
}

#[expect(clippy::unnecessary_wraps, reason = "the default of an optional field")]
fn padding() -> Option<i64> {
    Some(1)
}

const PRE_NORMS: [(T, &str); 4] = [
    (T::AttentionNormWeight, "self_attn_layer_norm.weight"),
    (T::AttentionNormBias, "self_attn_layer_norm.bias"),
    (T::FeedForwardNormWeight, "final_layer_norm.weight"),
    (T::FeedForwardNormBias, "final_layer_norm.bias"),
];

const POST_NORMS: [(T, &str); 4] = [
    (T::AttentionOutputNormWeight, "self_attn_layer_norm.weight"),
    (T::AttentionOutputNormBias, "self_attn_layer_norm.bias"),
    (T::FeedForwardOutputNormWeight, "final_layer_norm.weight"),
    (T::FeedForwardOutputNormBias, "final_layer_norm.bias"),
];

const WEIGHTS: [(T, &str); 6] = [
    (T::QueryWeight, "self_attn.q_proj.weight"),
    (T::KeyWeight, "self_attn.k_proj.weight"),
    (T::ValueWeight, "self_attn.v_proj.weight"),
    (T::OutputWeight, "self_attn.out_proj.weight"),
    (T::UpWeight, "fc1.weight"),
    (T::DownWeight, "fc2.weight"),
];

const BIASES: [(T, &str); 6] = [
    (T::QueryBias, "self_attn.q_proj.bias"),
    (T::KeyBias, "self_attn.k_proj.bias"),
    (T::ValueBias, "self_attn.v_proj.bias"),
    (T::OutputBias, "self_attn.out_proj.bias"),
    (T::UpBias, "fc1.bias"),
    (T::DownBias, "fc2.bias"),
];

pub(super) fn read(config: &Value) -> Result<Described, Error> {
    let family = Family("opt");
    let c: Config = family.parse(config)?;
    family.only("layer_norm_elementwise_affine", c.layer_norm_elementwise_affine, true)?;
    let sizes = NamedSizes {
        hidden: ("hidden_size", c.hidden_size),
        intermediate: ("ffn_dim", c.ffn_dim),
        layers: ("num_hidden_layers", c.num_hidden_layers),
        heads: ("num_attention_heads", c.num_attention_heads),
        vocab: ("vocab_size", c.vocab_size),
    };
    let sizes = family.sizes(sizes, None, None)?;
    let norm = Norm { kind: NormKind::LayerNorm, eps: 1e-5 };
    let feed_forward = FeedForward::Plain(family.activation("activation_function", &c.activation_function)?);
    let base = decoder_block(&sizes, norm, feed_forward, Position::None);
    let block = if c.do_layer_norm_before {
        base
    } else {
        BlockSpec { placement: Placement::Post, attention_norm: false, ..base }
    };
    let padding = family.padding(c.pad_token_id, sizes.vocab)?;
    let width = family.width(("word_embed_proj_dim", c.word_embed_proj_dim.unwrap_or(sizes.hidden)))?;
    let projected = width != sizes.hidden;
    let final_norm = c.do_layer_norm_before && !c.remove_final_layer_norm;
    let rows = family.rows(("max_position_embeddings", c.max_position_embeddings))? + UNUSED_POSITIONS;
    let base = decoder(family.0, &sizes, padding, vec![block; sizes.layers], norm);
    let spec = ModelSpec {
        embeddings: EmbeddingSpec {
            embedding_size: width,
            positions: Some(PositionTable { rows, start: PositionStart::Offset(UNUSED_POSITIONS) }),
            projection: projected.then_some(Projection { bias: false, place: ProjectionPlace::Words }),
            ..base.embeddings
        },
        final_norm: final_norm.then_some(norm),
        output_projection: projected.then_some(width),
        ..base
    };
    Ok((spec, table(&c, &sizes, projected, final_norm)))
}

fn table(c: &Config, sizes: &Sizes, projected: bool, final_norm: bool) -> TensorTable {
    let mut model = outside(&[
        (ModelTensor::WordEmbeddings, "embed_tokens.weight"),
        (ModelTensor::PositionEmbeddings, "embed_positions.weight"),
    ]);
    if projected {
        model.extend(outside(&[
            (ModelTensor::EmbeddingProjectionWeight, "project_in.weight"),
            (ModelTensor::OutputProjectionWeight, "project_out.weight"),
        ]));
    }
    if final_norm {
        model.extend(outside(&[
            (ModelTensor::FinalNormWeight, "final_layer_norm.weight"),
            (ModelTensor::FinalNormBias, "final_layer_norm.bias"),
        ]));
    }
    TensorTable {
        prefixes: vec!["model.decoder.", "decoder.", ""],
        block_prefix: "layers.",
        model,
        blocks: blocks(sizes.layers, "layers.", |_, prefix| {
            let norms = if c.do_layer_norm_before { &PRE_NORMS } else { &POST_NORMS };
            let mut sources = named(prefix, norms);
            sources.extend(named(prefix, &WEIGHTS));
            if c.enable_bias {
                sources.extend(named(prefix, &BIASES));
            }
            sources
        }),
    }
}
