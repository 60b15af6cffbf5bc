//! Where numbers are computed: the CPU, or one CUDA device of a build that has the feature.

use crate::error::{Category, Diagnose};
use crate::words::words;

/// What was asked for on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Choice {
    /// A CUDA device if this build and this machine have one, else the CPU.
    Auto(Precision),
    /// The CPU.
    Cpu(Precision),
    /// The CUDA device with this index.
    Cuda(usize, Precision),
}

impl Default for Choice {
    fn default() -> Self {
        Self::Auto(Precision::F32)
    }
}

words! {
    /// What the factors of matrix products are rounded to. Numbers are stored, and sums are taken, in
    /// f32 whichever it is. On the CPU bfloat16 is for linear maps of more than a few rows; attention, a
    /// frozen layer's products with one token a text, and everything else, stay in f32.
    #[derive(Default)]
    Precision, "precision" {
        /// Not at all: 24 bits.
        #[default]
        F32 = "f32",
        /// 11 bits, the range of f32.
        Tf32 = "tf32",
        /// 8 bits, the range of f32.
        Bf16 = "bf16",
    }
}

/// The device that a computation runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Device {
    /// The CPU, with the threads of the global pool.
    Cpu(Precision),
    /// One CUDA device.
    #[cfg(feature = "cuda")]
    Cuda(usize, Precision),
}

impl std::fmt::Display for Device {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let precision = match self {
            Self::Cpu(precision) => {
                f.write_str("cpu")?;
                precision
            }
            #[cfg(feature = "cuda")]
            Self::Cuda(index, precision) => {
                write!(f, "cuda:{index}")?;
                precision
            }
        };
        if *precision == Precision::F32 { Ok(()) } else { write!(f, "/{precision}") }
    }
}

impl Device {
    /// The CPU in f32.
    pub const CPU: Self = Self::Cpu(Precision::F32);

    /// What it rounds the factors of matrix products to.
    pub fn precision(self) -> Precision {
        match self {
            Self::Cpu(precision) => precision,
            #[cfg(feature = "cuda")]
            Self::Cuda(_, precision) => precision,
        }
    }

    /// Bytes of its own memory, all of it; `None` for the CPU, which has the machine's.
    pub fn memory(self) -> Option<u64> {
        match self {
            Self::Cpu(_) => None,
            #[cfg(feature = "cuda")]
            Self::Cuda(index, _) => cuda::memory(index),
        }
    }

    /// What it is, for a reader: the name of a GPU.
    pub fn description(self) -> String {
        match self {
            Self::Cpu(_) => self.to_string(),
            #[cfg(feature = "cuda")]
            Self::Cuda(index, _) => match cuda::name(index) {
                Some(name) => format!("{self} ({name})"),
                None => self.to_string(),
            },
        }
    }
}

/// Why a device cannot be had, or has stopped.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Not `auto`, `cpu`, `cuda` or `cuda:N`, or a precision that the device has not.
    #[error("unknown device `{0}`: expected `auto`, `cpu` or `cuda:N`, also with `/tf32` or `/bf16`")]
    Unknown(String),
    /// The CPU was asked for in a precision for which it has no instruction.
    #[error("no {0} on this processor: {instruction}", instruction = needed(*.0))]
    NoPrecision(Precision),
    /// A GPU was asked for, and this program cannot use one.
    #[error("no GPU: `cuda:{0}` was asked for, and this build has no CUDA kernels")]
    NoGpu(usize),
    /// A GPU was asked for that this machine does not have.
    #[cfg(feature = "cuda")]
    #[error("no GPU: `cuda:{index}` was asked for, and {found}")]
    NotThere {
        /// The one that was asked for.
        index: usize,
        /// What there is instead.
        found: String,
    },
    /// A device that no longer computes.
    #[error("`{device}` failed: {reason}")]
    Stopped {
        /// Which.
        device: String,
        /// The first call that its driver refused, and what it said.
        reason: String,
    },
}

/// Whether this processor multiplies pairs of bfloat16.
pub(crate) fn multiplies_bf16() -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bf16")
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        false
    }
}

/// What a CPU would have to have for a precision.
fn needed(precision: Precision) -> &'static str {
    match precision {
        Precision::Bf16 => "it would need AVX512-BF16",
        Precision::F32 | Precision::Tf32 => "only a GPU has it",
    }
}

impl Diagnose for Error {
    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NoPrecision(_) => "leave the precision out, to compute in f32".into(),
            Self::Stopped { reason, .. } if reason.contains("OUT_OF_MEMORY") => {
                "lower `--batch-size`, or stack fewer cells with `--stack`".into()
            }
            _ => "run on the processor with `--device cpu`".into(),
        })
    }

    fn category(&self) -> Category {
        match self {
            Self::Unknown(_) => Category::Usage,
            Self::NoGpu(_) | Self::NoPrecision(_) | Self::Stopped { .. } => Category::Failure,
            #[cfg(feature = "cuda")]
            Self::NotThere { .. } => Category::Failure,
        }
    }
}

