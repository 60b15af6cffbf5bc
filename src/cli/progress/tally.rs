//! What is known of a sweep so far: cells done, failed and in work, the time that is left, and the
//! finished conditions in order.

use std::collections::BTreeMap;
use std::time::Instant;

use super::super::text;
use super::is_step;
use crate::runs::Condition;
use crate::seed::Seed;
use crate::sweep::event::Summary;
use crate::sweep::{SweepEvent, WorkerEvent};

/// Less of a cell than this is too little to tell the time from.
const ENOUGH: f64 = 0.1;

/// A cell in work.
#[derive(Clone, Debug)]
pub(super) struct Running {
    /// `layer 3, seed 0`.
    pub(super) name: String,
    /// Steps done.
    pub(super) step: u64,
    /// Steps in all; 0 while it is loading.
    pub(super) total: u64,
    /// Of the last step.
    pub(super) loss: Option<f64>,
    /// Real tokens.
    pub(super) tokens_per_second: f64,
    resumed: u64,
}

impl Running {
    /// The part of the cell that was done since this sweep began, in [0, 1].
    fn share(&self) -> f64 {
        if self.total == 0 {
            0.0
        } else {
            (self.step - self.resumed.min(self.step)) as f64 / self.total as f64
        }
    }

    /// Steps, loss and speed in words.
    pub(super) fn state(&self) -> String {
        match self.loss {
            None => "loading".into(),
            Some(loss) => {
                let (step, total, speed) = (self.step, self.total, self.tokens_per_second);
                format!("step {step} of {total}, loss {loss:.3}, {speed:.0} tokens/s")
            }
        }
    }
}

/// A sweep so far.
#[derive(Debug)]
pub(super) struct Tally {
    /// Cells of the plan.
    pub(super) cells: usize,
    /// Cells with a run.
    pub(super) done: usize,
    /// Cells that failed for good.
    pub(super) failed: usize,
    /// Cells in work by id.
    pub(super) running: BTreeMap<String, Running>,
    names: BTreeMap<String, String>,
    finished: BTreeMap<Condition, BTreeMap<Seed, f64>>,
    done_here: usize,
    jobs: usize,
    since: Instant,
}

impl Tally {
    pub(super) fn new(cells: usize, jobs: usize) -> Self {
        Self {
            cells,
            done: 0,
            failed: 0,
            running: BTreeMap::new(),
            names: BTreeMap::new(),
            finished: BTreeMap::new(),
            done_here: 0,
            jobs: jobs.max(1),
            since: Instant::now(),
        }
    }

    pub(super) fn count(&mut self, event: &SweepEvent) {
        match event {
            SweepEvent::SweepStarted { cells, done } => (self.cells, self.done) = (*cells, *done),
            SweepEvent::CellStarted { cell, condition, seed, .. } => {
                let name = format!("{condition}, seed {}", seed.0);
                self.names.insert(cell.clone(), name.clone());
                let new = Running { name, step: 0, total: 0, loss: None, tokens_per_second: 0.0, resumed: 0 };
                self.running.insert(cell.clone(), new);
            }
            SweepEvent::CellDone { cell, condition, seed, elsewhere, summary } => {
                self.running.remove(cell);
                self.done += 1;
                self.done_here += usize::from(!elsewhere);
                let validation = summary.and_then(|summary| summary.validation);
                if let Some(metrics) = validation {
                    self.finished.entry(*condition).or_default().insert(*seed, metrics.accuracy);
                }
            }
            SweepEvent::CellFailed { cell, retried, .. } => {
                self.running.remove(cell);
                self.failed += usize::from(!retried);
            }
            SweepEvent::CellUnfinished { cell } => {
                self.running.remove(cell);
            }
            SweepEvent::Worker(event) => self.count_worker(event),
            _ => {}
        }
    }

