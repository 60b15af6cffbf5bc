//! The long table of similarities, version 1, one row a measure and pair of places:
//!
//! | column | type | meaning |
//! |---|---|---|
//! | `measure` | string | `sim_...` or `dist_...` |
//! | `settings` | string | what the measure leaves open: neighbours, kept components |
//! | `source_a`, `source_b` | string | the models |
//! | `layer_a`, `layer_b` | string | the places |
//! | `depth_a`, `depth_b` | f64 or null | 0 first layer, 1 last |
//! | `value` | f64 or null | null where there is none, see `reason` |
//! | `calibrated` | f64 or null | 0 the threshold of chance, 1 a side compared with itself |
//! | `null_mean`, `null_sd`, `null_threshold` | f64 or null | under random orders of the examples |
//! | `null_basis` | string or null | `exact`, or how many random orders |
//! | `p` | f64 or null | of random orders |
//! | `n` | u64 or null | examples |
//! | `d1`, `d2` | u64 | channels |
//! | `direction` | string | `higher is closer` or `lower is closer` |
//! | `reason` | string or null | why there is no value |

use std::fmt::Write;
use std::fs::File;
use std::path::Path;

use polars::prelude::{
    Column, DataFrame, IntoColumn, KeyValueMetadata, NamedFrom, ParquetCompression, ParquetWriter,
    PolarsError, Series,
};

use super::{Comparison, Error};
use crate::analysis::similarity::null::Basis;

/// Version of the table.
const SCHEMA_VERSION: u32 = 1;

/// One row, by column.
pub(super) struct Row {
    texts: [String; 6],
    depths: [Option<f64>; 2],
    numbers: [Option<f64>; 6],
    basis: Option<String>,
    n: Option<u64>,
    widths: [u64; 2],
    direction: &'static str,
    reason: Option<String>,
}

const TEXTS: [&str; 6] = ["measure", "settings", "source_a", "source_b", "layer_a", "layer_b"];
const DEPTHS: [&str; 2] = ["depth_a", "depth_b"];
const NUMBERS: [&str; 6] = ["value", "calibrated", "null_mean", "null_sd", "null_threshold", "p"];

/// The rows of all grids.
pub(super) fn rows(comparison: &Comparison) -> Vec<Row> {
    let (first, second) = (&comparison.first, &comparison.second);
    let mut rows = Vec::new();
    for grid in &comparison.grids {
        for (at, value) in grid.values.iter().enumerate() {
            let (a, b) = (&first.sites[at / second.sites.len()], &second.sites[at % second.sites.len()]);
            let found = value.as_ref().ok();
            let chance = found.and_then(|value| value.chance);
            rows.push(Row {
                texts: [
                    grid.measure.column.to_owned(),
                    grid.settings.clone(),
                    first.name.clone(),
                    second.name.clone(),
                    a.name.clone(),
                    b.name.clone(),
                ],
                depths: [a.depth, b.depth],
                numbers: [
                    found.map(|value| value.value),
                    found.and_then(|value| value.calibrated),
                    chance.map(|chance| chance.mean),
                    chance.and_then(|chance| chance.deviation),
                    chance.map(|chance| chance.threshold),
                    chance.and_then(|chance| chance.p),
                ],
                basis: chance.map(|chance| match chance.basis {
                    Basis::Exact => "exact".to_owned(),
                    Basis::Permutations(count) => format!("{count} random orders"),
                }),
                n: found.map(|value| value.n as u64),
                widths: [a.width as u64, b.width as u64],
                direction: grid.measure.direction.words(),
                reason: value.as_ref().err().cloned(),
            });
        }
    }
    rows
}

/// The table as CSV; an empty cell has no value.
pub(super) fn csv(rows: &[Row]) -> String {
    let names = TEXTS.iter().chain(&DEPTHS).chain(&NUMBERS);
    let mut text = names.copied().collect::<Vec<_>>().join(",");
    text.push_str(",null_basis,n,d1,d2,direction,reason\n");
    for row in rows {
        let number = |value: &Option<f64>| value.map_or_else(String::new, |value| value.to_string());
        let mut cells: Vec<String> = row.texts.iter().map(|text| quoted(text)).collect();
        cells.extend(row.depths.iter().chain(&row.numbers).map(number));
        cells.push(row.basis.clone().unwrap_or_default());
        cells.push(row.n.map_or_else(String::new, |n| n.to_string()));
        cells.extend(row.widths.iter().map(ToString::to_string));
        cells.push(row.direction.to_owned());
        cells.push(row.reason.as_deref().map_or_else(String::new, quoted));
        // writing to a string cannot fail
        let _ = writeln!(text, "{}", cells.join(","));
    }
    text
}

fn quoted(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

/// Writes the table as Parquet, which polars, pandas and DuckDB read.
pub(super) fn parquet(path: &Path, rows: &[Row]) -> Result<(), Error> {
    let failed = |source| Error::Write { path: path.to_owned(), source };
    let file = File::create(path).map_err(failed)?;
    let metadata = vec![
        ("pifi_probe.schema_version".to_owned(), SCHEMA_VERSION.to_string()),
        ("pifi_probe.table".to_owned(), "similarity".to_owned()),
    ];
    let written = frame(rows).and_then(|mut frame| {
        ParquetWriter::new(file)
            .with_compression(ParquetCompression::Zstd(None))
            .with_key_value_metadata(Some(KeyValueMetadata::from_static(metadata)))
            .set_parallel(false)
            .finish(&mut frame)
    });
    written.map(|_| ()).map_err(|error| failed(std::io::Error::other(error)))
}

fn frame(rows: &[Row]) -> Result<DataFrame, PolarsError> {
    let mut columns: Vec<Column> = Vec::new();
    for (at, name) in TEXTS.iter().enumerate() {
        let texts: Vec<&str> = rows.iter().map(|row| row.texts[at].as_str()).collect();
        columns.push(Series::new((*name).into(), texts).into_column());
    }
    for (at, name) in DEPTHS.iter().enumerate() {
        let depths: Vec<Option<f64>> = rows.iter().map(|row| row.depths[at]).collect();
        columns.push(Series::new((*name).into(), depths).into_column());
    }
    for (at, name) in NUMBERS.iter().enumerate() {
        let numbers: Vec<Option<f64>> = rows.iter().map(|row| row.numbers[at]).collect();
        columns.push(Series::new((*name).into(), numbers).into_column());
    }
    let texts = |text: fn(&Row) -> Option<&str>| -> Vec<Option<&str>> { rows.iter().map(text).collect() };
    columns.push(Series::new("null_basis".into(), texts(|row| row.basis.as_deref())).into_column());
    let n: Vec<Option<u64>> = rows.iter().map(|row| row.n).collect();
    columns.push(Series::new("n".into(), n).into_column());
    for (at, name) in ["d1", "d2"].iter().enumerate() {
        let widths: Vec<u64> = rows.iter().map(|row| row.widths[at]).collect();
        columns.push(Series::new((*name).into(), widths).into_column());
    }
    columns.push(Series::new("direction".into(), texts(|row| Some(row.direction))).into_column());
    columns.push(Series::new("reason".into(), texts(|row| row.reason.as_deref())).into_column());
    DataFrame::new(rows.len(), columns)
}
