//! From the rows of a batch to one row an example, and back.

#[cfg(feature = "cuda")]
#[path = "cuda/pooling.rs"]
mod on_gpu;

use rayon::prelude::*;

use super::parallel::{add_column_sums, run};
use super::{Buffer, Rows};

/// y's rows are the rows of x with these numbers.
///
/// # Shapes
/// x `[K, R, width]`, y `[K, rows.len(), width]`.
pub fn gather(members: usize, width: usize, rows: &[usize], x: &Buffer, y: &mut Buffer) {
    #[cfg(feature = "cuda")]
    if let Some(gpu) = x.gpu() {
        return on_gpu::gather(gpu, members, width, rows, x, y);
    }
    y.resize(members * rows.len() * width);
    if y.is_empty() {
        return;
    }
    let len = x.len() / members;
    for (member, y) in y.cpu_mut().chunks_exact_mut(rows.len() * width).enumerate() {
        let x = &x.cpu()[member * len..(member + 1) * len];
        run(y.len(), y.par_chunks_exact_mut(width).zip(rows.par_iter()), |(y, &row)| {
            y.copy_from_slice(&x[row * width..(row + 1) * width]);
        });
    }
}

/// The backward of [`gather`]: adds the rows of dy to the rows of dx with these numbers.
///
/// # Shapes
/// dy `[K, rows.len(), width]`, dx `[K, R, width]`.
pub fn scatter_add(members: usize, width: usize, rows: &[usize], dy: &Buffer, dx: &mut Buffer) {
    assert_eq!(dy.len(), members * rows.len() * width);
    if dy.is_empty() {
        return;
    }
    #[cfg(feature = "cuda")]
    if let Some(gpu) = dy.gpu() {
        return on_gpu::scatter_add(gpu, members, width, rows, dy, dx);
    }
    let len = dx.len() / members;
    for (member, dy) in dy.cpu().chunks_exact(rows.len() * width).enumerate() {
        let dx = &mut dx.cpu_mut()[member * len..(member + 1) * len];
        for (dy, &row) in dy.chunks_exact(width).zip(rows) {
            let dx = &mut dx[row * width..(row + 1) * width];
            dx.iter_mut().zip(dy).for_each(|(dx, dy)| *dx += dy);
        }
    }
}

/// [`scatter_add`] to zeros: every row of dx that was not gathered gets no gradient.
///
/// # Shapes
/// dy `[K, rows.len(), width]`, dx `[K, total_rows, width]`.
pub fn scatter(
    members: usize,
    width: usize,
    rows: &[usize],
    total_rows: usize,
    dy: &Buffer,
    dx: &mut Buffer,
) {
    dx.zero_beside(dy, members * total_rows * width);
    scatter_add(members, width, rows, dy, dx);
}

/// y = the mean of every example's rows: of its real tokens, or of all rows of its segment if
/// `include_padding`. An example without such a row gets zeros.
///
/// # Shapes
/// x `[K, R, width]`, y `[K, B, width]`.
pub fn pool_mean(
    members: usize,
    width: usize,
    rows: &Rows,
    include_padding: bool,
    x: &Buffer,
    y: &mut Buffer,
) {
    assert_eq!(x.len(), members * rows.len() * width);
    #[cfg(feature = "cuda")]
    if let Some(gpu) = x.gpu() {
        return on_gpu::pool_mean(gpu, members, width, (rows, include_padding), x, y);
    }
    y.resize(members * rows.examples() * width);
    y.fill(0.0);
    if y.is_empty() {
        return;
    }
    let work = x.len();
    run(work, y.cpu_mut().par_chunks_exact_mut(width).enumerate(), |(place, y)| {
        let (member, example) = (place / rows.examples(), place % rows.examples());
        let share = share(rows, example, include_padding);
        let of_segment: Vec<usize> =
            rows.segment(example).filter(|&row| include_padding || rows.is_real(row)).collect();
        add_column_sums(of_segment.len(), y, |row, columns, totals| {
            let x = &x.cpu()[(member * rows.len() + of_segment[row]) * width..][columns];
            totals.iter_mut().zip(x).for_each(|(total, &x)| *total += share * f64::from(x));
        });
    });
}

/// The backward of [`pool_mean`]; dx is overwritten.
///
/// # Shapes
/// dy `[K, B, width]`, dx `[K, R, width]`.
pub fn pool_mean_backward(
    members: usize,
    width: usize,
    rows: &Rows,
    include_padding: bool,
    dy: &Buffer,
    dx: &mut Buffer,
) {
    assert_eq!(dy.len(), members * rows.examples() * width);
    #[cfg(feature = "cuda")]
    if let Some(gpu) = dy.gpu() {
        return on_gpu::pool_mean_backward(gpu, members, width, (rows, include_padding), dy, dx);
    }
    dx.resize(members * rows.len() * width);
    dx.fill(0.0);
    for member in 0..members {
        for example in 0..rows.examples() {
            let share = share(rows, example, include_padding) as f32;
            let dy = &dy.cpu()[(member * rows.examples() + example) * width..][..width];
            for row in rows.segment(example).filter(|&row| include_padding || rows.is_real(row)) {
                let dx = &mut dx.cpu_mut()[(member * rows.len() + row) * width..][..width];
                dx.iter_mut().zip(dy).for_each(|(dx, &dy)| *dx = share * dy);
            }
        }
    }
}

/// What each row of an example counts in its mean.
fn share(rows: &Rows, example: usize, include_padding: bool) -> f64 {
    let counted = rows.segment(example).filter(|&row| include_padding || rows.is_real(row)).count();
    if counted == 0 { 0.0 } else { 1.0 / counted as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::Device;

    #[test]
    fn means_take_real_tokens_or_the_whole_segment() {
        let mut rows = Rows::packed(&[2, 2, 1]);
        rows.real = Some(vec![true, false, true, true, false]);
        let x = Buffer::from_vec(Device::CPU, vec![1., 3., 5., 6., 9.]);
        let mut y = Buffer::default();
        pool_mean(1, 1, &rows, false, &x, &mut y);
        assert_eq!(y.cpu(), [1., 5.5, 0.]);
        pool_mean(1, 1, &rows, true, &x, &mut y);
        assert_eq!(y.cpu(), [2., 5.5, 9.]);
    }

    #[test]
    fn a_row_gathered_twice_gets_both_gradients_and_the_others_none() {
        let dy = Buffer::from_vec(Device::CPU, vec![1., 2., 3., 4., 5., 6.]);
        let mut dx = Buffer::from_vec(Device::CPU, vec![f32::NAN; 3]);
        scatter(2, 1, &[1, 1, 0], 2, &dy, &mut dx);
        assert_eq!(dx.cpu(), [3., 3., 6., 9.]);
    }
}
