//! The one product of matrices that every operation uses, over borrowed strided matrices, with the
//! bounds checked before a pointer is taken, and tiles of the result spread over threads. Whose kernel
//! computes it is chosen by measurements (README, performance): with AVX-512, of faer, the `gemm` crate
//! and OpenBLAS faer was the fastest in every shape that a step has, and needs no release build to be
//! so; with AVX2 alone it is our own.

use std::marker::PhantomData;
use std::ops::Range;

use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};
use rayon::prelude::*;

use super::brain;
use super::meter;
use super::panels::Matrix;
use super::parallel::is_alone;
#[cfg(target_arch = "x86_64")]
use super::parallel::{Vectors, vectors};
#[cfg(target_arch = "x86_64")]
use super::single::Single;
use crate::device::Precision;

/// Multiplications below which one thread computes a product: handing work over costs about what
/// this many take (some 10 µs).
const PARALLEL_FROM: usize = 1 << 20;

/// Edge of a tile of C that one thread computes: what a tile packs of A and B is then 2 % of its work,
/// and tiles of half the edge, 4 %.
const LARGE_TILE: usize = 512;

/// Tiles from which there are enough for the threads of a workstation; fewer are made smaller.
const MANY: usize = 16;

/// Tiles of faer start at multiples of whole registers of its kernels, in both directions.
const ALIGN: usize = 48;

/// The same of our kernels, rows and columns: no more, since tiles of unequal sizes leave threads
/// without work.
const OWN_ALIGN: [usize; 2] = [12, 32];

/// Columns of a tile of our kernels, at most: what is packed of B, 1.2 MB, stays in the last cache.
const WIDEST: usize = 768;

/// Tiles for each thread, so that one that is held up gives some of its own away.
const TILES_A_THREAD: usize = 4;

/// Whose kernel computes a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kernel {
    Faer,
    #[cfg(target_arch = "x86_64")]
    Single(Single),
    /// Factors rounded to bfloat16.
    Brain,
}

impl Kernel {
    /// The fastest one of a precision on this processor.
    fn of(precision: Precision) -> Self {
        if precision == Precision::Bf16 {
            return Self::Brain;
        }
        #[cfg(target_arch = "x86_64")]
        if vectors() == Vectors::Of256Bits
            && let Some(single) = Single::of()
        {
            return Self::Single(single);
        }
        Self::Faer
    }

    /// Rows and columns of the tiles of C. The order of sums of a kernel of our own depends on k
    /// alone, so that threads may decide here; that of faer is its own business, so that they may not.
    fn tiles(self, m: usize, n: usize) -> [Vec<Range<usize>>; 2] {
        if self == Self::Faer {
            let few = m.div_ceil(LARGE_TILE) * n.div_ceil(LARGE_TILE) < MANY;
            let edge = if few { LARGE_TILE / 2 } else { LARGE_TILE };
            return [tiles(m, edge, ALIGN), tiles(n, edge, ALIGN)];
        }
        let (mut rows, mut columns) = (1, n.div_ceil(WIDEST));
        if !is_alone() {
            let enough = TILES_A_THREAD * rayon::current_num_threads();
            while rows * columns < enough && (m / rows).max(n / columns) >= 2 * ALIGN {
                if m / rows >= n / columns { rows *= 2 } else { columns *= 2 }
            }
        }
        let [of_rows, of_columns] = OWN_ALIGN;
        [tiles(m, m.div_ceil(rows), of_rows), tiles(n, n.div_ceil(columns), of_columns)]
    }
}

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
    gemm_in(Precision::F32, size, a, b, c, accumulate);
}

/// [`gemm`] with factors rounded to a precision that [`crate::device::Choice::resolve`] gave.
pub(crate) fn gemm_in(
    precision: Precision,
    size: Size,
    a: (&[f32], Strides),
    b: (&[f32], Strides),
    c: (&mut [f32], Strides),
    accumulate: bool,
) {
    let Size { m, n, k } = size;
    let kernel = Kernel::of(precision);
    let work = Product::new(size, a, b, c, accumulate, kernel);
    if m.saturating_mul(n).saturating_mul(k) < PARALLEL_FROM {
        return work.tile(0..m, 0..n);
    }
    let [rows, columns] = kernel.tiles(m, n);
    let tile = |at: usize| work.tile(rows[at / columns.len()].clone(), columns[at % columns.len()].clone());
    let count = rows.len() * columns.len();
    if is_alone() {
        return (0..count).for_each(tile);
    }
    (0..count).into_par_iter().with_max_len(1).for_each(tile);
}

