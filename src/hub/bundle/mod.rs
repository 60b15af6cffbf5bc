//! One layer, apart from its model: a small safetensors file with the sha256 of each tensor beside
//! it, or a view into a checkpoint that is whole on this disk anyway.
//!
//! `PIFI_PROBE_CACHE/layers/models--org--name@commit/L<layer>.<scope>.safetensors`; the scope
//! (`one-token`, `sequence`, ...) says for which use its tensors are enough, so that a layer
//! without q and k is never taken for a whole one. The Hub cache holds whole files only, hence the
//! place of its own.

mod export;
mod fetch;
mod writer;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::checkpoint::{Checkpoint, Store};
use super::disk;
use super::error::Error;
use super::tensor::{Dtype, RawTensor, TensorRequest, TensorSource};

pub use export::{Manifest, ManifestLayer, export};
pub use fetch::fetch;

/// Key of the file's metadata that marks a bundle; its value is the version.
pub(crate) const FORMAT_KEY: &str = "pifi-probe";
pub(crate) const FORMAT: &str = "layer-1";
/// Largest sidecar read.
const LARGEST_SIDECAR: u64 = 16 << 20;

/// Which layer a bundle is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// Hub id, path or embedded name.
    pub repository: String,
    /// The repository's [`identity`](super::repository::Repository::identity).
    pub identity: String,
    /// Index of the decoder layer.
    pub layer: usize,
    /// Use that its tensors are enough for.
    pub scope: String,
}

/// Bytes and requests that a bundle took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transfer {
    /// Headers of shards, over the network.
    pub header_bytes: u64,
    /// Tensors, over the network.
    pub tensor_bytes: u64,
    /// Gaps read over, over the network.
    pub waste_bytes: u64,
    /// Requests sent.
    pub requests: u64,
    /// Tensor bytes that were on this disk already.
    pub from_cache: u64,
}

/// What stands beside a bundle.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Sidecar {
    about: About,
    /// Bytes of the bundle's file.
    bytes: u64,
    transfer: Transfer,
    /// Hash or other name of each shard's content.
    shards: BTreeMap<String, String>,
    /// sha256 of each tensor's bytes.
    tensors: BTreeMap<String, String>,
}

/// One layer's tensors.
#[derive(Clone, Debug)]
pub struct Bundle {
    about: About,
    tensors: Checkpoint,
    stored: Option<(PathBuf, Sidecar)>,
    transfer: Transfer,
}

