//! A task's rows as examples in three splits.

use std::collections::BTreeMap;
use std::path::PathBuf;

use rayon::prelude::*;
use sha2::{Digest, Sha256};

use crate::seed::Seed;

use super::labels::{Labels, Row};
use super::read::{self, Cell};
use super::task::{Source, SplitRule, TaskSpec};
use super::{Error, demo, local, squeeze_whitespace, strip_html};

/// Files by split of the source.
pub type SplitFiles = BTreeMap<String, Vec<PathBuf>>;

/// One labelled text, or pair of texts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Example {
    /// Row number in the split's source, from 0 and running on over its files.
    pub id: u64,
    /// The text.
    pub text: String,
    /// The second text of a pair.
    pub pair: Option<String>,
    /// Number of the class.
    pub label: u32,
}

/// The examples of one purpose.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Split {
    /// In the order of the source.
    pub examples: Vec<Example>,
}

/// A task, read.
#[derive(Clone, Debug, PartialEq)]
pub struct Dataset {
    /// Name of the task.
    pub name: String,
    /// Names of the classes by number.
    pub labels: Vec<String>,
    /// What the weights learn from.
    pub train: Split,
    /// What everything that chooses looks at.
    pub validation: Split,
    /// What is reported.
    pub test: Split,
    /// SHA-256 over labels and examples of all splits, lower-case hexadecimal.
    pub hash: String,
    /// The same before the limits, which tells that two parts are of one data set.
    pub whole_hash: String,
    /// What was decided on the way: columns, splits, dropped rows, empty texts.
    pub notes: Vec<String>,
    /// The seed of the splits and the limits.
    pub split_seed: Seed,
}

/// Most examples of each split; which ones, the split seed decides, and a smaller limit keeps a
/// part of what a larger one keeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Of train.
    pub train: Option<usize>,
    /// Of validation.
    pub validation: Option<usize>,
    /// Of test.
    pub test: Option<usize>,
}

/// Reads a task. `files` are those of a task on the Hub, fetched by the caller, by split of the
/// source ([`TaskSpec::source_splits`]); tasks on local files and embedded ones have their own.
///
/// # Errors
/// When a file, a column, a label or a split is not as the task says; the message names the row.
pub fn load(spec: &TaskSpec, files: &SplitFiles, split_seed: Seed, limits: Limits) -> Result<Dataset, Error> {
    spec.check()?;
    let splits = spec.splits.as_ref().expect("the check demands splits");
    let mut notes = spec.notes.clone();
    let (labels, sources) = match &spec.source {
        Source::Embedded(domain) => (spec.labels.clone(), embedded(spec, domain)?),
        Source::Files(own) => from_files(spec, own, &mut notes)?,
        Source::Hub(_) => from_files(spec, files, &mut notes)?,
    };
    let mut parts = Vec::new();
    let mut whole = Vec::new();
    let limits = [limits.train, limits.validation, limits.test];
    for ((name, rule), limit) in splits.named().into_iter().zip(limits) {
        let source = sources.get(&rule.from).ok_or_else(|| Error::MissingSplit {
            task: spec.name.clone(),
            split: rule.from.clone(),
            available: sources.keys().cloned().collect(),
        })?;
        let mut split = Split { examples: take(rule, source, split_seed) };
        if let Some(limit) = limit.filter(|limit| *limit < split.examples.len()) {
            notes.push(format!("{name}: {limit} of {} examples, by the split seed", split.examples.len()));
            let limited = subset(&split.examples, limit, split_seed.derive("limit").derive(name));
            whole.push(std::mem::replace(&mut split.examples, limited));
        } else {
            whole.push(Vec::new());
        }
        if split.examples.is_empty() {
            return Err(Error::EmptySplit { task: spec.name.clone(), split: name });
        }
        parts.push(split);
    }
    let [train, validation, test]: [Split; 3] = parts.try_into().expect("there are three rules");
    let of_splits = |parts: [&[Example]; 3]| hash(&labels, parts);
    let kept = [&train, &validation, &test].map(|split| split.examples.as_slice());
    let hash = of_splits(kept);
    let limited = whole.iter().any(|examples| !examples.is_empty());
    let before = |at: usize| if whole[at].is_empty() { kept[at] } else { &whole[at] };
    let whole_hash = if limited { of_splits([before(0), before(1), before(2)]) } else { hash.clone() };
    let name = spec.name.clone();
    Ok(Dataset { name, labels, train, validation, test, hash, whole_hash, notes, split_seed })
}

