//! Checkpoints of a running cell, `checkpoint.<name>` in its work directory. Each is replaced in
//! one step and closed by a SHA-256 of its content, so that what is read back is what was written:
//! a torn file is told apart, never used. The content is the trainer's own affair.
//!
//! Layout of a file: 8 bytes `PIFICKP1`, content, 32 bytes SHA-256 of the content.

use std::fs::{self, File};
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::{Error, atomic};

const MAGIC: &[u8; 8] = b"PIFICKP1";
const HASH_LEN: u64 = 32;

/// The checkpoints of one cell; had from [`super::Store::checkpoints`] by whoever holds its claim.
#[derive(Clone, Debug)]
pub struct Checkpoints {
    folder: PathBuf,
}

/// What is left of a checkpoint.
#[derive(Debug)]
pub enum Restored {
    /// There is none.
    Absent,
    /// There is one that cannot be used; the cell starts over, and this says why.
    Torn(String),
    /// It is whole.
    Whole(Content),
}

/// The content of a whole checkpoint.
#[derive(Debug)]
pub struct Content {
    reader: io::Take<BufReader<File>>,
}

impl Content {
    /// Bytes that are left to read.
    pub fn remaining(&self) -> u64 {
        self.reader.limit()
    }
}

impl Read for Content {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.reader.read(buffer)
    }
}

impl Checkpoints {
    pub(super) fn in_folder(folder: PathBuf) -> Result<Self, Error> {
        fs::create_dir_all(&folder).map_err(|e| Error::io("create", &folder, e))?;
        Ok(Self { folder })
    }

    /// Writes a checkpoint or replaces it in one step. `name` is a plain word (`state`, `best`).
    /// Where two checkpoints belong together, the one that names the other is to be written last.
    ///
    /// # Errors
    /// A full disk by that name, and other refusals of the file system; the old one stays.
    pub fn write(
        &self,
        name: &str,
        content: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> Result<(), Error> {
        atomic::replace(&self.path(name), |out| {
            out.write_all(MAGIC)?;
            let mut hashed = Hashing { out, hash: Sha256::new() };
            content(&mut hashed)?;
            let hash = hashed.hash.finalize();
            out.write_all(&hash)
        })
    }

    /// Opens a checkpoint after verifying the whole of it.
    ///
    /// # Errors
    /// Refusals of the file system; a torn file is no error.
    pub fn read(&self, name: &str) -> Result<Restored, Error> {
        let path = self.path(name);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Restored::Absent),
            Err(e) => return Err(Error::io("read", &path, e)),
        };
        verify(file, &path).map_err(|e| Error::io("read", &path, e))
    }

    /// Names of the checkpoints that are there, sorted.
    ///
    /// # Errors
    /// Refusals of the file system.
    pub fn names(&self) -> Result<Vec<String>, Error> {
        let failed = |e| Error::io("read", &self.folder, e);
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.folder).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            names.extend(name.to_str().and_then(|n| n.strip_prefix("checkpoint.")).map(str::to_owned));
        }
        names.sort();
        Ok(names)
    }

    /// Removes a checkpoint, if it is there.
    ///
    /// # Errors
    /// Refusals of the file system.
    pub fn remove(&self, name: &str) -> Result<(), Error> {
        let path = self.path(name);
        match fs::remove_file(&path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(Error::io("remove", &path, e)),
            _ => Ok(()),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        debug_assert!(!name.contains(['/', '\\']), "a plain word: `{name}`");
        self.folder.join(format!("checkpoint.{name}"))
    }
}

fn verify(file: File, path: &Path) -> io::Result<Restored> {
    let torn = |reason: &str| {
        Ok(Restored::Torn(format!("checkpoint `{}` is not whole ({reason}): ignored", path.display())))
    };
    let len = file.metadata()?.len();
    let Some(content) = len.checked_sub(MAGIC.len() as u64 + HASH_LEN) else {
        return torn("too short");
    };
    let mut reader = BufReader::with_capacity(1 << 18, file);
    let mut magic = [0; 8];
    reader.read_exact(&mut magic)?;
    if &magic != MAGIC {
        return torn("unknown format");
    }
    let mut hash = Sha256::new();
    io::copy(&mut (&mut reader).take(content), &mut hash)?;
    let mut expected = [0; HASH_LEN as usize];
    reader.read_exact(&mut expected)?;
    if hash.finalize().as_slice() != expected {
        return torn("its checksum differs");
    }
    reader.seek(SeekFrom::Start(MAGIC.len() as u64))?;
    Ok(Restored::Whole(Content { reader: reader.take(content) }))
}

struct Hashing<'a, W: Write> {
    out: &'a mut W,
    hash: Sha256,
}

impl<W: Write> Write for Hashing<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.hash.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn restored(checkpoints: &Checkpoints) -> Result<Vec<u8>, String> {
        match checkpoints.read("state").expect("the file system works") {
            Restored::Absent => Err("absent".into()),
            Restored::Torn(note) => Err(note),
            Restored::Whole(mut content) => {
                let mut bytes = Vec::new();
                content.read_to_end(&mut bytes).expect("reads");
                Ok(bytes)
            }
        }
    }

    #[test]
    fn what_is_read_back_is_what_was_written_last() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let checkpoints = Checkpoints::in_folder(folder.path().join("ab")).expect("creates");
        assert_eq!(restored(&checkpoints), Err("absent".into()));
        for content in [vec![], vec![7; 1_000_000], b"last".to_vec()] {
            checkpoints.write("state", |out| out.write_all(&content)).expect("writes");
            assert_eq!(restored(&checkpoints), Ok(content));
        }
        assert_eq!(checkpoints.names().expect("lists"), ["state"]);
        checkpoints.remove("state").expect("removes");
        checkpoints.remove("state").expect("removes again");
        assert_eq!(restored(&checkpoints), Err("absent".into()));
    }

    #[test]
    fn a_checkpoint_cut_anywhere_or_changed_anywhere_is_ignored_with_a_note() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let checkpoints = Checkpoints::in_folder(folder.path().to_path_buf()).expect("creates");
        checkpoints.write("state", |out| out.write_all(b"0123456789")).expect("writes");
        let path = folder.path().join("checkpoint.state");
        let whole = fs::read(&path).expect("reads");
        for len in 0..whole.len() {
            fs::write(&path, &whole[..len]).expect("writes");
            assert!(restored(&checkpoints).expect_err("torn").contains("not whole"), "{len} bytes");
        }
        for at in 0..whole.len() {
            let mut changed = whole.clone();
            changed[at] ^= 1;
            fs::write(&path, changed).expect("writes");
            assert!(restored(&checkpoints).is_err(), "byte {at}");
        }
    }

    #[test]
    fn a_write_that_fails_keeps_the_checkpoint_before_it() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let checkpoints = Checkpoints::in_folder(folder.path().to_path_buf()).expect("creates");
        checkpoints.write("state", |out| out.write_all(b"before")).expect("writes");
        let full = checkpoints.write("state", |_| Err(io::ErrorKind::StorageFull.into()));
        assert!(matches!(full, Err(Error::DiskFull { .. })));
        assert_eq!(restored(&checkpoints), Ok(b"before".to_vec()));
    }
}
