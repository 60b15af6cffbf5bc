//! Canonical correlations, and their means: plain (CCA), over the leading principal directions
//! (SVCCA, Raghu et al. 2017), and weighted by what each variate explains of its own side (PWCCA,
//! Morcos et al. 2018). The functions give what the formulas give; whether there are enough examples
//! for that to mean anything is [`super::Measure`]'s to say.

use ndarray::{Array2, ArrayView2, Axis};

use super::Undefined;
use super::decompose::{Left, left, singular_values};
use super::linear::{centred, check_pair};

/// Share of the variance (or of the sum of singular values) that SVCCA keeps.
pub const KEPT: f64 = 0.99;

/// One side: its centred features and the orthonormal basis of their span.
#[derive(Clone, Debug)]
pub struct Basis {
    centred: Array2<f64>,
    left: Left,
}

/// How SVCCA counts what it keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// The fewest leading directions with this share of the variance.
    Variance,
    /// The same with the sum of singular values, the rule of the original code.
    Sum,
}

impl Basis {
    /// The basis of `x`; directions below 1e-10 of the largest are rounding.
    ///
    /// # Errors
    /// [`Undefined::NoVariance`].
    pub fn new(x: ArrayView2<f64>) -> Result<Self, Undefined> {
        let centred = centred(x)?;
        let left = left(centred.view());
        Ok(Self { centred, left })
    }

    /// Directions in which the examples vary.
    pub fn rank(&self) -> usize {
        self.left.values.len()
    }

    /// Directions that SVCCA keeps.
    pub fn kept(&self, rule: Rule) -> usize {
        let weight = |value: &f64| if rule == Rule::Variance { value * value } else { *value };
        let total: f64 = self.left.values.iter().map(weight).sum();
        let mut sum = 0.0;
        for (at, value) in self.left.values.iter().enumerate() {
            sum += weight(value);
            if sum >= KEPT * total {
                return at + 1;
            }
        }
        self.rank()
    }

    /// The same side with its examples in another order.
    #[must_use]
    pub fn reordered(&self, order: &[usize]) -> Self {
        let left =
            Left { vectors: self.left.vectors.select(Axis(0), order), values: self.left.values.clone() };
        Self { centred: self.centred.select(Axis(0), order), left }
    }

    /// The leading `count` directions alone, so that permutations need not repeat the choice.
    #[must_use]
    pub fn leading(&self, count: usize) -> Self {
        let vectors = self.left.leading(count);
        let values = self.left.values[..vectors.ncols()].to_vec();
        Self { centred: self.centred.clone(), left: Left { vectors, values } }
    }
}

/// The canonical correlations of two sides, largest first, `min(rank x, rank y)` of them.
pub fn correlations(x: &Basis, y: &Basis) -> Vec<f64> {
    let values = singular_values(x.left.vectors.t().dot(&y.left.vectors).view());
    // an inner product of unit vectors, but for rounding
    values.into_iter().map(|value| value.min(1.0)).collect()
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// The mean canonical correlation of two bases.
pub fn mean_correlation(x: &Basis, y: &Basis) -> f64 {
    mean(&correlations(x, y))
}

/// The mean squared canonical correlation of two bases. Its mean over all orders of the examples is
/// `max(rank x, rank y) / (n - 1)`.
pub fn mean_square(x: &Basis, y: &Basis) -> f64 {
    let squares: Vec<f64> = correlations(x, y).iter().map(|value| value * value).collect();
    mean(&squares)
}

/// PWCCA: the canonical correlations weighted by how much of `x`'s features its variates carry.
pub fn weighted(x: &Basis, y: &Basis) -> f64 {
    let rotated = left(x.left.vectors.t().dot(&y.left.vectors).view());
    // x's unit variates; a correlation that is zero to the last digit has none, and no weight
    let variates = x.left.vectors.dot(&rotated.vectors);
    let shares = variates.t().dot(&x.centred);
    let weights: Vec<f64> = shares.rows().into_iter().map(|row| row.mapv(f64::abs).sum()).collect();
    let sum: f64 = weights.iter().sum();
    weights.iter().zip(&rotated.values).map(|(weight, value)| weight * value.min(1.0)).sum::<f64>() / sum
}

/// Mean canonical correlation.
///
/// # Errors
/// [`Undefined`] for fewer than two examples, features that do not vary or are not finite.
pub fn cca(x: ArrayView2<f64>, y: ArrayView2<f64>) -> Result<f64, Undefined> {
    check_pair(x, y, 2)?;
    Ok(mean_correlation(&Basis::new(x)?, &Basis::new(y)?))
}

/// Mean squared canonical correlation.
///
/// # Errors
/// As [`cca`].
pub fn cca_r2(x: ArrayView2<f64>, y: ArrayView2<f64>) -> Result<f64, Undefined> {
    check_pair(x, y, 2)?;
    Ok(mean_square(&Basis::new(x)?, &Basis::new(y)?))
}

/// Mean squared canonical correlation of features that are not centred, as the published notebook
/// reckons it: a mean that both sides have counts as something in common.
///
/// # Errors
/// [`Undefined`] for fewer than two examples, or features that are not finite.
pub fn cca_r2_uncentred(x: ArrayView2<f64>, y: ArrayView2<f64>) -> Result<f64, Undefined> {
    check_pair(x, y, 2)?;
    let basis = |side: ArrayView2<f64>| Basis { centred: side.to_owned(), left: left(side) };
    Ok(mean_square(&basis(x), &basis(y)))
}

/// SVCCA: the mean canonical correlation of the leading directions of both sides.
///
/// # Errors
/// As [`cca`].
pub fn svcca(x: ArrayView2<f64>, y: ArrayView2<f64>, rule: Rule) -> Result<f64, Undefined> {
    check_pair(x, y, 2)?;
    let (x, y) = (Basis::new(x)?, Basis::new(y)?);
    Ok(mean_correlation(&x.leading(x.kept(rule)), &y.leading(y.kept(rule))))
}

/// PWCCA weighted on the side of `x`; not symmetric.
///
/// # Errors
/// As [`cca`].
pub fn pwcca(x: ArrayView2<f64>, y: ArrayView2<f64>) -> Result<f64, Undefined> {
    check_pair(x, y, 2)?;
    Ok(weighted(&Basis::new(x)?, &Basis::new(y)?))
}
