//! The heat maps of a transfer study: one small matrix a condition, trained on the row's domain and
//! tested on the column's, coloured by the gain over no plug. No plug itself shows its accuracy, on
//! no colour, so that the gains can be read against it.

use super::WIDTH;
use super::canvas::{Align, Canvas, Label, fit};
use super::legend::{Head, Legend};
use super::palette::{ABSENT, INK, MUTED, diverging, on_diverging};
use super::render::text_width;
use super::transfer::scale_bar;
use crate::analysis::transfer::{ConditionTransfer, Field, TransferAnswer};
use crate::report::text;

const ROW: f64 = 30.0;
const LABEL: f64 = 11.0;
const MARGIN: f64 = 18.0;
const GAP: f64 = 26.0;
/// A panel's title and the names of its columns.
const ABOVE: f64 = 44.0;
/// Names of rows get at most this.
const NAMES: f64 = 120.0;
/// A field is not wider than this.
const WIDEST: f64 = 96.0;
const NARROWEST: f64 = 40.0;

/// Draws the panels; `None` where no condition gains or loses anything.
pub(in crate::report) fn figure(answer: &TransferAnswer, shown: &[&ConditionTransfer]) -> Option<Canvas> {
    let gains = || {
        let fields = shown.iter().flat_map(|row| &row.fields);
        fields.filter_map(|field| field.over_base.as_ref().ok()).map(|gain| gain.estimate.value.abs())
    };
    gains().next()?;
    // at least one point, so that noise does not look dramatic
    let reach = gains().fold(0.01, f64::max);
    let widest = answer.trained.iter().map(|domain| text_width(answer.domain(*domain), LABEL, false));
    let names = widest.fold(0.0, f64::max).min(NAMES) + 10.0;
    let columns = answer.domains.len() as f64;
    let room = WIDTH - 2.0 * MARGIN;
    let side_by_side = |panels: usize| ((room - GAP * (panels - 1) as f64) / panels as f64 - names) / columns;
    // names of columns are to be read whole where that leaves two panels side by side
    let longest = answer.domains.iter().map(|domain| text_width(&domain.name, LABEL, false) + 6.0);
    let wanted = longest.fold(NARROWEST, f64::max).min(WIDEST).min(side_by_side(2).max(NARROWEST));
    let panels = (1..=shown.len().min(4)).rev().find(|&panels| side_by_side(panels) >= wanted).unwrap_or(1);
    let field = side_by_side(panels).min(WIDEST);
    let panel = (names + field * columns, ABOVE + ROW * answer.trained.len() as f64 + 18.0);
    let head = Head::new(
        &format!("Gain over no plug by training domain (row) and test domain (column), {}", answer.llm),
        &format!(
            "difference in test {} in percentage points, paired by seed and example; no plug: its {} in percent",
            answer.metric, answer.metric
        ),
        WIDTH,
    );
    let legend = legend();
    let top = head.height() + 4.0;
    let bottom = top + panel.1 * shown.len().div_ceil(panels) as f64;
    let mut canvas = Canvas::new(WIDTH, bottom + 40.0 + legend.height(WIDTH));
    head.draw(&mut canvas);
    for (at, row) in shown.iter().enumerate() {
        let origin = (MARGIN + (panel.0 + GAP) * (at % panels) as f64, top + panel.1 * (at / panels) as f64);
        draw(&mut canvas, answer, row, origin, (names, field), reach);
    }
    scale_bar(&mut canvas, bottom + 12.0, reach, MARGIN);
    legend.draw(&mut canvas, bottom + 30.0);
    Some(canvas)
}

fn draw(
    canvas: &mut Canvas,
    answer: &TransferAnswer,
    row: &ConditionTransfer,
    (left, top): (f64, f64),
    (names, field): (f64, f64),
    reach: f64,
) {
    let width = names + field * answer.domains.len() as f64;
    let chosen = answer.choice.as_ref().map(|choice| choice.layer);
    let mut title = text::condition(&row.condition);
    if row.condition.layer().is_some() && row.condition.layer() == chosen {
        title.push_str(" (chosen)");
    } else if row.condition.layer().is_some_and(|layer| layer + 1 == answer.layers) {
        title.push_str(" (last)");
    }
    canvas.text(Label::new(fit(&title, width, 12.0, true), left, top + 10.0, 12.0, INK).bold());
    for (tested, domain) in answer.domains.iter().enumerate() {
        let middle = left + names + field * (tested as f64 + 0.5);
        let lines = in_two_lines(&domain.name, field - 4.0);
        let first = top + ABOVE - 10.0 - if lines.len() > 1 { 11.0 } else { 0.0 };
        for (at, line) in lines.into_iter().enumerate() {
            let y = first + 11.0 * at as f64;
            canvas.text(Label::new(line, middle, y, LABEL, MUTED).align(Align::Middle));
        }
    }
    for (at, &trained) in answer.trained.iter().enumerate() {
        let y = top + ABOVE + ROW * at as f64;
        let name = fit(answer.domain(trained), names - 10.0, LABEL, false);
        canvas.text(Label::new(name, left + names - 8.0, y + ROW / 2.0, LABEL, INK).align(Align::End));
        for tested in 0..answer.domains.len() {
            let from = (left + names + field * tested as f64 + 1.0, y + 1.0);
            let to = (from.0 + field - 2.0, y + ROW - 1.0);
            let field = row.field(trained, tested);
            one(canvas, row, field, from, to, reach);
            if let Some(field) = field {
                canvas.spot(from, to, facts(answer, row, field));
            }
        }
    }
}

