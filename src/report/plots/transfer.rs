//! The transfer chart: gain over no plug for every layer on every domain, on a diverging scale
//! centred at zero. Where columns are wide enough the gain is written into its field.

use super::WIDTH;
use super::canvas::{Align, Canvas, Label, fit};
use super::legend::{Head, Legend};
use super::palette::{ABSENT, CHOSEN_TEXT, INK, MUTED, diverging, on_diverging};
use super::render::text_width;
use super::scale::layer_step;
use crate::analysis::layers::{Condition, Contrast, LayerAnswer, SetAnswer, SetRole};
use crate::report::text;

const ROW: f64 = 34.0;
const LABEL: f64 = 11.5;
const NUMBER: f64 = 10.0;
/// Domain names get at most this.
const NAMES: f64 = 170.0;
/// Controls stand this far from the layers.
const GAP: f64 = 10.0;
/// A p value after Holm's correction below this is marked.
const SIGNIFICANT: f64 = 0.05;
/// Width of the scale bar with its numbers and its unit.
const SCALE_BAR: f64 = 520.0;
const AXIS: &str = "layer of the LLM";

/// Draws the fields; `None` without other domains or without a condition to gain over.
pub(in crate::report) fn figure(answer: &LayerAnswer) -> Option<Canvas> {
    let sets: Vec<&SetAnswer> = std::iter::once(&answer.validation).chain(&answer.domains).collect();
    let gains = || {
        sets.iter()
            .flat_map(|set| &set.conditions)
            .filter_map(|row| row.over_base.as_ref().ok())
            .map(|contrast| contrast.estimate.value.abs())
    };
    if answer.domains.is_empty() || gains().next().is_none() {
        return None;
    }
    // at least one point, so that noise does not look dramatic
    let reach = gains().fold(0.01, f64::max);
    let grid = Grid::new(answer, &sets);
    let head = Head::new(
        &format!("Gain over no plug at home and on other domains, {} layers", answer.llm),
        &format!(
            "difference in {} in percentage points, trained on {}, paired by seed and example",
            answer.metric,
            fit(&answer.task, 300.0, 11.5, false)
        ),
        WIDTH,
    );
    let legend = legend(answer);
    let top = head.height() + 6.0;
    let bottom = top + ROW * sets.len() as f64;
    let axis = 42.0_f64.max(grid.control_height());
    // beside the upright names where the layers leave room for it, else below them
    let beside = grid.left + SCALE_BAR + 8.0 <= grid.x(grid.layers);
    let bar = bottom + if beside { 42.0 } else { axis } + 16.0;
    let below = (bar + 26.0).max(bottom + axis + 10.0);
    let mut canvas = Canvas::new(WIDTH, below + 6.0 + legend.height(WIDTH));
    head.draw(&mut canvas);
    for (row, set) in sets.iter().enumerate() {
        let y = top + ROW * row as f64;
        let name = set_name(set);
        canvas.text(
            Label::new(fit(&name, NAMES, LABEL, false), grid.left - 10.0, y + ROW / 2.0, LABEL, INK)
                .align(Align::End),
        );
        for (column, condition) in grid.conditions.iter().enumerate() {
            let from = (grid.x(column), y + 1.0);
            let to = (grid.end(column), y + ROW - 1.0);
            let contrast = set.get(condition).and_then(|row| row.over_base.as_ref().ok());
            field(&mut canvas, from, to, contrast, reach);
            canvas.spot(from, to, facts(answer, set, condition, contrast));
        }
    }
    grid.axis(&mut canvas, answer, bottom);
    scale_bar(&mut canvas, bar, reach, grid.left);
    legend.draw(&mut canvas, below);
    Some(canvas)
}

fn set_name(set: &SetAnswer) -> String {
    if set.role == SetRole::Domain { set.name.clone() } else { format!("{} (validation)", set.name) }
}

