//! `transfer.csv`, one row a condition and field: `condition`, `layer`, `chosen`, `trained`,
//! `tested`, `examples`, `shared` (test texts that also stand in the training set), `seeds`,
//! `accuracy` with its 95% t interval over seeds, `over_base` with its two-level bootstrap interval
//! and p, `source_drop`, `target_drop` and `robustness` with intervals, `without_shared_accuracy`
//! over `without_shared_examples` and `without_shared_over_base` with its interval and p, and `reason` where the field has no number.
//! Metrics and differences are fractions, robustness is in probits; an empty cell has no value.

use super::super::csv::{line, number};
use crate::analysis::statistics::Estimate;
use crate::analysis::transfer::{NotAvailable, TransferAnswer};

/// The text of the file.
pub(super) fn fields(answer: &TransferAnswer) -> String {
    let names = "condition layer chosen trained tested examples shared seeds accuracy accuracy_low accuracy_high \
                 over_base over_base_low over_base_high over_base_p source_drop source_drop_low source_drop_high \
                 target_drop target_drop_low target_drop_high robustness robustness_low robustness_high \
                 without_shared_examples without_shared_accuracy without_shared_over_base \
                 without_shared_over_base_low without_shared_over_base_high without_shared_over_base_p reason";
    let header: Vec<String> = names.split_whitespace().map(str::to_owned).collect();
    let mut text = line(&header);
    let chosen = answer.choice.as_ref().map(|choice| choice.layer);
    for row in &answer.conditions {
        let layer = row.condition.layer();
        for field in &row.fields {
            let mut cells = vec![
                row.condition.to_string(),
                layer.map_or_else(String::new, |layer| layer.to_string()),
                (layer.is_some() && layer == chosen).to_string(),
                answer.domain(field.trained).to_owned(),
                answer.domain(field.tested).to_owned(),
                field.examples.to_string(),
                field.shared.to_string(),
                field.seeds.len().to_string(),
                number(field.accuracy.clone().ok()),
                number(field.interval.as_ref().ok().map(|it| it.low)),
                number(field.interval.as_ref().ok().map(|it| it.high)),
            ];
            let gain = field.over_base.as_ref().ok();
            cells.extend(estimate(gain.map(|gain| &gain.estimate)));
            cells.push(number(gain.map(|gain| gain.p)));
            cells.extend(of(&field.source_drop));
            cells.extend(of(&field.target_drop));
            cells.extend(of(&field.robustness));
            let without = field.without_shared.as_ref();
            cells.push(without.map_or_else(String::new, |without| without.examples.to_string()));
            cells.push(number(without.map(|without| without.accuracy)));
            let clean = without.and_then(|without| without.over_base.as_ref().ok());
            cells.extend(estimate(clean.map(|gain| &gain.estimate)));
            cells.push(number(clean.map(|gain| gain.p)));
            cells.push(field.accuracy.as_ref().err().map_or_else(String::new, ToString::to_string));
            text.push_str(&line(&cells));
        }
    }
    text
}

fn of(result: &Result<Estimate, NotAvailable>) -> [String; 3] {
    estimate(result.as_ref().ok())
}

fn estimate(estimate: Option<&Estimate>) -> [String; 3] {
    [
        number(estimate.map(|estimate| estimate.value)),
        number(estimate.map(|estimate| estimate.low)),
        number(estimate.map(|estimate| estimate.high)),
    ]
}
