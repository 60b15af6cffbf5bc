//! Does what is gained at home carry over to other domains? From runs trained on each of several
//! tasks and tested on all of them: the matrix `A[s, t]` (trained on s, tested on t), the gain over no
//! plug in every field of it, drops, transfer loss and ratio, the worst domain, ranks and effective
//! robustness, each with its interval or the reason why it has none. Definitions and their sources:
//! `reference/analyses.md` section 5 (Glorot 2011, Taori 2020, Calderon 2023, Ben-David 2007).
//!
//! The layer is chosen on the validation splits of the training domains; no test set decides
//! anything. What knowing the tests would have chosen stands beside it, as a regret.

mod answer;
mod choice;
mod distance;
mod drops;
mod fields;
mod grid;
mod labels;
mod robustness;
#[cfg(test)]
pub(crate) mod synthetic;
#[cfg(test)]
mod tests;

pub use answer::{ConditionTransfer, MeanGain, Point, Ranks, TransferAnswer, Worst};
pub use choice::{Choice, Protocol, Regret};
pub use distance::{PlaceDistances, ROWS, place_distances, proxy_a_distance};
pub use drops::{Errors, transfer_loss, transfer_ratio};
pub use fields::{Field, WithoutShared};
pub use grid::{Domain, Run, TransferStudy};
pub use labels::{LabelMismatch, same_label_space};
pub use robustness::{ProbitLine, probit_line};

use super::layers::Condition;
use super::statistics::Undefined;
use serde::Serialize;

/// Why a number of the transfer analysis has no value.
#[derive(Clone, Debug, PartialEq, Serialize, thiserror::Error)]
pub enum NotAvailable {
    /// No run of this condition that was trained there has finished.
    #[error("no finished run")]
    NoRun,
    /// The run was not tested there.
    #[error("not evaluated")]
    NotEvaluated,
    /// The two tasks do not share their classes.
    #[error("{0}")]
    Labels(LabelMismatch),
    /// All test texts stand in the training set.
    #[error("all test texts stand in the training set, or no run was tested on the others")]
    NothingLeft,
    /// A ratio to an error of zero.
    #[error("no error at home: a ratio to it has no value")]
    NoErrorAtHome,
    /// The resamples leave an end of the interval open.
    #[error("some resamples have no error at home, so the interval has no end")]
    Unbounded,
    /// A line through too few points.
    #[error("the line is fitted over runs without a plug: {found} of at least {needed} are there")]
    TooFewBaseRuns {
        /// Runs that are there.
        found: usize,
        /// Runs that a line needs.
        needed: usize,
    },
    /// A line through points above one another.
    #[error("all runs without a plug are equally good at home: no line can be fitted")]
    NoSpread,
    /// The normal quantile of 0 or 1.
    #[error("an accuracy of 0 or 1 has no probit")]
    AtTheEdge,
    /// The run kept no such number.
    #[error("the runs do not record it")]
    NotRecorded,
    /// It compares a domain with another one.
    #[error("trained and tested on one domain")]
    SameDomain,
    /// Only where training and testing share their domain.
    #[error("trained and tested on different domains")]
    DifferentDomains,
    /// A statistic without a value.
    #[error("{0}")]
    Undefined(Undefined),
}

impl From<Undefined> for NotAvailable {
    fn from(reason: Undefined) -> Self {
        Self::Undefined(reason)
    }
}

/// Why a transfer study cannot be answered.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Error {
    /// Nothing has finished.
    #[error("no run of the study has finished, so there is nothing to compare")]
    NoRun,
    /// A run that names what the study does not have.
    #[error("`{condition}` with seed {seed} names domain {domain}, expected less than {domains}")]
    NoSuchDomain {
        /// The condition's name.
        condition: String,
        /// Its seed.
        seed: u64,
        /// The domain's number.
        domain: usize,
        /// Domains of the study.
        domains: usize,
    },
    /// Two runs stand for one.
    #[error("`{condition}` trained on `{domain}` with seed {seed} is there twice")]
    Twice {
        /// The condition's name.
        condition: String,
        /// Where it was trained.
        domain: String,
        /// Its seed.
        seed: u64,
    },
    /// Runs that were tested on different examples cannot be paired.
    #[error(
        "`{condition}` trained on `{trained}` with seed {seed} was tested on other examples of `{tested}` than the \
         runs before it"
    )]
    DifferentExamples {
        /// The condition's name.
        condition: String,
        /// Where it was trained.
        trained: String,
        /// Its seed.
        seed: u64,
        /// Where it was tested.
        tested: String,
    },
    /// The results of a domain cannot be resampled.
    #[error("the results on `{domain}` cannot be compared: {reason}")]
    Statistic {
        /// The domain.
        domain: String,
        /// Why.
        reason: Undefined,
    },
}

impl crate::error::Diagnose for Error {
    fn hint(&self) -> Option<String> {
        match self {
            Self::NoRun => Some("`pifi-probe runs list` shows why the cells failed".to_owned()),
            Self::DifferentExamples { .. } => Some(
                "were the cells run on different versions of the data? compare within one version".to_owned(),
            ),
            _ => None,
        }
    }
}

fn name_of(condition: &Condition) -> String {
    condition.to_string()
}
