//! What is learnt: gold answers, and the loss of logits against them.

use super::Error;
use crate::nn::{Buffer, Rows, cross_entropy};

/// The answer to a question: a run of tokens of its own text, both ends included. An end before
/// the start stands for no token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Span {
    /// First token.
    pub start: u32,
    /// Last token.
    pub end: u32,
}

/// Gold answers of examples, `[N]` or `[B]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Gold {
    /// A class each.
    Classes(Vec<u32>),
    /// A run of tokens each.
    Spans(Vec<Span>),
}

impl Gold {
    /// How many answers.
    pub fn len(&self) -> usize {
        match self {
            Self::Classes(classes) => classes.len(),
            Self::Spans(spans) => spans.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The answers of some examples.
    #[must_use]
    pub fn pick(&self, examples: &[usize]) -> Self {
        match self {
            Self::Classes(classes) => Self::Classes(examples.iter().map(|&n| classes[n]).collect()),
            Self::Spans(spans) => Self::Spans(examples.iter().map(|&n| spans[n]).collect()),
        }
    }
}

/// The loss that training lowers.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Objective {
    /// Cross entropy over classes; logits are `[K, B, C]`.
    Classification {
        /// C.
        classes: usize,
        /// Label smoothing e: `(1 - e) nll + e / C * sum of -log p`.
        smoothing: f32,
    },
    /// Mean of the cross entropies of start and end over the positions of each text; logits are
    /// `[K, R, 2]`.
    Span {
        /// Whether padding is among the positions, as published.
        over_padding: bool,
    },
}

impl Objective {
    /// Numbers in the logits of a batch.
    pub fn logits(&self, members: usize, rows: &Rows) -> usize {
        match self {
            Self::Classification { classes, .. } => members * rows.examples() * classes,
            Self::Span { .. } => members * rows.len() * 2,
        }
    }

    /// Mean loss of a batch for every member, `[K]`, and its gradient by the logits, in their shape.
    /// A loss that is not finite is given as it is: NaN where a logit is not finite, or where a gold
    /// position is padding that takes no part.
    ///
    /// # Errors
    /// [`Error::Logits`] when the logits do not have the shape of this objective, and [`Error::Gold`]
    /// when the answers are of the other kind.
    pub fn loss(
        &self,
        rows: &Rows,
        logits: &Buffer,
        gold: &Gold,
        losses: &mut [f64],
        dlogits: &mut Buffer,
    ) -> Result<(), Error> {
        let members = losses.len();
        self.check_shape(members, rows, logits)?;
        match (self, gold) {
            (Self::Classification { classes, smoothing }, Gold::Classes(gold)) => {
                let examples = rows.examples();
                cross_entropy::forward_backward(
                    members, examples, *classes, logits, gold, *smoothing, losses, dlogits,
                );
                Ok(())
            }
            (Self::Span { over_padding }, Gold::Spans(gold)) => {
                let ends = gold.iter().enumerate().map(|(example, &Span { start, end })| {
                    let length = rows.segment(example).len();
                    if start.max(end) as usize >= length {
                        return Err(Error::Gold {
                            split: "batch".into(),
                            example,
                            found: format!("{start} to {end}"),
                            expected: format!("positions below {length}"),
                        });
                    }
                    Ok(cross_entropy::Span { start, end })
                });
                let ends: Vec<cross_entropy::Span> = ends.collect::<Result<_, _>>()?;
                let padding = *over_padding;
                cross_entropy::span_forward_backward(members, rows, padding, logits, &ends, losses, dlogits);
                Ok(())
            }
            _ => Err(self.wrong_kind("batch", 0, gold)),
        }
    }

    /// Whether the logits have the shape of this objective.
    ///
    /// # Errors
    /// [`Error::Logits`] if not.
    pub fn check_shape(&self, members: usize, rows: &Rows, logits: &Buffer) -> Result<(), Error> {
        let expected = self.logits(members, rows);
        if logits.len() == expected { Ok(()) } else { Err(Error::Logits { found: logits.len(), expected }) }
    }

    /// Whether every gold answer of a split can be learnt: of the right kind, with a class that the
    /// head has.
    ///
    /// # Errors
    /// [`Error::Empty`] for a split without examples, [`Error::Gold`] with the first answer that
    /// does not fit.
    pub fn check_gold(&self, split: &str, gold: &Gold) -> Result<(), Error> {
        if gold.is_empty() {
            return Err(Error::Empty { split: split.into() });
        }
        match (self, gold) {
            (Self::Classification { classes, .. }, Gold::Classes(labels)) => {
                match labels.iter().position(|&label| label as usize >= *classes) {
                    None => Ok(()),
                    Some(example) => Err(Error::Gold {
                        split: split.into(),
                        example,
                        found: labels[example].to_string(),
                        expected: format!("a class below {classes}"),
                    }),
                }
            }
            (Self::Span { .. }, Gold::Spans(_)) => Ok(()),
            _ => Err(self.wrong_kind(split, 0, gold)),
        }
    }

    fn wrong_kind(&self, split: &str, example: usize, gold: &Gold) -> Error {
        let found = match gold {
            Gold::Classes(classes) => format!("class {}", classes.get(example).copied().unwrap_or_default()),
            Gold::Spans(_) => "a span of tokens".into(),
        };
        let expected = match self {
            Self::Classification { .. } => "a class".into(),
            Self::Span { .. } => "a span of tokens".into(),
        };
        Error::Gold { split: split.into(), example, found, expected }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO_CLASSES: Objective = Objective::Classification { classes: 2, smoothing: 0.0 };

    #[test]
    fn gold_answers_that_cannot_be_learnt_are_named() {
        let message = |objective: Objective, gold: Gold| {
            objective.check_gold("train", &gold).expect_err("refused").to_string()
        };
        let third = message(TWO_CLASSES, Gold::Classes(vec![0, 1, 2]));
        assert_eq!(third, "example 2 of split `train` has the gold answer `2`: expected a class below 2");
        assert!(message(TWO_CLASSES, Gold::Classes(vec![])).contains("no example"));
        let span = Gold::Spans(vec![Span { start: 0, end: 1 }]);
        assert!(message(TWO_CLASSES, span.clone()).contains("expected a class"));
        assert!(TWO_CLASSES.check_gold("train", &Gold::Classes(vec![0, 1])).is_ok());
        assert!(Objective::Span { over_padding: false }.check_gold("train", &span).is_ok());
    }

    #[test]
    fn logits_of_another_shape_are_refused() {
        let logits = Buffer::from_vec(crate::device::Device::CPU, vec![0.0; 5]);
        let refused = TWO_CLASSES.loss(
            &Rows::packed(&[1, 1]),
            &logits,
            &Gold::Classes(vec![0, 1]),
            &mut [0.0],
            &mut Buffer::default(),
        );
        assert_eq!(refused.unwrap_err().to_string(), "the learner gave 5 logits: expected 4");
    }
}
