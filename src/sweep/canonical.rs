//! One text for one JSON value, whatever the order of its keys, and hashes of it.

use serde_json::Value;
use sha2::{Digest, Sha256};

/// The value without white space, keys sorted by their bytes, numbers in the shortest form that
/// reads back.
pub fn text(value: &Value) -> String {
    let mut out = String::new();
    write(value, &mut out);
    out
}

/// The first 32 hexadecimal digits (128 bits) of the SHA-256 of the text: enough that two values
/// never share one, short enough for a file name.
pub fn id(value: &Value) -> String {
    let digest = Sha256::digest(text(value));
    digest[..16].iter().map(|byte| format!("{byte:02x}")).collect()
}

fn write(value: &Value, out: &mut String) {
    match value {
        Value::Object(fields) => {
            let mut keys: Vec<&String> = fields.keys().collect();
            keys.sort();
            list(out, ['{', '}'], keys, |key, out| {
                out.push_str(&Value::from(key.as_str()).to_string());
                out.push(':');
                write(&fields[key], out);
            });
        }
        Value::Array(items) => list(out, ['[', ']'], items, write),
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

    /// Expected values by Python: `json.dumps(value, sort_keys=True, separators=(",", ":"))` and
    /// `hashlib.sha256(text.encode()).hexdigest()[:32]`.
    #[test]
    fn the_order_of_keys_does_not_reach_the_id() {
        let one: Value =
            serde_json::from_str(r#"{"b": [1, 2.5, null], "a": {"y": "x\"", "x": true}}"#).expect("JSON");
        let other: Value =
            serde_json::from_str(r#"{"a":{"x":true,"y":"x\""},"b":[1,2.5,null]}"#).expect("JSON");
        assert_eq!(text(&one), r#"{"a":{"x":true,"y":"x\""},"b":[1,2.5,null]}"#);
        assert_eq!(id(&one), id(&other));
        assert_eq!(id(&one), "c24566f585879464f872bb8299342da4");
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
