//! An estimate with its interval, the reasons why there may be none, and the mean over seeds.

use super::distributions::student_t_quantile;
use serde::{Serialize, Serializer};

/// The level of every interval, unless told otherwise.
pub const CONFIDENCE: f64 = 0.95;

/// A number that knows how sure it is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Estimate {
    /// The point estimate.
    pub value: f64,
    /// Lower end of the interval.
    pub low: f64,
    /// Upper end of the interval.
    pub high: f64,
    /// Standard error of `value`.
    pub standard_error: f64,
    /// How many independent units stand behind it: seeds for a mean over seeds, examples for a
    /// proportion or a bootstrap over examples.
    pub n: usize,
}

impl Estimate {
    /// Whether the interval covers `value`, its ends included.
    pub fn covers(&self, value: f64) -> bool {
        self.low <= value && value <= self.high
    }
}

/// Why a statistic has no value.
#[derive(Clone, Debug, PartialEq, Serialize, thiserror::Error)]
pub enum Undefined {
    /// Nothing was observed.
    #[error("nothing was observed")]
    NoObservations,
    /// One observation has no spread.
    #[error("one observation has no spread, at least two are needed")]
    OneObservation,
    /// Paired arrays must have one length.
    #[error("paired arrays have {left} and {right} entries, expected as many in both")]
    Unpaired {
        /// Entries of the first array.
        left: usize,
        /// Entries of the second array.
        right: usize,
    },
    /// An input was NaN or infinite.
    #[error("an input is not a finite number")]
    NotFinite,
    /// An argument lies outside its range.
    #[error("`{name}` is {value}, expected {expected}")]
    OutOfRange {
        /// The argument.
        name: &'static str,
        /// What it was.
        value: f64,
        /// What it may be.
        expected: &'static str,
    },
    /// All values are equal where a spread is needed.
    #[error("all values are equal, so there is no spread to measure by")]
    NoSpread,
    /// The condition to compare with is the condition itself.
    #[error("it is the reference itself")]
    Itself,
    /// The condition to compare with has no finished cell.
    #[error("the condition to compare with has no finished cell")]
    NoReference,
    /// The two conditions finished no seed in common.
    #[error("the two conditions finished no seed in common")]
    NoCommonSeed,
}

/// Writes a value as it is, and a missing one as an object with the reason in words.
///
/// # Errors
/// What the serializer cannot write.
pub fn or_reason<T: Serialize, S: Serializer>(
    value: &Result<T, Undefined>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Reason {
        undefined: String,
    }
    match value {
        Ok(value) => value.serialize(serializer),
        Err(reason) => Reason { undefined: reason.to_string() }.serialize(serializer),
    }
}

/// The mean of `values` with its two-sided t interval at [`CONFIDENCE`]; n is their number.
///
/// # Errors
/// [`Undefined`] for fewer than two values or a value that is not finite.
pub fn mean(values: &[f64]) -> Result<Estimate, Undefined> {
    let (value, deviation) = moments(values)?;
    let Some(deviation) = deviation else { return Err(Undefined::OneObservation) };
    let n = values.len();
    let standard_error = deviation / (n as f64).sqrt();
    let half = student_t_quantile(f64::midpoint(1.0, CONFIDENCE), (n - 1) as f64) * standard_error;
    Ok(Estimate { value, low: value - half, high: value + half, standard_error, n })
}

/// The mean, and the standard deviation with n - 1 in the denominator where n > 1.
///
/// # Errors
/// [`Undefined`] for no values or a value that is not finite.
pub fn moments(values: &[f64]) -> Result<(f64, Option<f64>), Undefined> {
    if values.is_empty() {
        return Err(Undefined::NoObservations);
    }
    if values.iter().any(|value| !value.is_finite()) {
        return Err(Undefined::NotFinite);
    }
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let squares = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>();
    Ok((mean, (values.len() > 1).then(|| (squares / (n - 1.0)).sqrt())))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By hand: s = 0.01, t(0.975, 2) = 4.302652729911275, half width t s / sqrt 3.
    #[test]
    fn the_mean_of_three_seeds_has_the_t_interval() {
        let estimate = mean(&[0.90, 0.91, 0.92]).unwrap();
        let half = 4.302_652_729_911_275 * 0.01 / 3_f64.sqrt();
        assert!((estimate.value - 0.91).abs() < 1e-12);
        assert!((estimate.high - 0.91 - half).abs() < 1e-9, "{estimate:?}");
        assert!((0.91 - estimate.low - half).abs() < 1e-9);
        assert_eq!(estimate.n, 3);
    }

    #[test]
    fn undefined_means_say_why() {
        assert_eq!(mean(&[]), Err(Undefined::NoObservations));
        assert_eq!(mean(&[1.0]), Err(Undefined::OneObservation));
        assert_eq!(mean(&[1.0, f64::NAN]), Err(Undefined::NotFinite));
    }

    #[test]
    fn equal_seeds_have_an_interval_of_no_width() {
        let estimate = mean(&[0.5, 0.5]).unwrap();
        assert_eq!((estimate.low, estimate.high), (0.5, 0.5));
    }
}
