//! A comparison as tables: the conditions, the best of them, the differences with their intervals,
//! tests and effect sizes, and what is left without overlapping texts. Tables keep to 100 columns:
//! where names are too long for that, pairs name their conditions by number.

use super::across;
use crate::analysis::compare::{Best, Comparison, DiscordantSeed, Pair, Summary};
use crate::analysis::statistics::{Estimate, Undefined};
use crate::runs::render::Grid;
use crate::runs::view::Format;

/// Columns of a terminal that tables are made for.
const COLUMNS: usize = 100;

pub(super) fn written(comparison: &Comparison, format: Format) -> String {
    let titled = |numbered: bool| titled(comparison, &Names { comparison, numbered });
    match format {
        Format::Csv => every_column(&comparison.pairs).csv(),
        Format::Markdown => {
            let tables: Vec<String> = titled(false).iter().map(|(_, grid)| grid.markdown()).collect();
            tables.join("\n")
        }
        Format::Table | Format::Json => {
            let text = |numbered: bool| {
                let table = |(title, grid): (String, Grid)| match title.as_str() {
                    "" => grid.text(),
                    title => format!("{title}\n{}", grid.text()),
                };
                let tables: Vec<String> = titled(numbered).into_iter().map(table).collect();
                format!("{} on {}\n\n{}", comparison.metric, comparison.sets.join(", "), tables.join("\n"))
            };
            let by_name = text(false);
            // the list of a condition's runs may be as long as it likes
            let pairs = by_name.lines().skip(3 + comparison.conditions.len());
            if pairs.into_iter().all(|line| line.chars().count() <= COLUMNS) { by_name } else { text(true) }
        }
    }
}

/// How a pair calls its conditions.
struct Names<'a> {
    comparison: &'a Comparison,
    numbered: bool,
}

impl Names<'_> {
    fn of(&self, name: &str) -> String {
        let at = self.comparison.conditions.iter().position(|condition| condition.name == name);
        match at.filter(|_| self.numbered) {
            Some(at) => format!("#{}", at + 1),
            None => name.to_owned(),
        }
    }
}

fn titled(comparison: &Comparison, names: &Names<'_>) -> Vec<(String, Grid)> {
    let pairs = &comparison.pairs;
    let mut tables = vec![(String::new(), conditions(&comparison.conditions, names.numbered))];
    if !comparison.best.is_empty() {
        let title = "the best, and what is left of it without being picked for that".to_owned();
        tables.push((title, best(&comparison.best)));
    }
    tables.push(("first minus second, two-level paired bootstrap".to_owned(), differences(pairs, names)));
    tables.push(("tests by example and by seed, effect sizes over seeds".to_owned(), tests(pairs, names)));
    if pairs.iter().any(|pair| pair.without_overlap.is_some()) {
        let title = "first minus second without the texts that stand in the training set".to_owned();
        tables.push((title, without_overlap(pairs, names)));
    }
    if let Some(found) = &comparison.across {
        tables.extend(across::tables(found));
    }
    tables
}

pub(super) fn grid(columns: &[(&str, bool)], rows: Vec<Vec<String>>) -> Grid {
    Grid { columns: columns.iter().map(|(name, number)| ((*name).to_owned(), *number)).collect(), rows }
}

fn conditions(summaries: &[Summary], numbered: bool) -> Grid {
    let columns = [
        ("#", true),
        ("condition", false),
        ("seeds", true),
        ("examples", true),
        ("accuracy", true),
        ("95% interval", true),
        ("runs", false),
    ];
    let skipped = usize::from(!numbered);
    let row = |(at, summary): (usize, &Summary)| {
        let (value, interval) = match &summary.accuracy {
            Ok(estimate) => (format!("{:.4}", estimate.value), interval(estimate)),
            Err(reason) => ("-".to_owned(), reason.to_string()),
        };
        let ids: Vec<String> =
            summary.runs.iter().map(|(_, cell)| cell.chars().take(8).collect::<String>()).collect();
        let cells = [
            (at + 1).to_string(),
            summary.name.clone(),
            summary.runs.len().to_string(),
            summary.examples.to_string(),
            value,
            interval,
            ids.join(" "),
        ];
        cells.into_iter().skip(skipped).collect()
    };
    grid(&columns[skipped..], summaries.iter().enumerate().map(row).collect())
}

