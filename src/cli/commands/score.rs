//! `score`: training-free scores and probes of every layer of stored hidden states, their agreement
//! with a study, and the layers that they would keep.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ndarray::Array2;
use serde_json::json;

use super::super::Context;
use super::super::args::ScoreArgs;
use super::super::error::Error;
use crate::analysis::agreement::{self, Agreement, Measured, Question, Truth};
use crate::analysis::collect::layer_study;
use crate::analysis::layers::LayerAnswer;
use crate::analysis::probing::control::{Examples, first_word, selectivity};
use crate::analysis::scores::screen::{LayerScores, screen};
use crate::analysis::scores::table::Evaluation;
use crate::analysis::scores::{Method, Score, method};
use crate::analysis::statistics::Estimate;
use crate::error::Failure;
use crate::runs::Store;
use crate::runs::columns::Columns;
use crate::runs::representations::{Manifest, Representation, Representations};
use crate::runs::view::Format;
use crate::seed::Seed;
use crate::sweep::Plan;
use crate::train::metrics::Direction;

/// Resamples of the intervals of an agreement.
const RESAMPLES: usize = 2_000;
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
        other.split == "validation" && train.split != "validation" && belongs(train, other).is_ok()
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

/// The scores of one site.
struct Row {
    site: String,
    layer: Option<usize>,
    scores: Vec<Score>,
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
        let types = self.types()?;
        let rows = self.score(types.as_ref())?;
        let output = &self.context.output;
        self.tell_reasons(&rows);
        let folder = self.args.out.join("scores").join(self.folder()?);
        let long = self.long(&rows);
        let mut files = long.write(&folder)?;
        let agreement = against.map(|answer| self.agreement(&rows, answer)).transpose()?;
        if let Some(agreement) = &agreement {
            files.extend(agreement.long().write(&folder)?);
        }
        let kept = self.args.keep.map(|keep| self.kept(&rows, keep)).transpose()?;
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
                output.data(&Self::wide(&rows).text(format))?;
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
    fn types(&self) -> Result<Option<(Vec<u64>, Vec<u64>)>, Failure> {
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

    fn score(&self, types: Option<&(Vec<u64>, Vec<u64>)>) -> Result<Vec<Row>, Failure> {
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
            let mut scores: Vec<Score> = self
                .methods
                .iter()
                .map(|method| method.score(x.view(), labels, evaluation.as_ref(), seed))
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

    /// Says once why scores have no value.
    fn tell_reasons(&self, rows: &[Row]) {
        let mut reasons: BTreeMap<(&str, String), usize> = BTreeMap::new();
        for score in rows.iter().flat_map(|row| &row.scores) {
            if let Err(reason) = &score.value {
                *reasons.entry((score.name, reason.to_string())).or_default() += 1;
            }
        }
        for ((name, reason), count) in reasons {
            self.context
                .output
                .warn(&format!("`{name}` has no value for {count} of {} sites: {reason}", rows.len()));
        }
    }

    /// One row a site and score.
    fn long(&self, rows: &[Row]) -> Columns {
        let each: Vec<(&Row, &Score)> =
            rows.iter().flat_map(|row| row.scores.iter().map(move |score| (row, score))).collect();
        let words = |of: fn(&(&Row, &Score)) -> Option<String>| -> Vec<Option<String>> {
            each.iter().map(of).collect()
        };
        let numbers =
            |of: fn(&Score) -> Option<f64>| -> Vec<Option<f64>> { each.iter().map(|it| of(it.1)).collect() };
        let evaluated = self.evaluated.as_ref().map(|manifest| manifest.key.clone());
        Columns::new("scores")
            .words("representation", each.iter().map(|_| Some(self.train.name())))
            .words("key", each.iter().map(|_| Some(self.train.key.clone())))
            .words("evaluated_key", each.iter().map(|_| evaluated.clone()))
            .words("site", words(|it| Some(it.0.site.clone())))
            .counts("layer", each.iter().map(|it| it.0.layer))
            .words("score", words(|it| Some(it.1.name.to_owned())))
            .numbers("value", numbers(|score| score.value.as_ref().ok().copied()))
            .numbers("low", numbers(|score| score.interval.map(|interval| interval.low)))
            .numbers("high", numbers(|score| score.interval.map(|interval| interval.high)))
            .words("reason", words(|it| it.1.value.as_ref().err().map(ToString::to_string)))
            .counts("n", each.iter().map(|it| Some(it.1.interval.map_or(it.1.n, |interval| interval.n))))
            .counts("width", each.iter().map(|it| Some(it.1.width)))
            .counts("classes", each.iter().map(|it| Some(it.1.classes)))
            .words(
                "direction",
                words(|it| Some(if it.1.higher_is_better { "higher" } else { "lower" }.to_owned())),
            )
            .words("remark", words(|it| it.1.remark.clone()))
            .words("recipe", words(|it| Some(it.1.recipe.to_owned())))
    }

    /// One row a site, for people.
    fn wide(rows: &[Row]) -> Columns {
        let mut table = Columns::new("scores").words("site", rows.iter().map(|row| Some(row.site.clone())));
        let names =
            rows.first().map(|row| row.scores.iter().map(|score| (score.name, score.higher_is_better)));
        for (at, (name, higher)) in names.into_iter().flatten().enumerate() {
            let cells = rows.iter().map(|row| {
                let score = &row.scores[at];
                Some(match (&score.value, score.interval) {
                    (Err(_), _) => "n/a".to_owned(),
                    (Ok(value), Some(interval)) => {
                        format!("{value:.4} [{:.4}, {:.4}]", interval.low, interval.high)
                    }
                    (Ok(value), None) => format!("{value:.4}"),
                })
            });
            let column = if higher { name.to_owned() } else { format!("{name} (lower is better)") };
            table = table.words(column, cells);
        }
        table
    }

    /// One row a score: how far it agrees with the study.
    fn agreement(&self, rows: &[Row], answer: &LayerAnswer) -> Result<Agreements, Failure> {
        if let Some(layer) = rows.iter().filter_map(|row| row.layer).find(|layer| *layer >= answer.layers) {
            let value = format!("{} with {} layers", answer.llm, answer.layers);
            self.context.output.detail(&format!("layer {layer} is not of the study's model"));
            let expected = "a study of the LLM that was represented";
            return Err(Error::Flag { flag: "--against", value, expected }.into());
        }
        if answer.task != self.train.task {
            let (study, own) = (&answer.task, &self.train.task);
            self.context
                .output
                .warn(&format!("the study is of the task `{study}`, the hidden states of `{own}`"));
        }
        if answer.llm != self.train.model {
            let (study, own) = (&answer.llm, &self.train.model);
            self.context.output.warn(&format!("the study is of `{study}`, the hidden states of `{own}`"));
        }
        let Truth { layers: trained, gains, noise } = agreement::truth(answer);
        let question = Question {
            last: answer.last(),
            noise,
            resamples: RESAMPLES,
            seed: Seed(self.args.seed).derive("agreement"),
        };
        let count = rows.first().map_or(0, |row| row.scores.len());
        let found: Vec<(&'static str, Agreement)> = (0..count)
            .map(|at| {
                let value = |row: &Row| {
                    let score = &row.scores[at];
                    let sign = if score.higher_is_better { 1.0 } else { -1.0 };
                    Some((row.layer?, sign * score.value.as_ref().ok()?))
                };
                let scores: Vec<(usize, f64)> = rows.iter().filter_map(value).collect();
                (rows[0].scores[at].name, agreement::agreement(&scores, &trained, question))
            })
            .collect();
        Ok(Agreements {
            truth: if gains { "gain over base on validation" } else { "accuracy on validation" },
            found,
        })
    }

    /// The layers that a screen keeps.
    fn kept(&self, rows: &[Row], keep: usize) -> Result<Vec<usize>, Failure> {
        let layers = rows.iter().filter_map(|row| row.layer).max().map_or(0, |last| last + 1);
        let names =
            rows.first().map(|row| row.scores.iter().map(|score| (score.name, score.higher_is_better)));
        let scores: Vec<LayerScores<'_>> = names
            .into_iter()
            .flatten()
            .enumerate()
            .map(|(at, (name, higher))| {
                let mut values = vec![None; layers];
                for row in rows {
                    if let Some(layer) = row.layer {
                        values[layer] = row.scores[at].value.as_ref().ok().copied();
                    }
                }
                let direction = if higher { Direction::Higher } else { Direction::Lower };
                LayerScores { name, direction, values }
            })
            .collect();
        Ok(screen(&scores, layers, keep)?.kept)
    }
}

/// How far each score agrees with a study.
struct Agreements {
    truth: &'static str,
    found: Vec<(&'static str, Agreement)>,
}

/// What an agreement consists of, by name.
const QUANTITIES: [(&str, fn(&Agreement) -> &Measured); 5] = [
    ("weighted_tau", |found| &found.weighted_tau),
    ("tau", |found| &found.tau),
    ("rho", |found| &found.rho),
    ("regret", |found| &found.regret),
    ("recovery", |found| &found.recovery),
];

impl Agreements {
    /// One row a score, for people.
    fn short(&self) -> Columns {
        let each = || self.found.iter();
        let mut table = Columns::new("agreement")
            .words("score", each().map(|(name, _)| Some(*name)))
            .counts("layers", each().map(|(_, found)| Some(found.layers)))
            .counts("seeds", each().map(|(_, found)| Some(found.seeds)))
            .counts("chosen", each().map(|(_, found)| found.chosen))
            .counts("best", each().map(|(_, found)| found.best));
        for (name, of) in QUANTITIES {
            table = table.words(name, each().map(|(_, found)| Some(shown(of(found)))));
        }
        table
    }

    /// One row a score and quantity, for files.
    fn long(&self) -> Columns {
        let each: Vec<(&'static str, &Agreement, &'static str, &Measured)> = self
            .found
            .iter()
            .flat_map(|(score, found)| {
                QUANTITIES.iter().map(move |(name, of)| (*score, found, *name, of(found)))
            })
            .collect();
        let number = |of: fn(&Estimate) -> f64| -> Vec<Option<f64>> {
            each.iter().map(|it| it.3.as_ref().ok().map(of)).collect()
        };
        Columns::new("agreement")
            .words("score", each.iter().map(|it| Some(it.0)))
            .words("truth", each.iter().map(|_| Some(self.truth)))
            .words("quantity", each.iter().map(|it| Some(it.2)))
            .numbers("value", number(|found| found.value))
            .numbers("low", number(|found| found.low))
            .numbers("high", number(|found| found.high))
            .words("reason", each.iter().map(|it| it.3.as_ref().err().map(ToString::to_string)))
            .counts("layers", each.iter().map(|it| Some(it.1.layers)))
            .counts("seeds", each.iter().map(|it| Some(it.1.seeds)))
            .counts("chosen", each.iter().map(|it| it.1.chosen))
            .counts("best", each.iter().map(|it| it.1.best))
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
        recipe: "accuracy of probe minus that on random labels of first words, paired by example; bootstrap interval",
    }
}

fn shown(measured: &Measured) -> String {
    match measured {
        Ok(found) => format!("{:.3} [{:.3}, {:.3}]", found.value, found.low, found.high),
        Err(reason) => format!("n/a: {reason}"),
    }
}
