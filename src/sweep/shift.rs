//! An engine at work: one thread that starts workers, hears what reaches its inbox, settles what
//! has ended, and sleeps in between.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use super::batch::{Batch, Running};
use super::event::Summary;
use super::local::{Engine, FailedCell, Observer, SweepOutcome};
use super::plan::Ending;
use super::provide::Prefetch;
use super::settings::Oom;
use super::worker::{Said, Worker};
use super::{Cell, Error, SweepEvent};
use crate::runs::record::{Cost, FailureKind, Status};
use crate::runs::{Lease, clock};

/// How long the engine sleeps at most between two looks at its workers.
const TICK: Duration = Duration::from_millis(20);
/// The same while a worker that has said everything is about to end.
const SHORT_TICK: Duration = Duration::from_millis(1);
/// How often it looks at cells that other engines are at.
const LOOK_ELSEWHERE: Duration = Duration::from_millis(200);

enum LayerState {
    Asked,
    Ready,
    Failed(FailureKind, String),
}

enum Taken {
    Leased(Lease),
    Done,
    Busy,
}

/// An engine at work.
pub(super) struct Shift<'a, 'o> {
    engine: Engine<'a>,
    observer: &'o mut Observer<'o>,
    prefetch: Option<Prefetch>,
    said: Sender<Said>,
    inbox: Receiver<Said>,
    pending: VecDeque<Batch>,
    elsewhere: Vec<Batch>,
    running: BTreeMap<u64, Running>,
    layers: BTreeMap<usize, LayerState>,
    outcome: SweepOutcome,
    level: u8,
    told_level: u8,
    fatal: Option<Error>,
    workers: u64,
    looked: Option<Instant>,
    told_waiting: bool,
}

impl<'a, 'o> Shift<'a, 'o> {
    pub(super) fn of(engine: Engine<'a>, observer: &'o mut Observer<'o>) -> Self {
        let (said, inbox) = channel();
        let prefetch = engine.provider.clone().map(|provider| Prefetch::start(provider, said.clone()));
        Self {
            engine,
            observer,
            prefetch,
            said,
            inbox,
            pending: VecDeque::new(),
            elsewhere: Vec::new(),
            running: BTreeMap::new(),
            layers: BTreeMap::new(),
            outcome: SweepOutcome::default(),
            level: 0,
            told_level: 0,
            fatal: None,
            workers: 0,
            looked: None,
            told_waiting: false,
        }
    }

    pub(super) fn run(mut self) -> Result<SweepOutcome, Error> {
        self.queue()?;
        self.work();
        self.end()
    }

