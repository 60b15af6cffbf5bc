//! `predict`: a trained probe on new text, one line each.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use serde_json::json;

use super::super::Context;
use super::super::args::PredictArgs;
use super::super::error::Error;
use crate::error::Failure;
use crate::runs::Store;
use crate::sweep::predict::Predictor;

/// Texts predicted at once.
const BATCH: usize = 32;

/// Labels every text, in order.
///
/// # Errors
/// A run that cannot be found or kept no weights, a file that cannot be read, text that is no UTF-8.
pub(crate) fn run(args: &PredictArgs, context: &Context) -> Result<(), Failure> {
    let folder = folder(args)?;
    let mut predictor = Predictor::open(&folder, &context.hub()?)?;
    let unreadable = |cause| Error::Unreadable { path: args.input.clone(), cause };
    let input: Box<dyn Read> = if args.input == Path::new("-") {
        Box::new(std::io::stdin().lock())
    } else {
        Box::new(std::fs::File::open(&args.input).map_err(unreadable)?)
    };
    let mut lines = BufReader::new(input).lines();
    loop {
        let batch = lines.by_ref().take(BATCH).collect::<Result<Vec<_>, _>>().map_err(unreadable)?;
        if batch.is_empty() {
            return Ok(());
        }
        let texts: Vec<(&str, Option<&str>)> = batch
            .iter()
            .map(|line| match line.split_once('\t') {
                Some((text, pair)) if predictor.takes_pairs() => (text, Some(pair)),
                _ => (line.as_str(), None),
            })
            .collect();
        for (prediction, line) in predictor.predict(&texts)?.into_iter().zip(&batch) {
            if context.output.json {
                context.output.event(&json!({
                    "text": line,
                    "label": prediction.label,
                    "probability": prediction.probability,
                    "probabilities": prediction.probabilities,
                }))?;
            } else {
                context.output.line(&format!(
                    "{}\t{:.4}\t{line}",
                    prediction.label, prediction.probability
                ))?;
            }
        }
    }
}

/// A run's directory, or the one that the first characters of its id stand for.
fn folder(args: &PredictArgs) -> Result<std::path::PathBuf, Failure> {
    let typed = Path::new(&args.run);
    if typed.join("run.json").is_file() {
        return Ok(typed.to_owned());
    }
    let store = Store::at(&args.out);
    let cell = store.resolve(&args.run)?;
    Ok(store.run_folder(&cell))
}