fn embedded(spec: &TaskSpec, domain: &str) -> Result<BTreeMap<String, Vec<Example>>, Error> {
    let domain: demo::Domain = domain.parse().map_err(|reason: String| Error::TaskField {
        task: spec.name.clone(),
        reason: format!("`source.embedded` {reason}"),
    })?;
    let splits = demo::splits(domain).map(|(split, examples)| (split.to_owned(), examples));
    Ok(splits.into())
}

type Sources = BTreeMap<String, Vec<Example>>;

fn from_files(
    spec: &TaskSpec,
    files: &SplitFiles,
    notes: &mut Vec<String>,
) -> Result<(Vec<String>, Sources), Error> {
    let mut rows = Vec::new();
    for split in spec.source_splits() {
        let paths = files.get(split).filter(|paths| !paths.is_empty());
        let paths = paths.ok_or_else(|| Error::MissingSplit {
            task: spec.name.clone(),
            split: split.to_owned(),
            available: files.keys().cloned().collect(),
        })?;
        rows.push((split, read_split(spec, split, paths, notes)?));
    }
    // a class that no training row has cannot be learnt: its rows are named rather than scored
    let trains = |split: &str| spec.splits.as_ref().is_none_or(|splits| splits.train.from == split);
    let labels = Labels::of(spec, rows.iter().filter(|(split, _)| trains(split)).flat_map(|(_, rows)| rows))?;
    let mut sources = Sources::new();
    for (split, rows) in rows {
        let total = rows.len();
        let mut examples = Vec::with_capacity(total);
        for row in rows {
            if let Some(label) = labels.number(&row)? {
                examples.push(Example { id: row.id, text: row.text, pair: row.pair, label });
            }
        }
        if examples.len() < total {
            notes.push(format!("{split}: {} rows left out by their label", total - examples.len()));
        }
        clean(spec, &mut examples);
        let empty = examples.iter().filter(|example| example.text.trim().is_empty()).count();
        if empty > 0 {
            notes.push(format!("{split}: {empty} texts are empty"));
        }
        sources.insert(split.to_owned(), examples);
    }
    Ok((labels.names, sources))
}

/// The rows of a split, in the order of its files.
fn read_split(
    spec: &TaskSpec,
    split: &str,
    paths: &[PathBuf],
    notes: &mut Vec<String>,
) -> Result<Vec<Row>, Error> {
    let mut rows = Vec::new();
    for (at, path) in paths.iter().enumerate() {
        let table = read::read(path, spec.header)?;
        let columns = local::columns(spec, &table)?;
        let guessed = spec.lenient_columns || spec.text.is_none() || spec.label.is_none();
        if at == 0 && guessed {
            let pair = columns.pair.as_ref().map(|pair| format!(" and `{pair}`")).unwrap_or_default();
            let texts = format!("`{}`{pair}", columns.text);
            let files = local::show(paths);
            notes.push(format!("{split}: text from {texts}, label from `{}` of {files}", columns.label));
        }
        let texts = table.column(&columns.text)?;
        let pairs = columns.pair.as_ref().map(|pair| table.column(pair)).transpose()?;
        let labels = table.column(&columns.label)?;
        for row in 0..table.rows {
            let place = Place { file: &table.file, row: row as u64 + 1 };
            let pair = match (pairs, &columns.pair) {
                (Some(cells), Some(name)) => Some(place.text(&cells[row], name)?),
                _ => None,
            };
            rows.push(Row {
                id: rows.len() as u64,
                text: place.text(&texts[row], &columns.text)?,
                pair,
                label: place.label(&labels[row], &columns.label)?,
                column: columns.label.clone(),
                file: table.file.clone(),
                line: row as u64 + 1,
            });
        }
    }
    Ok(rows)
}

