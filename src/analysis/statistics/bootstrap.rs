//! The two-level paired bootstrap: examples are drawn with replacement, seeds are drawn with
//! replacement, and every condition is measured on the same draws.
//!
//! The seeds of a study are measured on one and the same set of examples, so one draw of examples
//! serves all seeds of a resample (Owen's pigeonhole bootstrap, 2007). A draw of its own for each
//! seed would treat the luck of the test set as if more seeds could average it away. The level of
//! seeds resamples very few units when there are few seeds, and its part of the interval is then
//! rather narrow; the t interval and the sign-flip test over seeds stand beside it.
//!
//! Every draw is a function of (seed, resample, position), so the result does not depend on the
//! number of threads.

use super::estimate::{Undefined, moments};
use super::{CONFIDENCE, Estimate};
use crate::seed::Seed;
use rayon::prelude::*;

/// How to resample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Resampling {
    /// Number of resamples; 2 000 to 10 000 give stable 95% intervals.
    pub resamples: usize,
    /// Level of the intervals.
    pub confidence: f64,
    /// Decides every draw.
    pub seed: Seed,
}

impl Resampling {
    /// 5 000 resamples at [`CONFIDENCE`].
    pub fn new(seed: Seed) -> Self {
        Self { resamples: 5_000, confidence: CONFIDENCE, seed }
    }
}

/// An estimate with the two-sided bootstrap p value of "it is zero".
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Tested {
    /// Mean difference with its percentile interval; n counts the examples.
    pub estimate: Estimate,
    /// Twice the smaller share of resamples on one side of zero, (r + 1) / (B + 1).
    pub p: f64,
    /// Pairs of runs behind it.
    pub seeds: usize,
}

/// The mean score of every cell (one condition with one seed) in every resample of the examples.
/// Seeds are drawn later, by what is asked, so that any two conditions are compared on the seeds
/// that both of them have, with common draws.
#[derive(Clone, Debug)]
pub struct Replicates {
    observed: Vec<f64>,
    /// [resamples, cells]
    means: Vec<f64>,
    examples: usize,
    resampling: Resampling,
}

/// Resamples whose weights are held at a time: they share each row of scores while it is in cache.
const TOGETHER: usize = 8;

impl Replicates {
    /// Resamples the examples. `cells[cell][example]` is a score (1 right, 0 wrong, or between);
    /// the same column is the same example in every cell.
    ///
    /// # Errors
    /// [`Undefined`] without cells, examples or resamples, for rows of unequal length, or for a
    /// score that is not finite.
    pub fn draw(cells: &[Vec<f64>], resampling: Resampling) -> Result<Self, Undefined> {
        Self::draw_set(cells, resampling.seed.derive("examples"), resampling)
    }

    /// As [`Replicates::draw`], with the draws of examples decided by a seed of their own: sets of
    /// different examples are resampled apart, while the draws of seeds stay in common, so that
    /// statistics over several sets can be reckoned resample by resample.
    ///
    /// # Errors
    /// As [`Replicates::draw`].
    pub fn draw_set(cells: &[Vec<f64>], draws: Seed, resampling: Resampling) -> Result<Self, Undefined> {
        let examples = cells.first().map_or(0, Vec::len);
        if examples == 0 {
            return Err(Undefined::NoObservations);
        }
        if let Some(other) = cells.iter().find(|cell| cell.len() != examples) {
            return Err(Undefined::Unpaired { left: examples, right: other.len() });
        }
        if cells.iter().flatten().any(|score| !score.is_finite()) {
            return Err(Undefined::NotFinite);
        }
        check(resampling)?;
        let width = cells.len();
        let mut means = vec![0.0; resampling.resamples * width];
        means.par_chunks_mut(TOGETHER * width).enumerate().for_each(|(block, out)| {
            let count = out.len() / width;
            let weights: Vec<Vec<f64>> =
                (0..count).map(|i| times_drawn(draws, block * TOGETHER + i, examples)).collect();
            for (at, cell) in cells.iter().enumerate() {
                for (i, weight) in weights.iter().enumerate() {
                    out[i * width + at] = dot(cell, weight) / examples as f64;
                }
            }
        });
        let observed = cells.iter().map(|cell| cell.iter().sum::<f64>() / examples as f64).collect();
        Ok(Self { observed, means, examples, resampling })
    }

