//! What a transfer study consists of, and its outcomes aligned by example for resampling.

use std::collections::{BTreeMap, BTreeSet};

use super::{Error, NotAvailable, name_of, same_label_space};
use crate::analysis::layers::{Condition, Outcome};
use crate::analysis::statistics::bootstrap::{Drawn, Replicates};
use crate::analysis::statistics::{Resampling, Undefined};

/// A task that is trained on, tested on, or both.
#[derive(Clone, Debug, PartialEq)]
pub struct Domain {
    /// Its name.
    pub name: String,
    /// Its classes in their order; empty where nobody knows them.
    pub labels: Vec<String>,
}

/// A finished run.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// What was plugged.
    pub condition: Condition,
    /// The domain that it was trained on.
    pub trained: usize,
    /// Its seed.
    pub seed: u64,
    /// The metric on the validation split of the domain trained on.
    pub validation: f64,
    /// The metric on the training split, where the run recorded it.
    pub training: Option<f64>,
    /// Test outcomes, a place a domain.
    pub tests: Vec<Option<Outcome>>,
}

/// Runs trained on each of several domains and tested on all.
#[derive(Clone, Debug)]
pub struct TransferStudy {
    /// Name of the LLM.
    pub llm: String,
    /// Name of the small model.
    pub slm: String,
    /// Name of the metric that scores average to.
    pub metric: String,
    /// Layers of the LLM.
    pub layers: usize,
    /// All domains; those trained on may be fewer.
    pub domains: Vec<Domain>,
    /// Domains that are trained on.
    pub trained: Vec<usize>,
    /// Seeds that were planned.
    pub seeds: Vec<u64>,
    /// Finished runs.
    pub runs: Vec<Run>,
    /// By (trained, tested): ids of test examples whose texts also stand in the training set.
    pub shared: BTreeMap<(usize, usize), BTreeSet<u64>>,
    /// How to resample.
    pub resampling: Resampling,
}

impl TransferStudy {
    /// Whether test texts of `tested` stand in the training set of `trained`.
    pub(super) fn shares(&self, trained: usize, tested: usize) -> bool {
        self.shared.get(&(trained, tested)).is_some_and(|shared| !shared.is_empty())
    }
}

/// Test outcomes of one domain, aligned by example, with their resamples.
struct Tested {
    ids: Vec<u64>,
    rows: Vec<Vec<f64>>,
    replicates: Replicates,
    /// Row by condition, domain trained on and seed.
    at: BTreeMap<(Condition, usize), BTreeMap<u64, usize>>,
}

/// The study ready for statistics.
pub(super) struct Grid<'a> {
    pub(super) study: &'a TransferStudy,
    tested: Vec<Option<Tested>>,
    /// By (trained, tested): the runs trained there on the test examples whose texts do not stand in
    /// their training set, where some do and some do not.
    clean: BTreeMap<(usize, usize), Tested>,
}

impl<'a> Grid<'a> {
    pub(super) fn new(study: &'a TransferStudy) -> Result<Self, Error> {
        if study.runs.is_empty() {
            return Err(Error::NoRun);
        }
        let domains = study.domains.len();
        let mut seen = BTreeSet::new();
        for run in &study.runs {
            let (condition, seed) = (name_of(&run.condition), run.seed);
            if run.trained >= domains || run.tests.len() != domains {
                let domain = if run.trained >= domains { run.trained } else { run.tests.len() };
                return Err(Error::NoSuchDomain { condition, seed, domain, domains });
            }
            if !seen.insert((&run.condition, run.trained, run.seed)) {
                let domain = study.domains[run.trained].name.clone();
                return Err(Error::Twice { condition, domain, seed });
            }
        }
        let tested = (0..domains).map(|domain| aligned(study, domain, None)).collect::<Result<_, _>>()?;
        let mut clean = BTreeMap::new();
        for (&(trained, tested), shared) in study.shared.iter().filter(|(_, shared)| !shared.is_empty()) {
            if tested < domains {
                let found = aligned(study, tested, Some((trained, shared)))?;
                clean.extend(found.map(|found| ((trained, tested), found)));
            }
        }
        Ok(Self { study, tested, clean })
    }

