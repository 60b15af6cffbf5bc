//! Fifty steps of fine-tuning: the loss and the norms of the gradients at every step, the first
//! step's logits and gradients, and the logits of the evaluation texts afterwards.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::Deserialize;

use super::compare::{Case, Golden, checkpoint, json};
use super::{Error, Outcome, Recomputed, StepTime, Steps, model};
use crate::error::Failure;
use crate::hub;
use crate::hub::tensor::TensorSource;
use crate::models::build::{self, Member, Target};
use crate::models::families::{Model, Names, Scope};
use crate::models::head::HeadSpec;
use crate::models::input::{Input, Pass, Tokens};
use crate::models::plug::{Mask, PlugMode, PlugSpec};
use crate::models::pooling::Pooling;
use crate::models::probe::{Layer, Probe, ProbeSpec};
use crate::models::weights::Checkpoint;
use crate::nn::adam::{Moments, gradient_norms_of};
use crate::nn::meter::{Products, products};
use crate::nn::{self, Arena, Rows, Slot};
use crate::seed::Seed;
use crate::train::optimization::{Optimization, Rule};
use crate::train::{Gold, Objective, Optimizer, Span};
use crate::usage;

/// Of the loss at every step.
const LOSS: f64 = 1e-4;
/// Of gradient norms at every step, and of the first step's gradients.
const GRADIENT: f64 = 1e-3;
/// Of logits, max-normalised.
const LOGITS: f64 = 1e-4;
/// Tensors whose gradients are below this part of the first step's largest are rounding noise.
const NOISE: f64 = 1e-6;

/// The part of `curve.json` that says what was trained.
#[derive(Debug, Deserialize)]
struct Spec {
    slm: PathBuf,
    llm: Option<PathBuf>,
    /// -1 without a plug.
    resolved_layer: Option<i64>,
    method: String,
    pool: String,
    head: String,
    train: PathBuf,
    eval: PathBuf,
    batch: usize,
    classes: usize,
    max_len: usize,
    steps: u64,
    lr: f64,
    optimizer: String,
    weight_decay: f64,
    smoothing: f32,
    clip: f64,
    adam: Betas,
}

#[derive(Debug, Deserialize)]
struct Betas {
    beta1: f64,
    beta2: f64,
    eps: f64,
}

/// Reference curves, one number a step.
#[derive(Debug, Deserialize)]
struct Curves {
    loss: Vec<f64>,
    grad_norm_total: Vec<f64>,
    grad_norm_slm: Vec<f64>,
    grad_norm_head: Vec<f64>,
    grad_norm_l_in: Vec<Option<f64>>,
    grad_norm_l_out: Vec<Option<f64>>,
}

#[derive(Debug, Deserialize)]
struct Document {
    spec: Spec,
    f64: Curves,
}