    /// Number of resamples.
    pub fn len(&self) -> usize {
        self.resampling.resamples
    }

    /// Never true: [`Replicates::draw`] refuses it.
    pub fn is_empty(&self) -> bool {
        self.resampling.resamples == 0
    }

    /// Number of examples.
    pub fn examples(&self) -> usize {
        self.examples
    }

    /// The mean of a condition over its cells in every resample (examples and seeds drawn), and as
    /// observed. Conditions with equally many cells, listed by the same seeds, share their draws.
    ///
    /// # Errors
    /// [`Undefined::NoObservations`] without cells.
    pub fn condition(&self, cells: &[usize]) -> Result<Drawn, Undefined> {
        let parts: Vec<(usize, f64)> = cells.iter().map(|&cell| (cell, 1.0)).collect();
        self.combine(&[&parts])
    }

    /// First minus second, paired by seed: `pairs` lists the cells of the two conditions with the
    /// same seed.
    ///
    /// # Errors
    /// [`Undefined::NoCommonSeed`] without pairs.
    pub fn difference(&self, pairs: &[(usize, usize)]) -> Result<Tested, Undefined> {
        let drawn = self.drawn_difference(pairs)?;
        let estimate = drawn.estimate(self.resampling.confidence, self.examples)?;
        Ok(Tested { p: drawn.p(), estimate, seeds: pairs.len() })
    }

    /// The same difference in every resample.
    ///
    /// # Errors
    /// As [`Replicates::difference`].
    pub fn drawn_difference(&self, pairs: &[(usize, usize)]) -> Result<Drawn, Undefined> {
        if pairs.is_empty() {
            return Err(Undefined::NoCommonSeed);
        }
        let first: Vec<(usize, f64)> = pairs.iter().map(|&(a, _)| (a, 1.0)).collect();
        let second: Vec<(usize, f64)> = pairs.iter().map(|&(_, b)| (b, -1.0)).collect();
        self.combine(&[&first, &second])
    }

    /// Sums of signed cells; position i of every list belongs to seed i of the comparison.
    fn combine(&self, lists: &[&[(usize, f64)]]) -> Result<Drawn, Undefined> {
        let seeds = lists.first().map_or(0, |list| list.len());
        if seeds == 0 {
            return Err(Undefined::NoObservations);
        }
        let width = self.observed.len();
        let sum = |row: &[f64], seed: usize| -> f64 {
            lists.iter().map(|list| list[seed].1 * row[list[seed].0]).sum()
        };
        let scale = 1.0 / seeds as f64;
        let observed = scale * (0..seeds).map(|seed| sum(&self.observed, seed)).sum::<f64>();
        let draws = self.resampling.seed.derive("seeds");
        let replicates = self
            .means
            .chunks(width)
            .enumerate()
            .map(|(resample, row)| {
                scale * (0..seeds).map(|i| sum(row, drawn_seed(draws, resample, i, seeds))).sum::<f64>()
            })
            .collect();
        Ok(Drawn { observed, replicates })
    }
}

/// A statistic as observed and in every resample.
#[derive(Clone, Debug)]
pub struct Drawn {
    /// As observed.
    pub observed: f64,
    /// One value a resample.
    pub replicates: Vec<f64>,
}

impl Drawn {
    /// The observed value with its percentile interval; `n` counts the examples behind it.
    ///
    /// # Errors
    /// [`Undefined::NotFinite`] where a resample has no finite value.
    pub fn estimate(&self, confidence: f64, n: usize) -> Result<Estimate, Undefined> {
        let (_, deviation) = moments(&self.replicates)?;
        let mut sorted = self.replicates.clone();
        sorted.sort_by(f64::total_cmp);
        let tail = (1.0 - confidence) / 2.0;
        Ok(Estimate {
            value: self.observed,
            low: quantile(&sorted, tail),
            high: quantile(&sorted, 1.0 - tail),
            standard_error: deviation.unwrap_or(0.0),
            n,
        })
    }

