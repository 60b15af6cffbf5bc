//! `runs`, `report` and `predict`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::words::word;
use crate::runs::view::Format;

#[derive(Args, Clone, Debug)]
pub(crate) struct RunsArgs {
    #[command(subcommand)]
    pub(crate) command: RunsCommand,
    /// Directory of all outputs
    #[arg(long, global = true, value_name = "DIR", default_value = "outputs")]
    pub(crate) out: PathBuf,
}

#[derive(Clone, Debug, Subcommand)]
pub(crate) enum RunsCommand {
    /// One line a run: what it was, what came out
    List(FormatArgs),
    /// One run in full
    Show {
        /// First characters of the run's id
        #[arg(value_name = "RUN")]
        run: String,
        #[command(flatten)]
        format: FormatArgs,
    },
    /// What two runs differ in
    Diff {
        /// First characters of one run's id
        #[arg(value_name = "RUN")]
        left: String,
        /// First characters of the other run's id
        #[arg(value_name = "OTHER")]
        right: String,
        #[command(flatten)]
        format: FormatArgs,
    },
    /// Every run and evaluated task with every column
    Export {
        /// How the table is written [default: by the ending of `--to`, else csv]
        #[arg(long, value_name = "FORMAT", value_parser = word!(Format))]
        format: Option<Format>,
        /// Write to this file [default: standard output]
        #[arg(long, value_name = "FILE")]
        to: Option<PathBuf>,
    },
}

#[derive(Args, Clone, Debug)]
pub(crate) struct FormatArgs {
    /// How the table is written; `--json` is short for json
    #[arg(long, value_name = "FORMAT", default_value = "table", value_parser = word!(Format))]
    pub(crate) format: Format,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct ReportArgs {
    /// The study's directory, or its name below `--out`
    #[arg(value_name = "DIR")]
    pub(crate) study: PathBuf,
    /// Directory of all outputs [default: the one that the study's directory stands in]
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
}

const PREDICT_EXAMPLES: &str = "\
Examples:
  pifi-probe predict --run 3fa8 reviews.txt
  echo 'a film that never finds its feet' | pifi-probe predict --run outputs/runs/3fa8c0d1

One text a line; a pair of texts is separated by a tab.";

#[derive(Args, Clone, Debug)]
#[command(before_long_help = PREDICT_EXAMPLES)]
pub(crate) struct PredictArgs {
    /// The run: its directory, or the first characters of its id; it must have been made with
    /// `--save best` or `--save all`
    #[arg(long, value_name = "RUN")]
    pub(crate) run: String,
    /// The texts, one a line; `-` is standard input
    #[arg(value_name = "FILE", default_value = "-")]
    pub(crate) input: PathBuf,
    /// Directory of all outputs
    #[arg(long, value_name = "DIR", default_value = "outputs")]
    pub(crate) out: PathBuf,
}
