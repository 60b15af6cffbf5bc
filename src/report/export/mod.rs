//! Finished runs for other programs to read: an MLflow server, TensorBoard's event files, LaTeX. A
//! run is written after its training, from the files that it left, and as often as one likes: what
//! is already there is found by the run's id and left alone.

pub mod latex;
pub mod mlflow;
pub mod scalars;
pub mod tensorboard;

use std::path::PathBuf;

use crate::error::{Category, Diagnose};
use crate::runs::{HistoryRow, RunRecord};
use crate::words::words;

words! {
    /// What an export is written for.
    Target, "target of an export" {
        /// The server of MLflow, by its REST interface.
        Mlflow = "mlflow",
        /// A directory of event files.
        Tensorboard = "tensorboard",
        /// RFC 4180, one row a run and evaluated task.
        Csv = "csv",
        /// The same rows as an array of objects.
        Json = "json",
        /// The same rows with their main columns, as a table for a document.
        Latex = "latex",
    }
}

/// A finished run with what it logged while training.
#[derive(Clone, Debug)]
pub struct Run {
    /// `run.json`.
    pub record: RunRecord,
    /// `history.parquet`.
    pub history: Vec<HistoryRow>,
}

/// What became of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is there now.
    Written,
    /// It was there before.
    Present,
}

/// Why an export failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The server's address is none.
    #[error(
        "`{address}` is no address of an MLflow server: expected one that begins with http:// or https://"
    )]
    Address {
        /// As given.
        address: String,
    },
    /// The server cannot be reached.
    #[error("the MLflow server at `{address}` cannot be reached: {reason}")]
    Unreachable {
        /// Its address.
        address: String,
        /// The system's or the connection's words.
        reason: String,
    },
    /// The server wants other credentials.
    #[error(
        "the MLflow server at `{address}` answered {status} to `{call}`: it does not accept the credentials"
    )]
    Credentials {
        /// Its address.
        address: String,
        /// 401 or 403.
        status: u16,
        /// What was asked.
        call: String,
    },
    /// The server refuses.
    #[error("the MLflow server at `{address}` answered {status} to `{call}`: {message}")]
    Refused {
        /// Its address.
        address: String,
        /// HTTP status.
        status: u16,
        /// What was asked.
        call: String,
        /// Its words, cut where they are long.
        message: String,
    },
    /// The server answers what MLflow does not.
    #[error("`{address}` answered something else than MLflow does to `{call}`: {reason}")]
    Strange {
        /// Its address.
        address: String,
        /// What was asked.
        call: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The experiment was deleted and still holds its name.
    #[error("the experiment `{name}` is deleted on the MLflow server")]
    Deleted {
        /// Its name.
        name: String,
    },
    /// A moment in a record that is none.
    #[error("run `{cell}` has no readable time: `{text}`")]
    Time {
        /// The run.
        cell: String,
        /// As recorded.
        text: String,
    },
    /// A file or directory cannot be written.
    #[error("`{}` could not be written: {source}", .path.display())]
    Write {
        /// The file or directory.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
}

impl Diagnose for Error {
    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Address { .. } => {
                "`mlflow server --port 5000` serves at http://127.0.0.1:5000, also what it stores in files"
                    .into()
            }
            Self::Unreachable { .. } => {
                "is `mlflow server` running there, and is the port the right one?".into()
            }
            Self::Credentials { .. } => {
                "set MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD".into()
            }
            Self::Strange { .. } => "does the address end where MLflow's page is, without `/api`?".into(),
            Self::Deleted { .. } => "restore it there, or choose another name with `--experiment`".into(),
            Self::Write { .. } => "is the folder writable and the disk not full?".into(),
            Self::Refused { .. } | Self::Time { .. } => return None,
        })
    }

    fn category(&self) -> Category {
        match self {
            Self::Address { .. } => Category::Usage,
            Self::Credentials { .. } => Category::Authentication,
            _ => Category::Failure,
        }
    }
}
