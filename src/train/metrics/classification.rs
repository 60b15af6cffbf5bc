//! Accuracy, macro-F1 and Matthews' correlation from the counts of gold against predicted classes,
//! equal to scikit-learn's `accuracy_score`, `f1_score(average="macro", zero_division=0)` and
//! `matthews_corrcoef`.

/// The class with the largest logit: the first of equal ones, and the first NaN if there is one, as
/// numpy's `argmax`.
pub fn argmax(logits: &[f32]) -> u32 {
    let mut best = 0;
    for (class, &logit) in logits.iter().enumerate() {
        if logit.is_nan() {
            return class as u32;
        }
        if logit > logits[best] {
            best = class;
        }
    }
    best as u32
}

/// How often each gold class was predicted as each class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confusion {
    classes: usize,
    /// Rows are gold, columns predicted, `[C, C]`.
    counts: Vec<u64>,
}

impl Confusion {
    /// Counts pairs of gold and predicted classes; C is one more than the largest that occurs.
    pub fn new(gold: &[u32], predicted: &[u32]) -> Self {
        let classes = gold.iter().chain(predicted).max().map_or(0, |&largest| largest as usize + 1);
        let mut counts = vec![0; classes * classes];
        for (&gold, &predicted) in gold.iter().zip(predicted) {
            counts[gold as usize * classes + predicted as usize] += 1;
        }
        Self { classes, counts }
    }

    /// Examples of class `gold` that were predicted as `predicted`.
    pub fn count(&self, gold: usize, predicted: usize) -> u64 {
        self.counts[gold * self.classes + predicted]
    }

    /// Part of the examples on the diagonal; NaN without examples.
    pub fn accuracy(&self) -> f64 {
        self.correct() / self.total()
    }

    /// Mean over the classes that occur of `2 tp / (2 tp + fp + fn)`; NaN without examples.
    pub fn macro_f1(&self) -> f64 {
        let mut sum = 0.0;
        let mut present = 0.0;
        for class in 0..self.classes {
            let either = self.gold(class) + self.predicted(class);
            if either > 0.0 {
                sum += 2.0 * self.count(class, class) as f64 / either;
                present += 1.0;
            }
        }
        sum / present
    }

    /// Matthews' correlation for any number of classes (Gorodkin, 2004): with s examples, c correct,
    /// t gold and p predicted counts a class, `(c s - t.p) / sqrt((s^2 - p.p)(s^2 - t.t))`, and 0
    /// where the denominator is.
    pub fn mcc(&self) -> f64 {
        let total = self.total();
        let dot = |a: &dyn Fn(usize) -> f64, b: &dyn Fn(usize) -> f64| {
            (0..self.classes).map(|class| a(class) * b(class)).sum::<f64>()
        };
        let gold = |class| self.gold(class);
        let predicted = |class| self.predicted(class);
        let covariance = self.correct() * total - dot(&gold, &predicted);
        let spread = (total * total - dot(&predicted, &predicted)) * (total * total - dot(&gold, &gold));
        if spread == 0.0 { 0.0 } else { covariance / spread.sqrt() }
    }

    fn total(&self) -> f64 {
        self.counts.iter().sum::<u64>() as f64
    }

    fn correct(&self) -> f64 {
        (0..self.classes).map(|class| self.count(class, class)).sum::<u64>() as f64
    }

    fn gold(&self, class: usize) -> f64 {
        (0..self.classes).map(|other| self.count(class, other)).sum::<u64>() as f64
    }

    fn predicted(&self, class: usize) -> f64 {
        (0..self.classes).map(|other| self.count(other, class)).sum::<u64>() as f64
    }
}

/// The mean of a metric over batches of these sizes, each batch with the same weight: the published
/// way, biased for everything but the accuracy of equal batches.
pub fn mean_of_batches(
    gold: &[u32],
    predicted: &[u32],
    sizes: &[usize],
    metric: impl Fn(&Confusion) -> f64,
) -> f64 {
    let mut sum = 0.0;
    let mut start = 0;
    for size in sizes {
        let batch = start..start + size;
        sum += metric(&Confusion::new(&gold[batch.clone()], &predicted[batch]));
        start += size;
    }
    sum / sizes.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(serde::Deserialize)]
    struct Case {
        name: String,
        gold: Vec<u32>,
        predicted: Vec<u32>,
        accuracy: f64,
        macro_f1: f64,
        mcc: f64,
        batch: usize,
        batch_accuracy: f64,
        batch_macro_f1: f64,
        #[serde(default)]
        logits: Vec<Vec<f32>>,
    }

    /// Made by `tests/fixtures/metrics/classification.py` with scikit-learn.
    const GOLDEN: &str = include_str!("../../../tests/fixtures/metrics/classification.json");

    #[test]
    fn metrics_equal_those_of_scikit_learn() {
        let cases: Vec<Case> = serde_json::from_str(GOLDEN).unwrap();
        assert!(cases.len() > 10);
        for case in cases {
            if !case.logits.is_empty() {
                assert!(case.logits.iter().map(|row| argmax(row)).eq(case.predicted.iter().copied()));
            }
            let confusion = Confusion::new(&case.gold, &case.predicted);
            let sizes: Vec<usize> = case.gold.chunks(case.batch).map(<[u32]>::len).collect();
            let over_batches =
                |metric: fn(&Confusion) -> f64| mean_of_batches(&case.gold, &case.predicted, &sizes, metric);
            for (metric, found, expected) in [
                ("accuracy", confusion.accuracy(), case.accuracy),
                ("macro-f1", confusion.macro_f1(), case.macro_f1),
                ("mcc", confusion.mcc(), case.mcc),
                ("batch-accuracy", over_batches(Confusion::accuracy), case.batch_accuracy),
                ("batch-macro-f1", over_batches(Confusion::macro_f1), case.batch_macro_f1),
            ] {
                assert!((found - expected).abs() < 1e-14, "{} {metric}: {found} {expected}", case.name);
            }
        }
    }

    #[test]
    fn the_first_of_equal_logits_is_predicted() {
        assert_eq!(argmax(&[0.5, 1.0, 1.0]), 1);
        assert_eq!(argmax(&[0.0, -0.0]), 0);
        assert_eq!(argmax(&[1.0, f32::NAN, f32::INFINITY]), 1);
        assert_eq!(argmax(&[f32::NEG_INFINITY; 2]), 0);
    }
}
