//! Ctrl-C, a termination signal and a time limit: the step ends, a checkpoint is written, and the
//! same line goes on to the result of an undisturbed run.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::world::{Ended, World, finish, has_ending, words};

/// Two cells that take seconds.
const LONG: &str = "STUDY --epochs 400 --batch-size 4 --seeds 1 --layers 2 --controls base";

/// Starts a sweep in a process group of its own, as a terminal does, and waits until a cell trains.
fn start(world: &World, line: &str) -> Child {
    let mut program = world.program();
    let child = program.args(words(line)).process_group(0).spawn().unwrap();
    let since = Instant::now();
    // the folder that a worker keeps its checkpoints in
    while !world.path("outputs/runs/.locks").exists() || !has_claim(world) {
        assert!(since.elapsed() < Duration::from_secs(120), "no cell starts");
        std::thread::sleep(Duration::from_millis(10));
    }
    std::thread::sleep(Duration::from_millis(300));
    child
}

fn has_claim(world: &World) -> bool {
    world.files("outputs/runs/.locks").iter().any(|file| has_ending(file, "claim"))
}

/// Sends a signal to the whole group, as a terminal does.
fn signal(child: &Child, name: &str) {
    let sent = Command::new("sh").arg("-c").arg(format!("kill -s {name} -- -{}", child.id())).status();
    assert!(sent.unwrap().success());
}

/// Everything of the finished runs that does not tell time: predictions, and results by cell.
fn results(world: &World) -> BTreeMap<String, (Vec<u8>, Value)> {
    let mut found = BTreeMap::new();
    for file in world.files("outputs/runs") {
        if let Some(cell) = file.strip_suffix("/run.json") {
            let folder = world.path("outputs/runs").join(cell);
            let record: Value = serde_json::from_slice(&fs::read(folder.join("run.json")).unwrap()).unwrap();
            let predictions = fs::read(folder.join("predictions.parquet")).unwrap();
            found.insert(cell.to_owned(), (predictions, record["result"].clone()));
        }
    }
    found
}

fn assert_stopped(world: &World, ended: &Ended, code: i32, says: &str) {
    assert_eq!(ended.code, Some(code), "{}\n{}", ended.out, ended.err);
    assert!(ended.err.contains(says), "{}", ended.err);
    assert!(
        ended.err.contains("to go on:") && ended.err.contains("pifi-probe layers --llm ./llm"),
        "{}",
        ended.err
    );
    assert!(!ended.err.contains("panicked"), "{}", ended.err);
    assert!(results(world).len() < 2, "it was over before it was stopped");
    world.assert_whole("outputs", says);
}

#[test]
fn an_interrupted_sweep_goes_on_to_the_result_of_an_undisturbed_one() {
    let undisturbed = World::new();
    let ended = undisturbed.run(LONG);
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    let expected = results(&undisturbed);
    assert_eq!(expected.len(), 2);

    let world = World::new();
    let child = start(&world, LONG);
    signal(&child, "INT");
    let ended = finish(child);
    assert_stopped(&world, &ended, 130, "interrupted");
    // the printed line is the one that was typed
    let printed = ended.err.lines().find(|line| line.trim().starts_with("pifi-probe layers")).unwrap();
    assert_eq!(printed.trim(), format!("pifi-probe {}", words(LONG).join(" ")));
    let again = world.run(LONG);
    assert_eq!(again.code, Some(0), "{}", again.err);
    assert!(results(&world) == expected, "the resumed runs differ");
    let csv = |world: &World| fs::read(world.path("outputs/llm-slm-reviews/layers.csv")).unwrap();
    assert_eq!(csv(&world), csv(&undisturbed));
}

#[test]
fn a_termination_signal_and_a_time_limit_stop_at_a_checkpoint() {
    let world = World::new();
    let child = start(&world, LONG);
    signal(&child, "TERM");
    assert_stopped(&world, &finish(child), 75, "stopped by a termination signal");

    let world = World::new();
    let ended = world.run(&format!("{LONG} --time-limit 1s"));
    assert_stopped(&world, &ended, 75, "stopped at the time limit");
}

#[test]
fn a_second_ctrl_c_ends_at_once() {
    let world = World::new();
    let child = start(&world, &LONG.replace("400", "400000"));
    signal(&child, "INT");
    signal(&child, "INT");
    let since = Instant::now();
    let ended = finish(child);
    assert_eq!(ended.code, Some(130), "{}", ended.err);
    assert!(since.elapsed() < Duration::from_secs(20));
    world.assert_whole("outputs", "after a second Ctrl-C");
}
