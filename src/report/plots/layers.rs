//! The layer chart: the metric on validation against the layer. Every seed is a dot, the mean has
//! its interval, controls are lines through the plot with their own seeds beside it, the layers
//! that cannot be told apart from the best are shaded.

use super::WIDTH;
use super::canvas::{Align, Canvas, Label, fit};
use super::legend::{Head, Legend};
use super::palette::{self, CHOSEN, GRID, INK, LAYER, MUTED, PAPER, TIED};
use super::render::text_width;
use super::scale::{Scale, layer_step, spread, ticks};
use crate::analysis::layers::{Condition, ConditionOnSet, LayerAnswer, Summary};
use crate::report::text;

const PLOT_HEIGHT: f64 = 320.0;
const TICK: f64 = 11.0;
const LABEL: f64 = 11.5;
const LEFT: f64 = 66.0;
/// A control's column of seeds right of the plot.
const COLUMN: f64 = 22.0;
/// Labels of the controls get at most this.
const CONTROL_LABEL: f64 = 150.0;

/// Draws the chart; `pruned` layers, which a screen left out, are hatched from end to end: they have
/// no number that could stand beside the others.
pub(in crate::report) fn figure(answer: &LayerAnswer, pruned: &[usize]) -> Canvas {
    let trained = |layer: &usize| answer.planned_layers.contains(layer);
    let pruned: Vec<usize> = pruned.iter().copied().filter(|layer| !trained(layer)).collect();
    let head = Head::new(&title(answer), &subtitle(answer), WIDTH);
    let legend = legend(answer, !pruned.is_empty());
    let height = head.height() + PLOT_HEIGHT + 56.0 + legend.height(WIDTH);
    let mut canvas = Canvas::new(WIDTH, height);
    head.draw(&mut canvas);
    let controls = controls(answer);
    let label_width = controls
        .iter()
        .map(|(name, row)| text_width(&control_label(name, row), LABEL, false))
        .fold(0.0, f64::max);
    let columns = COLUMN * controls.len() as f64;
    let right = if controls.is_empty() {
        WIDTH - 24.0
    } else {
        WIDTH - 22.0 - label_width.min(CONTROL_LABEL) - 26.0 - columns - 12.0
    };
    let frame = Frame::new(answer, &pruned, (head.height(), head.height() + PLOT_HEIGHT), right);
    frame.axes(&mut canvas, answer, right + if controls.is_empty() { 0.0 } else { 12.0 + columns });
    frame.pruned(&mut canvas, &pruned);
    frame.tied(&mut canvas, answer);
    frame.controls(&mut canvas, &controls, right + 12.0);
    frame.layers(&mut canvas, answer);
    frame.spots(&mut canvas, answer, &controls, right + 12.0);
    legend.draw(&mut canvas, head.height() + PLOT_HEIGHT + 50.0);
    canvas
}

/// Long names are cut one by one, so that each keeps its start and end within two lines.
fn title(answer: &LayerAnswer) -> String {
    let name = |name: &str, width| fit(name, width, 15.0, true);
    let (llm, slm, task) = (name(&answer.llm, 460.0), name(&answer.slm, 400.0), name(&answer.task, 300.0));
    format!("Layers of {llm} plugged into {slm} on {task}")
}

fn subtitle(answer: &LayerAnswer) -> String {
    let seeds = text::plural(answer.seeds.len(), "seed");
    let examples = text::plural(answer.validation.examples, "example");
    format!(
        "{} on validation ({examples}), {seeds}; the layer is chosen here, test is in the report",
        text::capital(&answer.metric)
    )
}

/// Title of an axis of layers.
pub(super) fn layer_axis(answer: &LayerAnswer) -> String {
    match answer.layers {
        1 => "layer of the LLM".to_owned(),
        _ => format!("layer of the LLM (0 to {})", answer.last()),
    }
}

fn controls(answer: &LayerAnswer) -> Vec<(String, &ConditionOnSet)> {
    let mut controls: Vec<(String, &ConditionOnSet)> = answer
        .validation
        .conditions
        .iter()
        .filter_map(|row| match &row.condition {
            Condition::Control(name) => Some((name.clone(), row)),
            Condition::Layer(_) => None,
        })
        .collect();
    controls.sort_by_key(|(name, _)| name != "base");
    controls
}

fn control_label(name: &str, row: &ConditionOnSet) -> String {
    let name = fit(text::control(name), CONTROL_LABEL - 34.0, LABEL, false);
    format!("{name} {}", text::percent(row.metric.mean))
}

