//! What can be wrong with what was typed, or with the terminal that was typed into.

use std::path::PathBuf;

use crate::error::{Category, Diagnose};

/// An error of the command line itself.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// A file that was named on the command line cannot be read.
    #[error("cannot read `{}`: {cause}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's words.
        cause: std::io::Error,
    },
    /// A file that was named on the command line cannot be written.
    #[error("cannot write `{}`: {cause}", path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// The system's words.
        cause: std::io::Error,
    },
    /// Standard output does not take what is written.
    #[error("cannot write to standard output: {0}")]
    Output(std::io::Error),
    /// A directory that is no study.
    #[error("`{}` is no study: it has no `plan.json`", .0.display())]
    NoStudy(PathBuf),
    /// A second `--task` that nothing evaluates on.
    #[error("task `{0}` is given and not used: expected it in `--eval`")]
    UnusedTask(String),
    /// A further `--task` that is no definition.
    #[error("a further `--task` must define one: `{0}` is expected as `name=path`")]
    SecondTask(String),
    /// A value of a flag that is outside of its range.
    #[error("`{flag}` is `{value}`: expected {expected}")]
    Flag {
        /// The flag with its dashes.
        flag: &'static str,
        /// As typed.
        value: String,
        /// What it should be.
        expected: &'static str,
    },
    /// Nothing names the tasks to train on.
    #[error("no task to train on is named: expected `--train-on TASKS`")]
    NoTrainingTasks,
    /// A study file that is an analysis.
    #[error("`{}` declares more than one plain study", .0.display())]
    SeveralStudies(PathBuf),
    /// One task in two places.
    #[error("task `{0}` is named twice: expected every task once in `--train-on` and `--eval`")]
    TaskTwice(String),
    /// A file of this program that is not what it should be.
    #[error("`{}` cannot be understood: {reason}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Nothing names the LLM.
    #[error("no LLM is named: expected `--llm MODEL`, or a study file with `llm`")]
    NoLlm,
    /// The name of a study that could not be a directory.
    #[error("`{0}` cannot name a study: expected letters, digits, `-`, `_` and `.`")]
    StudyName(String),
    /// The plan has no such cell.
    #[error("the plan has no cell for {0}")]
    NoCell(String),
    /// A run whose study's directory is gone.
    #[error("no study in `{}` has the run `{run}` in its plan", out.display())]
    NoPlan {
        /// The run's id.
        run: String,
        /// Directory of all outputs.
        out: PathBuf,
    },
    /// A server of MLflow elsewhere, while offline.
    #[error("offline by `--offline`, and the MLflow server `{0}` is not on this machine")]
    OfflineServer(String),
    /// Nothing to remove was named.
    #[error("nothing to remove is named: expected models, `--all` or `--unfinished`")]
    NothingNamed,
    /// The user said no.
    #[error("not started")]
    Declined,
    /// The sweep finished, and some cells have no result.
    #[error("{failed} of {cells} cells failed")]
    CellsFailed {
        /// Cells without a result.
        failed: usize,
        /// Cells of the plan.
        cells: usize,
    },
    /// Oracle directories that do not match.
    #[error("{failed} failed, {unsupported} unsupported")]
    NotVerified {
        /// Cases beyond their tolerance and unreadable directories.
        failed: usize,
        /// Directories of models that are not supported.
        unsupported: usize,
    },
    /// Golden values that do not come out.
    #[error("{failed} of {checks} golden values do not come out")]
    SelftestFailed {
        /// Values beyond their tolerance.
        failed: usize,
        /// All values.
        checks: usize,
    },
    /// Bundles that are not what was fetched.
    #[error("{0} damaged or unfinished")]
    Damaged(usize),
    /// A first Ctrl-C.
    #[error("interrupted")]
    Interrupted,
    /// A termination signal or the end of `--time-limit`.
    #[error("stopped {0}")]
    Stopped(&'static str),
    /// The program's own fault.
    #[error("the program failed in a way that it should not: {0}")]
    Bug(String),
    /// The threads cannot be started.
    #[error("cannot start {threads} threads: {reason}")]
    Threads {
        /// How many.
        threads: usize,
        /// Why.
        reason: String,
    },
}

impl Diagnose for Error {
    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NoStudy(_) => {
                "a study's directory is made by `pifi-probe layers`, below `outputs/` unless told otherwise"
                    .into()
            }
            Self::NoPlan { .. } => {
                "the command that made the run writes its plan again; with everything done it ends at once"
                    .into()
            }
            Self::UnusedTask(name) => format!("add `--eval {name}`"),
            Self::SecondTask(_) => {
                "name the task to train on once; further tasks to evaluate on go to `--eval`".into()
            }
            Self::Flag { .. } => "`--help` lists every flag with its default".into(),
            Self::StudyName(_) => {
                "for example `--study llama3-sst2`; it becomes a directory below `--out`".into()
            }
            Self::Unreadable { .. } => "check the path; it counts from the current folder".into(),
            Self::NoCell(_) => "name one of the layers and controls that `--dry-run` lists".into(),
            Self::SeveralStudies(path) => {
                let folder = path.parent().unwrap_or(path).display();
                format!("`pifi-probe analyze {folder}` runs all of it")
            }
            Self::NoTrainingTasks => "for example `--train-on imdb,cr`; `--llm demo` brings its own".into(),
            Self::NoLlm => "try `pifi-probe layers --llm demo`, which needs no network".into(),
            Self::CellsFailed { .. } => {
                "`pifi-probe runs list` gives the reasons; the same command tries the failed cells again"
                    .into()
            }
            Self::NotVerified { .. } => "`--verbose` lists every case".into(),
            Self::Damaged(_) => {
                "`pifi-probe cache rm --unfinished` removes what is left of unfinished fetches; \
                                 what is damaged is fetched again after `pifi-probe cache rm MODEL`"
                    .into()
            }
            Self::OfflineServer(_) => {
                "leave `--offline` out, or export to files with `--to tensorboard`".into()
            }
            Self::NothingNamed => "`pifi-probe cache ls` shows what there is".into(),
            Self::SelftestFailed { .. } => {
                "numbers of this build on this machine are not to be trusted; please report the table above"
                    .into()
            }
            Self::Bug(_) => "please report it with the command and the lines above".into(),
            Self::Unwritable { .. } => "choose a place that you may write to".into(),
            Self::Interrupted | Self::Stopped(_) => "the same command goes on where it stopped".into(),
            _ => return None,
        })
    }

    fn category(&self) -> Category {
        match self {
            Self::Unreadable { cause, .. } if cause.kind() == std::io::ErrorKind::NotFound => Category::Usage,
            Self::NoStudy(_)
            | Self::UnusedTask(_)
            | Self::SecondTask(_)
            | Self::Flag { .. }
            | Self::NoLlm
            | Self::NoTrainingTasks
            | Self::TaskTwice(_)
            | Self::SeveralStudies(_)
            | Self::StudyName(_)
            | Self::NothingNamed => Category::Usage,
            Self::CellsFailed { .. } => Category::CellsFailed,
            Self::OfflineServer(_) => Category::Offline,
            Self::Interrupted => Category::Interrupted,
            Self::Stopped(_) => Category::Stopped,
            _ => Category::Failure,
        }
    }
}
