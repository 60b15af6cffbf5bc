//! Wilcoxon's signed-rank test (1945) of paired differences: like the sign-flip test, but of ranks,
//! so that one wild difference does not decide. Differences of zero tell nothing and are left out;
//! equal sizes share their ranks. The distribution of the sum is counted exactly, ties included, up
//! to [`EXACT_UP_TO`] differences.

use super::Undefined;
use super::distributions::normal;
use serde::Serialize;

/// Up to this many differences that are not zero all 2^n signs are counted.
pub const EXACT_UP_TO: usize = 200;

/// Result of the test.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Wilcoxon {
    /// Sum of the ranks of the positive differences.
    pub positive: f64,
    /// Sum of the ranks of the negative differences.
    pub negative: f64,
    /// Differences that are not zero.
    pub n: usize,
    /// p of a positive sum at least as large.
    pub one_sided: f64,
    /// Twice the smaller tail.
    pub two_sided: f64,
    /// Whether the distribution was counted; the normal approximation (corrected for ties and
    /// continuity) otherwise.
    pub exact: bool,
}

/// Tests whether `differences` are symmetric about zero.
///
/// # Errors
/// [`Undefined`] for no differences, or one that is not finite, or when all are zero.
pub fn wilcoxon(differences: &[f64]) -> Result<Wilcoxon, Undefined> {
    if differences.is_empty() {
        return Err(Undefined::NoObservations);
    }
    if differences.iter().any(|difference| !difference.is_finite()) {
        return Err(Undefined::NotFinite);
    }
    // what differs in rounding only is equal
    let largest = differences.iter().fold(0.0_f64, |largest, difference| largest.max(difference.abs()));
    let slack = 1e-12 * largest;
    let kept: Vec<f64> = differences.iter().copied().filter(|difference| difference.abs() > slack).collect();
    if kept.is_empty() {
        return Err(Undefined::NoSpread);
    }
    let doubled = doubled_ranks(&kept, slack);
    let n = kept.len();
    let sum = |sign: fn(f64) -> bool| -> usize {
        kept.iter().zip(&doubled).filter(|(difference, _)| sign(**difference)).map(|(_, rank)| rank).sum()
    };
    let (positive, negative) = (sum(|d| d > 0.0), sum(|d| d < 0.0));
    let exact = n <= EXACT_UP_TO;
    let tail_from = |sum: usize| if exact { counted(&doubled, sum) } else { approximated(&doubled, sum) };
    let (above, below) = (tail_from(positive), tail_from(negative));
    Ok(Wilcoxon {
        positive: positive as f64 / 2.0,
        negative: negative as f64 / 2.0,
        n,
        one_sided: above,
        two_sided: (2.0 * above.min(below)).min(1.0),
        exact,
    })
}

/// Twice the ranks of the sizes, ties sharing their mean: whole numbers.
fn doubled_ranks(differences: &[f64], slack: f64) -> Vec<usize> {
    let mut order: Vec<usize> = (0..differences.len()).collect();
    let size = |at: usize| differences[at].abs();
    order.sort_by(|&a, &b| size(a).total_cmp(&size(b)));
    let mut ranks = vec![0; differences.len()];
    let mut start = 0;
    while start < order.len() {
        let mut end = start + 1;
        while end < order.len() && size(order[end]) - size(order[end - 1]) <= slack {
            end += 1;
        }
        // twice the mean of the places start + 1 ..= end
        for &at in &order[start..end] {
            ranks[at] = start + 1 + end;
        }
        start = end;
    }
    ranks
}

/// P(sum of the ranks with a positive sign >= `sum`) over all signs, as a share: `ways[s]` is the
/// share of the sign patterns of the ranks so far whose sum is s.
fn counted(doubled: &[usize], sum: usize) -> f64 {
    let total: usize = doubled.iter().sum();
    let mut shares = vec![0.0; total + 1];
    shares[0] = 1.0;
    let mut reached = 0;
    for &rank in doubled {
        reached += rank;
        for at in (0..=reached).rev() {
            let with = if at >= rank { shares[at - rank] } else { 0.0 };
            shares[at] = 0.5 * (shares[at] + with);
        }
    }
    shares[sum..].iter().sum()
}

/// The same by the normal distribution: the variance Σ r² / 4 holds with ties too.
fn approximated(doubled: &[usize], sum: usize) -> f64 {
    let ranks = || doubled.iter().map(|rank| *rank as f64 / 2.0);
    let mean = ranks().sum::<f64>() / 2.0;
    let deviation = (ranks().map(|rank| rank * rank).sum::<f64>() / 4.0).sqrt();
    normal(-(sum as f64 / 2.0 - 0.5 - mean) / deviation)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By hand: A against B of reference/analyses.md section 2 has ranks 2, 1, 3, -4, 5; 7 of the
    /// 32 sign patterns have a sum of at most 4 (scipy.stats.wilcoxon gives 0.4375 too).
    #[test]
    fn a_against_b_is_counted_by_hand() {
        let a = [0.90, 0.91, 0.92, 0.88, 0.93];
        let b = [0.89, 0.905, 0.90, 0.91, 0.88];
        let differences: Vec<f64> = a.iter().zip(b).map(|(a, b)| a - b).collect();
        let test = wilcoxon(&differences).unwrap();
        assert_eq!((test.positive, test.negative, test.n, test.exact), (11.0, 4.0, 5, true));
        assert!((test.one_sided - 7.0 / 32.0).abs() < 1e-12 && (test.two_sided - 0.4375).abs() < 1e-12);
    }

    /// Sizes 1, 1, 2 have ranks 1.5, 1.5, 3: of 8 patterns only the two with all signs alike are as
    /// far out as 6.
    #[test]
    fn ties_are_counted_exactly_and_zeros_left_out() {
        let test = wilcoxon(&[1.0, 0.0, 1.0, 2.0]).unwrap();
        assert_eq!((test.positive, test.n), (6.0, 3));
        assert!((test.two_sided - 0.25).abs() < 1e-12);
        // 0.3 - 0.2 and 0.2 - 0.1 differ in rounding and are one size
        let rounded = wilcoxon(&[0.3 - 0.2, 0.2 - 0.1, -0.5]).unwrap();
        assert_eq!((rounded.positive, rounded.negative), (3.0, 3.0));
        assert_eq!(rounded.two_sided, 1.0);
    }

    /// scipy.stats.wilcoxon, both alternatives.
    #[test]
    fn ten_differences_agree_with_scipy() {
        let test = wilcoxon(&[0.4, -0.2, 0.7, 0.1, -0.5, 0.9, 0.3, 0.8, -0.6, 1.1]).unwrap();
        assert_eq!((test.positive, test.negative), (42.0, 13.0));
        assert!((test.two_sided - 0.160_156_25).abs() < 1e-12);
        assert!((test.one_sided - 0.080_078_125).abs() < 1e-12);
    }

    #[test]
    fn the_approximation_joins_the_count() {
        let doubled: Vec<usize> = (1..=120).map(|rank| 2 * rank).collect();
        for sum in [2 * 3_630, 2 * 4_200, 2 * 4_800] {
            let (exact, normal) = (counted(&doubled, sum), approximated(&doubled, sum));
            assert!((exact - normal).abs() < 2e-4, "{exact} {normal}");
        }
    }

    #[test]
    fn nothing_to_rank_says_so() {
        assert_eq!(wilcoxon(&[]), Err(Undefined::NoObservations));
        assert_eq!(wilcoxon(&[0.0, 0.0]), Err(Undefined::NoSpread));
        assert_eq!(wilcoxon(&[0.1, f64::NAN]), Err(Undefined::NotFinite));
    }
}