fn legend(answer: &LayerAnswer, pruned: bool) -> Legend {
    let mut legend = Legend::default();
    if answer.seeds.len() == 1 {
        legend.add("the one seed", |canvas, at| canvas.circle(at, 3.4, LAYER));
    } else {
        legend.add("one seed", |canvas, at| canvas.circle(at, 2.6, LAYER.faint(0.5)));
        legend.add("mean and 95% t interval over seeds", |canvas, (x, y)| {
            canvas.segment((x, y - 8.0), (x, y + 8.0), 1.4, LAYER);
            canvas.segment((x - 10.0, y), (x + 10.0, y), 1.6, LAYER);
            canvas.circle((x, y), 3.4, LAYER);
        });
    }
    legend.add(format!("chosen: layer {}", answer.chosen), |canvas, at| canvas.star(at, 7.0, CHOSEN, PAPER));
    if answer.planned_layers.contains(&answer.last()) {
        legend.add(format!("last layer: {}", answer.last()), |canvas, at| canvas.diamond(at, 6.5, INK));
    }
    if answer.tied.len() > 1 {
        legend.add("cannot be told apart from the best", |canvas, (x, y)| {
            canvas.rectangle((x - 10.0, y - 7.0), (x + 10.0, y + 7.0), TIED.faint(0.22));
        });
    }
    if pruned {
        legend.add("pruned by the screen, not trained in full", |canvas, (x, y)| {
            hatched(canvas, (x - 10.0, y - 7.0), (x + 10.0, y + 7.0));
        });
    }
    if !missing(answer).is_empty() {
        legend.add("no result", |canvas, at| canvas.cross(at, 3.5, MUTED));
    }
    if !controls(answer).is_empty() {
        legend.add("controls: line at the mean, seeds beside the plot", |canvas, (x, y)| {
            canvas.segment((x - 11.0, y), (x + 5.0, y), 1.4, INK);
            canvas.segment((x + 7.0, y - 7.0), (x + 7.0, y + 7.0), 1.4, INK);
            canvas.circle((x + 7.0, y), 3.0, INK);
        });
    }
    legend
}

/// Thin slanted lines within a rectangle.
fn hatched(canvas: &mut Canvas, from: (f64, f64), to: (f64, f64)) {
    let height = to.1 - from.1;
    let mut x = from.0 - height;
    while x < to.0 {
        let (left, right) = (x.max(from.0), (x + height).min(to.0));
        if right > left {
            canvas.segment((left, to.1 - (left - x)), (right, to.1 - (right - x)), 0.8, MUTED.faint(0.35));
        }
        x += 7.0;
    }
}

fn missing(answer: &LayerAnswer) -> Vec<usize> {
    let found = |layer: &usize| answer.validation.get(&Condition::Layer(*layer)).is_some();
    answer.planned_layers.iter().copied().filter(|layer| !found(layer)).collect()
}

struct Frame {
    x: Scale,
    y: Scale,
    spacing: f64,
    top: f64,
    bottom: f64,
    right: f64,
}

impl Frame {
    fn new(answer: &LayerAnswer, pruned: &[usize], (top, bottom): (f64, f64), right: f64) -> Self {
        let shown = || answer.planned_layers.iter().chain(pruned).copied();
        let first = shown().min().unwrap_or(0) as f64;
        let last = shown().max().unwrap_or(0) as f64;
        let spacing = (right - LEFT) / (last - first + 1.0);
        Self {
            x: Scale::new((first - 0.5, last + 0.5), (LEFT, right)),
            y: Scale::new(value_range(answer), (bottom, top)),
            spacing,
            top,
            bottom,
            right,
        }
    }

    fn axes(&self, canvas: &mut Canvas, answer: &LayerAnswer, grid_end: f64) {
        let (values, decimals) = ticks((100.0 * self.y.data().0, 100.0 * self.y.data().1), 6);
        for value in values {
            let y = self.y.at(value / 100.0);
            canvas.segment((LEFT, y), (grid_end, y), 1.0, GRID);
            canvas.text(
                Label::new(text::decimal(value, decimals), LEFT - 8.0, y, TICK, MUTED).align(Align::End),
            );
        }
        canvas.segment((LEFT, self.bottom), (self.right, self.bottom), 1.2, MUTED);
        let widest = answer.planned_layers.last().map_or(1, |layer| layer.to_string().len());
        let step = layer_step(self.spacing, text_width(&"8".repeat(widest), TICK, false) + 10.0);
        let (first, last) = self.x.data();
        for layer in (first + 0.5) as usize..=(last - 0.5) as usize {
            if layer % step != 0 {
                continue;
            }
            let x = self.x.at(layer as f64);
            canvas.segment((x, self.bottom), (x, self.bottom + 4.0), 1.0, MUTED);
            canvas
                .text(Label::new(layer.to_string(), x, self.bottom + 13.0, TICK, MUTED).align(Align::Middle));
        }
        let title = layer_axis(answer);
        let middle = f64::midpoint(LEFT, self.right);
        canvas.text(Label::new(title, middle, self.bottom + 34.0, LABEL, INK).align(Align::Middle));
        let title = fit(&format!("validation {} (%)", answer.metric), self.bottom - self.top, LABEL, false);
        let middle = f64::midpoint(self.top, self.bottom);
        canvas.text(Label::new(title, 18.0, middle, LABEL, INK).align(Align::Middle).upright());
    }