    fn count_worker(&mut self, event: &WorkerEvent) {
        let Some(running) = event.cell().and_then(|cell| self.running.get_mut(cell)) else { return };
        match event {
            WorkerEvent::Started { resumed_from, total, .. } => {
                running.resumed = resumed_from.unwrap_or(0);
                (running.step, running.total) = (running.resumed, *total);
            }
            WorkerEvent::Step { step, total, loss, tokens_per_second, .. } => {
                (running.step, running.total) = (*step, *total);
                (running.loss, running.tokens_per_second) = (Some(*loss), *tokens_per_second);
            }
            _ => {}
        }
    }

    /// Seconds that are left by the cells measured so far; `None` while too little is known.
    pub(super) fn seconds_left(&self) -> Option<f64> {
        let started: f64 = self.running.values().map(Running::share).sum();
        let worked = self.done_here as f64 + started;
        let left = (self.cells - self.cells.min(self.done + self.failed)) as f64 - started;
        // the last cells cannot be shared by more workers than there are cells
        let idle = self.jobs as f64 / (self.jobs as f64).min(left.max(1.0));
        (worked >= ENOUGH).then(|| self.since.elapsed().as_secs_f64() / worked * left.max(0.0) * idle)
    }

    /// Cells and time in words.
    pub(super) fn overall(&self) -> String {
        let failed = if self.failed > 0 { format!(", {} failed", self.failed) } else { String::new() };
        let left = self.seconds_left().map(|seconds| format!(", about {} left", text::duration(seconds)));
        format!("{} of {} cells done{failed}{}", self.done, self.cells, left.unwrap_or_default())
    }

    /// The best conditions by mean validation accuracy, as lines.
    pub(super) fn board(&self, most: usize) -> Vec<String> {
        let mean = |seeds: &BTreeMap<Seed, f64>| seeds.values().sum::<f64>() / seeds.len() as f64;
        let mut rows: Vec<(String, f64, usize)> = self
            .finished
            .iter()
            .map(|(condition, seeds)| (condition.to_string(), mean(seeds), seeds.len()))
            .collect();
        rows.sort_by(|a, b| b.1.total_cmp(&a.1));
        let line = |(at, (name, accuracy, seeds)): (usize, &(String, f64, usize))| {
            let seeds = text::plural(*seeds, "seed");
            format!("{:>3}. {name:<10} validation {:.1} %  ({seeds})", at + 1, accuracy * 100.0)
        };
        rows.iter().enumerate().take(most).map(line).collect()
    }

    fn name(&self, cell: &str) -> String {
        self.names.get(cell).cloned().unwrap_or_else(|| cell.chars().take(12).collect())
    }

