//! McNemar's test (1947): do two conditions differ on the same examples? Only the discordant
//! examples, right in one condition and wrong in the other, tell.

use super::distributions::{chi_squared_one, fair_coin};
use serde::Serialize;

/// Below this many discordant examples the chi squared form is not to be trusted.
pub const EXACT_BELOW: u64 = 25;

/// Two-sided p values of one comparison.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct McNemar {
    /// Exact binomial test.
    pub exact: f64,
    /// The exact test with half the weight on the observed count (Fagerland et al., 2013).
    pub mid: f64,
    /// Edwards's continuity-corrected statistic, (|b - c| - 1)^2 / (b + c).
    pub chi_squared: f64,
    /// Its p value.
    pub chi_squared_p: f64,
}

/// `first_only` examples are right in the first condition only, `second_only` in the second only.
/// Without discordant examples nothing speaks against equality: all p are 1.
pub fn mcnemar(first_only: u64, second_only: u64) -> McNemar {
    let discordant = first_only + second_only;
    if discordant == 0 {
        return McNemar { exact: 1.0, mid: 1.0, chi_squared: 0.0, chi_squared_p: 1.0 };
    }
    let fewer = first_only.min(second_only);
    let tail: f64 = (0..=fewer).map(|k| fair_coin(k, discordant)).sum();
    let exact = (2.0 * tail).min(1.0);
    let mid = (2.0 * tail - fair_coin(fewer, discordant)).min(1.0);
    let difference = (first_only.abs_diff(second_only) as f64 - 1.0).max(0.0);
    let chi_squared = difference * difference / discordant as f64;
    McNemar { exact, mid, chi_squared, chi_squared_p: chi_squared_one(chi_squared) }
}

/// One p value from those of several seeds on the same examples, which depend on each other: twice
/// the median, which holds whatever the dependence (Rüschendorf, 1982). A single one stays as it is;
/// `None` without any.
pub fn combined(p_values: &[f64]) -> Option<f64> {
    let mut sorted = p_values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 | 1 => sorted.first().copied(),
        // the upper middle of an even number
        count => Some((2.0 * sorted[count / 2]).min(1.0)),
    }
}

/// Counts the examples that are right in the first condition only and in the second only. A score
/// counts as right when it is at least one half.
pub fn discordant(first: &[f64], second: &[f64]) -> (u64, u64) {
    first.iter().zip(second).fold((0, 0), |(b, c), (x, y)| match (*x >= 0.5, *y >= 0.5) {
        (true, false) => (b + 1, c),
        (false, true) => (b, c + 1),
        _ => (b, c),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// reference/analyses.md section 6.
    #[test]
    fn mcnemar_gives_the_golden_values() {
        let test = mcnemar(3, 12);
        assert!((test.exact - 0.035_156_25).abs() < 1e-12, "{test:?}");
        assert!((test.mid - 0.021_270_752_0).abs() < 5e-11);
        assert!((test.chi_squared - 4.266_667).abs() < 5e-7);
        assert!((test.chi_squared_p - 0.038_867_1).abs() < 5e-8);
        assert!((mcnemar(5, 15).exact - 0.041_389_465_3).abs() < 5e-11);
        assert!((mcnemar(6, 16).exact - 0.052_478_790_3).abs() < 5e-11);
    }

    #[test]
    fn mcnemar_is_symmetric_and_silent_without_discordance() {
        assert_eq!(mcnemar(3, 12), mcnemar(12, 3));
        assert_eq!(mcnemar(0, 0).exact, 1.0);
        assert_eq!(mcnemar(4, 4).exact, 1.0);
        assert!((mcnemar(4, 4).mid - 1.0).abs() < 1e-12);
        assert_eq!(mcnemar(4, 4).chi_squared, 0.0);
    }

    #[test]
    fn several_seeds_count_with_twice_their_median() {
        assert_eq!(combined(&[]), None);
        assert_eq!(combined(&[0.01]), Some(0.01));
        assert_eq!(combined(&[0.2, 0.01, 0.02]), Some(0.04));
        assert_eq!(combined(&[0.6, 0.9]), Some(1.0));
    }

    #[test]
    fn discordant_examples_are_counted_by_side() {
        assert_eq!(discordant(&[1.0, 1.0, 0.0, 0.0], &[1.0, 0.0, 1.0, 1.0]), (1, 2));
    }
}
