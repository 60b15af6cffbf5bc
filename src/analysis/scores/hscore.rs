//! H-score (Bao et al., "An information-theoretic approach to transferability", ICIP 2019) and the
//! H-score with a shrunk covariance (Ibrahim et al., "Newer is not always better", arXiv
//! 2110.06893):
//!
//! `H = tr( cov(f)⁺ cov(E[f|y]) )`, `H_reg = (1 − λ) tr( Σ_LW⁻¹ cov(E[f|y]) )`
//!
//! with all covariances over n, `Σ_LW = (1 − λ) cov(f) + λ tr(cov(f))/D · I` and λ by Ledoit and Wolf
//! (2004). H lies in [0, C − 1] and counts nothing but the rank once there are fewer examples than
//! columns; H_reg does not.
//!
//! Neither needs an inverse: in the eigenbasis of the covariance both are sums over its eigenvalues
//! of the squared class means along each eigenvector.

use super::linear::{centred, gram_of_columns, gram_of_rows};
use super::spectrum::spectrum;
use super::{Labelled, Undefined};
use ndarray::{Array2, Axis};

/// Eigenvalues of the covariance below this part of the largest are left out of its inverse.
const INVERSE_FROM: f64 = 1e-10;

/// The covariance of features as the class means see it.
pub(crate) struct Covariance {
    /// Eigenvalues over n that are above rounding.
    values: Vec<f64>,
    /// For each, the mean square of the class means along it, divided by the eigenvalue.
    ratios: Vec<f64>,
    /// Ledoit and Wolf's λ.
    shrinkage: f64,
    /// Mean eigenvalue of all D.
    mean: f64,
}

impl Covariance {
    /// The one of these features, decomposed once.
    fn of<'a>(data: &'a Labelled<'_>) -> Result<&'a Self, Undefined> {
        data.shared.covariance.get_or_init(|| Self::new(data)).as_ref().map_err(Clone::clone)
    }

    /// Decomposes the covariance of features `[N, D]`.
    ///
    /// # Errors
    /// [`Undefined::NotConverged`].
    pub(crate) fn new(data: &Labelled<'_>) -> Result<Self, Undefined> {
        let x = centred(data.features);
        let (n, width) = x.dim();
        let count = n as f64;
        let one_hot = data.one_hot();
        // of the smaller of the two matrices that share their eigenvalues
        let (values, weights) = if n <= width {
            let spectrum = spectrum(gram_of_rows(x.view()) / count, one_hot)?;
            let weights = weigh(&spectrum.along, |along, class| along * along / data.counts[class] as f64);
            (spectrum.values, weights)
        } else {
            let sums = x.t().dot(&one_hot);
            let spectrum = spectrum(gram_of_columns(x.view()) / count, sums)?;
            let weights =
                weigh(&spectrum.along, |along, class| along * along / (count * data.counts[class] as f64));
            let pairs = weights.iter().zip(&spectrum.values);
            let weights =
                pairs.map(|(weight, value)| if *value > 0.0 { weight / value } else { 0.0 }).collect();
            (spectrum.values, weights)
        };
        let fourth: f64 = x.axis_iter(Axis(0)).map(|row| row.dot(&row).powi(2)).sum();
        let mean = values.iter().sum::<f64>() / width as f64;
        let shrinkage = ledoit_wolf(&values, fourth, mean, (count, width as f64));
        let floor = INVERSE_FROM * values.iter().fold(0.0, |max: f64, value| max.max(*value));
        let (values, ratios) = values.into_iter().zip(weights).filter(|(value, _)| *value > floor).unzip();
        Ok(Self { values, ratios, shrinkage, mean })
    }

    /// Ledoit and Wolf's shrinkage, from 0 to 1.
    pub(crate) fn shrinkage(&self) -> f64 {
        self.shrinkage
    }

    /// H, from 0 to C - 1.
    pub(crate) fn score(&self) -> f64 {
        self.ratios.iter().sum()
    }

