//! The control task (Hewitt and Liang, "Designing and interpreting probes with control tasks", EMNLP
//! 2019): labels that are a fixed random function of an example's type. A probe can only learn them
//! by heart, so what it gains on the real labels beyond them is due to the features.
//!
//! Sentences have no repeated types; their type here is the first word. The random labels keep the
//! proportions of the real ones.

use super::super::scores::{Labelled, Undefined};
use super::super::statistics::bootstrap::{Resampling, Tested, paired_difference};
use super::linear::{LinearProbe, probe};
use crate::seed::Seed;
use ndarray::ArrayView2;
use std::collections::BTreeMap;

/// The type of a text: its first word in lower case, without punctuation around it.
pub fn first_word(text: &str) -> u64 {
    let word = text.split_whitespace().next().unwrap_or_default().to_lowercase();
    Seed(0).derive(word.trim_matches(|letter: char| !letter.is_alphanumeric())).0
}

/// A fixed random function from types to labels with the proportions of real labels.
pub struct ControlTask {
    known: BTreeMap<u64, u32>,
    labels: Vec<u32>,
    seed: Seed,
}

impl ControlTask {
    /// From the real labels and the types of the training examples. Types draw their label one after
    /// the other, the most frequent ones first, with chances by how many examples each label still
    /// wants: draws that know nothing of each other would leave one label with many more examples
    /// than it really has, and a probe would win by always saying that one.
    pub fn new(labels: &[u32], types: &[u64], seed: Seed) -> Self {
        let seed = seed.derive("control task");
        let mut wanted: BTreeMap<u32, f64> = BTreeMap::new();
        for label in labels {
            *wanted.entry(*label).or_default() += 1.0;
        }
        let mut counts: BTreeMap<u64, usize> = BTreeMap::new();
        for of in types {
            *counts.entry(*of).or_default() += 1;
        }
        let mut order: Vec<(usize, u64, u64)> =
            counts.into_iter().map(|(of, count)| (count, seed.derive(&of.to_string()).0, of)).collect();
        order.sort_unstable_by(|a, b| b.cmp(a));
        let mut stream = seed.stream();
        let mut known = BTreeMap::new();
        for (count, _, of) in order {
            let room: f64 = wanted.values().map(|wanted| wanted.max(0.0)).sum();
            let mut place = stream.uniform() * room;
            let drawn = wanted.iter().find(|(_, wanted)| {
                place -= wanted.max(0.0);
                place < 0.0
            });
            // none is found where rounding used up the room
            let Some(label) = drawn.or_else(|| wanted.iter().next()).map(|(label, _)| *label) else { break };
            wanted.entry(label).and_modify(|wanted| *wanted -= count as f64);
            known.insert(of, label);
        }
        Self { known, labels: labels.to_vec(), seed }
    }

    /// The label of a type. One that training does not have draws from the real labels; `None` only
    /// where training had no example.
    pub fn label(&self, of: u64) -> Option<u32> {
        let draw = || {
            let at = self.seed.derive(&of.to_string()).stream().below(self.labels.len().max(1));
            self.labels.get(at).copied()
        };
        self.known.get(&of).copied().or_else(draw)
    }
}

/// Examples of one split.
#[derive(Clone, Copy)]
pub struct Examples<'a> {
    /// `[N, D]`.
    pub features: ArrayView2<'a, f64>,
    /// `[N]`.
    pub labels: &'a [u32],
    /// `[N]`, for instance by [`first_word`].
    pub types: &'a [u64],
}

/// How much better a probe does on the real labels than on the control task.
#[derive(Clone, Debug)]
pub struct Selectivity {
    /// The probe of the real labels.
    pub real: LinearProbe,
    /// The probe of the control labels.
    pub control: LinearProbe,
    /// Accuracy on the real labels minus that on the control labels, paired by example.
    pub difference: Tested,
}

/// Fits both probes on `train` and compares them on `evaluated`.
///
/// # Errors
/// As [`probe`], and where the control labels of the training examples are all the same.
pub fn selectivity<'a>(
    train: Examples<'a>,
    evaluated: Examples<'a>,
    seed: Seed,
) -> Result<Selectivity, Undefined> {
    for split in [&train, &evaluated] {
        if split.types.len() != split.labels.len() {
            return Err(Undefined::Lengths { rows: split.types.len(), labels: split.labels.len() });
        }
    }
    let real =
        probe(&Labelled::new(train.features, train.labels)?, evaluated.features, evaluated.labels, seed)?;
    let task = ControlTask::new(train.labels, train.types, seed);
    let control_labels =
        |split: Examples<'_>| -> Vec<u32> { split.types.iter().filter_map(|of| task.label(*of)).collect() };
    let fitted = control_labels(train);
    let control = Labelled::new(train.features, &fitted)?;
    let control = probe(&control, evaluated.features, &control_labels(evaluated), seed)?;
    let scores = |probe: &LinearProbe| -> Vec<f64> {
        probe.right.iter().map(|right| f64::from(u8::from(*right))).collect()
    };
    let resampling = Resampling::new(seed.derive("selectivity"));
    let difference = paired_difference(&[scores(&real)], &[scores(&control)], resampling)
        .map_err(|_| Undefined::TooFew { n: evaluated.labels.len(), least: 1 })?;
    Ok(Selectivity { real, control, difference })
}

#[cfg(test)]
mod tests {
    use super::super::super::scores::synthetic::{normal, shifted};
    use super::*;

    #[test]
    fn the_first_word_ignores_case_and_punctuation() {
        assert_eq!(first_word("  \"The film"), first_word("the end"));
        assert_ne!(first_word("a film"), first_word("the film"));
        assert_eq!(first_word(""), first_word("  ...  "));
    }

    #[test]
    fn control_labels_are_a_function_of_the_type_and_keep_the_proportions() {
        let labels: Vec<u32> = (0..1_000).map(|at| u32::from(at >= 700)).collect();
        let types: Vec<u64> = (0..1_000).map(|at| at % 60).collect();
        let task = ControlTask::new(&labels, &types, Seed(3));
        assert_eq!(task.label(17), ControlTask::new(&labels, &types, Seed(3)).label(17));
        let ones = types.iter().filter(|of| task.label(**of) == Some(1)).count() as f64 / 1_000.0;
        assert!((ones - 0.3).abs() < 0.04, "{ones}");
        let unseen = (100..4_100).filter(|of| task.label(*of) == Some(1)).count() as f64 / 4_000.0;
        assert!((unseen - 0.3).abs() < 0.03, "{unseen}");
    }

    /// reference/analyses.md section 4.7: random features are not selective; features that tell the
    /// label are.
    #[test]
    fn random_features_are_not_selective_and_telling_ones_are() {
        let (x, labels) = shifted(300, 5, 4.0, 1);
        let (other, gold) = shifted(200, 5, 4.0, 2);
        let types: Vec<u64> = (0..300).map(|at| at % 40).collect();
        let run = |x: &ndarray::Array2<f64>, other: &ndarray::Array2<f64>| {
            let train = Examples { features: x.view(), labels: &labels, types: &types };
            let evaluated = Examples { features: other.view(), labels: &gold, types: &types[..200] };
            selectivity(train, evaluated, Seed(1)).unwrap().difference.estimate
        };
        assert!(run(&x, &other).low > 0.2);
        let noise = run(&normal(300, 5, 3), &normal(200, 5, 4));
        assert!(noise.covers(0.0), "{noise:?}");
    }
}
