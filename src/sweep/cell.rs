//! A worker: cells of a plan, trained together, evaluated and published.

use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use super::event::Summary;
use super::features::Frozen;
use super::inputs::{self, Opened};
use super::kept::Kept;
use super::outcome::{self, Finish};
use super::plan::{Cell, Ending, Plan};
use super::plugged::Plugged;
use super::{Error, TrainMode, WorkerEvent, convert};
use crate::data::Dataset;
use crate::data::encode::{EncodedSplit, Encoder};
use crate::device::Choice;
use crate::error::Failure;
use crate::hub::{Settings, unwatched};
use crate::models::head::HeadSpec;
use crate::models::probe::{Probe, ProbeSpec};
use crate::nn::{Arena, meter};
use crate::runs::record::{Cost, FailureKind, Stages, Status};
use crate::runs::{Checkpoints, Restored, Store, clock};
use crate::train::source::Padding;
use crate::train::trainer::{MemberResult, Outcome, Task, Trainer};
use crate::train::{Config, Event, Flow, Gold, Objective, Source, State, TokenSet};
use crate::usage;

/// How a worker is run; nothing here decides a result.
#[derive(Clone, Copy, Debug)]
pub struct Rhythm {
    /// Time between checkpoints.
    pub checkpoint_every: Duration,
    /// Time between two `step` events.
    pub report_every: Duration,
    /// How long to wait for a worker that an ended engine left behind.
    pub claim_within: Duration,
}

impl Default for Rhythm {
    /// Five minutes, twice a second, and half a minute.
    fn default() -> Self {
        Self {
            checkpoint_every: Duration::from_mins(5),
            report_every: Duration::from_millis(500),
            claim_within: Duration::from_secs(30),
        }
    }
}

/// How a worker ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Every cell is published or failed.
    Finished,
    /// It stopped at a checkpoint.
    Stopped,
}

/// Name of the one checkpoint of a stack, kept with its first cell.
const CHECKPOINT: &str = "state";

