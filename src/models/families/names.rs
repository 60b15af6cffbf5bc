//! From a family's names to those of one checkpoint: which prefix it carries, how it spells its
//! norms, which tensors of a layer must be read, and whether shapes agree with the configuration.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::Model;
use crate::error::did_you_mean;
use crate::hub::tensor::TensorRequest;
use crate::models::error::Error;
use crate::models::tensors::Source;

/// How many names an error lists.
const LISTED: usize = 3;

/// Buffers that old checkpoints store in their layers and that hold nothing to learn.
const IGNORED: [&str; 6] = [
    "rotary_emb.inv_freq",
    "attention.bias",
    "attention.masked_bias",
    "attn.bias",
    "attn.masked_bias",
    "position_ids",
];

/// What will be done with a layer: a plug of one token needs neither queries nor keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// One token: its softmax over one key is 1.
    OneToken,
    /// A sequence: everything.
    Sequence,
}

/// The names of a checkpoint's tensors.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    prefix: &'static str,
    /// Names that do not follow from the prefix: `LayerNorm.gamma` for `LayerNorm.weight`.
    respelled: BTreeMap<String, String>,
    /// Tensors of the blocks on disk that the family knows nothing of (transformers ignores them too).
    pub unexpected: Vec<String>,
}

impl Names {
    /// What the checkpoint puts before the base model's names.
    pub fn prefix(&self) -> &'static str {
        self.prefix
    }

    /// The name in the checkpoint.
    pub fn on_disk(&self, source: &Source) -> String {
        match self.respelled.get(&source.name) {
            Some(name) => name.clone(),
            None => format!("{}{}", self.prefix, source.name),
        }
    }
}

impl Model {
    /// The names of all tensors in a checkpoint that holds the tensors `on_disk`.
    ///
    /// # Errors
    /// [`Error::MissingTensors`] when it lacks some that the configuration implies.
    pub fn names(&self, on_disk: &BTreeSet<String>) -> Result<Names, Error> {
        let model = self.tensors.model.iter().map(|(_, source)| source);
        let blocks = self.tensors.blocks.iter().flatten().map(|(_, source)| source);
        self.resolve(on_disk, model.chain(blocks))
    }

    /// The same where only some layers are needed or present, as in a layer bundle.
    ///
    /// # Errors
    /// [`Error::MissingTensors`] when a tensor of theirs that `scope` reads is absent;
    /// [`Error::NoSuchLayer`] for a layer that the model does not have.
    pub fn layer_names(
        &self,
        on_disk: &BTreeSet<String>,
        layers: &[usize],
        scope: Scope,
    ) -> Result<Names, Error> {
        let mut sources = Vec::new();
        for &layer in layers {
            sources.extend(self.read_by(layer, scope)?);
        }
        self.resolve(on_disk, sources.into_iter())
    }

    /// What to read of a layer, by name. Rows of a fused tensor are asked for only where those that
    /// are needed stand in one run; else the whole tensor is.
    ///
    /// # Errors
    /// [`Error::NoSuchLayer`] for a layer that the model does not have.
    pub fn layer_requests(
        &self,
        names: &Names,
        layer: usize,
        scope: Scope,
    ) -> Result<Vec<TensorRequest>, Error> {
        let mut readers: BTreeMap<&str, Vec<&Source>> = BTreeMap::new();
        for source in self.read_by(layer, scope)? {
            readers.entry(&source.name).or_default().push(source);
        }
        let totals = self.fused_rows(layer);
        let mut requests: Vec<_> = readers
            .into_iter()
            .map(|(name, sources)| {
                let whole = totals.get(name).map(|total| (0, *total));
                let run = needed_rows(&sources).and_then(one_run).filter(|run| Some(*run) != whole);
                TensorRequest { name: names.on_disk(sources[0]), rows: run }
            })
            .collect();
        requests.sort();
        Ok(requests)
    }

    /// Compares the shapes of a checkpoint's tensors with those that the configuration implies:
    /// the given layers and, where `outside` says so, all that stands outside the layers. To be
    /// called before anything is allocated: the configuration alone is no authority on sizes.
    ///
    /// # Errors
    /// [`Error::TensorShape`] for the first tensor that differs; tensors of which `shape_of` knows
    /// nothing are passed over. [`Error::NoSuchLayer`] for a layer that the model does not have.
    pub fn check_shapes(
        &self,
        names: &Names,
        layers: &[usize],
        outside: bool,
        shape_of: &dyn Fn(&str) -> Option<Vec<usize>>,
    ) -> Result<(), Error> {
        let compare = |source: &Source, mut expected: Vec<usize>, rows: Option<usize>| {
            if let (Some(rows), Some(first)) = (rows, expected.first_mut()) {
                *first = rows;
            }
            if source.transpose {
                expected.reverse();
            }
            let tensor = names.on_disk(source);
            match shape_of(&tensor) {
                Some(found) if found != expected => Err(Error::TensorShape { tensor, found, expected }),
                _ => Ok(()),
            }
        };
        for &layer in layers {
            let block = &self.spec.blocks[self.existing(layer)?];
            let totals = self.fused_rows(layer);
            for (role, source) in &self.tensors.blocks[layer] {
                let rows = source.rows.as_ref().and_then(|_| totals.get(source.name.as_str()).copied());
                compare(source, role.shape(block), rows)?;
            }
        }
        for (role, source) in self.tensors.model.iter().filter(|_| outside) {
            if let Some(expected) = role.shape(&self.spec) {
                compare(source, expected, None)?;
            }
        }
        Ok(())
    }

