//! One field of the matrix: trained on s, tested on t, with everything that is said about it.

use super::NotAvailable;
use super::grid::{Grid, mean};
use super::robustness::{ProbitLine, probit_line};
use crate::analysis::layers::Condition;
use crate::analysis::statistics::bootstrap::{Drawn, Tested};
use crate::analysis::statistics::{Estimate, mean as over_seeds};
use serde::Serialize;

/// What one condition does when trained on one domain and tested on one.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Field {
    /// The domain trained on.
    pub trained: usize,
    /// The domain tested on.
    pub tested: usize,
    /// Test examples.
    pub examples: usize,
    /// Of them, texts that also stand in the training set, exactly or nearly.
    pub shared: usize,
    /// `A[s, t]` by seed.
    pub seeds: Vec<(u64, f64)>,
    /// `A[s, t]`, the mean over seeds.
    pub accuracy: Result<f64, NotAvailable>,
    /// Its t interval over seeds, where there are at least two.
    pub interval: Result<Estimate, NotAvailable>,
    /// `A[s, t]` minus that of no plug, paired by seed and example.
    pub over_base: Result<Tested, NotAvailable>,
    /// The same without texts that stand in the training set; absent where there are none.
    pub without_shared: Option<WithoutShared>,
    /// `A[s, s] - A[s, t]`: may only mean that t is the harder domain.
    pub source_drop: Result<Estimate, NotAvailable>,
    /// `A[t, t] - A[s, t]`: what training on t itself would have given.
    pub target_drop: Result<Estimate, NotAvailable>,
    /// Probits above the line through runs without a plug; the interval is over seeds and takes the
    /// line as known.
    pub robustness: Result<Estimate, NotAvailable>,
    /// Training minus test accuracy at home.
    pub generalisation_gap: Result<f64, NotAvailable>,
}

/// A field without the test texts that stand in the training set.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct WithoutShared {
    /// Examples left.
    pub examples: usize,
    /// Mean accuracy over seeds.
    pub accuracy: f64,
    /// Minus that of no plug, paired by seed and example.
    pub over_base: Result<Tested, NotAvailable>,
}

/// The line of a pair of domains through its runs without a plug.
pub(super) fn base_line(grid: &Grid<'_>, trained: usize, tested: usize) -> Result<ProbitLine, NotAvailable> {
    probit_line(&home_and_away(grid, &Condition::base(), trained, tested)?)
}

/// (`A[s, s]`, `A[s, t]`) of every seed that has both.
pub(super) fn home_and_away(
    grid: &Grid<'_>,
    condition: &Condition,
    trained: usize,
    tested: usize,
) -> Result<Vec<(f64, f64)>, NotAvailable> {
    let home = grid.seeds(condition, trained, trained)?;
    let away = grid.seeds(condition, trained, tested)?;
    let of = |seed: u64| home.iter().find(|(other, _)| *other == seed).map(|(_, value)| *value);
    Ok(away.iter().filter_map(|(seed, away)| of(*seed).map(|home| (home, *away))).collect())
}

