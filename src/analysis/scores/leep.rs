//! LEEP and NCE: how well the outputs of a source classifier predict the labels of the target task.
//!
//! LEEP (Nguyen et al., ICML 2020): `mean_i ln Σ_z P̂(y_i | z) θ(x_i)_z` with
//! `P̂(y, z) = 1/n Σ_i θ(x_i)_z [y_i = y]`. NCE (Tran et al., ICCV 2019): minus the conditional
//! entropy of the labels given the source labels, `1/n Σ_i ln P̂(y_i | z_i)`. Both are in nats, at
//! most 0, and higher is better. The source comes first and the target second: with the two swapped
//! they tell of another task.

use super::Undefined;
use ndarray::{Array2, ArrayView2};

/// LEEP of source probabilities θ `[N, Z]`, whose rows are normalised to sum 1, and target labels.
///
/// # Errors
/// [`Undefined`] for unequal lengths, no examples, one class, or θ that is no distribution.
pub fn leep(theta: ArrayView2<'_, f64>, labels: &[u32]) -> Result<f64, Undefined> {
    if theta.nrows() != labels.len() {
        return Err(Undefined::Lengths { rows: theta.nrows(), labels: labels.len() });
    }
    let (target, classes) = ranked(labels)?;
    if theta.iter().any(|value| !value.is_finite()) {
        return Err(Undefined::NotFinite);
    }
    let mut theta = theta.to_owned();
    for (row, mut values) in theta.rows_mut().into_iter().enumerate() {
        let sum = values.sum();
        if values.iter().any(|value| *value < 0.0) || sum <= 0.0 {
            return Err(Undefined::NoDistribution { row });
        }
        values /= sum;
    }
    let sources = theta.ncols();
    let mut joint = Array2::<f64>::zeros((classes, sources));
    for (row, &class) in theta.rows().into_iter().zip(&target) {
        joint.row_mut(class).scaled_add(1.0, &row);
    }
    let of_source = joint.sum_axis(ndarray::Axis(0));
    let logs = theta.rows().into_iter().zip(&target).map(|(row, &class)| {
        let terms = (0..sources).filter(|&z| row[z] > 0.0);
        terms.map(|z| joint[[class, z]] / of_source[z] * row[z]).sum::<f64>().ln()
    });
    Ok(logs.sum::<f64>() / labels.len() as f64)
}

/// NCE of source labels and target labels.
///
/// # Errors
/// [`Undefined`] for unequal lengths, no examples or one class.
pub fn nce(source: &[u32], labels: &[u32]) -> Result<f64, Undefined> {
    if source.len() != labels.len() {
        return Err(Undefined::Lengths { rows: source.len(), labels: labels.len() });
    }
    let (target, classes) = ranked(labels)?;
    let mut known: Vec<u32> = source.to_vec();
    known.sort_unstable();
    known.dedup();
    let mut joint = Array2::<f64>::zeros((known.len(), classes));
    for (z, &class) in source.iter().zip(&target) {
        joint[[known.partition_point(|label| label < z), class]] += 1.0;
    }
    let terms = joint.rows().into_iter().map(|row| {
        let of_source: f64 = row.sum();
        row.iter().filter(|count| **count > 0.0).map(|count| count * (count / of_source).ln()).sum::<f64>()
    });
    // a sum of nothing but ln 1 may come out as -0
    Ok(terms.sum::<f64>() / labels.len() as f64 + 0.0)
}

/// Labels as places among those that occur, and how many occur.
fn ranked(labels: &[u32]) -> Result<(Vec<usize>, usize), Undefined> {
    let mut known = labels.to_vec();
    known.sort_unstable();
    known.dedup();
    match known.len() {
        0 => Err(Undefined::TooFew { n: 0, least: 2 }),
        1 => Err(Undefined::OneClass),
        classes => {
            Ok((labels.iter().map(|label| known.partition_point(|other| other < label)).collect(), classes))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{oracle, toy_labels};
    use super::*;
    use crate::train::metrics::classification::argmax;

    fn toy_theta() -> Array2<f64> {
        ndarray::array![
            [0.7, 0.2, 0.1],
            [0.6, 0.3, 0.1],
            [0.2, 0.5, 0.3],
            [0.5, 0.4, 0.1],
            [0.1, 0.6, 0.3],
            [0.6, 0.1, 0.3],
            [0.1, 0.3, 0.6],
            [0.2, 0.2, 0.6]
        ]
    }

    /// reference/analyses.md sections 2 and 4.3.
    #[test]
    fn the_toy_values_are_reproduced() {
        let (theta, labels) = (toy_theta(), toy_labels());
        let value = leep(theta.view(), &labels).unwrap();
        assert!((value + 0.489_535_817_351).abs() < 1e-11, "{value}");
        let source: Vec<u32> =
            theta.rows().into_iter().map(|row| argmax(&row.mapv(|p| p as f32).to_vec())).collect();
        assert_eq!(nce(&source, &labels), Ok(0.0));
    }

    #[test]
    fn the_oracle_is_reproduced() {
        let oracle = oracle();
        let value = leep(oracle.matrix("source_probs").view(), &oracle.labels).unwrap();
        assert!((value - oracle.label_value("x", "leep")).abs() < 1e-12, "{value}");
    }

    /// Two source labels that say nothing of two equal classes: minus ln 2.
    #[test]
    fn a_source_that_knows_nothing_leaves_the_entropy_of_the_labels() {
        let nothing = nce(&[0, 0, 1, 1], &[0, 1, 0, 1]).unwrap();
        assert!((nothing + std::f64::consts::LN_2).abs() < 1e-15);
        let flat = leep(Array2::ones((4, 3)).view(), &[0, 1, 0, 1]).unwrap();
        assert!((flat + std::f64::consts::LN_2).abs() < 1e-15);
    }

    #[test]
    fn what_is_no_distribution_is_refused() {
        let theta = ndarray::array![[0.5, 0.5], [1.2, -0.2]];
        assert_eq!(leep(theta.view(), &[0, 1]), Err(Undefined::NoDistribution { row: 1 }));
        assert_eq!(leep(theta.view(), &[1, 1]), Err(Undefined::OneClass));
        assert_eq!(nce(&[0], &[0, 1]), Err(Undefined::Lengths { rows: 1, labels: 2 }));
    }
}
