//! From the runs of a plan to the arrays that a layer study is answered from.

use std::collections::BTreeSet;

use super::layers::{Cell, Condition, ExampleSet, LayerStudy, Outcome};
use super::statistics::Resampling;
use crate::error::Failure;
use crate::runs::record::Metrics;
use crate::runs::{self, Overlap, RunRecord, Store, TaskPredictions};
use crate::seed::Seed;
use crate::sweep::Plan;

/// A plan's finished cells, and those of its runs that cannot be read.
pub struct Collected {
    /// What the answer is computed from.
    pub study: LayerStudy,
    /// Records of the finished cells, in the order of the plan.
    pub records: Vec<RunRecord>,
    /// Cell and reason of runs that stand in their place and cannot be read.
    pub unreadable: Vec<(String, String)>,
}

/// Reads every finished cell of a plan. A run that cannot be read is named and left out.
///
/// # Errors
/// A store that cannot be listed.
pub fn layer_study(plan: &Plan, store: &Store) -> Result<Collected, Failure> {
    let inputs = &plan.inputs;
    let home = &inputs.task.name;
    let mut cells = Vec::new();
    let mut records = Vec::new();
    let mut unreadable = Vec::new();
    let mut test = ExampleSet { name: home.clone(), overlapping: BTreeSet::new() };
    let mut domains: Vec<ExampleSet> = inputs
        .eval
        .iter()
        .map(|task| ExampleSet { name: task.name.clone(), overlapping: BTreeSet::new() })
        .collect();
    for planned in &plan.cells {
        if !store.is_done(&planned.id)? {
            continue;
        }
        let read = store.read(&planned.id).and_then(|record| Ok((record, store.predictions(&planned.id)?)));
        let (record, predictions) = match read {
            Ok(read) => read,
            Err(error) => {
                unreadable.push((planned.id.clone(), error.to_string()));
                continue;
            }
        };
        let find = |task: &str, split: &str| {
            predictions.iter().find(|found| found.task == task && found.split == split)
        };
        let Some(validation) = find(home, "validation") else {
            unreadable.push((planned.id.clone(), "it has no predictions for validation".to_owned()));
            continue;
        };
        let own_test = find(home, "test");
        note_overlap(own_test, &mut test);
        let foreign: Vec<Option<&TaskPredictions>> =
            inputs.eval.iter().map(|task| find(&task.name, "test")).collect();
        for (found, set) in foreign.iter().zip(&mut domains) {
            note_overlap(*found, set);
        }
        let evaluated = |found: &TaskPredictions| {
            let evaluations = record.result.iter().flat_map(|result| &result.evaluations);
            let metrics = evaluations.into_iter().find(|it| it.task == found.task && it.split == found.split);
            outcome(found, metrics.map(|it| &it.metrics))
        };
        cells.push(Cell {
            condition: condition(planned.condition),
            seed: planned.seed.0,
            validation: outcome(validation, record.validation()),
            test: own_test.map(evaluated),
            domains: foreign.into_iter().map(|found| found.map(evaluated)).collect(),
        });
        records.push(record);
    }
    let planned: BTreeSet<Condition> = plan.cells.iter().map(|cell| condition(cell.condition)).collect();
    let seeds: BTreeSet<u64> = plan.cells.iter().map(|cell| cell.seed.0).collect();
    let study = LayerStudy {
        llm: inputs.llm.name.clone(),
        slm: inputs.slm.name.clone(),
        task: home.clone(),
        metric: "accuracy".to_owned(),
        layers: inputs.llm.layers,
        planned: planned.into_iter().collect(),
        seeds: seeds.into_iter().collect(),
        validation: ExampleSet { name: home.clone(), overlapping: BTreeSet::new() },
        test: Some(test),
        domains,
        cells,
        resampling: Resampling::new(Seed(plan.study.split_seed).derive("resampling")),
    };
    Ok(Collected { study, records, unreadable })
}

pub(crate) fn condition(condition: runs::Condition) -> Condition {
    match condition {
        runs::Condition::Layer(layer) => Condition::Layer(layer),
        runs::Condition::Control(control) => Condition::Control(control.name().to_owned()),
    }
}

fn note_overlap(predictions: Option<&TaskPredictions>, set: &mut ExampleSet) {
    if let (Some(found), true) = (predictions, set.overlapping.is_empty()) {
        let pairs = found.example_ids.iter().zip(&found.overlap);
        set.overlapping = pairs.filter(|(_, it)| **it != Overlap::None).map(|(id, _)| *id).collect();
    }
}

fn outcome(predictions: &TaskPredictions, metrics: Option<&Metrics>) -> Outcome {
    let pairs = predictions.gold.iter().zip(&predictions.predicted);
    Outcome {
        ids: predictions.example_ids.clone(),
        scores: pairs.map(|(gold, predicted)| f64::from(u8::from(gold == predicted))).collect(),
        macro_f1: metrics.map(|metrics| metrics.macro_f1),
        mcc: metrics.map(|metrics| metrics.mcc),
    }
}
