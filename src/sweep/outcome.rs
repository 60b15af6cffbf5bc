//! What training gave, as the record of a run.

use std::collections::BTreeMap;
use std::io::Write;

use super::plan::{Cell, Ending, Plan};
use crate::data::Example;
use crate::data::overlap::{self, Match, Rule};
use crate::error::Failure;
use crate::hub;
use crate::hub::tensor::{Dtype, RawTensor};
use crate::models::parameters::Tensor;
use crate::runs::parquet::HistoryKind;
use crate::runs::record::{BatchMeans, EpochScores, Evaluation, Metrics, RunResult};
use crate::runs::store::FinishedRun;
use crate::runs::{Claim, HistoryRow, Overlap, RunRecord, Store, TaskPredictions};
use crate::train::evaluate::Answers;
use crate::train::metrics::{Confusion, Metric, Scores};
use crate::train::{Cause, Config, Divergence, State, trainer};

/// A trained member on its way into the store.
pub(super) struct Finish<'a> {
    pub(super) plan: &'a Plan,
    pub(super) cell: &'a Cell,
    pub(super) member: usize,
    /// The epoch whose values were evaluated, from 1.
    pub(super) epoch: u32,
    /// Validation, own test, then the other tasks.
    pub(super) evaluations: &'a [trainer::Evaluation],
    pub(super) state: &'a State,
    /// Wall time of the steps of this process, the last ones of the history.
    pub(super) seconds_of_steps: &'a [f64],
    /// Of own test and the other tasks.
    pub(super) overlaps: &'a [Vec<Overlap>],
    pub(super) config: &'a Config,
    /// What was decided while the data was read.
    pub(super) notes: &'a [String],
    /// Texts that were cut, and all texts: train, validation, own test, the other tasks.
    pub(super) truncated: Vec<(usize, usize)>,
}

