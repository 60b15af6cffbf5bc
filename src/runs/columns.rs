//! Tables of analyses as files and as text: named columns of words, numbers or counts, written as CSV
//! and Parquet with one content. An absent cell is empty in CSV and null elsewhere; no cell is NaN.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use polars::prelude::{Column, DataFrame, IntoColumn, NamedFrom, PolarsResult, Series};

use super::render::Grid;
use super::view::Format;
use super::{Error, atomic, parquet};

/// The cells of a column.
#[derive(Clone, Debug, PartialEq)]
pub enum Cells {
    /// Text.
    Words(Vec<Option<String>>),
    /// Measured numbers, all of them finite.
    Numbers(Vec<Option<f64>>),
    /// Whole numbers.
    Counts(Vec<Option<u64>>),
}

/// A table.
#[derive(Clone, Debug, PartialEq)]
pub struct Columns {
    name: &'static str,
    columns: Vec<(String, Cells)>,
}

impl Columns {
    /// A table without columns; its files are called by its name.
    pub fn new(name: &'static str) -> Self {
        Self { name, columns: Vec::new() }
    }

    /// With a further column of text.
    #[must_use]
    pub fn words<T: Into<String>>(
        mut self,
        name: impl Into<String>,
        cells: impl IntoIterator<Item = Option<T>>,
    ) -> Self {
        let cells = cells.into_iter().map(|cell| cell.map(Into::into)).collect();
        self.columns.push((name.into(), Cells::Words(cells)));
        self
    }

    /// With a further column of numbers; what is not finite is absent.
    #[must_use]
    pub fn numbers(mut self, name: impl Into<String>, cells: impl IntoIterator<Item = Option<f64>>) -> Self {
        let finite = |cell: Option<f64>| cell.filter(|value| value.is_finite());
        self.columns.push((name.into(), Cells::Numbers(cells.into_iter().map(finite).collect())));
        self
    }

    /// With a further column of whole numbers.
    #[must_use]
    pub fn counts(mut self, name: impl Into<String>, cells: impl IntoIterator<Item = Option<usize>>) -> Self {
        let cells = cells.into_iter().map(|cell| cell.map(|count| count as u64)).collect();
        self.columns.push((name.into(), Cells::Counts(cells)));
        self
    }

    /// Rows of the longest column.
    pub fn rows(&self) -> usize {
        self.columns.iter().map(|(_, cells)| cells.len()).max().unwrap_or(0)
    }

    /// The table in a format; numbers in full but in the formats for people.
    pub fn text(&self, format: Format) -> String {
        match format {
            Format::Table => self.grid(true).text(),
            Format::Markdown => self.grid(true).markdown(),
            Format::Csv => self.grid(false).csv(),
            Format::Json => {
                let mut text = serde_json::Value::from(self.objects()).to_string();
                text.push('\n');
                text
            }
        }
    }

    /// The rows as objects for machines.
    pub fn objects(&self) -> Vec<serde_json::Value> {
        let row = |at: usize| {
            let cells = self.columns.iter().map(|(name, cells)| (name.clone(), cells.value(at)));
            serde_json::Value::Object(cells.collect())
        };
        (0..self.rows()).map(row).collect()
    }

    /// Writes `NAME.csv` and `NAME.parquet` into a folder, which is made if it is absent.
    ///
    /// # Errors
    /// Refusals of the file system, and columns of unequal length.
    pub fn write(&self, folder: &Path) -> Result<Vec<PathBuf>, Error> {
        fs::create_dir_all(folder).map_err(|e| Error::io("create", folder, e))?;
        let csv = folder.join(format!("{}.csv", self.name));
        atomic::replace(&csv, |out| out.write_all(self.text(Format::Csv).as_bytes()))?;
        let path = folder.join(format!("{}.parquet", self.name));
        let mut frame = self.frame().map_err(|e| Error::malformed(&path, e))?;
        atomic::replace(&path, |out| {
            parquet::write(&mut frame, self.name, out).map_err(std::io::Error::other)
        })?;
        Ok(vec![csv, path])
    }

    /// The table as a frame.
    ///
    /// # Errors
    /// Columns of unequal length.
    pub fn frame(&self) -> PolarsResult<DataFrame> {
        let columns = self.columns.iter().map(|(name, cells)| cells.column(name)).collect();
        DataFrame::new(self.rows(), columns)
    }

    fn grid(&self, short: bool) -> Grid {
        let columns =
            self.columns.iter().map(|(name, cells)| (name.clone(), !matches!(cells, Cells::Words(_))));
        let row = |at: usize| self.columns.iter().map(|(_, cells)| cells.word(at, short)).collect();
        Grid { columns: columns.collect(), rows: (0..self.rows()).map(row).collect() }
    }
}

impl Cells {
    fn len(&self) -> usize {
        match self {
            Self::Words(cells) => cells.len(),
            Self::Numbers(cells) => cells.len(),
            Self::Counts(cells) => cells.len(),
        }
    }

    fn column(&self, name: &str) -> Column {
        match self {
            Self::Words(cells) => Series::new(name.into(), cells.clone()).into_column(),
            Self::Numbers(cells) => Series::new(name.into(), cells.clone()).into_column(),
            Self::Counts(cells) => Series::new(name.into(), cells.clone()).into_column(),
        }
    }

    fn word(&self, at: usize, short: bool) -> String {
        let word = match self {
            Self::Words(cells) => cells.get(at).cloned().flatten(),
            Self::Counts(cells) => cells.get(at).copied().flatten().map(|count| count.to_string()),
            Self::Numbers(cells) => cells
                .get(at)
                .copied()
                .flatten()
                .map(|value| if short { format!("{value:.4}") } else { value.to_string() }),
        };
        word.unwrap_or_default()
    }

    fn value(&self, at: usize) -> serde_json::Value {
        match self {
            Self::Words(cells) => cells.get(at).cloned().flatten().into(),
            Self::Numbers(cells) => cells.get(at).copied().flatten().into(),
            Self::Counts(cells) => cells.get(at).copied().flatten().into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Columns {
        Columns::new("scores")
            .words("site", [Some("layer 0"), Some("layer, 1"), None])
            .numbers("value", [Some(0.123_456_789), Some(f64::NAN), Some(-2.0)])
            .counts("n", [Some(3), None, Some(40)])
    }

    #[test]
    fn text_for_machines_is_whole_and_absent_cells_are_empty() {
        assert_eq!(
            table().text(Format::Csv),
            "site,value,n\nlayer 0,0.123456789,3\n\"layer, 1\",,\n,-2,40\n"
        );
        assert_eq!(table().objects()[1], serde_json::json!({"site": "layer, 1", "value": null, "n": null}));
        assert!(table().text(Format::Table).contains("0.1235"));
    }

    #[test]
    fn files_hold_what_was_put_in() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let written = table().write(&folder.path().join("scores").join("a")).expect("writes");
        assert_eq!(written.len(), 2);
        let frame = parquet::read(&written[1], "scores").expect("reads");
        assert_eq!(frame, table().frame().expect("equal lengths"));
        assert_eq!(fs::read_to_string(&written[0]).expect("reads"), table().text(Format::Csv));
    }
}
