//! Products whose factors are rounded to bfloat16 and whose sums are f32, with the instruction that
//! multiplies and adds sixteen pairs of them at once (AVX512-BF16). Without it the same is computed
//! number by number, for tests: no device is had that would make a user wait for that.

use super::panels::{self, ALONG, Matrix, Strips};
use super::parallel::widest;
use crate::device::multiplies_bf16;

/// Rows of C that one kernel call computes, and columns: 24 of 32 registers hold the sums.
const ROWS: usize = 12;
const COLUMNS: usize = 32;

/// `C[m, n] = A[m, k] · B[k, n]`, or `C += A · B`, on the calling thread.
///
/// # Safety
/// As [`panels::multiply`].
#[expect(unsafe_code, reason = "the caller has pointers, as strides are arbitrary")]
pub(super) unsafe fn multiply(
    sizes: [usize; 3],
    a: Matrix<*const f32>,
    b: Matrix<*const f32>,
    c: Matrix<*mut f32>,
    accumulate: bool,
) {
    // SAFETY: the caller's.
    unsafe { panels::multiply(Kernel::of(), sizes, a, b, c, accumulate) }
}

/// One row along the sum as a lane of its panel.
fn scatter(row: &[f32], width: usize, lane: usize, panel: &mut [u32]) {
    const TOGETHER: usize = 16;
    for (row, panel) in row.chunks(2 * TOGETHER).zip(panel.chunks_mut(TOGETHER * width)) {
        let mut parts = [[0.0; TOGETHER]; 2];
        for (at, &x) in row.iter().enumerate() {
            parts[at % 2][at / 2] = x;
        }
        let mut pairs = [0; TOGETHER];
        round(&parts[0], &parts[1], &mut pairs);
        for (to, pair) in panel.chunks_exact_mut(width).zip(pairs) {
            to[lane] = pair;
        }
    }
}

widest! {
    /// Pairs of numbers, each rounded to the nearest bfloat16, ties to even; the first one stands low.
    fn round(low: &[f32], high: &[f32], pairs: &mut [u32]) {
        #[expect(clippy::inline_always, reason = "a call would leave the vectors of its caller")]
        #[inline(always)]
        fn rounded(x: f32) -> u32 {
            let bits = x.to_bits();
            let even = bits.wrapping_add(0x7fff + ((bits >> 16) & 1));
            // a NaN stays one
            if x.is_nan() { bits | 0x40_0000 } else { even }
        }
        for (pair, (&low, &high)) in pairs.iter_mut().zip(low.iter().zip(high)) {
            *pair = (rounded(low) >> 16) | (rounded(high) & 0xffff_0000);
        }
    }
}

/// How sums of packed panels are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kernel {
    /// By the instruction.
    #[cfg(target_arch = "x86_64")]
    Pairs,
    /// Number by number.
    Usual,
}

impl Kernel {
    fn of() -> Self {
        #[cfg(target_arch = "x86_64")]
        if multiplies_bf16() {
            return Self::Pairs;
        }
        Self::Usual
    }
}

impl panels::Kernel for Kernel {
    const ROWS: usize = ROWS;
    const COLUMNS: usize = COLUMNS;
    const TOGETHER: usize = 2;
    const DEPTH: usize = 512;
    const BLOCK: usize = 240;

    #[expect(unsafe_code, reason = "numbers of arbitrary strides are read through pointers")]
    unsafe fn pack(self, from: Strips, width: usize, packed: &mut [u32]) {
        packed.fill(0);
        let pairs = from.depth.next_multiple_of(ALONG) / 2;
        for (at, panel) in packed.chunks_exact_mut(width * pairs).enumerate() {
            let own = at * width..from.count.min((at + 1) * width);
            // SAFETY: own is below count, and every place along the sum below depth.
            unsafe {
                if from.across == 1 {
                    let row = |d: usize| {
                        std::slice::from_raw_parts(from.start.add(own.start + d * from.along), own.len())
                    };
                    for (pair, to) in panel.chunks_exact_mut(width).take(from.depth.div_ceil(2)).enumerate() {
                        match 2 * pair + 1 < from.depth {
                            true => round(row(2 * pair), row(2 * pair + 1), &mut to[..own.len()]),
                            false => round(row(2 * pair), &[0.0; COLUMNS][..own.len()], &mut to[..own.len()]),
                        }
                    }
                } else {
                    for (lane, each) in own.enumerate() {
                        let start = from.start.add(each * from.across);
                        if from.along == 1 {
                            scatter(std::slice::from_raw_parts(start, from.depth), width, lane, panel);
                        } else {
                            let all: Vec<f32> = (0..from.depth).map(|d| *start.add(d * from.along)).collect();
                            scatter(&all, width, lane, panel);
                        }
                    }
                }
            }
        }
    }

