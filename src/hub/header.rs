//! The header of a safetensors file, read as the work of an enemy: nothing in it is believed
//! before it agrees with the file's length, and no number is added unchecked.
//!
//! A file is `N` as eight little-endian bytes, `N` bytes of JSON
//! `{name: {dtype, shape, data_offsets: [a, b]}, "__metadata__": {text: text}}`, then the data; a
//! tensor's bytes are `[8 + N + a, 8 + N + b)`.

use std::collections::{BTreeMap, btree_map::Entry};
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};

use super::tensor::Dtype;

/// Largest header read, as in the format's own reader.
pub const LONGEST: u64 = 100_000_000;
/// Bytes before the JSON.
pub const PREFIX: u64 = 8;

const MOST_AXES: usize = 16;
const LONGEST_NAME: usize = 1024;

/// What is wrong with a header.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// The file ends before its header does.
    #[error("{file} bytes, too short for a header of {header} bytes")]
    FileTooShort {
        /// Bytes of the file.
        file: u64,
        /// Bytes of prefix and header.
        header: u64,
    },
    /// A header longer than any real one.
    #[error("the header claims {0} bytes, more than the allowed {LONGEST}")]
    TooLong(u64),
    /// The header is no JSON of the format.
    #[error("the header is not in the format's JSON: {0}")]
    Json(String),
    /// An element type that is not known, or has no whole number of bytes.
    #[error("tensor `{name}` has element type `{dtype}`, which is not supported")]
    Dtype {
        /// Tensor.
        name: String,
        /// Its type.
        dtype: String,
    },
    /// A name, shape or range that contradicts itself.
    #[error("tensor `{name}`: {reason}")]
    Tensor {
        /// Tensor.
        name: String,
        /// What is wrong.
        reason: String,
    },
    /// Two tensors share bytes, or bytes belong to none.
    #[error("tensor `{name}` begins at byte {start} of the data, expected {expected}")]
    Gap {
        /// Tensor.
        name: String,
        /// Where it begins.
        start: u64,
        /// Where the one before it ends.
        expected: u64,
    },
    /// The data end elsewhere than the file.
    #[error("the file has {file} bytes, but header and tensors make {tensors}")]
    Length {
        /// Bytes of the file.
        file: u64,
        /// Bytes of header and tensors.
        tensors: u64,
    },
}

/// One tensor of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot {
    /// Element type.
    pub dtype: Dtype,
    /// Row-major shape.
    pub shape: Vec<usize>,
    /// First byte in the file.
    pub start: u64,
    /// Past the last byte in the file.
    pub end: u64,
}

/// A header that agrees with its file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Tensors by name.
    pub tensors: BTreeMap<String, Slot>,
    /// Free text of the file's writer.
    pub metadata: BTreeMap<String, String>,
    /// First byte of the data.
    pub data_start: u64,
}

/// Bytes of JSON that the first eight bytes announce.
///
/// # Errors
/// When they are more than allowed, or than the file has.
pub fn announced(prefix: [u8; 8], file: u64) -> Result<u64, HeaderError> {
    let length = u64::from_le_bytes(prefix);
    if length > LONGEST {
        return Err(HeaderError::TooLong(length));
    }
    if length + PREFIX > file {
        return Err(HeaderError::FileTooShort { file, header: length + PREFIX });
    }
    Ok(length)
}

/// Reads the JSON of a header of a file of `file` bytes.
///
/// # Errors
/// When anything in it is not as the format says, down to the last byte of the file.
pub fn parse(json: &[u8], file: u64) -> Result<Header, HeaderError> {
    let data_start = json.len() as u64 + PREFIX;
    if data_start > file {
        return Err(HeaderError::FileTooShort { file, header: data_start });
    }
    if json.first() != Some(&b'{') {
        return Err(HeaderError::Json("it does not begin with `{`".to_owned()));
    }
    let fields: Fields =
        serde_json::from_slice(json).map_err(|error| HeaderError::Json(error.to_string()))?;
    let mut tensors = BTreeMap::new();
    for (name, field) in fields.tensors {
        let slot = checked(&name, field, data_start)?;
        tensors.insert(name, slot);
    }
    let mut by_place: Vec<(&String, &Slot)> = tensors.iter().collect();
    by_place.sort_by_key(|(_, slot)| (slot.start, slot.end));
    let mut expected = data_start;
    for (name, slot) in by_place {
        if slot.start != expected {
            let (start, expected) = (slot.start - data_start, expected - data_start);
            return Err(HeaderError::Gap { name: name.clone(), start, expected });
        }
        expected = slot.end;
    }
    if expected != file {
        return Err(HeaderError::Length { file, tensors: expected });
    }
    Ok(Header { tensors, metadata: fields.metadata, data_start })
}

