//! What every family needs to read a `config.json` that nobody vouches for: typed fields with
//! errors that name field and value, bounds that keep later arithmetic and allocations sane, and
//! the names of activations.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::models::error::Error;
use crate::models::spec::{Activation, Norm, NormKind, Window};

/// More than ten times the deepest published model.
const MOST_LAYERS: usize = 1000;
/// Of the residual stream and the embeddings: 64 times the widest published model.
const MOST_WIDTH: usize = 1 << 20;
/// Inside the feed-forward.
const MOST_INNER: usize = 1 << 22;
/// Rows of word and position tables.
pub(super) const MOST_ROWS: usize = 1 << 24;
/// Attention heads; the largest published models have 128.
const MOST_HEADS: usize = 1024;
/// Width of one head; bounds the frequencies that rotary positions keep for every block.
const MOST_HEAD_DIM: usize = 8192;

/// A model type, for the errors about its configuration.
#[derive(Clone, Copy)]
pub(super) struct Family(pub(super) &'static str);

/// Sizes under the names that most families use.
#[derive(serde::Deserialize)]
pub(super) struct StandardSizes {
    pub(super) hidden_size: usize,
    pub(super) intermediate_size: usize,
    pub(super) num_hidden_layers: usize,
    pub(super) num_attention_heads: usize,
    pub(super) vocab_size: usize,
}

/// A field and its value.
pub(super) type Field = (&'static str, usize);

/// Sizes under a family's own names.
pub(super) struct NamedSizes {
    pub(super) hidden: Field,
    pub(super) intermediate: Field,
    pub(super) layers: Field,
    pub(super) heads: Field,
    pub(super) vocab: Field,
}

impl From<&StandardSizes> for NamedSizes {
    fn from(sizes: &StandardSizes) -> Self {
        Self {
            hidden: ("hidden_size", sizes.hidden_size),
            intermediate: ("intermediate_size", sizes.intermediate_size),
            layers: ("num_hidden_layers", sizes.num_hidden_layers),
            heads: ("num_attention_heads", sizes.num_attention_heads),
            vocab: ("vocab_size", sizes.vocab_size),
        }
    }
}

/// Sizes that have been checked: positive, bounded, heads divide what they must.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizes {
    pub(super) hidden: usize,
    pub(super) intermediate: usize,
    pub(super) layers: usize,
    pub(super) heads: usize,
    pub(super) kv_heads: usize,
    pub(super) head_dim: usize,
    pub(super) vocab: usize,
}

impl Family {
    /// The family's subset of the configuration.
    pub(super) fn parse<T: DeserializeOwned>(self, config: &Value) -> Result<T, Error> {
        T::deserialize(config).map_err(|error| self.locate::<T>(config, &error.to_string()))
    }

    /// Serde does not say which field a value of the wrong type stands in: the one that gives the
    /// same complaint alone, or alone among the sizes that many families flatten into their own.
    fn locate<T: DeserializeOwned>(self, config: &Value, complaint: &str) -> Error {
        if let Some((_, rest)) = complaint.split_once("missing field `") {
            let field = rest.split('`').next().unwrap_or(rest).to_owned();
            return Error::MissingField { family: self.0, field };
        }
        let culprit = config.as_object().into_iter().flatten().find(|(key, value)| {
            let alone = Value::Object(Map::from_iter([((*key).clone(), (*value).clone())]));
            let same = |found: Option<serde_json::Error>| found.is_some_and(|it| it.to_string() == complaint);
            same(T::deserialize(&alone).err()) || same(StandardSizes::deserialize(&alone).err())
        });
        let expected = match complaint.rsplit_once("expected ") {
            Some((_, "usize" | "u64" | "u32" | "i64")) => "a whole number",
            Some((_, "f64" | "f32")) => "a number",
            Some((_, expected)) => expected,
            None => complaint,
        };
        match culprit {
            Some((field, value)) => self.bad(field, &shortened(value), expected),
            None => self.bad("config.json", &complaint, "fields of their documented types"),
        }
    }

    /// An error about a field.
    pub(super) fn bad(
        self,
        field: &str,
        value: &dyn std::fmt::Display,
        expected: impl Into<String>,
    ) -> Error {
        Error::BadField {
            family: self.0,
            field: field.to_owned(),
            value: value.to_string(),
            expected: expected.into(),
        }
    }

    /// An error about an option that the block cannot express.
    pub(super) fn refuse(
        self,
        option: &str,
        value: &dyn std::fmt::Display,
        expected: impl Into<String>,
    ) -> Error {
        Error::UnsupportedOption {
            family: self.0,
            option: option.to_owned(),
            value: value.to_string(),
            expected: expected.into(),
        }
    }

    /// Refuses every value of an option but one.
    pub(super) fn only<T: Copy + PartialEq + std::fmt::Display>(
        self,
        option: &str,
        value: T,
        supported: T,
    ) -> Result<(), Error> {
        if value == supported { Ok(()) } else { Err(self.refuse(option, &value, format!("`{supported}`"))) }
    }

    /// A size between 1 and `most`.
    pub(super) fn size(self, (field, value): Field, most: usize) -> Result<usize, Error> {
        if (1..=most).contains(&value) {
            Ok(value)
        } else {
            Err(self.bad(field, &value, format!("a whole number between 1 and {most}")))
        }
    }

    /// Rows of a table.
    pub(super) fn rows(self, field: Field) -> Result<usize, Error> {
        self.size(field, MOST_ROWS)
    }

    /// A width of the residual stream or the embeddings.
    pub(super) fn width(self, field: Field) -> Result<usize, Error> {
        self.size(field, MOST_WIDTH)
    }

    /// Sizes of a model; key-value heads are as many as heads and a head's width is their share of
    /// the hidden size where the configuration does not say otherwise.
    pub(super) fn sizes(
        self,
        named: impl Into<NamedSizes>,
        kv_heads: Option<usize>,
        head_dim: Option<usize>,
    ) -> Result<Sizes, Error> {
        let named = named.into();
        let hidden = self.width(named.hidden)?;
        let heads = self.size(named.heads, MOST_HEADS)?;
        let kv_heads = self.size(("num_key_value_heads", kv_heads.unwrap_or(heads)), MOST_HEADS)?;
        if !heads.is_multiple_of(kv_heads) {
            let expected = format!("a divisor of the {heads} attention heads (`{}`)", named.heads.0);
            return Err(self.bad("num_key_value_heads", &kv_heads, expected));
        }
        if head_dim.is_none() && !hidden.is_multiple_of(heads) {
            let expected = format!("a divisor of `{}`, which is {hidden}", named.hidden.0);
            return Err(self.bad(named.heads.0, &heads, expected));
        }
        let head_dim = self.size(("head_dim", head_dim.unwrap_or(hidden / heads)), MOST_HEAD_DIM)?;
        Ok(Sizes {
            hidden,
            intermediate: self.size(named.intermediate, MOST_INNER)?,
            layers: self.size(named.layers, MOST_LAYERS)?,
            heads,
            kv_heads,
            head_dim,
            vocab: self.rows(named.vocab)?,
        })
    }

    /// A finite number above zero.
    pub(super) fn positive(self, field: &str, value: f64) -> Result<f64, Error> {
        if value.is_finite() && value > 0.0 {
            Ok(value)
        } else {
            Err(self.bad(field, &value, "a finite number above 0"))
        }
    }

    /// A norm with a checked epsilon.
    pub(super) fn norm(self, kind: NormKind, field: &str, eps: f64) -> Result<Norm, Error> {
        if eps > 0.0 && eps < 1.0 {
            Ok(Norm { kind, eps })
        } else {
            Err(self.bad(field, &eps, "a number between 0 and 1, such as 1e-5"))
        }
    }

    /// A probability of dropping an element, below 1.
    pub(super) fn probability(self, field: &str, value: f64) -> Result<f32, Error> {
        if (0.0..1.0).contains(&value) {
            Ok(value as f32)
        } else {
            Err(self.bad(field, &value, "a probability of at least 0 and below 1"))
        }
    }

    /// The padding id; negative counts from the end of the table, as in torch.
    pub(super) fn padding(self, id: Option<i64>, vocab: usize) -> Result<Option<u32>, Error> {
        let Some(id) = id else { return Ok(None) };
        let row = if id < 0 { id.checked_add(vocab as i64) } else { Some(id) };
        row.and_then(|row| usize::try_from(row).ok())
            .filter(|row| *row < vocab)
            .map(|row| Some(row as u32))
            .ok_or_else(|| self.bad("pad_token_id", &id, format!("an id of the vocabulary, below {vocab}")))
    }

    /// An activation by the name that transformers gives it.
    pub(super) fn activation(self, field: &str, name: &str) -> Result<Activation, Error> {
        Ok(match name {
            "relu" => Activation::Relu,
            "gelu" | "gelu_python" => Activation::Gelu,
            "gelu_new" | "gelu_pytorch_tanh" | "gelu_fast" | "gelu_accurate" => Activation::GeluTanh,
            "silu" | "swish" => Activation::Silu,
            _ => {
                let known = "one of `relu`, `gelu`, `gelu_new`, `gelu_pytorch_tanh`, `silu`";
                return Err(self.refuse(field, &name, known));
            }
        })
    }

    /// A decoder's sliding window.
    pub(super) fn past_window(
        self,
        field: &'static str,
        size: Option<usize>,
    ) -> Result<Option<Window>, Error> {
        size.map(|size| self.rows((field, size)).map(Window::Past)).transpose()
    }

    /// Which blocks have a sliding window, from `layer_types` or else from the block's number.
    pub(super) fn sliding(
        self,
        layer_types: Option<&[String]>,
        layers: usize,
        otherwise: impl Fn(usize) -> bool,
    ) -> Result<Vec<bool>, Error> {
        let Some(types) = layer_types else { return Ok((0..layers).map(otherwise).collect()) };
        if types.len() != layers {
            let found = format!("{} entries", types.len());
            return Err(self.bad("layer_types", &found, format!("one entry for each of {layers} layers")));
        }
        let known = "`full_attention` or `sliding_attention`";
        types
            .iter()
            .map(|kind| match kind.as_str() {
                "full_attention" => Ok(false),
                "sliding_attention" => Ok(true),
                other => Err(self.refuse("layer_types", &other, known)),
            })
            .collect()
    }
}

/// A value as an error shows it.
pub(super) fn shortened(value: &Value) -> String {
    const LONGEST: usize = 60;
    let text = match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    match text.char_indices().nth(LONGEST) {
        Some((at, _)) => format!("{}...", &text[..at]),
        None => text,
    }
}

/// The usual default of a flag whose absence means true.
pub(super) fn yes() -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn standard() -> Value {
        json!({"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3, "num_attention_heads": 4, "vocab_size": 9})
    }

    #[test]
    fn a_value_of_the_wrong_type_is_found_by_field() {
        let family = Family("test");
        for (wrong, value, expected) in [
            (json!("many"), "many", "a whole number"),
            (json!(-1), "-1", "a whole number"),
            (json!(1.5), "1.5", "a whole number"),
            (json!(null), "null", "a whole number"),
        ] {
            let mut config = standard();
            config["num_hidden_layers"] = wrong;
            let error = family.parse::<StandardSizes>(&config).err();
            assert_eq!(error, Some(family.bad("num_hidden_layers", &value, expected)));
        }
        let error = family.parse::<StandardSizes>(&json!({"hidden_size": 3})).err();
        let field = "intermediate_size".to_owned();
        assert_eq!(error, Some(Error::MissingField { family: "test", field }));
    }

    #[test]
    fn absurd_sizes_are_refused_without_overflow() {
        let family = Family("test");
        let read = |key: &str, value: usize, kv_heads, head_dim| {
            let mut config = standard();
            config[key] = json!(value);
            family.sizes(&family.parse::<StandardSizes>(&config).expect("typed"), kv_heads, head_dim)
        };
        assert_eq!(read("vocab_size", 9, None, None).expect("sound").head_dim, 8);
        for (key, value) in [
            ("hidden_size", 0),
            ("hidden_size", usize::MAX),
            ("intermediate_size", 0),
            ("num_hidden_layers", 0),
            ("num_hidden_layers", 1001),
            ("num_attention_heads", 5),
            ("num_attention_heads", 0),
            ("vocab_size", usize::MAX),
        ] {
            let error = read(key, value, None, None).err();
            assert!(matches!(error, Some(Error::BadField { ref field, .. }) if field == key), "{error:?}");
        }
        assert!(read("vocab_size", 9, Some(3), None).is_err());
        assert!(read("vocab_size", 9, Some(0), None).is_err());
        assert!(read("vocab_size", 9, None, Some(0)).is_err());
        assert!(read("vocab_size", 9, None, Some(usize::MAX)).is_err());
    }

    #[test]
    fn epsilons_probabilities_and_padding_have_bounds() {
        let family = Family("test");
        for eps in [0.0, -1e-5, f64::NAN, f64::INFINITY, 1.0] {
            assert!(family.norm(NormKind::RmsNorm, "rms_norm_eps", eps).is_err(), "{eps}");
        }
        for p in [-0.1, 1.0, f64::NAN] {
            assert!(family.probability("dropout", p).is_err(), "{p}");
        }
        assert_eq!(family.padding(Some(-1), 10), Ok(Some(9)));
        assert_eq!(family.padding(None, 10), Ok(None));
        for id in [10, -11, i64::MIN, i64::MAX] {
            assert!(family.padding(Some(id), 10).is_err(), "{id}");
        }
    }

    #[test]
    fn long_values_are_shortened_at_a_letter() {
        let value = Value::String("é".repeat(100));
        assert_eq!(shortened(&value), format!("{}...", "é".repeat(60)));
    }
}
