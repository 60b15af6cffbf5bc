//! The values that a study can take.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::seed::Seed;
use crate::train::Optimizer;
use crate::train::schedule::Shape;
use crate::words::words;

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
    type Err = String;

    /// `3` is a count; `42,1004` and `7,` are lists.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |_| "expected how many seeds, such as `3`, or which, such as `42,1004`".to_owned();
        if !text.contains(',') {
            return text.trim().parse().map(Self::Count).map_err(wrong);
        }
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        parts.map(str::parse).collect::<Result<_, _>>().map(Self::List).map_err(wrong)
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

/// How many members train together as one batched computation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stack {
    /// On a GPU as many as its memory holds; on a CPU, whose threads one member keeps busy, one.
    Auto,
    /// So many.
    Members(usize),
}

impl Stack {
    /// As many; 1 while nobody has decided.
    pub fn members(self) -> usize {
        match self {
            Self::Auto => 1,
            Self::Members(members) => members,
        }
    }
}

impl FromStr for Stack {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.trim() {
            "auto" => Ok(Self::Auto),
            number => number
                .parse()
                .map(Self::Members)
                .map_err(|_| "expected how many, such as `8`, or `auto`".to_owned()),
        }
    }
}

impl std::fmt::Display for Stack {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Members(members) => write!(f, "{members}"),
        }
    }
}

impl Serialize for Stack {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Auto => serializer.serialize_str("auto"),
            Self::Members(members) => members.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Stack {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "expected how many, such as `8`, or `\"auto\"`")]
        enum Written {
            Number(usize),
            Word(String),
        }
        match Written::deserialize(deserializer)? {
            Written::Number(members) => Ok(Self::Members(members)),
            Written::Word(word) => word.parse().map_err(serde::de::Error::custom),
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
    pub schedule: Shape,
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
            schedule: Shape::Constant,
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
}
