//! The GPU under the operations: one stream, reused memory, kernels compiled at build time, cuBLAS
//! for products of matrices.
//!
//! Each operation's CUDA form is a file of this folder and a child module of its operation, which
//! hands over to it when it is given numbers that stand on a device. Nothing here waits for the
//! device except where numbers are brought to the host. Tables of the host (row numbers, ids, masks)
//! are uploaded by content and kept, so that what does not change within a step is sent once.
//!
//! A call that the driver refuses is kept as the device's failure: later calls do nothing, numbers
//! brought to the host are NaN, and [`check`] tells the reason.

mod gpu;
mod memory;
mod products;
mod tables;

pub(in crate::nn) use gpu::{Argument, Gpu, arguments, word};
pub(in crate::nn) use memory::Memory;
pub(in crate::nn) use products::{Operand, Product};
pub(in crate::nn) use tables::words_of;

use crate::device::{Device, Error};

/// Threads of a block where nothing else decides.
pub(in crate::nn) const THREADS: u32 = 256;

/// Neighbouring numbers that a thread reads and writes at once where a kernel takes quads.
pub(in crate::nn) const QUAD: usize = 4;

/// Threads of one warp.
pub(in crate::nn) const WARP: u32 = 32;

/// Why a device no longer computes.
///
/// # Errors
/// The first call that its driver refused.
pub(crate) fn check(device: Device) -> Result<(), Error> {
    match Gpu::of(device).and_then(Gpu::failure) {
        Some(reason) => Err(Error::Stopped { device: device.to_string(), reason: reason.to_owned() }),
        None => Ok(()),
    }
}

/// Waits until a device has done all that it was given.
pub(crate) fn wait(device: Device) {
    if let Some(gpu) = Gpu::of(device) {
        gpu.wait();
    }
}