impl Bundle {
    /// Opens a bundle's file; header, sizes and the sidecar's list are checked, hashes are not
    /// (see [`Self::verify`]).
    ///
    /// # Errors
    /// When the file or its sidecar is missing, damaged or of another version.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let broken = |reason: &str| Error::Bundle { path: path.to_owned(), reason: reason.to_owned() };
        let side = disk::read_small(&sidecar_path(path), LARGEST_SIDECAR)?;
        let sidecar: Sidecar =
            serde_json::from_slice(&side).map_err(|_| broken("has a sidecar that cannot be read"))?;
        let store = Arc::new(Store::open(path)?);
        if store.size() != sidecar.bytes {
            return Err(broken(&format!("has {} bytes, expected {}", store.size(), sidecar.bytes)));
        }
        let mut tensors = Checkpoint::new(format!("layer bundle `{}`", path.display()));
        let header = tensors.insert_all(&store)?;
        if header.metadata.get(FORMAT_KEY).map(String::as_str) != Some(FORMAT) {
            return Err(broken("is of another version"));
        }
        if !tensors.tensor_names().iter().eq(sidecar.tensors.keys()) {
            return Err(broken("and its sidecar name different tensors"));
        }
        let about = sidecar.about.clone();
        let transfer = Transfer { from_cache: tensors.bytes(), ..Transfer::default() };
        Ok(Self { about, tensors, stored: Some((path.to_owned(), sidecar)), transfer })
    }

    fn view(about: About, tensors: Checkpoint) -> Self {
        let transfer = Transfer { from_cache: tensors.bytes(), ..Transfer::default() };
        Self { about, tensors, stored: None, transfer }
    }

    /// Which layer it is.
    pub fn about(&self) -> &About {
        &self.about
    }

    /// Its file; `None` for a view into a checkpoint.
    pub fn path(&self) -> Option<&Path> {
        self.stored.as_ref().map(|(path, _)| path.as_path())
    }

    /// What it took to get it now.
    pub fn transfer(&self) -> Transfer {
        self.transfer
    }

    /// Bytes of its tensors.
    pub fn bytes(&self) -> u64 {
        self.tensors.bytes()
    }

    /// Its tensors by name: stored type, shape of the whole tensor, rows kept if not all.
    pub fn tensors(&self) -> impl Iterator<Item = (&str, Dtype, &[usize], Option<std::ops::Range<usize>>)> {
        self.tensors.extents().map(|(name, it)| (name, it.dtype, it.shape.as_slice(), it.rows.clone()))
    }

    /// Reads one tensor, or the rows of it that are kept.
    ///
    /// # Errors
    /// When it has none of that name, or its file cannot be read.
    pub fn tensor(&self, name: &str) -> Result<RawTensor, Error> {
        self.tensors.tensor(name)
    }

    /// Hashes every tensor and compares with the sidecar; a view has none to compare with, its
    /// bytes are read all the same. Returns the bytes read.
    ///
    /// # Errors
    /// When a tensor's bytes are not those that were fetched, or cannot be read.
    pub fn verify(&self) -> Result<u64, Error> {
        let mut read = 0;
        for name in self.tensors.tensor_names() {
            let bytes = self.tensor(&name)?.bytes;
            read += bytes.len() as u64;
            let Some((path, sidecar)) = &self.stored else { continue };
            let found = disk::hex(&Sha256::digest(&bytes));
            let expected = sidecar.tensors.get(&name).cloned().unwrap_or_default();
            if found != expected {
                let what = format!("tensor {name} of {}", path.display());
                return Err(Error::Corrupt { what, found, expected });
            }
        }
        Ok(read)
    }

    /// sha256 of each tensor's bytes, computed for a view.
    ///
    /// # Errors
    /// When a view's files cannot be read.
    pub fn hashes(&self) -> Result<BTreeMap<String, String>, Error> {
        if let Some((_, sidecar)) = &self.stored {
            return Ok(sidecar.tensors.clone());
        }
        let hash = |name: String| Ok((name.clone(), disk::hex(&Sha256::digest(&self.tensor(&name)?.bytes))));
        self.tensors.tensor_names().into_iter().map(hash).collect()
    }

    /// Removes its file; a view removes nothing. Returns the bytes freed.
    ///
    /// # Errors
    /// When the file cannot be removed.
    pub fn evict(self) -> Result<u64, Error> {
        match self.stored {
            Some((path, sidecar)) => remove(&path).map(|()| sidecar.bytes),
            None => Ok(0),
        }
    }

    /// Whether it holds everything that is requested.
    fn holds(&self, requests: &[TensorRequest]) -> bool {
        requests
            .iter()
            .all(|it| self.tensors.extent(&it.name).is_some_and(|found| found.narrowed(it).is_ok()))
    }
}

impl TensorSource for Bundle {
    fn names(&self) -> Vec<String> {
        self.tensors.names()
    }

    fn read(&self, name: &str) -> Result<RawTensor, crate::error::Failure> {
        Ok(self.tensor(name)?)
    }

    fn read_rows(
        &self,
        name: &str,
        rows: &[usize],
    ) -> Result<(RawTensor, Vec<usize>), crate::error::Failure> {
        Ok(self.tensors.tensor_rows(name, rows)?)
    }
}

/// Removes a bundle's file, its sidecar and what is left of an unfinished fetch. The lock file
/// stays: whoever waits for it must not be left with another one.
pub(crate) fn remove(path: &Path) -> Result<(), Error> {
    for file in [path.to_owned(), sidecar_path(path), partial_path(path)] {
        match std::fs::remove_file(&file) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::io("removing", &file)(error));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Where the sidecar of a bundle stands.
pub(crate) fn sidecar_path(path: &Path) -> PathBuf {
    path.with_extension("json")
}

/// Where a bundle grows until it is whole.
pub(crate) fn partial_path(path: &Path) -> PathBuf {
    disk::with_ending(path, "partial")
}
