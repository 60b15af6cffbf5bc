//! The statistics of one pair of conditions.

use serde::Serialize;

use super::OfSet;
use super::gather::{Group, Run};
use super::overlap::{CleanParts, WithoutOverlap};
use crate::analysis::statistics::Estimate;
use crate::analysis::statistics::aso::{AlmostOrder, almost_order};
use crate::analysis::statistics::bca;
use crate::analysis::statistics::bootstrap::{Resampling, Tested};
use crate::analysis::statistics::effect::{a12, cliff_delta, d_z, hedges_g};
use crate::analysis::statistics::estimate::{Undefined, or_reason};
use crate::analysis::statistics::mcnemar::{combined, discordant, mcnemar};
use crate::analysis::statistics::power::{Demand, detectable_with};
use crate::analysis::statistics::sign_flip::{SignFlip, sign_flip};
use crate::analysis::statistics::wilcoxon::{Wilcoxon, wilcoxon};
use crate::runs::diff::differences;

/// The discordant examples of one seed with McNemar's test.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct DiscordantSeed {
    /// The seed.
    pub seed: u64,
    /// Right in the first condition only.
    pub first_only: u64,
    /// Right in the second condition only.
    pub second_only: u64,
    /// Exact p value.
    pub exact: f64,
    /// Mid-p value.
    pub mid: f64,
}

/// How large the difference is over seeds, apart from whether it is sure; reasons for a single seed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Effects {
    /// Hedges's g of the accuracies.
    #[serde(serialize_with = "or_reason")]
    pub hedges_g: Result<Estimate, Undefined>,
    /// d_z of the paired differences.
    #[serde(serialize_with = "or_reason")]
    pub d_z: Result<Estimate, Undefined>,
    /// Cliff's δ.
    #[serde(serialize_with = "or_reason")]
    pub cliff_delta: Result<Estimate, Undefined>,
    /// The chance that a run of the first beats one of the second.
    #[serde(serialize_with = "or_reason")]
    pub a12: Result<Estimate, Undefined>,
}

/// Two conditions compared.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Pair {
    /// Name of the first condition.
    pub first: String,
    /// Name of the second condition.
    pub second: String,
    /// Examples.
    pub examples: usize,
    /// Seeds of both.
    pub seeds: Vec<u64>,
    /// First minus second with the two-level paired bootstrap interval.
    pub difference: Tested,
    /// The same difference with the bias-corrected and accelerated interval of the same resamples.
    #[serde(serialize_with = "or_reason")]
    pub bca: Result<Estimate, Undefined>,
    /// Its p value after Holm's correction over all pairs.
    pub p_holm: f64,
    /// The difference without overlapping texts; `None` where there are none.
    pub without_overlap: Option<WithoutOverlap>,
    /// First minus second of each seed.
    pub by_seed: Vec<f64>,
    /// Discordant examples of each seed.
    pub discordant: Vec<DiscordantSeed>,
    /// McNemar's exact p; with several seeds twice their median.
    pub mcnemar_exact: f64,
    /// McNemar's mid-p, likewise.
    pub mcnemar_mid: f64,
    /// The exact p after Holm's correction over all pairs.
    pub mcnemar_holm: f64,
    /// The sign-flip test over seeds.
    #[serde(serialize_with = "or_reason")]
    pub sign_flip: Result<SignFlip, Undefined>,
    /// Wilcoxon's signed-rank test over seeds.
    #[serde(serialize_with = "or_reason")]
    pub wilcoxon: Result<Wilcoxon, Undefined>,
    /// Effect sizes over seeds.
    pub effects: Effects,
    /// Whether the first is almost stochastically better over seeds, with Bonferroni's correction
    /// over both directions of all pairs.
    #[serde(serialize_with = "or_reason")]
    pub first_better: Result<AlmostOrder, Undefined>,
    /// Whether the second is.
    #[serde(serialize_with = "or_reason")]
    pub second_better: Result<AlmostOrder, Undefined>,
    /// The smallest difference that these runs would have found with a power of 80%.
    #[serde(serialize_with = "or_reason")]
    pub detectable: Result<f64, Undefined>,
    /// What the two configurations differ in.
    pub differs_in: Vec<String>,
}

/// First minus second of each example, the mean over seeds.
fn parts(common: &[(&Run, &Run)]) -> Vec<f64> {
    let examples = common.first().map_or(0, |(a, _)| a.scores.len());
    let of = |at: usize| common.iter().map(|(a, b)| a.scores[at] - b.scores[at]).sum::<f64>();
    (0..examples).map(|at| of(at) / common.len() as f64).collect()
}

