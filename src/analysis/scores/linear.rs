//! Dense products and Cholesky factors in f64, in blocks over all threads. Every number is summed
//! in an order that depends on the sizes only, so any number of threads gives the same bits.

use super::Undefined;
use crate::analysis::products::{add, dot};
use ndarray::{Array2, ArrayView2, Axis, s};
use rayon::prelude::*;

/// Rows and columns of a block of a Gram matrix or a Cholesky factor: two blocks of operands stay in
/// the cache of a core while their product is formed.
const BLOCK: usize = 128;

/// `XᵀX`, `[D, D]`.
pub(crate) fn gram_of_columns(x: ArrayView2<'_, f64>) -> Array2<f64> {
    gram_of_rows(x.t())
}

/// `XXᵀ`, `[N, N]`; blocks of the lower half are computed and mirrored.
pub(crate) fn gram_of_rows(x: ArrayView2<'_, f64>) -> Array2<f64> {
    let n = x.nrows();
    let starts: Vec<usize> = (0..n).step_by(BLOCK).collect();
    let pairs: Vec<(usize, usize)> = starts
        .iter()
        .flat_map(|&row| {
            starts.iter().filter(move |&&column| column <= row).map(move |&column| (row, column))
        })
        .collect();
    let end = |start: usize| (start + BLOCK).min(n);
    let blocks: Vec<Array2<f64>> = pairs
        .par_iter()
        .map(|&(row, column)| x.slice(s![row..end(row), ..]).dot(&x.slice(s![column..end(column), ..]).t()))
        .collect();
    let mut gram = Array2::zeros((n, n));
    for ((row, column), block) in pairs.into_iter().zip(blocks) {
        gram.slice_mut(s![row..end(row), column..end(column)]).assign(&block);
        if row != column {
            gram.slice_mut(s![column..end(column), row..end(row)]).assign(&block.t());
        }
    }
    gram
}

/// The features with their column means taken away.
pub(crate) fn centred(x: ArrayView2<'_, f64>) -> Array2<f64> {
    let mut centred = x.to_owned();
    if let Some(mean) = x.mean_axis(Axis(0)) {
        centred -= &mean;
    }
    centred
}

/// The lower factor of a symmetric positive definite matrix, `A = L Lᵀ`.
pub(crate) struct Cholesky {
    /// Lower triangle; what stands above the diagonal is not read.
    factor: Array2<f64>,
}

impl Cholesky {
    /// Factors a matrix of which the lower half is read.
    ///
    /// # Errors
    /// [`Undefined::Singular`] if it is not positive definite.
    pub(crate) fn new(mut matrix: Array2<f64>) -> Result<Self, Undefined> {
        let n = matrix.nrows();
        for start in (0..n).step_by(BLOCK) {
            let end = (start + BLOCK).min(n);
            factor_diagonal(&mut matrix, start, end)?;
            let (above, mut below) = matrix.view_mut().split_at(Axis(0), end);
            let diagonal = above.slice(s![start..end, start..end]).to_owned();
            // rows below: x Lᵀ = a, one row on its own
            below.axis_iter_mut(Axis(0)).collect::<Vec<_>>().into_par_iter().for_each(|mut row| {
                for at in start..end {
                    let mut rest = row[at];
                    for before in start..at {
                        rest -= row[before] * diagonal[[at - start, before - start]];
                    }
                    row[at] = rest / diagonal[[at - start, at - start]];
                }
            });
            let panel = below.slice(s![.., start..end]).to_owned();
            let chunks: Vec<_> = below.axis_chunks_iter_mut(Axis(0), BLOCK).collect();
            chunks.into_par_iter().enumerate().for_each(|(chunk, mut rows)| {
                let first = chunk * BLOCK;
                let last = first + rows.nrows();
                let change = panel.slice(s![first..last, ..]).dot(&panel.slice(s![..last, ..]).t());
                let mut target = rows.slice_mut(s![.., end..end + last]);
                target -= &change;
            });
        }
        Ok(Self { factor: matrix })
    }

    /// `ln det A`.
    pub(crate) fn log_determinant(&self) -> f64 {
        2.0 * self.factor.diag().iter().map(|value| value.ln()).sum::<f64>()
    }

    /// The solution of `A x = b`.
    pub(crate) fn solve(&self, right: &[f64]) -> Vec<f64> {
        let mut x = right.to_vec();
        let n = x.len();
        let rows = self.factor.as_slice().expect("the factor is made in row-major order");
        let row = |at: usize| &rows[at * n..=at * n + at];
        for at in 0..n {
            let row = row(at);
            x[at] = (x[at] - dot(&row[..at], &x[..at])) / row[at];
        }
        // by rows again, which stand side by side: each known number leaves those before it
        for at in (0..n).rev() {
            let row = row(at);
            x[at] /= row[at];
            let known = -x[at];
            add(&mut x[..at], known, &row[..at]);
        }
        x
    }
}

fn factor_diagonal(matrix: &mut Array2<f64>, start: usize, end: usize) -> Result<(), Undefined> {
    for row in start..end {
        for column in start..=row {
            let known: f64 = (start..column).map(|at| matrix[[row, at]] * matrix[[column, at]]).sum();
            let rest = matrix[[row, column]] - known;
            if row != column {
                matrix[[row, column]] = rest / matrix[[column, column]];
            } else if rest > 0.0 && rest.is_finite() {
                matrix[[row, row]] = rest.sqrt();
            } else {
                return Err(Undefined::Singular);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::synthetic::normal;
    use super::*;

    #[test]
    fn a_gram_matrix_in_blocks_is_the_product() {
        let x = normal(300, 170, 1);
        let (rows, columns) = (gram_of_rows(x.view()), gram_of_columns(x.view()));
        let largest =
            |difference: Array2<f64>| difference.iter().fold(0.0, |max: f64, value| max.max(value.abs()));
        assert!(largest(&rows - &x.dot(&x.t())) < 1e-11);
        assert!(largest(&columns - &x.t().dot(&x)) < 1e-11);
    }

    #[test]
    fn a_cholesky_factor_solves_and_knows_the_determinant() {
        // 2 x 2 by hand: det 11, and a matrix of several blocks by its residual
        let small = Cholesky::new(ndarray::array![[4.0, 0.0], [1.0, 3.0]]).unwrap();
        assert!((small.log_determinant() - 11.0_f64.ln()).abs() < 1e-14);
        let x = normal(500, 300, 2);
        let matrix = gram_of_columns(x.view());
        let right: Vec<f64> = (0..300).map(f64::from).collect();
        let solution = Cholesky::new(matrix.clone()).unwrap().solve(&right);
        let back = matrix.dot(&ndarray::Array1::from(solution));
        assert!(back.iter().zip(&right).all(|(a, b)| (a - b).abs() < 1e-9));
    }

    #[test]
    fn a_matrix_that_is_not_positive_definite_is_refused() {
        let indefinite = ndarray::array![[1.0, 2.0], [2.0, 1.0]];
        assert_eq!(Cholesky::new(indefinite).err(), Some(Undefined::Singular));
    }
}
