//! The store under kills, damage and neighbours. Kills are real: a test starts this test program
//! again with one of the `as_another_process` functions, and ends it by SIGKILL.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use pifi_probe::runs::store::FinishedRun;
use pifi_probe::runs::{CellState, Error, Restored, RunTable, Store};

use crate::fixture::{plan, predictions, publish, record, small};

const FOLDER: &str = "PIFI_PROBE_TEST_FOLDER";

fn another_process(function: &str, folder: &Path) -> Child {
    let program = std::env::current_exe().expect("this program has a path");
    let mut child = Command::new(program)
        .args(["--exact", &format!("store::{function}"), "--nocapture"])
        .env(FOLDER, folder)
        .stdout(Stdio::piped())
        .spawn()
        .expect("starts");
    let out = child.stdout.take().expect("is piped");
    let ready = BufReader::new(out).lines().map_while(Result::ok).any(|line| line.contains("READY"));
    assert!(ready, "the other process came to its place");
    child
}

fn kill(mut child: Child) {
    child.kill().expect("kills");
    child.wait().expect("ends");
}

fn come_to_rest() -> ! {
    let mut out = std::io::stdout();
    out.write_all(b"\nREADY\n").and_then(|()| out.flush()).expect("writes");
    loop {
        std::thread::sleep(std::time::Duration::from_secs(1));
    }
}

#[test]
fn stage_as_another_process() {
    // a part of `a_kill_between_writing_and_renaming_leaves_nothing_half`, idle in the parent
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let store = Store::open(Path::new(&folder)).expect("opens");
    let plan = plan(small(), &[0]);
    let record = record(&plan, &plan.cells[0]);
    let claim = store.claim(&record.cell).expect("locks").expect("is free");
    let checkpoints = store.checkpoints(&claim).expect("creates");
    checkpoints.write("state", |out| out.write_all(b"step 3")).expect("writes");
    let run = FinishedRun { record: &record, history: &[], predictions: &[predictions()], model: None };
    let _staged = store.stage(&claim, &run).expect("stages");
    come_to_rest();
}

#[test]
fn lease_as_another_process() {
    // a part of `a_lease_ends_with_its_process`, idle in the parent
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let store = Store::open(Path::new(&folder)).expect("opens");
    let _lease = store.lease("ab").expect("locks").expect("is free");
    let _claim = store.claim("ab").expect("locks").expect("is free");
    come_to_rest();
}

#[test]
fn a_kill_between_writing_and_renaming_leaves_nothing_half() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let child = another_process("stage_as_another_process", folder.path());
    let store = Store::open(folder.path()).expect("opens");
    let plan = plan(small(), &[0]);
    let cell = &plan.cells[0];
    assert!(store.claim(&cell.id).expect("locks").is_none(), "the other process has it");
    kill(child);
    assert_eq!(store.state(&cell.id).expect("reads"), CellState::Absent);
    assert!(RunTable::load(&store).expect("loads").rows.is_empty());
    let claim = store.claim(&cell.id).expect("locks").expect("is free again");
    let restored = store.checkpoints(&claim).expect("opens").read("state").expect("reads");
    assert!(matches!(restored, Restored::Whole(content) if content.remaining() == 6));
    drop(claim);
    assert!(publish(&store, &plan, cell));
    assert_eq!(store.state(&cell.id).expect("reads"), CellState::Done);
    for hidden in [".staged", ".work"] {
        let left = std::fs::read_dir(store.folder().join(hidden)).expect("lists").count();
        assert_eq!(left, 0, "{hidden}");
    }
}

#[test]
fn a_lease_ends_with_its_process() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let child = another_process("lease_as_another_process", folder.path());
    let store = Store::open(folder.path()).expect("opens");
    let moment = std::time::Duration::from_millis(120);
    assert!(store.lease("ab").expect("locks").is_none());
    assert!(store.claim_within("ab", moment).expect("locks").is_none());
    kill(child);
    assert!(store.lease("ab").expect("locks").is_some());
    assert!(store.claim_within("ab", moment).expect("locks").is_some());
}

#[test]
fn a_finished_run_is_never_overwritten() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store = Store::open(folder.path()).expect("opens");
    let plan = plan(small(), &[0]);
    assert!(publish(&store, &plan, &plan.cells[0]));
    let path = store.run_folder(&plan.cells[0].id).join("run.json");
    let before = std::fs::read(&path).expect("reads");
    let mut other = record(&plan, &plan.cells[0]);
    other.cost.seconds = 99.0;
    let claim = store.claim(&other.cell).expect("locks").expect("is free");
    let run = FinishedRun { record: &other, history: &[], predictions: &[], model: None };
    assert!(!store.publish(&claim, &run).expect("publishes"));
    assert_eq!(std::fs::read(&path).expect("reads"), before);
    assert_eq!(store.predictions(&other.cell).expect("reads"), [predictions()]);
}

