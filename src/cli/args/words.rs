//! Flags whose values are closed sets of words: help and completions list the set, and a stranger
//! is answered with the nearest word.

/// A value parser for an enum of `runs::words`.
macro_rules! word {
    ($set:ty) => {{
        use clap::builder::TypedValueParser as _;
        clap::builder::PossibleValuesParser::new(<$set>::ALL.iter().map(|word| word.name()))
            .map(|word| word.parse::<$set>().expect("a possible value is a word of the set"))
    }};
}

pub(super) use word;