pub(super) fn run(directory: &Path, steps: &mut Steps<'_>) -> Recomputed {
    let path = directory.join("curve.json");
    let malformed = |what: String| Failure::from(Error::Malformed { path: path.clone(), what });
    let document: Document = serde_json::from_value(json(&path)?)
        .map_err(|cause| malformed(format!("is not as described: {cause}")))?;
    let spec = &document.spec;
    let golden = Golden::open(&directory.join("golden.safetensors"))?;
    let small = match Part::open(&directory.join(&spec.slm))? {
        Ok(part) => part,
        Err((family, reason)) => return Ok((family, Outcome::Unsupported(reason))),
    };
    let mut family = small.model.spec.model_type.clone();

    // 1. The probe, starting from the checkpoints and the stored mappers and head
    let mut plug = PlugSpec::Base;
    let mut block = None;
    let mode = if spec.head == "span" { PlugMode::Sequence } else { PlugMode::Pooled };
    if spec.method == "pifi" {
        let llm = spec.llm.as_ref().ok_or_else(|| malformed("names no `llm`".to_owned()))?;
        let large = match Part::open(&directory.join(llm))? {
            Ok(part) => part,
            Err((family, reason)) => return Ok((family, Outcome::Unsupported(reason))),
        };
        family = format!("{family} + {}", large.model.spec.model_type);
        let layer = spec.resolved_layer.and_then(|layer| usize::try_from(layer).ok());
        let layer = layer.filter(|layer| *layer < large.model.spec.blocks.len());
        let layer = layer.ok_or_else(|| malformed("names no layer that the LLM has".to_owned()))?;
        let scope = if mode == PlugMode::Pooled { Scope::OneToken } else { Scope::Sequence };
        let members =
            [Member { checkpoint: large.checkpoint(), table: &large.model.tensors, layer: Some(layer) }];
        let mut target = Target::Frozen(steps.device, &members);
        let block_spec = &large.model.spec.blocks[layer];
        block = Some(Layer::Frozen(Box::new(build::block(&mut target, layer, block_spec, scope, None)?)));
        let width = large.model.spec.hidden_size;
        plug = PlugSpec::Layer { width, mask: Mask::AsPublished, honour_window: false };
    }
    let probe_spec = ProbeSpec {
        hidden_size: small.model.spec.hidden_size,
        encoder: Some(small.model.clone()),
        pooling: match spec.pool.as_str() {
            "cls" => Pooling::Cls,
            "mean" => Pooling::Mean,
            "mean_pad" => Pooling::MeanPad,
            other => return Err(malformed(format!("asks for the pooling `{other}`"))),
        },
        plug,
        mode,
        head: match spec.head.as_str() {
            "span" => HeadSpec::Span,
            _ => HeadSpec::Classifier { classes: spec.classes, dropout: 0.0 },
        },
    };
    let mut probe = Probe::new(&probe_spec, 1, block)?.on(steps.device);
    let mut values = probe.arena(steps.device);
    probe.parameters().load(&mut values, 0, &small.checkpoint())?;
    probe.parameters().initialise(&mut values, 0, Seed(0));
    load_initial(&directory.join("init.safetensors"), &probe, &mut values)?;

    // 2. The texts
    let mut train = Batch::read(directory, &golden, "train", &spec.train, spec)?;
    train.packed = steps.packed && spec.head != "span" && spec.pool != "mean_pad" && train.ends_in_padding();
    let mut eval = Batch::read(directory, &golden, "eval", &spec.eval, spec)?;
    eval.packed = train.packed && eval.ends_in_padding();

    // 3. The steps
    let mut cases = Vec::new();
    let objective = match spec.head.as_str() {
        "span" => Objective::Span { over_padding: true },
        _ => Objective::Classification { classes: spec.classes, smoothing: spec.smoothing },
    };
    let rule = Rule {
        optimizer: if spec.optimizer == "adamw" { Optimizer::AdamW } else { Optimizer::Adam },
        beta1: spec.adam.beta1,
        beta2: spec.adam.beta2,
        eps: spec.adam.eps,
        weight_decay: spec.weight_decay,
        clip: spec.clip,
    };
    let groups = Groups::of(&probe);
    let mut optimization = Optimization::new(&probe, rule);
    let mut moments = Moments { first: probe.arena(steps.device), second: probe.arena(steps.device) };
    let mut curves = CurveErrors::default();
    for step in 0..spec.steps {
        let rows: Vec<usize> =
            (0..spec.batch).map(|j| (step as usize * spec.batch + j) % train.examples).collect();
        let (input, gold) = train.pick(&rows);
        let begun = Spent::now();
        optimization.gradient(
            &mut probe,
            &values,
            &input,
            Pass::Evaluate,
            |rows, logits, losses, dlogits| objective.loss(rows, logits, &gold, losses, dlogits),
        )?;
        let gradient = begun.since();
        if step == 0 {
            cases.push(golden.case("logits0", &probe.logits().to_vec(), LOGITS)?);
            first_gradients(&golden, &probe, optimization.gradients(), &mut cases)?;
        }
        let found = [
            Some(optimization.losses()[0]),
            Some(optimization.norms()[0]),
            groups.norm(optimization.gradients(), &groups.slm),
            groups.norm(optimization.gradients(), &groups.head),
            groups.norm(optimization.gradients(), &groups.l_in),
            groups.norm(optimization.gradients(), &groups.l_out),
        ];
        curves
            .add(&document.f64, step as usize, found)
            .ok_or_else(|| malformed(format!("has no number for step {step} in a curve")))?;
        let begun = Spent::now();
        optimization.apply(step + 1, spec.lr, &[true], &mut values, &mut moments);
        nn::wait(steps.device);
        // the comparisons between the two are no part of a step
        let update = begun.since();
        (steps.observe)(StepTime {
            step,
            loss: optimization.losses()[0],
            elapsed: gradient.elapsed + update.elapsed,
            cpu: gradient.cpu.zip(update.cpu).map(|(gradient, update)| gradient + update),
            products: gradient.products + update.products,
        });
    }
    curves.finish(&mut cases);

    // 4. The evaluation texts
    let all: Vec<usize> = (0..eval.examples).collect();
    let (input, _) = eval.pick(&all);
    probe.forward(&values, &input, Pass::Evaluate)?;
    let (mut expected, _) = golden.floats("eval_logits")?;
    let mut found = probe.logits().to_vec();
    if spec.head == "span" {
        // one constant a text and end is arbitrary: its gradient is zero
        centre(&mut expected, spec.max_len);
        centre(&mut found, spec.max_len);
    }
    cases.push(Case::of_tensors("eval_logits", &found, &expected, LOGITS));
    Ok((family, Outcome::Compared(cases)))
}

