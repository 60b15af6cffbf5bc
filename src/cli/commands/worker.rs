//! `worker`: trains cells of a plan and tells its engine by JSON lines; see `sweep::event`.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::io::{BufRead, Write};
use std::path::Path;
use std::sync::Arc;

use super::super::args::WorkerArgs;
use super::super::error::Error;
use super::super::signals::{self, Stop};
use super::super::{Context, machine};
use crate::error::{Category, Failure};
use crate::runs::Store;
use crate::runs::record::FailureKind;
use crate::sweep::cell::{self, Ended, Rhythm};
use crate::sweep::event::STOP_LINE;
use crate::sweep::{Plan, WorkerEvent};

/// Trains the cells.
///
/// # Errors
/// A plan that cannot be read, cells that it does not have, trouble that meets every cell; a stop.
pub(crate) fn run(args: &WorkerArgs, context: &Context) -> Result<(), Failure> {
    let plan = Plan::read(&args.plan)?;
    machine::start_threads(plan.inputs.threads)?;
    let stop = signals::listen_as_worker();
    listen(&stop);
    let settled = RefCell::new(BTreeSet::new());
    let mut emit = |event: WorkerEvent| {
        if let WorkerEvent::Done { cell, .. } | WorkerEvent::Failed { cell, .. } = &event {
            settled.borrow_mut().insert(cell.clone());
        }
        if tell(&event).is_err() {
            // the engine is gone: keep what was done and leave
            stop.ask_once();
        }
    };
    let settings = context.hub()?;
    let store = Store::open(outputs(&args.plan))?;
    let rhythm = Rhythm::default();
    match cell::work(&plan, &args.cells, &settings, &store, rhythm, &stop.level, &mut emit) {
        Ok(Ended::Finished) => Ok(()),
        Ok(Ended::Stopped) => Err(stop.error()),
        Err(_) if stop.asked() => Err(stop.error()),
        Err(failure) => {
            let kind = match failure.category() {
                Category::Interrupted | Category::Stopped => return Err(failure),
                category => FailureKind::from(category),
            };
            // told as the cells' own failure, so that the engine knows kind and reason
            for cell in args.cells.iter().filter(|cell| !settled.borrow().contains(*cell)) {
                let (cell, reason) = (cell.clone(), failure.to_string());
                tell(&WorkerEvent::Failed { cell, kind, reason }).map_err(Error::Output)?;
            }
            Ok(())
        }
    }
}

/// Writes an event as a line.
fn tell(event: &WorkerEvent) -> std::io::Result<()> {
    let mut line = serde_json::to_vec(event).expect("events have string keys");
    line.push(b'\n');
    let mut out = std::io::stdout().lock();
    out.write_all(&line)?;
    out.flush()
}

/// The directory of all outputs: a plan stands in its study's directory there.
fn outputs(plan: &Path) -> &Path {
    let folder = plan.parent().and_then(Path::parent);
    folder.filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// A line `stop`, or the end of standard input, asks for a checkpoint.
fn listen(stop: &Arc<Stop>) {
    let stop = Arc::clone(stop);
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines() {
            match line {
                Ok(line) if line.trim() != STOP_LINE => {}
                _ => break,
            }
        }
        stop.ask_once();
    });
}
