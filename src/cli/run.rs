//! What `layers` and `train` share: a prepared plan, its engine, and the report at the end.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::json;

use super::args::EngineArgs;
use super::error::Error;
use super::progress::{Transfers, Watcher};
use super::signals::Stop;
use super::{Context, ask, attachments, environment, machine, plan, screen, signals, text};
use crate::analysis::collect::layer_study;
use crate::analysis::layers::LayerAnswer;
use crate::device::Choice;
use crate::error::{Category, Failure};
use crate::hub::DEMO;
use crate::report;
use crate::runs::{Condition, Store};
use crate::sweep::cost::{self, Estimate, Fit, Rate};
use crate::sweep::inputs::{self, Opened};
use crate::sweep::layers::LayerProvider;
use crate::sweep::prepare::{self, Machine, Prepared};
use crate::sweep::{
    Engine, Journal, Options, Order, Plan, Provider, Study, SweepOutcome, TrainMode, WorkerCommand,
};

/// A sweep longer than this is asked about before it starts.
const LONG: f64 = 2.0 * 3600.0;

/// A study that is ready to run.
pub(crate) struct Job<'a> {
    context: &'a Context,
    args: EngineArgs,
    stop: Arc<Stop>,
    store: Store,
    folder: PathBuf,
    name: String,
    prepared: Prepared,
}

impl<'a> Job<'a> {
    /// Resolves every name of the study and plans its cells.
    ///
    /// # Errors
    /// Values, names, layers, tasks and devices that cannot be.
    pub(crate) fn prepare(
        study: Study,
        name: &str,
        args: &EngineArgs,
        context: &'a Context,
        stop: Arc<Stop>,
    ) -> Result<Self, Failure> {
        check(args)?;
        let mut args = args.clone();
        if study.slm == DEMO && !context.was_typed("jobs") {
            // models so small leave a second core idle
            args.jobs = context.threads();
        }
        let study = study.check()?;
        // a slip in a task's name is told before any model is looked up
        for task in std::iter::once(&study.task).chain(&study.eval) {
            crate::data::resolve(task)?;
        }
        let settings = context.hub()?;
        // workers share the machine; a number that was typed is each worker's own
        let threads = (context.threads() / args.jobs).max(1);
        let machine = Machine { threads, host: machine::facts() };
        let mut transfers = Transfers::new(&context.output, &stop);
        let prepared = prepare::prepare(&study, &settings, machine, &mut |step| transfers.hear(step));
        drop(transfers);
        let prepared = prepared.map_err(|failure| match failure.category() {
            Category::Interrupted => stop.error(),
            _ => failure,
        })?;
        Ok(Self {
            context,
            stop,
            store: Store::at(&args.out),
            folder: args.out.join(name),
            args,
            name: name.to_owned(),
            prepared,
        })
    }

    /// The cells.
    pub(crate) fn plan(&self) -> &Plan {
        &self.prepared.plan
    }

    /// Where the runs go.
    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    /// Leaves one cell in the plan, which gets a directory of its own; returns its id.
    ///
    /// # Errors
    /// When no cell has the condition.
    pub(crate) fn keep_one(&mut self, condition: Condition) -> Result<String, Failure> {
        let cells = &mut self.prepared.plan.cells;
        cells.retain(|cell| cell.condition == condition);
        let cell = cells.first().ok_or_else(|| Error::NoCell(condition.to_string()))?.id.clone();
        self.name = format!("single-{}", cell.chars().take(12).collect::<String>());
        self.folder = self.args.out.join(&self.name);
        Ok(cell)
    }

    /// What the cells that are not done will cost.
    fn estimate(&self) -> Result<Estimate, Failure> {
        self.prepared.estimate(&self.store, self.args.jobs, self.args.evict, self.rate())
    }

    /// How fast this machine is: by the cells of this plan that are done, else assumed.
    fn rate(&self) -> Rate {
        let Prepared { plan, sizes, work, .. } = &self.prepared;
        let (mut flops, mut seconds, mut steps) = (0.0, 0.0, 0);
        for cell in &plan.cells {
            // a run that cannot be read tells nothing here, and is named where it is needed
            let Ok(record) = self.store.read(&cell.id) else { continue };
            flops += cost::cell_flops(sizes, work, cell.condition, plan.study.plug, plan.study.train);
            seconds += record.cost.seconds;
            steps += record.result.map_or(0, |result| result.steps);
        }
        if seconds > 0.0 { Rate::measured(flops, seconds, steps) } else { Rate::assumed(plan.inputs.threads) }
    }

