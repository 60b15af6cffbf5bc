//! The one product of matrices that every operation uses: the `gemm` crate over borrowed strided
//! matrices, with the bounds checked before a pointer is taken.

/// Multiplications below which one thread computes a product: handing work over costs about what
/// this many take (some 10 µs).
const PARALLEL_FROM: usize = 1 << 20;

/// Sizes of `C[m, n] = A[m, k] · B[k, n]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size {
    /// Rows of A and C.
    pub(crate) m: usize,
    /// Columns of B and C.
    pub(crate) n: usize,
    /// Columns of A, rows of B: what is summed over.
    pub(crate) k: usize,
}

/// Where a matrix stands in a slice: element (i, j) is number `i * rows + j * columns`. A
/// row-major matrix of `w` columns has strides `(w, 1)`, its transpose `(1, w)`, and a head's part
/// of a row of heads starts its slice at the head and keeps the row's whole width.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Strides {
    /// From one row to the next.
    pub(crate) rows: usize,
    /// From one column to the next.
    pub(crate) columns: usize,
}

impl Strides {
    /// A row-major matrix whose rows start `width` numbers apart.
    pub(crate) const fn row_major(width: usize) -> Self {
        Self { rows: width, columns: 1 }
    }

    /// The transpose of a row-major matrix whose rows start `width` numbers apart.
    pub(crate) const fn transposed(width: usize) -> Self {
        Self { rows: 1, columns: width }
    }

    /// Numbers that a `rows` x `columns` matrix spans.
    fn span(self, rows: usize, columns: usize) -> usize {
        if rows == 0 || columns == 0 { 0 } else { (rows - 1) * self.rows + (columns - 1) * self.columns + 1 }
    }
}

/// `C = A · B`, or `C += A · B` if `accumulate`; on as many threads of the current pool as pay.
/// Every number of C is summed in an order that depends on the sizes only, not on the threads.
///
/// # Panics
/// If a matrix does not fit into its slice, or elements of C share a place.
pub(crate) fn gemm(
    size: Size,
    a: (&[f32], Strides),
    b: (&[f32], Strides),
    c: (&mut [f32], Strides),
    accumulate: bool,
) {
    let threads = if size.m.saturating_mul(size.n).saturating_mul(size.k) < PARALLEL_FROM {
        gemm::Parallelism::None
    } else {
        gemm::Parallelism::Rayon(0)
    };
    multiply(size, a, b, c, accumulate, threads);
}

/// [`gemm`] on the calling thread, for callers that already run on all of them.
pub(crate) fn gemm_serial(
    size: Size,
    a: (&[f32], Strides),
    b: (&[f32], Strides),
    c: (&mut [f32], Strides),
    accumulate: bool,
) {
    multiply(size, a, b, c, accumulate, gemm::Parallelism::None);
}

#[expect(unsafe_code, reason = "the gemm crate takes pointers")]
fn multiply(
    Size { m, n, k }: Size,
    (a, a_strides): (&[f32], Strides),
    (b, b_strides): (&[f32], Strides),
    (c, c_strides): (&mut [f32], Strides),
    accumulate: bool,
    threads: gemm::Parallelism,
) {
    assert!(a_strides.span(m, k) <= a.len(), "A is {m} x {k} in {} numbers", a.len());
    assert!(b_strides.span(k, n) <= b.len(), "B is {k} x {n} in {} numbers", b.len());
    assert!(c_strides.span(m, n) <= c.len(), "C is {m} x {n} in {} numbers", c.len());
    let rows_apart = m <= 1 || c_strides.rows >= c_strides.span(1, n);
    let columns_apart = n <= 1 || c_strides.columns >= c_strides.span(m, 1);
    assert!(rows_apart || columns_apart, "elements of C overlap: {c_strides:?} for {m} x {n}");
    // SAFETY: every element that the crate reads or writes stands at `i * rows + j * columns` with
    // i and j below the sizes, which the spans above keep inside the slices, so that every stride
    // that is stepped over fits isize; C is borrowed mutably, hence apart from A and B, and its elements
    // do not overlap, so threads write apart. f32 is a supported type.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            c.as_mut_ptr(),
            c_strides.columns as isize,
            c_strides.rows as isize,
            accumulate,
            a.as_ptr(),
            a_strides.columns as isize,
            a_strides.rows as isize,
            b.as_ptr(),
            b_strides.columns as isize,
            b_strides.rows as isize,
            1.0,
            1.0,
            false,
            false,
            false,
            threads,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Seed;

    fn random(seed: u64, len: usize) -> Vec<f32> {
        let mut stream = Seed(seed).stream();
        (0..len).map(|_| stream.normal() as f32).collect()
    }

    #[test]
    fn products_of_every_layout_match_the_definition() {
        for (m, n, k) in [(1, 1, 1), (1, 7, 5), (7, 1, 5), (5, 7, 2), (13, 17, 19), (33, 65, 40), (0, 3, 2)] {
            let (a, b, before) = (random(1, m * k), random(2, k * n), random(3, m * n));
            for layout in 0..16 {
                let strides = |transposed: bool, rows: usize, columns: usize| {
                    if transposed { Strides::transposed(rows) } else { Strides::row_major(columns) }
                };
                let a_strides = strides(layout & 1 != 0, m, k);
                let b_strides = strides(layout & 2 != 0, k, n);
                let c_strides = strides(layout & 4 != 0, m, n);
                let accumulate = layout & 8 != 0;
                let mut c = before.clone();
                gemm(Size { m, n, k }, (&a, a_strides), (&b, b_strides), (&mut c, c_strides), accumulate);
                for i in 0..m {
                    for j in 0..n {
                        let at = |s: Strides, i: usize, j: usize| i * s.rows + j * s.columns;
                        let sum: f64 = (0..k)
                            .map(|l| f64::from(a[at(a_strides, i, l)]) * f64::from(b[at(b_strides, l, j)]))
                            .sum();
                        let place = at(c_strides, i, j);
                        let expected = sum + if accumulate { f64::from(before[place]) } else { 0.0 };
                        assert!((f64::from(c[place]) - expected).abs() < 1e-4, "{m} {n} {k} {layout}");
                    }
                }
            }
        }
    }

    #[test]
    fn the_number_of_threads_changes_no_bit() {
        let (m, n, k) = (130, 201, 770);
        let (a, b) = (random(1, m * k), random(2, k * n));
        let product = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
            let mut c = vec![0.0; m * n];
            let (a, b) = ((&a[..], Strides::row_major(k)), (&b[..], Strides::transposed(k)));
            pool.install(|| gemm(Size { m, n, k }, a, b, (&mut c, Strides::row_major(n)), false));
            c
        };
        assert_eq!(product(1), product(2));
    }

    #[test]
    #[should_panic(expected = "B is 3 x 4 in 11 numbers")]
    fn a_matrix_beyond_its_slice_is_refused() {
        let mut c = [0.0; 8];
        let (a, b) = ((&[0.0; 6][..], Strides::row_major(3)), (&[0.0; 11][..], Strides::row_major(4)));
        gemm(Size { m: 2, n: 4, k: 3 }, a, b, (&mut c, Strides::row_major(4)), false);
    }
}
