//! `score`: training-free scores and probes of every layer of stored hidden states, their agreement
//! with a study, and the layers that they would keep.

mod against;
mod scoring;
mod tables;

use std::path::{Path, PathBuf};

use serde_json::json;

pub(crate) use self::against::ranked;
pub(crate) use self::scoring::Scoring;
use self::scoring::Types;
pub(crate) use self::tables::Row;
pub(crate) use self::tables::{long, reasons};
use super::super::Context;
use super::super::args::ScoreArgs;
use super::super::attachments;
use super::super::error::Error;
use crate::analysis::collect::layer_study;
use crate::analysis::layers::LayerAnswer;
use crate::analysis::probing::control::first_word;
use crate::analysis::scores::{Method, method};
use crate::error::Failure;
use crate::runs::Store;
use crate::runs::representations::{Manifest, Representations};
use crate::runs::view::Format;
use crate::seed::Seed;
use crate::sweep::Plan;

/// Scores each representation, writes and prints the tables.
///
/// # Errors
/// Representations that are not there or do not belong together, a study that cannot be read, files
/// that cannot be written.
pub(crate) fn run(args: &ScoreArgs, context: &Context) -> Result<(), Failure> {
    let store = Representations::at(&args.out);
    let methods: Vec<&'static Method> = args.scores.iter().filter_map(|name| method(name)).collect();
    let against = args.against.as_deref().map(|study| answer(study, args)).transpose()?;
    let typed: Vec<&String> = args.representations.iter().chain(&args.train).collect();
    if !args.eval.is_empty() && args.eval.len() != typed.len() {
        let value = args.eval.join(" ");
        return Err(Error::Flag { flag: "--eval", value, expected: "as many as REPRESENTATIONs" }.into());
    }
    if let Some(keep) = args.keep.filter(|keep| *keep == 0 || methods.len() < 2) {
        let expected = "one layer or more, and two `--scores` or more: one score does not choose";
        return Err(Error::Flag { flag: "--keep", value: keep.to_string(), expected }.into());
    }
    for (at, name) in typed.iter().enumerate() {
        let train = store.find(name)?;
        let evaluated = match args.eval.get(at) {
            Some(name) => Some(store.find(name)?),
            None => validation_of(&train, &store)?,
        };
        let job = Job { args, context, store: &store, methods: &methods, train, evaluated };
        job.run(against.as_ref())?;
    }
    Ok(())
}

/// The answer of a study, from its plan and its runs.
fn answer(study: &Path, args: &ScoreArgs) -> Result<LayerAnswer, Failure> {
    let below = args.out.join(study);
    let folder = if study.join("plan.json").is_file() || !below.is_dir() { study.to_owned() } else { below };
    if !folder.join("plan.json").is_file() {
        return Err(Error::NoStudy(folder).into());
    }
    let plan = Plan::read(&folder.join("plan.json"))?;
    Ok(layer_study(&plan, &Store::at(&args.out))?.study.answer()?)
}

/// The one stored validation split that belongs to a training split.
fn validation_of(train: &Manifest, store: &Representations) -> Result<Option<Manifest>, Failure> {
    let mut found = store.list()?.into_iter().filter(|other| {
        // a limit cuts each split for itself: what both were before it tells whether they belong together
        let whole = |manifest: &Manifest| manifest.whole_hash.clone().unwrap_or(manifest.data_hash.clone());
        let same_data = other.task == train.task && whole(other) == whole(train);
        other.split == "validation"
            && train.split != "validation"
            && same_data
            && belongs(train, other).is_ok()
    });
    let first = found.next();
    Ok(first.filter(|_| found.next().is_none()))
}

/// Whether the rows of two representations can be fed to one probe, or what speaks against it.
fn belongs(train: &Manifest, other: &Manifest) -> Result<(), &'static str> {
    let sites = |manifest: &Manifest| -> Vec<(String, usize)> {
        manifest.sites.iter().map(|site| (site.name.clone(), site.width)).collect()
    };
    if train.source != other.source || train.model != other.model || train.revision != other.revision {
        return Err("a representation of the same model and revision");
    }
    if train.pool != other.pool || train.max_length != other.max_length {
        return Err("a representation with the same pooling and text length");
    }
    if train.label_names != other.label_names {
        return Err("a representation with the same labels in the same order");
    }
    if sites(train) != sites(other) {
        return Err("a representation of the same layers");
    }
    Ok(())
}

/// A representation to score.
struct Job<'a> {
    args: &'a ScoreArgs,
    context: &'a Context,
    store: &'a Representations,
    methods: &'a [&'static Method],
    train: Manifest,
    evaluated: Option<Manifest>,
}