    #[expect(unsafe_code, reason = "rows that are apart are reached through pointers")]
    unsafe fn tile(self, a: &[u32], b: &[u32], to: *mut f32, row: usize, onto: bool) {
        let (a, b) = (a.as_chunks().0, b.as_chunks().0);
        // SAFETY: the caller's; `of` gives `Pairs` only where the instruction is.
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Pairs => unsafe { of_pairs(a, b, to, row, onto) },
            Self::Usual => unsafe { usual(a, b, to, row, onto) },
        }
    }
}

/// # Safety
/// As [`panels::Kernel::tile`].
#[expect(unsafe_code, reason = "rows that are apart are reached through pointers")]
unsafe fn usual(a: &[[u32; ROWS]], b: &[[u32; COLUMNS]], to: *mut f32, row: usize, onto: bool) {
    let low = |pair: u32| f32::from_bits(pair << 16);
    let high = |pair: u32| f32::from_bits(pair & 0xffff_0000);
    let mut sums = [[0.0; COLUMNS]; ROWS];
    for (a, b) in a.iter().zip(b) {
        for (sums, &a) in sums.iter_mut().zip(a) {
            for (sum, &b) in sums.iter_mut().zip(b) {
                *sum += low(a) * low(b) + high(a) * high(b);
            }
        }
    }
    for (at, sums) in sums.iter().enumerate() {
        // SAFETY: the caller's rows.
        let to = unsafe { std::slice::from_raw_parts_mut(to.add(at * row), COLUMNS) };
        to.iter_mut().zip(sums).for_each(|(to, sum)| *to = if onto { *to + sum } else { *sum });
    }
}

/// # Safety
/// As [`panels::Kernel::tile`], on a processor with AVX512-BF16.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bf16")]
#[expect(unsafe_code, reason = "vectors of a fixed width have no safe form yet")]
unsafe fn of_pairs(a: &[[u32; ROWS]], b: &[[u32; COLUMNS]], to: *mut f32, row: usize, onto: bool) {
    use std::arch::x86_64::{
        __m512bh, __m512i, _mm512_add_ps, _mm512_dpbf16_ps, _mm512_loadu_epi32, _mm512_loadu_ps,
        _mm512_set1_epi32, _mm512_setzero_ps, _mm512_storeu_ps,
    };
    const LANES: usize = 16;
    // SAFETY: both are 512 bits that the instruction reads as pairs.
    let pairs = |x: __m512i| unsafe { std::mem::transmute::<__m512i, __m512bh>(x) };
    let mut registers = [[_mm512_setzero_ps(); COLUMNS / LANES]; ROWS];
    for (a, b) in a.iter().zip(b) {
        // SAFETY: each load is of 16 of the 32 numbers.
        let halves = unsafe {
            [0, 1].map(|half: usize| pairs(_mm512_loadu_epi32(b.as_ptr().add(half * LANES).cast::<i32>())))
        };
        for (sums, &a) in registers.iter_mut().zip(a) {
            let a = pairs(_mm512_set1_epi32(a.cast_signed()));
            for (sum, b) in sums.iter_mut().zip(halves) {
                *sum = _mm512_dpbf16_ps(*sum, a, b);
            }
        }
    }
    for (at, sums) in registers.iter().enumerate() {
        for (half, sum) in sums.iter().enumerate() {
            // SAFETY: the caller's rows.
            unsafe {
                let to = to.add(at * row + half * LANES);
                let sum = if onto { _mm512_add_ps(_mm512_loadu_ps(to), *sum) } else { *sum };
                _mm512_storeu_ps(to, sum);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_is_that_of_half() {
        let numbers = [1.0, -1.003, 3.4e38, f32::MAX, f32::INFINITY, -0.0, 1e-40, f32::MIN_POSITIVE];
        let more: Vec<f32> = (0..1000_u32).map(|i| f32::from_bits(0x3f80_0000 + i * 0x1235)).collect();
        for x in numbers.into_iter().chain(more) {
            let mut pair = [0];
            round(&[x], &[-x], &mut pair);
            let expected = [half::bf16::from_f32(x), half::bf16::from_f32(-x)].map(half::bf16::to_bits);
            assert_eq!([pair[0] as u16, (pair[0] >> 16) as u16], expected, "{x}");
        }
        let mut pair = [0];
        round(&[f32::NAN], &[f32::from_bits(0x7f80_0001)], &mut pair);
        assert!(
            half::bf16::from_bits(pair[0] as u16).is_nan()
                && half::bf16::from_bits((pair[0] >> 16) as u16).is_nan()
        );
    }

    #[test]
    fn products_are_those_of_rounded_factors() {
        let rounded = |x: f32| half::bf16::from_f32(x).to_f64();
        #[expect(unsafe_code, reason = "the product takes pointers")]
        panels::tests::assert_is_the_definition::<Kernel>(rounded, |sizes, a, b, c, accumulate| {
            // SAFETY: matrices of these sizes.
            unsafe { multiply(sizes, a, b, c, accumulate) }
        });
    }
}
