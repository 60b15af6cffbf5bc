//! Representational similarity analysis: the correlation between two sides' dissimilarities of
//! pairs of examples. The n (n - 1) / 2 pairs are not independent; whoever resamples must resample
//! examples.

use ndarray::{ArrayView2, Axis};

use super::Undefined;
use super::cka::squared_distances;
use super::linear::{check, check_pair, gram, unit_rows};

/// The dissimilarity of two examples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inner {
    /// One less the correlation between their channels.
    Correlation,
    /// One less the cosine.
    Cosine,
    /// The Euclidean distance.
    Euclid,
}

/// The correlation between dissimilarities.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outer {
    /// Of ranks, ties sharing their mean.
    Spearman,
    /// Of the dissimilarities themselves.
    Pearson,
    /// Kendall's tau-b.
    Kendall,
}

/// The dissimilarities of all pairs of examples: (0, 1), (0, 2), ..., (1, 2), ...
///
/// # Errors
/// [`Undefined::TooFew`] below three examples; [`Undefined::TooNarrow`] for correlations over fewer
/// than three channels, [`Undefined::NoDirection`] for rows without one, [`Undefined::NotFinite`].
pub fn dissimilarities(x: ArrayView2<f64>, inner: Inner) -> Result<Vec<f64>, Undefined> {
    check(x, 3)?;
    let all = match inner {
        Inner::Euclid => squared_distances(x).mapv(f64::sqrt),
        Inner::Cosine => gram(unit_rows(x)?.view()).mapv(|cosine| 1.0 - cosine),
        Inner::Correlation => {
            if x.ncols() < 3 {
                return Err(Undefined::TooNarrow { width: x.ncols() });
            }
            let means = x.mean_axis(Axis(1)).ok_or(Undefined::TooNarrow { width: 0 })?;
            let mut rows = &x - &means.insert_axis(Axis(1));
            // equal channels leave the rounding of their mean, which is no direction
            for (mut row, before) in rows.rows_mut().into_iter().zip(x.rows()) {
                let largest = before.iter().fold(0.0_f64, |most, value| most.max(value.abs()));
                if row.iter().all(|value| value.abs() <= 1e-14 * largest) {
                    row.fill(0.0);
                }
            }
            gram(unit_rows(rows.view())?.view()).mapv(|correlation| 1.0 - correlation)
        }
    };
    let n = all.nrows();
    Ok((0..n).flat_map(|i| (i + 1..n).map(move |j| (i, j))).map(|at| all[at]).collect())
}

/// Ranks from 1 for the smallest, ties sharing the mean of their places.
pub(super) fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<u32> = (0..values.len() as u32).collect();
    order.sort_unstable_by(|&a, &b| values[a as usize].total_cmp(&values[b as usize]));
    let mut ranks = vec![0.0; values.len()];
    let mut before = 0;
    for tied in order.chunk_by(|&a, &b| values[a as usize] == values[b as usize]) {
        let shared = before as f64 + (tied.len() + 1) as f64 / 2.0;
        for &at in tied {
            ranks[at as usize] = shared;
        }
        before += tied.len();
    }
    ranks
}

/// Pearson's correlation.
///
/// # Errors
/// [`Undefined::NoVariance`] if either side is constant.
pub fn pearson(a: &[f64], b: &[f64]) -> Result<f64, Undefined> {
    let n = a.len() as f64;
    let (mean_a, mean_b) = (a.iter().sum::<f64>() / n, b.iter().sum::<f64>() / n);
    let (mut aa, mut bb, mut ab) = (0.0, 0.0, 0.0);
    for (a, b) in a.iter().zip(b) {
        let (a, b) = (a - mean_a, b - mean_b);
        aa += a * a;
        bb += b * b;
        ab += a * b;
    }
    let varies = |sum: f64, mean: f64| sum > n * (1e-14 * mean).powi(2);
    if varies(aa, mean_a) && varies(bb, mean_b) {
        Ok((ab / (aa.sqrt() * bb.sqrt())).clamp(-1.0, 1.0))
    } else {
        Err(Undefined::NoVariance)
    }
}

/// Kendall's tau-b in O(m log m) (Knight 1966).
///
/// # Errors
/// [`Undefined::NoVariance`] if either side is constant.
pub fn kendall(a: &[f64], b: &[f64]) -> Result<f64, Undefined> {
    let mut order: Vec<usize> = (0..a.len()).collect();
    order.sort_unstable_by(|&i, &j| a[i].total_cmp(&a[j]).then(b[i].total_cmp(&b[j])));
    let pairs = |count: usize| (count * count.saturating_sub(1) / 2) as f64;
    let tied = |same: &dyn Fn(usize, usize) -> bool, order: &[usize]| -> f64 {
        order.chunk_by(|&i, &j| same(i, j)).map(|chunk| pairs(chunk.len())).sum()
    };
    let tied_a = tied(&|i, j| a[i] == a[j], &order);
    let tied_both = tied(&|i, j| a[i] == a[j] && b[i] == b[j], &order);
    let mut by_b: Vec<f64> = order.iter().map(|&i| b[i]).collect();
    let mut spare = by_b.clone();
    let swaps = sort_counting(&mut by_b, &mut spare) as f64;
    let tied_b: f64 = by_b.chunk_by(|x, y| x == y).map(|chunk| pairs(chunk.len())).sum();
    let all = pairs(a.len());
    let (free_a, free_b) = (all - tied_a, all - tied_b);
    if free_a <= 0.0 || free_b <= 0.0 {
        return Err(Undefined::NoVariance);
    }
    let concordant_less_discordant = all - tied_a - tied_b + tied_both - 2.0 * swaps;
    Ok((concordant_less_discordant / (free_a.sqrt() * free_b.sqrt())).clamp(-1.0, 1.0))
}

/// Merge sort that counts exchanges of unequal neighbours.
fn sort_counting(values: &mut [f64], spare: &mut [f64]) -> u64 {
    let n = values.len();
    if n < 2 {
        return 0;
    }
    let half = n / 2;
    let mut swaps = sort_counting(&mut values[..half], &mut spare[..half])
        + sort_counting(&mut values[half..], &mut spare[half..]);
    let (mut i, mut j) = (0, half);
    for place in spare.iter_mut() {
        if j == n || (i < half && values[i] <= values[j]) {
            *place = values[i];
            i += 1;
        } else {
            swaps += (half - i) as u64;
            *place = values[j];
            j += 1;
        }
    }
    values.copy_from_slice(spare);
    swaps
}

/// The correlation between two sides' dissimilarities.
///
/// # Errors
/// As [`dissimilarities`]; [`Undefined::Unpaired`], [`Undefined::NoVariance`].
pub fn rsa(x: ArrayView2<f64>, y: ArrayView2<f64>, inner: Inner, outer: Outer) -> Result<f64, Undefined> {
    check_pair(x, y, 3)?;
    correlate(&dissimilarities(x, inner)?, &dissimilarities(y, inner)?, outer)
}

/// Correlates dissimilarities.
///
/// # Errors
/// [`Undefined::NoVariance`].
pub fn correlate(x: &[f64], y: &[f64], outer: Outer) -> Result<f64, Undefined> {
    match outer {
        Outer::Spearman => pearson(&ranks(x), &ranks(y)),
        Outer::Pearson => pearson(x, y),
        Outer::Kendall => kendall(x, y),
    }
}
