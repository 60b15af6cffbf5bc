//! All conditions on one set of examples: means over seeds, paired differences, overlap.

use super::Error;
use super::answer::{Claim, ConditionOnSet, Contrast, SetAnswer, SetRole, Summary, WithoutOverlap};
use super::study::{Aligned, Cell, Condition, ExampleSet, LayerStudy, Outcome};
use crate::analysis::statistics::bootstrap::Drawn;
use crate::analysis::statistics::multiple::holm;
use crate::analysis::statistics::sign_flip::sign_flip;
use crate::analysis::statistics::{Replicates, Resampling, Undefined, mean};

/// The resampled outcomes of all cells on one set.
pub(super) struct SetComparison {
    name: String,
    role: SetRole,
    aligned: Aligned,
    whole: Resampled,
    overlapping: usize,
    without_overlap: Option<Resampled>,
    resampling: Resampling,
}

/// Replicates with the means that they belong to.
struct Resampled {
    replicates: Replicates,
    means: Vec<f64>,
}

impl Resampled {
    fn new(rows: &[Vec<f64>], resampling: Resampling) -> Result<Self, Undefined> {
        let replicates = Replicates::draw(rows, resampling)?;
        let means = rows.iter().map(|row| row.iter().sum::<f64>() / row.len() as f64).collect();
        Ok(Self { replicates, means })
    }
}

impl SetComparison {
    /// `None` if no cell was evaluated on the set.
    pub(super) fn new(
        study: &LayerStudy,
        set: &ExampleSet,
        role: SetRole,
        outcome: impl Fn(&Cell) -> Option<&Outcome>,
    ) -> Result<Option<Self>, Error> {
        let Some(aligned) = study.align(&set.name, outcome)? else { return Ok(None) };
        let wrap = |reason| Error::Statistic { set: set.name.clone(), reason };
        // every set draws for itself
        let seed = study.resampling.seed.derive(&format!("{role:?} {}", set.name));
        let resampling = Resampling { seed, ..study.resampling };
        let whole = Resampled::new(&aligned.rows, resampling).map_err(wrap)?;
        let (kept_rows, kept) = aligned.without(&set.overlapping);
        let overlapping = aligned.ids.len() - kept;
        let without_overlap = (overlapping > 0 && kept > 0)
            .then(|| Resampled::new(&kept_rows, resampling))
            .transpose()
            .map_err(wrap)?;
        Ok(Some(Self {
            name: set.name.clone(),
            role,
            aligned,
            whole,
            overlapping,
            without_overlap,
            resampling,
        }))
    }

    pub(super) fn role(&self) -> SetRole {
        self.role
    }

    pub(super) fn examples(&self) -> usize {
        self.aligned.ids.len()
    }

    pub(super) fn conditions(&self) -> impl Iterator<Item = &Condition> {
        self.aligned.cells.keys()
    }

    pub(super) fn has(&self, condition: &Condition) -> bool {
        self.aligned.cells.contains_key(condition)
    }

    pub(super) fn seeds_of(&self, condition: &Condition) -> Vec<u64> {
        self.aligned.cells.get(condition).map_or_else(Vec::new, |cells| cells.keys().copied().collect())
    }

    /// The condition's mean over the given seeds in every resample; it must have them all.
    pub(super) fn drawn(&self, condition: &Condition, seeds: &[u64]) -> Result<Drawn, Undefined> {
        self.whole.replicates.condition(&self.rows_of(condition, seeds))
    }

    pub(super) fn means_of(&self, condition: &Condition, seeds: &[u64]) -> Vec<f64> {
        self.rows_of(condition, seeds).iter().map(|&row| self.whole.means[row]).collect()
    }

    fn rows_of(&self, condition: &Condition, seeds: &[u64]) -> Vec<usize> {
        let cells = self.aligned.cells.get(condition);
        seeds.iter().filter_map(|seed| cells.and_then(|cells| cells.get(seed)).copied()).collect()
    }

    /// The chosen layer against no plug, the last layer and every other control.
    pub(super) fn claims(&self, chosen: &Condition, last: &Condition) -> Result<Vec<Claim>, Error> {
        let mut others: Vec<Condition> = vec![Condition::base(), last.clone()];
        others.extend(self.conditions().filter(|other| other.layer().is_none() && !other.is_base()).cloned());
        let mut claims: Vec<Claim> = Vec::new();
        for against in others {
            match self.contrast(&self.whole, chosen, &against) {
                Ok(contrast) => claims.push(Claim { against, contrast }),
                Err(Undefined::Itself | Undefined::NoReference | Undefined::NoCommonSeed) => {}
                Err(reason) => return Err(Error::Statistic { set: self.name.clone(), reason }),
            }
        }
        correct(claims.iter_mut().map(|claim| &mut claim.contrast));
        Ok(claims)
    }

