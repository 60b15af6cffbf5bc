//! Flags whose values are numbers or closed sets of words: help and completions list the set, and a stranger
//! is answered with the nearest word.

/// A value parser for an enum of `words`.
macro_rules! word {
    ($set:ty) => {{
        use clap::builder::TypedValueParser as _;
        clap::builder::PossibleValuesParser::new(<$set>::ALL.iter().map(|word| word.name()))
            .map(|word| word.parse::<$set>().expect("a possible value is a word of the set"))
    }};
}

pub(super) use word;

/// A whole number, with a message that says what was expected.
pub(super) fn whole<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    text.trim().parse().map_err(|_| "expected a whole number, 0 or more".to_owned())
}

/// A number, likewise.
pub(super) fn real(text: &str) -> Result<f64, String> {
    text.trim().parse().map_err(|_| "expected a number such as `0.1` or `5e-5`".to_owned())
}
