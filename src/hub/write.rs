//! Writes safetensors files, whole or not at all.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::Path;

use serde_json::{Map, Value, json};

use super::disk;
use super::error::Error;
use super::header;
use super::tensor::{Dtype, RawTensor};

/// Writes tensors (whole ones: rows are not stored) and free text into a safetensors file, by
/// decreasing element size and then by name, as the format's own writer does.
///
/// # Errors
/// When a name stands twice, bytes and shape disagree, or the file cannot be written.
pub fn write_safetensors(
    path: &Path,
    tensors: &[(String, RawTensor)],
    metadata: &BTreeMap<String, String>,
) -> Result<(), Error> {
    let sorted = checked(tensors)?;
    disk::write_with(path, |file| put(file, &sorted, metadata))
}

/// The same into anything that can be written.
///
/// # Errors
/// As [`write_safetensors`]; a write that fails names no file.
pub fn write_safetensors_to(
    out: &mut dyn Write,
    tensors: &[(String, RawTensor)],
    metadata: &BTreeMap<String, String>,
) -> Result<(), Error> {
    let sorted = checked(tensors)?;
    put(out, &sorted, metadata).map_err(Error::io("writing", Path::new("model.safetensors")))
}

fn put(
    out: &mut (impl Write + ?Sized),
    sorted: &[&(String, RawTensor)],
    metadata: &BTreeMap<String, String>,
) -> std::io::Result<()> {
    let entries =
        sorted.iter().map(|(name, it)| (name.as_str(), it.dtype, &it.shape[..], it.bytes.len() as u64));
    out.write_all(&head(entries, metadata))?;
    sorted.iter().try_for_each(|(_, tensor)| out.write_all(&tensor.bytes))
}

fn checked(tensors: &[(String, RawTensor)]) -> Result<Vec<&(String, RawTensor)>, Error> {
    let mut sorted: Vec<&(String, RawTensor)> = tensors.iter().collect();
    sorted.sort_by_key(|(name, tensor)| (std::cmp::Reverse(tensor.dtype.size()), name));
    let mut names = BTreeSet::new();
    for (name, tensor) in &sorted {
        let wrong = |reason: String| Error::BadRequest { name: name.clone(), reason };
        if !names.insert(name) || name == "__metadata__" {
            return Err(wrong("the name stands twice or is reserved".to_owned()));
        }
        if tensor.rows.is_some() {
            return Err(wrong("only some of its rows are here".to_owned()));
        }
        let bytes = header::bytes_of(tensor.dtype, &tensor.shape);
        if bytes != Some(tensor.bytes.len() as u64) {
            return Err(wrong(format!("{} bytes for shape {:?}", tensor.bytes.len(), tensor.shape)));
        }
    }
    Ok(sorted)
}

/// Prefix and JSON of a file whose tensors follow one another in the given order; padded so that
/// the data begin at a multiple of eight.
pub(crate) fn head<'a>(
    tensors: impl Iterator<Item = (&'a str, Dtype, &'a [usize], u64)>,
    metadata: &BTreeMap<String, String>,
) -> Vec<u8> {
    let mut object = Map::new();
    if !metadata.is_empty() {
        object.insert("__metadata__".to_owned(), json!(metadata));
    }
    let mut at = 0;
    for (name, dtype, shape, bytes) in tensors {
        let entry = json!({"dtype": dtype.name(), "shape": shape, "data_offsets": [at, at + bytes]});
        object.insert(name.to_owned(), entry);
        at += bytes;
    }
    let mut text = Value::Object(object).to_string().into_bytes();
    text.resize(text.len().next_multiple_of(8), b' ');
    let mut head = (text.len() as u64).to_le_bytes().to_vec();
    head.append(&mut text);
    head
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub::checkpoint::{Checkpoint, Store};
    use std::sync::Arc;

    fn tensor(dtype: Dtype, shape: &[usize], bytes: Vec<u8>) -> RawTensor {
        RawTensor { dtype, shape: shape.to_vec(), rows: None, bytes }
    }

    #[test]
    fn what_is_written_is_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("below/model.safetensors");
        let tensors = vec![
            ("b".to_owned(), tensor(Dtype::Bf16, &[3], vec![1, 2, 3, 4, 5, 6])),
            ("a".to_owned(), tensor(Dtype::F32, &[1, 2], (0..8).collect())),
            ("none".to_owned(), tensor(Dtype::F32, &[0, 5], vec![])),
            ("flag".to_owned(), tensor(Dtype::Other("BOOL", 1), &[], vec![1])),
        ];
        let metadata = BTreeMap::from([("format".to_owned(), "pt \"quoted\" ü".to_owned())]);
        write_safetensors(&path, &tensors, &metadata).unwrap();
        let mut read = Checkpoint::new("file");
        let header = read.insert_all(&Arc::new(Store::open(&path).unwrap())).unwrap();
        assert_eq!(header.metadata, metadata);
        assert_eq!(header.data_start % 8, 0);
        for (name, tensor) in &tensors {
            assert_eq!(&read.tensor(name).unwrap(), tensor);
        }
        assert_eq!(read.tensor_names().len(), tensors.len());
    }

    #[test]
    fn contradictions_are_refused_and_nothing_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        let good = tensor(Dtype::F32, &[1], vec![0; 4]);
        let rows = RawTensor { rows: Some(0..1), ..good.clone() };
        for tensors in [
            vec![("a".to_owned(), tensor(Dtype::F32, &[2], vec![0; 4]))],
            vec![("a".to_owned(), good.clone()), ("a".to_owned(), good.clone())],
            vec![("__metadata__".to_owned(), good)],
            vec![("a".to_owned(), rows)],
        ] {
            assert!(write_safetensors(&path, &tensors, &BTreeMap::new()).is_err());
            assert!(!path.exists());
        }
    }
}