#[test]
fn a_damaged_run_is_moved_aside_by_the_next_one() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store = Store::open(folder.path()).expect("opens");
    let plan = plan(small(), &[0]);
    let cell = &plan.cells[0];
    assert!(publish(&store, &plan, cell));
    let path = store.run_folder(&cell.id).join("run.json");
    let text = std::fs::read(&path).expect("reads");
    for len in [0, 1, text.len() / 2] {
        std::fs::write(&path, &text[..len]).expect("writes");
        assert!(matches!(store.state(&cell.id), Ok(CellState::Damaged(_))), "{len} bytes");
    }
    assert!(publish(&store, &plan, cell));
    assert_eq!(store.state(&cell.id).expect("reads"), CellState::Done);
    let aside = store.folder().join("damaged").join(format!("{}.1", cell.id)).join("predictions.parquet");
    assert!(aside.is_file());
}

#[test]
fn foreign_newer_and_truncated_files_are_named_and_the_rest_is_loaded() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store = Store::open(folder.path()).expect("opens");
    let plan = plan(small(), &[0]);
    for cell in &plan.cells {
        assert!(publish(&store, &plan, cell));
    }
    let path = |at: usize| store.run_folder(&plan.cells[at].id).join("run.json");
    let text = std::fs::read_to_string(path(1)).expect("reads");
    std::fs::write(path(1), text.replace("\"schema_version\": 1", "\"schema_version\": 9")).expect("writes");
    std::fs::write(path(2), &text[..100]).expect("writes");
    std::fs::create_dir(store.folder().join("abc")).expect("creates");
    std::fs::write(store.folder().join("notes.txt"), "mine").expect("writes");
    let table = RunTable::load(&store).expect("loads");
    assert_eq!((table.rows.len(), table.frame().height()), (1, 1));
    assert_eq!(table.problems.len(), 3, "{:?}", table.problems);
    assert!(table.problems.iter().any(|problem| matches!(problem.error, Error::Newer { found: 9, .. })));
    // what a newer program has finished is finished
    assert_eq!(store.state(&plan.cells[1].id).expect("reads"), CellState::Done);
}

#[test]
fn ids_are_found_by_their_first_characters() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store = Store::open(folder.path()).expect("opens");
    let plan = plan(small(), &[0]);
    assert!(publish(&store, &plan, &plan.cells[0]));
    let id = &plan.cells[0].id;
    assert_eq!(&store.resolve(&id[..6]).expect("is unique"), id);
    assert!(matches!(store.resolve("zz"), Err(Error::UnknownRun { .. })));
    assert!(matches!(store.resolve(""), Err(Error::UnknownRun { .. })));
    assert!(matches!(store.state("../x"), Err(Error::BadId(_))));
}

#[test]
fn a_place_that_cannot_be_written_is_named_before_any_work() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("outputs");
    std::fs::write(&file, "a file").expect("writes");
    let error = Store::open(&file).expect_err("is a file");
    assert!(matches!(error, Error::Unwritable { .. }), "{error}");
}

#[test]
fn a_full_disk_while_writing_a_model_leaves_no_run() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store = Store::open(folder.path()).expect("opens");
    let plan = plan(small(), &[0]);
    let record = record(&plan, &plan.cells[0]);
    let claim = store.claim(&record.cell).expect("locks").expect("is free");
    let full = |out: &mut dyn Write| {
        out.write_all(&[0; 4096])?;
        Err(std::io::ErrorKind::StorageFull.into())
    };
    let run = FinishedRun { record: &record, history: &[], predictions: &[], model: Some(&full) };
    assert!(matches!(store.publish(&claim, &run), Err(Error::DiskFull { .. })));
    assert_eq!(store.state(&record.cell).expect("reads"), CellState::Absent);
    assert_eq!(std::fs::read_dir(store.folder().join(".staged")).expect("lists").count(), 0);
    let model = |out: &mut dyn Write| out.write_all(b"weights");
    let run = FinishedRun { model: Some(&model), ..run };
    assert!(store.publish(&claim, &run).expect("publishes"));
    assert!(store.has_model(&record.cell));
}