fn facts(
    answer: &LayerAnswer,
    set: &SetAnswer,
    condition: &Condition,
    contrast: Option<&Contrast>,
) -> String {
    let mut lines = vec![format!("{} on {}", text::row_name(answer, condition), set_name(set))];
    let Some(contrast) = contrast else {
        lines.push("no result".to_owned());
        return lines.join("\n");
    };
    lines.push(format!("{} points over no plug", text::points_with_interval(&contrast.estimate)));
    if let Some(p) = contrast.p_holm {
        lines.push(format!("p {} after Holm's correction", text::p_value(p)));
    }
    lines.join("\n")
}

fn field(canvas: &mut Canvas, from: (f64, f64), to: (f64, f64), contrast: Option<&Contrast>, reach: f64) {
    let middle = (f64::midpoint(from.0, to.0), f64::midpoint(from.1, to.1));
    let Some(contrast) = contrast else {
        canvas.rectangle(from, to, ABSENT.faint(0.45));
        // hatched, so that it is no value of the scale
        let height = to.1 - from.1;
        let mut x = from.0 - height;
        while x < to.0 {
            let start = (x.max(from.0), to.1 - (x.max(from.0) - x));
            let end = ((x + height).min(to.0), to.1 - ((x + height).min(to.0) - x));
            canvas.segment(start, end, 0.8, MUTED.faint(0.6));
            x += 6.0;
        }
        return;
    };
    let value = contrast.estimate.value / reach;
    canvas.rectangle(from, to, diverging(value));
    let ink = on_diverging(value);
    let number = text::points(contrast.estimate.value);
    let written = text_width(&number, NUMBER, false) + 4.0 <= to.0 - from.0;
    if written {
        canvas.text(Label::new(number, middle.0, middle.1 - 3.0, NUMBER, ink).align(Align::Middle));
    }
    if contrast.p_holm.is_some_and(|p| p < SIGNIFICANT) {
        let y = if written { middle.1 + 9.0 } else { middle.1 };
        canvas.circle((middle.0, y), if to.0 - from.0 < 7.0 { 1.6 } else { 2.2 }, ink);
    }
}

struct Grid {
    conditions: Vec<Condition>,
    layers: usize,
    left: f64,
    width: f64,
    control_width: f64,
    controls: Vec<String>,
}

impl Grid {
    fn new(answer: &LayerAnswer, sets: &[&SetAnswer]) -> Self {
        let mut conditions: Vec<Condition> =
            answer.planned_layers.iter().map(|layer| Condition::Layer(*layer)).collect();
        let layers = conditions.len();
        let controls: Vec<String> = answer
            .validation
            .conditions
            .iter()
            .filter_map(|row| match &row.condition {
                Condition::Control(name) if name != "base" => Some(name.clone()),
                _ => None,
            })
            .collect();
        conditions.extend(controls.iter().cloned().map(Condition::Control));
        let names =
            sets.iter().map(|set| text_width(&set_name(set), LABEL, false)).fold(0.0, f64::max).min(NAMES);
        let left = names + 28.0;
        let room = WIDTH - 24.0 - GAP - left;
        // names of controls read upwards and need the height of a line
        let even = (room / conditions.len() as f64).min(58.0);
        let control_width = even.max(16.0);
        let width = even.min((room - control_width * controls.len() as f64) / layers.max(1) as f64);
        Self { conditions, layers, left, width, control_width, controls }
    }

    fn x(&self, column: usize) -> f64 {
        match column.checked_sub(self.layers) {
            None => self.left + self.width * column as f64,
            Some(at) => self.left + self.width * self.layers as f64 + GAP + self.control_width * at as f64,
        }
    }

    /// Right end of a column's field.
    fn end(&self, column: usize) -> f64 {
        let width = if column < self.layers { self.width } else { self.control_width };
        self.x(column) + width - if width > 14.0 { 2.0 } else { 0.5 }
    }

    fn middle(&self, column: usize) -> f64 {
        f64::midpoint(self.x(column), self.end(column))
    }

