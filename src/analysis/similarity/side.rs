//! One side of a comparison, brought once into the form that a measure compares, so that a layer
//! among many is prepared once and put into other orders without being prepared again.

use ndarray::{Array2, ArrayView2, Axis};

use super::cca::{self, Basis};
use super::cka::{self, Median};
use super::knn::{self, Neighbours};
use super::linear::{self, check};
use super::measure::{Kind, Measure};
use super::null::{self, Chance, PairSums};
use super::procrustes::Fit;
use super::rsa::{self, Outer};
use super::{Options, Undefined};

/// Features as one measure compares them.
#[derive(Clone, Debug)]
pub struct Side {
    width: usize,
    n: usize,
    form: Form,
}

#[derive(Clone, Debug)]
enum Form {
    /// A kernel whose inner products are the measure, with its size, and its participation ratio
    /// where the chance level depends on it.
    Kernel { centred: Array2<f64>, size: f64, ratio: Option<f64> },
    /// Checked features.
    Features(Array2<f64>),
    /// Centred features.
    Centred(Array2<f64>),
    /// An orthonormal basis.
    Directions(Basis),
    /// Dissimilarities (or their ranks) of all pairs, as a matrix with a zero diagonal.
    Dissimilarities { matrix: Array2<f64>, sums: PairSums },
    /// Nearest neighbours.
    Neighbours { found: Neighbours, sums: PairSums },
}

impl Side {
    /// Prepares one side.
    ///
    /// # Errors
    /// Why the measure has no value for any pair with this side.
    pub fn new(measure: &Measure, x: ArrayView2<f64>, options: &Options) -> Result<Self, Undefined> {
        check(x, measure.least)?;
        let form = match measure.kind {
            Kind::Cka => unbiased(&linear::gram(linear::centred(x)?.view()))?,
            Kind::CkaRbf => unbiased(&cka::gaussian(x, options.gaussian_width, Median::All)?)?,
            Kind::CkaBiased => {
                let centred = linear::double_centred(&linear::gram(linear::centred(x)?.view()));
                let size = linear::squares(&centred);
                let ratio = Some(centred.diag().sum().powi(2) / size);
                Form::Kernel { centred, size, ratio }
            }
            Kind::CkaMinibatch => {
                linear::centred(x)?;
                Form::Features(x.to_owned())
            }
            Kind::Cca | Kind::CcaSquared | Kind::Pwcca => Form::Directions(Basis::new(x)?),
            Kind::Svcca => {
                let basis = Basis::new(x)?;
                Form::Directions(basis.leading(basis.kept(cca::Rule::Variance)))
            }
            Kind::Procrustes | Kind::ProcrustesSize | Kind::ProcrustesAngle => {
                Form::Centred(linear::centred(x)?)
            }
            Kind::Rsa(inner, outer) => {
                let mut values = rsa::dissimilarities(x, inner)?;
                if outer == Outer::Spearman {
                    values = rsa::ranks(&values);
                }
                let matrix = square(x.nrows(), &values);
                let sums = PairSums::of(&matrix);
                Form::Dissimilarities { matrix, sums }
            }
            Kind::Knn | Kind::KnnJaccard => {
                // examples that are all alike have ties for neighbours
                let varies = linear::centred(x);
                let found = Neighbours::find(x, options.neighbours)?;
                varies?;
                let sums = found.sums();
                Form::Neighbours { found, sums }
            }
            Kind::Cosine => Form::Features(linear::unit_rows(x)?),
        };
        Ok(Self { width: x.ncols(), n: x.nrows(), form })
    }

    /// Examples.
    pub fn n(&self) -> usize {
        self.n
    }

    /// Channels.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Directions that are compared, where a measure works on directions.
    pub fn directions(&self) -> Option<usize> {
        if let Form::Directions(basis) = &self.form { Some(basis.rank()) } else { None }
    }

    /// The same side with example i standing where `order[i]` stood.
    #[must_use]
    pub fn reordered(&self, order: &[usize]) -> Self {
        let both = |matrix: &Array2<f64>| matrix.select(Axis(0), order).select(Axis(1), order);
        let form = match &self.form {
            Form::Kernel { centred, size, ratio } => {
                Form::Kernel { centred: both(centred), size: *size, ratio: *ratio }
            }
            Form::Features(x) => Form::Features(linear::reordered(x, order)),
            Form::Centred(x) => Form::Centred(linear::reordered(x, order)),
            Form::Directions(basis) => Form::Directions(basis.reordered(order)),
            Form::Dissimilarities { matrix, sums } => {
                Form::Dissimilarities { matrix: both(matrix), sums: *sums }
            }
            Form::Neighbours { found, sums } => {
                Form::Neighbours { found: found.reordered(order), sums: *sums }
            }
        };
        Self { form, ..*self }
    }

