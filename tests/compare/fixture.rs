//! Runs with predictions of a known accuracy.

use std::collections::BTreeMap;
use std::path::Path;

use pifi_probe::analysis::compare::{Comparison, Gathered, Selector, Wanted, compare, gather};
use pifi_probe::analysis::statistics::Resampling;
use pifi_probe::error::Failure;
use pifi_probe::runs::record::{
    Cost, DataAt, EpochScores, Evaluation, Metrics, Provenance, RunRecord, RunResult, Status, Subject,
};
use pifi_probe::runs::store::FinishedRun;
use pifi_probe::runs::{Condition, Control, Overlap, Store, TaskPredictions};
use pifi_probe::seed::Seed;
use serde_json::{Value, json};

/// A run to be made; the defaults are those of one study.
#[derive(Clone)]
pub(crate) struct Made {
    pub(crate) cell: String,
    pub(crate) condition: Condition,
    pub(crate) seed: u64,
    pub(crate) task: &'static str,
    /// Whether each example is answered rightly.
    pub(crate) right: Vec<bool>,
    pub(crate) first_id: u64,
    pub(crate) classes: usize,
    /// Other tasks that it was evaluated on.
    pub(crate) elsewhere: Vec<(&'static str, Vec<bool>)>,
    /// How many of the first examples have a text that stands in the training set.
    pub(crate) overlapping: usize,
    /// Parts of the configuration that differ from the study's.
    pub(crate) config: Vec<(&'static str, Value)>,
}

pub(crate) const BASE: Condition = Condition::Control(Control::Base);
pub(crate) const LAYER: Condition = Condition::Layer(3);

/// `right` of `n` examples are right: all but those that `wrong` names.
pub(crate) fn all_but(n: usize, wrong: impl Fn(usize) -> bool) -> Vec<bool> {
    (0..n).map(|at| !wrong(at)).collect()
}

impl Made {
    pub(crate) fn new(cell: &str, condition: Condition, seed: u64, right: Vec<bool>) -> Self {
        let (first_id, classes, overlapping) = (100, 2, 0);
        let (elsewhere, config) = (Vec::new(), Vec::new());
        let (cell, task) = (cell.into(), "home");
        Self { cell, condition, seed, task, right, first_id, classes, elsewhere, overlapping, config }
    }

    pub(crate) fn with(mut self, key: &'static str, value: Value) -> Self {
        self.config.push((key, value));
        self
    }

    pub(crate) fn publish(&self, store: &Store) {
        let (record, mut predictions) = (self.record(), vec![self.predictions(self.task, &self.right)]);
        predictions.extend(self.elsewhere.iter().map(|(task, right)| self.predictions(task, right)));
        let claim = store.claim(&self.cell).expect("locks").expect("is free");
        let run = FinishedRun { record: &record, history: &[], predictions: &predictions, model: None };
        assert!(store.publish(&claim, &run).expect("publishes"));
    }

    fn predictions(&self, task: &str, right: &[bool]) -> TaskPredictions {
        let n = right.len();
        let gold: Vec<u32> = (0..n).map(|at| (at % 2) as u32).collect();
        TaskPredictions {
            task: task.into(),
            split: "test".into(),
            classes: self.classes,
            example_ids: (0..n as u64).map(|at| self.first_id + at).collect(),
            predicted: gold
                .iter()
                .zip(right)
                .map(|(gold, right)| if *right { *gold } else { 1 - gold })
                .collect(),
            gold,
            logits: vec![0.0; n * self.classes],
            overlap: (0..n)
                .map(|at| if at < self.overlapping { Overlap::Near } else { Overlap::None })
                .collect(),
        }
    }

    fn record(&self) -> RunRecord {
        let n = self.right.len();
        let accuracy = self.right.iter().filter(|right| **right).count() as f64 / n as f64;
        let metrics = Metrics { n, loss: 0.5, accuracy, macro_f1: accuracy, mcc: 0.0 };
        let mut config = json!({
            "numerics": 1,
            "condition": self.condition,
            "task": {"name": self.task, "definition": "d1", "data": "0123456789abcdef"},
            "eval": self.elsewhere.iter().map(|(task, _)| json!({"name": task})).collect::<Vec<_>>(),
            "seed": self.seed,
            "split_seed": 0,
            "train": "full",
            "as_published": [],
            "limits": {"max_train_examples": null, "max_eval_examples": null},
        });
        for (key, value) in &self.config {
            config[*key] = value.clone();
        }
        RunRecord {
            schema_version: 1,
            cell: self.cell.clone(),
            condition: self.condition,
            seed: Seed(self.seed),
            status: Status::Done,
            subject: Subject {
                llm: Some("demo".into()),
                llm_layers: Some(4),
                slm: "demo".into(),
                task: self.task.into(),
                plug: Some("pooled".into()),
                train: "full".into(),
            },
            config,
            result: Some(RunResult {
                best_epoch: 1,
                steps: 3,
                trainable_parameters: 10,
                validation: vec![EpochScores { epoch: 1, step: 3, validation: metrics }],
                evaluations: vec![Evaluation {
                    task: self.task.into(),
                    split: "test".into(),
                    home: true,
                    metrics,
                    overlap_exact: 0,
                    overlap_near: 0,
                    without_overlap: None,
                    batch_means: None,
                }],
                notes: Vec::new(),
            }),
            provenance: Provenance {
                program: "0.1.0".into(),
                commit: None,
                numerics: 1,
                repositories: Vec::new(),
                data: vec![DataAt { task: self.task.into(), definition: "d1".into(), hash: "0".into() }],
                device: "cpu".into(),
                threads: 1,
                stack: 1,
                host: BTreeMap::new(),
                started: "2026-01-01T00:00:00.000Z".into(),
                finished: "2026-01-01T00:00:01.000Z".into(),
            },
            cost: Cost { seconds: 1.0, ..Cost::default() },
        }
    }
}

/// An output directory with these runs.
pub(crate) fn store(runs: &[Made]) -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store = Store::open(folder.path()).expect("opens");
    for run in runs {
        run.publish(&store);
    }
    (folder, store)
}

/// 12 of 100 examples right in the layer only, 3 in the base only, 73 in both: the golden counts.
pub(crate) fn twelve_against_three() -> [Made; 2] {
    [
        Made::new("a1", LAYER, 0, all_but(100, |at| at >= 85)),
        Made::new("b1", BASE, 0, all_but(100, |at| !(12..88).contains(&at))),
    ]
}

pub(crate) fn wanted(words: &[&str]) -> Wanted {
    let selectors = words.iter().map(|word| word.parse::<Selector>().expect("parses")).collect();
    Wanted { selectors, split: "test".into(), ..Wanted::default() }
}

pub(crate) fn gathered(store: &Store, words: &[&str]) -> Gathered {
    gather(store, &wanted(words)).expect("gathers")
}

pub(crate) fn compared(store: &Store, words: &[&str]) -> Result<Comparison, Failure> {
    let resampling = Resampling { resamples: 2_000, ..Resampling::new(Seed(1)) };
    compare(&gather(store, &wanted(words))?.groups, None, resampling)
}

/// Cuts a file of a run in half.
pub(crate) fn truncate(outputs: &Path, cell: &str, file: &str) {
    let path = outputs.join("runs").join(cell).join(file);
    let bytes = std::fs::read(&path).expect("reads");
    std::fs::write(&path, &bytes[..bytes.len() / 2]).expect("writes");
}
