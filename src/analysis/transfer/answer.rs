//! A transfer study's answer: every condition's matrix and what it comes to.

use super::choice::{Choice, Regret, choose, regrets};
use super::fields::{Field, base_line, field, home_and_away};
use super::grid::{Domain, Grid, TransferStudy, mean};
use super::labels::LabelMismatch;
use super::robustness::ProbitLine;
use super::{Error, NotAvailable, transfer_ratio};
use crate::analysis::layers::Condition;
use crate::analysis::statistics::bootstrap::Drawn;
use crate::analysis::statistics::rank_test::{METHODS, RankTest, SETS, rank_test};
use crate::analysis::statistics::{Estimate, Undefined, ranks};
use serde::Serialize;

/// The whole answer.
#[derive(Clone, Debug, PartialEq)]
pub struct TransferAnswer {
    /// Name of the LLM.
    pub llm: String,
    /// Name of the small model.
    pub slm: String,
    /// Name of the metric.
    pub metric: String,
    /// Layers of the LLM.
    pub layers: usize,
    /// Domains in the order of the matrix's columns.
    pub domains: Vec<Domain>,
    /// Domains trained on: the matrix's rows.
    pub trained: Vec<usize>,
    /// Seeds planned.
    pub seeds: Vec<u64>,
    /// Resamples behind every bootstrap interval.
    pub resamples: usize,
    /// The layer that the answer is about; none without a finished layer.
    pub choice: Option<Choice>,
    /// What other protocols would have chosen.
    pub regrets: Vec<Regret>,
    /// Every condition: layers in order, then controls.
    pub conditions: Vec<ConditionTransfer>,
    /// Pairs that are never compared because their classes differ.
    pub incomparable: Vec<(usize, usize, LabelMismatch)>,
    /// The line of effective robustness by (trained, tested).
    pub lines: Vec<(usize, usize, Result<ProbitLine, NotAvailable>)>,
    /// Every run's accuracy at home and elsewhere.
    pub scatter: Vec<Point>,
    /// Whether the conditions differ by their ranks; absent where fewer than three have every field
    /// or there are fewer than two fields.
    pub ranks: Option<Ranks>,
}

/// The conditions that have every field, ranked over the fields.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Ranks {
    /// Positions of the ranked conditions among all.
    pub conditions: Vec<usize>,
    /// Friedman's test with fields as data sets, and each condition against no plug. Positions are
    /// those in `conditions`.
    pub test: Result<RankTest, Undefined>,
}

/// A run's accuracy at home against that elsewhere.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Point {
    /// What was plugged.
    pub condition: Condition,
    /// The domain trained on.
    pub trained: usize,
    /// The domain tested on.
    pub tested: usize,
    /// `A[s, s]` of one seed.
    pub home: f64,
    /// `A[s, t]` of the same seed.
    pub away: f64,
}

/// A mean gain over several fields.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MeanGain {
    /// With its two-level bootstrap interval; n counts the test examples of all its fields.
    pub estimate: Estimate,
    /// Two-sided bootstrap p value.
    pub p: f64,
    /// Fields that it is the mean of.
    pub fields: usize,
    /// Fields that there would be if nothing were missing.
    pub of: usize,
}

/// The worst field of a condition.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Worst {
    /// The domain trained on.
    pub trained: usize,
    /// The domain tested on.
    pub tested: usize,
    /// `A[s, t]`.
    pub accuracy: f64,
}

