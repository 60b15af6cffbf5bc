//! Tasks as data: where the rows are, which columns hold text and label, what the labels mean, and
//! how train, validation and test come about. The catalogue is `catalog.toml`; a user's own task is
//! the same structure in a file, or just a path.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use serde::{Deserialize, Serialize};

use crate::error::did_you_mean;

use super::{Error, SplitFiles, local};

/// One task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "each is a field of a task file")]
pub struct TaskSpec {
    /// Name on the command line.
    #[serde(default)]
    pub name: String,
    /// Other names of the same task.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub synonyms: Vec<String>,
    /// Where the rows come from.
    pub source: Source,
    /// Column of the text; found by usual names when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Column of the second text of a pair.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pair: Option<String>,
    /// Column of the label; found by usual names when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Names of the classes in the order of their numbers; the values found when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<String>,
    /// From a value of the label column to the name of a class. A value that is not here must be a
    /// class's name, or without a map its number.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub map: BTreeMap<String, String>,
    /// Values of the label column whose rows are left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub drop: Vec<String>,
    /// Whether csv and tsv files name their columns in the first line; without, the columns are
    /// `column_1`, `column_2`, ...
    #[serde(default = "yes")]
    pub header: bool,
    /// Whether markup is stripped from the texts, as the published classification code does.
    #[serde(default)]
    pub strip_html: bool,
    /// Whether line breaks and runs of spaces become one space.
    #[serde(default)]
    pub squeeze_whitespace: bool,
    /// How the three splits come about; after the files' names when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub splits: Option<Splits>,
    /// The splits of the published code, where they are others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub published_splits: Option<Splits>,
    /// Language of the texts, as a code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// What the source says about its licence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub licence: Option<String>,
    /// What a reader of results must know about the data.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub caveats: Vec<String>,
    /// What was decided while the task was resolved.
    #[serde(skip)]
    pub notes: Vec<String>,
    /// Whether columns that a file lacks are looked for by usual names: so for a task of the
    /// catalogue on local files, whose columns may be called otherwise.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub lenient_columns: bool,
}

fn yes() -> bool {
    true
}

/// Where the rows of a task come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// The Hub's parquet conversion of a data set.
    Hub(HubSource),
    /// Local files by split of the source.
    #[serde(with = "one_or_more")]
    Files(SplitFiles),
    /// Text that this program generates: the name of a domain of [`super::demo`].
    Embedded(String),
}

/// A data set on the Hub.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HubSource {
    /// `owner/name` of the data set.
    pub id: String,
    /// The id by which the published code asks for it, where that is an older name that the Hub
    /// redirects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub published_as: Option<String>,
    /// Configuration, the first folder of the conversion.
    #[serde(default = "default_config")]
    pub config: String,
    /// Branch of the conversion; pinned to its commit when read.
    #[serde(default = "parquet_revision")]
    pub revision: String,
}

fn default_config() -> String {
    "default".to_owned()
}

fn parquet_revision() -> String {
    "refs/convert/parquet".to_owned()
}

impl HubSource {
    /// Folder of a split in the conversion; its files are `0000.parquet`, `0001.parquet`, ...
    pub fn folder(&self, split: &str) -> String {
        format!("{}/{split}", self.config)
    }
}

/// How the three splits come about.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Splits {
    /// What the weights learn from.
    pub train: SplitRule,
    /// What everything that chooses looks at.
    pub validation: SplitRule,
    /// What is reported.
    pub test: SplitRule,
}

impl Splits {
    /// The three rules with their names.
    pub fn named(&self) -> [(&'static str, &SplitRule); 3] {
        [("train", &self.train), ("validation", &self.validation), ("test", &self.test)]
    }
}

/// Which rows of a split of the source; all, unless one of the three options is set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SplitRule {
    /// Split of the source.
    pub from: String,
    /// The part from the first to the second fraction of the rows in the order of the split seed:
    /// of n rows those from `floor(n * first)` to `floor(n * second)`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shuffled: Option<[f64; 2]>,
    /// The last rows in the file's order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<usize>,
    /// All but the last rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub all_but_last: Option<usize>,
}