    fn existing(&self, layer: usize) -> Result<usize, Error> {
        let count = self.spec.blocks.len();
        let missing = || Error::NoSuchLayer { layer: layer as i64, count, model: None };
        if layer < count { Ok(layer) } else { Err(missing()) }
    }

    fn read_by(&self, layer: usize, scope: Scope) -> Result<Vec<&Source>, Error> {
        let block = &self.tensors.blocks[self.existing(layer)?];
        Ok(block
            .iter()
            .filter(|(role, _)| scope == Scope::Sequence || !role.unused_by_one_token())
            .map(|(_, source)| source)
            .collect())
    }

    /// Rows of every fused tensor of a layer: the roles that share it fill it.
    fn fused_rows(&self, layer: usize) -> BTreeMap<&str, usize> {
        let mut totals = BTreeMap::new();
        for (_, source) in &self.tensors.blocks[layer] {
            if let Some(rows) = &source.rows {
                *totals.entry(source.name.as_str()).or_insert(0) +=
                    rows.iter().map(Range::len).sum::<usize>();
            }
        }
        totals
    }

    fn resolve<'a>(
        &self,
        on_disk: &BTreeSet<String>,
        sources: impl Iterator<Item = &'a Source>,
    ) -> Result<Names, Error> {
        let expected: BTreeSet<&str> = sources.map(|source| source.name.as_str()).collect();
        let mut best: Option<(usize, Names, Vec<String>)> = None;
        for &prefix in &self.tensors.prefixes {
            let (names, missing) = spelled(prefix, &expected, on_disk);
            let found = expected.len() - missing.len();
            if best.as_ref().is_none_or(|(most, ..)| found > *most) {
                best = Some((found, names, missing));
            }
        }
        let (_, mut names, missing) = best.unwrap_or_default();
        if let Some(first) = missing.first() {
            return Err(Error::MissingTensors {
                family: self.family,
                count: missing.len(),
                expected: expected.len(),
                nearest: nearest(first, on_disk),
                first: missing.into_iter().take(LISTED).collect(),
            });
        }
        names.unexpected = self.unexpected(&names, on_disk);
        Ok(names)
    }

    fn unexpected(&self, names: &Names, on_disk: &BTreeSet<String>) -> Vec<String> {
        let blocks = self.tensors.blocks.iter().flatten();
        let known: BTreeSet<String> = blocks.map(|(_, source)| names.on_disk(source)).collect();
        let start = format!("{}{}", names.prefix, self.tensors.block_prefix);
        on_disk
            .range(start.clone()..)
            .take_while(|name| name.starts_with(&start))
            .filter(|name| !known.contains(*name) && !IGNORED.iter().any(|end| name.ends_with(end)))
            .cloned()
            .collect()
    }
}

/// Finds every expected name under a prefix, in today's or in the old spelling of norms.
fn spelled(
    prefix: &'static str,
    expected: &BTreeSet<&str>,
    on_disk: &BTreeSet<String>,
) -> (Names, Vec<String>) {
    let mut names = Names { prefix, ..Names::default() };
    let mut missing = Vec::new();
    for &name in expected {
        let full = format!("{prefix}{name}");
        if on_disk.contains(&full) {
            continue;
        }
        let old = match full.rsplit_once('.') {
            Some((norm, "weight")) => Some(format!("{norm}.gamma")),
            Some((norm, "bias")) => Some(format!("{norm}.beta")),
            _ => None,
        };
        match old.filter(|old| on_disk.contains(old)) {
            Some(old) => drop(names.respelled.insert(name.to_owned(), old)),
            None => missing.push(full),
        }
    }
    (names, missing)
}

/// Present names that a missing one may be a spelling of: the same last parts, or a typing slip.
fn nearest(missing: &str, on_disk: &BTreeSet<String>) -> Vec<String> {
    let parts: Vec<&str> = missing.rsplit('.').collect();
    let shared = |name: &str| name.rsplit('.').zip(&parts).take_while(|(a, b)| a == *b).count();
    let most = on_disk.iter().map(|name| shared(name)).max().unwrap_or(0);
    if most >= 2 {
        return on_disk.iter().filter(|name| shared(name) == most).take(LISTED).cloned().collect();
    }
    let slip = did_you_mean(missing, on_disk.iter().map(String::as_str));
    slip.into_iter().map(str::to_owned).collect()
}

/// The runs of rows on disk that these readers of one tensor need; `None`: the whole tensor.
fn needed_rows(sources: &[&Source]) -> Option<Vec<(usize, usize)>> {
    let mut runs = Vec::new();
    for source in sources {
        // rows count after transposing: on disk they would be columns
        let rows = source.rows.as_ref().filter(|_| !source.transpose)?;
        runs.extend(rows.iter().map(|run| (run.start, run.end)));
    }
    Some(runs)
}

/// Runs of rows as one, where they join.
fn one_run(mut runs: Vec<(usize, usize)>) -> Option<(usize, usize)> {
    runs.sort_unstable();
    let mut runs = runs.into_iter();
    let first = runs.next()?;
    runs.try_fold(first, |(start, end), run| (run.0 == end).then_some((start, run.1)))
}
