//! Ranks of numbers that are too many to keep: a fine histogram, and the mean rank of each bin.

/// Bins of a histogram.
const BINS: usize = 1 << 18;

/// Counts between two ends, and beyond them.
#[derive(Debug, Default)]
pub(super) struct Histogram {
    low: f32,
    bins_a_unit: f32,
    counts: Vec<u32>,
    /// The mean rank of each bin less the mean of all, in units of all ranks: [-0.5, 0.5].
    ranks: Vec<f32>,
}

impl Histogram {
    /// Bins from `low` to `high`, the first and the last for what lies beyond.
    pub(super) fn between(low: f32, high: f32) -> Self {
        let width = (high - low).max(f32::MIN_POSITIVE);
        Self { low, bins_a_unit: (BINS - 3) as f32 / width, counts: vec![0; BINS], ranks: Vec::new() }
    }

    fn bin(&self, value: f32) -> usize {
        // a float that is negative or too large becomes the nearest whole number that is not
        ((value - self.low) * self.bins_a_unit + 1.0) as usize
    }

    pub(super) fn count(&mut self, value: f32) {
        let bin = self.bin(value).min(BINS - 1);
        self.counts[bin] += 1;
    }

    /// Turns counts into ranks.
    pub(super) fn rank(&mut self) {
        let all: f64 = self.counts.iter().map(|&count| f64::from(count)).sum();
        let mut before = 0.0;
        let counts = std::mem::take(&mut self.counts);
        self.ranks = counts
            .into_iter()
            .map(|count| {
                let middle = before + f64::from(count) / 2.0;
                before += f64::from(count);
                (middle / all - 0.5) as f32
            })
            .collect();
    }

    pub(super) fn rank_of(&self, value: f32) -> f32 {
        self.ranks[self.bin(value).min(BINS - 1)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_are_those_of_the_sorted_numbers_and_ties_share_them() {
        let mut histogram = Histogram::between(0.0, 1.0);
        let values = [0.5, -3.0, 0.25, 0.25, 7.0];
        for value in values {
            histogram.count(value);
        }
        histogram.rank();
        // places 4, 1, 2.5, 2.5, 5 of 5: (place - 0.5) / 5 - 0.5
        for (value, rank) in values.iter().zip([0.2, -0.4, -0.1, -0.1, 0.4]) {
            assert!((histogram.rank_of(*value) - rank).abs() < 1e-6, "{value}");
        }
    }
}
