//! How large is a difference between two sets of scores (one a seed), apart from whether it is
//! sure: standardised mean differences and the chance that one score beats another. With few seeds
//! the intervals are wide and approximate: show the scores themselves too.

use super::distributions::normal_quantile;
use super::estimate::{Undefined, moments};
use super::{CONFIDENCE, Estimate};

/// Cohen's d: the difference of means in pooled standard deviations. The interval is the
/// large-sample one of Hedges and Olkin (1985); n counts the scores of both sets.
///
/// # Errors
/// [`Undefined`] for fewer than two scores on a side, or no spread on either.
pub fn cohen_d(first: &[f64], second: &[f64]) -> Result<Estimate, Undefined> {
    let (mean_first, deviation_first) = spread(first)?;
    let (mean_second, deviation_second) = spread(second)?;
    let (n, m) = (first.len() as f64, second.len() as f64);
    let squares = (n - 1.0) * deviation_first.powi(2) + (m - 1.0) * deviation_second.powi(2);
    let pooled = (squares / (n + m - 2.0)).sqrt();
    let d = standardised(mean_first - mean_second, pooled)?;
    let variance = (n + m) / (n * m) + d * d / (2.0 * (n + m));
    Ok(around(d, variance.sqrt(), first.len() + second.len()))
}

/// Hedges's g: [`cohen_d`] without its bias for few scores, by the factor 1 - 3 / (4 (n + m) - 9).
///
/// # Errors
/// As [`cohen_d`].
pub fn hedges_g(first: &[f64], second: &[f64]) -> Result<Estimate, Undefined> {
    let d = cohen_d(first, second)?;
    let factor = 1.0 - 3.0 / (4.0 * d.n as f64 - 9.0);
    Ok(around(d.value * factor, d.standard_error * factor, d.n))
}

/// d_z: the mean of paired differences in their standard deviations. The interval is the
/// large-sample one, variance 1 / n + d² / 2n.
///
/// # Errors
/// [`Undefined`] for unequal lengths, fewer than two pairs, or differences that are all equal.
pub fn d_z(first: &[f64], second: &[f64]) -> Result<Estimate, Undefined> {
    if first.len() != second.len() {
        return Err(Undefined::Unpaired { left: first.len(), right: second.len() });
    }
    let differences: Vec<f64> = first.iter().zip(second).map(|(a, b)| a - b).collect();
    let (mean, deviation) = spread(&differences)?;
    let d = standardised(mean, deviation)?;
    let n = first.len() as f64;
    Ok(around(d, (1.0 / n + d * d / (2.0 * n)).sqrt(), first.len()))
}

/// Cliff's δ (1993): the share of pairs in which the first score is the larger one minus the share
/// in which it is the smaller one, with Cliff's asymmetric interval (Feng and Cliff, 2004). Where no
/// pair contradicts another (δ is 1 or -1) the interval reaches to (n - z²) / (n + z²), n the smaller
/// number of scores, and the standard error is what its width stands for.
///
/// # Errors
/// [`Undefined`] for fewer than two scores on a side or a score that is not finite.
pub fn cliff_delta(first: &[f64], second: &[f64]) -> Result<Estimate, Undefined> {
    spread(first)?;
    spread(second)?;
    let (n, m) = (first.len() as f64, second.len() as f64);
    let sign = |a: f64, b: f64| f64::from(i8::from(a > b) - i8::from(a < b));
    let of_first: Vec<f64> =
        first.iter().map(|&a| second.iter().map(|&b| sign(a, b)).sum::<f64>() / m).collect();
    let of_second: Vec<f64> =
        second.iter().map(|&b| first.iter().map(|&a| sign(a, b)).sum::<f64>() / n).collect();
    let delta = of_first.iter().sum::<f64>() / n;
    let around_delta = |shares: &[f64]| shares.iter().map(|share| (share - delta).powi(2)).sum::<f64>();
    let pairs: f64 =
        first.iter().flat_map(|&a| second.iter().map(move |&b| (sign(a, b) - delta).powi(2))).sum();
    let unbiased = (m * m * around_delta(&of_first) + n * n * around_delta(&of_second) - pairs)
        / (n * m * (n - 1.0) * (m - 1.0));
    let z = normal_quantile(f64::midpoint(1.0, CONFIDENCE));
    let count = first.len() + second.len();
    if delta.abs() >= 1.0 {
        let smaller = n.min(m);
        let inner = (smaller - z * z) / (smaller + z * z);
        let (low, high) = if delta > 0.0 { (inner, 1.0) } else { (-1.0, -inner) };
        return Ok(Estimate { value: delta, low, high, standard_error: (high - low) / (2.0 * z), n: count });
    }
    // Cliff's least value keeps the unbiased estimate from zero and below
    let variance = unbiased.max((1.0 - delta * delta) / (n * m - 1.0));
    let centre = delta - delta.powi(3);
    let half = z * variance.sqrt() * ((1.0 - delta * delta).powi(2) + z * z * variance).sqrt();
    let scale = 1.0 - delta * delta + z * z * variance;
    let low = ((centre - half) / scale).clamp(-1.0, delta);
    let high = ((centre + half) / scale).clamp(delta, 1.0);
    Ok(Estimate { value: delta, low, high, standard_error: variance.sqrt(), n: count })
}

