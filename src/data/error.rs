//! What can be wrong with a task, its files and its tokens.

use std::path::PathBuf;

use crate::error::{Category, Diagnose};

/// An error of the `data` module. Rows count from 1, the header left out.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A name that is not in the catalogue.
    #[error("unknown task `{name}`, expected one of {}", list(.known))]
    UnknownTask {
        /// What was asked for.
        name: String,
        /// The catalogue.
        known: Vec<String>,
        /// The nearest name.
        suggestion: Option<String>,
    },
    /// `--task` is neither a name nor `name=path`.
    #[error("malformed task `{argument}`, expected `name`, `name=path` or a `.toml` file")]
    TaskArgument {
        /// What was typed.
        argument: String,
    },
    /// A task file that is not TOML of the expected form.
    #[error("task file `{}`: {reason}", .path.display())]
    TaskFile {
        /// The file.
        path: PathBuf,
        /// What the parser says, with line and column.
        reason: String,
    },
    /// A field of a task that cannot be meant.
    #[error("task `{task}`: {reason}")]
    TaskField {
        /// Name of the task.
        task: String,
        /// Field, value and what was expected.
        reason: String,
    },
    /// A path that is not there.
    #[error("`{}` does not exist", .path.display())]
    NotFound {
        /// The path.
        path: PathBuf,
    },
    /// A folder in which no file is named after a split.
    #[error("`{}` holds no training file, expected `train` with one of the endings {}", .path.display(), list(.endings))]
    NoTrainFile {
        /// The folder.
        path: PathBuf,
        /// Endings that are read.
        endings: Vec<String>,
    },
    /// The operating system's answer.
    #[error("cannot read `{}`: {source}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The answer.
        source: std::io::Error,
    },
    /// A file ending that no reader knows.
    #[error("`{file}` has no known ending, expected one of {}", list(.endings))]
    UnknownFormat {
        /// The file.
        file: String,
        /// Endings that are read.
        endings: Vec<String>,
    },
    /// A file that unpacks to more than the program is willing to hold.
    #[error("`{file}` unpacks to more than {limit} bytes")]
    TooLarge {
        /// The file.
        file: String,
        /// Most bytes.
        limit: u64,
    },
    /// A file that is not what its ending says.
    #[error("`{file}` is not valid {format}{}: {reason}", at(*.row))]
    Malformed {
        /// The file.
        file: String,
        /// What it was read as.
        format: &'static str,
        /// The row, where known.
        row: Option<u64>,
        /// What the reader says.
        reason: String,
    },
    /// Bytes that are not UTF-8.
    #[error("`{file}`, row {row}: bytes that are not UTF-8, expected UTF-8 text")]
    NotUtf8 {
        /// The file.
        file: String,
        /// The row.
        row: u64,
    },
    /// A row with too many or too few fields.
    #[error("`{file}`, row {row}: {fields} fields, expected {expected} as in the first line")]
    Ragged {
        /// The file.
        file: String,
        /// The row.
        row: u64,
        /// Fields found.
        fields: usize,
        /// Fields of the first line.
        expected: usize,
        /// Whether quotes mean something in this format.
        quoting: bool,
    },
    /// A file without a row.
    #[error("`{file}` has no rows")]
    Empty {
        /// The file.
        file: String,
    },
    /// A column that the task names and the file lacks.
    #[error("`{file}` has no column `{column}`, it has {}", list(.columns))]
    MissingColumn {
        /// The file.
        file: String,
        /// The column.
        column: String,
        /// Columns of the file.
        columns: Vec<String>,
    },
    /// No column has a name by which texts or labels usually go.
    #[error("`{file}` has no column that looks like {what}, expected one of {}; it has {}", list(.usual), list(.columns))]
    NoUsualColumn {
        /// The file.
        file: String,
        /// `a text` or `a label`.
        what: &'static str,
        /// Usual names.
        usual: Vec<String>,
        /// Columns of the file.
        columns: Vec<String>,
    },
    /// A cell without a value.
    #[error("`{file}`, row {row}: column `{column}` is null, expected {expected}")]
    Null {
        /// The file.
        file: String,
        /// The row.
        row: u64,
        /// The column.
        column: String,
        /// What belongs there.
        expected: &'static str,
    },
    /// A cell of another type than its column must have.
    #[error("`{file}`, row {row}: column `{column}` holds {found}, expected {expected}")]
    WrongType {
        /// The file.
        file: String,
        /// The row.
        row: u64,
        /// The column.
        column: String,
        /// The value or its type.
        found: String,
        /// What belongs there.
        expected: &'static str,
    },
    /// A label that the task does not know.
    #[error("`{file}`, row {row}: unknown label `{value}` in column `{column}`, expected one of {}", list(.known))]
    UnknownLabel {
        /// The file.
        file: String,
        /// The row.
        row: u64,
        /// The column.
        column: String,
        /// The value.
        value: String,
        /// Values and names that are known.
        known: Vec<String>,
    },
    /// So many different labels that the column is no label.
    #[error(
        "column `{column}` of task `{task}` has {classes} different values, expected 2 to {limit} classes"
    )]
    ClassCount {
        /// Name of the task.
        task: String,
        /// The column.
        column: String,
        /// Different values.
        classes: usize,
        /// Most classes.
        limit: usize,
    },
    /// A split for which no file was given.
    #[error("task `{task}` needs the split `{split}`, found only {}", list(.available))]
    MissingSplit {
        /// Name of the task.
        task: String,
        /// The split of the source.
        split: String,
        /// Splits with files.
        available: Vec<String>,
    },
    /// A split in which nothing is left.
    #[error("the {split} split of task `{task}` is empty")]
    EmptySplit {
        /// Name of the task.
        task: String,
        /// `train`, `validation` or `test`.
        split: &'static str,
    },
    /// A tokenizer file that cannot be used.
    #[error("`{file}` is not a usable tokenizer file: {reason}")]
    Tokenizer {
        /// The file.
        file: &'static str,
        /// What the parser says.
        reason: String,
    },
    /// The longest text allowed has no room for a word.
    #[error("a maximum length of {length} leaves no room for text beside {special} special tokens, expected at least {}", .special + 1)]
    MaxLength {
        /// Tokens.
        length: usize,
        /// Tokens that the tokenizer adds.
        special: usize,
    },
    /// A token that the model has no row for.
    #[error(
        "tokenizer mismatch with the vocabulary: token `{token}` has id {id}, but the model's vocabulary has {vocab_size} entries (the tokenizer's {tokenizer_size})"
    )]
    OutOfVocabulary {
        /// The token.
        token: String,
        /// Its id.
        id: u32,
        /// Rows of the model's embedding.
        vocab_size: usize,
        /// Entries of the tokenizer.
        tokenizer_size: usize,
    },
    /// A padded batch without a token to pad with.
    #[error("the tokenizer names no padding token and no end token, expected one for padded batches")]
    NoPadToken,
}

