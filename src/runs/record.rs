//! `run.json`: what a run was, where it came from, what came out and what it cost. `config`,
//! `result` and the ids are functions of the plan alone; everything that differs between two
//! executions of the same cell (times, host, cost) stands in `provenance` and `cost`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Error;
use crate::seed::Seed;
use crate::words::words;

/// Version of `run.json` that this program writes; it reads this one and older ones.
pub const SCHEMA_VERSION: u32 = 1;

words! {
    /// A cell that replaces the LLM layer, to tell what a gain is due to.
    Control, "control" {
        /// The small model with its head, no plug.
        Base = "base",
        /// The two mappers with nothing between them.
        Mappers = "mappers",
        /// A layer with the last layer's shapes, each tensor drawn with its mean and deviation.
        Random = "random",
        /// A trainable network with as many parameters as the mappers.
        Mlp = "mlp",
        /// The last layer with the elements of each tensor permuted.
        Shuffled = "shuffled",
        /// The last layer, trained with the rest instead of frozen.
        Trained = "trained",
    }
}

words! {
    /// Why a run failed.
    FailureKind, "failure" {
        /// An error with a message.
        Error = "error",
        /// Loss or gradients became NaN or infinite; would happen again.
        Diverged = "diverged",
        /// The memory did not suffice, or the kernel ended the process to get some.
        OutOfMemory = "out-of-memory",
        /// The process was ended by a signal.
        Killed = "killed",
        /// The process ended by itself without a reason.
        Crashed = "crashed",
        /// What the layer needs could not be had: no permission.
        Authentication = "authentication",
        /// What the layer needs could not be had: offline.
        Offline = "offline",
    }
}

impl From<crate::error::Category> for FailureKind {
    fn from(category: crate::error::Category) -> Self {
        match category {
            crate::error::Category::Authentication => Self::Authentication,
            crate::error::Category::Offline => Self::Offline,
            _ => Self::Error,
        }
    }
}

/// What stands in the place of the plug.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    /// A control.
    Control(Control),
    /// The LLM's layer with this index, from 0.
    Layer(usize),
}

impl std::fmt::Display for Condition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Layer(index) => f.pad(&format!("layer {index}")),
            Self::Control(control) => f.pad(control.name()),
        }
    }
}

/// The words by which a person recognises a run; nothing is computed from them.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Subject {
    /// The LLM as asked for; absent where the condition uses none of it.
    pub llm: Option<String>,
    /// How many layers the LLM has.
    pub llm_layers: Option<usize>,
    /// The small model as asked for.
    pub slm: String,
    /// The task trained on.
    pub task: String,
    /// `pooled` or `sequence`; absent where there is no plug.
    pub plug: Option<String>,
    /// `full` or `plug`.
    pub train: String,
}

/// A model at one commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepositoryAt {
    /// `llm` or `slm`.
    pub role: String,
    /// Repository or directory.
    pub name: String,
    /// Commit sha; for a directory a hash of its content.
    pub revision: String,
}

/// Data by content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataAt {
    /// The task.
    pub task: String,
    /// Hash of its definition.
    pub definition: String,
    /// Hash of its examples.
    pub hash: String,
}

/// Where a run came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provenance {
    /// Version of this program.
    pub program: String,
    /// Commit that this program was built from, where the build knew.
    pub commit: Option<String>,
    /// Version of the numbers (see `sweep::plan::NUMERICS_VERSION`).
    pub numerics: u32,
    /// Models used.
    pub repositories: Vec<RepositoryAt>,
    /// Data used; the task trained on comes first.
    pub data: Vec<DataAt>,
    /// `cpu` or `cuda:N`.
    pub device: String,
    /// Threads of the computation.
    pub threads: usize,
    /// Members that were trained together.
    pub stack: usize,
    /// Facts about the machine, as the caller found them.
    pub host: BTreeMap<String, String>,
    /// Start of the last attempt, RFC 3339 in UTC.
    pub started: String,
    /// End of it.
    pub finished: String,
}

/// Metrics over all examples of a split.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Metrics {
    /// Examples.
    pub n: usize,
    /// Mean cross entropy without label smoothing, in nats.
    pub loss: f64,
    /// Share of examples whose label was predicted, in [0, 1].
    pub accuracy: f64,
    /// Mean over classes of F1, in [0, 1].
    pub macro_f1: f64,
    /// Matthews' correlation coefficient, in [-1, 1].
    pub mcc: f64,
}

/// Validation after an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct EpochScores {
    /// From 1.
    pub epoch: usize,
    /// Optimiser steps so far.
    pub step: u64,
    /// On the whole validation split.
    pub validation: Metrics,
}

