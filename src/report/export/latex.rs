//! Runs as a LaTeX table: one row a run and evaluated task, with the columns that a paper shows.

use crate::report::document::{Row, Table};
use crate::report::latex::tabular;
use crate::report::text::{decimal, percent};
use crate::runs::table::RunRow;

const HEADER: [&str; 12] = [
    "LLM",
    "Small model",
    "Trained on",
    "Condition",
    "Evaluated on",
    "Split",
    "Seed",
    "n",
    "Accuracy (%)",
    "Macro-F1 (%)",
    "MCC",
    "Seconds",
];
const NONE: &str = "\u{2013}";

/// The table's text, for a document that loads `booktabs`. Failed runs have no row.
pub fn table(rows: &[&RunRow]) -> String {
    let optional = |value: &Option<String>| value.clone().unwrap_or_else(|| NONE.to_owned());
    let share = |value: Option<f64>| value.map_or_else(|| NONE.to_owned(), percent);
    let row = |row: &RunRow| Row {
        cells: vec![
            optional(&row.llm),
            row.slm.clone(),
            row.task.clone(),
            row.condition.clone(),
            optional(&row.eval_task),
            optional(&row.split),
            row.seed.to_string(),
            row.n.map_or_else(|| NONE.to_owned(), |n| n.to_string()),
            share(row.accuracy),
            share(row.macro_f1),
            row.mcc.map_or_else(|| NONE.to_owned(), |mcc| decimal(mcc, 3)),
            decimal(row.seconds, 1),
        ],
        marked: false,
    };
    tabular(&Table {
        caption: String::new(),
        header: HEADER.map(str::to_owned).into(),
        rows: rows.iter().filter(|row| row.accuracy.is_some()).map(|of| row(of)).collect(),
        texts: 6,
    })
}