/// One condition over the whole matrix.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ConditionTransfer {
    /// What was plugged.
    pub condition: Condition,
    /// Mean validation over domains trained on.
    pub validation: f64,
    /// Runs behind it.
    pub runs: usize,
    /// Every field, row by row.
    pub fields: Vec<Field>,
    /// Mean gain over no plug where training and testing share the domain.
    pub gain_home: Result<MeanGain, NotAvailable>,
    /// Mean gain over no plug on other domains.
    pub gain_away: Result<MeanGain, NotAvailable>,
    /// The mean gain at home without texts that stand in the training set; absent where no field has
    /// any.
    pub clean_home: Option<Result<MeanGain, NotAvailable>>,
    /// The mean gain on other domains without them, likewise.
    pub clean_away: Option<Result<MeanGain, NotAvailable>>,
    /// Mean of `E[s, t] - E[t, t]` over pairs of domains that are both trained on.
    pub loss: Result<MeanGain, NotAvailable>,
    /// Mean of `E[s, t] / E[t, t]` over the same pairs.
    pub ratio: Result<f64, NotAvailable>,
    /// The same with its two-level bootstrap interval; [`NotAvailable::Unbounded`] where a domain has
    /// no error at home in some resample.
    pub ratio_interval: Result<Estimate, NotAvailable>,
    /// The field with the lowest accuracy.
    pub worst: Option<Worst>,
    /// Mean rank among the conditions that have every field, 1 for the best.
    pub average_rank: Result<f64, NotAvailable>,
}

impl TransferAnswer {
    /// A condition by name.
    pub fn get(&self, condition: &Condition) -> Option<&ConditionTransfer> {
        self.conditions.iter().find(|row| row.condition == *condition)
    }

    /// The chosen layer's row.
    pub fn chosen(&self) -> Option<&ConditionTransfer> {
        self.get(&Condition::Layer(self.choice.as_ref()?.layer))
    }

    /// A domain's name.
    pub fn domain(&self, domain: usize) -> &str {
        self.domains.get(domain).map_or("", |domain| &domain.name)
    }
}

impl ConditionTransfer {
    /// A field of the matrix.
    pub fn field(&self, trained: usize, tested: usize) -> Option<&Field> {
        self.fields.iter().find(|field| (field.trained, field.tested) == (trained, tested))
    }
}

impl TransferStudy {
    /// Answers the study.
    ///
    /// # Errors
    /// [`Error`] for runs that contradict each other, and without any run.
    pub fn answer(&self) -> Result<TransferAnswer, Error> {
        let grid = Grid::new(self)?;
        let fields = |trained: usize| (0..self.domains.len()).map(move |tested| (trained, tested));
        let all: Vec<(usize, usize)> = self.trained.iter().copied().flat_map(fields).collect();
        let incomparable =
            all.iter().filter_map(|&(trained, tested)| match grid.comparable(trained, tested) {
                Err(NotAvailable::Labels(mismatch)) => Some((trained, tested, mismatch)),
                _ => None,
            });
        let away: Vec<(usize, usize)> = all
            .iter()
            .copied()
            .filter(|&(trained, tested)| trained != tested && grid.comparable(trained, tested).is_ok())
            .collect();
        let mut conditions: Vec<ConditionTransfer> =
            grid.conditions().into_iter().map(|condition| transfer(&grid, condition, &all)).collect();
        let ranks = rank(&mut conditions, self.layers);
        let choice = choose(&grid);
        let mut scatter = Vec::new();
        for row in &conditions {
            for &(trained, tested) in &away {
                let points = home_and_away(&grid, &row.condition, trained, tested).unwrap_or_default();
                let condition = || row.condition.clone();
                scatter.extend(points.into_iter().map(|(home, away)| Point {
                    condition: condition(),
                    trained,
                    tested,
                    home,
                    away,
                }));
            }
        }
        Ok(TransferAnswer {
            llm: self.llm.clone(),
            slm: self.slm.clone(),
            metric: self.metric.clone(),
            layers: self.layers,
            domains: self.domains.clone(),
            trained: self.trained.clone(),
            seeds: self.seeds.clone(),
            resamples: self.resampling.resamples,
            regrets: choice.as_ref().map(|choice| regrets(&grid, choice.layer)).unwrap_or_default(),
            choice,
            incomparable: incomparable.collect(),
            lines: away.iter().map(|&(s, t)| (s, t, base_line(&grid, s, t))).collect(),
            conditions,
            scatter,
            ranks,
        })
    }
}

