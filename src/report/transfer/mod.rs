//! A transfer study's answer as files: the heat map of gains and the scatter of home against
//! elsewhere (SVG and PNG), the fields as CSV, the matrix as LaTeX, and the pages.

mod context;
mod csv;
mod distances;
mod latex;
mod ranks;
mod sections;
mod sentence;
#[cfg(test)]
mod tests;

pub use context::transfer_context;
pub use distances::{Distances, ModelDistances};

use super::{Error, ReportContext, html, markdown, plots, put, write_text};
use crate::analysis::layers::Condition;
use crate::analysis::transfer::{ConditionTransfer, TransferAnswer};
use std::path::{Path, PathBuf};

/// Writes `gains.svg` and `.png`, `home-and-away.svg` and `.png`, `transfer.csv`, `transfer.tex`,
/// `transfer.md` and `transfer.html`; `ranks.csv` where conditions are ranked over the fields;
/// `distances.csv`, `.svg` and `.png` where hidden states are stored. Each file is written beside its
/// name and renamed when whole.
/// Returns the files in the order written, the HTML page last.
///
/// # Errors
/// [`Error`] if a figure cannot be drawn or a file cannot be written.
pub fn write_transfer(
    dir: &Path,
    answer: &TransferAnswer,
    context: &ReportContext,
    distances: &Distances,
) -> Result<Vec<PathBuf>, Error> {
    std::fs::create_dir_all(dir).map_err(|source| Error::Write { path: dir.to_owned(), source })?;
    let shown = shown(answer);
    let mut written = Vec::new();
    let mut draw = |name: &'static str, canvas: Option<plots::canvas::Canvas>| {
        canvas
            .map(|canvas| {
                let svg = plots::render::svg(&canvas)?;
                written.push(put(dir, &format!("{name}.svg"), |path| write_text(path, &svg))?);
                written.push(put(dir, &format!("{name}.png"), |path| plots::render::png(&canvas, path))?);
                Ok::<String, Error>(svg)
            })
            .transpose()
    };
    let gains = draw("gains", plots::matrix::figure(answer, &shown))?;
    let scatter = draw("home-and-away", plots::scatter::figure(answer, &shown))?;
    let apart = draw("distances", plots::distances::figure(answer, &distances.models))?;
    let figures = sections::Figures { gains, scatter, apart };
    let document = sections::document(answer, &shown, (context, distances), figures);
    let mut texts = vec![("transfer.csv", csv::fields(answer))];
    if !distances.models.is_empty() {
        texts.push(("distances.csv", distances::csv(answer, distances)));
    }
    if answer.ranks.is_some() {
        texts.push(("ranks.csv", ranks::csv(answer)));
    }
    texts.extend([
        ("transfer.tex", latex::matrix(answer, &shown)),
        ("transfer.md", markdown::page(&document)),
        ("transfer.html", html::page(&document)),
    ]);
    for (name, text) in texts {
        written.push(put(dir, name, |path| write_text(path, &text))?);
    }
    Ok(written)
}

/// The report's first sentence, for a terminal.
pub fn transfer_sentence(answer: &TransferAnswer, synthetic: bool) -> String {
    sentence::first(answer, synthetic)
}

/// The conditions that figures and the LaTeX table show: the chosen layer, the last layer, the
/// controls; all others stand in the tables and in the CSV file.
fn shown(answer: &TransferAnswer) -> Vec<&ConditionTransfer> {
    let chosen = answer.choice.as_ref().map(|choice| choice.layer);
    let last = answer.layers.checked_sub(1);
    let mut shown: Vec<&ConditionTransfer> = answer.chosen().into_iter().collect();
    shown.extend(answer.conditions.iter().filter(|row| match &row.condition {
        Condition::Layer(layer) => Some(*layer) == last && chosen != last,
        Condition::Control(_) => true,
    }));
    shown
}

/// `layer 7 (chosen)`, `layer 31 (last)`, `no plug`.
fn name(answer: &TransferAnswer, condition: &Condition) -> String {
    let name = super::text::condition(condition);
    let Some(layer) = condition.layer() else { return name };
    let chosen = answer.choice.as_ref().is_some_and(|choice| choice.layer == layer);
    match (chosen, layer + 1 == answer.layers) {
        (true, true) => format!("{name} (chosen, last)"),
        (true, false) => format!("{name} (chosen)"),
        (false, true) => format!("{name} (last)"),
        (false, false) => name,
    }
}