    fn pruned(&self, canvas: &mut Canvas, pruned: &[usize]) {
        for layer in pruned {
            let (from, to) = (self.x.at(*layer as f64 - 0.5), self.x.at(*layer as f64 + 0.5));
            hatched(canvas, (from, self.top), (to, self.bottom));
        }
    }

    fn tied(&self, canvas: &mut Canvas, answer: &LayerAnswer) {
        if answer.tied.len() < 2 {
            return;
        }
        // neighbours share one rectangle: two that meet would show a seam
        let mut at = 0;
        while at < answer.tied.len() {
            let mut end = at;
            while end + 1 < answer.tied.len() && answer.tied[end + 1] == answer.tied[end] + 1 {
                end += 1;
            }
            let from = self.x.at(answer.tied[at] as f64 - 0.5);
            let to = self.x.at(answer.tied[end] as f64 + 0.5);
            canvas.rectangle((from, self.top), (to, self.bottom), TIED.faint(0.22));
            at = end + 1;
        }
    }

    fn controls(&self, canvas: &mut Canvas, controls: &[(String, &ConditionOnSet)], left: f64) {
        let end = left + COLUMN * controls.len() as f64;
        let wanted: Vec<f64> = controls.iter().map(|(_, row)| self.y.clamped(row.metric.mean)).collect();
        let labels = spread(&wanted, 17.0, (self.top + 6.0, self.bottom - 6.0));
        for (column, ((name, row), (y, label))) in
            controls.iter().zip(wanted.into_iter().zip(labels)).enumerate()
        {
            let (colour, dashes) = palette::control(name);
            canvas.dashed((LEFT, y), (end, y), (1.6, dashes), colour);
            let x = left + COLUMN * (column as f64 + 0.5);
            self.interval(canvas, x, &row.metric, 1.4, colour);
            for (_, value) in seeds_beside_the_mean(&row.metric) {
                canvas.circle((x + 5.0, self.y.clamped(*value)), 2.2, colour.faint(0.55));
            }
            canvas.circle((x, y), 3.2, colour);
            canvas.line(
                vec![(end, y), (end + 8.0, y), (end + 18.0, label), (end + 22.0, label)],
                1.2,
                colour,
            );
            canvas.text(Label::new(control_label(name, row), end + 26.0, label, LABEL, INK));
        }
    }

    fn layers(&self, canvas: &mut Canvas, answer: &LayerAnswer) {
        let rows: Vec<(usize, &ConditionOnSet)> = answer
            .validation
            .conditions
            .iter()
            .filter_map(|row| row.condition.layer().map(|layer| (layer, row)))
            .collect();
        let wide = self.spacing >= 14.0;
        let (dot, mean) = if wide { (2.4, 3.4) } else { (1.7, 2.3) };
        for (layer, row) in &rows {
            let x = self.x.at(*layer as f64);
            self.interval(canvas, x, &row.metric, if wide { 1.4 } else { 1.0 }, LAYER);
            let aside = if wide { 5.0 } else { 0.0 };
            for (_, value) in seeds_beside_the_mean(&row.metric) {
                canvas.circle((x + aside, self.y.clamped(*value)), dot, LAYER.faint(0.5));
            }
        }
        for pair in rows.windows(2) {
            let [(from, first), (to, second)] = pair else { continue };
            let ends = [(from, first), (to, second)]
                .map(|(layer, row)| (self.x.at(*layer as f64), self.y.clamped(row.metric.mean)));
            let between =
                answer.planned_layers.iter().filter(|layer| (from + 1..*to).contains(layer)).count();
            // what failed breaks the line, what was not asked for makes it a guess
            match (between, to - from) {
                (0, 1) => canvas.segment(ends[0], ends[1], 1.6, LAYER),
                (0, _) => canvas.dashed(ends[0], ends[1], (1.0, &[3.0, 4.0]), LAYER),
                _ => {}
            }
        }
        for (layer, row) in &rows {
            canvas.circle((self.x.at(*layer as f64), self.y.clamped(row.metric.mean)), mean, LAYER);
        }
        for layer in missing(answer) {
            canvas.cross((self.x.at(layer as f64), self.bottom - 8.0), 3.5, MUTED);
        }
        for (layer, row) in &rows {
            let centre = (self.x.at(*layer as f64), self.y.clamped(row.metric.mean));
            if *layer == answer.last() {
                canvas.diamond(centre, if *layer == answer.chosen { 11.0 } else { 6.5 }, INK);
            }
            if *layer == answer.chosen {
                canvas.star(centre, 7.0, CHOSEN, PAPER);
            }
        }
    }