    /// The value of the measure that both sides were prepared for.
    ///
    /// # Errors
    /// Why it has none.
    ///
    /// # Panics
    /// If the sides were prepared for measures of different forms.
    pub fn compare(&self, other: &Self, measure: &Measure, options: &Options) -> Result<f64, Undefined> {
        if self.n != other.n {
            return Err(Undefined::Unpaired { left: self.n, right: other.n });
        }
        measure.permits(self.n, [self.width, other.width])?;
        match (&self.form, &other.form) {
            (
                Form::Kernel { centred: k, size: k_size, .. },
                Form::Kernel { centred: l, size: l_size, .. },
            ) => cka::ratio(cka::inner(k, l), *k_size, *l_size),
            (Form::Features(x), Form::Features(y)) if measure.kind == Kind::Cosine => {
                let cosines = x.rows().into_iter().zip(y.rows()).map(|(x, y)| x.dot(&y));
                Ok(cosines.sum::<f64>() / self.n as f64)
            }
            (Form::Features(x), Form::Features(y)) => cka::minibatch(x.view(), y.view(), options.batch),
            (Form::Centred(x), Form::Centred(y)) => {
                let fit = Fit::of_centred(x, y);
                Ok(match measure.kind {
                    Kind::ProcrustesSize => fit.size_and_shape(),
                    Kind::ProcrustesAngle => fit.angle(),
                    _ => fit.normalised(),
                })
            }
            (Form::Directions(x), Form::Directions(y)) => {
                let width = x.rank().max(y.rank());
                if self.n <= width + 1 {
                    return Err(Undefined::Saturated { n: self.n, width });
                }
                Ok(match measure.kind {
                    Kind::CcaSquared => cca::mean_square(x, y),
                    Kind::Pwcca => cca::weighted(x, y),
                    _ => cca::mean_correlation(x, y),
                })
            }
            (Form::Dissimilarities { matrix: a, .. }, Form::Dissimilarities { matrix: b, .. }) => {
                let outer = if matches!(measure.kind, Kind::Rsa(_, Outer::Kendall)) {
                    Outer::Kendall
                } else {
                    Outer::Pearson // of ranks, where the measure ranks
                };
                rsa::correlate(&condensed(a), &condensed(b), outer)
            }
            (Form::Neighbours { found: a, .. }, Form::Neighbours { found: b, .. }) => {
                Ok(if measure.kind == Kind::Knn { knn::overlap(a, b) } else { knn::jaccard(a, b) })
            }
            _ => unreachable!("sides prepared for different measures"),
        }
    }

    /// What is known by formula about values under random orders of the examples.
    pub fn exact_chance(&self, other: &Self, measure: &Measure) -> Option<Chance> {
        let n = self.n;
        match (&self.form, &other.form) {
            (Form::Kernel { ratio: Some(k), .. }, Form::Kernel { ratio: Some(l), .. }) => {
                Some(Chance::exact(cka::chance_biased(*k, *l, n), None))
            }
            (Form::Kernel { .. }, Form::Kernel { .. }) => {
                Some(Chance::exact(0.0, Some(cka::chance_debiased(n))))
            }
            (Form::Directions(x), Form::Directions(y)) if measure.kind == Kind::CcaSquared => {
                Some(Chance::exact(x.rank().max(y.rank()) as f64 / (n as f64 - 1.0), None))
            }
            (Form::Dissimilarities { sums: a, .. }, Form::Dissimilarities { sums: b, .. })
                if !matches!(measure.kind, Kind::Rsa(_, Outer::Kendall)) =>
            {
                Some(rsa_chance(n, a, b))
            }
            (Form::Neighbours { found, sums: a }, Form::Neighbours { sums: b, .. })
                if measure.kind == Kind::Knn =>
            {
                Some(knn_chance(n, found.k(), a, b))
            }
            _ => None,
        }
    }
}

/// The null distribution of a correlation between dissimilarities.
pub(super) fn rsa_chance(n: usize, a: &PairSums, b: &PairSums) -> Chance {
    let variance = null::moments(n, a, b).1 / (a.spread(n) * b.spread(n));
    Chance::exact(0.0, Some(variance.sqrt()).filter(|deviation| deviation.is_finite()))
}

/// The null distribution of the mean share of common neighbours.
pub(super) fn knn_chance(n: usize, k: usize, a: &PairSums, b: &PairSums) -> Chance {
    let variance = null::moments(n, a, b).1;
    Chance::exact(k as f64 / (n as f64 - 1.0), Some(variance.sqrt() / (n * k) as f64))
}

fn unbiased(kernel: &Array2<f64>) -> Result<Form, Undefined> {
    let centred = cka::u_centred(kernel);
    let size = linear::squares(&centred);
    // what rounding leaves of a kernel that is constant off its diagonal
    let largest = kernel.iter().fold(0.0_f64, |most, value| most.max(value.abs()));
    if size > (1e-13 * largest).powi(2) * centred.len() as f64 {
        Ok(Form::Kernel { centred, size, ratio: None })
    } else {
        Err(Undefined::NotPositive)
    }
}

fn square(n: usize, values: &[f64]) -> Array2<f64> {
    let mut matrix = Array2::zeros((n, n));
    let pairs = (0..n).flat_map(|i| (i + 1..n).map(move |j| (i, j)));
    for ((i, j), &value) in pairs.zip(values) {
        matrix[[i, j]] = value;
        matrix[[j, i]] = value;
    }
    matrix
}

fn condensed(matrix: &Array2<f64>) -> Vec<f64> {
    let n = matrix.nrows();
    (0..n).flat_map(|i| (i + 1..n).map(move |j| (i, j))).map(|at| matrix[at]).collect()
}
