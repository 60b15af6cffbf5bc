//! `analyze DIR`: every study of an analysis, each with its report, and one table over all.

use std::path::Path;
use std::sync::Arc;

use super::super::args::AnalyzeArgs;
use super::super::error::Error;
use super::super::run::{self, Job};
use super::super::signals::{self, Stop};
use super::super::transfer::{self, Group};
use super::super::{Context, screen, study};
use crate::error::Failure;
use crate::report::{self, Line};
use crate::sweep::collection::{Collection, Kind, Member};
use crate::sweep::screen::Screen;

/// Reads the folder, runs its studies one after the other, writes the summary.
///
/// # Errors
/// A folder that is no analysis; whatever keeps a study from being planned, run or reported; cells
/// that failed, after all studies had their turn.
pub(crate) fn run(args: &AnalyzeArgs, context: &Context) -> Result<(), Failure> {
    let path = args.folder.join("study.toml");
    let text =
        std::fs::read_to_string(&path).map_err(|cause| Error::Unreadable { path: path.clone(), cause })?;
    let mut collection = Collection::from_toml(&text, &path, args.demo)?;
    for member in &mut collection.members {
        if let Some(threads) = context.global.threads {
            member.study.threads = Some(threads.into());
        }
        // a slip in the last study is told before the first one trains
        member.study.clone().check()?;
    }
    if args.engine.print_config {
        for member in &collection.members {
            context.output.data(&format!("# {}\n{}\n", member.name, member.study.to_toml()))?;
        }
        return Ok(());
    }
    let name = name(&args.folder, args.demo)?;
    let stop = signals::listen();
    let (mut lines, mut failed, mut cells) = (Vec::new(), 0, 0);
    for member in &collection.members {
        let folder = if member.name.is_empty() { name.clone() } else { format!("{name}-{}", member.name) };
        study::check_name(&folder)?;
        context.output.say(&format!("study `{folder}`"));
        let done = one(member, &folder, args, context, &stop)?;
        let Some((line, of)) = done else { continue };
        failed += line.failed;
        cells += of;
        lines.push(line);
    }
    if args.dry_run {
        return Ok(());
    }
    let title = title(&args.folder, &text);
    let folder = args.engine.out.join(&name);
    let files = report::write_summary(&folder, &title, &context.command_line(), &lines, &notes(args.demo))?;
    if context.output.json {
        context.output.event(&serde_json::json!({"event": "summary", "files": files}))?;
    } else if let Some(page) = files.last() {
        context.output.line(&format!("summary: {}", page.display()))?;
    }
    if failed > 0 {
        return Err(Error::CellsFailed { failed, cells }.into());
    }
    Ok(())
}

/// Runs one study; its line and its number of cells, nothing where only plans were printed.
fn one(
    member: &Member,
    folder: &str,
    args: &AnalyzeArgs,
    context: &Context,
    stop: &Arc<Stop>,
) -> Result<Option<(Line, usize)>, Failure> {
    let mut setting = format!("{} plug, train {}", member.study.plug, member.study.train);
    if let Some(pooling) = member.study.pooling {
        setting = format!("{setting}, {pooling} pooling");
    }
    let shown = if member.name.is_empty() { folder } else { &member.name };
    match &member.kind {
        Kind::Transfer { train_on } => {
            let studies = transfer::studies(&member.study, train_on, &member.study.eval)?;
            let group = Group { name: folder, engine: &args.engine, dry_run: args.dry_run };
            let Some(ran) = transfer::run_together(studies, &group, context, stop)? else { return Ok(None) };
            let line = Line {
                report: format!("../{folder}/transfer.html"),
                failed: ran.failed,
                ..Line::of_transfer(shown, &setting, &ran.answer, ran.synthetic)
            };
            Ok(Some((line, ran.cells)))
        }
        Kind::Layers { screen: kind, keep } => {
            let mut job_study = member.study.clone();
            if *kind != Screen::None {
                setting = format!("{setting}, screen {kind} keeps {keep}");
                let rounds = screen::Rounds {
                    screen: *kind,
                    keep: *keep,
                    name: folder,
                    engine: &args.engine,
                    dry_run: args.dry_run,
                };
                let Some(layers) = screen::rounds(&job_study, &rounds, context, stop)? else {
                    return Ok(None);
                };
                job_study.layers = layers;
            }
            let job = Job::prepare(job_study, folder, &args.engine, context, stop.clone())?;
            if args.dry_run {
                job.show_plan()?;
                return Ok(None);
            }
            job.say_plan()?;
            job.ask()?;
            let outcome = job.train(|_| true)?;
            let reported = run::write_report(
                job.plan(),
                job.store(),
                &args.engine.out.join(folder),
                &context.command_line(),
                context,
            );
            let (answer, synthetic) = match reported {
                Ok(reported) => reported,
                // where cells failed, that is the reason why there is nothing to report
                Err(failure) => return job.check(&outcome).and(Err(failure)),
            };
            let line = Line {
                report: format!("../{folder}/report.html"),
                failed: outcome.failed.len(),
                ..Line::of_layers(shown, &setting, &answer, synthetic)
            };
            Ok(Some((line, job.plan().cells.len())))
        }
    }
}

/// The directory of the summary: the folder's own name.
fn name(folder: &Path, demo: bool) -> Result<String, Failure> {
    let unreadable = |cause| Error::Unreadable { path: folder.to_owned(), cause };
    let whole = folder.canonicalize().map_err(unreadable)?;
    let name = whole.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let name = if demo { format!("{name}-demo") } else { name };
    study::check_name(&name)?;
    Ok(name)
}

/// The question: the first comment of the file.
fn title(folder: &Path, text: &str) -> String {
    let first = text.lines().next().and_then(|line| line.strip_prefix('#')).map(str::trim);
    first.filter(|title| !title.is_empty()).map_or_else(|| folder.display().to_string(), str::to_owned)
}

fn notes(demo: bool) -> Vec<String> {
    let notes = [
        "The demo variant shows that the analysis runs and how it reads: its models and texts are made by the program, \
         and its numbers answer nothing.",
        "Studies that the demo's models and texts make equal stand here once, under the name of the first of them.",
    ];
    if demo { notes.map(str::to_owned).into() } else { Vec::new() }
}
