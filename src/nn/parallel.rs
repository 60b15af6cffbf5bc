//! How operations spread over threads: in pieces whose boundaries depend on sizes only, so that no
//! number depends on the threads.

use std::ops::Range;

use rayon::prelude::*;

/// Numbers below which a pass stays on the calling thread: waking another one costs 5 to 10 µs,
/// about what one thread needs for this many.
pub(crate) const PARALLEL_FROM: usize = 1 << 15;

/// Numbers of one piece of an elementwise pass: 32 KiB, so that the few slices that a pass reads
/// and writes stay in a core's second cache, and pieces are many times more than threads.
pub(crate) const PIECE: usize = 1 << 13;

/// Numbers that are asked about together whether they are zero: a third of a row of an embedding table.
pub(crate) const LOOKED_AT: usize = 256;

/// Columns that one task sums at a time: four cache lines of every row.
const COLUMNS: usize = 64;

/// Partial sums of [`sum_of`], enough for a vector unit to be busy with additions.
pub(crate) const LANES: usize = 8;

/// Whether there is one thread only: handing work over to it, and waiting, would be two switches of
/// threads for nothing. The cells of a sweep usually have one each.
pub(crate) fn is_alone() -> bool {
    rayon::current_num_threads() == 1
}

/// Runs `whole` on a thread of the current pool, so that the many operations in it start theirs at
/// once: every one that begins outside is handed over to a thread that may be asleep, 20 to 50 µs.
pub(crate) fn inside<T: Send>(whole: impl FnOnce() -> T + Send) -> T {
    if is_alone() || rayon::current_thread_index().is_some() { whole() } else { rayon::scope(|_| whole()) }
}

/// Runs `each` on all items, on the threads of the current pool if `work` numbers are enough.
pub(crate) fn run<I: IndexedParallelIterator>(work: usize, items: I, each: impl Fn(I::Item) + Sync + Send) {
    // items that may not be split stay on the calling thread
    let together = if work < PARALLEL_FROM || is_alone() { items.len().max(1) } else { 1 };
    items.with_min_len(together).for_each(each);
}

/// The widest vectors that this processor has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Vectors {
    /// AVX-512 with its byte, double-word and short forms.
    Of512Bits,
    /// AVX2.
    Of256Bits,
    /// What every processor of its kind has.
    Usual,
}

/// Asks the processor; the answer is kept by the standard library.
#[inline]
pub(crate) fn vectors() -> Vectors {
    #[cfg(target_arch = "x86_64")]
    {
        let avx512 = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl");
        if avx512 {
            return Vectors::Of512Bits;
        }
        if is_x86_feature_detected!("avx2") {
            return Vectors::Of256Bits;
        }
    }
    Vectors::Usual
}

