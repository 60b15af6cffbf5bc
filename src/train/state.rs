//! All that a training needs to go on from where it stands.

use std::sync::Arc;

use super::{Moments, Scores};
use crate::device::Device;
use crate::nn::{Arena, Layout};

/// What was not finite when a member diverged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// The loss of a training batch.
    Loss,
    /// The norm of the gradient.
    Gradient,
    /// A logit of an evaluation.
    Logits,
}

/// When a member diverged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Divergence {
    /// The update that was not made, or after which the evaluation failed; from 1.
    pub step: u64,
    /// What was not finite.
    pub cause: Cause,
}

impl std::fmt::Display for Divergence {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let what = match self.cause {
            Cause::Loss => "the loss",
            Cause::Gradient => "the gradient",
            Cause::Logits => "a logit of the evaluation",
        };
        write!(f, "diverged at step {}: {what} is not finite", self.step)
    }
}

/// A member's best epoch so far.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Best {
    /// Epoch, from 1.
    pub epoch: u32,
    /// Its value of the selecting metric.
    pub value: f64,
}

/// What became of one member.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct MemberState {
    /// The epoch that is its result so far.
    pub best: Option<Best>,
    /// Set once it has diverged; it takes no further part.
    pub diverged: Option<Divergence>,
}

/// What an epoch came to.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct EpochRecord {
    /// Epoch, from 1.
    pub epoch: u32,
    /// Updates made by its end.
    pub step: u64,
    /// Mean of the batch losses, `[K]`; none for members that have diverged.
    pub train_loss: Vec<Option<f64>>,
    /// Metrics on the validation split, `[K]`; none for members that have diverged.
    pub validation: Vec<Option<Scores>>,
}

/// What every step and epoch came to, by column. A member that has diverged has NaN.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History {
    /// Learning rate of every step, `[S]`.
    pub learning_rates: Vec<f64>,
    /// Rows of every step that were not padding, of one member, `[S]`.
    pub tokens: Vec<u64>,
    /// Losses, `[S, K]`.
    pub losses: Vec<f64>,
    /// Gradient norms before clipping, `[S, K]`.
    pub gradient_norms: Vec<f64>,
    /// The epochs that were validated.
    pub epochs: Vec<EpochRecord>,
}

impl History {
    /// S.
    pub fn steps(&self) -> usize {
        self.learning_rates.len()
    }
}

/// A training that stands after a whole step: values, moments, the best values, where it is and
/// what it has been.
#[derive(Clone, Debug)]
pub struct State {
    /// Which run this belongs to: a hash of its settings, data and members.
    pub fingerprint: String,
    /// Updates made.
    pub step: u64,
    /// Epochs validated.
    pub epoch: u32,
    /// Batches done of the epoch that is under way.
    pub batch: usize,
    /// Sum of the batch losses of the epoch that is under way, `[K]`.
    pub loss_sums: Vec<f64>,
    /// What became of each member, `[K]`.
    pub members: Vec<MemberState>,
    /// Trainable parameters.
    pub values: Arena,
    /// Adam's moments.
    pub moments: Moments,
    /// Values of each member's best epoch, once there is one.
    pub best: Option<Arena>,
    /// What it has been.
    pub history: History,
}

impl State {
    /// A training that has not begun.
    pub fn new(device: Device, fingerprint: String, values: Arena) -> Self {
        let members = values.members();
        let zeros = Arena::zeros(device, Arc::clone(values.layout()), members);
        Self {
            fingerprint,
            step: 0,
            epoch: 0,
            batch: 0,
            loss_sums: vec![0.0; members],
            members: vec![MemberState::default(); members],
            moments: Moments { first: zeros.clone(), second: zeros },
            values,
            best: None,
            history: History::default(),
        }
    }

    /// Names, shapes and places of the values.
    pub fn layout(&self) -> &Arc<Layout> {
        self.values.layout()
    }

    /// Which members have not diverged, `[K]`.
    pub fn alive(&self) -> Vec<bool> {
        self.members.iter().map(|member| member.diverged.is_none()).collect()
    }

    /// The values that are each member's result: of its best epoch, or as they stand.
    pub fn chosen(&self) -> &Arena {
        self.best.as_ref().unwrap_or(&self.values)
    }
}
