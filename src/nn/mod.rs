//! Differentiable operations, each a forward and a backward written out over reused buffers.
//! Nothing here knows an architecture's name or opens a file.
//!
//! Activations are matrices of rows with a leading member axis, `[K, R, D]`, in one [`Buffer`];
//! parameters stand in an [`Arena`] (trainable) or in a [`Frozen`] buffer, and reach an operation
//! as a [`Param`]. An operation with trainable parameters adds to their gradients (weights can be
//! shared); every other output is overwritten unless its documentation says otherwise.

pub mod activation;
pub mod adam;
mod aligned;
pub mod arena;
pub mod attention;
mod brain;
pub mod buffer;
pub mod convolution;
pub mod cross_entropy;
#[cfg(feature = "cuda")]
mod cuda;
pub mod dropout;
pub(crate) mod elementary;
pub mod embedding;
mod few_rows;
pub mod frozen;
pub(crate) mod gemm;
pub mod heads;
pub mod join;
pub mod linear;
pub mod meter;
pub mod norm;
mod panels;
pub(crate) mod parallel;
pub mod param;
pub mod pooling;
pub mod relative;
pub mod residual;
pub mod rotary;
pub mod routing;
pub mod rows;
#[cfg(target_arch = "x86_64")]
mod single;

pub use arena::{Arena, Entry, Layout, Slot};
pub use buffer::Buffer;
pub use frozen::Frozen;
pub use param::{Param, ParamMut};
pub use rows::{DropoutKey, Rows};

/// Whether a device has done everything that it was asked for.
///
/// # Errors
/// [`Error::Stopped`](crate::device::Error::Stopped) with the reason of its driver, where a call was
/// refused: memory that is not there, most of all. What it was to compute since then is NaN.
pub fn check(device: crate::device::Device) -> Result<(), crate::device::Error> {
    match device {
        crate::device::Device::Cpu(_) => Ok(()),
        #[cfg(feature = "cuda")]
        device => cuda::check(device),
    }
}

/// Waits until a device has done everything that it was given, so that a clock can be read.
pub fn wait(device: crate::device::Device) {
    match device {
        crate::device::Device::Cpu(_) => {}
        #[cfg(feature = "cuda")]
        device => cuda::wait(device),
    }
}
