//! A matrix of features as it is stored: one row an example, one column a channel, f32. The
//! mathematics of this module works on its f64 copy; only the all-pairs paths read it as it is.

use ndarray::Array2;

/// Features `[rows, columns]`, row-major.
#[derive(Clone, Debug, PartialEq)]
pub struct Features {
    /// Number of examples.
    pub rows: usize,
    /// Number of channels.
    pub columns: usize,
    /// `rows * columns` numbers, the channels of an example side by side.
    pub values: Vec<f32>,
}

impl Features {
    /// Features of these sizes; `None` unless there are `rows * columns` numbers.
    pub fn new(rows: usize, columns: usize, values: Vec<f32>) -> Option<Self> {
        (rows.checked_mul(columns)? == values.len()).then_some(Self { rows, columns, values })
    }

    /// The same numbers in f64.
    pub fn to_f64(&self) -> Array2<f64> {
        Array2::from_shape_fn((self.rows, self.columns), |(row, column)| {
            f64::from(self.values[row * self.columns + column])
        })
    }

    /// The rows at these places, in this order.
    ///
    /// # Panics
    /// If a place is not below `rows`.
    #[must_use]
    pub fn select(&self, places: &[usize]) -> Self {
        let row = |&at: &usize| &self.values[at * self.columns..(at + 1) * self.columns];
        let values = places.iter().flat_map(row).copied().collect();
        Self { rows: places.len(), columns: self.columns, values }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_keep_their_shape_and_their_rows() {
        assert_eq!(Features::new(2, 2, vec![0.0; 3]), None);
        let features = Features::new(3, 2, vec![0.0, 1.0, 2.0, 3.0, 4.0, 5.0]).unwrap();
        assert_eq!(features.to_f64()[[2, 1]], 5.0);
        assert_eq!(features.select(&[2, 0]).values, [4.0, 5.0, 0.0, 1.0]);
    }
}
