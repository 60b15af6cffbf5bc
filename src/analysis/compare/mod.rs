//! Runs against runs, by their stored predictions: which condition is better, by how much, and how
//! sure is that. Runs that differ in nothing but the seed are seeds of one condition; conditions are
//! compared in pairs, example by example and seed by seed.
//!
//! What may not be compared is named and left out: other tasks, label spaces, data or selection
//! rules, and numbers with and without a published defect. The rest is compared all the same.

mod across;
mod best;
mod gather;
mod overlap;
mod pair;
mod protocol;
mod selector;

use std::collections::BTreeMap;

use serde::Serialize;

pub use across::{AcrossSets, Block};
pub use best::Best;
pub use gather::{Evaluated, Gathered, Group, Left, Run, Wanted, gather};
pub use overlap::WithoutOverlap;
pub use pair::{DiscordantSeed, Effects, Pair};
pub use protocol::Obstacle;
pub use selector::Selector;

use super::statistics::bootstrap::Replicates;
use super::statistics::estimate::{Undefined, mean, or_reason};
use super::statistics::multiple::holm;
use super::statistics::proportion::wilson;
use super::statistics::sign_flip::{SEEDS_FOR_FIVE_PERCENT, smallest_two_sided};
use super::statistics::{Estimate, Resampling};

/// Why nothing can be compared.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No run was named.
    #[error("nothing to compare is named: expected two runs or conditions, or `--study`")]
    Nothing,
    /// All runs are of one condition.
    #[error("only one condition is left to compare, {0}: expected at least two")]
    OneCondition(String),
    /// Nothing is left of what was named.
    #[error("none of the named runs can be compared")]
    NothingLeft,
    /// Every pair is refused.
    #[error("no two of the {conditions} conditions can be compared: {reasons}")]
    AllRefused {
        /// How many conditions there are.
        conditions: usize,
        /// The reasons, each once.
        reasons: String,
    },
    /// A condition to compare with that is not among the others.
    #[error("`{against}` is none of the conditions: expected one of {}", conditions.join(", "))]
    NoSuchReference {
        /// As typed.
        against: String,
        /// Names of the conditions.
        conditions: Vec<String>,
    },
}

impl crate::error::Diagnose for Error {
    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Nothing => "`pifi-probe runs list` shows the runs; \
                              `pifi-probe compare --study DIR layer:3 base` compares conditions"
                .into(),
            Self::OneCondition(_) => "runs that differ in the seed alone are seeds of one condition".into(),
            Self::AllRefused { .. } => {
                "`pifi-probe runs diff RUN OTHER` shows what two runs differ in".into()
            }
            Self::NothingLeft | Self::NoSuchReference { .. } => return None,
        })
    }

    fn category(&self) -> crate::error::Category {
        match self {
            Self::Nothing | Self::NoSuchReference { .. } => crate::error::Category::Usage,
            _ => crate::error::Category::Failure,
        }
    }
}

/// One condition over its seeds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// What was plugged, with what tells it apart from the others.
    pub name: String,
    /// Seed and id of each run, by seed.
    pub runs: Vec<(u64, String)>,
    /// Examples.
    pub examples: usize,
    /// Accuracy of each run, by seed.
    pub accuracies: Vec<f64>,
    /// Their mean: with a t interval over seeds (n counts seeds), or for one seed with Wilson's
    /// interval over examples (n counts examples).
    #[serde(serialize_with = "or_reason")]
    pub accuracy: Result<Estimate, Undefined>,
}

/// Two conditions that are not compared.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Refused {
    /// Name of the first.
    pub first: String,
    /// Name of the second.
    pub second: String,
    /// Everything that speaks against it.
    pub reasons: Vec<Obstacle>,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// The set compared on, for every task that was trained on: `sst2 test`.
    pub sets: Vec<String>,
    /// What is compared.
    pub metric: &'static str,
    /// The conditions.
    pub conditions: Vec<Summary>,
    /// The pairs that can be compared. Holm's family is all of them.
    pub pairs: Vec<Pair>,
    /// The pairs that cannot.
    pub refused: Vec<Refused>,
    /// The best of the conditions that can be compared with each other, one a family of them.
    pub best: Vec<Best>,
    /// The conditions over several data sets, where at least three share at least two.
    pub across: Option<AcrossSets>,
    /// Resamples behind the bootstrap intervals.
    pub resamples: usize,
    /// What the reader must know.
    pub notes: Vec<String>,
}

