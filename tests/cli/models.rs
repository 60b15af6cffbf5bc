//! Rows of the table: models whose files are absent, damaged, or lie.

use std::fs;

use serde_json::json;

use crate::table::{Row, changed, check};
use crate::world::{World, fixture};

/// A safetensors file with this header and so many bytes behind it.
fn safetensors(header: &str, data: usize) -> Vec<u8> {
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend_from_slice(header.as_bytes());
    file.resize(file.len() + data, 0);
    file
}

fn weights(world: &World, content: impl AsRef<[u8]>) {
    world.write("llm/model.safetensors", content);
}

const ROWS: &[Row] = &[
    // checkpoints
    changed(
        "no weights",
        |world| world.remove("llm/model.safetensors"),
        "STUDY",
        1,
        &["`./llm` holds no .safetensors", "config.json"],
    ),
    changed(
        "truncated weights",
        |world| world.cut("llm/model.safetensors", 100_000),
        "STUDY",
        1,
        &["model.safetensors`", "100000 bytes", "141504", "truncated"],
    ),
    changed(
        "weights cut within the header",
        |world| world.cut("llm/model.safetensors", 1000),
        "STUDY",
        1,
        &["1000 bytes, too short for a header of 3344"],
    ),
    changed("empty weights", |world| weights(world, ""), "STUDY", 1, &["0 bytes, too short"]),
    changed(
        "truncated weights of the small model",
        |world| world.cut("slm/model.safetensors", 100_000),
        "STUDY",
        1,
        &["./slm/model.safetensors`", "100000 bytes"],
    ),
    changed(
        "a header beyond all sizes",
        |world| weights(world, [0xff; 16]),
        "STUDY",
        1,
        &["claims 18446744073709551615 bytes"],
    ),
    changed(
        "a header that is no JSON",
        |world| weights(world, safetensors("{\"a\": ", 0)),
        "STUDY",
        1,
        &["no safetensors file"],
    ),
    changed(
        "a header with places beyond the file",
        |world| weights(world, safetensors(r#"{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}"#, 8)),
        "STUDY",
        1,
        &["no safetensors file", "bytes"],
    ),
    changed(
        "a header whose shape needs more bytes than it names",
        |world| weights(world, safetensors(r#"{"a":{"dtype":"F32","shape":[8],"data_offsets":[0,16]}}"#, 16)),
        "STUDY",
        1,
        &["no safetensors file", "`a`"],
    ),
    changed(
        "a header whose shape is beyond all numbers",
        |world| {
            let header = r#"{"a":{"dtype":"F32","shape":[9223372036854775807,9],"data_offsets":[0,16]}}"#;
            weights(world, safetensors(header, 16));
        },
        "STUDY",
        1,
        &["no safetensors file", "`a`"],
    ),
    changed(
        "tensors that lie over each other",
        |world| {
            let header = r#"{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]},"b":{"dtype":"F32","shape":[4],"data_offsets":[8,24]}}"#;
            weights(world, safetensors(header, 24));
        },
        "STUDY",
        1,
        &["no safetensors file"],
    ),
    changed(
        "weights of another model",
        |world| weights(world, fs::read(fixture("llm/gpt2/model.safetensors")).unwrap()),
        "STUDY",
        1,
        &[
            "tensors that the configuration of this `llama` model implies are missing",
            "`model.embed_tokens.weight`",
        ],
    ),
    changed(
        "weights that nothing but an index names",
        |world| {
            world.remove("llm/model.safetensors");
            let index = json!({"weight_map": {"model.embed_tokens.weight": "../slm/model.safetensors"}});
            world.write("llm/model.safetensors.index.json", index.to_string());
        },
        "STUDY",
        1,
        &["outside of the repository"],
    ),
    // configurations
    changed(
        "no configuration",
        |world| world.remove("llm/config.json"),
        "STUDY",
        1,
        &["`./llm` has no file `config.json`"],
    ),
    changed(
        "half a configuration",
        |world| world.write("llm/config.json", "{\"model_type\": "),
        "STUDY",
        1,
        &["config.json` cannot be read as JSON"],
    ),
    changed(
        "a configuration that is a list",
        |world| world.write("llm/config.json", "[]"),
        "STUDY",
        1,
        &["expected an object"],
    ),
    changed(
        "an empty configuration",
        |world| world.write("llm/config.json", "{}"),
        "STUDY",
        1,
        &["no `model_type`", "`llama`"],
    ),
    changed(
        "an unsupported family",
        |world| world.configure("llm", "model_type", Some(json!("rwkv"))),
        "STUDY",
        1,
        &["model type `rwkv` is not supported", "`llama`"],
    ),
    changed(
        "an unsupported family to fetch from",
        |world| world.configure("llm", "model_type", Some(json!("rwkv"))),
        "fetch ./llm --layers 0",
        1,
        &["`rwkv` is not supported"],
    ),
    changed(
        "a family of a later version",
        |world| world.configure("slm", "model_type", Some(json!("t5"))),
        "STUDY",
        1,
        &["`t5` is not supported yet", "`bert-base`"],
    ),
    changed(
        "an unknown activation",
        |world| world.configure("llm", "hidden_act", Some(json!("swoosh"))),
        "STUDY",
        1,
        &["`swoosh`", "`silu`"],
    ),
    changed(
        "an unknown kind of positions",
        |world| world.configure("llm", "rope_scaling", Some(json!({"type": "magic", "factor": 2.0}))),
        "STUDY",
        1,
        &["`magic`", "`yarn`"],
    ),
    changed(
        "quantised weights",
        |world| world.configure("llm", "quantization_config", Some(json!({"bits": 4}))),
        "STUDY",
        1,
        &["quantization_config", "bf16"],
    ),
    changed(
        "key-value heads that divide nothing",
        |world| world.configure("llm", "num_key_value_heads", Some(json!(3))),
        "STUDY",
        1,
        &["`num_key_value_heads`", "`3`", "a divisor of the 4"],
    ),
    changed(
        "more layers than there are",
        |world| world.configure("llm", "num_hidden_layers", Some(json!(4))),
        "STUDY",
        1,
        &["model.layers.3", "missing"],
    ),
    changed(
        "another width than the tensors have",
        |world| world.configure("llm", "hidden_size", Some(json!(64))),
        "STUDY",
        1,
        &["model.layers.0.", "[32]", "[64]"],
    ),
    changed(
        "a small model of another width than its tensors have",
        |world| world.configure("slm", "hidden_size", Some(json!(64))),
        "STUDY",
        1,
        &["in `./slm`", "expected", "64"],
    ),
    // tokenizers
    changed(
        "no tokenizer",
        |world| world.remove("slm/tokenizer.json"),
        "STUDY",
        1,
        &["`./slm` has no file `tokenizer.json`"],
    ),
    changed(
        "a tokenizer that is no JSON",
        |world| world.write("slm/tokenizer.json", "x"),
        "STUDY",
        1,
        &["`tokenizer.json` is not a usable tokenizer file"],
    ),
    changed(
        "a tokenizer without a model",
        |world| world.write("slm/tokenizer.json", "{}"),
        "STUDY",
        1,
        &["`tokenizer.json` is not a usable tokenizer file"],
    ),
    changed(
        "a tokenizer of another vocabulary",
        |world| {
            for file in ["tokenizer.json", "tokenizer_config.json"] {
                let other = fixture("slm/_tokenizers/smollm2").join(file);
                world.write(&format!("slm/{file}"), fs::read(other).unwrap());
            }
        },
        "STUDY",
        1,
        &["tokenizer mismatch with the vocabulary", "has 260 entries"],
    ),
];

#[test]
fn a_model_that_cannot_be_read_is_told_before_anything_trains() {
    check(ROWS);
}
