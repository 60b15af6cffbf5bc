//! Hidden states on disk, `representations/<key>/{manifest.json, layer-NNN.safetensors}` below the
//! outputs: one matrix of a row an example for every place in a model. A folder appears whole or not
//! at all; its key is a hash of everything that decides its numbers. What is read is held against
//! the manifest, down to the checksum, and never believed.

mod error;
#[cfg(test)]
mod tests;
mod work;
mod write;

use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::Error as Store;
use crate::hub::header;
use crate::hub::tensor::Dtype;

pub use error::Error;
pub use work::{Finished, Step, Together, Work};
pub(crate) use write::SiteFile;
use write::remove_folder;

/// Version of the manifest that is written here.
pub const SCHEMA_VERSION: u32 = 1;
/// The one tensor of a site's file, f32 `[N, width]`.
pub const TENSOR: &str = "hidden";

const MANIFEST: &str = "manifest.json";
/// Largest manifest read: ten million examples need less.
const LARGEST_MANIFEST: u64 = 512 << 20;
/// Header of a site's file: one tensor and a little free text.
const LARGEST_HEADER: u64 = 1 << 20;

/// What hidden states are of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SourceOf {
    /// An LLM, layer by layer.
    Llm,
    /// A small model, layer by layer.
    Slm,
    /// A probe: what enters the plug, passes it and leaves it.
    Run,
}

/// One place in a model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Site {
    /// `embeddings`, `layer 0`, ... of a model; `pooled`, `l_in`, `layer`, `l_out` of a probe.
    pub name: String,
    /// The layer whose output it is, if it is one.
    pub layer: Option<usize>,
    /// Numbers a row.
    pub width: usize,
    /// The site's file, in the folder of the manifest.
    pub file: String,
    /// SHA-256 of the file, lower-case hexadecimal.
    pub sha256: String,
}

/// What a folder holds, and of what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// Hash of everything that decides the numbers; the folder's name.
    pub key: String,
    /// What the hidden states are of.
    pub source: SourceOf,
    /// The model's name as it is shown.
    pub model: String,
    /// Commit, hash of a local model, or the run's id.
    pub revision: String,
    /// Name of the task that the texts are of.
    pub task: String,
    /// Hash of its data.
    pub data_hash: String,
    /// The same before any limit, alike in all splits of one data set; older manifests have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub whole_hash: Option<String>,
    /// `train`, `validation` or `test`.
    pub split: String,
    /// From the tokens of a text to one row: `mean`, `last`, `cls`.
    pub pool: String,
    /// Most tokens of a text.
    pub max_length: usize,
    /// Most examples that were asked for.
    pub limit: Option<usize>,
    /// N.
    pub n: usize,
    /// The places, in the order in which a text passes them.
    pub sites: Vec<Site>,
    /// Row numbers in the task's source, `[N]`.
    pub example_ids: Vec<u64>,
    /// Classes, `[N]`.
    pub labels: Vec<u32>,
    /// Names of the classes.
    pub label_names: Vec<String>,
}

impl Manifest {
    /// `model:task:split`, the name that people type.
    pub fn name(&self) -> String {
        format!("{}:{}:{}", self.model, self.task, self.split)
    }

    /// Whether this is what was typed: the beginning of the key (eight letters or more, or all of
    /// it), the model, `model:task` or the whole [name](Self::name).
    fn answers_to(&self, typed: &str) -> bool {
        (typed.len() >= 8 && self.key.starts_with(typed))
            || self.key == typed
            || self.model == typed
            || format!("{}:{}", self.model, self.task) == typed
            || self.name() == typed
    }

    /// Holds a manifest against itself.
    ///
    /// # Errors
    /// The first contradiction, in words.
    pub fn check(&self) -> Result<(), String> {
        check_key(&self.key)?;
        if self.n == 0 || self.example_ids.len() != self.n || self.labels.len() != self.n {
            let (ids, labels) = (self.example_ids.len(), self.labels.len());
            return Err(format!("{ids} example ids and {labels} labels for {} examples", self.n));
        }
        let classes = self.label_names.len();
        if let Some(label) = self.labels.iter().find(|label| **label as usize >= classes) {
            return Err(format!("label {label}, but there are {classes} classes"));
        }
        if self.sites.is_empty() {
            return Err("it lists no site".into());
        }
        for (at, site) in self.sites.iter().enumerate() {
            let wrong = |what: String| Err(format!("site `{}`: {what}", site.name));
            if site.name.is_empty() || self.sites[..at].iter().any(|other| other.name == site.name) {
                return wrong("its name is empty or stands twice".into());
            }
            if site.file != file_name(at) {
                return wrong(format!("its file is `{}`, expected `{}`", site.file, file_name(at)));
            }
            if site.width == 0 || self.bytes_of(site.width).is_none() {
                return wrong(format!("{} rows of width {} are absurd", self.n, site.width));
            }
            if site.sha256.len() != 64 || !is_hex(&site.sha256) {
                return wrong("its checksum is no SHA-256 in lower-case hexadecimal".into());
            }
        }
        Ok(())
    }

