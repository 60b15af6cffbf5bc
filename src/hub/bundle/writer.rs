//! A bundle's file while it grows: bytes arrive in order, each tensor is hashed as it passes, and
//! what a killed process left is taken up again.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::PathBuf;

use sha2::{Digest, Sha256};

use super::super::checkpoint::{Extent, ROWS_KEY};
use super::super::disk;
use super::super::error::{Error, READING};
use super::super::write::head;
use super::{About, FORMAT, FORMAT_KEY};

/// The growing file.
pub(super) struct Writer {
    file: File,
    path: PathBuf,
    /// Length of each tensor, in the file's order.
    lengths: Vec<u64>,
    /// Hashes of the tensors that are whole.
    hashes: Vec<String>,
    hash: Sha256,
    /// Bytes of the unfinished tensor that have passed.
    within: u64,
    /// Tensor bytes in the file.
    done: u64,
}

impl Writer {
    /// Opens the partial file. If it begins with the same head (which names the content of every
    /// shard), its tensor bytes are kept; otherwise it starts anew.
    pub(super) fn open(path: PathBuf, head: &[u8], lengths: Vec<u64>) -> Result<Self, Error> {
        disk::make_parent(&path)?;
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(Error::io("writing", &path))?;
        let total: u64 = lengths.iter().sum();
        let mut writer =
            Self { file, path, lengths, hashes: Vec::new(), hash: Sha256::new(), within: 0, done: 0 };
        writer.finish_tensors();
        if writer.take_up(head, total)? {
            return Ok(writer);
        }
        let restart = |file: &mut File| {
            file.set_len(0)?;
            file.seek(SeekFrom::Start(0))?;
            file.write_all(head)
        };
        restart(&mut writer.file).map_err(Error::io("writing", &writer.path))?;
        Ok(writer)
    }

    /// Tensor bytes in the file.
    pub(super) fn done(&self) -> u64 {
        self.done
    }

    /// Appends tensor bytes.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.file.write_all(bytes).map_err(Error::io("writing", &self.path))?;
        self.absorb(bytes);
        Ok(())
    }

    /// The file and the hash of each tensor, once all are there.
    pub(super) fn finish(self) -> (File, PathBuf, Vec<String>) {
        assert_eq!(self.hashes.len(), self.lengths.len(), "every tensor has passed");
        (self.file, self.path, self.hashes)
    }

    fn take_up(&mut self, head: &[u8], total: u64) -> Result<bool, Error> {
        let length = self.file.metadata().map_err(Error::io(READING, &self.path))?.len();
        let start = head.len() as u64;
        if length < start || length - start > total {
            return Ok(false);
        }
        let mut buffer = vec![0; 1 << 20];
        let mut found = vec![0; head.len()];
        self.file.read_exact(&mut found).map_err(Error::io(READING, &self.path))?;
        if found != head {
            return Ok(false);
        }
        loop {
            let got = self.file.read(&mut buffer).map_err(Error::io(READING, &self.path))?;
            if got == 0 {
                return Ok(true);
            }
            self.absorb(&buffer[..got]);
        }
    }

    /// Hashes bytes into the tensors they belong to.
    fn absorb(&mut self, mut bytes: &[u8]) {
        self.done += bytes.len() as u64;
        while !bytes.is_empty() {
            let left = self.lengths[self.hashes.len()] - self.within;
            let (now, later) = bytes.split_at(left.min(bytes.len() as u64) as usize);
            self.hash.update(now);
            self.within += now.len() as u64;
            bytes = later;
            self.finish_tensors();
        }
    }

    /// Closes the tensors that are whole, those without any byte included.
    fn finish_tensors(&mut self) {
        while self.lengths.get(self.hashes.len()) == Some(&self.within) {
            self.hashes.push(disk::hex(&self.hash.finalize_reset()));
            self.within = 0;
        }
    }
}

/// Head of a bundle whose tensors follow one another in the given order: whose layer it is, the
/// rows that are kept, and, while it grows, the content of the shards it is cut from, which tells
/// whether a partial file belongs to it.
pub(super) fn bundle_head(
    about: &About,
    tensors: &[(&str, &Extent)],
    shards: Option<&BTreeMap<String, String>>,
) -> Vec<u8> {
    let rows: BTreeMap<&str, (usize, usize, usize)> = tensors
        .iter()
        .filter_map(|(name, it)| {
            let rows = it.rows.as_ref()?;
            Some((*name, (rows.start, rows.end, *it.shape.first()?)))
        })
        .collect();
    let mut metadata = BTreeMap::from([
        (FORMAT_KEY.to_owned(), FORMAT.to_owned()),
        ("repository".to_owned(), about.repository.clone()),
        ("identity".to_owned(), about.identity.clone()),
        ("layer".to_owned(), about.layer.to_string()),
        ("scope".to_owned(), about.scope.clone()),
        (ROWS_KEY.to_owned(), serde_json::to_string(&rows).expect("names and numbers are JSON")),
    ]);
    if let Some(shards) = shards {
        metadata.insert("shards".to_owned(), serde_json::to_string(shards).expect("texts are JSON"));
    }
    let shapes: Vec<Vec<usize>> = tensors.iter().map(|(_, it)| it.held_shape()).collect();
    let entries = tensors
        .iter()
        .zip(&shapes)
        .map(|((name, it), shape)| (*name, it.dtype, shape.as_slice(), it.bytes.end - it.bytes.start));
    head(entries, &metadata)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_those_of_the_tensors_however_the_bytes_arrive_and_resume() {
        let folder = tempfile::tempdir().unwrap();
        let data: Vec<u8> = (0..100u8).collect();
        let lengths = vec![0, 30, 0, 1, 69, 0];
        let mut at = 0;
        let expected: Vec<String> = lengths
            .iter()
            .map(|length| {
                let part = &data[at..at + *length as usize];
                at += part.len();
                disk::hex(&Sha256::digest(part))
            })
            .collect();
        for (name, cut) in [("a", 0), ("b", 1), ("c", 30), ("d", 31), ("e", 99), ("f", 100)] {
            let path = folder.path().join(name);
            let mut writer = Writer::open(path.clone(), b"head", lengths.clone()).unwrap();
            writer.write(&data[..cut]).unwrap();
            drop(writer);
            let mut writer = Writer::open(path.clone(), b"head", lengths.clone()).unwrap();
            assert_eq!(writer.done(), cut as u64);
            for byte in &data[cut..] {
                writer.write(&[*byte]).unwrap();
            }
            assert_eq!(writer.finish().2, expected);
            assert_eq!(std::fs::read(&path).unwrap(), [b"head", &data[..]].concat());
            // another head means other content
            assert_eq!(Writer::open(path, b"hEad", lengths.clone()).unwrap().done(), 0);
        }
    }
}
