//! Cells from a study's names to published runs, in one process: resuming, controls, modes, labels.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use pifi_probe::analysis::collect;
use pifi_probe::hub::{Settings, unwatched};
use pifi_probe::runs::{Condition, Control, Store};
use pifi_probe::sweep::cell::{Ended, Rhythm, work};
use pifi_probe::sweep::predict::Predictor;
use pifi_probe::sweep::prepare::{Machine, Prepared, prepare};
use pifi_probe::sweep::{
    Cell, HyperParameters, Plan, PlugMode, Pooling, Save, Seeds, Study, TrainMode, WorkerEvent,
};

fn oracle(part: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/oracle").join(part).display().to_string()
}

/// A folder with the three splits of a small task.
fn data(folder: &Path, name: &str, rename: impl Fn(&str) -> String) -> PathBuf {
    let target = folder.join(name);
    std::fs::create_dir_all(&target).expect("a folder");
    for (from, to) in [("train", "train"), ("eval", "validation"), ("eval", "test")] {
        let path = PathBuf::from(oracle("pifi/data/two")).join(format!("{from}.tsv"));
        let text = std::fs::read_to_string(path).expect("a fixture");
        std::fs::write(target.join(format!("{to}.tsv")), rename(&text)).expect("a file");
    }
    target
}

fn study(folder: &Path) -> Study {
    let task = data(folder, "two", str::to_owned);
    Study {
        llm: oracle("llm/llama3"),
        slm: oracle("slm/bert"),
        task: format!("two={}", task.display()),
        seeds: Seeds::Count(1),
        layers: "0,2".into(),
        controls: vec![
            Control::Base,
            Control::Mappers,
            Control::Random,
            Control::Mlp,
            Control::Shuffled,
            Control::Trained,
        ],
        hyper_parameters: HyperParameters {
            epochs: 2,
            batch_size: 8,
            max_length: 24,
            learning_rate: 1e-3,
            ..HyperParameters::default()
        },
        ..Study::default()
    }
}

fn prepared(study: &Study, folder: &Path) -> Prepared {
    let machine = Machine { threads: 1, host: BTreeMap::new() };
    let checked = study.clone().check().expect("a valid study");
    prepare(&checked, &Settings::below(folder), machine, &mut unwatched).expect("a plan")
}

const OFTEN: Rhythm = Rhythm {
    checkpoint_every: Duration::from_secs(3600),
    report_every: Duration::ZERO,
    claim_within: Duration::ZERO,
};

/// Works on a cell until it is done or `until` steps were told.
fn run(plan: &Plan, id: &str, folder: &Path, store: &Store, until: Option<u64>) -> (Ended, Vec<WorkerEvent>) {
    let stop = AtomicU8::new(0);
    let mut events = Vec::new();
    let ended = work(plan, &[id.to_owned()], &Settings::below(folder), store, OFTEN, &stop, &mut |event| {
        if let (WorkerEvent::Step { step, .. }, Some(until)) = (&event, until)
            && *step >= until
        {
            stop.store(1, Ordering::Relaxed);
        }
        events.push(event);
    });
    (ended.expect("a worker that ends"), events)
}

#[test]
fn every_condition_of_a_study_trains_and_is_collected() {
    let folder = tempfile::tempdir().expect("a folder");
    let Prepared { plan, .. } = prepared(&study(folder.path()), folder.path());
    assert_eq!(plan.cells.len(), 6 + 2);
    let store = Store::open(&folder.path().join("out")).expect("a store");
    for cell in &plan.cells {
        let (ended, events) = run(&plan, &cell.id, folder.path(), &store, None);
        assert_eq!(ended, Ended::Finished);
        assert!(matches!(events.last(), Some(WorkerEvent::Done { .. })), "{events:?}");
        let record = store.read(&cell.id).expect("a record");
        assert!(record.result.expect("a result").validation.len() == 2);
        let stages = record.cost.stages.expect("where the time went");
        let told = stages.preparation_seconds + stages.training_seconds + stages.evaluation_seconds;
        assert!(stages.preparation_seconds > 0.0 && stages.training_seconds > 0.0, "{stages:?}");
        assert!(
            stages.evaluation_seconds > 0.0 && told <= record.cost.seconds,
            "{stages:?} of {:?}",
            record.cost
        );
        // counted for the whole process, whose other tests run beside
        assert!(stages.products_gflop > 0.0 && stages.products_seconds > 0.0, "{stages:?}");
    }
    let collected = collect::layer_study(&plan, &store).expect("collected");
    assert_eq!((collected.records.len(), collected.unreadable.len()), (8, 0));
    // validation and test hold the same texts here, so their metrics are the same
    for cell in &collected.study.cells {
        assert_eq!(cell.validation.scores, cell.test.as_ref().expect("a test set").scores);
    }
    let answer = collected.study.answer().expect("an answer");
    assert_eq!(answer.layers, 3);
}