    /// Bytes of a site's numbers.
    fn bytes_of(&self, width: usize) -> Option<u64> {
        header::bytes_of(Dtype::F32, &[self.n, width]).filter(|bytes| *bytes < 1 << 48)
    }

    /// Bytes of all sites' numbers.
    pub fn bytes(&self) -> u64 {
        self.sites.iter().filter_map(|site| self.bytes_of(site.width)).sum()
    }
}

/// The file of the `at`-th site.
fn file_name(at: usize) -> String {
    format!("layer-{at:03}.safetensors")
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

fn check_key(key: &str) -> Result<(), String> {
    if (8..=64).contains(&key.len()) && is_hex(key) {
        return Ok(());
    }
    Err(format!("key `{}`, expected 8 to 64 lower-case hexadecimal digits", key.escape_debug()))
}

/// A folder's name, and its manifest or why it cannot be read.
pub type Scanned = (String, Result<Manifest, Error>);

/// The stored hidden states of an output directory.
#[derive(Clone, Debug)]
pub struct Representations {
    folder: PathBuf,
}

impl Representations {
    /// Those below `outputs`; nothing is made.
    pub fn at(outputs: &Path) -> Self {
        Self { folder: outputs.join("representations") }
    }

    /// Where they stand.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Everything in the place of a representation, sorted by key: its manifest, or why it has none.
    ///
    /// # Errors
    /// Refusals of the file system when listing; an absent directory holds nothing.
    pub fn scan(&self) -> Result<Vec<Scanned>, Error> {
        let failed = |e| Store::io("read", &self.folder, e);
        let entries = match fs::read_dir(&self.folder) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(failed)?,
        };
        let mut keys = Vec::new();
        for entry in entries {
            keys.extend(entry.map_err(failed)?.file_name().into_string());
        }
        keys.retain(|key| check_key(key).is_ok());
        keys.sort();
        Ok(keys.into_iter().map(|key| (key.clone(), self.read(&key))).collect())
    }

    /// The manifests of all whole representations, sorted by name; [`scan`](Self::scan) tells of
    /// damaged ones.
    ///
    /// # Errors
    /// As [`scan`](Self::scan).
    pub fn list(&self) -> Result<Vec<Manifest>, Error> {
        let mut found: Vec<Manifest> = self.scan()?.into_iter().filter_map(|(_, read)| read.ok()).collect();
        found.sort_by_key(|manifest| (manifest.name(), manifest.key.clone()));
        Ok(found)
    }

    /// The representation of this key.
    ///
    /// # Errors
    /// An absent or damaged manifest, or one of a newer program.
    pub fn read(&self, key: &str) -> Result<Manifest, Error> {
        let path = self.folder.join(key).join(MANIFEST);
        check_key(key).map_err(|reason| Store::malformed(&path, reason))?;
        let manifest = parse(&path)?;
        if manifest.key != key {
            let reason = format!("it is of the key `{}`, expected `{key}`", manifest.key.escape_debug());
            return Err(Store::malformed(&path, reason).into());
        }
        Ok(manifest)
    }

    /// The representation that a key's first eight letters or more, a model, `model:task` or
    /// `model:task:split` stands for.
    ///
    /// # Errors
    /// [`Error::Unknown`], [`Error::Ambiguous`], and a damaged folder of that key.
    pub fn find(&self, typed: &str) -> Result<Manifest, Error> {
        let scanned = self.scan()?;
        let mut matches = Vec::new();
        let mut available = Vec::new();
        for (key, read) in scanned {
            match read {
                Ok(manifest) => {
                    available.push(manifest.name());
                    if manifest.answers_to(typed) {
                        matches.push(manifest);
                    }
                }
                Err(damage) if typed.len() >= 8 && key.starts_with(typed) => return Err(damage),
                Err(_) => {}
            }
        }
        match matches.len() {
            0 => Err(Error::Unknown { name: typed.into(), path: self.folder.clone(), available }),
            1 => Ok(matches.remove(0)),
            _ => {
                let word = |manifest: &Manifest| {
                    format!("{} ({}, {} pooled)", &manifest.key[..8], manifest.name(), manifest.pool)
                };
                Err(Error::Ambiguous { name: typed.into(), matches: matches.iter().map(word).collect() })
            }
        }
    }

    /// The hidden states of a manifest, to be read site by site.
    pub fn open(&self, manifest: &Manifest) -> Representation {
        Representation { folder: self.folder.join(&manifest.key), manifest: manifest.clone() }
    }
}

