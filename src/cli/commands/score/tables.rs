//! Scores as tables: long for files and machines, wide for people.

use std::collections::BTreeMap;

use crate::analysis::scores::Score;
use crate::runs::columns::Columns;
use crate::runs::representations::Manifest;

/// The scores of one site.
pub(in crate::cli) struct Row {
    pub(in crate::cli) site: String,
    pub(in crate::cli) layer: Option<usize>,
    pub(in crate::cli) scores: Vec<Score>,
}

/// Says once why scores have no value.
pub(super) fn reasons(rows: &[Row]) -> Vec<String> {
    let mut reasons: BTreeMap<(&str, String), usize> = BTreeMap::new();
    for score in rows.iter().flat_map(|row| &row.scores) {
        if let Err(reason) = &score.value {
            *reasons.entry((score.name, reason.to_string())).or_default() += 1;
        }
    }
    let sites = rows.len();
    let told = reasons.into_iter();
    told.map(|((name, reason), count)| {
        format!("`{name}` has no value for {count} of {sites} sites: {reason}")
    })
    .collect()
}

/// One row a site and score.
pub(super) fn long(rows: &[Row], train: &Manifest, evaluated: Option<&Manifest>) -> Columns {
    let each: Vec<(&Row, &Score)> =
        rows.iter().flat_map(|row| row.scores.iter().map(move |score| (row, score))).collect();
    let words =
        |of: fn(&(&Row, &Score)) -> Option<String>| -> Vec<Option<String>> { each.iter().map(of).collect() };
    let numbers =
        |of: fn(&Score) -> Option<f64>| -> Vec<Option<f64>> { each.iter().map(|it| of(it.1)).collect() };
    let evaluated = evaluated.map(|manifest| manifest.key.clone());
    Columns::new("scores")
        .words("representation", each.iter().map(|_| Some(train.name())))
        .words("key", each.iter().map(|_| Some(train.key.clone())))
        .words("evaluated_key", each.iter().map(|_| evaluated.clone()))
        .words("site", words(|it| Some(it.0.site.clone())))
        .counts("layer", each.iter().map(|it| it.0.layer))
        .words("score", words(|it| Some(it.1.name.to_owned())))
        .numbers("value", numbers(|score| score.value.as_ref().ok().copied()))
        .numbers("low", numbers(|score| score.interval.map(|interval| interval.low)))
        .numbers("high", numbers(|score| score.interval.map(|interval| interval.high)))
        .words("reason", words(|it| it.1.value.as_ref().err().map(ToString::to_string)))
        .counts("n", each.iter().map(|it| Some(it.1.interval.map_or(it.1.n, |interval| interval.n))))
        .counts("width", each.iter().map(|it| Some(it.1.width)))
        .counts("classes", each.iter().map(|it| Some(it.1.classes)))
        .words(
            "direction",
            words(|it| Some(if it.1.higher_is_better { "higher" } else { "lower" }.to_owned())),
        )
        .words("remark", words(|it| it.1.remark.clone()))
        .words("recipe", words(|it| Some(it.1.recipe.to_owned())))
}

/// One row a site, for people.
pub(super) fn wide(rows: &[Row]) -> Columns {
    let mut table = Columns::new("scores").words("site", rows.iter().map(|row| Some(row.site.clone())));
    let names = rows.first().map(|row| row.scores.iter().map(|score| (score.name, score.higher_is_better)));
    for (at, (name, higher)) in names.into_iter().flatten().enumerate() {
        let cells = rows.iter().map(|row| {
            let score = &row.scores[at];
            Some(match (&score.value, score.interval) {
                (Err(_), _) => "n/a".to_owned(),
                (Ok(value), Some(interval)) => {
                    format!("{value:.4} [{:.4}, {:.4}]", interval.low, interval.high)
                }
                (Ok(value), None) => format!("{value:.4}"),
            })
        });
        let column = if higher { name.to_owned() } else { format!("{name} (lower is better)") };
        table = table.words(column, cells);
    }
    table
}
