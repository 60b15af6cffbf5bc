//! `layers --screen`: cheap rounds over all layers before the full training of the kept ones.

mod scores;

use std::path::Path;
use std::sync::Arc;

use super::Context;
use super::args::EngineArgs;
use super::error::Error;
use super::run::Job;
use super::signals::Stop;
use crate::analysis::collect::layer_study;
use crate::analysis::screen::{Criterion, Round, Screened, kept, layer_scores, missed};
use crate::error::Failure;
use crate::report;
use crate::runs::{Store, atomic};
use crate::sweep::screen::{Screen, listed, rungs};
use crate::sweep::{Plan, Study};

/// What the screen did, beside the plan of the study that followed.
pub(super) const FILE: &str = "screen.json";
/// The plan over all layers, by which their full training is found if it exists.
const WHOLE: &str = "whole-plan.json";

/// How a screen is run.
pub(crate) struct Rounds<'a> {
    /// The screen.
    pub(crate) screen: Screen,
    /// Layers that it leaves, the last one apart.
    pub(crate) keep: usize,
    /// Directory of the study that follows; those of the rounds are named after it.
    pub(crate) name: &'a str,
    /// The engine's flags.
    pub(crate) engine: &'a EngineArgs,
    /// Whether only the first round's plan is printed.
    pub(crate) dry_run: bool,
}

/// Runs the rounds one after the other and notes what they did; returns the layers that are left in
/// the syntax of a study, nothing where only a plan was printed.
///
/// # Errors
/// Whatever keeps a round from being planned or run; cells that failed, since a screen over part of
/// the layers would prune by accident.
pub(crate) fn rounds(
    study: &Study,
    how: &Rounds<'_>,
    context: &Context,
    stop: &Arc<Stop>,
) -> Result<Option<String>, Failure> {
    let whole = Job::prepare(study.clone(), how.name, how.engine, context, stop.clone())?;
    let layers = whole.plan().inputs.layers.clone();
    let last = whole.plan().inputs.llm.layers.saturating_sub(1);
    let rungs = rungs(study, how.screen, how.keep, layers.len())?;
    let mut screened = Screened {
        schema_version: Screened::SCHEMA_VERSION,
        screen: how.screen.to_string(),
        last,
        layers: layers.clone(),
        rounds: Vec::new(),
    };
    let mut left = layers;
    if how.screen == Screen::Score {
        if how.dry_run {
            context.output.say(&format!(
                "the screen passes at most {} training texts through every layer of the LLM and trains nothing; \
                 then this plan, for {} of its layers, the last one and the controls:",
                scores::TEXTS,
                how.keep.min(left.len()),
            ));
            whole.show_plan()?;
            return Ok(None);
        }
        let round = scores::round(study, how, &left, last, context, stop)?;
        left.clone_from(&round.kept);
        context.output.say(&format!("kept by mean rank under scores: layers {}", listed(&left)));
        screened.rounds.push(round);
    }
    for rung in rungs {
        let member = format!("{}-{}", how.name, rung.name);
        let round = Study { layers: listed(&left), ..rung.study };
        let job = Job::prepare(round, &member, how.engine, context, stop.clone())?;
        if how.dry_run {
            context.output.say(&format!(
                "the first round of the screen: {} of {} layers, the last layer and the controls go on from it",
                rung.keep,
                left.len()
            ));
            job.show_plan()?;
            return Ok(None);
        }
        job.say_plan()?;
        job.ask()?;
        let outcome = job.train(|_| true)?;
        job.report(&outcome)?;
        let scores = layer_scores(&layer_study(job.plan(), job.store())?.study);
        let criterion = Criterion::Validation;
        left = kept(&scores, criterion, rung.keep, last);
        context.output.say(&format!("kept after `{member}`: layers {}", listed(&left)));
        screened.rounds.push(Round { study: member, criterion, scores, kept: left.clone() });
    }
    write(&how.engine.out.join(how.name), &screened, whole.plan())?;
    Ok(Some(listed(&left)))
}

fn write(folder: &Path, screened: &Screened, whole: &Plan) -> Result<(), Failure> {
    whole.write(&folder.join(WHOLE))?;
    Ok(atomic::replace(&folder.join(FILE), |out| {
        serde_json::to_writer_pretty(&mut *out, screened)?;
        std::io::Write::write_all(out, b"\n")
    })?)
}

/// What a study's report says about the screen before it; nothing where there was none, or where
/// the directory now holds a study of other models or layers.
///
/// # Errors
/// Files of a screen that cannot be read.
pub(crate) fn notes(folder: &Path, plan: &Plan, store: &Store) -> Result<Vec<String>, Failure> {
    let path = folder.join(FILE);
    if !path.is_file() {
        return Ok(Vec::new());
    }
    let text = std::fs::read(&path).map_err(|cause| Error::Unreadable { path: path.clone(), cause })?;
    let malformed = |reason: String| Error::Malformed { path: path.clone(), reason };
    let screened: Screened = serde_json::from_slice(&text).map_err(|error| malformed(error.to_string()))?;
    if screened.schema_version != Screened::SCHEMA_VERSION {
        let (found, expected) = (screened.schema_version, Screened::SCHEMA_VERSION);
        return Err(malformed(format!("schema {found}, expected {expected}")).into());
    }
    let whole = Plan::read(&folder.join(WHOLE))?;
    let known = |id: &str| whole.cells.iter().any(|cell| cell.id == id);
    if !plan.cells.iter().all(|cell| known(&cell.id)) {
        return Ok(Vec::new());
    }
    let full = layer_scores(&layer_study(&whole, store)?.study);
    let missed = missed(&screened.layers, screened.kept(), &full, screened.last);
    let missed = missed.filter(|_| screened.kept().len() < screened.layers.len());
    Ok(report::screen_notes(&screened, &plan.inputs.layers, missed))
}
