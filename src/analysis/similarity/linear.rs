//! What all measures share: checked and centred matrices, and their Gram matrices.

use ndarray::{Array1, Array2, ArrayView2, Axis};

use super::Undefined;

/// Features come from f32; up to this size no product of four of them leaves the range of f64.
const LARGEST: f64 = f32::MAX as f64;

/// Refuses unequal examples, fewer than `least`, and numbers that are not finite.
///
/// # Errors
/// [`Undefined::Unpaired`], [`Undefined::TooFew`], [`Undefined::NotFinite`].
pub fn check_pair(x: ArrayView2<f64>, y: ArrayView2<f64>, least: usize) -> Result<(), Undefined> {
    if x.nrows() != y.nrows() {
        return Err(Undefined::Unpaired { left: x.nrows(), right: y.nrows() });
    }
    check(x, least)?;
    check(y, least)
}

/// Refuses fewer than `least` examples and numbers that are not finite.
///
/// # Errors
/// [`Undefined::TooFew`], [`Undefined::NotFinite`].
pub(super) fn check(x: ArrayView2<f64>, least: usize) -> Result<(), Undefined> {
    if x.nrows() < least {
        return Err(Undefined::TooFew { n: x.nrows(), least });
    }
    if x.iter().any(|value| value.is_nan() || value.abs() > LARGEST) {
        return Err(Undefined::NotFinite);
    }
    Ok(())
}

/// The columns less their means.
///
/// # Errors
/// [`Undefined::NoVariance`] if nothing but rounding is left.
pub fn centred(x: ArrayView2<f64>) -> Result<Array2<f64>, Undefined> {
    let Some(means) = x.mean_axis(Axis(0)) else {
        return Err(Undefined::TooFew { n: 0, least: 2 });
    };
    let centred = &x - &means;
    if x.ncols() == 0 || is_rounding(&centred, x) {
        return Err(Undefined::NoVariance);
    }
    Ok(centred)
}

/// Whether what is left of `x` after centring is the rounding error of the means.
fn is_rounding(centred: &Array2<f64>, x: ArrayView2<f64>) -> bool {
    let largest = |values: &mut dyn Iterator<Item = f64>| values.fold(0.0_f64, |most, v| most.max(v.abs()));
    let left = largest(&mut centred.iter().copied());
    left <= 1e-14 * largest(&mut x.iter().copied())
}

/// Sum of the squares of all entries.
pub(super) fn squares(x: &Array2<f64>) -> f64 {
    x.iter().map(|value| value * value).sum()
}

/// Squared lengths of the rows.
pub(super) fn row_squares(x: ArrayView2<f64>) -> Array1<f64> {
    x.map_axis(Axis(1), |row| row.dot(&row))
}

/// `X Xᵀ`, `[n, n]`.
pub fn gram(x: ArrayView2<f64>) -> Array2<f64> {
    x.dot(&x.t())
}

/// `H K H`: rows and columns less their means.
pub(super) fn double_centred(kernel: &Array2<f64>) -> Array2<f64> {
    let n = kernel.nrows().max(1) as f64;
    let rows = kernel.sum_axis(Axis(1)) / n;
    let columns = kernel.sum_axis(Axis(0)) / n;
    let all = rows.sum() / n;
    Array2::from_shape_fn(kernel.dim(), |(i, j)| kernel[[i, j]] - rows[i] - columns[j] + all)
}

/// The rows scaled to length one.
///
/// # Errors
/// [`Undefined::NoDirection`] for a row of zeros.
pub(super) fn unit_rows(x: ArrayView2<f64>) -> Result<Array2<f64>, Undefined> {
    let mut unit = x.to_owned();
    for (row, mut values) in unit.rows_mut().into_iter().enumerate() {
        // scaled by the largest first, so that no square leaves the range of f64
        let largest = values.iter().fold(0.0_f64, |most, value| most.max(value.abs()));
        if largest == 0.0 {
            return Err(Undefined::NoDirection { row });
        }
        values.mapv_inplace(|value| value / largest);
        let length = values.dot(&values).sqrt();
        values.mapv_inplace(|value| value / length);
    }
    Ok(unit)
}

/// The rows at these places.
pub(super) fn reordered(x: &Array2<f64>, order: &[usize]) -> Array2<f64> {
    x.select(Axis(0), order)
}
