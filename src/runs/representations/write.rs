//! Writes hidden states: site by site while they are computed, the manifest last.

use std::fs::{self, File};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Error, MANIFEST, Manifest, Representations, Site, TENSOR, check_key, file_name, hex};
use crate::hub::header;
use crate::hub::tensor::Dtype;
use crate::runs::{self, atomic};

impl Representations {
    /// Writes hidden states that are all in memory. The manifest's sites need their names, layers and
    /// widths only; files and checksums are filled in. What stands in the key's place is replaced.
    ///
    /// # Errors
    /// A manifest that contradicts itself or the numbers, and refusals of the file system.
    pub fn put(&self, manifest: &Manifest, numbers: &[Vec<f32>]) -> Result<Manifest, Error> {
        let mut manifest = manifest.clone();
        let staged = self.folder.join(".staged").join(format!("{}.{}", manifest.key, std::process::id()));
        let misfit = |reason: String| runs::Error::malformed(&staged, reason);
        check_key(&manifest.key).map_err(misfit)?;
        let fits = |(site, rows): (&Site, &Vec<f32>)| rows.len() == manifest.n * site.width;
        if manifest.sites.len() != numbers.len() || !manifest.sites.iter().zip(numbers).all(fits) {
            return Err(misfit("the numbers do not fit to the sites".into()).into());
        }
        remove_folder(&staged)?;
        fs::create_dir_all(&staged).map_err(|e| runs::Error::io("create", &staged, e))?;
        for (at, rows) in numbers.iter().enumerate() {
            let mut file = SiteFile::create(&staged, at, manifest.n, manifest.sites[at].width)?;
            file.push(rows)?;
            (manifest.sites[at].file, manifest.sites[at].sha256) = file.finish()?;
        }
        self.publish(&staged, &manifest)?;
        Ok(manifest)
    }

    /// Writes the manifest into a folder that holds all of its sites, and puts the folder into its
    /// place.
    ///
    /// # Errors
    /// A manifest that contradicts itself, and refusals of the file system.
    pub(crate) fn publish(&self, staged: &Path, manifest: &Manifest) -> Result<(), Error> {
        let path = staged.join(MANIFEST);
        manifest.check().map_err(|reason| runs::Error::malformed(&path, reason))?;
        atomic::replace(&path, |out| write_manifest(out, manifest))?;
        let place = self.folder.join(&manifest.key);
        remove_folder(&place)?;
        fs::rename(staged, &place).map_err(|e| runs::Error::io("write", &place, e))?;
        Ok(atomic::sync_folder(&self.folder)?)
    }
}

/// A site's file while its rows come in, some examples at a time; under its name only when whole.
pub(crate) struct SiteFile {
    folder: PathBuf,
    name: String,
    out: io::BufWriter<File>,
    hash: Sha256,
    written: u64,
    left: usize,
}

/// The beginning of a site's file that is whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Part {
    /// Its bytes, the header included.
    bytes: u64,
    /// Numbers that are still to come.
    left: usize,
    /// SHA-256 of the bytes.
    sha256: String,
}

impl SiteFile {
    /// Begins the file of the `at`-th site, or begins it anew.
    pub(crate) fn create(folder: &Path, at: usize, n: usize, width: usize) -> Result<Self, Error> {
        let name = file_name(at);
        let path = folder.join(format!("{name}.partial"));
        let bytes = header::bytes_of(Dtype::F32, &[n, width]).unwrap_or(u64::MAX);
        let object = serde_json::json!({TENSOR: {
            "dtype": "F32", "shape": [n, width], "data_offsets": [0, bytes],
        }});
        let mut text = object.to_string().into_bytes();
        text.resize(text.len().next_multiple_of(8), b' ');
        let file = File::create(&path).map_err(|e| runs::Error::io("write", &path, e))?;
        let out = io::BufWriter::with_capacity(1 << 18, file);
        let folder = folder.to_path_buf();
        let mut site = Self { folder, name, out, hash: Sha256::new(), written: 0, left: n * width };
        site.bytes(&(text.len() as u64).to_le_bytes())?;
        site.bytes(&text)?;
        Ok(site)
    }

