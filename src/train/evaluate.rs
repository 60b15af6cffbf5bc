//! Predictions of K members on a whole split, and their scores.

use super::metrics::{Confusion, Metric, Scores, classification, spans};
use super::{AsPublished, Config, Gold, Learner, Objective, Pass, Source, Span};
use crate::error::Failure;
use crate::nn::{self, Arena, Buffer, cross_entropy};

/// What one member answered to every example of a split, in the split's order.
#[derive(Clone, Debug, PartialEq)]
pub struct Predictions {
    /// Number of every example in its data set, `[N]`.
    pub example_ids: Vec<u64>,
    /// Gold and predicted answers.
    pub answers: Answers,
    /// Mean loss over the examples.
    pub loss: f64,
    /// Sizes of the batches that were evaluated; the published metrics depend on them.
    pub batches: Vec<usize>,
    /// Whether every logit was finite.
    pub finite: bool,
}

/// Gold and predicted answers.
#[derive(Clone, Debug, PartialEq)]
pub enum Answers {
    /// Of classification.
    Classes {
        /// Gold classes, `[N]`.
        gold: Vec<u32>,
        /// The class of the largest logit, the first of equal ones, `[N]`.
        predicted: Vec<u32>,
        /// C.
        classes: usize,
        /// Logits, `[N, C]`.
        logits: Vec<f32>,
    },
    /// Of spans.
    Spans {
        /// Gold spans, `[N]`.
        gold: Vec<Span>,
        /// The most likely start and the most likely end, `[N]`.
        predicted: Vec<Span>,
        /// Logit of the predicted start and of the predicted end, `[N, 2]`.
        logits: Vec<f32>,
    },
}

impl Predictions {
    /// Every metric of the task on the whole split, and with the published metrics the means over
    /// batches too.
    pub fn scores(&self, config: &Config) -> Scores {
        let mut scores = Scores::from([(Metric::Loss, self.loss)]);
        match &self.answers {
            Answers::Classes { gold, predicted, .. } => {
                let confusion = Confusion::new(gold, predicted);
                scores.insert(Metric::Accuracy, confusion.accuracy());
                scores.insert(Metric::MacroF1, confusion.macro_f1());
                scores.insert(Metric::Mcc, confusion.mcc());
                if config.published(AsPublished::Metrics) {
                    let over_batches = |metric: fn(&Confusion) -> f64| {
                        classification::mean_of_batches(gold, predicted, &self.batches, metric)
                    };
                    scores.insert(Metric::BatchAccuracy, over_batches(Confusion::accuracy));
                    scores.insert(Metric::BatchMacroF1, over_batches(Confusion::macro_f1));
                }
            }
            Answers::Spans { gold, predicted, .. } => {
                scores.insert(Metric::ExactMatch, spans::exact_match(gold, predicted));
                scores.insert(Metric::SpanF1, spans::f1(gold, predicted));
                scores.insert(Metric::EndAccuracy, spans::end_accuracy(gold, predicted));
            }
        }
        scores
    }
}

impl Objective {
    /// The metric that chooses the best epoch.
    pub fn selecting_metric(&self, config: &Config) -> Metric {
        match self {
            Self::Classification { .. } if config.published(AsPublished::Metrics) => Metric::BatchAccuracy,
            Self::Classification { .. } => Metric::Accuracy,
            Self::Span { .. } => Metric::EndAccuracy,
        }
    }
}

/// Evaluates K members on a split in its own order, without dropout. After each batch `progress`
/// hears how many examples are done and says whether to go on.
///
/// # Errors
/// Those of the learner, of the objective and of `progress`. Gives `None` when `progress` said no.
pub fn evaluate(
    learner: &mut dyn Learner,
    values: &Arena,
    source: &dyn Source,
    objective: &Objective,
    batch_size: usize,
    progress: &mut dyn FnMut(usize) -> Result<bool, Failure>,
) -> Result<Option<Vec<Predictions>>, Failure> {
    let members = learner.members();
    let places: Vec<usize> = (0..source.len()).collect();
    let mut collected: Vec<Collected> = (0..members).map(|_| Collected::new(objective)).collect();
    let mut losses = vec![0.0; members];
    let mut dlogits = Buffer::zeros(learner.device(), 0);
    let mut batches = Vec::new();
    for batch in places.chunks(batch_size) {
        let input = source.input(batch);
        let gold = source.gold().pick(batch);
        learner.forward(values, &input, Pass::Evaluate)?;
        objective.loss(input.rows(), learner.logits(), &gold, &mut losses, &mut dlogits)?;
        let logits = learner.logits().to_vec();
        cross_entropy::settle(&dlogits, &mut losses);
        nn::check(learner.device())?;
        let part = logits.len() / members;
        for (member, collected) in collected.iter_mut().enumerate() {
            let logits = &logits[member * part..(member + 1) * part];
            collected.loss += losses[member] * batch.len() as f64;
            collected.finite &= logits.iter().all(|logit| logit.is_finite());
            collected.take(objective, &input, logits);
        }
        batches.push(batch.len());
        if !progress(batch[batch.len() - 1] + 1)? {
            return Ok(None);
        }
    }
    let finish = |collected: Collected| Predictions {
        example_ids: source.example_ids().to_vec(),
        loss: collected.loss / source.len() as f64,
        batches: batches.clone(),
        finite: collected.finite,
        answers: collected.answers(objective, source.gold()),
    };
    Ok(Some(collected.into_iter().map(finish).collect()))
}

/// What one member has answered so far.
struct Collected {
    loss: f64,
    finite: bool,
    predicted: Gold,
    logits: Vec<f32>,
}

impl Collected {
    fn new(objective: &Objective) -> Self {
        let predicted = match objective {
            Objective::Classification { .. } => Gold::Classes(Vec::new()),
            Objective::Span { .. } => Gold::Spans(Vec::new()),
        };
        Self { loss: 0.0, finite: true, predicted, logits: Vec::new() }
    }

    /// Adds the answers of a batch from one member's logits.
    fn take(&mut self, objective: &Objective, input: &super::Input, logits: &[f32]) {
        match (objective, &mut self.predicted) {
            (Objective::Classification { classes, .. }, Gold::Classes(predicted)) => {
                predicted.extend(logits.chunks_exact(*classes).map(classification::argmax));
                self.logits.extend_from_slice(logits);
            }
            (Objective::Span { over_padding }, Gold::Spans(predicted)) => {
                let rows = input.rows();
                for (example, span) in spans::predict(rows, *over_padding, logits).into_iter().enumerate() {
                    let first = rows.segment(example).start;
                    let ends = [(span.start, 0), (span.end, 1)];
                    self.logits.extend(ends.map(|(token, end)| logits[(first + token as usize) * 2 + end]));
                    predicted.push(span);
                }
            }
            _ => unreachable!("predictions are of the objective's kind"),
        }
    }

    fn answers(self, objective: &Objective, gold: &Gold) -> Answers {
        match (objective, self.predicted, gold) {
            (Objective::Classification { classes, .. }, Gold::Classes(predicted), Gold::Classes(gold)) => {
                Answers::Classes { gold: gold.clone(), predicted, classes: *classes, logits: self.logits }
            }
            (Objective::Span { .. }, Gold::Spans(predicted), Gold::Spans(gold)) => {
                Answers::Spans { gold: gold.clone(), predicted, logits: self.logits }
            }
            _ => unreachable!("the loss refused gold answers of the other kind"),
        }
    }
}
