//! A run as what trackers know: points of named curves, parameters and tags.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Error, Run};
use crate::runs::parquet::HistoryKind;
use crate::runs::record::Metrics;
use crate::runs::{HistoryRow, RunRecord, clock};

/// A point of a curve.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    /// Name of the curve: `train/loss`, `validation/accuracy`, `test/TASK/macro_f1`, `cost/seconds`.
    pub key: String,
    /// Its value.
    pub value: f64,
    /// Optimiser steps so far.
    pub step: u64,
    /// Milliseconds since 1970.
    pub time: u64,
}

/// All points of a run: what was logged in training, at most `most` of each training curve (0 for
/// all; the last one is always among them), and what came out, at the last step.
///
/// # Errors
/// [`Error::Time`] for a record whose times cannot be read.
pub fn points(run: &Run, most: usize) -> Result<Vec<Point>, Error> {
    let (started, finished) = times(&run.record)?;
    let mut points = Vec::new();
    let training: Vec<&HistoryRow> = rows(run, HistoryKind::Train).collect();
    let validations: Vec<&HistoryRow> = rows(run, HistoryKind::Validation).collect();
    let mut add = |key: &str, row: &HistoryRow, value: Option<f64>| {
        let time = started + (row.seconds.max(0.0) * 1000.0) as u64;
        points.extend(value.map(|value| Point { key: key.to_owned(), value, step: row.step, time }));
    };
    for row in thinned(&training, most) {
        add("train/loss", row, Some(row.loss));
        add("train/learning_rate", row, row.learning_rate);
        add("train/gradient_norm", row, row.gradient_norm);
    }
    for row in validations {
        add("validation/loss", row, Some(row.loss));
        add("validation/accuracy", row, row.accuracy);
        add("validation/macro_f1", row, row.macro_f1);
        add("validation/mcc", row, row.mcc);
    }
    let step = run.record.result.as_ref().map_or(0, |result| result.steps);
    let at_end =
        outcomes(&run.record).into_iter().map(|(key, value)| Point { key, value, step, time: finished });
    points.extend(at_end);
    Ok(points)
}

fn rows(run: &Run, kind: HistoryKind) -> impl Iterator<Item = &HistoryRow> {
    run.history.iter().filter(move |row| row.kind == kind)
}

/// Evenly spaced rows, the last one among them.
fn thinned<'a>(rows: &[&'a HistoryRow], most: usize) -> Vec<&'a HistoryRow> {
    if most == 0 || rows.len() <= most {
        return rows.to_vec();
    }
    (1..=most).map(|part| rows[part * rows.len() / most - 1]).collect()
}

/// What came out and what it cost, by name.
fn outcomes(record: &RunRecord) -> Vec<(String, f64)> {
    let mut found = Vec::new();
    let mut add = |place: &str, metrics: &Metrics| {
        found.extend([
            (format!("{place}/accuracy"), metrics.accuracy),
            (format!("{place}/macro_f1"), metrics.macro_f1),
            (format!("{place}/mcc"), metrics.mcc),
            (format!("{place}/loss"), metrics.loss),
            (format!("{place}/examples"), metrics.n as f64),
        ]);
    };
    if let Some(best) = record.validation() {
        add("best_validation", best);
    }
    for evaluation in record.result.iter().flat_map(|result| &result.evaluations) {
        let place = format!("{}/{}", evaluation.split, evaluation.task);
        add(&place, &evaluation.metrics);
        if let Some(clean) = &evaluation.without_overlap {
            add(&format!("{place}/without_overlap"), clean);
        }
    }
    found.push(("cost/seconds".to_owned(), record.cost.seconds));
    let stages = record.cost.stages.iter().flat_map(|stages| {
        [
            ("cost/preparation_seconds", stages.preparation_seconds),
            ("cost/training_seconds", stages.training_seconds),
            ("cost/evaluation_seconds", stages.evaluation_seconds),
        ]
    });
    found.extend(stages.map(|(key, seconds)| (key.to_owned(), seconds)));
    let bytes = [
        ("cost/peak_memory_bytes", record.cost.peak_memory_bytes),
        ("cost/bytes_fetched", record.cost.bytes_fetched),
    ];
    found.extend(bytes.into_iter().filter_map(|(key, bytes)| Some((key.to_owned(), bytes? as f64))));
    found
}

/// Start and end of a run in milliseconds since 1970.
pub(super) fn times(record: &RunRecord) -> Result<(u64, u64), Error> {
    let read = |text: &str| {
        clock::milliseconds(text)
            .ok_or_else(|| Error::Time { cell: record.cell.clone(), text: text.to_owned() })
    };
    let provenance = &record.provenance;
    Ok((read(&provenance.started)?, read(&provenance.finished)?))
}

