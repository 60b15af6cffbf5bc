//! `worker`: trains cells of a plan and tells its engine by JSON lines; see `sweep::event`.

use std::io::{BufRead, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::super::args::WorkerArgs;
use super::super::signals::{self, Stop};
use super::super::{Context, machine};
use crate::error::Failure;
use crate::sweep::event::STOP_LINE;
use crate::sweep::{Plan, WorkerEvent, cell};

/// Trains the cells.
///
/// # Errors
/// A plan that cannot be read, cells that it does not have, trouble that meets every cell; a stop.
pub(crate) fn run(args: &WorkerArgs, context: &Context) -> Result<(), Failure> {
    let plan = Plan::read(&args.plan)?;
    machine::start_threads(plan.inputs.threads)?;
    let stop = signals::listen_as_worker();
    listen(&stop);
    let deaf = AtomicBool::new(false);
    let mut emit = |event: WorkerEvent| {
        let line = serde_json::to_string(&event).expect("events have string keys");
        let mut out = std::io::stdout().lock();
        let told = out.write_all(line.as_bytes()).and_then(|()| out.write_all(b"\n")).and_then(|()| out.flush());
        if told.is_err() && !deaf.swap(true, Ordering::SeqCst) {
            // the engine is gone: keep what was done and leave
            stop.ask_once();
        }
    };
    let settings = context.hub()?;
    cell::work(&plan, &args.cells, &settings, &mut emit, &stop.level)?;
    stop.check()
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
