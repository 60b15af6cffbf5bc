//! Numbers on a device that are reused from step to step.

use rayon::prelude::*;

use super::parallel::run;
use crate::device::Device;

/// Numbers of one piece of a fill: 1 MiB, so that the system's own fill goes past the caches.
const FILLED_TOGETHER: usize = 1 << 18;

/// A run of f32 numbers on one device. Shrinking and growing within what it once held allocates
/// nothing, so that a training step touches no fresh memory.
///
/// This is the seam to CUDA: operations ask for the host's numbers by [`Buffer::cpu`], and a
/// second representation adds its own arm in each of them.
#[derive(Clone, Debug, Default)]
pub struct Buffer {
    numbers: Vec<f32>,
}

impl Buffer {
    /// `len` zeros.
    pub fn zeros(device: Device, len: usize) -> Self {
        match device {
            Device::Cpu => Self { numbers: vec![0.0; len] },
        }
    }

    /// The numbers, moved to the device.
    pub fn from_vec(device: Device, numbers: Vec<f32>) -> Self {
        match device {
            Device::Cpu => Self { numbers },
        }
    }

    /// How many numbers.
    pub fn len(&self) -> usize {
        self.numbers.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.numbers.is_empty()
    }

    /// Makes room for `len` numbers; what stood there before is unspecified.
    pub fn resize(&mut self, len: usize) {
        self.numbers.resize(len, 0.0);
    }

    /// Sets every number.
    pub fn fill(&mut self, value: f32) {
        let pieces = self.numbers.par_chunks_mut(FILLED_TOGETHER);
        run(pieces.len() * FILLED_TOGETHER, pieces, |numbers| numbers.fill(value));
    }

    /// Becomes a copy of `other`.
    pub fn copy_from(&mut self, other: &Self) {
        self.numbers.clear();
        self.numbers.extend_from_slice(&other.numbers);
    }

    /// The numbers, brought to the host.
    pub fn to_vec(&self) -> Vec<f32> {
        self.numbers.clone()
    }

    /// The numbers in the host's memory.
    pub fn cpu(&self) -> &[f32] {
        &self.numbers
    }

    /// The numbers in the host's memory, to be written.
    pub fn cpu_mut(&mut self) -> &mut [f32] {
        &mut self.numbers
    }
}
