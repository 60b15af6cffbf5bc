//! LogME: the evidence of Bayesian linear regression from features to each class, maximised over
//! the precision α of the weights and β of the noise (You et al., "LogME: Practical assessment of
//! pre-trained models for transfer learning", ICML 2021; the fixed point that converges without a
//! step size is arXiv 2110.10545):
//!
//! `½ [ D ln α + n ln β − Σ ln(α + β s) − β ‖F m − y‖² − α ‖m‖² − n ln 2π ] / n`
//!
//! averaged over the classes, one against the rest, with s the D eigenvalues of `FᵀF`. There is no
//! intercept, so it depends on where the features are centred; it has no upper bound and is not
//! normalised: it ranks layers within one task and model width, nothing else.

use super::linear::{gram_of_columns, gram_of_rows};
use super::spectrum::spectrum;
use super::{Labelled, Undefined};
use ndarray::{Array2, Axis};

/// Sweeps of the published recipe.
const PUBLISHED_SWEEPS: usize = 11;
/// Relative change of α/β at which the published recipe stops.
const PUBLISHED_TOLERANCE: f64 = 1e-3;
/// What the published recipe adds to both denominators.
const PUBLISHED_DAMPING: f64 = 1e-5;
/// Relative change of α/β at which the fixed point counts as converged.
const TOLERANCE: f64 = 1e-12;
/// Sweeps after which it counts as not converging.
const SWEEPS: usize = 100_000;
/// α/β beyond this many times the largest eigenvalue: the weights are zero to all digits.
const NO_WEIGHTS: f64 = 1e10;
/// α/β below this part of the largest eigenvalue: the noise is zero to all digits.
const NO_NOISE: f64 = 1e-14;

/// How far the fixed point goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recipe {
    /// As published: at most 11 sweeps from α = β = 1, stop at a relative change of 1e-3, 1e-5 added
    /// to both denominators.
    Published,
    /// To a relative change of 1e-12, without damping.
    Converged,
}

/// LogME of each class, in the order of the classes. Where the features say less of a class than
/// chance does, the evidence rises towards the model without weights as α grows; with
/// [`Recipe::Converged`] that limit is the value.
///
/// # Errors
/// [`Undefined::Unbounded`] with [`Recipe::Converged`] where the features fit a class exactly (at
/// least as many columns as examples): the evidence grows without end. [`Undefined::NotConverged`]
/// after 100 000 sweeps.
pub fn per_class(data: &Labelled<'_>, recipe: Recipe) -> Result<Vec<f64>, Undefined> {
    Ok(evidences(data, recipe)?.iter().map(|evidence| evidence.value).collect())
}

/// An evidence and where it was reached.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Evidence {
    /// Log evidence an example.
    pub value: f64,
    /// Precision of the weights; infinite for the model without weights.
    pub alpha: f64,
    /// Precision of the noise.
    pub beta: f64,
}

/// [`per_class`] with the precisions of each class.
///
/// # Errors
/// As [`per_class`].
pub fn evidences(data: &Labelled<'_>, recipe: Recipe) -> Result<Vec<Evidence>, Undefined> {
    let seen = data.shared.seen.get_or_init(|| Seen::new(data)).as_ref().map_err(Clone::clone)?;
    let (n, width) = data.features.dim();
    let evidence = |class: usize| {
        let total = data.counts[class] as f64;
        Problem { n, width, values: &seen.values, squares: &seen.squares, class, total }.evidence(recipe)
    };
    (0..data.classes()).map(evidence).collect()
}

/// What LogME must know of features and labels, whatever the recipe.
pub(super) struct Seen {
    /// Eigenvalues of `FᵀF` above rounding, else 0, `[min(n, D)]`.
    values: Vec<f64>,
    /// Squares of the label vectors along the left singular vectors, `[min(n, D), C]`.
    squares: Array2<f64>,
}

