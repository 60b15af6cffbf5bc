//! Whole files into the Hub cache, resumed from the byte reached and checked by their hash.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::disk;
use super::error::{Error, READING};
use super::progress::{Progress, Watch, tell};
use super::remote::{Remote, is_sha256};

impl Remote {
    /// The path of a file in the Hub cache, fetched whole if it is not there yet.
    pub(crate) fn download(&self, name: &str, watch: &mut Watch<'_>) -> Result<PathBuf, Error> {
        if let Some(path) = self.folder.find(&self.commit, name) {
            return Ok(path);
        }
        let file = self.file(name, watch)?;
        let _lock = disk::lock(&self.folder.lock_path(&file.etag), watch)?;
        let blob = self.folder.blob(&file.etag);
        let whole = std::fs::metadata(&blob).is_ok_and(|found| found.len() == file.size);
        if !whole {
            let partial = disk::with_ending(&blob, "incomplete");
            self.fill(name, &file.etag, file.size, &partial, watch)?;
            std::fs::rename(&partial, &blob).map_err(Error::io("writing", &blob))?;
        }
        self.folder.link(&self.commit, name, &file.etag)
    }

    /// Brings the partial file to its whole size and checks it; wrong bytes are not kept.
    fn fill(
        &self,
        name: &str,
        etag: &str,
        size: u64,
        partial: &Path,
        watch: &mut Watch<'_>,
    ) -> Result<(), Error> {
        disk::make_parent(partial)?;
        let mut file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(partial)
            .map_err(Error::io("writing", partial))?;
        let mut hash = Sha256::new();
        let kept = file.metadata().map_err(Error::io(READING, partial))?.len();
        let mut at = if kept <= size { kept } else { 0 };
        file.set_len(at).map_err(Error::io("writing", partial))?;
        tell(watch, Progress::Started { what: name.to_owned(), total: size, resumed: at })?;
        hash_file(&mut file, partial, &mut hash)?;
        file.seek(SeekFrom::Start(at)).map_err(Error::io("writing", partial))?;
        self.stream(name, at..size, watch, &mut |bytes, watch| {
            file.write_all(bytes).map_err(Error::io("writing", partial))?;
            hash.update(bytes);
            at += bytes.len() as u64;
            tell(watch, Progress::Advanced { done: at, total: size })
        })?;
        let found = disk::hex(&hash.finalize());
        if is_sha256(etag) && found != etag {
            std::fs::remove_file(partial).map_err(Error::io("removing", partial))?;
            return Err(Error::Corrupt { what: name.to_owned(), found, expected: etag.to_owned() });
        }
        file.sync_all().map_err(Error::io("writing", partial))
    }
}

fn hash_file(file: &mut File, path: &Path, hash: &mut Sha256) -> Result<(), Error> {
    let mut buffer = vec![0; 1 << 20];
    file.seek(SeekFrom::Start(0)).map_err(Error::io(READING, path))?;
    loop {
        let got = file.read(&mut buffer).map_err(Error::io(READING, path))?;
        if got == 0 {
            return Ok(());
        }
        hash.update(&buffer[..got]);
    }
}
