//! Sums and multiples of activations: what joins the branches of a block.

#[cfg(feature = "cuda")]
#[path = "cuda/residual.rs"]
mod on_gpu;

use super::parallel::{map, map2};
use super::{Buffer, Rows};

/// y += x.
pub fn add(x: &Buffer, y: &mut Buffer) {
    #[cfg(feature = "cuda")]
    if let Some(gpu) = x.gpu() {
        return on_gpu::add(gpu, x, y);
    }
    map(y.cpu_mut(), x.cpu(), |y, x| *y += x);
}

/// y = a + b.
pub fn sum(a: &Buffer, b: &Buffer, y: &mut Buffer) {
    #[cfg(feature = "cuda")]
    if let Some(gpu) = a.gpu() {
        return on_gpu::sum(gpu, a, b, y);
    }
    y.resize(a.len());
    map2(y.cpu_mut(), a.cpu(), b.cpu(), |y, a, b| *y = a + b);
}

/// y = factor x.
pub fn scaled(x: &Buffer, factor: f32, y: &mut Buffer) {
    #[cfg(feature = "cuda")]
    if let Some(gpu) = x.gpu() {
        return on_gpu::scaled(gpu, x, factor, y);
    }
    y.resize(x.len());
    map(y.cpu_mut(), x.cpu(), |y, x| *y = factor * x);
}

/// y += factor x.
pub fn add_scaled(x: &Buffer, factor: f32, y: &mut Buffer) {
    #[cfg(feature = "cuda")]
    if let Some(gpu) = x.gpu() {
        return on_gpu::add_scaled(gpu, x, factor, y);
    }
    map(y.cpu_mut(), x.cpu(), |y, x| *y += factor * x);
}

/// y `[K, n]` = x `[n]` for every member.
pub fn repeat(members: usize, x: &Buffer, y: &mut Buffer) {
    #[cfg(feature = "cuda")]
    if let Some(gpu) = x.gpu() {
        return on_gpu::repeat(gpu, members, x, y);
    }
    y.resize(members * x.len());
    for copy in y.cpu_mut().chunks_exact_mut(x.len().max(1)) {
        copy.copy_from_slice(x.cpu());
    }
}

/// Sets the rows of x that are not real to zero, in all members.
///
/// # Shapes
/// x `[K, R, width]`.
pub fn zero_padding(members: usize, width: usize, rows: &Rows, x: &mut Buffer) {
    if let Some(real) = &rows.real {
        zero_rows(members, rows.len(), width, |row| !real[row], x);
    }
}

/// Sets every row of x with `zero(row)` to zero, in all members.
///
/// # Shapes
/// x `[K, rows, width]`.
pub fn zero_rows(members: usize, rows: usize, width: usize, zero: impl Fn(usize) -> bool, x: &mut Buffer) {
    debug_assert_eq!(x.len(), members * rows * width);
    #[cfg(feature = "cuda")]
    if let Some(gpu) = x.gpu() {
        return on_gpu::zero_rows(gpu, [members, rows, width], zero, x);
    }
    for (index, row) in x.cpu_mut().chunks_exact_mut(width).enumerate() {
        if zero(index % rows) {
            row.fill(0.0);
        }
    }
}
