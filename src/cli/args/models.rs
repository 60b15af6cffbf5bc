//! `inspect` and `fetch`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

const INSPECT_EXAMPLES: &str = "\
Examples:
  pifi-probe inspect llama3-8b
  pifi-probe inspect ./my-model --json
  pifi-probe inspect org/name@v1.0";

const FETCH_EXAMPLES: &str = "\
Examples:
  pifi-probe fetch llama3-8b --layers 0,8,16-31,-1
  pifi-probe fetch qwen2-0.5b --scope sequence --export ./qwen-layers";

#[derive(Args, Clone, Debug)]
#[command(before_long_help = INSPECT_EXAMPLES)]
pub(crate) struct InspectArgs {
    /// `demo`, an alias, a Hub id (`org/name`, `@revision` after it), or a local directory
    #[arg(value_name = "MODEL")]
    pub(crate) model: String,
    /// Commit, branch or tag [default: main]
    #[arg(long, value_name = "REVISION")]
    pub(crate) revision: Option<String>,
    /// List every tensor [default: off]
    #[arg(long)]
    pub(crate) tensors: bool,
}

#[derive(Args, Clone, Debug)]
#[command(before_long_help = FETCH_EXAMPLES)]
pub(crate) struct FetchArgs {
    /// `demo`, an alias, a Hub id (`org/name`, `@revision` after it), or a local directory
    #[arg(value_name = "MODEL")]
    pub(crate) model: String,
    /// The layers: `all`, `0,4,8`, `8-16`, `-1` for the last, `every:4`
    #[arg(long, value_name = "LAYERS", default_value = "all", allow_hyphen_values = true)]
    pub(crate) layers: String,
    /// What the layers are for: a pooled plug needs no queries and keys, a sequence everything
    #[arg(long, value_name = "SCOPE", default_value = "pooled")]
    pub(crate) scope: ScopeWord,
    /// Write the layers to a directory that works as a model without a network [default: none]
    #[arg(long, value_name = "DIR")]
    pub(crate) export: Option<PathBuf>,
    /// Commit, branch or tag [default: main]
    #[arg(long, value_name = "REVISION")]
    pub(crate) revision: Option<String>,
}

/// What fetched layers are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ScopeWord {
    /// One token: no queries, no keys
    Pooled,
    /// All tokens: the whole layer
    Sequence,
}
