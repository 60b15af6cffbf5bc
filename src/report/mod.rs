//! An answer as files: figures (SVG and PNG), tables (CSV) and a page (HTML, Markdown and LaTeX), and
//! runs for other programs to read ([`export`]). Computes no statistic: every number comes with the
//! answer.

mod answer;
mod attached;
mod context;
mod csv;
mod data;
mod document;
pub mod export;
mod html;
mod latex;
mod markdown;
mod plots;
mod prices;
mod screen;
mod sections;
pub mod similarity;
mod summary;
#[cfg(test)]
mod tests;
mod text;
mod transfer;

pub use attached::{Attached, Origin, Scored, Scores};
pub use context::context;
pub use prices::Price;
pub use screen::screen_notes;
pub use summary::{Line, write_summary};
pub use transfer::{Distances, ModelDistances, transfer_context, transfer_sentence, write_transfer};

use crate::analysis::layers::LayerAnswer;
use crate::error::Diagnose;
use std::path::{Path, PathBuf};

/// What a report says besides the answer. All texts are taken as they are and escaped.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ReportContext {
    /// The report's title.
    pub title: String,
    /// The command that made it.
    pub command: String,
    /// Where everything comes from: models with commits, data with hashes, versions, device.
    pub manifest: Vec<(String, String)>,
    /// Time, memory and bytes.
    pub cost: Vec<(String, String)>,
    /// Cells without a result, with the reason.
    pub failures: Vec<(String, String)>,
    /// The data was made by the program; the report says so in its first line.
    pub synthetic: bool,
    /// Anything else the reader should know.
    pub notes: Vec<String>,
    /// Layers that a screen pruned, which were not trained in full.
    pub pruned: Vec<usize>,
    /// Analyses of the study's models that stand beside it.
    pub attached: Attached,
    /// What every condition costs.
    pub prices: Vec<Price>,
}

/// Why a report could not be written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A figure could not be drawn or encoded.
    #[error("a figure could not be drawn: {reason}")]
    Drawing {
        /// What the drawing library says.
        reason: String,
    },
    /// A file or the folder could not be written.
    #[error("`{}` could not be written: {source}", .path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
}

impl Diagnose for Error {
    fn hint(&self) -> Option<String> {
        match self {
            // the drawing library writes the file itself, and keeps the system's words
            Self::Drawing { .. } | Self::Write { .. } => {
                Some("is the folder writable and the disk not full?".to_owned())
            }
        }
    }
}

/// Writes `layers.svg`, `layers.png`, `layers.csv`, `report.json`, `report.md`, `report.tex` and
/// `report.html`; `best.csv`, `.svg` and `.png` where there are layers to choose between;
/// `transfer.csv`, `.svg` and `.png` where other domains were evaluated; `prices.csv`, `.svg` and
/// `.png` where runs told what they cost; `scores.svg` and `.png` where
/// scores of the LLM's layers are attached. Each file is written beside its name and renamed when
/// whole. Returns the files in the order written, the HTML page last.
///
/// # Errors
/// [`Error`] if a figure cannot be drawn or a file cannot be written.
pub fn write(dir: &Path, answer: &LayerAnswer, context: &ReportContext) -> Result<Vec<PathBuf>, Error> {
    std::fs::create_dir_all(dir).map_err(|source| Error::Write { path: dir.to_owned(), source })?;
    let mut written = Vec::new();
    let mut figures = sections::Figures::default();
    for (name, canvas) in sections::canvases(answer, context) {
        let svg = plots::render::svg(&canvas)?;
        written.push(put(dir, &format!("{name}.svg"), |path| write_text(path, &svg))?);
        written.push(put(dir, &format!("{name}.png"), |path| plots::render::png(&canvas, path))?);
        match name {
            "layers" => figures.layers = svg,
            "transfer" => figures.transfer = Some(svg),
            "prices" => figures.prices = Some(svg),
            _ => figures.best = Some(svg),
        }
    }
    for (name, canvas) in attached::canvases(answer, &context.attached) {
        let svg = plots::render::svg(&canvas)?;
        written.push(put(dir, &format!("{name}.svg"), |path| write_text(path, &svg))?);
        written.push(put(dir, &format!("{name}.png"), |path| plots::render::png(&canvas, path))?);
        figures.scores.push((name, svg));
    }
    let document = sections::document(answer, context, figures)?;
    let data = data::json(answer, context);
    let mut texts = vec![("layers.csv", csv::layers(answer))];
    if document.has_figure("best") {
        texts.push(("best.csv", csv::best(answer)));
    }
    let offers = prices::offers(answer, &context.prices);
    if !offers.all.is_empty() {
        texts.push(("prices.csv", prices::csv(&offers)));
    }
    if !answer.domains.is_empty() {
        texts.push(("transfer.csv", csv::transfer(answer)));
    }
    texts.push(("report.md", markdown::page(&document)));
    texts.push(("report.tex", latex::page(&document)));
    texts.push(("report.html", html::with_data(&html::page(&document), &data)));
    texts.insert(0, ("report.json", data));
    for (name, text) in texts {
        written.push(put(dir, name, |path| write_text(path, &text))?);
    }
    Ok(written)
}

/// The report's first sentence, for a terminal.
pub fn first_sentence(answer: &LayerAnswer, synthetic: bool) -> String {
    answer::first_sentence(answer, synthetic)
}

/// Lets `write` fill a temporary file of the same ending and renames it when it is whole.
fn put(dir: &Path, name: &str, write: impl FnOnce(&Path) -> Result<(), Error>) -> Result<PathBuf, Error> {
    let path = dir.join(name);
    // two processes that write one report must not fill one temporary file
    let partial = dir.join(format!(".partial-{}-{name}", std::process::id()));
    let renamed = write(&partial).and_then(|()| {
        std::fs::rename(&partial, &path).map_err(|source| Error::Write { path: path.clone(), source })
    });
    if renamed.is_err() {
        // what is half written helps nobody; that it cannot be removed changes nothing
        let _ = std::fs::remove_file(&partial);
    }
    match renamed {
        Ok(()) => Ok(path),
        Err(Error::Drawing { reason }) => Err(match system_error(&reason) {
            Some(source) => Error::Write { path, source },
            None => Error::Drawing { reason },
        }),
        Err(other) => Err(other),
    }
}

/// The drawing library writes the file itself and wraps the system's refusal into several errors of
/// its own, none of which gives it back; their words end in its number.
fn system_error(reason: &str) -> Option<std::io::Error> {
    let (_, rest) = reason.rsplit_once("(os error ")?;
    let code: i32 = rest.split(')').next()?.parse().ok()?;
    Some(std::io::Error::from_raw_os_error(code))
}

fn write_text(path: &Path, text: &str) -> Result<(), Error> {
    std::fs::write(path, text).map_err(|source| Error::Write { path: path.to_owned(), source })
}
