//! The bias-corrected and accelerated bootstrap interval (Efron, "Better bootstrap confidence
//! intervals", 1987): the percentile interval with its two quantiles moved for a median bias of the
//! resamples and for a spread that changes with the value. It stands beside the percentile interval;
//! where the two are far apart, neither is to be trusted to its last digit.

use super::Estimate;
use super::bootstrap::{Drawn, quantile};
use super::distributions::{normal, normal_quantile};
use super::estimate::{Undefined, moments};

/// The interval of a mean over examples: `parts` holds what each example adds, whose skewness is the
/// acceleration (the jackknife of a mean). Seeds that were drawn too widen the resamples, not the
/// acceleration.
///
/// # Errors
/// [`Undefined::NoSpread`] where all resamples lie on one side of the observed value or all examples
/// add the same, [`Undefined::NoObservations`] without any.
pub fn interval(drawn: &Drawn, parts: &[f64], confidence: f64) -> Result<Estimate, Undefined> {
    let (centre, _) = moments(parts)?;
    let (_, deviation) = moments(&drawn.replicates)?;
    let sum = |power: i32| parts.iter().map(|part| (part - centre).powi(power)).sum::<f64>();
    let (square, cube) = (sum(2), sum(3));
    // a resample that equals the observed value lies half on either side
    let below: f64 = drawn
        .replicates
        .iter()
        .map(|value| {
            let apart = value - drawn.observed;
            if apart.abs() <= 1e-12 { 0.5 } else { f64::from(u8::from(apart < 0.0)) }
        })
        .sum();
    let share = below / drawn.replicates.len() as f64;
    if square <= 0.0 || share <= 0.0 || share >= 1.0 {
        return Err(Undefined::NoSpread);
    }
    let (bias, acceleration) = (normal_quantile(share), cube / (6.0 * square.powf(1.5)));
    let mut sorted = drawn.replicates.clone();
    sorted.sort_by(f64::total_cmp);
    let at = |tail: f64| {
        let moved = bias + normal_quantile(tail);
        quantile(&sorted, normal(bias + moved / (1.0 - acceleration * moved)).clamp(0.0, 1.0))
    };
    let tail = (1.0 - confidence) / 2.0;
    Ok(Estimate {
        value: drawn.observed,
        low: at(tail),
        high: at(1.0 - tail),
        standard_error: deviation.unwrap_or(0.0),
        n: parts.len(),
    })
}

#[cfg(test)]
mod tests {
    use super::super::{Replicates, Resampling};
    use super::*;
    use crate::seed::Seed;

    fn drawn(parts: &[f64]) -> Drawn {
        let cells = [parts.to_vec()];
        Replicates::draw(&cells, Resampling::new(Seed(3))).unwrap().condition(&[0]).unwrap()
    }

    #[test]
    fn without_bias_and_skewness_it_is_the_percentile_interval() {
        let replicates: Vec<f64> = (-500..=500).map(f64::from).collect();
        let drawn = Drawn { observed: 0.0, replicates };
        let (found, plain) =
            (interval(&drawn, &[-1.0, 0.0, 1.0], 0.95).unwrap(), drawn.estimate(0.95, 3).unwrap());
        assert!((found.low - plain.low).abs() < 1e-6 && (found.high - plain.high).abs() < 1e-6, "{found:?}");
    }

    #[test]
    fn a_long_tail_moves_both_ends_towards_it() {
        // quantiles of the exponential distribution
        let parts: Vec<f64> = (0..40).map(|at| -(1.0 - (f64::from(at) + 0.5) / 40.0).ln()).collect();
        let (found, plain) =
            (interval(&drawn(&parts), &parts, 0.95).unwrap(), drawn(&parts).estimate(0.95, 40).unwrap());
        assert!(found.low > plain.low && found.high > plain.high, "{found:?} {plain:?}");
    }

    #[test]
    fn examples_that_are_all_alike_have_none() {
        assert_eq!(interval(&drawn(&[1.0; 9]), &[1.0; 9], 0.95), Err(Undefined::NoSpread));
    }
}
