//! Do several methods differ over several data sets? Friedman's rank test (1937) with its
//! correction for ties, Iman and Davenport's sharper F form (1980), and Nemenyi's critical
//! difference of mean ranks (1963; Demšar, "Statistical comparisons of classifiers over multiple data
//! sets", JMLR 2006).

use super::Undefined;
use super::distributions::{chi_squared_tail, f_tail};
use super::estimate::or_reason;
use super::ranks::{average, descending};
use super::studentised_range::range_quantile;
use serde::Serialize;

/// With more methods than this the critical difference is so wide that it finds nothing: 22 ranks
/// for 32 methods on 5 data sets.
pub const METHODS_FOR_NEMENYI: usize = 10;

/// Result of Friedman's test.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Friedman {
    /// Data sets (N).
    pub sets: usize,
    /// Mean rank of each method (k of them), 1 for the best.
    pub mean_ranks: Vec<f64>,
    /// Friedman's statistic, corrected for ties.
    pub chi_squared: f64,
    /// Its p value, k - 1 degrees of freedom.
    pub p: f64,
    /// Iman and Davenport's statistic (N - 1) χ² / (N (k - 1) - χ²), or the reason why it has no
    /// value: all data sets rank the methods alike, so that its denominator is zero.
    #[serde(serialize_with = "or_reason")]
    pub iman_davenport: Result<ImanDavenport, Undefined>,
}

/// The F form of Friedman's test.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct ImanDavenport {
    /// The statistic.
    pub f: f64,
    /// Its p value, k - 1 and (k - 1)(N - 1) degrees of freedom.
    pub p: f64,
}

/// Nemenyi's critical difference.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct CriticalDifference {
    /// Mean ranks that differ by more than this differ.
    pub ranks: f64,
    /// The studentised range over sqrt 2 that it is made of.
    pub q: f64,
    /// Whether there are too many methods for it to be of use; each method against one control
    /// with Holm's correction says more then.
    pub too_many: bool,
}

/// Friedman's test of `scores[set][method]`, higher is better.
///
/// # Errors
/// [`Undefined`] for fewer than two data sets or methods, rows of unequal length, scores that are
/// not finite, and when every data set scores all methods alike.
pub fn friedman(scores: &[Vec<f64>]) -> Result<Friedman, Undefined> {
    let methods = scores.first().map_or(0, Vec::len);
    if let Some(other) = scores.iter().find(|row| row.len() != methods) {
        return Err(Undefined::Unpaired { left: methods, right: other.len() });
    }
    if scores.iter().flatten().any(|score| !score.is_finite()) {
        return Err(Undefined::NotFinite);
    }
    let mean_ranks = average(scores);
    let raw = statistic(&mean_ranks, scores.len())?;
    let (sets, k) = (scores.len() as f64, methods as f64);
    let tied: f64 = scores.iter().map(|row| tie_sum(row)).sum();
    let correction = 1.0 - tied / (sets * k * (k * k - 1.0));
    if correction <= 1e-12 {
        return Err(Undefined::NoSpread);
    }
    Ok(judged(mean_ranks, scores.len(), raw / correction))
}

/// Friedman's test from published mean ranks without ties.
///
/// # Errors
/// [`Undefined`] for fewer than two data sets or methods, or ranks that are not finite.
pub fn friedman_of_ranks(mean_ranks: &[f64], sets: usize) -> Result<Friedman, Undefined> {
    if mean_ranks.iter().any(|rank| !rank.is_finite()) {
        return Err(Undefined::NotFinite);
    }
    Ok(judged(mean_ranks.to_vec(), sets, statistic(mean_ranks, sets)?))
}

/// Nemenyi's critical difference q_α sqrt(k (k + 1) / (6 N)).
///
/// # Errors
/// [`Undefined`] without data sets, for fewer than two methods, or a level that is none.
pub fn nemenyi(methods: usize, sets: usize, alpha: f64) -> Result<CriticalDifference, Undefined> {
    if sets == 0 {
        return Err(Undefined::NoObservations);
    }
    let q = range_quantile(1.0 - alpha, methods)? / 2_f64.sqrt();
    let (k, n) = (methods as f64, sets as f64);
    let ranks = q * (k * (k + 1.0) / (6.0 * n)).sqrt();
    Ok(CriticalDifference { ranks, q, too_many: methods > METHODS_FOR_NEMENYI })
}