/// A function of its arguments that is compiled for every width of vectors and runs the widest one. No
/// number depends on it: lanes compute what single numbers would, as nothing in them contracts or
/// reorders operations. What the body calls must be `#[inline(always)]`, or it stays narrow.
macro_rules! widest {
    ($(#[$meta:meta])* $visibility:vis fn $name:ident$(<$function:ident: $bound:path>)?($($argument:ident: $kind:ty),+ $(,)?) $body:block) => {
        $(#[$meta])*
        $visibility fn $name$(<$function: $bound>)?($($argument: $kind),+) {
            #[inline(always)]
            fn of_any$(<$function: $bound>)?($($argument: $kind),+) $body

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
            fn of_512_bits$(<$function: $bound>)?($($argument: $kind),+) {
                of_any($($argument),+);
            }

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2")]
            fn of_256_bits$(<$function: $bound>)?($($argument: $kind),+) {
                of_any($($argument),+);
            }

            #[cfg(target_arch = "x86_64")]
            #[expect(unsafe_code, reason = "the processor was asked for the features")]
            // SAFETY: each function is called only where its features are there.
            match $crate::nn::parallel::vectors() {
                $crate::nn::parallel::Vectors::Of512Bits => return unsafe { of_512_bits($($argument),+) },
                $crate::nn::parallel::Vectors::Of256Bits => return unsafe { of_256_bits($($argument),+) },
                $crate::nn::parallel::Vectors::Usual => {}
            }
            of_any($($argument),+);
        }
    };
}
pub(crate) use widest;

/// Rows of `width` numbers that make a piece.
pub(crate) fn rows_in_piece(width: usize) -> usize {
    (PIECE / width.max(1)).max(1)
}

/// `each(y, x)` on pieces of two slices of one length.
pub(crate) fn map(y: &mut [f32], x: &[f32], each: impl Fn(&mut f32, f32) + Sync + Send) {
    assert_eq!(y.len(), x.len(), "slices of different length");
    run(y.len(), y.par_chunks_mut(PIECE).zip(x.par_chunks(PIECE)), |(y, x)| {
        y.iter_mut().zip(x).for_each(|(y, &x)| each(y, x));
    });
}

/// `each(y, a, b)` on pieces of three slices of one length.
pub(crate) fn map2(y: &mut [f32], a: &[f32], b: &[f32], each: impl Fn(&mut f32, f32, f32) + Sync + Send) {
    assert!(y.len() == a.len() && y.len() == b.len(), "slices of different length");
    let work = y.len();
    let pieces = y.par_chunks_mut(PIECE).zip(a.par_chunks(PIECE)).zip(b.par_chunks(PIECE));
    run(work, pieces, |((y, a), b)| {
        y.iter_mut().zip(a).zip(b).for_each(|((y, &a), &b)| each(y, a, b));
    });
}

/// Whether all are +0; ends at the first that is not.
#[inline(always)]
pub(crate) fn all_zero(numbers: &[f32]) -> bool {
    const TOGETHER: usize = 16;
    numbers.first().is_none_or(|first| first.to_bits() == 0)
        && numbers.chunks(TOGETHER).all(|chunk| chunk.iter().fold(0, |bits, x| bits | x.to_bits()) == 0)
}

/// The sum of `value` over a slice, in f64 and a fixed order.
#[expect(clippy::inline_always, reason = "a call would leave the vectors of its caller")]
#[inline(always)]
pub(crate) fn sum_of(numbers: &[f32], value: impl Fn(f32) -> f64) -> f64 {
    let mut lanes = [0.0; LANES];
    let whole = numbers.chunks_exact(LANES);
    let rest: f64 = whole.remainder().iter().map(|&x| value(x)).sum();
    for chunk in whole {
        lanes.iter_mut().zip(chunk).for_each(|(lane, &x)| *lane += value(x));
    }
    lanes.iter().sum::<f64>() + rest
}

/// The sum of products of two slices of one length, in f64 and a fixed order.
#[expect(clippy::inline_always, reason = "a call would leave the vectors of its caller")]
#[inline(always)]
pub(crate) fn dot(a: &[f32], b: &[f32]) -> f64 {
    let mut lanes = [0.0; LANES];
    let (whole_a, whole_b) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let product = |(&a, &b): (&f32, &f32)| f64::from(a) * f64::from(b);
    let rest: f64 = whole_a.remainder().iter().zip(whole_b.remainder()).map(product).sum();
    for (a, b) in whole_a.zip(whole_b) {
        lanes.iter_mut().zip(a.iter().zip(b)).for_each(|(lane, pair)| *lane += product(pair));
    }
    lanes.iter().sum::<f64>() + rest
}

/// Adds to `sums[column]` what `add_row(row, columns, totals)` adds up over all rows, where
/// `totals` belong to `columns`; f64 totals, rows in order.
pub(crate) fn add_column_sums(
    rows: usize,
    sums: &mut [f32],
    add_row: impl Fn(usize, Range<usize>, &mut [f64]) + Sync + Send,
) {
    run(rows * sums.len(), sums.par_chunks_mut(COLUMNS).enumerate(), |(block, sums)| {
        let columns = block * COLUMNS..block * COLUMNS + sums.len();
        add_block(&add_row, rows, columns, sums);
    });
}

widest! {
    fn add_block<F: Fn(usize, Range<usize>, &mut [f64])>(
        add_row: &F,
        rows: usize,
        columns: Range<usize>,
        sums: &mut [f32],
    ) {
        let mut totals = [0.0; COLUMNS];
        let totals = &mut totals[..sums.len()];
        for row in 0..rows {
            add_row(row, columns.clone(), totals);
        }
        sums.iter_mut().zip(totals).for_each(|(sum, total)| *sum += *total as f32);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_take_every_number_once() {
        let numbers: Vec<f32> = (0..1003_u16).map(f32::from).collect();
        assert_eq!(sum_of(&numbers, f64::from), 1003.0 * 1002.0 / 2.0);
        let mut sums = vec![1.0; 130];
        add_column_sums(3, &mut sums, |row, columns, totals| {
            totals.iter_mut().zip(columns).for_each(|(total, column)| *total += (row * 1000 + column) as f64);
        });
        assert!(sums.iter().enumerate().all(|(column, &sum)| sum == (3001 + 3 * column) as f32));
    }
}