fn checked(name: &str, field: Field, data_start: u64) -> Result<Slot, HeaderError> {
    let wrong = |reason: String| HeaderError::Tensor { name: name.chars().take(80).collect(), reason };
    if name.is_empty() || name.len() > LONGEST_NAME || name.chars().any(char::is_control) {
        return Err(wrong(format!("a name is 1 to {LONGEST_NAME} bytes without control letters")));
    }
    let dtype = dtype_of(&field.dtype).ok_or_else(|| HeaderError::Dtype {
        name: name.to_owned(),
        dtype: field.dtype.chars().take(40).collect(),
    })?;
    if field.shape.len() > MOST_AXES {
        return Err(wrong(format!("{} axes, at most {MOST_AXES} are sensible", field.shape.len())));
    }
    let bytes = bytes_of(dtype, &field.shape)
        .ok_or_else(|| wrong(format!("shape {:?} has more elements than can be counted", field.shape)))?;
    let (a, b) = field.data_offsets;
    if a > b {
        return Err(wrong(format!("bytes {a} to {b} end before they begin")));
    }
    if b - a != bytes {
        let shape = &field.shape;
        return Err(wrong(format!("{} bytes, but {} of shape {shape:?} has {bytes}", b - a, dtype.name())));
    }
    let place = |offset: u64| {
        data_start.checked_add(offset).ok_or_else(|| wrong(format!("byte {offset} is past any file")))
    };
    Ok(Slot { dtype, shape: field.shape, start: place(a)?, end: place(b)? })
}

/// Bytes of a tensor, or `None` when they cannot be counted.
pub(crate) fn bytes_of(dtype: Dtype, shape: &[usize]) -> Option<u64> {
    let elements = shape.iter().try_fold(1u64, |product, axis| product.checked_mul(*axis as u64))?;
    elements.checked_mul(dtype.size() as u64)
}

/// The element type of the format's name; `None` for one that is unknown or smaller than a byte.
fn dtype_of(name: &str) -> Option<Dtype> {
    const OTHERS: [(&str, usize); 14] = [
        ("BOOL", 1),
        ("U8", 1),
        ("I8", 1),
        ("F8_E5M2", 1),
        ("F8_E4M3", 1),
        ("F8_E8M0", 1),
        ("F8_E5M2FNUZ", 1),
        ("F8_E4M3FNUZ", 1),
        ("I16", 2),
        ("U16", 2),
        ("I32", 4),
        ("U32", 4),
        ("I64", 8),
        ("U64", 8),
    ];
    Some(match name {
        "F64" => Dtype::F64,
        "F32" => Dtype::F32,
        "F16" => Dtype::F16,
        "BF16" => Dtype::Bf16,
        _ => {
            let (name, size) = OTHERS.iter().find(|(known, _)| *known == name)?;
            Dtype::Other(name, *size)
        }
    })
}

#[derive(serde::Deserialize)]
struct Field {
    dtype: String,
    shape: Vec<usize>,
    data_offsets: (u64, u64),
}

