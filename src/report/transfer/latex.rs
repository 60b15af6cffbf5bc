//! The matrices of the shown conditions as a LaTeX table for `booktabs`.

use crate::analysis::layers::Condition;
use crate::analysis::transfer::{ConditionTransfer, TransferAnswer};

/// The table's text.
pub(super) fn matrix(answer: &TransferAnswer, shown: &[&ConditionTransfer]) -> String {
    let columns = "r".repeat(answer.domains.len());
    let mut text = format!(
        "% Accuracy in percent, trained on the row's task and tested on the column's; in brackets the gain over no\n\
         % plug in points, starred where its 95% interval (two-level paired bootstrap) does not cover zero.\n\
         \\begin{{tabular}}{{ll{columns}}}\n\\toprule\nCondition & Trained on"
    );
    for domain in &answer.domains {
        text.push_str(" & ");
        text.push_str(&escape(&domain.name));
    }
    text.push_str(" \\\\\n\\midrule\n");
    for row in shown {
        for (at, trained) in answer.trained.iter().enumerate() {
            let name = if at == 0 { escape(&super::name(answer, &row.condition)) } else { String::new() };
            text.push_str(&name);
            text.push_str(" & ");
            text.push_str(&escape(answer.domain(*trained)));
            for tested in 0..answer.domains.len() {
                text.push_str(" & ");
                text.push_str(&field(row, *trained, tested));
            }
            text.push_str(" \\\\\n");
        }
        text.push_str("\\addlinespace\n");
    }
    text.push_str("\\bottomrule\n\\end{tabular}\n");
    text
}

fn field(row: &ConditionTransfer, trained: usize, tested: usize) -> String {
    let Some(field) = row.field(trained, tested) else { return "--".to_owned() };
    let Ok(accuracy) = field.accuracy else { return "--".to_owned() };
    let mut text = format!("{:.1}", 100.0 * accuracy);
    if row.condition != Condition::base()
        && let Ok(gain) = &field.over_base
    {
        let star = if gain.estimate.covers(0.0) { "" } else { "$^*$" };
        text = format!("{text} ({:+.1}{star})", 100.0 * gain.estimate.value);
    }
    text
}

/// Escapes what LaTeX would read as its own.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '\\' => escaped.push_str("\\textbackslash{}"),
            '~' => escaped.push_str("\\textasciitilde{}"),
            '^' => escaped.push_str("\\textasciicircum{}"),
            '&' | '%' | '$' | '#' | '_' | '{' | '}' => {
                escaped.push('\\');
                escaped.push(letter);
            }
            control if control.is_control() => escaped.push(' '),
            letter => escaped.push(letter),
        }
    }
    escaped
}
