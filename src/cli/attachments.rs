//! Similarities and scores that stand beside a study, in `similarity/` and `scores/` below the same
//! outputs, found for its report: only those of the study's very models, by name and revision.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::commands::score::Row;
use super::error::Error;
use super::screen;
use crate::analysis::agreement::{self, Question, Truth};
use crate::analysis::layers::LayerAnswer;
use crate::analysis::screen::Screened;
use crate::error::Failure;
use crate::report::similarity::{self, Comparison};
use crate::report::{Attached, Origin, Scored, Scores};
use crate::runs::representations::{Manifest, SourceOf};
use crate::runs::{Store, atomic};
use crate::seed::Seed;
use crate::sweep::{ModelAt, Plan};

/// Resamples of the intervals of an agreement.
pub(super) const RESAMPLES: usize = 2_000;
/// Largest file that is read.
const LARGEST: u64 = 64 << 20;
/// Folders that are looked into, at most.
const MOST: usize = 1000;
const SCORES: &str = "scores.json";
const SIMILARITY: &str = "similarity.json";
const SCHEMA_VERSION: u32 = 1;

/// Where hidden states come from, for files.
pub(super) fn origin(manifest: &Manifest) -> Origin {
    Origin {
        source: match manifest.source {
            SourceOf::Llm => "llm",
            SourceOf::Slm => "slm",
            SourceOf::Run => "run",
        }
        .to_owned(),
        model: manifest.model.clone(),
        revision: manifest.revision.clone(),
        key: manifest.key.clone(),
        task: manifest.task.clone(),
        data_hash: manifest.data_hash.clone(),
        split: manifest.split.clone(),
        pool: manifest.pool.clone(),
        n: manifest.n,
    }
}

/// `scores.json`: the values that have one, with where they come from.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    schema_version: u32,
    origin: Origin,
    /// Decides the draws of agreements.
    seed: u64,
    methods: Vec<StoredMethod>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredMethod {
    name: String,
    higher_is_better: bool,
    /// Layers with their values.
    values: Vec<(usize, f64)>,
}

/// Writes the file that reports read.
///
/// # Errors
/// Refusals of the file system.
pub(super) fn write_scores(
    folder: &Path,
    train: &Manifest,
    rows: &[Row],
    seed: u64,
) -> Result<PathBuf, Failure> {
    let count = rows.first().map_or(0, |row| row.scores.len());
    let methods = (0..count).map(|at| {
        let value = |row: &Row| Some((row.layer?, *row.scores[at].value.as_ref().ok()?));
        StoredMethod {
            name: rows[0].scores[at].name.to_owned(),
            higher_is_better: rows[0].scores[at].higher_is_better,
            values: rows.iter().filter_map(value).filter(|(_, value)| value.is_finite()).collect(),
        }
    });
    let stored =
        Stored { schema_version: SCHEMA_VERSION, origin: origin(train), seed, methods: methods.collect() };
    let path = folder.join(SCORES);
    atomic::replace(&path, |out| Ok(serde_json::to_writer(out, &stored)?))?;
    Ok(path)
}

/// What stands beside the study of `plan`, whose report goes into `folder`.
///
/// # Errors
/// A folder that cannot be listed. What is damaged is named in the report and left out.
pub(super) fn of(
    plan: &Plan,
    answer: &LayerAnswer,
    folder: &Path,
    store: &Store,
) -> Result<Attached, Failure> {
    let mut found = Attached::default();
    let Some(out) = store.folder().parent() else { return Ok(found) };
    let study = Models { plan };
    for (name, text) in files(&out.join("similarity"), SIMILARITY, &mut found.left_out)? {
        let place = place(out, folder, "similarity", &name);
        match similarity::parse(&text) {
            Err(reason) => found.left_out.push(format!("`{place}/{SIMILARITY}` cannot be read: {reason}")),
            Ok(comparison) if study.compares(&comparison) => found.comparisons.push((place, comparison)),
            // of other models: no business of this study
            Ok(_) => {}
        }
    }
    for (name, text) in files(&out.join("scores"), SCORES, &mut found.left_out)? {
        let place = place(out, folder, "scores", &name);
        let stored = match parse(&text) {
            Ok(stored) => stored,
            Err(reason) => {
                found.left_out.push(format!("`{place}/{SCORES}` cannot be read: {reason}"));
                continue;
            }
        };
        if stored.origin.source != "llm" || !is(&plan.inputs.llm, &stored.origin) {
            continue;
        }
        if stored.origin.task != plan.inputs.task.name {
            let (task, own) = (&stored.origin.task, &plan.inputs.task.name);
            found.left_out.push(format!("Not shown: `{place}`, scores on {task}; this study is on {own}."));
            continue;
        }
        if stored.origin.data_hash != plan.inputs.task.data_hash {
            found.left_out.push(format!(
                "The scores of `{place}` were computed on another selection of the task's texts than this study's."
            ));
        }
        found.scores.push(scores(place, stored, answer));
    }
    Ok(found)
}

/// Layers that a screen before this plan looked at and the plan does not train; none where there was
/// no screen. A damaged file is told of by the report's notes.
pub(super) fn pruned(folder: &Path, plan: &Plan) -> Vec<usize> {
    let read = std::fs::read(folder.join(screen::FILE)).ok();
    let screened = read.and_then(|text| serde_json::from_slice::<Screened>(&text).ok());
    let screened = screened.filter(|screened| screened.schema_version == Screened::SCHEMA_VERSION);
    let layers = screened.map(|screened| screened.layers).unwrap_or_default();
    let possible = |layer: &usize| *layer < plan.inputs.llm.layers && !plan.inputs.layers.contains(layer);
    layers.into_iter().filter(possible).collect()
}

