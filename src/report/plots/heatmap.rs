//! Similarities of all pairs of places: a field a pair on a scale whose lightness is even (cividis,
//! Nuñez et al. 2018), bright where two places are close whichever way the measure points. What has
//! no value is hatched, and the caption says why; the caption also gives the chance level, n and the
//! widths, without which no colour means anything.

use super::WIDTH;
use super::canvas::{Align, Canvas, Label, fit, wrap};
use super::legend::Head;
use super::palette::{ABSENT, Colour, INK, MUTED, ON_DARK_FIELD, ON_FIELD, cividis};
use super::render::text_width;
use super::scale::layer_step;
use crate::analysis::similarity::Direction;
use crate::report::similarity::{Comparison, Grid, Source};
use crate::report::text;

/// Names of places get at most this.
const NAMES: f64 = 110.0;
const LABEL: f64 = 11.0;
const CAPTION: f64 = 11.5;
const LINE: f64 = 16.0;
const MARGIN: f64 = 18.0;
/// Largest side of a field.
const FIELD: (f64, f64) = (58.0, 30.0);
/// A value is written into its field at the first of these sizes at which it fits.
const SIZES: [f64; 3] = [10.5, 9.0, 7.5];

/// Draws one measure.
pub(in crate::report) fn figure(comparison: &Comparison, grid: &Grid) -> Canvas {
    let (rows, columns) = (&comparison.first, &comparison.second);
    let head = Head::new(&title(comparison, grid), &subtitle(comparison, grid), WIDTH);
    let names = longest(rows).min(NAMES);
    let left = MARGIN + LINE + names + 8.0;
    let width = ((WIDTH - MARGIN - left) / columns.sites.len() as f64).min(FIELD.0);
    let height = (width * 0.75).clamp(7.0, FIELD.1);
    let top = head.height() + 6.0;
    let bottom = top + height * rows.sites.len() as f64;
    let below = longest(columns).min(NAMES) + 10.0;
    let caption = caption(comparison, grid);
    let bar = bottom + below + 34.0;
    let mut canvas = Canvas::new(WIDTH, bar + 24.0 + LINE * caption.len() as f64 + 8.0);
    head.draw(&mut canvas);
    let scale = Scale::of(grid);
    for (at, value) in grid.values.iter().enumerate() {
        let (row, column) = (at / columns.sites.len(), at % columns.sites.len());
        let from = (left + width * column as f64, top + height * row as f64);
        let gap = if width > 14.0 { 1.0 } else { 0.0 };
        let to = (from.0 + width - gap, from.1 + height - gap);
        match value {
            Ok(value) => field(&mut canvas, from, to, value.value, &scale),
            Err(_) => hatched(&mut canvas, from, to),
        }
    }
    let step = layer_step(height, LABEL + 2.0);
    for (at, site) in rows.sites.iter().enumerate().filter(|(at, _)| at % step == 0) {
        let y = top + height * (at as f64 + 0.5);
        let name = fit(&site.name, names, LABEL, false);
        canvas.text(Label::new(name, left - 8.0, y, LABEL, INK).align(Align::End));
    }
    let step = layer_step(width, LABEL + 2.0);
    for (at, site) in columns.sites.iter().enumerate().filter(|(at, _)| at % step == 0) {
        let x = left + width * (at as f64 + 0.5);
        let name = fit(&site.name, NAMES, LABEL, false);
        canvas.text(Label::new(name, x, bottom + 6.0, LABEL, INK).align(Align::End).upright());
    }
    titles(&mut canvas, (rows, columns), (left, top, width * columns.sites.len() as f64, bottom), below);
    scale.bar(&mut canvas, bar, left, grid);
    for (at, line) in caption.iter().enumerate() {
        canvas.text(Label::new(line, MARGIN, bar + 28.0 + LINE * at as f64, CAPTION, MUTED));
    }
    canvas
}

