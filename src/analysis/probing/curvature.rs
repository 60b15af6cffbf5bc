//! What makes the logistic problem round. The features of a language model's layer have a spectrum
//! over many orders of magnitude, on which a search that knows no curvature takes thousands of
//! steps. The Hessian is `P + c Xᵀ S X` with P the penalty and S the variance of each prediction;
//! with one s in place of all of S its inverse can be applied exactly, by the Cholesky factor of the
//! smaller of the two Gram matrices. The search then takes some tens of steps, to the same minimum:
//! this changes the way, not the function.

use super::super::scores::linear::{Cholesky, gram_of_columns, gram_of_rows};
use ndarray::{Array2, ArrayView2};

use crate::analysis::products::{across, along};

/// The Gram matrix of features `[N, D]`, computed once and kept for all weights of the loss.
pub(super) struct Curvature<'a> {
    x: ArrayView2<'a, f64>,
    /// `XᵀX` where there are more rows than columns, else `XXᵀ`.
    gram: Array2<f64>,
}

/// `(I + w XᵀX)⁻¹` for one w.
pub(super) struct Inverse<'a> {
    x: ArrayView2<'a, f64>,
    weight: f64,
    factor: Cholesky,
}

impl<'a> Curvature<'a> {
    /// Of features whose columns have mean zero.
    pub(super) fn of(x: ArrayView2<'a, f64>) -> Self {
        let gram = if x.nrows() > x.ncols() { gram_of_columns(x) } else { gram_of_rows(x) };
        Self { x, gram }
    }

    /// The inverse for a weight; `None` where rounding has made the matrix indefinite, and the
    /// search has to do without.
    pub(super) fn inverse(&self, weight: f64) -> Option<Inverse<'a>> {
        let mut matrix = &self.gram * weight;
        matrix.diag_mut().mapv_inplace(|value| value + 1.0);
        let factor = Cholesky::new(matrix).ok()?;
        Some(Inverse { x: self.x, weight, factor })
    }
}

impl Inverse<'_> {
    /// The product with a vector `[D]`.
    pub(super) fn apply(&self, vector: &[f64]) -> Vec<f64> {
        if self.x.nrows() > self.x.ncols() {
            return self.factor.solve(vector);
        }
        // Woodbury: (I + w XᵀX)⁻¹ v = v − w Xᵀ (I + w XXᵀ)⁻¹ X v
        let inner = self.factor.solve(&along(self.x, vector));
        let back = across(self.x, &inner);
        vector.iter().zip(back).map(|(part, back)| part - self.weight * back).collect()
    }
}
