//! TransRate (Huang et al., "Frustratingly easy transferability estimation", ICML 2022): how much
//! shorter a code of the features becomes when the class is known.
//!
//! `R(Z) − mean_c R(Z_c)`, `R(Z) = ½ ln det( I + ZᵀZ / (n ε) )`
//!
//! with Z centred once over all rows and n the rows of each part. It depends on the scale of the
//! features: compare layers of one width and one normalisation only.
//!
//! As published, a class is not centred again. So where two classes of equal size differ in their
//! means only, `Z_cᵀZ_c / n_c` is the same for both and for the whole, and TransRate is about 0
//! however far apart they are. The table says so, and a test holds it.

use super::linear::{Cholesky, centred, gram_of_columns, gram_of_rows};
use super::{Labelled, Undefined};
use ndarray::{Array2, ArrayView2, Axis};

/// The published distortion.
pub const EPSILON: f64 = 1e-4;

/// How the classes are averaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weights {
    /// Every class the same, as the published code does.
    Equal,
    /// Every class by its part of the examples, as a coding rate asks for.
    BySize,
}

/// TransRate with distortion `epsilon`.
///
/// # Errors
/// [`Undefined::Singular`] where the determinant is lost in rounding.
pub fn transrate(data: &Labelled<'_>, epsilon: f64, weights: Weights) -> Result<f64, Undefined> {
    let own;
    let rates = if epsilon == EPSILON {
        data.shared.rates.get_or_init(|| rates(data, EPSILON)).as_ref().map_err(Clone::clone)?
    } else {
        own = rates(data, epsilon)?;
        &own
    };
    let n = data.features.nrows() as f64;
    let mut value = rates[0];
    for (count, rate) in data.counts.iter().zip(&rates[1..]) {
        let weight = match weights {
            Weights::Equal => 1.0 / data.classes() as f64,
            Weights::BySize => *count as f64 / n,
        };
        value -= weight * rate;
    }
    Ok(value)
}

/// The coding rate of all rows, then of those of each class.
fn rates(data: &Labelled<'_>, epsilon: f64) -> Result<Vec<f64>, Undefined> {
    let z = centred(data.features);
    let mut rates = vec![rate(z.view(), epsilon)?];
    for class in 0..data.classes() {
        let rows: Vec<usize> = (0..z.nrows()).filter(|&row| data.labels[row] == class).collect();
        rates.push(rate(z.select(Axis(0), &rows).view(), epsilon)?);
    }
    Ok(rates)
}

/// The coding rate; the determinant is taken of the smaller of the two Gram matrices.
fn rate(z: ArrayView2<'_, f64>, epsilon: f64) -> Result<f64, Undefined> {
    let (n, width) = z.dim();
    let gram = if n < width { gram_of_rows(z) } else { gram_of_columns(z) };
    let matrix = gram / (n as f64 * epsilon) + Array2::<f64>::eye(n.min(width));
    Ok(0.5 * Cholesky::new(matrix)?.log_determinant())
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{oracle, toy_labels, toy_x};
    use super::super::synthetic::shifted;
    use super::*;

    /// reference/analyses.md section 4.4.
    #[test]
    fn the_toy_values_are_reproduced() {
        let (x, labels) = (toy_x(), toy_labels());
        let data = Labelled::new(x.view(), &labels).unwrap();
        for (epsilon, golden) in [(1e-4, 0.022_392_902_825), (1.0, 0.011_485_245_090)] {
            let value = transrate(&data, epsilon, Weights::Equal).unwrap();
            assert!((value - golden).abs() < 1e-10, "{value} {golden}");
        }
    }

    #[test]
    fn two_equal_classes_that_differ_in_their_means_only_are_not_seen() {
        for shift in [1.0, 100.0] {
            let (x, labels) = shifted(400, 3, shift, 1);
            let value =
                transrate(&Labelled::new(x.view(), &labels).unwrap(), EPSILON, Weights::Equal).unwrap();
            assert!(value.abs() < 0.05, "{shift} {value}");
        }
    }

    #[test]
    fn the_oracle_is_reproduced_with_both_weights() {
        let oracle = oracle();
        for name in ["feat", "x", "wide"] {
            let features = oracle.matrix(name);
            let data = Labelled::new(features.view(), &oracle.labels).unwrap();
            for (weights, golden) in [(Weights::Equal, "transrate"), (Weights::BySize, "transrate_weighted")]
            {
                let value = transrate(&data, EPSILON, weights).unwrap();
                let golden = oracle.label_value(name, golden);
                assert!((value - golden).abs() < 1e-9 * golden.abs().max(1.0), "{name} {value} {golden}");
            }
        }
    }
}
