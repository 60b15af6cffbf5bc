//! `runs list|show|diff|export`.

use std::path::Path;

use super::super::Context;
use super::super::args::{RunsArgs, RunsCommand};
use super::super::error::Error;
use crate::error::Failure;
use crate::runs::view::{self, Format};
use crate::runs::{RunRecord, RunTable, Store};

/// Shows tables of finished runs.
///
/// # Errors
/// Ids that stand for no run or several, files that cannot be read or written.
pub(crate) fn run(args: RunsArgs, context: &Context) -> Result<(), Failure> {
    let store = Store::at(&args.out);
    let output = &context.output;
    let chosen = |format: Format| if output.json { Format::Json } else { format };
    match args.command {
        RunsCommand::List(args) => {
            let table = load(&store, context)?;
            if table.rows.is_empty() {
                output.say(&format!("no runs in `{}` yet", store.folder().display()));
            }
            output.data(&view::list(&table, chosen(args.format)))
        }
        RunsCommand::Show { run, format } => {
            output.data(&view::show(&find(&store, &run)?, chosen(format.format)))
        }
        RunsCommand::Diff { left, right, format } => {
            let (left, right) = (find(&store, &left)?, find(&store, &right)?);
            output.data(&view::diff(&left, &right, chosen(format.format)))
        }
        RunsCommand::Export { format, to } => {
            let by_name = to.as_deref().and_then(Path::extension).map(|ending| ending.to_string_lossy());
            let format = match (format, by_name) {
                (Some(format), _) => format,
                (None, Some(ending)) => Format::of_ending(&ending)?,
                (None, None) => chosen(Format::Csv),
            };
            let text = view::export(&load(&store, context)?, format);
            let Some(path) = to else { return output.data(&text) };
            std::fs::write(&path, text).map_err(|cause| Error::Unwritable { path: path.clone(), cause })?;
            output.say(&format!("wrote `{}`", path.display()));
            Ok(())
        }
    }
}

/// The record of the run that the first characters of an id stand for, finished or failed.
fn find(store: &Store, prefix: &str) -> Result<RunRecord, Failure> {
    let failed = || {
        let failures = store.failures().ok()?;
        let mut found = failures.into_iter().flatten().filter(|record| record.cell.starts_with(prefix));
        found.next().filter(|_| found.next().is_none())
    };
    match store.resolve(prefix) {
        Ok(cell) => Ok(store.read(&cell)?),
        Err(error) => failed().ok_or_else(|| error.into()),
    }
}

fn load(store: &Store, context: &Context) -> Result<RunTable, Failure> {
    let table = RunTable::load(store)?;
    for problem in &table.problems {
        context.output.warn(&problem.error.to_string());
    }
    Ok(table)
}
