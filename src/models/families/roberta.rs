//! RoBERTa and XLM-RoBERTa: BERT's blocks; positions count real tokens from the row after
//! padding's. Papers: Liu et al., "RoBERTa: A Robustly Optimized BERT Pretraining Approach", 2019;
//! Conneau et al., "Unsupervised Cross-lingual Representation Learning at Scale", 2020. Reference:
//! `models/roberta/modeling_roberta.py` and `models/xlm_roberta/modeling_xlm_roberta.py` of
//! transformers.
//! Not supported: as for BERT; a configuration without a padding id.

use serde::Deserialize;
use serde_json::Value;

use super::Described;
use super::bert::{Config, table};
use super::config::Family;
use super::defaults::positions_after_padding;
use crate::models::error::Error;

#[derive(Deserialize)]
struct Padding {
    #[serde(default = "padding")]
    pad_token_id: usize,
}

fn padding() -> usize {
    1
}

pub(super) fn read(config: &Value) -> Result<Described, Error> {
    of_family(Family("roberta"), config)
}

pub(super) fn read_xlm(config: &Value) -> Result<Described, Error> {
    of_family(Family("xlm-roberta"), config)
}

fn of_family(family: Family, config: &Value) -> Result<Described, Error> {
    let c: Config = family.parse(config)?;
    let padding: Padding = family.parse(config)?;
    let padding = padding.pad_token_id;
    if padding.saturating_add(1) >= c.max_position_embeddings {
        let expected = format!("more than the padding row {padding} and one position");
        return Err(family.bad("max_position_embeddings", &c.max_position_embeddings, expected));
    }
    let positions = |rows| positions_after_padding(rows, padding as u32);
    let (spec, sizes) = c.build(family, Some(padding as i64), positions)?;
    Ok((spec, table("roberta.", &sizes)))
}
