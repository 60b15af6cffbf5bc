//! Closed sets of words that stand on the command line, in study files and in records with the
//! same spelling.

use crate::error::{Category, Diagnose, did_you_mean};

/// A word that is not of the set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown {what} `{typed}`: expected {}", list(expected))]
pub struct UnknownWord {
    /// What the word stands for.
    pub what: &'static str,
    /// The word.
    pub typed: String,
    /// The set.
    pub expected: Vec<&'static str>,
}

fn list(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
    match quoted.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
        None => "nothing".into(),
    }
}

impl Diagnose for UnknownWord {
    fn hint(&self) -> Option<String> {
        did_you_mean(&self.typed, self.expected.iter().copied()).map(|word| format!("did you mean `{word}`?"))
    }

    fn category(&self) -> Category {
        Category::Usage
    }
}

/// Declares an enum of words: `ALL`, `name`, `Display`, `FromStr` (did-you-mean included) and serde
/// by the words.
macro_rules! words {
    ($(#[$meta:meta])* $name:ident, $what:literal { $($(#[$variant_meta:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name {
            $($(#[$variant_meta])* $variant,)+
        }

        impl $name {
            /// Every word of the set, in order.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The word.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.name())
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::words::UnknownWord;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                match text {
                    $($word => Ok(Self::$variant),)+
                    _ => Err($crate::words::UnknownWord {
                        what: $what,
                        typed: text.into(),
                        expected: vec![$($word,)+],
                    }),
                }
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.name())
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let word = <String as serde::Deserialize>::deserialize(deserializer)?;
                word.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

pub(crate) use words;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runs::Control;

    #[test]
    fn a_word_reads_back_and_a_stranger_is_named_with_the_set() {
        for control in Control::ALL {
            assert_eq!(control.name().parse(), Ok(*control));
            assert_eq!(serde_json::to_value(control).expect("a word"), control.name());
        }
        let unknown = "mapper".parse::<Control>().expect_err("no such control");
        assert_eq!(
            unknown.to_string(),
            "unknown control `mapper`: expected `base`, `mappers`, `random`, `mlp`, `shuffled` or `trained`"
        );
        assert_eq!(unknown.hint().as_deref(), Some("did you mean `mappers`?"));
    }
}
