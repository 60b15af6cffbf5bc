//! `config.json`, read as data from strangers.

use serde_json::Value;

use super::error::Error;
use super::repository::Repository;

/// Largest configuration read: the largest real ones list some hundred thousand labels.
const LARGEST: u64 = 16 << 20;

/// Reads a repository's `config.json`.
///
/// # Errors
/// When there is none, it is larger than 16 MiB, nested deeper than 128 levels, or no JSON object.
pub fn read(repository: &Repository) -> Result<Value, Error> {
    let bytes = repository.read_file_of("config.json", LARGEST)?;
    parse(&bytes, &format!("{}/config.json", repository.describe()))
}

/// Parses a JSON object; `file` names it in errors.
///
/// # Errors
/// When it is none, or nested deeper than 128 levels (the parser's own limit).
pub fn parse(bytes: &[u8], file: &str) -> Result<Value, Error> {
    let wrong = |reason: String| Error::Json { file: file.to_owned(), reason };
    match serde_json::from_slice(bytes) {
        Ok(Value::Object(object)) => Ok(Value::Object(object)),
        Ok(_) => Err(wrong("expected an object `{...}`".to_owned())),
        Err(error) => Err(wrong(error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_object_of_sane_depth_is_a_configuration() {
        assert_eq!(parse(br#"{"model_type":"llama"}"#, "config.json").unwrap()["model_type"], "llama");
        let deep = format!("{{\"a\":{}", "[".repeat(1_000_000));
        for (bad, message) in [
            (deep.as_str(), "recursion limit"),
            ("[]", "expected an object"),
            ("", "EOF"),
            ("{", "EOF"),
            ("{\"a\": NaN}", "expected value"),
            ("{} {}", "trailing"),
        ] {
            let error = parse(bad.as_bytes(), "config.json").unwrap_err().to_string();
            assert!(error.contains(message), "{error}");
        }
        assert!(parse(b"\xff\xfe{", "config.json").is_err());
    }
}