/// A folder of hidden states.
#[derive(Clone, Debug)]
pub struct Representation {
    folder: PathBuf,
    manifest: Manifest,
}

impl Representation {
    /// What it holds.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The numbers of a site, row-major `[N, width]`, all of them finite. Nothing is allocated
    /// before the file has the size that the manifest implies.
    ///
    /// # Errors
    /// [`Error::Site`], and a file that is absent or is not the one that was written.
    pub fn read(&self, site: usize) -> Result<Vec<f32>, Error> {
        let Manifest { sites, n, .. } = &self.manifest;
        let (count, representation) = (sites.len(), self.manifest.name());
        let site = sites.get(site).ok_or(Error::Site { representation, site, count })?;
        let path = self.folder.join(&site.file);
        let unreadable = |e| Store::io("read", &path, e);
        let wrong = |reason: String| Store::malformed(&path, reason);
        let file = File::open(&path).map_err(unreadable)?;
        let size = file.metadata().map_err(unreadable)?.len();
        let bytes = self.manifest.bytes_of(site.width).ok_or_else(|| wrong("absurd size".into()))?;
        if size < bytes || size - bytes > LARGEST_HEADER {
            return Err(wrong(format!("{size} bytes, expected {bytes} and a header")).into());
        }
        let mut reader = Hashed { inner: BufReader::with_capacity(1 << 18, file), hash: Sha256::new() };
        let mut prefix = [0; header::PREFIX as usize];
        reader.read_exact(&mut prefix).map_err(unreadable)?;
        let length = header::announced(prefix, size).map_err(|e| wrong(e.to_string()))?;
        if length + header::PREFIX + bytes != size {
            return Err(wrong(format!("a header of {length} bytes in a file of {size}")).into());
        }
        let mut json = vec![0; length as usize];
        reader.read_exact(&mut json).map_err(unreadable)?;
        let head = header::parse(&json, size).map_err(|e| wrong(e.to_string()))?;
        let shape = [*n, site.width];
        let fits = head.tensors.len() == 1
            && head.tensors.get(TENSOR).is_some_and(|it| it.dtype == Dtype::F32 && it.shape == shape);
        if !fits {
            return Err(wrong(format!("expected the one tensor `{TENSOR}`, F32 of shape {shape:?}")).into());
        }
        let mut numbers = Vec::with_capacity(n * site.width);
        let mut chunk = vec![0; 1 << 16];
        let mut left = bytes as usize;
        while left > 0 {
            let part = &mut chunk[..left.min(1 << 16)];
            reader.read_exact(part).map_err(unreadable)?;
            numbers.extend(part.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)));
            left -= part.len();
        }
        if hex(reader.hash) != site.sha256 {
            return Err(wrong("its checksum differs from the manifest's".into()).into());
        }
        if let Some(at) = numbers.iter().position(|x| !x.is_finite()) {
            let (row, value) = (at / site.width, numbers[at]);
            return Err(wrong(format!("row {row} holds {value}, expected finite numbers")).into());
        }
        Ok(numbers)
    }
}

struct Hashed<R> {
    inner: R,
    hash: Sha256,
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.hash.update(&buffer[..read]);
        Ok(read)
    }
}

fn parse(path: &Path) -> Result<Manifest, Error> {
    #[derive(Deserialize)]
    struct Header {
        schema_version: u32,
    }
    let unreadable = |e| Store::io("read", path, e);
    let file = File::open(path).map_err(unreadable)?;
    let size = file.metadata().map_err(unreadable)?.len();
    if size > LARGEST_MANIFEST {
        let reason = format!("{size} bytes, expected at most {LARGEST_MANIFEST}");
        return Err(Store::malformed(path, reason).into());
    }
    let mut text = Vec::new();
    file.take(LARGEST_MANIFEST).read_to_end(&mut text).map_err(unreadable)?;
    let malformed = |e: serde_json::Error| Store::malformed(path, e);
    let header: Header = serde_json::from_slice(&text).map_err(malformed)?;
    if header.schema_version > SCHEMA_VERSION {
        let (path, found) = (path.to_path_buf(), header.schema_version);
        return Err(Store::Newer { path, found, known: SCHEMA_VERSION }.into());
    }
    let manifest: Manifest = serde_json::from_slice(&text).map_err(malformed)?;
    manifest.check().map_err(|reason| Store::malformed(path, reason))?;
    Ok(manifest)
}

fn hex(hash: Sha256) -> String {
    format!("{:x}", hash.finalize())
}
