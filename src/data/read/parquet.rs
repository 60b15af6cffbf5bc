//! Parquet by polars, and cells out of polars' columns.

use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind};

use polars::prelude::{Column, DataFrame, DataType, ParquetReader, PolarsError, SerReader};

use super::super::Error;
use super::{Cell, Table};

pub(super) fn read(file: String, bytes: Vec<u8>) -> Result<Table, Error> {
    let malformed = |file: &str, reason: String| Error::Malformed {
        file: file.to_owned(),
        format: "parquet",
        row: None,
        reason,
    };
    if !bytes.starts_with(b"PAR1") || !bytes.ends_with(b"PAR1") {
        return Err(malformed(&file, "it does not start and end with `PAR1`".to_owned()));
    }
    // the reader indexes by what the file's footer claims: a file that lies can make it panic
    let frame = catch_unwind(AssertUnwindSafe(|| ParquetReader::new(Cursor::new(bytes)).finish()))
        .map_err(|_| malformed(&file, "its footer contradicts its contents".to_owned()))?
        .map_err(|error| malformed(&file, error.to_string()))?;
    table(file, "parquet", &frame)
}

/// A data frame as a table.
pub(super) fn table(file: String, format: &'static str, frame: &DataFrame) -> Result<Table, Error> {
    let rows = frame.height();
    let columns = frame.columns().iter().map(|column| Ok((column.name().to_string(), cells(column)?)));
    let columns = columns.collect::<Result<_, PolarsError>>().map_err(|error| Error::Malformed {
        file: file.clone(),
        format,
        row: None,
        reason: error.to_string(),
    })?;
    Ok(Table { file, columns, rows })
}

fn cells(column: &Column) -> Result<Vec<Cell>, PolarsError> {
    fn filled<T>(values: impl Iterator<Item = Option<T>>, cell: impl Fn(T) -> Cell) -> Vec<Cell> {
        values.map(|value| value.map_or(Cell::Null, &cell)).collect()
    }
    let kind = column.dtype();
    Ok(if kind.is_integer() {
        let wide = column.cast(&DataType::Int64)?;
        filled(wide.i64()?.iter(), Cell::Integer)
    } else if kind.is_float() {
        let wide = column.cast(&DataType::Float64)?;
        filled(wide.f64()?.iter(), Cell::Real)
    } else if *kind == DataType::String {
        filled(column.str()?.iter(), |text| Cell::Text(text.to_owned()))
    } else if *kind == DataType::Boolean {
        filled(column.bool()?.iter(), Cell::Flag)
    } else {
        vec![Cell::Other(kind.to_string()); column.len()]
    })
}
