//! `score`: training-free scores and probes of every layer of stored hidden states, their agreement
//! with a study, and the layers that they would keep.

mod against;
mod tables;

use std::path::{Path, PathBuf};

use ndarray::Array2;
use serde_json::json;

use self::tables::Row;
use super::super::Context;
use super::super::args::ScoreArgs;
use super::super::error::Error;
use crate::analysis::collect::layer_study;
use crate::analysis::layers::LayerAnswer;
use crate::analysis::probing::control::{Examples, first_word, selectivity};
use crate::analysis::scores::table::{Evaluation, Layer};
use crate::analysis::scores::{Method, Score, method};
use crate::error::Failure;
use crate::runs::Store;
use crate::runs::representations::{Manifest, Representation, Representations};
use crate::runs::view::Format;
use crate::seed::Seed;
use crate::sweep::Plan;

/// Name of the control task among the scores.
const SELECTIVITY: &str = "selectivity";

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
        let same_data = other.task == train.task && other.data_hash == train.data_hash;
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

/// Types of the training and of the evaluated examples.
type Types = (Vec<u64>, Vec<u64>);

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
        for reason in tables::reasons(&rows) {
            output.warn(&reason);
        }
        let folder = self.args.out.join("scores").join(name);
        let long = tables::long(&rows, &self.train, self.evaluated.as_ref());
        let mut files = long.write(&folder)?;
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
                    output
                        .line(&format!("\nkept by mean rank, the last layer always: {}", layers.join(",")))?;
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
        let seed = Seed(self.args.seed);
        let train = self.store.open(&self.train);
        let evaluated = self.evaluated.as_ref().map(|manifest| self.store.open(manifest));
        // hidden states that nothing reads stay on the disk
        let judged = self.methods.iter().any(|method| method.needs_evaluation) || types.is_some();
        let mut rows = Vec::new();
        for (at, site) in self.train.sites.iter().enumerate() {
            let start = std::time::Instant::now();
            let x = matrix(&train, at)?;
            let other = match &evaluated {
                Some(other) if judged => Some((matrix(other, at)?, &other.manifest().labels)),
                _ => None,
            };
            let evaluation = other.as_ref().map(|(x, labels)| Evaluation::new(x.view(), labels));
            let labels = &self.train.labels;
            let layer = Layer::new(x.view(), labels);
            let mut scores: Vec<Score> = self
                .methods
                .iter()
                .map(|method| method.score_of(&layer, evaluation.as_ref(), seed))
                .collect();
            if let (Some((of_train, of_other)), Some((other, gold))) = (types, &other) {
                let fitted = Examples { features: x.view(), labels, types: of_train };
                let judged = Examples { features: other.view(), labels: gold, types: of_other };
                scores.push(control(fitted, judged, self.train.label_names.len(), seed));
            }
            let seconds = start.elapsed().as_secs_f64();
            self.context.output.detail(&format!("scored {} in {seconds:.1} s", site.name));
            rows.push(Row { site: site.name.clone(), layer: site.layer, scores });
        }
        Ok(rows)
    }
}

/// A site's rows in f64.
fn matrix(of: &Representation, site: usize) -> Result<Array2<f64>, Failure> {
    let values: Vec<f64> = of.read(site)?.into_iter().map(f64::from).collect();
    let shape = (of.manifest().n, of.manifest().sites[site].width);
    Ok(Array2::from_shape_vec(shape, values).expect("a site is read with n times width numbers"))
}

/// The control task as a row among the scores.
fn control<'a>(fitted: Examples<'a>, judged: Examples<'a>, classes: usize, seed: Seed) -> Score {
    let (n, width) = fitted.features.dim();
    let found = selectivity(fitted, judged, seed);
    let estimate = found.as_ref().ok().map(|found| found.difference.estimate);
    Score {
        name: SELECTIVITY,
        remark: found.as_ref().ok().map(|found| {
            let (real, control) = (found.real.accuracy.value, found.control.accuracy.value);
            format!("accuracy {real:.4}, on the control task {control:.4}, p {:.4}", found.difference.p)
        }),
        value: found.map(|found| found.difference.estimate.value),
        interval: estimate,
        n,
        width,
        classes,
        higher_is_better: true,
        recipe: "accuracy of probe minus that on random labels of first words, paired by example; \
                 bootstrap interval",
    }
}
