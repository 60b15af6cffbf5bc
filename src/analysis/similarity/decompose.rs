//! Singular values and left singular vectors. Householder reflections bring a tall matrix to a
//! triangle; one-sided Jacobi rotations (Hestenes 1958) give vectors, bidiagonalisation (Golub and
//! Kahan 1965) with the implicit QL iteration on the symmetric tridiagonal matrix of the same
//! singular values gives values alone, some ten times faster.

use ndarray::{Array2, ArrayView2};
use rayon::prelude::*;

/// Columns of a matrix, each on its own, which is how rotations and reflections want them.
type Columns = Vec<Vec<f64>>;

/// Left singular vectors as columns `[n, rank]` and their singular values, largest first.
#[derive(Clone, Debug)]
pub(super) struct Left {
    pub(super) vectors: Array2<f64>,
    pub(super) values: Vec<f64>,
}

impl Left {
    /// The leading `count` of them.
    pub(super) fn leading(&self, count: usize) -> Array2<f64> {
        self.vectors.slice(ndarray::s![.., ..count.min(self.values.len())]).to_owned()
    }
}

/// Singular values below this share of the largest are rounding, and dropped.
const RANK: f64 = 1e-10;

/// Off-diagonal cosines below this are zero.
const ORTHOGONAL: f64 = 1e-15;

/// Jacobi sweeps; convergence is quadratic and takes six to ten.
const SWEEPS: usize = 60;

/// Left singular vectors and values of `a`, without those that are rounding.
pub(super) fn left(a: ArrayView2<f64>) -> Left {
    let (rows, width) = a.dim();
    let mut lefts = if rows > width {
        let mut columns = columns_of(a);
        let reflectors = reflect(&mut columns, width);
        for column in &mut columns {
            column.truncate(width);
        }
        let mut lefts = rotate(columns);
        lefts.par_iter_mut().for_each(|(_, column)| {
            column.resize(rows, 0.0);
            for (at, reflector) in reflectors.iter().enumerate().rev() {
                apply(reflector.as_ref(), &mut column[at..]);
            }
        });
        lefts
    } else {
        // A = Rᵀ Qᵀ with Aᵀ = Q R: the left vectors of A are those of Rᵀ
        let mut columns = columns_of(a.t());
        reflect(&mut columns, rows);
        let transposed = (0..rows).map(|i| columns.iter().map(|column| column[i]).collect()).collect();
        rotate(transposed)
    };
    lefts.sort_by(|a, b| b.0.total_cmp(&a.0));
    let largest = lefts.first().map_or(0.0, |left| left.0);
    lefts.retain(|left| left.0 > RANK * largest);
    let vectors = Array2::from_shape_fn((rows, lefts.len()), |(i, j)| lefts[j].1[i] / lefts[j].0);
    Left { vectors, values: lefts.into_iter().map(|left| left.0).collect() }
}

/// Singular values of `a`, largest first, `min(rows, columns)` of them.
pub(super) fn singular_values(a: ArrayView2<f64>) -> Vec<f64> {
    let a = if a.nrows() < a.ncols() { a.reversed_axes() } else { a };
    let width = a.ncols();
    if width == 0 {
        return Vec::new();
    }
    let mut columns = columns_of(a);
    if a.nrows() > width {
        reflect(&mut columns, width);
        for (at, column) in columns.iter_mut().enumerate() {
            column.truncate(width);
            column[at + 1..].fill(0.0);
        }
    }
    let (diagonal, above) = bidiagonal(columns);
    // the symmetric matrix [[0, Bᵀ], [B, 0]], its rows shuffled to three diagonals, the main one zero
    let mut between = Vec::with_capacity(2 * width);
    for at in 0..width {
        between.push(diagonal[at]);
        if at + 1 < width {
            between.push(above[at]);
        }
    }
    let mut values = tridiagonal_values(vec![0.0; 2 * width], between);
    values.sort_by(|a, b| b.total_cmp(a));
    values.truncate(width);
    values.into_iter().map(|value| value.max(0.0)).collect()
}

fn columns_of(a: ArrayView2<f64>) -> Columns {
    a.columns().into_iter().map(|column| column.to_vec()).collect()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    const LANES: usize = 8;
    let mut lanes = [0.0; LANES];
    let whole = a.len() / LANES * LANES;
    for (a, b) in a[..whole].as_chunks::<LANES>().0.iter().zip(b[..whole].as_chunks::<LANES>().0) {
        for (lane, (a, b)) in lanes.iter_mut().zip(a.iter().zip(b)) {
            *lane += a * b;
        }
    }
    lanes.iter().sum::<f64>() + a[whole..].iter().zip(&b[whole..]).map(|(a, b)| a * b).sum::<f64>()
}

