//! What a word on the command line stands for: the first characters of a run's id, or a condition
//! with all its runs.

use std::str::FromStr;

use crate::runs::{Condition, Control, RunRecord};

/// A run, or all runs of a condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selector {
    /// The first characters of a run's id.
    Id(String),
    /// A layer (`layer:7`, `layer-7`, `layer 7`) or a control (`base`).
    Condition(Condition),
    /// The last layer of each LLM, the published choice (`last`).
    Last,
}

impl Selector {
    /// Whether a run is of the condition; ids are looked up elsewhere.
    pub fn takes(&self, record: &RunRecord) -> bool {
        match self {
            Self::Id(_) => false,
            Self::Condition(condition) => record.condition == *condition,
            Self::Last => {
                let last = record.subject.llm_layers.and_then(|layers| layers.checked_sub(1));
                last.is_some_and(|last| record.condition == Condition::Layer(last))
            }
        }
    }
}

impl FromStr for Selector {
    type Err = std::convert::Infallible;

    /// Anything that is no condition is taken for an id: a store knows whether it is one.
    fn from_str(word: &str) -> Result<Self, Self::Err> {
        if word == "last" {
            return Ok(Self::Last);
        }
        if let Ok(control) = word.parse::<Control>() {
            return Ok(Self::Condition(Condition::Control(control)));
        }
        let layer = word.strip_prefix("layer").and_then(|rest| rest.strip_prefix([':', '-', ' ']));
        if let Some(index) = layer.and_then(|index| index.parse().ok()) {
            return Ok(Self::Condition(Condition::Layer(index)));
        }
        // a directory of runs is as good as its name
        let name = word.trim_end_matches('/').rsplit('/').next().unwrap_or(word);
        Ok(Self::Id(name.to_owned()))
    }
}

impl std::fmt::Display for Selector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Id(id) => f.write_str(id),
            Self::Condition(condition) => write!(f, "{condition}"),
            Self::Last => f.write_str("last layer"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_and_ids_are_told_apart() {
        let parsed = |word: &str| word.parse::<Selector>().expect("parses");
        for word in ["layer:7", "layer-7", "layer 7"] {
            assert_eq!(parsed(word), Selector::Condition(Condition::Layer(7)));
        }
        assert_eq!(parsed("base"), Selector::Condition(Condition::Control(Control::Base)));
        assert_eq!(parsed("last"), Selector::Last);
        assert_eq!(parsed("ba5e"), Selector::Id("ba5e".into()));
        assert_eq!(parsed("outputs/runs/3fa8c0d1/"), Selector::Id("3fa8c0d1".into()));
        assert_eq!(parsed("layer:x"), Selector::Id("layer:x".into()));
    }
}
