//! Tensors that can be read right now: pieces of files on this disk, or of the binary itself.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::disk;
use super::error::{Error, READING};
use super::header::{self, Header, PREFIX};
use super::tensor::{Dtype, RawTensor, TensorRequest, TensorSource};

/// Key of a safetensors file's metadata under which a layer bundle keeps its runs of rows: JSON
/// `{tensor: [first, past the last, rows of the whole tensor]}`.
pub(crate) const ROWS_KEY: &str = "rows";

/// Where bytes are.
#[derive(Debug)]
pub(crate) enum Store {
    /// A file, read by position.
    File { file: File, path: PathBuf, size: u64 },
    /// Part of the binary.
    Memory { name: String, bytes: &'static [u8] },
}

impl Store {
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        let file = File::open(path).map_err(Error::io(READING, path))?;
        let size = file.metadata().map_err(Error::io(READING, path))?.len();
        Ok(Self::File { file, path: path.to_owned(), size })
    }

    pub(crate) fn name(&self) -> String {
        match self {
            Self::File { path, .. } => path.display().to_string(),
            Self::Memory { name, .. } => name.clone(),
        }
    }

    pub(crate) fn size(&self) -> u64 {
        match self {
            Self::File { size, .. } => *size,
            Self::Memory { bytes, .. } => bytes.len() as u64,
        }
    }

    /// `length` bytes from `start`; both come from a header that agreed with the size.
    pub(crate) fn read(&self, start: u64, length: usize) -> Result<Vec<u8>, Error> {
        match self {
            Self::File { file, path, .. } => disk::read_at(file, path, start, length),
            Self::Memory { name, bytes } => {
                let part = bytes.get(start as usize..).and_then(|rest| rest.get(..length));
                part.map(<[u8]>::to_vec).ok_or_else(|| Error::Header {
                    file: name.clone(),
                    cause: header::HeaderError::FileTooShort {
                        file: bytes.len() as u64,
                        header: start.saturating_add(length as u64),
                    },
                })
            }
        }
    }

    /// The header, held against the size.
    pub(crate) fn header(&self) -> Result<Header, Error> {
        let wrong = |cause| Error::Header { file: self.name(), cause };
        let size = self.size();
        if size < PREFIX {
            return Err(wrong(header::HeaderError::FileTooShort { file: size, header: PREFIX }));
        }
        let prefix = self.read(0, PREFIX as usize)?.try_into().expect("eight bytes were read");
        let length = header::announced(prefix, size).map_err(wrong)?;
        header::parse(&self.read(PREFIX, length as usize)?, size).map_err(wrong)
    }
}

/// A tensor, or some of its rows, as a header and its metadata describe it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    pub(crate) dtype: Dtype,
    /// Shape of the whole tensor.
    pub(crate) shape: Vec<usize>,
    /// Rows that the bytes hold; all when `None`.
    pub(crate) rows: Option<Range<usize>>,
    /// Bytes in the file.
    pub(crate) bytes: Range<u64>,
}

impl Extent {
    /// The part of this extent that a request wants.
    pub(crate) fn narrowed(&self, request: &TensorRequest) -> Result<Self, Error> {
        let Some((first, past)) = request.rows else { return Ok(self.clone()) };
        let wrong = |reason: String| Error::BadRequest { name: request.name.clone(), reason };
        let Some(&all) = self.shape.first() else {
            return Err(wrong("it has no rows".to_owned()));
        };
        let held = self.rows.clone().unwrap_or(0..all);
        if first >= past || past > all {
            return Err(wrong(format!("rows {first} to {past} of {all}")));
        }
        if first < held.start || past > held.end {
            return Err(wrong(format!(
                "rows {first} to {past}, but only {} to {} are kept",
                held.start, held.end
            )));
        }
        let row = (self.bytes.end - self.bytes.start) / held.len() as u64;
        let start = self.bytes.start + (first - held.start) as u64 * row;
        let bytes = start..start + (past - first) as u64 * row;
        let rows = ((first, past) != (0, all)).then_some(first..past);
        Ok(Self { dtype: self.dtype, shape: self.shape.clone(), rows, bytes })
    }

    /// Shape of the rows that the bytes hold.
    pub(crate) fn held_shape(&self) -> Vec<usize> {
        let mut shape = self.shape.clone();
        if let (Some(rows), Some(first)) = (&self.rows, shape.first_mut()) {
            *first = rows.len();
        }
        shape
    }
}

