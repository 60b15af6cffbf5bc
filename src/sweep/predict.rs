//! A saved run on new texts.

use serde::Serialize;

use super::cell;
use super::inputs::Opened;
use super::plan::Plan;
use super::plugged::Plugged;
use super::{Error, TrainMode, convert};
use crate::data::Example;
use crate::device::{Choice, Device};
use crate::error::Failure;
use crate::hub::{self, ModelName, Repository, Settings, unwatched};
use crate::models::input::Pass;
use crate::models::probe::Probe;
use crate::nn::{self, Buffer};
use crate::runs::Store;
use crate::train::source::Padding;
use crate::train::{Source, TokenSet};

/// Texts passed through the model at once.
const BATCH: usize = 32;

/// What a run says to one text.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Answer {
    /// The label with the largest probability.
    pub label: String,
    /// Of every label, in the order of the task's labels.
    pub probabilities: Vec<f64>,
}

/// A saved run, ready for texts.
pub struct Predictor {
    probe: Probe,
    values: crate::nn::Arena,
    tokenizer: crate::data::encode::Encoder,
    padding: Option<Padding>,
    labels: Vec<String>,
}

impl Predictor {
    /// Loads the weights of a finished cell, and its layer where that is frozen.
    ///
    /// # Errors
    /// A run without weights, or models that cannot be had.
    pub fn open(plan: &Plan, id: &str, settings: &Settings, store: &Store) -> Result<Self, Failure> {
        if !store.has_model(id) {
            store.read(id)?;
            return Err(Error::NoWeights { cell: id.to_owned() }.into());
        }
        let mut predictor = Self::untrained(plan, id, settings, store)?;
        let path = store.run_folder(id).join("model.safetensors");
        let saved = Repository::open(&Settings::below(&path), &ModelName::Path(path), None)?;
        let saved: hub::Checkpoint = saved.checkpoint(&mut unwatched)?;
        let frozen = plan.study.train == TrainMode::Plug;
        predictor.probe.parameters().load_exported(&mut predictor.values, 0, &saved, frozen)?;
        Ok(predictor)
    }

    /// The same before any training: the small model's own weights, and the first values of mappers
    /// and head by the cell's seed. Needs no kept weights.
    ///
    /// # Errors
    /// A run that is not there, or models that cannot be had.
    pub fn untrained(plan: &Plan, id: &str, settings: &Settings, store: &Store) -> Result<Self, Failure> {
        let planned = plan.cell(id)?;
        store.read(id)?;
        let device = plan.inputs.device.parse::<Choice>()?.resolve()?;
        let config = convert::config(&plan.study, planned.seed)?;
        let slm = Opened::planned(settings, &plan.inputs.slm)?;
        let labels = plan.inputs.task.labels.clone();
        let plugged = Plugged::open(plan, &[planned], settings)?;
        let mut spec = cell::probe_spec(plan, planned, &slm, labels.len(), &config);
        spec.encoder = Some(slm.model.clone());
        let layer = plugged.as_ref().map(|plugged| plugged.layer(device)).transpose()?;
        let probe = Probe::new(&spec, 1, layer)?.on(device);
        let mut values = probe.arena(device);
        cell::first_values(&probe, &mut values, &slm, plugged.as_ref(), &config)?;
        let tokenizer = slm.tokenizer(config.max_length)?;
        let padding = cell::padding(plan, &tokenizer)?;
        Ok(Self { probe, values, tokenizer, padding, labels })
    }

    /// Answers to texts, or pairs of texts, in their order.
    ///
    /// # Errors
    /// A text that the model cannot read.
    pub fn answer(&mut self, texts: Vec<(String, Option<String>)>) -> Result<Vec<Answer>, Failure> {
        let example = |(row, (text, pair))| Example { id: row as u64, text, pair, label: 0 };
        let examples: Vec<Example> = texts.into_iter().enumerate().map(example).collect();
        if examples.is_empty() {
            return Ok(Vec::new());
        }
        let encoded = self.tokenizer.encode_split(&examples)?;
        let source = TokenSet::from_split(encoded, self.padding)?;
        let all: Vec<usize> = (0..source.len()).collect();
        let mut answers = Vec::with_capacity(all.len());
        for batch in all.chunks(BATCH) {
            self.probe.forward(&self.values, &source.input(batch), Pass::Evaluate)?;
            let logits = self.probe.logits().to_vec();
            nn::check(self.probe.device())?;
            for logits in logits.chunks_exact(self.labels.len()) {
                answers.push(self.one(logits));
            }
        }
        Ok(answers)
    }

    /// Texts as the run reads them, and how many of them were cut.
    pub(super) fn read(&self, examples: &[Example]) -> Result<(TokenSet, usize), Failure> {
        let encoded = self.tokenizer.encode_split(examples)?;
        let truncated = encoded.truncated;
        Ok((TokenSet::from_split(encoded, self.padding)?, truncated))
    }

    /// Tokens that the run cuts a text to.
    pub(super) fn max_length(&self) -> usize {
        self.tokenizer.options().max_length
    }

    /// Where it computes.
    pub(super) fn device(&self) -> Device {
        self.probe.device()
    }

    /// What the probe gives on the way for some of the texts; see [`Probe::sites`].
    pub(super) fn sites(
        &mut self,
        source: &TokenSet,
        batch: &[usize],
    ) -> Result<Vec<(&'static str, usize, Buffer)>, Failure> {
        self.probe.forward(&self.values, &source.input(batch), Pass::Evaluate)?;
        Ok(self.probe.sites())
    }

    fn one(&self, logits: &[f32]) -> Answer {
        let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let powers: Vec<f64> = logits.iter().map(|logit| f64::from(logit - largest).exp()).collect();
        let sum: f64 = powers.iter().sum();
        let best = logits.iter().position(|logit| *logit == largest).unwrap_or(0);
        Answer {
            label: self.labels[best].clone(),
            probabilities: powers.iter().map(|power| power / sum).collect(),
        }
    }
}
