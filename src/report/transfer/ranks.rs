//! What mean ranks over the fields say: a sentence, the warning where there are too many conditions
//! for a critical difference, each condition against the control, and `ranks.csv`, one row a ranked
//! condition: `condition`, `layer`, `mean_rank`, the `control` that it is compared with, `minus_control`
//! in ranks, `z`, `p` and `p_holm`, and in every row the same `fields`, `friedman` with `friedman_p`,
//! `iman_davenport` with `iman_davenport_p`, and `critical_difference`.

use super::super::csv::{line, number};
use super::super::document::{Block, Row, Table};
use super::super::text::{decimal, list, p_value, plural};
use super::name;
use crate::analysis::statistics::rank_test::{RankTest, ToControl};
use crate::analysis::transfer::{Ranks, TransferAnswer};

/// The section's blocks; none where nothing is ranked.
pub(super) fn blocks(answer: &TransferAnswer) -> Vec<Block> {
    let Some(ranks) = &answer.ranks else { return Vec::new() };
    match &ranks.test {
        Err(reason) => vec![Block::Paragraph(format!("The mean ranks cannot be tested: {reason}."))],
        Ok(test) => {
            let mut blocks = vec![Block::Paragraph(sentence(answer, ranks, test))];
            blocks.extend(against(answer, ranks, test).map(Block::Table));
            blocks
        }
    }
}

fn sentence(answer: &TransferAnswer, ranks: &Ranks, test: &RankTest) -> String {
    let fields = test.friedman.sets;
    let mut text = format!(
        "Mean ranks of {} over {}: {}. ",
        plural(ranks.conditions.len(), "condition"),
        plural(fields, "field"),
        test.statistics()
    );
    let apart = match test.warning() {
        Some(warning) => format!("Warning: {warning}. "),
        None => format!("{}: {}. ", test.difference(), apart(answer, ranks, test)),
    };
    text.push_str(&apart);
    text.push_str(
        "Fields of one row share their training runs and fields of one column their test set, so these p values are \
         rather small.",
    );
    text
}

/// Which conditions are further apart than the critical difference.
fn apart(answer: &TransferAnswer, ranks: &Ranks, test: &RankTest) -> String {
    let of = |method: usize| name(answer, &answer.conditions[ranks.conditions[method]].condition);
    let ahead = |&better: &usize| {
        let worse = test.apart.iter().filter(|(first, _)| *first == better);
        let worse: Vec<String> = worse.map(|(_, worse)| of(*worse)).collect();
        (!worse.is_empty()).then(|| format!("{} is ahead of {}", of(better), list(&worse)))
    };
    let mut order: Vec<usize> = (0..ranks.conditions.len()).collect();
    order.sort_by(|a, b| test.friedman.mean_ranks[*a].total_cmp(&test.friedman.mean_ranks[*b]));
    let found: Vec<String> = order.iter().filter_map(ahead).collect();
    if found.is_empty() { "no two conditions lie further apart".to_owned() } else { found.join("; ") }
}

/// Each condition against the control, where there are too many for a critical difference.
fn against(answer: &TransferAnswer, ranks: &Ranks, test: &RankTest) -> Option<Table> {
    let control = test.control.as_ref().filter(|_| test.too_many())?;
    let chosen = answer.choice.as_ref().map(|choice| choice.layer);
    let of = |method: usize| &answer.conditions[ranks.conditions[method]].condition;
    let row = |other: &ToControl| Row {
        cells: vec![
            name(answer, of(other.method)),
            decimal(test.friedman.mean_ranks[other.method], 2),
            decimal(other.ranks, 2),
            p_value(other.p),
            p_value(other.p_holm),
        ],
        marked: of(other.method).layer().is_some() && of(other.method).layer() == chosen,
    };
    let control_name = name(answer, of(control.control));
    Some(Table {
        caption: format!(
            "Mean ranks against that of {control_name} ({}), below zero is better; p by the normal distribution, then \
             after Holm's correction over all rows.",
            decimal(test.friedman.mean_ranks[control.control], 2)
        ),
        header: ["Condition", "Mean rank", "Minus control", "p", "p (Holm)"].map(str::to_owned).into(),
        rows: control.others.iter().map(row).collect(),
        texts: 1,
    })
}

/// The text of `ranks.csv`.
pub(super) fn csv(answer: &TransferAnswer) -> String {
    let names = "condition layer mean_rank control minus_control z p p_holm fields friedman friedman_p iman_davenport \
                 iman_davenport_p critical_difference";
    let header: Vec<String> = names.split_whitespace().map(str::to_owned).collect();
    let mut text = line(&header);
    let Some(Ranks { conditions, test: Ok(test) }) = &answer.ranks else { return text };
    let sharper = test.friedman.iman_davenport.as_ref().ok();
    for (method, &row) in conditions.iter().enumerate() {
        let condition = &answer.conditions[row].condition;
        let control = test.control.as_ref();
        let other = control.and_then(|it| it.others.iter().find(|other| other.method == method));
        text.push_str(&line(&[
            condition.to_string(),
            condition.layer().map_or_else(String::new, |layer| layer.to_string()),
            number(Some(test.friedman.mean_ranks[method])),
            control.map_or_else(String::new, |it| {
                answer.conditions[conditions[it.control]].condition.to_string()
            }),
            number(other.map(|it| it.ranks)),
            number(other.map(|it| it.z)),
            number(other.map(|it| it.p)),
            number(other.map(|it| it.p_holm)),
            test.friedman.sets.to_string(),
            number(Some(test.friedman.chi_squared)),
            number(Some(test.friedman.p)),
            number(sharper.map(|it| it.f)),
            number(sharper.map(|it| it.p)),
            number(test.critical.as_ref().ok().map(|critical| critical.ranks)),
        ]));
    }
    text
}
