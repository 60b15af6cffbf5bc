//! Almost stochastic order (del Barrio et al. 2018; Dror et al. 2019): by how much does one sample
//! of scores fail to be better than another at every quantile?
//!
//! The violation ratio is the share of the squared Wasserstein distance between the two samples on
//! which the first one's quantile lies below the second one's. Quantile functions of samples are
//! steps, so both integrals are sums over the steps, without a grid. 0: the first is better at every
//! quantile; 1/2: neither is; 1: the second is. The first is called almost stochastically better
//! where an upper confidence bound of the ratio lies below 1/2 (its authors advise 0.2).

use super::Undefined;
use super::bootstrap::Resampling;
use super::distributions::normal_quantile;
use super::estimate::moments;
use serde::Serialize;

/// The threshold that the authors of the test advise.
pub const ADVISED: f64 = 0.2;

/// Result of the comparison.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct AlmostOrder {
    /// The violation ratio of the two samples.
    pub ratio: f64,
    /// Its upper bound ε_min by the bootstrap.
    pub bound: f64,
    /// Level of the bound after Bonferroni's correction for the comparisons made.
    pub confidence: f64,
    /// Scores of the first sample.
    pub first: usize,
    /// Scores of the second sample.
    pub second: usize,
}

impl AlmostOrder {
    /// Whether the first is almost stochastically better.
    pub fn better(&self) -> bool {
        self.bound < 0.5
    }
}

/// The violation ratio of "the first is better", by the exact integral of the step functions. Equal
/// samples give 1/2: neither is better.
///
/// # Errors
/// [`Undefined`] for an empty sample or a score that is not finite.
pub fn violation_ratio(first: &[f64], second: &[f64]) -> Result<f64, Undefined> {
    if first.is_empty() || second.is_empty() {
        return Err(Undefined::NoObservations);
    }
    if first.iter().chain(second).any(|score| !score.is_finite()) {
        return Err(Undefined::NotFinite);
    }
    Ok(ratio(&sorted(first), &sorted(second)))
}

/// The violation ratio with its upper bound. `comparisons` is how many such comparisons the claim
/// is one of; `resampling` decides the draws and the level.
///
/// # Errors
/// [`Undefined`] as [`violation_ratio`], for fewer than two scores on a side, and for a level or a
/// number of resamples out of range.
pub fn almost_order(
    first: &[f64],
    second: &[f64],
    resampling: Resampling,
    comparisons: usize,
) -> Result<AlmostOrder, Undefined> {
    let observed = violation_ratio(first, second)?;
    if first.len() < 2 || second.len() < 2 {
        return Err(Undefined::OneObservation);
    }
    if comparisons == 0 {
        return Err(Undefined::OutOfRange { name: "comparisons", value: 0.0, expected: "at least 1" });
    }
    super::bootstrap::check(resampling)?;
    let mut stream = resampling.seed.derive("almost stochastic order").stream();
    let mut draw = |from: &[f64]| -> Vec<f64> {
        let drawn: Vec<f64> = from.iter().map(|_| from[stream.below(from.len())]).collect();
        sorted(&drawn)
    };
    let ratios: Vec<f64> = (0..resampling.resamples)
        .map(|_| {
            let (first, second) = (draw(first), draw(second));
            ratio(&first, &second)
        })
        .collect();
    let confidence = bonferroni(resampling.confidence, comparisons);
    let deviation = moments(&ratios)?.1.unwrap_or(0.0);
    let bound = (observed + normal_quantile(confidence) * deviation).clamp(0.0, 1.0);
    Ok(AlmostOrder { ratio: observed, bound, confidence, first: first.len(), second: second.len() })
}

/// The level of each of `comparisons` claims that together hold at `confidence`.
pub fn bonferroni(confidence: f64, comparisons: usize) -> f64 {
    1.0 - (1.0 - confidence) / comparisons as f64
}

fn sorted(values: &[f64]) -> Vec<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
}

/// Both samples sorted. The steps of the two quantile functions end at i / n and j / m.
fn ratio(first: &[f64], second: &[f64]) -> f64 {
    let (n, m) = (first.len(), second.len());
    let (mut i, mut j, mut at) = (0, 0, 0.0);
    let (mut violated, mut whole) = (0.0, 0.0);
    while i < n && j < m {
        // (i + 1) / n against (j + 1) / m in whole numbers, so that common ends are common
        let (left, right) = ((i + 1) * m, (j + 1) * n);
        let end = left.min(right) as f64 / (n * m) as f64;
        let difference = first[i] - second[j];
        let part = difference * difference * (end - at);
        whole += part;
        if difference < 0.0 {
            violated += part;
        }
        at = end;
        i += usize::from(left <= right);
        j += usize::from(right <= left);
    }
    if whole > 0.0 { violated / whole } else { 0.5 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Seed;

    const A: [f64; 5] = [0.90, 0.91, 0.92, 0.88, 0.93];
    const B: [f64; 5] = [0.89, 0.905, 0.90, 0.91, 0.88];

    fn resampling() -> Resampling {
        Resampling { resamples: 1_000, ..Resampling::new(Seed(3)) }
    }

    /// reference/analyses.md section 6.
    #[test]
    fn a_against_b_is_ordered_exactly() {
        assert_eq!(violation_ratio(&A, &B), Ok(0.0));
        assert_eq!(violation_ratio(&B, &A), Ok(1.0));
        assert_eq!(violation_ratio(&A, &A), Ok(0.5));
    }

    /// By hand: quantiles 0, 3 on halves against 1, 1, 2 on thirds; squares 1/3 + 1/6 x 1 below,
    /// 1/6 x 4 + 1/3 x 1 above.
    #[test]
    fn steps_of_unequal_samples_are_integrated_without_a_grid() {
        let ratio = violation_ratio(&[3.0, 0.0], &[1.0, 2.0, 1.0]).unwrap();
        assert!((ratio - 0.5 / 1.5).abs() < 1e-12, "{ratio}");
    }

    #[test]
    fn the_bound_lies_above_the_ratio_and_more_comparisons_raise_it() {
        let one = almost_order(&A, &B, resampling(), 1).unwrap();
        let ten = almost_order(&A, &B, resampling(), 10).unwrap();
        assert!(one.ratio <= one.bound && one.bound < ten.bound, "{one:?} {ten:?}");
        assert_eq!(almost_order(&A, &B, resampling(), 1), Ok(one));
        let apart = almost_order(&[0.9, 0.91, 0.92], &[0.1, 0.11, 0.12], resampling(), 1).unwrap();
        assert_eq!((apart.bound, apart.better()), (0.0, true));
    }

    /// reference/analyses.md section 1, row 8.
    #[test]
    fn ten_comparisons_need_a_level_of_995_in_a_thousand() {
        assert!((bonferroni(0.95, 10) - 0.995).abs() < 1e-12);
    }

    #[test]
    fn nothing_to_order_says_so() {
        assert_eq!(violation_ratio(&[], &A), Err(Undefined::NoObservations));
        assert_eq!(violation_ratio(&[f64::NAN], &A), Err(Undefined::NotFinite));
        assert_eq!(almost_order(&[0.5], &[0.4], resampling(), 1), Err(Undefined::OneObservation));
        assert!(almost_order(&A, &B, resampling(), 0).is_err());
    }
}
