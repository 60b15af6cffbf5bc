//! `represent`.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::models::pooling::Pooling;

const EXAMPLES: &str = "\
Examples:
  pifi-probe represent --llm llama3-8b --task sst2
  pifi-probe represent --slm bert-base --task sst2 --pool mean --limit 2000
  pifi-probe represent --run 3fa8 --task imdb --split validation
  pifi-probe represent --llm ./model --task mine=./reviews.csv --layers every:4

A command that was interrupted goes on with the layer that it stopped at when it is typed again, of a
run with the batch of texts.";

#[derive(Args, Clone, Debug)]
#[command(before_long_help = EXAMPLES)]
pub(crate) struct RepresentArgs {
    #[command(flatten)]
    pub(crate) source: SourceArgs,
    /// Of a run: before any training; needs no kept weights [default: after it]
    #[arg(long, conflicts_with_all = ["llm", "slm"])]
    pub(crate) before: bool,
    /// The task whose texts are read: a name, `name=path` of local data, or a task file (.toml)
    /// [default: sst2; `demo` with a model `demo`]
    #[arg(long, value_name = "TASK")]
    pub(crate) task: Option<String>,
    /// The split
    #[arg(long, value_name = "SPLIT", value_enum, default_value_t = SplitWord::Test)]
    pub(crate) split: SplitWord,
    /// Seed of splits that a task does not come with [default: 0; of a run, its study's]
    #[arg(long, value_name = "SEED")]
    pub(crate) split_seed: Option<u64>,
    /// Represent at most this many examples of the split [default: all]
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<NonZeroUsize>,
    /// From the tokens of a text to one row [default: last for a decoder, cls for an encoder]
    #[arg(long, value_name = "POOL", value_enum, conflicts_with = "run")]
    pub(crate) pool: Option<PoolWord>,
    /// Tokens a text is cut to, special ones included
    #[arg(long, value_name = "N", default_value = "100", conflicts_with = "run")]
    pub(crate) max_length: NonZeroUsize,
    /// Texts that pass a layer at once: memory against speed
    #[arg(long, value_name = "N", default_value = "32")]
    pub(crate) batch_size: NonZeroUsize,
    /// Where to compute: `auto`, `cpu` or `cuda:N`, with `/tf32` or `/bf16` behind it in that precision
    #[arg(long, value_name = "DEVICE", default_value = "auto", conflicts_with = "run")]
    pub(crate) device: String,
    /// The layers to keep: `all`, `0,4,8`, `8-16`, `-1` for the last, `every:4`
    #[arg(
        long,
        value_name = "LAYERS",
        default_value = "all",
        allow_hyphen_values = true,
        conflicts_with = "run"
    )]
    pub(crate) layers: String,
    /// Directory of all outputs
    #[arg(long, value_name = "DIR", default_value = "outputs")]
    pub(crate) out: PathBuf,
}

/// What is represented: one of the three.
#[derive(Args, Clone, Debug)]
#[group(required = true, multiple = false)]
pub(crate) struct SourceArgs {
    /// An LLM, layer by layer: `demo`, an alias, a Hub id, or a local directory
    #[arg(long, value_name = "MODEL")]
    pub(crate) llm: Option<String>,
    /// A small model, layer by layer
    #[arg(long, value_name = "MODEL")]
    pub(crate) slm: Option<String>,
    /// A run that kept its weights (`--save best`): what its plug is given, `L_in`, the layer, `L_out`
    #[arg(long, value_name = "RUN")]
    pub(crate) run: Option<String>,
}

/// A split.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum SplitWord {
    /// What weights learn from
    Train,
    /// What everything that chooses looks at
    Validation,
    /// What is reported
    Test,
}

impl SplitWord {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Validation => "validation",
            Self::Test => "test",
        }
    }
}

/// A pooling.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum PoolWord {
    /// The mean of a text's tokens
    Mean,
    /// The last token
    Last,
    /// The first token
    Cls,
}

impl PoolWord {
    pub(crate) fn pooling(self) -> Pooling {
        match self {
            Self::Mean => Pooling::Mean,
            Self::Last => Pooling::Last,
            Self::Cls => Pooling::Cls,
        }
    }
}