fn title(comparison: &Comparison, grid: &Grid) -> String {
    let (rows, columns) = (&comparison.first, &comparison.second);
    let what = grid.measure.title;
    if rows == columns {
        format!("{what}: places within {}", short(&rows.name))
    } else {
        format!("{what}: {} and {}", short(&rows.name), short(&columns.name))
    }
}

/// The last part of a repository's name.
fn short(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}

fn longest(source: &Source) -> f64 {
    source.sites.iter().map(|site| text_width(&site.name, LABEL, false)).fold(0.0, f64::max)
}

fn subtitle(comparison: &Comparison, grid: &Grid) -> String {
    let mut parts = vec![comparison.examples.clone(), grid.measure.direction.words().to_owned()];
    if !grid.settings.is_empty() {
        parts.push(grid.settings.clone());
    }
    parts.join("; ")
}

/// The names of both models along their axes, where there is room.
fn titles(
    canvas: &mut Canvas,
    (rows, columns): (&Source, &Source),
    (left, top, width, bottom): (f64, f64, f64, f64),
    below: f64,
) {
    let room = (bottom - top).max(60.0);
    let name = fit(&rows.name, room, LABEL, false);
    let half = text_width(&name, LABEL, false) / 2.0;
    let middle = f64::midpoint(top, bottom).max(top + half);
    canvas.text(Label::new(name, MARGIN, middle, LABEL, MUTED).align(Align::Middle).upright());
    let name = fit(&columns.name, WIDTH - MARGIN - left, LABEL, false);
    let half = text_width(&name, LABEL, false) / 2.0;
    let middle = (left + width / 2.0).max(left + half);
    canvas.text(Label::new(name, middle, bottom + below + 8.0, LABEL, MUTED).align(Align::Middle));
}

/// Lowest and highest of some numbers.
fn range(values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    values.fold(None, |range, value| match range {
        None => Some((value, value)),
        Some((low, high)) => Some((value.min(low), value.max(high))),
    })
}

fn caption(comparison: &Comparison, grid: &Grid) -> Vec<String> {
    let values = || grid.values.iter().filter_map(|value| value.as_ref().ok());
    let mut parts = Vec::new();
    let chances = || values().filter_map(|value| value.chance);
    if let Some((low, high)) = range(chances().map(|chance| chance.mean)) {
        let level = between(low, high);
        let spread = range(chances().filter_map(|chance| chance.deviation));
        let spread = spread.map_or_else(String::new, |(low, high)| format!(" (s.d. {})", between(low, high)));
        parts.push(format!("by chance {level}{spread}"));
    }
    if let Some((low, high)) = range(values().map(|value| value.n as f64)) {
        parts.push(format!("n = {}", whole(low, high)));
    }
    for (side, name) in [(&comparison.first, "rows"), (&comparison.second, "columns")] {
        if let Some((low, high)) = range(side.sites.iter().map(|site| site.width as f64)) {
            parts.push(format!("{} channels in {name}", whole(low, high)));
        }
    }
    let mut lines = wrap(&parts.join(", "), WIDTH - 2.0 * MARGIN, CAPTION, false, 2);
    let mut reasons: Vec<(String, usize)> = Vec::new();
    for reason in grid.values.iter().filter_map(|value| value.as_ref().err()) {
        let reason = reason.clone();
        match reasons.iter_mut().find(|(known, _)| *known == reason) {
            Some((_, count)) => *count += 1,
            None => reasons.push((reason, 1)),
        }
    }
    for (reason, count) in reasons {
        let line = format!("hatched, {}: {reason}", text::plural(count, "pair"));
        lines.push(fit(&line, WIDTH - 2.0 * MARGIN, CAPTION, false));
    }
    lines
}

fn between(low: f64, high: f64) -> String {
    let (low, high) = (text::decimal(low, 3), text::decimal(high, 3));
    if low == high { low } else { format!("{low} to {high}") }
}