impl SplitRule {
    /// All rows of a split.
    pub fn all(from: &str) -> Self {
        Self { from: from.to_owned(), shuffled: None, last: None, all_but_last: None }
    }

    /// A part of the shuffled rows.
    pub fn shuffled(from: &str, start: f64, end: f64) -> Self {
        Self { shuffled: Some([start, end]), ..Self::all(from) }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Catalog {
    task: Vec<TaskSpec>,
}

/// The tasks that the program knows by name.
pub fn catalog() -> &'static [TaskSpec] {
    static CATALOG: OnceLock<Vec<TaskSpec>> = OnceLock::new();
    CATALOG.get_or_init(|| {
        let catalog: Catalog =
            toml::from_str(include_str!("catalog.toml")).expect("a test reads the catalogue");
        catalog.task
    })
}

/// A task of the catalogue by its name or a synonym; letter case, `-` and `_` make no difference.
///
/// # Errors
/// When there is none.
pub fn find(name: &str) -> Result<&'static TaskSpec, Error> {
    let plain = |name: &str| name.to_lowercase().replace('-', "_");
    let wanted = plain(name);
    let names = |task: &'static TaskSpec| std::iter::once(&task.name).chain(&task.synonyms);
    catalog().iter().find(|task| names(task).any(|known| plain(known) == wanted)).ok_or_else(|| {
        let known = catalog().iter().flat_map(names).map(String::as_str);
        Error::UnknownTask {
            name: name.to_owned(),
            known: catalog().iter().map(|task| task.name.clone()).collect(),
            suggestion: did_you_mean(&wanted, known).map(str::to_owned),
        }
    })
}

/// The task that a command line means: a name of the catalogue, `name=path` for a local file or
/// folder, or a task file (`.toml`), with or without a name before it.
///
/// # Errors
/// When there is no such task or path, or the task file is not one.
pub fn resolve(argument: &str) -> Result<TaskSpec, Error> {
    let (name, path) = match argument.split_once('=') {
        Some((name, path)) if !name.is_empty() && !path.is_empty() => (Some(name), Path::new(path)),
        Some(_) => return Err(Error::TaskArgument { argument: argument.to_owned() }),
        None if has_toml_ending(Path::new(argument)) => (None, Path::new(argument)),
        None => return find(argument).cloned(),
    };
    if has_toml_ending(path) {
        return from_file(name, path);
    }
    local::spec(name.unwrap_or_default(), path)
}

fn has_toml_ending(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("toml"))
}

/// A task file; its data files count from its own folder.
fn from_file(name: Option<&str>, path: &Path) -> Result<TaskSpec, Error> {
    let text = std::fs::read_to_string(path).map_err(|source| match source.kind() {
        std::io::ErrorKind::NotFound => Error::NotFound { path: path.to_owned() },
        _ => Error::Io { path: path.to_owned(), source },
    })?;
    let mut spec: TaskSpec = toml::from_str(&text)
        .map_err(|error| Error::TaskFile { path: path.to_owned(), reason: error.to_string() })?;
    if let Some(name) = name {
        name.clone_into(&mut spec.name);
    } else if spec.name.is_empty() {
        spec.name = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    }
    if let Source::Files(files) = &mut spec.source {
        let folder = path.parent().unwrap_or(Path::new(""));
        for file in files.values_mut().flatten() {
            *file = folder.join(&file);
        }
        if spec.splits.is_none() {
            let (splits, note) = local::splits(&spec.name, files.keys().map(String::as_str))?;
            spec.splits = Some(splits);
            spec.notes.extend(note);
        }
    }
    spec.check()?;
    Ok(spec)
}

