//! `man`: manual pages from the same definition as the help.

use std::path::Path;

use clap::{Command, CommandFactory};

use super::super::Context;
use super::super::args::{Cli, ManArgs};
use super::super::error::Error;
use super::super::text;
use crate::error::Failure;

/// Prints the main page, or writes one page a command.
///
/// # Errors
/// A directory that cannot be written.
pub(crate) fn run(args: &ManArgs, context: &Context) -> Result<(), Failure> {
    let mut command = Cli::command();
    command.build();
    let Some(folder) = &args.out else {
        return context.output.data(&page(&command, "pifi-probe")?);
    };
    let unwritable = |cause| Error::Unwritable { path: folder.clone(), cause };
    std::fs::create_dir_all(folder).map_err(unwritable)?;
    let written = write(&command, "pifi-probe", folder)?;
    context.output.say(&format!("wrote {} to `{}`", text::plural(written, "page"), folder.display()));
    Ok(())
}

/// Writes the page of a command and those below it; returns how many.
fn write(command: &Command, name: &str, folder: &Path) -> Result<usize, Failure> {
    let path = folder.join(format!("{name}.1"));
    let text = page(command, name)?;
    std::fs::write(&path, text).map_err(|cause| Error::Unwritable { path, cause })?;
    let mut written = 1;
    for below in command.get_subcommands().filter(|below| !below.is_hide_set() && below.get_name() != "help")
    {
        written += write(below, &format!("{name}-{}", below.get_name()), folder)?;
    }
    Ok(written)
}

fn page(command: &Command, name: &str) -> Result<String, Failure> {
    let mut text = Vec::new();
    // a page knows its command by one word
    let named = command.clone().name(name.to_owned());
    clap_mangen::Man::new(named).render(&mut text).map_err(Error::Output)?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}