/// Where a cell stands.
struct Place<'a> {
    file: &'a str,
    row: u64,
}

impl Place<'_> {
    fn text(&self, cell: &Cell, column: &str) -> Result<String, Error> {
        match cell {
            Cell::Text(text) => Ok(text.clone()),
            other => Err(self.wrong(other, column, "text")),
        }
    }

    /// The value of a label as it is looked up: numbers without a fraction are whole numbers,
    /// because a column with gaps is often stored as real numbers.
    fn label(&self, cell: &Cell, column: &str) -> Result<String, Error> {
        match cell {
            Cell::Text(text) if !text.trim().is_empty() => Ok(text.trim().to_owned()),
            Cell::Integer(number) => Ok(number.to_string()),
            Cell::Real(number) if number.fract() == 0.0 && number.abs() < 1e15 => Ok(format!("{number:.0}")),
            Cell::Flag(flag) => Ok(flag.to_string()),
            other => Err(self.wrong(other, column, "a whole number or a name")),
        }
    }

    fn wrong(&self, cell: &Cell, column: &str, expected: &'static str) -> Error {
        let (file, row, column) = (self.file.to_owned(), self.row, column.to_owned());
        match cell {
            Cell::Null => Error::Null { file, row, column, expected },
            other => Error::WrongType { file, row, column, found: other.describe(), expected },
        }
    }
}

fn clean(spec: &TaskSpec, examples: &mut [Example]) {
    if !spec.strip_html && !spec.squeeze_whitespace {
        return;
    }
    let cleaned = |text: &str| {
        let text = if spec.strip_html { strip_html(text) } else { text.into() };
        if spec.squeeze_whitespace { squeeze_whitespace(&text) } else { text.into_owned() }
    };
    examples.par_iter_mut().for_each(|example| {
        example.text = cleaned(&example.text);
        example.pair = example.pair.as_deref().map(cleaned);
    });
}

/// The rows that a rule takes, in the order of the source.
fn take(rule: &SplitRule, source: &[Example], split_seed: Seed) -> Vec<Example> {
    let n = source.len();
    if let Some([start, end]) = rule.shuffled {
        let order = shuffled(n, split_seed.derive("split").derive(&rule.from));
        let place = |fraction: f64| ((n as f64 * fraction).floor() as usize).min(n);
        let mut places = order[place(start)..place(end)].to_vec();
        places.sort_unstable();
        return places.into_iter().map(|place| source[place].clone()).collect();
    }
    match (rule.last, rule.all_but_last) {
        (Some(last), _) => source[n.saturating_sub(last)..].to_vec(),
        (_, Some(last)) => source[..n.saturating_sub(last)].to_vec(),
        _ => source.to_vec(),
    }
}

fn subset(examples: &[Example], limit: usize, seed: Seed) -> Vec<Example> {
    let mut places = shuffled(examples.len(), seed);
    places.truncate(limit);
    places.sort_unstable();
    places.into_iter().map(|place| examples[place].clone()).collect()
}

fn shuffled(n: usize, seed: Seed) -> Vec<usize> {
    let mut order: Vec<usize> = (0..n).collect();
    seed.stream().shuffle(&mut order);
    order
}

/// Every field with its length before it, so that no two contents have the same bytes.
fn hash(labels: &[String], splits: [&[Example]; 3]) -> String {
    let mut hash = Sha256::new();
    let mut field = |bytes: &[u8]| {
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    };
    field(&(labels.len() as u64).to_le_bytes());
    for label in labels {
        field(label.as_bytes());
    }
    for split in splits {
        field(&(split.len() as u64).to_le_bytes());
        for example in split {
            field(&example.id.to_le_bytes());
            field(&example.label.to_le_bytes());
            field(example.text.as_bytes());
            field(&[u8::from(example.pair.is_some())]);
            field(example.pair.as_deref().unwrap_or_default().as_bytes());
        }
    }
    format!("{:x}", hash.finalize())
}
