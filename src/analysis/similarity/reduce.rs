//! Principal components of wide features, so that measures of directions stay affordable: a
//! seeded randomised range finder with power iterations (Halko, Martinsson and Tropp 2011). All
//! distances between examples in the kept directions are kept.

use ndarray::{Array2, ArrayView2, s};

use super::Undefined;
use super::decompose::left;
use super::linear::{centred, check};
use crate::seed::Seed;

/// Components that measures of directions see of wider features.
pub const COMPONENTS: usize = 512;

/// Directions beyond those asked for, which make the last ones good.
const SPARE: usize = 16;

/// Power iterations; each squares away what the spectrum's tail mixes in.
const ITERATIONS: usize = 2;

/// The leading `components` principal components `[n, components]` of `x`, not scaled; all of the
/// centred features if they have no more channels than that.
///
/// # Errors
/// [`Undefined::TooFew`] below two examples, [`Undefined::NotFinite`], [`Undefined::NoVariance`].
pub fn leading(x: ArrayView2<f64>, components: usize, seed: Seed) -> Result<Array2<f64>, Undefined> {
    check(x, 2)?;
    let x = centred(x)?;
    if x.ncols() <= components {
        return Ok(x);
    }
    let mut stream = seed.derive("leading components").stream();
    let mut range = x.dot(&Array2::from_shape_simple_fn((x.ncols(), components + SPARE), || stream.normal()));
    for _ in 0..ITERATIONS {
        range = x.dot(&x.t().dot(&left(range.view()).vectors));
    }
    let basis = left(range.view()).vectors;
    let within = left(basis.t().dot(&x).view());
    let kept = components.min(within.values.len());
    let mut scores = basis.dot(&within.vectors.slice(s![.., ..kept]));
    for (mut column, value) in scores.columns_mut().into_iter().zip(&within.values) {
        column.mapv_inplace(|share| share * value);
    }
    Ok(scores)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::similarity::decompose::singular_values;

    #[test]
    fn the_leading_components_have_the_leading_singular_values() {
        let mut stream = Seed(1).stream();
        let wide = Array2::from_shape_fn((60, 90), |(_, j)| stream.normal() / (1.0 + j as f64).powi(2));
        let found = leading(wide.view(), 12, Seed(2)).unwrap();
        assert_eq!(found.dim(), (60, 12));
        let all = singular_values(centred(wide.view()).unwrap().view());
        for (found, expected) in singular_values(found.view()).iter().zip(&all) {
            assert!((found / expected - 1.0).abs() < 1e-6, "{found} {expected}");
        }
        assert_eq!(leading(wide.view(), 90, Seed(2)).unwrap().dim(), (60, 90));
    }
}
