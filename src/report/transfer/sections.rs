//! What a transfer report says, in order: the answer, the heat map, means over domains, every field
//! of the chosen layer, drops and robustness, what other protocols would have chosen, costs,
//! failures, warnings, definitions and where it all comes from.

use super::super::ReportContext;
use super::super::document::{Block, Document, Figure, Row, Section, Table};
use super::super::text::{count, decimal, p_value, percent, points, points_with_interval};
use super::distances::{self, Distances};
use super::{name, ranks, sentence};
use crate::analysis::statistics::Estimate;
use crate::analysis::transfer::{ConditionTransfer, Field, MeanGain, NotAvailable, Protocol, TransferAnswer};

/// The drawn figures.
pub(super) struct Figures {
    pub(super) gains: Option<String>,
    pub(super) scatter: Option<String>,
    pub(super) apart: Option<String>,
}

/// The whole report.
pub(super) fn document(
    answer: &TransferAnswer,
    shown: &[&ConditionTransfer],
    (context, distances): (&ReportContext, &Distances),
    Figures { gains, scatter, apart }: Figures,
) -> Document {
    let section = |title: &str, blocks: Vec<Block>| Section { title: title.to_owned(), blocks };
    let mut first = Vec::new();
    if let Some(svg) = gains {
        first.push(Block::Figure(Figure {
            name: "gains".to_owned(),
            svg,
            alternative: "Heat maps of the gain over no plug, a matrix of domains for every condition.".to_owned(),
            caption: "Rows are the domains trained on, columns those tested on. A star marks gains whose 95% interval \
                      does not cover zero; many fields are looked at, so a few stars are expected by luck."
                .to_owned(),
        }));
    }
    let mut sections = vec![
        section("The gain by domain", first),
        section("Every condition over all domains", everything(answer)),
        section("The fields of the matrix", shown.iter().map(|row| fields(answer, row)).collect()),
        section("Drops and effective robustness", robustness(answer, shown, scatter)),
    ];
    let apart = distances::blocks(answer, distances, apart);
    if !apart.is_empty() {
        sections.push(section("How far apart the domains are", apart));
    }
    if !answer.regrets.is_empty() {
        sections.push(section("What knowing the tests would have chosen", regrets(answer)));
    }
    if !context.cost.is_empty() {
        let table = Table::of_pairs("", ["What", "Cost"], &context.cost);
        sections.push(section("Cost", vec![Block::Table(table)]));
    }
    if !context.failures.is_empty() {
        let table = Table::of_pairs("", ["Cell", "Reason"], &context.failures);
        sections.push(section("Failures", vec![Block::Table(table)]));
    }
    let warnings = sentence::warnings(answer);
    if !warnings.is_empty() {
        sections.push(section("Warnings", vec![Block::List(warnings)]));
    }
    sections.push(section("How it is reckoned", vec![Block::List(definitions(answer))]));
    if !context.notes.is_empty() {
        sections.push(section("Notes", vec![Block::List(context.notes.clone())]));
    }
    let manifest = Table::of_pairs("", ["What", "Value"], &context.manifest);
    sections.push(section("Manifest", vec![Block::Code(context.command.clone()), Block::Table(manifest)]));
    let title =
        if context.synthetic { format!("{} (synthetic data)", context.title) } else { context.title.clone() };
    Document { title, lead: sentence::first(answer, context.synthetic), sections }
}

fn everything(answer: &TransferAnswer) -> Vec<Block> {
    let mut blocks = vec![means(answer)];
    blocks.extend(without_shared(answer).map(Block::Table));
    blocks.extend(ranks::blocks(answer));
    blocks
}

/// The mean gains with and without texts that stand in the training set.
fn without_shared(answer: &TransferAnswer) -> Option<Table> {
    let shares = |row: &&ConditionTransfer| row.clean_home.is_some() || row.clean_away.is_some();
    let rows: Vec<Row> = answer
        .conditions
        .iter()
        .filter(shares)
        .map(|row| {
            let gain = |gain: &Result<MeanGain, NotAvailable>| {
                or_reason(gain, |gain| points_with_interval(&gain.estimate))
            };
            let clean = |it: &Option<Result<MeanGain, NotAvailable>>| {
                it.as_ref().map_or_else(|| "none shared".to_owned(), gain)
            };
            let p = row.clean_away.as_ref().and_then(|it| it.as_ref().ok());
            Row {
                cells: vec![
                    name(answer, &row.condition),
                    gain(&row.gain_home),
                    clean(&row.clean_home),
                    gain(&row.gain_away),
                    clean(&row.clean_away),
                    p.map_or_else(|| "n/a".to_owned(), |gain| p_value(gain.p)),
                ],
                marked: row.condition.layer().is_some()
                    && row.condition.layer() == answer.choice.as_ref().map(|choice| choice.layer),
            }
        })
        .collect();
    (!rows.is_empty()).then(|| Table {
        caption: "The mean gains over no plug in points with and without the test texts that also stand in the training \
                  set (exactly or nearly), paired by seed and example. p: of the gain elsewhere without them, not \
                  corrected."
            .to_owned(),
        header: [
            "Condition",
            "Gain at home",
            "Without shared texts",
            "Gain elsewhere",
            "Without shared texts",
            "p without",
        ]
        .map(str::to_owned)
        .into(),
        rows,
        texts: 1,
    })
}

