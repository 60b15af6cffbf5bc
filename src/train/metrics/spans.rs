//! Spans from logits, and their exact match and F1 as sets of token positions, without any
//! normalisation of text.

use crate::nn::Rows;
use crate::train::Span;

impl Span {
    /// How many tokens; none where the end stands before the start.
    pub fn tokens(self) -> usize {
        (u64::from(self.end) + 1).saturating_sub(u64::from(self.start)) as usize
    }

    /// Whether both are the same set of tokens.
    pub fn matches(self, other: Self) -> bool {
        self == other || (self.tokens() == 0 && other.tokens() == 0)
    }

    /// `2 |P and T| / (|P| + |T|)`; 1 where both are empty, as their sets are equal.
    pub fn f1(self, other: Self) -> f64 {
        let both = self.tokens() + other.tokens();
        if both == 0 {
            return 1.0;
        }
        if self.tokens() == 0 || other.tokens() == 0 {
            return 0.0;
        }
        let shared = Self { start: self.start.max(other.start), end: self.end.min(other.end) };
        2.0 * shared.tokens() as f64 / both as f64
    }
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

/// Part of the spans that match; NaN without examples.
pub fn exact_match(gold: &[Span], predicted: &[Span]) -> f64 {
    mean(gold, predicted, |gold, predicted| f64::from(u8::from(gold.matches(predicted))))
}

/// Mean F1; NaN without examples.
pub fn f1(gold: &[Span], predicted: &[Span]) -> f64 {
    mean(gold, predicted, Span::f1)
}

/// Mean of the accuracies of starts and of ends; NaN without examples.
pub fn end_accuracy(gold: &[Span], predicted: &[Span]) -> f64 {
    mean(gold, predicted, |gold, predicted| {
        f64::midpoint(
            f64::from(u8::from(gold.start == predicted.start)),
            f64::from(u8::from(gold.end == predicted.end)),
        )
    })
}

fn mean(gold: &[Span], predicted: &[Span], score: impl Fn(Span, Span) -> f64) -> f64 {
    gold.iter().zip(predicted).map(|(&gold, &predicted)| score(gold, predicted)).sum::<f64>()
        / gold.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(start: u32, end: u32) -> Span {
        Span { start, end }
    }

    /// By hand from the sets of token positions.
    #[test]
    fn spans_are_compared_as_sets_of_tokens() {
        let gold = [span(2, 4), span(2, 4), span(2, 4), span(2, 4), span(0, 0)];
        let predicted = [span(2, 4), span(3, 5), span(5, 9), span(4, 2), span(0, 1)];
        // |P and T| is 3, 2, 0, 0, 1 and |P| + |T| is 6, 6, 8, 3, 3
        let expected = (1.0 + 4.0 / 6.0 + 0.0 + 0.0 + 2.0 / 3.0) / 5.0;
        assert!((f1(&gold, &predicted) - expected).abs() < 1e-15);
        assert_eq!(exact_match(&gold, &predicted), 0.2);
        // starts are right in 1 and 5, ends in 1 only
        assert!((end_accuracy(&gold, &predicted) - 0.3).abs() < 1e-15);
    }

    #[test]
    fn the_likeliest_ends_are_predicted_and_the_first_of_equal_ones() {
        let mut rows = Rows::packed(&[3, 2]);
        let logits = [1.0, 0.0, 1.0, 2.0, 0.0, 2.0, 0.5, 0.0, 9.0, 9.0];
        assert_eq!(predict(&rows, false, &logits), [span(0, 1), span(1, 1)]);
        rows.real = Some(vec![true, true, true, true, false]);
        assert_eq!(predict(&rows, false, &logits)[1], span(0, 0));
        assert_eq!(predict(&rows, true, &logits)[1], span(1, 1));
    }

    #[test]
    fn two_empty_sets_are_equal_and_an_empty_one_shares_nothing() {
        assert!(span(5, 3).matches(span(9, 1)) && span(5, 3).f1(span(9, 1)) == 1.0);
        assert_eq!(span(4, 2).f1(span(0, 9)), 0.0);
        assert_eq!(span(0, u32::MAX).tokens(), 1 << 32);
        assert_eq!(span(u32::MAX, 0).tokens(), 0);
    }
}
