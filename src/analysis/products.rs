//! Products of a matrix with a vector, in f64 over all threads. Numbers are summed in an order that
//! depends on the sizes only, so any number of threads gives the same bits.

use ndarray::{ArrayView1, ArrayView2, s};
use rayon::prelude::*;

/// Rows that one thread takes at a time.
const TOGETHER: usize = 256;

/// `X v`, `[N]`.
pub(crate) fn along(x: ArrayView2<'_, f64>, vector: &[f64]) -> Vec<f64> {
    let mut product = vec![0.0; x.nrows()];
    product.par_iter_mut().enumerate().with_min_len(TOGETHER).for_each(|(row, product)| {
        *product = with_row(x.row(row), |row| dot(row, vector));
    });
    product
}

/// `Xᵀ r`, `[D]`.
pub(crate) fn across(x: ArrayView2<'_, f64>, weights: &[f64]) -> Vec<f64> {
    let starts: Vec<usize> = (0..x.nrows()).step_by(TOGETHER).collect();
    let parts: Vec<Vec<f64>> = starts
        .par_iter()
        .map(|&start| {
            let end = (start + TOGETHER).min(x.nrows());
            let mut sum = vec![0.0; x.ncols()];
            for (row, &weight) in x.slice(s![start..end, ..]).rows().into_iter().zip(&weights[start..end]) {
                with_row(row, |row| add(&mut sum, weight, row));
            }
            sum
        })
        .collect();
    let mut product = vec![0.0; x.ncols()];
    for part in parts {
        add(&mut product, 1.0, &part);
    }
    product
}

/// A row as a slice, copied only where its numbers are not side by side.
pub(crate) fn with_row<T>(row: ArrayView1<'_, f64>, run: impl FnOnce(&[f64]) -> T) -> T {
    match row.as_slice() {
        Some(row) => run(row),
        None => run(&row.to_vec()),
    }
}

/// The scalar product, summed in eight lanes.
pub(crate) fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut lanes = [0.0; 8];
    let (a_parts, b_parts) = (a.chunks_exact(8), b.chunks_exact(8));
    let (a_rest, b_rest) = (a_parts.remainder(), b_parts.remainder());
    for (a, b) in a_parts.zip(b_parts) {
        for lane in 0..8 {
            lanes[lane] += a[lane] * b[lane];
        }
    }
    lanes.iter().sum::<f64>() + a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum::<f64>()
}

/// `to += scale * other`.
pub(crate) fn add(to: &mut [f64], scale: f64, other: &[f64]) {
    to.iter_mut().zip(other).for_each(|(to, other)| *to += scale * other);
}

#[cfg(test)]
mod tests {
    use super::super::scores::synthetic::normal;
    use super::*;

    #[test]
    fn products_are_those_of_the_matrix_in_any_layout() {
        let x = normal(600, 37, 1);
        let (v, r) =
            (normal(37, 1, 2).into_raw_vec_and_offset().0, normal(600, 1, 3).into_raw_vec_and_offset().0);
        let columns = x.t().as_standard_layout().to_owned();
        for x in [x.view(), columns.t()] {
            let expected = x.dot(&ArrayView1::from(&v));
            assert!(along(x, &v).iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-12));
            let expected = x.t().dot(&ArrayView1::from(&r));
            assert!(across(x, &r).iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-11));
        }
    }
}
