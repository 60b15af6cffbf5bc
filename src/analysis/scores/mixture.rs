//! Pseudo-classes where there is no source classifier: a Gaussian mixture on the leading principal
//! components, as N-LEEP does (Li et al., "Ranking neural checkpoints", CVPR 2021). Its soft
//! assignments are a θ for [`super::leep::leep`], its hard ones source labels for
//! [`super::leep::nce`].
//!
//! Components come from block power iteration from a seeded start; the mixture has diagonal
//! covariances, starts from seeded k-means++ and a few rounds of k-means, and is fitted by
//! expectation and maximisation. All of it depends on the features and the seed only.

use super::leep::{leep, nce};
use super::linear::centred;
use super::spectrum::spectrum;
use super::{Labelled, Undefined};
use crate::analysis::statistics::distributions::normal_quantile;
use crate::analysis::statistics::estimate::moments;
use crate::analysis::statistics::{CONFIDENCE, Estimate};
use crate::seed::{Seed, Stream};
use ndarray::{Array1, Array2, ArrayView1, ArrayView2, Axis, s};
use rayon::prelude::*;

/// Principal components kept.
pub const COMPONENTS: usize = 32;
/// Gaussians for each class, as published.
pub const GAUSSIANS_PER_CLASS: usize = 5;
/// Examples that there must be for each Gaussian; fewer examples have fewer Gaussians.
const EXAMPLES_PER_GAUSSIAN: usize = 5;
/// Resamples of the intervals.
const RESAMPLES: usize = 400;
/// Columns of the power iteration beyond those kept, and its rounds.
const SPARE: usize = 8;
const POWER_ROUNDS: usize = 6;
const MEANS_ROUNDS: usize = 20;
const MIXTURE_ROUNDS: usize = 100;
/// Change of the mean log likelihood at which the mixture is fitted.
const TOLERANCE: f64 = 1e-5;
/// Least variance of a Gaussian, as a part of the mean variance.
const LEAST_VARIANCE: f64 = 1e-3;

/// N-LEEP: [`leep`] of the mixture's soft assignments.
///
/// # Errors
/// [`Undefined::NotConverged`] for features without any direction.
pub fn nleep(data: &Labelled<'_>, seed: Seed) -> Result<f64, Undefined> {
    with_assignments(data, seed, |soft| leep(soft.view(), &labels(data)))
}

/// [`nce`] of the mixture's hard assignments.
///
/// # Errors
/// As [`nleep`].
pub fn nce_of_clusters(data: &Labelled<'_>, seed: Seed) -> Result<f64, Undefined> {
    with_assignments(data, seed, |soft| nce(&hard(soft), &labels(data)))
}

/// [`nleep`] with its bootstrap interval over examples. The mixture is held as it was fitted, so what
/// another draw of examples would do to it is not in the interval.
///
/// # Errors
/// As [`nleep`].
pub fn nleep_estimate(data: &Labelled<'_>, seed: Seed) -> Result<Estimate, Undefined> {
    with_assignments(data, seed, |soft| {
        resampled(&labels(data), seed.derive("nleep"), |rows, labels| {
            leep(soft.select(Axis(0), rows).view(), labels)
        })
    })
}

/// [`nce_of_clusters`] with its bootstrap interval over examples, the mixture held.
///
/// # Errors
/// As [`nleep`].
pub fn nce_estimate(data: &Labelled<'_>, seed: Seed) -> Result<Estimate, Undefined> {
    with_assignments(data, seed, |soft| {
        let hard = hard(soft);
        resampled(&labels(data), seed.derive("nce"), |rows, labels| {
            nce(&rows.iter().map(|&row| hard[row]).collect::<Vec<_>>(), labels)
        })
    })
}

