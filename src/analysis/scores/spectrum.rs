//! Eigenvalues of a symmetric matrix, and how long given vectors are along each eigenvector.
//!
//! LogME and the H-scores need no eigenvector, only the length of a few label vectors along each of
//! them. So the matrix is made tridiagonal by Householder reflections, the tridiagonal matrix
//! diagonal by implicit QL rotations, and both are applied to these vectors as they come (Golub and
//! Van Loan, "Matrix Computations", 4th edition, sections 8.3.1 and 8.3.3): a third of the work of
//! a full decomposition, and nothing of the size of the matrix besides itself.

use super::Undefined;
use ndarray::{Array1, Array2};
use rayon::prelude::*;

/// Rotations that one eigenvalue may take; two are usual.
const SWEEPS: usize = 60;
/// Numbers below which handing rows to other threads costs more than it gains.
const PARALLEL_FROM: usize = 1 << 16;

/// The spectrum of a symmetric matrix as seen from some vectors.
pub(crate) struct Spectrum {
    /// Eigenvalues, in no order.
    pub(crate) values: Vec<f64>,
    /// `[N, K]`: the scalar product of eigenvector i with vector k, up to a sign that all k share.
    pub(crate) along: Array2<f64>,
}

/// Decomposes a symmetric `[N, N]` matrix; `vectors` is `[N, K]`.
///
/// # Errors
/// [`Undefined::NotFinite`], and [`Undefined::NotConverged`] if the rotations do not end.
pub(crate) fn spectrum(mut matrix: Array2<f64>, mut vectors: Array2<f64>) -> Result<Spectrum, Undefined> {
    if matrix.iter().chain(&vectors).any(|value| !value.is_finite()) {
        return Err(Undefined::NotFinite);
    }
    let (mut values, mut beside) = tridiagonal(&mut matrix, &mut vectors);
    diagonal(&mut values, &mut beside, &mut vectors)?;
    Ok(Spectrum { values, along: vectors })
}

/// Reduces to tridiagonal form; returns the diagonal and what stands beside it (`[N - 1]`, then a 0).
fn tridiagonal(matrix: &mut Array2<f64>, vectors: &mut Array2<f64>) -> (Vec<f64>, Vec<f64>) {
    let n = matrix.nrows();
    let mut values = vec![0.0; n];
    let mut beside = vec![0.0; n];
    // the change that the last reflection makes: A -= v wᵀ + w vᵀ, kept until the next one is known,
    // so that one pass over the matrix both makes it and multiplies by the next reflection
    let mut v = vec![0.0; n];
    let mut w = vec![0.0; n];
    for step in 0..n {
        // column `step` below the diagonal, with the outstanding change
        for row in step..n {
            matrix[[row, step]] -= v[row] * w[step] + w[row] * v[step];
        }
        values[step] = matrix[[step, step]];
        let below: Vec<f64> = (step + 1..n).map(|row| matrix[[row, step]]).collect();
        let Some((reflector, scale, length)) = reflection(&below) else {
            beside[step] = below.first().copied().unwrap_or(0.0);
            // nothing to reflect, but the outstanding change must be made
            update(matrix, step + 1, &v, &w, &vec![0.0; n]);
            v.fill(0.0);
            w.fill(0.0);
            continue;
        };
        beside[step] = length;
        let mut next = vec![0.0; n];
        next[step + 1..].copy_from_slice(&reflector);
        let mut product = update(matrix, step + 1, &v, &w, &next);
        for value in &mut product {
            *value *= scale;
        }
        let along: f64 = 0.5 * scale * product.iter().zip(&next).map(|(a, b)| a * b).sum::<f64>();
        for (value, reflected) in product.iter_mut().zip(&next) {
            *value -= along * reflected;
        }
        reflect(vectors, &next, scale, step + 1);
        v = next;
        w = product;
    }
    (values, beside)
}