pub(super) fn field(grid: &Grid<'_>, condition: &Condition, trained: usize, tested: usize) -> Field {
    let seeds = grid.seeds(condition, trained, tested);
    let values: Vec<f64> = seeds.iter().flatten().map(|(_, value)| *value).collect();
    let accuracy = seeds.as_ref().map(|_| mean(&values)).map_err(Clone::clone);
    let interval = match &seeds {
        Ok(_) => over_seeds(&values).map_err(NotAvailable::from),
        Err(reason) => Err(reason.clone()),
    };
    let base = Condition::base();
    let examples = grid.examples(tested);
    let confidence = grid.study.resampling.confidence;
    let estimate = |drawn: &Drawn| drawn.estimate(confidence, examples).map_err(NotAvailable::from);
    let over_base = if condition.is_base() {
        Err(NotAvailable::Undefined(crate::analysis::statistics::Undefined::Itself))
    } else {
        grid.difference((condition, trained), (&base, trained), tested)
            .and_then(|(drawn, seeds)| Ok(Tested { p: drawn.p(), estimate: estimate(&drawn)?, seeds }))
    };
    let clean = grid.clean_examples(trained, tested);
    let without_shared = clean.and_then(|examples| {
        let (accuracy, difference) = grid.without_shared((condition, &base), trained, tested)?;
        let over_base = if condition.is_base() {
            Err(NotAvailable::Undefined(crate::analysis::statistics::Undefined::Itself))
        } else {
            difference.and_then(|(drawn, seeds)| {
                Ok(Tested { p: drawn.p(), estimate: drawn.estimate(confidence, examples)?, seeds })
            })
        };
        Some(WithoutShared { examples, accuracy, over_base })
    });
    Field {
        trained,
        tested,
        examples,
        shared: grid.study.shared.get(&(trained, tested)).map_or(0, std::collections::BTreeSet::len),
        over_base,
        without_shared,
        source_drop: source_drop(grid, condition, trained, tested),
        target_drop: if trained == tested {
            Err(NotAvailable::SameDomain)
        } else {
            grid.difference((condition, tested), (condition, trained), tested)
                .and_then(|(drawn, _)| estimate(&drawn))
        },
        robustness: robustness(grid, condition, trained, tested),
        generalisation_gap: gap(grid, condition, trained, tested, &accuracy),
        seeds: seeds.unwrap_or_default(),
        accuracy,
        interval,
    }
}

fn source_drop(
    grid: &Grid<'_>,
    condition: &Condition,
    trained: usize,
    tested: usize,
) -> Result<Estimate, NotAvailable> {
    if trained == tested {
        return Err(NotAvailable::SameDomain);
    }
    let home = grid.seeds(condition, trained, trained)?;
    let away = grid.seeds(condition, trained, tested)?;
    let seeds: Vec<u64> = away
        .iter()
        .map(|(seed, _)| *seed)
        .filter(|seed| home.iter().any(|(other, _)| other == seed))
        .collect();
    let drop = minus(
        &grid.accuracy(condition, (trained, trained), &seeds)?,
        &grid.accuracy(condition, (trained, tested), &seeds)?,
    );
    let examples = grid.examples(trained).min(grid.examples(tested));
    Ok(drop.estimate(grid.study.resampling.confidence, examples)?)
}

/// First minus second, resample by resample.
pub(super) fn minus(first: &Drawn, second: &Drawn) -> Drawn {
    Drawn {
        observed: first.observed - second.observed,
        replicates: first.replicates.iter().zip(&second.replicates).map(|(a, b)| a - b).collect(),
    }
}

fn robustness(
    grid: &Grid<'_>,
    condition: &Condition,
    trained: usize,
    tested: usize,
) -> Result<Estimate, NotAvailable> {
    if trained == tested {
        return Err(NotAvailable::SameDomain);
    }
    let line = base_line(grid, trained, tested)?;
    let above = home_and_away(grid, condition, trained, tested)?
        .into_iter()
        .map(|(home, away)| line.above(home, away))
        .collect::<Result<Vec<f64>, _>>()?;
    Ok(over_seeds(&above)?)
}

fn gap(
    grid: &Grid<'_>,
    condition: &Condition,
    trained: usize,
    tested: usize,
    accuracy: &Result<f64, NotAvailable>,
) -> Result<f64, NotAvailable> {
    if trained != tested {
        return Err(NotAvailable::DifferentDomains);
    }
    let runs = grid.study.runs.iter().filter(|run| run.condition == *condition && run.trained == trained);
    let training: Option<Vec<f64>> = runs.map(|run| run.training).collect();
    let training = training.filter(|values| !values.is_empty()).ok_or(NotAvailable::NotRecorded)?;
    Ok(mean(&training) - accuracy.clone()?)
}