/// A statistic of all rows with the normal interval of its spread over resamples of the rows. A
/// resample is fitted better by its own counts than all rows are by theirs, so the quantiles of the
/// resamples lie too high and are not the interval.
fn resampled(
    labels: &[u32],
    seed: Seed,
    statistic: impl Fn(&[usize], &[u32]) -> Result<f64, Undefined> + Sync,
) -> Result<Estimate, Undefined> {
    let n = labels.len();
    let all: Vec<usize> = (0..n).collect();
    let value = statistic(&all, labels)?;
    let values: Vec<f64> = (0..RESAMPLES)
        .into_par_iter()
        .filter_map(|at| {
            let mut stream = seed.derive(&at.to_string()).stream();
            let rows: Vec<usize> = (0..n).map(|_| stream.below(n)).collect();
            let drawn: Vec<u32> = rows.iter().map(|&row| labels[row]).collect();
            // a resample of one class alone has no value
            statistic(&rows, &drawn).ok()
        })
        .collect();
    let few = |_| Undefined::TooFew { n, least: 4 };
    let error = moments(&values).map_err(few)?.1.unwrap_or(0.0);
    let half = normal_quantile(f64::midpoint(1.0, CONFIDENCE)) * error;
    // neither statistic can be above 0
    Ok(Estimate { value, low: value - half, high: (value + half).min(0.0), standard_error: error, n })
}

/// The likeliest Gaussian of each example.
fn hard(soft: &Array2<f64>) -> Vec<u32> {
    let likeliest = |row: ArrayView1<'_, f64>| {
        (0..row.len()).fold(0, |best, at| if row[at] > row[best] { at } else { best }) as u32
    };
    soft.rows().into_iter().map(likeliest).collect()
}

/// The first seed's assignments are kept for the other score that reads them.
fn with_assignments<T>(
    data: &Labelled<'_>,
    seed: Seed,
    score: impl FnOnce(&Array2<f64>) -> Result<T, Undefined>,
) -> Result<T, Undefined> {
    let (of, kept) = data.shared.assignments.get_or_init(|| (seed, assignments(data, seed)));
    if *of == seed { score(kept.as_ref().map_err(Clone::clone)?) } else { score(&assignments(data, seed)?) }
}

fn labels(data: &Labelled<'_>) -> Vec<u32> {
    data.labels.iter().map(|label| *label as u32).collect()
}

/// `[N, Z]`, rows sum to 1.
fn assignments(data: &Labelled<'_>, seed: Seed) -> Result<Array2<f64>, Undefined> {
    let seed = seed.derive("mixture");
    let n = data.labels.len();
    let wanted = GAUSSIANS_PER_CLASS * data.classes();
    let gaussians = wanted.min(n / EXAMPLES_PER_GAUSSIAN).max(data.classes());
    let x = principal_components(data.features, COMPONENTS, seed)?;
    Ok(Mixture::fit(x.view(), gaussians, seed).assign(x.view()).0)
}

/// The examples along the leading principal components, `[N, at most wanted]`.
///
/// # Errors
/// [`Undefined::Constant`] for features without any direction.
pub(crate) fn principal_components(
    features: ArrayView2<'_, f64>,
    wanted: usize,
    seed: Seed,
) -> Result<Array2<f64>, Undefined> {
    let x = centred(features);
    let (n, width) = x.dim();
    let columns = (wanted + SPARE).min(width).min(n);
    let mut stream = seed.derive("components").stream();
    let mut basis = Array2::from_shape_simple_fn((width, columns), || stream.normal());
    for _ in 0..POWER_ROUNDS {
        basis = orthonormal(&x.t().dot(&x.dot(&basis)));
    }
    if basis.ncols() == 0 {
        return Err(Undefined::Constant);
    }
    // within the basis, the directions by their variance
    let along = x.dot(&basis);
    let inside = spectrum(along.t().dot(&along), Array2::eye(basis.ncols()))?;
    let mut order: Vec<usize> = (0..inside.values.len()).collect();
    order.sort_by(|&a, &b| inside.values[b].total_cmp(&inside.values[a]));
    order.truncate(wanted);
    Ok(along.dot(&inside.along.select(Axis(0), &order).t()))
}

/// An orthonormal basis of the columns by Gram and Schmidt, each column twice; columns that the
/// others explain are left out.
fn orthonormal(columns: &Array2<f64>) -> Array2<f64> {
    const EXPLAINED: f64 = 1e-10;
    let mut basis: Vec<Array1<f64>> = Vec::new();
    for column in columns.columns() {
        let mut rest = column.to_owned();
        let length = rest.dot(&rest).sqrt();
        for _ in 0..2 {
            for known in &basis {
                let along = known.dot(&rest);
                rest.scaled_add(-along, known);
            }
        }
        let left = rest.dot(&rest).sqrt();
        if left > EXPLAINED * length && left > 0.0 {
            basis.push(rest / left);
        }
    }
    let mut matrix = Array2::zeros((columns.nrows(), basis.len()));
    for (mut column, known) in matrix.columns_mut().into_iter().zip(basis) {
        column.assign(&known);
    }
    matrix
}

