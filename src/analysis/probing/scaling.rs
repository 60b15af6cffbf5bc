//! Columns brought to mean 0 and deviation 1 by the examples that a probe is fitted on, never by those
//! that it is judged on.

use ndarray::{Array1, Array2, ArrayView2, Axis};

/// A deviation below this part of the column's size is rounding: the column is constant.
const CONSTANT: f64 = 1e-12;

/// Means and factors of columns, `[D]`.
pub(super) struct Scaling {
    mean: Array1<f64>,
    factor: Array1<f64>,
}

impl Scaling {
    /// From the fitted examples, `[N, D]`, N > 0; a constant column becomes 0 everywhere.
    pub(super) fn of(x: ArrayView2<'_, f64>) -> Self {
        let n = x.nrows() as f64;
        let mean = x.sum_axis(Axis(0)) / n;
        let mut square = Array1::<f64>::zeros(x.ncols());
        for row in x.rows() {
            ndarray::Zip::from(&mut square)
                .and(row)
                .and(&mean)
                .for_each(|sum, x, mean| *sum += (x - mean).powi(2));
        }
        let factor = ndarray::Zip::from(&square).and(&mean).map_collect(|square, mean| {
            let deviation = (square / n).sqrt();
            if deviation <= CONSTANT * mean.abs().max(f64::MIN_POSITIVE) { 0.0 } else { 1.0 / deviation }
        });
        Self { mean, factor }
    }

    /// The scaled examples.
    pub(super) fn apply(&self, x: ArrayView2<'_, f64>) -> Array2<f64> {
        let mut scaled = x.to_owned();
        scaled -= &self.mean;
        scaled *= &self.factor;
        scaled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fitted_columns_have_mean_zero_and_deviation_one_and_constant_ones_vanish() {
        let x = ndarray::array![[1.0, 5.0], [3.0, 5.0]];
        let scaling = Scaling::of(x.view());
        assert_eq!(scaling.apply(x.view()), ndarray::array![[-1.0, 0.0], [1.0, 0.0]]);
        assert_eq!(scaling.apply(ndarray::array![[4.0, 9.0]].view()), ndarray::array![[2.0, 0.0]]);
    }
}
