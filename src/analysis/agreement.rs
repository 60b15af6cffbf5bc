//! How far a cheap score agrees with the truth that training finds: rank correlations over layers,
//! what choosing by the score costs, and how much of the way from the last layer to the best one it
//! recovers. Intervals come from resampling layers, and seeds where the truth has several.

use super::layers::{Condition, LayerAnswer};
use super::statistics::bootstrap::quantile;
use super::statistics::estimate::moments;
use super::statistics::ranks::descending;
use super::statistics::{CONFIDENCE, Estimate};
use crate::seed::Seed;
use serde::Serialize;

/// Layers below which a rank correlation says nothing.
pub const LEAST_LAYERS: usize = 3;
/// Part of the resamples that must have a value for there to be an interval.
const DEFINED: f64 = 0.5;

/// Why an agreement has no value.
#[derive(Clone, Debug, PartialEq, Serialize, thiserror::Error)]
pub enum NoAgreement {
    /// Too few layers have both.
    #[error("{n} layers have a score and a trained result, at least {LEAST_LAYERS} are needed")]
    TooFewLayers {
        /// Layers with both.
        n: usize,
    },
    /// All layers have the same score.
    #[error("the score is the same for all layers")]
    ConstantScore,
    /// All layers came out the same.
    #[error("the trained results of all layers are the same")]
    ConstantTruth,
    /// Best and last layer cannot be told apart, so a part of their distance has no meaning.
    #[error("the best layer is {gain:.4} ahead of the last one, within the noise of {noise:.4}")]
    WithinNoise {
        /// Best minus last.
        gain: f64,
        /// Half width of the interval of a difference.
        noise: f64,
    },
    /// Nobody said how large the noise is, and one seed does not tell.
    #[error("the noise of the difference between two layers is not known")]
    NoiseUnknown,
    /// The last layer has no score or no result.
    #[error("the last layer has no score or no trained result")]
    NoLastLayer,
    /// Resamples in which the quantity is mostly undefined.
    #[error("most resamples have no value")]
    NoInterval,
}

/// A number with its interval, or the reason why it has none.
pub type Measured = Result<Estimate, NoAgreement>;

/// What a layer's training came to, on the set that layers are chosen on.
#[derive(Clone, Debug)]
pub struct Trained {
    /// The layer.
    pub layer: usize,
    /// The result (higher is better) of each seed; every layer has the same seeds in the same order,
    /// or seeds are not resampled.
    pub seeds: Vec<f64>,
}

/// What the layers of a study came to on validation, where everything is chosen.
#[derive(Clone, Debug)]
pub struct Truth {
    /// Every layer that the study compared, with the seeds that all of them finished.
    pub layers: Vec<Trained>,
    /// Whether results are gains over no plug with the same seed, which takes the seeds' common luck
    /// away; else they are the metric itself.
    pub gains: bool,
    /// Half width of the interval of best minus last, which holds for all layers at once.
    pub noise: Option<f64>,
}

/// The truth that a study's answer holds.
pub fn truth(answer: &LayerAnswer) -> Truth {
    let of = |condition: &Condition| -> Option<Vec<f64>> {
        let row = answer.validation.get(condition)?;
        let value = |seed: &u64| row.metric.seeds.iter().find(|(of, _)| of == seed).map(|(_, value)| *value);
        answer.compared_seeds.iter().map(value).collect()
    };
    let base = of(&Condition::base());
    let layers = answer.behind.iter().filter_map(|behind| {
        let mut seeds = of(&Condition::Layer(behind.layer))?;
        if let Some(base) = &base {
            seeds.iter_mut().zip(base).for_each(|(value, base)| *value -= base);
        }
        Some(Trained { layer: behind.layer, seeds })
    });
    let last = answer.behind.iter().find(|behind| behind.layer == answer.last());
    Truth {
        layers: layers.collect(),
        gains: base.is_some(),
        noise: last.map(|last| (last.difference.value - last.difference.low).max(0.0)),
    }
}