impl Seen {
    fn new(data: &Labelled<'_>) -> Result<Self, Undefined> {
        let (n, width) = data.features.dim();
        let targets = data.one_hot();
        let (values, squares) = if n <= width {
            let spectrum = spectrum(gram_of_rows(data.features), targets)?;
            (spectrum.values, spectrum.along.mapv(|along| along * along))
        } else {
            let products = data.features.t().dot(&targets);
            let spectrum = spectrum(gram_of_columns(data.features), products)?;
            let floor = rounding(&spectrum.values, n);
            let mut squares = spectrum.along.mapv(|along| along * along);
            for (mut row, value) in squares.axis_iter_mut(Axis(0)).zip(&spectrum.values) {
                // a direction that the features do not have holds nothing of the labels
                row.mapv_inplace(|square| if *value > floor { square / value } else { 0.0 });
            }
            (spectrum.values, squares)
        };
        let floor = rounding(&values, n.max(width));
        let values = values.iter().map(|&value| if value > floor { value } else { 0.0 }).collect();
        Ok(Self { values, squares })
    }
}

/// The mean of [`per_class`].
///
/// # Errors
/// As [`per_class`].
pub fn logme(data: &Labelled<'_>, recipe: Recipe) -> Result<f64, Undefined> {
    let values = per_class(data, recipe)?;
    Ok(values.iter().sum::<f64>() / values.len() as f64)
}

/// Eigenvalues below this are rounding of the largest one.
fn rounding(values: &[f64], size: usize) -> f64 {
    values.iter().fold(0.0, |max: f64, value| max.max(*value)) * size as f64 * f64::EPSILON
}

struct Problem<'a> {
    n: usize,
    width: usize,
    /// Eigenvalues, `[min(n, D)]`; the other D - n are zero.
    values: &'a [f64],
    /// `[min(n, D), C]`.
    squares: &'a Array2<f64>,
    class: usize,
    /// `‖y‖²`.
    total: f64,
}

