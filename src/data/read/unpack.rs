//! The bytes of a file, unpacked if gzip or zstd stand at its start.

use std::io::Read;
use std::path::Path;

use super::super::Error;

/// Most bytes that a file may unpack to: more is no text for a small model but a bomb.
const MOST_BYTES: u64 = 16 << 30;

const GZIP: [u8; 2] = [0x1f, 0x8b];
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// Endings of the files that can be read.
pub(crate) fn endings() -> Vec<String> {
    ["parquet", "csv", "tsv", "jsonl", "json", "ndjson"]
        .into_iter()
        .map(|ending| format!(".{ending}"))
        .chain(["the same with .gz or .zst".to_owned()])
        .collect()
}

pub(super) fn bytes(path: &Path, file: &str) -> Result<Vec<u8>, Error> {
    let io = |source: std::io::Error| match source.kind() {
        std::io::ErrorKind::NotFound => Error::NotFound { path: path.to_owned() },
        _ => Error::Io { path: path.to_owned(), source },
    };
    let stored = std::fs::read(path).map_err(io)?;
    if stored.starts_with(&GZIP) {
        unpack(file, "gzip", flate2::read::MultiGzDecoder::new(stored.as_slice()))
    } else if stored.starts_with(&ZSTD) {
        let decoder = zstd::stream::read::Decoder::new(stored.as_slice()).map_err(io)?;
        unpack(file, "zstd", decoder)
    } else {
        Ok(stored)
    }
}

fn unpack(file: &str, format: &'static str, decoder: impl Read) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    decoder.take(MOST_BYTES + 1).read_to_end(&mut bytes).map_err(|error| Error::Malformed {
        file: file.to_owned(),
        format,
        row: None,
        reason: error.to_string(),
    })?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err(Error::TooLarge { file: file.to_owned(), limit: MOST_BYTES });
    }
    Ok(bytes)
}
