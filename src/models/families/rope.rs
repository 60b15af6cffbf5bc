//! Rotary positions from a configuration, in both dialects: `rope_theta` with `rope_scaling`
//! (transformers 4) and `rope_parameters` (transformers 5). Formulas as in transformers'
//! `modeling_rope_utils.py`: linear scaling, Llama 3.1's wavelength bands, YaRN (Peng et al.,
//! "YaRN: Efficient Context Window Extension of Large Language Models", 2023) and longrope (Ding
//! et al., "LongRoPE", 2024). NTK scaling (`dynamic`) follows the length of the batch and is
//! refused.

use std::f64::consts::PI;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::config::{Family, Sizes, shortened};
use crate::models::error::Error;
use crate::models::spec::{LongRotary, Rotary};

/// Where a family's configuration keeps what rotary positions need.
#[derive(Clone, Copy)]
pub(super) struct Dialect {
    /// Key of the parameters in a `rope_parameters` that is nested by kind of layer.
    pub(super) layer_type: Option<&'static str>,
    /// The base and its default, in the older dialect.
    pub(super) theta: (&'static str, f64),
    /// The part of a head that rotates and its default; `None` where the family rotates all of it.
    pub(super) partial: Option<(&'static str, f64)>,
    /// Whether `rope_scaling` of the older dialect applies (Gemma 3: only to global layers).
    pub(super) scaled: bool,
    /// Phi-3: older checkpoints say `su` or `yarn` and mean longrope.
    pub(super) only_longrope: bool,
}

/// One base for all layers and whole heads, as Llama.
pub(super) const STANDARD: Dialect = Dialect {
    layer_type: None,
    theta: ("rope_theta", 10_000.0),
    partial: None,
    scaled: true,
    only_longrope: false,
};

/// Phi-3's context of pre-training where its configuration does not say.
const PHI3_CONTEXT: f64 = 4096.0;

const KNOWN: [&str; 16] = [
    "rope_type",
    "type",
    "rope_theta",
    "partial_rotary_factor",
    "factor",
    "original_max_position_embeddings",
    "low_freq_factor",
    "high_freq_factor",
    "attention_factor",
    "beta_fast",
    "beta_slow",
    "mscale",
    "mscale_all_dim",
    "truncate",
    "short_factor",
    "long_factor",
];

#[derive(Deserialize)]
struct Parameters {
    rope_type: Option<String>,
    #[serde(rename = "type")]
    old_type: Option<String>,
    rope_theta: Option<f64>,
    partial_rotary_factor: Option<f64>,
    factor: Option<f64>,
    original_max_position_embeddings: Option<f64>,
    low_freq_factor: Option<f64>,
    high_freq_factor: Option<f64>,
    attention_factor: Option<f64>,
    beta_fast: Option<f64>,
    beta_slow: Option<f64>,
    mscale: Option<f64>,
    mscale_all_dim: Option<f64>,
    truncate: Option<bool>,
    short_factor: Option<Vec<f64>>,
    long_factor: Option<Vec<f64>>,
}

/// A hundred times the longest context of a published model.
const MOST_POSITIONS: f64 = 1e9;

/// What stands beside the parameters, at the top of the configuration.
#[derive(Deserialize)]
struct Context {
    max_position_embeddings: Option<f64>,
    original_max_position_embeddings: Option<f64>,
}

/// The rotary positions of a configuration for heads of this width.
pub(super) fn rotary(
    family: Family,
    config: &Value,
    sizes: &Sizes,
    dialect: Dialect,
) -> Result<Rotary, Error> {
    let parameters = parameters(family, config, dialect)?;
    let context: Context = family.parse(config)?;
    if let Some(longest) = context.max_position_embeddings
        && !(longest.fract() == 0.0 && (1.0..=MOST_POSITIONS).contains(&longest))
    {
        let expected = format!("a whole number between 1 and {MOST_POSITIONS}");
        return Err(family.bad("max_position_embeddings", &longest, expected));
    }
    let theta = match parameters.rope_theta {
        Some(theta) => theta,
        None => number(family, config, dialect.theta.0)?.unwrap_or(dialect.theta.1),
    };
    let theta = family.positive(dialect.theta.0, theta)?;
    if theta <= 1.0 {
        return Err(family.bad(dialect.theta.0, &theta, "a number above 1"));
    }
    let rotary_dim = rotary_dim(family, config, &parameters, sizes.head_dim, dialect)?;
    // position 1's angle for the pair (i, i + rotary_dim / 2)
    let frequencies: Vec<f64> =
        (0..rotary_dim / 2).map(|i| theta.powf(-((2 * i) as f64) / rotary_dim as f64)).collect();
    let plain =
        |inverse_frequencies| Rotary { rotary_dim, inverse_frequencies, attention_factor: 1.0, long: None };
    let scaling = Scaling { family, parameters: &parameters, context: &context, phi3: dialect.only_longrope };
    let kind = parameters.rope_type.as_deref().or(parameters.old_type.as_deref()).unwrap_or("default");
    match kind {
        "default" => Ok(plain(frequencies)),
        "longrope" => scaling.longrope(rotary_dim, &frequencies),
        "su" | "yarn" if dialect.only_longrope => scaling.longrope(rotary_dim, &frequencies),
        "linear" if !dialect.only_longrope => {
            let factor = scaling.needed("factor", parameters.factor)?;
            Ok(plain(frequencies.iter().map(|frequency| frequency / factor).collect()))
        }
        "llama3" if !dialect.only_longrope => Ok(plain(scaling.llama3(&frequencies)?)),
        "yarn" => scaling.yarn(rotary_dim, theta, &frequencies),
        other if dialect.only_longrope => Err(family.refuse("rope_type", &other, "`default` or `longrope`")),
        other => Err(family.refuse(
            "rope_type",
            &other,
            "one of `default`, `linear`, `llama3`, `yarn`, `longrope`",
        )),
    }
}

fn parameters(family: Family, config: &Value, dialect: Dialect) -> Result<Parameters, Error> {
    let empty = Map::new();
    let object = |key: &str| match config.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Object(map)) => Ok(Some(map)),
        Some(other) => Err(family.bad(key, &shortened(other), "an object")),
    };
    let found = match (object("rope_parameters")?, dialect.layer_type) {
        (Some(nested), Some(layer_type)) => {
            let Some(Value::Object(map)) = nested.get(layer_type) else {
                let expected = format!("an object with `{layer_type}`");
                let value = shortened(&Value::Object(nested.clone()));
                return Err(family.bad("rope_parameters", &value, expected));
            };
            map
        }
        (Some(flat), None) => flat,
        (None, _) => object("rope_scaling")?.filter(|_| dialect.scaled).unwrap_or(&empty),
    };
    if let Some((key, value)) =
        found.iter().find(|(key, value)| !value.is_null() && !KNOWN.contains(&key.as_str()))
    {
        return Err(family.refuse(key, &shortened(value), "no such rotary parameter"));
    }
    family.parse(&Value::Object(found.clone()))
}

