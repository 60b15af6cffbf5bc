//! The description length of labels given features, by the online code (Voita and Titov,
//! "Information-theoretic probing with minimum description length", EMNLP 2020): the labels are sent
//! in growing blocks, each coded by a probe that was fitted on all blocks before it.
//!
//! `L = t₁ log₂ C − Σ_i log₂ p_i( y of block i + 1 | x )`, in bits, and compression `n log₂ C / L`.
//!
//! The strength of the penalty costs no choice: every strength of the grid codes on its own, and a
//! Bayesian mixture of them with equal weights is sent, which is at most log₂ 7 bits longer than the
//! best of them. The intercept is penalised too, so that a class not yet seen is never infinitely
//! surprising. The order is the same for all layers.

use super::super::scores::{Labelled, Undefined};
use super::super::statistics::{self, Estimate};
use super::curvature::Curvature;
use super::linear::GRID;
use super::logistic::{Fit, Model, fit_along};
use super::scaling::Scaling;
use crate::seed::Seed;
use ndarray::Axis;
use serde::Serialize;
use std::f64::consts::LN_2;
use std::ops::Range;

/// Where blocks end, as parts of the examples.
pub const FRACTIONS: [f64; 11] = [0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.0625, 0.125, 0.25, 0.5, 1.0];

/// A block of the code.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Block {
    /// Examples that the coder had seen.
    pub seen: usize,
    /// Examples of the block.
    pub coded: usize,
    /// Its length.
    pub bits: f64,
}

/// A code of all labels.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Code {
    /// Examples.
    pub n: usize,
    /// Classes that the code allows for.
    pub classes: usize,
    /// Its whole length.
    pub bits: f64,
    /// `n log₂ C`, the length without features.
    pub uniform_bits: f64,
    /// Uniform length over length; 1 tells that the features say nothing.
    pub compression: f64,
    /// Bits an example after the first block, with the t interval over examples within this order.
    pub bits_per_example: Result<Estimate, statistics::Undefined>,
    /// The blocks; the first one is coded uniformly.
    pub blocks: Vec<Block>,
}

/// Ends of the blocks of n examples by [`FRACTIONS`], rounded, without empty blocks.
pub fn ends(n: usize) -> Vec<usize> {
    let mut ends: Vec<usize> = FRACTIONS.iter().map(|part| (part * n as f64).round() as usize).collect();
    ends.retain(|end| *end > 0);
    ends.dedup();
    ends
}

/// The code whose blocks end at `ends`: the first is coded uniformly over the classes, the others by
/// `coder`, which is told what it has seen and what to code and answers with the bits of each.
///
/// # Errors
/// Those of the coder.
pub fn code<E>(
    ends: &[usize],
    classes: usize,
    mut coder: impl FnMut(Range<usize>, Range<usize>) -> Result<Vec<f64>, E>,
) -> Result<Code, E> {
    let uniform = (classes as f64).log2();
    let first = ends.first().copied().unwrap_or(0);
    let mut blocks = vec![Block { seen: 0, coded: first, bits: first as f64 * uniform }];
    let mut each = Vec::new();
    for pair in ends.windows(2) {
        let bits = coder(0..pair[0], pair[0]..pair[1])?;
        blocks.push(Block { seen: pair[0], coded: pair[1] - pair[0], bits: bits.iter().sum() });
        each.extend(bits);
    }
    let n = ends.last().copied().unwrap_or(0);
    let bits = blocks.iter().map(|block| block.bits).sum();
    let uniform_bits = n as f64 * uniform;
    let bits_per_example = statistics::mean(&each);
    Ok(Code { n, classes, bits, uniform_bits, compression: uniform_bits / bits, bits_per_example, blocks })
}

