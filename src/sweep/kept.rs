//! What every cell of a sweep needs of its texts, worked out once and kept beside the runs: their
//! tokens, and which of them stand in the training set. Every cell is a process of its own, so that
//! without this each would tokenise and compare everything again.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::inputs::Opened;
use super::{canonical, outcome};
use crate::data::encode::{EncodedSplit, Encoder};
use crate::data::{Dataset, Example};
use crate::error::Failure;
use crate::hub::tensor::{Dtype, RawTensor};
use crate::hub::{self, ModelName, Repository, Settings, unwatched};
use crate::runs::Overlap;

const U8: Dtype = Dtype::Other("U8", 1);
const U32: Dtype = Dtype::Other("U32", 4);
const U64: Dtype = Dtype::Other("U64", 8);
/// Hash over the other tensors of a file, so that a damaged one is known.
const DIGEST: &str = "digest";

/// A folder of kept results. It only ever saves time: a file that is absent, damaged or not what it
/// should be is worked out again, and one that cannot be written is done without.
pub(super) struct Kept {
    folder: PathBuf,
}

/// A file's tensors: name, element type, bytes.
type Parts = Vec<(&'static str, Dtype, Vec<u8>)>;

impl Kept {
    /// Results kept in this folder.
    pub(super) fn within(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    /// The tokens of a split. Labels and row numbers are the examples' own, and not kept.
    ///
    /// # Errors
    /// As [`Encoder::encode_split`].
    pub(super) fn tokens(
        &self,
        slm: &Opened,
        tokenizer: &Encoder,
        (dataset, split): (&Dataset, &str),
        examples: &[Example],
    ) -> Result<EncodedSplit, Failure> {
        let options = tokenizer.options();
        let key = key(&serde_json::json!({
            "tokens": slm.repository.identity(),
            "max_length": options.max_length,
            "vocab_size": options.vocab_size,
            "type_vocab_size": options.type_vocab_size,
            "data": dataset.hash,
            "split": split,
        }));
        let names = ["ids", "types", "offsets", "counts"];
        if let Some(found) = self.read(&key, &names).and_then(|parts| as_split(&parts, tokenizer, examples)) {
            return Ok(found);
        }
        let fresh = tokenizer.encode_split(examples)?;
        let counts = [fresh.truncated as u64, fresh.empty as u64];
        let offsets: Vec<u64> = fresh.offsets.iter().map(|&offset| offset as u64).collect();
        self.write(
            &key,
            vec![
                ("ids", U32, bytes(&fresh.ids, u32::to_le_bytes)),
                ("types", U32, bytes(&fresh.type_ids, u32::to_le_bytes)),
                ("offsets", U64, bytes(&offsets, u64::to_le_bytes)),
                ("counts", U64, bytes(&counts, u64::to_le_bytes)),
            ],
        );
        Ok(fresh)
    }

    /// Which texts of a test split stand in the training split.
    pub(super) fn overlap(&self, home: &Dataset, other: &Dataset) -> Vec<Overlap> {
        let key = key(&serde_json::json!({"overlap": [home.hash, other.hash]}));
        let test = &other.test.examples;
        let found = self.read(&key, &["overlap"]).and_then(|parts| as_overlap(&parts[0], test.len()));
        found.unwrap_or_else(|| {
            let fresh = outcome::overlap(&home.train.examples, test);
            let codes = fresh.iter().map(|it| CODES.iter().position(|code| code == it).unwrap_or(0) as u8);
            self.write(&key, vec![("overlap", U8, codes.collect())]);
            fresh
        })
    }

    fn path(&self, key: &str) -> PathBuf {
        self.folder.join(format!("{key}.safetensors"))
    }

    /// The bytes of these tensors, if the file is whole.
    fn read(&self, key: &str, names: &[&str]) -> Option<Vec<Vec<u8>>> {
        let path = self.path(key);
        if !path.is_file() {
            return None;
        }
        let repository =
            Repository::open(&Settings::below(&self.folder), &ModelName::Path(path), None).ok()?;
        let file = repository.checkpoint(&mut unwatched).ok()?;
        let part = |name: &str| file.tensor(name).ok().map(|tensor| tensor.bytes);
        let parts = names.iter().map(|name| part(name)).collect::<Option<Vec<_>>>()?;
        (part(DIGEST)? == digest(parts.iter().map(Vec::as_slice))).then_some(parts)
    }

    fn write(&self, key: &str, parts: Parts) {
        let digest = digest(parts.iter().map(|(_, _, bytes)| bytes.as_slice()));
        let parts = parts.into_iter().chain([(DIGEST, U8, digest)]);
        let tensors: Vec<(String, RawTensor)> = parts
            .map(|(name, dtype, bytes)| {
                let shape = vec![bytes.len() / dtype.size()];
                (name.to_owned(), RawTensor { dtype, shape, rows: None, bytes })
            })
            .collect();
        // a cell that can keep its own results will do without this one
        let _ = std::fs::create_dir_all(&self.folder)
            .map(|()| hub::write_safetensors(&self.path(key), &tensors, &BTreeMap::new()));
    }
}

/// Overlaps by the number that stands for them.
const CODES: [Overlap; 3] = [Overlap::None, Overlap::Exact, Overlap::Near];

/// Everything that decides a result; a new version of the program keeps its own.
fn key(what: &serde_json::Value) -> String {
    canonical::id(&serde_json::json!({"version": env!("CARGO_PKG_VERSION"), "of": what}))
}

fn digest<'a>(parts: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hash.finalize().to_vec()
}

fn bytes<T: Copy, const N: usize>(numbers: &[T], of: impl Fn(T) -> [u8; N]) -> Vec<u8> {
    numbers.iter().flat_map(|&number| of(number)).collect()
}

fn numbers<T, const N: usize>(bytes: &[u8], of: impl Fn([u8; N]) -> T) -> Option<Vec<T>> {
    let (whole, rest) = bytes.as_chunks::<N>();
    rest.is_empty().then(|| whole.iter().map(|chunk| of(*chunk)).collect())
}

/// Kept tokens that fit the examples and the model.
fn as_split(parts: &[Vec<u8>], tokenizer: &Encoder, examples: &[Example]) -> Option<EncodedSplit> {
    let [ids, types, offsets, counts] = parts else { return None };
    let (ids, type_ids) = (numbers(ids, u32::from_le_bytes)?, numbers(types, u32::from_le_bytes)?);
    let offsets: Vec<usize> =
        numbers(offsets, u64::from_le_bytes)?.into_iter().map(|it| it as usize).collect();
    let counts: Vec<usize> = numbers(counts, u64::from_le_bytes)?.into_iter().map(|it| it as usize).collect();
    let [truncated, empty] = counts[..] else { return None };
    let options = tokenizer.options();
    let longest = options.max_length.max(1);
    let holds = offsets.len() == examples.len() + 1
        && offsets.first() == Some(&0)
        && offsets.last() == Some(&ids.len())
        && offsets.windows(2).all(|pair| pair[0] < pair[1] && pair[1] - pair[0] <= longest)
        && type_ids.len() == ids.len()
        && ids.iter().all(|&id| (id as usize) < options.vocab_size)
        && type_ids.iter().all(|&id| (id as usize) < options.type_vocab_size.max(1))
        && truncated <= examples.len()
        && empty <= examples.len();
    holds.then(|| EncodedSplit {
        ids,
        type_ids,
        offsets,
        labels: examples.iter().map(|example| example.label).collect(),
        example_ids: examples.iter().map(|example| example.id).collect(),
        truncated,
        empty,
    })
}

fn as_overlap(codes: &[u8], len: usize) -> Option<Vec<Overlap>> {
    let found = codes.iter().map(|&code| CODES.get(usize::from(code)).copied());
    found.collect::<Option<Vec<_>>>().filter(|found| found.len() == len)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{self, Limits, SplitFiles};
    use crate::seed::Seed;

    fn demo() -> Dataset {
        let limits = Limits { train: Some(40), validation: Some(10), test: Some(20) };
        data::load(&data::resolve("demo").unwrap(), &SplitFiles::new(), Seed(0), limits).unwrap()
    }

    fn slm() -> Opened {
        let folder = tempfile::tempdir().unwrap();
        Opened::new(&Settings::below(folder.path()), &ModelName::Embedded("demo-slm".into()), None).unwrap()
    }

    #[test]
    fn what_is_kept_is_what_was_worked_out_and_damage_is_worked_out_again() {
        let folder = tempfile::tempdir().unwrap();
        let kept = Kept::within(folder.path());
        let (home, slm) = (demo(), slm());
        let tokenizer = slm.tokenizer(20).unwrap();
        let examples = &home.train.examples;
        let tokens = || kept.tokens(&slm, &tokenizer, (&home, "train"), examples).unwrap();
        let fresh = tokenizer.encode_split(examples).unwrap();
        let matches = outcome::overlap(examples, &home.test.examples);
        assert_eq!((tokens(), kept.overlap(&home, &home)), (fresh.clone(), matches.clone()));
        let files: Vec<PathBuf> =
            std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert_eq!(files.len(), 2);
        assert_eq!((tokens(), kept.overlap(&home, &home)), (fresh.clone(), matches.clone()));
        for path in &files {
            let whole = std::fs::read(path).unwrap();
            let mut flipped = whole.clone();
            *flipped.last_mut().unwrap() ^= 1;
            for damaged in [&whole[..whole.len() - 1], &flipped, b"", b"\xff\xff\xff\xff\xff\xff\xff\xff"] {
                std::fs::write(path, damaged).unwrap();
                assert_eq!((tokens(), kept.overlap(&home, &home)), (fresh.clone(), matches.clone()));
                assert_eq!(std::fs::read(path).unwrap(), whole, "it was written anew");
            }
        }
    }

    #[test]
    fn kept_tokens_that_do_not_fit_are_not_believed() {
        let (home, slm) = (demo(), slm());
        let tokenizer = slm.tokenizer(20).unwrap();
        let one = &home.train.examples[..1];
        let parts = |ids: &[u32], types: &[u32], offsets: &[u64], counts: &[u64]| {
            vec![
                bytes(ids, u32::to_le_bytes),
                bytes(types, u32::to_le_bytes),
                bytes(offsets, u64::to_le_bytes),
                bytes(counts, u64::to_le_bytes),
            ]
        };
        let believed = |parts: &[Vec<u8>]| as_split(parts, &tokenizer, one).is_some();
        assert!(believed(&parts(&[1, 2], &[0, 0], &[0, 2], &[0, 0])));
        for wrong in [
            parts(&[1, u32::MAX], &[0, 0], &[0, 2], &[0, 0]),
            parts(&[1, 2], &[0], &[0, 2], &[0, 0]),
            parts(&[1, 2], &[0, 9], &[0, 2], &[0, 0]),
            parts(&[1, 2], &[0, 0], &[0, u64::MAX], &[0, 0]),
            parts(&[1, 2], &[0, 0], &[1, 2], &[0, 0]),
            parts(&[1, 2], &[0, 0], &[0, 1, 2], &[0, 0]),
            parts(&[1, 2], &[0, 0], &[0, 2], &[2, 0]),
            parts(&[1; 30], &[0; 30], &[0, 30], &[0, 0]),
            parts(&[1, 2], &[0, 0], &[0, 2], &[]),
        ] {
            assert!(!believed(&wrong), "{wrong:?}");
        }
        assert_eq!(as_overlap(&[0, 1, 2], 3).unwrap(), CODES);
        assert!(as_overlap(&[0, 3], 2).is_none() && as_overlap(&[0], 2).is_none());
    }
}
