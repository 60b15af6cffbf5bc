//! The walk of a product over packed factors, whatever multiplies them: parts of both factors are
//! brought into panels, in the order in which a kernel reads them, that stay in the caches while they
//! meet each other (Goto and van de Geijn 2008, "Anatomy of high-performance matrix multiplication").

use std::cell::RefCell;
use std::ops::Range;

use super::aligned::Aligned;

/// A matrix of f32 that starts at a place, rows and columns so far apart.
#[derive(Clone, Copy, Debug)]
pub(super) struct Matrix<P> {
    pub(super) start: P,
    pub(super) row: usize,
    pub(super) column: usize,
}

/// Rows of A, or columns of B, as they lie along the sum.
#[derive(Clone, Copy, Debug)]
pub(super) struct Strips {
    pub(super) start: *const f32,
    /// From one to the next.
    pub(super) across: usize,
    /// From one number to the next.
    pub(super) along: usize,
    /// How many there are.
    pub(super) count: usize,
    /// Numbers of each.
    pub(super) depth: usize,
}

/// Panels are as long as a multiple of so many numbers; zeros fill them up.
pub(super) const ALONG: usize = 8;

/// The most results of one kernel call.
const RESULTS: usize = 384;

/// What multiplies packed panels. An element is 32 bits: one f32, or a pair of bfloat16.
pub(super) trait Kernel: Copy {
    /// Rows of C that one call computes.
    const ROWS: usize;
    /// Columns of C that one call computes; `ROWS` of them are at most [`RESULTS`].
    const COLUMNS: usize;
    /// Numbers of the sum that one element holds.
    const TOGETHER: usize;
    /// Numbers of the sum that are packed at a time, at most: a panel of B stays in the first cache.
    const DEPTH: usize;
    /// Rows of A that are packed at a time, at most: they stay in the second cache.
    const BLOCK: usize;

    /// Strips as panels of `width` of them, `[count / width, length, width]` elements that are written
    /// one and all, with zeros for what is not there.
    ///
    /// # Safety
    /// All numbers of the strips can be read.
    #[expect(unsafe_code, reason = "numbers of arbitrary strides are read through pointers")]
    unsafe fn pack(self, from: Strips, width: usize, packed: &mut [u32]);

    /// Sums over a panel of A, `[length, ROWS]`, with one of B, `[length, COLUMNS]`: written to, or added
    /// to if `onto`, `ROWS` rows of `COLUMNS` numbers that start `row` numbers apart.
    ///
    /// # Safety
    /// The rows are the caller's, and nobody else's meanwhile.
    #[expect(unsafe_code, reason = "rows that are apart are reached through pointers")]
    unsafe fn tile(self, a: &[u32], b: &[u32], to: *mut f32, row: usize, onto: bool);
}

/// Results of one kernel call, from the start of a cache line.
#[repr(align(64))]
struct Results([f32; RESULTS]);

thread_local! {
    /// Packed factors, kept from product to product.
    static PACKED: RefCell<[Aligned<u32>; 2]> = RefCell::default();
}

/// `C[m, n] = A[m, k] · B[k, n]`, or `C += A · B`, on the calling thread. The order of a sum depends
/// on k alone.
///
/// Inlined, so that all of it is compiled for the instructions of its caller.
///
/// # Safety
/// All elements below the sizes can be read, those of C written by nobody else meanwhile.
#[expect(clippy::inline_always, reason = "a call would leave the vectors of its caller")]
#[expect(unsafe_code, reason = "the caller has pointers, as strides are arbitrary")]
#[inline(always)]
pub(super) unsafe fn multiply<K: Kernel>(
    kernel: K,
    [m, n, k]: [usize; 3],
    a: Matrix<*const f32>,
    b: Matrix<*const f32>,
    c: Matrix<*mut f32>,
    accumulate: bool,
) {
    const { assert!(K::ROWS * K::COLUMNS <= RESULTS) };
    let mut results = Results([0.0; RESULTS]);
    if k == 0 && !accumulate {
        for (row, column) in (0..m).flat_map(|row| (0..n).map(move |column| (row, column))) {
            // SAFETY: a place below the sizes.
            unsafe { *c.start.add(row * c.row + column * c.column) = 0.0 };
        }
    }
    PACKED.with_borrow_mut(|[packed_a, packed_b]| {
        for part in parts(k, K::DEPTH, ALONG) {
            let depth = part.len();
            let length = depth.next_multiple_of(ALONG) / K::TOGETHER;
            let onto = accumulate || part.start > 0;
            packed_b.resize(n.next_multiple_of(K::COLUMNS) * length);
            // SAFETY: what is packed are elements below the sizes.
            unsafe {
                let start = b.start.add(part.start * b.row);
                let strips = Strips { start, across: b.column, along: b.row, count: n, depth };
                kernel.pack(strips, K::COLUMNS, packed_b);
            }
            for block in parts(m, K::BLOCK, K::ROWS) {
                packed_a.resize(block.len().next_multiple_of(K::ROWS) * length);
                // SAFETY: as above.
                unsafe {
                    let start = a.start.add(block.start * a.row + part.start * a.column);
                    let strips = Strips { start, across: a.row, along: a.column, count: block.len(), depth };
                    kernel.pack(strips, K::ROWS, packed_a);
                }
                for (at, b) in packed_b.chunks_exact(K::COLUMNS * length).enumerate() {
                    let columns = at * K::COLUMNS..n.min((at + 1) * K::COLUMNS);
                    for (at, a) in packed_a.chunks_exact(K::ROWS * length).enumerate() {
                        let first = block.start + at * K::ROWS;
                        let rows = first..block.end.min(first + K::ROWS);
                        // SAFETY: rows and columns are below the sizes; the results have room for all.
                        unsafe {
                            let to = c.start.add(first * c.row + columns.start * c.column);
                            if (rows.len(), columns.len(), c.column) == (K::ROWS, K::COLUMNS, 1) {
                                fetch(to, c.row, K::ROWS, K::COLUMNS);
                                kernel.tile(a, b, to, c.row, onto);
                            } else {
                                kernel.tile(a, b, results.0.as_mut_ptr(), K::COLUMNS, false);
                                write(c, rows, columns.clone(), &results.0, K::COLUMNS, onto);
                            }
                        }
                    }
                }
            }
        }
    });
}