fn rotary_dim(
    family: Family,
    config: &Value,
    parameters: &Parameters,
    head_dim: usize,
    dialect: Dialect,
) -> Result<usize, Error> {
    let field = dialect.partial.map_or("partial_rotary_factor", |(field, _)| field);
    let part = match parameters.partial_rotary_factor {
        Some(part) => part,
        None => number(family, config, field)?.unwrap_or(dialect.partial.map_or(1.0, |(_, part)| part)),
    };
    if dialect.partial.is_none() && part != 1.0 {
        return Err(family.refuse(field, &part, "`1`"));
    }
    if !(part > 0.0 && part <= 1.0) {
        return Err(family.bad(field, &part, "a number above 0 and at most 1"));
    }
    let rotary_dim = (head_dim as f64 * part) as usize;
    if rotary_dim == 0 || !rotary_dim.is_multiple_of(2) {
        let expected = format!("an even number of rotating channels, not {rotary_dim} of {head_dim}");
        return Err(family.bad(field, &part, expected));
    }
    Ok(rotary_dim)
}

fn number(family: Family, config: &Value, field: &str) -> Result<Option<f64>, Error> {
    match config.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => {
            value.as_f64().map(Some).ok_or_else(|| family.bad(field, &shortened(value), "a number"))
        }
    }
}

