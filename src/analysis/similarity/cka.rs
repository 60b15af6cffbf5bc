//! Centred kernel alignment (Kornblith et al., ICML 2019): biased, debiased (Song et al., JMLR 2012,
//! equation 5), over minibatches (Nguyen et al., ICLR 2021), and with a Gaussian kernel. The unbiased
//! estimate may be negative where two sides are independent; it is shown as it is. A self-term that
//! is not above zero is a reason, never the root of a negative number.

use ndarray::{Array2, ArrayView2, Axis};

use super::Undefined;
use super::linear::{centred, check_pair, double_centred, gram, row_squares, squares};

/// Examples that the unbiased estimate needs: it divides by n - 3.
pub const LEAST_UNBIASED: usize = 4;

/// The biased Hilbert-Schmidt independence criterion of two kernels, `tr(K H L H) / (n - 1)²`.
pub fn hsic_biased(k: &Array2<f64>, l: &Array2<f64>) -> f64 {
    let n = k.nrows() as f64;
    inner(&double_centred(k), l) / (n - 1.0).powi(2)
}

/// The unbiased Hilbert-Schmidt independence criterion of two kernels; their diagonals play no part.
///
/// # Errors
/// [`Undefined::TooFew`] for fewer than four examples, where it does not exist.
pub fn hsic_unbiased(k: &Array2<f64>, l: &Array2<f64>) -> Result<f64, Undefined> {
    let n = k.nrows();
    if n < LEAST_UNBIASED {
        return Err(Undefined::TooFew { n, least: LEAST_UNBIASED });
    }
    let (k, l) = (u_centred(k), u_centred(l));
    Ok(inner(&k, &l) / (n as f64 * (n as f64 - 3.0)))
}

/// A kernel with a zero diagonal, whose rows and columns sum to zero (Székely and Rizzo 2014):
/// inner products of such matrices are n (n - 3) times the unbiased estimate, without the
/// cancellation of its three terms.
pub(super) fn u_centred(kernel: &Array2<f64>) -> Array2<f64> {
    let n = kernel.nrows() as f64;
    let mut hollow = kernel.clone();
    hollow.diag_mut().fill(0.0);
    let rows = hollow.sum_axis(Axis(1)) / (n - 2.0);
    let all = rows.sum() / (n - 1.0);
    Array2::from_shape_fn(
        kernel.dim(),
        |(i, j)| {
            if i == j { 0.0 } else { hollow[[i, j]] - rows[i] - rows[j] + all }
        },
    )
}

/// Sum of the products of all entries.
pub(super) fn inner(a: &Array2<f64>, b: &Array2<f64>) -> f64 {
    a.rows().into_iter().zip(b.rows()).map(|(a, b)| a.dot(&b)).sum()
}

/// `⟨a, b⟩ / sqrt(⟨a, a⟩ ⟨b, b⟩)` from the three inner products.
pub(super) fn ratio(both: f64, first: f64, second: f64) -> Result<f64, Undefined> {
    // both self-terms above zero, each rooted alone: their product could leave the range of f64
    if first > 0.0 && second > 0.0 {
        Ok(both / (first.sqrt() * second.sqrt()))
    } else {
        Err(Undefined::NotPositive)
    }
}

/// Biased linear CKA, `‖YcᵀXc‖² / (‖XcᵀXc‖ ‖YcᵀYc‖)`. Its chance level is not zero, see
/// [`chance_biased`].
///
/// # Errors
/// [`Undefined`] for fewer than two examples, features that do not vary or are not finite.
pub fn linear_biased(x: ArrayView2<f64>, y: ArrayView2<f64>) -> Result<f64, Undefined> {
    check_pair(x, y, 2)?;
    let (x, y) = (centred(x)?, centred(y)?);
    let both = squares(&x.t().dot(&y));
    ratio(both, self_product(&x), self_product(&y))
}

