//! Where numbers are computed: the CPU, or one CUDA device of a build that has the feature.

use crate::error::{Category, Diagnose};

/// What was asked for on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Choice {
    /// A CUDA device if this build and this machine have one, else the CPU.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// The CUDA device with this index.
    Cuda(usize),
}

/// The device that a computation runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Device {
    /// The CPU, with the threads of the global pool.
    Cpu,
}

impl std::fmt::Display for Device {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Cpu => f.write_str("cpu"),
        }
    }
}

/// Why a device cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not `auto`, `cpu`, `cuda` or `cuda:N`.
    #[error("unknown device `{0}`: expected `auto`, `cpu` or `cuda:N`")]
    Unknown(String),
    /// A GPU was asked for, and this program cannot use one.
    #[error("no GPU: `cuda:{0}` was asked for, and this build has no CUDA kernels")]
    NoGpu(usize),
}

impl Diagnose for Error {
    fn hint(&self) -> Option<String> {
        Some("run on the processor with `--device cpu`".into())
    }

    fn category(&self) -> Category {
        match self {
            Self::Unknown(_) => Category::Usage,
            Self::NoGpu(_) => Category::Failure,
        }
    }
}

impl std::str::FromStr for Choice {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match text {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda(0)),
            _ => text
                .strip_prefix("cuda:")
                .and_then(|index| index.parse().ok())
                .map(Self::Cuda)
                .ok_or_else(|| Error::Unknown(text.into())),
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
            Self::Auto | Self::Cpu => Ok(Device::Cpu),
            Self::Cuda(index) => Err(Error::NoGpu(index)),
        }
    }
}