/// What is known of a field, one fact a line.
fn facts(answer: &TransferAnswer, row: &ConditionTransfer, field: &Field) -> String {
    let mut lines = vec![
        text::condition(&row.condition),
        format!("trained on {}, tested on {}", answer.domain(field.trained), answer.domain(field.tested)),
    ];
    lines.push(match &field.accuracy {
        Ok(accuracy) => format!("{} {} %", answer.metric, text::percent(*accuracy)),
        Err(reason) => format!("n/a: {reason}"),
    });
    if let Ok(gain) = &field.over_base {
        lines.push(format!("over no plug: {} points", text::points_with_interval(&gain.estimate)));
    }
    lines.push(text::plural(field.examples, "test example"));
    lines.join("\n")
}

/// A name that is too wide for one line is broken behind its last `_`, `-`, `/` or space, where both
/// parts then fit; else its middle is left out.
fn in_two_lines(name: &str, width: f64) -> Vec<String> {
    let fits = |text: &str| text_width(text, LABEL, false) <= width;
    let broken = name.rfind(['_', '-', '/', ' ']).map(|at| name.split_at(at + 1));
    match broken {
        Some((first, second)) if !fits(name) && !second.is_empty() && fits(first) && fits(second) => {
            vec![first.to_owned(), second.to_owned()]
        }
        _ => vec![fit(name, width, LABEL, false)],
    }
}

fn one(
    canvas: &mut Canvas,
    row: &ConditionTransfer,
    field: Option<&Field>,
    from: (f64, f64),
    to: (f64, f64),
    reach: f64,
) {
    let middle = (f64::midpoint(from.0, to.0), f64::midpoint(from.1, to.1));
    let accuracy = field.and_then(|field| field.accuracy.clone().ok());
    let gain = field.and_then(|field| field.over_base.as_ref().ok());
    let (words, colour, ink) = match (gain, accuracy) {
        (Some(gain), _) => {
            let value = gain.estimate.value / reach;
            let star = if gain.estimate.covers(0.0) { "" } else { "*" };
            (format!("{}{star}", text::points(gain.estimate.value)), diverging(value), on_diverging(value))
        }
        (None, Some(accuracy)) if row.condition.is_base() => {
            (text::percent(accuracy), ABSENT.faint(0.3), INK)
        }
        _ => ("n/a".to_owned(), ABSENT.faint(0.6), MUTED),
    };
    canvas.rectangle(from, to, colour);
    canvas.text(Label::new(words, middle.0, middle.1, 10.5, ink).align(Align::Middle));
    // training and testing on one domain is framed: that is home
    if field.is_some_and(|field| field.trained == field.tested) {
        let corners = vec![from, (to.0, from.1), to, (from.0, to.1), from];
        canvas.line(corners, 1.4, INK);
    }
}

fn legend() -> Legend {
    let mut legend = Legend::default();
    legend.add("trained and tested on one domain", |canvas, (x, y)| {
        let (left, right, top, bottom) = (x - 9.0, x + 9.0, y - 6.0, y + 6.0);
        canvas.line(vec![(left, top), (right, top), (right, bottom), (left, bottom), (left, top)], 1.4, INK);
    });
    legend.add("95% interval does not cover zero", |canvas, (x, y)| {
        canvas.text(Label::new("*", x, y + 2.0, 13.0, INK).align(Align::Middle));
    });
    legend.add("not available: the reason stands in the tables", |canvas, (x, y)| {
        canvas.rectangle((x - 9.0, y - 6.0), (x + 9.0, y + 6.0), ABSENT.faint(0.6));
    });
    legend
}