    /// Workers and members that fit into memory.
    fn fit(&self) -> Result<Fit, Failure> {
        let Prepared { plan, sizes, work, .. } = &self.prepared;
        let needed =
            |stack: usize| cost::memory_bytes(sizes, work, cost::Held::of(&plan.study), stack as u64);
        let device = plan.inputs.device.parse::<Choice>()?.resolve()?;
        let available = device.memory().or_else(machine::available_memory).unwrap_or(u64::MAX);
        Ok(cost::fit(&needed, available, self.args.oom, self.args.jobs, plan.study.stack.members())?)
    }

    /// Prints the plan as the command's result.
    ///
    /// # Errors
    /// When nobody reads it.
    pub(crate) fn show_plan(&self) -> Result<(), Failure> {
        let estimate = self.estimate()?;
        if self.context.output.json {
            let fit = self.fit();
            return self.context.output.document(&json!({
                "study": self.name,
                "plan": self.plan(),
                "estimate": estimate,
                "fits": fit.as_ref().ok(),
                "fits_not": fit.as_ref().err().map(ToString::to_string),
                "detectable": plan::detectable(self.plan()),
                "warnings": self.warnings(),
            }));
        }
        self.context.output.data(&plan::describe(self.plan(), &self.name, &estimate, self.args.jobs))?;
        self.context.output.data(&plan::listed(&self.warnings()))
    }

    /// Tells the plan to a person before it starts.
    ///
    /// # Errors
    /// A store that cannot be read.
    pub(crate) fn say_plan(&self) -> Result<(), Failure> {
        let output = &self.context.output;
        if output.json {
            return Ok(());
        }
        let text = plan::describe(self.plan(), &self.name, &self.estimate()?, self.args.jobs);
        output.say(text.trim_end());
        for warning in self.warnings() {
            output.say(&format!("note: {warning}"));
        }
        Ok(())
    }

    fn warnings(&self) -> Vec<String> {
        let mut warnings = self.prepared.notes.clone();
        warnings.extend(plan::warnings(self.plan()));
        if let Err(failure) = self.fit() {
            warnings.push(failure.to_string());
        }
        warnings
    }

    /// Asks a person at a terminal before a long sweep.
    ///
    /// # Errors
    /// When the answer is no.
    pub(crate) fn ask(&self) -> Result<(), Failure> {
        let estimate = self.estimate()?;
        let long = estimate.seconds > LONG && self.plan().study.train == TrainMode::Full;
        if self.args.yes || !long {
            return Ok(());
        }
        let question = format!(
            "this takes about {} on this machine ({}); with `--train plug` it would take about {}. Start?",
            text::duration(estimate.seconds),
            plan::basis(estimate.basis),
            text::duration(estimate.plug_seconds),
        );
        ask::confirm(&self.context.output, &question)
    }

    /// Trains the cells of the plan that are chosen and not done.
    ///
    /// # Errors
    /// Trouble that meets every cell; a stop, after the command that goes on was printed.
    pub(crate) fn train(&self, chosen: impl Fn(&str) -> bool) -> Result<SweepOutcome, Failure> {
        let output = &self.context.output;
        let fit = self.fit()?;
        if fit.shrunk {
            output.warn(&format!(
                "memory is short: {} of {} cells at a time",
                text::plural(fit.jobs, "worker"),
                fit.stack
            ));
        }
        let store = Store::open(&self.args.out)?;
        let path = self.folder.join("plan.json");
        let mut plan = self.prepared.plan.clone();
        plan.cells.retain(|cell| chosen(&cell.id));
        plan.write(&path)?;
        if let Some(limit) = self.args.time_limit {
            signals::after(&self.stop, limit);
        }
        let mut watcher = Watcher::new(output, &plan, fit.jobs);
        let mut unheard = None;
        let engine = Engine {
            plan: &plan,
            store: &store,
            worker: self.worker(path),
            options: Options {
                jobs: fit.jobs,
                stack: fit.stack,
                order: if self.args.evict { Order::LayersOutside } else { Order::SeedsOutside },
                fail_fast: self.args.fail_fast,
                retries: self.args.retries,
                oom: self.args.oom,
                ..Options::of(&plan)
            },
            provider: Some(self.provider(&plan)?),
            journal: Some(Journal::open(&self.folder.join("journal.jsonl"))?),
            stop: &self.stop.level,
        };
        let ran = engine.run(&mut |event| match watcher.hear(event) {
            Ok(()) => ControlFlow::Continue(()),
            Err(failure) => {
                unheard = Some(failure);
                ControlFlow::Break(())
            }
        });
        if !output.json && plan.cells.len() > 1 {
            for line in watcher.leaderboard() {
                output.detail(&line);
            }
        }
        watcher.close();
        let outcome = ran?;
        if let Some(failure) = unheard {
            return Err(failure);
        }
        if self.stop.asked() && !outcome.unfinished.is_empty() {
            let left = text::plural(outcome.unfinished.len(), "cell");
            output.say(&format!("{left} left; to go on:\n\n    {}\n", self.context.command_line()));
            return Err(self.stop.error());
        }
        Ok(outcome)
    }

