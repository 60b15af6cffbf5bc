//! Proportions: Wilson's interval, standard errors of an accuracy and of a paired difference.

use super::distributions::normal_quantile;
use super::{CONFIDENCE, Estimate, Undefined};

/// Wilson's score interval (1927) of `successes` in `n` at [`CONFIDENCE`].
///
/// # Errors
/// [`Undefined`] if n is 0 or there are more successes than trials.
pub fn wilson(successes: usize, n: usize) -> Result<Estimate, Undefined> {
    if n == 0 {
        return Err(Undefined::NoObservations);
    }
    if successes > n {
        let value = successes as f64;
        return Err(Undefined::OutOfRange {
            name: "successes",
            value,
            expected: "at most the number of trials",
        });
    }
    let count = n as f64;
    let value = successes as f64 / count;
    let z = normal_quantile(f64::midpoint(1.0, CONFIDENCE));
    let scale = 1.0 + z * z / count;
    let centre = (value + z * z / (2.0 * count)) / scale;
    let half = z / scale * (value * (1.0 - value) / count + z * z / (4.0 * count * count)).sqrt();
    let standard_error = accuracy_standard_error(value, n)?;
    Ok(Estimate { value, low: (centre - half).max(0.0), high: (centre + half).min(1.0), standard_error, n })
}

/// The standard error of an accuracy measured on n examples: sqrt(p (1 - p) / n).
///
/// # Errors
/// [`Undefined`] if n is 0 or the accuracy is not in [0, 1].
pub fn accuracy_standard_error(accuracy: f64, n: usize) -> Result<f64, Undefined> {
    if n == 0 {
        return Err(Undefined::NoObservations);
    }
    if !(0.0..=1.0).contains(&accuracy) {
        return Err(Undefined::OutOfRange { name: "accuracy", value: accuracy, expected: "between 0 and 1" });
    }
    Ok((accuracy * (1.0 - accuracy) / n as f64).sqrt())
}

/// The standard error of the difference of two accuracies measured on the same n examples, of
/// which `first_only` are right in the first condition only and `second_only` in the second only:
/// sqrt(((b + c) / n - ((b - c) / n)^2) / n).
///
/// # Errors
/// [`Undefined`] if n is 0 or smaller than the discordant examples.
pub fn paired_standard_error(first_only: usize, second_only: usize, n: usize) -> Result<f64, Undefined> {
    if n == 0 {
        return Err(Undefined::NoObservations);
    }
    if first_only + second_only > n {
        let value = (first_only + second_only) as f64;
        let expected = "at most the number of examples";
        return Err(Undefined::OutOfRange { name: "discordant examples", value, expected });
    }
    let (b, c, n) = (first_only as f64, second_only as f64, n as f64);
    Ok((((b + c) / n - ((b - c) / n).powi(2)) / n).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// reference/analyses.md section 6: 90 of 100.
    #[test]
    fn wilson_of_ninety_in_a_hundred() {
        let estimate = wilson(90, 100).unwrap();
        assert!((estimate.low - 0.825_634).abs() < 5e-7, "{estimate:?}");
        assert!((estimate.high - 0.944_771).abs() < 5e-7, "{estimate:?}");
    }

    #[test]
    fn wilson_stays_within_zero_and_one() {
        assert_eq!(wilson(0, 5).unwrap().low, 0.0);
        assert_eq!(wilson(5, 5).unwrap().high, 1.0);
        assert_eq!(wilson(0, 0), Err(Undefined::NoObservations));
        assert!(matches!(wilson(6, 5), Err(Undefined::OutOfRange { .. })));
    }

    /// reference/analyses.md section 1, row 2: 90 % on SST-2's dev and test sets and on IMDB.
    #[test]
    fn the_error_of_an_accuracy_falls_with_the_test_set() {
        for (n, points) in [(872, 1.02), (1821, 0.70), (25_000, 0.19)] {
            let error = 100.0 * accuracy_standard_error(0.9, n).unwrap();
            assert!((error - points).abs() < 0.005, "{n}: {error}");
        }
    }

    /// reference/analyses.md section 6: b = 12, c = 3, n = 100; both arms at 0.85 unpaired.
    #[test]
    fn pairing_makes_the_error_smaller() {
        assert!((paired_standard_error(12, 3, 100).unwrap() - 0.037_670).abs() < 5e-7);
        let unpaired = 2_f64.sqrt() * accuracy_standard_error(0.85, 100).unwrap();
        assert!((unpaired - 0.050_498).abs() < 5e-7);
    }
}
