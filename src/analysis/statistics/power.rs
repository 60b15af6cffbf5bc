//! What a study can show: the smallest difference that it would detect, the examples that a
//! difference needs, and how much better the best of many equal layers looks by luck.

use super::Undefined;
use super::distributions::{normal, normal_density, normal_quantile};
use serde::Serialize;

/// What is assumed about two conditions before anything has run, or measured afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Noise {
    /// Share of examples that are right in one condition and wrong in the other.
    pub discordance: f64,
    /// Standard deviation over seeds of the paired difference, as a fraction (0.005 = 0.5 points).
    pub seed_deviation: f64,
}

/// How sure a claim is to be.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Demand {
    /// Two-sided chance of a false claim.
    pub alpha: f64,
    /// Chance of finding a difference that is there.
    pub power: f64,
}

impl Default for Demand {
    fn default() -> Self {
        Self { alpha: 0.05, power: 0.8 }
    }
}

impl Demand {
    fn quantiles(self) -> Result<f64, Undefined> {
        for (name, value) in [("alpha", self.alpha), ("power", self.power)] {
            if !(value > 0.0 && value < 1.0) {
                return Err(Undefined::OutOfRange { name, value, expected: "strictly between 0 and 1" });
            }
        }
        Ok(normal_quantile(1.0 - self.alpha / 2.0) + normal_quantile(self.power))
    }
}

/// The smallest paired difference that `seeds` runs on `examples` examples detect: the positive
/// root of Δ² = z² ((p_d - Δ²) / N + s² / S), z = z_α/2 + z_β. The normal quantiles are a little
/// bold for very few seeds.
///
/// # Errors
/// [`Undefined`] without seeds or examples or with arguments out of range.
pub fn smallest_detectable(
    seeds: usize,
    examples: usize,
    noise: Noise,
    demand: Demand,
) -> Result<f64, Undefined> {
    if seeds == 0 || examples == 0 {
        return Err(Undefined::NoObservations);
    }
    check(noise)?;
    let z = demand.quantiles()?;
    let (seeds, examples) = (seeds as f64, examples as f64);
    let variance = noise.discordance / examples + noise.seed_deviation.powi(2) / seeds;
    Ok(z * (variance / (1.0 + z * z / examples)).sqrt())
}

/// The smallest difference that a comparison with this standard error detects: z times the error.
///
/// # Errors
/// [`Undefined`] for an error that is negative or not finite, or a demand out of range.
pub fn detectable_with(standard_error: f64, demand: Demand) -> Result<f64, Undefined> {
    if !(standard_error >= 0.0 && standard_error.is_finite()) {
        let expected = "zero or more";
        return Err(Undefined::OutOfRange { name: "standard error", value: standard_error, expected });
    }
    Ok(demand.quantiles()? * standard_error)
}

/// The examples that one run needs to detect `difference`: z² (p_d - Δ²) / Δ².
///
/// # Errors
/// [`Undefined`] if the difference is zero or larger than the discordance allows.
pub fn examples_needed(difference: f64, discordance: f64, demand: Demand) -> Result<f64, Undefined> {
    check(Noise { discordance, seed_deviation: 0.0 })?;
    if !(difference.abs() > 0.0 && difference.abs() <= discordance) {
        let expected = "not zero, and at most the share of discordant examples";
        return Err(Undefined::OutOfRange { name: "difference", value: difference, expected });
    }
    let z = demand.quantiles()?;
    Ok((z * z * (discordance - difference.powi(2)) / difference.powi(2)).ceil())
}

/// The seeds that a comparison on `examples` examples needs to detect `difference`:
/// s² / ((Δ / z)² - (p_d - Δ²) / N). `None` where no number of seeds suffices, because the examples
/// alone leave a larger error.
///
/// # Errors
/// [`Undefined`] without examples, for a difference of zero, or for noise or demand out of range.
pub fn seeds_needed(
    difference: f64,
    examples: usize,
    noise: Noise,
    demand: Demand,
) -> Result<Option<f64>, Undefined> {
    if examples == 0 {
        return Err(Undefined::NoObservations);
    }
    check(noise)?;
    if !(difference.abs() > 0.0 && difference.abs() <= 1.0) {
        let expected = "not zero, and at most 1";
        return Err(Undefined::OutOfRange { name: "difference", value: difference, expected });
    }
    let z = demand.quantiles()?;
    let of_examples = (noise.discordance - difference.powi(2)).max(0.0) / examples as f64;
    let room = (difference / z).powi(2) - of_examples;
    Ok((room > 0.0).then(|| (noise.seed_deviation.powi(2) / room).ceil().max(1.0)))
}

/// The chance that `seeds` runs on `examples` examples find `difference` at the two-sided level
/// `alpha`: Φ(|Δ| / s.e. - z) + Φ(-|Δ| / s.e. - z).
///
/// # Errors
/// As [`smallest_detectable`].
pub fn power(
    difference: f64,
    seeds: usize,
    examples: usize,
    noise: Noise,
    alpha: f64,
) -> Result<f64, Undefined> {
    if seeds == 0 || examples == 0 {
        return Err(Undefined::NoObservations);
    }
    check(noise)?;
    Demand { alpha, ..Demand::default() }.quantiles()?;
    if !difference.is_finite() {
        return Err(Undefined::NotFinite);
    }
    let of_examples = (noise.discordance - difference.powi(2)).max(0.0) / examples as f64;
    let error = (of_examples + noise.seed_deviation.powi(2) / seeds as f64).sqrt();
    let z = normal_quantile(1.0 - alpha / 2.0);
    if error <= 0.0 {
        return Ok(if difference == 0.0 { alpha } else { 1.0 });
    }
    let ratio = difference.abs() / error;
    Ok(normal(ratio - z) + normal(-ratio - z))
}

