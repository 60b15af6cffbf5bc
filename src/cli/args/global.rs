//! Flags of every command.

use std::path::PathBuf;

use clap::{Args, ColorChoice};

const HEADING: &str = "Global options";

#[derive(Args, Clone, Debug)]
pub(crate) struct Global {
    /// Print machine-readable JSON on standard output
    ///
    /// One document, or one event a line where a command takes its time; every object has a
    /// `schema_version`. Errors are objects too. [default: off]
    #[arg(long, global = true, help_heading = HEADING)]
    pub(crate) json: bool,
    /// Say nothing but results, warnings and errors [default: off]
    #[arg(short, long, global = true, conflicts_with = "verbose", help_heading = HEADING)]
    pub(crate) quiet: bool,
    /// Say more: every case, every file [default: off]
    #[arg(short, long, global = true, help_heading = HEADING)]
    pub(crate) verbose: bool,
    /// When to use colours; `NO_COLOR`, `CLICOLOR_FORCE` and `TERM=dumb` are heeded by `auto`
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto", help_heading = HEADING)]
    pub(crate) color: ColorChoice,
    /// Make no network request [default: off, or as HF_HUB_OFFLINE says]
    #[arg(long, global = true, help_heading = HEADING)]
    pub(crate) offline: bool,
    /// Read the Hub token from this file [default: HF_TOKEN, HF_TOKEN_PATH, then HF_HOME/token]
    #[arg(long, global = true, value_name = "FILE", help_heading = HEADING)]
    pub(crate) token_file: Option<PathBuf>,
    /// Threads of the computation, recorded with every run [default: one a core]
    #[arg(long, global = true, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024), help_heading = HEADING)]
    pub(crate) threads: Option<u16>,
    /// Append everything that is said to this file, with times [default: none]
    #[arg(long, global = true, value_name = "FILE", help_heading = HEADING)]
    pub(crate) log_file: Option<PathBuf>,
}