    /// Goes on with a file of which this part was written; `None` where it is not there or not the one
    /// that was written. What stands behind it is cut off.
    pub(super) fn resume(folder: &Path, at: usize, part: &Part) -> Result<Option<Self>, Error> {
        let name = file_name(at);
        let path = folder.join(format!("{name}.partial"));
        if !path.exists() {
            // it had got its name when the work was broken off; that it may be absent is seen below
            let _ = fs::rename(folder.join(&name), &path);
        }
        let failed = |e| runs::Error::io("write", &path, e);
        let mut file = match File::options().read(true).write(true).open(&path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened.map_err(failed)?,
        };
        let mut hash = Sha256::new();
        let read = io::copy(&mut (&mut file).take(part.bytes), &mut hash).map_err(failed)?;
        if read != part.bytes || hex(hash.clone()) != part.sha256 {
            return Ok(None);
        }
        file.set_len(part.bytes).map_err(failed)?;
        file.seek(io::SeekFrom::Start(part.bytes)).map_err(failed)?;
        let out = io::BufWriter::with_capacity(1 << 18, file);
        let (folder, written, left) = (folder.to_path_buf(), part.bytes, part.left);
        Ok(Some(Self { folder, name, out, hash, written, left }))
    }

    /// Hands what was pushed to the system, and says what that is.
    pub(super) fn part(&mut self) -> Result<Part, Error> {
        self.out.flush().map_err(|e| runs::Error::io("write", &self.partial(), e))?;
        Ok(Part { bytes: self.written, left: self.left, sha256: hex(self.hash.clone()) })
    }

    /// Adds rows.
    pub(crate) fn push(&mut self, rows: &[f32]) -> Result<(), Error> {
        let Some(left) = self.left.checked_sub(rows.len()) else {
            let reason = format!("{} numbers, expected at most {}", rows.len(), self.left);
            return Err(runs::Error::malformed(&self.partial(), reason).into());
        };
        self.left = left;
        let mut bytes = Vec::with_capacity(rows.len().min(1 << 14) * 4);
        for part in rows.chunks(1 << 14) {
            bytes.clear();
            bytes.extend(part.iter().flat_map(|x| x.to_le_bytes()));
            self.bytes(&bytes)?;
        }
        Ok(())
    }

    /// Flushes the file to the disk and gives it its name: name and checksum.
    pub(crate) fn finish(mut self) -> Result<(String, String), Error> {
        let path = self.partial();
        let failed = |e| runs::Error::io("write", &path, e);
        if self.left > 0 {
            return Err(runs::Error::malformed(&path, format!("{} numbers are missing", self.left)).into());
        }
        self.out.flush().map_err(failed)?;
        self.out.get_ref().sync_all().map_err(failed)?;
        fs::rename(&path, self.folder.join(&self.name)).map_err(failed)?;
        Ok((self.name, hex(self.hash)))
    }

    fn partial(&self) -> PathBuf {
        self.folder.join(format!("{}.partial", self.name))
    }

    fn bytes(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.hash.update(bytes);
        self.written += bytes.len() as u64;
        Ok(self.out.write_all(bytes).map_err(|e| runs::Error::io("write", &self.partial(), e))?)
    }
}

/// One line a field, so that people can read it and ten thousand labels take one line.
fn write_manifest(out: &mut dyn Write, manifest: &Manifest) -> io::Result<()> {
    let value = serde_json::to_value(manifest)?;
    let fields = value.as_object().into_iter().flatten();
    let lines: Vec<String> =
        fields.map(|(key, value)| format!("  {}: {value}", serde_json::Value::from(key.as_str()))).collect();
    writeln!(out, "{{\n{}\n}}", lines.join(",\n"))
}

pub(crate) fn remove_folder(folder: &Path) -> Result<(), Error> {
    match fs::remove_dir_all(folder) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(runs::Error::io("remove", folder, e).into()),
        _ => Ok(()),
    }
}
