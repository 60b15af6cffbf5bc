//! How much of a computation was products of matrices: their number of operations, and the time that
//! threads spent in them. Every step's distance to the floor is read from here.

use std::ops::Add;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

static OPERATIONS: AtomicU64 = AtomicU64::new(0);
static NANOSECONDS: AtomicU64 = AtomicU64::new(0);

/// Products of this process up to now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Products {
    /// Multiplications and additions, two for each term of a sum.
    pub operations: u64,
    /// Time in products, summed over threads.
    pub time: Duration,
}

impl Add for Products {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { operations: self.operations + other.operations, time: self.time + other.time }
    }
}

impl Products {
    /// What was done since `before`.
    #[must_use]
    pub fn since(self, before: Self) -> Self {
        Self { operations: self.operations - before.operations, time: self.time.saturating_sub(before.time) }
    }
}

/// Products of this process up to now.
pub fn products() -> Products {
    Products {
        operations: OPERATIONS.load(Ordering::Relaxed),
        time: Duration::from_nanos(NANOSECONDS.load(Ordering::Relaxed)),
    }
}

pub(super) fn begin() -> Instant {
    Instant::now()
}

pub(super) fn end(begun: Instant, m: usize, n: usize, k: usize) {
    OPERATIONS.fetch_add(2 * m as u64 * n as u64 * k as u64, Ordering::Relaxed);
    NANOSECONDS.fetch_add(begun.elapsed().as_nanos() as u64, Ordering::Relaxed);
}