/// The extents of a file's tensors; runs of rows of a layer bundle are recognised.
pub(crate) fn extents(header: &Header, file: &str) -> Result<BTreeMap<String, Extent>, Error> {
    let broken = |reason: &str| Error::Bundle { path: PathBuf::from(file), reason: reason.to_owned() };
    let runs: BTreeMap<String, (usize, usize, usize)> = match header.metadata.get(ROWS_KEY) {
        Some(text) if header.metadata.contains_key(super::bundle::FORMAT_KEY) => {
            serde_json::from_str(text).map_err(|_| broken("has no readable list of rows"))?
        }
        _ => BTreeMap::new(),
    };
    let mut extents = BTreeMap::new();
    for (name, slot) in &header.tensors {
        let mut shape = slot.shape.clone();
        let mut rows = None;
        if let Some(&(first, past, all)) = runs.get(name) {
            let axis = shape.first_mut().ok_or_else(|| broken("lists rows of a scalar"))?;
            if first >= past || past > all || past - first != *axis {
                return Err(broken("lists rows that contradict its shapes"));
            }
            *axis = all;
            rows = Some(first..past);
        }
        let bytes = slot.start..slot.end;
        extents.insert(name.clone(), Extent { dtype: slot.dtype, shape, rows, bytes });
    }
    Ok(extents)
}

#[derive(Clone, Debug)]
struct Piece {
    store: Arc<Store>,
    extent: Extent,
}

/// A set of readable tensors.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    within: String,
    pieces: BTreeMap<String, Piece>,
}

impl Checkpoint {
    pub(crate) fn new(within: impl Into<String>) -> Self {
        Self { within: within.into(), pieces: BTreeMap::new() }
    }

    pub(crate) fn insert(&mut self, name: &str, store: &Arc<Store>, extent: Extent) {
        self.pieces.insert(name.to_owned(), Piece { store: Arc::clone(store), extent });
    }

    /// Adds all tensors of a file; where another file has the same one, the larger part stays.
    pub(crate) fn insert_all(&mut self, store: &Arc<Store>) -> Result<Header, Error> {
        let header = store.header()?;
        for (name, extent) in extents(&header, &store.name())? {
            let length = |it: &Extent| it.bytes.end - it.bytes.start;
            if self.pieces.get(&name).is_none_or(|other| length(&other.extent) < length(&extent)) {
                self.insert(&name, store, extent);
            }
        }
        Ok(header)
    }

    pub(crate) fn extent(&self, name: &str) -> Option<&Extent> {
        self.pieces.get(name).map(|piece| &piece.extent)
    }

    pub(crate) fn extents(&self) -> impl Iterator<Item = (&str, &Extent)> {
        self.pieces.iter().map(|(name, piece)| (name.as_str(), &piece.extent))
    }

    /// Names of all tensors.
    pub fn tensor_names(&self) -> BTreeSet<String> {
        self.pieces.keys().cloned().collect()
    }

    /// Bytes of all tensors.
    pub fn bytes(&self) -> u64 {
        self.extents().map(|(_, extent)| extent.bytes.end - extent.bytes.start).sum()
    }

    /// Reads one tensor, or the rows of it that are kept.
    ///
    /// # Errors
    /// When there is none of that name, or its file cannot be read.
    pub fn tensor(&self, name: &str) -> Result<RawTensor, Error> {
        let piece = self
            .pieces
            .get(name)
            .ok_or_else(|| Error::NoTensor { name: name.to_owned(), within: self.within.clone() })?;
        let Extent { dtype, shape, rows, bytes } = &piece.extent;
        let content = piece.store.read(bytes.start, (bytes.end - bytes.start) as usize)?;
        Ok(RawTensor { dtype: *dtype, shape: shape.clone(), rows: rows.clone(), bytes: content })
    }

    /// As [`TensorSource::read_rows`]; rows that follow one another are read at once.
    pub(crate) fn tensor_rows(&self, name: &str, rows: &[usize]) -> Result<(RawTensor, Vec<usize>), Error> {
        let missing = || Error::NoTensor { name: name.to_owned(), within: self.within.clone() };
        let piece = self.pieces.get(name).ok_or_else(missing)?;
        let Extent { dtype, shape, rows: held, bytes } = &piece.extent;
        let count = shape.first().copied().unwrap_or(0);
        if held.is_some() {
            let reason = "only some of its rows are here".to_owned();
            return Err(Error::BadRequest { name: name.to_owned(), reason });
        }
        let width = (bytes.end - bytes.start) as usize / count.max(1);
        let kept: Vec<usize> = rows.iter().copied().filter(|row| *row < count).collect();
        let mut some = Vec::with_capacity(kept.len() * width);
        for run in kept.chunk_by(|row, next| row + 1 == *next) {
            let start = bytes.start + (run[0] * width) as u64;
            some.append(&mut piece.store.read(start, run.len() * width)?);
        }
        let part = [&[kept.len()], shape.get(1..).unwrap_or_default()].concat();
        Ok((RawTensor { dtype: *dtype, shape: part, rows: None, bytes: some }, shape.clone()))
    }
}

