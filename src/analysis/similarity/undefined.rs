//! Why a similarity has no value.

use serde::Serialize;

/// The reason that stands where a number would mean nothing.
#[derive(Clone, Debug, PartialEq, Serialize, thiserror::Error)]
pub enum Undefined {
    /// Too few examples for the formula.
    #[error("{n} examples are too few, at least {least} are needed")]
    TooFew {
        /// Examples there are.
        n: usize,
        /// Examples that the measure needs.
        least: usize,
    },
    /// With as many directions as examples every canonical correlation is 1.
    #[error(
        "{n} examples in {width} directions: every canonical correlation is 1 unless n exceeds the width"
    )]
    Saturated {
        /// Examples there are.
        n: usize,
        /// Directions of the wider side.
        width: usize,
    },
    /// Rows of both sides must be the same examples.
    #[error("the sides have {left} and {right} examples, expected the same ones in both")]
    Unpaired {
        /// Examples of the first side.
        left: usize,
        /// Examples of the second side.
        right: usize,
    },
    /// A feature is NaN, infinite, or larger than f32 can hold.
    #[error("a feature is not a finite number of f32's range")]
    NotFinite,
    /// All examples have the same features, or all pairs of examples the same distance.
    #[error("the features do not vary between examples")]
    NoVariance,
    /// The unbiased estimate of a side's dependence on itself is not above zero.
    #[error(
        "the unbiased self-similarity of a side is not above zero, so that there is nothing to divide by"
    )]
    NotPositive,
    /// A row of zeros has no direction.
    #[error("example {row} has no direction: its features are all zero, or all equal")]
    NoDirection {
        /// The first such row.
        row: usize,
    },
    /// The measure compares channel with channel.
    #[error("the sides have {left} and {right} channels, and this measure compares channel with channel")]
    WidthsDiffer {
        /// Channels of the first side.
        left: usize,
        /// Channels of the second side.
        right: usize,
    },
    /// Correlation over too few channels is 1 or -1.
    #[error("{width} channels: the correlation between two rows needs at least 3")]
    TooNarrow {
        /// Channels of the narrower side.
        width: usize,
    },
}
