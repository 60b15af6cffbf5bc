//! Where numbers are computed: the CPU, or one CUDA device of a build that has the feature.

use crate::error::{Category, Diagnose};

/// What was asked for on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Choice {
    /// A CUDA device if this build and this machine have one, else the CPU.
    Auto(Precision),
    /// The CPU.
    Cpu,
    /// The CUDA device with this index.
    Cuda(usize, Precision),
}

impl Default for Choice {
    fn default() -> Self {
        Self::Auto(Precision::F32)
    }
}

/// What a GPU rounds the factors of matrix products to. Numbers are stored, and sums are taken, in
/// f32 whichever it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Precision {
    /// Not at all: 24 bits, as on the CPU.
    #[default]
    F32,
    /// 11 bits, the range of f32.
    Tf32,
    /// 8 bits, the range of f32.
    Bf16,
}

impl Precision {
    /// All of them, by their words.
    pub const ALL: [(&'static str, Self); 3] =
        [("f32", Self::F32), ("tf32", Self::Tf32), ("bf16", Self::Bf16)];

    /// The one with this word.
    pub fn named(word: &str) -> Option<Self> {
        Self::ALL.iter().find(|(name, _)| *name == word).map(|(_, precision)| *precision)
    }
}

/// The device that a computation runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Device {
    /// The CPU, with the threads of the global pool.
    Cpu,
    /// One CUDA device.
    #[cfg(feature = "cuda")]
    Cuda(usize, Precision),
}

impl std::fmt::Display for Device {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Cpu => f.write_str("cpu"),
            #[cfg(feature = "cuda")]
            Self::Cuda(index, precision) => {
                write!(f, "cuda:{index}")?;
                match Precision::ALL.iter().find(|(_, other)| other == precision) {
                    Some((word, other)) if *other != Precision::F32 => write!(f, "/{word}"),
                    _ => Ok(()),
                }
            }
        }
    }
}

impl Device {
    /// What it is, for a reader: the name of a GPU.
    pub fn description(self) -> String {
        match self {
            Self::Cpu => self.to_string(),
            #[cfg(feature = "cuda")]
            Self::Cuda(index, _) => match cuda::name(index) {
                Some(name) => format!("{self} ({name})"),
                None => self.to_string(),
            },
        }
    }
}

/// Why a device cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not `auto`, `cpu`, `cuda` or `cuda:N`, or a precision that the device has not.
    #[error("unknown device `{0}`: expected `auto`, `cpu` or `cuda:N`, a GPU also with `/tf32` or `/bf16`")]
    Unknown(String),
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
}

impl Diagnose for Error {
    fn hint(&self) -> Option<String> {
        Some("run on the processor with `--device cpu`".into())
    }

    fn category(&self) -> Category {
        match self {
            Self::Unknown(_) => Category::Usage,
            Self::NoGpu(_) => Category::Failure,
            #[cfg(feature = "cuda")]
            Self::NotThere { .. } => Category::Failure,
        }
    }
}

impl std::str::FromStr for Choice {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let unknown = || Error::Unknown(text.into());
        let (device, precision) = match text.split_once('/') {
            Some((device, word)) => (device, Some(Precision::named(word).ok_or_else(unknown)?)),
            None => (text, None),
        };
        let of_gpu = precision.unwrap_or_default();
        match device {
            "auto" => Ok(Self::Auto(of_gpu)),
            "cpu" if precision.is_none_or(|precision| precision == Precision::F32) => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda(0, of_gpu)),
            _ => device
                .strip_prefix("cuda:")
                .and_then(|index| index.parse().ok())
                .map(|index| Self::Cuda(index, of_gpu))
                .ok_or_else(unknown),
        }
    }
}

impl Choice {
    /// The device, or why it cannot be had; a GPU that was asked for by name is never replaced by
    /// the CPU.
    ///
    /// # Errors
    /// [`Error::NoGpu`] where a CUDA device was asked for and there is none.
    pub fn resolve(self) -> Result<Device, Error> {
        match self {
            Self::Cpu => Ok(Device::Cpu),
            #[cfg(not(feature = "cuda"))]
            Self::Auto(_) => Ok(Device::Cpu),
            #[cfg(not(feature = "cuda"))]
            Self::Cuda(index, _) => Err(Error::NoGpu(index)),
            #[cfg(feature = "cuda")]
            Self::Auto(precision) => Ok(match cuda::count() {
                Ok(1..) => Device::Cuda(0, precision),
                _ => Device::Cpu,
            }),
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

    pub(super) fn name(index: usize) -> Option<String> {
        let device = result::device::get(index.try_into().ok()?).ok()?;
        result::device::get_name(device).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_read_with_its_precision() {
        let parsed = |text: &str| text.parse::<Choice>().ok();
        assert_eq!(parsed("cuda"), Some(Choice::Cuda(0, Precision::F32)));
        assert_eq!(parsed("cuda:3/tf32"), Some(Choice::Cuda(3, Precision::Tf32)));
        assert_eq!(parsed("auto/bf16"), Some(Choice::Auto(Precision::Bf16)));
        assert_eq!(parsed("cpu/f32"), Some(Choice::Cpu));
        for wrong in ["", "gpu", "cuda:", "cuda:x", "cpu/tf32", "cuda:0/f16", "cuda:0/"] {
            assert_eq!(parsed(wrong), None, "{wrong}");
        }
    }
}
