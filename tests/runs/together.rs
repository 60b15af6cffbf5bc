//! Two engines on one output directory.

use std::ops::ControlFlow;

use pifi_probe::sweep::{Engine, SweepEvent, SweepOutcome};

use crate::fixture::{Bench, small, study};

fn engine(bench: &Bench, body: &str) -> SweepOutcome {
    let engine = Engine {
        plan: &bench.plan,
        store: &bench.store,
        worker: bench.worker(body),
        options: bench.options.clone(),
        provider: None,
        journal: None,
        stop: &bench.stop,
    };
    engine.run(&mut |_| ControlFlow::Continue(())).expect("the store can be written")
}

#[test]
fn two_engines_do_each_cell_once_and_both_see_all_done() {
    let bench = Bench::new(study(), &[0, 1, 2, 3]);
    let (one, other) = std::thread::scope(|scope| {
        let one = scope.spawn(|| engine(&bench, "sleep 0.05; publish"));
        let other = scope.spawn(|| engine(&bench, "sleep 0.05; publish"));
        (one.join().expect("no panic"), other.join().expect("no panic"))
    });
    let cells = bench.plan.cells.len();
    assert_eq!(bench.log().len(), cells, "each cell was given to one worker");
    assert_eq!(one.done.len() + other.done.len(), cells);
    assert!(!one.done.is_empty() && !other.done.is_empty(), "the work was shared");
    for outcome in [one, other] {
        assert!(outcome.is_complete());
        assert_eq!(outcome.done.len() + outcome.skipped.len(), cells);
    }
}

#[test]
fn cells_of_an_engine_that_ends_are_taken_over() {
    let mut bench = Bench::new(small(), &[0]);
    let held: Vec<_> = bench.plan.cells.iter().map(|cell| bench.store.lease(&cell.id)).collect();
    let held: Vec<_> = held.into_iter().map(|lease| lease.expect("locks").expect("is free")).collect();
    let worker = bench.worker("publish");
    let engine = Engine {
        plan: &bench.plan,
        store: &bench.store,
        worker,
        options: bench.options.clone(),
        provider: None,
        journal: None,
        stop: &bench.stop,
    };
    let mut held = Some(held);
    let mut waited = 0;
    let outcome = engine.run(&mut |event| {
        if let SweepEvent::Waiting { cells } = event {
            waited = *cells;
            // the other engine ends
            held = None;
        }
        ControlFlow::Continue(())
    });
    assert_eq!(outcome.expect("the store can be written").done.len(), 3);
    assert_eq!(waited, 3);
    assert!(bench.run("publish").is_complete());
}
