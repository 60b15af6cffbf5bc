//! Products whose factors are rounded to bfloat16 and whose sums are f32, with the instruction that
//! multiplies and adds sixteen pairs of them at once (AVX512-BF16). Without it the same is computed
//! number by number, for tests: no device is had that would make a user wait for that.

use std::cell::RefCell;

use super::parallel::widest;
use crate::device::multiplies_bf16;

/// Rows of C that one kernel call computes, and columns: 24 of 32 registers hold the sums.
const ROWS: usize = 12;
const COLUMNS: usize = 32;

/// Pairs of the sum that are packed at a time: the part of B of one call, 32 KiB, stays in the first
/// cache, and a tile of 512 x 512 in the second.
const PAIRS: usize = 256;

/// A matrix of f32 that starts at a place, rows and columns so far apart.
#[derive(Clone, Copy, Debug)]
pub(super) struct Matrix<P> {
    pub(super) start: P,
    pub(super) row: usize,
    pub(super) column: usize,
}

/// What is computed of a kernel's `[12, 32]` results, from `PAIRS` pairs or fewer of each.
type Sums = [[f32; COLUMNS]; ROWS];

thread_local! {
    /// Packed factors, kept from product to product.
    static PACKED: RefCell<[Vec<u32>; 2]> = const { RefCell::new([Vec::new(), Vec::new()]) };
}

/// `C[m, n] = A[m, k] · B[k, n]`, or `C += A · B`, on the calling thread.
///
/// # Safety
/// All elements below the sizes can be read, those of C written by nobody else meanwhile.
#[expect(unsafe_code, reason = "the caller has pointers, as strides are arbitrary")]
pub(super) unsafe fn multiply(
    [m, n, k]: [usize; 3],
    a: Matrix<*const f32>,
    b: Matrix<*const f32>,
    c: Matrix<*mut f32>,
    accumulate: bool,
) {
    let kernel = Kernel::of();
    PACKED.with_borrow_mut(|[packed_a, packed_b]| {
        // one round at least: a sum of nothing is zero
        for from in (0..k.max(1)).step_by(2 * PAIRS) {
            let depth = (k - from).min(2 * PAIRS);
            let pairs = depth.div_ceil(2);
            // SAFETY: what is packed are elements below the sizes.
            unsafe {
                let a = Strip { start: a.start.add(from * a.column), across: a.row, along: a.column };
                let b = Strip { start: b.start.add(from * b.row), across: b.column, along: b.row };
                pack::<ROWS>(a, m, depth, packed_a);
                pack::<COLUMNS>(b, n, depth, packed_b);
            }
            let onto = accumulate || from > 0;
            for first in (0..n).step_by(COLUMNS) {
                let columns = first..n.min(first + COLUMNS);
                let b = &packed_b[first * pairs..(first + COLUMNS) * pairs];
                for first in (0..m).step_by(ROWS) {
                    let rows = first..m.min(first + ROWS);
                    let sums = kernel.sums(&packed_a[first * pairs..(first + ROWS) * pairs], b);
                    for (row, sums) in rows.zip(&sums) {
                        for (column, sum) in columns.clone().zip(sums) {
                            // SAFETY: row and column are below the sizes.
                            unsafe {
                                let to = c.start.add(row * c.row + column * c.column);
                                *to = if onto { *to + sum } else { *sum };
                            }
                        }
                    }
                }
            }
        }
    });
}

/// Rows of A, or columns of B, as they lie along the sum.
#[derive(Clone, Copy)]
struct Strip {
    start: *const f32,
    across: usize,
    along: usize,
}

/// `[count / W, pairs, W]` pairs of neighbours along the sum, rounded; zeros fill the last panel up.
///
/// # Safety
/// `count` times `depth` elements can be read.
#[expect(unsafe_code, reason = "elements of arbitrary strides are read through pointers")]
unsafe fn pack<const W: usize>(from: Strip, count: usize, depth: usize, packed: &mut Vec<u32>) {
    let pairs = depth.div_ceil(2);
    packed.clear();
    packed.resize(count.next_multiple_of(W) * pairs, 0);
    for (at, panel) in packed.chunks_exact_mut((W * pairs).max(1)).enumerate() {
        let own = at * W..count.min((at + 1) * W);
        // SAFETY: own is below count, and every place along the sum below depth.
        unsafe {
            if from.across == 1 {
                let row = |d: usize| {
                    std::slice::from_raw_parts(from.start.add(own.start + d * from.along), own.len())
                };
                for (pair, to) in panel.chunks_exact_mut(W).enumerate() {
                    match 2 * pair + 1 < depth {
                        true => round(row(2 * pair), row(2 * pair + 1), &mut to[..own.len()]),
                        false => round(row(2 * pair), &[0.0; W][..own.len()], &mut to[..own.len()]),
                    }
                }
            } else {
                for (lane, each) in own.enumerate() {
                    let start = from.start.add(each * from.across);
                    if from.along == 1 {
                        scatter::<W>(std::slice::from_raw_parts(start, depth), lane, panel);
                    } else {
                        let all: Vec<f32> = (0..depth).map(|d| *start.add(d * from.along)).collect();
                        scatter::<W>(&all, lane, panel);
                    }
                }
            }
        }
    }
}

