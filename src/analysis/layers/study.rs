//! What a layer study consists of: finished cells as plain arrays.

use super::Error;
use crate::analysis::statistics::Resampling;
use serde::{Serialize, Serializer};
use std::collections::{BTreeMap, BTreeSet};

/// What stands between the encoder and the head. Layers order by index and before the controls.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Condition {
    /// A layer of the LLM, from 0.
    Layer(usize),
    /// A control by its name (`base`, `mappers`, `random`, `mlp`, `shuffled`, `trained`).
    Control(String),
}

impl Condition {
    /// The control without a plug.
    pub fn base() -> Self {
        Self::Control("base".to_owned())
    }

    /// Whether this is the control without a plug.
    pub fn is_base(&self) -> bool {
        matches!(self, Self::Control(name) if name == "base")
    }

    /// The index of a layer.
    pub fn layer(&self) -> Option<usize> {
        match self {
            Self::Layer(layer) => Some(*layer),
            Self::Control(_) => None,
        }
    }
}

impl std::fmt::Display for Condition {
    /// `layer 7`, or the control's name.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Layer(layer) => write!(f, "layer {layer}"),
            Self::Control(name) => f.write_str(name),
        }
    }
}

impl Serialize for Condition {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A set of examples that cells were evaluated on.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ExampleSet {
    /// Name of the task or domain (`sst2`, `mr`).
    pub name: String,
    /// Ids of the examples whose texts also stand in the training set.
    pub overlapping: BTreeSet<u64>,
}

/// What one cell did on one set.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// Example ids, in any order.
    pub ids: Vec<u64>,
    /// The metric of each example, in the order of `ids`: 1 for right, 0 for wrong (or a score
    /// between, for metrics that have one an example).
    pub scores: Vec<f64>,
    /// Macro-F1 on the whole set, from 0 to 1.
    pub macro_f1: Option<f64>,
    /// Matthews correlation coefficient on the whole set, from -1 to 1.
    pub mcc: Option<f64>,
}

/// A finished cell.
#[derive(Clone, Debug, PartialEq)]
pub struct Cell {
    /// What was plugged.
    pub condition: Condition,
    /// The seed of the run.
    pub seed: u64,
    /// On the validation set, on which everything is chosen.
    pub validation: Outcome,
    /// On the task's own test set.
    pub test: Option<Outcome>,
    /// On the other domains, in the order of [`LayerStudy::domains`]; `None` where not evaluated.
    pub domains: Vec<Option<Outcome>>,
}

/// A study of layers: what was planned and what has finished.
#[derive(Clone, Debug)]
pub struct LayerStudy {
    /// Name of the LLM as the reader knows it.
    pub llm: String,
    /// Name of the small model.
    pub slm: String,
    /// Name of the task.
    pub task: String,
    /// Name of the metric that `scores` average to (`accuracy`).
    pub metric: String,
    /// Layers of the LLM; the last one is `layers - 1`.
    pub layers: usize,
    /// All conditions that were planned.
    pub planned: Vec<Condition>,
    /// All seeds that were planned.
    pub seeds: Vec<u64>,
    /// The validation set.
    pub validation: ExampleSet,
    /// The task's own test set.
    pub test: Option<ExampleSet>,
    /// The other domains.
    pub domains: Vec<ExampleSet>,
    /// The finished cells; failed ones are absent.
    pub cells: Vec<Cell>,
    /// How to resample.
    pub resampling: Resampling,
}

/// The outcomes of all cells on one set, aligned by example id.
pub(super) struct Aligned {
    /// Example ids, ascending.
    pub(super) ids: Vec<u64>,
    /// Scores of each cell, in the order of `ids`.
    pub(super) rows: Vec<Vec<f64>>,
    /// Position in `rows` by condition and seed.
    pub(super) cells: BTreeMap<Condition, BTreeMap<u64, usize>>,
    /// Macro-F1 and MCC of each row.
    pub(super) whole_set: Vec<(Option<f64>, Option<f64>)>,
}

impl LayerStudy {
    /// Checks what the types cannot: ranges, duplicates, as many domains as declared.
    pub(super) fn check(&self) -> Result<(), Error> {
        let mut seen = BTreeSet::new();
        for cell in &self.cells {
            let condition = || cell.condition.to_string();
            if let Some(layer) = cell.condition.layer()
                && layer >= self.layers
            {
                return Err(Error::LayerOutOfRange { layer, layers: self.layers });
            }
            if !seen.insert((&cell.condition, cell.seed)) {
                return Err(Error::DuplicateCell { condition: condition(), seed: cell.seed });
            }
            if cell.domains.len() != self.domains.len() {
                let (found, expected) = (cell.domains.len(), self.domains.len());
                return Err(Error::DomainCount { condition: condition(), seed: cell.seed, found, expected });
            }
        }
        if !self.cells.iter().any(|cell| cell.condition.layer().is_some()) {
            return Err(Error::NoFinishedLayer);
        }
        Ok(())
    }

    /// Pairs the cells' outcomes on one set by example id; `None` if no cell has one.
    pub(super) fn align(
        &self,
        set: &str,
        outcome: impl Fn(&Cell) -> Option<&Outcome>,
    ) -> Result<Option<Aligned>, Error> {
        let mut aligned: Option<Aligned> = None;
        for cell in &self.cells {
            let Some(outcome) = outcome(cell) else { continue };
            let (condition, seed, set) = (cell.condition.to_string(), cell.seed, set.to_owned());
            if outcome.ids.len() != outcome.scores.len() {
                let (scores, ids) = (outcome.scores.len(), outcome.ids.len());
                return Err(Error::Ragged { condition, seed, set, scores, ids });
            }
            let mut order: Vec<usize> = (0..outcome.ids.len()).collect();
            order.sort_by_key(|&at| outcome.ids[at]);
            let ids: Vec<u64> = order.iter().map(|&at| outcome.ids[at]).collect();
            let row = order.iter().map(|&at| outcome.scores[at]).collect();
            let twice = ids.windows(2).any(|pair| pair[0] == pair[1]);
            let whole = aligned.get_or_insert_with(|| Aligned {
                ids: ids.clone(),
                rows: Vec::new(),
                cells: BTreeMap::new(),
                whole_set: Vec::new(),
            });
            if twice || whole.ids != ids {
                return Err(Error::DifferentExamples { condition, seed, set });
            }
            let position = whole.rows.len();
            whole.cells.entry(cell.condition.clone()).or_default().insert(seed, position);
            whole.rows.push(row);
            whole.whole_set.push((outcome.macro_f1, outcome.mcc));
        }
        Ok(aligned)
    }
}

impl Aligned {
    /// The same without the given examples, and how many remain.
    pub(super) fn without(&self, excluded: &BTreeSet<u64>) -> (Vec<Vec<f64>>, usize) {
        let kept: Vec<usize> = (0..self.ids.len()).filter(|&at| !excluded.contains(&self.ids[at])).collect();
        let rows = self.rows.iter().map(|row| kept.iter().map(|&at| row[at]).collect()).collect();
        (rows, kept.len())
    }

    /// Rows of the two conditions with a seed in common, by seed.
    pub(super) fn pairs(&self, first: &Condition, second: &Condition) -> Vec<(u64, (usize, usize))> {
        let (Some(first), Some(second)) = (self.cells.get(first), self.cells.get(second)) else {
            return Vec::new();
        };
        first.iter().filter_map(|(seed, a)| second.get(seed).map(|b| (*seed, (*a, *b)))).collect()
    }
}
