//! Tasks on files, hostile files, and the tokenizers of the small models.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]

mod hostile;
mod tasks;
mod tokens;

use std::path::Path;

use pifi_probe::data::{self, Dataset, Error, Limits, SplitFiles};
use pifi_probe::seed::Seed;

/// Reads the task that a command line means, with split seed 1 and without limits.
fn load(argument: &str) -> Result<Dataset, Error> {
    data::load(&data::resolve(argument)?, &SplitFiles::new(), Seed(1), Limits::default())
}

/// `NAME=PATH`.
fn named(name: &str, path: &Path) -> String {
    format!("{name}={}", path.display())
}
