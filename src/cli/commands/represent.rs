//! `represent`: hidden states of a task's texts, kept for similarity, scores and probing.

use std::time::{Duration, Instant};

use serde_json::json;

use super::super::args::RepresentArgs;
use super::super::progress::Transfers;
use super::super::signals::{self, Stop};
use super::super::{Context, text};
use super::predict::{locate, plan_of};
use crate::device::Choice;
use crate::error::{Category, Failure};
use crate::hub::alias::Role;
use crate::hub::{DEMO, Progress, Settings, Watch};
use crate::runs::Store;
use crate::runs::representations::{Manifest, Representations};
use crate::sweep::represent::{self, Event, Hear, Represented, Request, Texts};
use crate::sweep::represent_run::{self, RunRequest};

/// Time between two lines within a layer.
const EVERY: Duration = Duration::from_secs(10);

/// Computes hidden states, or finds them.
///
/// # Errors
/// Models, runs and tasks that do not exist or cannot be had; a full disk; a stop.
pub(crate) fn run(args: &RepresentArgs, context: &Context) -> Result<(), Failure> {
    let stop = signals::listen();
    let started = Instant::now();
    let named = args.source.llm.as_ref().or(args.source.slm.as_ref());
    let usual = if named.is_some_and(|name| name == DEMO) { DEMO } else { "sst2" };
    let mut texts = Texts {
        task: args.task.clone().unwrap_or_else(|| usual.to_owned()),
        split: args.split.name(),
        split_seed: args.split_seed.unwrap_or(0),
        limit: args.limit.map(usize::from),
        max_length: args.max_length.into(),
        batch: args.batch_size.into(),
    };
    let (to, represented) = match (&args.source.run, named) {
        (Some(typed), _) => {
            let (out, id) = locate(typed, &args.out)?;
            let plan = plan_of(&out, &id)?;
            texts.split_seed = args.split_seed.unwrap_or(plan.study.split_seed);
            if args.task.is_none() {
                texts.task.clone_from(&plan.study.task);
            }
            let (store, to) = (Store::at(&out), Representations::at(&out));
            let request = RunRequest { plan: &plan, id: &id, before: args.before, texts };
            let represented = aloud(context, &stop, |settings, watch, hear| {
                represent_run::compute_run(&request, settings, &store, &to, watch, hear)
            })?;
            (to, represented)
        }
        (None, named) => {
            let to = Representations::at(&args.out);
            let request = Request {
                role: if args.source.llm.is_some() { Role::Llm } else { Role::Slm },
                model: named.cloned().unwrap_or_default(),
                texts,
                pool: args.pool.map(super::super::args::PoolWord::pooling),
                layers: args.layers.clone(),
                device: args.device.parse::<Choice>()?.resolve()?,
            };
            let represented = compute(&request, &to, context, &stop)?;
            (to, represented)
        }
    };
    show(&represented, &to, started.elapsed(), context)
}

/// Computes a model's hidden states, or finds them, and tells how it goes.
///
/// # Errors
/// As [`represent::compute`]; a stop.
pub(crate) fn compute(
    request: &Request,
    to: &Representations,
    context: &Context,
    stop: &Stop,
) -> Result<Represented, Failure> {
    aloud(context, stop, |settings, watch, hear| represent::compute(request, settings, to, watch, hear))
}

fn aloud(
    context: &Context,
    stop: &Stop,
    work: impl FnOnce(&Settings, &mut Watch<'_>, &mut Hear<'_>) -> Result<Represented, Failure>,
) -> Result<Represented, Failure> {
    let settings = context.hub()?;
    let mut talk = Talk::new(context, stop);
    let mut transfers = Transfers::new(&context.output, stop);
    let ended =
        work(&settings, &mut |progress: Progress| transfers.hear(progress), &mut |event| talk.hear(&event));
    transfers.clear();
    ended.map_err(|failure| match failure.category() {
        Category::Interrupted => stop.error(),
        _ => failure,
    })
}