    /// Every layer's and every control's column tells its numbers.
    fn spots(
        &self,
        canvas: &mut Canvas,
        answer: &LayerAnswer,
        controls: &[(String, &ConditionOnSet)],
        left: f64,
    ) {
        for layer in &answer.planned_layers {
            let half = 0.5 * self.spacing.min(60.0);
            let x = self.x.at(*layer as f64);
            let condition = Condition::Layer(*layer);
            let says = match answer.validation.get(&condition) {
                Some(row) => facts(answer, row),
                None => format!("{}\nno result", text::condition(&condition)),
            };
            canvas.spot((x - half, self.top), (x + half, self.bottom), says);
        }
        for (column, (_, row)) in controls.iter().enumerate() {
            let x = left + COLUMN * column as f64;
            canvas.spot((x, self.top), (x + COLUMN, self.bottom), facts(answer, row));
        }
    }

    /// The interval with caps; an end outside the plot has an arrow in place of its cap.
    fn interval(&self, canvas: &mut Canvas, x: f64, summary: &Summary, width: f64, colour: palette::Colour) {
        let Ok(estimate) = &summary.interval else { return };
        let (low, high) = self.y.data();
        let colour = colour.faint(0.75);
        canvas.segment((x, self.y.clamped(estimate.low)), (x, self.y.clamped(estimate.high)), width, colour);
        let cap = (self.spacing * 0.3).clamp(1.5, 3.5);
        for (end, outside, tip) in
            [(estimate.low, estimate.low < low, -5.0), (estimate.high, estimate.high > high, 5.0)]
        {
            let y = self.y.clamped(end);
            if outside {
                canvas.line(vec![(x - cap, y + tip), (x, y), (x + cap, y + tip)], width, colour);
            } else {
                canvas.segment((x - cap, y), (x + cap, y), width, colour);
            }
        }
    }
}

/// What is known of a condition on validation, one fact a line.
fn facts(answer: &LayerAnswer, row: &ConditionOnSet) -> String {
    let mut lines = vec![text::row_name(answer, &row.condition)];
    let mean = text::mean(&row.metric);
    lines.push(format!("{} {mean} %", answer.metric));
    if row.metric.seeds.len() > 1 {
        let seeds: Vec<String> = row.metric.seeds.iter().map(|(_, value)| text::percent(*value)).collect();
        lines.push(format!("seeds: {}", seeds.join(", ")));
    }
    if let Ok(contrast) = &row.over_base {
        lines.push(format!("over no plug: {} points", text::points_with_interval(&contrast.estimate)));
    }
    if row.condition.layer().is_some_and(|layer| answer.tied.len() > 1 && answer.tied.contains(&layer)) {
        lines.push("cannot be told apart from the best".to_owned());
    }
    lines.join("\n")
}

/// A single seed is the mean and needs no dot of its own.
fn seeds_beside_the_mean(summary: &Summary) -> &[(u64, f64)] {
    if summary.seeds.len() == 1 { &[] } else { &summary.seeds }
}

/// The range holds every seed, and the intervals as long as they are not much wider than that:
/// two seeds have a t interval of nine times their distance, which would flatten the curve.
fn value_range(answer: &LayerAnswer) -> (f64, f64) {
    let rows = || answer.validation.conditions.iter().map(|row| &row.metric);
    let values = || rows().flat_map(|summary| summary.seeds.iter().map(|(_, value)| *value));
    let low = values().fold(f64::INFINITY, f64::min);
    let high = values().fold(f64::NEG_INFINITY, f64::max);
    let span = (high - low).max(0.01);
    let ends = || rows().filter_map(|summary| summary.interval.as_ref().ok());
    let lowest = ends().map(|interval| interval.low).fold(low, f64::min).max(low - 0.5 * span);
    let highest = ends().map(|interval| interval.high).fold(high, f64::max).min(high + 0.5 * span);
    let pad = 0.06 * (highest - lowest).max(0.01);
    // an interval may promise more than all and less than nothing; the axis does not
    let floor = if low >= 0.0 { -0.03 } else { f64::NEG_INFINITY };
    let ceiling = if high <= 1.0 { 1.03 } else { f64::INFINITY };
    ((lowest - pad).max(floor), (highest + pad).min(ceiling))
}
