//! The main question, from stored predictions to an answer: which layers are best, is the gain
//! over no plug real, does it carry over to other domains, and how sure is all that.
//!
//! Everything that chooses (the best layer, the tied set, P(best)) looks at validation. The test
//! set is opened for the claims about the chosen layer only.

mod answer;
mod choice;
mod compare;
mod study;
#[cfg(test)]
pub(crate) mod synthetic;
#[cfg(test)]
mod tests;
mod warning;

pub use answer::{
    BestProbability, Claim, ConditionOnSet, Contrast, Finished, LayerAnswer, LuckOfTheBest, SetAnswer,
    SetRole, Summary, WithoutOverlap,
};
pub use choice::LayerBehind;
pub use study::{Cell, Condition, ExampleSet, LayerStudy, Outcome};
pub use warning::{Warning, ranges};

/// Why a study cannot be answered.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Error {
    /// No cell with a layer finished.
    #[error("no cell with a layer of the LLM has finished, so there is nothing to compare")]
    NoFinishedLayer,
    /// Two cells stand for the same run.
    #[error("`{condition}` with seed {seed} is there twice, expected one cell for each condition and seed")]
    DuplicateCell {
        /// The condition's name.
        condition: String,
        /// Its seed.
        seed: u64,
    },
    /// A layer that the LLM does not have.
    #[error("layer {layer} is out of range, expected less than {layers}")]
    LayerOutOfRange {
        /// The layer.
        layer: usize,
        /// Layers of the LLM.
        layers: usize,
    },
    /// Cells were evaluated on different examples, so that they cannot be paired.
    #[error(
        "`{condition}` with seed {seed} was evaluated on other examples of `{set}` than the cells before it"
    )]
    DifferentExamples {
        /// The condition's name.
        condition: String,
        /// Its seed.
        seed: u64,
        /// The set.
        set: String,
    },
    /// A cell's arrays do not fit together.
    #[error(
        "`{condition}` with seed {seed} has {scores} scores for {ids} example ids of `{set}`, expected as many"
    )]
    Ragged {
        /// The condition's name.
        condition: String,
        /// Its seed.
        seed: u64,
        /// The set.
        set: String,
        /// Scores given.
        scores: usize,
        /// Example ids given.
        ids: usize,
    },
    /// A cell has results for more or fewer domains than the study.
    #[error("`{condition}` with seed {seed} lists {found} domains, expected the study's {expected}")]
    DomainCount {
        /// The condition's name.
        condition: String,
        /// Its seed.
        seed: u64,
        /// Domains in the cell.
        found: usize,
        /// Domains of the study.
        expected: usize,
    },
    /// A statistic of a set could not be computed.
    #[error("the results on `{set}` cannot be compared: {reason}")]
    Statistic {
        /// The set.
        set: String,
        /// Why.
        reason: super::statistics::Undefined,
    },
}

impl crate::error::Diagnose for Error {
    fn hint(&self) -> Option<String> {
        match self {
            Self::NoFinishedLayer => Some("`pifi-probe runs list` shows why the cells failed".to_owned()),
            Self::DifferentExamples { .. } => Some(
                "were the cells run on different versions of the data? compare within one version".to_owned(),
            ),
            _ => None,
        }
    }
}
