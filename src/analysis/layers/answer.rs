//! The answer to a layer study, as data: every number with its interval or the reason why it has
//! none. Metrics are fractions (0.91), not percent.

use super::choice::{self, LayerBehind};
use super::compare::SetComparison;
use super::study::{Condition, LayerStudy};
use super::{Error, Warning};
use crate::analysis::statistics::power::{Demand, detectable_with, expected_maximum};
use crate::analysis::statistics::sign_flip::SignFlip;
use crate::analysis::statistics::winner::Corrected;
use crate::analysis::statistics::{Estimate, Undefined};
use serde::Serialize;

/// A value for each seed, their mean, and its t interval over seeds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// (seed, value), by seed.
    pub seeds: Vec<(u64, f64)>,
    /// Mean over seeds.
    pub mean: f64,
    /// The mean with its 95% t interval over seeds; a reason for a single seed.
    pub interval: Result<Estimate, Undefined>,
}

/// A difference between two conditions, paired by seed and example.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Contrast {
    /// First minus second with the two-level paired bootstrap interval; n counts the examples.
    pub estimate: Estimate,
    /// Seeds that both conditions finished.
    pub seeds: usize,
    /// Two-sided bootstrap p value.
    pub p: f64,
    /// The same after Holm's correction over the family that [`SetAnswer`] and [`Claim`] name.
    pub p_holm: Option<f64>,
    /// The sign-flip test over seeds, which few seeds cannot make significant.
    pub sign_flip: Result<SignFlip, Undefined>,
}

/// A condition without the examples whose texts stand in the training set.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct WithoutOverlap {
    /// Mean over seeds on the remaining examples.
    pub summary: Summary,
    /// Difference to no plug on the remaining examples.
    pub over_base: Result<Contrast, Undefined>,
}

/// One condition on one set.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ConditionOnSet {
    /// What was plugged.
    pub condition: Condition,
    /// The study's metric.
    pub metric: Summary,
    /// Macro-F1, if the cells recorded it.
    pub macro_f1: Option<Summary>,
    /// Matthews correlation coefficient, if the cells recorded it.
    pub mcc: Option<Summary>,
    /// Difference to no plug. On validation and on domains, Holm's family is all layers.
    pub over_base: Result<Contrast, Undefined>,
    /// Difference to the last layer, likewise.
    pub over_last: Result<Contrast, Undefined>,
    /// Without overlapping texts; `None` if there are none or nothing remains.
    pub without_overlap: Option<WithoutOverlap>,
}

/// What a set is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum SetRole {
    /// Everything is chosen on it.
    Validation,
    /// The task's own test set.
    Test,
    /// Another domain.
    Domain,
}

/// All conditions on one set.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SetAnswer {
    /// Name of the task or domain.
    pub name: String,
    /// What it is for.
    pub role: SetRole,
    /// Number of examples.
    pub examples: usize,
    /// How many of them have a text that also stands in the training set.
    pub overlapping: usize,
    /// Conditions with a finished cell: layers by index, then controls by name.
    pub conditions: Vec<ConditionOnSet>,
}

impl SetAnswer {
    /// The row of a condition.
    pub fn get(&self, condition: &Condition) -> Option<&ConditionOnSet> {
        self.conditions.iter().find(|row| row.condition == *condition)
    }
}

/// The chosen layer against something else, on the set that claims are made on. Holm's family is
/// all claims of the answer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Claim {
    /// What the chosen layer is compared with.
    pub against: Condition,
    /// Chosen minus that.
    pub contrast: Contrast,
}

/// The bootstrap probability that a layer is the best on validation.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct BestProbability {
    /// The layer.
    pub layer: usize,
    /// From 0 to 1; they sum to 1 over the layers that were compared.
    pub probability: f64,
}

/// How much better than the truth the best of the layers would look if all were equal.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct LuckOfTheBest {
    /// Layers that were compared.
    pub layers: usize,
    /// Standard deviation over seeds within a layer, seed effects common to all layers removed.
    pub seed_deviation: f64,
    /// Expected excess of the best layer's mean.
    pub excess: f64,
}

/// How many cells there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Finished {
    /// Planned cells.
    pub planned: usize,
    /// Finished cells.
    pub finished: usize,
}

/// The answer to a layer study.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LayerAnswer {
    /// Name of the LLM.
    pub llm: String,
    /// Name of the small model.
    pub slm: String,
    /// Name of the task.
    pub task: String,
    /// Name of the metric.
    pub metric: String,
    /// Layers of the LLM.
    pub layers: usize,
    /// Planned layers, ascending.
    pub planned_layers: Vec<usize>,
    /// Seeds with a finished cell, ascending.
    pub seeds: Vec<u64>,
    /// Cells planned and finished.
    pub finished: Finished,
    /// All conditions on the validation set.
    pub validation: SetAnswer,
    /// All conditions on the test set, if there is one.
    pub test: Option<SetAnswer>,
    /// All conditions on the other domains.
    pub domains: Vec<SetAnswer>,
    /// The layer with the best mean on validation.
    pub chosen: usize,
    /// Seeds on which the layers were compared for the choice.
    pub compared_seeds: Vec<u64>,
    /// Every compared layer against the chosen one, on validation, by layer.
    pub behind: Vec<LayerBehind>,
    /// Layers that cannot be told apart from the best one, the chosen layer included, ascending.
    pub tied: Vec<usize>,
    /// P(best) of every compared layer, by layer.
    pub best_probability: Vec<BestProbability>,
    /// What the set of the claims is: the test set where there is one, else validation.
    pub claims_on: SetRole,
    /// The chosen layer against no plug, the last layer and the controls.
    pub claims: Vec<Claim>,
    /// The smallest difference to no plug that this study detects with a power of 80%.
    pub detectable: Result<f64, Undefined>,
    /// Luck of the best of the compared layers; a reason with one layer or one seed.
    pub luck: Result<LuckOfTheBest, Undefined>,
    /// The chosen layer's mean on validation without what picking the best of the compared layers
    /// flatters; its position is that in [`LayerAnswer::behind`].
    pub corrected: Result<Corrected, Undefined>,
    /// Resamples behind the bootstrap intervals.
    pub resamples: usize,
    /// What the reader must know.
    pub warnings: Vec<Warning>,
}

