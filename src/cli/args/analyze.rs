//! `analyze`: all studies of an analysis folder and one table over them.

use std::path::PathBuf;

use clap::Args;

use super::sweep::EngineArgs;

const ANALYZE_EXAMPLES: &str = "\
Examples:
  pifi-probe analyze analyses/01-layer-choice --demo        try the question offline, on demo models
  pifi-probe analyze analyses/03-domain-generalisation --dry-run
  pifi-probe analyze analyses/03-domain-generalisation --evict

Every study has a directory below `--out` with a report of its own; the summary stands in the one
named after the folder. The same command again goes on where it stopped.";

#[derive(Args, Clone, Debug)]
#[command(before_long_help = ANALYZE_EXAMPLES)]
pub(crate) struct AnalyzeArgs {
    /// The analysis: a directory with a `study.toml`
    #[arg(value_name = "DIR")]
    pub(crate) folder: PathBuf,
    #[command(flatten)]
    pub(crate) engine: EngineArgs,
    /// Run the demo variant: embedded models and texts, no network [default: off]
    #[arg(long)]
    pub(crate) demo: bool,
    /// Print the plans of all studies and start nothing [default: off]
    #[arg(long, visible_alias = "plan")]
    pub(crate) dry_run: bool,
}
