//! How similar two sets of features of the same examples are: a table of measures, every value with
//! its n, both widths, its direction and its level by chance, or the reason why there is none.
//! Definitions: linear and Gaussian CKA ([`cka`]), CCA, SVCCA and PWCCA ([`cca`]), Procrustes
//! ([`procrustes`]), RSA ([`rsa`]), shared neighbours and mean cosine ([`knn`]); the null
//! distributions are in [`null`], and all pairs of many large layers in [`pairs`].

pub mod cca;
pub mod cka;
mod decompose;
pub mod grid;
pub mod knn;
pub mod linear;
pub mod measure;
pub mod null;
pub mod pairs;
pub mod procrustes;
pub mod reduce;
pub mod rsa;
mod side;
mod undefined;

use ndarray::ArrayView2;
use serde::Serialize;

pub use measure::{Direction, MEASURES, Measure};
pub use null::Chance;
pub use side::Side;
pub use undefined::Undefined;

use crate::seed::Seed;

/// What the measures leave open.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Options {
    /// Nearest neighbours.
    pub neighbours: usize,
    /// The width t of the Gaussian kernel, in units of the median distance.
    pub gaussian_width: f64,
    /// Examples of a minibatch.
    pub batch: usize,
    /// Random orders for measures whose chance level has no formula; fewer than two for none.
    pub permutations: usize,
    /// Decides the random orders.
    pub seed: Seed,
}

impl Default for Options {
    fn default() -> Self {
        Self { neighbours: 10, gaussian_width: 0.5, batch: 256, permutations: 100, seed: Seed(0) }
    }
}

/// A similarity with what it takes to read it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Value {
    /// The value.
    pub value: f64,
    /// What it would be by chance; `None` where that was not asked for.
    pub chance: Option<Chance>,
    /// The value on the scale on which 0 is the threshold of chance and 1 the value of a side with
    /// itself.
    pub calibrated: Option<f64>,
    /// Examples.
    pub n: usize,
    /// Channels of both sides.
    pub widths: [usize; 2],
    /// Which way it points.
    pub direction: Direction,
}

impl Value {
    /// A value with its chance level.
    pub fn new(
        value: f64,
        chance: Option<Chance>,
        n: usize,
        widths: [usize; 2],
        direction: Direction,
    ) -> Self {
        let calibrated = chance.and_then(|chance| chance.calibrated(value, direction.best()));
        Self { value, chance, calibrated, n, widths, direction }
    }
}

/// Compares two prepared sides: the value, and its chance level by formula or by `orders` of the
/// second side's examples.
///
/// # Errors
/// Why there is no value.
pub fn evaluate(
    measure: &Measure,
    x: &Side,
    y: &Side,
    options: &Options,
    orders: &[Vec<usize>],
) -> Result<Value, Undefined> {
    let value = x.compare(y, measure, options)?;
    let chance = match x.exact_chance(y, measure) {
        Some(chance) => Some(chance),
        None => {
            let drawn: Result<Vec<f64>, Undefined> =
                orders.iter().map(|order| x.compare(&y.reordered(order), measure, options)).collect();
            Chance::sampled(value, drawn?, measure.direction == Direction::HigherIsCloser)
        }
    };
    Ok(Value::new(value, chance, x.n(), [x.width(), y.width()], measure.direction))
}

/// Compares two matrices of features, one row an example, by one measure.
///
/// # Errors
/// Why there is no value.
pub fn compare(
    measure: &Measure,
    x: ArrayView2<f64>,
    y: ArrayView2<f64>,
    options: &Options,
) -> Result<Value, Undefined> {
    linear::check_pair(x, y, measure.least)?;
    measure.permits(x.nrows(), [x.ncols(), y.ncols()])?;
    let (first, second) = (Side::new(measure, x, options)?, Side::new(measure, y, options)?);
    let orders = null::orders(x.nrows(), options.permutations, options.seed);
    evaluate(measure, &first, &second, options, &orders)
}

#[cfg(test)]
mod goldens;
#[cfg(test)]
mod properties;
