//! Hashes that tell one local model from another without reading gigabytes.

use std::path::Path;

use sha2::{Digest, Sha256};

use super::checkpoint::Store;
use super::disk;
use super::error::Error;

/// Shards up to this size are hashed whole.
const WHOLE: u64 = 64 << 20;
/// Of larger ones the beginning, where the header is,
const BEGINNING: usize = 8 << 20;
/// and this many samples, evenly spread up to the end.
const SAMPLES: u64 = 256;
const SAMPLE: usize = 4 << 10;

/// Small files that decide results.
const FILES: [&str; 5] =
    ["config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt"];

/// Hash of a directory's small files and shards.
pub(crate) fn of_folder(folder: &Path, shards: &[String]) -> Result<String, Error> {
    let mut hash = Sha256::new();
    for name in FILES {
        let path = folder.join(name);
        if path.is_file() {
            add(&mut hash, name, &disk::read_small(&path, super::repository::LARGEST_FILE)?);
        }
    }
    for name in shards {
        let path = folder.join(name);
        if path.is_file() {
            hash.update(name.as_bytes());
            add_shard(&mut hash, &Store::open(&path)?)?;
        }
    }
    Ok(disk::hex(&hash.finalize()))
}

/// Hash of files in memory, all of them whole.
pub(crate) fn of_memory(files: &[(&'static str, &'static [u8])]) -> String {
    let mut hash = Sha256::new();
    for (name, bytes) in files {
        add(&mut hash, name, bytes);
    }
    disk::hex(&hash.finalize())
}

fn add(hash: &mut Sha256, name: &str, bytes: &[u8]) {
    hash.update((name.len() as u64).to_le_bytes());
    hash.update(name.as_bytes());
    hash.update((bytes.len() as u64).to_le_bytes());
    hash.update(bytes);
}

fn add_shard(hash: &mut Sha256, store: &Store) -> Result<(), Error> {
    let size = store.size();
    hash.update(size.to_le_bytes());
    if size <= WHOLE {
        let mut at = 0;
        while at < size {
            let length = (size - at).min(1 << 20);
            hash.update(store.read(at, length as usize)?);
            at += length;
        }
        return Ok(());
    }
    hash.update(store.read(0, BEGINNING)?);
    let step = (size - BEGINNING as u64 - SAMPLE as u64) / (SAMPLES - 1);
    for sample in 0..SAMPLES {
        hash.update(store.read(BEGINNING as u64 + sample * step, SAMPLE)?);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::FileExt;

    #[test]
    fn another_weight_is_another_identity_and_another_place_is_not() {
        let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let shards = vec!["model.safetensors".to_owned()];
        let identity = |folder: &tempfile::TempDir| of_folder(folder.path(), &shards).unwrap();
        for folder in &folders {
            std::fs::write(folder.path().join("config.json"), "{}").unwrap();
            std::fs::write(folder.path().join("model.safetensors"), [0; 100]).unwrap();
        }
        assert_eq!(identity(&folders[0]), identity(&folders[1]));
        std::fs::write(folders[0].path().join("model.safetensors"), [1; 100]).unwrap();
        assert_ne!(identity(&folders[0]), identity(&folders[1]));
    }

    #[test]
    fn a_large_shard_is_sampled_up_to_its_last_byte() {
        let folder = tempfile::tempdir().unwrap();
        let file = std::fs::File::create(folder.path().join("m.safetensors")).unwrap();
        let size = WHOLE + 12_345;
        file.set_len(size).unwrap();
        let identity = || of_folder(folder.path(), &["m.safetensors".to_owned()]).unwrap();
        let before = identity();
        // integer division leaves at most SAMPLES - 1 bytes after the last sample
        file.write_all_at(&[1; SAMPLES as usize], size - SAMPLES).unwrap();
        assert_ne!(identity(), before);
    }
}
