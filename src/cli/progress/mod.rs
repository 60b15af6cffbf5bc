//! How a sweep goes, for whoever watches: bars on a terminal, lines elsewhere, events for machines.

mod bars;
mod lines;
mod tally;
mod transfer;

use self::bars::Bars;
use self::lines::Lines;
use self::tally::Tally;
pub(crate) use self::transfer::Transfers;
use super::output::Output;
use crate::error::Failure;
use crate::runs::clock;
use crate::sweep::journal::Entry;
use crate::sweep::{Plan, SweepEvent, WorkerEvent, event};

/// Turns a sweep's events into what is shown.
pub(crate) struct Watcher<'a> {
    output: &'a Output,
    tally: Tally,
    shown: Shown,
}

enum Shown {
    Events,
    Bars(Box<Bars>),
    Lines(Lines),
}

impl<'a> Watcher<'a> {
    /// A watcher of the plan's cells, `jobs` of which train at once.
    pub(crate) fn new(output: &'a Output, plan: &Plan, jobs: usize) -> Self {
        let shown = if output.json {
            Shown::Events
        } else if output.draws() {
            Shown::Bars(Box::new(Bars::new(plan.cells.len(), jobs)))
        } else {
            Shown::Lines(Lines::default())
        };
        Self { output, tally: Tally::new(plan.cells.len(), jobs), shown }
    }

    /// Shows an event.
    ///
    /// # Errors
    /// When machines were to read events and nobody does any more.
    pub(crate) fn hear(&mut self, event: &SweepEvent) -> Result<(), Failure> {
        self.tally.count(event);
        let told = self.tally.tell(event);
        match &mut self.shown {
            Shown::Events => {
                let entry = Entry {
                    time: clock::now(),
                    process: std::process::id(),
                    schema_version: event::SCHEMA_VERSION,
                    event: event.clone(),
                };
                self.output.event(&entry)?;
                self.output.log(&told.unwrap_or_default());
            }
            Shown::Bars(bars) => {
                if let Some(text) = told {
                    self.output.log(&text);
                    bars.print(&text);
                }
                bars.update(&self.tally);
            }
            Shown::Lines(lines) => {
                if let Some(text) = told {
                    self.output.say(&text);
                }
                if let Some(text) = lines.due(&self.tally) {
                    self.output.say(&text);
                }
            }
        }
        if let SweepEvent::WorkerSaid { line, .. } = event {
            self.output.detail(&format!("worker: {line}"));
        }
        Ok(())
    }

    /// Leaves the terminal as it was found.
    pub(crate) fn close(self) {
        if let Shown::Bars(bars) = self.shown {
            bars.clear();
        }
    }

    /// The finished conditions, best first, as lines.
    pub(crate) fn leaderboard(&self) -> Vec<String> {
        self.tally.board(usize::MAX)
    }
}

/// Whether an event is one of the many that need not be shown each.
fn is_step(event: &SweepEvent) -> bool {
    matches!(event, SweepEvent::Worker(WorkerEvent::Step { .. }))
}
