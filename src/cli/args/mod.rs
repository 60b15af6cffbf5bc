//! What can be typed: one structure a group of flags, every flag with its help.

mod analyze;
mod cache;
mod compare;
mod export;
mod global;
mod models;
mod power;
mod represent;
mod runs;
mod score;
mod similarity;
mod study;
mod sweep;
mod tools;
mod transfer;
mod words;

use clap::{Parser, Subcommand};

pub(crate) use analyze::AnalyzeArgs;
pub(crate) use cache::{CacheArgs, CacheCommand};
pub(crate) use compare::CompareArgs;
pub(crate) use export::ExportArgs;
pub(crate) use global::Global;
pub(crate) use models::{FetchArgs, InspectArgs, ScopeWord};
pub(crate) use power::PowerArgs;
pub(crate) use represent::{PoolWord, RepresentArgs};
pub(crate) use runs::{PredictArgs, ReportArgs, RunsArgs, RunsCommand};
pub(crate) use score::ScoreArgs;
pub(crate) use similarity::SimilarityArgs;
pub(crate) use study::{StudyArgs, SweepArgs};
pub(crate) use sweep::{EngineArgs, LayersArgs, TrainArgs};
pub(crate) use tools::{CompletionsArgs, DemoModelsArgs, ManArgs, VerifyArgs, WorkerArgs};
pub(crate) use transfer::TransferArgs;

const EXAMPLES: &str = "\
Examples:
  pifi-probe layers --llm demo                    the whole job on embedded data, no network
  pifi-probe layers --llm llama3-8b --dry-run     what it would cost, before anything starts
  pifi-probe inspect qwen2-0.5b                   read headers only: is it supported, how large is a layer
  pifi-probe runs list                            what has been trained so far

Exit codes:
  0 done, 1 error, 2 wrong usage, 3 finished with failed cells, 4 authentication or gated model,
  5 offline and not in the cache, 75 stopped at a checkpoint (run again), 130 interrupted";

/// Which layer of which LLM should be plugged into a small model, is the gain real, and does it
/// carry over to other domains?
#[derive(Debug, Parser)]
#[command(
    name = "pifi-probe",
    version,
    help_expected = true,
    after_help = EXAMPLES,
    subcommand_required = true,
    arg_required_else_help = true,
    max_term_width = 100
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Plug every layer of an LLM into a small model, train, compare, report
    Layers(Box<LayersArgs>),
    /// Train on each of several tasks, test on all: does the gain carry over?
    Transfer(Box<TransferArgs>),
    /// Run all studies of an analysis folder, from start to one table
    Analyze(AnalyzeArgs),
    /// Train a single cell: one layer or control with one seed
    Train(Box<TrainArgs>),
    /// Use a trained model on new text
    Predict(PredictArgs),
    /// Read a model's headers: is it supported, how large is a layer
    Inspect(InspectArgs),
    /// Fetch single layers of a model by byte ranges
    Fetch(FetchArgs),
    /// Compute hidden states of a task's texts, layer by layer
    Represent(RepresentArgs),
    /// List, show, compare and export finished runs
    Runs(RunsArgs),
    /// Compare finished runs or conditions in pairs: differences, intervals, tests
    Compare(CompareArgs),
    /// What a study of so many seeds and examples can show
    Power(PowerArgs),
    /// Score every layer of stored hidden states without training
    Score(Box<ScoreArgs>),
    /// Write a study's report anew from its runs
    Report(ReportArgs),
    /// Compare layers by their stored hidden states: CKA, RSA, shared neighbours and more
    Similarity(SimilarityArgs),
    /// Write finished runs for MLflow, TensorBoard, CSV, JSON or LaTeX
    Export(ExportArgs),
    /// Recompute reference outputs of transformers and compare
    Verify(VerifyArgs),
    /// Recompute published vectors of every measure and test
    Selftest,
    /// Show what this machine and this build can do
    Doctor,
    /// Look after the layers on this disk
    Cache(CacheArgs),
    /// Print a shell's completion file
    Completions(CompletionsArgs),
    /// Print the manual page, or write the pages of all commands
    Man(ManArgs),
    /// Pre-train the models of the demo anew from the grammar's text
    #[command(hide = true)]
    DemoModels(DemoModelsArgs),
    /// Train cells of a plan; started by `layers`
    #[command(hide = true)]
    Worker(WorkerArgs),
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_is_consistent_and_every_flag_has_help() {
        Cli::command().debug_assert();
    }
}