/// Trains the cells together and publishes them. `stop` asks for an end at the next step.
///
/// # Errors
/// Whatever keeps all of them from a result: inputs that cannot be had or have changed, another
/// process at the same cells, a store that cannot be written.
pub fn work(
    plan: &Plan,
    ids: &[String],
    settings: &Settings,
    store: &Store,
    rhythm: Rhythm,
    stop: &AtomicU8,
    emit: &mut dyn FnMut(WorkerEvent),
) -> Result<Ended, Failure> {
    let begun = Instant::now();
    let started = clock::now();
    let cells = ids.iter().map(|id| plan.cell(id)).collect::<Result<Vec<_>, _>>()?;
    let first = cells.first().ok_or(Error::NoCells)?;
    let mut claims = Vec::new();
    for cell in &cells {
        claims.push(
            store
                .claim_within(&cell.id, rhythm.claim_within)?
                .ok_or_else(|| Error::Claimed { cell: cell.id.clone() })?,
        );
    }

    // 1. Models and data
    let device = plan.inputs.device.parse::<Choice>()?.resolve()?;
    let config = convert::config(&plan.study, first.seed)?;
    let slm = Opened::planned(settings, &plan.inputs.slm)?;
    let home = inputs::dataset(&plan.inputs.task, &plan.study)?;
    let others = plan
        .inputs
        .eval
        .iter()
        .map(|task| inputs::dataset(task, &plan.study))
        .collect::<Result<Vec<_>, _>>()?;
    let kept = Kept::within(&store.folder().join(".work").join("texts"));
    let splits = Splits::encode(plan, &slm, &config, &home, &others, &kept)?;
    let plugged = Plugged::open(plan, &cells, settings)?;
    let layer_bytes = plugged.as_ref().map_or(0, Plugged::bytes);
    let spec = probe_spec(plan, first, &slm, home.labels.len(), &config);
    let layer = plugged.as_ref().map(|plugged| plugged.layer(device)).transpose()?;
    let mut probe = Probe::new(&spec, cells.len(), layer)?.on(device);
    let mut values = probe.arena(device);
    first_values(&probe, &mut values, &slm, plugged.as_ref(), &config)?;
    drop(plugged);

    // 2. What is learnt from: texts, or features of the frozen encoder
    let folder = store.folder().join(".work").join("features");
    let frozen = Frozen { slm: &slm, pooling: spec.pooling, device, folder: &folder };
    let sources = splits.sources(spec.encoder.is_none().then_some(&frozen))?;
    let objective = Objective::Classification {
        classes: home.labels.len(),
        smoothing: plan.study.hyper_parameters.label_smoothing as f32,
    };
    let named = |at: usize| match at {
        0 => plan.inputs.task.name.clone(),
        at => plan.inputs.eval[at - 1].name.clone(),
    };
    let task = Task {
        identity: ids.join(","),
        objective,
        train: sources[0].as_ref(),
        validation: sources[1].as_ref(),
        evaluation: sources[2..]
            .iter()
            .enumerate()
            .map(|(at, source)| (named(at), source.as_ref()))
            .collect(),
    };

    // 3. Training, from a checkpoint if there is one
    let checkpoints = store.checkpoints(&claims[0])?;
    let mut trainer = Trainer::new(&config, &task, &mut probe)?;
    let start = trainer.start(values);
    let state = restored(&checkpoints, start, &cells, emit)?;
    let mut watch = Watch {
        cells: &cells,
        rhythm,
        stop,
        checkpoints: &checkpoints,
        emit,
        told: begun,
        saved: begun,
        resumed: state.step,
        seconds: Vec::new(),
    };
    let (prepared, before) = (begun.elapsed(), meter::products());
    let outcome = trainer.run(state, &mut |event| watch.heed(event))?;
    let seconds_of_steps = std::mem::take(&mut watch.seconds);
    let Outcome::Finished(finished) = outcome else { return Ok(Ended::Stopped) };
    let (whole, products) = (begun.elapsed(), meter::products().since(before));
    let training_seconds: f64 = seconds_of_steps.iter().sum();
    let stages = Stages {
        preparation_seconds: prepared.as_secs_f64(),
        training_seconds,
        evaluation_seconds: (whole.as_secs_f64() - prepared.as_secs_f64() - training_seconds).max(0.0),
        products_gflop: products.operations as f64 * 1e-9,
        products_seconds: products.time.as_secs_f64(),
    };

    // 4. Publishing
    for (member, (cell, claim)) in cells.iter().zip(&claims).enumerate() {
        let cost = Cost {
            seconds: begun.elapsed().as_secs_f64(),
            steps_per_second: watch_rate(&finished.state, &seconds_of_steps).map(|(steps, _)| steps),
            tokens_per_second: watch_rate(&finished.state, &seconds_of_steps).map(|(_, tokens)| tokens),
            peak_memory_bytes: usage::peak_memory(),
            bytes_fetched: Some(layer_bytes),
            stages: Some(stages),
        };
        let ending = |status| Ending {
            status,
            result: None,
            cost,
            started: started.clone(),
            finished: clock::now(),
            stack: cells.len(),
        };
        match &finished.members[member] {
            MemberResult::Diverged(divergence) => {
                let reason = outcome::divergence(*divergence);
                emit(WorkerEvent::Failed { cell: cell.id.clone(), kind: FailureKind::Diverged, reason });
            }
            MemberResult::Trained { epoch, evaluations } => {
                let finish = Finish {
                    plan,
                    cell,
                    member,
                    epoch: *epoch,
                    evaluations,
                    state: &finished.state,
                    seconds_of_steps: &seconds_of_steps,
                    overlaps: &splits.overlaps,
                    config: &config,
                    notes: &home.notes,
                    truncated: splits.truncated(),
                };
                let model = (plan.study.save != super::Save::None)
                    .then(|| probe.parameters().export(finished.state.chosen(), member));
                let record = finish.publish(store, claim, ending(Status::Done), model)?;
                let summary = Summary::of(&record);
                emit(WorkerEvent::Done { cell: cell.id.clone(), summary });
            }
        }
    }
    checkpoints.remove(CHECKPOINT)?;
    Ok(Ended::Finished)
}

