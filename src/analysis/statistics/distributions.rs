//! The normal, Student's t and the binomial distribution, to about 1e-10, from series and
//! continued fractions (Abramowitz and Stegun, 7.1.5, 7.1.14, 26.5.8) without fitted tables.

use std::f64::consts::{FRAC_2_SQRT_PI, PI, SQRT_2};

/// Distribution function of the standard normal.
pub fn normal(x: f64) -> f64 {
    0.5 * complementary_error(-x / SQRT_2)
}

/// Density of the standard normal.
pub fn normal_density(x: f64) -> f64 {
    (-0.5 * x * x).exp() / (2.0 * PI).sqrt()
}

/// Quantile of the standard normal; `probability` strictly between 0 and 1.
pub fn normal_quantile(probability: f64) -> f64 {
    invert(probability, normal)
}

/// Distribution function of Student's t with `freedom` degrees of freedom.
pub fn student_t(x: f64, freedom: f64) -> f64 {
    let tail = 0.5 * incomplete_beta(freedom / 2.0, 0.5, freedom / (freedom + x * x));
    if x > 0.0 { 1.0 - tail } else { tail }
}

/// Quantile of Student's t; `probability` strictly between 0 and 1.
pub fn student_t_quantile(probability: f64, freedom: f64) -> f64 {
    invert(probability, |x| student_t(x, freedom))
}

/// Probability of exactly `k` heads in `n` throws of a fair coin.
pub fn fair_coin(k: u64, n: u64) -> f64 {
    let (k, n) = (k as f64, n as f64);
    let choose = log_gamma(n + 1.0) - log_gamma(k + 1.0) - log_gamma(n - k + 1.0);
    (choose - n * std::f64::consts::LN_2).exp()
}

/// The upper tail of chi squared with one degree of freedom.
pub fn chi_squared_one(x: f64) -> f64 {
    complementary_error((x / 2.0).max(0.0).sqrt())
}

/// The upper tail of chi squared with `freedom` degrees of freedom.
pub fn chi_squared_tail(x: f64, freedom: f64) -> f64 {
    if x <= 0.0 { 1.0 } else { incomplete_gamma_tail(freedom / 2.0, x / 2.0) }
}

/// The upper tail of the F distribution.
pub fn f_tail(x: f64, numerator: f64, denominator: f64) -> f64 {
    if x <= 0.0 {
        return 1.0;
    }
    incomplete_beta(denominator / 2.0, numerator / 2.0, denominator / (denominator + numerator * x))
}

/// Bisection: `distribution` is increasing. The search starts from a doubling bracket.
fn invert(probability: f64, distribution: impl Fn(f64) -> f64) -> f64 {
    debug_assert!(probability > 0.0 && probability < 1.0);
    let (mut low, mut high) = (-1.0, 1.0);
    while distribution(low) > probability && low > -1e12 {
        low *= 2.0;
    }
    while distribution(high) < probability && high < 1e12 {
        high *= 2.0;
    }
    for _ in 0..200 {
        let middle = f64::midpoint(low, high);
        if middle <= low || middle >= high {
            break;
        }
        if distribution(middle) < probability { low = middle } else { high = middle }
    }
    f64::midpoint(low, high)
}

/// 1 - erf(x): the series near zero, the continued fraction in the tails.
fn complementary_error(x: f64) -> f64 {
    if x < 0.0 {
        return 2.0 - complementary_error(-x);
    }
    if x < 2.0 {
        let (mut term, mut sum) = (x, x);
        for n in 1..200 {
            let n = f64::from(n);
            term *= -x * x / n;
            sum += term / (2.0 * n + 1.0);
        }
        return 1.0 - FRAC_2_SQRT_PI * sum;
    }
    // x + (1/2)/(x + 1/(x + (3/2)/(x + ...))), from far inside outwards
    let mut fraction = x;
    for n in (1..120).rev() {
        fraction = x + f64::from(n) / 2.0 / fraction;
    }
    (-x * x).exp() / (fraction * PI.sqrt())
}

/// The regularised upper incomplete gamma function: one minus the series where that converges fast,
/// the continued fraction beyond (Abramowitz and Stegun, 6.5.29 and 6.5.31).
fn incomplete_gamma_tail(a: f64, x: f64) -> f64 {
    let front = (a * x.ln() - x - log_gamma(a)).exp();
    if x < a + 1.0 {
        let (mut term, mut sum) = (1.0 / a, 1.0 / a);
        for n in 1..1_000 {
            term *= x / (a + f64::from(n));
            sum += term;
            if term < sum * 1e-17 {
                break;
            }
        }
        return 1.0 - front * sum;
    }
    // 1 / (x + 1 - a - 1 (1 - a) / (x + 3 - a - 2 (2 - a) / (x + 5 - a - ...))), from inside outwards
    let mut fraction = 0.0;
    for n in (1..1_000).rev() {
        let n = f64::from(n);
        fraction = n * (n - a) / (x + 2.0 * n + 1.0 - a - fraction);
    }
    front / (x + 1.0 - a - fraction)
}

