//! `compare RUN RUN...`: conditions in pairs, by their stored predictions.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::super::Context;
use super::super::args::CompareArgs;
use super::super::error::Error;
use crate::analysis::compare::{self, Comparison, Group, Left, Pair, Refused, Selector, Summary, Wanted};
use crate::analysis::statistics::{Estimate, Resampling, Undefined};
use crate::error::Failure;
use crate::runs::Store;
use crate::runs::render::Grid;
use crate::runs::view::Format;
use crate::seed::Seed;
use crate::sweep::Plan;

/// Lines about what was left out, beyond which the rest is only counted.
const LINES: usize = 5;

/// Shows conditions, and what tells each pair of them apart.
///
/// # Errors
/// Ids that stand for no run or several, a directory that is no study, nothing that can be compared.
pub(crate) fn run(args: &CompareArgs, context: &Context) -> Result<(), Failure> {
    let output = &context.output;
    let store = Store::at(&args.out);
    let against = args.against.as_deref().map(parsed);
    let mut selectors: Vec<Selector> = args.runs.iter().map(|word| parsed(word)).collect();
    // what is compared with need not be typed twice
    if let Some(against) = &against
        && (!selectors.is_empty() || args.study.is_none())
        && !selectors.contains(against)
    {
        selectors.push(against.clone());
    }
    let cells = match &args.study {
        Some(study) => Some(cells_of(study, args)?),
        None => None,
    };
    let wanted = Wanted { selectors, cells, on: args.on.clone(), split: args.split.clone() };
    let gathered = compare::gather(&store, &wanted)?;
    for line in left_out(&gathered.left) {
        output.warn(&line);
    }
    let reference = against.map(|against| reference(&against, &gathered.groups)).transpose()?;
    let resampling = Resampling { resamples: args.resamples as usize, ..Resampling::new(Seed(args.seed)) };
    let comparison = compare::compare(&gathered.groups, reference, resampling)?;
    for line in refusals(&comparison.refused) {
        output.warn(&line);
    }
    for note in &comparison.notes {
        output.say(&format!("note: {note}"));
    }
    if output.json || args.format == Format::Json {
        return output.document(&json!({"comparison": comparison, "left_out": gathered.left}));
    }
    output.data(&written(&comparison, args.format))
}

fn parsed(word: &str) -> Selector {
    word.parse().unwrap_or_else(|never| match never {})
}

/// Ids of a study's cells, planned at the directory as typed or below `--out`.
fn cells_of(study: &Path, args: &CompareArgs) -> Result<Vec<String>, Failure> {
    let below: PathBuf = args.out.join(study);
    let folder = if study.join("plan.json").is_file() { study.to_owned() } else { below };
    if !folder.join("plan.json").is_file() {
        return Err(Error::NoStudy(study.to_owned()).into());
    }
    Ok(Plan::read(&folder.join("plan.json"))?.cells.into_iter().map(|cell| cell.id).collect())
}

fn reference(against: &Selector, groups: &[Group]) -> Result<usize, Failure> {
    let found = groups.iter().position(|group| match against {
        Selector::Id(prefix) => group.runs.iter().any(|run| run.cell.starts_with(prefix.as_str())),
        other => other.takes(&group.record),
    });
    found.ok_or_else(|| {
        let conditions = groups.iter().map(|group| format!("`{}`", group.name)).collect();
        compare::Error::NoSuchReference { against: against.to_string(), conditions }.into()
    })
}

/// One line for each thing that was left out, and one for the many that follow.
fn left_out(left: &[Left]) -> Vec<String> {
    let mut lines: Vec<String> =
        left.iter().take(LINES).map(|it| format!("{} is left out: {}", it.what, it.reason)).collect();
    if left.len() > LINES {
        lines.push(format!("{} more are left out; `--json` names all of them", left.len() - LINES));
    }
    lines
}

/// One line for all pairs that are refused for the same reasons.
fn refusals(refused: &[Refused]) -> Vec<String> {
    let mut groups: Vec<(String, Vec<&Refused>)> = Vec::new();
    for pair in refused {
        let reasons: Vec<String> = pair.reasons.iter().map(ToString::to_string).collect();
        let reasons = reasons.join("; ");
        match groups.iter_mut().find(|(known, _)| *known == reasons) {
            Some((_, pairs)) => pairs.push(pair),
            None => groups.push((reasons, vec![pair])),
        }
    }
    let line = |(reasons, pairs): &(String, Vec<&Refused>)| {
        let named: Vec<String> =
            pairs.iter().take(LINES).map(|pair| format!("`{}` with `{}`", pair.first, pair.second)).collect();
        let more = match pairs.len() - named.len() {
            0 => String::new(),
            more => format!(" and {more} pairs more"),
        };
        format!("not compared: {}{more}: {reasons}", named.join(", "))
    };
    groups.iter().map(line).collect()
}

fn written(comparison: &Comparison, format: Format) -> String {
    match format {
        Format::Csv => every_column(&comparison.pairs).csv(),
        Format::Markdown => {
            let (conditions, pairs) = (conditions(&comparison.conditions), pairs(&comparison.pairs));
            format!("{}\n{}", conditions.markdown(), pairs.markdown())
        }
        Format::Table | Format::Json => {
            format!(
                "{} on {}\n\n{}\n{}",
                comparison.metric,
                comparison.sets.join(", "),
                conditions(&comparison.conditions).text(),
                pairs(&comparison.pairs).text()
            )
        }
    }
}