impl LayerAnswer {
    /// The LLM's last layer, the published choice.
    pub fn last(&self) -> usize {
        self.layers.saturating_sub(1)
    }

    /// The set that the claims are made on.
    pub fn claim_set(&self) -> &SetAnswer {
        self.test.as_ref().unwrap_or(&self.validation)
    }

    /// The claim against one condition.
    pub fn claim(&self, against: &Condition) -> Option<&Claim> {
        self.claims.iter().find(|claim| claim.against == *against)
    }

    /// Whether a condition's test result is reported: the chosen layer, the last one, the controls.
    pub fn is_reported(&self, condition: &Condition) -> bool {
        condition.layer().is_none_or(|layer| layer == self.chosen || layer == self.last())
    }
}

impl LayerStudy {
    /// Answers the study.
    ///
    /// # Errors
    /// [`Error`] if no layer finished, or if the cells do not fit together.
    pub fn answer(&self) -> Result<LayerAnswer, Error> {
        self.check()?;
        let last = Condition::Layer(self.layers - 1);
        let validation =
            SetComparison::new(self, &self.validation, SetRole::Validation, |cell| Some(&cell.validation))?
                .ok_or(Error::NoFinishedLayer)?;
        let test = match &self.test {
            Some(set) => SetComparison::new(self, set, SetRole::Test, |cell| cell.test.as_ref())?,
            None => None,
        };
        let choice = choice::choose(self, &validation)?;
        let claim_set =
            test.as_ref().filter(|test| test.has(&Condition::Layer(choice.chosen))).unwrap_or(&validation);
        let claims = claim_set.claims(&Condition::Layer(choice.chosen), &last)?;
        let claims_on = claim_set.role();

        let mut domains = Vec::new();
        for (position, set) in self.domains.iter().enumerate() {
            let compared =
                SetComparison::new(self, set, SetRole::Domain, |cell| cell.domains[position].as_ref())?;
            domains.extend(compared.map(|compared| compared.answer(&last)).transpose()?);
        }
        let mut seeds: Vec<u64> = self.cells.iter().map(|cell| cell.seed).collect();
        seeds.sort_unstable();
        seeds.dedup();
        let mut planned_layers: Vec<usize> = self.planned.iter().filter_map(Condition::layer).collect();
        planned_layers.extend(self.cells.iter().filter_map(|cell| cell.condition.layer()));
        planned_layers.sort_unstable();
        planned_layers.dedup();
        let planned = (self.planned.len() * self.seeds.len()).max(self.cells.len());
        let mut answer = LayerAnswer {
            llm: self.llm.clone(),
            slm: self.slm.clone(),
            task: self.task.clone(),
            metric: self.metric.clone(),
            layers: self.layers,
            planned_layers,
            seeds,
            finished: Finished { planned, finished: self.cells.len() },
            luck: luck(&choice.means),
            validation: validation.answer(&last)?,
            test: test.as_ref().map(|test| test.answer(&last)).transpose()?,
            domains,
            chosen: choice.chosen,
            compared_seeds: choice.seeds,
            tied: choice.behind.iter().filter(|layer| layer.tied).map(|layer| layer.layer).collect(),
            behind: choice.behind,
            corrected: choice.corrected,
            best_probability: choice.probabilities,
            claims_on,
            detectable: detectable(&claims),
            claims,
            resamples: self.resampling.resamples,
            warnings: Vec::new(),
        };
        answer.warnings = super::warning::collect(&answer);
        Ok(answer)
    }
}

/// From the standard error that was measured.
fn detectable(claims: &[Claim]) -> Result<f64, Undefined> {
    let base = claims.iter().find(|claim| claim.against.is_base()).ok_or(Undefined::NoReference)?;
    detectable_with(base.contrast.estimate.standard_error, Demand::default())
}

/// `means[layer][seed]`: the residuals of layer and seed means have (L - 1)(S - 1) degrees of
/// freedom.
fn luck(means: &[Vec<f64>]) -> Result<LuckOfTheBest, Undefined> {
    let layers = means.len();
    let seeds = means.first().map_or(0, Vec::len);
    if layers < 2 || seeds < 2 {
        return Err(Undefined::OneObservation);
    }
    let mean = |values: &mut dyn Iterator<Item = f64>, count: usize| values.sum::<f64>() / count as f64;
    let of_layer: Vec<f64> = means.iter().map(|row| mean(&mut row.iter().copied(), seeds)).collect();
    let of_seed: Vec<f64> =
        (0..seeds).map(|seed| mean(&mut means.iter().map(|row| row[seed]), layers)).collect();
    let grand = mean(&mut of_layer.iter().copied(), layers);
    let squares: f64 = (0..layers)
        .flat_map(|layer| (0..seeds).map(move |seed| (layer, seed)))
        .map(|(layer, seed)| (means[layer][seed] - of_layer[layer] - of_seed[seed] + grand).powi(2))
        .sum();
    let seed_deviation = (squares / ((layers - 1) * (seeds - 1)) as f64).sqrt();
    let excess = expected_maximum(layers) * seed_deviation / (seeds as f64).sqrt();
    Ok(LuckOfTheBest { layers, seed_deviation, excess })
}
