//! From words to groups of runs: what was named is looked up, read and grouped by condition. What
//! cannot be read is named and left out.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{Error, Selector};
use crate::error::Failure;
use crate::runs::record::Status;
use crate::runs::{Overlap, RunRecord, Store, TaskPredictions};
use crate::sweep::canonical;

/// What is to be compared.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Runs and conditions; empty for all of `cells`.
    pub selectors: Vec<Selector>,
    /// Ids of the cells that conditions are looked for among; all of the store unless given.
    pub cells: Option<Vec<String>>,
    /// The evaluated task; the task that each run was trained on unless given.
    pub on: Option<String>,
    /// `test` or `validation`.
    pub split: String,
}

/// A run on the set that is compared on.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// Its id.
    pub cell: String,
    /// Its seed.
    pub seed: u64,
    /// Example ids, ascending.
    pub ids: Vec<u64>,
    /// 1 for right and 0 for wrong, in the order of `ids`.
    pub scores: Vec<f64>,
    /// The right labels, in the order of `ids`.
    pub gold: Vec<u32>,
    /// Number of labels.
    pub classes: usize,
    /// Whether the text of each example also stands in the run's training set, exactly or nearly, in
    /// the order of `ids`.
    pub overlapping: Vec<bool>,
    /// Every set of this split that it was evaluated on, the one compared on among them.
    pub evaluated: Vec<Evaluated>,
}

/// A run's result on one of the sets that it was evaluated on.
#[derive(Clone, Debug, PartialEq)]
pub struct Evaluated {
    /// The task.
    pub task: String,
    /// Examples.
    pub examples: usize,
    /// Hash of the example ids and right labels: sets of one hash are one set.
    pub hash: [u8; 32],
    /// Share of right answers.
    pub accuracy: f64,
}

impl Run {
    /// Share of right answers.
    pub fn accuracy(&self) -> f64 {
        self.scores.iter().sum::<f64>() / self.scores.len() as f64
    }
}

/// A condition: runs that differ in the seed alone.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// The condition, with what tells it apart from others of the same name.
    pub name: String,
    /// The set compared on: `sst2 test`.
    pub set: String,
    /// The first run's record.
    pub record: RunRecord,
    /// By seed; at least one.
    pub runs: Vec<Run>,
}

impl Group {
    pub(super) fn described(&self) -> String {
        let seeds: Vec<String> = self.runs.iter().map(|run| run.seed.to_string()).collect();
        let noun = if seeds.len() == 1 { "seed" } else { "seeds" };
        format!("`{}` with {noun} {}", self.name, seeds.join(", "))
    }
}

/// Something that was named and is left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Left {
    /// The run, or the word that stands for none.
    pub what: String,
    /// Why.
    pub reason: String,
}

/// Groups, and what is not in them.
#[derive(Clone, Debug, Default)]
pub struct Gathered {
    /// The conditions, in the order in which they were named.
    pub groups: Vec<Group>,
    /// What was left out.
    pub left: Vec<Left>,
}

/// Reads what is wanted.
///
/// # Errors
/// Ids that stand for no run or for several, nothing named, a store that cannot be listed.
pub fn gather(store: &Store, wanted: &Wanted) -> Result<Gathered, Failure> {
    if wanted.selectors.is_empty() && wanted.cells.is_none() {
        return Err(Error::Nothing.into());
    }
    let mut gathered = Gathered::default();
    let records = chosen(store, wanted, &mut gathered.left)?;
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    for record in records {
        let run = match read(store, &record, wanted) {
            Ok(run) => run,
            Err(reason) => {
                gathered.left.push(Left { what: run_name(&record.cell), reason });
                continue;
            }
        };
        let key = canonical::text(&identity(&record.config));
        let at = *places.entry(key).or_insert_with(|| {
            let set = format!("{} {}", set_name(&record, wanted), wanted.split);
            let name = record.condition.to_string();
            gathered.groups.push(Group { name, set, record: record.clone(), runs: Vec::new() });
            gathered.groups.len() - 1
        });
        let runs = &mut gathered.groups[at].runs;
        let odd = runs.first().filter(|first| first.ids != run.ids || first.gold != run.gold);
        if let Some(first) = odd {
            let reason = format!("its examples are others than those of the run `{}`", first.cell);
            gathered.left.push(Left { what: run_name(&record.cell), reason });
        } else if let Some(twin) = runs.iter().find(|other| other.seed == run.seed) {
            let reason =
                format!("seed {} of its condition is there already, by the run `{}`", run.seed, twin.cell);
            gathered.left.push(Left { what: run_name(&record.cell), reason });
        } else {
            runs.push(run);
        }
    }
    for group in &mut gathered.groups {
        group.runs.sort_by_key(|run| run.seed);
    }
    tell_apart(&mut gathered.groups);
    Ok(gathered)
}

