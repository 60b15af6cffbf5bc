//! What a condition costs against what it brings: the median over its finished runs, as one of them may
//! do work for all, and which conditions nothing else beats on every side at once.

use std::collections::BTreeMap;

/// Runs of one condition together.
#[derive(Clone, Debug, PartialEq)]
pub struct Spent {
    /// Its runs.
    pub runs: usize,
    /// Median wall time of a run.
    pub seconds: f64,
    /// The shortest and the longest run.
    pub range: (f64, f64),
    /// Bytes that its runs fetched together, where they recorded any.
    pub bytes: Option<u64>,
}

/// Sums up runs: condition, seconds, bytes fetched.
pub fn spent<K: Ord + Clone>(runs: impl IntoIterator<Item = (K, f64, Option<u64>)>) -> BTreeMap<K, Spent> {
    let mut by: BTreeMap<K, Vec<(f64, Option<u64>)>> = BTreeMap::new();
    for (condition, seconds, bytes) in runs {
        by.entry(condition).or_default().push((seconds, bytes));
    }
    let each = by.into_iter().map(|(condition, runs)| {
        let mut seconds: Vec<f64> = runs.iter().map(|(seconds, _)| *seconds).collect();
        seconds.sort_by(f64::total_cmp);
        // of an even number the two in the middle
        let middle = [seconds[(seconds.len() - 1) / 2], seconds[seconds.len() / 2]];
        let bytes = runs.iter().filter_map(|(_, bytes)| *bytes).reduce(u64::saturating_add);
        let spent = Spent {
            runs: runs.len(),
            seconds: f64::midpoint(middle[0], middle[1]),
            range: (seconds[0], seconds[seconds.len() - 1]),
            bytes,
        };
        (condition, spent)
    });
    each.collect()
}

/// Which of several offers no other beats: another one beats an offer that is as good in every part
/// and better in one. Each offer is a gain (more is better) and prices (less is better).
pub fn unbeaten(offers: &[(f64, Vec<f64>)]) -> Vec<bool> {
    let beats = |(gain, prices): &(f64, Vec<f64>), (other, than): &(f64, Vec<f64>)| {
        let as_good = gain >= other && prices.iter().zip(than).all(|(a, b)| a <= b);
        as_good && (gain > other || prices.iter().zip(than).any(|(a, b)| a < b))
    };
    offers.iter().map(|offer| !offers.iter().any(|other| beats(other, offer))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_of_a_condition_are_summed_up() {
        let spent = spent([
            ("a", 2.0, Some(5)),
            ("b", 1.0, None),
            ("a", 4.0, None),
            ("c", 9.0, None),
            ("c", 1.0, None),
            ("c", 2.0, None),
        ]);
        let a = Spent { runs: 2, seconds: 3.0, range: (2.0, 4.0), bytes: Some(5) };
        assert_eq!((spent["c"].seconds, spent["c"].range), (2.0, (1.0, 9.0)));
        assert_eq!(spent["a"], a);
        assert_eq!(spent["b"], Spent { runs: 1, seconds: 1.0, range: (1.0, 1.0), bytes: None });
    }

    #[test]
    fn what_is_dearer_and_no_better_is_beaten_and_equals_are_not() {
        let offers = [
            (0.9, vec![10.0, 5.0]),
            (0.8, vec![1.0, 5.0]),
            (0.85, vec![12.0, 5.0]),
            (0.8, vec![1.0, 5.0]),
            (0.7, vec![2.0, 0.0]),
        ];
        assert_eq!(unbeaten(&offers), [true, true, false, true, true]);
        assert_eq!(unbeaten(&[]), [false; 0]);
    }
}