#[test]
fn a_stopped_cell_goes_on_to_the_same_bits() {
    let folder = tempfile::tempdir().expect("a folder");
    let Prepared { plan, .. } = prepared(&study(folder.path()), folder.path());
    let layer = plan.cells.iter().find(|cell| cell.last).expect("the last layer");
    let whole = Store::open(&folder.path().join("whole")).expect("a store");
    assert_eq!(run(&plan, &layer.id, folder.path(), &whole, None).0, Ended::Finished);
    let broken = Store::open(&folder.path().join("broken")).expect("a store");
    for until in [3, 9, 10] {
        assert_eq!(run(&plan, &layer.id, folder.path(), &broken, Some(until)).0, Ended::Stopped);
        assert!(!broken.is_done(&layer.id).expect("a state"));
    }
    let (ended, events) = run(&plan, &layer.id, folder.path(), &broken, None);
    assert_eq!(ended, Ended::Finished);
    let resumed = events.iter().find_map(|event| match event {
        WorkerEvent::Started { resumed_from, .. } => *resumed_from,
        _ => None,
    });
    assert_eq!(resumed, Some(10));
    let predictions = |store: &Store| store.predictions(&layer.id).expect("predictions");
    assert_eq!(predictions(&whole), predictions(&broken));
    let losses = |store: &Store| -> Vec<f64> {
        store.history(&layer.id).expect("a history").iter().map(|row| row.loss).collect()
    };
    assert_eq!(losses(&whole), losses(&broken));
}

#[test]
fn saved_weights_answer_as_the_run_did() {
    let last = |plan: &Plan| plan.cells.iter().find(|cell| cell.last).cloned().expect("the last layer");
    let trained = |plan: &Plan| {
        let is_it = |cell: &&Cell| cell.condition == Condition::Control(Control::Trained);
        plan.cells.iter().find(is_it).cloned().expect("a trained layer")
    };
    let pick: [&dyn Fn(&Plan) -> Cell; 2] = [&last, &trained];
    for (train, pick) in
        [TrainMode::Full, TrainMode::Plug].into_iter().flat_map(|it| pick.map(|pick| (it, pick)))
    {
        let folder = tempfile::tempdir().expect("a folder");
        let study = Study { save: Save::Best, train, ..study(folder.path()) };
        let Prepared { plan, .. } = prepared(&study, folder.path());
        let store = Store::open(&folder.path().join("out")).expect("a store");
        let layer = pick(&plan);
        run(&plan, &layer.id, folder.path(), &store, None);
        let settings = Settings::below(folder.path());
        let mut predictor = Predictor::open(&plan, &layer.id, &settings, &store).expect("a predictor");
        let test = &store.predictions(&layer.id).expect("predictions")[1];
        let text = std::fs::read_to_string(folder.path().join("two/test.tsv")).expect("texts");
        let texts: Vec<_> = text
            .lines()
            .skip(1)
            .map(|row| (row.rsplit_once('\t').expect("two columns").0.to_owned(), None))
            .collect();
        let answers = predictor.answer(texts).expect("answers");
        assert_eq!(answers.len(), test.predicted.len());
        for (answer, logits) in answers.iter().zip(test.logits.chunks_exact(2)) {
            let expected = 1.0 / (1.0 + f64::from(logits[0] - logits[1]).exp());
            assert!((answer.probabilities[1] - expected).abs() < 1e-5, "{answer:?} {logits:?}");
        }
    }
}

#[test]
fn sequence_plugs_and_every_pooling_train() {
    for (plug, pooling) in [
        (PlugMode::Sequence, Pooling::Cls),
        (PlugMode::Sequence, Pooling::Mean),
        (PlugMode::Pooled, Pooling::MeanPad),
        (PlugMode::Pooled, Pooling::Last),
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        let mut study = Study { plug, pooling: Some(pooling), ..study(folder.path()) };
        study.hyper_parameters.epochs = 1;
        let Prepared { plan, .. } = prepared(&study, folder.path());
        let store = Store::open(&folder.path().join("out")).expect("a store");
        let layer = plan.cells.iter().find(|cell| cell.last).expect("the last layer");
        assert_eq!(run(&plan, &layer.id, folder.path(), &store, None).0, Ended::Finished);
    }
}

#[test]
fn tasks_with_other_labels_are_refused_by_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let other =
        data(folder.path(), "other", |text| text.replace("\t1\n", "\tyes\n").replace("\t0\n", "\tno\n"));
    let mut study = study(folder.path());
    study.eval = vec![format!("other={}", other.display())];
    let machine = Machine { threads: 1, host: BTreeMap::new() };
    let checked = study.check().expect("a valid study");
    let refused = prepare(&checked, &Settings::below(folder.path()), machine, &mut unwatched);
    let message = refused.err().expect("refused").to_string();
    assert_eq!(message, "`other` has the labels `no`, `yes`, expected those of `two`: `0`, `1`");
}

#[test]
fn data_that_changed_since_the_plan_is_noticed() {
    let folder = tempfile::tempdir().expect("a folder");
    let Prepared { plan, .. } = prepared(&study(folder.path()), folder.path());
    let path = folder.path().join("two/train.tsv");
    let text = std::fs::read_to_string(&path).expect("texts");
    std::fs::write(&path, text + "one more\t1\n").expect("a file");
    let store = Store::open(&folder.path().join("out")).expect("a store");
    let (settings, stop) = (Settings::below(folder.path()), AtomicU8::new(0));
    let ids = [plan.cells[0].id.clone()];
    let refused = work(&plan, &ids, &settings, &store, OFTEN, &stop, &mut |_| {});
    let message = refused.expect_err("refused").to_string();
    assert_eq!(message, "the data of task `two` is no longer what it was when the plan was made");
}
