//! How far the domains are apart in the models' hidden states: a heat map, a table a model, and `distances.csv`,
//! one row a place and pair of domains: `model`, `site`, `layer`, `first`, `second`, `distance` with
//! its interval from Wilson's of the error, `error`, `held_out` texts behind it, `converged`, and
//! `reason` where there is no distance.

use super::super::csv::{line, number};
use super::super::document::{Block, Figure, Row, Table};
use super::super::text::{count, decimal};
use crate::analysis::transfer::{PlaceDistances, ROWS, TransferAnswer};

/// The distances in one model's hidden states.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelDistances {
    /// The model as it is shown.
    pub model: String,
    /// Whether it is the LLM that layers are taken from.
    pub llm: bool,
    /// Where the hidden states come from: pooling, texts, files.
    pub basis: String,
    /// The places, in the order in which a text passes them.
    pub places: Vec<PlaceDistances>,
}

/// What a transfer report says of distances between domains.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Distances {
    /// A model each.
    pub models: Vec<ModelDistances>,
    /// Commands that compute hidden states which are not there.
    pub commands: Vec<String>,
    /// What was left out, and why.
    pub notes: Vec<String>,
}

/// The section's blocks.
pub(super) fn blocks(answer: &TransferAnswer, distances: &Distances, drawn: Option<String>) -> Vec<Block> {
    let mut blocks = Vec::new();
    blocks.extend(drawn.map(|svg| {
        Block::Figure(Figure {
            name: "distances".to_owned(),
            svg,
            alternative: "Heat maps of the proxy A-distance of every two domains by layer.".to_owned(),
            caption: "Bright fields are layers in which two domains look alike: a gain is more likely to carry over \
                      between them there, but no more than likely. Numbers: distances.csv."
                .to_owned(),
        })
    }));
    for model in &distances.models {
        blocks.push(Block::Table(places(answer, model)));
        let chosen = answer.choice.as_ref().map(|choice| choice.layer);
        let shown =
            model.places.iter().find(|place| model.llm && place.layer.is_some() && place.layer == chosen);
        let shown = shown.or_else(|| model.places.last());
        blocks.extend(shown.map(|place| Block::Table(pairs(answer, model, place))));
    }
    if !distances.notes.is_empty() {
        blocks.push(Block::List(distances.notes.clone()));
    }
    if !distances.commands.is_empty() {
        let states = if distances.models.is_empty() { "Hidden states" } else { "Further hidden states" };
        blocks.push(Block::Paragraph(format!(
            "{states} of the domains' test texts are not stored, so their proxy A-distance is not available. These \
             commands store them; the report is then to be written again:"
        )));
        blocks.push(Block::Code(distances.commands.join("\n")));
    }
    blocks
}

fn places(answer: &TransferAnswer, model: &ModelDistances) -> Table {
    let chosen = answer.choice.as_ref().map(|choice| choice.layer);
    let rows = model.places.iter().map(|place| {
        let pair = |(a, b, distance): (usize, usize, f64)| {
            format!("{} ({}, {})", decimal(distance, 2), answer.domain(a), answer.domain(b))
        };
        let end = |at: usize| place.ends.map_or_else(|| "n/a".to_owned(), |ends| pair(ends[at]));
        let found = place.pairs.iter().filter(|(_, _, found)| found.is_ok()).count();
        Row {
            cells: vec![
                place.site.clone(),
                place.mean.map_or_else(|| "n/a".to_owned(), |mean| decimal(mean, 2)),
                end(0),
                end(1),
                format!("{found} of {}", place.pairs.len()),
            ],
            marked: model.llm && place.layer.is_some() && place.layer == chosen,
        }
    });
    Table {
        caption: format!(
            "Proxy A-distance 2 (1 − 2ε) between the domains in {}, ε the held-out error of a logistic regression that \
             tells two domains apart ({} of each at most, as many of both, half of them held out): 0 is no difference, \
             2 perfect separation. {}. All pairs with intervals: distances.csv.",
            model.model,
            count(ROWS),
            model.basis
        ),
        header: ["Place", "Mean over pairs", "Nearest pair", "Farthest pair", "Pairs"]
            .map(str::to_owned)
            .into(),
        rows: rows.collect(),
        texts: 1,
    }
}

fn pairs(answer: &TransferAnswer, model: &ModelDistances, place: &PlaceDistances) -> Table {
    let rows = place.pairs.iter().map(|(a, b, found)| {
        let mut cells = vec![answer.domain(*a).to_owned(), answer.domain(*b).to_owned()];
        match found {
            Ok(found) => {
                let it = &found.distance;
                let interval =
                    format!("{} [{}, {}]", decimal(it.value, 2), decimal(it.low, 2), decimal(it.high, 2));
                let doubt = if found.converged { "" } else { " (the fit did not converge)" };
                cells.extend([format!("{interval}{doubt}"), count(found.error.n)]);
            }
            Err(reason) => cells.extend([format!("n/a: {reason}"), String::new()]),
        }
        Row { cells, marked: false }
    });
    Table {
        caption: format!(
            "{}, {}: every pair, with 95% intervals (Wilson's, of the error).",
            model.model, place.site
        ),
        header: ["Domain", "Other domain", "Distance", "Held-out texts"].map(str::to_owned).into(),
        rows: rows.collect(),
        texts: 2,
    }
}

/// The text of `distances.csv`; empty without any model.
pub(super) fn csv(answer: &TransferAnswer, distances: &Distances) -> String {
    let names =
        "model site layer first second distance distance_low distance_high error held_out converged reason";
    let header: Vec<String> = names.split_whitespace().map(str::to_owned).collect();
    let mut text = line(&header);
    let places =
        distances.models.iter().flat_map(|model| model.places.iter().map(move |place| (model, place)));
    for (model, place) in places {
        for (a, b, found) in &place.pairs {
            let distance = found.as_ref().ok();
            text.push_str(&line(&[
                model.model.clone(),
                place.site.clone(),
                place.layer.map_or_else(String::new, |layer| layer.to_string()),
                answer.domain(*a).to_owned(),
                answer.domain(*b).to_owned(),
                number(distance.map(|it| it.distance.value)),
                number(distance.map(|it| it.distance.low)),
                number(distance.map(|it| it.distance.high)),
                number(distance.map(|it| it.error.value)),
                distance.map_or_else(String::new, |it| it.error.n.to_string()),
                distance.map_or_else(String::new, |it| it.converged.to_string()),
                found.as_ref().err().map_or_else(String::new, ToString::to_string),
            ]));
        }
    }
    text
}