/// Even parts of `len` places, at most about `most` long and multiples of `unit` but for the last.
fn parts(len: usize, most: usize, unit: usize) -> impl Iterator<Item = Range<usize>> {
    let step = len.div_ceil(len.div_ceil(most).max(1)).next_multiple_of(unit);
    (0..len).step_by(step.max(1)).map(move |start| start..len.min(start + step))
}

/// Asks for rows of `width` numbers that start `row` numbers apart to be brought near: a line or two each.
#[expect(clippy::inline_always, reason = "a call would leave the vectors of its caller")]
#[inline(always)]
fn fetch(start: *mut f32, row: usize, rows: usize, width: usize) {
    #[cfg(target_arch = "x86_64")]
    for at in 0..rows {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        #[expect(unsafe_code, reason = "an address is handed over, and not read from")]
        // SAFETY: a prefetch has no effect that a program could see.
        unsafe {
            for place in [at * row, at * row + width - 1] {
                _mm_prefetch::<_MM_HINT_T0>(start.wrapping_add(place).cast());
            }
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (start, row, rows, width);
}

/// Results of a tile that C has only a part of, or in another order.
///
/// # Safety
/// The places of C are the caller's, and nobody else's meanwhile.
#[expect(unsafe_code, reason = "the caller has pointers, as strides are arbitrary")]
unsafe fn write(
    c: Matrix<*mut f32>,
    rows: Range<usize>,
    columns: Range<usize>,
    results: &[f32],
    width: usize,
    onto: bool,
) {
    for (row, results) in rows.zip(results.chunks_exact(width)) {
        for (column, result) in columns.clone().zip(results) {
            // SAFETY: the caller's place.
            unsafe {
                let to = c.start.add(row * c.row + column * c.column);
                *to = if onto { *to + result } else { *result };
            }
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A product over more than two rounds, its last panels neither long nor wide enough, held against
    /// the definition with factors that are `rounded`.
    pub(in crate::nn) fn assert_is_the_definition<K: Kernel>(
        rounded: impl Fn(f32) -> f64,
        product: impl Fn([usize; 3], Matrix<*const f32>, Matrix<*const f32>, Matrix<*mut f32>, bool),
    ) {
        let [m, n, k] = [K::BLOCK + K::ROWS + 1, K::COLUMNS + 3, 2 * K::DEPTH + 7];
        let mut stream = crate::seed::Seed(3).stream();
        let mut numbers = |len: usize| -> Vec<f32> { (0..len).map(|_| stream.normal() as f32).collect() };
        let (a, b, before) = (numbers(m * k), numbers(k * n), numbers(m * n));
        let [rounded_a, rounded_b] = [&a, &b].map(|x| x.iter().map(|x| rounded(*x)).collect::<Vec<f64>>());
        for layout in 0..16 {
            let strides = |transposed: bool, rows: usize, columns: usize| {
                if transposed { (1, rows) } else { (columns, 1) }
            };
            let (a_row, a_column) = strides(layout & 1 != 0, m, k);
            let (b_row, b_column) = strides(layout & 2 != 0, k, n);
            let (c_row, c_column) = strides(layout & 4 != 0, m, n);
            let accumulate = layout & 8 != 0;
            let mut c = before.clone();
            product(
                [m, n, k],
                Matrix { start: a.as_ptr(), row: a_row, column: a_column },
                Matrix { start: b.as_ptr(), row: b_row, column: b_column },
                Matrix { start: c.as_mut_ptr(), row: c_row, column: c_column },
                accumulate,
            );
            for (row, column) in (0..m).flat_map(|row| (0..n).map(move |column| (row, column))) {
                let at = row * c_row + column * c_column;
                let terms = (0..k).map(|d| {
                    rounded_a[row * a_row + d * a_column] * rounded_b[d * b_row + column * b_column]
                });
                let start = if accumulate { f64::from(before[at]) } else { 0.0 };
                let (sum, scale) = terms.fold((start, 1.0), |(sum, scale), x| (sum + x, scale + x.abs()));
                let found = f64::from(c[at]);
                assert!((found - sum).abs() < 1e-6 * scale, "{layout} {row} {column}: {found}, not {sum}");
            }
        }
    }
}
