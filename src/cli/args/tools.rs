//! `verify`, `completions`, `man`, `demo-models`, and the command that nobody types.

use std::path::PathBuf;

use clap::Args;
use clap_complete::Shell;

use crate::sweep::demo::Recipe;

#[derive(Args, Clone, Debug)]
pub(crate) struct VerifyArgs {
    /// Oracle directories, or directories of them
    #[arg(value_name = "DIR", required = true)]
    pub(crate) directories: Vec<PathBuf>,
    /// Fail on unsupported models too [default: off]
    #[arg(long)]
    pub(crate) strict: bool,
    /// Print the time and the loss of every recomputed training step [default: off]
    #[arg(long)]
    pub(crate) times: bool,
    /// Recompute training steps without their padding, as training does [default: off]
    #[arg(long, requires = "times")]
    pub(crate) packed: bool,
    /// Where to compute: `auto`, `cpu` or `cuda:N`, with `/tf32` or `/bf16` behind it in that precision
    #[arg(long, value_name = "DEVICE", default_value = "cpu")]
    pub(crate) device: String,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct CompletionsArgs {
    /// The shell
    #[arg(value_name = "SHELL")]
    pub(crate) shell: Shell,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct ManArgs {
    /// Write the pages of all commands to this directory [default: the main page to standard output]
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct DemoModelsArgs {
    /// Write the models to folders of this directory
    #[arg(value_name = "DIR")]
    pub(crate) out: PathBuf,
    /// Seed of text, first values, order and hidden tokens
    #[arg(long, value_name = "SEED", default_value_t = Recipe::default().seed.0)]
    pub(crate) seed: u64,
    /// Texts of the grammar to learn from
    #[arg(long, value_name = "N", default_value_t = Recipe::default().texts, value_parser = at_least_one)]
    pub(crate) texts: usize,
    /// Texts a step
    #[arg(long, value_name = "N", default_value_t = Recipe::default().batch_size, value_parser = at_least_one)]
    pub(crate) batch_size: usize,
    /// Steps of the small model
    #[arg(long, value_name = "N", default_value_t = Recipe::default().slm_steps)]
    pub(crate) slm_steps: u64,
    /// Steps of the LLM
    #[arg(long, value_name = "N", default_value_t = Recipe::default().llm_steps)]
    pub(crate) llm_steps: u64,
}

fn at_least_one(text: &str) -> Result<usize, String> {
    let number: usize = text.parse().map_err(|_| "expected a whole number".to_owned())?;
    if number == 0 { Err("expected at least 1".to_owned()) } else { Ok(number) }
}

#[derive(Args, Clone, Debug)]
pub(crate) struct WorkerArgs {
    /// The plan's file
    #[arg(long, value_name = "FILE")]
    pub(crate) plan: PathBuf,
    /// Ids of the cells to train
    #[arg(long, value_name = "IDS", value_delimiter = ',', required = true)]
    pub(crate) cells: Vec<String>,
}
