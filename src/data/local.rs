//! Tasks on local files: which file is which split, which column is what. Whatever is guessed is
//! said in the task's notes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::read::{Format, Table, endings};
use super::task::{self, Source, SplitRule, Splits, TaskSpec};
use super::{Error, SplitFiles};

/// Names by which columns usually go, in order of preference.
const TEXTS: [&str; 11] = [
    "text",
    "sentence",
    "content",
    "document",
    "review",
    "review_text",
    "reviewtext",
    "comment",
    "tweet",
    "body",
    "question",
];
const PAIRS: [(&str, &str); 6] = [
    ("premise", "hypothesis"),
    ("sentence1", "sentence2"),
    ("text1", "text2"),
    ("question1", "question2"),
    ("question", "sentence"),
    ("text", "text_pair"),
];
const LABELS: [&str; 9] =
    ["label", "labels", "target", "class", "category", "sentiment", "coarse_label", "polarity", "gold_label"];

/// Names of a split's files, without ending.
const VALIDATION: [&str; 4] = ["validation", "valid", "dev", "val"];

/// The columns of a task in one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Columns {
    pub(super) text: String,
    pub(super) pair: Option<String>,
    pub(super) label: String,
}

/// A task on a file or a folder. A name of the catalogue brings its label map, its cleaning and,
/// where the files have them, its columns and splits.
pub(super) fn spec(name: &str, path: &Path) -> Result<TaskSpec, Error> {
    let files = files(path)?;
    let known = task::find(name).ok();
    let mut spec = match known {
        Some(known) => TaskSpec { lenient_columns: true, ..known.clone() },
        None => blank(name),
    };
    let rules = known.into_iter().flat_map(|known| known.splits.iter().chain(&known.published_splits));
    let of_catalogue = match is_complete(&files) {
        true => None,
        false => rules.into_iter().find_map(|rules| catalogue_splits(rules, &files)),
    };
    let (splits, note) = match of_catalogue {
        Some((splits, note)) => (splits, Some(note)),
        None => splits(name, files.keys().map(String::as_str))?,
    };
    spec.notes.extend(note);
    if let Some(known) = known {
        spec.notes.push(format!("labels and cleaning of the catalogue's task `{}`", known.name));
    }
    spec.source = Source::Files(files);
    spec.splits = Some(splits);
    spec.check()?;
    Ok(spec)
}

fn blank(name: &str) -> TaskSpec {
    TaskSpec {
        name: name.to_owned(),
        synonyms: Vec::new(),
        source: Source::Files(BTreeMap::new()),
        text: None,
        pair: None,
        label: None,
        labels: Vec::new(),
        map: BTreeMap::new(),
        drop: Vec::new(),
        header: true,
        strip_html: false,
        squeeze_whitespace: false,
        splits: None,
        published_splits: None,
        language: None,
        licence: None,
        caveats: Vec::new(),
        notes: Vec::new(),
        lenient_columns: true,
    }
}

/// Files by split: all in a folder that can be read, or the one file as `train`.
fn files(path: &Path) -> Result<SplitFiles, Error> {
    if path.is_file() {
        return match Format::of(path) {
            Some(_) => Ok(SplitFiles::from([("train".to_owned(), vec![path.to_owned()])])),
            None => Err(Error::UnknownFormat { file: path.display().to_string(), endings: endings() }),
        };
    }
    let entries = std::fs::read_dir(path).map_err(|source| match source.kind() {
        std::io::ErrorKind::NotFound => Error::NotFound { path: path.to_owned() },
        _ => Error::Io { path: path.to_owned(), source },
    })?;
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|source| Error::Io { path: path.to_owned(), source })?.path();
        if entry.is_file() && Format::of(&entry).is_some() {
            found.push(entry);
        }
    }
    found.sort();
    let mut files = SplitFiles::new();
    for file in found {
        files.entry(split_of(&file)).or_insert_with(|| vec![file]);
    }
    if files.contains_key("train") {
        return Ok(files);
    }
    Err(Error::NoTrainFile { path: path.to_owned(), endings: endings() })
}

/// The split that a file is named after: its name up to the first dot, `dev` and the like put right.
fn split_of(file: &Path) -> String {
    let name = file.file_name().map(|name| name.to_string_lossy().to_lowercase()).unwrap_or_default();
    let stem = name.split('.').next().unwrap_or_default();
    if VALIDATION.contains(&stem) { VALIDATION[0].to_owned() } else { stem.to_owned() }
}

/// Whether every split has a file of its own.
fn is_complete(files: &SplitFiles) -> bool {
    ["train", "validation", "test"].iter().all(|split| files.contains_key(*split))
}

