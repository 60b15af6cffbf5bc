//! Sums of activations on a GPU.

use crate::nn::Buffer;
use crate::nn::cuda::{Gpu, arguments, word};

pub(super) fn add(gpu: &'static Gpu, x: &Buffer, y: &mut Buffer) {
    assert_eq!(x.len(), y.len());
    let n = x.len();
    gpu.launch_each("residual_add", n, arguments![x.pointer(), y.room(gpu, n), n as u64]);
}

pub(super) fn sum(gpu: &'static Gpu, a: &Buffer, b: &Buffer, y: &mut Buffer) {
    assert_eq!(a.len(), b.len());
    let n = a.len();
    let y = y.room(gpu, n);
    gpu.launch_each("residual_sum", n, arguments![a.pointer(), b.pointer(), y, n as u64]);
}

pub(super) fn scaled(gpu: &'static Gpu, x: &Buffer, factor: f32, y: &mut Buffer) {
    let n = x.len();
    let y = y.room(gpu, n);
    gpu.launch_each("residual_scaled", n, arguments![x.pointer(), factor, y, n as u64]);
}

pub(super) fn add_scaled(gpu: &'static Gpu, x: &Buffer, factor: f32, y: &mut Buffer) {
    assert_eq!(x.len(), y.len());
    let n = x.len();
    let y = y.room(gpu, n);
    gpu.launch_each("residual_add_scaled", n, arguments![x.pointer(), factor, y, n as u64]);
}

pub(super) fn zero_rows(
    gpu: &'static Gpu,
    [members, rows, width]: [usize; 3],
    zero: impl Fn(usize) -> bool,
    x: &mut Buffer,
) {
    let marks: Vec<u32> = (0..rows).map(|row| u32::from(zero(row))).collect();
    let total = members * rows;
    let arguments = arguments![x.room(gpu, x.len()), gpu.table(&marks), word(rows), word(total), word(width)];
    gpu.launch_rows("zero_rows", (total, width), arguments);
}

/// y `[K, n]` = x `[n]` for every member.
pub(super) fn repeat(gpu: &'static Gpu, members: usize, x: &Buffer, y: &mut Buffer) {
    let n = x.len();
    let y = y.room(gpu, members * n);
    gpu.launch_each("repeat_members", n, arguments![x.pointer(), y, word(members), n as u64]);
}
