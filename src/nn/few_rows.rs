//! Products of a few rows with a large weight, as the one token of the pooled plug meets a layer: half
//! of what such a product costs elsewhere is bringing the weight into the kernel's order, once a
//! product. Here rows stand in the lanes of vectors, the weight is read once, in the order and the dtype
//! that it is stored in, and what the next tiles need is fetched while the ones before are multiplied.

use rayon::prelude::*;

use super::aligned::Aligned;
use super::frozen::Weights;
use super::meter;
use super::parallel::{Vectors, run, vectors};

/// Rows up to which these products are the faster ones (README, performance).
pub(super) const MOST_ROWS: usize = 64;

/// Inputs and outputs below which a weight is too small for strips.
pub(super) const LEAST_WIDTH: usize = 48;

/// Rows that are multiplied together; more go over the weight again.
const TOGETHER: usize = 32;

/// All kernels' numbers of results at once divide it.
const ALIGN: usize = 24;

/// Part of a weight that is widened and multiplied at once, outputs by inputs: 36 KiB, which with the
/// part of x that it meets stays in a core's second cache.
const FORWARD: [usize; 2] = [48, 192];
/// The same for gradients of inputs: long pieces of rows, since rows are far apart.
const BACKWARD: [usize; 2] = [64, 384];

/// Numbers between the ends and the beginnings of rows of a widened part: rows of an odd number of
/// cache lines, so that a column's numbers are spread over all sets of a cache.
const GAP: usize = 16;

/// Numbers of a row that are brought into lanes, or back, at a time: a cache line.
const LINE: usize = 16;
/// Rows that results are brought back to at a time: half a line of lanes.
const ROWS_TOGETHER: usize = 8;

/// Results of one task, at most.
const STRIP: usize = 384;

/// Tasks that there are, at least, where the weight is large enough: shared evenly by the threads of a
/// workstation. A rule by sizes, since threads may decide no number.
const TASKS: usize = 8;

/// Which way a weight `[outputs, inputs]` is gone through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// y = x · Wᵀ.
    Forward,
    /// dx = dy · W.
    Backward,
}

/// `rows` x `depth` numbers times a weight, `rows` x `width` results; added to what stands in `y` if
/// `accumulate`. `depth` and `width` are inputs and outputs forward, outputs and inputs backward.
///
/// Every number is summed over depth in an order that depends on the sizes of the weight only.
///
/// # Panics
/// If slices and sizes disagree.
pub(super) fn product(
    way: Way,
    [outputs, inputs]: [usize; 2],
    x: &[f32],
    weight: Weights<'_>,
    y: &mut [f32],
    accumulate: bool,
) {
    let (depth, width) = match way {
        Way::Forward => (inputs, outputs),
        Way::Backward => (outputs, inputs),
    };
    if depth == 0 || width == 0 {
        if !accumulate {
            y.fill(0.0);
        }
        return;
    }
    assert_eq!(weight.len(), outputs * inputs);
    assert_eq!((x.len() % depth, y.len() % width, x.len() / depth), (0, 0, y.len() / width));
    let pass = Pass { way, inputs, outputs, weight };
    for (x, y) in x.chunks(TOGETHER * depth).zip(y.chunks_mut(TOGETHER * width)) {
        let kernel = Kernel::of(x.len() / depth, vectors());
        pass.multiply(kernel, (x, depth), (y, width), accumulate);
    }
}

/// One way through one weight.
#[derive(Clone, Copy)]
struct Pass<'a> {
    way: Way,
    inputs: usize,
    outputs: usize,
    weight: Weights<'a>,
}

/// Rows `[from, past)` and columns `[from, past)` of a weight.
type Part = [std::ops::Range<usize>; 2];

