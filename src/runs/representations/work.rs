//! A representation in the making, `.work/<key>/`: the sites that are whole, the activations that
//! wait for the next layer, and `progress.json`, which names both and is written last. Whoever is
//! killed at any moment finds the last layer that was whole, of a model that is passed as a whole the
//! last batch, or begins anew.

use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::write::Part;
use super::{Error, Manifest, Representations, Site, SiteFile, check_key, hex, remove_folder};
use crate::error::Failure;
use crate::represent::Tape;
use crate::runs::{self, Claim, atomic};

const PROGRESS: &str = "progress.json";
/// Numbers turned into bytes, or back, at once.
const CHUNK: usize = 1 << 14;

/// What has been done: steps are the embeddings and then the layers.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Progress {
    key: String,
    steps: usize,
    sites: Vec<Site>,
    kept: Option<Kept>,
    /// Of a model that is passed as a whole.
    #[serde(default)]
    parts: Option<Parts>,
}

/// The sites of a model that is passed as a whole, as far as texts have passed it.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Parts {
    /// Texts that have passed, of how many.
    texts: usize,
    of: usize,
    sites: Vec<(Site, Part)>,
}

/// A file of activations.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Kept {
    file: String,
    bytes: u64,
    sha256: String,
}

/// The folder of a representation that this process alone works on.
#[derive(Debug)]
pub struct Work {
    store: Representations,
    folder: PathBuf,
    progress: Progress,
    _claim: Claim,
}

impl Representations {
    /// Takes the work on a key, from where it was left.
    ///
    /// # Errors
    /// [`Error::Busy`] while another process is at it, and refusals of the file system.
    pub fn work(&self, key: &str) -> Result<Work, Error> {
        check_key(key).map_err(|reason| runs::Error::malformed(&self.folder, reason))?;
        let folder = self.folder.join(".work").join(key);
        let locks = self.folder.join(".locks");
        for folder in [&folder, &locks] {
            fs::create_dir_all(folder).map_err(|e| runs::Error::io("create", folder, e))?;
        }
        let claim = Claim::take(&locks.join(format!("{key}.claim")), key)?;
        let claim = claim.ok_or_else(|| Error::Busy { key: key.into() })?;
        let progress = restored(&folder, key);
        Ok(Work { store: self.clone(), folder, progress, _claim: claim })
    }
}

/// Progress whose files are all there and whole; else none.
fn restored(folder: &Path, key: &str) -> Progress {
    let fresh = Progress { key: key.into(), ..Progress::default() };
    let read = fs::read(folder.join(PROGRESS)).ok();
    let Some(found) = read.and_then(|text| serde_json::from_slice::<Progress>(&text).ok()) else {
        return fresh;
    };
    let whole = |name: &str, sha256: &str| {
        // a name that leads elsewhere is none of ours
        !name.contains(['/', '\\']) && hash(&folder.join(name)).is_ok_and(|(_, found)| found == sha256)
    };
    let sites = found.sites.iter().all(|site| whole(&site.file, &site.sha256));
    let kept = found.kept.as_ref().is_none_or(|kept| whole(&kept.file, &kept.sha256));
    if found.key == key && sites && kept { found } else { fresh }
}

fn hash(path: &Path) -> io::Result<(u64, String)> {
    let mut hash = Sha256::new();
    let bytes = io::copy(&mut BufReader::with_capacity(1 << 18, File::open(path)?), &mut hash)?;
    Ok((bytes, hex(hash)))
}

impl Work {
    /// Steps that are behind: 0 at first, 1 after the embeddings.
    pub fn steps(&self) -> usize {
        self.progress.steps
    }

    /// The sites that are whole.
    pub fn sites(&self) -> &[Site] {
        &self.progress.sites
    }

