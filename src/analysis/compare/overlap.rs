//! The examples whose texts do not stand in the training set, resampled once for all runs that were
//! trained on one task and are compared on one set.

use std::collections::BTreeMap;

use serde::Serialize;

use super::gather::Run;
use super::{Group, OfSet, Rows};
use crate::analysis::statistics::bootstrap::{Replicates, Resampling, Tested};
use crate::analysis::statistics::estimate::{Undefined, or_reason};

/// Two conditions without the examples whose texts stand in the training set.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct WithoutOverlap {
    /// Examples that stand there, exactly or nearly.
    pub overlapping: usize,
    /// Examples that are left.
    pub examples: usize,
    /// First minus second on those, with the two-level paired bootstrap interval; p is not corrected.
    #[serde(serialize_with = "or_reason")]
    pub difference: Result<Tested, Undefined>,
}

/// What is left of a set.
struct Clean {
    overlapping: usize,
    examples: usize,
    drawn: OfSet,
}

/// Clean parts by example ids and the task that was trained on; none where nothing overlaps.
pub(super) struct CleanParts(BTreeMap<(Vec<u64>, String), Clean>);

impl CleanParts {
    pub(super) fn draw(groups: &[Group], resampling: Resampling) -> Self {
        let mut sets: BTreeMap<(&Vec<u64>, &str), Vec<&Run>> = BTreeMap::new();
        for group in groups {
            let runs = sets.entry((&group.runs[0].ids, &group.record.subject.task)).or_default();
            runs.extend(&group.runs);
        }
        let clean = |((ids, task), runs): ((&Vec<u64>, &str), Vec<&Run>)| {
            let overlaps = |at: usize| runs.iter().any(|run| run.overlapping[at]);
            let kept: Vec<usize> = (0..ids.len()).filter(|&at| !overlaps(at)).collect();
            if kept.len() == ids.len() {
                return None;
            }
            let mut rows = Rows::default();
            for run in runs {
                rows.add(run, kept.iter().map(|&at| run.scores[at]).collect());
            }
            let replicates = Replicates::draw(&rows.scores, resampling);
            let drawn = OfSet { replicates, places: rows.places };
            let (examples, overlapping) = (kept.len(), ids.len() - kept.len());
            Some(((ids.clone(), task.to_owned()), Clean { overlapping, examples, drawn }))
        };
        Self(sets.into_iter().filter_map(clean).collect())
    }

    /// The difference of a pair whose runs with a common seed these are.
    pub(super) fn difference(&self, first: &Group, common: &[(&Run, &Run)]) -> Option<WithoutOverlap> {
        let (ids, task) = (&first.runs[0].ids, &first.record.subject.task);
        let clean = self.0.get(&(ids.clone(), task.clone()))?;
        let Clean { overlapping, examples, ref drawn } = *clean;
        let places = common.iter().map(|(a, b)| (drawn.places[&a.cell], drawn.places[&b.cell]));
        let places: Vec<(usize, usize)> = places.collect();
        let replicates = drawn.replicates.as_ref().map_err(Clone::clone);
        let difference = replicates.and_then(|replicates| replicates.difference(&places));
        Some(WithoutOverlap { overlapping, examples, difference })
    }
}
