//! Reference tensors and the comparison with them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::Error;
use crate::device::Device;
use crate::error::{Context, Failure};
use crate::hub::tensor::TensorSource;
use crate::hub::{Checkpoint, ModelName, Repository, Settings, unwatched};
use crate::nn::Buffer;

/// One comparison.
#[derive(Clone, Debug, PartialEq)]
pub struct Case {
    /// What was compared, by the name of the reference tensor.
    pub name: String,
    /// Relative error: max |a - b| / max |b| over a tensor, |a - b| / |b| for a number.
    pub error: f64,
    /// The largest that passes.
    pub tolerance: f64,
}

impl Case {
    /// Whether it is within its tolerance; an error that is no number is not.
    pub fn passed(&self) -> bool {
        self.error <= self.tolerance
    }

    /// Error in units of the tolerance.
    pub fn strain(&self) -> f64 {
        if self.passed() && self.error == 0.0 {
            0.0
        } else if self.error.is_nan() {
            f64::INFINITY
        } else {
            self.error / self.tolerance
        }
    }

    /// Two numbers.
    pub fn of_numbers(name: impl Into<String>, found: f64, expected: f64, tolerance: f64) -> Self {
        let error = (found - expected).abs() / expected.abs();
        Self { name: name.into(), error, tolerance }
    }

    /// Two tensors.
    pub fn of_tensors(name: impl Into<String>, found: &[f32], expected: &[f32], tolerance: f64) -> Self {
        let largest = expected.iter().fold(0.0_f64, |largest, b| largest.max(f64::from(b.abs())));
        let difference = if found.len() == expected.len() {
            let pairs = found.iter().zip(expected);
            pairs
                .map(|(a, b)| (f64::from(*a) - f64::from(*b)).abs())
                .fold(0.0, |largest, d| if d.is_nan() || d > largest { d } else { largest })
        } else {
            f64::INFINITY
        };
        let error = if difference == 0.0 { 0.0 } else { difference / largest };
        Self { name: name.into(), error, tolerance }
    }
}

/// A file of reference tensors.
#[derive(Debug)]
pub(super) struct Golden {
    path: PathBuf,
    names: BTreeSet<String>,
    tensors: Checkpoint,
}

impl Golden {
    pub(super) fn open(path: &Path) -> Result<Self, Failure> {
        let tensors = checkpoint(path)?;
        Ok(Self { path: path.to_owned(), names: tensors.names().into_iter().collect(), tensors })
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.names.contains(name)
    }

    pub(super) fn names(&self) -> &BTreeSet<String> {
        &self.names
    }

    pub(super) fn malformed(&self, what: String) -> Failure {
        Error::Malformed { path: self.path.clone(), what }.into()
    }

    /// A tensor of floats with its shape.
    pub(super) fn floats(&self, name: &str) -> Result<(Vec<f32>, Vec<usize>), Failure> {
        let raw = self.tensors.read(name)?;
        let numbers = raw.to_f32();
        let numbers = numbers.ok_or_else(|| self.malformed(format!("holds no floats in `{name}`")))?;
        Ok((numbers, raw.shape))
    }

    /// The same as `[rows, rest]` with the sizes of the first two of three axes.
    pub(super) fn batch(&self, name: &str, device: Device) -> Result<(Buffer, usize, usize), Failure> {
        let (numbers, shape) = self.floats(name)?;
        let [examples, tokens, _] = shape[..] else {
            return Err(self.malformed(format!("has shape {shape:?} in `{name}`, expected three axes")));
        };
        Ok((Buffer::from_vec(device, numbers), examples, tokens))
    }

    /// A tensor of whole numbers with its shape.
    pub(super) fn integers(&self, name: &str) -> Result<(Vec<i64>, Vec<usize>), Failure> {
        let raw = self.tensors.read(name)?;
        let numbers: Vec<i64> = match (raw.dtype.name(), raw.dtype.size()) {
            ("I64", _) => raw.bytes.as_chunks::<8>().0.iter().map(|b| i64::from_le_bytes(*b)).collect(),
            ("I32", _) => {
                raw.bytes.as_chunks::<4>().0.iter().map(|b| i64::from(i32::from_le_bytes(*b))).collect()
            }
            (dtype, _) => {
                let what = format!("holds {dtype} in `{name}`, expected I64 or I32");
                return Err(self.malformed(what));
            }
        };
        Ok((numbers, raw.shape))
    }

    /// Token ids, `[examples, tokens]`.
    pub(super) fn ids(&self, name: &str) -> Result<(Vec<u32>, usize, usize), Failure> {
        let (numbers, shape) = self.integers(name)?;
        let [examples, tokens] = shape[..] else {
            return Err(self.malformed(format!("has shape {shape:?} in `{name}`, expected two axes")));
        };
        let ids = numbers.iter().map(|&id| u32::try_from(id)).collect::<Result<_, _>>();
        let ids = ids.map_err(|_| self.malformed(format!("holds ids that are no ids in `{name}`")))?;
        Ok((ids, examples, tokens))
    }

    /// Compares a tensor with the reference of this name.
    pub(super) fn case(&self, name: &str, found: &[f32], tolerance: f64) -> Result<Case, Failure> {
        let (expected, _) = self.floats(name)?;
        Ok(Case::of_tensors(name, found, &expected, tolerance))
    }
}

/// A checkpoint, or one safetensors file, on this machine; never looks anywhere else.
pub(super) fn checkpoint(path: &Path) -> Result<Checkpoint, Failure> {
    let repository = Repository::open(&Settings::below(path), &ModelName::Path(path.to_owned()), None)?;
    Ok(repository.checkpoint(&mut unwatched)?)
}

/// Largest JSON file of an oracle directory, in bytes: the shipped ones are below 100 kB.
const LARGEST_JSON: u64 = 64 << 20;

pub(super) fn json(path: &Path) -> Result<serde_json::Value, Failure> {
    let malformed = |what: String| Error::Malformed { path: path.to_owned(), what };
    let size = std::fs::metadata(path).map_err(|cause| malformed(format!("cannot be read: {cause}")))?.len();
    if size > LARGEST_JSON {
        return Err(malformed(format!("has {size} bytes, expected at most {LARGEST_JSON}")).into());
    }
    let text = std::fs::read(path).map_err(|cause| malformed(format!("cannot be read: {cause}")))?;
    let value = serde_json::from_slice(&text).map_err(|cause| malformed(format!("is no JSON: {cause}")));
    value.while_doing(|| "reading an oracle directory".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_relative_to_the_largest_reference_and_nan_fails() {
        let case = Case::of_tensors("y", &[1.0, -4.1], &[1.0, -4.0], 0.03);
        assert!((case.error - 0.1 / 4.0).abs() < 1e-6 && case.passed());
        assert!(!Case::of_tensors("y", &[f32::NAN, 1.0], &[1.0, 1.0], 1.0).passed());
        assert!(!Case::of_tensors("y", &[1.0], &[1.0, 1.0], 1.0).passed());
        assert!(Case::of_tensors("y", &[0.0], &[0.0], 1e-9).passed());
        assert!(!Case::of_numbers("x", f64::NAN, 1.0, 1.0).passed());
    }
}
