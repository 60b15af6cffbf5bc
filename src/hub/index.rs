//! Which tensor stands in which file of a checkpoint, and where in it.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::Path;

use super::error::{Error, READING};
use super::repository_id::is_inside;
use super::tensor::Dtype;

/// One file of a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shard {
    /// Name in the repository.
    pub name: String,
    /// Bytes of the file.
    pub size: u64,
    /// Bytes of its header, the eight before it included.
    pub header_bytes: u64,
}

/// One tensor of a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorEntry {
    /// Index into [`TensorIndex::shards`].
    pub shard: usize,
    /// Stored element type.
    pub dtype: Dtype,
    /// Row-major shape of the whole tensor.
    pub shape: Vec<usize>,
    /// Rows that are there, when not all are (an exported layer).
    pub rows: Option<Range<usize>>,
    /// Bytes in the shard.
    pub bytes: Range<u64>,
}

/// All tensors of a checkpoint, from the headers alone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TensorIndex {
    /// Files.
    pub shards: Vec<Shard>,
    /// Tensors by name.
    pub tensors: BTreeMap<String, TensorEntry>,
}

impl TensorIndex {
    /// Names of all tensors.
    pub fn names(&self) -> BTreeSet<String> {
        self.tensors.keys().cloned().collect()
    }

    /// Bytes of all tensors.
    pub fn bytes(&self) -> u64 {
        self.tensors.values().map(|it| it.bytes.end - it.bytes.start).sum()
    }

    /// Bytes of all files.
    pub fn file_bytes(&self) -> u64 {
        self.shards.iter().map(|shard| shard.size).sum()
    }

    /// Bytes that one request would read, rows considered.
    ///
    /// # Errors
    /// When there is no such tensor or row.
    pub fn bytes_of(&self, request: &super::tensor::TensorRequest) -> Result<u64, Error> {
        let entry = self.tensors.get(&request.name).ok_or_else(|| Error::NoTensor {
            name: request.name.clone(),
            within: "the checkpoint".to_owned(),
        })?;
        let extent = super::checkpoint::Extent {
            dtype: entry.dtype,
            shape: entry.shape.clone(),
            rows: entry.rows.clone(),
            bytes: entry.bytes.clone(),
        };
        extent.narrowed(request).map(|it| it.bytes.end - it.bytes.start)
    }
}

/// Files of a checkpoint, and which of them each tensor is said to stand in; tensors are unknown
/// (`None`) where no index names them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ShardMap {
    pub(crate) shards: Vec<String>,
    pub(crate) of: Option<BTreeMap<String, usize>>,
}

impl ShardMap {
    pub(crate) fn single(name: &str) -> Self {
        Self { shards: vec![name.to_owned()], of: None }
    }

    /// Reads `{"metadata": ..., "weight_map": {tensor: file}}`; files outside of the repository
    /// are refused.
    pub(crate) fn parse(json: &[u8], file: &str) -> Result<Self, Error> {
        #[derive(serde::Deserialize)]
        struct Index {
            weight_map: BTreeMap<String, String>,
        }
        let wrong = |reason: String| Error::Index { file: file.to_owned(), reason };
        let index: Index = serde_json::from_slice(json).map_err(|error| wrong(error.to_string()))?;
        if index.weight_map.is_empty() {
            return Err(wrong("it names no tensor".to_owned()));
        }
        let shards: BTreeSet<&String> = index.weight_map.values().collect();
        for shard in &shards {
            let shown: String = shard.chars().take(120).collect();
            if !is_inside(shard) {
                return Err(wrong(format!(
                    "file `{}` would be outside of the repository",
                    shown.escape_debug()
                )));
            }
            if Path::new(shard).extension().is_none_or(|ending| ending != "safetensors") {
                return Err(wrong(format!("file `{shown}` is no .safetensors")));
            }
        }
        let shards: Vec<String> = shards.into_iter().cloned().collect();
        let place = |shard: &String| shards.binary_search(shard).expect("the shards are those of the map");
        let of = index.weight_map.iter().map(|(tensor, shard)| (tensor.clone(), place(shard))).collect();
        Ok(Self { shards, of: Some(of) })
    }

