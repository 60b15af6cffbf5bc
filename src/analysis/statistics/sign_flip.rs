//! The sign-flip permutation test of paired differences, one a seed: under the null hypothesis
//! each difference might as well have had the other sign.

use super::Undefined;
use super::estimate::moments;
use crate::seed::Seed;
use serde::Serialize;

/// Up to this many differences all 2^n signs are tried.
pub const EXACT_UP_TO: usize = 20;
/// Fewer seeds than this cannot reach p < 0.05 in the two-sided test: 2 / 2^5 = 0.0625.
pub const SEEDS_FOR_FIVE_PERCENT: usize = 6;
const RANDOM_FLIPS: u64 = 100_000;

/// Result of the test.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct SignFlip {
    /// Mean difference.
    pub mean: f64,
    /// p of a mean at least as large.
    pub one_sided: f64,
    /// p of a mean at least as far from zero.
    pub two_sided: f64,
    /// The smallest two-sided p that this many differences can reach.
    pub smallest: f64,
    /// Whether all sign patterns were tried.
    pub exact: bool,
}

/// The smallest two-sided p that n differences can reach: 2 / 2^n, and no less than the random
/// flips resolve.
pub fn smallest_two_sided(n: usize) -> f64 {
    if n > EXACT_UP_TO { 1.0 / (RANDOM_FLIPS + 1) as f64 } else { (2.0 / 2_f64.powi(n as i32)).min(1.0) }
}

/// Tests whether the mean of `differences` is zero. `seed` matters beyond [`EXACT_UP_TO`] only,
/// where 100 000 random flips give (r + 1) / (B + 1).
///
/// # Errors
/// [`Undefined`] for no differences or one that is not finite.
pub fn sign_flip(differences: &[f64], seed: Seed) -> Result<SignFlip, Undefined> {
    let (mean, _) = moments(differences)?;
    let n = differences.len();
    let observed: f64 = differences.iter().sum();
    // equal sums must count as equal whatever their rounding
    let slack = 1e-12 * differences.iter().map(|d| d.abs()).sum::<f64>();
    let exact = n <= EXACT_UP_TO;
    let (mut larger, mut farther) = (0_u64, 0_u64);
    let mut count = |sum: f64| {
        larger += u64::from(sum >= observed - slack);
        farther += u64::from(sum.abs() >= observed.abs() - slack);
    };
    let (one_sided, two_sided) = if exact {
        let patterns = 1_u64 << n;
        for pattern in 0..patterns {
            count(flipped(differences, |i| pattern >> i & 1 == 1));
        }
        (larger as f64 / patterns as f64, farther as f64 / patterns as f64)
    } else {
        let mut stream = seed.derive("sign flip").stream();
        for _ in 0..RANDOM_FLIPS {
            let signs: Vec<u32> = (0..n.div_ceil(32)).map(|_| stream.word()).collect();
            count(flipped(differences, |i| signs[i / 32] >> (i % 32) & 1 == 1));
        }
        let total = (RANDOM_FLIPS + 1) as f64;
        ((larger + 1) as f64 / total, (farther + 1) as f64 / total)
    };
    Ok(SignFlip { mean, one_sided, two_sided, smallest: smallest_two_sided(n), exact })
}

fn flipped(differences: &[f64], negative: impl Fn(usize) -> bool) -> f64 {
    differences.iter().enumerate().map(|(i, d)| if negative(i) { -d } else { *d }).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// reference/analyses.md sections 2 and 6: A against B.
    #[test]
    fn a_against_b_gives_the_golden_values() {
        let a = [0.90, 0.91, 0.92, 0.88, 0.93];
        let b = [0.89, 0.905, 0.90, 0.91, 0.88];
        let differences: Vec<f64> = a.iter().zip(b).map(|(a, b)| a - b).collect();
        let test = sign_flip(&differences, Seed(0)).unwrap();
        assert!((test.mean - 0.011).abs() < 1e-12);
        assert_eq!((test.one_sided, test.two_sided, test.exact), (0.25, 0.5, true));
    }

    /// reference/analyses.md section 1, row 4, and section 8.
    #[test]
    fn fewer_than_six_seeds_cannot_reach_five_percent() {
        for (n, p) in
            [(3, 0.25), (4, 0.125), (5, 0.0625), (6, 0.031_25), (8, 0.007_812_5), (10, 0.001_953_125)]
        {
            assert_eq!(smallest_two_sided(n), p);
            assert_eq!(sign_flip(&vec![1.0; n], Seed(0)).unwrap().two_sided, p);
        }
        assert!(smallest_two_sided(SEEDS_FOR_FIVE_PERCENT) < 0.05);
        assert!(smallest_two_sided(SEEDS_FOR_FIVE_PERCENT - 1) > 0.05);
    }

    #[test]
    fn random_flips_agree_with_the_normal_approximation() {
        // 24 differences of mean 0.3 and unit root mean square: z = 0.3 sqrt 24 = 1.47, p = 0.142
        let differences: Vec<f64> = (0..24).map(|i| if i % 2 == 0 { 1.253_94 } else { -0.653_94 }).collect();
        let test = sign_flip(&differences, Seed(1)).unwrap();
        assert!(!test.exact);
        assert!((test.two_sided - 0.142).abs() < 0.03, "{test:?}");
    }

    #[test]
    fn no_difference_is_no_evidence() {
        assert_eq!(sign_flip(&[0.0, 0.0, 0.0], Seed(0)).unwrap().two_sided, 1.0);
        assert_eq!(sign_flip(&[], Seed(0)), Err(Undefined::NoObservations));
    }
}
