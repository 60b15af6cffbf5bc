//! Why a training cannot start, go on or be resumed.

use crate::error::{Category, Diagnose};

/// Errors of training. A member that diverges is not one: it is a result.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A hyper-parameter outside its range.
    #[error("`{name}` is `{value}`: expected {expected}")]
    Refused {
        /// The flag or key, as typed.
        name: &'static str,
        /// What was given.
        value: String,
        /// The values that are possible.
        expected: &'static str,
    },
    /// A word that is not in a list.
    #[error("unknown {what} `{value}`: expected {expected}")]
    Unknown {
        /// What the word should name.
        what: &'static str,
        /// The word.
        value: String,
        /// The list.
        expected: String,
    },
    /// A split without examples.
    #[error("split `{split}` has no example: expected at least one")]
    Empty {
        /// The split.
        split: String,
    },
    /// The last short batch is dropped, and it is the only one.
    #[error(
        "{examples} training examples make no whole batch: expected at least {batch_size}, the batch size"
    )]
    NoBatch {
        /// Examples of the training split.
        examples: usize,
        /// The batch size.
        batch_size: usize,
    },
    /// A label that the head has no class for, or a span outside its text.
    #[error("example {example} of split `{split}` has the gold answer `{found}`: expected {expected}")]
    Gold {
        /// The split.
        split: String,
        /// Place of the example within the split.
        example: usize,
        /// The answer.
        found: String,
        /// What the objective can read.
        expected: String,
    },
    /// A learner whose logits do not have the shape that the objective reads.
    #[error("the learner gave {found} logits: expected {expected}")]
    Logits {
        /// Numbers given.
        found: usize,
        /// Numbers expected, K times rows times classes.
        expected: usize,
    },
    /// Pre-training sequences that the objective cannot use.
    #[error("{what}: expected {expected}")]
    Text {
        /// What is wrong with them.
        what: String,
        /// What was expected.
        expected: &'static str,
    },
    /// A checkpoint that was cut short or changed.
    #[error("checkpoint is damaged: {what}")]
    Damaged {
        /// What does not fit.
        what: String,
    },
    /// A checkpoint of another version of the program.
    #[error("checkpoint has format {found}: expected {expected}")]
    Format {
        /// The version in the file.
        found: u32,
        /// The version that this program reads.
        expected: u32,
    },
    /// A checkpoint of a run with other settings, data or members.
    #[error("checkpoint belongs to run `{found}`: expected `{expected}`")]
    OtherRun {
        /// Fingerprint in the checkpoint.
        found: String,
        /// Fingerprint of this run.
        expected: String,
    },
    /// The checkpoint's bytes cannot be read or written.
    #[error("checkpoint: {0}")]
    Io(#[from] std::io::Error),
}

impl Diagnose for Error {
    fn hint(&self) -> Option<String> {
        match self {
            Self::NoBatch { .. } => {
                Some("leave `drop-last` out of `--as-published`, or lower `--batch-size`".into())
            }
            Self::Damaged { .. } | Self::Format { .. } | Self::OtherRun { .. } => {
                Some("remove the checkpoint: the run then starts from its beginning".into())
            }
            _ => None,
        }
    }

    fn category(&self) -> Category {
        match self {
            Self::Refused { .. } | Self::Unknown { .. } => Category::Usage,
            _ => Category::Failure,
        }
    }
}
