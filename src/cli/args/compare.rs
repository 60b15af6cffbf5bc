//! `compare`.

use std::path::PathBuf;

use clap::Args;

use super::words::word;
use crate::runs::view::Format;

const EXAMPLES: &str = "\
Examples:
  pifi-probe compare 3fa8 91c2                             two runs
  pifi-probe compare --study outputs/my-study layer:3 last base
  pifi-probe compare --study outputs/my-study --against base --format markdown

Runs that differ in nothing but the seed are seeds of one condition. Runs of different tasks, label
spaces, data, selection protocols or published defects are named and not compared.
Three or more conditions on two or more data sets (trained on and tested on) are ranked besides:
Friedman's test with Iman-Davenport's F, mean ranks and Nemenyi's critical difference; more than ten
only each against a control with Holm's correction (--against; else the last layer, else no plug).
The best is given without what being picked as the best flatters; where texts stand in the training
set, the differences without them.";

#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct CompareArgs {
    /// Runs by the first characters of their ids, or conditions with all their seeds: `base`,
    /// `layer:3`, `last` [default: all of the study with `--study`]
    #[arg(value_name = "RUN")]
    pub(crate) runs: Vec<String>,
    /// The study that conditions are looked for in: its directory, or its name below `--out`
    /// [default: all runs of `--out`]
    #[arg(long, value_name = "DIR")]
    pub(crate) study: Option<PathBuf>,
    /// Compare everything with this run or condition alone [default: all pairs]
    #[arg(long, value_name = "RUN")]
    pub(crate) against: Option<String>,
    /// The evaluated task to compare on [default: the task that was trained on]
    #[arg(long, value_name = "TASK")]
    pub(crate) on: Option<String>,
    /// The split to compare on; choose on `validation`, claim on `test`
    #[arg(long, value_name = "SPLIT", default_value = "test", value_parser = ["test", "validation"])]
    pub(crate) split: String,
    /// Resamples of the bootstrap
    #[arg(long, value_name = "N", default_value_t = 5_000, value_parser = clap::value_parser!(u32).range(100..=1_000_000))]
    pub(crate) resamples: u32,
    /// Seed of everything that is drawn
    #[arg(long, value_name = "SEED", default_value_t = 0)]
    pub(crate) seed: u64,
    /// How tables are written; `--json` gives everything in one document
    #[arg(long, value_name = "FORMAT", default_value = "table", value_parser = word!(Format))]
    pub(crate) format: Format,
    /// Directory of all outputs
    #[arg(long, value_name = "DIR", default_value = "outputs")]
    pub(crate) out: PathBuf,
}
