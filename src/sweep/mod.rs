//! A study becomes a plan of cells, and an engine runs them: [`Study`] is what was asked for,
//! [`Plan`] what that means in full, [`local::Engine`] gets it done in worker processes.

mod batch;
pub mod canonical;
pub mod cell;
pub mod collection;
mod controls;
mod convert;
pub mod cost;
pub mod demo;
mod error;
pub mod event;
mod features;
pub mod inputs;
pub mod journal;
mod kept;
pub mod layers;
pub mod local;
mod order;
mod outcome;
pub mod plan;
mod plugged;
pub mod predict;
pub mod prepare;
mod provide;
pub mod represent;
pub mod represent_run;
pub mod screen;
mod settings;
mod shift;
pub mod study;
mod verdict;
mod worker;

pub use error::{Error, Invalid};
pub use event::{SweepEvent, WorkerEvent};
pub use journal::Journal;
pub use local::{Engine, Options, SweepOutcome};
pub use order::Order;
pub use plan::{Cell, Inputs, ModelAt, Plan, TaskAt};
pub use provide::Provider;
pub use settings::{HyperParameters, Limits, Oom, Save, Seeds, Stack, TrainMode, WindowMode};
pub use study::{CheckedStudy, Study};
pub use worker::WorkerCommand;

// words of a study whose meaning lies below
pub use crate::models::plug::{Mask, PlugMode};
pub use crate::models::pooling::Pooling;
pub use crate::train::Optimizer;
pub use crate::train::as_published::{AsPublished, Switches};
pub use crate::train::schedule::Shape;
