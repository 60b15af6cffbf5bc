//! Flags that make a study. Each has the default of [`Study`]; what was typed counts more than a
//! study file, and a study file more than the defaults.

use std::path::PathBuf;

use clap::{ArgAction, Args};

use super::words::{real, whole, word};
use crate::device::Precision;
use crate::runs::Control;
use crate::sweep::{
    Mask, Optimizer, PlugMode, Pooling, Save, Seeds, Shape, Stack, Switches, TrainMode, WindowMode,
};

const MODELS: &str = "Models and task";
const PLUG: &str = "Plug";
const TRAINING: &str = "Training";

#[derive(Args, Clone, Debug)]
pub(crate) struct StudyArgs {
    #[command(flatten)]
    pub(crate) models: ModelArgs,
    #[command(flatten)]
    pub(crate) plug: PlugArgs,
    #[command(flatten)]
    pub(crate) training: TrainingArgs,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct ModelArgs {
    /// The LLM that layers are taken from: `demo`, an alias, a Hub id, or a local directory
    #[arg(long, value_name = "MODEL", help_heading = MODELS)]
    pub(crate) llm: Option<String>,
    /// The small model that a layer is plugged into; `demo` with `--llm demo`
    #[arg(long, value_name = "MODEL", default_value = "bert-base", help_heading = MODELS)]
    pub(crate) slm: String,
    /// The task to train on: a name, `name=path` of local data, or a task file (.toml)
    ///
    /// `demo` with `--llm demo`. Repeat it as `name=path` to define tasks that `--eval` names.
    #[arg(long, value_name = "TASK", default_value = "sst2", action = ArgAction::Append, help_heading = MODELS)]
    pub(crate) task: Vec<String>,
    /// Further tasks with the same labels to evaluate every cell on
    /// [default: none; the other demo domains with `--llm demo`]
    #[arg(long, value_name = "TASKS", value_delimiter = ',', help_heading = MODELS)]
    pub(crate) eval: Vec<String>,
    /// Commit, branch or tag of the LLM [default: main]
    #[arg(long, value_name = "REVISION", help_heading = MODELS)]
    pub(crate) revision: Option<String>,
    /// Commit, branch or tag of the small model [default: main]
    #[arg(long, value_name = "REVISION", help_heading = MODELS)]
    pub(crate) slm_revision: Option<String>,
    /// Seed of splits that a task does not come with, apart from the seeds of the runs
    #[arg(long, value_name = "SEED", default_value_t = 0, value_parser = whole::<u64>, allow_negative_numbers = true, help_heading = MODELS)]
    pub(crate) split_seed: u64,
    /// Train on at most this many examples, for a quick try [default: all]
    #[arg(long, value_name = "N", value_parser = whole::<usize>, allow_negative_numbers = true, help_heading = MODELS)]
    pub(crate) limit_train: Option<usize>,
    /// Evaluate on at most this many examples a split, for a quick try [default: all]
    #[arg(long, value_name = "N", value_parser = whole::<usize>, allow_negative_numbers = true, help_heading = MODELS)]
    pub(crate) limit_eval: Option<usize>,
    /// Read the study from a TOML file; flags count more [default: none]
    #[arg(long, value_name = "FILE", help_heading = MODELS)]
    pub(crate) config: Option<PathBuf>,
}

/// Flags of the sweep over layers and seeds, which a single cell does not have.
#[derive(Args, Clone, Debug)]
pub(crate) struct SweepArgs {
    /// The layers: `all`, `0,4,8`, `8-16`, `-1` for the last, `every:4`; the last always joins them
    #[arg(long, value_name = "LAYERS", default_value = "all", allow_hyphen_values = true, help_heading = MODELS)]
    pub(crate) layers: String,
    /// How many seeds, or which: `3`, or `42,1004`
    #[arg(long, value_name = "SEEDS", default_value = "3", allow_negative_numbers = true, help_heading = MODELS)]
    pub(crate) seeds: Seeds,
    /// Cells that replace the layer, to tell what a gain is due to; `none` for no control
    ///
    /// base: no plug. mappers: the two mappers alone. random: a layer with the last layer's shapes,
    /// drawn at random. mlp: a trainable network as large as the mappers. shuffled: the last layer
    /// with its elements permuted. trained: the last layer, trained with the rest instead of frozen.
    #[arg(long, value_name = "CONTROLS", default_value = "base,mappers,random", value_parser = controls, help_heading = MODELS)]
    pub(crate) controls: Controls,
}

/// A list of controls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Controls(pub(crate) Vec<Control>);

fn controls(text: &str) -> Result<Controls, String> {
    let words = text.split(',').map(str::trim).filter(|word| !word.is_empty() && *word != "none");
    let parsed = words.map(|word| match word.parse::<Control>() {
        Ok(control) => Ok(control),
        Err(error) => {
            let hint = crate::error::Diagnose::hint(&error).map(|hint| format!("; {hint}"));
            Err(format!("{error}, or `none`{}", hint.unwrap_or_default()))
        }
    });
    parsed.collect::<Result<_, _>>().map(Controls)
}

#[derive(Args, Clone, Debug)]
pub(crate) struct PlugArgs {
    /// What passes through the layer: one pooled token, as published, or the whole sequence
    #[arg(long, value_name = "MODE", default_value = "pooled", value_parser = word!(PlugMode), help_heading = PLUG)]
    pub(crate) plug: PlugMode,
    /// What a token sees in a sequence plug
    #[arg(long, value_name = "MASK", default_value = "bidirectional", value_parser = word!(Mask), help_heading = PLUG)]
    pub(crate) mask: Mask,
    /// Whether a sequence plug heeds the layer's sliding window
    #[arg(long, value_name = "WINDOW", default_value = "ignore", value_parser = word!(WindowMode), help_heading = PLUG)]
    pub(crate) window: WindowMode,
    /// What trains: everything but the layer, as published, or mappers and head on cached features
    #[arg(long, value_name = "MODE", default_value = "full", value_parser = word!(TrainMode), help_heading = PLUG)]
    pub(crate) train: TrainMode,
    /// How a text becomes one vector [default: cls for encoders, last for decoders]
    #[arg(long, value_name = "POOLING", value_parser = word!(Pooling), help_heading = PLUG)]
    pub(crate) pooling: Option<Pooling>,
    /// Reproduce defects of the published code, each by name, or `all` that apply
    ///
    /// metrics: means over batches. drop-last: the last short batch is dropped. mask: padding is
    /// attended by a sequence plug. test-splits: the splits of the published code, where a task has
    /// others by default (mnli). What belongs to models and tasks that this version does not train
    /// is refused by name: span-padding, loss-padding, rescale.
    #[arg(long, value_name = "LIST", default_value = "none", value_parser = switches, help_heading = PLUG)]
    pub(crate) as_published: Switches,
}

fn switches(text: &str) -> Result<Switches, String> {
    text.parse::<Switches>().map_err(|error| {
        let hint = crate::error::Diagnose::hint(&error).map(|hint| format!("; {hint}"));
        format!("{error}{}", hint.unwrap_or_default())
    })
}

#[derive(Args, Clone, Debug)]
pub(crate) struct TrainingArgs {
    /// Passes over the training split
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = whole::<usize>, allow_negative_numbers = true, help_heading = TRAINING)]
    pub(crate) epochs: usize,
    /// Examples a step
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = whole::<usize>, allow_negative_numbers = true, help_heading = TRAINING)]
    pub(crate) batch_size: usize,
    /// Tokens that a text is cut to, special ones included
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = whole::<usize>, allow_negative_numbers = true, help_heading = TRAINING)]
    pub(crate) max_length: usize,
    /// Peak learning rate
    #[arg(long, visible_alias = "lr", value_name = "RATE", default_value_t = 5e-5, value_parser = real, allow_negative_numbers = true, help_heading = TRAINING)]
    pub(crate) learning_rate: f64,
    /// The optimiser
    #[arg(long, value_name = "NAME", default_value = "adam", value_parser = word!(Optimizer), help_heading = TRAINING)]
    pub(crate) optimizer: Optimizer,
    /// Weight decay; part of the gradient with adam, decoupled with adamw
    #[arg(long, value_name = "DECAY", default_value_t = 0.0, value_parser = real, allow_negative_numbers = true, help_heading = TRAINING)]
    pub(crate) weight_decay: f64,
    /// Share of all steps over which the learning rate rises from zero
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, value_parser = real, allow_negative_numbers = true, help_heading = TRAINING)]
    pub(crate) warmup: f64,
    /// The learning rate after the warm-up
    #[arg(long, value_name = "SCHEDULE", default_value = "constant", value_parser = word!(Shape), help_heading = TRAINING)]
    pub(crate) schedule: Shape,
    /// Share of the target that is spread over all classes
    #[arg(long, value_name = "SHARE", default_value_t = 0.05, value_parser = real, allow_negative_numbers = true, help_heading = TRAINING)]
    pub(crate) label_smoothing: f64,
    /// Largest norm of the gradient; 0 for no limit
    #[arg(long, value_name = "NORM", default_value_t = 5.0, value_parser = real, allow_negative_numbers = true, help_heading = TRAINING)]
    pub(crate) clip: f64,
    /// Dropout of the head
    #[arg(long, value_name = "SHARE", default_value_t = 0.2, value_parser = real, allow_negative_numbers = true, help_heading = TRAINING)]
    pub(crate) head_dropout: f64,
    /// Where to compute: `auto`, `cpu` or `cuda:N`
    #[arg(long, value_name = "DEVICE", default_value = "auto", help_heading = TRAINING)]
    pub(crate) device: String,
    /// What the factors of matrix products are rounded to, sums and weights staying f32: `f32`, `tf32` (GPU)
    /// or `bf16` (GPU, or a CPU with AVX512-BF16); `--device cpu/bf16` says the same [default: f32]
    #[arg(long, value_name = "TYPE", value_parser = word!(Precision), help_heading = TRAINING)]
    pub(crate) precision: Option<Precision>,
    /// Cells of one seed that train together as one batched computation; `auto`: on a GPU as many as its
    /// memory holds, on a CPU one
    #[arg(long, value_name = "K", default_value_t = Stack::Members(1), allow_negative_numbers = true, help_heading = TRAINING)]
    pub(crate) stack: Stack,
    /// Which trained weights every run keeps
    #[arg(long, value_name = "WHICH", default_value = "none", value_parser = word!(Save), help_heading = TRAINING)]
    pub(crate) save: Save,
}