/// A device's text in its two parts: the place, and the word of the precision where there is one.
pub(crate) fn parts(device: &str) -> (&str, Option<&str>) {
    device.split_once('/').map_or((device, None), |(place, precision)| (place, Some(precision)))
}

impl std::str::FromStr for Choice {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let unknown = || Error::Unknown(text.into());
        let (device, word) = parts(text);
        let precision = word.map_or(Ok(Precision::default()), |word| word.parse().map_err(|_| unknown()))?;
        match device {
            "auto" => Ok(Self::Auto(precision)),
            "cpu" => Ok(Self::Cpu(precision)),
            "cuda" => Ok(Self::Cuda(0, precision)),
            _ => device
                .strip_prefix("cuda:")
                .and_then(|index| index.parse().ok())
                .map(|index| Self::Cuda(index, precision))
                .ok_or_else(unknown),
        }
    }
}

impl Choice {
    /// The device, or why it cannot be had; a GPU that was asked for by name is never replaced by
    /// the CPU, nor a precision by another.
    ///
    /// # Errors
    /// [`Error::NoGpu`] where a CUDA device was asked for and there is none, [`Error::NoPrecision`] where
    /// the CPU is to round and cannot.
    pub fn resolve(self) -> Result<Device, Error> {
        let cpu = |precision: Precision| match precision {
            Precision::F32 => Ok(Device::CPU),
            Precision::Bf16 if multiplies_bf16() => Ok(Device::Cpu(precision)),
            Precision::Bf16 | Precision::Tf32 => Err(Error::NoPrecision(precision)),
        };
        match self {
            Self::Cpu(precision) => cpu(precision),
            #[cfg(not(feature = "cuda"))]
            Self::Auto(precision) => cpu(precision),
            #[cfg(not(feature = "cuda"))]
            Self::Cuda(index, _) => Err(Error::NoGpu(index)),
            #[cfg(feature = "cuda")]
            Self::Auto(precision) => match cuda::count() {
                Ok(1..) => Ok(Device::Cuda(0, precision)),
                _ => cpu(precision),
            },
            #[cfg(feature = "cuda")]
            Self::Cuda(index, precision) => match cuda::count() {
                Ok(count) if index < count => Ok(Device::Cuda(index, precision)),
                Ok(count) => {
                    Err(Error::NotThere { index, found: format!("this machine has {count} of them") })
                }
                Err(reason) => Err(Error::NotThere { index, found: format!("the driver says {reason}") }),
            },
        }
    }
}

/// What the driver says of its devices, without touching one.
#[cfg(feature = "cuda")]
mod cuda {
    use candle_core::cuda::cudarc::driver::result;

    /// How many there are, or the driver's reason.
    pub(super) fn count() -> Result<usize, String> {
        let asked = result::init().and_then(|()| result::device::get_count());
        asked.map(|count| usize::try_from(count).unwrap_or(0)).map_err(|error| format!("{:?}", error.0))
    }

    #[expect(unsafe_code, reason = "the driver's function takes any number for a device")]
    pub(super) fn memory(index: usize) -> Option<u64> {
        let device = result::device::get(index.try_into().ok()?).ok()?;
        // SAFETY: the driver gave this device.
        unsafe { result::device::total_mem(device) }.ok().map(|bytes| bytes as u64)
    }

    pub(super) fn name(index: usize) -> Option<String> {
        let device = result::device::get(index.try_into().ok()?).ok()?;
        result::device::get_name(device).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_precision_is_given_or_refused_and_never_replaced() {
        let error = Choice::Cpu(Precision::Tf32).resolve().unwrap_err();
        assert_eq!(error.to_string(), "no tf32 on this processor: only a GPU has it");
        match Choice::Cpu(Precision::Bf16).resolve() {
            Ok(device) => assert_eq!(device.to_string(), "cpu/bf16"),
            Err(error) => assert!(error.to_string().ends_with("it would need AVX512-BF16"), "{error}"),
        }
    }

    #[test]
    fn a_device_is_read_with_its_precision() {
        let parsed = |text: &str| text.parse::<Choice>().ok();
        assert_eq!(parsed("cuda"), Some(Choice::Cuda(0, Precision::F32)));
        assert_eq!(parsed("cuda:3/tf32"), Some(Choice::Cuda(3, Precision::Tf32)));
        assert_eq!(parsed("auto/bf16"), Some(Choice::Auto(Precision::Bf16)));
        assert_eq!(parsed("cpu/f32"), Some(Choice::Cpu(Precision::F32)));
        assert_eq!(parsed("cpu/bf16"), Some(Choice::Cpu(Precision::Bf16)));
        for wrong in ["", "gpu", "cuda:", "cuda:x", "cpu/f16", "cuda:0/f16", "cuda:0/"] {
            assert_eq!(parsed(wrong), None, "{wrong}");
        }
    }
}
