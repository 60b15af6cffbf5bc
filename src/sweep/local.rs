//! The local engine: worker processes on this machine, one batch of cells each at a time. Any
//! number of engines may share an output directory; each cell is done once.
//!
//! A worker that dies costs its cells and nothing else; what a cell has come to is read from the
//! store, never from words. A stop request makes workers write checkpoints and end; whatever is
//! unfinished then is gone on with by the same command.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::AtomicU8;
use std::time::Duration;

use super::settings::Oom;
use super::shift::Shift;
use super::{Error, Journal, Order, Plan, Provider, SweepEvent, WorkerCommand};
use crate::runs::record::FailureKind;
use crate::runs::{CellState, Store};

/// How a sweep is run; nothing here decides a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Workers at once.
    pub jobs: usize,
    /// Most cells a worker trains together; the study's `stack`, or less where memory is short.
    pub stack: usize,
    /// Which loop is the outer one.
    pub order: Order,
    /// Whether the first failure ends the sweep.
    pub fail_fast: bool,
    /// Further attempts at a failed cell within this sweep; a divergence is never tried again.
    pub retries: u32,
    /// What becomes of a stack that was too large for the memory.
    pub oom: Oom,
    /// How long a worker may take to stop at a checkpoint before it is killed.
    pub stop_grace: Duration,
}

impl Options {
    /// One worker, stacks as the plan has them, and the defaults of the command line.
    pub fn of(plan: &Plan) -> Self {
        Self {
            jobs: 1,
            stack: plan.study.stack.members(),
            order: Order::SeedsOutside,
            fail_fast: false,
            retries: 0,
            oom: Oom::Fail,
            stop_grace: Duration::from_mins(5),
        }
    }
}

/// A cell that failed, for good in this sweep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedCell {
    /// Id.
    pub cell: String,
    /// The kind of reason.
    pub kind: FailureKind,
    /// The reason.
    pub reason: String,
}

/// What became of a plan's cells; every cell is in one list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SweepOutcome {
    /// Done by this engine, in order.
    pub done: Vec<String>,
    /// Done before, or by another engine.
    pub skipped: Vec<String>,
    /// Failed in this sweep.
    pub failed: Vec<FailedCell>,
    /// Not reached, or stopped at a checkpoint.
    pub unfinished: Vec<String>,
}

/// Who is told about a sweep; a break asks it to stop as a signal would.
pub type Observer<'a> = dyn FnMut(&SweepEvent) -> ControlFlow<()> + 'a;

/// Everything that a sweep needs.
pub struct Engine<'a> {
    /// What is to be done.
    pub plan: &'a Plan,
    /// Where runs go.
    pub store: &'a Store,
    /// How a worker is started.
    pub worker: WorkerCommand,
    /// How the sweep is run.
    pub options: Options,
    /// Gets layers' weights; without one they are taken to be there.
    pub provider: Option<Arc<dyn Provider>>,
    /// Where events are kept.
    pub journal: Option<Journal>,
    /// 1 asks for an end at the next checkpoint, 2 for an end at once; may rise at any time.
    pub stop: &'a AtomicU8,
}

impl Engine<'_> {
    /// Runs every cell that is not done.
    ///
    /// # Errors
    /// A store or a journal that cannot be written, or a worker program that does not start:
    /// trouble that would meet every cell. A failed cell is no error.
    pub fn run(self, observer: &mut Observer<'_>) -> Result<SweepOutcome, Error> {
        Shift::of(self, observer).run()
    }
}

impl SweepOutcome {
    /// Whether every cell has a run.
    pub fn is_complete(&self) -> bool {
        self.failed.is_empty() && self.unfinished.is_empty()
    }
}

/// The cells of a plan that are not done in a store, for a plan's estimate.
///
/// # Errors
/// Refusals of the file system.
pub fn todo(plan: &Plan, store: &Store) -> Result<Vec<String>, Error> {
    let mut ids = Vec::new();
    for cell in &plan.cells {
        if store.state(&cell.id)? != CellState::Done {
            ids.push(cell.id.clone());
        }
    }
    Ok(ids)
}