    fn cell(&self, at: usize) -> &'a Cell {
        &self.engine.plan.cells[at]
    }

    fn queue(&mut self) -> Result<(), Error> {
        let options = &self.engine.options;
        for mut cells in self.engine.plan.batches(options.stack.max(1), options.order) {
            let mut todo = Vec::new();
            for at in cells.drain(..) {
                let id = &self.cell(at).id;
                if self.engine.store.is_done(id)? {
                    self.outcome.skipped.push(id.clone());
                } else {
                    todo.push(at);
                }
            }
            if !todo.is_empty() {
                self.pending.push_back(Batch { cells: todo, attempt: 1 });
            }
        }
        let (cells, done) = (self.engine.plan.cells.len(), self.outcome.skipped.len());
        self.emit(&SweepEvent::SweepStarted { cells, done });
        Ok(())
    }

    fn work(&mut self) {
        loop {
            self.heed_stop();
            if self.level == 0 {
                self.look_elsewhere();
                self.ask_for_layers();
                self.fill();
            }
            let nothing_left = self.pending.is_empty() && self.elsewhere.is_empty();
            if self.running.is_empty() && (self.level > 0 || nothing_left) {
                return;
            }
            let leaving = self.running.values().any(|running| running.closed);
            let tick = if leaving { SHORT_TICK } else { TICK };
            if let Ok(message) = self.inbox.recv_timeout(tick) {
                self.hear(message);
                while let Ok(message) = self.inbox.try_recv() {
                    self.hear(message);
                }
            }
            self.reap();
        }
    }

    fn end(mut self) -> Result<SweepOutcome, Error> {
        let left: Vec<Batch> = self.pending.drain(..).chain(self.elsewhere.drain(..)).collect();
        for at in left.iter().flat_map(|batch| &batch.cells) {
            let id = self.cell(*at).id.clone();
            self.outcome.unfinished.push(id);
        }
        let in_work = self.layers.values().any(|state| matches!(state, LayerState::Asked));
        if let Some(prefetch) = self.prefetch.take()
            && !in_work
        {
            prefetch.finish();
        }
        let outcome = &self.outcome;
        let event = SweepEvent::SweepDone {
            done: outcome.done.len() + outcome.skipped.len(),
            failed: outcome.failed.len(),
            unfinished: outcome.unfinished.len(),
        };
        self.emit(&event);
        self.fatal.map_or(Ok(self.outcome), Err)
    }

    fn emit(&mut self, event: &SweepEvent) {
        if let Some(journal) = &mut self.engine.journal
            && let Err(error) = journal.append(event)
        {
            self.give_up(error);
        }
        if (self.observer)(event).is_break() {
            self.level = self.level.max(1);
        }
    }

    /// Trouble that would meet every cell: stop at checkpoints, then say so.
    fn give_up(&mut self, error: impl Into<Error>) {
        self.fatal.get_or_insert(error.into());
        self.level = self.level.max(1);
    }

    fn heed_stop(&mut self) {
        self.level = self.level.max(self.engine.stop.load(Ordering::SeqCst));
        if self.level > self.told_level {
            self.told_level = self.level;
            for running in self.running.values_mut() {
                running.stop(self.level);
            }
            self.emit(&SweepEvent::Stopping { at_once: self.level > 1 });
        }
        for running in self.running.values_mut() {
            if running.stop_asked.is_some_and(|asked| asked.elapsed() > self.engine.options.stop_grace) {
                running.stop(2);
            }
        }
    }

    /// Cells that another engine had: done there, or free again because that engine ended.
    fn look_elsewhere(&mut self) {
        let recently = self.looked.is_some_and(|looked| looked.elapsed() < LOOK_ELSEWHERE);
        if self.elsewhere.is_empty() || recently {
            return;
        }
        if !self.told_waiting && self.pending.is_empty() && self.running.is_empty() {
            self.told_waiting = true;
            self.emit(&SweepEvent::Waiting { cells: self.elsewhere.len() });
        }
        self.looked = Some(Instant::now());
        for batch in std::mem::take(&mut self.elsewhere) {
            match self.take(batch.cells[0]) {
                Ok(Taken::Busy) => self.elsewhere.push(batch),
                Ok(Taken::Done) => self.done(batch.cells[0], true),
                Ok(Taken::Leased(_)) => self.pending.push_back(batch),
                Err(error) => self.give_up(error),
            }
        }
    }

    /// Takes a cell, and looks again whether it is done: another engine may just have let it go.
    fn take(&self, at: usize) -> Result<Taken, crate::runs::Error> {
        let id = &self.cell(at).id;
        let Some(lease) = self.engine.store.lease(id)? else { return Ok(Taken::Busy) };
        Ok(if self.engine.store.is_done(id)? { Taken::Done } else { Taken::Leased(lease) })
    }

    /// Asks for the layers of the running batches and of as many next ones as can start, and one
    /// more.
    fn ask_for_layers(&mut self) {
        let Some(prefetch) = &self.prefetch else { return };
        let running = self.running.values().map(|running| &running.batch);
        let mut wanted: Vec<usize> = Vec::new();
        let mut groups = 0;
        for batch in running.chain(&self.pending) {
            let needed = batch.layers(self.engine.plan);
            let new: Vec<usize> = needed.into_iter().filter(|layer| !wanted.contains(layer)).collect();
            groups += usize::from(!new.is_empty());
            if groups > self.engine.options.jobs.max(1) + 1 {
                break;
            }
            wanted.extend(new);
        }
        for layer in wanted {
            self.layers.entry(layer).or_insert_with(|| {
                prefetch.provide(layer);
                LayerState::Asked
            });
        }
    }

    fn fill(&mut self) {
        while self.level == 0 && self.running.len() < self.engine.options.jobs.max(1) {
            let startable = self.pending.iter().position(|batch| self.layers_settled(batch));
            let Some(batch) = startable.and_then(|at| self.pending.remove(at)) else { return };
            if let Err(error) = self.begin(batch) {
                self.give_up(error);
            }
        }
    }

    fn layers_settled(&self, batch: &Batch) -> bool {
        let settled =
            |layer| matches!(self.layers.get(layer), Some(LayerState::Ready | LayerState::Failed(..)));
        self.prefetch.is_none() || batch.layers(self.engine.plan).iter().all(settled)
    }

    fn begin(&mut self, batch: Batch) -> Result<(), Error> {
        let attempt = batch.attempt;
        let (mut cells, mut leases) = (Vec::new(), Vec::new());
        for at in batch.cells {
            match self.take(at)? {
                Taken::Done => self.done(at, true),
                Taken::Busy => self.elsewhere.push(Batch { cells: vec![at], attempt }),
                Taken::Leased(lease) => {
                    let failed = self.cell(at).needs_layer.and_then(|layer| match self.layers.get(&layer) {
                        Some(LayerState::Failed(kind, reason)) => Some((*kind, reason.clone())),
                        _ => None,
                    });
                    if let Some(failure) = failed {
                        // the provider has tried as often as makes sense
                        self.fail(at, &lease, failure, 1, clock::now(), 0.0);
                    } else {
                        cells.push(at);
                        leases.push(lease);
                    }
                }
            }
        }
        if cells.is_empty() || self.level > 0 {
            // a failed layer may have asked for an end
            self.pending.extend((!cells.is_empty()).then_some(Batch { cells, attempt }));
            return Ok(());
        }
        self.workers += 1;
        let ids: Vec<&str> = cells.iter().map(|at| self.cell(*at).id.as_str()).collect();
        let started = Worker::start(&self.engine.worker, self.workers, &ids, &self.said);
        let batch = Batch { cells, attempt };
        match started {
            Ok(worker) => {
                let running = Running::new(worker, batch.clone(), leases);
                self.running.insert(self.workers, running);
            }
            Err(error) => {
                self.pending.push_front(batch);
                return Err(error);
            }
        }
        for at in batch.cells {
            let Cell { id, condition, seed, .. } = self.cell(at);
            let (cell, condition, seed) = (id.clone(), *condition, *seed);
            self.emit(&SweepEvent::CellStarted { cell, condition, seed, attempt });
        }
        Ok(())
    }

    fn hear(&mut self, message: Said) {
        let event = match message {
            Said::Layer(layer, Ok(bytes_fetched)) => {
                self.layers.insert(layer, LayerState::Ready);
                Some(SweepEvent::LayerReady { layer, bytes_fetched })
            }
            Said::Layer(layer, Err(failure)) => {
                let reason = failure.to_string();
                self.layers.insert(layer, LayerState::Failed(failure.category().into(), reason.clone()));
                Some(SweepEvent::LayerFailed { layer, reason })
            }
            Said::Event(number, event) => {
                self.running.get_mut(&number).and_then(|running| running.hear(self.engine.plan, event))
            }
            Said::Garbage(number, line) => self.running.get_mut(&number).map(|running| {
                running.garbage = Some(line.clone());
                SweepEvent::WorkerSaid { cells: running.batch.ids(self.engine.plan), line }
            }),
            Said::Complaint(number, line) => self.running.get(&number).map(|running| {
                let cells = running.batch.ids(self.engine.plan);
                SweepEvent::WorkerSaid { cells, line }
            }),
            Said::Closed(number) => {
                if let Some(running) = self.running.get_mut(&number) {
                    running.closed = true;
                }
                None
            }
        };
        if let Some(event) = event {
            self.emit(&event);
        }
    }

    fn reap(&mut self) {
        let ended =
            self.running.iter_mut().filter_map(|(number, running)| running.ended().then_some(*number));
        for number in ended.collect::<Vec<_>>() {
            if let Some(running) = self.running.remove(&number) {
                self.settle(running);
            }
        }
    }

    /// Every cell of a worker that ended: done if the store has it, else as the worker said or as
    /// its exit tells.
    fn settle(&mut self, mut running: Running) {
        let attempt = running.batch.attempt;
        let (started, seconds) = (running.started.clone(), running.since.elapsed().as_secs_f64());
        let mut too_large = Vec::new();
        for (at, lease) in running.take_cells() {
            let id = self.cell(at).id.clone();
            match self.engine.store.is_done(&id) {
                Ok(true) => self.done(at, false),
                Err(error) => {
                    self.outcome.unfinished.push(id);
                    self.give_up(error);
                }
                Ok(false) => match running.reason(&id) {
                    None => {
                        self.emit(&SweepEvent::CellUnfinished { cell: id.clone() });
                        self.outcome.unfinished.push(id);
                    }
                    Some((FailureKind::OutOfMemory, _))
                        if running.batch.cells.len() > 1 && self.may_halve() =>
                    {
                        too_large.push(at);
                    }
                    Some(failure) => self.fail(at, &lease, failure, attempt, started.clone(), seconds),
                },
            }
        }
        if !too_large.is_empty() {
            let cells = Batch { cells: too_large.clone(), attempt }.ids(self.engine.plan);
            self.emit(&SweepEvent::StackHalved { cells });
            let half = too_large.len().div_ceil(2).min(running.batch.cells.len() / 2);
            for cells in too_large.chunks(half).rev() {
                self.pending.push_front(Batch { cells: cells.to_vec(), attempt });
            }
        }
        self.release_layers();
    }

    fn may_halve(&self) -> bool {
        self.engine.options.oom == Oom::Shrink && self.level == 0
    }

    fn done(&mut self, at: usize, elsewhere: bool) {
        let Cell { id, condition, seed, .. } = self.cell(at);
        // a run that only a newer program can read has no summary here
        let summary = self.engine.store.read(id).ok().map(|record| Summary::of(&record));
        let list = if elsewhere { &mut self.outcome.skipped } else { &mut self.outcome.done };
        list.push(id.clone());
        let (cell, condition, seed) = (id.clone(), *condition, *seed);
        self.emit(&SweepEvent::CellDone { cell, condition, seed, elsewhere, summary });
    }

    fn fail(
        &mut self,
        at: usize,
        lease: &Lease,
        (kind, reason): (FailureKind, String),
        attempt: u32,
        started: String,
        seconds: f64,
    ) {
        let cell = self.cell(at);
        let layer_failed = matches!(
            cell.needs_layer.and_then(|layer| self.layers.get(&layer)),
            Some(LayerState::Failed(..))
        );
        let lasting = layer_failed || kind == FailureKind::Diverged;
        let retried = !lasting && attempt <= self.engine.options.retries && self.level == 0;
        let ending = Ending {
            status: Status::Failed { kind, reason: reason.clone() },
            result: None,
            cost: Cost { seconds, ..Cost::default() },
            started,
            finished: clock::now(),
            stack: self.engine.options.stack,
        };
        let record = self.engine.plan.record(cell, ending);
        if let Err(error) = self.engine.store.record_failure(lease, &record) {
            self.give_up(error);
        }
        let event = SweepEvent::CellFailed {
            cell: cell.id.clone(),
            condition: cell.condition,
            seed: cell.seed,
            kind,
            reason: reason.clone(),
            retried,
        };
        if retried {
            self.pending.push_back(Batch { cells: vec![at], attempt: attempt + 1 });
        } else {
            self.outcome.failed.push(FailedCell { cell: cell.id.clone(), kind, reason });
        }
        self.emit(&event);
        if self.engine.options.fail_fast && !retried {
            self.level = self.level.max(1);
        }
    }

    fn release_layers(&mut self) {
        let Some(prefetch) = &self.prefetch else { return };
        let running = self.running.values().map(|running| &running.batch);
        let batches = running.chain(&self.pending).chain(&self.elsewhere);
        let needed: Vec<usize> = batches.flat_map(|batch| batch.layers(self.engine.plan)).collect();
        self.layers.retain(|layer, state| {
            let kept = needed.contains(layer) || !matches!(state, LayerState::Ready);
            if !kept {
                prefetch.release(*layer);
            }
            kept
        });
    }
}
