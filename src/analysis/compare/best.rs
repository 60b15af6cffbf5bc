//! The best of several conditions, with and without what being picked as the best flatters: the same
//! correction as that of a layer study's chosen layer.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Group, OfSet, protocol};
use crate::analysis::statistics::bootstrap::Drawn;
use crate::analysis::statistics::estimate::or_reason;
use crate::analysis::statistics::winner::{Corrected, correct_best};
use crate::analysis::statistics::{Resampling, Undefined};

/// The best of the conditions that can be compared with each other.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Best {
    /// The set compared on.
    pub set: String,
    /// Names of the conditions that it was picked from.
    pub among: Vec<String>,
    /// Seeds that all of them have: only these are compared.
    pub seeds: Vec<u64>,
    /// The value as observed and corrected; its position is that in `among`.
    #[serde(serialize_with = "or_reason")]
    pub corrected: Result<Corrected, Undefined>,
}

impl Best {
    /// Name of the best condition.
    pub fn name(&self) -> Option<&str> {
        self.among.get(self.corrected.as_ref().ok()?.condition).map(String::as_str)
    }
}

/// One best a family of at least two conditions that can be compared with each other.
pub(super) fn best(groups: &[Group], drawn: &BTreeMap<Vec<u64>, OfSet>, resampling: Resampling) -> Vec<Best> {
    let mut families: Vec<Vec<&Group>> = Vec::new();
    for group in groups {
        let fits =
            |family: &&mut Vec<&Group>| family.iter().all(|it| protocol::obstacles(it, group).is_empty());
        match families.iter_mut().find(fits) {
            Some(family) => family.push(group),
            None => families.push(vec![group]),
        }
    }
    families
        .into_iter()
        .filter(|family| family.len() > 1)
        .map(|it| of_family(&it, drawn, resampling))
        .collect()
}

fn of_family(family: &[&Group], drawn: &BTreeMap<Vec<u64>, OfSet>, resampling: Resampling) -> Best {
    let has = |group: &Group, seed: u64| group.runs.iter().any(|run| run.seed == seed);
    let seeds: Vec<u64> = family[0]
        .runs
        .iter()
        .map(|run| run.seed)
        .filter(|seed| family.iter().all(|group| has(group, *seed)))
        .collect();
    let set = &family[0].runs[0].ids;
    let corrected = || -> Result<Corrected, Undefined> {
        if seeds.is_empty() {
            return Err(Undefined::NoCommonSeed);
        }
        let of_set = drawn.get(set).ok_or(Undefined::NoObservations)?;
        let replicates = of_set.replicates.as_ref().map_err(Clone::clone)?;
        let of = |group: &&Group| {
            let runs = group.runs.iter().filter(|run| seeds.contains(&run.seed));
            replicates.condition(&runs.map(|run| of_set.places[&run.cell]).collect::<Vec<_>>())
        };
        let conditions: Vec<Drawn> = family.iter().map(of).collect::<Result<_, _>>()?;
        correct_best(&conditions, resampling.confidence, set.len())
    };
    Best {
        set: family[0].set.clone(),
        among: family.iter().map(|group| group.name.clone()).collect(),
        corrected: corrected(),
        seeds,
    }
}
