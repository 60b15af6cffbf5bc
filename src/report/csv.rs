//! The tables behind the figures as CSV. Metrics and differences are fractions (0.912, 0.006);
//! an empty cell has no value (one seed has no interval over seeds, a control has no layer).
//!
//! `layers.csv`, one row a condition: `condition`, `layer`, `role` (chosen, last, candidate,
//! control; a chosen last layer is `chosen`), `seeds`; on validation `validation_mean` with its 95%
//! t interval over seeds (`_low`, `_high`), `validation_macro_f1`, `validation_mcc`,
//! `validation_over_base` and `validation_over_last` with their bootstrap intervals, `_p` and
//! `_p_holm`; `behind_best` with an interval that holds for all layers at once, `tied`, `p_best`;
//! on test the same as far as it was measured: only the chosen layer, the last layer and controls
//! are claimed in the report, choosing by these columns would favour luck; at the end
//! `validation_seed_S` for every seed S.
//!
//! `best.csv`, one row a compared layer: `layer`, `p_best`, `behind_best` with its interval, `tied`,
//! `chosen`.
//!
//! `transfer.csv`, one row a set and condition: `set`, `role` (validation, test, domain),
//! `examples`, `overlapping`, `condition`, `seeds`, `mean`, `low`, `high`, `over_base` with
//! interval and p values, and the same without overlapping texts.

use crate::analysis::layers::{ConditionOnSet, Contrast, LayerAnswer, SetRole, Summary};
use crate::analysis::statistics::Undefined;

/// The text of `layers.csv`.
pub(super) fn layers(answer: &LayerAnswer) -> String {
    let mut header = fields("condition layer role seeds");
    header.extend(summary_names("validation"));
    header.extend(contrast_names("validation_over_base", true));
    header.extend(contrast_names("validation_over_last", true));
    header.extend(fields("behind_best behind_best_low behind_best_high tied p_best"));
    header.extend(summary_names("test"));
    header.extend(contrast_names("test_over_base", false));
    header.extend(contrast_names("test_over_last", false));
    header.extend(answer.seeds.iter().map(|seed| format!("validation_seed_{seed}")));
    let mut text = line(&header);
    for row in &answer.validation.conditions {
        let layer = row.condition.layer();
        let mut cells = vec![
            row.condition.to_string(),
            layer.map_or_else(String::new, |layer| layer.to_string()),
            role(answer, layer).to_owned(),
            row.metric.seeds.len().to_string(),
        ];
        cells.extend(summary_cells(Some(row)));
        cells.extend(contrast_cells(Some(&row.over_base), true));
        cells.extend(contrast_cells(Some(&row.over_last), true));
        let behind = answer.behind.iter().find(|behind| Some(behind.layer) == layer);
        let difference = behind.map(|behind| behind.difference);
        cells.extend([
            number(difference.map(|estimate| estimate.value)),
            number(difference.map(|estimate| estimate.low)),
            number(difference.map(|estimate| estimate.high)),
            behind.map_or_else(String::new, |behind| behind.tied.to_string()),
        ]);
        let best = answer.best_probability.iter().find(|best| Some(best.layer) == layer);
        cells.push(number(best.map(|best| best.probability)));
        let test = answer.test.as_ref().and_then(|test| test.get(&row.condition));
        cells.extend(summary_cells(test));
        cells.extend(contrast_cells(test.map(|test| &test.over_base), false));
        cells.extend(contrast_cells(test.map(|test| &test.over_last), false));
        for seed in &answer.seeds {
            let value = row.metric.seeds.iter().find(|(of, _)| of == seed).map(|(_, value)| *value);
            cells.push(number(value));
        }
        text.push_str(&line(&cells));
    }
    text
}

/// The text of `best.csv`.
pub(super) fn best(answer: &LayerAnswer) -> String {
    let mut text = line(&fields("layer p_best behind_best behind_best_low behind_best_high tied chosen"));
    for best in &answer.best_probability {
        let behind = answer.behind.iter().find(|behind| behind.layer == best.layer);
        let difference = behind.map(|behind| behind.difference);
        text.push_str(&line(&[
            best.layer.to_string(),
            number(Some(best.probability)),
            number(difference.map(|estimate| estimate.value)),
            number(difference.map(|estimate| estimate.low)),
            number(difference.map(|estimate| estimate.high)),
            answer.tied.contains(&best.layer).to_string(),
            (best.layer == answer.chosen).to_string(),
        ]));
    }
    text
}

