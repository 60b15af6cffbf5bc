//! `layers`: the sweep over an LLM's layers, from names to a report.

use super::super::args::{LayersArgs, SweepArgs};
use super::super::run::Job;
use super::super::study::{self, Builder};
use super::super::{Context, screen, signals};
use crate::error::Failure;
use crate::sweep::screen::Screen;

/// Plans, asks where it must, runs, reports.
///
/// # Errors
/// Whatever keeps the study from being planned, run or reported; cells that failed.
pub(crate) fn run(args: &LayersArgs, context: &Context) -> Result<(), Failure> {
    let mut builder = Builder::new(&args.study, &context.typed)?;
    sweep(&mut builder, &args.sweep);
    if let Some(threads) = context.global.threads {
        builder.fix("threads", |study| study.threads = Some(threads.into()));
    }
    let name = match &args.name {
        Some(name) => {
            study::check_name(name)?;
            name.clone()
        }
        None => study::name(&builder.study),
    };
    if args.engine.print_config {
        return print_config(&builder, context);
    }
    let stop = signals::listen();
    let mut study = builder.study;
    if args.screen != Screen::None {
        let rounds = screen::Rounds {
            screen: args.screen,
            keep: args.keep,
            name: &name,
            engine: &args.engine,
            dry_run: args.dry_run,
        };
        let Some(left) = screen::rounds(&study, &rounds, context, &stop)? else { return Ok(()) };
        study.layers = left;
    }
    let job = Job::prepare(study, &name, &args.engine, context, stop)?;
    if args.dry_run {
        return job.show_plan();
    }
    job.say_plan()?;
    job.ask()?;
    let outcome = job.train(|_| true)?;
    job.report(&outcome)
}

/// Takes the flags that a single cell does not have.
pub(crate) fn sweep(builder: &mut Builder<'_>, args: &SweepArgs) {
    builder.take("layers", "layers", |study| study.layers.clone_from(&args.layers));
    builder.take("seeds", "seeds", |study| study.seeds = args.seeds.clone());
    builder.take("controls", "controls", |study| study.controls.clone_from(&args.controls.0));
}

/// Prints the study with the origin of every value.
///
/// # Errors
/// Values that cannot be; nobody who reads.
pub(crate) fn print_config(builder: &Builder<'_>, context: &Context) -> Result<(), Failure> {
    builder.study.clone().check()?;
    if context.output.json {
        let document = serde_json::json!({"study": builder.study, "origins": builder.origins});
        return context.output.document(&document);
    }
    context.output.data(&builder.commented())
}
