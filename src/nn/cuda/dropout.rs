//! Dropout on a GPU: the masks of the CPU, bit for bit.

use super::{CHANNELS, Mask};
use crate::nn::cuda::{Gpu, arguments, word};
use crate::nn::{Buffer, Rows};

impl Mask {
    /// Low and high word of its seed, probability and scale, as kernels take them.
    pub(in crate::nn) fn parts(self) -> (u32, u32, f32, f32) {
        (self.seed.0 as u32, (self.seed.0 >> 32) as u32, self.probability, self.scale)
    }
}

pub(super) fn forward(
    gpu: &'static Gpu,
    members: usize,
    rows: &Rows,
    width: usize,
    mask: Mask,
    x: &mut Buffer,
) {
    let (low, high, probability, scale) = mask.parts();
    let sizes = (word(members), word(rows.len()), word(width));
    let arguments =
        arguments![x.pointer(), gpu.names(rows), low, high, probability, scale, sizes.0, sizes.1, sizes.2];
    gpu.launch_rows("dropout", (rows.len(), width.div_ceil(CHANNELS)), arguments);
}