/// One row along the sum as a lane of its panel.
fn scatter<const W: usize>(row: &[f32], lane: usize, panel: &mut [u32]) {
    const TOGETHER: usize = 16;
    for (row, panel) in row.chunks(2 * TOGETHER).zip(panel.chunks_mut(TOGETHER * W)) {
        let mut parts = [[0.0; TOGETHER]; 2];
        for (at, &x) in row.iter().enumerate() {
            parts[at % 2][at / 2] = x;
        }
        let mut pairs = [0; TOGETHER];
        round(&parts[0], &parts[1], &mut pairs);
        for (to, pair) in panel.chunks_exact_mut(W).zip(pairs) {
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

    /// Sums over all pairs of a panel of A, `[pairs, 12]`, with one of B, `[pairs, 32]`.
    fn sums(self, a: &[u32], b: &[u32]) -> Sums {
        let (a, b) = (a.as_chunks::<ROWS>().0, b.as_chunks::<COLUMNS>().0);
        match self {
            #[cfg(target_arch = "x86_64")]
            #[expect(unsafe_code, reason = "the processor was asked for the instruction")]
            // SAFETY: `of` gives this kernel only where the instruction is.
            Self::Pairs => unsafe { of_pairs(a, b) },
            Self::Usual => usual(a, b),
        }
    }
}

fn usual(a: &[[u32; ROWS]], b: &[[u32; COLUMNS]]) -> Sums {
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
    sums
}

/// # Safety
/// On a processor with AVX512-BF16.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bf16")]
#[expect(unsafe_code, reason = "vectors of a fixed width have no safe form yet")]
unsafe fn of_pairs(a: &[[u32; ROWS]], b: &[[u32; COLUMNS]]) -> Sums {
    use std::arch::x86_64::{
        __m512bh, __m512i, _mm512_dpbf16_ps, _mm512_loadu_epi32, _mm512_set1_epi32, _mm512_setzero_ps,
        _mm512_storeu_ps,
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
    let mut sums = [[0.0; COLUMNS]; ROWS];
    for (to, from) in sums.as_flattened_mut().chunks_exact_mut(LANES).zip(registers.as_flattened()) {
        // SAFETY: 16 numbers are written to a chunk of 16.
        unsafe { _mm512_storeu_ps(to.as_mut_ptr(), *from) };
    }
    sums
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

    /// A sum over more than two rounds of pairs, its last pair half empty, in panels that are not full.
    #[test]
    fn products_are_those_of_rounded_factors() {
        let [m, n, k] = [ROWS + 1, COLUMNS + 3, 4 * PAIRS + 7];
        let mut stream = crate::seed::Seed(3).stream();
        let mut numbers = |len: usize| -> Vec<f32> { (0..len).map(|_| stream.normal() as f32).collect() };
        let (a, b, before) = (numbers(m * k), numbers(k * n), numbers(m * n));
        let rounded = |x: f32| half::bf16::from_f32(x).to_f64();
        for accumulate in [false, true] {
            let mut c = before.clone();
            let factor_a = Matrix { start: a.as_ptr(), row: k, column: 1 };
            let factor_b = Matrix { start: b.as_ptr(), row: n, column: 1 };
            let to = Matrix { start: c.as_mut_ptr(), row: n, column: 1 };
            #[expect(unsafe_code, reason = "the product takes pointers")]
            // SAFETY: all three are row-major slices of these sizes.
            unsafe {
                multiply([m, n, k], factor_a, factor_b, to, accumulate);
            }
            for (at, found) in c.iter().enumerate() {
                let (row, column) = (at / n, at % n);
                let terms = (0..k).map(|d| rounded(a[row * k + d]) * rounded(b[d * n + column]));
                let start = if accumulate { f64::from(before[at]) } else { 0.0 };
                let (sum, scale) = terms.fold((start, 1.0), |(sum, scale), x| (sum + x, scale + x.abs()));
                assert!((f64::from(*found) - sum).abs() < 1e-6 * scale, "{at}: {found}, not {sum}");
            }
        }
    }
}
