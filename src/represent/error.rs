//! What can go wrong with hidden states besides files.

use crate::error::{Category, Diagnose};

/// An error of a walk through a model's layers.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Numbers beyond what f32 holds.
    #[error("{site} gives {value} for example {example}: expected finite numbers")]
    NotFinite {
        /// Where in the model.
        site: String,
        /// The example's number in its data set.
        example: u64,
        /// NaN or an infinity.
        value: f32,
    },
    /// A layer that the model does not have.
    #[error("no layer {layer}, the model has {count}")]
    NoSuchLayer {
        /// As asked for.
        layer: usize,
        /// How many there are.
        count: usize,
    },
    /// No text at all.
    #[error("no text to represent: expected at least one")]
    NoTexts,
}

impl Diagnose for Error {
    fn hint(&self) -> Option<String> {
        match self {
            Self::NotFinite { .. } => Some(
                "the checkpoint may be damaged (`pifi-probe cache verify`), or its layers overflow on this text"
                    .into(),
            ),
            Self::NoSuchLayer { .. } | Self::NoTexts => None,
        }
    }

    fn category(&self) -> Category {
        match self {
            Self::NoSuchLayer { .. } => Category::Usage,
            _ => Category::Failure,
        }
    }
}
