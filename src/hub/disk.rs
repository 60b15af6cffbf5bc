//! Files that are whole or not there: temporary name, fsync, rename; and one lock a file, across
//! processes.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::error::{Error, READING};
use super::progress::{Progress, Watch, tell};

/// Writes a file so that no reader ever sees half of it.
///
/// # Errors
/// When the directory cannot be made or written, or the disk is full.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    write_with(path, |file| file.write_all(bytes))
}

/// As [`write`], the content written by the caller.
///
/// # Errors
/// As [`write`]; the temporary file is removed.
pub(crate) fn write_with(
    path: &Path,
    content: impl FnOnce(&mut std::io::BufWriter<File>) -> std::io::Result<()>,
) -> Result<(), Error> {
    let temporary = beside(path, "tmp");
    make_parent(path)?;
    let write = || -> std::io::Result<()> {
        let mut file = std::io::BufWriter::new(File::create(&temporary)?);
        content(&mut file)?;
        file.into_inner().map_err(std::io::IntoInnerError::into_error)?.sync_all()?;
        std::fs::rename(&temporary, path)
    };
    write().map_err(|error| {
        let _ = std::fs::remove_file(&temporary);
        Error::io("writing", path)(error)
    })
}

/// Renames a finished file to its place and makes the rename last.
///
/// # Errors
/// When the file system refuses.
pub(crate) fn publish(file: &File, temporary: &Path, path: &Path) -> Result<(), Error> {
    file.sync_all().map_err(Error::io("writing", temporary))?;
    std::fs::rename(temporary, path).map_err(Error::io("writing", path))?;
    if let Some(Ok(folder)) = path.parent().map(File::open) {
        // not every file system can sync a directory; the rename itself has happened
        let _ = folder.sync_all();
    }
    Ok(())
}

/// Makes the directories above a file.
///
/// # Errors
/// When they cannot be made.
pub(crate) fn make_parent(path: &Path) -> Result<(), Error> {
    match path.parent() {
        Some(folder) => std::fs::create_dir_all(folder).map_err(Error::io("making", folder)),
        None => Ok(()),
    }
}

/// A name beside `path` that no other writer uses, in this process or another.
pub(crate) fn beside(path: &Path, ending: &str) -> PathBuf {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    with_ending(path, &format!("{}-{count}.{ending}", std::process::id()))
}

/// `path` with `.ending` after its whole name.
pub(crate) fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(ending);
    PathBuf::from(name)
}

/// A lock that ends with its value, or with its process.
#[derive(Debug)]
pub(crate) struct Lock(#[expect(dead_code, reason = "held for its lock, released on drop")] File);

/// Waits for the lock file `path`, telling the watcher once a second.
///
/// # Errors
/// When the file cannot be made, or the watcher says stop.
pub(crate) fn lock(path: &Path, watch: &mut Watch<'_>) -> Result<Lock, Error> {
    make_parent(path)?;
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)
        .map_err(Error::io("locking", path))?;
    let mut waited = 0u64;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(Lock(file)),
            Err(std::fs::TryLockError::WouldBlock) => {
                if waited.is_multiple_of(20) {
                    let reason = "another process is fetching the same file".to_owned();
                    tell(watch, Progress::Waiting { seconds: 0, reason })?;
                }
                waited += 1;
                std::thread::sleep(Duration::from_millis(50));
            }
            Err(std::fs::TryLockError::Error(error)) => return Err(Error::io("locking", path)(error)),
        }
    }
}

/// Reads a small file whole.
///
/// # Errors
/// When it is larger than `limit` bytes or cannot be read.
pub(crate) fn read_small(path: &Path, limit: u64) -> Result<Vec<u8>, Error> {
    let size = std::fs::metadata(path).map_err(Error::io(READING, path))?.len();
    if size > limit {
        return Err(Error::TooLarge { what: path.display().to_string(), limit });
    }
    std::fs::read(path).map_err(Error::io(READING, path))
}

/// Reads `[start, start + length)` of a file without moving any cursor.
///
/// # Errors
/// When the file ends before that.
pub(crate) fn read_at(file: &File, path: &Path, start: u64, length: usize) -> Result<Vec<u8>, Error> {
    let mut bytes = vec![0; length];
    file.read_exact_at(&mut bytes, start).map_err(Error::io(READING, path))?;
    Ok(bytes)
}

/// Small letters of a hash.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_write_leaves_neither_half_a_file_nor_a_temporary_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("below/file");
        write(&path, b"old").unwrap();
        let error = write_with(&path, |file| {
            file.write_all(b"new")?;
            Err(std::io::Error::from(std::io::ErrorKind::StorageFull))
        });
        assert!(matches!(error, Err(Error::DiskFull(full)) if full == path));
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn a_directory_in_place_of_a_parent_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        write(&file, b"x").unwrap();
        let error = write(&file.join("below"), b"y").unwrap_err().to_string();
        assert!(error.contains(file.to_str().unwrap()), "{error}");
    }

    #[test]
    fn a_held_lock_makes_others_wait_and_the_watcher_can_stop_that() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.lock");
        let held = lock(&path, &mut super::super::progress::unwatched).unwrap();
        let stopped = lock(&path, &mut |_| std::ops::ControlFlow::Break(()));
        assert!(matches!(stopped, Err(Error::Interrupted)));
        drop(held);
        lock(&path, &mut |_| std::ops::ControlFlow::Break(())).unwrap();
    }
}
