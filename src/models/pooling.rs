//! From the rows of a text to one.

use crate::models::block::Selection;
use crate::nn::{Buffer, Rows, pooling};
use crate::words::words;

words! {
    /// Which row, or mean of rows, stands for a text.
    Pooling, "pooling" {
        /// The first token.
        Cls = "cls",
        /// The mean of the real tokens.
        Mean = "mean",
        /// The mean of all positions of a padded batch, padding included, as published under the name
        /// `average_pooling_with_padding`.
        MeanPad = "mean_pad",
        /// The last real token.
        Last = "last",
    }
}

impl Pooling {
    /// The one row an example that is read, or `None` for means.
    pub fn selection(self, rows: &Rows) -> Option<Selection> {
        let row = |example: usize| {
            let segment = rows.segment(example);
            match self {
                Self::Cls => segment.start,
                _ => segment.clone().rev().find(|&row| rows.is_real(row)).unwrap_or(segment.start),
            }
        };
        if matches!(self, Self::Mean | Self::MeanPad) {
            return None;
        }
        let selected: Vec<usize> = (0..rows.examples()).map(row).collect();
        let layout =
            Rows { positions: selected.iter().map(|&row| rows.positions[row]).collect(), ..rows.pooled() };
        Some(Selection { rows: selected, layout })
    }

    /// # Shapes
    /// - x: `[K, R, D]`, y: `[K, B, D]`
    pub(crate) fn forward(self, members: usize, width: usize, rows: &Rows, x: &Buffer, y: &mut Buffer) {
        match self.selection(rows) {
            Some(selection) => pooling::gather(members, width, &selection.rows, x, y),
            None => pooling::pool_mean(members, width, rows, self == Self::MeanPad, x, y),
        }
    }

    /// Writes the gradient of x.
    pub(crate) fn backward(self, members: usize, width: usize, rows: &Rows, dy: &Buffer, dx: &mut Buffer) {
        match self.selection(rows) {
            Some(selection) => {
                pooling::scatter(members, width, &selection.rows, rows.len(), dy, dx);
            }
            None => pooling::pool_mean_backward(members, width, rows, self == Self::MeanPad, dy, dx),
        }
    }
}
