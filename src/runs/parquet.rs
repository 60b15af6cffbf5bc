//! `history.parquet` and `predictions.parquet`. Both carry `pifi_probe.schema_version` and
//! `pifi_probe.table` in the file's key-value metadata and are read by polars, pandas and DuckDB.
//!
//! `history` (version 1), one row a training step that was logged or a validation:
//!
//! | column | type | meaning |
//! |---|---|---|
//! | `kind` | string | `train` or `validation` |
//! | `step` | u64 | optimiser steps so far, from 1 |
//! | `epoch` | u32 | from 1 |
//! | `loss` | f64 | train: as optimised (with label smoothing); validation: plain cross entropy |
//! | `learning_rate` | f64 or null | of this step |
//! | `gradient_norm` | f64 or null | before clipping |
//! | `tokens` | u64 or null | real tokens of this step's batch |
//! | `seconds` | f64 | since the run's start; the only column that differs between executions |
//! | `accuracy`, `macro_f1`, `mcc` | f64 or null | validation only |
//!
//! `predictions` (version 1), one row an example of an evaluated split:
//!
//! | column | type | meaning |
//! |---|---|---|
//! | `task`, `split` | string | what was evaluated |
//! | `example_id` | u64 | stable id of the example |
//! | `gold`, `predicted` | u32 | labels by index |
//! | `logit_0` ... `logit_{C-1}` | f32 | before softmax |
//! | `overlap` | string | `none`, `exact` or `near`: whether its text stands in the training set |

use std::fs::File;
use std::io::Write;
use std::path::Path;

use polars::prelude::{
    DataFrame, DataType, IntoColumn, KeyValueMetadata, NamedFrom, ParquetCompression, ParquetReader,
    ParquetWriter, PolarsError, PolarsResult, SerReader, Series,
};

use super::Error;
use crate::words::words;

/// Version of both tables.
pub const SCHEMA_VERSION: u32 = 1;
const VERSION_KEY: &str = "pifi_probe.schema_version";
const TABLE_KEY: &str = "pifi_probe.table";

words! {
    /// Whether an evaluated text stands in the training set.
    Overlap, "overlap" {
        /// It does not.
        None = "none",
        /// It does, after normalisation.
        Exact = "exact",
        /// One that shares most of its n-grams does.
        Near = "near",
    }
}

words! {
    /// What a row of the history tells about.
    HistoryKind, "history row" {
        /// A training step.
        Train = "train",
        /// A validation.
        Validation = "validation",
    }
}

/// A row of `history.parquet`; see the module's table.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HistoryRow {
    /// Training step or validation.
    pub kind: HistoryKind,
    /// Optimiser steps so far.
    pub step: u64,
    /// From 1.
    pub epoch: u32,
    /// Mean loss.
    pub loss: f64,
    /// Of this step.
    pub learning_rate: Option<f64>,
    /// Before clipping.
    pub gradient_norm: Option<f64>,
    /// Real tokens of the batch.
    pub tokens: Option<u64>,
    /// Since the run's start.
    pub seconds: f64,
    /// Validation only.
    pub accuracy: Option<f64>,
    /// Validation only.
    pub macro_f1: Option<f64>,
    /// Validation only.
    pub mcc: Option<f64>,
}

/// The predictions for one evaluated split of N examples and C classes.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskPredictions {
    /// The task.
    pub task: String,
    /// `test` or `validation`.
    pub split: String,
    /// C.
    pub classes: usize,
    /// `[N]`.
    pub example_ids: Vec<u64>,
    /// `[N]`.
    pub gold: Vec<u32>,
    /// `[N]`.
    pub predicted: Vec<u32>,
    /// `[N, C]` row-major.
    pub logits: Vec<f32>,
    /// `[N]`.
    pub overlap: Vec<Overlap>,
}

