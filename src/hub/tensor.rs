//! Tensors as they stand in a checkpoint, before anyone gives them a meaning.

use std::ops::Range;

use rayon::prelude::*;

/// Element types of safetensors that a layer can be stored in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dtype {
    /// 64-bit float.
    F64,
    /// 32-bit float.
    F32,
    /// 16-bit float.
    F16,
    /// Brain float.
    Bf16,
    /// Anything else the format knows (integers, booleans, 8-bit floats), by the format's name:
    /// listed, never computed with.
    Other(&'static str, usize),
}

impl Dtype {
    /// Bytes an element.
    pub fn size(self) -> usize {
        match self {
            Self::F64 => 8,
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
            Self::Other(_, size) => size,
        }
    }

    /// The format's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::F64 => "F64",
            Self::F32 => "F32",
            Self::F16 => "F16",
            Self::Bf16 => "BF16",
            Self::Other(name, _) => name,
        }
    }
}

/// One tensor, or some rows of it, in its stored dtype.
#[derive(Clone, Debug, PartialEq)]
pub struct RawTensor {
    /// Stored element type.
    pub dtype: Dtype,
    /// Row-major shape of the whole tensor.
    pub shape: Vec<usize>,
    /// Rows of the first axis that `bytes` holds; all of them when `None`.
    pub rows: Option<Range<usize>>,
    /// Little-endian elements.
    pub bytes: Vec<u8>,
}

impl RawTensor {
    /// The elements as f32, or `None` for a dtype that is no float.
    pub fn to_f32(&self) -> Option<Vec<f32>> {
        let bytes = &self.bytes;
        Some(match self.dtype {
            Dtype::F32 => each(bytes.as_chunks().0, |b: [u8; 4]| f32::from_le_bytes(b)),
            Dtype::F16 => each(bytes.as_chunks().0, |b: [u8; 2]| half::f16::from_le_bytes(b).to_f32()),
            Dtype::Bf16 => each(bytes.as_chunks().0, |b: [u8; 2]| half::bf16::from_le_bytes(b).to_f32()),
            Dtype::F64 => each(bytes.as_chunks().0, |b: [u8; 8]| f64::from_le_bytes(b) as f32),
            Dtype::Other(..) => return None,
        })
    }
}

/// Every element as a number, on all threads if there are many.
fn each<T: Copy + Sync>(elements: &[T], number: impl Fn(T) -> f32 + Sync + Send) -> Vec<f32> {
    /// Elements below which another thread would not pay.
    const TOGETHER: usize = 1 << 16;
    elements.par_iter().with_min_len(TOGETHER).map(|element| number(*element)).collect()
}

/// A tensor that a caller wants, or a run of its rows.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TensorRequest {
    /// Name in the checkpoint.
    pub name: String,
    /// First and past-the-last row of the first axis; `None`: the whole tensor.
    pub rows: Option<(usize, usize)>,
}

/// Anything that tensors can be read from by name: a checkpoint, a layer bundle, memory.
pub trait TensorSource {
    /// Names of all tensors.
    fn names(&self) -> Vec<String>;

    /// Reads one tensor.
    ///
    /// # Errors
    /// When there is none of that name, or its bytes cannot be read.
    fn read(&self, name: &str) -> Result<RawTensor, crate::error::Failure>;

    /// Reads some rows of a tensor that is whole, as a tensor of these rows alone, and the shape of
    /// the whole one. Rows that it does not have are left out. A source on a disk reads no others.
    ///
    /// # Errors
    /// As [`TensorSource::read`].
    fn read_rows(
        &self,
        name: &str,
        rows: &[usize],
    ) -> Result<(RawTensor, Vec<usize>), crate::error::Failure> {
        let RawTensor { dtype, shape: whole, bytes, .. } = self.read(name)?;
        let count = whole.first().copied().unwrap_or(0);
        let width = bytes.len() / count.max(1);
        let kept: Vec<usize> = rows.iter().copied().filter(|row| *row < count).collect();
        let mut some = Vec::with_capacity(kept.len() * width);
        for row in &kept {
            some.extend_from_slice(&bytes[row * width..(row + 1) * width]);
        }
        let shape = [&[kept.len()], whole.get(1..).unwrap_or_default()].concat();
        Ok((RawTensor { dtype, shape, rows: None, bytes: some }, whole))
    }
}
