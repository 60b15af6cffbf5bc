//! csv and tsv by polars, every field as text. polars names no row when something is wrong and
//! fills short rows with nulls, so the rows are counted and measured here first.

use std::io::Cursor;

use polars::prelude::{CsvReadOptions, SerReader};

use super::super::Error;
use super::{Table, parquet};

/// How fields are told apart.
#[derive(Clone, Copy)]
pub(super) struct Dialect {
    name: &'static str,
    separator: u8,
    quoting: bool,
}

/// RFC 4180.
pub(super) const CSV: Dialect = Dialect { name: "CSV", separator: b',', quoting: true };
/// As GLUE writes it.
pub(super) const TSV: Dialect = Dialect { name: "TSV", separator: b'\t', quoting: false };

pub(super) fn read(file: String, bytes: Vec<u8>, dialect: Dialect, header: bool) -> Result<Table, Error> {
    let text = text(&file, bytes, dialect, header)?;
    let text = tidy(&text, dialect);
    let rows = measure(&file, &text, dialect, header)?;
    if rows == 0 {
        return Err(Error::Empty { file });
    }
    let malformed = |file: &str, reason: String| Error::Malformed {
        file: file.to_owned(),
        format: dialect.name,
        row: None,
        reason,
    };
    let frame = CsvReadOptions::default()
        .with_has_header(header)
        // no row is looked at to guess types: every column is text
        .with_infer_schema_length(Some(0))
        .map_parse_options(|options| {
            options
                .with_separator(dialect.separator)
                .with_quote_char(dialect.quoting.then_some(b'"'))
                .with_missing_is_null(false)
        })
        .into_reader_with_file_handle(Cursor::new(text.into_bytes()))
        .finish()
        .map_err(|error| malformed(&file, error.to_string()))?;
    // a stray quote in mid-field can mislead the parallel reader
    if frame.height() != rows {
        let reason = format!("{} rows were read where {rows} stand, check the quotes", frame.height());
        return Err(malformed(&file, reason));
    }
    parquet::table(file, dialect.name, &frame)
}

/// The file as text, without its byte order mark.
fn text(file: &str, bytes: Vec<u8>, dialect: Dialect, header: bool) -> Result<String, Error> {
    let text = String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let before = String::from_utf8_lossy(&error.as_bytes()[..valid]).into_owned();
        let started = u64::from(before.is_empty() || before.ends_with('\n'));
        let lines = records(&tidy(&before, dialect), dialect).count() as u64 + started;
        Error::NotUtf8 { file: file.to_owned(), row: lines.saturating_sub(u64::from(header)) }
    })?;
    Ok(match text.strip_prefix('\u{feff}') {
        Some(rest) => rest.to_owned(),
        None => text,
    })
}

/// Line breaks become `\n` and empty lines go: neither is a row of a text task.
fn tidy(text: &str, dialect: Dialect) -> String {
    let text = if text.contains('\r') { text.replace("\r\n", "\n") } else { text.to_owned() };
    if !text.starts_with('\n') && !text.contains("\n\n") {
        return text;
    }
    let mut tidied = String::with_capacity(text.len());
    for record in records(&text, dialect).filter(|record| !record.text.is_empty()) {
        tidied.push_str(record.text);
        tidied.push('\n');
    }
    tidied
}

/// Number of rows, when all have as many fields as the first line.
fn measure(file: &str, text: &str, dialect: Dialect, header: bool) -> Result<usize, Error> {
    let mut expected = None;
    let mut lines = 0;
    for Record { fields, open, .. } in records(text, dialect) {
        lines += 1;
        let row = lines as u64 - u64::from(header);
        if open {
            return Err(Error::Malformed {
                file: file.to_owned(),
                format: dialect.name,
                row: Some(row),
                reason: "a quoted field has no end".to_owned(),
            });
        }
        let expected = *expected.get_or_insert(fields);
        if fields != expected {
            let quoting = dialect.quoting;
            return Err(Error::Ragged { file: file.to_owned(), row, fields, expected, quoting });
        }
    }
    Ok(lines - usize::from(header && lines > 0))
}

/// One line, or several where a quoted field holds line breaks.
struct Record<'a> {
    text: &'a str,
    fields: usize,
    /// Whether the file ended within quotes.
    open: bool,
}

/// The records of a file. A quote opens a field only at its start.
fn records(text: &str, dialect: Dialect) -> impl Iterator<Item = Record<'_>> {
    let bytes = text.as_bytes();
    let mut at = 0;
    std::iter::from_fn(move || {
        if at >= bytes.len() {
            return None;
        }
        let start = at;
        let (mut fields, mut field_start, mut quoted) = (1, true, false);
        while at < bytes.len() {
            let byte = bytes[at];
            at += 1;
            if quoted {
                // a doubled quote closes and opens again
                quoted = byte != b'"';
                if !quoted && bytes.get(at) == Some(&b'"') {
                    at += 1;
                    quoted = true;
                }
                continue;
            }
            if byte == b'\n' {
                return Some(Record { text: &text[start..at - 1], fields, open: false });
            }
            if byte == b'"' && field_start && dialect.quoting {
                quoted = true;
            }
            field_start = byte == dialect.separator;
            fields += usize::from(field_start);
        }
        Some(Record { text: &text[start..], fields, open: quoted })
    })
}
