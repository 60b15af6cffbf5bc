//! All runs of an output directory in one table, one row a run and evaluated task. Files that are
//! foreign, newer or truncated are named beside the table, and the rest is loaded all the same.

use std::path::PathBuf;

use polars::prelude::{Column, DataFrame, IntoColumn, NamedFrom, Series};
use serde::Serialize;

use super::record::{Condition, Metrics, RunRecord, Status};
use super::{Error, Store};

/// Declares the row and, from the same list of fields, the frame's columns.
macro_rules! table {
    ($(#[$meta:meta])* $name:ident { $($(#[$field_meta:meta])* $field:ident: $type:ty,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Serialize)]
        pub struct $name {
            $($(#[$field_meta])* pub $field: $type,)+
        }

        impl $name {
            /// Names of the columns, in order.
            pub fn columns() -> Vec<String> {
                vec![$(stringify!($field).to_owned(),)+]
            }
        }

        fn columns(rows: &[$name]) -> Vec<Column> {
            vec![$({
                let values: Vec<$type> = rows.iter().map(|row| row.$field.clone()).collect();
                Series::new(stringify!($field).into(), values).into_column()
            },)+]
        }
    };
}

table! {
    /// A row of the table. A failed run has one row without metrics.
    RunRow {
        /// Id.
        cell: String,
        /// `layer N` or a control's name.
        condition: String,
        /// Index from 0; absent for controls.
        layer: Option<u32>,
        /// The LLM's number of layers.
        layers: Option<u32>,
        /// Seed.
        seed: u64,
        /// As asked for.
        llm: Option<String>,
        /// As asked for.
        slm: String,
        /// The task trained on.
        task: String,
        /// `pooled` or `sequence`.
        plug: Option<String>,
        /// `full` or `plug`.
        train: String,
        /// `done` or `failed`.
        status: String,
        /// Of a failure.
        reason: Option<String>,
        /// The task evaluated on.
        eval_task: Option<String>,
        /// Its split.
        split: Option<String>,
        /// Whether it is the task trained on.
        home: Option<bool>,
        /// Examples.
        n: Option<u64>,
        /// On the whole split, in [0, 1].
        accuracy: Option<f64>,
        /// On the whole split, in [0, 1].
        macro_f1: Option<f64>,
        /// On the whole split, in [-1, 1].
        mcc: Option<f64>,
        /// On the whole split, nats.
        loss: Option<f64>,
        /// Examples whose text does not stand in the training set.
        n_without_overlap: Option<u64>,
        /// On those.
        accuracy_without_overlap: Option<f64>,
        /// On those.
        macro_f1_without_overlap: Option<f64>,
        /// On those.
        mcc_without_overlap: Option<f64>,
        /// Of the kept epoch, on the task trained on: what choices are made by.
        validation_accuracy: Option<f64>,
        /// From 1.
        best_epoch: Option<u32>,
        /// Wall time.
        seconds: f64,
        /// Largest resident memory.
        peak_memory_bytes: Option<u64>,
        /// Downloaded for this run alone.
        bytes_fetched: Option<u64>,
        /// `cpu` or `cuda:N`.
        device: String,
        /// RFC 3339 in UTC.
        started: String,
    }
}

/// A file that could not be taken into the table.
#[derive(Debug)]
pub struct Problem {
    /// The file or directory.
    pub path: PathBuf,
    /// Why.
    pub error: Error,
}

/// The runs of an output directory.
#[derive(Debug, Default)]
pub struct RunTable {
    /// Rows by task, condition (controls first), seed and id.
    pub rows: Vec<RunRow>,
    /// Records of the finished runs, in the same order.
    pub records: Vec<RunRecord>,
    /// What was left out.
    pub problems: Vec<Problem>,
}

impl RunTable {
    /// Reads every run, finished or failed.
    ///
    /// # Errors
    /// Only if the directory itself cannot be listed.
    pub fn load(store: &Store) -> Result<Self, Error> {
        let mut table = Self::default();
        let mut failed = Vec::new();
        for cell in store.cells()? {
            match store.read(&cell) {
                Ok(record) => table.records.push(record),
                Err(error) => table.problems.push(Problem { path: store.run_folder(&cell), error }),
            }
        }
        for failure in store.failures()? {
            match failure {
                // a run that succeeded since is no failure
                Ok(record) if table.records.iter().any(|done| done.cell == record.cell) => {}
                Ok(record) => failed.push(record),
                Err(error) => table.problems.push(Problem { path: store.folder().join("failed"), error }),
            }
        }
        table.records.sort_by(|a, b| order(a).cmp(&order(b)));
        failed.sort_by(|a, b| order(a).cmp(&order(b)));
        table.rows = table.records.iter().chain(&failed).flat_map(rows).collect();
        Ok(table)
    }

    /// The rows as a frame, one column a field of [`RunRow`].
    pub fn frame(&self) -> DataFrame {
        DataFrame::new(self.rows.len(), columns(&self.rows))
            .expect("one value a row in every column, names all different")
    }
}

/// Controls first, then layers; within them seeds.
fn order(record: &RunRecord) -> (&str, Condition, u64, &str) {
    (&record.subject.task, record.condition, record.seed.0, &record.cell)
}

fn rows(record: &RunRecord) -> Vec<RunRow> {
    let base = bare_row(record);
    let Some(result) = &record.result else { return vec![base] };
    let with = |evaluation: &super::record::Evaluation| {
        let metrics = evaluation.metrics;
        let clean = |of: fn(&Metrics) -> f64| evaluation.without_overlap.as_ref().map(of);
        RunRow {
            eval_task: Some(evaluation.task.clone()),
            split: Some(evaluation.split.clone()),
            home: Some(evaluation.home),
            n: Some(metrics.n as u64),
            accuracy: Some(metrics.accuracy),
            macro_f1: Some(metrics.macro_f1),
            mcc: Some(metrics.mcc),
            loss: Some(metrics.loss),
            n_without_overlap: evaluation.without_overlap.map(|m| m.n as u64),
            accuracy_without_overlap: clean(|m| m.accuracy),
            macro_f1_without_overlap: clean(|m| m.macro_f1),
            mcc_without_overlap: clean(|m| m.mcc),
            ..base.clone()
        }
    };
    if result.evaluations.is_empty() {
        return vec![base.clone()];
    }
    result.evaluations.iter().map(with).collect()
}

/// What a run's rows have in common; all there is of a failure.
fn bare_row(record: &RunRecord) -> RunRow {
    let (status, reason) = match &record.status {
        Status::Done => ("done", None),
        Status::Failed { reason, .. } => ("failed", Some(reason.clone())),
    };
    let subject = record.subject.clone();
    RunRow {
        cell: record.cell.clone(),
        condition: record.condition.to_string(),
        layer: match record.condition {
            Condition::Layer(index) => Some(index as u32),
            Condition::Control(_) => None,
        },
        layers: subject.llm_layers.map(|layers| layers as u32),
        seed: record.seed.0,
        llm: subject.llm,
        slm: subject.slm,
        task: subject.task,
        plug: subject.plug,
        train: subject.train,
        status: status.into(),
        reason,
        eval_task: None,
        split: None,
        home: None,
        n: None,
        accuracy: None,
        macro_f1: None,
        mcc: None,
        loss: None,
        n_without_overlap: None,
        accuracy_without_overlap: None,
        macro_f1_without_overlap: None,
        mcc_without_overlap: None,
        validation_accuracy: record.validation().map(|metrics| metrics.accuracy),
        best_epoch: record.result.as_ref().map(|result| result.best_epoch as u32),
        seconds: record.cost.seconds,
        peak_memory_bytes: record.cost.peak_memory_bytes,
        bytes_fetched: record.cost.bytes_fetched,
        device: record.provenance.device.clone(),
        started: record.provenance.started.clone(),
    }
}
