//! Cross entropy with its gradient, in f64: over classes, with label smoothing as PyTorch defines
//! it (Szegedy et al. 2016), and over the rows of a text for the two ends of an answer.

#[cfg(feature = "cuda")]
#[path = "cuda/cross_entropy.rs"]
mod on_gpu;

use rayon::prelude::*;

use super::parallel::run;
use super::{Buffer, Rows};

/// A target that takes no part in the loss.
pub const IGNORE: u32 = u32::MAX;

/// The mean over all examples whose target is not [`IGNORE`] of
/// (1 - smoothing) (-log p_target) + smoothing / C Σ (-log p_class), for each member, and its
/// gradient. An example with a logit that is not finite makes the loss NaN, as does a batch without
/// any target.
///
/// # Shapes
/// logits and dlogits `[K, B, classes]`, targets `[B]` below `classes`, losses `[K]`.
#[expect(clippy::too_many_arguments, reason = "sizes, inputs and outputs, each once")]
pub fn forward_backward(
    members: usize,
    examples: usize,
    classes: usize,
    logits: &Buffer,
    targets: &[u32],
    smoothing: f32,
    losses: &mut [f64],
    dlogits: &mut Buffer,
) {
    assert!(logits.len() == members * examples * classes && targets.len() == examples);
    assert_eq!(losses.len(), members);
    losses.fill(f64::NAN);
    let counted = targets.iter().filter(|target| **target != IGNORE).count();
    let weight = 1.0 / counted as f64;
    let smoothing = f64::from(smoothing);
    #[cfg(feature = "cuda")]
    if let Some(gpu) = logits.gpu() {
        return on_gpu::forward_backward(gpu, members, classes, logits, targets, smoothing, weight, dlogits);
    }
    dlogits.resize(logits.len());
    if logits.is_empty() {
        return;
    }
    let mut of_example = vec![0.0; members * examples];
    let rows = logits.cpu().par_chunks_exact(classes).zip(dlogits.cpu_mut().par_chunks_exact_mut(classes));
    run(logits.len(), rows.zip(of_example.par_iter_mut()).enumerate(), |(row, ((logits, dlogits), loss))| {
        match targets[row % examples] {
            IGNORE => dlogits.fill(0.0),
            target => *loss = example(logits, target as usize, smoothing, weight, dlogits),
        }
    });
    for (loss, of_example) in losses.iter_mut().zip(of_example.chunks_exact(examples)) {
        // 0 · ∞ is NaN where nothing was counted
        *loss = of_example.iter().sum::<f64>() * weight;
    }
}

/// One example's loss, and `weight` times its gradient.
fn example(logits: &[f32], target: usize, smoothing: f64, weight: f64, dlogits: &mut [f32]) -> f64 {
    let classes = logits.len() as f64;
    let log_sum = log_sum_exp(logits.iter().copied());
    let mut smooth = 0.0;
    for (class, (&logit, dlogit)) in logits.iter().zip(dlogits).enumerate() {
        let log_probability = f64::from(logit) - log_sum;
        smooth -= log_probability / classes;
        let wanted = smoothing / classes + if class == target { 1.0 - smoothing } else { 0.0 };
        *dlogit = (weight * (log_probability.exp() - wanted)) as f32;
    }
    (1.0 - smoothing) * (log_sum - f64::from(logits[target])) + smoothing * smooth
}

/// log Σ e^x; NaN if any number is not finite.
fn log_sum_exp(numbers: impl Iterator<Item = f32> + Clone) -> f64 {
    if !numbers.clone().all(f32::is_finite) {
        return f64::NAN;
    }
    let largest = numbers.clone().fold(f32::NEG_INFINITY, f32::max);
    let largest = f64::from(largest);
    largest + numbers.map(|x| (f64::from(x) - largest).exp()).sum::<f64>().ln()
}

/// First and last row of an example's answer, counted from the start of its segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Of the first token.
    pub start: u32,
    /// Of the last token, which belongs to the answer.
    pub end: u32,
}

/// The mean over all examples of (CE(start) + CE(end)) / 2, each a softmax over the rows of the
/// example: its real tokens, or its whole segment if `include_padding` (the published loss over a
/// padded batch). Rows that take no part get no gradient. An example with a logit that is not
/// finite, or a target that takes no part, makes the loss NaN.
///
/// # Shapes
/// logits and dlogits `[K, R, 2]` (start, end), targets `[B]` within their segments, losses `[K]`.
pub fn span_forward_backward(
    members: usize,
    rows: &Rows,
    include_padding: bool,
    logits: &Buffer,
    targets: &[Span],
    losses: &mut [f64],
    dlogits: &mut Buffer,
) {
    let len = rows.len() * ENDS;
    assert!(logits.len() == members * len && targets.len() == rows.examples());
    assert_eq!(losses.len(), members);
    let weight = 1.0 / (ENDS * targets.len()) as f64;
    #[cfg(feature = "cuda")]
    if let Some(gpu) = logits.gpu() {
        losses.fill(f64::NAN);
        let padding = include_padding;
        return on_gpu::span_forward_backward(gpu, members, rows, padding, logits, targets, weight, dlogits);
    }
    dlogits.resize(logits.len());
    dlogits.fill(0.0);
    for (member, loss) in losses.iter_mut().enumerate() {
        let logits = &logits.cpu()[member * len..(member + 1) * len];
        let dlogits = &mut dlogits.cpu_mut()[member * len..(member + 1) * len];
        let mut sum = 0.0;
        for (example, target) in targets.iter().enumerate() {
            let segment = rows.segment(example);
            for (end, target) in [target.start, target.end].into_iter().enumerate() {
                let target = segment.start + target as usize;
                assert!(segment.contains(&target), "target beyond its segment");
                let counted = segment.clone().filter(|&row| include_padding || rows.is_real(row));
                let log_sum = if include_padding || rows.is_real(target) {
                    log_sum_exp(counted.clone().map(|row| logits[row * ENDS + end]))
                } else {
                    f64::NAN
                };
                for row in counted {
                    let probability = (f64::from(logits[row * ENDS + end]) - log_sum).exp();
                    let wanted = if row == target { 1.0 } else { 0.0 };
                    dlogits[row * ENDS + end] = (weight * (probability - wanted)) as f32;
                }
                sum += log_sum - f64::from(logits[target * ENDS + end]);
            }
        }
        // 0 · ∞ is NaN where there is no example
        *loss = sum * weight;
    }
}

