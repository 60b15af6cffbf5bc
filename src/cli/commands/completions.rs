//! `completions SHELL`.

use clap::CommandFactory;

use super::super::Context;
use super::super::args::{Cli, CompletionsArgs};
use crate::error::Failure;

/// Prints a shell's completion file, from the same definition as the help.
///
/// # Errors
/// When nobody reads it.
pub(crate) fn run(args: &CompletionsArgs, context: &Context) -> Result<(), Failure> {
    let mut file = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "pifi-probe", &mut file);
    context.output.data(&String::from_utf8_lossy(&file))
}
