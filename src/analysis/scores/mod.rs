//! Scores of a layer's features that need no fine-tuning: from features `[N, D]` and labels `[N]` to a
//! number that is meant to rank layers, or the reason why there is none.
//!
//! "No single transferability metric works best in all scenarios" (Agostinelli et al., arXiv
//! 2204.01403, 715 000 setups), so nothing here chooses by one score: [`screen`] wants several, and
//! `analysis::agreement` says how far each agrees with training.

pub mod hscore;
pub mod leep;
pub(crate) mod linear;
pub mod logme;
pub mod mixture;
pub mod neighbours;
pub mod screen;
pub(crate) mod spectrum;
pub mod table;
pub mod transrate;

#[cfg(test)]
pub(crate) mod fixtures;
#[cfg(test)]
pub(crate) mod synthetic;

use crate::seed::Seed;
use ndarray::{Array2, ArrayView2};
use serde::Serialize;
use std::sync::OnceLock;

pub use table::{Method, Score, TABLE, method};

/// Why a score has no value.
#[derive(Clone, Debug, PartialEq, Serialize, thiserror::Error)]
pub enum Undefined {
    /// Features and labels do not belong together.
    #[error("there are {rows} rows of features and {labels} labels, expected as many")]
    Lengths {
        /// Rows of features.
        rows: usize,
        /// Labels.
        labels: usize,
    },
    /// Two sets of features do not have the same columns.
    #[error("the features have {left} and {right} columns, expected as many")]
    Widths {
        /// Columns of the first.
        left: usize,
        /// Columns of the second.
        right: usize,
    },
    /// Not enough examples.
    #[error("{n} examples are too few, at least {least} are needed")]
    TooFew {
        /// Examples given.
        n: usize,
        /// Examples needed.
        least: usize,
    },
    /// Nothing to tell apart.
    #[error("all examples have the same label, at least two classes are needed")]
    OneClass,
    /// A class that the fit has not seen.
    #[error("class {class} stands in the evaluated examples and not in the fitted ones")]
    UnseenClass {
        /// The class.
        class: u32,
    },
    /// A NaN or an infinity.
    #[error("a feature is not a finite number")]
    NotFinite,
    /// Every example has the same features.
    #[error("all examples have the same features")]
    Constant,
    /// A row of zeros has no direction.
    #[error("example {row} has only zeros and therefore no direction")]
    ZeroRow {
        /// The example, from 0.
        row: usize,
    },
    /// Probabilities that are negative or sum to nothing.
    #[error("row {row} of the source probabilities is no distribution")]
    NoDistribution {
        /// The row, from 0.
        row: usize,
    },
    /// A matrix that must be positive definite is not.
    #[error("a matrix of the features is singular")]
    Singular,
    /// An evidence that has no maximum.
    #[error("the evidence has no maximum: the features fit the labels exactly")]
    Unbounded,
    /// An iteration that did not end.
    #[error("{what} did not converge in {steps} steps")]
    NotConverged {
        /// What was iterated.
        what: &'static str,
        /// Steps taken.
        steps: usize,
    },
    /// The score reads something that was not given.
    #[error("it needs {what}")]
    Needs {
        /// What it needs.
        what: &'static str,
    },
}

/// Features with the class of each row, checked: finite, not constant, at least two classes. What
/// several scores decompose is decomposed once, when the first of them asks for it.
pub struct Labelled<'a> {
    /// `[N, D]`.
    pub(crate) features: ArrayView2<'a, f64>,
    /// `[N]`, places among the classes that occur.
    pub(crate) labels: Vec<usize>,
    /// Examples of each class, `[C]`, none of them 0.
    pub(crate) counts: Vec<usize>,
    /// The label of each class, ascending.
    pub(crate) known: Vec<u32>,
    shared: Shared,
}