/// The history as a frame.
///
/// # Errors
/// None that a caller can bring about.
pub fn history_frame(rows: &[HistoryRow]) -> PolarsResult<DataFrame> {
    let kinds: Vec<&str> = rows.iter().map(|row| row.kind.name()).collect();
    let steps: Vec<u64> = rows.iter().map(|row| row.step).collect();
    let epochs: Vec<u32> = rows.iter().map(|row| row.epoch).collect();
    let losses: Vec<f64> = rows.iter().map(|row| row.loss).collect();
    let seconds: Vec<f64> = rows.iter().map(|row| row.seconds).collect();
    let tokens: Vec<Option<u64>> = rows.iter().map(|row| row.tokens).collect();
    let optional = |name: &str, of: fn(&HistoryRow) -> Option<f64>| {
        let values: Vec<Option<f64>> = rows.iter().map(of).collect();
        Series::new(name.into(), values).into_column()
    };
    DataFrame::new(
        rows.len(),
        vec![
            Series::new("kind".into(), kinds).into_column(),
            Series::new("step".into(), steps).into_column(),
            Series::new("epoch".into(), epochs).into_column(),
            Series::new("loss".into(), losses).into_column(),
            optional("learning_rate", |row| row.learning_rate),
            optional("gradient_norm", |row| row.gradient_norm),
            Series::new("tokens".into(), tokens).into_column(),
            Series::new("seconds".into(), seconds).into_column(),
            optional("accuracy", |row| row.accuracy),
            optional("macro_f1", |row| row.macro_f1),
            optional("mcc", |row| row.mcc),
        ],
    )
}

/// The predictions of all evaluated splits as a frame.
///
/// # Errors
/// Lengths that do not fit together, or splits with different numbers of classes.
pub fn predictions_frame(splits: &[TaskPredictions]) -> PolarsResult<DataFrame> {
    let classes = splits.first().map_or(0, |split| split.classes);
    for split in splits {
        let n = split.example_ids.len();
        let lengths = [split.gold.len(), split.predicted.len(), split.overlap.len()];
        if lengths != [n; 3] || split.logits.len() != n * split.classes || split.classes != classes {
            return Err(PolarsError::ShapeMismatch(
                format!(
                    "predictions for `{}`: {n} ids, {lengths:?} labels and {} logits of {} classes, \
                     expected {classes} classes",
                    split.task,
                    split.logits.len(),
                    split.classes
                )
                .into(),
            ));
        }
    }
    let each = |text: fn(&TaskPredictions) -> &str| -> Vec<&str> {
        splits.iter().flat_map(|split| split.example_ids.iter().map(move |_| text(split))).collect()
    };
    let words: Vec<&str> = splits.iter().flat_map(|split| &split.overlap).map(|word| word.name()).collect();
    let ids: Vec<u64> = splits.iter().flat_map(|split| &split.example_ids).copied().collect();
    let gold: Vec<u32> = splits.iter().flat_map(|split| &split.gold).copied().collect();
    let predicted: Vec<u32> = splits.iter().flat_map(|split| &split.predicted).copied().collect();
    let rows = ids.len();
    let mut columns = vec![
        Series::new("task".into(), each(|split| &split.task)).into_column(),
        Series::new("split".into(), each(|split| &split.split)).into_column(),
        Series::new("example_id".into(), ids).into_column(),
        Series::new("gold".into(), gold).into_column(),
        Series::new("predicted".into(), predicted).into_column(),
    ];
    for class in 0..classes {
        let logits: Vec<f32> = splits
            .iter()
            .flat_map(|split| split.logits.chunks_exact(classes).map(move |logits| logits[class]))
            .collect();
        columns.push(Series::new(format!("logit_{class}").into(), logits).into_column());
    }
    columns.push(Series::new("overlap".into(), words).into_column());
    DataFrame::new(rows, columns)
}

/// Writes a frame with its schema's version. The bytes are a function of the frame.
pub(super) fn write(frame: &mut DataFrame, table: &str, out: impl Write) -> PolarsResult<()> {
    let metadata =
        vec![(VERSION_KEY.to_owned(), SCHEMA_VERSION.to_string()), (TABLE_KEY.to_owned(), table.to_owned())];
    ParquetWriter::new(out)
        .with_compression(ParquetCompression::Zstd(None))
        .with_key_value_metadata(Some(KeyValueMetadata::from_static(metadata)))
        .set_parallel(false)
        .finish(frame)?;
    Ok(())
}