impl Finish<'_> {
    /// Writes everything and gives the record.
    ///
    /// # Errors
    /// Those of the store.
    pub(super) fn publish(
        &self,
        store: &Store,
        claim: &Claim,
        ending: Ending,
        model: Option<Vec<Tensor>>,
    ) -> Result<RunRecord, Failure> {
        let predictions = self.predictions();
        let result = self.result(&predictions);
        let record = self.plan.record(self.cell, Ending { result: Some(result), ..ending });
        let history = self.history();
        let tensors = model.map(|tensors| self.tensors(tensors));
        let write = |out: &mut dyn Write| match &tensors {
            Some((tensors, about)) => {
                hub::write_safetensors_to(out, tensors, about).map_err(std::io::Error::other)
            }
            None => Ok(()),
        };
        let write: &dyn Fn(&mut dyn Write) -> std::io::Result<()> = &write;
        let run = FinishedRun {
            record: &record,
            history: &history,
            predictions: &predictions,
            model: tensors.is_some().then_some(write),
        };
        store.publish(claim, &run)?;
        Ok(record)
    }

    fn result(&self, predictions: &[TaskPredictions]) -> RunResult {
        let task = &self.plan.inputs.task.name;
        let epochs = self.state.history.epochs.iter();
        let of_epoch = |record: &crate::train::EpochRecord| {
            let scores = record.validation[self.member].as_ref()?;
            let n = predictions[0].gold.len();
            let (epoch, step) = (record.epoch as usize, record.step);
            Some(EpochScores { epoch, step, validation: metrics(scores, n) })
        };
        let evaluations = self.evaluations[1..].iter().zip(&predictions[1..]);
        RunResult {
            best_epoch: self.epoch as usize,
            steps: self.state.step,
            trainable_parameters: self.state.layout().len() as u64,
            validation: epochs.filter_map(of_epoch).collect(),
            evaluations: evaluations
                .map(|(evaluation, predicted)| evaluated(task, evaluation, predicted))
                .collect(),
            notes: self.remarks(),
        }
    }

    fn remarks(&self) -> Vec<String> {
        let mut notes = self.notes.to_vec();
        let eval = self.plan.inputs.eval.iter().map(|task| format!("{} test", task.name));
        let names = ["train".to_owned(), "validation".to_owned(), "test".to_owned()];
        for (name, (cut, all)) in names.into_iter().chain(eval).zip(&self.truncated) {
            if *cut > 0 {
                let length = self.config.max_length;
                notes.push(format!("{name}: {cut} of {all} texts were cut to {length} tokens"));
            }
        }
        notes
    }

    /// Validation first, then the evaluated splits.
    fn predictions(&self) -> Vec<TaskPredictions> {
        let home = &self.plan.inputs.task.name;
        let split = |at: usize, evaluation: &trainer::Evaluation| {
            let Answers::Classes { gold, predicted, classes, logits } = &evaluation.predictions.answers
            else {
                unreachable!("the objective of a cell is classification")
            };
            TaskPredictions {
                task: if at == 0 { home.clone() } else { evaluation.split.clone() },
                split: if at == 0 { "validation" } else { "test" }.to_owned(),
                classes: *classes,
                example_ids: evaluation.predictions.example_ids.clone(),
                gold: gold.clone(),
                predicted: predicted.clone(),
                logits: logits.clone(),
                overlap: match at {
                    0 => vec![Overlap::None; gold.len()],
                    at => self.overlaps[at - 1].clone(),
                },
            }
        };
        self.evaluations.iter().enumerate().map(|(at, evaluation)| split(at, evaluation)).collect()
    }

    /// Steps and validations in their order. Wall times are known for this process's steps only;
    /// those of an earlier process count as none.
    fn history(&self) -> Vec<HistoryRow> {
        let history = &self.state.history;
        let members = self.state.members.len();
        let steps = history.learning_rates.len();
        let before = steps.saturating_sub(self.seconds_of_steps.len());
        let mut rows = Vec::with_capacity(steps + history.epochs.len());
        let mut epochs = history.epochs.iter().peekable();
        let mut seconds = 0.0;
        for step in 0..steps {
            seconds += if step < before { 0.0 } else { self.seconds_of_steps[step - before] };
            let epoch = epochs.peek().map_or(self.epoch, |record| record.epoch);
            rows.push(HistoryRow {
                kind: HistoryKind::Train,
                step: step as u64 + 1,
                epoch,
                loss: history.losses[step * members + self.member],
                learning_rate: Some(history.learning_rates[step]),
                gradient_norm: Some(history.gradient_norms[step * members + self.member]),
                tokens: Some(history.tokens[step]),
                seconds,
                accuracy: None,
                macro_f1: None,
                mcc: None,
            });
            while let Some(record) = epochs.next_if(|record| record.step == step as u64 + 1) {
                let Some(scores) = &record.validation[self.member] else { continue };
                rows.push(HistoryRow {
                    kind: HistoryKind::Validation,
                    step: record.step,
                    epoch: record.epoch,
                    loss: scores.get(&Metric::Loss).copied().unwrap_or(f64::NAN),
                    learning_rate: None,
                    gradient_norm: None,
                    tokens: None,
                    seconds,
                    accuracy: scores.get(&Metric::Accuracy).copied(),
                    macro_f1: scores.get(&Metric::MacroF1).copied(),
                    mcc: scores.get(&Metric::Mcc).copied(),
                });
            }
        }
        rows
    }

    /// The weights, and what stands in place of those that are frozen.
    fn tensors(&self, tensors: Vec<Tensor>) -> (Vec<(String, RawTensor)>, BTreeMap<String, String>) {
        let inputs = &self.plan.inputs;
        let mut about = BTreeMap::from([
            ("format".to_owned(), "pt".to_owned()),
            ("cell".to_owned(), self.cell.id.clone()),
            ("slm".to_owned(), inputs.slm.repository.clone().unwrap_or_else(|| inputs.slm.name.clone())),
            ("slm_revision".to_owned(), inputs.slm.revision.clone()),
        ]);
        if let Some(layer) = self.cell.needs_layer {
            let llm = inputs.llm.repository.clone().unwrap_or_else(|| inputs.llm.name.clone());
            about.insert("llm".to_owned(), llm);
            about.insert("llm_revision".to_owned(), inputs.llm.revision.clone());
            about.insert("llm_layer".to_owned(), layer.to_string());
        }
        let raw = |(name, shape, numbers): Tensor| {
            let bytes = numbers.iter().flat_map(|x| x.to_le_bytes()).collect();
            (name, RawTensor { dtype: Dtype::F32, shape, rows: None, bytes })
        };
        (tensors.into_iter().map(raw).collect(), about)
    }
}