/// Decompositions that more than one score reads.
#[derive(Default)]
struct Shared {
    /// Of the features as they are, for LogME.
    seen: OnceLock<Result<logme::Seen, Undefined>>,
    /// Of the centred features, for the H-scores.
    covariance: OnceLock<Result<hscore::Covariance, Undefined>>,
    /// The whole's and the classes' coding rates at the published distortion, for TransRate.
    rates: OnceLock<Result<Vec<f64>, Undefined>>,
    /// Soft assignments to the mixture of a seed, for N-LEEP and NCE.
    assignments: OnceLock<(Seed, Result<Array2<f64>, Undefined>)>,
}

impl<'a> Labelled<'a> {
    /// Checks features and labels. Classes that do not occur do not count.
    ///
    /// # Errors
    /// [`Undefined`] for unequal lengths, fewer than two classes or fewer than two examples beyond
    /// the number of classes, features that are not finite or the same for all examples.
    pub fn new(features: ArrayView2<'a, f64>, labels: &[u32]) -> Result<Self, Undefined> {
        if features.nrows() != labels.len() {
            return Err(Undefined::Lengths { rows: features.nrows(), labels: labels.len() });
        }
        let mut known = labels.to_vec();
        known.sort_unstable();
        known.dedup();
        let least = known.len().max(2) + 2;
        if labels.len() < least {
            return Err(Undefined::TooFew { n: labels.len(), least });
        }
        if known.len() < 2 {
            return Err(Undefined::OneClass);
        }
        if features.iter().any(|value| !value.is_finite()) {
            return Err(Undefined::NotFinite);
        }
        let first = features.row(0);
        if features.rows().into_iter().all(|row| row == first) {
            return Err(Undefined::Constant);
        }
        let labels: Vec<usize> =
            labels.iter().map(|label| known.partition_point(|other| other < label)).collect();
        let mut counts = vec![0; known.len()];
        for &label in &labels {
            counts[label] += 1;
        }
        Ok(Self { features, labels, counts, known, shared: Shared::default() })
    }

    /// C, the classes that occur.
    pub fn classes(&self) -> usize {
        self.counts.len()
    }

    /// N and D.
    pub fn shape(&self) -> (usize, usize) {
        self.features.dim()
    }

    /// `[N, C]`.
    fn one_hot(&self) -> Array2<f64> {
        let mut targets = Array2::zeros((self.labels.len(), self.counts.len()));
        for (row, &label) in self.labels.iter().enumerate() {
            targets[[row, label]] = 1.0;
        }
        targets
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_scored_says_why() {
        let x = Array2::from_shape_fn((6, 2), |(row, column)| (row * 2 + column) as f64);
        let reason = |x: &Array2<f64>, labels: &[u32]| Labelled::new(x.view(), labels).err();
        assert_eq!(reason(&x, &[0, 1, 0]), Some(Undefined::Lengths { rows: 6, labels: 3 }));
        assert_eq!(reason(&x, &[2; 6]), Some(Undefined::OneClass));
        assert_eq!(reason(&x, &[0, 1, 2, 3, 4, 4]), Some(Undefined::TooFew { n: 6, least: 7 }));
        assert_eq!(reason(&Array2::ones((6, 2)), &[0, 1, 0, 1, 0, 1]), Some(Undefined::Constant));
        let mut broken = x.clone();
        broken[[3, 1]] = f64::NAN;
        assert_eq!(reason(&broken, &[0, 1, 0, 1, 0, 1]), Some(Undefined::NotFinite));
        assert_eq!(reason(&Array2::zeros((0, 2)), &[]), Some(Undefined::TooFew { n: 0, least: 4 }));
    }

    #[test]
    fn classes_that_do_not_occur_do_not_count() {
        let x = Array2::from_shape_fn((6, 2), |(row, column)| (row * 2 + column) as f64);
        let data = Labelled::new(x.view(), &[7, 3, 7, 3, 7, 3]).unwrap();
        assert_eq!((data.classes(), &data.labels[..2], &data.known[..]), (2, &[1, 0][..], &[3, 7][..]));
    }
}
