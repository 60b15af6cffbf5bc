//! Layers as a portable directory: a connected machine fetches, a cluster without a network reads
//! the directory as a model. `config.json`, one bundle a layer, and a manifest that says whose
//! layers they are.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::super::checkpoint::Checkpoint;
use super::super::disk;
use super::super::error::Error;
use super::super::progress::unwatched;
use super::super::repository::Repository;
use super::super::repository_id::is_inside;
use super::Bundle;
use super::writer::bundle_head;

const NAME: &str = "manifest.json";
const MARK: &str = "pifi-probe-export-1";
const LARGEST: u64 = 64 << 20;
/// Small files that a model's directory needs besides its layers.
const FILES: [&str; 5] = [
    "config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "generation_config.json",
];

/// `manifest.json` of exported layers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    format: String,
    /// Hub id, path or embedded name of the model.
    pub repository: String,
    /// Its identity, which stands in hashes of results.
    pub identity: String,
    /// Its commit, if it came from the Hub.
    pub commit: Option<String>,
    /// Layers by file name.
    pub layers: BTreeMap<String, ManifestLayer>,
}

/// One exported layer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestLayer {
    /// Index of the decoder layer.
    pub layer: usize,
    /// Use that its tensors are enough for.
    pub scope: String,
    /// sha256 of each tensor's bytes.
    pub tensors: BTreeMap<String, String>,
}

impl Manifest {
    /// The manifest of a directory; `None` if it has none of ours.
    ///
    /// # Errors
    /// When ours is damaged or points outside of the directory.
    pub fn read(folder: &Path) -> Result<Option<Self>, Error> {
        let path = folder.join(NAME);
        if !path.is_file() {
            return Ok(None);
        }
        let bytes = disk::read_small(&path, LARGEST)?;
        // other programs write files of this name too
        let format = serde_json::from_slice::<serde_json::Value>(&bytes).ok();
        if format.and_then(|it| it.get("format")?.as_str().map(str::to_owned)).as_deref() != Some(MARK) {
            return Ok(None);
        }
        let manifest: Self = serde_json::from_slice(&bytes)
            .map_err(|error| Error::Json { file: path.display().to_string(), reason: error.to_string() })?;
        if let Some(name) = manifest.layers.keys().find(|name| !is_inside(name)) {
            let reason = format!("file `{}` would be outside of the directory", name.escape_debug());
            return Err(Error::Index { file: path.display().to_string(), reason });
        }
        Ok(Some(manifest))
    }
}

/// Adds a layer to a directory that [`Repository::open`] reads as a model without any network.
/// Layers of the same model are added one by one, also by several processes.
///
/// # Errors
/// When the directory holds layers of another model, or cannot be written.
pub fn export(bundle: &Bundle, repository: &Repository, folder: &Path) -> Result<(), Error> {
    let _lock = disk::lock(&folder.join(".lock"), &mut unwatched)?;
    let about = bundle.about();
    let mut manifest = Manifest::read(folder)?.unwrap_or_else(|| Manifest {
        format: MARK.to_owned(),
        repository: about.repository.clone(),
        identity: about.identity.clone(),
        commit: repository.commit().map(str::to_owned),
        layers: BTreeMap::new(),
    });
    if manifest.identity != about.identity {
        let reason = format!("holds layers of `{}`, not of `{}`", manifest.identity, about.identity);
        return Err(Error::LocalModel { path: folder.to_owned(), reason });
    }
    for name in FILES {
        if let Some(bytes) = repository.read_optional(name)? {
            disk::write(&folder.join(name), &bytes)?;
        }
    }
    let name = format!("L{}.{}.safetensors", about.layer, about.scope);
    copy(bundle, &folder.join(&name))?;
    let layer = ManifestLayer { layer: about.layer, scope: about.scope.clone(), tensors: bundle.hashes()? };
    manifest.layers.insert(name, layer);
    let text = serde_json::to_vec_pretty(&manifest).expect("text and numbers are JSON");
    disk::write(&folder.join(NAME), &text)
}

/// Writes a bundle's tensors, one in memory at a time.
fn copy(bundle: &Bundle, path: &Path) -> Result<(), Error> {
    let tensors: &Checkpoint = &bundle.tensors;
    let extents: Vec<_> = tensors.extents().collect();
    let head = bundle_head(bundle.about(), &extents, None);
    let mut unreadable = None;
    let written = disk::write_with(path, |file| {
        file.write_all(&head)?;
        for (name, _) in &extents {
            match tensors.tensor(name) {
                Ok(tensor) => file.write_all(&tensor.bytes)?,
                Err(error) => {
                    unreadable = Some(error);
                    return Err(std::io::Error::other("a tensor cannot be read"));
                }
            }
        }
        Ok(())
    });
    match unreadable {
        Some(error) => Err(error),
        None => written,
    }
}

impl Bundle {
    /// Opens exported layers as one source of tensors; with one layer in the directory, this is
    /// that layer. Hashes of the manifest are checked by [`Bundle::verify_dir`].
    ///
    /// # Errors
    /// When the directory has no manifest or a damaged file.
    pub fn open_dir(folder: &Path) -> Result<Self, Error> {
        let manifest = Manifest::read(folder)?.ok_or_else(|| Error::LocalModel {
            path: folder.to_owned(),
            reason: "holds no exported layers".to_owned(),
        })?;
        let mut tensors = Checkpoint::new(format!("`{}`", folder.display()));
        for name in manifest.layers.keys() {
            let store = super::super::checkpoint::Store::open(&folder.join(name))?;
            tensors.insert_all(&std::sync::Arc::new(store))?;
        }
        let first = manifest.layers.values().next();
        let about = super::About {
            repository: manifest.repository.clone(),
            identity: manifest.identity.clone(),
            layer: first.map_or(0, |it| it.layer),
            scope: first.map_or_else(String::new, |it| it.scope.clone()),
        };
        Ok(Self::view(about, tensors))
    }

    /// Hashes every tensor of exported layers and compares with the manifest. Returns the bytes
    /// read.
    ///
    /// # Errors
    /// When a file is missing or damaged.
    pub fn verify_dir(folder: &Path) -> Result<u64, Error> {
        let manifest = Manifest::read(folder)?.ok_or_else(|| Error::LocalModel {
            path: folder.to_owned(),
            reason: "holds no exported layers".to_owned(),
        })?;
        let mut read = 0;
        for (file, layer) in &manifest.layers {
            let path = folder.join(file);
            let mut tensors = Checkpoint::new(format!("`{}`", path.display()));
            tensors.insert_all(&std::sync::Arc::new(super::super::checkpoint::Store::open(&path)?))?;
            let about = super::About {
                repository: manifest.repository.clone(),
                identity: manifest.identity.clone(),
                layer: layer.layer,
                scope: layer.scope.clone(),
            };
            let view = Self::view(about, tensors);
            read += view.bytes();
            let found = view.hashes()?;
            if let Some((name, expected)) =
                layer.tensors.iter().find(|(name, hash)| found.get(*name) != Some(hash))
            {
                let what = format!("tensor {name} of {}", path.display());
                let found = found.get(name).cloned().unwrap_or_else(|| "of nothing".to_owned());
                return Err(Error::Corrupt { what, found, expected: expected.clone() });
            }
        }
        Ok(read)
    }
}
