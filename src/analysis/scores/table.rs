//! The scores as data: their names, what they read, which way is better, and the function behind each.
//! Everything that lists, computes or verifies scores goes through this table.

use super::{Labelled, Undefined, hscore, logme, mixture, neighbours, transrate};
use crate::analysis::probing::{linear, online};
use crate::analysis::statistics::Estimate;
use crate::seed::Seed;
use crate::train::metrics::Direction;
use ndarray::ArrayView2;
use serde::Serialize;
use std::cell::OnceCell;

/// The examples that a probe is judged on. The probe is fitted once and kept for all scores that
/// read it, so one of these belongs to one layer and one set of training examples.
pub struct Evaluation<'a> {
    features: ArrayView2<'a, f64>,
    labels: &'a [u32],
    fitted: OnceCell<Result<linear::LinearProbe, Undefined>>,
}

impl<'a> Evaluation<'a> {
    /// Features `[N, D]` and labels `[N]`.
    pub fn new(features: ArrayView2<'a, f64>, labels: &'a [u32]) -> Self {
        Self { features, labels, fitted: OnceCell::new() }
    }

    fn probe(&self, data: &Labelled<'_>, seed: Seed) -> &Result<linear::LinearProbe, Undefined> {
        self.fitted.get_or_init(|| linear::probe(data, self.features, self.labels, seed))
    }
}

/// A layer's features with their labels, for any number of methods: what several of them decompose is
/// decomposed once.
pub struct Layer<'a> {
    data: Result<Labelled<'a>, Undefined>,
    shape: (usize, usize),
}

impl<'a> Layer<'a> {
    /// Features `[N, D]` and labels `[N]`; where they cannot be scored, every score says why.
    pub fn new(features: ArrayView2<'a, f64>, labels: &[u32]) -> Self {
        Self { data: Labelled::new(features, labels), shape: features.dim() }
    }
}

/// A value with its interval, where the method has one.
#[derive(Clone, Debug, PartialEq)]
pub struct Value {
    /// The score.
    pub value: f64,
    /// Its interval.
    pub interval: Option<Estimate>,
    /// What the reader must know of this computation.
    pub remark: Option<String>,
}

type Compute = fn(&Labelled<'_>, Option<&Evaluation<'_>>, Seed) -> Result<Value, Undefined>;

/// A score as the table lists it.
pub struct Method {
    /// As typed and as it stands in files; the oracle's name where it has one.
    pub name: &'static str,
    /// Which way is better.
    pub direction: Direction,
    /// Values that are possible.
    pub range: &'static str,
    /// How it is computed and what it depends on.
    pub recipe: &'static str,
    /// Whether it reads examples beyond the training ones.
    pub needs_evaluation: bool,
    compute: Compute,
}

/// A score of a layer, or the reason why there is none.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Score {
    /// The method's name.
    pub name: &'static str,
    /// The score.
    pub value: Result<f64, Undefined>,
    /// Its interval; `None` where the recipe says why there is none.
    pub interval: Option<Estimate>,
    /// Examples it was computed from.
    pub n: usize,
    /// D.
    pub width: usize,
    /// C; 0 where the labels could not be read.
    pub classes: usize,
    /// Whether more is better.
    pub higher_is_better: bool,
    /// The method's recipe.
    pub recipe: &'static str,
    /// What the reader must know of this value.
    pub remark: Option<String>,
}

impl Method {
    /// Scores features `[N, D]` with labels `[N]`.
    pub fn score(
        &self,
        features: ArrayView2<'_, f64>,
        labels: &[u32],
        evaluation: Option<&Evaluation<'_>>,
        seed: Seed,
    ) -> Score {
        self.score_of(&Layer::new(features, labels), evaluation, seed)
    }

