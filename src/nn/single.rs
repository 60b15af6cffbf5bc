//! Products of f32 with AVX2 and FMA, where the kernels of others leave a fifth of the speed on
//! matrices that do not stay in the caches (README, performance).

use std::arch::x86_64::{
    __m256, _MM_HINT_T0, _mm_prefetch, _mm256_add_ps, _mm256_broadcast_ss, _mm256_fmadd_ps, _mm256_loadu_ps,
    _mm256_permute2f128_ps, _mm256_setzero_ps, _mm256_shuffle_ps, _mm256_storeu_ps, _mm256_unpackhi_ps,
    _mm256_unpacklo_ps,
};

use super::panels::{self, ALONG, Kernel, Matrix, Strips};

/// Numbers of a vector.
const LANES: usize = 8;

/// Steps along the sum between two branches.
const UNROLLED: usize = 4;

/// How far ahead of its use A is fetched, in steps along the sum.
const AHEAD: usize = 32;

/// Proof that the processor has AVX2 and FMA.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Single(());

impl Single {
    /// The kernel, where the processor has its instructions.
    pub(super) fn of() -> Option<Self> {
        let there = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
        there.then_some(Self(()))
    }

    /// [`panels::multiply`], all of it compiled for these instructions.
    ///
    /// # Safety
    /// As there; the proof is that the instructions are there.
    #[target_feature(enable = "avx2,fma")]
    #[expect(unsafe_code, reason = "the caller has pointers, as strides are arbitrary")]
    pub(super) unsafe fn multiply(
        self,
        sizes: [usize; 3],
        a: Matrix<*const f32>,
        b: Matrix<*const f32>,
        c: Matrix<*mut f32>,
        accumulate: bool,
    ) {
        // SAFETY: the caller's.
        unsafe { panels::multiply(self, sizes, a, b, c, accumulate) }
    }
}

impl Kernel for Single {
    /// Sums stand in 12 of 16 registers.
    const ROWS: usize = 6;
    const COLUMNS: usize = 2 * LANES;
    const TOGETHER: usize = 1;
    const DEPTH: usize = 384;
    const BLOCK: usize = 144;

    #[expect(unsafe_code, reason = "numbers of arbitrary strides are read through pointers")]
    unsafe fn pack(self, from: Strips, width: usize, packed: &mut [u32]) {
        let length = from.depth.next_multiple_of(ALONG);
        for (at, panel) in packed.chunks_exact_mut(width * length).enumerate() {
            let count = width.min(from.count - at * width);
            // SAFETY: strips of this panel are some of all, and `of` asked for the instructions.
            unsafe {
                let start = from.start.add(at * width * from.across);
                let from = Strips { start, count, ..from };
                match (width, count == width, from.across, from.along) {
                    (Self::ROWS, true, 1, _) => copy::<{ Self::ROWS }>(from, panel),
                    (Self::COLUMNS, true, 1, _) => copy::<{ Self::COLUMNS }>(from, panel),
                    (Self::ROWS, true, _, 1) => transpose::<{ Self::ROWS }>(from, panel),
                    (Self::COLUMNS, true, _, 1) => transpose::<{ Self::COLUMNS }>(from, panel),
                    _ => one_by_one(from, width, 0, panel),
                }
            }
        }
    }

    #[inline]
    #[target_feature(enable = "avx2,fma")]
    #[expect(unsafe_code, reason = "vectors of a fixed width have no safe form yet")]
    unsafe fn tile(self, a: &[u32], b: &[u32], to: *mut f32, row: usize, onto: bool) {
        let a = a.as_chunks::<{ Self::ROWS }>().0.as_chunks::<UNROLLED>().0;
        let b = b.as_chunks::<{ Self::COLUMNS }>().0.as_chunks::<UNROLLED>().0;
        let mut registers = [[_mm256_setzero_ps(); Self::COLUMNS / LANES]; Self::ROWS];
        for (a, b) in a.iter().zip(b) {
            // SAFETY: a prefetch has no effect that a program could see; every load is of numbers of
            // these steps, and elements are the bits of f32.
            unsafe {
                _mm_prefetch::<_MM_HINT_T0>(a.as_ptr().wrapping_add(AHEAD).cast());
                for (a, b) in a.iter().zip(b) {
                    let b: *const f32 = b.as_ptr().cast();
                    let b = [_mm256_loadu_ps(b), _mm256_loadu_ps(b.add(LANES))];
                    for (row, sums) in registers.iter_mut().enumerate() {
                        let a = _mm256_broadcast_ss(&*a.as_ptr().add(row).cast());
                        for (sum, b) in sums.iter_mut().zip(b) {
                            *sum = _mm256_fmadd_ps(a, b, *sum);
                        }
                    }
                }
            }
        }
        for (at, sums) in registers.iter().enumerate() {
            for (vector, sum) in sums.iter().enumerate() {
                // SAFETY: the caller's rows.
                unsafe {
                    let to = to.add(at * row + vector * LANES);
                    let sum = if onto { _mm256_add_ps(_mm256_loadu_ps(to), *sum) } else { *sum };
                    _mm256_storeu_ps(to, sum);
                }
            }
        }
    }
}