/// The header's object, with a name that stands twice refused: a second one would otherwise
/// silently win.
struct Fields {
    tensors: BTreeMap<String, Field>,
    metadata: BTreeMap<String, String>,
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Fields;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of tensors")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Fields, M::Error> {
                let mut tensors = BTreeMap::new();
                let mut metadata = None;
                while let Some(name) = map.next_key::<String>()? {
                    if name == "__metadata__" {
                        if metadata.replace(map.next_value()?).is_some() {
                            return Err(M::Error::custom("`__metadata__` stands twice"));
                        }
                        continue;
                    }
                    let field = map.next_value()?;
                    match tensors.entry(name) {
                        Entry::Vacant(place) => place.insert(field),
                        Entry::Occupied(place) => {
                            let name: String = place.key().chars().take(80).collect();
                            return Err(M::Error::custom(format!("tensor `{name}` stands twice")));
                        }
                    };
                }
                Ok(Fields { tensors, metadata: metadata.unwrap_or_default() })
            }
        }
        deserializer.deserialize_map(Reader)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_header_is_read() {
        let json = br#"{"__metadata__":{"format":"pt"},"b":{"dtype":"BF16","shape":[2,3],"data_offsets":[4,16]},"a":{"dtype":"F32","shape":[],"data_offsets":[0,4]}}   "#;
        let start = json.len() as u64 + 8;
        let header = parse(json, start + 16).unwrap();
        assert_eq!(header.metadata["format"], "pt");
        assert_eq!(header.tensors["a"], Slot { dtype: Dtype::F32, shape: vec![], start, end: start + 4 });
        let b = Slot { dtype: Dtype::Bf16, shape: vec![2, 3], start: start + 4, end: start + 16 };
        assert_eq!(header.tensors["b"], b);
    }

    #[test]
    fn lies_are_refused_by_name() {
        let one = |inner: &str| format!("{{{inner}}}");
        let f32 = |name: &str, shape: &str, a: u64, b: u64| {
            format!(r#""{name}":{{"dtype":"F32","shape":{shape},"data_offsets":[{a},{b}]}}"#)
        };
        let two = |first: &str, second: &str| format!("{{{first},{second}}}");
        let cases = [
            (one(&f32("a", "[2]", 8, 0)), 8, "end before they begin"),
            (one(&f32("a", "[2]", 0, 4)), 4, "4 bytes, but F32 of shape [2] has 8"),
            (one(&f32("a", "[2]", 0, 8)), 12, "but header and tensors make"),
            (one(&f32("a", "[2]", 0, 8)), 4, "but header and tensors make"),
            (one(&f32("a", "[2]", 4, 12)), 12, "begins at byte 4 of the data, expected 0"),
            (
                two(&f32("a", "[2]", 0, 8), &f32("b", "[2]", 4, 12)),
                12,
                "begins at byte 4 of the data, expected 8",
            ),
            (
                two(&f32("a", "[2]", 0, 8), &f32("b", "[2]", 0, 8)),
                8,
                "begins at byte 0 of the data, expected 8",
            ),
            (two(&f32("a", "[2]", 0, 8), &f32("b", "[1]", 12, 16)), 16, "begins at byte 12"),
            (two(&f32("a", "[2]", 0, 8), &f32("a", "[2]", 8, 16)), 16, "`a` stands twice"),
            (one(&f32("a", "[4294967296,4294967296,4]", 0, 8)), 8, "more elements than can be counted"),
            (one(&f32("a", "[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]", 0, 4)), 4, "17 axes"),
            (one(&f32("a", "[-1]", 0, 4)), 4, "not in the format's JSON"),
            (one(&f32("a", "[1.5]", 0, 4)), 4, "not in the format's JSON"),
            (
                one(&f32("a", "[0]", 18_446_744_073_709_551_615, 18_446_744_073_709_551_615)),
                0,
                "past any file",
            ),
            (one(&f32("", "[1]", 0, 4)), 4, "a name is"),
            (one(&f32("a\\u001b[31m", "[1]", 0, 4)), 4, "a name is"),
            (r#"{"a":{"dtype":"F4","shape":[2],"data_offsets":[0,1]}}"#.to_owned(), 1, "`F4`"),
            (r#"{"a":{"dtype":"F32","shape":[1]}}"#.to_owned(), 4, "missing field"),
            (r#"{"__metadata__":{"a":1}}"#.to_owned(), 0, "invalid type"),
            (r#"{"__metadata__":{},"__metadata__":{}}"#.to_owned(), 0, "stands twice"),
            (r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}} x"#.to_owned(), 4, "trailing"),
            ("[]".to_owned(), 0, "does not begin with"),
            (" {}".to_owned(), 0, "does not begin with"),
            (String::new(), 0, "does not begin with"),
            // unknown fields are skipped without recursion
            ("{\"a\":".repeat(100_000), 0, "EOF"),
            (format!("{{\"__metadata__\":{}", "[".repeat(100_000)), 0, "invalid type"),
        ];
        for (json, data, message) in cases {
            let error = parse(json.as_bytes(), json.len() as u64 + 8 + data).unwrap_err().to_string();
            assert!(error.contains(message), "{} gave {error}", json.chars().take(120).collect::<String>());
        }
    }

    #[test]
    fn the_announced_length_is_held_against_limit_and_file() {
        assert_eq!(announced(10u64.to_le_bytes(), 18), Ok(10));
        assert!(matches!(announced(11u64.to_le_bytes(), 18), Err(HeaderError::FileTooShort { .. })));
        assert_eq!(announced(LONGEST.to_le_bytes(), u64::MAX), Ok(LONGEST));
        assert_eq!(announced((LONGEST + 1).to_le_bytes(), u64::MAX), Err(HeaderError::TooLong(LONGEST + 1)));
        assert_eq!(announced([0xff; 8], u64::MAX), Err(HeaderError::TooLong(u64::MAX)));
    }

    #[test]
    fn no_corruption_of_a_header_panics_or_passes_for_another_length() {
        let json = br#"{"a.weight":{"dtype":"F16","shape":[3,4],"data_offsets":[0,24]},"b":{"dtype":"F32","shape":[2],"data_offsets":[24,32]}}"#;
        let file = json.len() as u64 + 8 + 32;
        let whole = parse(json, file).unwrap();
        assert_eq!(whole.tensors.len(), 2);
        // a linear congruential generator (Knuth, MMIX) is random enough to place bytes
        let mut state = 1u64;
        let mut next = |limit: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize % limit
        };
        let letters = b"{}[]\",:0123456789-eE.x\\\x00\xff ";
        let mut survivors = 0;
        for _ in 0..20_000 {
            let mut bytes = json.to_vec();
            for _ in 0..=next(3) {
                let at = next(bytes.len());
                match next(3) {
                    0 => bytes[at] = letters[next(letters.len())],
                    1 => drop(bytes.remove(at)),
                    _ => bytes.insert(at, letters[next(letters.len())]),
                }
            }
            if let Ok(header) = parse(&bytes, file) {
                survivors += 1;
                let total: u64 = header.tensors.values().map(|slot| slot.end - slot.start).sum();
                assert_eq!(header.data_start + total, file, "{}", String::from_utf8_lossy(&bytes));
            }
        }
        // some edits fall into a name or are undone by another one
        assert!(survivors < 4_000, "{survivors}");
    }
}