/// Compares two groups on the same examples with a seed in common. Corrections over all pairs are
/// made by the caller; the order of accuracies by [`order`].
///
/// # Errors
/// [`Undefined`] if they have no seed in common or cannot be resampled.
pub(super) fn compare(
    first: &Group,
    second: &Group,
    (drawn, clean): (&OfSet, &CleanParts),
    resampling: Resampling,
) -> Result<Pair, Undefined> {
    let common = common(first, second);
    let places: Vec<(usize, usize)> =
        common.iter().map(|(a, b)| (drawn.places[&a.cell], drawn.places[&b.cell])).collect();
    let replicates = drawn.replicates.as_ref().map_err(Clone::clone)?;
    let difference = replicates.difference(&places)?;
    let bca = bca::interval(&replicates.drawn_difference(&places)?, &parts(&common), resampling.confidence);
    let (of_first, of_second): (Vec<f64>, Vec<f64>) =
        common.iter().map(|(a, b)| (a.accuracy(), b.accuracy())).unzip();
    let by_seed: Vec<f64> = of_first.iter().zip(&of_second).map(|(a, b)| a - b).collect();
    let discordant: Vec<DiscordantSeed> = common
        .iter()
        .map(|(a, b)| {
            let (first_only, second_only) = discordant(&a.scores, &b.scores);
            let test = mcnemar(first_only, second_only);
            DiscordantSeed { seed: a.seed, first_only, second_only, exact: test.exact, mid: test.mid }
        })
        .collect();
    let one_p = |of: fn(&DiscordantSeed) -> f64| {
        combined(&discordant.iter().map(of).collect::<Vec<_>>()).ok_or(Undefined::NoCommonSeed)
    };
    let (exact, mid) = (one_p(|seed| seed.exact)?, one_p(|seed| seed.mid)?);
    let over_seeds = |seeds: usize| if seeds > 1 { Ok(()) } else { Err(Undefined::OneObservation) };
    let found = differences(&first.record.config, &second.record.config).into_iter().map(|it| it.path);
    Ok(Pair {
        first: first.name.clone(),
        second: second.name.clone(),
        examples: common[0].0.ids.len(),
        seeds: common.iter().map(|(a, _)| a.seed).collect(),
        detectable: detectable_with(difference.estimate.standard_error, Demand::default()),
        difference,
        bca,
        without_overlap: clean.difference(first, &common),
        p_holm: difference.p,
        sign_flip: over_seeds(by_seed.len()).and_then(|()| sign_flip(&by_seed, resampling.seed)),
        wilcoxon: over_seeds(by_seed.len()).and_then(|()| wilcoxon(&by_seed)),
        effects: Effects {
            hedges_g: hedges_g(&of_first, &of_second),
            d_z: d_z(&of_first, &of_second),
            cliff_delta: cliff_delta(&of_first, &of_second),
            a12: a12(&of_first, &of_second),
        },
        first_better: Err(Undefined::OneObservation),
        second_better: Err(Undefined::OneObservation),
        by_seed,
        discordant,
        mcnemar_exact: exact,
        mcnemar_mid: mid,
        mcnemar_holm: exact,
        differs_in: found.filter(|path| path != "seed").collect(),
    })
}

/// Adds the almost stochastic order of both directions, corrected for the number of pairs.
pub(super) fn order(pairs: &mut [Pair], groups: &[Group], resampling: Resampling) {
    let comparisons = 2 * pairs.len();
    let group = |name: &str| groups.iter().find(|group| group.name == name);
    // an interval needs fewer draws than a quantile of its tail
    let resampling = Resampling { resamples: resampling.resamples.min(1_000), ..resampling };
    for pair in pairs {
        let (Some(first), Some(second)) = (group(&pair.first), group(&pair.second)) else { continue };
        let common = common(first, second);
        let (a, b): (Vec<f64>, Vec<f64>) = common.iter().map(|(a, b)| (a.accuracy(), b.accuracy())).unzip();
        pair.first_better = almost_order(&a, &b, resampling, comparisons);
        pair.second_better = almost_order(&b, &a, resampling, comparisons);
    }
}

/// Runs of both with the same seed, by seed.
fn common<'a>(first: &'a Group, second: &'a Group) -> Vec<(&'a Run, &'a Run)> {
    let with = |a: &'a Run| second.runs.iter().find(|b| b.seed == a.seed).map(|b| (a, b));
    first.runs.iter().filter_map(with).collect()
}
