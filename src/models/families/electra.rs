//! ELECTRA: BERT's blocks over embeddings that may be narrower and are then projected. Paper: Clark
//! et al., "ELECTRA: Pre-training Text Encoders as Discriminators Rather Than Generators", 2020.
//! Reference: `models/electra/modeling_electra.py` of transformers.
//! Not supported: as for BERT.

use serde::Deserialize;
use serde_json::Value;

use super::Described;
use super::bert::{Config, padding, table};
use super::config::Family;
use super::defaults::{counted_positions, outside};
use crate::models::error::Error;
use crate::models::spec::{EmbeddingSpec, ModelSpec, Projection, ProjectionPlace};
use crate::models::tensors::ModelTensor;

#[derive(Deserialize)]
struct Embeddings {
    #[serde(default = "width")]
    embedding_size: usize,
    #[serde(default = "padding")]
    pad_token_id: Option<i64>,
}

fn width() -> usize {
    128
}

/// The projection to the hidden size.
const PROJECTION: [(ModelTensor, &str); 2] = [
    (ModelTensor::EmbeddingProjectionWeight, "embeddings_project.weight"),
    (ModelTensor::EmbeddingProjectionBias, "embeddings_project.bias"),
];

pub(super) fn read(config: &Value) -> Result<Described, Error> {
    let family = Family("electra");
    let c: Config = family.parse(config)?;
    let e: Embeddings = family.parse(config)?;
    let (spec, sizes) = c.build(family, e.pad_token_id, counted_positions)?;
    let mut tensors = table("electra.", &sizes);
    let embedding_size = family.width(("embedding_size", e.embedding_size))?;
    let projected = embedding_size != sizes.hidden;
    if projected {
        tensors.model.extend(outside(&PROJECTION));
    }
    let projection = projected.then_some(Projection { bias: true, place: ProjectionPlace::Sum });
    let embeddings = EmbeddingSpec { embedding_size, projection, ..spec.embeddings };
    Ok((ModelSpec { embeddings, ..spec }, tensors))
}