fn evaluated(home: &str, evaluation: &trainer::Evaluation, predicted: &TaskPredictions) -> Evaluation {
    let count = |kind: Overlap| predicted.overlap.iter().filter(|it| **it == kind).count();
    let (exact, near) = (count(Overlap::Exact), count(Overlap::Near));
    let scores = &evaluation.scores;
    let batch_means = match (scores.get(&Metric::BatchAccuracy), scores.get(&Metric::BatchMacroF1)) {
        (Some(accuracy), Some(macro_f1)) => Some(BatchMeans { accuracy: *accuracy, macro_f1: *macro_f1 }),
        _ => None,
    };
    Evaluation {
        task: predicted.task.clone(),
        split: predicted.split.clone(),
        home: predicted.task == home,
        metrics: metrics(scores, predicted.gold.len()),
        overlap_exact: exact,
        overlap_near: near,
        // of a test set that stands in the training set as a whole, nothing is left to measure
        without_overlap: (1..predicted.gold.len())
            .contains(&(exact + near))
            .then(|| without_overlap(scores, predicted)),
        batch_means,
    }
}

/// The metrics over the examples whose texts do not stand in the training set.
fn without_overlap(scores: &Scores, predicted: &TaskPredictions) -> Metrics {
    let clean: Vec<usize> =
        (0..predicted.gold.len()).filter(|&at| predicted.overlap[at] == Overlap::None).collect();
    let pick = |from: &[u32]| clean.iter().map(|&at| from[at]).collect::<Vec<_>>();
    let confusion = Confusion::new(&pick(&predicted.gold), &pick(&predicted.predicted));
    Metrics {
        n: clean.len(),
        loss: scores.get(&Metric::Loss).copied().unwrap_or(f64::NAN),
        accuracy: confusion.accuracy(),
        macro_f1: confusion.macro_f1(),
        mcc: confusion.mcc(),
    }
}

/// The metrics of a record.
pub(super) fn metrics(scores: &Scores, n: usize) -> Metrics {
    let of = |metric: Metric| scores.get(&metric).copied().unwrap_or(f64::NAN);
    Metrics {
        n,
        loss: of(Metric::Loss),
        accuracy: of(Metric::Accuracy),
        macro_f1: of(Metric::MacroF1),
        mcc: of(Metric::Mcc),
    }
}

/// Which evaluation texts stand in the training set.
pub(super) fn overlap(train: &[Example], evaluation: &[Example]) -> Vec<Overlap> {
    let found = overlap::between(train, evaluation, Rule::default());
    let word = |found: &Match| match found {
        Match::None => Overlap::None,
        Match::Exact(_) => Overlap::Exact,
        Match::Near(..) => Overlap::Near,
    };
    found.matches.iter().map(word).collect()
}

/// Why a member fell out.
pub(super) fn divergence(divergence: Divergence) -> String {
    let what = match divergence.cause {
        Cause::Loss => "the loss is not finite",
        Cause::Gradient => "the gradient is not finite",
        Cause::Logits => "the logits of an evaluation are not finite",
    };
    format!("diverged at step {}: {what}", divergence.step)
}
