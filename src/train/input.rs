//! What a learner reads: token ids, or features that a frozen encoder gave once.

use crate::nn::{Buffer, DropoutKey, Rows};

/// A batch of token ids.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tokens {
    /// Token of every row, `[R]`.
    pub ids: Vec<u32>,
    /// Token type of every row, `[R]`.
    pub type_ids: Vec<u32>,
    /// How rows belong to examples.
    pub rows: Rows,
}

/// A batch of feature rows, the same for all members.
#[derive(Clone, Debug, Default)]
pub struct Features {
    /// `[R, D]`, without a member axis.
    pub numbers: Buffer,
    /// D.
    pub width: usize,
    /// How rows belong to examples; one row each for pooled features.
    pub rows: Rows,
}

/// One batch.
#[derive(Clone, Debug)]
pub enum Input {
    /// The encoder reads it.
    Tokens(Tokens),
    /// The encoder has read it before.
    Features(Features),
}

impl Input {
    /// How rows belong to examples.
    pub fn rows(&self) -> &Rows {
        match self {
            Self::Tokens(tokens) => &tokens.rows,
            Self::Features(features) => &features.rows,
        }
    }

    /// Rows that are not padding: the number that throughput counts.
    pub fn real_rows(&self) -> usize {
        let rows = self.rows();
        rows.real.as_ref().map_or(rows.len(), |real| real.iter().filter(|&&real| real).count())
    }
}

/// What a forward pass is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pass {
    /// No dropout, and no backward follows.
    Evaluate,
    /// Dropout by this key, and a backward follows.
    Train(DropoutKey),
}
