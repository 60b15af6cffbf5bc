//! `transfer`: a sweep for each of several training tasks, and one report over all of them.

use super::super::args::TransferArgs;
use super::super::error::Error;
use super::super::study::{self, Builder};
use super::super::transfer::{Group, Ran, run_together, studies};
use super::super::{Context, signals};
use super::layers::{print_config, sweep};
use crate::error::Failure;
use crate::hub::DEMO;
use crate::sweep::Study;

/// Tasks that the demo is trained on.
const DEMO_TASKS: [&str; 3] = ["demo", "demo_gadgets", "demo_hotels"];

/// Plans a study a task, asks where it must, runs them one after the other, reports.
///
/// # Errors
/// Whatever keeps a study from being planned, run or reported; cells that failed.
pub(crate) fn run(args: &TransferArgs, context: &Context) -> Result<(), Failure> {
    let Some(Settled { base, train_on, eval }) = settle(args, context)? else { return Ok(()) };
    let name = match &args.name {
        Some(name) => {
            study::check_name(name)?;
            name.clone()
        }
        None => format!("transfer-{}", study::name(&Study { task: base.llm.clone(), ..base.clone() })),
    };
    let studies = studies(&base, &train_on, &eval)?;
    let group = Group { name: &name, engine: &args.engine, dry_run: args.dry_run };
    match run_together(studies, &group, context, &signals::listen())? {
        Some(Ran { failed, cells, .. }) if failed > 0 => Err(Error::CellsFailed { failed, cells }.into()),
        _ => Ok(()),
    }
}

/// What was asked for.
struct Settled {
    /// What all studies have in common.
    base: Study,
    train_on: Vec<String>,
    /// Tasks that are only tested on.
    eval: Vec<String>,
}

/// Flags, file and defaults; nothing where the study was only to be printed.
fn settle(args: &TransferArgs, context: &Context) -> Result<Option<Settled>, Failure> {
    // `--task` defines what `--train-on` and `--eval` name; the first would else be the task itself
    let typed = context.typed.value_source("task") == Some(clap::parser::ValueSource::CommandLine);
    let definitions = if typed { args.study.models.task.clone() } else { Vec::new() };
    let mut flags = args.study.clone();
    flags.models.task.truncate(1);
    flags.models.eval.clear();
    let mut builder = Builder::new(&flags, &context.typed)?;
    sweep(&mut builder, &args.sweep);
    if let Some(threads) = context.global.threads {
        builder.fix("threads", |study| study.threads = Some(threads.into()));
    }
    let demo = builder.study.llm == DEMO;
    let mut train_on = args.train_on.clone();
    if train_on.is_empty() && demo {
        train_on = DEMO_TASKS.map(str::to_owned).into();
    }
    let mut eval = args.study.models.eval.clone();
    study::define_tasks(&mut train_on, &mut eval, &definitions)?;
    let first = train_on.first().cloned().ok_or(Error::NoTrainingTasks)?;
    builder.fix("task", |study| study.task = first);
    builder.fix("eval", |study| study.eval.clone_from(&eval));
    if args.engine.print_config {
        print_config(&builder, context)?;
        return Ok(None);
    }
    Ok(Some(Settled { base: builder.study, train_on, eval }))
}
