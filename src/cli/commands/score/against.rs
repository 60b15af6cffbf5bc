//! Scores held against a study, and the layers that they would keep.

use std::collections::BTreeMap;

use super::super::super::attachments::RESAMPLES;
use super::super::super::error::Error;
use super::tables::Row;
use crate::analysis::agreement::{self, Agreement, Measured, Question, Truth};
use crate::analysis::layers::LayerAnswer;
use crate::analysis::scores::Score;
use crate::analysis::scores::screen::{TooFewScores, mean_ranks};
use crate::analysis::screen::{self, Criterion};
use crate::analysis::statistics::Estimate;
use crate::error::Failure;
use crate::runs::columns::Columns;
use crate::runs::representations::Manifest;
use crate::seed::Seed;

/// How far each score agrees with a study.
pub(super) struct Agreements {
    /// What the scores are held against.
    pub(super) truth: &'static str,
    found: Vec<(&'static str, Agreement)>,
}

/// A part of an agreement.
type Quantity = fn(&Agreement) -> &Measured;

/// What an agreement consists of, by name.
const QUANTITIES: [(&str, Quantity); 5] = [
    ("weighted_tau", |found| &found.weighted_tau),
    ("tau", |found| &found.tau),
    ("rho", |found| &found.rho),
    ("regret", |found| &found.regret),
    ("recovery", |found| &found.recovery),
];

impl Agreements {
    /// One row a score, for people.
    pub(super) fn short(&self) -> Columns {
        let each = || self.found.iter();
        let mut table = Columns::new("agreement")
            .words("score", each().map(|(name, _)| Some(*name)))
            .counts("layers", each().map(|(_, found)| Some(found.layers)))
            .counts("seeds", each().map(|(_, found)| Some(found.seeds)))
            .counts("chosen", each().map(|(_, found)| found.chosen))
            .counts("best", each().map(|(_, found)| found.best));
        for (name, of) in QUANTITIES {
            table = table.words(name, each().map(|(_, found)| Some(shown(of(found)))));
        }
        table
    }

    /// One row a score and quantity, for files.
    pub(super) fn long(&self) -> Columns {
        let each: Vec<(&'static str, &Agreement, &'static str, &Measured)> = self
            .found
            .iter()
            .flat_map(|(score, found)| {
                QUANTITIES.iter().map(move |(name, of)| (*score, found, *name, of(found)))
            })
            .collect();
        let number = |of: fn(&Estimate) -> f64| -> Vec<Option<f64>> {
            each.iter().map(|it| it.3.as_ref().ok().map(of)).collect()
        };
        Columns::new("agreement")
            .words("score", each.iter().map(|it| Some(it.0)))
            .words("truth", each.iter().map(|_| Some(self.truth)))
            .words("quantity", each.iter().map(|it| Some(it.2)))
            .numbers("value", number(|found| found.value))
            .numbers("low", number(|found| found.low))
            .numbers("high", number(|found| found.high))
            .words("reason", each.iter().map(|it| it.3.as_ref().err().map(ToString::to_string)))
            .counts("layers", each.iter().map(|it| Some(it.1.layers)))
            .counts("seeds", each.iter().map(|it| Some(it.1.seeds)))
            .counts("chosen", each.iter().map(|it| it.1.chosen))
            .counts("best", each.iter().map(|it| it.1.best))
    }
}

/// Refuses a study of another LLM, and says where a study and hidden states differ otherwise.
///
/// # Errors
/// A study whose LLM has fewer layers.
pub(super) fn check(answer: &LayerAnswer, train: &Manifest) -> Result<Vec<String>, Failure> {
    let layers = train.sites.iter().filter_map(|site| site.layer).max().map_or(0, |last| last + 1);
    if layers > answer.layers {
        let value = format!("a study of `{}` with {} layers", answer.llm, answer.layers);
        let expected = "a study of the LLM whose hidden states are scored";
        return Err(Error::Flag { flag: "--against", value, expected }.into());
    }
    let pairs = [("task", &answer.task, &train.task), ("model", &answer.llm, &train.model)];
    let differ = pairs.into_iter().filter(|(_, study, own)| study != own);
    Ok(differ
        .map(|(what, study, own)| format!("{what} of the study: `{study}`; of the hidden states: `{own}`"))
        .collect())
}

/// How far each score agrees with the study.
pub(super) fn agreements(rows: &[Row], answer: &LayerAnswer, seed: Seed) -> Agreements {
    let Truth { layers: trained, gains, noise } = agreement::truth(answer);
    let question =
        Question { last: answer.last(), noise, resamples: RESAMPLES, seed: seed.derive("agreement") };
    let count = rows.first().map_or(0, |row| row.scores.len());
    let found: Vec<(&'static str, Agreement)> = (0..count)
        .map(|at| {
            let value = |row: &Row| {
                let score = &row.scores[at];
                let sign = if score.higher_is_better { 1.0 } else { -1.0 };
                Some((row.layer?, sign * score.value.as_ref().ok()?))
            };
            let scores: Vec<(usize, f64)> = rows.iter().filter_map(value).collect();
            (rows[0].scores[at].name, agreement::agreement(&scores, &trained, question))
        })
        .collect();
    Agreements { truth: if gains { "gain over base on validation" } else { "accuracy on validation" }, found }
}

/// The mean rank of every layer.
///
/// # Errors
/// As [`mean_ranks`].
pub(crate) fn ranked(rows: &[Row]) -> Result<BTreeMap<usize, f64>, TooFewScores> {
    let layers: Vec<(usize, &[Score])> =
        rows.iter().filter_map(|row| Some((row.layer?, row.scores.as_slice()))).collect();
    mean_ranks(&layers)
}

/// The layers that are kept by mean rank, the last one besides.
///
/// # Errors
/// As [`ranked`].
pub(super) fn kept(rows: &[Row], keep: usize) -> Result<Vec<usize>, Failure> {
    let last = rows.iter().filter_map(|row| row.layer).max().unwrap_or(0);
    Ok(screen::kept(&ranked(rows)?, Criterion::MeanRank, keep, last))
}

fn shown(measured: &Measured) -> String {
    match measured {
        Ok(found) => format!("{:.3} [{:.3}, {:.3}]", found.value, found.low, found.high),
        Err(reason) => format!("n/a: {reason}"),
    }
}