    /// Scores a layer that other methods score too.
    pub fn score_of(&self, layer: &Layer<'_>, evaluation: Option<&Evaluation<'_>>, seed: Seed) -> Score {
        let data = layer.data.as_ref().map_err(Clone::clone);
        let classes = data.as_ref().map_or(0, |data| data.classes());
        let found = data
            .and_then(|data| (self.compute)(data, evaluation, seed))
            .and_then(|found| if found.value.is_finite() { Ok(found) } else { Err(Undefined::NotFinite) });
        let (value, interval, remark) = match found {
            Ok(found) => (Ok(found.value), found.interval, found.remark),
            Err(reason) => (Err(reason), None, None),
        };
        let (n, width) = layer.shape;
        let higher_is_better = self.direction == Direction::Higher;
        Score {
            name: self.name,
            value,
            interval,
            n,
            width,
            classes,
            higher_is_better,
            recipe: self.recipe,
            remark,
        }
    }
}

/// The method of a name.
pub fn method(name: &str) -> Option<&'static Method> {
    TABLE.iter().find(|method| method.name == name)
}

fn plain(value: Result<f64, Undefined>) -> Result<Value, Undefined> {
    value.map(|value| Value { value, interval: None, remark: None })
}

fn with_interval(found: Result<Estimate, Undefined>) -> Result<Value, Undefined> {
    found.map(|found| Value { value: found.value, interval: Some(found), remark: None })
}

fn of_probe(
    data: &Labelled<'_>,
    evaluation: Option<&Evaluation<'_>>,
    seed: Seed,
    which: fn(&linear::LinearProbe) -> Estimate,
) -> Result<Value, Undefined> {
    let evaluation = evaluation.ok_or(Undefined::Needs { what: "examples to evaluate on" })?;
    let found = evaluation.probe(data, seed).as_ref().map_err(Clone::clone)?;
    let estimate = which(found);
    let edge = if found.at_edge { ", at an end of the grid" } else { "" };
    let ended = if found.converged { "converged" } else { "not converged" };
    let remark = format!("C {}{edge}, {ended} after {} steps, {} fitted", found.c, found.steps, found.fitted);
    Ok(Value { value: estimate.value, interval: Some(estimate), remark: Some(remark) })
}