/// The models of a study.
struct Models<'a> {
    plan: &'a Plan,
}

impl Models<'_> {
    /// Whether both sides are of the study's models or runs.
    fn compares(&self, comparison: &Comparison) -> bool {
        [&comparison.first.origin, &comparison.second.origin].into_iter().all(|origin| self.has(origin))
    }

    fn has(&self, origin: &Origin) -> bool {
        match origin.source.as_str() {
            "llm" => is(&self.plan.inputs.llm, origin),
            "slm" => is(&self.plan.inputs.slm, origin),
            "run" => self.plan.cells.iter().any(|cell| cell.id == origin.revision),
            _ => false,
        }
    }
}

fn is(model: &ModelAt, origin: &Origin) -> bool {
    model.name == origin.model && model.revision == origin.revision
}

fn scores(place: String, stored: Stored, answer: &LayerAnswer) -> Scores {
    let Truth { layers, gains, noise } = agreement::truth(answer);
    let seed = Seed(stored.seed).derive("agreement");
    let question = Question { last: answer.last(), noise, resamples: RESAMPLES, seed };
    let methods = stored.methods.into_iter().map(|method| {
        let sign = if method.higher_is_better { 1.0 } else { -1.0 };
        let signed: Vec<(usize, f64)> =
            method.values.iter().map(|(layer, value)| (*layer, sign * value)).collect();
        Scored {
            name: method.name,
            higher_is_better: method.higher_is_better,
            agreement: agreement::agreement(&signed, &layers, question),
            values: method.values,
        }
    });
    let truth = if gains { "gain over base on validation" } else { "accuracy on validation" };
    Scores { place, origin: stored.origin, truth, methods: methods.collect() }
}

fn parse(text: &str) -> Result<Stored, String> {
    let stored: Stored = serde_json::from_str(text).map_err(|error| error.to_string())?;
    if stored.schema_version != SCHEMA_VERSION {
        return Err(format!("schema {}, expected {SCHEMA_VERSION}", stored.schema_version));
    }
    for method in &stored.methods {
        let mut layers: Vec<usize> = method.values.iter().map(|(layer, _)| *layer).collect();
        layers.sort_unstable();
        if layers.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(format!("`{}` scores a layer twice", method.name.escape_debug()));
        }
    }
    Ok(stored)
}

/// A folder of the outputs as it is seen from the report's own.
fn place(out: &Path, folder: &Path, kind: &str, name: &str) -> String {
    if folder.parent() == Some(out) {
        return format!("../{kind}/{name}");
    }
    out.join(kind).join(name).display().to_string()
}

/// The named file of every folder below `parent`, by the folders' names.
fn files(parent: &Path, file: &str, left_out: &mut Vec<String>) -> Result<Vec<(String, String)>, Failure> {
    let unreadable = |cause| Error::Unreadable { path: parent.to_owned(), cause };
    let entries = match std::fs::read_dir(parent) {
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(unreadable)?,
    };
    let mut names = Vec::new();
    for entry in entries.take(MOST) {
        names.extend(entry.map_err(unreadable)?.file_name().into_string());
    }
    // names that this program gives: they stand in links to the figures
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
    names.retain(|name| !name.starts_with('.') && name.chars().all(plain));
    names.sort();
    let mut found = Vec::new();
    for name in names {
        let path = parent.join(&name).join(file);
        let mut text = String::new();
        let read = File::open(&path).and_then(|opened| opened.take(LARGEST).read_to_string(&mut text));
        match read {
            Ok(_) => found.push((name, text)),
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => {
                if parent.join(&name).is_dir() {
                    let place = parent.join(name);
                    left_out.push(format!(
                        "`{}` has no `{file}`: the command that wrote it, run again, adds it.",
                        place.display()
                    ));
                }
            }
            Err(cause) => left_out.push(format!("`{}` cannot be read: {cause}", path.display())),
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_scores_is_held_against_itself() {
        let text = |schema: u32, values: &str| {
            let origin = serde_json::to_string(&Origin::default()).unwrap();
            format!(
                r#"{{"schema_version": {schema}, "origin": {origin}, "seed": 0,
                   "methods": [{{"name": "logme", "higher_is_better": true, "values": {values}}}]}}"#
            )
        };
        assert_eq!(parse(&text(1, "[[0, -0.5], [1, 2]]")).unwrap().methods[0].values, [(0, -0.5), (1, 2.0)]);
        assert!(parse(&text(2, "[]")).unwrap_err().contains("schema 2"));
        assert!(parse(&text(1, "[[3, 1.0], [3, 2.0]]")).unwrap_err().contains("twice"));
        assert!(parse(&text(1, "[[-1, 1.0]]")).is_err() && parse("{}").is_err());
    }

    #[test]
    fn folders_without_the_file_are_named_and_odd_names_ignored() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a", "b b", ".c", "d"] {
            std::fs::create_dir(folder.path().join(name)).unwrap();
        }
        std::fs::write(folder.path().join("d").join(SCORES), "{}").unwrap();
        let mut left_out = Vec::new();
        let found = files(folder.path(), SCORES, &mut left_out).unwrap();
        assert_eq!(found, [("d".to_owned(), "{}".to_owned())]);
        assert!(left_out.len() == 1 && left_out[0].contains("/a` has no"), "{left_out:?}");
        assert_eq!(files(&folder.path().join("none"), SCORES, &mut left_out).unwrap(), []);
    }
}
