//! Exponential, sigmoid and the normal distribution in f32 without branches, so that the compiler
//! can turn loops over them into vector code; the standard library's are calls, one number each.
#![expect(clippy::inline_always, reason = "a call would leave the vectors of its caller")]

/// Adding and subtracting 1.5 * 2^23 rounds an f32 to a whole number, which then stands in the
/// lowest bits of the sum.
const ROUNDING: f32 = 12_582_912.0;

/// ln 2 in two parts: the first has so few bits that its products with whole numbers are exact
/// (Cody and Waite).
const LN_2_HIGH: f32 = 0.693_359_4;
const LN_2_LOW: f32 = -2.121_944_4e-4;

/// e^x to about one unit in the last place; 0 below -104, infinite above 88.73, NaN for NaN.
/// x = n ln 2 + r with |r| <= ln 2 / 2, e^r by its Taylor series to the seventh power.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    let bounded = x.clamp(-104.0, 89.0);
    let shifted = bounded * std::f32::consts::LOG2_E + ROUNDING;
    let n = shifted - ROUNDING;
    let r = bounded - n * LN_2_HIGH - n * LN_2_LOW;
    let mut series = 1.0 / 5040.0;
    for coefficient in [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        series = series * r + coefficient;
    }
    // two factors, since 2^128 and the powers below 2^-126 are no normal numbers
    let power = (shifted.to_bits() as i32).wrapping_sub(ROUNDING.to_bits() as i32);
    let half = power >> 1;
    series * power_of_two(half) * power_of_two(power.wrapping_sub(half))
}

/// 2^n for |n| <= 126.
#[inline(always)]
fn power_of_two(n: i32) -> f32 {
    f32::from_bits((n.wrapping_add(127) as u32) << 23)
}

/// 1 / (1 + e^-x).
#[inline(always)]
pub(crate) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// The standard normal distribution at one place.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Normal {
    /// Φ(x), the probability of a smaller number: (1 + erf(x / √2)) / 2.
    pub(crate) cumulative: f32,
    /// φ(x) = e^(-x²/2) / √(2π).
    pub(crate) density: f32,
}

/// Pole of the substitution u = (z - 3.5) / (z + 3.5) of [`normal`].
const POLE: f32 = 3.5;

/// (z + 3.5) e^(z²/2) Φ(-z) as a polynomial in u, highest power first: interpolated at the
/// Chebyshev points of degree 10 with 40 digits. Relative error 1.1e-8 before rounding, z in 0..14.
const TAIL: [f32; 11] = [
    -4.976_689e-5,
    3.463_520_3e-5,
    4.526_939_3e-4,
    -4.177_686e-4,
    -3.178_985_8e-3,
    6.465_234e-3,
    1.740_606e-2,
    -0.116_049_04,
    0.315_425_07,
    -0.565_561_9,
    0.744_416_06,
];

/// Φ and φ, absolute error below 1e-7; the lower tail keeps its relative precision. One
/// exponential serves both: the tail is e^(-z²/2) times a smooth function of z = |x|.
#[inline(always)]
pub(crate) fn normal(x: f32) -> Normal {
    let z = x.abs();
    let decay = exp(-0.5 * z * z);
    let reciprocal = 1.0 / (z + POLE);
    let u = (z - POLE) * reciprocal;
    let mut polynomial = TAIL[0];
    for coefficient in &TAIL[1..] {
        polynomial = polynomial * u + coefficient;
    }
    let tail = decay * polynomial * reciprocal;
    let cumulative = if x < 0.0 { tail } else { 1.0 - tail };
    Normal { cumulative, density: decay * 0.398_942_3 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exponentials_match_f64() {
        for step in -88_000..88_700 {
            let x = step as f32 / 1000.0;
            let expected = f64::from(x).exp();
            let error = (f64::from(exp(x)) / expected - 1.0).abs();
            // 2^-23 is one unit in the last place; below e^-87.3 numbers are no longer normal
            assert!(error < 1.5 * f64::from(f32::EPSILON) || x < -87.3, "exp({x}) is off by {error}");
        }
    }

    #[test]
    fn exponentials_end_well() {
        assert_eq!(exp(0.0), 1.0);
        assert_eq!(exp(-0.0), 1.0);
        assert_eq!(exp(f32::NEG_INFINITY), 0.0);
        assert_eq!(exp(-1000.0), 0.0);
        assert_eq!(exp(f32::INFINITY), f32::INFINITY);
        assert_eq!(exp(88.8), f32::INFINITY);
        assert!(exp(88.7) < f32::INFINITY);
        assert!(exp(f32::NAN).is_nan());
        assert_eq!([sigmoid(-1000.0), sigmoid(0.0), sigmoid(1000.0)], [0.0, 0.5, 1.0]);
    }

    /// erfc(z / √2) / 2 by mpmath 1.3 with 40 digits, at the f32 nearest to z.
    const TAILS: [(f32, f64); 12] = [
        (0.0, 0.5),
        (1e-3, 0.499_601_057_767),
        (0.1, 0.460_172_162_131),
        (0.5, 0.308_537_538_726),
        (1.0, 0.158_655_253_931),
        (1.5, 0.066_807_201_268_9),
        (2.0, 0.022_750_131_948_2),
        (3.0, 1.349_898_031_63e-3),
        (4.0, 3.167_124_183_31e-5),
        (6.0, 9.865_876_450_38e-10),
        (9.0, 1.128_588_405_95e-19),
        (12.0, 1.776_482_112_08e-33),
    ];

    #[test]
    fn normal_probabilities_match_forty_digits() {
        for (z, expected) in TAILS {
            let (below, above) = (f64::from(normal(-z).cumulative), f64::from(normal(z).cumulative));
            // z² / 2 is rounded before it is an exponent
            let tolerance = 3e-7 + 1.2e-7 * f64::from(z * z);
            assert!((below / expected - 1.0).abs() < tolerance, "{z}: {below} against {expected}");
            assert!((above - (1.0 - expected)).abs() < 1e-7, "{z}: {above}");
            let density = (-0.5 * f64::from(z).powi(2)).exp() / std::f64::consts::TAU.sqrt();
            assert!((f64::from(normal(z).density) / density - 1.0).abs() < tolerance);
        }
        assert!(normal(f32::NAN).cumulative.is_nan());
    }
}
