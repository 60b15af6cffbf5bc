//! How good predictions are: on the whole split, in f64, by scikit-learn's definitions.

pub mod classification;
pub mod spans;

use std::collections::BTreeMap;

pub use classification::Confusion;

/// Values by metric, in a fixed order.
pub type Scores = BTreeMap<Metric, f64>;

/// A number that says how good predictions are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Metric {
    /// Part of the examples whose class is right.
    Accuracy,
    /// Unweighted mean of F1 over the classes that occur among gold or predicted ones.
    MacroF1,
    /// Matthews' correlation coefficient; 0 for a constant predictor.
    Mcc,
    /// Mean of batch accuracies, as published: a short last batch counts as a whole one.
    BatchAccuracy,
    /// Mean of batch macro-F1 values, as published: biased low.
    BatchMacroF1,
    /// Part of the spans that are the same set of tokens as the gold one.
    ExactMatch,
    /// Mean F1 of predicted against gold tokens.
    SpanF1,
    /// Mean of the accuracies of starts and of ends; selects the best epoch of spans, as published.
    EndAccuracy,
    /// Mean of the loss that training lowers, smoothing included, over examples.
    Loss,
}

/// Whether more or less is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// More is better.
    Higher,
    /// Less is better.
    Lower,
}

/// How a metric's values are read and written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// A part of one, shown as a percentage.
    Fraction,
    /// A correlation from -1 to 1.
    Correlation,
    /// Natural logarithms of probability.
    Nats,
}

impl Metric {
    /// All metrics.
    pub const ALL: [Self; 9] = [
        Self::Accuracy,
        Self::MacroF1,
        Self::Mcc,
        Self::BatchAccuracy,
        Self::BatchMacroF1,
        Self::ExactMatch,
        Self::SpanF1,
        Self::EndAccuracy,
        Self::Loss,
    ];

    /// The name in files and flags.
    pub fn name(self) -> &'static str {
        match self {
            Self::Accuracy => "accuracy",
            Self::MacroF1 => "macro-f1",
            Self::Mcc => "mcc",
            Self::BatchAccuracy => "batch-accuracy",
            Self::BatchMacroF1 => "batch-macro-f1",
            Self::ExactMatch => "exact-match",
            Self::SpanF1 => "span-f1",
            Self::EndAccuracy => "end-accuracy",
            Self::Loss => "loss",
        }
    }

    /// The name in tables and on axes.
    pub fn title(self) -> &'static str {
        match self {
            Self::Accuracy => "accuracy",
            Self::MacroF1 => "macro F1",
            Self::Mcc => "MCC",
            Self::BatchAccuracy => "accuracy (mean of batches)",
            Self::BatchMacroF1 => "macro F1 (mean of batches)",
            Self::ExactMatch => "exact match",
            Self::SpanF1 => "span F1",
            Self::EndAccuracy => "accuracy of span ends",
            Self::Loss => "loss",
        }
    }

    /// The unit of its values.
    pub fn unit(self) -> Unit {
        match self {
            Self::Mcc => Unit::Correlation,
            Self::Loss => Unit::Nats,
            _ => Unit::Fraction,
        }
    }

    /// Whether more or less is better.
    pub fn direction(self) -> Direction {
        if self == Self::Loss { Direction::Lower } else { Direction::Higher }
    }
}

impl std::fmt::Display for Metric {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl std::str::FromStr for Metric {
    type Err = super::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|metric| metric.name() == text).ok_or_else(|| super::Error::Unknown {
            what: "metric",
            value: text.into(),
            expected: format!("one of {}", Self::ALL.map(|m| format!("`{m}`")).join(", ")),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_same_in_files_and_flags() {
        for metric in Metric::ALL {
            assert_eq!(serde_json::to_value(metric).unwrap(), metric.name());
            assert_eq!(metric.name().parse::<Metric>().unwrap(), metric);
        }
        assert!("f1".parse::<Metric>().unwrap_err().to_string().contains("`macro-f1`"));
    }
}