/// `‖XᵀX‖²`, by the smaller of the two Gram matrices.
fn self_product(x: &Array2<f64>) -> f64 {
    if x.nrows() < x.ncols() { squares(&gram(x.view())) } else { squares(&x.t().dot(x)) }
}

/// Debiased linear CKA, the default.
///
/// # Errors
/// [`Undefined`] for fewer than four examples, features that do not vary or are not finite, and
/// self-terms that are not above zero.
pub fn linear(x: ArrayView2<f64>, y: ArrayView2<f64>) -> Result<f64, Undefined> {
    check_pair(x, y, LEAST_UNBIASED)?;
    kernel_debiased(&gram(centred(x)?.view()), &gram(centred(y)?.view()))
}

/// Debiased linear CKA without any matrix of examples by examples: cheaper where there are more
/// examples than channels.
///
/// # Errors
/// As [`linear`].
pub fn linear_by_features(x: ArrayView2<f64>, y: ArrayView2<f64>) -> Result<f64, Undefined> {
    check_pair(x, y, LEAST_UNBIASED)?;
    let (x, y) = (centred(x)?, centred(y)?);
    let n = x.nrows() as f64;
    let term = |a: &Array2<f64>, b: &Array2<f64>| {
        let (lengths_a, lengths_b) = (row_squares(a.view()), row_squares(b.view()));
        squares(&b.t().dot(a)) - n / (n - 2.0) * lengths_a.dot(&lengths_b)
            + lengths_a.sum() * lengths_b.sum() / ((n - 1.0) * (n - 2.0))
    };
    ratio(term(&x, &y), term(&x, &x), term(&y, &y))
}

/// Biased CKA of two kernels.
///
/// # Errors
/// [`Undefined::NotPositive`] for a kernel that is constant.
pub fn kernel_biased(k: &Array2<f64>, l: &Array2<f64>) -> Result<f64, Undefined> {
    let (k, l) = (double_centred(k), double_centred(l));
    ratio(inner(&k, &l), squares(&k), squares(&l))
}

/// Debiased CKA of two kernels.
///
/// # Errors
/// [`Undefined::TooFew`] for fewer than four examples, [`Undefined::NotPositive`].
pub fn kernel_debiased(k: &Array2<f64>, l: &Array2<f64>) -> Result<f64, Undefined> {
    ratio(hsic_unbiased(k, l)?, hsic_unbiased(k, k)?, hsic_unbiased(l, l)?)
}

/// Debiased linear CKA summed over batches of `size` consecutive examples, the same on both sides;
/// a last batch of another size is weighted by its number of examples, and left out below four.
///
/// # Errors
/// As [`linear`]; [`Undefined::TooFew`] for batches below four examples.
pub fn minibatch(x: ArrayView2<f64>, y: ArrayView2<f64>, size: usize) -> Result<f64, Undefined> {
    check_pair(x, y, LEAST_UNBIASED)?;
    if size < LEAST_UNBIASED {
        return Err(Undefined::TooFew { n: size, least: LEAST_UNBIASED });
    }
    let mut sums = [0.0; 3];
    for (x, y) in x.axis_chunks_iter(Axis(0), size).zip(y.axis_chunks_iter(Axis(0), size)) {
        if x.nrows() < LEAST_UNBIASED {
            continue;
        }
        // a batch whose features happen not to vary adds nothing
        let kernel =
            |side| centred(side).map_or_else(|_| Array2::zeros((x.nrows(), x.nrows())), |c| gram(c.view()));
        let (k, l) = (kernel(x), kernel(y));
        let weight = x.nrows() as f64;
        for (sum, (a, b)) in sums.iter_mut().zip([(&k, &l), (&k, &k), (&l, &l)]) {
            *sum += weight * hsic_unbiased(a, b)?;
        }
    }
    ratio(sums[0], sums[1], sums[2])
}

/// Which entries of the squared distances the median of [`gaussian`] is taken over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Median {
    /// All of them, the zero diagonal included, as in the notebook of Kornblith et al.
    All,
    /// Those between two examples.
    OffDiagonal,
}