fn best(best: &[Best]) -> Grid {
    let columns = [
        ("best", false),
        ("of", true),
        ("on", false),
        ("seeds", true),
        ("as picked", true),
        ("flattered by", true),
        ("without", true),
        ("95% interval", true),
    ];
    let row = |best: &Best| {
        let mut cells = vec![
            best.name().unwrap_or("-").to_owned(),
            best.among.len().to_string(),
            best.set.clone(),
            best.seeds.len().to_string(),
        ];
        match &best.corrected {
            Ok(it) => cells.extend([
                format!("{:.4}", it.observed),
                format!("{:.4}", it.surplus),
                format!("{:.4}", it.corrected.value),
                interval(&it.corrected),
            ]),
            Err(reason) => cells.extend(["-".into(), "-".into(), "-".into(), reason.to_string()]),
        }
        cells
    };
    grid(&columns, best.iter().map(row).collect())
}

fn differences(pairs: &[Pair], names: &Names<'_>) -> Grid {
    let columns = [
        ("first", false),
        ("second", false),
        ("seeds", true),
        ("difference", true),
        ("95% interval", true),
        ("BCa interval", true),
        ("p", true),
        ("p Holm", true),
    ];
    let row = |pair: &Pair| {
        let estimate = &pair.difference.estimate;
        vec![
            names.of(&pair.first),
            names.of(&pair.second),
            pair.seeds.len().to_string(),
            format!("{:+.4}", estimate.value),
            interval(estimate),
            pair.bca.as_ref().map_or_else(|_| "-".to_owned(), interval),
            p_value(pair.difference.p),
            p_value(pair.p_holm),
        ]
    };
    grid(&columns, pairs.iter().map(row).collect())
}

fn tests(pairs: &[Pair], names: &Names<'_>) -> Grid {
    let columns = [
        ("first", false),
        ("second", false),
        ("McNemar", true),
        ("mid-p", true),
        ("sign flip", true),
        ("g", true),
        ("Cliff δ", true),
        ("detectable", true),
    ];
    let row = |pair: &Pair| {
        vec![
            names.of(&pair.first),
            names.of(&pair.second),
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

fn without_overlap(pairs: &[Pair], names: &Names<'_>) -> Grid {
    let columns = [
        ("first", false),
        ("second", false),
        ("left out", true),
        ("examples", true),
        ("difference", true),
        ("95% interval", true),
        ("p", true),
    ];
    let row = |pair: &Pair| {
        let without = pair.without_overlap.as_ref()?;
        let numbers = match &without.difference {
            Ok(it) => [format!("{:+.4}", it.estimate.value), interval(&it.estimate), p_value(it.p)],
            Err(reason) => ["-".to_owned(), reason.to_string(), "-".to_owned()],
        };
        let counts = [without.overlapping, without.examples].map(|count| count.to_string());
        Some(
            [names.of(&pair.first), names.of(&pair.second)]
                .into_iter()
                .chain(counts)
                .chain(numbers)
                .collect(),
        )
    };
    grid(&columns, pairs.iter().filter_map(row).collect())
}

fn interval(estimate: &Estimate) -> String {
    format!("{:.4} to {:.4}", estimate.low, estimate.high)
}

pub(super) fn p_value(p: f64) -> String {
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
        ("bca_low", true),
        ("bca_high", true),
        ("standard_error", true),
        ("p", true),
        ("p_holm", true),
        ("overlapping", true),
        ("without_overlap", true),
        ("without_overlap_low", true),
        ("without_overlap_high", true),
        ("without_overlap_p", true),
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
        let bca = pair.bca.as_ref().ok();
        let without = pair.without_overlap.as_ref();
        let clean = without.and_then(|without| without.difference.as_ref().ok());
        let sum = |of: fn(&DiscordantSeed) -> u64| pair.discordant.iter().map(of).sum::<u64>();
        vec![
            pair.first.clone(),
            pair.second.clone(),
            pair.examples.to_string(),
            pair.seeds.len().to_string(),
            estimate.value.to_string(),
            estimate.low.to_string(),
            estimate.high.to_string(),
            optional(bca.map(|it| it.low)),
            optional(bca.map(|it| it.high)),
            estimate.standard_error.to_string(),
            pair.difference.p.to_string(),
            pair.p_holm.to_string(),
            without.map_or(0, |without| without.overlapping).to_string(),
            optional(clean.map(|it| it.estimate.value)),
            optional(clean.map(|it| it.estimate.low)),
            optional(clean.map(|it| it.estimate.high)),
            optional(clean.map(|it| it.p)),
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
