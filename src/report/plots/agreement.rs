//! Scores against training: a panel a score, the score to the right, the metric on validation
//! upwards, a number a layer.

use super::WIDTH;
use super::canvas::{Align, Canvas, Label, fit};
use super::legend::{Head, Legend};
use super::palette::{CHOSEN, GRID, INK, LAYER, MUTED, PAPER};
use super::scale::{Scale, ticks};
use crate::analysis::layers::{Condition, LayerAnswer};
use crate::report::attached::{Scored, Scores};
use crate::report::text;

const MARGIN: f64 = 18.0;
const GAP: f64 = 18.0;
/// Room for the numbers of the upright axis.
const LEFT: f64 = 44.0;
const PLOT: f64 = 190.0;
/// A panel's two lines of title, and the numbers and name below it.
const ABOVE: f64 = 38.0;
const BELOW: f64 = 44.0;
const TICK: f64 = 10.0;

/// Draws the scores that at least two layers have; `None` without any.
pub(in crate::report) fn figure(answer: &LayerAnswer, scores: &Scores) -> Option<Canvas> {
    let panels: Vec<(&Scored, Vec<Point>)> = scores
        .methods
        .iter()
        .map(|scored| (scored, points(answer, scored)))
        .filter(|(_, points)| points.len() > 1)
        .collect();
    panels.first()?;
    let across = panels.len().min(3);
    let width = (WIDTH - 2.0 * MARGIN - GAP * (across - 1) as f64) / across as f64;
    let head = Head::new(
        &format!("Training-free scores of layers of {} against training", answer.llm),
        &format!("validation {} of {} in percent; every number is a layer", answer.metric, answer.task),
        WIDTH,
    );
    let legend = legend();
    let rows = panels.len().div_ceil(across) as f64;
    let height = ABOVE + PLOT + BELOW;
    let mut canvas = Canvas::new(WIDTH, head.height() + rows * height + legend.height(WIDTH) + 4.0);
    head.draw(&mut canvas);
    for (at, (scored, points)) in panels.iter().enumerate() {
        let left = MARGIN + (width + GAP) * (at % across) as f64;
        let top = head.height() + height * (at / across) as f64;
        panel(&mut canvas, (left, top, width), scored, points);
    }
    legend.draw(&mut canvas, head.height() + rows * height);
    Some(canvas)
}

struct Point {
    layer: usize,
    score: f64,
    metric: f64,
}

fn points(answer: &LayerAnswer, scored: &Scored) -> Vec<Point> {
    let metric = |layer: usize| answer.validation.get(&Condition::Layer(layer)).map(|row| row.metric.mean);
    let found = scored.values.iter().filter(|(_, score)| score.is_finite());
    found
        .filter_map(|(layer, score)| Some(Point { layer: *layer, score: *score, metric: metric(*layer)? }))
        .collect()
}

fn range(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let (low, high) = values
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
    let margin = if high > low { 0.08 * (high - low) } else { (0.1 * low.abs()).max(0.01) };
    (low - margin, high + margin)
}

fn panel(canvas: &mut Canvas, (left, top, width): (f64, f64, f64), scored: &Scored, points: &[Point]) {
    let (from, to) = (left + LEFT, left + width);
    let (above, below) = (top + ABOVE, top + ABOVE + PLOT);
    let name = fit(&scored.name, width, 12.0, true);
    canvas.text(Label::new(name, left, top + 9.0, 12.0, INK).bold());
    let agreement = match &scored.agreement.weighted_tau {
        Ok(tau) => format!(
            "weighted tau {} [{}, {}]",
            text::decimal(tau.value, 2),
            text::decimal(tau.low, 2),
            text::decimal(tau.high, 2)
        ),
        Err(reason) => format!("weighted tau n/a: {reason}"),
    };
    canvas.text(Label::new(fit(&agreement, width, TICK, false), left, top + 25.0, TICK, MUTED));
    let (x, y) = (
        Scale::new(range(points.iter().map(|point| point.score)), (from, to)),
        Scale::new(range(points.iter().map(|point| 100.0 * point.metric)), (below, above)),
    );
    let (places, decimals) = ticks(y.data(), 4);
    for place in places {
        let at = y.at(place);
        canvas.segment((from, at), (to, at), 1.0, GRID);
        let label = Label::new(text::decimal(place, decimals), from - 6.0, at, TICK, MUTED);
        canvas.text(label.align(Align::End));
    }
    let (places, decimals) = ticks(x.data(), 4);
    for place in places {
        let at = x.at(place);
        canvas.segment((at, above), (at, below), 1.0, GRID);
        let label = Label::new(text::decimal(place, decimals), at, below + 11.0, TICK, MUTED);
        canvas.text(label.align(Align::Middle));
    }
    let direction = if scored.higher_is_better { "higher is better" } else { "lower is better" };
    let label = Label::new(direction, f64::midpoint(from, to), below + 27.0, TICK, MUTED);
    canvas.text(label.align(Align::Middle));
    // the two that are filled lie above the others
    let marked =
        |point: &&Point| [scored.agreement.chosen, scored.agreement.best].contains(&Some(point.layer));
    for point in points.iter().filter(|point| !marked(point)).chain(points.iter().filter(marked)) {
        let centre = (x.at(point.score), y.at(100.0 * point.metric));
        let fill = if scored.agreement.best == Some(point.layer) {
            Some(CHOSEN)
        } else if scored.agreement.chosen == Some(point.layer) {
            Some(LAYER)
        } else {
            None
        };
        canvas.circle(centre, 8.0, fill.unwrap_or(LAYER.faint(0.18)));
        let ink = if fill.is_some() { PAPER } else { INK };
        canvas.text(Label::new(point.layer.to_string(), centre.0, centre.1, 9.0, ink).align(Align::Middle));
        let says = format!(
            "layer {}\n{} {}\nvalidation {} %",
            point.layer,
            scored.name,
            text::decimal(point.score, 4),
            text::percent(point.metric)
        );
        canvas.spot((centre.0 - 8.0, centre.1 - 8.0), (centre.0 + 8.0, centre.1 + 8.0), says);
    }
}

fn legend() -> Legend {
    let mut legend = Legend::default();
    legend.add("chosen by training", |canvas, at| canvas.circle(at, 6.0, CHOSEN));
    legend.add("chosen by the score, where it is another layer", |canvas, at| canvas.circle(at, 6.0, LAYER));
    legend
}
