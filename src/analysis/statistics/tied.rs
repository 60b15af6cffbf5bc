//! Which conditions cannot be told apart from the best one.
//!
//! The best of L was picked because it looks best, so an interval made for one difference chosen
//! beforehand leaves out a layer too easily: of 32 equal layers it would call several worse. The
//! intervals here hold for all pairs at once: their half width is the 95% quantile of the largest
//! centred difference between any two conditions in a resample, in standard errors (Tukey's range
//! with the bootstrap in place of its table). When all conditions are equal, all are tied in about
//! 95% of studies.

use super::Estimate;
use super::bootstrap::{Drawn, quantile};
use super::estimate::{Undefined, moments};
use serde::Serialize;

/// How a condition stands to the best one.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct ToBest {
    /// Position of the condition in the list given.
    pub condition: usize,
    /// Best minus this one, with an interval that holds for all conditions at once.
    pub behind: Estimate,
    /// Whether that interval covers zero; true for the best itself.
    pub tied: bool,
}

/// Position of the largest observed value; of equal ones the last (the deeper layer, which is the
/// published choice).
pub fn best(conditions: &[Drawn]) -> Option<usize> {
    (0..conditions.len()).max_by(|&a, &b| {
        let (a, b) = (conditions[a].observed, conditions[b].observed);
        // means that differ in rounding only are equal
        if (a - b).abs() < 1e-12 { std::cmp::Ordering::Equal } else { a.total_cmp(&b) }
    })
}

/// Compares every condition with the best one. `examples` is the n of the estimates.
///
/// # Errors
/// [`Undefined::NoObservations`] without conditions.
pub fn compare_with_best(
    conditions: &[Drawn],
    confidence: f64,
    examples: usize,
) -> Result<Vec<ToBest>, Undefined> {
    let best = best(conditions).ok_or(Undefined::NoObservations)?;
    let count = conditions.len();
    let error = |a: usize, b: usize| -> Result<f64, Undefined> {
        let differences: Vec<f64> =
            conditions[a].replicates.iter().zip(&conditions[b].replicates).map(|(x, y)| x - y).collect();
        Ok(moments(&differences)?.1.unwrap_or(0.0))
    };
    let mut errors = vec![0.0; count * count];
    for a in 0..count {
        for b in 0..a {
            errors[a * count + b] = error(a, b)?;
            errors[b * count + a] = errors[a * count + b];
        }
    }
    floor_at_median(&mut errors, count);
    let mut largest: Vec<f64> = (0..conditions[best].replicates.len())
        .map(|resample| {
            let centred: Vec<f64> =
                conditions.iter().map(|drawn| drawn.replicates[resample] - drawn.observed).collect();
            largest_ratio(&centred, &errors)
        })
        .collect();
    largest.sort_by(f64::total_cmp);
    let reach = quantile(&largest, confidence);
    Ok((0..count)
        .map(|condition| {
            let value = conditions[best].observed - conditions[condition].observed;
            let standard_error = errors[best * count + condition];
            let half = reach * standard_error;
            let behind =
                Estimate { value, low: value - half, high: value + half, standard_error, n: examples };
            ToBest { condition, behind, tied: condition == best || behind.low <= 0.0 }
        })
        .collect())
}

/// A standard error from a few seeds can be small by luck, and the largest of many ratios finds
/// it: no pair counts as surer than the median pair.
fn floor_at_median(errors: &mut [f64], count: usize) {
    let mut pairs: Vec<f64> =
        (0..count).flat_map(|a| (0..a).map(move |b| a * count + b)).map(|at| errors[at]).collect();
    if pairs.is_empty() {
        return;
    }
    pairs.sort_by(f64::total_cmp);
    let median = quantile(&pairs, 0.5);
    for a in 0..count {
        for b in 0..count {
            if a != b {
                errors[a * count + b] = errors[a * count + b].max(median);
            }
        }
    }
}

fn largest_ratio(centred: &[f64], errors: &[f64]) -> f64 {
    let count = centred.len();
    let mut largest = 0.0_f64;
    for a in 0..count {
        for b in 0..a {
            let error = errors[a * count + b];
            if error > 0.0 {
                largest = largest.max((centred[a] - centred[b]).abs() / error);
            }
        }
    }
    largest
}

#[cfg(test)]
mod tests {
    use super::super::bootstrap::{Replicates, Resampling, best_probabilities};
    use super::*;
    use crate::seed::Seed;

    /// L layers of the given accuracies, S seeds, N examples; each example has its own difficulty
    /// and each cell its own luck.
    fn study(accuracies: &[f64], seeds: usize, examples: usize, seed: Seed) -> (Vec<Drawn>, usize) {
        let mut stream = seed.stream();
        let difficulty: Vec<f64> = (0..examples).map(|_| stream.normal()).collect();
        let cells: Vec<Vec<f64>> = accuracies
            .iter()
            .flat_map(|accuracy| std::iter::repeat_n(*accuracy, seeds))
            .map(|accuracy| {
                let shift = 0.03 * stream.normal() + 2.0 * (accuracy - 0.5) * 1.8;
                difficulty
                    .iter()
                    .map(|hard| f64::from(u8::from(shift + 0.6 * stream.normal() > *hard)))
                    .collect()
            })
            .collect();
        let resampling = Resampling { resamples: 400, ..Resampling::new(seed) };
        let replicates = Replicates::draw(&cells, resampling).unwrap();
        let drawn = (0..accuracies.len())
            .map(|layer| {
                replicates.condition(&(layer * seeds..(layer + 1) * seeds).collect::<Vec<_>>()).unwrap()
            })
            .collect();
        (drawn, examples)
    }

    /// reference/analyses.md section 6: all layers equal, so all are tied in at least 95% of
    /// studies and P(best) is about 1/L.
    #[test]
    fn equal_layers_are_tied_all_of_them() {
        let studies = 60;
        let mut whole = 0;
        let mut probability = 0.0;
        for number in 0..studies {
            let (drawn, n) = study(&[0.8; 8], 3, 300, Seed(number));
            let compared = compare_with_best(&drawn, 0.95, n).unwrap();
            whole += usize::from(compared.iter().all(|layer| layer.tied));
            probability += best_probabilities(&drawn)[0] / studies as f64;
        }
        // 95% of 60 are 57; three binomial standard errors are 5
        assert!(whole >= 52, "{whole} of {studies}");
        assert!((probability - 0.125).abs() < 0.06, "{probability}");
    }

    #[test]
    fn a_clear_winner_stands_alone() {
        let (drawn, n) = study(&[0.6, 0.62, 0.95, 0.6], 3, 400, Seed(5));
        let compared = compare_with_best(&drawn, 0.95, n).unwrap();
        assert_eq!(best(&drawn), Some(2));
        let tied: Vec<usize> =
            compared.iter().filter(|layer| layer.tied).map(|layer| layer.condition).collect();
        assert_eq!(tied, [2]);
        assert!(compared[0].behind.low > 0.0 && compared[2].behind.value == 0.0);
    }

    #[test]
    fn one_layer_is_the_best_and_identical_layers_tie() {
        let (drawn, n) = study(&[0.8], 1, 50, Seed(1));
        assert!(compare_with_best(&drawn, 0.95, n).unwrap()[0].tied);
        let twins = vec![drawn[0].clone(), drawn[0].clone()];
        assert!(compare_with_best(&twins, 0.95, n).unwrap().iter().all(|layer| layer.tied));
        assert_eq!(best(&twins), Some(1));
        assert_eq!(compare_with_best(&[], 0.95, n), Err(Undefined::NoObservations));
    }
}