impl TensorSource for Checkpoint {
    fn names(&self) -> Vec<String> {
        self.pieces.keys().cloned().collect()
    }

    fn read(&self, name: &str) -> Result<RawTensor, crate::error::Failure> {
        Ok(self.tensor(name)?)
    }

    fn read_rows(
        &self,
        name: &str,
        rows: &[usize],
    ) -> Result<(RawTensor, Vec<usize>), crate::error::Failure> {
        Ok(self.tensor_rows(name, rows)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extent(shape: &[usize], rows: Option<Range<usize>>, bytes: Range<u64>) -> Extent {
        Extent { dtype: Dtype::F32, shape: shape.to_vec(), rows, bytes }
    }

    #[test]
    fn rows_are_cut_out_of_whole_tensors_and_of_kept_runs() {
        let request = |rows| TensorRequest { name: "w".to_owned(), rows };
        let whole = extent(&[10, 2], None, 100..180);
        assert_eq!(whole.narrowed(&request(None)).unwrap(), whole);
        assert_eq!(whole.narrowed(&request(Some((0, 10)))).unwrap(), whole);
        let run = whole.narrowed(&request(Some((3, 5)))).unwrap();
        assert_eq!(run, extent(&[10, 2], Some(3..5), 124..140));
        assert_eq!(run.held_shape(), [2, 2]);
        assert_eq!(run.narrowed(&request(Some((4, 5)))).unwrap(), extent(&[10, 2], Some(4..5), 132..140));
        for rows in [(0, 11), (5, 5), (6, 5)] {
            assert!(whole.narrowed(&request(Some(rows))).is_err(), "{rows:?}");
        }
        let outside = run.narrowed(&request(Some((2, 5)))).unwrap_err().to_string();
        assert!(outside.contains("only 3 to 5 are kept"), "{outside}");
        assert!(extent(&[], None, 0..4).narrowed(&request(Some((0, 1)))).is_err());
    }

    #[test]
    fn single_rows_are_those_of_the_whole_tensor() {
        struct Whole<'a>(&'a Checkpoint);
        impl TensorSource for Whole<'_> {
            fn names(&self) -> Vec<String> {
                self.0.names()
            }
            fn read(&self, name: &str) -> Result<RawTensor, crate::error::Failure> {
                self.0.read(name)
            }
        }
        let bytes: &'static [u8] = &[1, 0, 2, 0, 3, 0, 4, 0, 5, 0, 6, 0, 7, 0, 8, 0];
        let store = Arc::new(Store::Memory { name: "memory".to_owned(), bytes });
        let mut checkpoint = Checkpoint::new("memory");
        let whole = Extent { dtype: Dtype::F16, shape: vec![4, 2], rows: None, bytes: 0..16 };
        checkpoint.insert("words", &store, whole);
        for rows in [&[][..], &[0, 1, 2, 3], &[1, 3], &[0, 2, 3, 4, 99]] {
            let found = checkpoint.read_rows("words", rows).unwrap();
            assert_eq!(found, Whole(&checkpoint).read_rows("words", rows).unwrap());
            assert_eq!(found.1, [4, 2]);
            let expected = rows.iter().filter(|row| **row < 4).flat_map(|row| bytes[4 * row..][..4].to_vec());
            assert_eq!(found.0.bytes, expected.collect::<Vec<_>>());
        }
        assert!(checkpoint.read_rows("other", &[0]).is_err());
    }

    #[test]
    fn a_file_without_bytes_is_too_short() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        for content in [&b""[..], &b"1234567"[..], &[255; 8][..], &[1, 0, 0, 0, 0, 0, 0, 0][..]] {
            std::fs::write(&path, content).unwrap();
            let error = Store::open(&path).unwrap().header().unwrap_err();
            assert!(matches!(error, Error::Header { .. }), "{error}");
        }
    }
}