/// The chosen weights on one task's split.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// The task.
    pub task: String,
    /// `test` or `validation`.
    pub split: String,
    /// Whether this is the task trained on.
    pub home: bool,
    /// On the whole split.
    pub metrics: Metrics,
    /// Examples whose text stands in the training set (exactly, after normalisation).
    pub overlap_exact: usize,
    /// Examples whose text nearly stands in the training set.
    pub overlap_near: usize,
    /// Without those; absent where none are left.
    pub without_overlap: Option<Metrics>,
    /// Means over batches, as the published code reports them (`--as-published metrics`).
    pub batch_means: Option<BatchMeans>,
}

/// Means over batches.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct BatchMeans {
    /// Mean of the batches' accuracies.
    pub accuracy: f64,
    /// Mean of the batches' macro-F1.
    pub macro_f1: f64,
}

/// What came out. Two executions of one cell on one device agree in every bit of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunResult {
    /// The epoch whose weights were kept, from 1.
    pub best_epoch: usize,
    /// Optimiser steps in all.
    pub steps: u64,
    /// Trainable parameters of one member.
    pub trainable_parameters: u64,
    /// Every epoch's validation.
    pub validation: Vec<EpochScores>,
    /// The kept weights on every evaluated task, the task trained on first.
    pub evaluations: Vec<Evaluation>,
    /// Remarks for the reader (truncated texts, dropped rows, ...).
    pub notes: Vec<String>,
}

/// What a run cost, all attempts that led to it together where the worker knew.
#[derive(Clone, Copy, Debug, PartialEq, Default, Serialize, Deserialize)]
pub struct Cost {
    /// Wall time.
    pub seconds: f64,
    /// Training speed.
    pub steps_per_second: Option<f64>,
    /// Training speed in real tokens.
    pub tokens_per_second: Option<f64>,
    /// Largest resident memory of the process.
    pub peak_memory_bytes: Option<u64>,
    /// Bytes that were downloaded for this run alone.
    pub bytes_fetched: Option<u64>,
    /// Where the worker's time went.
    #[serde(default)]
    pub stages: Option<Stages>,
}

/// Where the time of a worker went, for all cells of its stack together and since it started (a cell
/// that goes on from a checkpoint began earlier). What is missing to [`Cost::seconds`] is writing.
#[derive(Clone, Copy, Debug, PartialEq, Default, Serialize, Deserialize)]
pub struct Stages {
    /// Reading models and data, tokenising, features of a frozen encoder.
    pub preparation_seconds: f64,
    /// Steps of training.
    pub training_seconds: f64,
    /// Validation and tests, and checkpoints between them.
    pub evaluation_seconds: f64,
    /// Products of matrices in training and evaluation, 10⁹ operations.
    pub products_gflop: f64,
    /// Time in these products, summed over threads.
    pub products_seconds: f64,
}

/// Whether a run has a result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Status {
    /// It has.
    Done,
    /// It has none; the next command tries again.
    Failed {
        /// The kind of reason.
        kind: FailureKind,
        /// For example `diverged at step 12: loss is NaN`.
        reason: String,
    },
}

/// The content of `run.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunRecord {
    /// See [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// Content-addressed id of the cell.
    pub cell: String,
    /// Layer or control.
    pub condition: Condition,
    /// The run's seed.
    pub seed: Seed,
    /// Whether it has a result.
    pub status: Status,
    /// For people.
    pub subject: Subject,
    /// Everything that decided the result, as it was hashed into the id.
    pub config: serde_json::Value,
    /// Present exactly when done.
    pub result: Option<RunResult>,
    /// Where it came from.
    pub provenance: Provenance,
    /// What it cost.
    pub cost: Cost,
}

impl RunRecord {
    /// The metrics of the task trained on, on its test split.
    pub fn home(&self) -> Option<&Evaluation> {
        self.result.as_ref()?.evaluations.iter().find(|evaluation| evaluation.home)
    }

    /// The validation metrics of the epoch that was kept: what choices are made by.
    pub fn validation(&self) -> Option<&Metrics> {
        let result = self.result.as_ref()?;
        let kept = result.validation.iter().find(|scores| scores.epoch == result.best_epoch)?;
        Some(&kept.validation)
    }

    /// Refuses numbers that JSON has no word for, and results that contradict their status.
    pub(super) fn check(&self) -> Result<(), Error> {
        let inconsistent =
            |reason: &str| Error::Inconsistent { cell: self.cell.clone(), reason: reason.into() };
        if (self.status == Status::Done) != self.result.is_some() {
            return Err(inconsistent("a result must be there exactly when the run is done"));
        }
        if let Some(result) = &self.result
            && self.validation().is_none()
        {
            return Err(inconsistent(&format!("no validation of the best epoch {}", result.best_epoch)));
        }
        for (what, value) in self.numbers() {
            if !value.is_finite() {
                return Err(Error::NotFinite { cell: self.cell.clone(), what, value });
            }
        }
        Ok(())
    }