    /// Names of controls read upwards below their columns.
    fn control_height(&self) -> f64 {
        self.controls
            .iter()
            .map(|name| text_width(&fit(text::control(name), 110.0, 11.0, false), 11.0, false))
            .fold(0.0, f64::max)
            + 14.0
    }

    fn axis(&self, canvas: &mut Canvas, answer: &LayerAnswer, bottom: f64) {
        // a few columns are too narrow for the axis's title: then every number says what it is
        let titled = self.layers as f64 * self.width > text_width(AXIS, LABEL, false);
        let name = |layer: usize| if titled { layer.to_string() } else { format!("layer {layer}") };
        let widest = answer.planned_layers.last().map_or(1, |layer| layer.to_string().len());
        let step = layer_step(self.width, text_width(&"8".repeat(widest), 11.0, false) + 8.0);
        for (column, layer) in answer.planned_layers.iter().enumerate() {
            let marked = *layer == answer.chosen;
            // by position: the layers of a study need not be consecutive
            let near_chosen = answer
                .planned_layers
                .iter()
                .position(|l| *l == answer.chosen)
                .is_some_and(|at| at != column && (at.abs_diff(column) as f64) * self.width < 24.0);
            if marked || (column % step == 0 && !near_chosen) {
                let colour = if marked { CHOSEN_TEXT } else { MUTED };
                let label = Label::new(name(*layer), self.middle(column), bottom + 11.0, 11.0, colour)
                    .align(Align::Middle);
                canvas.text(if marked { label.bold() } else { label });
            }
        }
        if titled {
            let middle = f64::midpoint(self.left, self.end(self.layers - 1));
            canvas.text(Label::new(AXIS, middle, bottom + 30.0, LABEL, INK).align(Align::Middle));
        }
        for (at, name) in self.controls.iter().enumerate() {
            let x = self.middle(self.layers + at);
            let name = fit(text::control(name), 110.0, 11.0, false);
            canvas.text(Label::new(name, x, bottom + 8.0, 11.0, INK).align(Align::End).upright());
        }
    }
}

pub(super) fn scale_bar(canvas: &mut Canvas, y: f64, reach: f64, left: f64) {
    const STEPS: usize = 60;
    const LENGTH: f64 = 220.0;
    let start = left + 44.0;
    for step in 0..STEPS {
        let from = start + LENGTH * step as f64 / STEPS as f64;
        let value = 2.0 * (step as f64 + 0.5) / STEPS as f64 - 1.0;
        canvas.rectangle((from, y - 6.0), (from + LENGTH / STEPS as f64 + 0.5, y + 6.0), diverging(value));
    }
    canvas.text(Label::new(text::points(-reach), start - 6.0, y, 11.0, MUTED).align(Align::End));
    canvas.text(Label::new(text::points(reach), start + LENGTH + 6.0, y, 11.0, MUTED));
    canvas.segment((start + LENGTH / 2.0, y - 6.0), (start + LENGTH / 2.0, y + 6.0), 0.8, MUTED);
    let unit = format!("percentage points over {}", text::control("base"));
    canvas.text(Label::new(unit, start + LENGTH + 52.0, y, 11.0, MUTED));
}

fn legend(answer: &LayerAnswer) -> Legend {
    let mut legend = Legend::default();
    let chosen = answer.chosen.to_string();
    legend.add("layer chosen on validation", move |canvas, (x, y)| {
        canvas.text(Label::new(chosen.clone(), x, y, 11.0, CHOSEN_TEXT).align(Align::Middle).bold());
    });
    legend.add("p < 0.05 after Holm's correction over layers", |canvas, at| canvas.circle(at, 2.4, INK));
    legend.add("no result", |canvas, (x, y)| {
        let (from, to): ((f64, f64), (f64, f64)) = ((x - 10.0, y - 7.0), (x + 10.0, y + 7.0));
        field(canvas, from, to, None, 1.0);
    });
    legend
}
