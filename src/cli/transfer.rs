//! Several studies, one a training task, that are answered together: which tasks are tested after
//! training on which, the file that remembers the studies, and the report over all of them.

use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::args::EngineArgs;
use super::distances::distances;
use super::error::Error;
use super::run::Job;
use super::signals::Stop;
use super::{Context, study};
use crate::analysis::collect_transfer::transfer_study;
use crate::analysis::transfer::{TransferAnswer, same_label_space};
use crate::data;
use crate::error::Failure;
use crate::report;
use crate::runs::{Store, atomic};
use crate::sweep::{Plan, Study};

/// The file of a transfer report's directory that names its studies.
pub(crate) const FILE: &str = "transfer.json";
const SCHEMA_VERSION: u32 = 1;

/// Which studies a transfer report stands on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Members {
    schema_version: u32,
    /// Directories of the studies below the directory of all outputs, in the order of the matrix.
    pub(crate) studies: Vec<String>,
}

impl Members {
    pub(crate) fn new(studies: Vec<String>) -> Self {
        Self { schema_version: SCHEMA_VERSION, studies }
    }

    /// Writes the file in one step.
    ///
    /// # Errors
    /// Refusals of the file system.
    pub(crate) fn write(&self, folder: &Path) -> Result<(), Failure> {
        std::fs::create_dir_all(folder)
            .map_err(|cause| Error::Unwritable { path: folder.to_owned(), cause })?;
        Ok(atomic::replace(&folder.join(FILE), |out| {
            serde_json::to_writer_pretty(&mut *out, self)?;
            std::io::Write::write_all(out, b"\n")
        })?)
    }

    /// Reads the file of a directory.
    ///
    /// # Errors
    /// A file that is none, or names what cannot be a study's directory.
    pub(crate) fn read(folder: &Path) -> Result<Self, Failure> {
        let path = folder.join(FILE);
        let text = std::fs::read_to_string(&path)
            .map_err(|cause| Error::Unreadable { path: path.clone(), cause })?;
        let malformed = |reason: String| Error::Malformed { path: path.clone(), reason };
        let members: Self = serde_json::from_str(&text).map_err(|error| malformed(error.to_string()))?;
        if members.schema_version != SCHEMA_VERSION {
            let found = members.schema_version;
            return Err(malformed(format!("schema {found}, expected {SCHEMA_VERSION}")).into());
        }
        for name in &members.studies {
            study::check_name(name).map_err(|error| malformed(error.to_string()))?;
        }
        Ok(members)
    }
}

/// A study a training task: the same in everything but what it is trained on and tested on. Tasks
/// whose catalogue entries name other classes are left out of each other's tests.
///
/// # Errors
/// Names that are no tasks; a task that is named twice.
pub(crate) fn studies(base: &Study, train_on: &[String], eval: &[String]) -> Result<Vec<Study>, Failure> {
    let mut tasks: Vec<(String, Vec<String>)> = Vec::new();
    for argument in train_on.iter().chain(eval) {
        let spec = data::resolve(argument)?;
        if tasks.iter().any(|(known, _)| data::resolve(known).is_ok_and(|known| known.name == spec.name)) {
            return Err(Error::TaskTwice(spec.name).into());
        }
        tasks.push((argument.clone(), spec.labels));
    }
    let fits = |a: &[String], b: &[String]| a.is_empty() || b.is_empty() || same_label_space(a, b).is_ok();
    Ok(tasks
        .iter()
        .take(train_on.len())
        .map(|(task, labels)| {
            let others = tasks.iter().filter(|(other, of)| other != task && fits(labels, of));
            let eval = others.map(|(other, _)| other.clone()).collect();
            Study { task: task.clone(), eval, ..base.clone() }
        })
        .collect())
}

/// Collects the studies' runs, answers them together, writes the report, prints the answer.
///
/// # Errors
/// Runs that cannot be read or compared, files that cannot be written.
pub(crate) fn write_report(
    plans: &[Plan],
    out: &Path,
    folder: &Path,
    command: &str,
    context: &Context,
) -> Result<(TransferAnswer, bool), Failure> {
    let store = &Store::at(out);
    let collected = transfer_study(plans, store)?;
    let about = report::transfer_context(plans, store, &collected, command)?;
    let answer = collected.study.answer()?;
    let domains: Vec<String> = answer.domains.iter().map(|domain| domain.name.clone()).collect();
    let distances = distances(plans, &domains, out, context)?;
    let files = report::write_transfer(folder, &answer, &about, &distances)?;
    let sentence = report::transfer_sentence(&answer, about.synthetic);
    let output = &context.output;
    if output.json {
        output.event(&json!({
            "event": "report",
            "sentence": sentence,
            "chosen": answer.choice.as_ref().map(|choice| choice.layer),
            "files": files,
        }))?;
    } else {
        output.line(&sentence)?;
        let page = files.last().map_or_else(|| folder.to_owned(), Clone::clone);
        output.line(&format!("report: {}", page.display()))?;
    }
    Ok((answer, about.synthetic))
}

