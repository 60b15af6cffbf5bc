//! Cells that one worker trains together, and what is known while it runs.

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use super::verdict::{Circumstances, Verdict, verdict};
use super::worker::Worker;
use super::{Plan, SweepEvent, WorkerEvent};
use crate::runs::record::FailureKind;
use crate::runs::{Lease, clock};

/// How long a worker's last lines may take to arrive after its end. Whatever it started itself can
/// hold its standard output open for ever.
const LAST_LINES: Duration = Duration::from_secs(1);

/// Cells by their places in the plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Batch {
    pub(super) cells: Vec<usize>,
    /// From 1.
    pub(super) attempt: u32,
}

impl Batch {
    pub(super) fn layers(&self, plan: &Plan) -> Vec<usize> {
        self.cells.iter().filter_map(|at| plan.cells[*at].needs_layer).collect()
    }

    pub(super) fn ids(&self, plan: &Plan) -> Vec<String> {
        self.cells.iter().map(|at| plan.cells[*at].id.clone()).collect()
    }
}

/// A batch with its worker.
pub(super) struct Running {
    worker: Worker,
    leases: Vec<Lease>,
    failures: BTreeMap<String, (FailureKind, String)>,
    said_done: BTreeSet<String>,
    ended: Option<(ExitStatus, Instant)>,
    killed: bool,
    pub(super) batch: Batch,
    pub(super) started: String,
    pub(super) since: Instant,
    pub(super) garbage: Option<String>,
    pub(super) closed: bool,
    pub(super) stop_asked: Option<Instant>,
}

impl Running {
    /// `leases` belong to the batch's cells in order.
    pub(super) fn new(worker: Worker, batch: Batch, leases: Vec<Lease>) -> Self {
        debug_assert_eq!(batch.cells.len(), leases.len());
        Self {
            worker,
            leases,
            failures: BTreeMap::new(),
            said_done: BTreeSet::new(),
            ended: None,
            killed: false,
            batch,
            started: clock::now(),
            since: Instant::now(),
            garbage: None,
            closed: false,
            stop_asked: None,
        }
    }

    /// Level 1 asks for a checkpoint, level 2 kills.
    pub(super) fn stop(&mut self, level: u8) {
        if self.stop_asked.is_none() {
            self.stop_asked = Some(Instant::now());
            self.worker.ask_to_stop();
        }
        if level > 1 && !self.killed {
            self.killed = true;
            self.worker.kill();
        }
    }

    /// Notes what the worker said; what others should hear is given back.
    pub(super) fn hear(&mut self, plan: &Plan, event: WorkerEvent) -> Option<SweepEvent> {
        let cells = self.batch.ids(plan);
        if let Some(cell) = event.cell()
            && !cells.iter().any(|own| own == cell)
        {
            let line = format!("a word about a cell that it was not given: {event:?}");
            return Some(SweepEvent::WorkerSaid { cells, line });
        }
        match event {
            WorkerEvent::Done { cell, .. } => {
                self.said_done.insert(cell);
                None
            }
            WorkerEvent::Failed { cell, kind, reason } => {
                self.failures.insert(cell, (kind, reason));
                None
            }
            other => Some(SweepEvent::Worker(other)),
        }
    }

    /// Whether it has ended and everything that it said was heard.
    pub(super) fn ended(&mut self) -> bool {
        if self.ended.is_none() {
            self.ended = self.worker.ended().map(|status| (status, Instant::now()));
        }
        self.ended.is_some_and(|(_, at)| self.closed || at.elapsed() > LAST_LINES)
    }

    /// Its cells with their leases.
    pub(super) fn take_cells(&mut self) -> Vec<(usize, Lease)> {
        self.batch.cells.iter().copied().zip(std::mem::take(&mut self.leases)).collect()
    }

    /// Why a cell has no result; `None` if it is to be gone on with.
    pub(super) fn reason(&self, cell: &str) -> Option<(FailureKind, String)> {
        if let Some(failure) = self.failures.get(cell) {
            return Some(failure.clone());
        }
        let (status, _) = self.ended?;
        let circumstances = Circumstances {
            stopped_by_engine: self.stop_asked.is_some(),
            last_words: self.worker.last_words(),
            garbage: self.garbage.clone(),
            said_done: self.said_done.contains(cell),
        };
        match verdict(status, &circumstances) {
            Verdict::Unfinished => None,
            Verdict::Failed(kind, reason) => Some((kind, reason)),
        }
    }
}