    /// Every condition with a run: layers in order, then controls.
    pub(super) fn conditions(&self) -> BTreeSet<&'a Condition> {
        self.study.runs.iter().map(|run| &run.condition).collect()
    }

    /// Why a field cannot have a number, whatever was run.
    pub(super) fn comparable(&self, trained: usize, tested: usize) -> Result<(), NotAvailable> {
        let labels = |domain: usize| &self.study.domains[domain].labels;
        if labels(trained).is_empty() || labels(tested).is_empty() {
            return Ok(());
        }
        same_label_space(labels(trained), labels(tested)).map_err(NotAvailable::Labels)
    }

    /// Rows of a field by seed.
    fn rows(
        &self,
        condition: &Condition,
        trained: usize,
        tested: usize,
    ) -> Result<(&Tested, &BTreeMap<u64, usize>), NotAvailable> {
        self.comparable(trained, tested)?;
        let found = self.tested[tested].as_ref().ok_or(NotAvailable::NotEvaluated)?;
        let rows = found.at.get(&(condition.clone(), trained)).ok_or(NotAvailable::NoRun)?;
        Ok((found, rows))
    }

    /// Examples that a domain is tested on.
    pub(super) fn examples(&self, tested: usize) -> usize {
        self.tested[tested].as_ref().map_or(0, |tested| tested.ids.len())
    }

    /// Accuracy of every seed in a field.
    pub(super) fn seeds(
        &self,
        condition: &Condition,
        trained: usize,
        tested: usize,
    ) -> Result<Vec<(u64, f64)>, NotAvailable> {
        let (found, rows) = self.rows(condition, trained, tested)?;
        Ok(rows.iter().map(|(seed, row)| (*seed, mean(&found.rows[*row]))).collect())
    }

    /// The mean accuracy of a field in every resample, over the given seeds.
    pub(super) fn accuracy(
        &self,
        condition: &Condition,
        (trained, tested): (usize, usize),
        seeds: &[u64],
    ) -> Result<Drawn, NotAvailable> {
        let (found, rows) = self.rows(condition, trained, tested)?;
        let rows: Vec<usize> = seeds.iter().filter_map(|seed| rows.get(seed).copied()).collect();
        if rows.len() != seeds.len() || rows.is_empty() {
            return Err(NotAvailable::Undefined(Undefined::NoCommonSeed));
        }
        Ok(found.replicates.condition(&rows)?)
    }

    /// One run's field minus another's on the same test examples, paired by seed and example, with
    /// the number of seeds.
    pub(super) fn difference(
        &self,
        (condition, trained): (&Condition, usize),
        (other, other_trained): (&Condition, usize),
        tested: usize,
    ) -> Result<(Drawn, usize), NotAvailable> {
        let (found, rows) = self.rows(condition, trained, tested)?;
        let (_, others) = self.rows(other, other_trained, tested)?;
        let pairs = pairs(rows, others);
        Ok((found.replicates.drawn_difference(&pairs)?, pairs.len()))
    }

    /// Test examples of a field that are left without the texts that stand in the training set of
    /// `trained`; `None` where none does, or all do.
    pub(super) fn clean_examples(&self, trained: usize, tested: usize) -> Option<usize> {
        self.clean.get(&(trained, tested)).map(|clean| clean.ids.len())
    }

    /// On those examples, the mean accuracy over seeds and the difference to another condition that
    /// was trained there, paired by seed and example, with the number of seeds.
    pub(super) fn without_shared(
        &self,
        (condition, other): (&Condition, &Condition),
        trained: usize,
        tested: usize,
    ) -> Option<(f64, PairedDifference)> {
        self.comparable(trained, tested).ok()?;
        let clean = self.clean.get(&(trained, tested))?;
        let of = |condition: &Condition| clean.at.get(&(condition.clone(), trained));
        let rows = of(condition)?;
        let accuracy = rows.values().map(|row| mean(&clean.rows[*row])).sum::<f64>() / rows.len() as f64;
        let difference = of(other).ok_or(NotAvailable::NoRun).and_then(|others| {
            let pairs = pairs(rows, others);
            Ok((clean.replicates.drawn_difference(&pairs)?, pairs.len()))
        });
        Some((accuracy, difference))
    }
}

/// Replicates of a difference, and the number of seeds that it has; or why there is none.
pub(super) type PairedDifference = Result<(Drawn, usize), NotAvailable>;

fn pairs(first: &BTreeMap<u64, usize>, second: &BTreeMap<u64, usize>) -> Vec<(usize, usize)> {
    first.iter().filter_map(|(seed, a)| second.get(seed).map(|b| (*a, *b))).collect()
}

pub(super) fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Outcomes of a domain; of those runs only that were trained on `of`, and without the examples that
/// they share with it.
fn aligned(
    study: &TransferStudy,
    domain: usize,
    of: Option<(usize, &BTreeSet<u64>)>,
) -> Result<Option<Tested>, Error> {
    let name = || study.domains[domain].name.clone();
    let mut ids: Option<Vec<u64>> = None;
    let mut rows = Vec::new();
    let mut at: BTreeMap<(Condition, usize), BTreeMap<u64, usize>> = BTreeMap::new();
    let left_out = |id: &u64| of.is_some_and(|(_, shared)| shared.contains(id));
    for run in study.runs.iter().filter(|run| of.is_none_or(|(trained, _)| run.trained == trained)) {
        let Some(outcome) = &run.tests[domain] else { continue };
        let mut order: Vec<usize> = (0..outcome.ids.len()).collect();
        order.sort_by_key(|&place| outcome.ids[place]);
        let sorted: Vec<u64> = order.iter().map(|&place| outcome.ids[place]).collect();
        let known = ids.get_or_insert_with(|| sorted.clone());
        let ragged = outcome.ids.len() != outcome.scores.len();
        if ragged || *known != sorted || sorted.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(Error::DifferentExamples {
                condition: name_of(&run.condition),
                trained: study.domains[run.trained].name.clone(),
                seed: run.seed,
                tested: name(),
            });
        }
        at.entry((run.condition.clone(), run.trained)).or_default().insert(run.seed, rows.len());
        let kept = order.iter().filter(|&&place| !left_out(&outcome.ids[place]));
        rows.push(kept.map(|&place| outcome.scores[place]).collect());
    }
    let Some(mut ids) = ids else { return Ok(None) };
    ids.retain(|id| !left_out(id));
    if of.is_some() && ids.is_empty() {
        return Ok(None);
    }
    // examples of different domains are drawn apart, seeds in common
    let draws = study.resampling.seed.derive("examples").derive(&study.domains[domain].name);
    let replicates = Replicates::draw_set(&rows, draws, study.resampling)
        .map_err(|reason| Error::Statistic { domain: name(), reason })?;
    Ok(Some(Tested { ids, rows, replicates, at }))
}
