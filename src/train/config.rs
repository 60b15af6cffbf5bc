//! Hyper-parameters: what was typed, checked once, valid from then on.

use std::collections::BTreeSet;

use super::optimization::Rule;
use super::schedule::{Shape, Warmup};
use super::{AsPublished, Error};
use crate::seed::Seed;
use crate::words::words;

words! {
    /// Which of Adam's forms makes the updates.
    Optimizer, "optimizer" {
        /// Weight decay, if any, is added to the gradient (Kingma and Ba, 2015).
        Adam = "adam",
        /// Weight decay is decoupled from the gradient (Loshchilov and Hutter, 2019).
        AdamW = "adamw",
    }
}

/// Which epoch's values become a member's result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Selection {
    /// The epoch with the best validation metric: strictly greater replaces, so that the first of
    /// equal epochs wins. The metric is whole-split accuracy (with `metrics` as published: the mean
    /// of batch accuracies), for spans the mean accuracy of the two ends.
    #[default]
    BestValidation,
    /// The last epoch.
    LastEpoch,
}

/// Hyper-parameters as typed; [`Arguments::check`] makes them a [`Config`]. The defaults are those
/// of the published code.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Arguments {
    /// Passes over the training split, at least 1.
    pub epochs: u32,
    /// Examples a step, at least 1.
    pub batch_size: usize,
    /// Longest text in tokens, special ones included, at least 1; longer ones are truncated.
    pub max_length: usize,
    /// The form of Adam.
    pub optimizer: Optimizer,
    /// Learning rate at the schedule's factor 1, positive.
    pub learning_rate: f64,
    /// Decay of the first moment, in [0, 1).
    pub beta1: f64,
    /// Decay of the second moment, in [0, 1).
    pub beta2: f64,
    /// Added to the root of the second moment, positive.
    pub eps: f64,
    /// Weight decay, at least 0.
    pub weight_decay: f64,
    /// The learning rate after the warm-up.
    pub schedule: Shape,
    /// The warm-up.
    pub warmup: Warmup,
    /// Part of the target distribution that is spread over all classes, in [0, 1); classification only.
    pub label_smoothing: f64,
    /// Largest norm of a member's whole gradient, at least 0; 0 turns clipping off.
    pub clip: f64,
    /// Dropout probability of the head, in [0, 1).
    pub head_dropout: f64,
    /// Everything random of a run follows from it: see [`Seeds`].
    pub seed: Seed,
    /// Which epoch counts.
    pub selection: Selection,
    /// Published behaviours that replace this program's.
    pub as_published: BTreeSet<AsPublished>,
}

impl Default for Arguments {
    fn default() -> Self {
        Self {
            epochs: 3,
            batch_size: 32,
            max_length: 100,
            optimizer: Optimizer::Adam,
            learning_rate: 5e-5,
            beta1: 0.9,
            beta2: 0.999,
            eps: 1e-8,
            weight_decay: 0.0,
            schedule: Shape::Constant,
            warmup: Warmup::Steps(0),
            label_smoothing: 0.05,
            clip: 5.0,
            head_dropout: 0.2,
            seed: Seed(42),
            selection: Selection::BestValidation,
            as_published: BTreeSet::new(),
        }
    }
}

impl Arguments {
    /// The same values, known to be possible.
    ///
    /// # Errors
    /// [`Error::Refused`] with the first value outside its range.
    pub fn check(self) -> Result<Config, Error> {
        at_least_one("epochs", u64::from(self.epochs))?;
        at_least_one("batch-size", self.batch_size as u64)?;
        at_least_one("max-length", self.max_length as u64)?;
        positive("learning-rate", self.learning_rate)?;
        below_one("beta1", self.beta1)?;
        below_one("beta2", self.beta2)?;
        positive("eps", self.eps)?;
        not_negative("weight-decay", self.weight_decay)?;
        if let Warmup::Ratio(ratio) = self.warmup {
            let possible = (0.0..=1.0).contains(&ratio);
            require("warmup-ratio", ratio, possible, "a number from 0 to 1")?;
        }
        below_one("label-smoothing", self.label_smoothing)?;
        not_negative("clip", self.clip)?;
        below_one("head-dropout", self.head_dropout)?;
        Ok(Config(self))
    }
}

fn require(
    name: &'static str,
    value: impl ToString + Copy,
    possible: bool,
    expected: &'static str,
) -> Result<(), Error> {
    if possible { Ok(()) } else { Err(Error::Refused { name, value: value.to_string(), expected }) }
}

fn at_least_one(name: &'static str, value: u64) -> Result<(), Error> {
    require(name, value, value >= 1, "a whole number of at least 1")
}

fn positive(name: &'static str, value: f64) -> Result<(), Error> {
    require(name, value, value.is_finite() && value > 0.0, "a positive number")
}

fn not_negative(name: &'static str, value: f64) -> Result<(), Error> {
    require(name, value, value.is_finite() && value >= 0.0, "a number of at least 0")
}

fn below_one(name: &'static str, value: f64) -> Result<(), Error> {
    require(name, value, (0.0..1.0).contains(&value), "a number from 0 to below 1")
}

