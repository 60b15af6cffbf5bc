//! `report DIR`: a study's report, written anew from its runs.

use std::path::{Path, PathBuf};

use super::super::Context;
use super::super::args::ReportArgs;
use super::super::error::Error;
use super::super::run::write_report;
use crate::error::Failure;
use crate::runs::Store;
use crate::sweep::Plan;

/// Reads the study's plan and its runs, and writes figures, tables and pages.
///
/// # Errors
/// A directory that is no study; runs that cannot be compared; files that cannot be written.
pub(crate) fn run(args: &ReportArgs, context: &Context) -> Result<(), Failure> {
    let folder = existing(args);
    if !folder.join("plan.json").is_file() {
        return Err(Error::NoStudy(folder).into());
    }
    let plan = Plan::read(&folder.join("plan.json"))?;
    let parent = || folder.parent().filter(|parent| !parent.as_os_str().is_empty());
    let out = args.out.clone().or_else(|| parent().map(Path::to_owned)).unwrap_or_else(|| ".".into());
    let command = format!("pifi-probe report {}", folder.display());
    write_report(&plan, &Store::at(&out), &folder, &command, context)
}

/// The directory as typed, or below `--out` where only the study's name was typed.
fn existing(args: &ReportArgs) -> PathBuf {
    let below = args.out.clone().unwrap_or_else(|| "outputs".into()).join(&args.study);
    if args.study.join("plan.json").is_file() || !below.is_dir() { args.study.clone() } else { below }
}