    /// What a person should read about an event, if anything.
    pub(super) fn tell(&self, event: &SweepEvent) -> Option<String> {
        let percent = |metrics: Option<crate::runs::record::Metrics>| {
            metrics.map_or_else(|| "-".into(), |metrics| format!("{:.1} %", metrics.accuracy * 100.0))
        };
        let of = || format!("[{}/{}]", self.done + self.failed, self.cells);
        Some(match event {
            _ if is_step(event) => return None,
            SweepEvent::SweepStarted { cells, done: 0 } => text::plural(*cells, "cell") + " to train",
            SweepEvent::SweepStarted { cells, done } => {
                format!("{}, {done} done before", text::plural(*cells, "cell"))
            }
            SweepEvent::LayerReady { layer, bytes_fetched } if *bytes_fetched > 0 => {
                format!("fetched layer {layer} ({})", text::bytes(*bytes_fetched))
            }
            SweepEvent::LayerFailed { layer, reason } => format!("layer {layer} cannot be had: {reason}"),
            SweepEvent::CellDone { condition, seed, elsewhere: true, .. } => {
                format!("{} {condition}, seed {}: done by another process", of(), seed.0)
            }
            SweepEvent::CellDone { condition, seed, summary, .. } => {
                let results = summary.map(|Summary { validation, test, seconds, .. }| {
                    let (validation, test) = (percent(validation), percent(test));
                    format!("validation {validation}, test {test}, {}", text::duration(seconds))
                });
                format!("{} {condition}, seed {}: {}", of(), seed.0, results.unwrap_or_else(|| "done".into()))
            }
            SweepEvent::CellFailed { condition, seed, kind, reason, retried, .. } => {
                let again = if *retried { "; trying again" } else { "" };
                format!("{} {condition}, seed {}: failed ({kind}): {reason}{again}", of(), seed.0)
            }
            SweepEvent::Waiting { cells } => {
                format!("waiting for {} that other processes train", text::plural(*cells, "cell"))
            }
            SweepEvent::StackHalved { cells } => {
                format!(
                    "a stack of {} did not fit into memory: tried in halves",
                    text::plural(cells.len(), "cell")
                )
            }
            SweepEvent::Stopping { at_once: false } => {
                "stopping at the next checkpoint; again to end at once".into()
            }
            SweepEvent::Stopping { at_once: true } => "ending at once".into(),
            SweepEvent::Worker(WorkerEvent::Started { cell, resumed_from: Some(step), total }) => {
                format!("{}: goes on from step {step} of {total}", self.name(cell))
            }
            SweepEvent::Worker(WorkerEvent::Note { cell, text }) => match cell {
                Some(cell) => format!("{}: {text}", self.name(cell)),
                None => text.clone(),
            },
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runs::record::{Control, Metrics};

    fn done(condition: Condition, seed: u64, accuracy: f64) -> SweepEvent {
        let metrics = Metrics { n: 10, loss: 0.5, accuracy, macro_f1: accuracy, mcc: 0.0 };
        let summary = Summary { validation: Some(metrics), test: Some(metrics), best_epoch: 1, seconds: 2.0 };
        let (cell, seed) = (format!("{condition}{seed}"), Seed(seed));
        SweepEvent::CellDone { cell, condition, seed, elsewhere: false, summary: Some(summary) }
    }

    #[test]
    fn the_board_has_means_over_seeds_best_first() {
        let mut tally = Tally::new(4, 1);
        for event in [
            done(Condition::Control(Control::Base), 0, 0.7),
            done(Condition::Layer(3), 0, 0.9),
            done(Condition::Layer(3), 1, 0.7),
        ] {
            tally.count(&event);
        }
        let board = tally.board(9);
        assert!(board[0].contains("layer 3") && board[0].contains("80.0 %  (2 seeds)"), "{board:?}");
        assert!(board[1].contains("base") && board[1].contains("(1 seed)"), "{board:?}");
        assert_eq!(tally.board(1).len(), 1);
    }

    #[test]
    fn steps_before_this_sweep_do_not_count_as_speed() {
        let mut tally = Tally::new(2, 1);
        let (cell, condition) = ("ab".to_owned(), Condition::Layer(0));
        tally.count(&SweepEvent::CellStarted { cell: cell.clone(), condition, seed: Seed(0), attempt: 1 });
        assert_eq!(tally.seconds_left(), None);
        let started = WorkerEvent::Started { cell: cell.clone(), resumed_from: Some(90), total: 100 };
        tally.count(&SweepEvent::Worker(started));
        assert_eq!(tally.seconds_left(), None, "nothing was done here yet");
        let step = WorkerEvent::Step { cell, step: 100, total: 100, loss: 0.5, tokens_per_second: 1.0 };
        tally.count(&SweepEvent::Worker(step));
        assert!(tally.seconds_left().is_some());
        assert_eq!(tally.running["ab"].state(), "step 100 of 100, loss 0.500, 1 tokens/s");
    }

    #[test]
    fn a_failure_is_told_with_its_reason_when_it_happens() {
        let mut tally = Tally::new(2, 1);
        let event = SweepEvent::CellFailed {
            cell: "ab".into(),
            condition: Condition::Layer(1),
            seed: Seed(2),
            kind: crate::runs::record::FailureKind::Diverged,
            reason: "loss is NaN".into(),
            retried: false,
        };
        tally.count(&event);
        assert_eq!(tally.tell(&event).unwrap(), "[1/2] layer 1, seed 2: failed (diverged): loss is NaN");
        assert_eq!(tally.overall(), "0 of 2 cells done, 1 failed");
    }
}
