//! Sums and multiples of activations: what joins the branches of a block.

use super::Buffer;
use super::parallel::{map, map2};

/// y += x.
pub fn add(x: &Buffer, y: &mut Buffer) {
    map(y.cpu_mut(), x.cpu(), |y, x| *y += x);
}

/// y = a + b.
pub fn sum(a: &Buffer, b: &Buffer, y: &mut Buffer) {
    y.resize(a.len());
    map2(y.cpu_mut(), a.cpu(), b.cpu(), |y, a, b| *y = a + b);
}

/// y = factor x.
pub fn scaled(x: &Buffer, factor: f32, y: &mut Buffer) {
    y.resize(x.len());
    map(y.cpu_mut(), x.cpu(), |y, x| *y = factor * x);
}

/// y += factor x.
pub fn add_scaled(x: &Buffer, factor: f32, y: &mut Buffer) {
    map(y.cpu_mut(), x.cpu(), |y, x| *y += factor * x);
}
/// Sets every row of x with `zero(row)` to zero, in all members.
///
/// # Shapes
/// x `[K, rows, width]`.
pub fn zero_rows(members: usize, rows: usize, width: usize, zero: impl Fn(usize) -> bool, x: &mut Buffer) {
    debug_assert_eq!(x.len(), members * rows * width);
    for (index, row) in x.cpu_mut().chunks_exact_mut(width).enumerate() {
        if zero(index % rows) {
            row.fill(0.0);
        }
    }
}
