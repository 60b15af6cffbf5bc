//! The winner's curse: the best of several conditions was picked because it looks best, so what it
//! showed is better than what it will show again.
//!
//! The bootstrap plays the pick over: in every resample some condition is the best, and it looks
//! better there than it did as observed. The mean of that surplus estimates how much the pick
//! flatters (Efron's bias estimate of a maximum). It is near [`super::power::expected_maximum`]
//! standard errors when all conditions are equal, and near zero when one stands alone.

use super::Estimate;
use super::bootstrap::{Drawn, quantile};
use super::estimate::{Undefined, moments};
use super::tied::best;
use serde::Serialize;

/// The best condition's value with and without the curse.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Corrected {
    /// Position of the best condition in the list given.
    pub condition: usize,
    /// What it showed.
    pub observed: f64,
    /// How much of that the pick flatters, at least zero.
    pub surplus: f64,
    /// Observed minus surplus. The interval holds for every condition at once, so it holds for the
    /// picked one too; n counts the examples.
    pub corrected: Estimate,
}

/// Corrects the best of `conditions` for having been picked. `examples` is the n of the estimate.
///
/// # Errors
/// [`Undefined`] without conditions or resamples.
pub fn correct_best(conditions: &[Drawn], confidence: f64, examples: usize) -> Result<Corrected, Undefined> {
    let picked = best(conditions).ok_or(Undefined::NoObservations)?;
    let resamples = conditions[picked].replicates.len();
    if resamples == 0 {
        return Err(Undefined::NoObservations);
    }
    let surplus = (0..resamples)
        .map(|resample| {
            let winner = conditions
                .iter()
                .max_by(|a, b| a.replicates[resample].total_cmp(&b.replicates[resample]))
                .map_or(0.0, |winner| winner.replicates[resample] - winner.observed);
            // a draw that moved all conditions together is no surplus of the pick
            winner - mean_shift(conditions, resample)
        })
        .sum::<f64>()
        / resamples as f64;
    let surplus = if conditions.len() == 1 { 0.0 } else { surplus.max(0.0) };
    let mut errors = Vec::new();
    for drawn in conditions {
        errors.push(moments(&drawn.replicates)?.1.unwrap_or(0.0));
    }
    let mut largest: Vec<f64> = (0..resamples)
        .map(|resample| {
            let ratio = |(drawn, error): (&Drawn, &f64)| {
                if *error > 0.0 { (drawn.replicates[resample] - drawn.observed).abs() / error } else { 0.0 }
            };
            conditions.iter().zip(&errors).map(ratio).fold(0.0, f64::max)
        })
        .collect();
    largest.sort_by(f64::total_cmp);
    let observed = conditions[picked].observed;
    let half = quantile(&largest, confidence) * errors[picked];
    let value = observed - surplus;
    let corrected = Estimate {
        value,
        low: (observed - half).min(value),
        high: observed + half,
        standard_error: errors[picked],
        n: examples,
    };
    Ok(Corrected { condition: picked, observed, surplus, corrected })
}

fn mean_shift(conditions: &[Drawn], resample: usize) -> f64 {
    let shifts = conditions.iter().map(|drawn| drawn.replicates[resample] - drawn.observed);
    shifts.sum::<f64>() / conditions.len() as f64
}

#[cfg(test)]
mod tests {
    use super::super::power::expected_maximum;
    use super::*;
    use crate::seed::{Seed, Stream};

    /// Conditions with these true values and a standard error of one, all errors independent.
    fn study(truth: &[f64], stream: &mut Stream) -> Vec<Drawn> {
        truth
            .iter()
            .map(|value| {
                let observed = value + stream.normal();
                Drawn { observed, replicates: (0..400).map(|_| observed + stream.normal()).collect() }
            })
            .collect()
    }

    /// Over many studies of equal conditions the best looks E[max] better; most of it goes.
    #[test]
    fn the_best_of_equal_conditions_loses_most_of_its_lead() {
        let mut stream = Seed(8).stream();
        let studies = 200;
        let (mut observed, mut corrected, mut covered) = (0.0, 0.0, 0);
        for _ in 0..studies {
            let result = correct_best(&study(&[0.0; 16], &mut stream), 0.95, 100).unwrap();
            observed += result.observed / f64::from(studies);
            corrected += result.corrected.value / f64::from(studies);
            covered += i32::from(result.corrected.covers(0.0));
        }
        assert!((observed - expected_maximum(16)).abs() < 0.2, "{observed}");
        assert!(corrected < 0.55 * observed, "{corrected} of {observed}");
        assert!(covered >= 184, "{covered} of {studies}");
    }

    #[test]
    fn a_clear_winner_keeps_its_value() {
        let mut stream = Seed(9).stream();
        let result = correct_best(&study(&[0.0, 0.0, 50.0, 0.0], &mut stream), 0.95, 100).unwrap();
        assert_eq!(result.condition, 2);
        assert!(result.surplus < 0.15, "{result:?}");
        assert!(result.corrected.covers(result.observed));
    }

    #[test]
    fn one_condition_was_not_picked() {
        let alone = Drawn { observed: 0.5, replicates: vec![0.4, 0.5, 0.6] };
        let result = correct_best(&[alone], 0.95, 10).unwrap();
        assert_eq!((result.surplus, result.corrected.value), (0.0, 0.5));
        assert_eq!(correct_best(&[], 0.95, 10), Err(Undefined::NoObservations));
    }
}
