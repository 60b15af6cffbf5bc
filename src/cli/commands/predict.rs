//! `predict`: a trained probe on new text, one line each.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use serde_json::json;

use super::super::Context;
use super::super::args::PredictArgs;
use super::super::error::Error;
use crate::error::Failure;
use crate::runs::Store;
use crate::sweep::Plan;
use crate::sweep::predict::{Answer, Predictor};

/// Texts predicted at once: answers come while a long input is still being read.
const BATCH: usize = 256;

/// Labels every text, in order.
///
/// # Errors
/// A run that cannot be found or kept no weights, a file that cannot be read, text that is no UTF-8.
pub(crate) fn run(args: &PredictArgs, context: &Context) -> Result<(), Failure> {
    let (out, cell) = locate(&args.run, &args.out)?;
    let store = Store::at(&out);
    let unreadable = |cause| Error::Unreadable { path: args.input.clone(), cause };
    let input: Box<dyn Read> = if args.input == Path::new("-") {
        Box::new(std::io::stdin().lock())
    } else {
        Box::new(std::fs::File::open(&args.input).map_err(unreadable)?)
    };
    let plan = plan_of(&out, &cell)?;
    let mut predictor = Predictor::open(&plan, &cell, &context.hub()?, &store)?;
    let mut lines = BufReader::new(input).lines();
    loop {
        let batch = lines.by_ref().take(BATCH).collect::<Result<Vec<_>, _>>().map_err(unreadable)?;
        if batch.is_empty() {
            return Ok(());
        }
        let texts = batch.iter().map(|line| match line.split_once('\t') {
            Some((text, pair)) => (text.to_owned(), Some(pair.to_owned())),
            None => (line.clone(), None),
        });
        for (answer, line) in predictor.answer(texts.collect())?.iter().zip(&batch) {
            print(answer, line, &plan, context)?;
        }
    }
}

fn print(answer: &Answer, line: &str, plan: &Plan, context: &Context) -> Result<(), Failure> {
    if context.output.json {
        let labels = &plan.inputs.task.labels;
        let each = labels.iter().cloned().zip(answer.probabilities.iter().map(|p| json!(p)));
        let probabilities: serde_json::Map<_, _> = each.collect();
        return context.output.event(&json!({
            "text": line, "label": answer.label, "probabilities": probabilities,
        }));
    }
    let probability = answer.probabilities.iter().copied().fold(0.0, f64::max);
    context.output.line(&format!("{}\t{probability:.4}\t{line}", answer.label))
}

/// The directory of all outputs and the run's id: from the run's directory, or from the first
/// characters of its id.
pub(super) fn locate(run: &str, out: &Path) -> Result<(PathBuf, String), Failure> {
    let typed = Path::new(run);
    if typed.join("run.json").is_file()
        && let Ok(folder) = typed.canonicalize()
        && let (Some(name), Some(out)) = (folder.file_name(), folder.parent().and_then(Path::parent))
    {
        return Ok((out.to_owned(), name.to_string_lossy().into_owned()));
    }
    let cell = Store::at(out).resolve(run)?;
    Ok((out.to_owned(), cell))
}

/// The plan that a run was made by: one of the studies beside it.
pub(super) fn plan_of(out: &Path, cell: &str) -> Result<Plan, Failure> {
    let unreadable = |cause| Error::Unreadable { path: out.to_owned(), cause };
    let entries = std::fs::read_dir(out).map_err(unreadable)?;
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path().join("plan.json")).collect();
    paths.sort();
    // a plan of another version is no plan of this run
    let mut plans = paths.iter().filter_map(|path| Plan::read(path).ok());
    let found = plans.find(|plan| plan.cells.iter().any(|planned| planned.id == cell));
    found.ok_or_else(|| Error::NoPlan { run: cell.to_owned(), out: out.to_owned() }.into())
}
