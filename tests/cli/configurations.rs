//! Rows of the table that a loop writes: every size of a configuration absent, of a wrong type, and
//! beyond all measure.

use serde_json::{Value, json};

use crate::table::judge;
use crate::world::World;

/// Fields of an LLM and of a small model without which nothing can be computed.
const NEEDED: [(&str, &str); 9] = [
    ("llm", "hidden_size"),
    ("llm", "intermediate_size"),
    ("llm", "num_hidden_layers"),
    ("llm", "num_attention_heads"),
    ("llm", "vocab_size"),
    ("slm", "hidden_size"),
    ("slm", "num_hidden_layers"),
    ("slm", "num_attention_heads"),
    ("slm", "intermediate_size"),
];

/// Fields that have a default where they are absent.
const OPTIONAL: [(&str, &str); 4] = [
    ("llm", "max_position_embeddings"),
    ("llm", "rms_norm_eps"),
    ("llm", "rope_theta"),
    ("slm", "layer_norm_eps"),
];

#[test]
fn absent_and_absurd_sizes_are_refused_with_field_value_and_expectation() {
    let absurd = || [json!(0), json!(-4), json!(1e12), json!("many"), json!(true), json!([1])];
    let mut failures = Vec::new();
    let mut judged = 0;
    let mut row = |model: &str, field: &str, value: Option<Value>| {
        let world = World::new();
        world.configure(model, field, value.clone());
        let ended = world.run("STUDY");
        let folder = format!("in `./{model}`");
        let quoted = format!("`{field}`");
        let shown = match &value {
            Some(Value::String(text)) => text.clone(),
            Some(value) if value.as_f64() == Some(1e12) => "1000000000000".to_owned(),
            Some(value) => value.to_string(),
            None => "missing".to_owned(),
        };
        judged += 1;
        let says = [folder.as_str(), &quoted, &shown];
        let mut wrong = judge(&ended, 1, &says);
        if !world.files("outputs").is_empty() {
            wrong.push("left something behind".to_owned());
        }
        if !wrong.is_empty() {
            failures.push(format!("{model} {field} {value:?}\n  {}\n{}", wrong.join("\n  "), ended.err));
        }
    };
    for (model, field) in NEEDED {
        if model == "llm" {
            // a family's documented defaults stand in for what an encoder leaves out
            row(model, field, None);
        }
        for value in absurd() {
            row(model, field, Some(value));
        }
    }
    for (model, field) in OPTIONAL {
        for value in absurd() {
            // a base of the frequencies may be as large as it likes
            if (field, value.as_f64()) != ("rope_theta", Some(1e12)) {
                row(model, field, Some(value));
            }
        }
    }
    assert!(failures.is_empty(), "{} of {judged} rows:\n\n{}", failures.len(), failures.join("\n"));
}