impl Pass<'_> {
    fn multiply(
        self,
        kernel: Kernel,
        (x, depth): (&[f32], usize),
        (y, width): (&mut [f32], usize),
        accumulate: bool,
    ) {
        let lanes = kernel.lanes;
        let mut by_lanes = Aligned::zeros(depth * lanes);
        transpose(x, depth, lanes, &mut by_lanes);
        let parts = width.div_ceil(STRIP).next_multiple_of(TASKS).min(width.div_ceil(ALIGN));
        let strip = width.div_ceil(parts).next_multiple_of(ALIGN);
        let mut results = Aligned::zeros(width.div_ceil(strip) * strip * lanes);
        let [rows, columns] = self.part();
        let scratch = || vec![0.0; (rows + ALIGN) * (columns + GAP)];
        let work = |scratch: &mut Vec<f32>, (at, results): (usize, &mut [f32])| {
            let begun = meter::begin();
            let own = at * strip..width.min((at + 1) * strip);
            self.strip(kernel, own.clone(), &by_lanes, scratch, results);
            meter::end(begun, x.len() / depth, own.len(), depth);
        };
        let y_len = y.len();
        let strips = results.par_chunks_mut(strip * lanes).enumerate();
        // products below 10 µs are not worth another thread
        let together = if depth * width < 1 << 16 { strips.len() } else { 1 };
        strips.with_min_len(together).for_each_init(scratch, work);
        let groups = y.par_chunks_mut(ROWS_TOGETHER * width).enumerate();
        run(y_len, groups, |(group, y)| {
            for (line, results) in results.chunks(LINE * lanes).enumerate() {
                let columns = line * LINE..width.min((line + 1) * LINE);
                for (row, y) in y.chunks_exact_mut(width).enumerate() {
                    let lane = group * ROWS_TOGETHER + row;
                    let Some(y) = y.get_mut(columns.clone()) else { return };
                    for (y, lanes) in y.iter_mut().zip(results.chunks_exact(lanes)) {
                        *y = if accumulate { *y + lanes[lane] } else { lanes[lane] };
                    }
                }
            }
        });
    }

    fn part(self) -> [usize; 2] {
        if self.way == Way::Forward { FORWARD } else { BACKWARD }
    }

    /// The parts of the weight that a strip of results meets, in the order of their sums.
    fn parts(self, own: std::ops::Range<usize>) -> Vec<Part> {
        let cut = |whole: std::ops::Range<usize>, step: usize| {
            let past = whole.end;
            whole.step_by(step).map(move |from| from..past.min(from + step))
        };
        let [rows, columns] = self.part();
        match self.way {
            Way::Forward => cut(0..self.inputs, columns)
                .flat_map(|columns| cut(own.clone(), rows).map(move |rows| [rows, columns.clone()]))
                .collect(),
            Way::Backward => cut(0..self.outputs, rows)
                .flat_map(|rows| cut(own.clone(), columns).map(move |columns| [rows.clone(), columns]))
                .collect(),
        }
    }

    /// `[own, lanes]` results from all of `x`, `[depth, lanes]`.
    fn strip(
        self,
        kernel: Kernel,
        own: std::ops::Range<usize>,
        x: &[f32],
        scratch: &mut [f32],
        results: &mut [f32],
    ) {
        let lanes = kernel.lanes;
        let stride = self.part()[1] + GAP;
        let parts = self.parts(own.clone());
        for (at, [rows, columns]) in parts.iter().enumerate() {
            for (row, wide) in rows.clone().zip(scratch.chunks_exact_mut(stride)) {
                let start = row * self.inputs;
                self.weight.widen(start + columns.start..start + columns.end, &mut wide[..columns.len()]);
            }
            let (results_here, depth, across) = match self.way {
                Way::Forward => (rows, columns, Steps { result: stride, depth: 1 }),
                Way::Backward => (columns, rows, Steps { result: 1, depth: stride }),
            };
            let x = &x[depth.start * lanes..depth.end * lanes];
            let tiles = results_here.len().div_ceil(kernel.tile);
            for tile in 0..tiles {
                if let Some([rows, columns]) = parts.get(at + 1) {
                    let (few, skipped) = (rows.len().div_ceil(tiles), rows.len() * tile / tiles);
                    for row in rows.clone().skip(skipped).take(few) {
                        let start = row * self.inputs;
                        self.weight.prefetch(start + columns.start..start + columns.end);
                    }
                }
                let first = tile * kernel.tile;
                let place = (results_here.start - own.start + first) * lanes;
                let results = &mut results[place..place + kernel.tile * lanes];
                kernel.multiply(&scratch[first * across.result..], across, x, results);
            }
        }
    }
}

