//! What can go wrong with stored hidden states.

use std::path::PathBuf;

use crate::error::{Category, Diagnose, did_you_mean};
use crate::runs;

/// An error of the store of hidden states.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No representation has such a name or key.
    #[error("no representation `{name}` in `{path}`")]
    Unknown {
        /// What was asked for.
        name: String,
        /// Where was looked.
        path: PathBuf,
        /// The names that are there.
        available: Vec<String>,
    },
    /// Several representations have such a name.
    #[error("`{name}` stands for {} representations: {}", matches.len(), matches.join(", "))]
    Ambiguous {
        /// What was asked for.
        name: String,
        /// Their keys and names.
        matches: Vec<String>,
    },
    /// A representation has no such site.
    #[error("`{representation}` has no site {site}, expected 0 to {}", count.saturating_sub(1))]
    Site {
        /// Which representation.
        representation: String,
        /// What was asked for.
        site: usize,
        /// How many it has.
        count: usize,
    },
    /// The disk refuses, or a file is not what this program writes.
    #[error(transparent)]
    Store(#[from] runs::Error),
}

impl Diagnose for Error {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Unknown { available, .. } if available.is_empty() => {
                Some("`pifi-probe represent` computes representations".into())
            }
            Self::Unknown { name, available, .. } => {
                let near = did_you_mean(name, available.iter().map(String::as_str));
                Some(match near {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("there are {}", available.join(", ")),
                })
            }
            Self::Ambiguous { .. } => Some("give more of the name, or the first characters of a key".into()),
            Self::Site { .. } => None,
            Self::Store(error @ runs::Error::Malformed { .. }) => Some(error.hint().unwrap_or_else(|| {
                "remove the folder and compute it again with `pifi-probe represent`".into()
            })),
            Self::Store(error) => error.hint(),
        }
    }

    fn category(&self) -> Category {
        match self {
            Self::Unknown { .. } | Self::Ambiguous { .. } | Self::Site { .. } => Category::Usage,
            Self::Store(error) => error.category(),
        }
    }
}
