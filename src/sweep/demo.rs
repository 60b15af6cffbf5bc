//! Makes the models of the demo: a small BERT and a small Llama, pre-trained from scratch on text of
//! the demo's grammar, written as ordinary Hugging Face checkpoints. What ships in the binary is
//! what [`build`] writes with [`Recipe::default`].

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use serde_json::{Value, json};

use super::HyperParameters;
use crate::data::demo;
use crate::data::encode::{Encoder, Options};
use crate::error::Failure;
use crate::hub::tensor::{Dtype, RawTensor};
use crate::hub::write_safetensors;
use crate::models::families;
use crate::models::language_model::LanguageModel;
use crate::runs::atomic;
use crate::seed::Seed;
use crate::train::pretrain::{Config, Objective, pretrain};
use crate::train::{Flow, Step};

/// Longest text of the demo's models, in tokens.
const MAX_LENGTH: usize = 64;

/// How many of the last steps [`Made::loss`] is the mean of.
const AVERAGED: usize = 100;

/// How the models are made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Recipe {
    /// Text, first values, order and hidden tokens follow from it.
    pub seed: Seed,
    /// Texts of the grammar to learn from.
    pub texts: usize,
    /// Texts a step.
    pub batch_size: usize,
    /// Steps of the small model.
    pub slm_steps: u64,
    /// Steps of the LLM.
    pub llm_steps: u64,
}

impl Default for Recipe {
    fn default() -> Self {
        Self { seed: Seed(2025), texts: 60_000, batch_size: 32, slm_steps: 16_000, llm_steps: 2500 }
    }
}

/// A model that was made.
#[derive(Clone, Debug, PartialEq)]
pub struct Made {
    /// Its folder, and the name it has once it is embedded.
    pub repository: &'static str,
    /// Trainable numbers.
    pub parameters: usize,
    /// Loss of the first step, nats a token.
    pub first_loss: f64,
    /// Mean loss of the last steps, nats a token.
    pub loss: f64,
}

/// How the demo's cells are trained by default: its models are so small that the published learning
/// rate would leave them where they are.
pub fn hyper_parameters() -> HyperParameters {
    HyperParameters {
        epochs: 4,
        batch_size: 32,
        max_length: MAX_LENGTH,
        learning_rate: 1e-3,
        ..HyperParameters::default()
    }
}