fn transfer(grid: &Grid<'_>, condition: &Condition, all: &[(usize, usize)]) -> ConditionTransfer {
    let study = grid.study;
    let fields: Vec<Field> = all.iter().map(|&(s, t)| field(grid, condition, s, t)).collect();
    let runs: Vec<f64> =
        study.runs.iter().filter(|run| run.condition == *condition).map(|run| run.validation).collect();
    let base = Condition::base();
    let gain = |home: bool| -> Result<MeanGain, NotAvailable> {
        if condition.is_base() {
            return Err(NotAvailable::Undefined(Undefined::Itself));
        }
        let of = all.iter().filter(|(s, t)| (s == t) == home && grid.comparable(*s, *t).is_ok());
        mean_of(grid, of.copied(), &|s, t| {
            Ok((grid.difference((condition, s), (&base, s), t)?.0, grid.examples(t)))
        })
    };
    // of a field without shared texts the whole is what is left
    let clean = |home: bool| -> Option<Result<MeanGain, NotAvailable>> {
        let of = || all.iter().copied().filter(move |(s, t)| (s == t) == home);
        if condition.is_base() || !of().any(|(s, t)| study.shares(s, t) && grid.comparable(s, t).is_ok()) {
            return None;
        }
        let fields = of().filter(|&(s, t)| grid.comparable(s, t).is_ok());
        Some(mean_of(grid, fields, &|s, t| {
            if !study.shares(s, t) {
                return Ok((grid.difference((condition, s), (&base, s), t)?.0, grid.examples(t)));
            }
            let left = grid.clean_examples(s, t).ok_or(NotAvailable::NothingLeft)?;
            let found = grid.without_shared((condition, &base), s, t).ok_or(NotAvailable::NothingLeft)?;
            Ok((found.1?.0, left))
        }))
    };
    // a target's own runs are needed: pairs of domains that are both trained on
    let square = all
        .iter()
        .copied()
        .filter(|(s, t)| s != t && study.trained.contains(t) && grid.comparable(*s, *t).is_ok());
    let loss = mean_of(grid, square, &|s, t| {
        Ok((grid.difference((condition, t), (condition, s), t)?.0, grid.examples(t)))
    });
    let (ratio, ratio_interval) = ratios(grid, condition);
    let known = fields.iter().filter_map(|field| {
        let accuracy = *field.accuracy.as_ref().ok()?;
        Some(Worst { trained: field.trained, tested: field.tested, accuracy })
    });
    ConditionTransfer {
        validation: mean(&runs),
        runs: runs.len(),
        gain_home: gain(true),
        gain_away: gain(false),
        clean_home: clean(true),
        clean_away: clean(false),
        loss,
        ratio,
        ratio_interval,
        worst: known.min_by(|a, b| a.accuracy.total_cmp(&b.accuracy)),
        average_rank: Err(NotAvailable::NoRun),
        fields,
        condition: condition.clone(),
    }
}

/// The mean over fields, resample by resample, of those that have a value; `of` gives it with the
/// number of its examples.
fn mean_of(
    grid: &Grid<'_>,
    fields: impl Iterator<Item = (usize, usize)>,
    of: &dyn Fn(usize, usize) -> Result<(Drawn, usize), NotAvailable>,
) -> Result<MeanGain, NotAvailable> {
    let (mut drawn, mut all, mut examples, mut reason) = (Vec::new(), 0, 0, NotAvailable::NoRun);
    for (trained, tested) in fields {
        all += 1;
        match of(trained, tested) {
            Ok((found, count)) => {
                examples += count;
                drawn.push(found);
            }
            Err(why) => reason = why,
        }
    }
    if drawn.is_empty() {
        return Err(reason);
    }
    let scale = 1.0 / drawn.len() as f64;
    let whole = Drawn {
        observed: scale * drawn.iter().map(|drawn| drawn.observed).sum::<f64>(),
        replicates: (0..drawn[0].replicates.len())
            .map(|at| scale * drawn.iter().map(|drawn| drawn.replicates[at]).sum::<f64>())
            .collect(),
    };
    let estimate = whole.estimate(grid.study.resampling.confidence, examples)?;
    Ok(MeanGain { estimate, p: whole.p(), fields: drawn.len(), of: all })
}