/// A whole panel of strips that lie side by side.
///
/// # Safety
/// `WIDTH` strips can be read; the panel has as many times their depth, filled up to [`ALONG`].
#[expect(unsafe_code, reason = "numbers of arbitrary strides are read through pointers")]
unsafe fn copy<const WIDTH: usize>(from: Strips, panel: &mut [u32]) {
    let (rows, rest) = panel.split_at_mut(from.depth * WIDTH);
    for (d, to) in rows.as_chunks_mut::<WIDTH>().0.iter_mut().enumerate() {
        // SAFETY: one number of each strip; f32 and u32 have the same size, and any bits are numbers.
        *to = unsafe { from.start.add(d * from.along).cast::<[u32; WIDTH]>().read_unaligned() };
    }
    rest.fill(0);
}

/// A whole panel of strips whose numbers lie one behind the other.
///
/// # Safety
/// As [`copy`], on a processor with AVX2.
#[target_feature(enable = "avx2")]
#[expect(unsafe_code, reason = "vectors of a fixed width have no safe form yet")]
unsafe fn transpose<const WIDTH: usize>(from: Strips, panel: &mut [u32]) {
    let whole = from.depth / LANES * LANES;
    for (block, to) in panel.chunks_exact_mut(WIDTH * LANES).take(whole / LANES).enumerate() {
        for first in (0..WIDTH).step_by(LANES) {
            let here = LANES.min(WIDTH - first);
            // SAFETY: eight numbers of strips that there are; what would be a further strip is the last
            // one again.
            let rows = [0, 1, 2, 3, 4, 5, 6, 7].map(|at: usize| unsafe {
                let strip = first + at.min(here - 1);
                _mm256_loadu_ps(from.start.add(strip * from.across + block * LANES))
            });
            for (to, column) in to.as_chunks_mut::<WIDTH>().0.iter_mut().zip(transposed(rows)) {
                let mut numbers = [0; LANES];
                // SAFETY: a vector is written to as many numbers.
                unsafe { _mm256_storeu_ps(numbers.as_mut_ptr().cast(), column) };
                to[first..first + here].copy_from_slice(&numbers[..here]);
            }
        }
    }
    // SAFETY: the caller's.
    unsafe { one_by_one(from, WIDTH, whole, panel) };
}

/// Strips of any strides, from a place along the sum on, and zeros where there are none.
///
/// # Safety
/// The strips can be read.
#[expect(unsafe_code, reason = "numbers of arbitrary strides are read through pointers")]
unsafe fn one_by_one(from: Strips, width: usize, place: usize, panel: &mut [u32]) {
    for (d, to) in panel.chunks_exact_mut(width).enumerate().skip(place) {
        for (at, to) in to.iter_mut().enumerate() {
            // SAFETY: a number of a strip that there is.
            let number = || unsafe { *from.start.add(at * from.across + d * from.along) };
            *to = if at < from.count && d < from.depth { number().to_bits() } else { 0 };
        }
    }
}

/// Eight vectors as rows of a matrix, and its columns.
#[target_feature(enable = "avx2")]
fn transposed(rows: [__m256; LANES]) -> [__m256; LANES] {
    let [a, b, c, d, e, f, g, h] = rows;
    // pairs of rows, then fours, then halves of eight
    let [ab, cd, ef, gh] =
        [(a, b), (c, d), (e, f), (g, h)].map(|(x, y)| (_mm256_unpacklo_ps(x, y), _mm256_unpackhi_ps(x, y)));
    let fours = |x: (__m256, __m256), y: (__m256, __m256)| {
        [
            _mm256_shuffle_ps::<0x44>(x.0, y.0),
            _mm256_shuffle_ps::<0xEE>(x.0, y.0),
            _mm256_shuffle_ps::<0x44>(x.1, y.1),
            _mm256_shuffle_ps::<0xEE>(x.1, y.1),
        ]
    };
    let (top, bottom) = (fours(ab, cd), fours(ef, gh));
    let low = |at: usize| _mm256_permute2f128_ps::<0x20>(top[at], bottom[at]);
    let high = |at: usize| _mm256_permute2f128_ps::<0x31>(top[at], bottom[at]);
    [low(0), low(1), low(2), low(3), high(0), high(1), high(2), high(3)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_are_those_of_the_definition() {
        let Some(single) = Single::of() else { return };
        #[expect(unsafe_code, reason = "the product takes pointers")]
        panels::tests::assert_is_the_definition::<Single>(f64::from, |sizes, a, b, c, accumulate| {
            // SAFETY: matrices of these sizes.
            unsafe { single.multiply(sizes, a, b, c, accumulate) }
        });
    }
}
