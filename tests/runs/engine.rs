//! What becomes of a sweep when its workers misbehave.

use std::ops::ControlFlow;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use pifi_probe::error::Failure;
use pifi_probe::runs::record::FailureKind;
use pifi_probe::runs::{CellState, Error as RunsError};
use pifi_probe::sweep::{Engine, Journal, Oom, Provider, SweepEvent, WorkerEvent, journal};

use crate::fixture::{Bench, small, study};

/// Runs `body` for layer 7, the first layer of the order, and publishes the other cells.
fn misbehaving(body: &str) -> (Bench, String, FailureKind, String) {
    let mut bench = Bench::new(small(), &[0]);
    let bad = bench.plan.cells[1].id.clone();
    let outcome = bench.run(&format!("if [ $cell = {bad} ]; then {body}; else publish; fi"));
    assert_eq!(outcome.done.len(), 2, "the other cells are done: {outcome:?}");
    assert_eq!(outcome.failed.len(), 1, "{outcome:?}");
    let failed = outcome.failed[0].clone();
    assert_eq!(failed.cell, bad);
    assert_eq!(bench.store.state(&bad).expect("reads"), CellState::Failed(failed.reason.clone()));
    (bench, bad, failed.kind, failed.reason)
}

#[test]
fn every_cell_is_done_once_and_a_second_sweep_skips_all() {
    let mut bench = Bench::new(study(), &[0, 1, 2]);
    bench.options.jobs = 2;
    let outcome = bench.run("publish");
    assert!(outcome.is_complete());
    assert_eq!(outcome.done.len(), bench.plan.cells.len());
    let mut log = bench.log();
    log.sort();
    log.dedup();
    assert_eq!(log.len(), bench.plan.cells.len());
    let done = bench.events.iter().filter(|event| match event {
        SweepEvent::CellDone { summary, .. } => {
            summary.is_some_and(|s| s.test.is_some_and(|m| m.accuracy == 0.5))
        }
        _ => false,
    });
    assert_eq!(done.count(), bench.plan.cells.len());
    let again = bench.run("failed error again");
    assert_eq!((again.done.len(), again.skipped.len()), (0, bench.plan.cells.len()));
    assert_eq!(bench.log().len(), bench.plan.cells.len());
}

#[test]
fn controls_run_first() {
    let mut bench = Bench::new(study(), &[0]);
    bench.run("publish");
    let planned: Vec<String> = bench.plan.cells.iter().map(|cell| cell.id.clone()).collect();
    assert_eq!(bench.log(), planned);
}

#[test]
fn a_failure_with_a_reason_fails_its_cell_alone_and_is_tried_again_by_the_next_command() {
    let (mut bench, bad, kind, reason) = misbehaving("failed diverged 'at step 12: loss is NaN'");
    assert_eq!((kind, reason.as_str()), (FailureKind::Diverged, "at step 12: loss is NaN"));
    let outcome = bench.run("publish");
    assert_eq!((outcome.done, outcome.skipped.len()), (vec![bad.clone()], 2));
    assert_eq!(bench.store.state(&bad).expect("reads"), CellState::Done);
}

#[test]
fn a_kill_looks_like_the_kernel_at_work() {
    let since = Instant::now();
    // what the worker has started holds its standard output open, and is not waited for
    let (_, _, kind, reason) = misbehaving("sleep 8 & kill -9 $$");
    assert!(since.elapsed() < Duration::from_secs(7));
    assert_eq!(kind, FailureKind::OutOfMemory);
    assert!(reason.starts_with("killed by signal 9"), "{reason}");
}

#[test]
fn another_signal_is_named() {
    let (_, _, kind, reason) = misbehaving("kill -SEGV $$");
    assert_eq!((kind, reason.as_str()), (FailureKind::Killed, "killed by signal 11 (segmentation fault)"));
}

#[test]
fn an_exit_code_comes_with_the_last_words() {
    let (_, _, kind, reason) = misbehaving(
        "echo \"thread 'main' panicked at src/x.rs:1:\" >&2; echo 'index out of bounds' >&2; echo note >&2; exit 101",
    );
    assert_eq!(kind, FailureKind::Crashed);
    let expected =
        "the worker exited with code 101: thread 'main' panicked at src/x.rs:1: index out of bounds";
    assert_eq!(reason, expected);
}

#[test]
fn an_end_without_a_result_is_a_failure_and_so_is_a_promise() {
    let (_, _, _, reason) = misbehaving("true");
    assert_eq!(reason, "the worker ended without a result");
    let promise = r#"echo '{"event":"done","cell":"'$cell'","summary":{"validation":null,"test":null,"best_epoch":1,"seconds":1}}'"#;
    let (_, _, _, reason) = misbehaving(promise);
    assert!(reason.contains("there is no run in its place"), "{reason}");
}

