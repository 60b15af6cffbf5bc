//! Headers of remote shards: eight bytes, then exactly as many as they announce; kept on disk by
//! repository, commit and shard.

use std::path::PathBuf;

use super::disk;
use super::error::Error;
use super::header::{self, Header, HeaderError, PREFIX};
use super::progress::{Watch, unwatched};
use super::remote::Remote;

/// A header of a remote file, and which content it belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RemoteHeader {
    pub(crate) header: Header,
    pub(crate) size: u64,
    pub(crate) etag: String,
    /// Bytes that came over the network for it now.
    pub(crate) transferred: u64,
}

/// First line of a kept header.
#[derive(serde::Serialize, serde::Deserialize)]
struct Kept {
    etag: String,
    size: u64,
}

impl Remote {
    /// The header of a shard, from disk or by two ranges.
    pub(crate) fn header(&self, shard: &str) -> Result<RemoteHeader, Error> {
        if let Some(found) = self.kept_header(shard) {
            return Ok(found);
        }
        if let Some(error) = self.offline(shard) {
            return Err(error);
        }
        let file = self.file(shard, &mut unwatched)?;
        let wrong = |cause| Error::Header { file: format!("{}/{shard}", self.id), cause };
        if file.size < PREFIX {
            return Err(wrong(HeaderError::FileTooShort { file: file.size, header: PREFIX }));
        }
        let prefix = self.bytes(shard, 0, PREFIX)?.try_into().expect("eight bytes were read");
        let length = header::announced(prefix, file.size).map_err(wrong)?;
        let json = self.bytes(shard, PREFIX, length)?;
        let header = header::parse(&json, file.size).map_err(wrong)?;
        let kept = Kept { etag: file.etag.clone(), size: file.size };
        let mut text = serde_json::to_vec(&kept).expect("text and a number are JSON");
        text.push(b'\n');
        text.extend_from_slice(&json);
        disk::write(&self.header_path(shard), &text)?;
        Ok(RemoteHeader { header, size: file.size, etag: file.etag, transferred: PREFIX + length })
    }

    /// Drops a kept header that belongs to another content.
    pub(crate) fn forget_header(&self, shard: &str) {
        // one that is already gone is forgotten too
        let _ = std::fs::remove_file(self.header_path(shard));
    }

    /// A kept header that is still whole; a damaged one counts as none.
    fn kept_header(&self, shard: &str) -> Option<RemoteHeader> {
        let text = std::fs::read(self.header_path(shard)).ok()?;
        let line = text.iter().position(|byte| *byte == b'\n')?;
        let kept: Kept = serde_json::from_slice(&text[..line]).ok()?;
        let header = header::parse(&text[line + 1..], kept.size).ok()?;
        Some(RemoteHeader { header, size: kept.size, etag: kept.etag, transferred: 0 })
    }

    fn header_path(&self, shard: &str) -> PathBuf {
        let folder = format!("{}@{}", self.id.folder_name(), self.commit);
        let name = format!("{}.header", shard.replace('/', "%2F"));
        self.settings().bundles.join("headers").join(folder).join(name)
    }

    /// A few bytes of a file; memory grows with what arrives, not with what is announced.
    fn bytes(&self, name: &str, start: u64, length: u64) -> Result<Vec<u8>, Error> {
        let mut bytes = Vec::new();
        let watch: &mut Watch<'_> = &mut unwatched;
        self.stream(name, start..start + length, watch, &mut |part, _| {
            bytes.extend_from_slice(part);
            Ok(())
        })?;
        Ok(bytes)
    }
}