impl Problem<'_> {
    fn evidence(&self, recipe: Recipe) -> Result<Evidence, Undefined> {
        let squares: Vec<f64> = self.squares.column(self.class).to_vec();
        let unreached = (self.total - squares.iter().sum::<f64>()).max(0.0);
        let (sweeps, tolerance, damping) = match recipe {
            Recipe::Published => (PUBLISHED_SWEEPS, PUBLISHED_TOLERANCE, PUBLISHED_DAMPING),
            Recipe::Converged => (SWEEPS, TOLERANCE, 0.0),
        };
        let n = self.n as f64;
        let largest = self.values.iter().fold(0.0, |max: f64, value| max.max(*value));
        let mut ratio = 1.0;
        let mut found = Evidence { value: 0.0, alpha: ratio, beta: 1.0 };
        for _ in 0..sweeps {
            let (mut effective, mut weights, mut residual) = (0.0, 0.0, unreached);
            for (s, square) in self.values.iter().zip(&squares) {
                let sum = s + ratio;
                effective += s / sum;
                weights += s * square / (sum * sum);
                residual += square * (ratio / sum).powi(2);
            }
            let alpha = effective / (weights + damping);
            let beta = (n - effective) / (residual + damping);
            if recipe == Recipe::Converged && (alpha.is_infinite() || ratio > NO_WEIGHTS * largest) {
                let value = 0.5 * ((n / self.total).ln() - 1.0 - std::f64::consts::TAU.ln());
                return Ok(Evidence { value, alpha: f64::INFINITY, beta: n / self.total });
            }
            if !beta.is_finite() || (recipe == Recipe::Converged && ratio < NO_NOISE * largest) {
                return Err(Undefined::Unbounded);
            }
            found = Evidence { value: self.at(alpha, beta, residual, weights), alpha, beta };
            let next = alpha / beta;
            let change = (next - ratio).abs() / ratio;
            ratio = next;
            if change <= tolerance {
                return Ok(found);
            }
        }
        match recipe {
            Recipe::Published => Ok(found),
            Recipe::Converged => Err(Undefined::NotConverged { what: "the evidence", steps: SWEEPS }),
        }
    }

    fn at(&self, alpha: f64, beta: f64, residual: f64, weights: f64) -> f64 {
        let (n, width) = (self.n as f64, self.width as f64);
        let zeros = (self.width - self.values.len()) as f64;
        let logs = zeros * alpha.ln() + self.values.iter().map(|s| (alpha + beta * s).ln()).sum::<f64>();
        let twice = width * alpha.ln() + n * beta.ln()
            - logs
            - beta * residual
            - alpha * weights
            - n * std::f64::consts::TAU.ln();
        0.5 * twice / n
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{oracle, toy_labels, toy_x, toy_y};
    use super::*;

    fn close(value: f64, golden: f64) {
        assert!((value - golden).abs() < 1e-9, "{value} {golden}");
    }

    /// reference/analyses.md section 4.1.
    #[test]
    fn the_published_recipe_gives_the_toy_values() {
        let labels = toy_labels();
        let published =
            |x: &Array2<f64>| logme(&Labelled::new(x.view(), &labels).unwrap(), Recipe::Published).unwrap();
        close(published(&toy_x()), -0.827_491_472_156);
        close(published(&toy_y()), -0.897_667_604_571);
        close(published(&super::super::linear::centred(toy_x().view())), -1.038_870_132_311);
    }

    /// reference/analyses.md section 4.1: converged instead of stopped.
    #[test]
    fn the_converged_evidence_is_higher_than_the_stopped_one() {
        let (x, labels) = (toy_x(), toy_labels());
        let data = Labelled::new(x.view(), &labels).unwrap();
        close(logme(&data, Recipe::Converged).unwrap(), -0.827_426_366);
    }

    #[test]
    fn the_oracle_is_reproduced_with_more_rows_and_with_more_columns() {
        let oracle = oracle();
        for name in ["feat", "x", "wide"] {
            let features = oracle.matrix(name);
            let data = Labelled::new(features.view(), &oracle.labels).unwrap();
            close(logme(&data, Recipe::Published).unwrap(), oracle.label_value(name, "logme_11"));
            if name == "wide" {
                // with more columns than examples the isotropic weights are worse than none
                let counts = data.counts.iter().map(|count| (40.0 / *count as f64).ln());
                let none: Vec<f64> =
                    counts.map(|log| 0.5 * (log - 1.0 - std::f64::consts::TAU.ln())).collect();
                close(logme(&data, Recipe::Converged).unwrap(), none.iter().sum::<f64>() / none.len() as f64);
                continue;
            }
            close(logme(&data, Recipe::Converged).unwrap(), oracle.label_value(name, "logme"));
            for (class, value) in per_class(&data, Recipe::Converged).unwrap().into_iter().enumerate() {
                close(value, oracle.label_values(name, "logme_per_class")[class]);
            }
        }
    }

    /// A column that is orthogonal to both classes leaves the model without weights: with ‖y‖² = n / 2
    /// its evidence is ½ (ln 2 − 1 − ln 2π).
    #[test]
    fn features_that_say_nothing_have_the_evidence_of_no_weights() {
        let x = Array2::from_shape_fn((8, 1), |(row, _)| if row % 2 == 0 { 1.0 } else { -1.0 });
        let data = Labelled::new(x.view(), &[0, 0, 1, 1, 0, 0, 1, 1]).unwrap();
        let golden = 0.5 * (2.0_f64.ln() - 1.0 - std::f64::consts::TAU.ln());
        close(logme(&data, Recipe::Converged).unwrap(), golden);
    }

    #[test]
    fn features_that_are_the_classes_have_an_evidence_without_end() {
        let labels = toy_labels();
        let x =
            Array2::from_shape_fn((8, 2), |(row, column)| f64::from(u8::from(labels[row] == column as u32)));
        let data = Labelled::new(x.view(), &labels).unwrap();
        assert_eq!(logme(&data, Recipe::Converged), Err(Undefined::Unbounded));
        assert!(logme(&data, Recipe::Published).unwrap() > 1.0);
    }

    #[test]
    fn a_rotation_of_the_features_changes_nothing_and_a_shift_does() {
        let oracle = oracle();
        let value = |name: &str| {
            let features = oracle.matrix(name);
            logme(&Labelled::new(features.view(), &oracle.labels).unwrap(), Recipe::Published).unwrap()
        };
        let shifted = oracle.matrix("x") + 3.0;
        let shifted =
            logme(&Labelled::new(shifted.view(), &oracle.labels).unwrap(), Recipe::Published).unwrap();
        assert!((value("x") - shifted).abs() > 1e-3);
        let x = oracle.matrix("x");
        let flipped = x.slice(ndarray::s![.., ..;-1]).to_owned();
        let flipped =
            logme(&Labelled::new(flipped.view(), &oracle.labels).unwrap(), Recipe::Published).unwrap();
        assert!((value("x") - flipped).abs() < 1e-12);
    }
}
