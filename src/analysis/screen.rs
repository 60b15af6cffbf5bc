//! What a screen kept and what it would have missed: kept layers by a cheap score, and, where the
//! full training of the others exists too, regret and recovery of the screen. Numbers of the screen
//! and of the full training never stand in one ranking.

use super::layers::{Condition, LayerStudy};
use crate::train::metrics::Direction;
use crate::words::words;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

words! {
    /// What a round ranks layers by.
    Criterion, "criterion" {
        /// Validation accuracy after a shorter or partial training, the mean over seeds.
        Validation = "validation",
        /// Mean rank under scores that need no training, 1 is best.
        MeanRank = "mean rank",
    }
}

impl Criterion {
    /// Which way is better.
    pub fn direction(self) -> Direction {
        match self {
            Self::Validation => Direction::Higher,
            Self::MeanRank => Direction::Lower,
        }
    }
}

/// What a screen did, as it is kept beside the study that followed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Screened {
    /// Version of the file.
    pub schema_version: u32,
    /// The screen's word.
    pub screen: String,
    /// The last layer, which is never pruned.
    pub last: usize,
    /// Layers before the first round.
    pub layers: Vec<usize>,
    /// The rounds in order.
    pub rounds: Vec<Round>,
}

/// One round of a screen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Round {
    /// Directory of the round's own study or scores, below the directory of all outputs.
    pub study: String,
    /// What its numbers are.
    pub criterion: Criterion,
    /// Every layer's number.
    pub scores: BTreeMap<usize, f64>,
    /// Layers that went on.
    pub kept: Vec<usize>,
}

impl Screened {
    /// Version of the file that this program writes and reads.
    pub const SCHEMA_VERSION: u32 = 2;

    /// Layers that were trained in full.
    pub fn kept(&self) -> &[usize] {
        self.rounds.last().map_or(&self.layers, |round| &round.kept)
    }
}

/// Validation of every layer in a round, the mean over its seeds; only layers with as many seeds as
/// the best covered one, since a lucky seed alone would count for more.
pub fn layer_scores(study: &LayerStudy) -> BTreeMap<usize, f64> {
    let mut seeds: BTreeMap<usize, Vec<f64>> = BTreeMap::new();
    for cell in &study.cells {
        if let Condition::Layer(layer) = cell.condition
            && !cell.validation.scores.is_empty()
        {
            let scores = &cell.validation.scores;
            seeds.entry(layer).or_default().push(scores.iter().sum::<f64>() / scores.len() as f64);
        }
    }
    let most = seeds.values().map(Vec::len).max().unwrap_or(0);
    let whole = seeds.into_iter().filter(|(_, seeds)| seeds.len() == most);
    whole.map(|(layer, seeds)| (layer, seeds.iter().sum::<f64>() / seeds.len() as f64)).collect()
}

/// The `keep` layers with the best scores and the last layer, ascending; of equal layers the later.
pub fn kept(scores: &BTreeMap<usize, f64>, by: Criterion, keep: usize, last: usize) -> Vec<usize> {
    let sign = if by.direction() == Direction::Higher { 1.0 } else { -1.0 };
    let mut order: Vec<(usize, f64)> = scores.iter().map(|(layer, score)| (*layer, sign * *score)).collect();
    order.sort_by(|a, b| b.1.total_cmp(&a.1).then(b.0.cmp(&a.0)));
    let kept: BTreeSet<usize> = order.into_iter().take(keep).map(|(layer, _)| layer).chain([last]).collect();
    kept.into_iter().collect()
}

/// What a screen would have missed, by the full training of all layers.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Missed {
    /// The best layer of all by full training.
    pub best: usize,
    /// The best of the kept layers by full training.
    pub best_kept: usize,
    /// Validation of the best minus that of the best kept, as a fraction.
    pub regret: f64,
    /// (best kept - last) / (best - last); absent where the best is not above the last layer by more
    /// than a tenth of a point, where the ratio would be noise over noise.
    pub recovery: Option<f64>,
    /// Layers that both are compared over.
    pub layers: usize,
}

/// A tenth of a point.
const NOISE: f64 = 0.001;

/// Compares kept layers with all, by full training; `None` while a layer of the screen lacks it.
pub fn missed(
    screened: &[usize],
    kept: &[usize],
    full: &BTreeMap<usize, f64>,
    last: usize,
) -> Option<Missed> {
    let scores: Vec<(usize, f64)> =
        screened.iter().map(|layer| full.get(layer).map(|score| (*layer, *score))).collect::<Option<_>>()?;
    let best_of = |among: &dyn Fn(usize) -> bool| {
        let scores = scores.iter().copied().filter(|(layer, _)| among(*layer));
        scores.reduce(|best, next| if next.1 > best.1 { next } else { best })
    };
    let (best_kept, reached) = best_of(&|layer| kept.contains(&layer))?;
    // of equal layers the kept one: nothing was missed
    let (best, top) = best_of(&|_| true).filter(|(_, top)| *top > reached).unwrap_or((best_kept, reached));
    let from = full.get(&last)?;
    Some(Missed {
        best,
        best_kept,
        regret: top - reached,
        recovery: (top - from > NOISE).then(|| (reached - from) / (top - from)),
        layers: scores.len(),
    })
}

#[cfg(test)]
mod tests {
    use super::super::layers::synthetic::{Made, hump};
    use super::*;

    #[test]
    fn the_best_and_the_last_are_kept() {
        let scores = BTreeMap::from([(0, 0.7), (1, 0.9), (2, 0.8), (3, 0.9), (4, 0.6)]);
        let best = |keep| kept(&scores, Criterion::Validation, keep, 4);
        assert_eq!((best(2), best(1)), (vec![1, 3, 4], vec![3, 4]));
        assert_eq!(kept(&scores, Criterion::MeanRank, 2, 4), [0, 4]);
        assert_eq!(kept(&BTreeMap::new(), Criterion::Validation, 2, 4), [4]);
    }

    #[test]
    fn regret_and_recovery_are_against_the_full_training_of_all() {
        let full = BTreeMap::from([(0, 0.80), (1, 0.90), (2, 0.86), (3, 0.82)]);
        let found = missed(&[0, 1, 2, 3], &[2, 3], &full, 3).unwrap();
        assert_eq!((found.best, found.best_kept, found.layers), (1, 2, 4));
        assert!((found.regret - 0.04).abs() < 1e-12 && (found.recovery.unwrap() - 0.5).abs() < 1e-12);
        let flat = BTreeMap::from([(0, 0.8005), (3, 0.80)]);
        assert_eq!(missed(&[0, 3], &[3], &flat, 3).unwrap().recovery, None);
        assert_eq!(missed(&[0, 1, 3], &[3], &flat, 3), None);
        let equal = BTreeMap::from([(0, 0.8), (3, 0.8)]);
        assert_eq!(missed(&[0, 3], &[3], &equal, 3).unwrap().best, 3);
    }

    #[test]
    fn scores_are_means_over_seeds_of_validation() {
        let study = Made::new(hump(6, 0.3)).study();
        let scores = layer_scores(&study);
        assert_eq!(scores.len(), study.layers);
        assert!(scores.values().all(|score| (0.0..=1.0).contains(score)));
    }
}
