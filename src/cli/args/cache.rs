//! `cache ls|rm|verify`.

use clap::{Args, Subcommand};

#[derive(Args, Clone, Debug)]
pub(crate) struct CacheArgs {
    #[command(subcommand)]
    pub(crate) command: CacheCommand,
}

#[derive(Clone, Debug, Subcommand)]
pub(crate) enum CacheCommand {
    /// List the layers on this disk
    Ls,
    /// Remove layers from this disk; the Hub cache of other programs is not touched
    Rm(CacheRmArgs),
    /// Hash every layer and compare with what was fetched
    Verify,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct CacheRmArgs {
    /// Models whose layers are removed, as `cache ls` shows them
    #[arg(value_name = "MODEL")]
    pub(crate) models: Vec<String>,
    /// Remove all layers of all models [default: off]
    #[arg(long)]
    pub(crate) all: bool,
    /// Remove what is left of unfinished fetches, and damaged files [default: off]
    #[arg(long)]
    pub(crate) unfinished: bool,
    /// Show what would be removed and remove nothing [default: off]
    #[arg(long)]
    pub(crate) dry_run: bool,
}
