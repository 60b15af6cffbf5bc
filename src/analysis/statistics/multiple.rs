//! Corrections for many comparisons: Holm (1979) bounds the chance of any false claim, Benjamini
//! and Hochberg (1995) the expected share of false claims.

/// Holm's adjusted p values, in the order given: step down with a running maximum.
pub fn holm(p_values: &[f64]) -> Vec<f64> {
    let count = p_values.len();
    let mut adjusted = vec![0.0; count];
    let mut largest = 0.0_f64;
    for (rank, &at) in ascending(p_values).iter().enumerate() {
        largest = largest.max(((count - rank) as f64 * p_values[at]).min(1.0));
        adjusted[at] = largest;
    }
    adjusted
}

/// Benjamini and Hochberg's adjusted p values, in the order given: step up with a running minimum.
pub fn benjamini_hochberg(p_values: &[f64]) -> Vec<f64> {
    let count = p_values.len();
    let mut adjusted = vec![0.0; count];
    let mut smallest = 1.0_f64;
    for (rank, &at) in ascending(p_values).iter().enumerate().rev() {
        smallest = smallest.min(count as f64 / (rank + 1) as f64 * p_values[at]);
        adjusted[at] = smallest;
    }
    adjusted
}

fn ascending(values: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(left: &[f64], right: &[f64]) {
        assert!(
            left.len() == right.len() && left.iter().zip(right).all(|(a, b)| (a - b).abs() < 1e-12),
            "{left:?}"
        );
    }

    /// reference/analyses.md section 6.
    #[test]
    fn holm_and_benjamini_hochberg_give_the_golden_values() {
        let p = [0.01, 0.04, 0.03, 0.005];
        near(&holm(&p), &[0.03, 0.06, 0.06, 0.02]);
        near(&benjamini_hochberg(&p), &[0.02, 0.04, 0.04, 0.02]);
    }

    /// reference/analyses.md section 1, row 8: the running maximum that is easily forgotten.
    #[test]
    fn holm_never_ranks_a_larger_p_as_surer() {
        near(&holm(&[0.02, 0.021, 0.022]), &[0.06, 0.06, 0.06]);
        near(&holm(&[0.9, 0.8]), &[1.0, 1.0]);
        assert!(holm(&[]).is_empty());
    }
}