/// Pre-trains both models and writes each into a folder of its own below `out`: `config.json`,
/// `model.safetensors`, `tokenizer.json`, `tokenizer_config.json`. A folder is written once its model
/// is done. `observe` hears every step with the name of the model; its error ends the work.
///
/// The same recipe gives the same bytes on one kind of processor; the order of sums in a matrix
/// product differs between kinds.
///
/// # Errors
/// When a file cannot be written or training diverges; those of `observe`.
pub fn build(
    out: &Path,
    recipe: &Recipe,
    observe: &mut dyn FnMut(&'static str, &Step) -> Result<(), Failure>,
) -> Result<Vec<Made>, Failure> {
    let slm = Plan {
        repository: "demo-slm",
        config: bert(),
        dtype: Dtype::F32,
        objective: Objective::MaskedTokens { mask_id: MASK, special_ids: (PADDING..=MASK).collect() },
        steps: recipe.slm_steps,
    };
    let llm = Plan {
        repository: "demo-llm",
        config: llama(),
        dtype: Dtype::Bf16,
        objective: Objective::NextToken,
        steps: recipe.llm_steps,
    };
    let texts = demo::corpus(recipe.seed, recipe.texts);
    [slm, llm].iter().map(|plan| plan.make(out, recipe, &texts, observe)).collect()
}

/// Ids of the special tokens that the models' configurations name.
const PADDING: u32 = 0;
const BEGIN: u32 = 2;
const END: u32 = 3;
const MASK: u32 = 4;

fn bert() -> Value {
    json!({
        "architectures": ["BertModel"],
        "model_type": "bert",
        "vocab_size": demo::vocabulary().len(),
        "hidden_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 256,
        "hidden_act": "gelu",
        "hidden_dropout_prob": 0.1,
        "attention_probs_dropout_prob": 0.1,
        "max_position_embeddings": MAX_LENGTH,
        "type_vocab_size": 2,
        "layer_norm_eps": 1e-12,
        "initializer_range": 0.02,
        "pad_token_id": PADDING,
        "torch_dtype": "float32"
    })
}

fn llama() -> Value {
    json!({
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": demo::vocabulary().len(),
        "hidden_size": 128,
        "num_hidden_layers": 8,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 32,
        "intermediate_size": 256,
        "hidden_act": "silu",
        "max_position_embeddings": MAX_LENGTH,
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "rope_scaling": null,
        "attention_bias": false,
        "attention_dropout": 0.0,
        "mlp_bias": false,
        "initializer_range": 0.02,
        "tie_word_embeddings": true,
        "bos_token_id": BEGIN,
        "eos_token_id": END,
        "pad_token_id": PADDING,
        "torch_dtype": "bfloat16"
    })
}

fn tokenizer_config() -> Value {
    json!({
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": MAX_LENGTH,
        "do_lower_case": true,
        "pad_token": "[PAD]",
        "unk_token": "[UNK]",
        "cls_token": "[CLS]",
        "bos_token": "[CLS]",
        "sep_token": "[SEP]",
        "eos_token": "[SEP]",
        "mask_token": "[MASK]"
    })
}

/// One of the two models.
struct Plan {
    repository: &'static str,
    config: Value,
    /// What its weights are stored in.
    dtype: Dtype,
    objective: Objective,
    steps: u64,
}

impl Plan {
    fn make(
        &self,
        out: &Path,
        recipe: &Recipe,
        texts: &[String],
        observe: &mut dyn FnMut(&'static str, &Step) -> Result<(), Failure>,
    ) -> Result<Made, Failure> {
        let model = families::read(&self.config)?;
        let vocabulary = model.spec.embeddings.vocab_size;
        let options = Options { max_length: MAX_LENGTH, vocab_size: vocabulary, type_vocab_size: 2 };
        let encoder = Encoder::from_bytes(demo::tokenizer_json().as_bytes(), None, None, options)?;
        let sequences = texts
            .iter()
            .map(|text| Ok(encoder.encode(text, None)?.ids))
            .collect::<Result<Vec<_>, Failure>>()?;

        let seed = recipe.seed.derive(self.repository);
        let mut learner = LanguageModel::new(&model, 1)?;
        let mut values = learner.arena();
        learner.initialise(&mut values, 0, seed.derive("init"));
        let config = Config::new(self.objective.clone(), vocabulary, self.steps, recipe.batch_size, seed);
        let mut losses = Vec::new();
        let values = pretrain(&config, &mut learner, values, &sequences, &mut |step| {
            losses.push(step.losses[0]);
            observe(self.repository, step)?;
            Ok(Flow::Continue)
        })?;

        let prefix = model.tensors.prefixes.first().copied().unwrap_or_default();
        let tensors: Vec<(String, RawTensor)> = learner
            .parameters()
            .export(&values, 0)
            .into_iter()
            .map(|(name, shape, numbers)| (format!("{prefix}{name}"), stored(self.dtype, shape, &numbers)))
            .collect();
        let folder = out.join(self.repository);
        let metadata = BTreeMap::from([("format".to_owned(), "pt".to_owned())]);
        write_safetensors(&folder.join("model.safetensors"), &tensors, &metadata)?;
        let files = [
            ("config.json", format!("{:#}\n", self.config)),
            ("tokenizer.json", demo::tokenizer_json()),
            ("tokenizer_config.json", format!("{:#}\n", tokenizer_config())),
        ];
        for (name, content) in files {
            atomic::replace(&folder.join(name), |file| file.write_all(content.as_bytes()))?;
        }
        let last = &losses[losses.len().saturating_sub(AVERAGED)..];
        Ok(Made {
            repository: self.repository,
            parameters: learner.parameters().layout().len(),
            first_loss: losses.first().copied().unwrap_or(f64::NAN),
            loss: last.iter().sum::<f64>() / last.len() as f64,
        })
    }
}

/// A tensor in the element type that it is stored in.
fn stored(dtype: Dtype, shape: Vec<usize>, numbers: &[f32]) -> RawTensor {
    let bytes = match dtype {
        Dtype::Bf16 => numbers.iter().flat_map(|&x| half::bf16::from_f32(x).to_le_bytes()).collect(),
        _ => numbers.iter().flat_map(|x| x.to_le_bytes()).collect(),
    };
    RawTensor { dtype, shape, rows: None, bytes }
}
