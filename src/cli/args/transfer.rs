//! `transfer`: training on each of several tasks, testing on all of them.

use clap::Args;

use super::study::{StudyArgs, SweepArgs};
use super::sweep::EngineArgs;

const RUNNING: &str = "Running";

const TRANSFER_EXAMPLES: &str = "\
Examples:
  pifi-probe transfer --llm demo
  pifi-probe transfer --llm llama3-8b --slm bert-base --train-on imdb,tweet_sentiment_binary,cr
  pifi-probe transfer --llm qwen2-0.5b --train-on sst2,mine=reviews.csv --eval mr --layers every:4

Every task of --train-on is a study of its own, below `--out`; runs that they and `layers` have in
common are trained once. The same command again goes on where it stopped. The report tests the mean
ranks of three or more conditions over the pairs of domains (Friedman, Iman-Davenport, Nemenyi; more
than ten with Holm against no plug) and gives gains without texts of the training set.";

#[derive(Args, Clone, Debug)]
#[command(before_long_help = TRANSFER_EXAMPLES)]
pub(crate) struct TransferArgs {
    #[command(flatten)]
    pub(crate) study: StudyArgs,
    #[command(flatten)]
    pub(crate) sweep: SweepArgs,
    #[command(flatten)]
    pub(crate) engine: EngineArgs,
    /// The tasks to train on, each in turn; every run is tested on all of them and on those of
    /// `--eval`, where the classes are the same [default: the demo domains with `--llm demo`]
    #[arg(long, value_name = "TASKS", value_delimiter = ',', help_heading = "Models and task")]
    pub(crate) train_on: Vec<String>,
    /// Print the plans and start nothing [default: off]
    #[arg(long, visible_alias = "plan", help_heading = RUNNING)]
    pub(crate) dry_run: bool,
    /// Name of the report's directory below `--out`; each training task's study is named after it
    /// [default: made of the models]
    #[arg(long = "study", value_name = "NAME", help_heading = RUNNING)]
    pub(crate) name: Option<String>,
}