/// [`gemm`] on the calling thread, for callers that already run on all of them.
pub(crate) fn gemm_serial(
    size: Size,
    a: (&[f32], Strides),
    b: (&[f32], Strides),
    c: (&mut [f32], Strides),
    accumulate: bool,
) {
    Product::new(size, a, b, c, accumulate, Kernel::of(Precision::F32)).tile(0..size.m, 0..size.n);
}

/// `len` places in even parts of at most about `edge` that start at multiples of `align`.
fn tiles(len: usize, edge: usize, align: usize) -> Vec<Range<usize>> {
    let part = len.div_ceil(len.div_ceil(edge).max(1)).next_multiple_of(align).max(align);
    (0..len).step_by(part).map(|start| start..len.min(start + part)).collect()
}

/// A product whose matrices fit into their slices.
struct Product<'a> {
    k: usize,
    a: (&'a [f32], Strides),
    b: (&'a [f32], Strides),
    c: *mut f32,
    c_strides: Strides,
    accumulate: bool,
    kernel: Kernel,
    /// C, for as long as tiles of it are written.
    borrowed: PhantomData<&'a mut [f32]>,
}

#[expect(unsafe_code, reason = "tiles of C are written from several threads")]
// SAFETY: the pointer stands for a mutable borrow; see `Product::tile` for who writes where.
unsafe impl Sync for Product<'_> {}

impl<'a> Product<'a> {
    fn new(
        Size { m, n, k }: Size,
        a: (&'a [f32], Strides),
        b: (&'a [f32], Strides),
        (c, c_strides): (&'a mut [f32], Strides),
        accumulate: bool,
        kernel: Kernel,
    ) -> Self {
        assert!(a.1.span(m, k) <= a.0.len(), "A is {m} x {k} in {} numbers", a.0.len());
        assert!(b.1.span(k, n) <= b.0.len(), "B is {k} x {n} in {} numbers", b.0.len());
        assert!(c_strides.span(m, n) <= c.len(), "C is {m} x {n} in {} numbers", c.len());
        let rows_apart = m <= 1 || c_strides.rows >= c_strides.span(1, n);
        let columns_apart = n <= 1 || c_strides.columns >= c_strides.span(m, 1);
        assert!(rows_apart || columns_apart, "elements of C overlap: {c_strides:?} for {m} x {n}");
        Self { k, a, b, c: c.as_mut_ptr(), c_strides, accumulate, kernel, borrowed: PhantomData }
    }

    /// The part of C at `rows` and `columns`, on the calling thread. Callers give every place of C to
    /// one call at a time.
    #[expect(unsafe_code, reason = "the kernels take pointers where strides are arbitrary")]
    fn tile(&self, rows: Range<usize>, columns: Range<usize>) {
        if rows.is_empty() || columns.is_empty() {
            return;
        }
        let (m, n, k) = (rows.len(), columns.len(), self.k);
        let ((a, a_strides), (b, b_strides)) = (self.a, self.b);
        let at = rows.start * self.c_strides.rows + columns.start * self.c_strides.columns;
        let begun = meter::begin();
        // SAFETY: every element that is read or written stands at `i * rows + j * columns` with i and j
        // below the sizes, which the spans in `new` keep inside the slices (an empty k reads nothing),
        // so that every stride that is stepped over fits isize; C is borrowed mutably, hence apart from
        // A and B, its elements do not overlap, and tiles are apart, so threads write apart.
        unsafe {
            let from = |x: &[f32], strides: Strides, row: usize, column: usize| {
                let start = row * strides.rows + column * strides.columns;
                if k == 0 { x.as_ptr() } else { x.as_ptr().add(start) }
            };
            let c = self.c.add(at);
            let (a, b) = (from(a, a_strides, rows.start, 0), from(b, b_strides, 0, columns.start));
            let view = |start: *const f32, strides: Strides, rows: usize, columns: usize| {
                MatRef::from_raw_parts(start, rows, columns, strides.rows as isize, strides.columns as isize)
            };
            let matrix =
                |start, strides: Strides| Matrix { start, row: strides.rows, column: strides.columns };
            let ours = || (matrix(a, a_strides), matrix(b, b_strides));
            let to = Matrix { start: c, row: self.c_strides.rows, column: self.c_strides.columns };
            match self.kernel {
                Kernel::Faer => matmul(
                    MatMut::from_raw_parts_mut(c, m, n, to.row as isize, to.column as isize),
                    if self.accumulate { Accum::Add } else { Accum::Replace },
                    view(a, a_strides, m, k),
                    view(b, b_strides, k, n),
                    1.0_f32,
                    Par::Seq,
                ),
                #[cfg(target_arch = "x86_64")]
                Kernel::Single(single) => {
                    let (a, b) = ours();
                    single.multiply([m, n, k], a, b, to, self.accumulate);
                }
                Kernel::Brain => {
                    let (a, b) = ours();
                    brain::multiply([m, n, k], a, b, to, self.accumulate);
                }
            }
        }
        meter::end(begun, m, n, k);
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
        for (m, n, k) in
            [(1, 1, 1), (1, 7, 5), (7, 1, 5), (5, 7, 2), (13, 17, 19), (33, 65, 40), (0, 3, 2), (3, 5, 0)]
        {
            let (a, b, before) = (random(1, m * k), random(2, k * n), random(3, m * n));
            for layout in 0..16 {
                let strides = |transposed: bool, rows: usize, columns: usize| {
                    if transposed { Strides::transposed(rows) } else { Strides::row_major(columns) }
                };
                let a_strides = strides(layout & 1 != 0, m, k);
                let b_strides = strides(layout & 2 != 0, k, n);
                let c_strides = strides(layout & 4 != 0, m, n);
                let accumulate = layout & 8 != 0;
                let size = Size { m, n, k };
                let [mut c, mut of_faer, mut of_brain] = [(); 3].map(|()| before.clone());
                gemm(size, (&a, a_strides), (&b, b_strides), (&mut c, c_strides), accumulate);
                for (kernel, c) in [(Kernel::Faer, &mut of_faer), (Kernel::Brain, &mut of_brain)] {
                    let (a, b) = ((&a[..], a_strides), (&b[..], b_strides));
                    Product::new(size, a, b, (c, c_strides), accumulate, kernel).tile(0..m, 0..n);
                }
                for i in 0..m {
                    for j in 0..n {
                        let at = |s: Strides, i: usize, j: usize| i * s.rows + j * s.columns;
                        let sum: f64 = (0..k)
                            .map(|l| f64::from(a[at(a_strides, i, l)]) * f64::from(b[at(b_strides, l, j)]))
                            .sum();
                        let place = at(c_strides, i, j);
                        let expected = sum + if accumulate { f64::from(before[place]) } else { 0.0 };
                        for c in [&c, &of_faer] {
                            assert!((f64::from(c[place]) - expected).abs() < 1e-4, "{m} {n} {k} {layout}");
                        }
                        // sums of up to 40 products of numbers that are off by 2⁻⁹
                        let apart = (f64::from(of_brain[place]) - expected).abs();
                        assert!(apart < 0.1, "{m} {n} {k} {layout}: {apart}");
                    }
                }
            }
        }
    }

    #[test]
    fn the_number_of_threads_changes_no_bit() {
        let (m, n, k) = (130, 201, 770);
        let (a, b) = (random(1, m * k), random(2, k * n));
        let product = |precision: Precision, threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
            let mut c = vec![0.0; m * n];
            let (a, b) = ((&a[..], Strides::row_major(k)), (&b[..], Strides::transposed(k)));
            pool.install(|| {
                gemm_in(precision, Size { m, n, k }, a, b, (&mut c, Strides::row_major(n)), false);
            });
            c
        };
        for precision in [Precision::F32, Precision::Bf16] {
            assert_eq!(product(precision, 1), product(precision, 2));
            assert_eq!(product(precision, 1), product(precision, 5));
        }
    }

    #[test]
    #[should_panic(expected = "B is 3 x 4 in 11 numbers")]
    fn a_matrix_beyond_its_slice_is_refused() {
        let mut c = [0.0; 8];
        let (a, b) = ((&[0.0; 6][..], Strides::row_major(3)), (&[0.0; 11][..], Strides::row_major(4)));
        gemm(Size { m: 2, n: 4, k: 3 }, a, b, (&mut c, Strides::row_major(4)), false);
    }
}