/// Reads a table of a run as a frame.
///
/// # Errors
/// A file that cannot be read, is not such a table, or is newer than this program.
pub fn read(path: &Path, table: &str) -> Result<DataFrame, Error> {
    let file = File::open(path).map_err(|e| Error::io("read", path, e))?;
    let mut reader = ParquetReader::new(file);
    let metadata = reader.get_metadata().map_err(|e| Error::malformed(path, e))?.clone();
    let value = |key: &str| {
        let pairs = metadata.key_value_metadata().iter().flatten();
        pairs.filter(|pair| pair.key == key).find_map(|pair| pair.value.clone())
    };
    let found = value(VERSION_KEY).and_then(|version| version.parse().ok());
    let (Some(found), Some(name)) = (found, value(TABLE_KEY)) else {
        return Err(Error::malformed(path, format!("no table of a run, expected `{table}`")));
    };
    if found > SCHEMA_VERSION {
        return Err(Error::Newer { path: path.to_path_buf(), found, known: SCHEMA_VERSION });
    }
    if name != table {
        return Err(Error::malformed(path, format!("holds the table `{name}`, expected `{table}`")));
    }
    reader.finish().map_err(|e| Error::malformed(path, e))
}

/// Reads `history.parquet`.
///
/// # Errors
/// As [`read`], and columns that are not those of the schema.
pub fn read_history(path: &Path) -> Result<Vec<HistoryRow>, Error> {
    let frame = read(path, "history")?;
    let rows = || -> PolarsResult<Vec<HistoryRow>> {
        let text = frame.column("kind")?.str()?;
        let (step, epoch) = (frame.column("step")?.u64()?, frame.column("epoch")?.u32()?);
        let tokens = frame.column("tokens")?.u64()?;
        let number = |name| frame.column(name)?.f64();
        let (loss, seconds) = (number("loss")?, number("seconds")?);
        let (rate, norm) = (number("learning_rate")?, number("gradient_norm")?);
        let (accuracy, macro_f1, mcc) = (number("accuracy")?, number("macro_f1")?, number("mcc")?);
        (0..frame.height())
            .map(|at| {
                Ok(HistoryRow {
                    kind: word(text.get(at))?,
                    step: needed(step.get(at))?,
                    epoch: needed(epoch.get(at))?,
                    loss: needed(loss.get(at))?,
                    learning_rate: rate.get(at),
                    gradient_norm: norm.get(at),
                    tokens: tokens.get(at),
                    seconds: needed(seconds.get(at))?,
                    accuracy: accuracy.get(at),
                    macro_f1: macro_f1.get(at),
                    mcc: mcc.get(at),
                })
            })
            .collect()
    };
    rows().map_err(|e| Error::malformed(path, e))
}

/// Reads `predictions.parquet`: one entry an evaluated split, in the order of the file.
///
/// # Errors
/// As [`read`], and columns that are not those of the schema.
pub fn read_predictions(path: &Path) -> Result<Vec<TaskPredictions>, Error> {
    let frame = read(path, "predictions")?;
    let splits = || -> PolarsResult<Vec<TaskPredictions>> {
        let (task, split) = (frame.column("task")?.str()?, frame.column("split")?.str()?);
        let (gold, predicted) = (frame.column("gold")?.u32()?, frame.column("predicted")?.u32()?);
        let (id, overlap) = (frame.column("example_id")?.u64()?, frame.column("overlap")?.str()?);
        let classes = frame.columns().iter().filter(|column| column.dtype() == &DataType::Float32).count();
        let logits = (0..classes)
            .map(|class| frame.column(&format!("logit_{class}"))?.f32())
            .collect::<PolarsResult<Vec<_>>>()?;
        let mut splits: Vec<TaskPredictions> = Vec::new();
        for at in 0..frame.height() {
            let (task, split) = (needed(task.get(at))?, needed(split.get(at))?);
            if splits.last().is_none_or(|last| last.task != task || last.split != split) {
                splits.push(TaskPredictions {
                    task: task.into(),
                    split: split.into(),
                    classes,
                    example_ids: Vec::new(),
                    gold: Vec::new(),
                    predicted: Vec::new(),
                    logits: Vec::new(),
                    overlap: Vec::new(),
                });
            }
            let last = splits.last_mut().expect("one was just pushed");
            last.example_ids.push(needed(id.get(at))?);
            last.gold.push(needed(gold.get(at))?);
            last.predicted.push(needed(predicted.get(at))?);
            last.overlap.push(word(overlap.get(at))?);
            for column in &logits {
                last.logits.push(needed(column.get(at))?);
            }
        }
        Ok(splits)
    };
    splits().map_err(|e| Error::malformed(path, e))
}

