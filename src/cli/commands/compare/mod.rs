//! `compare RUN RUN...`: conditions in pairs, by their stored predictions.

mod across;
mod tables;

use std::path::{Path, PathBuf};

use serde_json::json;

use crate::analysis::compare::{self, Group, Left, Refused, Selector, Wanted};
use crate::analysis::statistics::Resampling;
use crate::cli::Context;
use crate::cli::args::CompareArgs;
use crate::cli::error::Error;
use crate::error::Failure;
use crate::runs::Store;
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
    if let Some(across) = &comparison.across {
        if let Some(warning) = &across.warning {
            output.warn(warning);
        }
        for note in &across.notes {
            output.say(&format!("note: {note}"));
        }
    }
    if output.json || args.format == Format::Json {
        return output.document(&json!({"comparison": comparison, "left_out": gathered.left}));
    }
    output.data(&tables::written(&comparison, args.format))
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