/// How studies are run together.
pub(crate) struct Group<'a> {
    /// Directory of the report below that of all outputs.
    pub(crate) name: &'a str,
    /// The engine's flags.
    pub(crate) engine: &'a EngineArgs,
    /// Whether only the plans are printed.
    pub(crate) dry_run: bool,
}

/// What came out of studies that ran together.
pub(crate) struct Ran {
    /// The answer over all.
    pub(crate) answer: TransferAnswer,
    /// Whether all data was made by the program.
    pub(crate) synthetic: bool,
    /// Cells without a result.
    pub(crate) failed: usize,
    /// All cells.
    pub(crate) cells: usize,
}

/// Plans all studies, asks where it must, runs them one after the other, reports; nothing comes
/// back where only plans were printed.
///
/// # Errors
/// Whatever keeps a study from being planned, run or reported.
pub(crate) fn run_together(
    studies: Vec<Study>,
    group: &Group<'_>,
    context: &Context,
    stop: &Arc<Stop>,
) -> Result<Option<Ran>, Failure> {
    let mut jobs = Vec::new();
    // every name is looked up before anything is trained
    for study in studies {
        let member = study::member_name(group.name, &study.task);
        jobs.push((Job::prepare(study, &member, group.engine, context, stop.clone())?, member));
    }
    for (job, _) in &jobs {
        if group.dry_run { job.show_plan()? } else { job.say_plan()? }
    }
    if group.dry_run {
        return Ok(None);
    }
    for (job, _) in &jobs {
        job.ask()?;
    }
    let folder = group.engine.out.join(group.name);
    Members::new(jobs.iter().map(|(_, member)| member.clone()).collect()).write(&folder)?;
    let mut failed = 0;
    for (job, member) in &jobs {
        context.output.say(&format!("training on {} (`{member}`)", job.plan().inputs.task.name));
        failed += job.train(|_| true)?.failed.len();
    }
    let plans: Vec<Plan> = jobs.iter().map(|(job, _)| job.plan().clone()).collect();
    let cells = plans.iter().map(|plan| plan.cells.len()).sum();
    match write_report(&plans, &group.engine.out, &folder, &context.command_line(), context) {
        Ok((answer, synthetic)) => Ok(Some(Ran { answer, synthetic, failed, cells })),
        // where cells failed, that is the reason why there is nothing to report
        Err(_) if failed > 0 => Err(Error::CellsFailed { failed, cells }.into()),
        Err(failure) => Err(failure),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_task_is_tested_where_its_classes_are_the_same() {
        let base = Study { llm: "gpt2".into(), ..Study::default() };
        let words = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let made = studies(&base, &words(&["imdb", "cr", "cola"]), &words(&["mr"])).unwrap();
        let pairs: Vec<(&str, usize)> = made.iter().map(|it| (it.task.as_str(), it.eval.len())).collect();
        assert_eq!(pairs, [("imdb", 2), ("cr", 2), ("cola", 0)]);
        assert_eq!(made[0].eval, ["cr", "mr"]);
        let twice = studies(&base, &words(&["imdb", "imdb"]), &[]).unwrap_err();
        assert!(twice.to_string().contains("`imdb` is named twice"), "{twice}");
    }

    #[test]
    fn the_file_of_members_reads_back_and_refuses_paths() {
        let folder = tempfile::tempdir().unwrap();
        let members = Members::new(vec!["transfer-a-imdb".into(), "transfer-a-cr".into()]);
        members.write(folder.path()).unwrap();
        assert_eq!(Members::read(folder.path()).unwrap(), members);
        std::fs::write(folder.path().join(FILE), r#"{"schema_version": 1, "studies": ["../../etc"]}"#)
            .unwrap();
        assert!(Members::read(folder.path()).unwrap_err().to_string().contains("cannot name a study"));
        std::fs::write(folder.path().join(FILE), "[").unwrap();
        assert!(Members::read(folder.path()).is_err());
    }
}
