//! The studentised range with infinitely many degrees of freedom: the largest difference among k
//! independent standard normal numbers. Its quantiles decide Nemenyi's critical difference; they are
//! computed for any k and any level, not looked up.

use super::Undefined;
use super::distributions::{normal, normal_density};

/// Distribution function of the range of `count` standard normal numbers:
/// k ∫ φ(z) (Φ(z) - Φ(z - q))^(k-1) dz, by Simpson's rule.
///
/// # Errors
/// [`Undefined::OutOfRange`] for fewer than two numbers.
pub fn range(q: f64, count: usize) -> Result<f64, Undefined> {
    check(count)?;
    Ok(if q <= 0.0 { 0.0 } else { probability(q, count) })
}

/// Quantile of [`range`]; `probability` strictly between 0 and 1.
///
/// # Errors
/// [`Undefined::OutOfRange`] for fewer than two numbers or a probability that is none.
pub fn range_quantile(probability_below: f64, count: usize) -> Result<f64, Undefined> {
    check(count)?;
    if !(probability_below > 0.0 && probability_below < 1.0) {
        let expected = "strictly between 0 and 1";
        return Err(Undefined::OutOfRange { name: "probability", value: probability_below, expected });
    }
    // beyond 50 the range of any number of normal numbers that fits a machine is certain
    let (mut low, mut high) = (0.0, 50.0);
    while high - low > 1e-11 {
        let middle = f64::midpoint(low, high);
        if probability(middle, count) < probability_below { low = middle } else { high = middle }
    }
    Ok(f64::midpoint(low, high))
}

fn check(count: usize) -> Result<(), Undefined> {
    if count < 2 {
        let value = count as f64;
        return Err(Undefined::OutOfRange { name: "methods", value, expected: "at least 2" });
    }
    Ok(())
}

fn probability(q: f64, count: usize) -> f64 {
    const STEPS: usize = 2_000;
    const REACH: f64 = 9.0;
    let step = 2.0 * REACH / STEPS as f64;
    let power = (count - 1) as i32;
    let sum: f64 = (0..=STEPS)
        .map(|i| {
            let z = -REACH + step * i as f64;
            let weight = match i {
                0 | STEPS => 1.0,
                _ if i % 2 == 1 => 4.0,
                _ => 2.0,
            };
            weight * normal_density(z) * (normal(z) - normal(z - q)).max(0.0).powi(power)
        })
        .sum();
    (count as f64 * sum * step / 3.0).min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// reference/analyses.md section 6: the quantiles divided by sqrt 2, as Nemenyi's test uses them.
    #[test]
    fn the_quantiles_are_the_golden_ones() {
        let goldens = [
            (2, 1.959_964),
            (3, 2.343_701),
            (4, 2.569_032),
            (5, 2.727_774),
            (10, 3.163_684),
            (32, 3.780_193),
        ];
        for (count, golden) in goldens {
            let q = range_quantile(0.95, count).unwrap() / 2_f64.sqrt();
            assert!((q - golden).abs() < 1e-6, "{count}: {q}");
        }
    }

    /// Two numbers differ by sqrt 2 times a standard normal one.
    #[test]
    fn the_range_of_two_is_a_normal_difference() {
        for q in [0.3, 1.0, 2.5, 4.0] {
            let exact = 2.0 * normal(q / 2_f64.sqrt()) - 1.0;
            assert!((range(q, 2).unwrap() - exact).abs() < 1e-10);
        }
        assert_eq!(range(-1.0, 3), Ok(0.0));
    }

    #[test]
    fn one_number_has_no_range() {
        assert!(matches!(range(1.0, 1), Err(Undefined::OutOfRange { name: "methods", .. })));
        assert!(range_quantile(1.0, 3).is_err());
    }
}