    fn numbers(&self) -> Vec<(String, f64)> {
        let mut numbers = vec![("the wall time".to_owned(), self.cost.seconds)];
        let mut means_of = Vec::new();
        let mut add = |place: &str, metrics: &Metrics| {
            numbers.extend([
                (format!("the loss of {place}"), metrics.loss),
                (format!("the accuracy of {place}"), metrics.accuracy),
                (format!("the macro-F1 of {place}"), metrics.macro_f1),
                (format!("the MCC of {place}"), metrics.mcc),
            ]);
        };
        if let Some(result) = &self.result {
            for scores in &result.validation {
                add(&format!("epoch {}", scores.epoch), &scores.validation);
            }
            for evaluation in &result.evaluations {
                add(&format!("`{}`", evaluation.task), &evaluation.metrics);
                if let Some(means) = &evaluation.batch_means {
                    let place = format!("of the batches of `{}`", evaluation.task);
                    means_of.push((format!("the mean accuracy {place}"), means.accuracy));
                    means_of.push((format!("the mean macro-F1 {place}"), means.macro_f1));
                }
                if let Some(clean) = &evaluation.without_overlap {
                    add(&format!("`{}` without overlap", evaluation.task), clean);
                }
            }
        }
        numbers.extend(means_of);
        numbers
    }
}

/// A record to test with: cell, condition, seed, and its accuracy on a task `home`.
#[cfg(test)]
pub(crate) fn example(cell: &str, condition: Condition, seed: u64, accuracy: f64) -> RunRecord {
    let metrics = Metrics { n: 4, loss: 0.5, accuracy, macro_f1: accuracy, mcc: 0.0 };
    RunRecord {
        schema_version: SCHEMA_VERSION,
        cell: cell.into(),
        condition,
        seed: Seed(seed),
        status: Status::Done,
        subject: Subject {
            llm: Some("demo".into()),
            llm_layers: Some(6),
            slm: "demo".into(),
            task: "home".into(),
            plug: Some("pooled".into()),
            train: "full".into(),
        },
        config: serde_json::json!({"seed": seed, "hyper_parameters": {"epochs": 1}}),
        result: Some(RunResult {
            best_epoch: 1,
            steps: 3,
            trainable_parameters: 10,
            validation: vec![EpochScores { epoch: 1, step: 3, validation: metrics }],
            evaluations: vec![Evaluation {
                task: "home".into(),
                split: "test".into(),
                home: true,
                metrics,
                overlap_exact: 0,
                overlap_near: 0,
                without_overlap: Some(metrics),
                batch_means: None,
            }],
            notes: Vec::new(),
        }),
        provenance: Provenance {
            program: "0.1.0".into(),
            commit: None,
            numerics: 1,
            repositories: Vec::new(),
            data: Vec::new(),
            device: "cpu".into(),
            threads: 2,
            stack: 1,
            host: BTreeMap::new(),
            started: "2026-01-01T00:00:00.000Z".into(),
            finished: "2026-01-01T00:00:02.000Z".into(),
        },
        cost: Cost { seconds: 2.0, ..Cost::default() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_reads_back_as_it_was_written() {
        let record = example("ab", Condition::Layer(3), 1, 0.75);
        let text = serde_json::to_string_pretty(&record).expect("serialises");
        assert!(text.contains("\"layer\": 3"), "{text}");
        assert_eq!(serde_json::from_str::<RunRecord>(&text).expect("reads"), record);
        let control = serde_json::to_string(&Condition::Control(Control::Base)).expect("serialises");
        assert_eq!(control, r#"{"control":"base"}"#);
    }

    #[test]
    fn a_number_that_json_cannot_hold_is_refused_by_name() {
        let mut record = example("ab", Condition::Layer(3), 1, 0.75);
        record.result.as_mut().expect("done").evaluations[0].metrics.loss = f64::NAN;
        let error = record.check().expect_err("NaN");
        assert_eq!(error.to_string(), "run `ab`: the loss of `home` is NaN: expected a finite number");
    }

    #[test]
    fn a_done_run_without_a_result_is_refused() {
        let mut record = example("ab", Condition::Layer(3), 1, 0.75);
        record.result = None;
        assert!(matches!(record.check(), Err(Error::Inconsistent { .. })));
    }
}
