//! What can be wrong with a model's configuration, the names in its checkpoint, or a layer asked of it.

use crate::error::{Category, Diagnose};

/// Why a model cannot be read, or a layer of it.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Error {
    /// `config.json` holds something that is no object.
    #[error("the configuration is {found}, expected an object with `model_type`")]
    NotAnObject {
        /// What it is instead.
        found: &'static str,
    },
    /// `config.json` does not say what the model is.
    #[error("the configuration has no `model_type`, expected one of {}", quoted(supported))]
    NoModelType {
        /// All model types that can be read.
        supported: Vec<&'static str>,
    },
    /// A model type without a table.
    #[error("model type `{model_type}` is not supported{}, expected one of {}", if *later { " yet" } else { "" }, quoted(supported))]
    UnsupportedFamily {
        /// The configuration's `model_type`.
        model_type: String,
        /// Whether it is a known one, planned.
        later: bool,
        /// All model types that can be read.
        supported: Vec<&'static str>,
        /// The supported type that was probably meant.
        did_you_mean: Option<&'static str>,
    },
    /// A field that the family needs is absent.
    #[error("`{field}` is missing in the configuration of a `{family}` model")]
    MissingField {
        /// The model type.
        family: &'static str,
        /// The field.
        field: String,
    },
    /// A field's value makes no sense.
    #[error("`{field}` of a `{family}` model is `{value}`, expected {expected}")]
    BadField {
        /// The model type.
        family: &'static str,
        /// The field.
        field: String,
        /// Its value, shortened.
        value: String,
        /// What it may be.
        expected: String,
    },
    /// An option that would change numbers in a way that the block cannot express.
    #[error("`{option}` of a `{family}` model is `{value}`, which is not supported: expected {expected}")]
    UnsupportedOption {
        /// The model type.
        family: &'static str,
        /// The option.
        option: String,
        /// Its value, shortened.
        value: String,
        /// What is supported.
        expected: String,
    },
    /// The checkpoint lacks tensors that its configuration implies.
    #[error(
        "{count} of the {expected} tensors that the configuration of this `{family}` model implies are missing, among them {}",
        quoted(first)
    )]
    MissingTensors {
        /// The model type.
        family: &'static str,
        /// How many are missing.
        count: usize,
        /// How many were looked for.
        expected: usize,
        /// The first of them, in the spelling that was looked for.
        first: Vec<String>,
        /// Present names that look like the first missing one.
        nearest: Vec<String>,
    },
    /// A tensor's shape contradicts the configuration.
    #[error("tensor `{tensor}` has shape {found:?}, expected {expected:?} from the configuration")]
    TensorShape {
        /// Name in the checkpoint.
        tensor: String,
        /// Its shape there.
        found: Vec<usize>,
        /// The shape that the configuration implies.
        expected: Vec<usize>,
    },
    /// A tensor that no number can be read from.
    #[error("tensor `{tensor}` holds {dtype}, expected a float (F32, F16, BF16 or F64)")]
    TensorDtype {
        /// Name in the checkpoint.
        tensor: String,
        /// Its element type there.
        dtype: &'static str,
    },
    /// A family's table lacks a tensor that its specification needs.
    #[error("the table of tensors has no `{role}` for layer {layer}, expected one from the specification")]
    MissingRole {
        /// The block's name for it.
        role: String,
        /// The layer; 0 outside the blocks.
        layer: usize,
    },
    /// Layers stacked as members of one run differ in their tensors.
    #[error("the layers of a stack differ: some have `{role}` and some have not")]
    UnequalMembers {
        /// The block's name for it.
        role: String,
    },
    /// A token or type id without a row in its table.
    #[error("id {id} has no row in a table of {rows}: expected an id below that")]
    IdBeyondTable {
        /// The id.
        id: u32,
        /// Rows of the table.
        rows: usize,
    },
    /// A text longer than the model's table of positions.
    #[error(
        "a text of {tokens} tokens is longer than the model's table of positions, expected at most {limit}"
    )]
    TextTooLong {
        /// Its length.
        tokens: usize,
        /// The longest that fits.
        limit: usize,
    },
    /// Token ids for a probe over features, or features for one with an encoder.
    #[error("a probe {} was given {}", if *wants_tokens { "with an encoder" } else { "over features" }, if *wants_tokens { "features, expected token ids" } else { "token ids, expected features" })]
    WrongInput {
        /// What the probe was built for.
        wants_tokens: bool,
    },
    /// A layer that the model does not have.
    #[error("layer {layer} does not exist{}: it has {count} layer{} ({})", in_model(model.as_deref()), if *count == 1 { "" } else { "s" }, indices(*count))]
    NoSuchLayer {
        /// As asked for; negative counts from the end.
        layer: i64,
        /// How many there are.
        count: usize,
        /// The model's name, where it is known.
        model: Option<String>,
    },
    /// A list of layers that cannot be read.
    #[error("`{part}` is no list of layers, expected {expected}")]
    LayerList {
        /// The part that is wrong.
        part: String,
        /// What it should be.
        expected: &'static str,
    },
}