    /// Fetches layers while others train.
    fn provider(&self, plan: &Plan) -> Result<Arc<dyn Provider>, Failure> {
        let llm = Opened::planned(&self.context.hub()?, &plan.inputs.llm)?;
        Ok(Arc::new(LayerProvider { llm, scope: inputs::scope(&plan.study), evict: self.args.evict }))
    }

    /// How a worker is started: this program again, with the flags that it must know.
    fn worker(&self, plan: PathBuf) -> WorkerCommand {
        let global = &self.context.global;
        let mut leading = Vec::new();
        if global.offline {
            leading.push("--offline".into());
        }
        if let Some(path) = &global.token_file {
            leading.extend(["--token-file".into(), path.clone().into_os_string()]);
        }
        WorkerCommand { program: environment::program(), leading, plan }
    }

    /// Fails where cells failed.
    ///
    /// # Errors
    /// [`Error::CellsFailed`].
    pub(crate) fn check(&self, outcome: &SweepOutcome) -> Result<(), Failure> {
        let failed = outcome.failed.len();
        if failed == 0 {
            return Ok(());
        }
        Err(Error::CellsFailed { failed, cells: self.plan().cells.len() }.into())
    }

    /// Writes the report of what is finished, and prints its answer.
    ///
    /// # Errors
    /// Runs that cannot be compared, files that cannot be written, cells that failed.
    pub(crate) fn report(&self, outcome: &SweepOutcome) -> Result<(), Failure> {
        let command = self.context.command_line();
        let written = write_report(self.plan(), &self.store, &self.folder, &command, self.context);
        // where cells failed, that is the reason why there is nothing to report
        self.check(outcome).and(written.map(|_| ()))
    }
}

/// Values of the engine's flags that clap cannot check.
fn check(args: &EngineArgs) -> Result<(), Failure> {
    if args.jobs == 0 {
        let expected = "at least 1";
        return Err(Error::Flag { flag: "--jobs", value: "0".into(), expected }.into());
    }
    Ok(())
}

/// Collects a study's runs, answers it, writes the report, prints the answer and where it stands.
/// Returns the answer and whether all data was made by the program.
///
/// # Errors
/// Runs that cannot be read or compared, files that cannot be written.
pub(crate) fn write_report(
    plan: &Plan,
    store: &Store,
    folder: &Path,
    command: &str,
    context: &Context,
) -> Result<(LayerAnswer, bool), Failure> {
    let collected = layer_study(plan, store)?;
    let mut about = report::context(plan, store, &collected, command)?;
    about.notes.extend(screen::notes(folder, plan, store)?);
    let answer = collected.study.answer()?;
    about.pruned = attachments::pruned(folder, plan);
    about.attached = attachments::of(plan, &answer, folder, store)?;
    let files = report::write(folder, &answer, &about)?;
    let sentence = report::first_sentence(&answer, about.synthetic);
    let output = &context.output;
    if output.json {
        output.event(&json!({
            "event": "report",
            "sentence": sentence,
            "chosen": answer.chosen,
            "tied": answer.tied,
            "files": files,
        }))?;
    } else {
        output.line(&sentence)?;
        let page = files.last().map_or_else(|| folder.to_owned(), Clone::clone);
        output.line(&format!("report: {}", page.display()))?;
    }
    Ok((answer, about.synthetic))
}