struct Scaling<'a> {
    family: Family,
    parameters: &'a Parameters,
    context: &'a Context,
    phi3: bool,
}

impl Scaling<'_> {
    fn needed(&self, field: &str, value: Option<f64>) -> Result<f64, Error> {
        let missing = || Error::MissingField { family: self.family.0, field: field.to_owned() };
        self.family.positive(field, value.ok_or_else(missing)?)
    }

    /// Context of pre-training; the top of the configuration has priority (Phi-3 keeps it there).
    fn original_context(&self) -> Result<f64, Error> {
        let original = self
            .context
            .original_max_position_embeddings
            .or(self.parameters.original_max_position_embeddings)
            .or(if self.phi3 { Some(PHI3_CONTEXT) } else { self.context.max_position_embeddings });
        let original = self.needed("original_max_position_embeddings", original)?;
        if original <= 1.0 {
            let expected = "a number of tokens above 1";
            return Err(self.family.bad("original_max_position_embeddings", &original, expected));
        }
        Ok(original)
    }

    /// The factor, or how much longer the context is than in pre-training.
    fn factor(&self, original: f64) -> Result<f64, Error> {
        if let Some(factor) = self.parameters.factor {
            return self.family.positive("factor", factor);
        }
        let longest = self.needed("max_position_embeddings", self.context.max_position_embeddings)?;
        Ok(longest / original)
    }

    fn llama3(&self, frequencies: &[f64]) -> Result<Vec<f64>, Error> {
        let factor = self.needed("factor", self.parameters.factor)?;
        let low = self.needed("low_freq_factor", self.parameters.low_freq_factor)?;
        let high = self.needed("high_freq_factor", self.parameters.high_freq_factor)?;
        if high <= low {
            let expected = format!("more than `low_freq_factor`, which is {low}");
            return Err(self.family.bad("high_freq_factor", &high, expected));
        }
        let original = self.original_context()?;
        Ok(frequencies
            .iter()
            .map(|frequency| {
                let wavelength = 2.0 * PI / frequency;
                if wavelength < original / high {
                    *frequency
                } else if wavelength > original / low {
                    frequency / factor
                } else {
                    let smooth = (original / wavelength - low) / (high - low);
                    (1.0 - smooth) * frequency / factor + smooth * frequency
                }
            })
            .collect())
    }

    fn yarn(&self, rotary_dim: usize, theta: f64, frequencies: &[f64]) -> Result<Rotary, Error> {
        let parameters = self.parameters;
        let original = self.original_context()?;
        let factor = self.factor(original)?;
        let magnitude = |scale: f64| if factor <= 1.0 { 1.0 } else { 0.1 * scale * factor.ln() + 1.0 };
        let attention_factor =
            match (parameters.attention_factor, parameters.mscale, parameters.mscale_all_dim) {
                (Some(given), ..) => given,
                (None, Some(scale), Some(all)) if scale != 0.0 && all != 0.0 => {
                    magnitude(scale) / magnitude(all)
                }
                (None, ..) => magnitude(1.0),
            };
        let attention_factor = self.family.positive("attention_factor", attention_factor)?;
        // zero means the default, as in transformers
        let beta = |field, value: Option<f64>, default| {
            self.family.positive(field, value.filter(|beta| *beta != 0.0).unwrap_or(default))
        };
        let fast = beta("beta_fast", parameters.beta_fast, 32.0)?;
        let slow = beta("beta_slow", parameters.beta_slow, 1.0)?;
        // the channel pair that turns this often over the original context
        let pair = |turns: f64| rotary_dim as f64 * (original / (turns * 2.0 * PI)).ln() / (2.0 * theta.ln());
        let (mut low, mut high) = (pair(fast), pair(slow));
        if parameters.truncate.unwrap_or(true) {
            (low, high) = (low.floor(), high.ceil());
        }
        let (low, mut high) = (low.max(0.0), high.min((rotary_dim - 1) as f64));
        if low == high {
            high += 0.001;
        }
        let inverse_frequencies = frequencies
            .iter()
            .enumerate()
            .map(|(i, frequency)| {
                let interpolated = ((i as f64 - low) / (high - low)).clamp(0.0, 1.0);
                frequency / factor * interpolated + frequency * (1.0 - interpolated)
            })
            .collect();
        Ok(Rotary { rotary_dim, inverse_frequencies, attention_factor, long: None })
    }

    fn longrope(&self, rotary_dim: usize, frequencies: &[f64]) -> Result<Rotary, Error> {
        let original = self.original_context()?;
        let factor = self.factor(original)?;
        let attention_factor = match self.parameters.attention_factor {
            Some(given) => self.family.positive("attention_factor", given)?,
            None if factor <= 1.0 => 1.0,
            None => (1.0 + factor.ln() / original.ln()).sqrt(),
        };
        let divided = |field: &str, factors: Option<&[f64]>| {
            let missing = || Error::MissingField { family: self.family.0, field: field.to_owned() };
            let factors = factors.ok_or_else(missing)?;
            if factors.len() != frequencies.len() {
                let found = format!("{} numbers", factors.len());
                let expected = format!("{} numbers, half of the rotating channels", frequencies.len());
                return Err(self.family.bad(field, &found, expected));
            }
            let scaled = factors.iter().zip(frequencies);
            scaled.map(|(&by, frequency)| Ok(frequency / self.family.positive(field, by)?)).collect()
        };
        Ok(Rotary {
            rotary_dim,
            inverse_frequencies: divided("short_factor", self.parameters.short_factor.as_deref())?,
            attention_factor,
            long: Some(LongRotary {
                original_max_position_embeddings: original as usize,
                inverse_frequencies: divided("long_factor", self.parameters.long_factor.as_deref())?,
            }),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn rope(head_dim: usize, config: &Value, dialect: Dialect) -> Result<Rotary, Error> {
        let sizes =
            Sizes { hidden: 64, intermediate: 8, layers: 1, heads: 4, kv_heads: 4, head_dim, vocab: 9 };
        rotary(Family("test"), config, &sizes, dialect)
    }

    fn assert_close(config: &Value, expected: [f64; 8], attention_factor: f64) {
        let rotary = rope(16, config, STANDARD).expect("valid");
        for (found, expected) in rotary.inverse_frequencies.iter().zip(expected) {
            // transformers computes these in f32
            assert!((found - expected).abs() <= 3e-6 * expected, "{rotary:?}");
        }
        assert!((rotary.attention_factor - attention_factor).abs() < 1e-12, "{rotary:?}");
    }

    /// Expected numbers: `ROPE_INIT_FUNCTIONS[rope_type](config, "cpu")` of transformers 5.23 for
    /// four heads of a hidden size of 64.
    #[test]
    fn scaled_frequencies_match_transformers() {
        let config = json!({"max_position_embeddings": 32768, "rope_theta": 1e6, "rope_scaling":
            {"factor": 4.0, "original_max_position_embeddings": 32768, "type": "yarn"}});
        let expected = [
            1.0,
            0.177_827_939,
            0.031_622_778_6,
            0.004_217_559_94,
            0.000_500_000_024,
            4.445_698_51e-5,
            7.905_693_56e-6,
            1.405_853_37e-6,
        ];
        assert_close(&config, expected, 1.138_629_436_111_989);
        let config = json!({"max_position_embeddings": 32768, "rope_parameters":
            {"rope_theta": 1e4, "factor": 40.0, "original_max_position_embeddings": 4096, "rope_type": "yarn",
             "mscale": 1.0, "mscale_all_dim": 0.707, "beta_fast": 16, "beta_slow": 2, "truncate": false}});
        let expected = [
            1.0,
            0.316_227_764,
            0.100_000_001,
            0.031_622_778_6,
            0.005_790_104_62,
            0.000_123_952_457,
            2.499_999_94e-5,
            7.905_694_47e-6,
        ];
        assert_close(&config, expected, 1.085_726_399_256_135_5);
        let config = json!({"max_position_embeddings": 32768, "rope_theta": 1e4, "rope_scaling":
            {"factor": 2.0, "rope_type": "yarn", "attention_factor": 1.5}});
        let expected = [
            1.0,
            0.316_227_764,
            0.100_000_001,
            0.031_622_778_6,
            0.009_999_999_78,
            0.002_766_993_13,
            0.000_750_000_007,
            0.000_197_642_366,
        ];
        assert_close(&config, expected, 1.5);
        let config = json!({"max_position_embeddings": 32768, "rope_theta": 500.0, "rope_scaling":
            {"factor": 8.0, "rope_type": "llama3", "low_freq_factor": 1.0, "high_freq_factor": 4.0,
             "original_max_position_embeddings": 256}});
        let expected = [
            1.0,
            0.459_863_275,
            0.211_474_24,
            0.096_179_641_8,
            0.016_313_578_9,
            0.002_570_714_1,
            0.001_182_176_99,
            0.000_543_639_821,
        ];
        assert_close(&config, expected, 1.0);
    }

    #[test]
    fn what_cannot_be_rotated_exactly_is_refused_by_name() {
        let refused = |config: Value, dialect: Dialect| match rope(16, &config, dialect) {
            Err(Error::UnsupportedOption { option, .. }) => option,
            other => panic!("{other:?}"),
        };
        assert_eq!(
            refused(json!({"rope_scaling": {"type": "dynamic", "factor": 2.0}}), STANDARD),
            "rope_type"
        );
        assert_eq!(refused(json!({"rope_scaling": {"mrope_section": [1, 2]}}), STANDARD), "mrope_section");
        assert_eq!(refused(json!({"partial_rotary_factor": 0.5}), STANDARD), "partial_rotary_factor");
    }

    #[test]
    fn absurd_parameters_are_refused() {
        let partial = Dialect { partial: Some(("partial_rotary_factor", 1.0)), ..STANDARD };
        for (config, field) in [
            (json!({"rope_theta": -1.0}), "rope_theta"),
            (json!({"rope_theta": 1.0}), "rope_theta"),
            (json!({"rope_theta": "ten"}), "rope_theta"),
            (json!({"rope_scaling": 3}), "rope_scaling"),
            (json!({"partial_rotary_factor": 0.2}), "partial_rotary_factor"),
            (json!({"partial_rotary_factor": 1.5}), "partial_rotary_factor"),
            (json!({"partial_rotary_factor": -1}), "partial_rotary_factor"),
            (json!({"rope_scaling": {"type": "linear", "factor": 0}}), "factor"),
            (json!({"rope_scaling": {"type": "linear", "factor": "two"}}), "factor"),
            (
                json!({"max_position_embeddings": 8, "rope_scaling":
                    {"type": "longrope", "short_factor": [1.0], "long_factor": [1.0]}}),
                "short_factor",
            ),
        ] {
            let error = rope(16, &config, partial).expect_err("absurd");
            assert!(matches!(&error, Error::BadField { field: found, .. } if found == field), "{error}");
        }
        let missing = rope(16, &json!({"rope_scaling": {"type": "linear"}}), STANDARD);
        assert!(matches!(missing, Err(Error::MissingField { .. })));
        assert!(rope(7, &json!({}), STANDARD).is_err(), "an odd head");
    }
}
