//! Parquet by polars, and cells out of polars' columns. polars reserves memory by what page headers
//! claim, and a wrong claim ends the process: the headers are held against the footer first.

use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind};

use polars_parquet::parquet::compression::DecompressionContext;
use polars_parquet::parquet::page::{CompressedPage, Page};
use polars_parquet::parquet::read::{PageReader, decompress};

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
    let frame = catch_unwind(AssertUnwindSafe(|| {
        check_pages(&bytes)?;
        ParquetReader::new(Cursor::new(bytes)).finish().map_err(|error| error.to_string())
    }))
    .map_err(|_| malformed(&file, "its footer contradicts its contents".to_owned()))?
    .map_err(|reason| malformed(&file, reason))?;
    table(file, "parquet", &frame)
}

/// Holds the header of every page against the footer: no page has more values than its column, no
/// dictionary more entries than bytes, no column lies outside of the file.
fn check_pages(bytes: &[u8]) -> Result<(), String> {
    let mut reader = ParquetReader::new(Cursor::new(bytes));
    let metadata = reader.get_metadata().map_err(|error| error.to_string())?;
    let groups = metadata.row_groups.iter();
    for (rows, column) in
        groups.flat_map(|group| group.parquet_columns().iter().map(|column| (group.num_rows(), column)))
    {
        let range = column.byte_range();
        let chunk = usize::try_from(range.start)
            .ok()
            .zip(usize::try_from(range.end).ok())
            .and_then(|(start, end)| bytes.get(start..end))
            .ok_or_else(|| format!("a column lies at bytes {range:?} of {}", bytes.len()))?;
        let values = usize::try_from(column.num_values()).map_err(|error| error.to_string())?;
        if column.descriptor().descriptor.max_rep_level == 0 && values != rows {
            return Err(format!("a column has {values} values in {rows} rows"));
        }
        let chunk = Cursor::new(chunk.to_vec().into());
        for page in PageReader::new(chunk, column, Vec::new(), usize::MAX) {
            let claimed = match page.map_err(|error| error.to_string())? {
                CompressedPage::Data(page) => page.num_values(),
                page @ CompressedPage::Dict(_) => {
                    let page = decompress(page, &mut Vec::new(), &mut DecompressionContext::Unset)
                        .map_err(|error| error.to_string())?;
                    match page {
                        Page::Dict(dictionary) if dictionary.num_values > dictionary.buffer.len() => {
                            dictionary.num_values
                        }
                        _ => 0,
                    }
                }
            };
            if claimed > values {
                return Err(format!("a page claims {claimed} values of a column that has {values}"));
            }
        }
    }
    Ok(())
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