/// The expected maximum of `count` independent standard normal numbers: how far above the truth
/// the best of that many equal layers looks, in standard deviations of a layer's mean.
/// Integrates 1 - Φⁿ over the right half axis and Φⁿ over the left one by Simpson's rule.
pub fn expected_maximum(count: usize) -> f64 {
    const STEPS: usize = 4_000;
    const REACH: f64 = 12.0;
    if count < 2 {
        return 0.0;
    }
    let step = 2.0 * REACH / STEPS as f64;
    // E[max] = ∫ x n Φ(x)^(n-1) φ(x) dx
    let integrand = |x: f64| x * count as f64 * normal(x).powi(count as i32 - 1) * normal_density(x);
    let sum: f64 = (0..=STEPS)
        .map(|i| {
            let weight = match i {
                0 | STEPS => 1.0,
                _ if i % 2 == 1 => 4.0,
                _ => 2.0,
            };
            weight * integrand(-REACH + step * i as f64)
        })
        .sum();
    sum * step / 3.0
}

fn check(noise: Noise) -> Result<(), Undefined> {
    if !(0.0..=1.0).contains(&noise.discordance) {
        let value = noise.discordance;
        return Err(Undefined::OutOfRange { name: "discordance", value, expected: "between 0 and 1" });
    }
    if !(noise.seed_deviation >= 0.0 && noise.seed_deviation.is_finite()) {
        let value = noise.seed_deviation;
        return Err(Undefined::OutOfRange { name: "seed deviation", value, expected: "zero or more" });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// reference/analyses.md section 1, row 1, and section 8.
    #[test]
    fn the_best_of_many_equal_layers_looks_better() {
        for (count, golden, tolerance) in [(32, 2.07, 0.005), (28, 2.013_707, 5e-7), (42, 2.180_316, 5e-7)] {
            let maximum = expected_maximum(count);
            assert!((maximum - golden).abs() < tolerance, "{count}: {maximum}");
        }
        // seed s.d. 0.5 points: 1.03, 0.60 and 0.46 points with 1, 3 and 5 seeds
        for (seeds, points) in [(1.0, 1.03), (3.0, 0.60), (5.0, 0.46)] {
            assert!((expected_maximum(32) * 0.5 / f64::sqrt(seeds) - points).abs() < 0.006);
        }
        assert_eq!(expected_maximum(1), 0.0);
        assert!((expected_maximum(2) - 1.0 / std::f64::consts::PI.sqrt()).abs() < 1e-9);
    }

    #[test]
    fn the_two_forms_of_the_power_formula_agree() {
        let demand = Demand::default();
        let noise = Noise { discordance: 0.08, seed_deviation: 0.0 };
        let difference = smallest_detectable(1, 872, noise, demand).unwrap();
        assert!((examples_needed(difference, 0.08, demand).unwrap() - 872.0).abs() <= 1.0);
    }

    #[test]
    fn seeds_and_power_are_the_same_formula_turned_round() {
        let (demand, noise) = (Demand::default(), Noise { discordance: 0.08, seed_deviation: 0.005 });
        for seeds in [1, 3, 8] {
            let difference = smallest_detectable(seeds, 1_821, noise, demand).unwrap();
            let needed = seeds_needed(difference * 1.000_001, 1_821, noise, demand).unwrap();
            assert_eq!(needed, Some(seeds as f64));
            // the tail on the other side adds next to nothing
            let found = power(difference, seeds, 1_821, noise, 0.05).unwrap();
            assert!((found - 0.8).abs() < 1e-4, "{found}");
        }
        assert_eq!(seeds_needed(0.001, 872, noise, demand), Ok(None));
        assert!((power(0.0, 3, 872, noise, 0.05).unwrap() - 0.05).abs() < 1e-9);
        assert!(seeds_needed(0.0, 872, noise, demand).is_err());
        assert_eq!(power(0.01, 0, 872, noise, 0.05), Err(Undefined::NoObservations));
    }

    /// z = 1.959964 + 0.841621; without seeds' spread, Δ of the paired error at that very Δ.
    #[test]
    fn a_measured_error_gives_its_detectable_difference() {
        let difference = detectable_with(0.01, Demand::default()).unwrap();
        assert!((difference - 0.028_015_85).abs() < 1e-7);
        assert!(detectable_with(-1.0, Demand::default()).is_err());
    }

    #[test]
    fn more_seeds_and_examples_see_smaller_differences() {
        let noise = Noise { discordance: 0.08, seed_deviation: 0.005 };
        let of = |seeds, examples| smallest_detectable(seeds, examples, noise, Demand::default()).unwrap();
        assert!(of(5, 872) < of(3, 872) && of(3, 1821) < of(3, 872));
        assert_eq!(smallest_detectable(0, 10, noise, Demand::default()), Err(Undefined::NoObservations));
        let absurd = Noise { discordance: 1.5, seed_deviation: 0.0 };
        assert!(smallest_detectable(3, 10, absurd, Demand::default()).is_err());
    }
}