fn means(answer: &TransferAnswer) -> Block {
    let chosen = answer.choice.as_ref().map(|choice| choice.layer);
    let rows = answer.conditions.iter().map(|row| {
        let gain = |gain: &Result<MeanGain, NotAvailable>| {
            or_reason(gain, |gain| points_with_interval(&gain.estimate))
        };
        let p = row.gain_away.as_ref().map_or_else(|_| "n/a".to_owned(), |gain| p_value(gain.p));
        let worst = row.worst.as_ref().map_or_else(
            || "n/a".to_owned(),
            |worst| {
                format!(
                    "{} ({} on {})",
                    percent(worst.accuracy),
                    answer.domain(worst.trained),
                    answer.domain(worst.tested)
                )
            },
        );
        Row {
            cells: vec![
                name(answer, &row.condition),
                row.runs.to_string(),
                percent(row.validation),
                gain(&row.gain_home),
                gain(&row.gain_away),
                p,
                gain(&row.loss),
                ratio(row),
                worst,
                or_reason(&row.average_rank, |rank| decimal(*rank, 2)),
            ],
            marked: row.condition.layer().is_some() && row.condition.layer() == chosen,
        }
    });
    Block::Table(Table {
        caption: format!(
            "Mean gains over no plug in percentage points with 95% two-level paired bootstrap intervals ({} resamples; \
             examples of each domain apart, seeds in common). p: of the gain elsewhere, not corrected for the \
             number of conditions.",
            count(answer.resamples)
        ),
        header: [
            "Condition",
            "Runs",
            "Validation (%)",
            "Gain at home",
            "Gain elsewhere",
            "p",
            "Transfer loss",
            "Transfer ratio",
            "Worst field (%)",
            "Mean rank",
        ]
        .map(str::to_owned)
        .into(),
        rows: rows.collect(),
        texts: 1,
    })
}

/// `1.85 [1.62, 2.11]`; without its interval where that has an open end.
fn ratio(row: &ConditionTransfer) -> String {
    match &row.ratio_interval {
        Ok(it) => format!("{} [{}, {}]", decimal(it.value, 2), decimal(it.low, 2), decimal(it.high, 2)),
        Err(_) => or_reason(&row.ratio, |ratio| format!("{} (no interval)", decimal(*ratio, 2))),
    }
}

fn fields(answer: &TransferAnswer, row: &ConditionTransfer) -> Block {
    let rows = row.fields.iter().map(|field| Row {
        cells: vec![
            answer.domain(field.trained).to_owned(),
            answer.domain(field.tested).to_owned(),
            count(field.examples),
            accuracy(field),
            or_reason(&field.over_base, |gain| points_with_interval(&gain.estimate)),
            field.over_base.as_ref().map_or_else(|_| "n/a".to_owned(), |gain| p_value(gain.p)),
            field.without_shared.as_ref().map_or_else(
                || if field.shared == 0 { "none shared".to_owned() } else { "n/a".to_owned() },
                |without| {
                    let gain = or_reason(&without.over_base, |gain| {
                        format!("{}, p {}", points_with_interval(&gain.estimate), p_value(gain.p))
                    });
                    format!("{}% of {}; {gain}", percent(without.accuracy), count(without.examples))
                },
            ),
        ],
        marked: field.trained == field.tested,
    });
    Block::Table(Table {
        caption: name(answer, &row.condition),
        header: [
            "Trained on",
            "Tested on",
            "Examples",
            "Accuracy (%)",
            "Over no plug",
            "p",
            "Without texts of the training set",
        ]
        .map(str::to_owned)
        .into(),
        rows: rows.collect(),
        texts: 2,
    })
}

fn accuracy(field: &Field) -> String {
    match (&field.interval, &field.accuracy) {
        (Ok(it), _) => format!("{} [{}, {}]", percent(it.value), percent(it.low), percent(it.high)),
        (Err(_), Ok(accuracy)) => percent(*accuracy),
        (Err(_), Err(reason)) => format!("n/a: {reason}"),
    }
}