/// The Gaussian kernel `exp(-D² / (2 t² m))`, m the median of the squared distances.
///
/// # Errors
/// [`Undefined::NoVariance`] where the median is zero, or `t` is not above zero.
pub fn gaussian(x: ArrayView2<f64>, t: f64, median: Median) -> Result<Array2<f64>, Undefined> {
    let distances = squared_distances(x);
    let n = distances.nrows();
    let mut taken: Vec<f64> = match median {
        Median::All => distances.iter().copied().collect(),
        Median::OffDiagonal => {
            (0..n).flat_map(|i| (i + 1..n).map(move |j| (i, j))).map(|at| distances[at]).collect()
        }
    };
    let scale = 2.0 * t * t * median_of(&mut taken);
    if scale > 0.0 { Ok(distances.mapv(|d| (-d / scale).exp())) } else { Err(Undefined::NoVariance) }
}

fn median_of(values: &mut [f64]) -> f64 {
    if values.is_empty() {
        return 0.0;
    }
    let half = values.len() / 2;
    let even = values.len().is_multiple_of(2);
    let (below, &mut upper, _) = values.select_nth_unstable_by(half, f64::total_cmp);
    if even { f64::midpoint(below.iter().copied().fold(f64::NEG_INFINITY, f64::max), upper) } else { upper }
}

/// Squared Euclidean distances between rows, `[n, n]`, from centred rows so that a common offset
/// costs no digits.
pub(super) fn squared_distances(x: ArrayView2<f64>) -> Array2<f64> {
    let centred = match x.mean_axis(Axis(0)) {
        Some(means) => &x - &means,
        None => x.to_owned(),
    };
    let products = gram(centred.view());
    let lengths = products.diag().to_owned();
    Array2::from_shape_fn(products.dim(), |(i, j)| {
        if i == j { 0.0 } else { (lengths[i] + lengths[j] - 2.0 * products[[i, j]]).max(0.0) }
    })
}

/// Biased CKA with the Gaussian kernel of width `t`.
///
/// # Errors
/// [`Undefined`] for fewer than two examples, features that do not vary or are not finite.
pub fn rbf(x: ArrayView2<f64>, y: ArrayView2<f64>, t: f64, median: Median) -> Result<f64, Undefined> {
    check_pair(x, y, 2)?;
    kernel_biased(&gaussian(x, t, median)?, &gaussian(y, t, median)?)
}

/// Debiased CKA with the Gaussian kernel of width `t`.
///
/// # Errors
/// As [`rbf`]; [`Undefined::TooFew`] for fewer than four examples.
pub fn rbf_debiased(
    x: ArrayView2<f64>,
    y: ArrayView2<f64>,
    t: f64,
    median: Median,
) -> Result<f64, Undefined> {
    check_pair(x, y, LEAST_UNBIASED)?;
    kernel_debiased(&gaussian(x, t, median)?, &gaussian(y, t, median)?)
}

/// How many directions a kernel effectively has, `(tr HKH)² / ‖HKH‖²`.
pub fn participation_ratio(kernel: &Array2<f64>) -> f64 {
    let centred = double_centred(kernel);
    centred.diag().sum().powi(2) / squares(&centred)
}

/// The mean of biased CKA over all orders of the examples, `sqrt(PR_x PR_y) / (n - 1)`, exact for
/// any two kernels.
pub fn chance_biased(ratio_x: f64, ratio_y: f64, n: usize) -> f64 {
    (ratio_x * ratio_y).sqrt() / (n as f64 - 1.0)
}

/// The standard deviation of debiased CKA over all orders of the examples, `sqrt(2 / (n (n - 3)))`,
/// exact for any two kernels; its mean is zero.
pub fn chance_debiased(n: usize) -> f64 {
    let n = n as f64;
    (2.0 / (n * (n - 3.0))).sqrt()
}
