//! What a similarity would be by chance: its distribution when the examples of one side are put
//! into a random order. Wide features, few examples and many layers push raw values up, so no value
//! is shown without it. Two moments are exact for every measure that sums products over pairs of
//! examples (Mantel 1967, here for matrices that need not be symmetric): debiased CKA, RSA with
//! Spearman or Pearson, shared neighbours. The others are calibrated by seeded permutations.

use ndarray::{Array2, Axis};
use serde::Serialize;

use crate::seed::Seed;

/// The share of the null distribution below the threshold of [`Chance::threshold`].
pub const LEVEL: f64 = 0.95;

/// The standard normal quantile of [`LEVEL`].
const NORMAL: f64 = 1.644_853_626_951_472_2;

/// How the null distribution is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Basis {
    /// A formula that is exact over all orders of the examples.
    Exact,
    /// Seeded random orders.
    Permutations(usize),
}

/// The null distribution of one value.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Chance {
    /// Its mean: the chance level.
    pub mean: f64,
    /// Its standard deviation, where it is known.
    pub deviation: Option<f64>,
    /// Its 95% quantile (for a distance the 5% quantile): the empirical one of permutations; from
    /// two moments that of the normal distribution, which is a little low where the true one is
    /// skewed; the mean where no spread is known.
    pub threshold: f64,
    /// The share of orders at least as similar as observed, (r + 1) / (B + 1), of permutations.
    pub p: Option<f64>,
    /// Where it comes from.
    pub basis: Basis,
}

impl Chance {
    /// From exact moments; larger is more similar.
    pub fn exact(mean: f64, deviation: Option<f64>) -> Self {
        let threshold = mean + NORMAL * deviation.unwrap_or(0.0);
        Self { mean, deviation, threshold, p: None, basis: Basis::Exact }
    }

    /// From values under random orders, `None` for fewer than two; `larger` says that larger is
    /// more similar.
    pub fn sampled(observed: f64, mut drawn: Vec<f64>, larger: bool) -> Option<Self> {
        let count = drawn.len();
        if count < 2 {
            return None;
        }
        let mean = drawn.iter().sum::<f64>() / count as f64;
        let squares: f64 = drawn.iter().map(|value| (value - mean).powi(2)).sum();
        let reached = drawn.iter().filter(|&&v| if larger { v >= observed } else { v <= observed }).count();
        drawn.sort_by(f64::total_cmp);
        let place = (LEVEL * (count - 1) as f64).round() as usize;
        Some(Self {
            mean,
            deviation: Some((squares / (count - 1) as f64).sqrt()),
            threshold: drawn[if larger { place } else { count - 1 - place }],
            p: Some((reached + 1) as f64 / (count + 1) as f64),
            basis: Basis::Permutations(count),
        })
    }

    /// The value on the scale on which 0 is the threshold of chance and 1 the most similar that
    /// there is, `best`; negative where chance does better. `None` if the two are the same.
    pub fn calibrated(&self, value: f64, best: f64) -> Option<f64> {
        let room = best - self.threshold;
        (room.abs() > 1e-12).then(|| (value - self.threshold) / room)
    }
}

/// `count` random orders of `n` examples, the same for every pair of layers.
pub fn orders(n: usize, count: usize, seed: Seed) -> Vec<Vec<usize>> {
    (0..count)
        .map(|draw| {
            let mut order: Vec<usize> = (0..n).collect();
            seed.derive(&format!("order {draw}")).stream().shuffle(&mut order);
            order
        })
        .collect()
}

/// Sums over ordered pairs of different examples of a matrix, one for each way in which two pairs
/// can share examples: all that the moments under permutation depend on.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PairSums {
    /// Σ a_ij.
    pub total: f64,
    /// Σ a_ij².
    pub squares: f64,
    /// Σ a_ij a_ji.
    pub mutual: f64,
    /// Σ_i (Σ_j a_ij)².
    pub rows: f64,
    /// Σ_j (Σ_i a_ij)².
    pub columns: f64,
    /// Σ_i (Σ_j a_ij) (Σ_j a_ji).
    pub chains: f64,
}

impl PairSums {
    /// Of a matrix whose diagonal plays no part.
    pub fn of(matrix: &Array2<f64>) -> Self {
        let mut hollow = matrix.clone();
        hollow.diag_mut().fill(0.0);
        let (rows, columns) = (hollow.sum_axis(Axis(1)), hollow.sum_axis(Axis(0)));
        let squares = hollow.iter().map(|value| value * value).sum();
        let mutual = hollow.indexed_iter().map(|((i, j), value)| value * hollow[[j, i]]).sum();
        Self {
            total: rows.sum(),
            squares,
            mutual,
            rows: rows.dot(&rows),
            columns: columns.dot(&columns),
            chains: rows.dot(&columns),
        }
    }