/// The unit vector whose reflection `x - 2 (v·x) v` takes `x` to a multiple of the first axis, and
/// that multiple; no vector if there is nothing to do.
fn reflector(x: &[f64]) -> (Option<Vec<f64>>, f64) {
    let length = dot(x, x).sqrt();
    if length == 0.0 {
        return (None, 0.0);
    }
    let target = if x[0] > 0.0 { -length } else { length };
    let mut v = x.to_vec();
    v[0] -= target;
    let size = dot(&v, &v).sqrt();
    (Some(v.into_iter().map(|value| value / size).collect()), target)
}

fn apply(reflector: Option<&Vec<f64>>, x: &mut [f64]) {
    if let Some(v) = reflector {
        let twice = 2.0 * dot(v, x);
        x.iter_mut().zip(v).for_each(|(x, v)| *x -= twice * v);
    }
}

/// Reflects the columns to an upper triangle; the reflections, in order.
fn reflect(columns: &mut Columns, count: usize) -> Vec<Option<Vec<f64>>> {
    let mut reflectors = Vec::with_capacity(count);
    for at in 0..count.min(columns.len()) {
        let (vector, target) = reflector(&columns[at][at..]);
        columns[at + 1..]
            .par_iter_mut()
            .with_min_len(16)
            .for_each(|column| apply(vector.as_ref(), &mut column[at..]));
        columns[at][at] = target;
        columns[at][at + 1..].fill(0.0);
        reflectors.push(vector);
    }
    reflectors
}

/// Rotates pairs of columns until all are orthogonal: lengths and columns.
fn rotate(mut columns: Columns) -> Vec<(f64, Vec<f64>)> {
    let count = columns.len();
    let longest = columns.iter().map(|column| dot(column, column)).fold(0.0, f64::max);
    // columns this short are rounding of the others, and orthogonality to them means nothing
    let negligible = longest * 1e-30;
    for _ in 0..SWEEPS {
        let mut rotated = false;
        for p in 0..count {
            for q in p + 1..count {
                let (before, after) = columns.split_at_mut(q);
                let (a, b) = (&mut before[p], &mut after[0]);
                let (aa, bb, ab) = (dot(a, a), dot(b, b), dot(a, b));
                if ab.abs() <= ORTHOGONAL * (aa * bb).sqrt() || aa.min(bb) <= negligible {
                    continue;
                }
                rotated = true;
                let zeta = (bb - aa) / (2.0 * ab);
                let t = zeta.signum() / (zeta.abs() + zeta.hypot(1.0));
                let cosine = 1.0 / t.hypot(1.0);
                let sine = cosine * t;
                for (a, b) in a.iter_mut().zip(b) {
                    (*a, *b) = (cosine * *a - sine * *b, sine * *a + cosine * *b);
                }
            }
        }
        if !rotated {
            break;
        }
    }
    columns.into_iter().map(|column| (dot(&column, &column).sqrt(), column)).collect()
}

/// Diagonal and upper diagonal of a bidiagonal matrix with the singular values of a square one.
fn bidiagonal(mut columns: Columns) -> (Vec<f64>, Vec<f64>) {
    let width = columns.len();
    let (mut diagonal, mut above) = (Vec::with_capacity(width), Vec::with_capacity(width));
    let mut products = vec![0.0; width];
    for at in 0..width {
        let (vector, target) = reflector(&columns[at][at..]);
        diagonal.push(target);
        for column in &mut columns[at + 1..] {
            apply(vector.as_ref(), &mut column[at..]);
        }
        if at + 1 == width {
            break;
        }
        let row: Vec<f64> = columns[at + 1..].iter().map(|column| column[at]).collect();
        let (vector, target) = reflector(&row);
        above.push(target);
        if let Some(v) = vector {
            let products = &mut products[..width - at - 1];
            products.fill(0.0);
            for (column, v) in columns[at + 1..].iter().zip(&v) {
                products.iter_mut().zip(&column[at + 1..]).for_each(|(sum, value)| *sum += v * value);
            }
            for (column, v) in columns[at + 1..].iter_mut().zip(&v) {
                column[at + 1..].iter_mut().zip(&*products).for_each(|(value, sum)| *value -= 2.0 * v * sum);
            }
        }
    }
    (diagonal, above)
}

