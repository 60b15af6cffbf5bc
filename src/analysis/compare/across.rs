//! Conditions over several data sets: Friedman's test on the ranks that they take on each, where at
//! least three conditions share at least two sets.
//!
//! A data set here is what runs were trained on together with what they were tested on. Runs of one
//! condition that were trained on different tasks are one method on different data sets.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Group;
use super::gather::{Evaluated, Run, identity};
use super::protocol::{task_differences, under_other_rules};
use crate::analysis::statistics::Undefined;
use crate::analysis::statistics::estimate::or_reason;
use crate::analysis::statistics::rank_test::{METHODS, RankTest, SETS, rank_test};
use crate::runs::{Condition, Control, RunRecord};
use crate::sweep::canonical;

/// A data set that every method has a result on.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Block {
    /// The task that was trained on.
    pub trained: String,
    /// The task that was tested on.
    pub tested: String,
    /// Examples.
    pub examples: usize,
    /// Seeds that every method has.
    pub seeds: Vec<u64>,
    /// Mean accuracy over those seeds of each method.
    pub accuracies: Vec<f64>,
}

/// Several methods over several data sets.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AcrossSets {
    /// The methods: conditions, whatever they were trained on.
    pub methods: Vec<String>,
    /// The data sets.
    pub blocks: Vec<Block>,
    /// What their ranks say.
    #[serde(serialize_with = "or_reason")]
    pub ranks: Result<RankTest, Undefined>,
    /// What makes the critical difference useless, where there are too many methods for it.
    pub warning: Option<String>,
    /// What else the reader must know of it.
    pub notes: Vec<String>,
}

/// A condition with its groups, one a task that was trained on.
struct Method<'a> {
    name: String,
    record: &'a RunRecord,
    groups: Vec<&'a Group>,
}

/// Ranks the conditions over the sets that all of them were evaluated on; `None` where fewer than
/// three conditions have fewer than two sets in common. Methods are compared with the one of the
/// group at `against`; without it with the last layer, and without that with no plug.
pub(super) fn across(groups: &[Group], against: Option<usize>) -> Option<AcrossSets> {
    let methods = methods(groups);
    let (mut blocks, mut notes) = (Vec::new(), Vec::new());
    if methods.len() < METHODS {
        return None;
    }
    for (trained, tested) in places(&methods) {
        match block(&methods, trained, tested) {
            Ok(block) => blocks.push(block),
            Err(reason) => {
                notes.push(format!("trained on {trained} and tested on {tested} is not ranked: {reason}"));
            }
        }
    }
    if blocks.len() < SETS {
        return None;
    }
    let reference = against.and_then(|at| {
        let wanted = groups[at].runs.first()?;
        methods.iter().position(|method| {
            method.groups.iter().any(|group| group.runs.iter().any(|run| run.cell == wanted.cell))
        })
    });
    let control = reference.or_else(|| usual_control(&methods));
    let scores: Vec<Vec<f64>> = blocks.iter().map(|block| block.accuracies.clone()).collect();
    let ranks = rank_test(&scores, control);
    let warning = ranks.as_ref().ok().and_then(RankTest::warning);
    notes.push(dependence(&blocks));
    let names = methods.into_iter().map(|method| method.name).collect();
    Some(AcrossSets { methods: names, blocks, ranks, warning, notes })
}

fn methods(groups: &[Group]) -> Vec<Method<'_>> {
    let mut methods: Vec<Method<'_>> = Vec::new();
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    for group in groups {
        let mut config = identity(&group.record.config);
        if let Some(fields) = config.as_object_mut() {
            fields.remove("task");
        }
        let at = *places.entry(canonical::text(&config)).or_insert_with(|| {
            methods.push(Method { name: group.name.clone(), record: &group.record, groups: Vec::new() });
            methods.len() - 1
        });
        methods[at].groups.push(group);
    }
    name(&mut methods);
    methods
}

/// A method of several groups is none of them: it has the condition's name where that is its own.
fn name(methods: &mut [Method<'_>]) {
    let bare: Vec<String> = methods.iter().map(|method| method.record.condition.to_string()).collect();
    for (at, method) in methods.iter_mut().enumerate() {
        let alone = bare.iter().filter(|name| **name == bare[at]).count() == 1;
        if method.groups.len() > 1 && alone {
            method.name.clone_from(&bare[at]);
        }
    }
}

/// Every (trained on, tested on) that any method has, in the order in which they are met.
fn places<'a>(methods: &[Method<'a>]) -> Vec<(&'a str, &'a str)> {
    let mut places: Vec<(&str, &str)> = Vec::new();
    for group in methods.iter().flat_map(|method| &method.groups) {
        for evaluated in group.runs.iter().flat_map(|run| &run.evaluated) {
            let place = (group.record.subject.task.as_str(), evaluated.task.as_str());
            if !places.contains(&place) {
                places.push(place);
            }
        }
    }
    places
}