/// The code of labels by linear probes on their features.
///
/// # Errors
/// [`Undefined::TooFew`] if there are not two blocks.
pub fn description_length(data: &Labelled<'_>, seed: Seed) -> Result<Code, Undefined> {
    let n = data.labels.len();
    let ends = ends(n);
    if ends.len() < 2 {
        return Err(Undefined::TooFew { n, least: 2 });
    }
    let mut order: Vec<usize> = (0..n).collect();
    seed.derive("online code").stream().shuffle(&mut order);
    // log weights of the strengths, by what they have coded so far
    let mut past = [0.0; GRID.len()];
    code(&ends, data.classes(), |seen, next| {
        let rows = |range: Range<usize>| &order[range];
        let x = data.features.select(Axis(0), rows(seen.clone()));
        let scaling = Scaling::of(x.view());
        let x = scaling.apply(x.view());
        let labels: Vec<usize> = rows(seen).iter().map(|&row| data.labels[row]).collect();
        let ahead = scaling.apply(data.features.select(Axis(0), rows(next.clone())).view());
        let gold: Vec<usize> = rows(next).iter().map(|&row| data.labels[row]).collect();
        let curvature = Curvature::of(x.view());
        // each strength starts where the one before has ended
        let mut model: Option<Model> = None;
        let logs: Vec<Vec<f64>> = GRID
            .iter()
            .map(|&c| {
                let settings = Fit { penalise_intercept: true, ..Fit::new(c) };
                let next =
                    fit_along(x.view(), &labels, data.classes(), settings, model.as_ref(), Some(&curvature));
                let logs = next.log_probabilities(ahead.view());
                model = Some(next);
                gold.iter().enumerate().map(|(row, &class)| logs[[row, class]]).collect()
            })
            .collect();
        Ok(mixture(&mut past, &logs, gold.len()))
    })
}

/// Bits of each example under the mixture, whose weights follow what each part has coded.
fn mixture(past: &mut [f64], logs: &[Vec<f64>], examples: usize) -> Vec<f64> {
    let mut whole = log_sum(past);
    (0..examples)
        .map(|row| {
            past.iter_mut().zip(logs).for_each(|(past, logs)| *past += logs[row]);
            let next = log_sum(past);
            let bits = (whole - next) / LN_2;
            whole = next;
            bits
        })
        .collect()
}

fn log_sum(values: &[f64]) -> f64 {
    let largest = values.iter().fold(f64::NEG_INFINITY, |max, value| max.max(*value));
    largest + values.iter().map(|value| (value - largest).exp()).sum::<f64>().ln()
}

#[cfg(test)]
mod tests {
    use super::super::super::scores::fixtures::toy_labels;
    use super::super::super::scores::synthetic::{normal, shifted};
    use super::*;

    /// reference/analyses.md sections 4.6 and 8: counts frozen at the block's start.
    #[test]
    fn laplaces_coder_has_the_golden_length() {
        let labels = toy_labels();
        let found = code(&[1, 2, 4, 8], 2, |seen, next| {
            let count = |label| labels[seen.clone()].iter().filter(|other| **other == label).count() as f64;
            let bits = |label| -((count(label) + 1.0) / (seen.len() as f64 + 2.0)).log2();
            Ok::<_, ()>(labels[next].iter().map(|label| bits(*label)).collect())
        })
        .unwrap();
        assert!((found.bits - 9.339_850_002_885).abs() < 1e-11, "{}", found.bits);
        assert!((found.compression - 0.856_545).abs() < 5e-7);
    }

    /// reference/analyses.md section 4.6.
    #[test]
    fn a_uniform_model_compresses_nothing() {
        let found = code(&ends(1_000), 4, |_, next| Ok::<_, ()>(vec![2.0; next.len()])).unwrap();
        assert!((found.compression - 1.0).abs() < 1e-15);
        assert_eq!(found.blocks.iter().map(|block| block.coded).sum::<usize>(), 1_000);
    }

    #[test]
    fn blocks_of_few_examples_are_never_empty() {
        assert_eq!(ends(1_000), [1, 2, 4, 8, 16, 32, 63, 125, 250, 500, 1_000]);
        assert_eq!(ends(20), [1, 3, 5, 10, 20]);
        assert!(ends(0).is_empty());
    }

    #[test]
    fn features_that_tell_the_label_shorten_the_code_and_noise_hardly_lengthens_it() {
        let (x, labels) = shifted(500, 6, 4.0, 1);
        let told = description_length(&Labelled::new(x.view(), &labels).unwrap(), Seed(1)).unwrap();
        assert!(told.compression > 3.0, "{told:?}");
        let x = normal(500, 6, 2);
        let noise = description_length(&Labelled::new(x.view(), &labels).unwrap(), Seed(1)).unwrap();
        assert!(noise.compression > 0.95 && noise.compression < 1.02, "{noise:?}");
    }

    #[test]
    fn the_mixture_is_at_most_the_best_plus_the_price_of_the_choice() {
        let logs: Vec<Vec<f64>> = vec![vec![-0.1; 50], vec![-0.7; 50], vec![-3.0; 50]];
        let bits: f64 = mixture(&mut [0.0; 3], &logs, 50).iter().sum();
        let best = 50.0 * 0.1 / LN_2;
        assert!(bits >= best && bits <= best + 3.0_f64.log2() + 1e-9, "{bits} {best}");
    }
}
