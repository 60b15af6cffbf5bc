//! Defects of the published code that change numbers, each a named switch that reproduces it.

use std::collections::BTreeSet;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::words::{UnknownWord, words};

words! {
    /// One behaviour of the published code that differs from this program's default.
    AsPublished, "published behaviour" {
        /// Accuracy and macro-F1 are also reported as means over batches, where a short last batch
        /// counts as a whole one, and the best epoch is chosen by the mean of batch accuracies.
        Metrics = "metrics",
        /// The last short training batch of every epoch is dropped.
        DropLast = "drop-last",
        /// In sequence mode the frozen layer attends to padding.
        Mask = "mask",
        /// The span loss and the predicted span range over padding too.
        SpanPadding = "span-padding",
        /// The generation loss counts padding positions.
        LossPadding = "loss-padding",
        /// A plugged T5 leaves out the factor `d_model^-0.5` before its tied output layer.
        Rescale = "rescale",
        /// The splits of the published code, where a task of the catalogue has others by default.
        TestSplits = "test-splits",
    }
}

/// The word for every switch that applies.
const ALL: &str = "all";
/// The word for no switch.
const NONE: &str = "none";

/// Which behaviours to reproduce: some by name, or all that apply to what is run.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "Vec<String>", into = "Vec<String>")]
pub struct Switches {
    all: bool,
    named: BTreeSet<AsPublished>,
}

impl Switches {
    /// These switches.
    pub fn new(named: impl IntoIterator<Item = AsPublished>) -> Self {
        Self { all: false, named: named.into_iter().collect() }
    }

    /// Whether this switch was named, or belongs to those that `all` was settled to.
    pub fn has(&self, switch: AsPublished) -> bool {
        self.named.contains(&switch)
    }

    /// Those named, in their order.
    pub fn named(&self) -> &BTreeSet<AsPublished> {
        &self.named
    }

    /// Puts the switches that apply in the place of the word `all`, so that what is recorded is what
    /// was done.
    #[must_use]
    pub fn settle(mut self, applies: impl Fn(AsPublished) -> bool) -> Self {
        if std::mem::take(&mut self.all) {
            self.named.extend(AsPublished::ALL.iter().copied().filter(|switch| applies(*switch)));
        }
        self
    }
}

impl TryFrom<Vec<String>> for Switches {
    type Error = UnknownWord;

    fn try_from(words: Vec<String>) -> Result<Self, UnknownWord> {
        let mut switches = Self::default();
        for word in words {
            match word.trim() {
                ALL => switches.all = true,
                NONE | "" => {}
                word => {
                    switches.named.insert(word.parse().map_err(|mut unknown: UnknownWord| {
                        unknown.expected.push(ALL);
                        unknown
                    })?);
                }
            }
        }
        Ok(switches)
    }
}

impl From<Switches> for Vec<String> {
    fn from(switches: Switches) -> Self {
        let all = switches.all.then(|| ALL.to_owned());
        all.into_iter().chain(switches.named.iter().map(ToString::to_string)).collect()
    }
}

impl FromStr for Switches {
    type Err = UnknownWord;

    fn from_str(list: &str) -> Result<Self, UnknownWord> {
        list.split(',').map(str::to_owned).collect::<Vec<_>>().try_into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_switches_is_read_and_a_stranger_is_named() {
        for nothing in ["", "none"] {
            assert_eq!(nothing.parse(), Ok(Switches::default()));
        }
        let two = Switches::new([AsPublished::Metrics, AsPublished::DropLast]);
        assert_eq!("metrics, drop-last".parse(), Ok(two));
        let error = "metrics,dropout".parse::<Switches>().unwrap_err().to_string();
        assert!(error.contains("`dropout`") && error.contains("`drop-last`"), "{error}");
        assert!(error.contains("`all`"), "{error}");
    }

    #[test]
    fn all_becomes_what_applies_and_reads_back_until_then() {
        let all: Switches = "all".parse().unwrap();
        let word = serde_json::to_value(&all).unwrap();
        assert_eq!(word, serde_json::json!(["all"]));
        assert_eq!(serde_json::from_value::<Switches>(word).unwrap(), all);
        let settled = all.settle(|switch| switch != AsPublished::Rescale);
        assert_eq!(settled.named().len(), AsPublished::ALL.len() - 1);
        assert!(settled.has(AsPublished::TestSplits) && !settled.has(AsPublished::Rescale));
        // a settled set stays what it is
        assert_eq!(settled.clone().settle(|_| true), settled);
    }
}
