//! Slopes of linear biases (Press et al., "Train Short, Test Long", 2022), as transformers'
//! `build_alibi_tensor` of BLOOM and Falcon computes them.

/// A slope a head: for a power of two H, 2^(-8i/H) for i of 1..=H; other counts take that of the
/// next smaller power of two and continue with the odd members of the next larger one's.
pub(super) fn slopes(heads: usize) -> Vec<f32> {
    let series = |length: usize, i: usize| (-8.0 * i as f64 / length as f64).exp2() as f32;
    // the largest power of two that is not above `heads`
    let whole = 1 << heads.max(1).ilog2();
    let first = (1..=whole).map(|i| series(whole, i));
    let odd = (1..).step_by(2).map(|i| series(2 * whole, i));
    first.chain(odd).take(heads).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slopes_follow_the_paper_and_continue_with_odd_members() {
        assert_eq!(slopes(4), [0.25, 0.0625, 0.015_625, 0.003_906_25]);
        // 2^(-8/8 i) for i of 1, 3 complete six heads
        assert_eq!(slopes(6), [0.25, 0.0625, 0.015_625, 0.003_906_25, 0.5, 0.125]);
        assert_eq!(slopes(1), [0.003_906_25]);
    }
}