fn whole(low: f64, high: f64) -> String {
    if low == high { format!("{low}") } else { format!("{low} to {high}") }
}

fn field(canvas: &mut Canvas, from: (f64, f64), to: (f64, f64), value: f64, scale: &Scale) {
    coloured(canvas, from, to, scale.place(value), &text::decimal(value, scale.decimals));
}

/// A field with its number, where that fits; `place` is that on the colour scale, 1 for the closest.
pub(super) fn coloured(canvas: &mut Canvas, from: (f64, f64), to: (f64, f64), place: f64, number: &str) {
    canvas.rectangle(from, to, cividis(place));
    let room = to.0 - from.0 - 3.0;
    let fits = |size: &&f64| text_width(number, **size, false) <= room && **size + 2.0 <= to.1 - from.1;
    if let Some(size) = SIZES.iter().find(fits) {
        let (x, y) = (f64::midpoint(from.0, to.0), f64::midpoint(from.1, to.1));
        canvas.text(Label::new(number, x, y, *size, on(place)).align(Align::Middle));
    }
}

/// The text colour that is readable on a field.
fn on(place: f64) -> Colour {
    if place < 0.5 { ON_DARK_FIELD } else { ON_FIELD }
}

/// The field of what has no value.
pub(super) fn hatched(canvas: &mut Canvas, from: (f64, f64), to: (f64, f64)) {
    canvas.rectangle(from, to, ABSENT.faint(0.45));
    let height = to.1 - from.1;
    let mut x = from.0 - height;
    while x < to.0 {
        let start = (x.max(from.0), to.1 - (x.max(from.0) - x));
        let end = ((x + height).min(to.0), to.1 - ((x + height).min(to.0) - x));
        canvas.segment(start, end, 0.8, MUTED.faint(0.6));
        x += 6.0;
    }
}

/// From values to places on the colour scale, 1 for the closest.
struct Scale {
    far: f64,
    near: f64,
    decimals: usize,
}

impl Scale {
    /// A similarity from zero (what is below has zero's colour) to one, a distance from its largest
    /// to zero.
    fn of(grid: &Grid) -> Self {
        let values = grid.values.iter().filter_map(|value| value.as_ref().ok()).map(|value| value.value);
        let most = values.fold(0.0_f64, |most, value| most.max(value.abs()));
        if grid.measure.direction == Direction::HigherIsCloser {
            Self { far: 0.0, near: 1.0, decimals: 2 }
        } else {
            let far = if most > 0.0 { most } else { 1.0 };
            Self { far, near: 0.0, decimals: if far >= 100.0 { 0 } else { 2 } }
        }
    }

    fn place(&self, value: f64) -> f64 {
        ((value - self.far) / (self.near - self.far)).clamp(0.0, 1.0)
    }

    fn bar(&self, canvas: &mut Canvas, y: f64, left: f64, grid: &Grid) {
        let decimals = self.decimals;
        let far = text::decimal(self.far, decimals);
        let near = format!("{}   {}", text::decimal(self.near, decimals), grid.measure.title);
        colour_bar(canvas, (left + 44.0, y), &far, &near);
    }
}

/// The colours of all fields in a row from `start` on, with what both ends mean.
pub(super) fn colour_bar(canvas: &mut Canvas, (start, y): (f64, f64), far: &str, near: &str) {
    const STEPS: usize = 60;
    const LENGTH: f64 = 220.0;
    for step in 0..STEPS {
        let from = start + LENGTH * step as f64 / STEPS as f64;
        let colour = cividis((step as f64 + 0.5) / STEPS as f64);
        canvas.rectangle((from, y - 6.0), (from + LENGTH / STEPS as f64 + 0.5, y + 6.0), colour);
    }
    canvas.text(Label::new(far, start - 6.0, y, LABEL, MUTED).align(Align::End));
    canvas.text(Label::new(near, start + LENGTH + 6.0, y, LABEL, MUTED));
}
