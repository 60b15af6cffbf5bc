//! JSON lines, one object a row; a file that starts with `[` is one array of objects. Rows are read
//! one by one, not by polars, so that a wrong row is named and rows may have different keys.

use serde_json::{Map, Value};

use super::super::Error;
use super::{Cell, Table};

pub(super) fn read(file: String, bytes: &[u8]) -> Result<Table, Error> {
    let bytes = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes);
    let mut table = Table { file, ..Table::default() };
    if bytes.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[') {
        let rows: Vec<Value> =
            serde_json::from_slice(bytes).map_err(|error| malformed(&table, None, &error))?;
        for row in rows {
            push(&mut table, row)?;
        }
        return Ok(table);
    }
    for line in bytes.split(|&byte| byte == b'\n') {
        if line.trim_ascii().is_empty() {
            continue;
        }
        let row = table.rows as u64 + 1;
        let line = std::str::from_utf8(line).map_err(|_| Error::NotUtf8 { file: table.file.clone(), row })?;
        let value = serde_json::from_str(line).map_err(|error| malformed(&table, Some(row), &error))?;
        push(&mut table, value)?;
    }
    Ok(table)
}

fn push(table: &mut Table, row: Value) -> Result<(), Error> {
    let Value::Object(fields) = row else {
        return Err(Error::Malformed {
            file: table.file.clone(),
            format: "JSON lines",
            row: Some(table.rows as u64 + 1),
            reason: format!("the row is {}, expected an object", kind(&row)),
        });
    };
    fill(table, fields);
    Ok(())
}

/// Adds a row; a column that the row lacks, or that earlier rows lacked, is null there.
fn fill(table: &mut Table, fields: Map<String, Value>) {
    for (name, value) in fields {
        let known = table.columns.iter().position(|(column, _)| *column == name);
        let column = known.unwrap_or_else(|| {
            table.columns.push((name, vec![Cell::Null; table.rows]));
            table.columns.len() - 1
        });
        table.columns[column].1.push(cell(value));
    }
    table.rows += 1;
    for (_, cells) in &mut table.columns {
        cells.resize(table.rows, Cell::Null);
    }
}

fn cell(value: Value) -> Cell {
    match value {
        Value::Null => Cell::Null,
        Value::Bool(flag) => Cell::Flag(flag),
        Value::Number(number) => match number.as_i64() {
            Some(whole) => Cell::Integer(whole),
            None => Cell::Real(number.as_f64().unwrap_or(f64::NAN)),
        },
        Value::String(text) => Cell::Text(text),
        Value::Array(_) | Value::Object(_) => Cell::Other(kind(&value).to_owned()),
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

fn malformed(table: &Table, row: Option<u64>, error: &serde_json::Error) -> Error {
    Error::Malformed { file: table.file.clone(), format: "JSON lines", row, reason: error.to_string() }
}