/// A run with its result on the set in question.
type OnSet<'a> = (&'a Run, &'a Evaluated);

fn block(methods: &[Method<'_>], trained: &str, tested: &str) -> Result<Block, String> {
    let mut found: Vec<(&Method<'_>, &Group, Vec<OnSet<'_>>)> = Vec::new();
    for method in methods {
        let group = method.groups.iter().find(|group| group.record.subject.task == trained);
        let group = group.ok_or_else(|| format!("`{}` has no run that was trained there", method.name))?;
        let on = |run: &'_ Run| run.evaluated.iter().position(|it| it.task == tested);
        let runs: Vec<OnSet<'_>> =
            group.runs.iter().filter_map(|run| Some((run, &run.evaluated[on(run)?]))).collect();
        if runs.is_empty() {
            return Err(format!("`{}` was not tested there", method.name));
        }
        found.push((method, group, runs));
    }
    let Some((_, first, of_first)) = found.first() else { return Err("there is no method".to_owned()) };
    let set = of_first[0].1;
    for (method, group, runs) in &found {
        if let Some(reason) = other_rules(first, group, tested) {
            return Err(format!("`{}` and `{}`: {reason}", methods[0].name, method.name));
        }
        if runs.iter().any(|(_, evaluated)| evaluated.hash != set.hash) {
            return Err(format!("`{}` was tested on other examples than `{}`", method.name, methods[0].name));
        }
    }
    let has = |runs: &[OnSet<'_>], seed: u64| runs.iter().any(|(run, _)| run.seed == seed);
    let seeds: Vec<u64> = of_first
        .iter()
        .map(|(run, _)| run.seed)
        .filter(|seed| found.iter().all(|(_, _, runs)| has(runs, *seed)))
        .collect();
    if seeds.is_empty() {
        return Err("no seed is common to all".to_owned());
    }
    let mean = |runs: &[OnSet<'_>]| {
        let common = runs.iter().filter(|(run, _)| seeds.contains(&run.seed));
        common.map(|(_, evaluated)| evaluated.accuracy).sum::<f64>() / seeds.len() as f64
    };
    let accuracies = found.iter().map(|(_, _, runs)| mean(runs)).collect();
    let (trained, tested, examples) = (trained.to_owned(), tested.to_owned(), set.examples);
    Ok(Block { trained, tested, examples, seeds, accuracies })
}

/// What speaks against ranking two groups on one set.
fn other_rules(first: &Group, second: &Group, tested: &str) -> Option<String> {
    let (a, b) = (&first.record.config, &second.record.config);
    let mut found = task_differences(&a["task"], &b["task"]);
    let of = |config: &serde_json::Value| {
        config["eval"].as_array()?.iter().find(|task| task["name"] == tested).cloned()
    };
    if let (Some(a), Some(b)) = (of(a), of(b)) {
        found.extend(task_differences(&a, &b));
    }
    found.extend(under_other_rules(a, b));
    found.first().map(ToString::to_string)
}

/// The last layer, the published choice, where it is one method; else no plug.
fn usual_control(methods: &[Method<'_>]) -> Option<usize> {
    let last = |record: &RunRecord| {
        let last = record.subject.llm_layers.and_then(|layers| layers.checked_sub(1));
        last.is_some_and(|last| record.condition == Condition::Layer(last))
    };
    let only = |takes: &dyn Fn(&RunRecord) -> bool| {
        let mut found = (0..methods.len()).filter(|at| takes(methods[*at].record));
        found.next().filter(|_| found.next().is_none())
    };
    only(&last).or_else(|| only(&|record| record.condition == Condition::Control(Control::Base)))
}

/// Friedman's test takes data sets for independent, and its distributions for those of many.
fn dependence(blocks: &[Block]) -> String {
    let shared = blocks.iter().enumerate().any(|(at, block)| {
        blocks[..at].iter().any(|other| other.trained == block.trained || other.tested == block.tested)
    });
    let rough = "the p values of ranks are approximations for many data sets";
    match shared {
        true => format!(
            "{rough}, and these {} are not independent: some share their training runs or their test set",
            blocks.len()
        ),
        false => format!("{rough}; here there are {}", blocks.len()),
    }
}
