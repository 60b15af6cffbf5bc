//! What can go wrong with run outputs.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use crate::error::{Category, Diagnose};

/// An error of the run store or of its tables.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The disk or the quota is used up.
    #[error("no room left on the disk while writing `{path}`")]
    DiskFull {
        /// What was being written.
        path: PathBuf,
    },
    /// The output directory cannot be written to.
    #[error("cannot write to `{path}`: {reason}")]
    Unwritable {
        /// The directory or file.
        path: PathBuf,
        /// The system's words.
        reason: String,
    },
    /// Any other refusal of the operating system.
    #[error("cannot {doing} `{path}`: {source}")]
    Io {
        /// An infinitive: `read`, `write`, ...
        doing: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The file system under the output directory has no file locks.
    #[error("cannot lock `{path}`: {reason}")]
    NoLocks {
        /// The lock file.
        path: PathBuf,
        /// The system's words.
        reason: String,
    },
    /// A file of a run is not what this program writes.
    #[error("cannot read `{path}`: {reason}")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, with the expectation.
        reason: String,
    },
    /// A file of a run was written by a newer program.
    #[error("`{path}` has schema version {found}: this program reads versions up to {known}")]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// The newest version that is read here.
        known: u32,
    },
    /// No run has such an id.
    #[error("no run `{prefix}` in `{path}`: expected the first characters of a run's id")]
    UnknownRun {
        /// What was asked for.
        prefix: String,
        /// Where was looked.
        path: PathBuf,
    },
    /// Several runs have such an id.
    #[error("`{prefix}` stands for {} runs: {}", matches.len(), matches.join(", "))]
    AmbiguousRun {
        /// What was asked for.
        prefix: String,
        /// Their ids.
        matches: Vec<String>,
    },
    /// Not a cell's id.
    #[error("`{0}` is no cell id: expected 1 to 64 lower-case hexadecimal digits")]
    BadId(String),
    /// A number that a record must have is NaN or infinite.
    #[error("run `{cell}`: {what} is {value}: expected a finite number")]
    NotFinite {
        /// The cell's id.
        cell: String,
        /// Which number.
        what: String,
        /// Its value.
        value: f64,
    },
    /// The parts of a run contradict each other.
    #[error("run `{cell}`: {reason}")]
    Inconsistent {
        /// The cell's id.
        cell: String,
        /// The contradiction.
        reason: String,
    },
}

impl Error {
    /// Turns a refusal of the operating system into the error that names its cause.
    pub(crate) fn io(doing: &'static str, path: &Path, source: io::Error) -> Self {
        let path = path.to_path_buf();
        match source.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Self::DiskFull { path },
            ErrorKind::PermissionDenied
            | ErrorKind::ReadOnlyFilesystem
            | ErrorKind::NotADirectory
            | ErrorKind::AlreadyExists
                if doing != "read" =>
            {
                Self::Unwritable { path, reason: source.to_string() }
            }
            _ => Self::Io { doing, path, source },
        }
    }

    pub(crate) fn malformed(path: &Path, reason: impl std::fmt::Display) -> Self {
        Self::Malformed { path: path.to_path_buf(), reason: reason.to_string() }
    }
}

impl Diagnose for Error {
    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::DiskFull { .. } => {
                "free some room (`pifi-probe cache ls` shows the layers on disk) or choose another directory \
                 with `--out`; finished runs are kept, the same command goes on"
                    .into()
            }
            Self::Unwritable { .. } => "choose a directory that you may write to with `--out`".into(),
            Self::NoLocks { .. } => {
                "the output directory must stand on a file system with file locks: local \
                                     disks have them, NFS needs version 4 or a lock daemon, Lustre the mount \
                                     option `flock`"
                    .into()
            }
            Self::Newer { .. } => "update pifi-probe".into(),
            Self::UnknownRun { .. } => "`pifi-probe runs list` shows the ids".into(),
            Self::AmbiguousRun { .. } => "give more characters of the id".into(),
            Self::Io { source, .. } if source.kind() == ErrorKind::FileTooLarge => {
                "a limit on the size of files is in the way: see `ulimit -f`".into()
            }
            Self::Io { .. }
            | Self::Malformed { .. }
            | Self::BadId(_)
            | Self::NotFinite { .. }
            | Self::Inconsistent { .. } => return None,
        })
    }

    fn category(&self) -> Category {
        match self {
            Self::UnknownRun { .. } | Self::AmbiguousRun { .. } | Self::BadId(_) => Category::Usage,
            _ => Category::Failure,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_and_an_unwritable_place_are_told_apart_from_other_trouble() {
        let path = Path::new("outputs/runs");
        let full = Error::io("write", path, ErrorKind::StorageFull.into());
        assert_eq!(full.to_string(), "no room left on the disk while writing `outputs/runs`");
        let denied = Error::io("create", path, ErrorKind::PermissionDenied.into());
        assert!(matches!(denied, Error::Unwritable { .. }), "{denied}");
        assert!(denied.hint().expect("has a remedy").contains("--out"));
        let absent = Error::io("read", path, ErrorKind::NotFound.into());
        assert!(matches!(absent, Error::Io { .. }), "{absent}");
    }
}