impl Job<'_> {
    fn run(&self, against: Option<&LayerAnswer>) -> Result<(), Failure> {
        if let Some(other) = &self.evaluated {
            let shared = self.train.key == other.key;
            if let (false, Err(expected)) = (shared, belongs(&self.train, other)) {
                return Err(Error::Flag { flag: "--eval", value: other.name(), expected }.into());
            }
            if shared {
                let expected = "other examples than the fitted ones";
                return Err(Error::Flag { flag: "--eval", value: other.name(), expected }.into());
            }
        }
        let output = &self.context.output;
        let differences = against.map(|answer| against::check(answer, &self.train)).transpose()?;
        for difference in differences.iter().flatten() {
            output.warn(difference);
        }
        let types = self.types()?;
        let name = self.folder()?;
        let rows = self.score(types.as_ref())?;
        for reason in reasons(&rows) {
            output.warn(&reason);
        }
        let folder = self.args.out.join("scores").join(name);
        let long = long(&rows, &self.train, self.evaluated.as_ref());
        let mut files = long.write(&folder)?;
        files.push(attachments::write_scores(&folder, &self.train, &rows, self.args.seed)?);
        let agreement = against.map(|answer| against::agreements(&rows, answer, Seed(self.args.seed)));
        if let Some(agreement) = &agreement {
            files.extend(agreement.long().write(&folder)?);
        }
        let kept = self.args.keep.map(|keep| against::kept(&rows, keep)).transpose()?;
        if output.json {
            return output.document(&json!({
                "representation": self.train.name(),
                "key": self.train.key,
                "scores": long.objects(),
                "agreement": agreement.as_ref().map(|agreement| agreement.long().objects()),
                "kept": kept,
                "files": files,
            }));
        }
        match self.args.format {
            Format::Csv | Format::Json => output.data(&long.text(self.args.format))?,
            format => {
                output.line(&self.title())?;
                output.data(&tables::wide(&rows).text(format))?;
                if let Some(agreement) = agreement {
                    output.line(&format!("\nagreement with the {}", agreement.truth))?;
                    output.data(&agreement.short().text(format))?;
                }
                if let Some(kept) = kept {
                    let layers: Vec<String> = kept.iter().map(ToString::to_string).collect();
                    output.line(&format!(
                        "\nkept by mean rank, the last layer besides: {}",
                        layers.join(",")
                    ))?;
                }
            }
        }
        for file in files {
            output.say(&format!("wrote `{}`", file.display()));
        }
        Ok(())
    }

    fn title(&self) -> String {
        let judged = self.evaluated.as_ref().map_or_else(
            || "no examples to judge probes on".to_owned(),
            |other| format!("probes judged on {} of `{}`", other.n, other.split),
        );
        format!(
            "{}: {} examples, {} classes, {judged}",
            self.train.name(),
            self.train.n,
            self.train.label_names.len()
        )
    }

    /// The folder's name: as typed, else model, task and key.
    fn folder(&self) -> Result<String, Failure> {
        let Some(name) = &self.args.name else {
            let name = format!("{}-{}-{}", self.train.model, self.train.task, &self.train.key[..8]);
            let clean = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
            let name: String = name.chars().map(|letter| if clean(letter) { letter } else { '-' }).collect();
            // a name such as `..` would leave the folder
            return Ok(name.trim_start_matches('.').to_owned());
        };
        let fine = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
        if name.is_empty() || name.starts_with('.') || !name.chars().all(fine) {
            let expected = "letters, digits, `-`, `_` and `.`";
            return Err(Error::Flag { flag: "--name", value: name.clone(), expected }.into());
        }
        Ok(name.clone())
    }

    /// Types of the training and the evaluated examples.
    fn types(&self) -> Result<Option<Types>, Failure> {
        let (Some(texts), Some(eval_texts)) = (&self.args.texts, &self.args.eval_texts) else {
            return Ok(None);
        };
        let Some(evaluated) = &self.evaluated else {
            let (flag, value) = ("--texts", texts.display().to_string());
            let expected = "`--eval` with it: a control task is judged on other examples";
            return Err(Error::Flag { flag, value, expected }.into());
        };
        let read = |flag: &'static str, path: &PathBuf, n: usize| -> Result<Vec<u64>, Failure> {
            let text = std::fs::read_to_string(path)
                .map_err(|cause| Error::Unreadable { path: path.clone(), cause })?;
            let types: Vec<u64> = text.lines().map(first_word).collect();
            if types.len() != n {
                let value = format!("{} with {} lines", path.display(), types.len());
                return Err(Error::Flag { flag, value, expected: "a line for each example" }.into());
            }
            Ok(types)
        };
        let train = read("--texts", texts, self.train.n)?;
        Ok(Some((train, read("--eval-texts", eval_texts, evaluated.n)?)))
    }

    fn score(&self, types: Option<&Types>) -> Result<Vec<Row>, Failure> {
        let scoring = Scoring {
            methods: self.methods,
            train: self.store.open(&self.train),
            evaluated: self.evaluated.as_ref().map(|manifest| self.store.open(manifest)),
            types,
            seed: Seed(self.args.seed),
        };
        scoring.rows(&mut |site, seconds| {
            self.context.output.detail(&format!("scored {site} in {seconds:.1} s"));
            Ok(())
        })
    }
}
