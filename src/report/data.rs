//! The answer as JSON, for the page to carry and for `report.json` beside it: every number in full
//! precision. Metrics and differences are fractions. What has no value has the reason in its place
//! (`{"Err": ...}`).

use super::ReportContext;
use crate::analysis::layers::LayerAnswer;
use serde_json::{Value, json};

/// Version of the document.
const SCHEMA_VERSION: u32 = 1;

/// The document's text, without line ends.
pub(super) fn json(answer: &LayerAnswer, context: &ReportContext) -> String {
    let pairs = |pairs: &[(String, String)]| -> Value {
        pairs.iter().map(|(key, value)| json!([key, value])).collect()
    };
    json!({
        "schema_version": SCHEMA_VERSION,
        "title": context.title,
        "command": context.command,
        "synthetic": context.synthetic,
        "answer": answer,
        "manifest": pairs(&context.manifest),
        "cost": pairs(&context.cost),
        "failures": pairs(&context.failures),
        "notes": context.notes,
    })
    .to_string()
}