    /// Two-sided p value of "it is zero".
    pub fn p(&self) -> f64 {
        // sums of a few rounded means: what is zero may come out as 1e-17
        const ZERO: f64 = 1e-12;
        let below = self.replicates.iter().filter(|value| **value <= ZERO).count();
        let above = self.replicates.iter().filter(|value| **value >= -ZERO).count();
        let fewer = below.min(above) as f64;
        (2.0 * (fewer + 1.0) / (self.replicates.len() as f64 + 1.0)).min(1.0)
    }
}

/// First minus second with the two-level paired bootstrap. `first[seed][example]` and
/// `second[seed][example]` are scores of the same seeds and the same examples.
///
/// # Errors
/// [`Undefined`] as [`Replicates::draw`], and for unequal numbers of seeds.
pub fn paired_difference(
    first: &[Vec<f64>],
    second: &[Vec<f64>],
    resampling: Resampling,
) -> Result<Tested, Undefined> {
    if first.len() != second.len() {
        return Err(Undefined::Unpaired { left: first.len(), right: second.len() });
    }
    let cells: Vec<Vec<f64>> = first.iter().chain(second).cloned().collect();
    let pairs: Vec<(usize, usize)> = (0..first.len()).map(|seed| (seed, first.len() + seed)).collect();
    Replicates::draw(&cells, resampling)?.difference(&pairs)
}

/// The probability that each condition is the best: the share of resamples in which its mean is
/// the largest, ties shared.
pub fn best_probabilities(conditions: &[Drawn]) -> Vec<f64> {
    let mut shares = vec![0.0; conditions.len()];
    let resamples = conditions.first().map_or(0, |drawn| drawn.replicates.len());
    for resample in 0..resamples {
        let best =
            conditions.iter().map(|drawn| drawn.replicates[resample]).fold(f64::NEG_INFINITY, f64::max);
        let winners: Vec<usize> =
            (0..conditions.len()).filter(|&at| conditions[at].replicates[resample] >= best - 1e-12).collect();
        for &winner in &winners {
            shares[winner] += 1.0 / winners.len() as f64;
        }
    }
    shares.iter().map(|share| share / resamples as f64).collect()
}

/// The quantile of sorted numbers by linear interpolation between order statistics.
pub(crate) fn quantile(sorted: &[f64], probability: f64) -> f64 {
    let place = probability * (sorted.len() - 1) as f64;
    let below = place.floor() as usize;
    let above = (below + 1).min(sorted.len() - 1);
    sorted[below] + (place - below as f64) * (sorted[above] - sorted[below])
}

pub(super) fn check(resampling: Resampling) -> Result<(), Undefined> {
    if resampling.resamples < 2 {
        let value = resampling.resamples as f64;
        return Err(Undefined::OutOfRange { name: "resamples", value, expected: "at least 2" });
    }
    if !(resampling.confidence > 0.0 && resampling.confidence < 1.0) {
        let value = resampling.confidence;
        return Err(Undefined::OutOfRange {
            name: "confidence",
            value,
            expected: "strictly between 0 and 1",
        });
    }
    Ok(())
}

/// How often each example is drawn in a resample. A 32-bit word is scaled to the number of
/// examples; the bias, examples / 2^32, is far below what resampling can resolve.
fn times_drawn(seed: Seed, resample: usize, examples: usize) -> Vec<f64> {
    let mut times = vec![0.0; examples];
    for four in 0..examples.div_ceil(4) {
        let words = seed.words([four as u32, resample as u32, 0, 0]);
        for &word in words.iter().take(examples - 4 * four) {
            times[scaled(word, examples)] += 1.0;
        }
    }
    times
}

/// The seed drawn at position `i` of `seeds` in a resample.
fn drawn_seed(seed: Seed, resample: usize, i: usize, seeds: usize) -> usize {
    if seeds == 1 { 0 } else { scaled(seed.words([(i / 4) as u32, resample as u32, 0, 0])[i % 4], seeds) }
}

fn scaled(word: u32, bound: usize) -> usize {
    ((u64::from(word) * bound as u64) >> 32) as usize
}

/// The scalar product in eight lanes, in a fixed order.
fn dot(left: &[f64], right: &[f64]) -> f64 {
    let mut lanes = [0.0; 8];
    let (left_chunks, right_chunks) = (left.chunks_exact(8), right.chunks_exact(8));
    let rest: f64 = left_chunks.remainder().iter().zip(right_chunks.remainder()).map(|(x, y)| x * y).sum();
    for (x, y) in left_chunks.zip(right_chunks) {
        for lane in 0..8 {
            lanes[lane] += x[lane] * y[lane];
        }
    }
    lanes.iter().sum::<f64>() + rest
}