#[test]
fn garbage_fails_nothing_by_itself_and_is_quoted_where_nothing_else_came() {
    let (_, _, kind, reason) = misbehaving("printf 'no\\377 events\\n'");
    assert_eq!(kind, FailureKind::Crashed);
    assert!(reason.contains("it printed `no\u{fffd} events`"), "{reason}");
    let mut bench = Bench::new(small(), &[0]);
    assert!(bench.run("echo hello; echo '{\"event\":\"dance\"}'; publish").is_complete());
    let said = bench.events.iter().filter(|event| matches!(event, SweepEvent::WorkerSaid { .. })).count();
    assert_eq!(said, 6);
}

#[test]
fn a_word_about_a_foreign_cell_changes_nothing() {
    let mut bench = Bench::new(small(), &[0]);
    let other = bench.plan.cells[2].id.clone();
    let body = format!("(cell={other}; failed error no); publish");
    let outcome = bench.run(&body);
    assert!(outcome.is_complete(), "{outcome:?}");
}

#[test]
fn retries_try_again_but_not_what_diverges() {
    let mut bench = Bench::new(small(), &[0]);
    bench.options.retries = 2;
    let (flaky, diverging) = (bench.plan.cells[1].id.clone(), bench.plan.cells[2].id.clone());
    let body = format!(
        "if [ $cell = {diverging} ]; then failed diverged no; \
         elif [ $cell = {flaky} ] && [ $(grep -c $cell $folder/log) -lt 3 ]; then exit 3; else publish; fi"
    );
    let outcome = bench.run(&body);
    assert_eq!((outcome.done.len(), outcome.failed.len()), (2, 1));
    assert_eq!(outcome.failed[0].cell, diverging);
    let times = |id: &str| bench.log().iter().filter(|line| *line == id).count();
    assert_eq!((times(&flaky), times(&diverging)), (3, 1));
}

#[test]
fn fail_fast_leaves_the_rest_unfinished() {
    let mut bench = Bench::new(small(), &[0]);
    bench.options.fail_fast = true;
    let outcome = bench.run("failed error no");
    assert_eq!((outcome.failed.len(), outcome.unfinished.len()), (1, 2));
    assert_eq!(bench.log().len(), 1);
}

#[test]
fn a_stack_that_does_not_fit_is_halved_until_it_does() {
    let mut bench = Bench::new(small(), &[0, 1, 2]);
    bench.options.stack = 4;
    bench.options.oom = Oom::Shrink;
    let many = "case $5 in *,*,*) kill -9 $$;; esac; publish";
    assert!(bench.run(many).is_complete());
    assert!(
        bench
            .events
            .iter()
            .any(|event| matches!(event, SweepEvent::StackHalved { cells } if cells.len() == 4))
    );
    let mut strict = Bench::new(small(), &[0, 1, 2]);
    strict.options.stack = 4;
    assert_eq!(strict.run(many).failed.len(), 4);
}

/// Runs until the first worker has started, then asks for a stop.
fn stopped(bench: &mut Bench, level: u8, body: &str) -> (pifi_probe::sweep::SweepOutcome, Duration) {
    let worker = bench.worker(body);
    let engine = Engine {
        plan: &bench.plan,
        store: &bench.store,
        worker,
        options: bench.options.clone(),
        provider: None,
        journal: None,
        stop: &bench.stop,
    };
    let (mut asked, stop) = (None, &bench.stop);
    let outcome = engine.run(&mut |event| {
        if let SweepEvent::Worker(WorkerEvent::Started { .. }) = event {
            asked = Some(Instant::now());
            stop.store(level, Ordering::SeqCst);
        }
        ControlFlow::Continue(())
    });
    let took = asked.expect("a worker has started").elapsed();
    (outcome.expect("the store can be written"), took)
}

const STARTED: &str = r#"echo '{"event":"started","cell":"'$cell'","resumed_from":null,"total":9}';"#;

#[test]
fn a_stop_request_reaches_the_worker_which_ends_at_a_checkpoint() {
    let mut bench = Bench::new(small(), &[0]);
    let body = format!("{STARTED} read line; [ \"$line\" = stop ] && touch $folder/checkpoint; exit 75");
    let (outcome, _) = stopped(&mut bench, 1, &body);
    assert_eq!((outcome.done.len(), outcome.failed.len(), outcome.unfinished.len()), (0, 0, 3));
    assert!(bench.path().join("checkpoint").exists());
    bench.stop.store(0, Ordering::SeqCst);
    assert!(bench.run("publish").is_complete());
}

