//! `verify`, `completions`, `man`, and the command that nobody types.

use std::path::PathBuf;

use clap::Args;
use clap_complete::Shell;

#[derive(Args, Clone, Debug)]
pub(crate) struct VerifyArgs {
    /// Oracle directories, or directories of them
    #[arg(value_name = "DIR", required = true)]
    pub(crate) directories: Vec<PathBuf>,
    /// Fail on unsupported models too [default: off]
    #[arg(long)]
    pub(crate) strict: bool,
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
pub(crate) struct WorkerArgs {
    /// The plan's file
    #[arg(long, value_name = "FILE")]
    pub(crate) plan: PathBuf,
    /// Ids of the cells to train
    #[arg(long, value_name = "IDS", value_delimiter = ',', required = true)]
    pub(crate) cells: Vec<String>,
}