/// Hyper-parameters that were checked; reads as [`Arguments`], and nothing can change them. What is
/// read from a file is checked too.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "Arguments", into = "Arguments")]
pub struct Config(Arguments);

impl Config {
    /// Whether a published behaviour is switched on.
    pub fn published(&self, switch: AsPublished) -> bool {
        self.as_published.contains(&switch)
    }

    /// The seeds of the run's random parts.
    pub fn seeds(&self) -> Seeds {
        Seeds::new(self.seed)
    }

    /// How gradients become updates.
    pub fn rule(&self) -> Rule {
        Rule {
            optimizer: self.optimizer,
            beta1: self.beta1,
            beta2: self.beta2,
            eps: self.eps,
            weight_decay: self.weight_decay,
            clip: self.clip,
        }
    }

    /// Batches of one epoch over `examples` training examples: the last may be short, or is dropped
    /// as published.
    pub fn batches(&self, examples: usize) -> usize {
        if self.published(AsPublished::DropLast) {
            examples / self.batch_size
        } else {
            examples.div_ceil(self.batch_size)
        }
    }

    /// Steps of the whole run over `examples` training examples.
    pub fn total_steps(&self, examples: usize) -> u64 {
        self.batches(examples) as u64 * u64::from(self.epochs)
    }
}

impl std::ops::Deref for Config {
    type Target = Arguments;

    fn deref(&self) -> &Arguments {
        &self.0
    }
}

impl TryFrom<Arguments> for Config {
    type Error = Error;

    fn try_from(arguments: Arguments) -> Result<Self, Error> {
        arguments.check()
    }
}

impl From<Config> for Arguments {
    fn from(config: Config) -> Self {
        config.0
    }
}

/// The seed of each random part of a run, all derived from one; recorded with the run by role.
/// Members of a stack share them, so that differences between members are not differences in luck.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Seeds {
    /// What the others are derived from.
    pub run: Seed,
    /// Initial values of mappers, head and whatever else starts random.
    pub init: Seed,
    /// Order of the examples in every epoch.
    pub order: Seed,
    /// Dropout masks.
    pub dropout: Seed,
}

impl Seeds {
    /// The seeds of a run.
    pub fn new(run: Seed) -> Self {
        Self { run, init: run.derive("init"), order: run.derive("order"), dropout: run.derive("dropout") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(change: impl FnOnce(&mut Arguments)) -> Result<Config, Error> {
        let mut arguments = Arguments::default();
        change(&mut arguments);
        arguments.check()
    }

    #[test]
    fn every_value_outside_its_range_is_refused_by_name() {
        let cases: [(&str, Result<Config, Error>); 13] = [
            ("epochs", with(|a| a.epochs = 0)),
            ("batch-size", with(|a| a.batch_size = 0)),
            ("max-length", with(|a| a.max_length = 0)),
            ("learning-rate", with(|a| a.learning_rate = f64::NAN)),
            ("learning-rate", with(|a| a.learning_rate = -5e-5)),
            ("beta1", with(|a| a.beta1 = 1.0)),
            ("beta2", with(|a| a.beta2 = -0.1)),
            ("eps", with(|a| a.eps = 0.0)),
            ("weight-decay", with(|a| a.weight_decay = f64::INFINITY)),
            ("warmup-ratio", with(|a| a.warmup = Warmup::Ratio(1.5))),
            ("label-smoothing", with(|a| a.label_smoothing = 1.0)),
            ("clip", with(|a| a.clip = -1.0)),
            ("head-dropout", with(|a| a.head_dropout = 1.0)),
        ];
        for (name, case) in cases {
            let message = case.expect_err(name).to_string();
            assert!(
                message.starts_with(&format!("`{name}` is `")) && message.contains("expected"),
                "{message}"
            );
        }
    }

    #[test]
    fn the_defaults_are_possible_and_survive_a_file() {
        let config = Arguments::default().check().unwrap();
        let text = serde_json::to_string(&config).unwrap();
        assert_eq!(serde_json::from_str::<Config>(&text).unwrap(), config);
    }

    #[test]
    fn a_file_is_checked_too() {
        let refused = serde_json::from_str::<Config>(r#"{"epochs": 0}"#).unwrap_err().to_string();
        assert!(refused.contains("`epochs` is `0`"), "{refused}");
        let unknown = serde_json::from_str::<Config>(r#"{"epoch": 3}"#).unwrap_err().to_string();
        assert!(unknown.contains("unknown field `epoch`"), "{unknown}");
    }

    #[test]
    fn the_last_short_batch_is_dropped_only_as_published() {
        let all = Arguments { batch_size: 4, ..Arguments::default() }.check().unwrap();
        assert_eq!((all.batches(9), all.total_steps(9)), (3, 9));
        let dropped = with(|a| {
            a.batch_size = 4;
            a.as_published.insert(AsPublished::DropLast);
        });
        assert_eq!(dropped.unwrap().batches(9), 2);
    }

    #[test]
    fn roles_have_seeds_of_their_own() {
        let seeds = Seeds::new(Seed(1));
        assert_eq!(seeds, Seeds::new(Seed(1)));
        let mut all = [seeds.run, seeds.init, seeds.order, seeds.dropout];
        all.sort_unstable();
        assert!(all.windows(2).all(|pair| pair[0] != pair[1]));
    }
}