/// The text of `transfer.csv`.
pub(super) fn transfer(answer: &LayerAnswer) -> String {
    let mut header = fields("set role examples overlapping condition seeds mean low high");
    header.extend(contrast_names("over_base", true));
    header.extend(fields("without_overlap_mean"));
    header.extend(contrast_names("without_overlap_over_base", false));
    let mut text = line(&header);
    for set in std::iter::once(&answer.validation).chain(&answer.test).chain(&answer.domains) {
        let role = match set.role {
            SetRole::Validation => "validation",
            SetRole::Test => "test",
            SetRole::Domain => "domain",
        };
        for row in &set.conditions {
            let mut cells = vec![
                set.name.clone(),
                role.to_owned(),
                set.examples.to_string(),
                set.overlapping.to_string(),
                row.condition.to_string(),
                row.metric.seeds.len().to_string(),
            ];
            cells.extend(mean_cells(&row.metric));
            cells.extend(contrast_cells(Some(&row.over_base), true));
            let part = row.without_overlap.as_ref();
            cells.push(number(part.map(|part| part.summary.mean)));
            cells.extend(contrast_cells(part.map(|part| &part.over_base), false));
            text.push_str(&line(&cells));
        }
    }
    text
}

fn role(answer: &LayerAnswer, layer: Option<usize>) -> &'static str {
    match layer {
        None => "control",
        Some(layer) if layer == answer.chosen => "chosen",
        Some(layer) if layer == answer.last() => "last",
        Some(_) => "candidate",
    }
}

fn fields(names: &str) -> Vec<String> {
    names.split(' ').map(str::to_owned).collect()
}

fn summary_names(set: &str) -> Vec<String> {
    ["mean", "low", "high", "macro_f1", "mcc"].map(|part| format!("{set}_{part}")).into()
}

fn contrast_names(name: &str, holm: bool) -> Vec<String> {
    let mut names = vec![name.to_owned(), format!("{name}_low"), format!("{name}_high"), format!("{name}_p")];
    if holm {
        names.push(format!("{name}_p_holm"));
    }
    names
}

fn mean_cells(summary: &Summary) -> [String; 3] {
    let interval = summary.interval.as_ref().ok();
    [
        number(Some(summary.mean)),
        number(interval.map(|interval| interval.low)),
        number(interval.map(|interval| interval.high)),
    ]
}

fn summary_cells(row: Option<&ConditionOnSet>) -> Vec<String> {
    let Some(row) = row else { return vec![String::new(); 5] };
    let mut cells: Vec<String> = mean_cells(&row.metric).into();
    cells.push(number(row.macro_f1.as_ref().map(|summary| summary.mean)));
    cells.push(number(row.mcc.as_ref().map(|summary| summary.mean)));
    cells
}

fn contrast_cells(contrast: Option<&Result<Contrast, Undefined>>, holm: bool) -> Vec<String> {
    let contrast = contrast.and_then(|contrast| contrast.as_ref().ok());
    let estimate = contrast.map(|contrast| contrast.estimate);
    let mut cells = vec![
        number(estimate.map(|estimate| estimate.value)),
        number(estimate.map(|estimate| estimate.low)),
        number(estimate.map(|estimate| estimate.high)),
        number(contrast.map(|contrast| contrast.p)),
    ];
    if holm {
        cells.push(number(contrast.and_then(|contrast| contrast.p_holm)));
    }
    cells
}

/// Six decimals; what rounds to zero has no sign.
pub(super) fn number(value: Option<f64>) -> String {
    value.map_or_else(String::new, |value| {
        let text = format!("{value:.6}");
        if text == "-0.000000" { "0.000000".to_owned() } else { text }
    })
}

/// RFC 4180: quotes where a cell holds a comma, a quote or a line end.
pub(super) fn line(cells: &[String]) -> String {
    let cells: Vec<String> = cells
        .iter()
        .map(|cell| {
            if cell.contains([',', '"', '\n', '\r']) {
                format!("\"{}\"", cell.replace('"', "\"\""))
            } else {
                cell.clone()
            }
        })
        .collect();
    cells.join(",") + "\n"
}
