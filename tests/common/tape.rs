//! A tape in memory: what a layer leaves for the next, and the rows that were given.

use pifi_probe::error::Failure;
use pifi_probe::represent::Tape;

#[derive(Default)]
pub(crate) struct Memory {
    pub(crate) before: Vec<f32>,
    pub(crate) read: usize,
    after: Vec<f32>,
    rows: Vec<f32>,
    pub(crate) texts: usize,
}

impl Memory {
    /// Turns to the next layer; gives the rows of the one before.
    pub(crate) fn turn(&mut self) -> Vec<f32> {
        self.before = std::mem::take(&mut self.after);
        (self.read, self.texts) = (0, 0);
        std::mem::take(&mut self.rows)
    }
}

impl Tape for Memory {
    fn recall(&mut self, activations: &mut [f32]) -> Result<(), Failure> {
        activations.copy_from_slice(&self.before[self.read..][..activations.len()]);
        self.read += activations.len();
        Ok(())
    }

    fn keep(&mut self, activations: &[f32]) -> Result<(), Failure> {
        self.after.extend_from_slice(activations);
        Ok(())
    }

    fn rows(&mut self, rows: &[f32], texts: usize) -> Result<(), Failure> {
        self.rows.extend_from_slice(rows);
        self.texts += texts;
        Ok(())
    }
}
