//! `train`: a single cell, run and recorded as a sweep would.

use super::super::args::TrainArgs;
use super::super::run::Job;
use super::super::study::{self, Builder};
use super::super::{Context, signals};
use super::layers::print_config;
use crate::error::Failure;
use crate::runs::Condition;
use crate::runs::view::{self, Format};
use crate::sweep::Seeds;

/// Trains one layer or control with one seed.
///
/// # Errors
/// Whatever keeps the cell from being planned or trained.
pub(crate) fn run(args: &TrainArgs, context: &Context) -> Result<(), Failure> {
    let mut builder = Builder::new(&args.study, &context.typed)?;
    let seeds = Seeds::List(vec![args.seed]);
    builder.fix("seeds", |study| study.seeds = seeds);
    let control = args.condition.control;
    builder.fix("controls", |study| study.controls = control.into_iter().collect());
    // a control needs no layer of its own; the last one is in every plan
    let layer = args.condition.layer.unwrap_or(-1);
    builder.fix("layers", |study| study.layers = layer.to_string());
    if let Some(threads) = context.global.threads {
        builder.fix("threads", |study| study.threads = Some(threads.into()));
    }
    if args.engine.print_config {
        return print_config(&builder, context);
    }
    let name = study::name(&builder.study);
    let stop = signals::listen();
    let mut job = Job::prepare(builder.study, &name, &args.engine, context, stop)?;
    let depth = job.plan().inputs.llm.layers;
    let condition = match control {
        Some(control) => Condition::Control(control),
        None => Condition::Layer(crate::models::layers::resolve_layer(layer, depth)?),
    };
    let cell = job.keep_one(condition)?;
    job.ask()?;
    let outcome = job.train(|id| id == cell)?;
    job.check(&outcome)?;
    let record = job.store().read(&cell)?;
    let format = if context.output.json { return Ok(()) } else { Format::Table };
    context.output.data(&view::show(&record, format))?;
    context.output.say(&format!("the run stands in `{}`", job.store().run_folder(&cell).display()));
    Ok(())
}
