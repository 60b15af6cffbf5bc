//! What every condition costs against what it brings: as a chart, a table and `prices.csv`.

use std::collections::BTreeMap;

use super::csv::{line, number};
use super::document::{Block, Figure, Row, Table};
use super::text::{decimal, mean, points_with_interval, row_name};
use crate::analysis::layers::{Condition, ConditionOnSet, LayerAnswer};
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

/// A condition with what it brings and costs.
pub(super) struct Offer<'a> {
    pub(super) row: &'a ConditionOnSet,
    pub(super) price: &'a Price,
    /// Whether no other one is as good in the metric and every price, and better in one of them.
    pub(super) unbeaten: bool,
}

/// All conditions that have a price.
pub(super) struct Offers<'a> {
    pub(super) all: Vec<Offer<'a>>,
    /// Whether any of them fetched something, so that bytes are a price.
    pub(super) fetched: bool,
}

/// The conditions of the validation set that have a price, in their order.
pub(super) fn offers<'a>(answer: &'a LayerAnswer, prices: &'a [Price]) -> Offers<'a> {
    let found: Vec<_> = answer
        .validation
        .conditions
        .iter()
        .filter_map(|row| Some((row, prices.iter().find(|price| price.condition == row.condition)?)))
        .collect();
    let fetched = found.iter().any(|(_, price)| price.spent.bytes.is_some_and(|bytes| bytes > 0));
    let sides: Vec<(f64, Vec<f64>)> = found
        .iter()
        .map(|(row, price)| {
            let bytes = fetched.then(|| price.spent.bytes.unwrap_or(0) as f64);
            (row.metric.mean, std::iter::once(price.spent.seconds).chain(bytes).collect())
        })
        .collect();
    let front = unbeaten(&sides);
    let all = found.into_iter().zip(front).map(|((row, price), unbeaten)| Offer { row, price, unbeaten });
    Offers { all: all.collect(), fetched }
}

/// The text of `prices.csv`, one row a condition: `condition`, `layer`, `cells`, `validation_mean`,
/// `over_base` with its interval (fractions), `seconds` of a cell (the median) with the least and the
/// most, `bytes` that all its cells fetched together, `unbeaten`.
pub(super) fn csv(offers: &Offers<'_>) -> String {
    let names = "condition layer cells validation_mean over_base over_base_low over_base_high seconds seconds_least \
                 seconds_most bytes unbeaten";
    let header: Vec<String> = names.split_whitespace().map(str::to_owned).collect();
    let mut text = line(&header);
    for Offer { row, price, unbeaten } in &offers.all {
        let gain = row.over_base.as_ref().ok().map(|contrast| contrast.estimate);
        let Spent { runs, seconds, range: (least, most), bytes } = &price.spent;
        text.push_str(&line(&[
            row.condition.to_string(),
            row.condition.layer().map_or_else(String::new, |layer| layer.to_string()),
            runs.to_string(),
            number(Some(row.metric.mean)),
            number(gain.map(|gain| gain.value)),
            number(gain.map(|gain| gain.low)),
            number(gain.map(|gain| gain.high)),
            number(Some(*seconds)),
            number(Some(*least)),
            number(Some(*most)),
            bytes.map_or_else(String::new, |bytes| bytes.to_string()),
            unbeaten.to_string(),
        ]));
    }
    text
}

/// The chart and the table; nothing where no run told its time.
pub(super) fn blocks(answer: &LayerAnswer, prices: &[Price], drawn: Option<String>) -> Vec<Block> {
    let Offers { all: offers, fetched } = offers(answer, prices);
    if offers.is_empty() {
        return Vec::new();
    }
    let rows = offers.iter().map(|Offer { row, price, unbeaten }| {
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
        cells.push(if *unbeaten { "yes" } else { "\u{2013}" }.to_owned());
        Row { cells, marked: row.condition == Condition::Layer(answer.chosen) }
    });
    let what = if fetched { "time and bytes" } else { "time" };
    let mut header: Vec<String> =
        ["Condition".to_owned(), format!("Validation {} (%)", answer.metric), "Over no plug".to_owned()]
            .into();
    header.extend(["Seconds a cell, median (least to most)", "Cells"].map(str::to_owned));
    header.extend(fetched.then(|| "Fetched (MiB)".to_owned()));
    header.push("Unbeaten".to_owned());
    let mut blocks = Vec::new();
    blocks.extend(drawn.map(|svg| {
        Block::Figure(Figure {
            name: "prices".to_owned(),
            svg,
            alternative: "Validation metric of every condition against seconds and bytes.".to_owned(),
            caption:
                "Filled dots are unbeaten in the metric and all prices together; every dot is the mean over \
                      seeds, and differences within the intervals mean little. Numbers: prices.csv."
                    .to_owned(),
        })
    }));
    blocks.push(Block::Table(Table {
        caption: format!(
            "What each condition brings against what it costs. Unbeaten (the Pareto front): no other condition has a \
             mean metric and {what} that are as good and one of them better; differences within the intervals, and \
             seconds of a busy machine, mean little. In a screen one cell computes the features for all: it is the \
             longest."
        ),
        header,
        rows: rows.collect(),
        texts: 1,
    }));
    blocks
}
