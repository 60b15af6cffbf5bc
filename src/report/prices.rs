//! What every condition costs against what it brings, as a table.

use std::collections::BTreeMap;

use super::document::{Block, Row, Table};
use super::text::{decimal, mean, points_with_interval, row_name};
use crate::analysis::layers::{Condition, LayerAnswer};
use crate::analysis::price::{Spent, spent, unbeaten};
use crate::runs::RunRecord;

/// A condition and what its finished runs cost.
#[derive(Clone, Debug, PartialEq)]
pub struct Price {
    /// The condition.
    pub condition: Condition,
    /// The cost.
    pub spent: Spent,
}

/// The prices of all conditions of some runs.
pub(super) fn of(records: &[RunRecord]) -> Vec<Price> {
    let runs = records.iter().map(|record| {
        let condition = crate::analysis::collect::condition(record.condition);
        (condition, record.cost.seconds, record.cost.bytes_fetched)
    });
    let spent: BTreeMap<Condition, Spent> = spent(runs);
    spent.into_iter().map(|(condition, spent)| Price { condition, spent }).collect()
}

/// The table; nothing where no run told its time.
pub(super) fn blocks(answer: &LayerAnswer, prices: &[Price]) -> Vec<Block> {
    let offers: Vec<_> = answer
        .validation
        .conditions
        .iter()
        .filter_map(|row| Some((row, prices.iter().find(|price| price.condition == row.condition)?)))
        .collect();
    if offers.is_empty() {
        return Vec::new();
    }
    let fetched = offers.iter().any(|(_, price)| price.spent.bytes.is_some_and(|bytes| bytes > 0));
    let sides: Vec<(f64, Vec<f64>)> = offers
        .iter()
        .map(|(row, price)| {
            let bytes = fetched.then(|| price.spent.bytes.unwrap_or(0) as f64);
            (row.metric.mean, std::iter::once(price.spent.seconds).chain(bytes).collect())
        })
        .collect();
    let front = unbeaten(&sides);
    let rows = offers.iter().zip(front).map(|((row, price), unbeaten)| {
        let Spent { runs, seconds, range: (least, most), bytes } = &price.spent;
        let gain = row
            .over_base
            .as_ref()
            .map_or_else(|_| "\u{2013}".to_owned(), |contrast| points_with_interval(&contrast.estimate));
        let time = format!("{} ({} to {})", decimal(*seconds, 1), decimal(*least, 1), decimal(*most, 1));
        let mut cells =
            vec![row_name(answer, &row.condition), mean(&row.metric), gain, time, runs.to_string()];
        if fetched {
            cells.push(
                bytes.map_or_else(|| "\u{2013}".to_owned(), |bytes| decimal(bytes as f64 / 1_048_576.0, 1)),
            );
        }
        cells.push(if unbeaten { "yes" } else { "\u{2013}" }.to_owned());
        Row { cells, marked: row.condition == Condition::Layer(answer.chosen) }
    });
    let what = if fetched { "time and bytes" } else { "time" };
    let mut header: Vec<String> =
        ["Condition".to_owned(), format!("Validation {} (%)", answer.metric), "Over no plug".to_owned()]
            .into();
    header.extend(["Seconds a cell, median (least to most)", "Cells"].map(str::to_owned));
    header.extend(fetched.then(|| "Fetched (MiB)".to_owned()));
    header.push("Unbeaten".to_owned());
    vec![Block::Table(Table {
        caption: format!(
            "What each condition brings against what it costs. Unbeaten (the Pareto front): no other condition has a \
             mean metric and {what} that are as good and one of them better; differences within the intervals, and \
             seconds of a busy machine, mean little. In a screen one cell computes the features for all: it is the \
             longest."
        ),
        header,
        rows: rows.collect(),
        texts: 1,
    })]
}
