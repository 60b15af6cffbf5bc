//! What can be wrong with hidden states that are to be compared.

use std::path::{Path, PathBuf};

use crate::analysis::similarity::MEASURES;
use crate::error::{Category, Diagnose, did_you_mean};

/// An error of choosing or reading hidden states.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// Rows must be the same examples.
    #[error("`{first}` and `{second}` are not of the same examples: {what}")]
    OtherExamples {
        /// Name of one.
        first: String,
        /// Name of the other.
        second: String,
        /// What differs.
        what: String,
    },
    /// A place that the representation does not have.
    #[error("`{name}` has no place `{typed}`")]
    NoSite {
        /// The representation.
        name: String,
        /// As typed.
        typed: String,
        /// What there is.
        available: Vec<String>,
    },
    /// A measure that there is not.
    #[error("no measure `{0}`")]
    NoMeasure(String),
    /// A file that was there a moment ago.
    #[error("cannot read `{}`: {cause}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's words.
        cause: std::io::Error,
    },
}

impl Error {
    pub(crate) fn read(path: &Path, cause: std::io::Error) -> Self {
        Self::Unreadable { path: path.to_owned(), cause }
    }
}

impl Diagnose for Error {
    fn hint(&self) -> Option<String> {
        match self {
            Self::OtherExamples { .. } => {
                Some("`represent` both models with one `--task`, `--split` and `--limit`".into())
            }
            Self::NoSite { available, .. } => Some(format!("there are {}", available.join(", "))),
            Self::NoMeasure(typed) => {
                let names = MEASURES.iter().map(|measure| measure.name);
                Some(match did_you_mean(typed, names.clone()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("there are {}", names.collect::<Vec<_>>().join(", ")),
                })
            }
            Self::Unreadable { .. } => None,
        }
    }

    fn category(&self) -> Category {
        match self {
            Self::OtherExamples { .. } | Self::NoSite { .. } | Self::NoMeasure(_) => Category::Usage,
            Self::Unreadable { .. } => Category::Failure,
        }
    }
}