fn robustness(answer: &TransferAnswer, shown: &[&ConditionTransfer], scatter: Option<String>) -> Vec<Block> {
    let mut rows = Vec::new();
    for row in shown {
        for field in row.fields.iter().filter(|field| field.trained != field.tested) {
            let drop = |drop: &Result<Estimate, NotAvailable>| or_reason(drop, points_with_interval);
            rows.push(Row {
                cells: vec![
                    name(answer, &row.condition),
                    answer.domain(field.trained).to_owned(),
                    answer.domain(field.tested).to_owned(),
                    drop(&field.source_drop),
                    drop(&field.target_drop),
                    or_reason(&field.robustness, |it| {
                        format!("{} [{}, {}]", decimal(it.value, 3), decimal(it.low, 3), decimal(it.high, 3))
                    }),
                ],
                marked: false,
            });
        }
    }
    let mut blocks = Vec::new();
    if let Some(svg) = scatter {
        blocks.push(Block::Figure(Figure {
            name: "home-and-away".to_owned(),
            svg,
            alternative: "Accuracy at home against accuracy on other domains, a dot a run.".to_owned(),
            caption: "Harder domains lie lower whatever is plugged: compare colours, not places.".to_owned(),
        }));
    }
    blocks.push(Block::Table(Table {
        caption: "Source drop A[s,s] − A[s,t] (may only mean that t is harder), target drop A[t,t] − A[s,t], both in \
                  points; effective robustness in probits above the line through runs without a plug, with its t \
                  interval over seeds (the line taken as known)."
            .to_owned(),
        header: ["Condition", "Trained on", "Tested on", "Source drop", "Target drop", "Effective robustness"]
            .map(str::to_owned)
            .into(),
        rows,
        texts: 3,
    }));
    blocks
}

fn regrets(answer: &TransferAnswer) -> Vec<Block> {
    let rows = answer.regrets.iter().map(|regret| Row {
        cells: vec![
            answer.domain(regret.trained).to_owned(),
            answer.domain(regret.tested).to_owned(),
            regret.protocol.to_string(),
            format!("layer {}", regret.layer),
            points(regret.regret),
        ],
        marked: false,
    });
    vec![Block::Table(Table {
        caption: "Accuracy of the layer that the protocol would have chosen minus that of the chosen layer, in points. \
                  These protocols look at tests: bounds, not claims."
            .to_owned(),
        header: ["Trained on", "Tested on", "Protocol", "Its layer", "Regret"].map(str::to_owned).into(),
        rows: rows.collect(),
        texts: 4,
    })]
}

fn definitions(answer: &TransferAnswer) -> Vec<String> {
    let protocol = answer.choice.as_ref().map_or(Protocol::TrainDomainValidation, |choice| choice.protocol);
    let mut items = Vec::new();
    if let Some(choice) = &answer.choice {
        let by_domain = choice.by_domain.iter();
        let by_domain: Vec<String> =
            by_domain.map(|(domain, layer)| format!("{} layer {layer}", answer.domain(*domain))).collect();
        items.push(format!(
            "Selection protocol: {protocol}. Layer {} of {} compared has the best mean validation ({}%); each training \
             domain by itself would have chosen: {}.",
            choice.layer,
            choice.compared,
            percent(choice.validation),
            by_domain.join(", ")
        ));
    }
    items.extend(
        [
            "Each run keeps the weights of its best epoch by validation in its own training domain; every test set is \
             read once and chooses nothing.",
            "A[s,t]: accuracy trained on s and tested on t. Transfer loss: mean over pairs of E[s,t] − E[t,t] with \
             E = 1 − A; transfer ratio: mean of E[s,t] / E[t,t], without a value where a domain has no error at home, \
             without an interval where it has none in some resample. \
             Both need domains that are trained on as well as tested on.",
            "Classes are compared by name and order; pairs whose classes differ are not available.",
            "Texts of a test set that also stand in the training set of the row are found exactly and nearly; gains are \
             given with and without them.",
            "The generalisation gap, training accuracy minus that on tests at home, is not available: runs keep the loss \
             of training batches, taken with dropout and while the weights move, and no accuracy on the training split.",
        ]
        .map(str::to_owned),
    );
    items
}

fn or_reason<T>(result: &Result<T, NotAvailable>, show: impl FnOnce(&T) -> String) -> String {
    match result {
        Ok(value) => show(value),
        Err(reason) => format!("n/a: {reason}"),
    }
}
