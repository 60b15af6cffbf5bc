//! The learning rate of every step: a warm-up from zero, then constant or linearly to zero.

use crate::words::words;

words! {
    /// What the learning rate does after the warm-up.
    Shape, "schedule" {
        /// It stays.
        Constant = "constant",
        /// It falls linearly and would reach zero one step after the last.
        Linear = "linear",
    }
}

/// How long the learning rate rises from zero.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Warmup {
    /// This many steps.
    Steps(u64),
    /// This part of all steps, rounded up.
    Ratio(f64),
}

impl Default for Warmup {
    fn default() -> Self {
        Self::Steps(0)
    }
}

impl Warmup {
    /// Steps of a run of `total` steps.
    pub fn steps(self, total: u64) -> u64 {
        match self {
            Self::Steps(steps) => steps,
            Self::Ratio(ratio) => (total as f64 * ratio).ceil() as u64,
        }
    }
}

/// The learning rate's factor at every step, equal to `get_linear_schedule_with_warmup` and
/// `get_constant_schedule_with_warmup` of the library `transformers`.
///
/// With W warm-up steps of S, and t counted from 0: `t / max(1, W)` while t < W, then 1 or
/// `max(0, (S - t) / max(1, S - W))`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule {
    shape: Shape,
    warmup: u64,
    total: u64,
}

impl Schedule {
    /// The schedule of a run of `total` steps.
    pub fn new(shape: Shape, warmup: Warmup, total: u64) -> Self {
        Self { shape, warmup: warmup.steps(total), total }
    }

    /// The factor of the learning rate at step `t`, counted from 0.
    pub fn factor(&self, t: u64) -> f64 {
        if t < self.warmup {
            return t as f64 / self.warmup.max(1) as f64;
        }
        match self.shape {
            Shape::Constant => 1.0,
            Shape::Linear => {
                self.total.saturating_sub(t) as f64 / self.total.saturating_sub(self.warmup).max(1) as f64
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn factors(shape: Shape, warmup: Warmup, total: u64) -> Vec<f64> {
        let schedule = Schedule::new(shape, warmup, total);
        (0..total).map(|t| schedule.factor(t)).collect()
    }

    /// By hand from the documented formula; the last value of the linear one is 1/(S - W).
    #[test]
    fn factors_are_those_of_the_formula() {
        assert_eq!(factors(Shape::Constant, Warmup::Steps(0), 3), [1.0, 1.0, 1.0]);
        assert_eq!(factors(Shape::Constant, Warmup::Steps(2), 4), [0.0, 0.5, 1.0, 1.0]);
        assert_eq!(factors(Shape::Linear, Warmup::Steps(0), 4), [1.0, 0.75, 0.5, 0.25]);
        assert_eq!(factors(Shape::Linear, Warmup::Steps(2), 6), [0.0, 0.5, 1.0, 0.75, 0.5, 0.25]);
    }

    #[test]
    fn a_ratio_is_rounded_up_to_whole_steps() {
        assert_eq!(Warmup::Ratio(0.1).steps(15), 2);
        assert_eq!(Warmup::Ratio(0.0).steps(15), 0);
        assert_eq!(factors(Shape::Linear, Warmup::Ratio(0.5), 4), [0.0, 0.5, 1.0, 0.5]);
    }

    #[test]
    fn a_warm_up_longer_than_the_run_never_reaches_one() {
        assert_eq!(factors(Shape::Linear, Warmup::Steps(10), 3), [0.0, 0.1, 0.2]);
        assert_eq!(Schedule::new(Shape::Linear, Warmup::Steps(10), 3).factor(12), 0.0);
    }
}