    /// Begins the next step: `site` is what is to be emitted of it, by name and layer, rows and
    /// width, and `keeps` whether a further step will read its activations.
    ///
    /// # Errors
    /// Refusals of the file system.
    pub fn step(
        &self,
        site: Option<(&str, Option<usize>, usize, usize)>,
        keeps: bool,
    ) -> Result<Step<'_>, Error> {
        let at = self.progress.sites.len();
        let out = match site {
            Some((name, layer, n, width)) => {
                let file = SiteFile::create(&self.folder, at, n, width)?;
                let (file_name, sha256) = (String::new(), String::new());
                Some((Site { name: name.into(), layer, width, file: file_name, sha256 }, file))
            }
            None => None,
        };
        let before = match &self.progress.kept {
            Some(kept) => {
                let path = self.folder.join(&kept.file);
                let file = File::open(&path).map_err(|e| runs::Error::io("read", &path, e))?;
                Some((BufReader::with_capacity(1 << 18, file), path))
            }
            None => None,
        };
        let after = match keeps {
            true => {
                let name = format!("activations.{}", self.progress.steps % 2);
                let path = self.folder.join(&name);
                let file = File::create(&path).map_err(|e| runs::Error::io("write", &path, e))?;
                let out = BufWriter::with_capacity(1 << 18, file);
                Some(Keeping { out, path, name, hash: Sha256::new(), bytes: 0 })
            }
            false => None,
        };
        Ok(Step { out, before, after, chunk: Vec::new(), work: std::marker::PhantomData })
    }

    /// Counts a finished step as done.
    ///
    /// # Errors
    /// Refusals of the file system.
    pub fn done(&mut self, finished: Finished) -> Result<(), Error> {
        let mut progress = self.progress.clone();
        progress.steps += 1;
        progress.sites.extend(finished.site);
        let old = std::mem::replace(&mut progress.kept, finished.kept);
        self.progress = progress;
        self.note()?;
        if let Some(old) = old {
            // what cannot be removed now goes with the folder
            let _ = fs::remove_file(self.folder.join(old.file));
        }
        Ok(())
    }

    /// Writes down what has been done.
    fn note(&self) -> Result<(), Error> {
        let path = self.folder.join(PROGRESS);
        Ok(atomic::replace(&path, |out| Ok(serde_json::to_writer(out, &self.progress)?))?)
    }

    /// Adds the manifest and puts the folder into its place.
    ///
    /// # Errors
    /// A manifest that contradicts itself, and refusals of the file system.
    pub fn publish(mut self, mut manifest: Manifest) -> Result<Manifest, Error> {
        manifest.sites = std::mem::take(&mut self.progress.sites);
        for name in [PROGRESS, "activations.0", "activations.1"] {
            let path = self.folder.join(name);
            match fs::remove_file(&path) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => {
                    return Err(runs::Error::io("remove", &path, e).into());
                }
                _ => {}
            }
        }
        self.store.publish(&self.folder, &manifest)?;
        Ok(manifest)
    }

    /// Goes on with a model that is passed as a whole, `n` texts: with what is whole of an earlier
    /// command's files, else from the beginning.
    ///
    /// # Errors
    /// Refusals of the file system.
    pub fn together(mut self, n: usize) -> Result<Together, Error> {
        let mut files = Vec::new();
        if let Some(parts) = self.progress.parts.take().filter(|parts| parts.of == n) {
            for (at, (site, part)) in parts.sites.iter().enumerate() {
                let Some(file) = SiteFile::resume(&self.folder, at, part)? else { break };
                files.push((site.clone(), file));
            }
            if files.len() == parts.sites.len() && !files.is_empty() {
                self.progress.parts = Some(parts.clone());
                return Ok(Together { work: self, files, texts: parts.texts, of: n });
            }
        }
        self.restart()?;
        Ok(Together { work: self, files: Vec::new(), texts: 0, of: n })
    }

    /// Throws away what was done.
    ///
    /// # Errors
    /// Refusals of the file system.
    pub fn restart(&mut self) -> Result<(), Error> {
        remove_folder(&self.folder)?;
        fs::create_dir_all(&self.folder).map_err(|e| runs::Error::io("create", &self.folder, e))?;
        self.progress = Progress { key: std::mem::take(&mut self.progress.key), ..Progress::default() };
        Ok(())
    }
}

/// All sites at once: a batch of rows leaves memory as soon as it is there.
pub struct Together {
    work: Work,
    files: Vec<(Site, SiteFile)>,
    texts: usize,
    of: usize,
}

impl Together {
    /// Texts that have passed, by this command or an earlier one.
    pub fn texts(&self) -> usize {
        self.texts
    }