/// The reflection `I - scale u uᵀ` that turns `x` into its length times the first axis: u, scale
/// and that first number; `None` where there is nothing below the first number.
fn reflection(x: &[f64]) -> Option<(Vec<f64>, f64, f64)> {
    let largest = x.iter().skip(1).fold(0.0, |max: f64, value| max.max(value.abs()));
    if largest == 0.0 {
        return None;
    }
    let unit = largest.max(x[0].abs());
    let length = unit * x.iter().map(|value| (value / unit).powi(2)).sum::<f64>().sqrt();
    let first = if x[0] > 0.0 { -length } else { length };
    let mut reflector: Vec<f64> = x.iter().map(|value| value / unit).collect();
    reflector[0] -= first / unit;
    let square: f64 = reflector.iter().map(|value| value * value).sum();
    Some((reflector, 2.0 / square, first))
}

/// Makes the outstanding change on rows and columns from `start` on, and returns the product of the
/// changed matrix with `next`.
fn update(matrix: &mut Array2<f64>, start: usize, v: &[f64], w: &[f64], next: &[f64]) -> Vec<f64> {
    let n = matrix.nrows();
    let mut product = vec![0.0; n];
    let together = (PARALLEL_FROM / (n - start).max(1)).max(1);
    let rows = matrix.as_slice_mut().expect("the matrix is made in row-major order");
    rows[start * n..]
        .par_chunks_exact_mut(n)
        .zip(product[start..].par_iter_mut())
        .enumerate()
        .with_min_len(together)
        .for_each(|(at, (row, product))| {
            let at = start + at;
            *product = change_and_multiply(
                &mut row[start..],
                (v[at], w[at]),
                (&v[start..], &w[start..]),
                &next[start..],
            );
        });
    product
}

/// `row -= of_v * w + of_w * v`, and the changed row times `next`, summed in eight lanes.
fn change_and_multiply(
    row: &mut [f64],
    (of_v, of_w): (f64, f64),
    (v, w): (&[f64], &[f64]),
    next: &[f64],
) -> f64 {
    let mut lanes = [0.0; 8];
    let whole = row.len() / 8 * 8;
    let (head, tail) = row.split_at_mut(whole);
    let parts =
        head.chunks_exact_mut(8).zip(v.chunks_exact(8)).zip(w.chunks_exact(8)).zip(next.chunks_exact(8));
    for (((row, v), w), next) in parts {
        for lane in 0..8 {
            row[lane] -= of_v * w[lane] + of_w * v[lane];
            lanes[lane] += row[lane] * next[lane];
        }
    }
    let mut sum = lanes.iter().sum::<f64>();
    for (at, value) in tail.iter_mut().enumerate() {
        *value -= of_v * w[whole + at] + of_w * v[whole + at];
        sum += *value * next[whole + at];
    }
    sum
}

fn reflect(vectors: &mut Array2<f64>, reflector: &[f64], scale: f64, start: usize) {
    let mut sums = Array1::<f64>::zeros(vectors.ncols());
    for (row, along) in vectors.rows().into_iter().zip(reflector).skip(start) {
        sums.scaled_add(*along, &row);
    }
    for (mut row, along) in vectors.rows_mut().into_iter().zip(reflector).skip(start) {
        row.scaled_add(-scale * along, &sums);
    }
}

/// Implicit QL with Wilkinson's shift. A number beside the diagonal counts as zero when it is below
/// the rounding of the whole matrix, which is as sure as the eigenvalues are.
fn diagonal(values: &mut [f64], beside: &mut [f64], vectors: &mut Array2<f64>) -> Result<(), Undefined> {
    let n = values.len();
    let size = values.iter().chain(beside.iter()).fold(0.0, |max: f64, value| max.max(value.abs()));
    let zero = f64::EPSILON * size;
    for from in 0..n {
        for sweep in 0.. {
            let to = (from..n - 1).find(|&at| beside[at].abs() <= zero).unwrap_or(n - 1);
            if to == from {
                break;
            }
            if sweep == SWEEPS {
                return Err(Undefined::NotConverged { what: "the eigenvalues", steps: SWEEPS });
            }
            rotate_once(values, beside, vectors, (from, to));
        }
    }
    Ok(())
}

