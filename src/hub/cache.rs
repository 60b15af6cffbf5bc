//! The layer bundles on this disk.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::bundle::{About, Bundle, remove as remove_files};
use super::error::{Error, READING};
use super::settings::Settings;

/// One bundle, or what an unfinished fetch left of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Where its file is, or will be.
    pub path: PathBuf,
    /// `models--org--name@commit`.
    pub folder: String,
    /// Which layer; `None` for an unfinished or damaged one.
    pub about: Option<About>,
    /// Bytes on disk.
    pub bytes: u64,
    /// Time since it was written.
    pub age: Duration,
}

/// All bundles, by folder and name.
///
/// # Errors
/// When the cache cannot be read; one that does not exist is empty.
pub fn list(settings: &Settings) -> Result<Vec<Entry>, Error> {
    let root = settings.bundles.join("layers");
    let mut entries = Vec::new();
    for folder in children(&root)? {
        for path in children(&folder)? {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let bundle = match name.strip_suffix(".partial") {
                Some(whole) => path.with_file_name(whole),
                None if name.ends_with(".safetensors") => path.clone(),
                None => continue,
            };
            let Ok(found) = std::fs::metadata(&path) else { continue };
            let written = found.modified().unwrap_or(SystemTime::UNIX_EPOCH);
            let about =
                if bundle == path { Bundle::open(&path).ok().map(|it| it.about().clone()) } else { None };
            entries.push(Entry {
                path: bundle,
                folder: folder.file_name().unwrap_or_default().to_string_lossy().into_owned(),
                about,
                bytes: found.len(),
                age: SystemTime::now().duration_since(written).unwrap_or_default(),
            });
        }
    }
    entries.sort_by(|a, b| (&a.folder, layer(a), &a.path).cmp(&(&b.folder, layer(b), &b.path)));
    Ok(entries)
}

/// Removes a bundle, or what is left of one; returns the bytes freed.
///
/// # Errors
/// When a file cannot be removed.
pub fn remove(entry: &Entry) -> Result<u64, Error> {
    remove_files(&entry.path).map(|()| entry.bytes)
}

/// Hashes a bundle's tensors; returns the bytes read.
///
/// # Errors
/// When it is unfinished or damaged.
pub fn verify(entry: &Entry) -> Result<u64, Error> {
    Bundle::open(&entry.path)?.verify()
}

fn layer(entry: &Entry) -> usize {
    entry.about.as_ref().map_or(usize::MAX, |about| about.layer)
}

fn children(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error)
            if matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) =>
        {
            return Ok(Vec::new());
        }
        Err(error) => return Err(Error::io(READING, folder)(error)),
    };
    entries.map(|entry| entry.map(|it| it.path()).map_err(Error::io(READING, folder))).collect()
}