/// Clocks at one moment, or what passed on them.
struct Spent {
    at: Instant,
    elapsed: Duration,
    cpu: Option<Duration>,
    products: Products,
}

impl Spent {
    fn now() -> Self {
        Self { at: Instant::now(), elapsed: Duration::ZERO, cpu: usage::cpu_time(), products: products() }
    }

    fn since(self) -> Self {
        let cpu = usage::cpu_time().zip(self.cpu).map(|(now, before)| now.saturating_sub(before));
        Self { elapsed: self.at.elapsed(), cpu, products: products().since(self.products), ..self }
    }
}

/// A model on this machine.
struct Part {
    model: Model,
    names: Names,
    tensors: hub::Checkpoint,
}

impl Part {
    fn open(directory: &Path) -> Result<Result<Self, (String, String)>, Failure> {
        let model = match model(directory)? {
            Ok(model) => model,
            Err(unsupported) => return Ok(Err(unsupported)),
        };
        let tensors = checkpoint(directory)?;
        let on_disk: BTreeSet<String> = tensors.names().into_iter().collect();
        let names = model.names(&on_disk)?;
        Ok(Ok(Self { model, names, tensors }))
    }

    fn checkpoint(&self) -> Checkpoint<'_> {
        Checkpoint { tensors: &self.tensors, names: &self.names, transform: None }
    }
}

fn load_initial(path: &Path, probe: &Probe, values: &mut Arena) -> Result<(), Failure> {
    let golden = Golden::open(path)?;
    for name in golden.names() {
        let (numbers, shape) = golden.floats(name)?;
        let entry = probe.parameters().layout().find(name);
        let entry = entry.filter(|entry| entry.shape == shape).ok_or_else(|| Error::Malformed {
            path: path.to_owned(),
            what: format!("holds `{name}` of shape {shape:?}, which the probe has not"),
        })?;
        values.write(entry.slot, 0, &numbers);
    }
    Ok(())
}

/// Padded texts and their answers.
struct Batch {
    ids: Vec<u32>,
    real: Vec<bool>,
    gold: Gold,
    examples: usize,
    length: usize,
    /// Whether padding is left out.
    packed: bool,
}

impl Batch {
    fn read(
        directory: &Path,
        golden: &Golden,
        split: &str,
        texts: &Path,
        spec: &Spec,
    ) -> Result<Self, Failure> {
        let (ids, examples, length) = golden.ids(&format!("{split}.ids"))?;
        let (mask, ..) = golden.ids(&format!("{split}.mask"))?;
        let path = directory.join(texts);
        let malformed = |what: String| Error::Malformed { path: path.clone(), what };
        let text =
            std::fs::read_to_string(&path).map_err(|cause| malformed(format!("cannot be read: {cause}")))?;
        let rows: Vec<&str> = text.lines().skip(1).collect();
        let number = |row: &str, field: usize| -> Result<u32, Error> {
            let value = row.rsplit('\t').nth(field).and_then(|number| number.parse().ok());
            value.ok_or_else(|| malformed(format!("has a row without its numbers: `{row}`")))
        };
        let gold = if spec.head == "span" {
            let span = |row: &&str| Ok(Span { start: number(row, 1)?, end: number(row, 0)? });
            Gold::Spans(rows.iter().map(span).collect::<Result<_, Error>>()?)
        } else {
            Gold::Classes(rows.iter().map(|row| number(row, 0)).collect::<Result<_, Error>>()?)
        };
        if gold.len() != examples || length != spec.max_len {
            return Err(malformed(format!("has {} rows for {examples} encoded texts", gold.len())).into());
        }
        let real = mask.iter().map(|&real| real != 0).collect();
        Ok(Self { ids, real, gold, examples, length, packed: false })
    }

    /// Whether every text is its tokens and then padding, if any.
    fn ends_in_padding(&self) -> bool {
        self.real.chunks(self.length.max(1)).all(|real| real[0] && real.is_sorted_by(|a, b| a >= b))
    }

    fn pick(&self, examples: &[usize]) -> (Input, Gold) {
        let whole = |example: usize| example * self.length..(example + 1) * self.length;
        let tokens = |example: usize| self.real[whole(example)].iter().filter(|&&real| real).count();
        let length = |example: usize| if self.packed { tokens(example) } else { self.length };
        let of = |example: usize| example * self.length..example * self.length + length(example);
        let mut rows = Rows::packed(&examples.iter().map(|&n| length(n)).collect::<Vec<_>>());
        if !self.packed {
            rows.real = Some(examples.iter().flat_map(|&n| self.real[of(n)].to_vec()).collect());
        }
        let ids: Vec<u32> = examples.iter().flat_map(|&n| self.ids[of(n)].to_vec()).collect();
        let type_ids = vec![0; ids.len()];
        (Input::Tokens(Tokens { ids, type_ids, rows }), self.gold.pick(examples))
    }
}

