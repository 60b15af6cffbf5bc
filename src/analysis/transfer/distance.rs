//! How far apart two domains are for a linear classifier.

use crate::analysis::statistics::Undefined;

/// The proxy A-distance 2 (1 - 2 ε) of a held-out error ε of a classifier that tells two domains
/// apart, given as many examples of each (Ben-David et al. 2007): 0 where it guesses, 2 where it
/// never errs. A classifier that does worse than guessing has learned nothing, so the distance is
/// not below 0.
///
/// # Errors
/// [`Undefined`] for an error outside of [0, 1].
pub fn proxy_a_distance(error: f64) -> Result<f64, Undefined> {
    if !error.is_finite() {
        return Err(Undefined::NotFinite);
    }
    if !(0.0..=1.0).contains(&error) {
        return Err(Undefined::OutOfRange { name: "error", value: error, expected: "from 0 to 1" });
    }
    Ok((2.0 * (1.0 - 2.0 * error)).max(0.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// reference/analyses.md section 5, and `adist_logreg` of the similarity oracle (11 errors in 36).
    #[test]
    fn the_distance_runs_from_guessing_to_never_erring() {
        for (error, distance) in [(0.5, 0.0), (0.25, 1.0), (0.1, 1.6), (0.0, 2.0), (0.7, 0.0)] {
            assert!((proxy_a_distance(error).unwrap() - distance).abs() < 1e-12, "{error}");
        }
        assert!((proxy_a_distance(11.0 / 36.0).unwrap() - 0.777_777_777_777_777_7).abs() < 1e-12);
        assert_eq!(proxy_a_distance(f64::NAN), Err(Undefined::NotFinite));
        assert!(matches!(proxy_a_distance(1.2), Err(Undefined::OutOfRange { .. })));
    }
}