    /// Begins the files of all sites, which need their names, layers and widths only.
    ///
    /// # Errors
    /// Refusals of the file system.
    pub fn begin(&mut self, sites: Vec<Site>) -> Result<(), Error> {
        self.files.clear();
        for (at, site) in sites.into_iter().enumerate() {
            let file = SiteFile::create(&self.work.folder, at, self.of, site.width)?;
            self.files.push((site, file));
        }
        Ok(())
    }

    /// Adds rows to the `at`-th site.
    ///
    /// # Errors
    /// A site that there is not, more rows than announced, and refusals of the file system.
    pub fn push(&mut self, at: usize, rows: &[f32]) -> Result<(), Error> {
        let (representation, count) = (self.work.progress.key.clone(), self.files.len());
        let (_, file) = self.files.get_mut(at).ok_or(Error::Site { representation, site: at, count })?;
        file.push(rows)
    }

    /// Counts texts whose rows were added to all sites: they are not passed again, whatever happens.
    ///
    /// # Errors
    /// Refusals of the file system.
    pub fn passed(&mut self, texts: usize) -> Result<(), Error> {
        self.texts += texts;
        let mut sites = Vec::with_capacity(self.files.len());
        for (site, file) in &mut self.files {
            sites.push((site.clone(), file.part()?));
        }
        self.work.progress.parts = Some(Parts { texts: self.texts, of: self.of, sites });
        self.work.note()
    }

    /// Ends all files, adds the manifest and puts the folder into its place.
    ///
    /// # Errors
    /// Rows that are missing, a manifest that contradicts itself, and refusals of the file system.
    pub fn publish(mut self, manifest: Manifest) -> Result<Manifest, Error> {
        for (mut site, file) in self.files {
            (site.file, site.sha256) = file.finish()?;
            self.work.progress.sites.push(site);
        }
        self.work.publish(manifest)
    }
}

/// One step at work.
pub struct Step<'a> {
    out: Option<(Site, SiteFile)>,
    before: Option<(BufReader<File>, PathBuf)>,
    after: Option<Keeping>,
    chunk: Vec<u8>,
    work: std::marker::PhantomData<&'a Work>,
}

struct Keeping {
    out: BufWriter<File>,
    path: PathBuf,
    name: String,
    hash: Sha256,
    bytes: u64,
}

/// What a step has left behind.
#[derive(Debug)]
pub struct Finished {
    site: Option<Site>,
    kept: Option<Kept>,
}

impl Step<'_> {
    /// Flushes what was written.
    ///
    /// # Errors
    /// Rows that are missing, and refusals of the file system.
    pub fn finish(self) -> Result<Finished, Error> {
        let site = match self.out {
            Some((mut site, file)) => {
                (site.file, site.sha256) = file.finish()?;
                Some(site)
            }
            None => None,
        };
        let kept = match self.after {
            Some(Keeping { mut out, path, name, hash, bytes }) => {
                out.flush().map_err(|e| runs::Error::io("write", &path, e))?;
                Some(Kept { file: name, bytes, sha256: hex(hash) })
            }
            None => None,
        };
        Ok(Finished { site, kept })
    }
}

impl Tape for Step<'_> {
    fn recall(&mut self, activations: &mut [f32]) -> Result<(), Failure> {
        let Some((reader, path)) = &mut self.before else { return Ok(()) };
        for part in activations.chunks_mut(CHUNK) {
            self.chunk.resize(part.len() * 4, 0);
            reader.read_exact(&mut self.chunk).map_err(|e| runs::Error::io("read", path, e))?;
            for (number, bytes) in part.iter_mut().zip(self.chunk.as_chunks::<4>().0) {
                *number = f32::from_le_bytes(*bytes);
            }
        }
        Ok(())
    }

    fn keep(&mut self, activations: &[f32]) -> Result<(), Failure> {
        let Some(to) = &mut self.after else { return Ok(()) };
        for part in activations.chunks(CHUNK) {
            self.chunk.clear();
            self.chunk.extend(part.iter().flat_map(|x| x.to_le_bytes()));
            to.hash.update(&self.chunk);
            to.bytes += self.chunk.len() as u64;
            to.out.write_all(&self.chunk).map_err(|e| runs::Error::io("write", &to.path, e))?;
        }
        Ok(())
    }

    fn rows(&mut self, rows: &[f32], _texts: usize) -> Result<(), Failure> {
        match &mut self.out {
            Some((_, file)) => Ok(file.push(rows)?),
            None => Ok(()),
        }
    }
}
