//! Ranks, with ties sharing the mean of the places that they take.

/// Ranks of `values`, 1 for the largest.
pub fn descending(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[b].total_cmp(&values[a]));
    let mut ranks = vec![0.0; values.len()];
    let mut start = 0;
    while start < order.len() {
        let value = values[order[start]];
        let end = (start..order.len()).find(|&i| values[order[i]] != value).unwrap_or(order.len());
        // places start + 1 ..= end share their mean
        let shared = (start + 1 + end) as f64 / 2.0;
        for &at in &order[start..end] {
            ranks[at] = shared;
        }
        start = end;
    }
    ranks
}

/// Mean rank of each method over data sets; `scores[set][method]`, higher is better.
pub fn average(scores: &[Vec<f64>]) -> Vec<f64> {
    let methods = scores.first().map_or(0, Vec::len);
    let mut sums = vec![0.0; methods];
    for row in scores {
        for (sum, rank) in sums.iter_mut().zip(descending(row)) {
            *sum += rank;
        }
    }
    sums.iter().map(|sum| sum / scores.len() as f64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ties_share_their_places() {
        assert_eq!(descending(&[0.5, 0.9, 0.5, 0.1]), [2.5, 1.0, 2.5, 4.0]);
        assert!(descending(&[]).is_empty());
    }

    /// reference/analyses.md sections 2 and 8: `friedman_6x4`.
    #[test]
    fn average_ranks_of_the_friedman_fixture() {
        let scores = [
            [0.91, 0.89, 0.93, 0.90],
            [0.84, 0.82, 0.85, 0.83],
            [0.77, 0.78, 0.80, 0.76],
            [0.66, 0.64, 0.69, 0.65],
            [0.95, 0.94, 0.95, 0.93],
            [0.71, 0.70, 0.74, 0.73],
        ]
        .map(Vec::from);
        for (rank, golden) in average(&scores).iter().zip([2.25, 3.5, 1.083_333, 3.166_667]) {
            assert!((rank - golden).abs() < 5e-7, "{rank} {golden}");
        }
    }
}
