//! The values that a study can take.

use std::collections::BTreeSet;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::runs::words::{UnknownWord, words};
use crate::seed::Seed;

words! {
    /// What passes through the layer.
    PlugMode, "plug" {
        /// One pooled token, as published for classification.
        Pooled = "pooled",
        /// All tokens.
        Sequence = "sequence",
    }
}

words! {
    /// What a token of a sequence plug sees.
    MaskMode, "mask" {
        /// Every real token.
        Bidirectional = "bidirectional",
        /// Itself and real tokens before it.
        Causal = "causal",
        /// Every token, padding included.
        AsPublished = "as-published",
    }
}

words! {
    /// What becomes of the layer's sliding window in a sequence plug.
    WindowMode, "window" {
        /// Ignored, as published.
        Ignore = "ignore",
        /// Honoured.
        Honour = "honour",
    }
}

words! {
    /// What trains.
    TrainMode, "train mode" {
        /// Encoder, mappers and head, as published.
        Full = "full",
        /// Mappers and head over cached features of the frozen encoder: a screen.
        Plug = "plug",
    }
}

words! {
    /// How a text becomes one vector.
    Pooling, "pooling" {
        /// The first token.
        Cls = "cls",
        /// The mean of the real tokens.
        Mean = "mean",
        /// The mean of all tokens, padding included, as published.
        MeanPad = "mean_pad",
        /// The last real token.
        Last = "last",
    }
}

words! {
    /// The optimiser.
    Optimizer, "optimizer" {
        /// Adam; weight decay, if any, as part of the gradient.
        Adam = "adam",
        /// Adam with decoupled weight decay.
        AdamW = "adamw",
    }
}

words! {
    /// The learning rate after warm-up.
    Schedule, "schedule" {
        /// Constant.
        Constant = "constant",
        /// Down to zero along a line.
        Linear = "linear",
    }
}

words! {
    /// Which weights a run keeps.
    Save, "save mode" {
        /// Those of the best epoch of every cell.
        Best = "best",
        /// Those of the best and of the last epoch of every cell.
        All = "all",
        /// None.
        None = "none",
    }
}

words! {
    /// What to do when a cell does not fit into memory.
    Oom, "out-of-memory rule" {
        /// Refuse, and let a killed cell fail.
        Fail = "fail",
        /// Take fewer workers and smaller stacks; both are recorded.
        Shrink = "shrink",
    }
}

words! {
    /// A defect of the published code that changes numbers.
    Defect, "defect" {
        /// Metrics are means over batches.
        Metrics = "metrics",
        /// The last short training batch is dropped.
        DropLast = "drop-last",
        /// Padding is attended.
        Mask = "mask",
        /// The span loss runs over padding.
        SpanPadding = "span-padding",
        /// The generation loss runs over padding.
        LossPadding = "loss-padding",
        /// T5's output is not rescaled.
        Rescale = "rescale",
        /// Test splits as the published code cuts them.
        TestSplits = "test-splits",
    }
}

/// A set of defects to reproduce; `all` stands for every one.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "Vec<String>", into = "Vec<Defect>")]
pub struct Defects(pub BTreeSet<Defect>);

impl Defects {
    /// Whether this one is to be reproduced.
    pub fn has(&self, defect: Defect) -> bool {
        self.0.contains(&defect)
    }
}

impl TryFrom<Vec<String>> for Defects {
    type Error = UnknownWord;

    fn try_from(words: Vec<String>) -> Result<Self, UnknownWord> {
        let mut set = BTreeSet::new();
        for word in words {
            match word.trim() {
                "all" => set.extend(Defect::ALL),
                "none" => {}
                word => {
                    set.insert(word.parse::<Defect>().map_err(|mut unknown| {
                        unknown.expected.push("all");
                        unknown
                    })?);
                }
            }
        }
        Ok(Self(set))
    }
}

impl From<Defects> for Vec<Defect> {
    fn from(defects: Defects) -> Self {
        defects.0.into_iter().collect()
    }
}

impl FromStr for Defects {
    type Err = UnknownWord;

    fn from_str(list: &str) -> Result<Self, UnknownWord> {
        list.split(',').map(str::to_owned).collect::<Vec<_>>().try_into()
    }
}

/// How many seeds (they are 0, 1, ...), or which.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Seeds {
    /// The first so many.
    Count(usize),
    /// These.
    List(Vec<u64>),
}

impl Seeds {
    /// The seeds in order.
    pub fn list(&self) -> Vec<Seed> {
        match self {
            Self::Count(count) => (0..*count as u64).map(Seed).collect(),
            Self::List(seeds) => seeds.iter().copied().map(Seed).collect(),
        }
    }
}

impl FromStr for Seeds {
    type Err = std::num::ParseIntError;

    /// `3` is a count; `42,1004` and `7,` are lists.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if !text.contains(',') {
            return text.trim().parse().map(Self::Count);
        }
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        parts.map(str::parse).collect::<Result<_, _>>().map(Self::List)
    }
}

impl std::fmt::Display for Seeds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Count(count) => write!(f, "{count}"),
            Self::List(seeds) => f.write_str(&seeds.iter().map(u64::to_string).collect::<Vec<_>>().join(",")),
        }
    }
}

/// How a cell is trained; the defaults are the published values.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HyperParameters {
    /// Passes over the training split.
    pub epochs: usize,
    /// Examples a step.
    pub batch_size: usize,
    /// Tokens a text is cut to, special ones included.
    pub max_length: usize,
    /// Peak learning rate.
    pub learning_rate: f64,
    /// The optimiser.
    pub optimizer: Optimizer,
    /// Weight decay.
    pub weight_decay: f64,
    /// Share of all steps over which the learning rate rises from zero.
    pub warmup: f64,
    /// The learning rate after warm-up.
    pub schedule: Schedule,
    /// Share of the target that is spread over all classes.
    pub label_smoothing: f64,
    /// Largest norm of a member's gradient; 0 for no limit.
    pub clip: f64,
    /// Dropout of the head.
    pub head_dropout: f64,
}

impl Default for HyperParameters {
    fn default() -> Self {
        Self {
            epochs: 3,
            batch_size: 32,
            max_length: 100,
            learning_rate: 5e-5,
            optimizer: Optimizer::Adam,
            weight_decay: 0.0,
            warmup: 0.0,
            schedule: Schedule::Constant,
            label_smoothing: 0.05,
            clip: 5.0,
            head_dropout: 0.2,
        }
    }
}

/// Caps for quick tries; a capped run is another cell than a whole one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Training examples, the first of the shuffled split.
    pub max_train_examples: Option<usize>,
    /// Examples of every other split, the first ones.
    pub max_eval_examples: Option<usize>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_a_count_of_seeds_and_a_comma_makes_a_list() {
        assert_eq!("3".parse::<Seeds>().expect("parses").list(), [Seed(0), Seed(1), Seed(2)]);
        assert_eq!("42, 1004".parse::<Seeds>().expect("parses").list(), [Seed(42), Seed(1004)]);
        assert_eq!("7,".parse::<Seeds>().expect("parses").list(), [Seed(7)]);
        assert!("x".parse::<Seeds>().is_err());
    }

    #[test]
    fn all_stands_for_every_defect() {
        assert_eq!("all".parse::<Defects>().expect("parses").0.len(), Defect::ALL.len());
        assert!("mask,metrics".parse::<Defects>().expect("parses").has(Defect::Mask));
        assert!("masks".parse::<Defects>().expect_err("unknown").to_string().contains("`all`"));
    }
}