/// 12 N / (k (k + 1)) (Σ R² - k (k + 1)² / 4), without a correction for ties.
fn statistic(mean_ranks: &[f64], sets: usize) -> Result<f64, Undefined> {
    for (name, count) in [("methods", mean_ranks.len()), ("data sets", sets)] {
        if count < 2 {
            return Err(Undefined::OutOfRange { name, value: count as f64, expected: "at least 2" });
        }
    }
    let k = mean_ranks.len() as f64;
    let squares: f64 = mean_ranks.iter().map(|rank| rank * rank).sum();
    Ok(12.0 * sets as f64 / (k * (k + 1.0)) * (squares - k * (k + 1.0).powi(2) / 4.0))
}

fn judged(mean_ranks: Vec<f64>, sets: usize, chi_squared: f64) -> Friedman {
    let (n, freedom) = (sets as f64, (mean_ranks.len() - 1) as f64);
    let rest = n * freedom - chi_squared;
    let iman_davenport = if rest <= 1e-9 * n * freedom {
        Err(Undefined::NoSpread)
    } else {
        let f = (n - 1.0) * chi_squared / rest;
        Ok(ImanDavenport { f, p: f_tail(f, freedom, freedom * (n - 1.0)) })
    };
    Friedman { sets, mean_ranks, chi_squared, p: chi_squared_tail(chi_squared, freedom), iman_davenport }
}

/// Σ (t³ - t) over groups of t equal scores.
fn tie_sum(row: &[f64]) -> f64 {
    // a group of t ties is met once by each of its members
    let ranks = descending(row);
    ranks
        .iter()
        .map(|rank| {
            let t = ranks.iter().filter(|other| *other == rank).count() as f64;
            t * t - 1.0
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(value: f64, golden: f64, tolerance: f64) {
        assert!((value - golden).abs() < tolerance, "{value} {golden}");
    }

    fn fixture() -> Vec<Vec<f64>> {
        [
            [0.91, 0.89, 0.93, 0.90],
            [0.84, 0.82, 0.85, 0.83],
            [0.77, 0.78, 0.80, 0.76],
            [0.66, 0.64, 0.69, 0.65],
            [0.95, 0.94, 0.95, 0.93],
            [0.71, 0.70, 0.74, 0.73],
        ]
        .map(Vec::from)
        .to_vec()
    }

    /// reference/analyses.md sections 6 and 8: with and without the correction for ties.
    #[test]
    fn the_fixture_gives_the_golden_values() {
        let test = friedman(&fixture()).unwrap();
        near(test.chi_squared, 12.864_407, 5e-7);
        near(test.p, 0.004_939_2, 5e-8);
        let untied = friedman_of_ranks(&test.mean_ranks, 6).unwrap();
        near(untied.chi_squared, 12.65, 1e-9);
        near(untied.iman_davenport.unwrap().f, 11.822_430, 5e-7);
        near(nemenyi(4, 6, 0.05).unwrap().ranks, 1.914_843, 5e-7);
    }

    /// Demšar 2006, section 3.2.2: four methods on 14 data sets; reference/analyses.md section 6.
    #[test]
    fn the_published_example_comes_out() {
        let test = friedman_of_ranks(&[3.143, 2.000, 2.893, 1.964], 14).unwrap();
        near(test.chi_squared, 9.283_63, 5e-6);
        near(test.iman_davenport.unwrap().f, 3.688_89, 5e-6);
        for (alpha, golden) in [(0.05, 1.253_5), (0.10, 1.117_9)] {
            let difference = nemenyi(4, 14, alpha).unwrap();
            near(difference.ranks, golden, 2e-4);
            // the publication multiplied quantiles of three decimals
            let rounded = (1_000.0 * difference.q).round() / 1_000.0;
            near(rounded * difference.ranks / difference.q, golden, 5e-5);
        }
    }

    /// reference/analyses.md section 1, row 5.
    #[test]
    fn nemenyi_is_of_no_use_for_32_layers() {
        let difference = nemenyi(32, 5, 0.05).unwrap();
        near(difference.ranks, 22.4, 0.05);
        assert!(difference.too_many);
        assert!(!nemenyi(10, 5, 0.05).unwrap().too_many);
    }

    #[test]
    fn agreement_without_exception_has_no_f_and_equal_methods_have_no_test() {
        let alike = vec![vec![0.3, 0.2, 0.1]; 4];
        let test = friedman(&alike).unwrap();
        near(test.chi_squared, 8.0, 1e-9);
        assert_eq!(test.iman_davenport, Err(Undefined::NoSpread));
        assert_eq!(friedman(&vec![vec![0.5; 3]; 4]), Err(Undefined::NoSpread));
        assert!(friedman(&[vec![0.5, 0.6]]).is_err());
        assert!(friedman(&[vec![0.5, 0.6], vec![0.5]]).is_err());
        assert_eq!(friedman(&[vec![0.5, f64::NAN], vec![0.5, 1.0]]), Err(Undefined::NotFinite));
        assert!(friedman(&[]).is_err());
    }
}
