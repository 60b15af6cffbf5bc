//! One loop over K members: batches in, events out. Training, evaluation and the metrics; writes no
//! file and prints nothing. Who calls it decides what becomes of events, checkpoints and results.
//!
//! A [`Learner`] computes logits and gradients, a [`Source`] gives batches, an [`Objective`] turns
//! logits into losses, [`Optimization`] makes one update, and [`Trainer`] puts them together into
//! runs that can stop after any step and go on to the same bits.

pub mod as_published;
pub mod checkpoint;
pub mod config;
pub mod error;
pub mod evaluate;
pub mod event;
mod language_model;
pub mod learner;
pub mod metrics;
pub mod objective;
pub mod optimization;
pub mod pretrain;
mod probe;
pub mod schedule;
pub mod source;
pub mod state;
pub mod trainer;

pub use crate::models::input::{Features, Input, Pass, Tokens};
pub use as_published::AsPublished;
pub use config::{Arguments, Config, Optimizer, Seeds, Selection};
pub use error::Error;
pub use evaluate::{Answers, Predictions, evaluate};
pub use event::{Event, Flow, Step};

pub use learner::Learner;
pub use metrics::{Metric, Scores};
pub use objective::{Gold, Objective, Span};
pub use optimization::{Moments, Optimization};
pub use source::{FeatureSet, Source, TokenSet};
pub use state::{Cause, Divergence, EpochRecord, History, State};
pub use trainer::{Finished, MemberResult, Outcome, Task, Trainer};
