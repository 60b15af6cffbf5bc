//! Several studies, one a training task, that are answered together: which tasks are tested after
//! training on which, the file that remembers the studies, and the report over all of them.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::error::Error;
use super::{Context, study};
use crate::analysis::collect_transfer::transfer_study;
use crate::analysis::transfer::same_label_space;
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
    store: &Store,
    folder: &Path,
    command: &str,
    context: &Context,
) -> Result<(), Failure> {
    let collected = transfer_study(plans, store)?;
    let about = report::transfer_context(plans, store, &collected, command)?;
    let answer = collected.study.answer()?;
    let files = report::write_transfer(folder, &answer, &about)?;
    let sentence = report::transfer_sentence(&answer, about.synthetic);
    let output = &context.output;
    if output.json {
        return output.event(&json!({
            "event": "report",
            "sentence": sentence,
            "chosen": answer.choice.as_ref().map(|choice| choice.layer),
            "files": files,
        }));
    }
    output.line(&sentence)?;
    let page = files.last().map_or_else(|| folder.to_owned(), Clone::clone);
    output.line(&format!("report: {}", page.display()))
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
        std::fs::write(folder.path().join(FILE), r#"{"schema_version": 1, "studies": ["../../etc"]}"#).unwrap();
        assert!(Members::read(folder.path()).unwrap_err().to_string().contains("cannot name a study"));
        std::fs::write(folder.path().join(FILE), "[").unwrap();
        assert!(Members::read(folder.path()).is_err());
    }
}
