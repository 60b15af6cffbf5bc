//! Texts and pairs through a tokenizer: ids and segment ids, whole, cut and filled up.

use std::path::Path;

use serde::Deserialize;

use super::compare::{Case, json};
use super::{Error, Outcome, Recomputed};
use crate::data::encode::{Encoder, Options};
use crate::error::Failure;

/// Longer than any text of an oracle directory.
const WHOLE: usize = 4096;

#[derive(Debug, Deserialize)]
struct Sample {
    text: String,
    pair: Option<String>,
    ids: Vec<u32>,
    type_ids: Vec<u32>,
    truncate: Option<usize>,
    pad_to: Option<usize>,
}

#[derive(Debug, Deserialize)]
struct Document {
    cases: Vec<Sample>,
    pad_id: u32,
    vocab_size: usize,
}

pub(super) fn run(directory: &Path) -> Recomputed {
    let path = directory.join("golden_tokens.json");
    let malformed = |what: String| Failure::from(Error::Malformed { path: path.clone(), what });
    let document: Document = serde_json::from_value(json(&path)?)
        .map_err(|cause| malformed(format!("is not as described: {cause}")))?;
    let read = |name: &str| std::fs::read(directory.join(name)).ok();
    let tokenizer =
        read("tokenizer.json").ok_or_else(|| malformed("stands without a `tokenizer.json`".to_owned()))?;
    let encoder = |max_length: usize| {
        Encoder::from_bytes(
            &tokenizer,
            read("tokenizer_config.json").as_deref(),
            read("special_tokens_map.json").as_deref(),
            Options { max_length, vocab_size: document.vocab_size, type_vocab_size: usize::MAX },
        )
    };
    let whole = encoder(WHOLE)?;
    let mut cases = vec![agreement("pad_id", whole.pad_id()? == document.pad_id)];
    for (number, text) in document.cases.iter().enumerate() {
        let cutting;
        let encoder = match text.truncate {
            None => &whole,
            Some(length) => {
                cutting = encoder(length)?;
                &cutting
            }
        };
        let mut encoded = encoder.encode(&text.text, text.pair.as_deref())?;
        if let Some(length) = text.pad_to {
            encoded.ids.resize(length.max(encoded.ids.len()), document.pad_id);
            encoded.type_ids.resize(encoded.ids.len(), 0);
        }
        cases.push(agreement(&format!("text {number}: ids"), encoded.ids == text.ids));
        cases.push(agreement(&format!("text {number}: type ids"), encoded.type_ids == text.type_ids));
    }
    let name = directory.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    Ok((name, Outcome::Compared(cases)))
}

/// Whole numbers agree or they do not.
fn agreement(name: &str, equal: bool) -> Case {
    Case { name: name.to_owned(), error: if equal { 0.0 } else { f64::INFINITY }, tolerance: 0.0 }
}
