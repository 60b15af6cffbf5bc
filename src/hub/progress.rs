//! What a transfer tells whoever watches it, and how it is told to stop.

use std::ops::ControlFlow;

use super::error::Error;

/// One step of a transfer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// A transfer of so many bytes begins, with so many of them already on disk.
    Started {
        /// File or bundle.
        what: String,
        /// Bytes when whole.
        total: u64,
        /// Bytes kept from an earlier attempt.
        resumed: u64,
    },
    /// So many of its bytes are on disk now.
    Advanced {
        /// Bytes on disk.
        done: u64,
        /// Bytes when whole.
        total: u64,
    },
    /// Nothing moves for so many more seconds; told once a second.
    Waiting {
        /// Seconds left.
        seconds: u64,
        /// `429 from huggingface.co`, `another process`, ...
        reason: String,
    },
}

/// Whoever watches a transfer; `Break` stops it at once, keeping what is on disk.
pub type Watch<'a> = dyn FnMut(Progress) -> ControlFlow<()> + 'a;

/// A watcher that only lets go on.
pub fn unwatched(_: Progress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

/// Tells the watcher.
///
/// # Errors
/// When it says stop.
pub(crate) fn tell(watch: &mut Watch<'_>, progress: Progress) -> Result<(), Error> {
    match watch(progress) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(Error::Interrupted),
    }
}