/// A12 (Vargha and Delaney, 2000): the chance that a score of the first beats one of the second,
/// ties counted half; (δ + 1) / 2.
///
/// # Errors
/// As [`cliff_delta`].
pub fn a12(first: &[f64], second: &[f64]) -> Result<Estimate, Undefined> {
    let delta = cliff_delta(first, second)?;
    let half = |value: f64| f64::midpoint(value, 1.0);
    Ok(Estimate {
        value: half(delta.value),
        low: half(delta.low),
        high: half(delta.high),
        standard_error: delta.standard_error / 2.0,
        n: delta.n,
    })
}

fn spread(values: &[f64]) -> Result<(f64, f64), Undefined> {
    let (mean, deviation) = moments(values)?;
    Ok((mean, deviation.ok_or(Undefined::OneObservation)?))
}

fn standardised(difference: f64, deviation: f64) -> Result<f64, Undefined> {
    // equal scores whose mean was rounded
    if deviation <= 1e-12 * difference.abs().max(1e-300) || deviation < 1e-14 {
        return Err(Undefined::NoSpread);
    }
    Ok(difference / deviation)
}

fn around(value: f64, standard_error: f64, n: usize) -> Estimate {
    let half = normal_quantile(f64::midpoint(1.0, CONFIDENCE)) * standard_error;
    Estimate { value, low: value - half, high: value + half, standard_error, n }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: [f64; 5] = [0.90, 0.91, 0.92, 0.88, 0.93];
    const B: [f64; 5] = [0.89, 0.905, 0.90, 0.91, 0.88];

    fn near(estimate: Result<Estimate, Undefined>, golden: f64) {
        let value = estimate.unwrap().value;
        assert!((value - golden).abs() < 5e-7, "{value} {golden}");
    }

    /// reference/analyses.md section 6.
    #[test]
    fn a_against_b_has_the_golden_effect_sizes() {
        near(cohen_d(&A, &B), 0.685_495);
        near(hedges_g(&A, &B), 0.619_156);
        near(d_z(&A, &B), 0.381_816);
        near(cliff_delta(&A, &B), 0.4);
        near(a12(&A, &B), 0.7);
    }

    #[test]
    fn swapping_the_sets_turns_the_sign() {
        for of in [cohen_d, hedges_g, d_z, cliff_delta] {
            let (there, back) = (of(&A, &B).unwrap(), of(&B, &A).unwrap());
            assert!((there.value + back.value).abs() < 1e-12);
            assert!((there.low + back.high).abs() < 1e-12, "{there:?} {back:?}");
        }
    }

    #[test]
    fn intervals_cover_their_values_and_stay_in_range() {
        for (first, second) in [(&A[..], &B[..]), (&[0.1, 0.2, 0.3], &[0.7, 0.8, 0.9, 1.0])] {
            let delta = cliff_delta(first, second).unwrap();
            assert!(delta.covers(delta.value) && delta.low >= -1.0 && delta.high <= 1.0, "{delta:?}");
            assert!(delta.high > delta.low, "{delta:?}");
            let a = a12(first, second).unwrap();
            assert!(a.low >= 0.0 && a.high <= 1.0);
        }
    }

    #[test]
    fn no_spread_and_no_pairs_say_so() {
        assert_eq!(cohen_d(&[0.5, 0.5], &[0.4, 0.4]), Err(Undefined::NoSpread));
        assert_eq!(d_z(&[0.5, 0.6], &[0.4, 0.5]), Err(Undefined::NoSpread));
        assert_eq!(d_z(&[0.5], &[0.4, 0.5]), Err(Undefined::Unpaired { left: 1, right: 2 }));
        assert_eq!(cliff_delta(&[0.5], &[0.4]), Err(Undefined::OneObservation));
        assert_eq!(hedges_g(&[0.5, f64::NAN], &[0.4, 0.5]), Err(Undefined::NotFinite));
    }
}