fn show(
    represented: &Represented,
    to: &Representations,
    took: Duration,
    context: &Context,
) -> Result<(), Failure> {
    let Represented { manifest, found } = represented;
    let folder = to.folder().join(&manifest.key);
    let output = &context.output;
    if output.json {
        let sites: Vec<_> = manifest
            .sites
            .iter()
            .map(|site| json!({"name": site.name, "layer": site.layer, "width": site.width}))
            .collect();
        return output.event(&json!({
            "event": "represented",
            "key": manifest.key,
            "name": manifest.name(),
            "path": folder,
            "examples": manifest.n,
            "pool": manifest.pool,
            "sites": sites,
            "bytes": manifest.bytes(),
            "found": found,
            "seconds": took.as_secs_f64(),
        }));
    }
    let names: Vec<&str> = manifest.sites.iter().map(|site| site.name.as_str()).collect();
    let how = match found {
        true => "computed by an earlier command".to_owned(),
        false => format!("in {}", text::duration(took.as_secs_f64())),
    };
    output.line(&text::pairs(&[
        ("key", manifest.key.clone()),
        ("name", manifest.name()),
        ("examples", manifest.n.to_string()),
        ("pooling", manifest.pool.clone()),
        ("sites", names.join(", ")),
        ("bytes", text::bytes(manifest.bytes())),
        ("folder", folder.display().to_string()),
        ("computed", how),
    ]))
}

/// Tells how it goes.
struct Talk<'a> {
    context: &'a Context,
    stop: &'a Stop,
    steps: usize,
    texts: usize,
    begun: Instant,
    told: Instant,
    fetched: u64,
}

impl<'a> Talk<'a> {
    fn new(context: &'a Context, stop: &'a Stop) -> Self {
        let now = Instant::now();
        Self { context, stop, steps: 0, texts: 0, begun: now, told: now, fetched: 0 }
    }

    fn hear(&mut self, event: &Event<'_>) -> Result<(), Failure> {
        self.stop.check()?;
        match event {
            Event::Planned { manifest, tokens, truncated, waiting, steps, resumed, passed } => {
                (self.steps, self.texts) = (*steps, manifest.n);
                self.begun = Instant::now();
                self.planned(manifest, (*tokens, *truncated), *waiting, (*resumed, *passed))
            }
            Event::Layer { fetched } => {
                self.fetched = *fetched;
                Ok(())
            }
            Event::Texts { step, done } => {
                if self.told.elapsed() < EVERY || self.context.output.json {
                    return Ok(());
                }
                self.told = Instant::now();
                let (step, steps, texts) = (step + 1, self.steps, self.texts);
                self.context.output.say(&format!("  step {step} of {steps}: {done} of {texts} texts"));
                Ok(())
            }
            Event::Passed { step } => self.passed(*step),
        }
    }

    fn planned(
        &self,
        manifest: &Manifest,
        (tokens, truncated): (usize, usize),
        waiting: u64,
        (resumed, passed): (usize, usize),
    ) -> Result<(), Failure> {
        let output = &self.context.output;
        if output.json {
            return output.event(&json!({
                "event": "planned", "key": manifest.key, "examples": manifest.n, "tokens": tokens,
                "truncated": truncated, "waiting_bytes": waiting, "steps": self.steps, "resumed": resumed,
                "resumed_examples": passed,
            }));
        }
        let Manifest { model, task, split, .. } = manifest;
        output.say(&format!(
            "{model} on {} of {task} {split}: {tokens} tokens, {truncated} cut",
            text::plural(manifest.n, "example")
        ));
        if waiting > 0 {
            let waiting = text::bytes(waiting);
            output.say(&format!("{waiting} of activations wait on the disk between two layers"));
        }
        if resumed > 0 {
            let steps = self.steps;
            output.say(&format!("{resumed} of {steps} steps were done by an earlier command"));
        }
        if passed > 0 {
            let texts = self.texts;
            output.say(&format!("{passed} of {texts} texts were passed by an earlier command"));
        }
        Ok(())
    }

    fn passed(&mut self, step: usize) -> Result<(), Failure> {
        let seconds = self.begun.elapsed().as_secs_f64();
        (self.begun, self.told) = (Instant::now(), Instant::now());
        let fetched = std::mem::take(&mut self.fetched);
        let output = &self.context.output;
        if output.json {
            return output.event(&json!({
                "event": "step", "step": step + 1, "steps": self.steps, "seconds": seconds,
                "fetched_bytes": fetched,
            }));
        }
        let fetched = if fetched > 0 { format!(", fetched {}", text::bytes(fetched)) } else { String::new() };
        let (step, steps, took) = (step + 1, self.steps, text::duration(seconds));
        output.say(&format!("step {step} of {steps}: {took}{fetched}"));
        Ok(())
    }
}
