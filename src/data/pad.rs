//! Which token fills up a padded batch: the tokenizer's own padding token, else its end token, as
//! the published code does for tokenizers without one.

use serde_json::Value;
use tokenizers::Tokenizer;

use super::Error;

/// Spellings to look for when no file names the tokens, in order of preference.
const USUAL: [&str; 6] = ["[PAD]", "<pad>", "<|padding|>", "</s>", "<|endoftext|>", "<|im_end|>"];

/// Id of the padding token: `pad_token` of the two files, then `eos_token`, then the usual names.
pub(super) fn pad_id(tokenizer: &Tokenizer, config: &Value, special_tokens: &Value) -> Option<u32> {
    let named = ["pad_token", "eos_token"]
        .into_iter()
        .flat_map(|key| [config, special_tokens].map(|file| token(&file[key])))
        .flatten();
    named.chain(USUAL).find_map(|token| tokenizer.token_to_id(token))
}

/// A file of settings that may be absent.
pub(super) fn parse(file: &'static str, bytes: Option<&[u8]>) -> Result<Value, Error> {
    let Some(bytes) = bytes else { return Ok(Value::Null) };
    serde_json::from_slice(bytes).map_err(|error| Error::Tokenizer { file, reason: error.to_string() })
}

/// A token stands there as a string, or as an object with its `content`.
fn token(value: &Value) -> Option<&str> {
    value.as_str().or_else(|| value["content"].as_str())
}
