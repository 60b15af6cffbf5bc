//! P(best): how probable it is that each layer is the best one.

use super::WIDTH;
use super::canvas::{Align, Canvas, Label};
use super::layers::layer_axis;
use super::legend::{Head, Legend};
use super::palette::{CHOSEN, GRID, INK, LAYER, MUTED, PAPER, TIED};
use super::render::text_width;
use super::scale::{Scale, layer_step, ticks};
use crate::analysis::layers::{Condition, LayerAnswer};
use crate::report::text;

const PLOT_HEIGHT: f64 = 170.0;
const LEFT: f64 = 66.0;
const RIGHT: f64 = WIDTH - 24.0;

/// Draws the bars; `None` where there is nothing to choose between.
pub(in crate::report) fn figure(answer: &LayerAnswer) -> Option<Canvas> {
    let bars = &answer.best_probability;
    let (first, last) = (bars.first()?.layer, bars.last()?.layer);
    if bars.len() < 2 {
        return None;
    }
    let head = Head::new(
        "How probable is it that a layer is the best?",
        &format!(
            "share of {} resamples of seeds and validation examples in which the layer has the best mean",
            text::count(answer.resamples)
        ),
        WIDTH,
    );
    let even = 1.0 / bars.len() as f64;
    let legend = legend(answer, even);
    let (top, bottom) = (head.height() + 8.0, head.height() + PLOT_HEIGHT);
    let mut canvas = Canvas::new(WIDTH, bottom + 56.0 + legend.height(WIDTH));
    head.draw(&mut canvas);

    let highest = bars.iter().map(|bar| bar.probability).fold(even, f64::max);
    let y = Scale::new((0.0, (highest * 1.12).min(1.06)), (bottom, top));
    let x = Scale::new((first as f64 - 0.5, last as f64 + 0.5), (LEFT, RIGHT));
    let spacing = (RIGHT - LEFT) / (last - first + 1) as f64;
    let (values, decimals) = ticks((0.0, 100.0 * y.data().1.min(1.0)), 4);
    for value in values {
        let at = y.at(value / 100.0);
        canvas.segment((LEFT, at), (RIGHT, at), 1.0, GRID);
        canvas
            .text(Label::new(text::decimal(value, decimals), LEFT - 8.0, at, 11.0, MUTED).align(Align::End));
    }
    let half = (spacing * 0.38).clamp(1.0, 22.0);
    for bar in bars {
        let middle = x.at(bar.layer as f64);
        let colour = if answer.tied.contains(&bar.layer) { LAYER } else { TIED.faint(0.55) };
        canvas.rectangle((middle - half, y.at(bar.probability)), (middle + half, bottom), colour);
        let reach = 0.5 * spacing.min(60.0);
        let tied = if answer.tied.contains(&bar.layer) { "cannot be" } else { "is" };
        canvas.spot(
            (middle - reach, top),
            (middle + reach, bottom),
            format!(
                "{}\nP(best) {} %\n{tied} told apart from the best",
                text::row_name(answer, &Condition::Layer(bar.layer)),
                text::percent(bar.probability)
            ),
        );
        if bar.layer == answer.chosen {
            canvas.star((middle, y.at(bar.probability) - 1.0), 7.0, CHOSEN, PAPER);
        }
    }
    canvas.dashed((LEFT, y.at(even)), (RIGHT, y.at(even)), (1.2, &[4.0, 4.0]), INK);
    canvas.segment((LEFT, bottom), (RIGHT, bottom), 1.2, MUTED);
    let label = text_width(&"8".repeat(last.to_string().len()), 11.0, false) + 10.0;
    let step = layer_step(spacing, label);
    for layer in (first..=last).filter(|layer| layer % step == 0) {
        let at = x.at(layer as f64);
        canvas.segment((at, bottom), (at, bottom + 4.0), 1.0, MUTED);
        canvas.text(Label::new(layer.to_string(), at, bottom + 13.0, 11.0, MUTED).align(Align::Middle));
    }
    let title = layer_axis(answer);
    canvas.text(Label::new(title, f64::midpoint(LEFT, RIGHT), bottom + 34.0, 11.5, INK).align(Align::Middle));
    canvas.text(
        Label::new("P(best) (%)", 18.0, f64::midpoint(top, bottom), 11.5, INK).align(Align::Middle).upright(),
    );
    legend.draw(&mut canvas, bottom + 50.0);
    Some(canvas)
}

fn legend(answer: &LayerAnswer, even: f64) -> Legend {
    let mut legend = Legend::default();
    let bar = |colour| {
        move |canvas: &mut Canvas, (x, y): (f64, f64)| {
            canvas.rectangle((x - 6.0, y - 7.0), (x + 6.0, y + 7.0), colour);
        }
    };
    legend.add("cannot be told apart from the best", bar(LAYER));
    if answer.tied.len() < answer.best_probability.len() {
        legend.add("told apart from the best", bar(TIED.faint(0.55)));
    }
    legend.add(format!("chosen: layer {}", answer.chosen), |canvas, at| canvas.star(at, 7.0, CHOSEN, PAPER));
    let text = format!("all layers equal: {}%", text::percent(even));
    legend.add(text, |canvas, (x, y)| {
        canvas.dashed((x - 11.0, y), (x + 11.0, y), (1.2, &[4.0, 4.0]), INK);
    });
    legend
}