#[cfg(test)]
mod tests {
    use super::super::proportion::paired_standard_error;
    use super::*;

    fn resampling(resamples: usize) -> Resampling {
        Resampling { resamples, ..Resampling::new(Seed(11)) }
    }

    /// 100 examples: 12 right in the first only, 3 in the second only, 73 in both.
    fn twelve_against_three() -> (Vec<f64>, Vec<f64>) {
        let first = (0..100).map(|i| f64::from(u8::from(i < 85))).collect();
        let second = (0..100).map(|i| f64::from(u8::from((12..88).contains(&i)))).collect();
        (first, second)
    }

    /// reference/analyses.md section 6: Δ 0.09, paired standard error 0.037670.
    #[test]
    fn one_seed_has_the_standard_error_of_paired_examples() {
        let (first, second) = twelve_against_three();
        let tested = paired_difference(&[first], &[second], resampling(10_000)).unwrap();
        assert!((tested.estimate.value - 0.09).abs() < 1e-12);
        let error = paired_standard_error(12, 3, 100).unwrap();
        assert!((tested.estimate.standard_error / error - 1.0).abs() < 0.03, "{tested:?}");
        assert!(tested.p < 0.05 && tested.estimate.low > 0.0);
    }

    #[test]
    fn seeds_widen_the_interval_by_their_own_spread() {
        // no example matters here: seed s is right on s + 5 of 10 blocks in the first condition
        let first: Vec<Vec<f64>> = (0..4).map(|s| vec![0.5 + 0.1 * f64::from(s); 40]).collect();
        let second = vec![vec![0.5; 40]; 4];
        let tested = paired_difference(&first, &second, resampling(10_000)).unwrap();
        // differences 0, 0.1, 0.2, 0.3: population variance 0.0125, of a mean of four 0.0125 / 4
        let error = (0.0125_f64 / 4.0).sqrt();
        assert!((tested.estimate.value - 0.15).abs() < 1e-12);
        assert!((tested.estimate.standard_error / error - 1.0).abs() < 0.03, "{tested:?}");
    }

    #[test]
    fn any_number_of_threads_gives_the_same_bits() {
        let (first, second) = twelve_against_three();
        let run = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let cells = vec![first.clone(), second.clone()];
            pool.install(|| Replicates::draw(&cells, resampling(500)).unwrap().means)
        };
        assert_eq!(run(1), run(5));
    }

    #[test]
    fn equal_conditions_differ_by_nothing() {
        let (first, _) = twelve_against_three();
        let tested =
            paired_difference(std::slice::from_ref(&first), std::slice::from_ref(&first), resampling(200))
                .unwrap();
        assert_eq!((tested.estimate.low, tested.estimate.high, tested.p), (0.0, 0.0, 1.0));
    }

    #[test]
    fn the_probability_of_being_best_sums_to_one_and_ties_share() {
        let (first, second) = twelve_against_three();
        let drawn = Replicates::draw(&[first.clone(), first, second], resampling(2_000)).unwrap();
        let conditions: Vec<Drawn> = (0..3).map(|cell| drawn.condition(&[cell]).unwrap()).collect();
        let best = best_probabilities(&conditions);
        assert!((best.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        assert_eq!(best[0], best[1]);
        assert!(best[2] < 0.03, "{best:?}");
    }

    #[test]
    fn unpaired_and_empty_input_says_so() {
        let run = |first: &[Vec<f64>], second: &[Vec<f64>]| paired_difference(first, second, resampling(10));
        assert_eq!(run(&[], &[]), Err(Undefined::NoObservations));
        assert_eq!(run(&[vec![1.0]], &[vec![1.0, 0.0]]), Err(Undefined::Unpaired { left: 1, right: 2 }));
        assert_eq!(run(&[vec![f64::NAN]], &[vec![1.0]]), Err(Undefined::NotFinite));
        assert!(matches!(
            paired_difference(&[vec![1.0]], &[vec![1.0]], resampling(1)),
            Err(Undefined::OutOfRange { .. })
        ));
    }
}
