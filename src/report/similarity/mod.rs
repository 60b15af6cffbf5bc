//! Similarities between layers as files: one long table (CSV and Parquet) and a heat map for each
//! measure. Computes no statistic: every value comes with its chance level or its reason.

mod file;
mod table;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use super::plots::{heatmap, render};
use super::{Error, Origin, put, write_text};

use crate::analysis::similarity::{Measure, Value};
pub use file::parse;

/// A place in a model.
#[derive(Clone, Debug, PartialEq)]
pub struct Site {
    /// Its name: `embeddings`, `layer 3`, `l_in`.
    pub name: String,
    /// Its place between the first layer, 0, and the last, 1; `None` for what is no layer.
    pub depth: Option<f64>,
    /// Channels.
    pub width: usize,
}

/// One of the two models that are compared.
#[derive(Clone, Debug, PartialEq)]
pub struct Source {
    /// Its name.
    pub name: String,
    /// Which hidden states of it.
    pub origin: Origin,
    /// Its places, in order.
    pub sites: Vec<Site>,
}

/// All pairs of places by one measure.
#[derive(Clone, Debug, PartialEq)]
pub struct Grid {
    /// The measure.
    pub measure: &'static Measure,
    /// What was left open and is decided: `k = 10`, `leading 512 components`; empty for nothing.
    pub settings: String,
    /// `[first, second]`, row-major; a reason where there is no value.
    pub values: Vec<Result<Value, String>>,
}

/// A comparison of two models, or of one with itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    /// Rows.
    pub first: Source,
    /// Columns.
    pub second: Source,
    /// What the examples are: task, split, pooling.
    pub examples: String,
    /// One for each measure.
    pub grids: Vec<Grid>,
}

/// Writes `similarity.csv`, `similarity.parquet`, `similarity.json` (which [`parse`] reads), and `NAME.svg` and `NAME.png` for each measure.
/// Each file is written beside its name and renamed when whole. Returns the files in that order.
///
/// # Errors
/// [`Error`] if a figure cannot be drawn or a file cannot be written.
pub fn write(dir: &Path, comparison: &Comparison) -> Result<Vec<PathBuf>, Error> {
    std::fs::create_dir_all(dir).map_err(|source| Error::Write { path: dir.to_owned(), source })?;
    let rows = table::rows(comparison);
    let mut written = vec![
        put(dir, "similarity.csv", |path| write_text(path, &table::csv(&rows)))?,
        put(dir, "similarity.parquet", |path| table::parquet(path, &rows))?,
        put(dir, "similarity.json", |path| write_text(path, &file::text(comparison)))?,
    ];
    for grid in &comparison.grids {
        let canvas = heatmap::figure(comparison, grid);
        let svg = render::svg(&canvas)?;
        let name = grid.measure.name;
        written.push(put(dir, &format!("{name}.svg"), |path| write_text(path, &svg))?);
        written.push(put(dir, &format!("{name}.png"), |path| render::png(&canvas, path))?);
    }
    Ok(written)
}
