//! One text for one JSON value, whatever the order of its keys, and hashes of it.

use std::fmt::Write as _;

use serde_json::Value;
use sha2::{Digest, Sha256};

/// The value without white space, keys sorted by their bytes, floats in the shortest scientific form
/// that reads back (by the standard library, so that no dependency's release changes an id).
pub fn text(value: &Value) -> String {
    let mut out = String::new();
    put(value, &mut out);
    out
}

/// The first 32 hexadecimal digits (128 bits) of the SHA-256 of the text: enough that two values
/// never share one, short enough for a file name.
pub fn id(value: &Value) -> String {
    let digest = Sha256::digest(text(value));
    let mut first = [0; 16];
    first.copy_from_slice(&digest[..16]);
    format!("{:032x}", u128::from_be_bytes(first))
}

fn put(value: &Value, out: &mut String) {
    match value {
        Value::Object(fields) => {
            let mut keys: Vec<&String> = fields.keys().collect();
            keys.sort();
            list(out, ['{', '}'], keys, |key, out| {
                out.push_str(&Value::from(key.as_str()).to_string());
                out.push(':');
                put(&fields[key], out);
            });
        }
        Value::Array(items) => list(out, ['[', ']'], items, put),
        Value::Number(number) if number.is_f64() => {
            let float = number.as_f64().expect("it was just asked");
            let _ = write!(out, "{float:e}");
        }
        scalar => out.push_str(&scalar.to_string()),
    }
}

fn list<T>(
    out: &mut String,
    ends: [char; 2],
    items: impl IntoIterator<Item = T>,
    each: impl Fn(T, &mut String),
) {
    out.push(ends[0]);
    for (at, item) in items.into_iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        each(item, out);
    }
    out.push(ends[1]);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Expected values written out by hand, and hashed by Python's
    /// `hashlib.sha256(text.encode()).hexdigest()[:32]`.
    #[test]
    fn the_order_of_keys_does_not_reach_the_id() {
        let one = r#"{"b": [1, 2.5, null, 0.00005, 0.0], "a": {"y": "x\"", "x": true}}"#;
        let other = r#"{"a":{"x":true,"y":"x\""},"b":[1,2.5,null,5e-05,0.0]}"#;
        let one: Value = serde_json::from_str(one).expect("JSON");
        let other: Value = serde_json::from_str(other).expect("JSON");
        assert_eq!(text(&one), r#"{"a":{"x":true,"y":"x\""},"b":[1,2.5e0,null,5e-5,0e0]}"#);
        assert_eq!(id(&one), id(&other));
        assert_eq!(id(&one), "8d93df0c4fb058e05c813d2d52ad3092");
    }

    #[test]
    fn any_change_of_a_value_reaches_the_id() {
        let base = serde_json::json!({"a": [1, 2]});
        for other in [
            serde_json::json!({"a": [2, 1]}),
            serde_json::json!({"a": [1, 2, null]}),
            serde_json::json!({"A": [1, 2]}),
        ] {
            assert_ne!(id(&base), id(&other));
        }
    }
}
