//! `transfer`: a sweep for each of several training tasks, and one report over all of them.

use super::super::args::TransferArgs;
use super::super::error::Error;
use super::super::run::Job;
use super::super::study::{self, Builder};
use super::super::transfer::{Members, studies, write_report};
use super::super::{Context, signals};
use super::layers::{print_config, sweep};
use crate::error::Failure;
use crate::hub::DEMO;
use crate::runs::Store;
use crate::sweep::{Plan, Study, SweepOutcome};

/// Tasks that the demo is trained on.
const DEMO_TASKS: [&str; 3] = ["demo", "demo_gadgets", "demo_hotels"];

/// Plans a study a task, asks where it must, runs them one after the other, reports.
///
/// # Errors
/// Whatever keeps a study from being planned, run or reported; cells that failed.
pub(crate) fn run(args: &TransferArgs, context: &Context) -> Result<(), Failure> {
    let (base, train_on, eval) = settle(args, context)?;
    let Some(base) = base else { return Ok(()) };
    let name = match &args.name {
        Some(name) => {
            study::check_name(name)?;
            name.clone()
        }
        None => format!("transfer-{}", study::name(&Study { task: base.llm.clone(), ..base.clone() })),
    };
    let studies = studies(&base, &train_on, &eval)?;
    run_together(studies, &name, args, context)
}

/// The study that all have in common, the tasks trained on and those only tested on; no study where
/// it was only to be printed.
fn settle(
    args: &TransferArgs,
    context: &Context,
) -> Result<(Option<Study>, Vec<String>, Vec<String>), Failure> {
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
        return Ok((None, train_on, eval));
    }
    Ok((Some(builder.study), train_on, eval))
}

fn run_together(
    studies: Vec<Study>,
    name: &str,
    args: &TransferArgs,
    context: &Context,
) -> Result<(), Failure> {
    let stop = signals::listen();
    let mut jobs = Vec::new();
    // every name is looked up before anything is trained
    for study in studies {
        let member = study::member_name(name, &study.task);
        jobs.push((Job::prepare(study, &member, &args.engine, context, stop.clone())?, member));
    }
    for (job, _) in &jobs {
        if args.dry_run { job.show_plan()? } else { job.say_plan()? }
    }
    if args.dry_run {
        return Ok(());
    }
    for (job, _) in &jobs {
        job.ask()?;
    }
    let folder = args.engine.out.join(name);
    Members::new(jobs.iter().map(|(_, member)| member.clone()).collect()).write(&folder)?;
    let mut outcomes: Vec<SweepOutcome> = Vec::new();
    for (job, member) in &jobs {
        context.output.say(&format!("training on {} (`{member}`)", job.plan().inputs.task.name));
        outcomes.push(job.train(|_| true)?);
    }
    let plans: Vec<Plan> = jobs.iter().map(|(job, _)| job.plan().clone()).collect();
    let store = Store::at(&args.engine.out);
    let written = write_report(&plans, &store, &folder, &context.command_line(), context);
    let failed: usize = outcomes.iter().map(|outcome| outcome.failed.len()).sum();
    if failed > 0 {
        let cells = plans.iter().map(|plan| plan.cells.len()).sum();
        return Err(Error::CellsFailed { failed, cells }.into());
    }
    written
}