    /// H_reg.
    pub(crate) fn shrunk_score(&self) -> f64 {
        let kept = 1.0 - self.shrinkage;
        let terms = self.values.iter().zip(&self.ratios);
        kept * terms
            .map(|(value, ratio)| ratio * value / (kept * value + self.shrinkage * self.mean))
            .sum::<f64>()
    }
}

fn weigh(along: &Array2<f64>, weight: impl Fn(f64, usize) -> f64) -> Vec<f64> {
    let rows = along.axis_iter(Axis(0));
    rows.map(|row| row.iter().enumerate().map(|(class, value)| weight(*value, class)).sum()).collect()
}

/// `fourth` is the sum over examples of ‖x‖⁴, `mean` the mean eigenvalue of all D.
fn ledoit_wolf(values: &[f64], fourth: f64, mean: f64, (n, width): (f64, f64)) -> f64 {
    let square: f64 = values.iter().map(|value| value * value).sum();
    let spread = (square - width * mean * mean) / width;
    let error = (fourth / n - square) / (n * width);
    if spread <= 0.0 { 0.0 } else { (error.min(spread) / spread).max(0.0) }
}

/// The H-score.
///
/// # Errors
/// [`Undefined::NotConverged`].
pub fn hscore(data: &Labelled<'_>) -> Result<f64, Undefined> {
    Ok(Covariance::of(data)?.score())
}

/// The H-score with Ledoit and Wolf's covariance, every covariance over n.
///
/// # Errors
/// [`Undefined::NotConverged`].
pub fn hscore_shrunk(data: &Labelled<'_>) -> Result<f64, Undefined> {
    Ok(Covariance::of(data)?.shrunk_score())
}

/// As [`hscore_shrunk`], but with the covariance of the class means over n - 1 while the shrunk one
/// stays over n: the Transfer Learning Library's mixture, n / (n - 1) times as large.
///
/// # Errors
/// [`Undefined::NotConverged`].
pub fn hscore_tll(data: &Labelled<'_>) -> Result<f64, Undefined> {
    let n = data.features.nrows() as f64;
    Ok(Covariance::of(data)?.shrunk_score() * n / (n - 1.0))
}

/// Ledoit and Wolf's shrinkage of the features' covariance.
///
/// # Errors
/// [`Undefined::NotConverged`].
pub fn ledoit_wolf_shrinkage(data: &Labelled<'_>) -> Result<f64, Undefined> {
    Ok(Covariance::of(data)?.shrinkage())
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{oracle, toy_labels, toy_x, toy_y};
    use super::*;

    fn close(value: f64, golden: f64) {
        assert!((value - golden).abs() < 1e-9, "{value} {golden}");
    }

    /// reference/analyses.md section 4.2.
    #[test]
    fn the_toy_values_are_reproduced_with_both_divisors() {
        let (x, y, labels) = (toy_x(), toy_y(), toy_labels());
        let data = Labelled::new(x.view(), &labels).unwrap();
        close(hscore(&data).unwrap(), 0.735_529_688_167);
        close(hscore(&Labelled::new(y.view(), &labels).unwrap()).unwrap(), 0.886_877_828_054);
        close(hscore_shrunk(&data).unwrap(), 0.226_735_261_067);
        close(ledoit_wolf_shrinkage(&data).unwrap(), 0.748_203_192_643);
        close(hscore_tll(&data).unwrap(), 0.259_126_012_647);
    }

    #[test]
    fn the_oracle_is_reproduced_with_more_rows_and_with_more_columns() {
        let oracle = oracle();
        for name in ["feat", "x", "wide"] {
            let features = oracle.matrix(name);
            let data = Labelled::new(features.view(), &oracle.labels).unwrap();
            close(hscore(&data).unwrap(), oracle.label_value(name, "hscore"));
            close(hscore_shrunk(&data).unwrap(), oracle.label_value(name, "hscore_shrunk"));
            close(ledoit_wolf_shrinkage(&data).unwrap(), oracle.label_value(name, "ledoit_wolf_shrinkage"));
        }
    }
}
