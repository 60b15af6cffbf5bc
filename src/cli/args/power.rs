//! `power`.

use clap::Args;

use super::words::word;
use crate::runs::view::Format;

const EXAMPLES: &str = "\
Examples:
  pifi-probe power                                  SST-2 and IMDB, 1 to 10 seeds
  pifi-probe power --examples 872 --seeds 5 --difference 1
  pifi-probe power --discordance 12 --seed-deviation 0.8 --layers 28";

#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct PowerArgs {
    /// Examples of the test set, several separated by commas
    #[arg(long, value_name = "N", value_delimiter = ',', default_value = "872,1821,25000", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) examples: Vec<u32>,
    /// Seeds of each condition, several separated by commas
    #[arg(long, value_name = "N", value_delimiter = ',', default_value = "1,3,5,6,10", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) seeds: Vec<u32>,
    /// Differences to find, in points, several separated by commas
    #[arg(long, value_name = "POINTS", value_delimiter = ',', default_value = "0.5,1,2,5")]
    pub(crate) difference: Vec<f64>,
    /// Examples that are right in one condition and wrong in the other, in percent
    #[arg(long, value_name = "PERCENT", default_value_t = 10.0)]
    pub(crate) discordance: f64,
    /// Standard deviation of the difference over seeds, in points
    #[arg(long, value_name = "POINTS", default_value_t = 0.5)]
    pub(crate) seed_deviation: f64,
    /// Layers of the LLM that the best is picked of
    #[arg(long, value_name = "L", default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) layers: u32,
    /// Two-sided chance of a false claim
    #[arg(long, value_name = "P", default_value_t = 0.05)]
    pub(crate) alpha: f64,
    /// Chance of finding a difference that is there
    #[arg(long, value_name = "P", default_value_t = 0.8)]
    pub(crate) power: f64,
    /// How tables are written; `--json` gives everything in one document
    #[arg(long, value_name = "FORMAT", default_value = "table", value_parser = word!(Format))]
    pub(crate) format: Format,
}