/// Steps and tokens a second over all steps of this process.
fn watch_rate(state: &State, seconds: &[f64]) -> Option<(f64, f64)> {
    let total: f64 = seconds.iter().sum();
    let tokens = &state.history.tokens[state.history.tokens.len().saturating_sub(seconds.len())..];
    (total > 0.0).then(|| (seconds.len() as f64 / total, tokens.iter().sum::<u64>() as f64 / total))
}

pub(super) fn probe_spec(
    plan: &Plan,
    cell: &Cell,
    slm: &Opened,
    classes: usize,
    config: &Config,
) -> ProbeSpec {
    let trains = plan.study.train == TrainMode::Full;
    ProbeSpec {
        encoder: trains.then(|| slm.model.clone()),
        hidden_size: slm.model.spec.hidden_size,
        pooling: plan.inputs.pooling,
        plug: convert::plug(&plan.study, cell.condition, plan.inputs.llm.hidden_size),
        mode: plan.study.plug,
        head: HeadSpec::Classifier { classes, dropout: config.head_dropout as f32 },
    }
}

/// The first values of all that trains: of an encoder and a layer their own, of the rest random ones.
pub(super) fn first_values(
    probe: &Probe,
    values: &mut Arena,
    slm: &Opened,
    plugged: Option<&Plugged>,
    config: &Config,
) -> Result<(), Failure> {
    let checkpoint = match probe.has_encoder() {
        true => Some(slm.repository.checkpoint(&mut unwatched)?),
        false => None,
    };
    for member in 0..probe.members() {
        if let Some(checkpoint) = &checkpoint {
            probe.parameters().load(values, member, &slm.weights(checkpoint, None))?;
        }
        probe.parameters().initialise(values, member, config.seeds().init);
    }
    plugged.map_or(Ok(()), |plugged| plugged.first_values(probe, values))
}

/// The length that every text is filled up to, where padding takes part in the result.
pub(super) fn padding(plan: &Plan, tokenizer: &Encoder) -> Result<Option<Padding>, Failure> {
    let takes_part =
        plan.inputs.pooling == super::Pooling::MeanPad || plan.study.mask == super::Mask::AsPublished;
    Ok(match takes_part {
        true => Some(Padding { length: tokenizer.options().max_length, id: tokenizer.pad_id()? }),
        false => None,
    })
}

/// Everything that texts are needed for, tokenised: train, validation, test, then the other tasks.
struct Splits {
    encoded: Vec<EncodedSplit>,
    padding: Option<Padding>,
    /// Of the evaluated splits: own test, then the other tasks.
    overlaps: Vec<Vec<crate::runs::Overlap>>,
}

impl Splits {
    fn encode(
        plan: &Plan,
        slm: &Opened,
        config: &Config,
        home: &Dataset,
        others: &[Dataset],
        kept: &Kept,
    ) -> Result<Self, Failure> {
        let tokenizer = slm.tokenizer(config.max_length)?;
        let mut encoded = Vec::new();
        let mut overlaps = Vec::new();
        for (name, split) in [("train", &home.train), ("validation", &home.validation)] {
            encoded.push(kept.tokens(slm, &tokenizer, (home, name), &split.examples)?);
        }
        for dataset in std::iter::once(home).chain(others) {
            encoded.push(kept.tokens(slm, &tokenizer, (dataset, "test"), &dataset.test.examples)?);
            overlaps.push(kept.overlap(home, dataset));
        }
        let padding = padding(plan, &tokenizer)?;
        Ok(Self { encoded, padding, overlaps })
    }

    fn truncated(&self) -> Vec<(usize, usize)> {
        self.encoded.iter().map(|split| (split.truncated, split.len())).collect()
    }

    fn sources(&self, frozen: Option<&Frozen<'_>>) -> Result<Vec<Box<dyn Source>>, Failure> {
        self.encoded
            .iter()
            .map(|split| {
                let gold = Gold::Classes(split.labels.clone());
                let tokens = TokenSet::from_split(split.clone(), self.padding)?;
                Ok(match frozen {
                    Some(frozen) => Box::new(frozen.of(split, &tokens, gold)?) as Box<dyn Source>,
                    None => Box::new(tokens),
                })
            })
            .collect()
    }
}

