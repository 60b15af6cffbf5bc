//! How the rows of a batch belong to its examples.

use crate::seed::Seed;

/// The rows of a packed batch: example `b` owns rows `offsets[b]..offsets[b + 1]`, in the order of
/// its tokens. A padded batch is the special case of equal segments with some rows not real.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rows {
    /// B + 1 row numbers, from 0 to R.
    pub offsets: Vec<usize>,
    /// Position of every row's token within its text, `[R]`; counts from 0.
    pub positions: Vec<u32>,
    /// Which rows are real tokens, `[R]`; `None` when all are. Rows that are not are computed, but
    /// no row attends to them.
    pub real: Option<Vec<bool>>,
    /// Number of every example in its data set, `[B]`; dropout masks depend on it.
    pub example_ids: Vec<u64>,
}

impl Rows {
    /// Packed texts of these lengths; example ids count from 0.
    pub fn packed(lengths: &[usize]) -> Self {
        let mut rows = Self { offsets: vec![0], ..Self::default() };
        for (example, &length) in lengths.iter().enumerate() {
            rows.positions.extend(0..length as u32);
            rows.offsets.push(rows.positions.len());
            rows.example_ids.push(example as u64);
        }
        rows
    }

    /// One row an example: what pooling leaves of `self`.
    #[must_use]
    pub fn pooled(&self) -> Self {
        Self {
            offsets: (0..=self.examples()).collect(),
            positions: vec![0; self.examples()],
            real: None,
            example_ids: self.example_ids.clone(),
        }
    }

    /// B.
    pub fn examples(&self) -> usize {
        self.offsets.len().saturating_sub(1)
    }

    /// R.
    pub fn len(&self) -> usize {
        self.positions.len()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.positions.is_empty()
    }

    /// Whether every example has exactly one row, so that attention has one key a query.
    pub fn single(&self) -> bool {
        self.len() == self.examples()
    }

    /// Rows of example `b`.
    pub fn segment(&self, b: usize) -> std::ops::Range<usize> {
        self.offsets[b]..self.offsets[b + 1]
    }

    /// Whether a row is a real token.
    pub fn is_real(&self, row: usize) -> bool {
        self.real.as_ref().is_none_or(|real| real[row])
    }
}

/// Names one dropout mask: with the example, token and channel it decides every element, so that
/// members, stackings, thread counts and resumed runs see the same mask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DropoutKey {
    /// The run's seed for dropout.
    pub seed: Seed,
    /// Optimiser step.
    pub step: u64,
    /// Which dropout of the model.
    pub site: u32,
}

impl DropoutKey {
    /// The key of another place in the model, same seed and step.
    #[must_use]
    pub fn at(self, site: u32) -> Self {
        Self { site, ..self }
    }
}
