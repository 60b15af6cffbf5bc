//! One table a model family: from `config.json` and tensor names to the block's specification.
//! A family file contains no arithmetic on tensors and opens no file; what the block cannot
//! express is refused here, by name, and never ignored.

mod albert;
mod alibi;
mod bert;
mod bloom;
mod config;
mod deberta;
mod deberta_v2;
mod defaults;
mod distilbert;
mod electra;
mod falcon;
mod gemma;
mod gemma2;
mod gemma3;
mod gpt2;
mod gpt_neox;
mod llama;
mod mistral;
mod mixtral;
mod modernbert;
mod mpnet;
mod names;
mod olmo2;
mod opt;
mod phi3;
mod qwen2;
mod qwen3;
mod roberta;
mod rope;

use serde_json::Value;

use self::config::{Family, shortened};
pub use self::names::{Names, Scope};
use super::error::Error;
use super::spec::ModelSpec;
use super::tensors::TensorTable;
use crate::error::did_you_mean;

/// What a family makes of a configuration.
type Described = (ModelSpec, TensorTable);

/// A model as its configuration describes it.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    /// `model_type` of the configuration.
    pub family: &'static str,
    /// What it computes.
    pub spec: ModelSpec,
    /// Where a checkpoint keeps its tensors.
    pub tensors: TensorTable,
    /// The dtype that the configuration declares (`dtype` or `torch_dtype`); what counts is the
    /// tensors' own.
    pub dtype: Option<String>,
    /// What a user should know: settings of the checkpoint that have no effect here.
    pub notes: Vec<String>,
}

/// The model that a `config.json` describes, in either dialect of transformers (4 or 5).
///
/// # Errors
/// [`Error::UnsupportedFamily`] for a `model_type` without a table, [`Error::UnsupportedOption`] for
/// an option that the block cannot express, [`Error::MissingField`] and [`Error::BadField`] for
/// fields that are absent, of the wrong type or absurd.
pub fn read(config: &Value) -> Result<Model, Error> {
    let fields = config.as_object().ok_or(Error::NotAnObject { found: kind(config) })?;
    let names = || FAMILIES.iter().map(|(name, ..)| *name);
    let Some(model_type) = fields.get("model_type").filter(|value| !value.is_null()) else {
        return Err(Error::NoModelType { supported: names().collect() });
    };
    let model_type = model_type.as_str().map_or_else(|| shortened(model_type), str::to_owned);
    let Some((family, _, read)) = FAMILIES.iter().find(|(name, ..)| *name == model_type) else {
        return Err(Error::UnsupportedFamily {
            later: LATER.contains(&model_type.as_str()),
            supported: names().collect(),
            did_you_mean: did_you_mean(&model_type, names()),
            model_type: shortened(&Value::String(model_type)),
        });
    };
    if let Some(quantized) = fields.get("quantization_config").filter(|value| !value.is_null()) {
        let expected = "a checkpoint of plain f32, f16 or bf16 weights";
        return Err(Family(family).refuse("quantization_config", &shortened(quantized), expected));
    }
    let (spec, tensors) = read(config)?;
    let dtype = ["dtype", "torch_dtype"].into_iter().find_map(|key| fields.get(key)?.as_str());
    let notes = if spec.causal { dropped(fields) } else { Vec::new() };
    Ok(Model { family, spec, tensors, dtype: dtype.map(str::to_owned), notes })
}

/// Model types that can be read, each with what it is.
pub fn supported() -> &'static [(&'static str, &'static str)] {
    const LIST: [(&str, &str); FAMILIES.len()] = {
        let mut list = [("", ""); FAMILIES.len()];
        let mut i = 0;
        while i < list.len() {
            list[i] = (FAMILIES[i].0, FAMILIES[i].1);
            i += 1;
        }
        list
    };
    &LIST
}

type Read = fn(&Value) -> Result<Described, Error>;

const FAMILIES: [(&str, &str, Read); 25] = [
    ("llama", "Llama 2 and 3, SmolLM2", llama::read),
    ("mistral", "Mistral 7B, Mistral-Nemo", mistral::read),
    ("mixtral", "Mixtral (mixture of experts)", mixtral::read),
    ("qwen2", "Qwen2, Qwen2.5", qwen2::read),
    ("qwen3", "Qwen3", qwen3::read),
    ("gemma", "Gemma", gemma::read),
    ("gemma2", "Gemma 2", gemma2::read),
    ("gemma3_text", "Gemma 3 (language models)", gemma3::read),
    ("phi3", "Phi-3, Phi-3.5, Phi-4 mini", phi3::read),
    ("falcon", "Falcon 7B, 11B, 40B, RW", falcon::read),
    ("gpt_neox", "GPT-NeoX, Pythia", gpt_neox::read),
    ("gpt2", "GPT-2, DistilGPT2", gpt2::read),
    ("olmo2", "OLMo 2", olmo2::read),
    ("opt", "OPT", opt::read),
    ("bloom", "BLOOM", bloom::read),
    ("bert", "BERT (encoder)", bert::read),
    ("roberta", "RoBERTa (encoder)", roberta::read),
    ("xlm-roberta", "XLM-RoBERTa (encoder)", roberta::read_xlm),
    ("distilbert", "DistilBERT (encoder)", distilbert::read),
    ("electra", "ELECTRA (encoder)", electra::read),
    ("albert", "ALBERT (encoder)", albert::read),
    ("mpnet", "MPNet (encoder)", mpnet::read),
    ("modernbert", "ModernBERT (encoder)", modernbert::read),
    ("deberta", "DeBERTa (encoder)", deberta::read),
    ("deberta-v2", "DeBERTa V2 and V3 (encoder)", deberta_v2::read),
];

/// Encoder-decoder families, planned.
const LATER: [&str; 2] = ["t5", "bart"];

/// Dropout that a decoder's checkpoint asks for and that its layers do not get here.
fn dropped(fields: &serde_json::Map<String, Value>) -> Vec<String> {
    const KEYS: [&str; 8] = [
        "attention_dropout",
        "attn_pdrop",
        "hidden_dropout",
        "resid_pdrop",
        "embd_pdrop",
        "dropout",
        "activation_dropout",
        "layerdrop",
    ];
    let nonzero = |key: &&str| fields.get(*key).and_then(Value::as_f64).is_some_and(|p| p != 0.0);
    KEYS.iter()
        .filter(|key| nonzero(key))
        .map(|key| {
            format!("`{key}` of the checkpoint has no effect: a decoder's layers are used without dropout")
        })
        .collect()
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_has_no_table_is_refused_by_name() {
        let error = read(&json!({"model_type": "t5"})).expect_err("no table");
        assert!(
            error.to_string().starts_with("model type `t5` is not supported yet, expected one of `llama`")
        );
        let error = read(&json!({"model_type": "gemma3"})).expect_err("no table");
        assert!(matches!(error, Error::UnsupportedFamily { later: false, did_you_mean: Some(_), .. }));
        assert!(matches!(read(&json!([])), Err(Error::NotAnObject { found: "a list" })));
        assert!(matches!(read(&json!({})), Err(Error::NoModelType { .. })));
        assert!(matches!(read(&json!({"model_type": 3})), Err(Error::UnsupportedFamily { .. })));
    }

    #[test]
    fn every_family_is_listed_once() {
        let mut names: Vec<_> = supported().iter().map(|(name, _)| *name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), FAMILIES.len());
    }
}