    /// The files of a local directory: an index, `model.safetensors`, exported layers, or the only
    /// `.safetensors` file.
    pub(crate) fn of_folder(folder: &Path) -> Result<Self, Error> {
        let mut found = Vec::new();
        for entry in std::fs::read_dir(folder).map_err(Error::io(READING, folder))? {
            let entry = entry.map_err(Error::io(READING, folder))?;
            found.extend(entry.file_name().into_string());
        }
        found.sort();
        let files = |ending: &str| found.iter().filter(|name| name.ends_with(ending)).collect::<Vec<_>>();
        let wrong = |reason: String| Error::LocalModel { path: folder.to_owned(), reason };
        match files(".safetensors.index.json")[..] {
            [] => {}
            [index] => {
                let path = folder.join(index);
                return Self::parse(&super::disk::read_small(&path, LARGEST_INDEX)?, index);
            }
            [..] => return Err(wrong("holds more than one index of shards".to_owned())),
        }
        if found.iter().any(|name| name == "model.safetensors") {
            return Ok(Self::single("model.safetensors"));
        }
        if let Some(manifest) = super::bundle::Manifest::read(folder)? {
            return Ok(Self { shards: manifest.layers.keys().cloned().collect(), of: None });
        }
        match files(".safetensors")[..] {
            [only] => Ok(Self::single(only)),
            [] => Err(wrong(
                "holds no .safetensors file; pickled weights (.bin, .pth) and GGUF are not read".to_owned(),
            )),
            [..] => Err(wrong("holds several .safetensors files and no index that joins them".to_owned())),
        }
    }
}

/// Largest index read; that of a model of a million tensors is smaller.
pub(crate) const LARGEST_INDEX: u64 = 128 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_names_shards_once_and_in_order() {
        let json = br#"{"metadata":{"total_size":1},"weight_map":{"b":"m-2.safetensors","a":"m-1.safetensors","c":"m-2.safetensors"}}"#;
        let map = ShardMap::parse(json, "index").unwrap();
        assert_eq!(map.shards, ["m-1.safetensors", "m-2.safetensors"]);
        let of: Vec<(String, usize)> = map.of.unwrap().into_iter().collect();
        assert_eq!(of, [("a".to_owned(), 0), ("b".to_owned(), 1), ("c".to_owned(), 1)]);
    }

    #[test]
    fn an_index_that_points_elsewhere_is_refused() {
        for (shard, message) in [
            ("../other/model.safetensors", "outside"),
            ("/etc/x.safetensors", "outside"),
            ("a/../../x.safetensors", "outside"),
            ("model.bin", "no .safetensors"),
            ("", "outside"),
        ] {
            let json = format!(r#"{{"weight_map":{{"a":"{shard}"}}}}"#);
            let error = ShardMap::parse(json.as_bytes(), "index").unwrap_err().to_string();
            assert!(error.contains(message), "{error}");
        }
        for json in ["{}", "[]", r#"{"weight_map":{}}"#, r#"{"weight_map":{"a":1}}"#, "{", ""] {
            assert!(matches!(ShardMap::parse(json.as_bytes(), "index"), Err(Error::Index { .. })), "{json}");
        }
    }

    #[test]
    fn a_folder_is_read_by_what_it_holds() {
        let folder = tempfile::tempdir().unwrap();
        let touch = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        assert!(ShardMap::of_folder(folder.path()).unwrap_err().to_string().contains("no .safetensors"));
        touch("only.safetensors", "");
        assert_eq!(ShardMap::of_folder(folder.path()).unwrap(), ShardMap::single("only.safetensors"));
        touch("other.safetensors", "");
        assert!(ShardMap::of_folder(folder.path()).unwrap_err().to_string().contains("several"));
        touch("model.safetensors", "");
        assert_eq!(ShardMap::of_folder(folder.path()).unwrap(), ShardMap::single("model.safetensors"));
        touch("model.safetensors.index.json", r#"{"weight_map":{"a":"other.safetensors"}}"#);
        assert_eq!(ShardMap::of_folder(folder.path()).unwrap().shards, ["other.safetensors"]);
    }
}