/// How to measure agreement.
#[derive(Clone, Copy, Debug)]
pub struct Question {
    /// The LLM's last layer.
    pub last: usize,
    /// Half width of the interval of the difference between two layers, if it is known from elsewhere;
    /// else the seeds must tell.
    pub noise: Option<f64>,
    /// Resamples of the intervals.
    pub resamples: usize,
    /// Decides the draws.
    pub seed: Seed,
}

/// The agreement of one score with training.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Agreement {
    /// Layers with a score and a result.
    pub layers: usize,
    /// Seeds behind each result.
    pub seeds: usize,
    /// Weighted Kendall's τ: mistakes among the best layers weigh more.
    pub weighted_tau: Measured,
    /// Kendall's τ-b.
    pub tau: Measured,
    /// Spearman's ρ.
    pub rho: Measured,
    /// Layer that the score chooses; of equal ones the deepest.
    pub chosen: Option<usize>,
    /// Layer that training chooses; of equal ones the deepest.
    pub best: Option<usize>,
    /// Result of the best layer minus that of the chosen one, at least 0.
    pub regret: Measured,
    /// (chosen − last) / (best − last), at most 1.
    pub recovery: Measured,
}

/// Compares scores (higher is better), one for each layer that has one, with training.
pub fn agreement(scores: &[(usize, f64)], truth: &[Trained], question: Question) -> Agreement {
    let pairs: Vec<(usize, f64, &[f64])> = scores
        .iter()
        .filter(|(_, score)| score.is_finite())
        .filter_map(|(layer, score)| {
            let found = truth.iter().find(|trained| trained.layer == *layer && !trained.seeds.is_empty())?;
            Some((*layer, *score, found.seeds.as_slice()))
        })
        .collect();
    let x: Vec<f64> = pairs.iter().map(|(_, score, _)| *score).collect();
    let seeds = pairs.iter().map(|(_, _, seeds)| seeds.len()).min().unwrap_or(0);
    let common = pairs.iter().all(|(_, _, values)| values.len() == seeds);
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let y: Vec<f64> = pairs.iter().map(|(_, _, seeds)| mean(seeds)).collect();
    let draws = Draws { pairs: &pairs, seeds: if common { seeds } else { 1 }, question };
    let layer_of = |at: Option<usize>| at.map(|at| pairs[at].0);
    let correlation = |statistic: fn(&[f64], &[f64]) -> Result<f64, NoAgreement>| {
        draws.measure(true, |x, y| statistic(x, y).ok(), statistic(&x, &y))
    };
    let last = pairs.iter().position(|(layer, _, _)| *layer == question.last);
    Agreement {
        layers: pairs.len(),
        seeds,
        weighted_tau: correlation(weighted_tau),
        tau: correlation(tau),
        rho: correlation(rho),
        chosen: layer_of(best(&x)),
        best: layer_of(best(&y)),
        regret: draws.measure(
            true,
            regret,
            enough(&x).and_then(|()| regret(&x, &y).ok_or(NoAgreement::TooFewLayers { n: 0 })),
        ),
        recovery: last.ok_or(NoAgreement::NoLastLayer).and_then(|last| {
            enough(&x)?;
            let noise =
                question.noise.or_else(|| noise(&pairs, best(&y)?, last)).ok_or(NoAgreement::NoiseUnknown)?;
            let observed = recovery(&x, &y, last, noise);
            // the layers are those of the question: only seeds are drawn
            draws.measure(false, |x, y| recovery(x, y, last, 0.0).ok(), observed)
        }),
    }
}

/// The layers and seeds of an agreement, to be drawn with replacement.
struct Draws<'a> {
    pairs: &'a [(usize, f64, &'a [f64])],
    /// 1 where seeds are not drawn.
    seeds: usize,
    question: Question,
}

