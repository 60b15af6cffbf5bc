//! The loss of spans: a softmax over the positions of each text for the start, another for the end.

use super::Span;
use crate::nn::{Buffer, Rows};

/// Mean over the batch of `(nll(start) + nll(end)) / 2` for every member, and its gradient.
///
/// Logits are `[K, R, 2]` (start, end); each softmax runs over the rows of one example, over all of
/// them with `over_padding`, else over the real ones. A gold position outside its softmax gives an
/// infinite loss, as a probability of zero must.
pub fn forward_backward(
    rows: &Rows,
    over_padding: bool,
    logits: &Buffer,
    gold: &[Span],
    losses: &mut [f64],
    dlogits: &mut Buffer,
) {
    let stride = rows.len() * 2;
    let per_answer = 0.5 / gold.len() as f64;
    for (member, loss) in losses.iter_mut().enumerate() {
        let part = member * stride..(member + 1) * stride;
        let logits = &logits.cpu()[part.clone()];
        let gradient = &mut dlogits.cpu_mut()[part];
        gradient.fill(0.0);
        let mut sum = 0.0;
        for (example, span) in gold.iter().enumerate() {
            let segment = rows.segment(example);
            for (channel, position) in [span.start, span.end].into_iter().enumerate() {
                let target = segment.start + position as usize;
                let counted = segment.clone().filter(|&row| over_padding || rows.is_real(row));
                sum += softmax_loss(counted, channel, target, per_answer, logits, gradient);
            }
        }
        *loss = sum * per_answer;
    }
}

/// Negative log likelihood of `target` among `rows`; writes its gradient times `weight`.
fn softmax_loss(
    rows: impl Iterator<Item = usize> + Clone,
    channel: usize,
    target: usize,
    weight: f64,
    logits: &[f32],
    gradient: &mut [f32],
) -> f64 {
    let logit = |row: usize| f64::from(logits[row * 2 + channel]);
    let largest = rows.clone().map(logit).fold(f64::NEG_INFINITY, f64::max);
    let total: f64 = rows.clone().map(|row| (logit(row) - largest).exp()).sum();
    let mut found = false;
    for row in rows {
        let probability = (logit(row) - largest).exp() / total;
        let hit = row == target;
        found |= hit;
        gradient[row * 2 + channel] = (weight * (probability - f64::from(u8::from(hit)))) as f32;
    }
    if found { total.ln() + largest - logit(target) } else { f64::INFINITY }
}

/// The most likely start and end of each example for one member's logits, `[R, 2]`, each on its
/// own; the first of equal ones.
pub fn predict(rows: &Rows, over_padding: bool, logits: &[f32]) -> Vec<Span> {
    let likeliest = |example: usize, channel: usize| {
        let segment = rows.segment(example);
        let mut best = None;
        for row in segment.clone().filter(|&row| over_padding || rows.is_real(row)) {
            let logit = logits[row * 2 + channel];
            if best.is_none_or(|(_, largest)| logit > largest) {
                best = Some((row, logit));
            }
        }
        best.map_or(0, |(row, _)| (row - segment.start) as u32)
    };
    (0..rows.examples()).map(|n| Span { start: likeliest(n, 0), end: likeliest(n, 1) }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::Device;

    fn batch() -> (Rows, Vec<f32>, Vec<Span>) {
        let rows = Rows::packed(&[3, 2]);
        let logits = vec![0.1, -0.4, 0.9, 0.2, -0.3, 0.8, 0.5, 0.0, -0.6, 0.7];
        (rows, logits, vec![Span { start: 1, end: 2 }, Span { start: 0, end: 0 }])
    }

    fn loss(rows: &Rows, over_padding: bool, logits: &[f32], gold: &[Span]) -> (f64, Vec<f32>) {
        let logits = Buffer::from_vec(Device::Cpu, logits.to_vec());
        let mut gradient = Buffer::zeros(Device::Cpu, logits.len());
        let mut losses = [0.0];
        forward_backward(rows, over_padding, &logits, gold, &mut losses, &mut gradient);
        (losses[0], gradient.to_vec())
    }

    /// By hand: the mean of `ln(sum exp) - x` over the four softmaxes.
    #[test]
    fn the_loss_is_the_mean_of_four_cross_entropies() {
        let (rows, logits, gold) = batch();
        let nll = |all: &[f64], hit: f64| all.iter().map(|x| x.exp()).sum::<f64>().ln() - hit;
        let expected = (nll(&[0.1, 0.9, -0.3], 0.9)
            + nll(&[-0.4, 0.2, 0.8], 0.8)
            + nll(&[0.5, -0.6], 0.5)
            + nll(&[0.0, 0.7], 0.0))
            / 4.0;
        let (found, _) = loss(&rows, false, &logits, &gold);
        assert!((found - expected).abs() < 1e-7, "{found} {expected}");
    }

    #[test]
    fn the_gradient_is_that_of_central_differences() {
        let (rows, logits, gold) = batch();
        let (_, gradient) = loss(&rows, false, &logits, &gold);
        for n in 0..logits.len() {
            let moved = |by: f32| {
                let mut logits = logits.clone();
                logits[n] += by;
                loss(&rows, false, &logits, &gold).0
            };
            let numeric = (moved(1e-2) - moved(-1e-2)) / 2e-2;
            assert!((f64::from(gradient[n]) - numeric).abs() < 1e-5, "{n}: {} {numeric}", gradient[n]);
        }
    }

    #[test]
    fn padding_counts_only_as_published() {
        let (mut rows, mut logits, gold) = batch();
        rows.real = Some(vec![true, true, true, true, false]);
        logits[8] = 50.0;
        let (masked, gradient) = loss(&rows, false, &logits, &gold);
        assert!(masked < 2.0 && gradient[8] == 0.0, "{masked}");
        assert!(loss(&rows, true, &logits, &gold).0 > 10.0);
        assert_eq!(predict(&rows, false, &logits)[1], Span { start: 0, end: 0 });
        assert_eq!(predict(&rows, true, &logits)[1], Span { start: 1, end: 1 });
    }

    #[test]
    fn a_gold_position_that_is_masked_has_probability_zero() {
        let (mut rows, logits, mut gold) = batch();
        rows.real = Some(vec![true, true, true, true, false]);
        gold[1].end = 1;
        assert_eq!(loss(&rows, false, &logits, &gold).0, f64::INFINITY);
    }

    #[test]
    fn the_first_of_equal_positions_is_predicted() {
        let rows = Rows::packed(&[3]);
        assert_eq!(predict(&rows, false, &[1.0, 0.0, 1.0, 2.0, 0.0, 2.0]), [Span { start: 0, end: 1 }]);
    }
}
