//! `export`: finished runs to MLflow, TensorBoard, CSV, JSON or LaTeX.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::json;

use super::super::args::ExportArgs;
use super::super::error::Error;
use super::super::{Context, environment, text};
use crate::error::{Context as _, Failure};
use crate::report::export::mlflow::{Experiment, is_local};
use crate::report::export::{self, Outcome, Run, Target};
use crate::runs::view::{self, Format};
use crate::runs::{RunRecord, RunTable, Store};
use crate::sweep::Plan;

/// Pause before a server is asked again.
const WAIT: Duration = Duration::from_secs(1);

/// Writes the finished runs of a study, or all, where `--to` says.
///
/// # Errors
/// A directory that is no study; runs that cannot be read; files that cannot be written; a server
/// that refuses.
pub(crate) fn run(args: &ExportArgs, context: &Context) -> Result<(), Failure> {
    let store = Store::at(&args.out);
    let (table, failed) = chosen(args, &store, context)?;
    if !failed.is_empty() && matches!(args.to, Target::Latex | Target::Tensorboard) {
        let runs = text::plural(failed.len(), "failed run");
        context.output.say(&format!("{runs} left out: {} has no place for them", args.to));
    }
    match args.to {
        Target::Csv => put(args, &view::export(&table, Format::Csv), context),
        Target::Json => put(args, &view::export(&table, Format::Json), context),
        Target::Latex => {
            let rows: Vec<_> = table.rows.iter().collect();
            put(args, &export::latex::table(&rows), context)
        }
        Target::Tensorboard => tensorboard(args, &store, &table, context),
        Target::Mlflow => mlflow(args, &store, &table, &failed, context),
    }
}

/// The table of all runs, or of those in the study's plan, and the records of those that failed.
fn chosen(
    args: &ExportArgs,
    store: &Store,
    context: &Context,
) -> Result<(RunTable, Vec<RunRecord>), Failure> {
    let wanted: Option<BTreeSet<String>> = match &args.study {
        None => None,
        Some(study) => {
            let below = args.out.join(study);
            let folder = if study.join("plan.json").is_file() { study.clone() } else { below };
            let path = folder.join("plan.json");
            if !path.is_file() {
                return Err(Error::NoStudy(study.clone()).into());
            }
            Some(Plan::read(&path)?.cells.into_iter().map(|cell| cell.id).collect())
        }
    };
    let mut table = RunTable::load(store)?;
    for problem in &table.problems {
        context.output.warn(&problem.error.to_string());
    }
    // the table has told of failures that cannot be read
    let mut failed: Vec<RunRecord> = store.failures()?.into_iter().flatten().collect();
    failed.retain(|record| table.records.iter().all(|done| done.cell != record.cell));
    if let Some(wanted) = wanted {
        failed.retain(|record| wanted.contains(&record.cell));
        table.rows.retain(|row| wanted.contains(&row.cell));
        table.records.retain(|record| wanted.contains(&record.cell));
    }
    if table.records.is_empty() {
        context.output.say(&format!("no finished runs in `{}` yet", store.folder().display()));
    }
    Ok((table, failed))
}

fn put(args: &ExportArgs, text: &str, context: &Context) -> Result<(), Failure> {
    let Some(path) = &args.file else { return context.output.data(text) };
    let unwritable = |cause| Error::Unwritable { path: path.clone(), cause };
    // beside its place and renamed, so that a full disk leaves no half table
    let partial = path.with_file_name(format!(".partial-{}", std::process::id()));
    let written = std::fs::write(&partial, text).and_then(|()| std::fs::rename(&partial, path));
    if written.is_err() {
        // the failure below is the one to report
        let _ = std::fs::remove_file(&partial);
    }
    written.map_err(unwritable)?;
    context.output.say(&format!("wrote `{}`", path.display()));
    Ok(())
}

fn tensorboard(args: &ExportArgs, store: &Store, table: &RunTable, context: &Context) -> Result<(), Failure> {
    let folder = args.file.clone().unwrap_or_else(|| args.out.join("tensorboard"));
    let mut tally = Tally::default();
    for run in runs(store, table) {
        let (_, outcome) = export::tensorboard::write(&folder, &run?, args.points)?;
        tally.count(outcome);
    }
    tally.tell(args.to, &folder.display().to_string(), context)
}

fn mlflow(
    args: &ExportArgs,
    store: &Store,
    table: &RunTable,
    failed: &[RunRecord],
    context: &Context,
) -> Result<(), Failure> {
    let settings = environment::mlflow();
    let given = args.server.clone().or(settings.server);
    let address = given.unwrap_or_else(|| "http://127.0.0.1:5000".to_owned());
    if context.global.offline && !is_local(&address) {
        // offline is a promise, whoever is to be asked
        return Err(Error::OfflineServer(address).into());
    }
    let given = args.experiment.clone().or(settings.experiment);
    let name = given.unwrap_or_else(|| "pifi-probe".to_owned());
    let experiment = Experiment::open(&address, settings.credentials, &name, WAIT)?;
    let mut tally = Tally::default();
    for run in runs(store, table) {
        let run = run?;
        let outcome = experiment.write(&run, args.points);
        let outcome = outcome.while_doing(|| format!("exporting run `{}`", run.record.cell))?;
        context.output.detail(&format!("{}: {outcome:?}", run.record.cell));
        tally.count(outcome);
    }
    for record in failed {
        experiment.write_failed(record).while_doing(|| format!("exporting run `{}`", record.cell))?;
        tally.failed += 1;
    }
    tally.tell(args.to, &format!("{address}, experiment `{name}`"), context)
}

fn runs<'a>(store: &'a Store, table: &'a RunTable) -> impl Iterator<Item = Result<Run, Failure>> + 'a {
    table.records.iter().map(|record| {
        let history = store.history(&record.cell)?;
        Ok(Run { record: record.clone(), history })
    })
}

/// How many runs were written and how many were there.
#[derive(Default)]
struct Tally {
    written: usize,
    present: usize,
    /// Runs that are there as failed ones.
    failed: usize,
}

impl Tally {
    fn count(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Written => self.written += 1,
            Outcome::Present => self.present += 1,
        }
    }

    fn tell(&self, to: Target, place: &str, context: &Context) -> Result<(), Failure> {
        let Self { written, present, failed } = self;
        if context.output.json {
            let document =
                json!({ "to": to, "place": place, "written": written, "present": present, "failed": failed });
            return context.output.document(&document);
        }
        let runs = text::plural(*written, "run");
        let failed = if *failed > 0 { format!(", {failed} marked as failed") } else { String::new() };
        context.output.line(&format!("{to}: {runs} written, {present} already there{failed}, in {place}"))
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::args::{Cli, Command};
    use super::*;
    use clap::Parser;
    use std::path::Path;

    #[test]
    fn targets_are_words_and_a_stranger_is_refused() {
        let parsed = |to: &str| Cli::try_parse_from(["pifi-probe", "export", "demo", "--to", to]);
        for target in Target::ALL {
            let Command::Export(args) = parsed(target.name()).unwrap().command else { panic!("export") };
            assert_eq!((args.to, args.study.as_deref()), (*target, Some(Path::new("demo"))));
        }
        assert!(parsed("wandb").is_err());
        assert!(Cli::try_parse_from(["pifi-probe", "export"]).is_err());
    }
}