impl Error {
    /// Adds the model's name to an error about its layers.
    #[must_use]
    pub fn of_model(self, name: &str) -> Self {
        match self {
            Self::NoSuchLayer { layer, count, .. } => {
                Self::NoSuchLayer { layer, count, model: Some(name.to_owned()) }
            }
            other => other,
        }
    }
}

impl Diagnose for Error {
    fn hint(&self) -> Option<String> {
        match self {
            Self::NotAnObject { .. } | Self::NoModelType { .. } => {
                Some("is this the `config.json` of a transformers model?".to_owned())
            }
            Self::UnsupportedFamily { later: true, .. } => Some(
                "encoder-decoder models come later; an encoder such as `bert-base` works today".to_owned(),
            ),
            Self::UnsupportedFamily { did_you_mean: Some(name), .. } => {
                Some(format!("did you mean `{name}`?"))
            }
            Self::MissingTensors { nearest, .. } if !nearest.is_empty() => Some(format!(
                "the checkpoint holds {}; does its `config.json` belong to it?",
                quoted(nearest)
            )),
            Self::IdBeyondTable { .. } => {
                Some("do the tokenizer and the checkpoint belong to one model?".to_owned())
            }
            Self::TextTooLong { limit, .. } => Some(format!("cut texts with `--max-length {limit}`")),
            Self::MissingTensors { .. } | Self::TensorShape { .. } => {
                Some("does this `config.json` belong to this checkpoint?".to_owned())
            }
            Self::NoSuchLayer { model: Some(name), .. } => {
                Some(format!("list them with `pifi-probe inspect {name}`"))
            }
            Self::NoSuchLayer { .. } => Some("list them with `pifi-probe inspect MODEL`".to_owned()),
            Self::LayerList { .. } => {
                Some("write `all`, `every:4`, or a list such as `0,8,16-31,-1`".to_owned())
            }
            Self::UnsupportedFamily { .. } => {
                Some("take a model of one of these families: any other would be computed wrongly".to_owned())
            }
            Self::MissingField { .. } | Self::BadField { .. } => {
                Some("is this the `config.json` that was published with the checkpoint?".to_owned())
            }
            Self::UnsupportedOption { .. } => {
                Some("take a checkpoint without it: leaving it out would compute something else".to_owned())
            }
            Self::TensorDtype { .. } => Some("convert the checkpoint to f32, f16 or bf16".to_owned()),
            Self::MissingRole { .. } | Self::UnequalMembers { .. } | Self::WrongInput { .. } => None,
        }
    }

    fn category(&self) -> Category {
        match self {
            Self::NoSuchLayer { .. } | Self::LayerList { .. } => Category::Usage,
            _ => Category::Failure,
        }
    }
}

fn quoted<S: AsRef<str>>(names: &[S]) -> String {
    names.iter().map(|name| format!("`{}`", name.as_ref())).collect::<Vec<_>>().join(", ")
}

fn in_model(model: Option<&str>) -> String {
    model.map_or_else(String::new, |name| format!(" in `{name}`"))
}

fn indices(count: usize) -> String {
    count.checked_sub(1).map_or_else(|| "none".to_owned(), |last| format!("0..={last}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_layer_is_named_with_its_model_and_range() {
        let error = Error::NoSuchLayer { layer: 32, count: 28, model: None };
        assert_eq!(error.to_string(), "layer 32 does not exist: it has 28 layers (0..=27)");
        let error = error.of_model("Qwen/Qwen2-1.5B");
        assert_eq!(
            error.to_string(),
            "layer 32 does not exist in `Qwen/Qwen2-1.5B`: it has 28 layers (0..=27)"
        );
        assert_eq!(error.hint().as_deref(), Some("list them with `pifi-probe inspect Qwen/Qwen2-1.5B`"));
        assert_eq!(error.category(), Category::Usage);
    }
}
