//! Rotary positions (Su et al., "RoFormer", 2021) in the "rotate half" layout: channel i of a head
//! pairs with channel i + `rotary_dim` / 2, and channels from `rotary_dim` on pass unchanged.

#[cfg(feature = "cuda")]
#[path = "cuda/rotary.rs"]
mod on_gpu;

use rayon::prelude::*;

use super::{Buffer, Rows};

/// Sizes of what is rotated, `[K, R, heads, head_dim]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// K.
    pub members: usize,
    /// Heads of a row: H for queries, G for keys.
    pub heads: usize,
    /// Channels of a head.
    pub head_dim: usize,
}

/// Cosines and sines of every pair's angle at every position so far, computed in f64.
#[derive(Clone, Debug, Default)]
pub struct Table {
    inverse_frequencies: Vec<f64>,
    attention_factor: f64,
    cosines: Vec<f32>,
    sines: Vec<f32>,
}

impl Table {
    /// `inverse_frequencies`: angle a position of each of the `rotary_dim` / 2 pairs, scaling
    /// included; cosines and sines are multiplied by `attention_factor`. No position is covered yet.
    pub fn new(inverse_frequencies: Vec<f64>, attention_factor: f64) -> Self {
        Self { inverse_frequencies, attention_factor, cosines: Vec::new(), sines: Vec::new() }
    }

    /// How many of a head's first channels rotate.
    pub fn rotary_dim(&self) -> usize {
        2 * self.inverse_frequencies.len()
    }

    /// Computes what is missing for every position of `rows`.
    pub fn cover(&mut self, rows: &Rows) {
        let pairs = self.inverse_frequencies.len();
        let wanted = rows.positions.iter().max().map_or(0, |&last| last as usize + 1);
        let covered = self.cosines.len().checked_div(pairs).unwrap_or(wanted);
        for position in covered..wanted {
            for frequency in &self.inverse_frequencies {
                let (sine, cosine) = (position as f64 * frequency).sin_cos();
                self.cosines.push((cosine * self.attention_factor) as f32);
                self.sines.push((sine * self.attention_factor) as f32);
            }
        }
    }
}

/// Rotates every head of every row of `x`, `[K, R, heads * head_dim]`, by its row's position, in
/// place. `table` covers the rows ([`Table::cover`]).
pub fn forward(shape: Shape, table: &Table, rows: &Rows, x: &mut Buffer) {
    rotate(shape, table, rows, x, 1.0);
}

/// The gradient of [`forward`]'s input from that of its output, in place: the rotation by the
/// negative angle, with the same factor.
pub fn backward(shape: Shape, table: &Table, rows: &Rows, dx: &mut Buffer) {
    rotate(shape, table, rows, dx, -1.0);
}

/// Rows that one task takes at least; a row is a few hundred multiplications.
const ROWS_A_TASK: usize = 32;

fn rotate(shape: Shape, table: &Table, rows: &Rows, x: &mut Buffer, direction: f32) {
    let pairs = table.inverse_frequencies.len();
    let width = shape.heads * shape.head_dim;
    debug_assert!(2 * pairs <= shape.head_dim);
    debug_assert_eq!(x.len(), shape.members * rows.len() * width);
    if pairs == 0 || width == 0 {
        return;
    }
    #[cfg(feature = "cuda")]
    if let Some(gpu) = x.gpu() {
        return on_gpu::rotate(gpu, shape, table, rows, x, direction);
    }
    x.cpu_mut().par_chunks_exact_mut(width).with_min_len(ROWS_A_TASK).enumerate().for_each(|(index, row)| {
        let position = rows.positions[index % rows.len()] as usize;
        let cosines = &table.cosines[position * pairs..][..pairs];
        let sines = &table.sines[position * pairs..][..pairs];
        for head in row.chunks_exact_mut(shape.head_dim) {
            let (first, rest) = head.split_at_mut(pairs);
            let angles = cosines.iter().zip(sines);
            for ((a, b), (cosine, sine)) in first.iter_mut().zip(rest).zip(angles) {
                let (x, y, sine) = (*a, *b, direction * sine);
                *a = x * cosine - y * sine;
                *b = y * cosine + x * sine;
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::Device;

    const SHAPE: Shape = Shape { members: 2, heads: 3, head_dim: 10 };

    fn example() -> (Table, Rows, Buffer) {
        let rows = Rows::packed(&[4, 2]);
        let mut table = Table::new(vec![1.0, 0.1, 0.013], 1.25);
        table.cover(&rows);
        let x = (0..2 * 6 * 30).map(|i| (f64::from(i) * 0.7).sin() as f32).collect();
        (table, rows, Buffer::from_vec(Device::CPU, x))
    }

    #[test]
    fn pairs_turn_as_complex_numbers_and_other_channels_pass() {
        let (table, rows, x) = example();
        let mut y = x.clone();
        forward(SHAPE, &table, &rows, &mut y);
        for (start, position) in [(0, 0), (3, 3), (4, 0), (6 + 5, 1)] {
            for head in 0..3 {
                let at = start * 30 + head * 10;
                for (pair, frequency) in [1.0, 0.1, 0.013].into_iter().enumerate() {
                    let (a, b) = (f64::from(x.cpu()[at + pair]), f64::from(x.cpu()[at + pair + 3]));
                    let (sine, cosine) = (f64::from(position) * frequency).sin_cos();
                    let expected = [1.25 * (a * cosine - b * sine), 1.25 * (a * sine + b * cosine)];
                    for (offset, expected) in [pair, pair + 3].into_iter().zip(expected) {
                        assert!((f64::from(y.cpu()[at + offset]) - expected).abs() < 1e-6);
                    }
                }
                assert_eq!(y.cpu()[at + 6..at + 10], x.cpu()[at + 6..at + 10]);
            }
        }
    }

    /// For a linear map A, backward is its transpose: <A x, y> = <x, A' y>.
    #[test]
    fn backward_is_the_transpose_of_forward() {
        let (table, rows, x) = example();
        let y: Vec<f32> = x.cpu().iter().map(|x| (x * 3.0).cos()).collect();
        let mut ax = x.clone();
        forward(SHAPE, &table, &rows, &mut ax);
        let mut aty = Buffer::from_vec(Device::CPU, y.clone());
        backward(SHAPE, &table, &rows, &mut aty);
        let dot = |a: &[f32], b: &[f32]| -> f64 {
            a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
        };
        let (left, right) = (dot(ax.cpu(), &y), dot(x.cpu(), aty.cpu()));
        assert!((left - right).abs() < 1e-5, "{left} {right}");
        assert_ne!(ax.cpu(), x.cpu());
    }

    #[test]
    fn a_table_that_grows_keeps_its_first_positions() {
        let (mut table, _, _) = example();
        let before = table.cosines.clone();
        table.cover(&Rows::packed(&[9]));
        assert_eq!(table.cosines[..before.len()], before);
        assert_eq!(table.cosines.len(), 9 * 3);
        table.cover(&Rows::packed(&[2]));
        assert_eq!(table.cosines.len(), 9 * 3);
        assert_eq!(table.rotary_dim(), 6);
    }
}
