//! What a training tells while it runs, and what it can be told.

use std::time::Duration;

use super::{Divergence, EpochRecord, State};

/// One update, as it was made.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// Number of the update, from 1.
    pub step: u64,
    /// Updates of the whole run.
    pub total_steps: u64,
    /// Epoch, from 1.
    pub epoch: u32,
    /// Mean loss of the batch before the update, `[K]`; NaN for members that have diverged.
    pub losses: Vec<f64>,
    /// Norm of the whole gradient before clipping, `[K]`; NaN for members that have diverged.
    pub gradient_norms: Vec<f64>,
    /// Learning rate of this update.
    pub learning_rate: f64,
    /// Rows that were not padding, of one member.
    pub tokens: usize,
    /// How long the update took.
    pub elapsed: Duration,
}

impl Step {
    /// Tokens a second, all members together; none when the clock did not move.
    pub fn tokens_per_second(&self) -> Option<f64> {
        let seconds = self.elapsed.as_secs_f64();
        (seconds > 0.0).then(|| (self.tokens * self.losses.len()) as f64 / seconds)
    }
}

/// What happened.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// The loop begins, or goes on from a checkpoint.
    Started {
        /// K.
        members: usize,
        /// Updates already made; 0 for a fresh run.
        step: u64,
        /// Updates of the whole run.
        total_steps: u64,
    },
    /// An update was made.
    Step(&'a Step),
    /// A member's loss, gradient or validation logits were not finite: it takes no further part.
    Diverged {
        /// Place in the stack.
        member: usize,
        /// When and where.
        divergence: Divergence,
    },
    /// A batch of an evaluation was computed.
    Evaluating {
        /// The split.
        split: &'a str,
        /// Examples done.
        done: usize,
        /// Examples of the split.
        total: usize,
    },
    /// An epoch was validated.
    EpochEnd(&'a EpochRecord),
    /// A checkpoint was asked for, by [`Flow::Checkpoint`] or [`Flow::Stop`]: this is what to store.
    Checkpoint(&'a State),
    /// All is trained and evaluated.
    Finished {
        /// Updates made.
        step: u64,
    },
}

/// What to do after an event. An answer to [`Event::Checkpoint`] and [`Event::Finished`] has no
/// effect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Flow {
    /// Go on.
    #[default]
    Continue,
    /// Hand out a checkpoint as soon as the state is whole, and go on.
    Checkpoint,
    /// Hand out a checkpoint as soon as the state is whole, and end.
    Stop,
}
