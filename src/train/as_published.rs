//! Defects of the published code that change numbers, each a named switch that reproduces it.

use std::collections::BTreeSet;

use super::Error;

/// One behaviour of the published code that differs from this program's default.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AsPublished {
    /// Accuracy and macro-F1 are also reported as means over batches, where a short last batch
    /// counts as a whole one, and the best epoch is chosen by the mean of batch accuracies.
    Metrics,
    /// The last short training batch of every epoch is dropped.
    DropLast,
    /// In sequence mode the frozen layer attends to padding.
    Mask,
    /// The span loss and the predicted span range over padding too.
    SpanPadding,
    /// The generation loss counts padding positions.
    LossPadding,
    /// A plugged T5 leaves out the factor `d_model^-0.5` before its tied output layer.
    Rescale,
    /// The published test splits (rows held out of the official training sets, or GLUE validation).
    TestSplits,
}

impl AsPublished {
    /// All switches.
    pub const ALL: [Self; 7] = [
        Self::Metrics,
        Self::DropLast,
        Self::Mask,
        Self::SpanPadding,
        Self::LossPadding,
        Self::Rescale,
        Self::TestSplits,
    ];

    /// The word by which it is switched on.
    pub fn name(self) -> &'static str {
        match self {
            Self::Metrics => "metrics",
            Self::DropLast => "drop-last",
            Self::Mask => "mask",
            Self::SpanPadding => "span-padding",
            Self::LossPadding => "loss-padding",
            Self::Rescale => "rescale",
            Self::TestSplits => "test-splits",
        }
    }

    /// Reads a list of words separated by commas; `all` stands for every switch.
    ///
    /// # Errors
    /// [`Error::Unknown`] for a word that is none of them.
    pub fn list(text: &str) -> Result<BTreeSet<Self>, Error> {
        let mut chosen = BTreeSet::new();
        for word in text.split(',').map(str::trim).filter(|word| !word.is_empty()) {
            if word == "all" {
                chosen.extend(Self::ALL);
                continue;
            }
            let switch = Self::ALL.into_iter().find(|switch| switch.name() == word);
            chosen.insert(switch.ok_or_else(|| Error::Unknown {
                what: "published behaviour",
                value: word.into(),
                expected: format!(
                    "`all` or some of {}",
                    Self::ALL.map(|s| format!("`{}`", s.name())).join(", ")
                ),
            })?);
        }
        Ok(chosen)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_switches_is_read_and_a_stranger_is_named() {
        assert_eq!(AsPublished::list("").unwrap(), BTreeSet::new());
        let two = AsPublished::list("metrics, drop-last").unwrap();
        assert_eq!(two, BTreeSet::from([AsPublished::Metrics, AsPublished::DropLast]));
        assert_eq!(AsPublished::list("all").unwrap().len(), AsPublished::ALL.len());
        let error = AsPublished::list("metrics,dropout").unwrap_err().to_string();
        assert!(error.contains("`dropout`") && error.contains("`drop-last`"), "{error}");
    }

    #[test]
    fn the_word_typed_is_the_word_recorded() {
        for switch in AsPublished::ALL {
            assert_eq!(serde_json::to_value(switch).unwrap(), switch.name());
        }
    }
}
