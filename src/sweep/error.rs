//! What can go wrong with studies, plans and engines.

use std::path::PathBuf;

use crate::error::{Category, Diagnose};

/// A value of a study that cannot be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid {
    /// Its key in the study file, dots between tables.
    pub field: &'static str,
    /// The value as given.
    pub value: String,
    /// What it should be.
    pub expected: &'static str,
    /// What to do about it.
    pub hint: Option<&'static str>,
}

impl std::fmt::Display for Invalid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "`{}` is `{}`: expected {}", self.field, self.value, self.expected)
    }
}

/// An error of a study, a plan or an engine.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Values that cannot be, all of them.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Invalid(Vec<Invalid>),
    /// A study file that is no TOML or has unknown keys.
    #[error("cannot read the study `{path}`: {message}")]
    StudyFile {
        /// The file.
        path: PathBuf,
        /// The parser's words, with the place.
        message: String,
        /// The known key that was probably meant.
        meant: Option<String>,
    },
    /// A layer that the LLM does not have.
    #[error("layer {layer} of a model with {depth} layers: expected 0 to {}", depth.saturating_sub(1))]
    NoSuchLayer {
        /// Index from 0.
        layer: usize,
        /// How many there are.
        depth: usize,
    },
    /// A plan file that is none.
    #[error("cannot read the plan `{path}`: {reason}")]
    PlanFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A cell that the plan does not have.
    #[error("no cell `{cell}` in the plan: it has {cells} others")]
    NoSuchCell {
        /// The id.
        cell: String,
        /// How many there are.
        cells: usize,
    },
    /// The worker program does not start.
    #[error("cannot start `{program}`: {source}")]
    Worker {
        /// The program.
        program: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// A cell needs more memory than there is.
    #[error(
        "a cell needs about {} MiB of memory, and {} MiB are there",
        needed / (1 << 20), available / (1 << 20)
    )]
    DoesNotFit {
        /// Bytes, estimated.
        needed: u64,
        /// Bytes.
        available: u64,
        /// Whether a smaller stack or fewer workers would fit.
        smaller_fits: bool,
    },
    /// A model or data that is no longer what was planned.
    #[error("the {what} is no longer what it was when the plan was made")]
    Changed {
        /// The model or data.
        what: String,
    },
    /// A worker without work.
    #[error("no cell was named: expected at least one id of the plan")]
    NoCells,
    /// Another process writes a cell's outputs.
    #[error("another process is at cell `{cell}`")]
    Claimed {
        /// The id.
        cell: String,
    },
    /// Cells that cannot be trained together.
    #[error("the cells of a stack differ in more than the layer: expected layers of one specification")]
    MixedStack,
    /// Tasks whose labels differ.
    #[error("`{other}` has the labels {}, expected those of `{task}`: {}", quoted(found), quoted(expected))]
    Labels {
        /// The task trained on.
        task: String,
        /// The task to be evaluated on.
        other: String,
        /// Its labels.
        found: Vec<String>,
        /// The labels of the task trained on.
        expected: Vec<String>,
    },
    /// A run whose weights were not kept.
    #[error("run `{cell}` kept no weights")]
    NoWeights {
        /// The id.
        cell: String,
    },
    /// More epochs than can be counted.
    #[error("`{epochs}` epochs: expected at most {}", u32::MAX)]
    TooManyEpochs {
        /// As asked for.
        epochs: usize,
    },
    /// The features of a frozen encoder cannot be kept.
    #[error("cannot keep features at `{}`: {source}", path.display())]
    Features {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// Hidden states of a model that is not whole on this machine: layers alone do not suffice.
    #[error("{0}")]
    OfflineStates(crate::error::Failure),
    /// Reading or writing runs.
    #[error(transparent)]
    Runs(#[from] crate::runs::Error),
}

impl Diagnose for Error {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Invalid(values) => {
                let hint = values.iter().find_map(|value| value.hint);
                Some(
                    hint.unwrap_or("`pifi-probe layers --help` lists every value with its default")
                        .to_owned(),
                )
            }
            Self::StudyFile { meant: Some(key), .. } => Some(format!("did you mean `{key}`?")),
            Self::StudyFile { .. } => {
                Some("`pifi-probe layers --llm demo --print-config` prints a whole study file".into())
            }
            Self::DoesNotFit { smaller_fits: true, .. } => {
                Some("`--oom shrink` takes fewer workers and smaller stacks until it fits".into())
            }
            Self::DoesNotFit { .. } => Some(
                "take a smaller small model or a smaller `--batch-size`, or train only the plug with \
                 `--train plug`"
                    .into(),
            ),
            Self::PlanFile { .. } => Some("run the command that made the plan again".into()),
            Self::Runs(error) => error.hint(),
            Self::Changed { .. } => Some("run the command again: changed inputs make new cells".into()),
            Self::Labels { other, .. } => {
                Some(format!(
                    "leave `{other}` out of `--eval`, as its numbers would mean nothing; or, if only the names differ, \
                     give it the same `labels = [...]` in a task file"
                ))
            }
            Self::OfflineStates(_) => Some(
                "on a connected machine run the same command with `--limit 1`: it brings all layers, what stands \
                 outside of them, and the texts into the cache; or drop the offline setting"
                    .into(),
            ),
            Self::Features { .. } => Some("is the folder writable and the disk not full?".into()),
            Self::NoWeights { .. } => {
                Some("train it again in a new `--out` folder with `--save best`".into())
            }
            Self::MixedStack => Some("take `--stack 1`".into()),
            Self::NoSuchLayer { .. }
            | Self::NoSuchCell { .. }
            | Self::NoCells
            | Self::Claimed { .. }
            | Self::TooManyEpochs { .. }
            | Self::Worker { .. } => None,
        }
    }

    fn category(&self) -> Category {
        match self {
            Self::Invalid(_) | Self::StudyFile { .. } | Self::NoSuchLayer { .. } => Category::Usage,
            Self::Runs(error) => error.category(),
            Self::OfflineStates(_) => Category::Offline,
            _ => Category::Failure,
        }
    }
}

fn quoted(names: &[String]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}