fn restored(
    checkpoints: &Checkpoints,
    start: State,
    cells: &[&Cell],
    emit: &mut dyn FnMut(WorkerEvent),
) -> Result<State, Failure> {
    let mut note = |text: String| emit(WorkerEvent::Note { cell: Some(cells[0].id.clone()), text });
    match checkpoints.read(CHECKPOINT)? {
        Restored::Absent => Ok(start),
        Restored::Torn(reason) => {
            note(format!("the checkpoint cannot be used ({reason}): the cell starts over"));
            Ok(start)
        }
        Restored::Whole(mut content) => {
            let device = start.values.buffer().device();
            match State::read(&mut content, device, start.layout(), cells.len()) {
                Ok(state) if state.fingerprint == start.fingerprint => Ok(state),
                Ok(_) => {
                    note("the checkpoint is of another stack of cells: the cell starts over".to_owned());
                    Ok(start)
                }
                Err(error) => {
                    note(format!("the checkpoint cannot be used ({error}): the cell starts over"));
                    Ok(start)
                }
            }
        }
    }
}

/// Turns the trainer's events into the worker's, keeps checkpoints, and hears the stop.
struct Watch<'a> {
    cells: &'a [&'a Cell],
    rhythm: Rhythm,
    stop: &'a AtomicU8,
    checkpoints: &'a Checkpoints,
    emit: &'a mut dyn FnMut(WorkerEvent),
    told: Instant,
    saved: Instant,
    resumed: u64,
    /// Wall time of every step of this process.
    seconds: Vec<f64>,
}

impl Watch<'_> {
    fn heed(&mut self, event: Event<'_>) -> Result<Flow, Failure> {
        match event {
            Event::Started { total_steps, .. } => {
                let resumed_from = (self.resumed > 0).then_some(self.resumed);
                self.tell(|_, cell| WorkerEvent::Started { cell, resumed_from, total: total_steps });
            }
            Event::Step(step) => {
                self.seconds.push(step.elapsed.as_secs_f64());
                if self.told.elapsed() >= self.rhythm.report_every || step.step == step.total_steps {
                    self.told = Instant::now();
                    let tokens_per_second = step.tokens_per_second().unwrap_or(0.0);
                    self.tell(|member, cell| WorkerEvent::Step {
                        cell,
                        step: step.step,
                        total: step.total_steps,
                        loss: step.losses[member],
                        tokens_per_second,
                    });
                }
            }
            Event::EpochEnd(record) => {
                let epochs = record.epoch as usize;
                self.tell_some(|member, cell| {
                    let validation = outcome::metrics(record.validation[member].as_ref()?, 0);
                    Some(WorkerEvent::Epoch { cell, epoch: record.epoch as usize, epochs, validation })
                });
            }
            Event::Checkpoint(state) => {
                self.checkpoints.write(CHECKPOINT, |out| state.write(out).map_err(std::io::Error::other))?;
                self.saved = Instant::now();
                self.tell(|_, cell| WorkerEvent::Checkpoint { cell, step: state.step });
            }
            Event::Diverged { .. } | Event::Evaluating { .. } | Event::Finished { .. } => {}
        }
        Ok(if self.stop.load(Ordering::Relaxed) > 0 {
            Flow::Stop
        } else if self.saved.elapsed() >= self.rhythm.checkpoint_every {
            Flow::Checkpoint
        } else {
            Flow::Continue
        })
    }

    fn tell(&mut self, event: impl Fn(usize, String) -> WorkerEvent) {
        self.tell_some(|member, cell| Some(event(member, cell)));
    }

    fn tell_some(&mut self, event: impl Fn(usize, String) -> Option<WorkerEvent>) {
        for (member, cell) in self.cells.iter().enumerate() {
            if let Some(event) = event(member, cell.id.clone()) {
                (self.emit)(event);
            }
        }
    }
}