/// `[rows, depth]` as `[depth, lanes]`; lanes beyond the rows stay as they are.
fn transpose(x: &[f32], depth: usize, lanes: usize, by_lanes: &mut [f32]) {
    run(by_lanes.len(), by_lanes.par_chunks_mut(lanes * LINE).enumerate(), |(line, by_lanes)| {
        for (lane, row) in x.chunks_exact(depth).enumerate() {
            let from = &row[line * LINE..depth.min((line + 1) * LINE)];
            for (to, &x) in by_lanes.chunks_exact_mut(lanes).zip(from) {
                to[lane] = x;
            }
        }
    });
}

/// From one factor of a tile to the next, by its result and along the sum.
#[derive(Clone, Copy)]
struct Steps {
    result: usize,
    depth: usize,
}

/// `results[t][lane] += Σ_d factors[t, d] · x[d][lane]` for `tile` results of `lanes` lanes.
#[derive(Clone, Copy)]
struct Kernel {
    lanes: usize,
    tile: usize,
    /// Depth, factors, their steps, x and results; reads and writes what [`Kernel::multiply`] checks.
    run: unsafe fn(usize, *const f32, Steps, *const f32, *mut f32),
}

impl Kernel {
    /// The one with the fewest lanes for so many rows.
    fn of(rows: usize, vectors: Vectors) -> Self {
        #[cfg(target_arch = "x86_64")]
        match vectors {
            Vectors::Of512Bits if rows <= 16 => {
                return Self { lanes: 16, tile: 24, run: x86::of_512_bits::<1, 24> };
            }
            Vectors::Of512Bits => return Self { lanes: 32, tile: 12, run: x86::of_512_bits::<2, 12> },
            Vectors::Of256Bits if is_x86_feature_detected!("fma") => {
                return match rows {
                    0..=8 => Self { lanes: 8, tile: 12, run: x86::of_256_bits::<1, 12> },
                    9..=16 => Self { lanes: 16, tile: 6, run: x86::of_256_bits::<2, 6> },
                    _ => Self { lanes: 32, tile: 3, run: x86::of_256_bits::<4, 3> },
                };
            }
            Vectors::Of256Bits | Vectors::Usual => {}
        }
        let _ = vectors;
        match rows {
            0..=8 => Self { lanes: 8, tile: 4, run: usual::<8, 4> },
            9..=16 => Self { lanes: 16, tile: 2, run: usual::<16, 2> },
            _ => Self { lanes: 32, tile: 1, run: usual::<32, 1> },
        }
    }

    #[expect(unsafe_code, reason = "the kernels take pointers, to keep results in registers")]
    fn multiply(self, factors: &[f32], steps: Steps, x: &[f32], results: &mut [f32]) {
        let depth = x.len() / self.lanes;
        if depth == 0 {
            return;
        }
        assert!((self.tile - 1) * steps.result + (depth - 1) * steps.depth < factors.len());
        assert_eq!((x.len() % self.lanes, results.len()), (0, self.tile * self.lanes));
        // SAFETY: factors are read at multiples of the steps below tile and depth, x at all `depth` rows
        // of lanes, results at all `tile` rows of lanes, which the lengths above hold; results are
        // borrowed mutably. `of` chose a kernel whose instructions the processor has.
        unsafe { (self.run)(depth, factors.as_ptr(), steps, x.as_ptr(), results.as_mut_ptr()) }
    }
}

