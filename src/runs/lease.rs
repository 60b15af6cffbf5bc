//! Who works on a cell. Two locks a cell, both held by an open file and released by the kernel when
//! the holder ends, however it ends, so that nothing is ever stale:
//!
//! - the [`Lease`], held by an engine from before it starts a worker until the cell is settled: two
//!   engines on one output directory share its cells;
//! - the [`Claim`], held by the process that trains: it alone writes the cell's checkpoints and
//!   publishes its run, even where an engine was killed and its worker has not noticed yet.
//!
//! On one machine this is all that is needed. Across machines the file system must carry `flock`
//! to its server: NFS version 4 (or 3 with a lock daemon) does, Lustre with the mount option
//! `flock`; a file system without locks is refused by name ([`Error::NoLocks`]). Lock files are
//! empty and stay: removing one that another process has just opened would split the lock.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;

use super::Error;

/// The right to have a cell worked on.
#[derive(Debug)]
pub struct Lease {
    cell: String,
    _file: File,
}

impl Lease {
    /// The cell's id.
    pub fn cell(&self) -> &str {
        &self.cell
    }

    pub(super) fn take(path: &Path, cell: &str) -> Result<Option<Self>, Error> {
        Ok(try_lock(path)?.map(|file| Self { cell: cell.into(), _file: file }))
    }
}

/// The right to write a cell's checkpoints and its run.
#[derive(Debug)]
pub struct Claim {
    cell: String,
    _file: File,
}

impl Claim {
    /// The cell's id.
    pub fn cell(&self) -> &str {
        &self.cell
    }

    pub(super) fn take(path: &Path, cell: &str) -> Result<Option<Self>, Error> {
        Ok(try_lock(path)?.map(|file| Self { cell: cell.into(), _file: file }))
    }
}

fn try_lock(path: &Path) -> Result<Option<File>, Error> {
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .open(path)
        .map_err(|e| Error::io("open", path, e))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(e)) => {
            Err(Error::NoLocks { path: path.to_path_buf(), reason: e.to_string() })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_is_exclusive_until_it_is_dropped() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("ab.lock");
        let lease = Lease::take(&path, "ab").expect("locks").expect("is free");
        assert!(Lease::take(&path, "ab").expect("locks").is_none());
        drop(lease);
        assert!(Lease::take(&path, "ab").expect("locks").is_some());
    }
}
