//! `layers --screen`: cheap rounds over all layers, then the full training of the kept ones.

use std::path::Path;

use super::args::LayersArgs;
use super::error::Error;
use super::run::Job;
use super::{Context, signals};
use crate::analysis::collect::layer_study;
use crate::analysis::screen::{Round, Screened, kept, layer_scores, missed};
use crate::error::Failure;
use crate::report;
use crate::runs::{Store, atomic};
use crate::sweep::screen::{listed, rungs};
use crate::sweep::{Plan, Study};

/// What the screen did, beside the plan of the study that followed.
const FILE: &str = "screen.json";
/// The plan over all layers, by which their full training is found if it exists.
const WHOLE: &str = "whole-plan.json";

/// Runs the rounds one after the other, then the study over the layers that are left.
///
/// # Errors
/// Whatever keeps a round from being planned or run; cells that failed, since a screen over part of
/// the layers would prune by accident.
pub(crate) fn run(study: &Study, name: &str, args: &LayersArgs, context: &Context) -> Result<(), Failure> {
    let stop = signals::listen();
    let whole = Job::prepare(study.clone(), name, &args.engine, context, stop.clone())?;
    let layers = whole.plan().inputs.layers.clone();
    let last = whole.plan().inputs.llm.layers.saturating_sub(1);
    let mut screened = Screened {
        schema_version: Screened::SCHEMA_VERSION,
        screen: args.screen.to_string(),
        last,
        layers: layers.clone(),
        rounds: Vec::new(),
    };
    let mut left = layers;
    for rung in rungs(study, args.screen, args.keep, left.len())? {
        let member = format!("{name}-{}", rung.name);
        let round = Study { layers: listed(&left), ..rung.study };
        let job = Job::prepare(round, &member, &args.engine, context, stop.clone())?;
        if args.dry_run {
            context.output.say(&format!(
                "the first round of the screen; {} of {} layers, the last layer and the controls go on from it",
                rung.keep,
                left.len()
            ));
            return job.show_plan();
        }
        job.say_plan()?;
        job.ask()?;
        let outcome = job.train(|_| true)?;
        job.check(&outcome)?;
        let scores = layer_scores(&layer_study(job.plan(), job.store())?.study);
        left = kept(&scores, rung.keep, last);
        context.output.say(&format!("kept after `{member}`: layers {}", listed(&left)));
        screened.rounds.push(Round { study: member, scores, kept: left.clone() });
    }
    let folder = args.engine.out.join(name);
    write(&folder, &screened, whole.plan())?;
    let job = Job::prepare(
        Study { layers: listed(&left), ..study.clone() },
        name,
        &args.engine,
        context,
        stop,
    )?;
    job.say_plan()?;
    job.ask()?;
    let outcome = job.train(|_| true)?;
    job.report(&outcome)
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
