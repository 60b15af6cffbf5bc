//! Orthogonal Procrustes: what is left between two centred sides after the best rotation. A
//! narrower side counts as padded with zeros, which changes no singular value. Three scalings are
//! in use (Ding et al. 2021; Williams et al. 2021), each with its own name here.

use ndarray::{Array2, ArrayView2};

use super::Undefined;
use super::decompose::singular_values;
use super::linear::{centred, check_pair, squares};

/// The parts that all scalings are made of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fit {
    /// Squared size of the first centred side.
    pub first: f64,
    /// Squared size of the second centred side.
    pub second: f64,
    /// Sum of the singular values of `XcᵀYc`.
    pub nuclear: f64,
}

impl Fit {
    /// Fits two sides whose columns are centred.
    pub(super) fn of_centred(x: &Array2<f64>, y: &Array2<f64>) -> Self {
        let nuclear = singular_values(x.t().dot(y).view()).iter().sum();
        Self { first: squares(x), second: squares(y), nuclear }
    }

    /// `‖Xc‖² + ‖Yc‖² - 2 ‖XcᵀYc‖_*`.
    pub fn squared(self) -> f64 {
        (self.first + self.second - 2.0 * self.nuclear).max(0.0)
    }

    /// The size-and-shape distance, in units of the features.
    pub fn size_and_shape(self) -> f64 {
        self.squared().sqrt()
    }

    /// ν, the similarity after both sides are scaled to size one, in [0, 1].
    pub fn similarity(self) -> f64 {
        (self.nuclear / (self.first.sqrt() * self.second.sqrt())).clamp(0.0, 1.0)
    }

    /// The distance after both sides are scaled to size one, `sqrt(2 - 2ν)`.
    pub fn normalised(self) -> f64 {
        (2.0 - 2.0 * self.similarity()).max(0.0).sqrt()
    }

    /// The angle `arccos ν`, a metric, in radians.
    pub fn angle(self) -> f64 {
        self.similarity().acos()
    }
}

/// Fits the best rotation of one side to the other.
///
/// # Errors
/// [`Undefined`] for fewer than two examples, features that do not vary or are not finite.
pub fn fit(x: ArrayView2<f64>, y: ArrayView2<f64>) -> Result<Fit, Undefined> {
    check_pair(x, y, 2)?;
    Ok(Fit::of_centred(&centred(x)?, &centred(y)?))
}