/// The transfer ratio as observed, and with its interval over resamples.
fn ratios(
    grid: &Grid<'_>,
    condition: &Condition,
) -> (Result<f64, NotAvailable>, Result<Estimate, NotAvailable>) {
    let study = grid.study;
    let drawn_in = |s: usize, t: usize| -> Option<Drawn> {
        let seeds: Vec<u64> = grid.seeds(condition, s, t).ok()?.into_iter().map(|(seed, _)| seed).collect();
        grid.accuracy(condition, (s, t), &seeds).ok()
    };
    let drawn: Vec<Vec<Option<Drawn>>> =
        study.trained.iter().map(|&s| study.trained.iter().map(|&t| drawn_in(s, t)).collect()).collect();
    // a mean of ones may come out as 1 - 1e-16
    let error = |accuracy: f64| if accuracy > 1.0 - 1e-12 { 0.0 } else { 1.0 - accuracy };
    let at = |value: &dyn Fn(&Drawn) -> f64| -> Result<f64, NotAvailable> {
        let errors: Vec<Vec<Option<f64>>> = drawn
            .iter()
            .map(|row| row.iter().map(|drawn| drawn.as_ref().map(|drawn| error(value(drawn)))).collect())
            .collect();
        transfer_ratio(&errors).map(|(ratio, _)| ratio)
    };
    let observed = at(&|drawn| drawn.observed);
    let interval = observed.clone().and_then(|observed| {
        let resamples = 0..study.resampling.resamples;
        let replicates: Result<Vec<f64>, NotAvailable> =
            resamples.map(|resample| at(&|drawn| drawn.replicates[resample])).collect();
        let replicates = replicates.map_err(|_| NotAvailable::Unbounded)?;
        let examples = study.trained.iter().map(|&t| grid.examples(t)).sum();
        Ok(Drawn { observed, replicates }.estimate(study.resampling.confidence, examples)?)
    });
    (observed, interval)
}

/// Ranks the conditions field by field, over the fields that are comparable at all.
fn rank(conditions: &mut [ConditionTransfer], layers: usize) -> Option<Ranks> {
    let width = conditions.first().map_or(0, |row| row.fields.len());
    let usable: Vec<usize> =
        (0..width).filter(|&at| conditions.iter().any(|row| row.fields[at].accuracy.is_ok())).collect();
    let whole: Vec<usize> = (0..conditions.len())
        .filter(|&row| usable.iter().all(|&at| conditions[row].fields[at].accuracy.is_ok()))
        .collect();
    if whole.is_empty() || usable.is_empty() {
        return None;
    }
    let scores: Vec<Vec<f64>> = usable
        .iter()
        .map(|&at| whole.iter().filter_map(|&row| conditions[row].fields[at].accuracy.clone().ok()).collect())
        .collect();
    for (rank, &row) in ranks::average(&scores).into_iter().zip(&whole) {
        conditions[row].average_rank = Ok(rank);
    }
    // no plug is what every gain is over; without it the last layer, the published choice
    let place = |wanted: &Condition| whole.iter().position(|&row| conditions[row].condition == *wanted);
    let last = || place(&Condition::Layer(layers.checked_sub(1)?));
    let control = place(&Condition::base()).or_else(last);
    (whole.len() >= METHODS && usable.len() >= SETS)
        .then(|| Ranks { test: rank_test(&scores, control), conditions: whole })
}