/// The regularised incomplete beta function by Lentz's continued fraction.
fn incomplete_beta(a: f64, b: f64, x: f64) -> f64 {
    if x <= 0.0 {
        return 0.0;
    }
    if x >= 1.0 {
        return 1.0;
    }
    let front = (log_gamma(a + b) - log_gamma(a) - log_gamma(b) + a * x.ln() + b * (1.0 - x).ln()).exp();
    // the fraction converges fast on this side only
    if x > (a + 1.0) / (a + b + 2.0) {
        return 1.0 - front * beta_fraction(b, a, 1.0 - x) / b;
    }
    front * beta_fraction(a, b, x) / a
}

fn beta_fraction(a: f64, b: f64, x: f64) -> f64 {
    const TINY: f64 = 1e-300;
    let guard = |value: f64| if value.abs() < TINY { TINY } else { value };
    let mut c = 1.0;
    let mut d = 1.0 / guard(1.0 - (a + b) * x / (a + 1.0));
    let mut fraction = d;
    for m in 1..500 {
        let m = f64::from(m);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        let mut step = 1.0;
        for coefficient in [even, odd] {
            d = 1.0 / guard(1.0 + coefficient * d);
            c = guard(1.0 + coefficient / c);
            step = c * d;
            fraction *= step;
        }
        if (step - 1.0).abs() < 1e-16 {
            break;
        }
    }
    fraction
}

/// ln of the gamma function for x > 0 (Lanczos's approximation with g = 7 and nine terms).
fn log_gamma(x: f64) -> f64 {
    const TERMS: [f64; 8] = [
        676.520_368_121_885_1,
        -1_259.139_216_722_402_8,
        771.323_428_777_653_1,
        -176.615_029_162_140_6,
        12.507_343_278_686_905,
        -0.138_571_095_265_720_12,
        9.984_369_578_019_572e-6,
        1.505_632_735_149_311_6e-7,
    ];
    if x < 0.5 {
        return (PI / (PI * x).sin()).ln() - log_gamma(1.0 - x);
    }
    let x = x - 1.0;
    let series = TERMS
        .iter()
        .enumerate()
        .fold(0.999_999_999_999_809_9, |sum, (i, term)| sum + term / (x + i as f64 + 1.0));
    let t = x + 7.5;
    0.5 * (2.0 * PI).ln() + (x + 0.5) * t.ln() - t + series.ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(left: f64, right: f64) {
        assert!((left - right).abs() < 1e-10 * right.abs().max(1.0), "{left} {right}");
    }

    /// Values of the standard tables (scipy.stats.norm).
    #[test]
    fn the_normal_distribution_has_its_tabulated_values() {
        near(normal(0.0), 0.5);
        near(normal(1.959_963_984_540_054), 0.975);
        near(normal(-3.0), 0.001_349_898_031_630_094_6);
        near(normal_quantile(0.975), 1.959_963_984_540_054);
        near(normal_quantile(0.8), 0.841_621_233_572_914_3);
    }

    /// t(0.975) with 1, 2, 4 and 30 degrees of freedom (scipy.stats.t).
    #[test]
    fn students_t_has_its_tabulated_quantiles() {
        near(student_t_quantile(0.975, 1.0), 12.706_204_736_432_095);
        near(student_t_quantile(0.975, 2.0), 4.302_652_729_911_275);
        near(student_t_quantile(0.975, 4.0), 2.776_445_105_197_793);
        near(student_t_quantile(0.975, 30.0), 2.042_272_456_301_236);
    }

    /// scipy.stats.chi2.sf and scipy.stats.f.sf; with two degrees of freedom the tail is exp(-x / 2).
    #[test]
    fn chi_squared_and_f_have_their_tabulated_tails() {
        near(chi_squared_tail(3.841_458_820_694_124, 1.0), 0.05);
        near(chi_squared_tail(0.7, 2.0), (-0.35_f64).exp());
        near(chi_squared_tail(9.0, 2.0), (-4.5_f64).exp());
        near(chi_squared_tail(11.070_497_693_516_35, 5.0), 0.05);
        near(chi_squared_tail(2.0, 1.0), chi_squared_one(2.0));
        near(f_tail(2.845_067_805_279_349, 3.0, 39.0), 0.05);
        near(f_tail(3.688_89, 3.0, 39.0), 0.019_767_820_954_029_524);
        assert_eq!((chi_squared_tail(0.0, 3.0), f_tail(-1.0, 2.0, 3.0)), (1.0, 1.0));
    }

    #[test]
    fn the_fair_coin_sums_to_one() {
        near((0..=50).map(|k| fair_coin(k, 50)).sum(), 1.0);
        near(fair_coin(3, 15), 455.0 / 32_768.0);
    }
}