#[test]
fn a_worker_that_hangs_is_killed_after_the_grace_or_at_once() {
    let hang = format!("{STARTED} exec sleep 60");
    let mut bench = Bench::new(small(), &[0]);
    bench.options.stop_grace = Duration::from_millis(300);
    let (outcome, took) = stopped(&mut bench, 1, &hang);
    assert_eq!((outcome.failed.len(), outcome.unfinished.len()), (0, 3));
    assert!(took >= Duration::from_millis(300) && took < Duration::from_secs(20), "{took:?}");
    let mut bench = Bench::new(small(), &[0]);
    let (outcome, took) = stopped(&mut bench, 2, &hang);
    assert_eq!(outcome.unfinished.len(), 3);
    assert!(took < Duration::from_secs(20), "{took:?}");
}

#[test]
fn an_observer_can_stop_a_sweep() {
    let bench = Bench::new(small(), &[0]);
    let engine = Engine {
        plan: &bench.plan,
        store: &bench.store,
        worker: bench.worker("publish"),
        options: bench.options.clone(),
        provider: None,
        journal: None,
        stop: &bench.stop,
    };
    let outcome = engine.run(&mut |event| match event {
        SweepEvent::CellDone { .. } => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    });
    let outcome = outcome.expect("the store can be written");
    assert_eq!((outcome.done.len(), outcome.unfinished.len()), (1, 2));
}

#[test]
fn a_worker_program_that_is_not_there_is_an_error_of_the_sweep() {
    let bench = Bench::new(small(), &[0]);
    let mut worker = bench.worker("publish");
    worker.program = bench.path().join("absent");
    let engine = Engine {
        plan: &bench.plan,
        store: &bench.store,
        worker,
        options: bench.options.clone(),
        provider: None,
        journal: None,
        stop: &bench.stop,
    };
    let error = engine.run(&mut |_| ControlFlow::Continue(())).expect_err("absent");
    assert!(error.to_string().starts_with("cannot start `"), "{error}");
}

/// Notes what it is asked for; layer 0 cannot be had.
#[derive(Default)]
struct Shelf(Mutex<Vec<String>>);

impl Provider for Shelf {
    fn provide(&self, layer: usize) -> Result<u64, Failure> {
        self.0.lock().expect("no panic").push(format!("get {layer}"));
        if layer == 0 { Err(RunsError::BadId("layer 0".into()).into()) } else { Ok(100) }
    }

    fn release(&self, layer: usize) {
        self.0.lock().expect("no panic").push(format!("drop {layer}"));
    }
}

#[test]
fn layers_are_provided_before_their_cells_and_released_after_them() {
    let bench = Bench::new(small(), &[0, 1]);
    let shelf = Arc::new(Shelf::default());
    let path = bench.path().join("study").join("journal.jsonl");
    let engine = Engine {
        plan: &bench.plan,
        store: &bench.store,
        worker: bench.worker("publish"),
        options: bench.options.clone(),
        provider: Some(shelf.clone()),
        journal: Some(Journal::open(&path).expect("opens")),
        stop: &bench.stop,
    };
    let outcome = engine.run(&mut |_| ControlFlow::Continue(())).expect("the store can be written");
    assert_eq!(outcome.done.len(), 3);
    assert_eq!(outcome.failed.len(), 1);
    assert!(outcome.failed[0].reason.contains("layer 0"), "{outcome:?}");
    let asked = shelf.0.lock().expect("no panic").clone();
    // two layers at most are there at once: the one in work and the next
    assert_eq!(asked, ["get 7", "get 0", "drop 7", "get 1", "drop 1"]);
    let (entries, torn) = journal::read(&path).expect("reads");
    assert_eq!(torn, []);
    let at = |wanted: &dyn Fn(&SweepEvent) -> bool| entries.iter().position(|entry| wanted(&entry.event));
    let layer_7 = bench.plan.cells[1].id.clone();
    let ready = at(&|event| matches!(event, SweepEvent::LayerReady { layer: 7, bytes_fetched: 100 }));
    let started = at(&|event| matches!(event, SweepEvent::CellStarted { cell, .. } if *cell == layer_7));
    assert!(ready.is_some() && ready < started, "{entries:?}");
    assert!(matches!(
        entries.last().map(|e| &e.event),
        Some(SweepEvent::SweepDone { done: 3, failed: 1, .. })
    ));
}
