//! The proxy A-distance (Ben-David et al., 2007): how well a linear classifier tells two domains
//! apart by their features, `2 (1 − 2 ε)` with ε its error on held-out rows. 0 is no difference, 2 a
//! perfect separation; a classifier worse than chance counts as 0.
//!
//! The rows of both domains are stacked; even rows are fitted, odd rows are held out. Domains of very
//! different size make a constant classifier look good: take as many rows of both, see [`balanced`].

use super::super::scores::Undefined;
use super::super::scores::linear::{Cholesky, gram_of_columns, gram_of_rows};
use super::super::statistics::Estimate;
use super::super::statistics::proportion::wilson;
use super::logistic::{Fit, Model, fit};
use crate::seed::Seed;
use ndarray::{Array1, Array2, ArrayView2, Axis, concatenate, s};

/// Ridge of the least-squares classifier.
const RIDGE: f64 = 1e-3;

/// What tells the domains apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Classifier {
    /// L2 logistic regression with C = 1 and a free intercept, on raw columns.
    Logistic,
    /// Least squares to targets −1 and 1 with a ridge of 1e-3 on weights and intercept, on raw
    /// columns.
    LeastSquares,
}

/// How far two domains are apart.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DomainDistance {
    /// Error on the held-out rows, with Wilson's interval.
    pub error: Estimate,
    /// `2 (1 − 2 ε)`, from 0 to 2, with the interval of the error.
    pub distance: Estimate,
    /// Whether the fit converged; least squares always does.
    pub converged: bool,
}

/// The proxy A-distance between features `[S, D]` and `[T, D]`.
///
/// # Errors
/// [`Undefined`] for unequal widths, fewer than four rows of either, or features that are not finite.
pub fn proxy_a_distance(
    source: ArrayView2<'_, f64>,
    target: ArrayView2<'_, f64>,
    classifier: Classifier,
) -> Result<DomainDistance, Undefined> {
    let (held, sides, converged) = sides(source, target, classifier)?;
    let predicted = sides.iter().map(|side| usize::from(*side >= 0.0));
    let wrong = predicted.zip(&held.domains).filter(|(a, b)| a != *b).count();
    let error = wilson(wrong, held.domains.len()).map_err(|_| Undefined::TooFew { n: 0, least: 4 })?;
    let distance = |error: f64| (2.0 * (1.0 - 2.0 * error)).max(0.0);
    let distance = Estimate {
        value: distance(error.value),
        low: distance(error.high),
        high: distance(error.low),
        standard_error: 4.0 * error.standard_error,
        n: error.n,
    };
    Ok(DomainDistance { error, distance, converged })
}

/// How near the nearest held-out row stands to the border between the domains, in units of the
/// classifier's decision: how much rounding could change the error.
///
/// # Errors
/// As [`proxy_a_distance`].
pub fn smallest_margin(
    source: ArrayView2<'_, f64>,
    target: ArrayView2<'_, f64>,
    classifier: Classifier,
) -> Result<f64, Undefined> {
    let (_, sides, _) = sides(source, target, classifier)?;
    Ok(sides.iter().fold(f64::INFINITY, |least, side| least.min(side.abs())))
}

/// The held-out rows, on which side of the border each stands (the target's is positive) and how far
/// from it, and whether the fit converged.
fn sides(
    source: ArrayView2<'_, f64>,
    target: ArrayView2<'_, f64>,
    classifier: Classifier,
) -> Result<(Half, Array1<f64>, bool), Undefined> {
    let (fitted, held) = halves(source, target)?;
    let (sides, converged) = match classifier {
        Classifier::Logistic => {
            let model = logistic(&fitted);
            (held.x.dot(&model.weights.row(0)) + model.intercepts[0], model.converged)
        }
        Classifier::LeastSquares => {
            (with_one(held.x.view()).dot(&Array1::from(least_squares(&fitted)?)), true)
        }
    };
    Ok((held, sides, converged))
}

/// As many rows of both domains, drawn without replacement.
pub fn balanced(source: usize, target: usize, seed: Seed) -> (Vec<usize>, Vec<usize>) {
    let draw = |rows: usize, purpose: &str| {
        let mut order: Vec<usize> = (0..rows).collect();
        seed.derive(purpose).stream().shuffle(&mut order);
        order.truncate(source.min(target));
        order.sort_unstable();
        order
    };
    (draw(source, "source"), draw(target, "target"))
}

/// Rows with their domain, 0 for the source.
struct Half {
    x: Array2<f64>,
    domains: Vec<usize>,
}

/// Even and odd rows of both domains, one above the other.
fn halves(source: ArrayView2<'_, f64>, target: ArrayView2<'_, f64>) -> Result<(Half, Half), Undefined> {
    if source.ncols() != target.ncols() {
        return Err(Undefined::Widths { left: source.ncols(), right: target.ncols() });
    }
    if let Some(n) = [source.nrows(), target.nrows()].into_iter().find(|rows| *rows < 4) {
        return Err(Undefined::TooFew { n, least: 4 });
    }
    if source.iter().chain(&target).any(|value| !value.is_finite()) {
        return Err(Undefined::NotFinite);
    }
    let stacked = concatenate(Axis(0), &[source.view(), target.view()]).expect("the widths were compared");
    let half = |start: usize| Half {
        x: stacked.slice(s![start..;2, ..]).to_owned(),
        domains: (start..stacked.nrows()).step_by(2).map(|row| usize::from(row >= source.nrows())).collect(),
    };
    Ok((half(0), half(1)))
}