/// Every score.
pub const TABLE: &[Method] = &[
    Method {
        name: "logme",
        direction: Direction::Higher,
        range: "any number, ranks only",
        recipe: "evidence of Bayesian linear regression without intercept, mean over classes and an \
                 example; fixed point from 1, 1 to a relative change of 1e-12; no interval: it is an evidence of \
                 all examples at once, and each resample would cost another decomposition",
        needs_evaluation: false,
        compute: |data, _, _| plain(logme::logme(data, logme::Recipe::Converged)),
    },
    Method {
        name: "logme_11",
        direction: Direction::Higher,
        range: "any number, ranks only",
        recipe: "logme as published: at most 11 sweeps, stop at 1e-3, 1e-5 added to both denominators; \
                 no interval, as logme",
        needs_evaluation: false,
        compute: |data, _, _| plain(logme::logme(data, logme::Recipe::Published)),
    },
    Method {
        name: "hscore",
        direction: Direction::Higher,
        range: "0 to C - 1",
        recipe: "trace of the pseudo-inverse covariance (1e-10) times that of the class means, both over \
                 n; C - 1 whatever the features once D >= n; no interval: a resample repeats examples, which \
                 lowers the covariance's rank and moves the score by more than it spreads, and each would cost \
                 another decomposition",
        needs_evaluation: false,
        compute: |data, _, _| {
            let (n, width) = data.shape();
            let mut found = plain(hscore::hscore(data))?;
            if width + 1 >= n {
                found.remark =
                    Some("as many columns as examples: it counts the rank, not the classes".into());
            }
            Ok(found)
        },
    },
    Method {
        name: "hscore_shrunk",
        direction: Direction::Higher,
        range: "0 to C - 1",
        recipe: "hscore with Ledoit and Wolf's covariance, every covariance over n; no interval, as hscore",
        needs_evaluation: false,
        compute: |data, _, _| plain(hscore::hscore_shrunk(data)),
    },
    Method {
        name: "hscore_tll",
        direction: Direction::Higher,
        range: "0 to (C - 1) n / (n - 1)",
        recipe: "hscore_shrunk with the class means' covariance over n - 1, as the Transfer Learning \
                 Library mixes them; no interval, as hscore",
        needs_evaluation: false,
        compute: |data, _, _| plain(hscore::hscore_tll(data)),
    },
    Method {
        name: "transrate",
        direction: Direction::Higher,
        range: "any number, depends on the scale",
        recipe: "coding rate less the unweighted mean of the classes' rates, distortion 1e-4, centred \
                 once; blind to the means of two classes of equal size; no interval: a resample repeats \
                 examples and so has a shorter code, and each would cost as many determinants again",
        needs_evaluation: false,
        compute: |data, _, _| {
            plain(transrate::transrate(data, transrate::EPSILON, transrate::Weights::Equal))
        },
    },
    Method {
        name: "transrate_weighted",
        direction: Direction::Higher,
        range: "0 or more, depends on the scale",
        recipe: "transrate with the classes weighted by their size; no interval, as transrate",
        needs_evaluation: false,
        compute: |data, _, _| {
            plain(transrate::transrate(data, transrate::EPSILON, transrate::Weights::BySize))
        },
    },
    Method {
        name: "nleep",
        direction: Direction::Higher,
        range: "at most 0, nats",
        recipe: "LEEP of a Gaussian mixture with 5 diagonal components a class on 32 principal \
                 components, seeded; bootstrap interval over examples with the mixture held",
        needs_evaluation: false,
        compute: |data, _, seed| with_interval(mixture::nleep_estimate(data, seed)),
    },
    Method {
        name: "nce",
        direction: Direction::Higher,
        range: "at most 0, nats",
        recipe: "negative conditional entropy of the labels given the likeliest component of nleep's mixture; \
                 bootstrap interval over examples with the mixture held",
        needs_evaluation: false,
        compute: |data, _, seed| with_interval(mixture::nce_estimate(data, seed)),
    },
    Method {
        name: "knn",
        direction: Direction::Higher,
        range: "0 to 1",
        recipe: "leave-one-out accuracy of the 10 nearest others by cosine, Wilson's interval",
        needs_evaluation: false,
        compute: |data, _, _| with_interval(neighbours::accuracy(data, neighbours::NEIGHBOURS)),
    },
    Method {
        name: "probe",
        direction: Direction::Higher,
        range: "0 to 1",
        recipe: "accuracy of L2 logistic regression on features standardised by the training examples, C \
                 by a held-out fifth of them; Wilson's interval",
        needs_evaluation: true,
        compute: |data, evaluation, seed| of_probe(data, evaluation, seed, |found| found.accuracy),
    },
    Method {
        name: "probe_macro_f1",
        direction: Direction::Higher,
        range: "0 to 1",
        recipe: "macro-F1 of probe; bootstrap interval over examples",
        needs_evaluation: true,
        compute: |data, evaluation, seed| of_probe(data, evaluation, seed, |found| found.macro_f1),
    },
    Method {
        name: "probe_mcc",
        direction: Direction::Higher,
        range: "-1 to 1",
        recipe: "Matthews' correlation of probe; bootstrap interval over examples",
        needs_evaluation: true,
        compute: |data, evaluation, seed| of_probe(data, evaluation, seed, |found| found.mcc),
    },
    Method {
        name: "probe_nll",
        direction: Direction::Lower,
        range: "0 or more, nats",
        recipe: "mean negative log-likelihood of probe; t interval over examples",
        needs_evaluation: true,
        compute: |data, evaluation, seed| of_probe(data, evaluation, seed, |found| found.nll),
    },
    Method {
        name: "mdl",
        direction: Direction::Lower,
        range: "bits, n log2 C for features that say nothing",
        recipe: "online code of the labels in 11 growing blocks by linear probes, mixed over 7 penalties; \
                 the interval is that of one order",
        needs_evaluation: false,
        compute: |data, _, seed| {
            let found = online::description_length(data, seed)?;
            let coded = found.n - found.blocks[0].coded;
            let whole = |bits: f64| found.blocks[0].bits + bits * coded as f64;
            let interval = found.bits_per_example.as_ref().ok().map(|each| Estimate {
                value: found.bits,
                low: whole(each.low),
                high: whole(each.high),
                standard_error: each.standard_error * coded as f64,
                n: found.n,
            });
            Ok(Value {
                value: found.bits,
                interval,
                remark: Some(format!("compression {:.4}", found.compression)),
            })
        },
    },
];