fn grid(columns: &[(&str, bool)], rows: Vec<Vec<String>>) -> Grid {
    Grid { columns: columns.iter().map(|(name, number)| ((*name).to_owned(), *number)).collect(), rows }
}

fn conditions(summaries: &[Summary]) -> Grid {
    let columns = [
        ("condition", false),
        ("seeds", true),
        ("examples", true),
        ("accuracy", true),
        ("95% interval", true),
        ("runs", false),
    ];
    let row = |summary: &Summary| {
        let (value, interval) = match &summary.accuracy {
            Ok(estimate) => (format!("{:.4}", estimate.value), interval(estimate)),
            Err(reason) => ("-".to_owned(), reason.to_string()),
        };
        let ids: Vec<String> =
            summary.runs.iter().map(|(_, cell)| cell.chars().take(8).collect::<String>()).collect();
        vec![
            summary.name.clone(),
            summary.runs.len().to_string(),
            summary.examples.to_string(),
            value,
            interval,
            ids.join(" "),
        ]
    };
    grid(&columns, summaries.iter().map(row).collect())
}

fn pairs(pairs: &[Pair]) -> Grid {
    let columns = [
        ("first", false),
        ("second", false),
        ("seeds", true),
        ("difference", true),
        ("95% interval", true),
        ("p", true),
        ("p Holm", true),
        ("McNemar", true),
        ("mid-p", true),
        ("sign flip", true),
        ("g", true),
        ("Cliff δ", true),
        ("detectable", true),
    ];
    let row = |pair: &Pair| {
        let estimate = &pair.difference.estimate;
        vec![
            pair.first.clone(),
            pair.second.clone(),
            pair.seeds.len().to_string(),
            format!("{:+.4}", estimate.value),
            interval(estimate),
            p_value(pair.difference.p),
            p_value(pair.p_holm),
            p_value(pair.mcnemar_exact),
            p_value(pair.mcnemar_mid),
            pair.sign_flip.as_ref().map_or_else(|_| "-".to_owned(), |test| p_value(test.two_sided)),
            shown(&pair.effects.hedges_g),
            shown(&pair.effects.cliff_delta),
            pair.detectable.as_ref().map_or_else(|_| "-".to_owned(), |value| format!("{value:.4}")),
        ]
    };
    grid(&columns, pairs.iter().map(row).collect())
}

fn interval(estimate: &Estimate) -> String {
    format!("{:.4} to {:.4}", estimate.low, estimate.high)
}

fn p_value(p: f64) -> String {
    if p < 0.000_1 { "<0.0001".to_owned() } else { format!("{p:.4}") }
}

fn shown(value: &Result<Estimate, Undefined>) -> String {
    value.as_ref().map_or_else(|_| "-".to_owned(), |estimate| format!("{:+.2}", estimate.value))
}

/// Every number in full precision; what has none is empty.
fn every_column(pairs: &[Pair]) -> Grid {
    let columns = [
        ("first", false),
        ("second", false),
        ("examples", true),
        ("seeds", true),
        ("difference", true),
        ("low", true),
        ("high", true),
        ("standard_error", true),
        ("p", true),
        ("p_holm", true),
        ("first_only", true),
        ("second_only", true),
        ("mcnemar_exact", true),
        ("mcnemar_mid", true),
        ("mcnemar_holm", true),
        ("sign_flip", true),
        ("wilcoxon", true),
        ("hedges_g", true),
        ("d_z", true),
        ("cliff_delta", true),
        ("a12", true),
        ("epsilon_first_better", true),
        ("epsilon_second_better", true),
        ("detectable", true),
        ("differs_in", false),
    ];
    let optional = |value: Option<f64>| value.map_or_else(String::new, |value| value.to_string());
    let effect = |value: &Result<Estimate, Undefined>| optional(value.as_ref().ok().map(|it| it.value));
    let row = |pair: &Pair| {
        let estimate = &pair.difference.estimate;
        let sum = |of: fn(&compare::DiscordantSeed) -> u64| pair.discordant.iter().map(of).sum::<u64>();
        vec![
            pair.first.clone(),
            pair.second.clone(),
            pair.examples.to_string(),
            pair.seeds.len().to_string(),
            estimate.value.to_string(),
            estimate.low.to_string(),
            estimate.high.to_string(),
            estimate.standard_error.to_string(),
            pair.difference.p.to_string(),
            pair.p_holm.to_string(),
            sum(|seed| seed.first_only).to_string(),
            sum(|seed| seed.second_only).to_string(),
            pair.mcnemar_exact.to_string(),
            pair.mcnemar_mid.to_string(),
            pair.mcnemar_holm.to_string(),
            optional(pair.sign_flip.as_ref().ok().map(|test| test.two_sided)),
            optional(pair.wilcoxon.as_ref().ok().map(|test| test.two_sided)),
            effect(&pair.effects.hedges_g),
            effect(&pair.effects.d_z),
            effect(&pair.effects.cliff_delta),
            effect(&pair.effects.a12),
            optional(pair.first_better.as_ref().ok().map(|order| order.bound)),
            optional(pair.second_better.as_ref().ok().map(|order| order.bound)),
            optional(pair.detectable.as_ref().ok().copied()),
            pair.differs_in.join(" "),
        ]
    };
    grid(&columns, pairs.iter().map(row).collect())
}
