//! The only writer of run outputs, and their reader. A finished run is a directory named by its
//! cell's id, `runs/<cell>/{run.json, history.parquet, predictions.parquet, model.safetensors?}`,
//! that appears whole or not at all; see [`store`] for the layout around it.

pub(crate) mod atomic;
pub mod checkpoint;
pub mod clock;
pub mod columns;
pub mod diff;
mod error;
pub mod lease;
pub mod parquet;
pub mod record;
pub(crate) mod render;
pub mod representations;
pub mod store;
pub mod table;
pub mod view;

pub use checkpoint::{Checkpoints, Restored};
pub use error::Error;
pub use lease::{Claim, Lease};
pub use parquet::{HistoryRow, Overlap, TaskPredictions};
pub use record::{Condition, Control, RunRecord};
pub use store::{CellState, Store};
pub use table::RunTable;
