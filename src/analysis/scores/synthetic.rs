//! Seeded matrices for tests.

use crate::seed::Seed;
use ndarray::Array2;

/// Standard normal numbers.
pub(crate) fn normal(rows: usize, columns: usize, seed: u64) -> Array2<f64> {
    let mut stream = Seed(seed).stream();
    Array2::from_shape_simple_fn((rows, columns), || stream.normal())
}

/// Normal features of which the first column is moved by `shift` times the label.
pub(crate) fn shifted(rows: usize, columns: usize, shift: f64, seed: u64) -> (Array2<f64>, Vec<u32>) {
    let mut x = normal(rows, columns, seed);
    let labels: Vec<u32> = (0..rows).map(|at| (at % 2) as u32).collect();
    for (mut row, label) in x.rows_mut().into_iter().zip(&labels) {
        row[0] += shift * (f64::from(*label) - 0.5);
    }
    (x, labels)
}
