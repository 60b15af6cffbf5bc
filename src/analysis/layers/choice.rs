//! Choosing on validation: the best layer, the layers that cannot be told apart from it, and the
//! probability that each is the best.

use super::Error;
use super::answer::BestProbability;
use super::compare::SetComparison;
use super::study::{Condition, LayerStudy};
use crate::analysis::statistics::bootstrap::{Drawn, best_probabilities};
use crate::analysis::statistics::tied::compare_with_best;
use crate::analysis::statistics::winner::{Corrected, correct_best};
use crate::analysis::statistics::{Estimate, Undefined};
use serde::Serialize;

/// How far a layer is behind the chosen one on validation.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct LayerBehind {
    /// The layer.
    pub layer: usize,
    /// Chosen minus this one, with an interval that holds for all layers at once.
    pub difference: Estimate,
    /// Whether it cannot be told apart from the best.
    pub tied: bool,
}

pub(super) struct Choice {
    pub(super) chosen: usize,
    pub(super) seeds: Vec<u64>,
    pub(super) behind: Vec<LayerBehind>,
    pub(super) probabilities: Vec<BestProbability>,
    pub(super) corrected: Result<Corrected, Undefined>,
    /// [layer][seed] of the compared layers
    pub(super) means: Vec<Vec<f64>>,
}

pub(super) fn choose(study: &LayerStudy, validation: &SetComparison) -> Result<Choice, Error> {
    let finished: Vec<(usize, Vec<u64>)> = validation
        .conditions()
        .filter_map(|condition| condition.layer().map(|layer| (layer, validation.seeds_of(condition))))
        .collect();
    let seeds = seeds_to_compare(&finished);
    let layers: Vec<usize> = finished
        .iter()
        .filter(|(_, has)| seeds.iter().all(|seed| has.contains(seed)))
        .map(|(layer, _)| *layer)
        .collect();
    let wrap = |reason| Error::Statistic { set: study.validation.name.clone(), reason };
    let drawn: Vec<Drawn> = layers
        .iter()
        .map(|&layer| validation.drawn(&Condition::Layer(layer), &seeds))
        .collect::<Result<_, _>>()
        .map_err(wrap)?;
    let compared =
        compare_with_best(&drawn, study.resampling.confidence, validation.examples()).map_err(wrap)?;
    let best = crate::analysis::statistics::tied::best(&drawn).ok_or(Error::NoFinishedLayer)?;
    let probabilities = best_probabilities(&drawn);
    Ok(Choice {
        chosen: layers[best],
        corrected: correct_best(&drawn, study.resampling.confidence, validation.examples()),
        behind: compared
            .iter()
            .map(|row| LayerBehind { layer: layers[row.condition], difference: row.behind, tied: row.tied })
            .collect(),
        probabilities: layers
            .iter()
            .zip(probabilities)
            .map(|(&layer, probability)| BestProbability { layer, probability })
            .collect(),
        means: layers.iter().map(|&layer| validation.means_of(&Condition::Layer(layer), &seeds)).collect(),
        seeds,
    })
}

/// Layers are compared on the same seeds. Starting from all seeds, the one that the fewest layers
/// finished is set aside while that makes more cells comparable (seeds times the layers that
/// finished all of them): one failed cell takes its layer out, a seed that only half of the layers
/// have reached is left out.
fn seeds_to_compare(finished: &[(usize, Vec<u64>)]) -> Vec<u64> {
    let mut seeds: Vec<u64> = finished.iter().flat_map(|(_, seeds)| seeds.iter().copied()).collect();
    seeds.sort_unstable();
    seeds.dedup();
    let comparable = |seeds: &[u64]| {
        seeds.len() * finished.iter().filter(|(_, has)| seeds.iter().all(|seed| has.contains(seed))).count()
    };
    let mut best = seeds.clone();
    while seeds.len() > 1 {
        let layers_with = |seed: u64| finished.iter().filter(|(_, has)| has.contains(&seed)).count();
        // of equally poor seeds the last one goes
        let poorest = seeds.iter().rev().copied().min_by_key(|&seed| layers_with(seed));
        seeds.retain(|&seed| Some(seed) != poorest);
        if comparable(&seeds) > comparable(&best) {
            best.clone_from(&seeds);
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_failed_cell_takes_its_layer_out_and_not_the_seed() {
        let mut finished: Vec<(usize, Vec<u64>)> = (0..32).map(|layer| (layer, vec![1, 2, 3])).collect();
        finished[7].1 = vec![1, 3];
        assert_eq!(seeds_to_compare(&finished), [1, 2, 3]);
    }

    #[test]
    fn a_seed_that_half_of_the_layers_reached_is_set_aside() {
        let finished: Vec<(usize, Vec<u64>)> =
            (0..32).map(|layer| (layer, if layer < 16 { vec![1, 2, 3] } else { vec![1, 2] })).collect();
        assert_eq!(seeds_to_compare(&finished), [1, 2]);
    }

    #[test]
    fn layers_without_a_common_seed_leave_one_seed() {
        assert_eq!(seeds_to_compare(&[(0, vec![1]), (1, vec![2]), (2, vec![2])]), [2]);
        assert_eq!(seeds_to_compare(&[(0, vec![4])]), [4]);
    }
}