fn logistic(half: &Half) -> Model {
    fit(half.x.view(), &half.domains, 2, Fit { tolerance: 1e-10, ..Fit::new(1.0) }, None)
}

fn with_one(x: ArrayView2<'_, f64>) -> Array2<f64> {
    let ones = Array2::ones((x.nrows(), 1));
    concatenate(Axis(1), &[x.view(), ones.view()]).expect("the column has as many rows")
}

/// Weights and intercept, by the smaller of the two equivalent systems.
fn least_squares(half: &Half) -> Result<Vec<f64>, Undefined> {
    let x = with_one(half.x.view());
    let targets = Array1::from_iter(half.domains.iter().map(|domain| 2.0 * *domain as f64 - 1.0));
    let (n, width) = x.dim();
    if width <= n {
        let matrix = gram_of_columns(x.view()) + Array2::<f64>::eye(width) * RIDGE;
        return Ok(Cholesky::new(matrix)?.solve(&x.t().dot(&targets).to_vec()));
    }
    let matrix = gram_of_rows(x.view()) + Array2::<f64>::eye(n) * RIDGE;
    let dual = Cholesky::new(matrix)?.solve(&targets.to_vec());
    Ok(x.t().dot(&Array1::from(dual)).to_vec())
}

/// Coefficients and intercept of the logistic classifier of the stacked even rows.
///
/// # Errors
/// As [`proxy_a_distance`].
pub fn logistic_weights(
    source: ArrayView2<'_, f64>,
    target: ArrayView2<'_, f64>,
) -> Result<(Vec<f64>, f64), Undefined> {
    let model = logistic(&halves(source, target)?.0);
    Ok((model.weights.row(0).to_vec(), model.intercepts[0]))
}

#[cfg(test)]
mod tests {
    use super::super::super::scores::fixtures::oracle;
    use super::super::super::scores::synthetic::normal;
    use super::*;

    #[test]
    fn the_oracle_is_reproduced_by_both_classifiers() {
        let oracle = oracle();
        let (source, target) = (oracle.matrix("domain_s"), oracle.matrix("domain_t"));
        for (classifier, name) in
            [(Classifier::Logistic, "adist_logreg"), (Classifier::LeastSquares, "adist_lsq")]
        {
            let found = proxy_a_distance(source.view(), target.view(), classifier).unwrap();
            let golden = |name: &str| oracle.domain(name).as_f64().unwrap();
            assert!((found.distance.value - golden(name)).abs() < 1e-12, "{name} {found:?}");
            assert!((found.error.value - golden(&format!("{name}_err"))).abs() < 1e-12);
            assert!(found.converged && found.distance.low <= found.distance.value);
        }
        let (weights, intercept) = logistic_weights(source.view(), target.view()).unwrap();
        assert!((intercept - oracle.domain("logreg_intercept").as_f64().unwrap()).abs() < 1e-8);
        for (weight, golden) in weights.iter().zip(oracle.domain("logreg_coef").as_array().unwrap()) {
            assert!((weight - golden.as_f64().unwrap()).abs() < 1e-8, "{weight} {golden}");
        }
    }

    /// reference/analyses.md section 5: ε 0 gives 2, and more than one half counts as 0.
    #[test]
    fn separate_domains_are_two_apart_and_equal_ones_nothing() {
        let far = normal(40, 3, 1) + 30.0;
        for classifier in [Classifier::Logistic, Classifier::LeastSquares] {
            let found = proxy_a_distance(normal(40, 3, 2).view(), far.view(), classifier).unwrap();
            assert_eq!(found.distance.value, 2.0);
            let same =
                proxy_a_distance(normal(400, 3, 3).view(), normal(400, 3, 4).view(), classifier).unwrap();
            assert!(same.error.covers(0.5) && same.distance.low == 0.0, "{same:?}");
        }
    }

    #[test]
    fn more_columns_than_rows_give_the_same_weights_by_the_dual_system() {
        let (source, target) = (normal(6, 30, 1), normal(6, 30, 2));
        let half = halves(source.view(), target.view()).unwrap().0;
        let dual = least_squares(&half).unwrap();
        let x = with_one(half.x.view());
        let matrix = gram_of_columns(x.view()) + Array2::<f64>::eye(31) * RIDGE;
        let targets = Array1::from_iter(half.domains.iter().map(|domain| 2.0 * *domain as f64 - 1.0));
        let primal = Cholesky::new(matrix).unwrap().solve(&x.t().dot(&targets).to_vec());
        assert!(dual.iter().zip(&primal).all(|(a, b)| (a - b).abs() < 1e-8));
    }

    #[test]
    fn domains_are_balanced_by_drawing_from_the_larger() {
        let (source, target) = balanced(10, 4, Seed(1));
        assert_eq!((source.len(), target), (4, vec![0, 1, 2, 3]));
    }
}
