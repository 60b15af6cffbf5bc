//! What every condition brings against what it costs: a panel for the seconds of a cell and, where
//! layers were fetched, one for their bytes. The stepped line is the panel's own Pareto front;
//! filled dots are those that nothing beats in all prices together, as in the table.

use super::WIDTH;
use super::canvas::{Align, Canvas, Label, Spot};
use super::legend::{Head, Legend};
use super::palette::{CHOSEN, CHOSEN_TEXT, Colour, GRID, INK, LAYER, MUTED, PAPER, control};
use super::render::text_width;
use super::scale::{Scale, ticks};
use crate::analysis::layers::{Condition, LayerAnswer};
use crate::analysis::price::unbeaten;
use crate::report::prices::{Offer, Offers};
use crate::report::text;

const MARGIN: f64 = 18.0;
const GAP: f64 = 26.0;
/// Room for the numbers of the upright axis.
const LEFT: f64 = 46.0;
const PLOT: f64 = 300.0;
const TICK: f64 = 11.0;
const NAME: f64 = 10.5;
const DOT: f64 = 4.2;
/// Half the side of the place that tells a dot's values.
const REACH: f64 = 6.0;
/// Dots that lie on one place are told of together, up to so many by name.
const TOLD: usize = 6;

/// Draws the offers; `None` for fewer than two.
pub(in crate::report) fn figure(answer: &LayerAnswer, offers: &Offers<'_>) -> Option<Canvas> {
    if offers.all.len() < 2 {
        return None;
    }
    let seconds: (&str, Vec<f64>) =
        ("seconds a cell (median)", offers.all.iter().map(|offer| offer.price.spent.seconds).collect());
    let mebibytes = |offer: &Offer<'_>| offer.price.spent.bytes.unwrap_or(0) as f64 / 1_048_576.0;
    let mut panels = vec![seconds];
    if offers.fetched {
        panels.push(("fetched by all its cells (MiB)", offers.all.iter().map(mebibytes).collect()));
    }
    let count = panels.len() as f64;
    let width = (WIDTH - 2.0 * MARGIN - GAP * (count - 1.0)) / count;
    let head = Head::new(
        &format!("What each condition brings against what it costs, {}", answer.llm),
        &format!(
            "validation {} of {} in percent, mean over seeds; above and left is better",
            answer.metric, answer.task
        ),
        WIDTH,
    );
    let legend = legend(answer, offers);
    let (top, bottom) = (head.height() + 10.0, head.height() + PLOT);
    let mut canvas = Canvas::new(WIDTH, bottom + 52.0 + legend.height(WIDTH));
    head.draw(&mut canvas);
    for (at, (title, prices)) in panels.iter().enumerate() {
        let left = MARGIN + (width + GAP) * at as f64;
        panel(&mut canvas, answer, offers, (title, prices), (left, left + width, top, bottom));
    }
    legend.draw(&mut canvas, bottom + 46.0);
    Some(canvas)
}

/// One dot's place with what is needed to draw it.
struct Dot<'a> {
    offer: &'a Offer<'a>,
    centre: (f64, f64),
    colour: Colour,
}

fn panel(
    canvas: &mut Canvas,
    answer: &LayerAnswer,
    offers: &Offers<'_>,
    (title, prices): (&str, &[f64]),
    (left, right, top, bottom): (f64, f64, f64, f64),
) {
    let (from, to) = (left + LEFT, right);
    let gains: Vec<f64> = offers.all.iter().map(|offer| 100.0 * offer.row.metric.mean).collect();
    let (x, y) =
        (Scale::new(range(prices, 0.06), (from, to)), Scale::new(range(&gains, 0.09), (bottom, top)));
    let (places, decimals) = ticks(y.data(), 6);
    for place in places {
        let at = y.at(place);
        canvas.segment((from, at), (to, at), 1.0, GRID);
        canvas
            .text(Label::new(text::decimal(place, decimals), from - 7.0, at, TICK, MUTED).align(Align::End));
    }
    let (places, decimals) = ticks(x.data(), 5);
    for place in places.into_iter().filter(|place| *place >= 0.0) {
        let at = x.at(place);
        canvas.segment((at, top), (at, bottom), 1.0, GRID);
        let name = text::decimal(place, decimals);
        // a number at the edge must not leave its panel
        let half = text_width(&name, TICK, false) / 2.0;
        if at + half <= right && at - half >= left {
            canvas.text(Label::new(name, at, bottom + 13.0, TICK, MUTED).align(Align::Middle));
        }
    }
    canvas.text(Label::new(title, f64::midpoint(from, to), bottom + 32.0, 11.5, INK).align(Align::Middle));
    let dots: Vec<Dot<'_>> = offers
        .all
        .iter()
        .zip(prices.iter().zip(&gains))
        .map(|(offer, (price, gain))| {
            let centre = (x.at(*price), y.at(*gain));
            Dot { offer, centre, colour: colour(answer, &offer.row.condition) }
        })
        .collect();
    let line = front(canvas, &dots, prices, &gains, to);
    // what nothing beats lies above the others
    for dot in dots.iter().filter(|dot| !dot.offer.unbeaten) {
        canvas.circle(dot.centre, DOT, dot.colour.faint(0.75));
        canvas.circle(dot.centre, DOT - 1.6, PAPER);
    }
    for dot in dots.iter().filter(|dot| dot.offer.unbeaten) {
        canvas.circle(dot.centre, DOT + 1.6, PAPER);
        canvas.circle(dot.centre, DOT + 0.6, dot.colour);
    }
    names(canvas, answer, &dots, &line, (from, to, top, bottom));
    canvas.spots.extend(spots(answer, &dots));
}