/// One QL step on the unreduced part from `from` to `to`.
fn rotate_once(
    values: &mut [f64],
    beside: &mut [f64],
    vectors: &mut Array2<f64>,
    (from, to): (usize, usize),
) {
    let half = (values[from + 1] - values[from]) / (2.0 * beside[from]);
    let root = half.hypot(1.0);
    let mut bulge = values[to] - values[from] + beside[from] / (half + root.copysign(half));
    let (mut sine, mut cosine, mut shift) = (1.0, 1.0, 0.0);
    for at in (from..to).rev() {
        let outside = sine * beside[at];
        let inside = cosine * beside[at];
        let length = outside.hypot(bulge);
        beside[at + 1] = length;
        if length == 0.0 {
            // the part has come apart here by itself
            values[at + 1] -= shift;
            beside[to] = 0.0;
            return;
        }
        sine = outside / length;
        cosine = bulge / length;
        let rest = values[at + 1] - shift;
        let turned = (values[at] - rest) * sine + 2.0 * cosine * inside;
        shift = sine * turned;
        values[at + 1] = rest + shift;
        bulge = cosine * turned - inside;
        for column in 0..vectors.ncols() {
            let (low, high) = (vectors[[at, column]], vectors[[at + 1, column]]);
            vectors[[at + 1, column]] = sine * low + cosine * high;
            vectors[[at, column]] = cosine * low - sine * high;
        }
    }
    values[from] -= shift;
    beside[from] = bulge;
    beside[to] = 0.0;
}

#[cfg(test)]
mod tests {
    use super::super::linear::gram_of_rows;
    use super::super::synthetic::normal;
    use super::*;

    /// With every axis as a vector, `along` holds all eigenvectors: they must put the matrix together
    /// again and be orthonormal.
    fn check(matrix: &Array2<f64>) {
        let n = matrix.nrows();
        let spectrum = spectrum(matrix.clone(), Array2::eye(n)).unwrap();
        let values = Array2::from_diag(&Array1::from(spectrum.values.clone()));
        let again = spectrum.along.t().dot(&values).dot(&spectrum.along);
        let size = matrix.iter().fold(1e-300, |max: f64, value| max.max(value.abs()));
        assert!((&again - matrix).iter().all(|value| value.abs() < 1e-12 * size), "n {n}");
        let unit = spectrum.along.dot(&spectrum.along.t()) - Array2::<f64>::eye(n);
        assert!(unit.iter().all(|value| value.abs() < 1e-12), "n {n}");
    }

    #[test]
    fn eigenvectors_put_the_matrix_together_again() {
        for (n, rank) in [(1, 1), (2, 2), (3, 1), (17, 30), (64, 5), (150, 200)] {
            check(&gram_of_rows(normal(n, rank, n as u64).view()));
        }
        check(&Array2::zeros((5, 5)));
        check(&Array2::eye(9));
        check(&Array2::ones((12, 12)));
        let mut path = Array2::zeros((20, 20));
        for at in 0..19 {
            path[[at, at + 1]] = 1.0;
            path[[at + 1, at]] = 1.0;
        }
        check(&path);
    }

    /// The path of n nodes has eigenvalues 2 cos(k pi / (n + 1)), which is a closed form.
    #[test]
    fn a_known_spectrum_is_found() {
        let n = 31;
        let mut path = Array2::zeros((n, n));
        for at in 0..n - 1 {
            path[[at, at + 1]] = 1.0;
            path[[at + 1, at]] = 1.0;
        }
        let mut values = spectrum(path, Array2::zeros((n, 0))).unwrap().values;
        values.sort_by(|a, b| b.total_cmp(a));
        for (k, value) in values.iter().enumerate() {
            let exact = 2.0 * (std::f64::consts::PI * (k + 1) as f64 / (n + 1) as f64).cos();
            assert!((value - exact).abs() < 1e-13);
        }
    }

    #[test]
    fn any_number_of_threads_gives_the_same_bits() {
        let x = normal(320, 400, 3);
        let run = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| spectrum(gram_of_rows(x.view()), normal(320, 2, 4)).unwrap().values)
        };
        assert_eq!(run(1), run(3));
    }
}