/// A mixture of Gaussians with diagonal covariances.
struct Mixture {
    /// `[Z]`.
    log_weights: Vec<f64>,
    /// `[Z, D]`.
    means: Array2<f64>,
    /// `[Z, D]`.
    variances: Array2<f64>,
    floor: f64,
}

impl Mixture {
    fn fit(x: ArrayView2<'_, f64>, gaussians: usize, seed: Seed) -> Self {
        let (n, width) = x.dim();
        let floor = LEAST_VARIANCE * x.iter().map(|value| value * value).sum::<f64>() / (n * width) as f64;
        let nearest = k_means(x, gaussians, seed);
        let mut hard = Array2::zeros((n, gaussians));
        for (row, gaussian) in nearest.into_iter().enumerate() {
            hard[[row, gaussian]] = 1.0;
        }
        let mut mixture = Self::from_assignments(x, &hard, floor);
        let mut before = f64::NEG_INFINITY;
        for _ in 0..MIXTURE_ROUNDS {
            let (soft, likelihood) = mixture.assign(x);
            if likelihood - before < TOLERANCE {
                break;
            }
            before = likelihood;
            mixture = Self::from_assignments(x, &soft, floor);
        }
        mixture
    }

    fn from_assignments(x: ArrayView2<'_, f64>, soft: &Array2<f64>, floor: f64) -> Self {
        let (n, width) = x.dim();
        let gaussians = soft.ncols();
        let mass: Vec<f64> = soft.sum_axis(Axis(0)).iter().map(|mass| mass.max(f64::MIN_POSITIVE)).collect();
        let mut means = soft.t().dot(&x);
        let mut variances = soft.t().dot(&x.mapv(|value| value * value));
        for gaussian in 0..gaussians {
            for column in 0..width {
                let mean = means[[gaussian, column]] / mass[gaussian];
                means[[gaussian, column]] = mean;
                let variance = variances[[gaussian, column]] / mass[gaussian] - mean * mean;
                variances[[gaussian, column]] = variance.max(0.0) + floor;
            }
        }
        let log_weights = mass.iter().map(|mass| (mass / n as f64).ln()).collect();
        Self { log_weights, means, variances, floor }
    }

    /// Soft assignments `[N, Z]` and the mean log likelihood, less its constant.
    fn assign(&self, x: ArrayView2<'_, f64>) -> (Array2<f64>, f64) {
        let logs: Vec<f64> = self.variances.rows().into_iter().map(|row| row.mapv(f64::ln).sum()).collect();
        debug_assert!(self.variances.iter().all(|variance| *variance >= self.floor));
        let mut soft = Array2::zeros((x.nrows(), self.log_weights.len()));
        let mut total = 0.0;
        for (point, mut row) in x.rows().into_iter().zip(soft.rows_mut()) {
            for (gaussian, value) in row.iter_mut().enumerate() {
                let parts = point.iter().zip(self.means.row(gaussian)).zip(self.variances.row(gaussian));
                let distance: f64 = parts.map(|((x, mean), variance)| (x - mean).powi(2) / variance).sum();
                *value = self.log_weights[gaussian] - 0.5 * (logs[gaussian] + distance);
            }
            let largest = row.iter().fold(f64::NEG_INFINITY, |max, value| max.max(*value));
            row.mapv_inplace(|value| (value - largest).exp());
            let sum = row.sum();
            row /= sum;
            total += largest + sum.ln();
        }
        (soft, total / x.nrows() as f64)
    }
}

