//! What two JSON documents differ in, by path.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::Value;

/// A place at which two documents differ.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// Keys and indices joined by dots.
    pub path: String,
    /// The left document's value; absent where it has none.
    pub left: Option<Value>,
    /// The right document's value; absent where it has none.
    pub right: Option<Value>,
}

/// Every leaf that differs, sorted by path. The order of keys does not matter.
pub fn differences(left: &Value, right: &Value) -> Vec<Difference> {
    let mut found = Vec::new();
    compare("", Some(left), Some(right), &mut found);
    found
}

fn compare(path: &str, left: Option<&Value>, right: Option<&Value>, found: &mut Vec<Difference>) {
    let below = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    match (left, right) {
        (left, right) if left == right => {}
        (Some(Value::Object(a)), Some(Value::Object(b))) => {
            for key in a.keys().chain(b.keys()).collect::<BTreeSet<_>>() {
                compare(&below(key), a.get(key), b.get(key), found);
            }
        }
        (Some(Value::Array(a)), Some(Value::Array(b))) => {
            for at in 0..a.len().max(b.len()) {
                compare(&below(&at.to_string()), a.get(at), b.get(at), found);
            }
        }
        _ => found.push(Difference { path: path.into(), left: left.cloned(), right: right.cloned() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_leaves_that_differ_are_named_whatever_the_order_of_keys() {
        let left = json!({"a": 1, "b": {"c": [1, 2], "d": "x"}});
        let right = json!({"b": {"d": "x", "c": [1, 3, 4]}, "a": 1});
        let paths: Vec<String> = differences(&left, &right).into_iter().map(|d| d.path).collect();
        assert_eq!(paths, ["b.c.1", "b.c.2"]);
        assert_eq!(differences(&left, &left), []);
        assert_eq!(differences(&json!(1), &json!(2))[0].path, "");
    }
}
