//! Proxy A-distances between domains at every place of a model: a row a pair of domains and their
//! mean, a column a place, a panel a model. The scale is that of the measure, 0 to 2, and bright
//! where two domains are close, as in the heat maps of similarity.

use super::WIDTH;
use super::canvas::{Align, Canvas, Label, fit};
use super::heatmap::{colour_bar, coloured, hatched};
use super::legend::{Head, Legend};
use super::palette::{CHOSEN_TEXT, INK, MUTED};
use super::render::text_width;
use super::scale::layer_step;
use crate::analysis::transfer::{PlaceDistances, TransferAnswer};
use crate::report::text;
use crate::report::transfer::ModelDistances;

const MARGIN: f64 = 18.0;
const LABEL: f64 = 11.0;
/// Names of pairs get at most this.
const NAMES: f64 = 230.0;
/// Largest field, and the least height at which every row has its name.
const FIELD: (f64, f64) = (64.0, 26.0);
const ROW: f64 = 14.0;
/// A panel's title above it, the names of places and the axis below it.
const ABOVE: f64 = 22.0;
const BELOW: f64 = 46.0;
/// Between the pairs and their mean.
const APART: f64 = 5.0;
/// The largest proxy A-distance.
const MOST: f64 = 2.0;

/// Draws the models that have a distance; `None` without any.
pub(in crate::report) fn figure(answer: &TransferAnswer, models: &[ModelDistances]) -> Option<Canvas> {
    let known = |model: &&ModelDistances| model.places.iter().any(|place| place.mean.is_some());
    let models: Vec<&ModelDistances> = models.iter().filter(known).collect();
    models.first()?;
    let head = Head::new(
        "How far the domains are apart in the models' hidden states",
        "proxy A-distance of every two domains by place in the model: 0 is no difference, 2 perfect separation",
        WIDTH,
    );
    let chosen = answer.choice.as_ref().map(|choice| choice.layer);
    let mut legend = Legend::default();
    if models.iter().any(|model| model.llm) && chosen.is_some() {
        let name = chosen.map_or_else(String::new, |layer| layer.to_string());
        legend.add("layer chosen on validation", move |canvas, (x, y)| {
            canvas.text(Label::new(name.clone(), x, y, LABEL, CHOSEN_TEXT).align(Align::Middle).bold());
        });
    }
    legend.add("no distance: the reason stands in the tables", |canvas, (x, y)| {
        hatched(canvas, (x - 10.0, y - 7.0), (x + 10.0, y + 7.0));
    });
    let heights: Vec<f64> = models.iter().map(|model| ABOVE + rows_height(model) + BELOW).collect();
    let bar = head.height() + heights.iter().sum::<f64>() + 14.0;
    let mut canvas = Canvas::new(WIDTH, bar + 20.0 + legend.height(WIDTH));
    head.draw(&mut canvas);
    let mut top = head.height();
    for (model, height) in models.into_iter().zip(heights) {
        panel(&mut canvas, answer, model, top);
        top += height;
    }
    colour_bar(&mut canvas, (MARGIN + 60.0, bar), "2, far", "0, no difference");
    legend.draw(&mut canvas, bar + 12.0);
    Some(canvas)
}

fn row_height(model: &ModelDistances) -> f64 {
    let pairs = model.places.first().map_or(0, |place| place.pairs.len());
    (330.0 / (pairs + 1) as f64).clamp(ROW, FIELD.1)
}

fn rows_height(model: &ModelDistances) -> f64 {
    let pairs = model.places.first().map_or(0, |place| place.pairs.len());
    row_height(model) * (pairs + 1) as f64 + APART
}