    /// Everything about the set. On the test set no correction is made here: its claims have
    /// their own family.
    pub(super) fn answer(&self, last: &Condition) -> Result<SetAnswer, Error> {
        let wrap = |reason| Error::Statistic { set: self.name.clone(), reason };
        let base = Condition::base();
        let mut conditions = Vec::new();
        for condition in self.conditions() {
            let summary = |values: &[f64]| self.summary(condition, values);
            let macro_f1 = self.whole_set(condition, |row| row.0);
            let mcc = self.whole_set(condition, |row| row.1);
            let without_overlap = match &self.without_overlap {
                Some(part) => Some(WithoutOverlap {
                    summary: summary(&part.means).map_err(wrap)?,
                    over_base: self.contrast(part, condition, &base),
                }),
                None => None,
            };
            conditions.push(ConditionOnSet {
                condition: condition.clone(),
                metric: summary(&self.whole.means).map_err(wrap)?,
                macro_f1,
                mcc,
                over_base: self.contrast(&self.whole, condition, &base),
                over_last: self.contrast(&self.whole, condition, last),
                without_overlap,
            });
        }
        if self.role != SetRole::Test {
            let layers = || |row: &&mut ConditionOnSet| row.condition.layer().is_some();
            correct(conditions.iter_mut().filter(layers()).filter_map(|row| row.over_base.as_mut().ok()));
            correct(conditions.iter_mut().filter(layers()).filter_map(|row| row.over_last.as_mut().ok()));
        }
        Ok(SetAnswer {
            name: self.name.clone(),
            role: self.role,
            examples: self.examples(),
            overlapping: self.overlapping,
            conditions,
        })
    }

    fn contrast(&self, of: &Resampled, first: &Condition, second: &Condition) -> Result<Contrast, Undefined> {
        if first == second {
            return Err(Undefined::Itself);
        }
        if !self.has(second) {
            return Err(Undefined::NoReference);
        }
        let pairs: Vec<(usize, usize)> =
            self.aligned.pairs(first, second).into_iter().map(|(_, pair)| pair).collect();
        let tested = of.replicates.difference(&pairs)?;
        let by_seed: Vec<f64> = pairs.iter().map(|&(a, b)| of.means[a] - of.means[b]).collect();
        Ok(Contrast {
            estimate: tested.estimate,
            seeds: tested.seeds,
            p: tested.p,
            p_holm: None,
            sign_flip: sign_flip(&by_seed, self.resampling.seed),
        })
    }

    fn summary(&self, condition: &Condition, values: &[f64]) -> Result<Summary, Undefined> {
        let seeds = self.seeds_of(condition);
        let rows = self.rows_of(condition, &seeds);
        summarise(seeds.into_iter().zip(rows).map(|(seed, row)| (seed, values[row])).collect())
    }

    /// Macro-F1 or MCC, if all the condition's cells recorded a finite one.
    fn whole_set(
        &self,
        condition: &Condition,
        pick: impl Fn(&(Option<f64>, Option<f64>)) -> Option<f64>,
    ) -> Option<Summary> {
        let seeds = self.seeds_of(condition);
        let rows = self.rows_of(condition, &seeds);
        let values: Option<Vec<(u64, f64)>> = seeds
            .into_iter()
            .zip(rows)
            .map(|(seed, row)| pick(&self.aligned.whole_set[row]).map(|value| (seed, value)))
            .collect();
        values.and_then(|values| summarise(values).ok())
    }
}

fn summarise(seeds: Vec<(u64, f64)>) -> Result<Summary, Undefined> {
    let values: Vec<f64> = seeds.iter().map(|(_, value)| *value).collect();
    let (average, _) = crate::analysis::statistics::estimate::moments(&values)?;
    Ok(Summary { mean: average, interval: mean(&values), seeds })
}

fn correct<'a>(contrasts: impl Iterator<Item = &'a mut Contrast>) {
    let mut contrasts: Vec<&mut Contrast> = contrasts.collect();
    let p: Vec<f64> = contrasts.iter().map(|contrast| contrast.p).collect();
    for (contrast, adjusted) in contrasts.iter_mut().zip(holm(&p)) {
        contrast.p_holm = Some(adjusted);
    }
}
