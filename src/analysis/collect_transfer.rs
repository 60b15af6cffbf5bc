//! From the runs of several plans, one a training task, to the arrays of a transfer study.

use std::collections::{BTreeMap, BTreeSet};

use super::layers::Outcome;
use super::statistics::Resampling;
use super::transfer::{Domain, Run, TransferStudy};
use crate::error::Failure;
use crate::runs::{Overlap, RunRecord, Store, TaskPredictions};
use crate::seed::Seed;
use crate::sweep::{Plan, TaskAt};

/// The plans' finished cells, and those of their runs that cannot be read.
pub struct CollectedTransfer {
    /// What the answer is computed from.
    pub study: TransferStudy,
    /// Records of the finished cells.
    pub records: Vec<RunRecord>,
    /// Cell and reason of runs that stand in their place and cannot be read.
    pub unreadable: Vec<(String, String)>,
}

/// Reads every finished cell of the plans. Tasks are matched by name; those trained on come first,
/// in the order of the plans.
///
/// # Errors
/// A store that cannot be listed; no plan at all.
pub fn transfer_study(plans: &[Plan], store: &Store) -> Result<CollectedTransfer, Failure> {
    let Some(first) = plans.first() else { return Err(super::transfer::Error::NoRun.into()) };
    let mut tasks: Vec<&TaskAt> = Vec::new();
    let homes = plans.iter().map(|plan| &plan.inputs.task);
    for task in homes.chain(plans.iter().flat_map(|plan| &plan.inputs.eval)) {
        if !tasks.iter().any(|known| known.name == task.name) {
            tasks.push(task);
        }
    }
    let place = |name: &str| tasks.iter().position(|task| task.name == name);
    let mut collected = (Vec::new(), Vec::new(), Vec::new());
    let mut shared: BTreeMap<(usize, usize), BTreeSet<u64>> = BTreeMap::new();
    for (trained, plan) in plans.iter().enumerate() {
        for cell in &plan.cells {
            if !store.is_done(&cell.id)? {
                continue;
            }
            let read = store.read(&cell.id).and_then(|record| Ok((record, store.predictions(&cell.id)?)));
            let (record, predictions) = match read {
                Ok(read) => read,
                Err(error) => {
                    collected.2.push((cell.id.clone(), error.to_string()));
                    continue;
                }
            };
            let Some(validation) = record.validation().map(|metrics| metrics.accuracy) else {
                collected.2.push((cell.id.clone(), "it has no validation".to_owned()));
                continue;
            };
            let mut tests = vec![None; tasks.len()];
            for found in predictions.iter().filter(|found| found.split == "test") {
                let Some(tested) = place(&found.task) else { continue };
                let ids = found.example_ids.iter().zip(&found.overlap);
                let also = ids.filter(|(_, overlap)| **overlap != Overlap::None).map(|(id, _)| *id);
                shared.entry((trained, tested)).or_insert_with(|| also.collect());
                tests[tested] = Some(outcome(found));
            }
            collected.0.push(Run {
                condition: super::collect::condition(cell.condition),
                trained,
                seed: cell.seed.0,
                validation,
                training: None,
                tests,
            });
            collected.1.push(record);
        }
    }
    shared.retain(|_, ids| !ids.is_empty());
    let seeds: BTreeSet<u64> = plans.iter().flat_map(|plan| &plan.cells).map(|cell| cell.seed.0).collect();
    let study = TransferStudy {
        llm: first.inputs.llm.name.clone(),
        slm: first.inputs.slm.name.clone(),
        metric: "accuracy".to_owned(),
        layers: first.inputs.llm.layers,
        domains: tasks
            .iter()
            .map(|task| Domain { name: task.name.clone(), labels: task.labels.clone() })
            .collect(),
        trained: (0..plans.len()).collect(),
        seeds: seeds.into_iter().collect(),
        runs: collected.0,
        shared,
        resampling: Resampling::new(Seed(first.study.split_seed).derive("resampling")),
    };
    Ok(CollectedTransfer { study, records: collected.1, unreadable: collected.2 })
}

fn outcome(predictions: &TaskPredictions) -> Outcome {
    let pairs = predictions.gold.iter().zip(&predictions.predicted);
    Outcome {
        ids: predictions.example_ids.clone(),
        scores: pairs.map(|(gold, predicted)| f64::from(u8::from(gold == predicted))).collect(),
        macro_f1: None,
        mcc: None,
    }
}
