//! What a worker says to its engine, and what an engine says to whoever watches: JSON lines with
//! an `event` field.
//!
//! A worker is started as `PROGRAM worker --plan FILE --cells ID[,ID...]` in a process group of its
//! own, writes one [`WorkerEvent`] a line to its standard output and anything else to its standard
//! error. On its standard input a line `stop`, or the end of the input (the engine is gone), asks it
//! to finish the step, write a checkpoint and exit with 75. Runs are published by the worker itself
//! ([`crate::runs::Store::publish`]): the engine believes the store, not the words.

use serde::{Deserialize, Serialize};

use crate::runs::record::{FailureKind, Metrics};
use crate::runs::{Condition, RunRecord};
use crate::seed::Seed;

/// Version of the events.
pub const SCHEMA_VERSION: u32 = 1;

/// Exit code of a worker that stopped at a checkpoint.
pub const STOPPED: i32 = 75;

/// The line by which an engine asks a worker to stop at a checkpoint.
pub const STOP_LINE: &str = "stop";

/// What a worker says. `cell` is the cell's id; a stack of cells speaks for each of its members.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum WorkerEvent {
    /// Everything is loaded and training begins.
    Started {
        /// Id.
        cell: String,
        /// Steps already behind it by a checkpoint.
        resumed_from: Option<u64>,
        /// Steps in all.
        total: u64,
    },
    /// Training goes on; a few a second at most.
    Step {
        /// Id.
        cell: String,
        /// Steps done.
        step: u64,
        /// Steps in all.
        total: u64,
        /// Of this step.
        loss: f64,
        /// Lately.
        tokens_per_second: f64,
    },
    /// An epoch was validated.
    Epoch {
        /// Id.
        cell: String,
        /// From 1.
        epoch: usize,
        /// In all.
        epochs: usize,
        /// On the whole validation split.
        validation: Metrics,
    },
    /// A checkpoint was written.
    Checkpoint {
        /// Id.
        cell: String,
        /// Steps behind it.
        step: u64,
    },
    /// A remark for the reader.
    Note {
        /// Id.
        cell: Option<String>,
        /// The remark.
        text: String,
    },
    /// The run is published.
    Done {
        /// Id.
        cell: String,
        /// What came out.
        summary: Summary,
    },
    /// The cell has no result.
    Failed {
        /// Id.
        cell: String,
        /// The kind of reason.
        kind: FailureKind,
        /// For example `diverged at step 12: loss is NaN`.
        reason: String,
    },
}

impl WorkerEvent {
    /// The cell that it is about.
    pub fn cell(&self) -> Option<&str> {
        match self {
            Self::Started { cell, .. }
            | Self::Step { cell, .. }
            | Self::Epoch { cell, .. }
            | Self::Checkpoint { cell, .. }
            | Self::Done { cell, .. }
            | Self::Failed { cell, .. } => Some(cell),
            Self::Note { cell, .. } => cell.as_deref(),
        }
    }
}

/// What came out of a run, for a line on a leaderboard.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// On the validation split of the task trained on: what choices are made by.
    pub validation: Option<Metrics>,
    /// On the test split of the task trained on.
    pub test: Option<Metrics>,
    /// From 1.
    pub best_epoch: usize,
    /// Wall time.
    pub seconds: f64,
}

impl Summary {
    /// The summary of a finished run.
    pub fn of(record: &RunRecord) -> Self {
        Self {
            validation: record.validation().copied(),
            test: record.home().map(|evaluation| evaluation.metrics),
            best_epoch: record.result.as_ref().map_or(0, |result| result.best_epoch),
            seconds: record.cost.seconds,
        }
    }
}

/// What an engine says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum SweepEvent {
    /// The first event.
    SweepStarted {
        /// Cells of the plan.
        cells: usize,
        /// Of these, done before.
        done: usize,
    },
    /// A layer's weights are there.
    LayerReady {
        /// Index from 0.
        layer: usize,
        /// Bytes that it took to get them; 0 if they were there.
        bytes_fetched: u64,
    },
    /// A layer's weights cannot be had.
    LayerFailed {
        /// Index from 0.
        layer: usize,
        /// Why.
        reason: String,
    },
    /// A worker was started for a cell.
    CellStarted {
        /// Id.
        cell: String,
        /// Layer or control.
        condition: Condition,
        /// Seed.
        seed: Seed,
        /// From 1.
        attempt: u32,
    },
    /// A run is there.
    CellDone {
        /// Id.
        cell: String,
        /// Layer or control.
        condition: Condition,
        /// Seed.
        seed: Seed,
        /// Whether another engine on the same directory did it.
        elsewhere: bool,
        /// What came out; absent where only a newer program can read the run.
        summary: Option<Summary>,
    },
    /// A cell has no result.
    CellFailed {
        /// Id.
        cell: String,
        /// Layer or control.
        condition: Condition,
        /// Seed.
        seed: Seed,
        /// The kind of reason.
        kind: FailureKind,
        /// The reason.
        reason: String,
        /// Whether this engine tries again.
        retried: bool,
    },
    /// A worker stopped at a checkpoint.
    CellUnfinished {
        /// Id.
        cell: String,
    },
    /// Nothing is left but cells that other engines are at.
    Waiting {
        /// How many.
        cells: usize,
    },
    /// A stack was too large for the memory and is tried in halves.
    StackHalved {
        /// Ids.
        cells: Vec<String>,
    },
    /// A line from a worker that is no event.
    WorkerSaid {
        /// Its cells.
        cells: Vec<String>,
        /// The line.
        line: String,
    },
    /// Workers were asked to stop (`at_once`: killed).
    Stopping {
        /// Whether without a checkpoint.
        at_once: bool,
    },
    /// The last event.
    SweepDone {
        /// Cells with a run.
        done: usize,
        /// Cells that failed.
        failed: usize,
        /// Cells that were not reached or stopped at a checkpoint.
        unfinished: usize,
    },
    /// What a worker said, as it said it.
    #[serde(untagged)]
    Worker(WorkerEvent),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_flat_lines_that_read_back() {
        let step =
            WorkerEvent::Step { cell: "ab".into(), step: 1, total: 9, loss: 0.5, tokens_per_second: 100.0 };
        let line = serde_json::to_string(&SweepEvent::Worker(step.clone())).expect("serialises");
        assert_eq!(
            line,
            r#"{"event":"step","cell":"ab","step":1,"total":9,"loss":0.5,"tokens_per_second":100.0}"#
        );
        assert_eq!(serde_json::from_str::<WorkerEvent>(&line).expect("reads"), step);
        assert_eq!(serde_json::from_str::<SweepEvent>(&line).expect("reads"), SweepEvent::Worker(step));
        let failed = SweepEvent::LayerFailed { layer: 3, reason: "offline".into() };
        let line = serde_json::to_string(&failed).expect("serialises");
        assert_eq!(serde_json::from_str::<SweepEvent>(&line).expect("reads"), failed);
    }
}