    /// Of a symmetric matrix, from the sums of its rows and of its squares.
    pub fn symmetric(row_sums: &[f64], squares: f64) -> Self {
        let rows = row_sums.iter().map(|sum| sum * sum).sum();
        Self { total: row_sums.iter().sum(), squares, mutual: squares, rows, columns: rows, chains: rows }
    }

    /// Sums over two pairs that share nothing more than what their kind says.
    fn kinds(&self) -> [f64; 7] {
        let rows = self.rows - self.squares;
        let columns = self.columns - self.squares;
        let chain = self.chains - self.mutual;
        let shared = self.squares + self.mutual + rows + columns + 2.0 * chain;
        [self.squares, self.mutual, rows, columns, chain, chain, self.total * self.total - shared]
    }

    /// Variance of the entries off the diagonal, times their number.
    pub fn spread(&self, n: usize) -> f64 {
        let pairs = n as f64 * (n as f64 - 1.0);
        self.squares - self.total * self.total / pairs
    }
}

/// Mean and variance of `Σ_{i≠j} a_ij b_{σ(i)σ(j)}` over all orders σ of `n` >= 4 examples.
pub fn moments(n: usize, a: &PairSums, b: &PairSums) -> (f64, f64) {
    let n = n as f64;
    let (two, three, four) =
        (n * (n - 1.0), n * (n - 1.0) * (n - 2.0), n * (n - 1.0) * (n - 2.0) * (n - 3.0));
    let counts = [two, two, three, three, three, three, four];
    let mean = a.total * b.total / two;
    let second: f64 = a.kinds().iter().zip(b.kinds()).zip(counts).map(|((a, b), count)| a * b / count).sum();
    (mean, (second - mean * mean).max(0.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn random(seed: u64, n: usize) -> Array2<f64> {
        let mut stream = Seed(seed).stream();
        Array2::from_shape_fn((n, n), |(i, j)| if i == j { 0.0 } else { stream.normal() + 0.3 })
    }

    /// Over all 120 orders of five examples, for matrices without symmetry.
    #[test]
    fn the_moments_are_those_over_all_orders() {
        let n = 5;
        let (a, b) = (random(1, n), random(2, n));
        let mut order = [0, 1, 2, 3, 4];
        let mut values = Vec::new();
        permute(&mut order, 0, &mut |order| {
            let pairs = (0..n).flat_map(|i| (0..n).map(move |j| (i, j)));
            values.push(pairs.map(|(i, j)| a[[i, j]] * b[[order[i], order[j]]]).sum::<f64>());
        });
        assert_eq!(values.len(), 120);
        let mean = values.iter().sum::<f64>() / 120.0;
        let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / 120.0;
        let found = moments(n, &PairSums::of(&a), &PairSums::of(&b));
        assert!((found.0 - mean).abs() < 1e-10 && (found.1 - variance).abs() < 1e-9, "{found:?}");
    }

    fn permute(order: &mut [usize; 5], from: usize, each: &mut impl FnMut(&[usize; 5])) {
        if from == order.len() {
            return each(order);
        }
        for other in from..order.len() {
            order.swap(from, other);
            permute(order, from + 1, each);
            order.swap(from, other);
        }
    }

    #[test]
    fn calibrated_values_run_from_the_threshold_to_the_best() {
        let chance = Chance::sampled(0.9, (0..=100).map(|i| f64::from(i) / 100.0).collect(), true).unwrap();
        assert_eq!((chance.threshold, chance.p), (0.95, Some(12.0 / 102.0)));
        assert!(chance.calibrated(0.975, 1.0).unwrap() - 0.5 < 1e-12);
        assert!(chance.calibrated(0.9, 1.0).unwrap() < 0.0);
        let distance =
            Chance::sampled(0.1, (0..=100).map(|i| f64::from(i) / 100.0).collect(), false).unwrap();
        assert_eq!(distance.threshold, 0.05);
        assert!((distance.calibrated(0.0, 0.0).unwrap() - 1.0).abs() < 1e-12);
        assert_eq!(Chance::sampled(0.1, vec![0.5], true), None);
    }
}