/// Names in backticks with commas; long lists are cut.
fn list(names: &[String]) -> String {
    const MOST: usize = 40;
    if names.is_empty() {
        return "nothing".to_owned();
    }
    let text = names.iter().take(MOST).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(MOST) {
        0 => text,
        more => format!("{text} and {more} more"),
    }
}

fn at(row: Option<u64>) -> String {
    row.map(|row| format!(" (row {row})")).unwrap_or_default()
}

impl Diagnose for Error {
    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::UnknownTask { suggestion: Some(name), .. } => format!("did you mean `{name}`?"),
            Self::UnknownTask { name, .. } => {
                format!("give your own data as `{name}=PATH` (a file, a folder or a `.toml` file)")
            }
            Self::TaskArgument { .. } => "for example `sst2`, `reviews=data/reviews.csv`".to_owned(),
            Self::TaskFile { .. } | Self::TaskField { .. } => {
                "the README's section on tasks lists every field of a task file".to_owned()
            }
            Self::NotFound { .. } => "check the path; it counts from the current folder".to_owned(),
            Self::NoTrainFile { .. } => {
                "name the files `train.*`, `validation.*` and `test.*`, or list them in a `.toml` file".to_owned()
            }
            Self::UnknownFormat { .. } => "rename the file after its format".to_owned(),
            Self::NotUtf8 { .. } => "convert the file, for example with `iconv -t utf-8`".to_owned(),
            Self::Ragged { quoting: true, .. } => {
                "fields that hold a comma or a line break must stand in double quotes".to_owned()
            }
            Self::Ragged { quoting: false, .. } => {
                "quotes mean nothing in a `.tsv` file, a tab or a line break in a text splits it; use `.csv` or `.jsonl`"
                    .to_owned()
            }
            Self::MissingColumn { .. } | Self::NoUsualColumn { .. } => {
                "name the columns with `text`, `pair` and `label` in a `.toml` file".to_owned()
            }
            Self::Null { .. } => "remove the row, or fill the value in".to_owned(),
            Self::UnknownLabel { .. } => {
                "add the value to the task's `map`, or to its `drop` to leave such rows out".to_owned()
            }
            Self::ClassCount { .. } => "name the right column with `label` in a `.toml` file".to_owned(),
            Self::OutOfVocabulary { .. } => {
                "use the tokenizer.json that was published with the model".to_owned()
            }
            Self::MaxLength { .. } => "raise `--max-length`".to_owned(),
            Self::NoPadToken => "pack batches without padding, or add `pad_token` to tokenizer_config.json".to_owned(),
            Self::Malformed { .. } => "the file may be truncated; fetch or write it again".to_owned(),
            Self::Empty { .. } => {
                "write at least one row, in csv and tsv files below a line with the columns' names".to_owned()
            }
            Self::WrongType { .. } => "correct the value, or remove the row".to_owned(),
            Self::EmptySplit { .. } => {
                "add rows, or say with `splits` in a `.toml` file where this one comes from".to_owned()
            }
            Self::MissingSplit { .. } => {
                "name the file after the split, or list files and `splits` in a `.toml` file".to_owned()
            }
            Self::Tokenizer { .. } => {
                "fetch the file again: it is the one that fast tokenizers of transformers write".to_owned()
            }
            Self::TooLarge { .. } => "take a part of the rows".to_owned(),
            Self::Io { .. } => "is it a file that you may read?".to_owned(),
        })
    }

    fn category(&self) -> Category {
        match self {
            Self::UnknownTask { .. }
            | Self::TaskArgument { .. }
            | Self::TaskFile { .. }
            | Self::TaskField { .. }
            | Self::NotFound { .. }
            | Self::MaxLength { .. } => Category::Usage,
            _ => Category::Failure,
        }
    }
}
