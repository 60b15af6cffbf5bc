//! Accuracy at home against accuracy elsewhere, a dot a pair of domains: what lies above the cloud of
//! no plug is more robust than its accuracy at home explains.

use super::WIDTH;
use super::canvas::{Align, Canvas, Label};
use super::legend::{Head, Legend};
use super::palette::{CHOSEN, Colour, GRID, INK, LAYER, MUTED, control};
use super::scale::{Scale, ticks};
use crate::analysis::layers::Condition;
use crate::analysis::transfer::{ConditionTransfer, TransferAnswer};
use crate::report::text;

const LEFT: f64 = 66.0;
const RIGHT: f64 = WIDTH - 24.0;
const PLOT_HEIGHT: f64 = 320.0;

/// One condition in one pair of domains.
struct Dot<'a> {
    condition: &'a Condition,
    home: f64,
    away: f64,
}

/// The pairs of different domains that have both accuracies.
fn dots(row: &ConditionTransfer) -> impl Iterator<Item = Dot<'_>> {
    let accuracy = |trained: usize, tested: usize| row.field(trained, tested)?.accuracy.clone().ok();
    row.fields.iter().filter(|field| field.trained != field.tested).filter_map(move |field| {
        let home = accuracy(field.trained, field.trained)?;
        Some(Dot { condition: &row.condition, home, away: accuracy(field.trained, field.tested)? })
    })
}

/// Draws the shown conditions' means; `None` without any.
pub(in crate::report) fn figure(answer: &TransferAnswer, shown: &[&ConditionTransfer]) -> Option<Canvas> {
    let conditions: Vec<&Condition> = shown.iter().map(|row| &row.condition).collect();
    // a dot a run would be thousands of them; the runs of a pair differ by luck alone
    let points: Vec<Dot<'_>> = shown.iter().flat_map(|row| dots(row)).collect();
    points.first()?;
    let range = |values: &dyn Fn() -> Vec<f64>| {
        let values = values();
        let low = values.iter().copied().fold(f64::INFINITY, f64::min);
        let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let margin = (0.05 * (high - low)).max(0.005);
        (low - margin, high + margin)
    };
    let homes = range(&|| points.iter().map(|point| point.home).collect());
    let aways = range(&|| points.iter().map(|point| point.away).collect());
    let head = Head::new(
        &format!("At home and on other domains, {} in {}", answer.llm, answer.slm),
        &format!("test {} in percent, a dot a pair of domains, mean over seeds", answer.metric),
        WIDTH,
    );
    let mut legend = Legend::default();
    for &condition in &conditions {
        let colour = colour(answer, condition);
        let name = text::condition(condition);
        legend.add(name, move |canvas, at| canvas.circle(at, 4.0, colour));
    }
    let (top, bottom) = (head.height() + 8.0, head.height() + PLOT_HEIGHT);
    let mut canvas = Canvas::new(WIDTH, bottom + 56.0 + legend.height(WIDTH));
    head.draw(&mut canvas);
    let (x, y) = (Scale::new(homes, (LEFT, RIGHT)), Scale::new(aways, (bottom, top)));
    let percents = |(low, high): (f64, f64)| ticks((100.0 * low, 100.0 * high), 6);
    let (places, decimals) = percents(aways);
    for place in places {
        let at = y.at(place / 100.0);
        canvas.segment((LEFT, at), (RIGHT, at), 1.0, GRID);
        canvas.text(Label::new(format!("{place:.decimals$}"), LEFT - 8.0, at, 11.0, MUTED).align(Align::End));
    }
    let (places, decimals) = percents(homes);
    for place in places {
        let at = x.at(place / 100.0);
        canvas.segment((at, top), (at, bottom), 1.0, GRID);
        let label = Label::new(format!("{place:.decimals$}"), at, bottom + 12.0, 11.0, MUTED);
        canvas.text(label.align(Align::Middle));
    }
    for point in points {
        canvas.circle((x.at(point.home), y.at(point.away)), 3.6, colour(answer, point.condition).faint(0.75));
    }
    let middle = f64::midpoint(LEFT, RIGHT);
    let label = Label::new("trained and tested on one domain (%)", middle, bottom + 32.0, 11.5, INK);
    canvas.text(label.align(Align::Middle));
    let label = Label::new("tested on another domain (%)", 20.0, f64::midpoint(top, bottom), 11.5, INK);
    canvas.text(label.align(Align::Middle).upright());
    legend.draw(&mut canvas, bottom + 48.0);
    Some(canvas)
}

/// The chosen layer's colour is that of every figure; the last layer, where it is another one, is
/// drawn as layers are.
fn colour(answer: &TransferAnswer, condition: &Condition) -> Colour {
    match condition {
        Condition::Layer(layer) if answer.choice.as_ref().is_some_and(|choice| choice.layer == *layer) => {
            CHOSEN
        }
        Condition::Layer(_) => LAYER,
        Condition::Control(name) => control(name).0,
    }
}