/// Everything that decided the result, flat: `hyper_parameters.epochs` and so on.
pub fn parameters(record: &RunRecord) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    flatten("", &record.config, &mut found);
    found.insert("condition".to_owned(), record.condition.to_string());
    found.insert("seed".to_owned(), record.seed.0.to_string());
    found
}

fn flatten(path: &str, value: &Value, found: &mut BTreeMap<String, String>) {
    let below = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            fields.iter().for_each(|(name, value)| flatten(&below(name), value, found));
        }
        Value::Array(items) if items.iter().any(|item| item.is_object() || item.is_array()) => {
            items.iter().enumerate().for_each(|(at, item)| flatten(&below(&at.to_string()), item, found));
        }
        Value::String(text) => drop(found.insert(path.to_owned(), text.clone())),
        other => drop(found.insert(path.to_owned(), other.to_string())),
    }
}

/// What a person looks for a run by.
pub fn tags(record: &RunRecord) -> BTreeMap<String, String> {
    let subject = &record.subject;
    let mut tags = BTreeMap::from([
        ("condition".to_owned(), record.condition.to_string()),
        ("slm".to_owned(), subject.slm.clone()),
        ("task".to_owned(), subject.task.clone()),
        ("train".to_owned(), subject.train.clone()),
        ("program".to_owned(), record.provenance.program.clone()),
        ("device".to_owned(), record.provenance.device.clone()),
    ]);
    let optional = [("llm", &subject.llm), ("plug", &subject.plug), ("commit", &record.provenance.commit)];
    tags.extend(optional.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value.clone()?))));
    tags
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::runs::Condition;
    use crate::runs::record::example;

    /// A run of `steps` logged training steps and one validation.
    pub(in crate::report::export) fn run(cell: &str, layer: usize, steps: u64) -> Run {
        let row = |kind, step: u64| HistoryRow {
            kind,
            step,
            epoch: 1,
            loss: 1.0 / step as f64,
            learning_rate: Some(1e-3),
            gradient_norm: None,
            tokens: Some(32),
            seconds: 0.25 * step as f64,
            accuracy: (kind == HistoryKind::Validation).then_some(0.75),
            macro_f1: (kind == HistoryKind::Validation).then_some(0.5),
            mcc: None,
        };
        let mut history: Vec<HistoryRow> = (1..=steps).map(|step| row(HistoryKind::Train, step)).collect();
        history.push(row(HistoryKind::Validation, steps.max(1)));
        Run { record: example(cell, Condition::Layer(layer), 1, 0.75), history }
    }

    #[test]
    fn a_run_is_curves_outcomes_parameters_and_tags() {
        let run = run("ab", 3, 4);
        let points = points(&run, 0).unwrap();
        let of = |key: &str| -> Vec<(u64, f64)> {
            points.iter().filter(|point| point.key == key).map(|point| (point.step, point.value)).collect()
        };
        assert_eq!(of("train/loss"), [(1, 1.0), (2, 0.5), (3, 1.0 / 3.0), (4, 0.25)]);
        assert_eq!(of("validation/accuracy"), [(4, 0.75)]);
        assert_eq!(of("test/home/accuracy"), [(3, 0.75)]);
        assert_eq!(of("train/gradient_norm"), []);
        assert_eq!(of("cost/seconds"), [(3, 2.0)]);
        // 2026-01-01 by `date -u -d 2026-01-01 +%s`
        assert_eq!(points[0].time, 1_767_225_600_250);
        assert_eq!(parameters(&run.record)["hyper_parameters.epochs"], "1");
        assert_eq!(tags(&run.record)["condition"], "layer 3");
    }

    #[test]
    fn long_curves_are_thinned_and_keep_their_end() {
        let run = run("ab", 3, 1003);
        let points = points(&run, 10).unwrap();
        let steps: Vec<u64> =
            points.iter().filter(|point| point.key == "train/loss").map(|point| point.step).collect();
        assert_eq!(steps, [100, 200, 300, 401, 501, 601, 702, 802, 902, 1003]);
    }

    #[test]
    fn a_record_without_a_time_is_named() {
        let mut run = run("ab", 3, 1);
        run.record.provenance.started = "yesterday".into();
        assert_eq!(points(&run, 0).unwrap_err().to_string(), "run `ab` has no readable time: `yesterday`");
    }
}