/// For processors without the instructions below.
///
/// # Safety
/// As [`Kernel::multiply`] checks.
#[expect(unsafe_code, reason = "one signature with the kernels of special instructions")]
unsafe fn usual<const LANES: usize, const TILE: usize>(
    depth: usize,
    factors: *const f32,
    steps: Steps,
    x: *const f32,
    results: *mut f32,
) {
    for result in 0..TILE {
        // SAFETY: the caller's lengths hold `TILE` rows of results and `depth` rows of x.
        let sums = unsafe { &mut *results.add(result * LANES).cast::<[f32; LANES]>() };
        for d in 0..depth {
            // SAFETY: as above, and factors reach to the last result at the last depth.
            let (factor, x) = unsafe {
                let factor = *factors.add(result * steps.result + d * steps.depth);
                (factor, &*x.add(d * LANES).cast::<[f32; LANES]>())
            };
            sums.iter_mut().zip(x).for_each(|(sum, x)| *sum += factor * x);
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "vectors of a fixed width have no safe form yet")]
mod x86 {
    use std::arch::x86_64::{
        _mm256_add_ps, _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_set1_ps, _mm256_setzero_ps, _mm256_storeu_ps,
        _mm512_add_ps, _mm512_fmadd_ps, _mm512_loadu_ps, _mm512_set1_ps, _mm512_setzero_ps, _mm512_storeu_ps,
    };

    use super::Steps;

    /// A kernel of vectors of `lanes` numbers. Its sums stand in `VECTORS` x `TILE` registers, beside a
    /// factor of a result and a vector of x.
    macro_rules! kernel {
        ($(#[$meta:meta])* $name:ident, $features:literal, $lanes:literal, $zero:ident, $set:ident, $load:ident, $store:ident, $add:ident, $multiply_add:ident) => {
            $(#[$meta])*
            ///
            /// # Safety
            /// As `Kernel::multiply` checks, on a processor with these instructions.
            #[target_feature(enable = $features)]
            pub(super) unsafe fn $name<const VECTORS: usize, const TILE: usize>(
                depth: usize,
                factors: *const f32,
                steps: Steps,
                x: *const f32,
                results: *mut f32,
            ) {
                let mut sums = [[$zero(); VECTORS]; TILE];
                for d in 0..depth {
                    // SAFETY: inside the lengths that the caller checked, as the indices are below its
                    // sizes.
                    unsafe {
                        for (vector, x) in (0..VECTORS).map(|v| (v, $load(x.add((d * VECTORS + v) * $lanes)))) {
                            for (result, sums) in sums.iter_mut().enumerate() {
                                let factor = $set(*factors.add(result * steps.result + d * steps.depth));
                                sums[vector] = $multiply_add(factor, x, sums[vector]);
                            }
                        }
                    }
                }
                for (at, sum) in sums.as_flattened().iter().enumerate() {
                    // SAFETY: as above.
                    unsafe {
                        let to = results.add(at * $lanes);
                        $store(to, $add($load(to), *sum));
                    }
                }
            }
        };
    }
    kernel!(
        /// 12 of 16 registers hold sums.
        of_256_bits,
        "avx2,fma",
        8,
        _mm256_setzero_ps,
        _mm256_set1_ps,
        _mm256_loadu_ps,
        _mm256_storeu_ps,
        _mm256_add_ps,
        _mm256_fmadd_ps
    );
    kernel!(
        /// 24 of 32 registers hold sums.
        of_512_bits,
        "avx512f",
        16,
        _mm512_setzero_ps,
        _mm512_set1_ps,
        _mm512_loadu_ps,
        _mm512_storeu_ps,
        _mm512_add_ps,
        _mm512_fmadd_ps
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Seed;

    /// The kernels that this processor has, and not only those that it would choose.
    #[test]
    fn every_kernel_matches_the_definition() {
        let (outputs, inputs) = (101, 203);
        let mut stream = Seed(1).stream();
        let mut numbers = |len: usize| -> Vec<f32> { (0..len).map(|_| stream.normal() as f32).collect() };
        let weight = numbers(outputs * inputs);
        let available = match vectors() {
            Vectors::Of512Bits => vec![Vectors::Usual, Vectors::Of256Bits, Vectors::Of512Bits],
            Vectors::Of256Bits => vec![Vectors::Usual, Vectors::Of256Bits],
            Vectors::Usual => vec![Vectors::Usual],
        };
        for (way, depth, width) in [(Way::Forward, inputs, outputs), (Way::Backward, outputs, inputs)] {
            let pass = Pass { way, inputs, outputs, weight: Weights::F32(&weight) };
            for rows in [1, 8, 9, 16, 17, 32] {
                let x = numbers(rows * depth);
                for vectors in &available {
                    let mut y = vec![f32::NAN; rows * width];
                    pass.multiply(Kernel::of(rows, *vectors), (&x, depth), (&mut y, width), false);
                    for (at, found) in y.iter().enumerate() {
                        let (row, result) = (at / width, at % width);
                        let terms = (0..depth).map(|d| {
                            let place =
                                if way == Way::Forward { result * inputs + d } else { d * inputs + result };
                            f64::from(x[row * depth + d]) * f64::from(weight[place])
                        });
                        let (sum, scale) =
                            terms.fold((0.0, 1.0), |(sum, scale), x| (sum + x, scale + x.abs()));
                        let apart = (f64::from(*found) - sum).abs();
                        assert!(apart < 1e-6 * scale, "{way:?} {rows} rows {vectors:?}: {found}, not {sum}");
                    }
                }
            }
        }
    }
}