impl Draws<'_> {
    fn measure(
        &self,
        layers: bool,
        statistic: impl Fn(&[f64], &[f64]) -> Option<f64>,
        observed: Result<f64, NoAgreement>,
    ) -> Measured {
        let value = observed?;
        let n = self.pairs.len();
        let mut stream = self.question.seed.derive("agreement").stream();
        let mut replicates = Vec::with_capacity(self.question.resamples);
        for _ in 0..self.question.resamples {
            let rows: Vec<usize> = (0..n).map(|at| if layers { stream.below(n) } else { at }).collect();
            let seeds: Vec<usize> = (0..self.seeds).map(|_| stream.below(self.seeds)).collect();
            let x: Vec<f64> = rows.iter().map(|&row| self.pairs[row].1).collect();
            let y: Vec<f64> = rows.iter().map(|&row| self.result(row, &seeds)).collect();
            replicates.extend(statistic(&x, &y).filter(|value| value.is_finite()));
        }
        if (replicates.len() as f64) < DEFINED * self.question.resamples as f64 || replicates.len() < 2 {
            return Err(NoAgreement::NoInterval);
        }
        let deviation = moments(&replicates).ok().and_then(|(_, deviation)| deviation).unwrap_or(0.0);
        replicates.sort_by(f64::total_cmp);
        let tail = (1.0 - CONFIDENCE) / 2.0;
        let (low, high) = (quantile(&replicates, tail), quantile(&replicates, 1.0 - tail));
        Ok(Estimate { value, low, high, standard_error: deviation, n })
    }

    fn result(&self, row: usize, seeds: &[usize]) -> f64 {
        let values = self.pairs[row].2;
        match seeds {
            [_] => values.iter().sum::<f64>() / values.len() as f64,
            drawn => drawn.iter().map(|&seed| values[seed]).sum::<f64>() / drawn.len() as f64,
        }
    }
}

/// Half width of the t interval of the difference between two layers over their common seeds.
fn noise(pairs: &[(usize, f64, &[f64])], best: usize, last: usize) -> Option<f64> {
    let (first, second) = (pairs[best].2, pairs[last].2);
    if first.len() != second.len() {
        return None;
    }
    let differences: Vec<f64> = first.iter().zip(second).map(|(a, b)| a - b).collect();
    super::statistics::mean(&differences).ok().map(|mean| mean.high - mean.value)
}

fn enough(x: &[f64]) -> Result<(), NoAgreement> {
    if x.len() < LEAST_LAYERS { Err(NoAgreement::TooFewLayers { n: x.len() }) } else { Ok(()) }
}

/// Position of the largest; of equal ones the last.
fn best(values: &[f64]) -> Option<usize> {
    (0..values.len()).max_by(|&a, &b| values[a].total_cmp(&values[b]))
}

fn regret(x: &[f64], y: &[f64]) -> Option<f64> {
    Some(y[best(y)?] - y[best(x)?])
}

fn recovery(x: &[f64], y: &[f64], last: usize, noise: f64) -> Result<f64, NoAgreement> {
    let (Some(chosen), Some(best)) = (best(x), best(y)) else {
        return Err(NoAgreement::TooFewLayers { n: 0 });
    };
    let gain = y[best] - y[last];
    if gain <= noise.max(f64::EPSILON) {
        return Err(NoAgreement::WithinNoise { gain, noise });
    }
    Ok((y[chosen] - y[last]) / gain)
}

/// Kendall's τ-b: concordant minus discordant pairs over the pairs that are no tie on either side.
///
/// # Errors
/// [`NoAgreement`] for fewer than three layers or a constant side.
pub fn tau(x: &[f64], y: &[f64]) -> Result<f64, NoAgreement> {
    weighted(x, y, |_, _| 1.0)
}

