//! Tables out of files that are treated as hostile: parquet, csv and tsv by polars, JSON lines row
//! by row; plain, gzip or zstd, told by the bytes and not by the name.
//!
//! `.csv` follows RFC 4180: a field in double quotes may hold commas, line breaks and doubled
//! quotes. `.tsv` is what GLUE writes: a tab always ends a field, a line break always ends a row,
//! and a quote is a letter like any other.

mod delimited;
mod json;
mod parquet;
mod unpack;

use std::path::Path;

use super::Error;

pub(crate) use unpack::endings;

/// One value of a table.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// No value.
    Null,
    /// Text; every field of csv and tsv is text.
    Text(String),
    /// A whole number.
    Integer(i64),
    /// Any other number.
    Real(f64),
    /// True or false.
    Flag(bool),
    /// A list, a struct, a date: named, not read.
    Other(String),
}

impl Cell {
    /// What the cell holds, for an error message.
    pub fn describe(&self) -> String {
        match self {
            Self::Null => "null".to_owned(),
            Self::Text(text) => format!("the text `{}`", shorten(text)),
            Self::Integer(number) => format!("the number `{number}`"),
            Self::Real(number) => format!("the number `{number}`"),
            Self::Flag(flag) => format!("`{flag}`"),
            Self::Other(kind) => format!("a value of type {kind}"),
        }
    }
}

/// At most the first 60 letters, for an error message.
pub(super) fn shorten(text: &str) -> String {
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

/// The rows of a file, column by column.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table {
    /// The file as it was named.
    pub file: String,
    /// Names and cells, in the file's order; all columns have `rows` cells.
    pub columns: Vec<(String, Vec<Cell>)>,
    /// Number of rows.
    pub rows: usize,
}

impl Table {
    /// Names of the columns.
    pub fn names(&self) -> Vec<String> {
        self.columns.iter().map(|(name, _)| name.clone()).collect()
    }

    /// Cells of one column.
    ///
    /// # Errors
    /// When there is no such column.
    pub fn column(&self, name: &str) -> Result<&[Cell], Error> {
        let found = self.columns.iter().find(|(column, _)| column == name);
        found.map(|(_, cells)| cells.as_slice()).ok_or_else(|| Error::MissingColumn {
            file: self.file.clone(),
            column: name.to_owned(),
            columns: self.names(),
        })
    }
}

/// What a file is, by its ending without `.gz` or `.zst`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Parquet,
    Csv,
    Tsv,
    Json,
}

impl Format {
    /// The format of a path, if its ending is known.
    pub(crate) fn of(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_str()?.to_lowercase();
        let name = name.strip_suffix(".gz").or_else(|| name.strip_suffix(".zst")).unwrap_or(&name);
        match name.rsplit_once('.')?.1 {
            "parquet" => Some(Self::Parquet),
            "csv" => Some(Self::Csv),
            "tsv" => Some(Self::Tsv),
            "jsonl" | "json" | "ndjson" => Some(Self::Json),
            _ => None,
        }
    }
}

/// Reads a file whole. Without a `header` the columns of csv and tsv are `column_1`, `column_2`, ...
///
/// # Errors
/// When the file cannot be read, is not what its ending says, or has no rows; every message names
/// the file, and the row where one is at fault.
pub fn read(path: &Path, header: bool) -> Result<Table, Error> {
    let file = path.display().to_string();
    let format =
        Format::of(path).ok_or_else(|| Error::UnknownFormat { file: file.clone(), endings: endings() })?;
    let bytes = unpack::bytes(path, &file)?;
    if bytes.is_empty() {
        return Err(Error::Empty { file });
    }
    let table = match format {
        Format::Parquet => parquet::read(file, bytes)?,
        Format::Csv => delimited::read(file, bytes, delimited::CSV, header)?,
        Format::Tsv => delimited::read(file, bytes, delimited::TSV, header)?,
        Format::Json => json::read(file, &bytes)?,
    };
    if table.rows == 0 {
        return Err(Error::Empty { file: table.file });
    }
    Ok(table)
}