/// Which parameters belong to which of the reference's groups.
struct Groups {
    slm: Vec<Slot>,
    head: Vec<Slot>,
    l_in: Vec<Slot>,
    l_out: Vec<Slot>,
}

impl Groups {
    fn of(probe: &Probe) -> Self {
        let mut groups = Self { slm: Vec::new(), head: Vec::new(), l_in: Vec::new(), l_out: Vec::new() };
        for entry in probe.parameters().layout().entries() {
            let group = match entry.name.split('.').next() {
                Some("l_in") => &mut groups.l_in,
                Some("l_out") => &mut groups.l_out,
                Some("classifier" | "span") => &mut groups.head,
                _ => &mut groups.slm,
            };
            group.push(entry.slot);
        }
        groups
    }

    #[expect(clippy::unused_self, reason = "reads as the norm of a group")]
    fn norm(&self, gradients: &Arena, slots: &[Slot]) -> Option<f64> {
        if slots.is_empty() { None } else { Some(gradient_norms_of(gradients, slots)[0]) }
    }
}

/// The worst step of every curve.
#[derive(Default)]
struct CurveErrors {
    worst: [Option<(f64, usize)>; 6],
}

const CURVES: [(&str, f64); 6] = [
    ("loss", LOSS),
    ("grad_norm_total", GRADIENT),
    ("grad_norm_slm", GRADIENT),
    ("grad_norm_head", GRADIENT),
    ("grad_norm_l_in", GRADIENT),
    ("grad_norm_l_out", GRADIENT),
];

impl CurveErrors {
    /// `None` when a curve is too short.
    fn add(&mut self, curves: &Curves, step: usize, found: [Option<f64>; 6]) -> Option<()> {
        let expected = [
            Some(*curves.loss.get(step)?),
            Some(*curves.grad_norm_total.get(step)?),
            Some(*curves.grad_norm_slm.get(step)?),
            Some(*curves.grad_norm_head.get(step)?),
            *curves.grad_norm_l_in.get(step)?,
            *curves.grad_norm_l_out.get(step)?,
        ];
        for (worst, (found, expected)) in self.worst.iter_mut().zip(found.into_iter().zip(expected)) {
            let error = match (found, expected) {
                (Some(found), Some(expected)) => (found - expected).abs() / expected.abs(),
                (None, None) => continue,
                _ => f64::INFINITY,
            };
            let before = worst.map_or(-1.0, |(error, _)| error);
            if error.is_nan() || error > before {
                *worst = Some((error, step));
            }
        }
        Some(())
    }

    fn finish(self, cases: &mut Vec<Case>) {
        for ((name, tolerance), worst) in CURVES.into_iter().zip(self.worst) {
            if let Some((error, step)) = worst {
                cases.push(Case { name: format!("{name} (worst at step {step})"), error, tolerance });
            }
        }
    }
}

fn first_gradients(
    golden: &Golden,
    probe: &Probe,
    gradients: &Arena,
    cases: &mut Vec<Case>,
) -> Result<(), Failure> {
    let found = probe.parameters().export(gradients, 0);
    let largest = |numbers: &[f32]| numbers.iter().fold(0.0_f64, |m, x| m.max(f64::from(x.abs())));
    let noise = NOISE * found.iter().map(|(.., numbers)| largest(numbers)).fold(0.0, f64::max);
    for name in golden.names().iter().filter(|name| name.starts_with("grad0.")) {
        let (expected, _) = golden.floats(name)?;
        if largest(&expected) <= noise {
            continue;
        }
        let parameter = name.trim_start_matches("grad0.").trim_start_matches("slm.");
        let numbers = found.iter().find(|(found, ..)| found == parameter).map(|(.., numbers)| numbers);
        let numbers = numbers.map_or(&[][..], Vec::as_slice);
        cases.push(Case::of_tensors(name.clone(), numbers, &expected, GRADIENT));
    }
    Ok(())
}

/// Subtracts the mean over a text's positions from its scores, `[texts, positions, 2]`.
fn centre(scores: &mut [f32], positions: usize) {
    for text in scores.chunks_exact_mut(positions * 2) {
        for end in 0..2 {
            let sum: f64 = text.iter().skip(end).step_by(2).map(|x| f64::from(*x)).sum();
            let mean = (sum / positions as f64) as f32;
            text.iter_mut().skip(end).step_by(2).for_each(|x| *x -= mean);
        }
    }
}