fn run_name(cell: &str) -> String {
    format!("run `{cell}`")
}

/// Records of everything that the words stand for, each once, in the order of the words.
fn chosen(store: &Store, wanted: &Wanted, left: &mut Vec<Left>) -> Result<Vec<RunRecord>, Failure> {
    let by_condition = wanted.selectors.iter().any(|selector| !matches!(selector, Selector::Id(_)));
    let all: Vec<RunRecord> = if by_condition || wanted.selectors.is_empty() {
        candidates(store, wanted, left)?
    } else {
        Vec::new()
    };
    if wanted.selectors.is_empty() {
        return Ok(all);
    }
    let mut records: Vec<RunRecord> = Vec::new();
    let mut seen = BTreeSet::new();
    for selector in &wanted.selectors {
        if let Selector::Id(prefix) = selector {
            let cell = match store.resolve(prefix) {
                Ok(cell) => cell,
                Err(error) => match failure(store, prefix) {
                    Some(failed) => {
                        left.push(failed);
                        continue;
                    }
                    None => return Err(error.into()),
                },
            };
            if !seen.insert(cell.clone()) {
                left.push(Left {
                    what: run_name(&cell),
                    reason: "it is named twice, and counted once".into(),
                });
                continue;
            }
            match store.read(&cell) {
                Ok(record) => records.push(record),
                Err(error) => left.push(Left { what: run_name(&cell), reason: error.to_string() }),
            }
            continue;
        }
        let before = records.len();
        let takes = all.iter().filter(|record| selector.takes(record));
        let mut found = 0;
        for record in takes {
            found += 1;
            if seen.insert(record.cell.clone()) {
                records.push(record.clone());
            }
        }
        if found == 0 {
            let reason = "no finished run has this condition".to_owned();
            left.push(Left { what: format!("`{selector}`"), reason });
        } else if records.len() == before {
            let reason = "all its runs are named twice, and counted once".to_owned();
            left.push(Left { what: format!("`{selector}`"), reason });
        }
    }
    Ok(records)
}

/// The finished runs that conditions are looked for among.
fn candidates(store: &Store, wanted: &Wanted, left: &mut Vec<Left>) -> Result<Vec<RunRecord>, Failure> {
    let present = store.cells()?;
    let cells = match &wanted.cells {
        Some(cells) => cells.iter().filter(|cell| present.contains(cell)).cloned().collect(),
        None => present,
    };
    let mut records = Vec::new();
    for cell in cells {
        match store.read(&cell) {
            Ok(record) => records.push(record),
            Err(error) => left.push(Left { what: run_name(&cell), reason: error.to_string() }),
        }
    }
    Ok(records)
}

/// A run that has no result, by the first characters of its id.
fn failure(store: &Store, prefix: &str) -> Option<Left> {
    let failures = store.failures().ok()?;
    let mut found = failures.into_iter().flatten().filter(|record| record.cell.starts_with(prefix));
    let record = found.next().filter(|_| found.next().is_none())?;
    let Status::Failed { reason, .. } = record.status else { return None };
    Some(Left { what: run_name(&record.cell), reason: format!("it failed: {reason}") })
}

/// Everything that decides a result but the seed, and the tasks that were evaluated besides.
pub(super) fn identity(config: &Value) -> Value {
    let mut identity = config.clone();
    if let Some(fields) = identity.as_object_mut() {
        fields.remove("seed");
        fields.remove("eval");
    }
    identity
}

fn set_name<'a>(record: &'a RunRecord, wanted: &'a Wanted) -> &'a str {
    wanted.on.as_deref().unwrap_or(&record.subject.task)
}