/// The panel's own front as steps, and their corners: to the right of it and below there is something
/// better.
fn front(
    canvas: &mut Canvas,
    dots: &[Dot<'_>],
    prices: &[f64],
    gains: &[f64],
    right: f64,
) -> Vec<(f64, f64)> {
    let sides: Vec<(f64, Vec<f64>)> =
        gains.iter().zip(prices).map(|(gain, price)| (*gain, vec![*price])).collect();
    let mut corners: Vec<(f64, f64)> =
        unbeaten(&sides).into_iter().zip(dots).filter(|(best, _)| *best).map(|(_, dot)| dot.centre).collect();
    corners.sort_by(|a, b| a.0.total_cmp(&b.0).then(b.1.total_cmp(&a.1)));
    let mut line: Vec<(f64, f64)> = Vec::new();
    for corner in corners {
        if let Some(last) = line.last() {
            line.push((corner.0, last.1));
        }
        line.push(corner);
    }
    if let Some(last) = line.last().copied() {
        line.push((right, last.1));
        canvas.line(line.clone(), 1.2, MUTED.faint(0.8));
    }
    line
}

/// Names the chosen layer, the unbeaten conditions, no plug and the last layer, in this order, where
/// a name finds a place beside its dot that no other name and no dot takes; one that the front does not
/// cross, if there is one.
fn names(
    canvas: &mut Canvas,
    answer: &LayerAnswer,
    dots: &[Dot<'_>],
    front: &[(f64, f64)],
    (from, to, top, bottom): (f64, f64, f64, f64),
) {
    let rank = |dot: &Dot<'_>| match &dot.offer.row.condition {
        Condition::Layer(layer) if *layer == answer.chosen => 0,
        _ if dot.offer.unbeaten => 1,
        condition if condition.is_base() => 2,
        Condition::Control(_) => 3,
        Condition::Layer(layer) if *layer == answer.last() => 4,
        Condition::Layer(_) => 5,
    };
    let mut named: Vec<&Dot<'_>> = dots.iter().filter(|dot| rank(dot) < 5).collect();
    // of two unbeaten ones the better has the first choice
    named.sort_by(|a, b| rank(a).cmp(&rank(b)).then(a.centre.1.total_cmp(&b.centre.1)));
    let mut taken: Vec<(f64, f64, f64, f64)> = dots
        .iter()
        .map(|dot| {
            let (x, y) = dot.centre;
            (x - DOT - 1.0, y - DOT - 1.0, x + DOT + 1.0, y + DOT + 1.0)
        })
        .collect();
    let steps = front.windows(2).map(|ends| {
        let [(x, y), (to_x, to_y)] = [ends[0], ends[1]];
        (x.min(to_x) - 1.0, y.min(to_y) - 1.0, x.max(to_x) + 1.0, y.max(to_y) + 1.0)
    });
    let crossed: Vec<(f64, f64, f64, f64)> = steps.collect();
    for dot in named {
        let chosen = rank(dot) == 0;
        let words = text::row_name(answer, &dot.offer.row.condition);
        let width = text_width(&words, NAME, chosen);
        let (x, y) = dot.centre;
        // beside the dot, then further and further off it
        let steps = [0.0, -11.0, 11.0, -20.0, 20.0, -30.0, 30.0];
        let places: Vec<(f64, f64)> =
            steps.iter().flat_map(|dy| [(x + 9.0, y + dy), (x - 9.0 - width, y + dy)]).collect();
        let bounds =
            |(left, y): (f64, f64)| (left - 2.0, y - NAME * 0.55, left + width + 2.0, y + NAME * 0.55);
        let free = |place: &(f64, f64)| {
            let it = bounds(*place);
            let inside = it.0 >= from && it.2 <= to && it.1 >= top && it.3 <= bottom;
            inside && taken.iter().all(|other| apart(&it, other))
        };
        let clear = |place: &&(f64, f64)| crossed.iter().all(|step| apart(&bounds(**place), step));
        let mut fitting = places.iter().filter(|place| free(place));
        let Some(place) = fitting.clone().find(clear).or_else(|| fitting.next()).copied() else { continue };
        taken.push(bounds(place));
        let ink = if chosen { CHOSEN_TEXT } else { INK };
        let label = Label::new(words, place.0, place.1, NAME, ink);
        canvas.text(if chosen { label.bold() } else { label });
    }
}

fn apart(a: &(f64, f64, f64, f64), b: &(f64, f64, f64, f64)) -> bool {
    a.2 <= b.0 || b.2 <= a.0 || a.3 <= b.1 || b.3 <= a.1
}

/// Places that tell the values of their dots: those that would lie on one another are one.
fn spots(answer: &LayerAnswer, dots: &[Dot<'_>]) -> Vec<Spot> {
    type Heap<'a, 'b> = ((f64, f64, f64, f64), Vec<&'a Dot<'b>>);
    let mut heaps: Vec<Heap<'_, '_>> = Vec::new();
    for dot in dots {
        let (x, y) = dot.centre;
        let mut heap: Heap<'_, '_> = ((x - REACH, y - REACH, x + REACH, y + REACH), vec![dot]);
        // a heap that grows may touch one that it did not touch before
        while let Some(at) = heaps.iter().position(|other| !apart(&heap.0, &other.0)) {
            let (bounds, dots) = heaps.remove(at);
            let it = heap.0;
            heap.0 = (it.0.min(bounds.0), it.1.min(bounds.1), it.2.max(bounds.2), it.3.max(bounds.3));
            heap.1.extend(dots);
        }
        heaps.push(heap);
    }
    heaps
        .into_iter()
        .map(|(bounds, dots)| {
            let text = match dots.as_slice() {
                [one] => facts(answer, one.offer),
                several => {
                    let told = several.iter().take(TOLD).map(|dot| {
                        let name = text::row_name(answer, &dot.offer.row.condition);
                        let percent = text::percent(dot.offer.row.metric.mean);
                        format!("{name}: {percent} %, {} s", text::decimal(dot.offer.price.spent.seconds, 1))
                    });
                    let mut lines: Vec<String> = told.collect();
                    if several.len() > TOLD {
                        lines.push(format!("and {} more", several.len() - TOLD));
                    }
                    lines.join("\n")
                }
            };
            Spot { from: (bounds.0, bounds.1), to: (bounds.2, bounds.3), text }
        })
        .collect()
}

fn facts(answer: &LayerAnswer, offer: &Offer<'_>) -> String {
    let spent = &offer.price.spent;
    let mut lines = vec![
        text::row_name(answer, &offer.row.condition),
        format!("validation {} %", text::percent(offer.row.metric.mean)),
        format!("{} s a cell, {}", text::decimal(spent.seconds, 1), text::plural(spent.runs, "cell")),
    ];
    lines.extend(spent.bytes.map(|bytes| format!("{} MiB", text::decimal(bytes as f64 / 1_048_576.0, 1))));
    lines.push(if offer.unbeaten { "unbeaten" } else { "beaten" }.to_owned());
    lines.join("\n")
}

/// The chosen layer's colour is that of every figure.
fn colour(answer: &LayerAnswer, condition: &Condition) -> Colour {
    match condition {
        Condition::Layer(layer) if *layer == answer.chosen => CHOSEN,
        Condition::Layer(_) => LAYER,
        Condition::Control(name) => control(name).0,
    }
}

fn range(values: &[f64], share: f64) -> (f64, f64) {
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let margin = if high > low { share * (high - low) } else { (0.1 * low.abs()).max(0.5) };
    (low - margin, high + margin)
}

fn legend(answer: &LayerAnswer, offers: &Offers<'_>) -> Legend {
    let mut legend = Legend::default();
    let hollow = |colour: Colour| {
        move |canvas: &mut Canvas, at: (f64, f64)| {
            canvas.circle(at, DOT, colour);
            canvas.circle(at, DOT - 1.6, PAPER);
        }
    };
    legend.add("layer", hollow(LAYER));
    legend.add(format!("chosen: layer {}", answer.chosen), hollow(CHOSEN));
    for offer in &offers.all {
        if let Condition::Control(name) = &offer.row.condition {
            legend.add(text::control(name), hollow(control(name).0));
        }
    }
    legend.add("filled: unbeaten in all prices", |canvas, at| canvas.circle(at, DOT + 0.6, INK));
    legend.add("front of the panel's price alone", |canvas, (x, y)| {
        canvas.line(vec![(x - 10.0, y + 5.0), (x, y + 5.0), (x, y - 5.0), (x + 10.0, y - 5.0)], 1.2, MUTED);
    });
    legend
}