/// Weighted Kendall's τ (Vigna, 2015) with hyperbolic additive weights, as scipy's `weightedtau`: the
/// mean of the values with ranks by x (ties by y) and by y (ties by x), 0 for the largest, where a pair
/// weighs `1 / (1 + r) + 1 / (1 + s)`.
///
/// # Errors
/// As [`tau`].
pub fn weighted_tau(x: &[f64], y: &[f64]) -> Result<f64, NoAgreement> {
    let by = |first: &[f64], second: &[f64]| {
        let mut order: Vec<usize> = (0..first.len()).collect();
        order.sort_by(|&a, &b| first[b].total_cmp(&first[a]).then(second[b].total_cmp(&second[a])));
        let mut weight = vec![0.0; order.len()];
        for (rank, at) in order.into_iter().enumerate() {
            weight[at] = 1.0 / (rank + 1) as f64;
        }
        weighted(x, y, |a, b| weight[a] + weight[b])
    };
    Ok(f64::midpoint(by(x, y)?, by(y, x)?))
}

fn weighted(x: &[f64], y: &[f64], weight: impl Fn(usize, usize) -> f64) -> Result<f64, NoAgreement> {
    enough(x)?;
    let (mut together, mut of_x, mut of_y) = (0.0, 0.0, 0.0);
    for a in 0..x.len() {
        for b in 0..a {
            let weight = weight(a, b);
            let sign =
                |values: &[f64]| f64::from(i8::from(values[a] > values[b]) - i8::from(values[a] < values[b]));
            let (x, y) = (sign(x), sign(y));
            together += weight * x * y;
            of_x += weight * x * x;
            of_y += weight * y * y;
        }
    }
    if of_x == 0.0 {
        return Err(NoAgreement::ConstantScore);
    }
    if of_y == 0.0 {
        return Err(NoAgreement::ConstantTruth);
    }
    Ok((together / (of_x.sqrt() * of_y.sqrt())).clamp(-1.0, 1.0))
}