impl TaskSpec {
    /// The task with the splits of the published code in the place of its own, and a note that says
    /// what this changed. The definition no longer has two sets of splits then.
    #[must_use]
    pub fn with_published_splits(mut self) -> Self {
        let published = self.published_splits.take();
        let possible = match (&published, &self.source) {
            (Some(splits), Source::Files(files)) => local::catalogue_splits(splits, files).map(|it| it.0),
            (Some(splits), Source::Hub(_) | Source::Embedded(_)) => Some(splits.clone()),
            (None, _) => None,
        };
        let known = find(&self.name).is_ok();
        self.notes.push(match (&possible, &published) {
            (Some(splits), _) => format!(
                "splits as published: validation from `{}`, test from `{}`",
                splits.validation.from, splits.test.from
            ),
            (None, Some(splits)) => format!(
                "the published splits need files of `{}` and `{}`: the files' own splits stay",
                splits.validation.from, splits.test.from
            ),
            (None, None) if known => "its splits are the published ones anyway".to_owned(),
            (None, None) => "no published splits are known for it: its own stay".to_owned(),
        });
        self.splits = possible.or(self.splits);
        self
    }

    /// The definition with the splits that are read, and without others that are not.
    #[must_use]
    pub fn with_default_splits(self) -> Self {
        Self { published_splits: None, ..self }
    }

    /// The splits of the source that the task reads, in the order train, validation, test.
    pub fn source_splits(&self) -> Vec<&str> {
        let mut needed = Vec::new();
        for (_, rule) in self.splits.iter().flat_map(Splits::named) {
            if !needed.contains(&rule.from.as_str()) {
                needed.push(&rule.from);
            }
        }
        needed
    }

    /// Refuses fields that contradict each other.
    ///
    /// # Errors
    /// Names the field, its value and what was expected.
    pub fn check(&self) -> Result<(), Error> {
        let wrong = |reason: String| Err(Error::TaskField { task: self.name.clone(), reason });
        if self.labels.len() == 1 {
            return wrong(format!("`labels` has the one class `{}`, expected at least 2", self.labels[0]));
        }
        for (at, label) in self.labels.iter().enumerate() {
            if self.labels[..at].contains(label) {
                return wrong(format!("`labels` names `{label}` twice, expected different names"));
            }
        }
        if let Some((value, label)) = self.map.iter().find(|(_, label)| !self.labels.contains(label)) {
            return wrong(format!("`map` sends `{value}` to `{label}`, expected one of {:?}", self.labels));
        }
        if let Some(value) = self.drop.iter().find(|value| self.map.contains_key(*value)) {
            return wrong(format!("`{value}` stands in `map` and in `drop`, expected one of them"));
        }
        let Some(splits) = &self.splits else {
            return wrong("`splits` is absent, expected train, validation and test".to_owned());
        };
        for (name, rule) in
            splits.named().into_iter().chain(self.published_splits.iter().flat_map(Splits::named))
        {
            let options = [rule.shuffled.is_some(), rule.last.is_some(), rule.all_but_last.is_some()];
            if options.into_iter().filter(|given| *given).count() > 1 {
                return wrong(format!(
                    "`splits.{name}` has several of `shuffled`, `last`, `all_but_last`, expected at most one"
                ));
            }
            if let Some([start, end]) = rule.shuffled
                && !(0.0 <= start && start < end && end <= 1.0)
            {
                return wrong(format!(
                    "`splits.{name}.shuffled` is [{start}, {end}], expected rising fractions from 0 to 1"
                ));
            }
        }
        Ok(())
    }
}

/// Files of a split: one path or a list of paths.
mod one_or_more {
    use super::{BTreeMap, Deserialize, PathBuf, Serialize, SplitFiles};

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Paths {
        One(PathBuf),
        More(Vec<PathBuf>),
    }

    pub(super) fn deserialize<'de, D: serde::Deserializer<'de>>(input: D) -> Result<SplitFiles, D::Error> {
        let files = BTreeMap::<String, Paths>::deserialize(input)?;
        Ok(files
            .into_iter()
            .map(|(split, paths)| match paths {
                Paths::One(path) => (split, vec![path]),
                Paths::More(paths) => (split, paths),
            })
            .collect())
    }

