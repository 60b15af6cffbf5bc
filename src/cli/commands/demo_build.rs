//! `demo-build DIR`: the embedded models, made anew from generated text.

use super::super::args::DemoBuildArgs;
use super::super::{Context, signals};
use crate::error::Failure;
use crate::sweep::demo;

/// Pre-trains the demo models and writes them as files to embed.
///
/// # Errors
/// A directory that cannot be written; a stop.
pub(crate) fn run(args: &DemoBuildArgs, context: &Context) -> Result<(), Failure> {
    let stop = signals::listen();
    demo::build(&args.folder, &mut |line| context.output.say(line), &stop.level)?;
    stop.check()
}
