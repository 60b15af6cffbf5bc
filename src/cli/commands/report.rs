//! `report DIR`: a study's report, written anew from its runs.

use std::path::{Path, PathBuf};

use super::super::Context;
use super::super::args::ReportArgs;
use super::super::error::Error;
use super::super::run::write_report;
use super::super::transfer;
use crate::error::Failure;
use crate::runs::Store;
use crate::sweep::Plan;

/// Reads the study's plan and its runs, and writes figures, tables and pages.
///
/// # Errors
/// A directory that is no study; runs that cannot be compared; files that cannot be written.
pub(crate) fn run(args: &ReportArgs, context: &Context) -> Result<(), Failure> {
    let folder = existing(args);
    let parent = || folder.parent().filter(|parent| !parent.as_os_str().is_empty());
    let out = args.out.clone().or_else(|| parent().map(Path::to_owned)).unwrap_or_else(|| ".".into());
    let command = format!("pifi-probe report {}", folder.display());
    let plan = folder.join("plan.json");
    if !plan.is_file() && folder.join(transfer::FILE).is_file() {
        let members = transfer::Members::read(&folder)?;
        let plans = members.studies.iter().map(|study| Plan::read(&out.join(study).join("plan.json")));
        let plans = plans.collect::<Result<Vec<_>, _>>()?;
        return transfer::write_report(&plans, &out, &folder, &command, context).map(|_| ());
    }
    if !plan.is_file() {
        return Err(Error::NoStudy(folder).into());
    }
    let plan = Plan::read(&plan)?;
    write_report(&plan, &Store::at(&out), &folder, &command, context).map(|_| ())
}

/// The directory as typed, or below `--out` where only the study's name was typed.
fn existing(args: &ReportArgs) -> PathBuf {
    let below = args.out.clone().unwrap_or_else(|| "outputs".into()).join(&args.study);
    let named = |folder: &Path| ["plan.json", transfer::FILE].iter().any(|file| folder.join(file).is_file());
    if named(&args.study) || !below.is_dir() { args.study.clone() } else { below }
}