/// The nearest of k centres for each example (Lloyd), from k-means++ (Arthur and Vassilvitskii, 2007).
fn k_means(x: ArrayView2<'_, f64>, k: usize, seed: Seed) -> Vec<usize> {
    let mut centres = first_centres(x, k, &mut seed.derive("centres").stream());
    let mut nearest = vec![0; x.nrows()];
    for _ in 0..MEANS_ROUNDS {
        let found: Vec<usize> = x.rows().into_iter().map(|point| closest(point, &centres)).collect();
        if found == nearest {
            break;
        }
        nearest = found;
        for centre in 0..k {
            let members: Vec<usize> = (0..x.nrows()).filter(|&row| nearest[row] == centre).collect();
            // a centre that lost all examples stays where it was
            if let Some(mean) = x.select(Axis(0), &members).mean_axis(Axis(0)) {
                centres.row_mut(centre).assign(&mean);
            }
        }
    }
    nearest
}

fn first_centres(x: ArrayView2<'_, f64>, k: usize, stream: &mut Stream) -> Array2<f64> {
    let mut centres = Array2::zeros((k, x.ncols()));
    centres.row_mut(0).assign(&x.row(stream.below(x.nrows())));
    let mut distances = vec![f64::INFINITY; x.nrows()];
    for centre in 1..k {
        let newest = centres.slice(s![centre - 1, ..]);
        for (distance, point) in distances.iter_mut().zip(x.rows()) {
            *distance = distance.min(squared_distance(point, newest));
        }
        let mut place = stream.uniform() * distances.iter().sum::<f64>();
        let drawn = distances.iter().position(|distance| {
            place -= distance;
            place < 0.0
        });
        // every example is a centre already, or rounding used up the sum
        let drawn = drawn.unwrap_or(x.nrows() - 1);
        centres.row_mut(centre).assign(&x.row(drawn));
    }
    centres
}

fn closest(point: ArrayView1<'_, f64>, centres: &Array2<f64>) -> usize {
    let distances: Vec<f64> =
        centres.rows().into_iter().map(|centre| squared_distance(point, centre)).collect();
    (0..distances.len()).fold(0, |best, at| if distances[at] < distances[best] { at } else { best })
}

fn squared_distance(a: ArrayView1<'_, f64>, b: ArrayView1<'_, f64>) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum()
}

#[cfg(test)]
mod tests {
    use super::super::synthetic::{normal, shifted};
    use super::*;

    #[test]
    fn principal_components_come_by_their_variance_and_keep_distances() {
        let mut x = normal(200, 6, 1);
        for (column, scale) in [0.1, 5.0, 1.0, 0.01, 3.0, 0.5].into_iter().enumerate() {
            x.column_mut(column).mapv_inplace(|value| value * scale);
        }
        let found = principal_components(x.view(), 6, Seed(1)).unwrap();
        let squares: Vec<f64> = found.columns().into_iter().map(|column| column.dot(&column)).collect();
        assert!(squares.windows(2).all(|pair| pair[0] >= pair[1]), "{squares:?}");
        let total: f64 = centred(x.view()).iter().map(|value| value * value).sum();
        assert!((squares.iter().sum::<f64>() / total - 1.0).abs() < 1e-12);
        assert_eq!(principal_components(x.view(), 2, Seed(1)).unwrap().dim(), (200, 2));
    }

    #[test]
    fn clusters_that_are_the_classes_leave_nothing_to_ask() {
        let (x, labels) = shifted(300, 3, 60.0, 1);
        let data = Labelled::new(x.view(), &labels).unwrap();
        assert!(nleep(&data, Seed(1)).unwrap() > -1e-9);
        assert_eq!(nce_of_clusters(&data, Seed(1)), Ok(0.0));
        let noise = normal(300, 3, 2);
        let data = Labelled::new(noise.view(), &labels).unwrap();
        let value = nleep(&data, Seed(1)).unwrap();
        assert!((-std::f64::consts::LN_2 - 1e-9..-0.6).contains(&value), "{value}");
    }

    #[test]
    fn the_same_seed_gives_the_same_bits() {
        let (x, labels) = shifted(120, 50, 2.0, 3);
        let data = Labelled::new(x.view(), &labels).unwrap();
        assert_eq!(nleep(&data, Seed(4)), nleep(&data, Seed(4)));
    }

    #[test]
    fn few_examples_and_examples_that_are_the_same_are_assigned_all_the_same() {
        let mut x = Array2::zeros((6, 4));
        x[[0, 1]] = 1.0;
        let data = Labelled::new(x.view(), &[0, 1, 0, 1, 0, 1]).unwrap();
        assert!(nleep(&data, Seed(1)).unwrap().is_finite());
    }
}