/// Spearman's ρ: Pearson's correlation of ranks with shared places.
///
/// # Errors
/// As [`tau`].
pub fn rho(x: &[f64], y: &[f64]) -> Result<f64, NoAgreement> {
    enough(x)?;
    let (x, y) = (descending(x), descending(y));
    // ranks have this mean whatever the ties
    let middle = (x.len() + 1) as f64 / 2.0;
    let product =
        |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (a - middle) * (b - middle)).sum::<f64>();
    let (of_x, of_y) = (product(&x, &x), product(&y, &y));
    if of_x == 0.0 {
        return Err(NoAgreement::ConstantScore);
    }
    if of_y == 0.0 {
        return Err(NoAgreement::ConstantTruth);
    }
    Ok((product(&x, &y) / (of_x * of_y).sqrt()).clamp(-1.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::super::layers::synthetic::{Made, hump};
    use super::*;

    const A: [f64; 5] = [0.1, 0.4, 0.35, 0.8, 0.7];
    const B: [f64; 5] = [88.0, 90.1, 89.9, 91.0, 91.2];

    fn question(noise: Option<f64>) -> Question {
        Question { last: 4, noise, resamples: 500, seed: Seed(1) }
    }

    fn trained(seeds: impl Fn(usize) -> Vec<f64>) -> Vec<Trained> {
        (0..5).map(|layer| Trained { layer, seeds: seeds(layer) }).collect()
    }

    fn scores() -> Vec<(usize, f64)> {
        A.into_iter().enumerate().collect()
    }

    /// reference/analyses.md section 4.8.
    #[test]
    fn the_golden_correlations_are_reproduced() {
        assert!((weighted_tau(&A, &B).unwrap() - 0.671_532_847).abs() < 1e-9);
        assert!((tau(&A, &B).unwrap() - 0.8).abs() < 1e-15);
        assert!((rho(&A, &B).unwrap() - 0.9).abs() < 1e-15);
    }

    #[test]
    fn the_same_order_agrees_whole_and_the_opposite_one_not_at_all() {
        let opposite = B.map(|value| -value);
        for statistic in [tau, weighted_tau, rho] {
            assert!((statistic(&B, &B).unwrap() - 1.0).abs() < 1e-15);
            assert!((statistic(&B, &opposite).unwrap() + 1.0).abs() < 1e-15);
            assert_eq!(statistic(&[1.0; 5], &B), Err(NoAgreement::ConstantScore));
            assert_eq!(statistic(&B, &[1.0; 5]), Err(NoAgreement::ConstantTruth));
            assert_eq!(statistic(&B[..2], &A[..2]), Err(NoAgreement::TooFewLayers { n: 2 }));
        }
    }

    /// The score chooses layer 3 (91.0), the best is the last (91.2): regret 0.2.
    #[test]
    fn regret_is_what_choosing_by_the_score_costs() {
        let found = agreement(&scores(), &trained(|layer| vec![B[layer]]), question(Some(0.05)));
        assert_eq!((found.chosen, found.best), (Some(3), Some(4)));
        let regret = found.regret.unwrap();
        assert!((regret.value - 0.2).abs() < 1e-12 && regret.low >= 0.0);
        // the best is the last, so there is nothing to recover
        assert!(matches!(found.recovery, Err(NoAgreement::WithinNoise { .. })));
    }

    #[test]
    fn recovery_is_the_part_of_the_way_from_the_last_layer_to_the_best() {
        // last 0.80, chosen (layer 3) 0.86, best (layer 1) 0.88
        let base = [0.82, 0.88, 0.81, 0.86, 0.80];
        let truth = trained(|layer| vec![base[layer] - 0.001, base[layer], base[layer] + 0.001]);
        let found = agreement(&scores(), &truth, question(None));
        let recovery = found.recovery.unwrap();
        assert!((recovery.value - 0.75).abs() < 1e-12, "{recovery:?}");
        assert!(recovery.low <= 0.75 && recovery.high >= 0.75);
        let noisy = agreement(&scores(), &truth, question(Some(0.1)));
        assert!(matches!(noisy.recovery, Err(NoAgreement::WithinNoise { .. })));
        let one = agreement(&scores(), &trained(|layer| vec![base[layer]]), question(None));
        assert_eq!(one.recovery, Err(NoAgreement::NoiseUnknown));
    }

    #[test]
    fn intervals_hold_the_value_and_repeat() {
        let truth = trained(|layer| vec![B[layer], B[layer] + 0.3]);
        let found = agreement(&scores(), &truth, question(None));
        assert_eq!((found.layers, found.seeds), (5, 2));
        let tau = found.weighted_tau.clone().unwrap();
        assert!(tau.low <= tau.value && tau.value <= tau.high && tau.n == 5, "{tau:?}");
        assert_eq!(agreement(&scores(), &truth, question(None)), found);
    }

    #[test]
    fn the_truth_of_a_study_is_its_gains_over_no_plug_on_the_compared_seeds() {
        let answer = Made::new(hump(6, 0.3)).study().answer().unwrap();
        let truth = truth(&answer);
        assert!(truth.gains);
        assert_eq!(truth.layers.len(), answer.behind.len());
        assert!(truth.layers.iter().all(|layer| layer.seeds.len() == answer.compared_seeds.len()));
        let best = truth.layers.iter().find(|layer| layer.layer == answer.chosen).unwrap();
        let over_base = &answer.validation.get(&Condition::Layer(answer.chosen)).unwrap().over_base;
        let mean = best.seeds.iter().sum::<f64>() / best.seeds.len() as f64;
        assert!((mean - over_base.as_ref().unwrap().estimate.value).abs() < 1e-12);
    }

    #[test]
    fn layers_without_score_or_result_are_left_out() {
        let truth = trained(|layer| if layer == 4 { Vec::new() } else { vec![B[layer]] });
        let found = agreement(&scores(), &truth, question(None));
        assert_eq!(found.layers, 4);
        assert_eq!(found.recovery, Err(NoAgreement::NoLastLayer));
        let few = agreement(&scores()[..2], &truth, question(None));
        assert_eq!(few.tau, Err(NoAgreement::TooFewLayers { n: 2 }));
        assert_eq!(few.regret, Err(NoAgreement::TooFewLayers { n: 2 }));
    }
}