fn read(store: &Store, record: &RunRecord, wanted: &Wanted) -> Result<Run, String> {
    let predictions = store.predictions(&record.cell).map_err(|error| error.to_string())?;
    let (task, split) = (set_name(record, wanted), &wanted.split);
    let found = predictions.iter().find(|found| found.task == task && found.split == *split);
    let found = found.ok_or_else(|| {
        let has: Vec<String> = predictions.iter().map(|it| format!("`{} {}`", it.task, it.split)).collect();
        format!("it has no predictions for `{task} {split}`: expected one of {}", has.join(", "))
    })?;
    let evaluated = predictions.iter().filter(|it| it.split == *split && !it.gold.is_empty());
    // with `--on` no other set counts
    let evaluated = evaluated.filter(|it| wanted.on.as_ref().is_none_or(|on| it.task == *on));
    Ok(Run { evaluated: evaluated.map(summarised).collect(), ..aligned(record, found)? })
}

/// Places of the examples by ascending id.
fn order(found: &TaskPredictions) -> Vec<usize> {
    let mut order: Vec<usize> = (0..found.example_ids.len()).collect();
    order.sort_by_key(|&at| found.example_ids[at]);
    order
}

fn summarised(found: &TaskPredictions) -> Evaluated {
    let mut hash = Sha256::new();
    for at in order(found) {
        hash.update(found.example_ids[at].to_le_bytes());
        hash.update(found.gold[at].to_le_bytes());
    }
    let right = found.gold.iter().zip(&found.predicted).filter(|(gold, predicted)| gold == predicted).count();
    Evaluated {
        task: found.task.clone(),
        examples: found.gold.len(),
        hash: hash.finalize().into(),
        accuracy: right as f64 / found.gold.len() as f64,
    }
}

fn aligned(record: &RunRecord, found: &TaskPredictions) -> Result<Run, String> {
    let order = order(found);
    let ids: Vec<u64> = order.iter().map(|&at| found.example_ids[at]).collect();
    if ids.is_empty() {
        return Err("it was evaluated on no example".to_owned());
    }
    if let Some([twice, ..]) = ids.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(format!("example {twice} is there twice in its predictions"));
    }
    let right = |&at: &usize| f64::from(u8::from(found.gold[at] == found.predicted[at]));
    Ok(Run {
        cell: record.cell.clone(),
        seed: record.seed.0,
        scores: order.iter().map(right).collect(),
        gold: order.iter().map(|&at| found.gold[at]).collect(),
        overlapping: order.iter().map(|&at| found.overlap[at] != Overlap::None).collect(),
        evaluated: Vec::new(),
        classes: found.classes,
        ids,
    })
}

/// Adds to names that stand more than once what their runs differ in: models, task, plug, train
/// mode, and the first run's id where that does not suffice.
fn tell_apart(groups: &mut [Group]) {
    let facts = |record: &RunRecord| -> [Option<String>; 5] {
        let subject = &record.subject;
        [
            subject.llm.clone(),
            Some(subject.slm.clone()),
            Some(format!("on {}", subject.task)),
            subject.plug.clone(),
            Some(subject.train.clone()),
        ]
    };
    let bare: Vec<String> = groups.iter().map(|group| group.name.clone()).collect();
    for at in 0..groups.len() {
        let twins: Vec<usize> = (0..groups.len()).filter(|&other| bare[other] == bare[at]).collect();
        if twins.len() < 2 {
            continue;
        }
        let own = facts(&groups[at].record);
        let differs =
            |place: &usize| twins.iter().any(|&twin| facts(&groups[twin].record)[*place] != own[*place]);
        let words: Vec<String> =
            (0..own.len()).filter(differs).filter_map(|place| own[place].clone()).collect();
        if !words.is_empty() {
            groups[at].name = format!("{} ({})", bare[at], words.join(", "));
        }
    }
    let named: Vec<String> = groups.iter().map(|group| group.name.clone()).collect();
    for (at, group) in groups.iter_mut().enumerate() {
        if named.iter().enumerate().any(|(other, name)| other != at && *name == named[at]) {
            let id: String = group.runs.first().map_or("", |run| &run.cell).chars().take(8).collect();
            group.name = format!("{} [{id}]", named[at]);
        }
    }
}