/// Splits of the catalogue where the files allow them, with what to say about them; a file with the
/// test's suffix (`test_mismatched` for `validation_mismatched`) stands in for it.
pub(super) fn catalogue_splits(known: &Splits, files: &SplitFiles) -> Option<(Splits, String)> {
    let mut rules = known.clone();
    if let Some((_, suffix)) = known.test.from.rsplit_once('_') {
        let stand_in = format!("test_{suffix}");
        if !files.contains_key(&known.test.from) && files.contains_key(&stand_in) {
            if known.validation.from != "train" && files.contains_key(VALIDATION[0]) {
                let note = format!("test is `{stand_in}`, train and validation are files of their own");
                let test = SplitRule::all(&stand_in);
                let own = |split| SplitRule::all(split);
                return Some((Splits { train: own("train"), validation: own(VALIDATION[0]), test }, note));
            }
            rules.test = SplitRule::all(&stand_in);
        }
    }
    let possible = rules.named().iter().all(|(_, rule)| files.contains_key(&rule.from));
    possible.then(|| (rules, "splits as in the catalogue".to_owned()))
}

/// Splits out of the files that there are; what is missing is cut from the shuffled training rows.
pub(super) fn splits<'a>(
    name: &str,
    files: impl Iterator<Item = &'a str>,
) -> Result<(Splits, Option<String>), Error> {
    let files: Vec<&str> = files.collect();
    let has = |split: &str| files.contains(&split);
    if !has("train") {
        return Err(Error::MissingSplit {
            task: name.to_owned(),
            split: "train".to_owned(),
            available: files.iter().map(|&split| split.to_owned()).collect(),
        });
    }
    let part = |start, end| SplitRule::shuffled("train", start, end);
    let all = SplitRule::all;
    let (train, validation, test, note) = match (has("validation"), has("test")) {
        (true, true) => (all("train"), all("validation"), all("test"), None),
        (true, false) => {
            (part(0.1, 1.0), all("validation"), part(0.0, 0.1), Some("test is a tenth of the training rows"))
        }
        (false, true) => {
            (part(0.1, 1.0), part(0.0, 0.1), all("test"), Some("validation is a tenth of the training rows"))
        }
        (false, false) => (
            part(0.2, 1.0),
            part(0.0, 0.1),
            part(0.1, 0.2),
            Some("one file: 80 % of its rows train, 10 % validation, 10 % test, by the split seed"),
        ),
    };
    Ok((Splits { train, validation, test }, note.map(str::to_owned)))
}

/// The columns to read from a file: those that the task names, else those with usual names.
pub(super) fn columns(spec: &TaskSpec, table: &Table) -> Result<Columns, Error> {
    let names = table.names();
    let exact = |name: &String| names.contains(name).then(|| name.clone());
    let usual = |name: &str| names.iter().find(|column| column.eq_ignore_ascii_case(name)).cloned();
    let none = |what, usual: Vec<String>| Error::NoUsualColumn {
        file: table.file.clone(),
        what,
        usual,
        columns: names.clone(),
    };
    // a column that the task names must be there, unless its names are only a proposal
    let named = |column: &Option<String>| match column {
        Some(column) if !spec.lenient_columns => {
            table.column(column)?;
            Ok(Some(column.clone()))
        }
        Some(column) => Ok(exact(column)),
        None => Ok::<_, Error>(None),
    };
    let label = match named(&spec.label)? {
        Some(label) => label,
        None => LABELS.iter().find_map(|name| usual(name)).ok_or_else(|| none("a label", owned(&LABELS)))?,
    };
    let (mut text, mut pair) = (named(&spec.text)?, named(&spec.pair)?);
    let wants_pair = spec.pair.is_some() || spec.text.is_none();
    if wants_pair && (text.is_none() || (spec.pair.is_some() && pair.is_none())) {
        let found = PAIRS.iter().find_map(|(first, second)| Some((usual(first)?, usual(second)?)));
        if let Some((first, second)) = found {
            (text, pair) = (Some(first), Some(second));
        } else if spec.pair.is_some() {
            let usual = PAIRS.iter().map(|(first, second)| format!("{first}, {second}")).collect();
            return Err(none("a pair of texts", usual));
        }
    }
    let text = match text {
        Some(text) => text,
        None => TEXTS.iter().find_map(|name| usual(name)).ok_or_else(|| none("a text", owned(&TEXTS)))?,
    };
    Ok(Columns { text, pair, label })
}

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

/// A path for a message.
pub(super) fn show(files: &[PathBuf]) -> String {
    files.iter().map(|file| format!("`{}`", file.display())).collect::<Vec<_>>().join(", ")
}