#[cfg(test)]
mod tests {
    use super::super::fixtures::oracle;
    use super::super::synthetic::shifted;
    use super::*;

    #[test]
    fn names_are_unique_and_every_score_has_a_value_or_a_reason() {
        let (x, labels) = shifted(120, 6, 3.0, 1);
        let (other, gold) = shifted(60, 6, 3.0, 2);
        let evaluation = || Evaluation::new(other.view(), &gold);
        for (at, entry) in TABLE.iter().enumerate() {
            assert!(TABLE[..at].iter().all(|before| before.name != entry.name), "{}", entry.name);
            let score = entry.score(x.view(), &labels, Some(&evaluation()), Seed(1));
            let value = score.value.clone().unwrap();
            assert!(score.interval.is_none_or(|it| it.low <= value && value <= it.high), "{score:?}");
            assert_eq!(score.interval.is_none(), entry.recipe.contains("no interval"), "{}", entry.name);
            let alone = entry.score(x.view(), &labels, None, Seed(1));
            assert_eq!(alone.value.is_err(), entry.needs_evaluation, "{}", entry.name);
            let one = entry.score(x.view(), &[1; 120], Some(&evaluation()), Seed(1));
            assert_eq!((one.value, one.classes), (Err(Undefined::OneClass), 0));
        }
    }

    #[test]
    fn what_methods_share_changes_no_value() {
        for (n, width) in [(120, 6), (40, 60)] {
            let (x, labels) = shifted(n, width, 2.0, 1);
            let layer = Layer::new(x.view(), &labels);
            for entry in TABLE.iter().rev().chain(TABLE).filter(|entry| !entry.needs_evaluation) {
                let alone = entry.score(x.view(), &labels, None, Seed(1));
                assert_eq!(entry.score_of(&layer, None, Seed(1)), alone, "{}", entry.name);
            }
        }
    }

    #[test]
    fn a_better_layer_scores_better_by_all_but_transrate() {
        let (better, labels) = shifted(200, 6, 4.0, 1);
        let (worse, _) = shifted(200, 6, 1.0, 1);
        let (better_held, gold) = shifted(200, 6, 4.0, 2);
        let (worse_held, _) = shifted(200, 6, 1.0, 2);
        for entry in TABLE.iter().filter(|entry| !entry.name.starts_with("transrate")) {
            let value = |x: &ndarray::Array2<f64>, held: &ndarray::Array2<f64>| {
                let evaluation = Evaluation::new(held.view(), &gold);
                entry.score(x.view(), &labels, Some(&evaluation), Seed(1)).value.unwrap()
            };
            let (good, bad) = (value(&better, &better_held), value(&worse, &worse_held));
            assert_eq!(good > bad, entry.direction == Direction::Higher, "{} {good} {bad}", entry.name);
        }
    }

    #[test]
    fn names_of_the_oracle_lead_to_its_values() {
        let oracle = oracle();
        let features = oracle.matrix("feat");
        for name in ["logme", "logme_11", "hscore", "hscore_shrunk", "transrate", "transrate_weighted"] {
            let found =
                method(name).unwrap().score(features.view(), &oracle.labels, None, Seed(0)).value.unwrap();
            assert!((found - oracle.label_value("feat", name)).abs() < 1e-8, "{name}");
        }
    }
}