fn panel(canvas: &mut Canvas, answer: &TransferAnswer, model: &ModelDistances, top: f64) {
    let pairs = model.places.first().map_or(&[][..], |place| &place.pairs);
    let names: Vec<String> = pairs
        .iter()
        .map(|(a, b, _)| format!("{} \u{2013} {}", answer.domain(*a), answer.domain(*b)))
        .chain(std::iter::once("mean over pairs".to_owned()))
        .collect();
    let widest = names.iter().map(|name| text_width(name, LABEL, false)).fold(0.0, f64::max).min(NAMES);
    let left = MARGIN + widest + 8.0;
    let width = ((WIDTH - MARGIN - left) / model.places.len() as f64).min(FIELD.0);
    let height = row_height(model);
    let title = fit(&model.model, WIDTH - 2.0 * MARGIN, 12.0, true);
    canvas.text(Label::new(title, MARGIN, top + 8.0, 12.0, INK).bold());
    let first = top + ABOVE;
    let place_of = |row: usize| {
        let gap = if row == pairs.len() { APART } else { 0.0 };
        first + height * row as f64 + gap
    };
    for (row, name) in names.iter().enumerate() {
        let middle = place_of(row) + height / 2.0;
        let name = fit(name, widest, LABEL, false);
        canvas.text(Label::new(name, left - 8.0, middle, LABEL, INK).align(Align::End));
    }
    for (column, place) in model.places.iter().enumerate() {
        let from = left + width * column as f64;
        let gap = if width > 14.0 { 1.0 } else { 0.0 };
        for (row, name) in names.iter().enumerate() {
            let at = place_of(row);
            let (from, to) = ((from, at), (from + width - gap, at + height - 1.0));
            match value(place, row) {
                Some(value) => {
                    let number = text::decimal(value, 2);
                    coloured(canvas, from, to, 1.0 - (value / MOST).clamp(0.0, 1.0), &number);
                }
                None => hatched(canvas, from, to),
            }
            canvas.spot(from, to, facts(place, row, name));
        }
    }
    places(canvas, answer, model, (left, width, place_of(pairs.len()) + height));
}

/// The distance of a pair, or the mean below the pairs.
fn value(place: &PlaceDistances, row: usize) -> Option<f64> {
    match place.pairs.get(row) {
        Some((_, _, found)) => found.as_ref().ok().map(|found| found.distance.value),
        None => place.mean,
    }
}

fn facts(place: &PlaceDistances, row: usize, name: &str) -> String {
    let found = match place.pairs.get(row) {
        Some((_, _, Ok(found))) => {
            let it = &found.distance;
            let ends = [it.low, it.high].map(|end| text::decimal(end, 2));
            format!("{} [{}, {}]", text::decimal(it.value, 2), ends[0], ends[1])
        }
        Some((_, _, Err(reason))) => format!("n/a: {reason}"),
        None => place.mean.map_or_else(|| "n/a".to_owned(), |mean| text::decimal(mean, 2)),
    };
    format!("{}\n{name}\n{found}", place.site)
}

/// Names of the places, thinned out where they are many; the chosen layer's is always there.
fn places(
    canvas: &mut Canvas,
    answer: &TransferAnswer,
    model: &ModelDistances,
    (left, width, bottom): (f64, f64, f64),
) {
    let chosen = answer.choice.as_ref().map(|choice| choice.layer).filter(|_| model.llm);
    let name = |place: &PlaceDistances| match place.layer {
        Some(layer) => layer.to_string(),
        None if place.site == "embeddings" => "emb".to_owned(),
        None => place.site.clone(),
    };
    let middle = |column: usize| left + width * (column as f64 + 0.5);
    let room = |words: &str| text_width(words, LABEL, true) / 2.0 + 3.0;
    let mut taken: Vec<(f64, f64)> = Vec::new();
    let mut put = |canvas: &mut Canvas, column: usize, marked: bool| {
        let words = name(&model.places[column]);
        let (at, half) = (middle(column), room(&words));
        if taken.iter().any(|(from, to)| at - half < *to && *from < at + half) {
            return;
        }
        taken.push((at - half, at + half));
        let label = Label::new(words, at, bottom + 11.0, LABEL, if marked { CHOSEN_TEXT } else { MUTED });
        let label = label.align(Align::Middle);
        canvas.text(if marked { label.bold() } else { label });
    };
    let marked = model.places.iter().position(|place| place.layer.is_some() && place.layer == chosen);
    if let Some(column) = marked {
        put(canvas, column, true);
    }
    let widest = model.places.iter().map(|place| 2.0 * room(&name(place))).fold(0.0, f64::max);
    let step = layer_step(width, widest.min(34.0));
    for (column, place) in model.places.iter().enumerate() {
        if place.layer.map_or(column == 0, |layer| layer % step == 0) {
            put(canvas, column, false);
        }
    }
    let from = left + width * model.places.len() as f64 / 2.0;
    let words = if model.llm { "layer of the LLM" } else { "layer of the small model" };
    let half = text_width(words, LABEL, false) / 2.0;
    let label = Label::new(words, from.max(left + half), bottom + 28.0, LABEL, INK);
    canvas.text(label.align(Align::Middle));
}
