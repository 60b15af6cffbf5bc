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
pub mod layers;
pub mod local;
mod order;
mod outcome;
pub mod plan;
pub mod predict;
pub mod prepare;
mod provide;
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
pub use settings::{
    Defect, Defects, HyperParameters, Limits, MaskMode, Oom, Optimizer, PlugMode, Pooling, Save, Schedule,
    Seeds, TrainMode, WindowMode,
};
pub use study::{CheckedStudy, Study};
pub use worker::WorkerCommand;