    pub(super) fn serialize<S: serde::Serializer>(files: &SplitFiles, output: S) -> Result<S::Ok, S::Error> {
        files.serialize(output)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_catalogue_holds_the_published_tasks_and_each_is_consistent() {
        let published = [
            "sst2",
            "sst5",
            "imdb",
            "cr",
            "mr",
            "subj",
            "trec",
            "ag_news",
            "yelp_polarity",
            "cola",
            "tweet_sentiment_binary",
            "tweet_offensive",
            "nsmc",
            "mnli",
            "snli",
            "demo",
        ];
        for name in published {
            assert_eq!(find(name).unwrap().name, name);
        }
        let mut names: Vec<&String> =
            catalog().iter().flat_map(|task| std::iter::once(&task.name).chain(&task.synonyms)).collect();
        for task in catalog() {
            task.check().unwrap();
            assert!(task.labels.len() >= 2 && task.licence.is_some(), "{}", task.name);
        }
        names.sort();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count, "a name stands for two tasks");
    }

    #[test]
    fn a_slip_of_the_keyboard_is_answered_with_the_task() {
        let Err(Error::UnknownTask { suggestion, .. }) = resolve("imbdb") else { panic!() };
        assert_eq!(suggestion.as_deref(), Some("imdb"));
        assert!(matches!(resolve("=x"), Err(Error::TaskArgument { .. })));
        assert!(matches!(resolve("mine=no/such/file.csv"), Err(Error::NotFound { .. })));
    }

    #[test]
    fn splits_are_those_of_the_published_code() {
        // reference table of published splits: CoLA's test is GLUE's validation, MNLI holds out the
        // last 9,832 training rows and tests on validation_mismatched
        let cola = find("cola").unwrap();
        assert_eq!(cola.source_splits(), ["train", "validation"]);
        let splits = cola.splits.clone().unwrap();
        assert_eq!(splits.validation, SplitRule::shuffled("train", 0.0, 0.2));
        assert_eq!(splits.test, SplitRule::all("validation"));
    }

    /// Reference table of published splits: MNLI holds out the last 9,832 training rows although
    /// GLUE has a validation split.
    #[test]
    fn published_splits_replace_those_that_differ_and_only_those() {
        let mnli = find("MNLI").unwrap();
        assert_eq!(mnli.source_splits(), ["train", "validation_matched", "validation_mismatched"]);
        let published = mnli.clone().with_published_splits();
        assert_eq!(published.source_splits(), ["train", "validation_mismatched"]);
        let splits = published.splits.unwrap();
        assert_eq!((splits.validation.last, splits.train.all_but_last), (Some(9832), Some(9832)));
        assert!(published.notes[0].contains("as published"), "{:?}", published.notes);
        for same in ["cola", "imdb", "sst2"] {
            let published = find(same).unwrap().clone().with_published_splits();
            assert_eq!(published.splits, find(same).unwrap().splits);
            assert!(published.notes[0].contains("published ones anyway"), "{:?}", published.notes);
        }
    }

    #[test]
    fn contradictions_are_refused_by_name() {
        let base = find("sst2").unwrap();
        let with = |change: &dyn Fn(&mut TaskSpec)| {
            let mut spec = base.clone();
            change(&mut spec);
            spec.check().unwrap_err().to_string()
        };
        assert!(with(&|spec| spec.labels = vec!["a".into()]).contains("one class `a`"));
        assert!(with(&|spec| spec.labels = vec!["a".into(), "a".into()]).contains("`a` twice"));
        assert!(with(&|spec| drop(spec.map.insert("7".into(), "meh".into()))).contains("`meh`"));
        assert!(with(&|spec| spec.splits.as_mut().unwrap().test.shuffled = Some([0.5, 0.2])).contains("0.5"));
    }
}