/// Compares the groups in pairs: every pair, or everything with the group at `against`.
///
/// # Errors
/// [`Error`] if fewer than two groups are there or no pair can be compared.
pub fn compare(
    groups: &[Group],
    against: Option<usize>,
    resampling: Resampling,
) -> Result<Comparison, crate::error::Failure> {
    match groups {
        [] => return Err(Error::NothingLeft.into()),
        [one] => return Err(Error::OneCondition(one.described()).into()),
        _ => {}
    }
    let drawn = draw(groups, resampling);
    let clean = overlap::CleanParts::draw(groups, resampling);
    let mut pairs = Vec::new();
    let mut refused = Vec::new();
    for (first, second) in wanted_pairs(groups.len(), against) {
        let (a, b) = (&groups[first], &groups[second]);
        let reasons = protocol::obstacles(a, b);
        if reasons.is_empty() {
            let of_set = &drawn[&a.runs[0].ids];
            match pair::compare(a, b, (of_set, &clean), resampling) {
                Ok(pair) => pairs.push(pair),
                Err(reason) => refused.push(Refused::new(a, b, vec![Obstacle::Statistic(reason)])),
            }
        } else {
            refused.push(Refused::new(a, b, reasons));
        }
    }
    if pairs.is_empty() {
        let reasons = distinct_reasons(&refused);
        return Err(Error::AllRefused { conditions: groups.len(), reasons }.into());
    }
    pair::order(&mut pairs, groups, resampling);
    let family: Vec<f64> = pairs.iter().map(|pair| pair.difference.p).collect();
    let exact: Vec<f64> = pairs.iter().map(|pair| pair.mcnemar_exact).collect();
    for ((pair, adjusted), exact) in pairs.iter_mut().zip(holm(&family)).zip(holm(&exact)) {
        pair.p_holm = adjusted;
        pair.mcnemar_holm = exact;
    }
    let mut sets: Vec<String> = groups.iter().map(|group| group.set.clone()).collect();
    sets.sort();
    sets.dedup();
    Ok(Comparison {
        sets,
        metric: "accuracy",
        conditions: groups.iter().map(summary).collect(),
        best: best::best(groups, &drawn, resampling),
        across: across::across(groups, against),
        notes: notes(&pairs),
        pairs,
        refused,
        resamples: resampling.resamples,
    })
}

impl Refused {
    fn new(first: &Group, second: &Group, reasons: Vec<Obstacle>) -> Self {
        Self { first: first.name.clone(), second: second.name.clone(), reasons }
    }
}

/// Resamples of each set of examples with the place of every run in them.
pub(super) struct OfSet {
    replicates: Result<Replicates, Undefined>,
    places: BTreeMap<String, usize>,
}

/// Scores of the runs on one set of examples, and which row is whose.
#[derive(Default)]
struct Rows {
    scores: Vec<Vec<f64>>,
    places: BTreeMap<String, usize>,
}

impl Rows {
    fn add(&mut self, run: &Run, scores: Vec<f64>) {
        self.places.insert(run.cell.clone(), self.scores.len());
        self.scores.push(scores);
    }
}

/// Runs on the same examples share their draws.
fn draw(groups: &[Group], resampling: Resampling) -> BTreeMap<Vec<u64>, OfSet> {
    let mut sets: BTreeMap<&Vec<u64>, Rows> = BTreeMap::new();
    for run in groups.iter().flat_map(|group| &group.runs) {
        sets.entry(&run.ids).or_default().add(run, run.scores.clone());
    }
    let of_set = |(ids, rows): (&Vec<u64>, Rows)| {
        let replicates = Replicates::draw(&rows.scores, resampling);
        (ids.clone(), OfSet { replicates, places: rows.places })
    };
    sets.into_iter().map(of_set).collect()
}

fn wanted_pairs(count: usize, against: Option<usize>) -> Vec<(usize, usize)> {
    match against {
        Some(reference) => (0..count).filter(|&at| at != reference).map(|at| (at, reference)).collect(),
        None => (0..count).flat_map(|a| (a + 1..count).map(move |b| (a, b))).collect(),
    }
}

fn summary(group: &Group) -> Summary {
    let accuracies: Vec<f64> = group.runs.iter().map(Run::accuracy).collect();
    let examples = group.runs[0].ids.len();
    let accuracy = match accuracies.as_slice() {
        [_] => wilson(group.runs[0].scores.iter().filter(|score| **score >= 0.5).count(), examples),
        several => mean(several),
    };
    Summary {
        name: group.name.clone(),
        runs: group.runs.iter().map(|run| (run.seed, run.cell.clone())).collect(),
        examples,
        accuracies,
        accuracy,
    }
}

/// The reasons of all refusals, each once.
pub fn distinct_reasons(refused: &[Refused]) -> String {
    let mut reasons: Vec<String> =
        refused.iter().flat_map(|pair| pair.reasons.iter().map(ToString::to_string)).collect();
    reasons.sort();
    reasons.dedup();
    reasons.join("; ")
}

fn notes(pairs: &[Pair]) -> Vec<String> {
    let mut notes = Vec::new();
    let few = pairs.iter().map(|pair| pair.seeds.len()).min().unwrap_or(0);
    if few == 1 {
        notes.push(
            "one seed only: the intervals are over examples, and how much another seed would change is \
             not measured"
                .to_owned(),
        );
    } else if few < SEEDS_FOR_FIVE_PERCENT {
        notes.push(format!(
            "{few} seeds: the sign-flip test over seeds cannot give a p below {}; the bootstrap and McNemar's \
             test go by examples",
            smallest_two_sided(few)
        ));
    }
    notes
}