/// The losses of the function above that wrote these gradients, where they stand on a GPU; losses are
/// NaN until then. Elsewhere they are known at once, and this does nothing. `dlogits` is as it was
/// written.
pub fn settle(dlogits: &Buffer, losses: &mut [f64]) {
    #[cfg(feature = "cuda")]
    on_gpu::settle(dlogits, losses);
    #[cfg(not(feature = "cuda"))]
    let _ = (dlogits, losses);
}

/// Start and end.
const ENDS: usize = 2;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::Device;

    fn loss(logits: Vec<f32>, targets: &[u32], smoothing: f32) -> (f64, Vec<f32>) {
        let classes = logits.len() / targets.len();
        let (logits, mut dlogits) = (Buffer::from_vec(Device::CPU, logits), Buffer::default());
        let mut losses = [0.0];
        forward_backward(1, targets.len(), classes, &logits, targets, smoothing, &mut losses, &mut dlogits);
        (losses[0], dlogits.to_vec())
    }

    #[test]
    fn smoothing_mixes_the_target_with_all_classes() {
        // softmax of (0, ln 2, ln 4) is (1, 2, 4) / 7
        let (ln_2, ln_7) = (2_f64.ln(), 7_f64.ln());
        let logits = vec![0.0, ln_2 as f32, 2.0 * ln_2 as f32];
        let (plain, _) = loss(logits.clone(), &[1], 0.0);
        assert!((plain - (ln_7 - ln_2)).abs() < 1e-7);
        let (smoothed, gradient) = loss(logits, &[1], 0.3);
        let mean = ln_7 - ln_2;
        assert!((smoothed - (0.7 * (ln_7 - ln_2) + 0.3 * mean)).abs() < 1e-7);
        for (gradient, expected) in gradient.iter().zip([1.0 / 7.0 - 0.1, 2.0 / 7.0 - 0.8, 4.0 / 7.0 - 0.1]) {
            assert!((f64::from(*gradient) - expected).abs() < 1e-7);
        }
    }

    #[test]
    fn ignored_targets_count_for_nothing() {
        let (with, gradient) = loss(vec![1.0, 2.0, f32::NAN, 4.0], &[0, IGNORE], 0.1);
        let (without, _) = loss(vec![1.0, 2.0], &[0], 0.1);
        assert_eq!(with, without);
        assert_eq!(gradient[2..], [0.0, 0.0]);
        assert!(loss(vec![1.0, 2.0], &[IGNORE], 0.1).0.is_nan());
    }

    #[test]
    fn logits_that_are_not_finite_give_no_finite_loss() {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let (loss, gradient) = loss(vec![1.0, bad, 0.5, 0.5], &[0, 1], 0.0);
            assert!(loss.is_nan() && gradient[0].is_nan(), "{bad}");
            let rows = Rows::packed(&[2]);
            let logits = Buffer::from_vec(Device::CPU, vec![1.0, bad, 0.5, 0.5]);
            let (mut losses, mut dlogits) = ([0.0], Buffer::default());
            let target = [Span { start: 0, end: 1 }];
            span_forward_backward(1, &rows, false, &logits, &target, &mut losses, &mut dlogits);
            assert!(losses[0].is_nan(), "{bad}");
        }
    }

    #[test]
    fn enormous_logits_do_not_overflow() {
        let (loss, _) = loss(vec![3e38, -3e38], &[1], 0.0);
        assert!((loss / 6e38 - 1.0).abs() < 1e-6, "{loss}");
    }

    #[test]
    fn an_answer_is_sought_among_real_tokens_only() {
        let mut rows = Rows::packed(&[3]);
        rows.real = Some(vec![true, true, false]);
        let logits = Buffer::from_vec(Device::CPU, vec![0.0; 6]);
        let (mut losses, mut dlogits) = ([0.0], Buffer::default());
        let target = [Span { start: 0, end: 1 }];
        span_forward_backward(1, &rows, false, &logits, &target, &mut losses, &mut dlogits);
        assert!((losses[0] - 2_f64.ln()).abs() < 1e-12);
        assert_eq!(dlogits.cpu(), [-0.25, 0.25, 0.25, -0.25, 0.0, 0.0]);
        span_forward_backward(1, &rows, true, &logits, &target, &mut losses, &mut dlogits);
        assert!((losses[0] - 3_f64.ln()).abs() < 1e-12);
    }
}