fn needed<T>(value: Option<T>) -> PolarsResult<T> {
    value.ok_or_else(|| PolarsError::NoData("a value is missing".into()))
}

fn word<T: std::str::FromStr<Err: std::fmt::Display>>(value: Option<&str>) -> PolarsResult<T> {
    needed(value)?.parse().map_err(|e: T::Err| PolarsError::SchemaMismatch(e.to_string().into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn predictions(task: &str) -> TaskPredictions {
        TaskPredictions {
            task: task.into(),
            split: "test".into(),
            classes: 3,
            example_ids: vec![u64::MAX, 7],
            gold: vec![0, 2],
            predicted: vec![1, 2],
            logits: vec![0.25, -1.5, f32::MIN_POSITIVE, 3.0, -0.0, 1e30],
            overlap: vec![Overlap::None, Overlap::Near],
        }
    }

    #[test]
    fn predictions_read_back_bit_for_bit_and_are_written_the_same_each_time() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("predictions.parquet");
        let splits = [predictions("home"), predictions("away")];
        let mut frame = predictions_frame(&splits).expect("fits");
        let mut bytes = Vec::new();
        write(&mut frame, "predictions", &mut bytes).expect("writes");
        let mut again = Vec::new();
        write(&mut predictions_frame(&splits).expect("fits"), "predictions", &mut again).expect("writes");
        assert_eq!(bytes, again);
        std::fs::write(&path, &bytes).expect("writes");
        let read = read_predictions(&path).expect("reads");
        assert_eq!(read, splits);
        assert!(read[1].logits[4].is_sign_negative());
        assert!(read_history(&path).expect_err("another table").to_string().contains("holds the table"));
    }

    #[test]
    fn a_history_reads_back_with_its_gaps() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("history.parquet");
        let step = HistoryRow {
            kind: HistoryKind::Train,
            step: 1,
            epoch: 1,
            loss: 0.7,
            learning_rate: Some(5e-5),
            gradient_norm: Some(f64::INFINITY),
            tokens: Some(321),
            seconds: 0.25,
            accuracy: None,
            macro_f1: None,
            mcc: None,
        };
        let validation = HistoryRow {
            kind: HistoryKind::Validation,
            learning_rate: None,
            gradient_norm: None,
            tokens: None,
            accuracy: Some(0.5),
            macro_f1: Some(0.4),
            mcc: Some(-0.1),
            ..step
        };
        for rows in [vec![step, validation], vec![]] {
            let mut frame = history_frame(&rows).expect("fits");
            write(&mut frame, "history", File::create(&path).expect("creates")).expect("writes");
            assert_eq!(read_history(&path).expect("reads"), rows);
        }
    }

    #[test]
    fn lengths_that_do_not_fit_and_foreign_files_are_refused() {
        let mut short = predictions("home");
        short.gold.pop();
        assert!(predictions_frame(&[short]).is_err());
        let mut other = predictions("away");
        (other.classes, other.logits) = (2, vec![0.0; 4]);
        assert!(predictions_frame(&[predictions("home"), other]).is_err());
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("predictions.parquet");
        for bytes in [&b""[..], b"PAR1", b"not parquet at all"] {
            std::fs::write(&path, bytes).expect("writes");
            assert!(matches!(read_predictions(&path), Err(Error::Malformed { .. })), "{bytes:?}");
        }
    }
}