/// Eigenvalues of a symmetric tridiagonal matrix by implicit QL iterations with Wilkinson's shift
/// (Golub and Van Loan, section 8.3).
fn tridiagonal_values(mut diagonal: Vec<f64>, mut beside: Vec<f64>) -> Vec<f64> {
    let n = diagonal.len();
    beside.resize(n, 0.0);
    let scale = diagonal.iter().chain(&beside).fold(0.0_f64, |most, value| most.max(value.abs()));
    for start in 0..n {
        // thirty iterations an eigenvalue are far beyond what the cubic convergence needs
        for _ in 0..200 {
            let end = (start..n - 1)
                .find(|&m| {
                    let near = diagonal[m].abs() + diagonal[m + 1].abs();
                    beside[m].abs() <= f64::EPSILON * near.max(1e-3 * scale)
                })
                .unwrap_or(n - 1);
            if end == start {
                break;
            }
            let mut g = (diagonal[start + 1] - diagonal[start]) / (2.0 * beside[start]);
            let r = g.hypot(1.0);
            g = diagonal[end] - diagonal[start] + beside[start] / (g + r.copysign(g));
            let (mut sine, mut cosine, mut shift) = (1.0, 1.0, 0.0);
            let mut whole = true;
            for i in (start..end).rev() {
                let f = sine * beside[i];
                let b = cosine * beside[i];
                let r = f.hypot(g);
                beside[i + 1] = r;
                if r == 0.0 {
                    diagonal[i + 1] -= shift;
                    beside[end] = 0.0;
                    whole = false;
                    break;
                }
                sine = f / r;
                cosine = g / r;
                g = diagonal[i + 1] - shift;
                let r = (diagonal[i] - g) * sine + 2.0 * cosine * b;
                shift = sine * r;
                diagonal[i + 1] = g + shift;
                g = cosine * r - b;
            }
            if whole {
                diagonal[start] -= shift;
                beside[start] = g;
                beside[end] = 0.0;
            }
        }
    }
    diagonal
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Seed;

    fn random(seed: u64, rows: usize, columns: usize) -> Array2<f64> {
        let mut stream = Seed(seed).stream();
        Array2::from_shape_fn((rows, columns), |_| stream.normal())
    }

    #[test]
    fn both_ways_give_the_same_singular_values_and_orthonormal_vectors() {
        for (rows, columns) in [(1, 1), (5, 5), (40, 12), (12, 40), (3, 1), (1, 3), (60, 59)] {
            let a = random(rows as u64 * 100 + columns as u64, rows, columns);
            let left = left(a.view());
            let values = singular_values(a.view());
            assert_eq!(left.values.len(), rows.min(columns));
            for (by_vectors, alone) in left.values.iter().zip(&values) {
                assert!((by_vectors - alone).abs() < 1e-12 * values[0], "{rows} {columns}");
            }
            let unit = left.vectors.t().dot(&left.vectors);
            for ((i, j), value) in unit.indexed_iter() {
                assert!((value - f64::from(u8::from(i == j))).abs() < 1e-12);
            }
            // what is left outside the span of the vectors is nothing
            let outside = &a - &left.vectors.dot(&left.vectors.t().dot(&a));
            assert!(outside.iter().all(|value| value.abs() < 1e-12 * values[0].max(1.0)));
        }
    }

    /// By hand: the golden ratio and its inverse.
    #[test]
    fn a_shear_has_the_golden_ratio() {
        let values = singular_values(ndarray::array![[1.0, 1.0], [0.0, 1.0]].view());
        let golden = f64::midpoint(1.0, 5.0_f64.sqrt());
        assert!((values[0] - golden).abs() < 1e-14 && (values[1] - 1.0 / golden).abs() < 1e-14);
    }

    #[test]
    fn directions_that_are_rounding_are_dropped() {
        let thin = random(3, 30, 4);
        let wide = thin.dot(&random(4, 4, 9));
        assert_eq!(left(wide.view()).values.len(), 4);
        let values = singular_values(wide.view());
        assert!(values[4] < 1e-12 * values[0] && values[3] > 1e-3 * values[0]);
        assert!(left(Array2::zeros((5, 3)).view()).values.is_empty());
        assert_eq!(singular_values(Array2::zeros((5, 3)).view()), [0.0; 3]);
    }
}
