//! `export`.

use std::path::PathBuf;

use clap::Args;

use super::words::word;
use crate::report::export::Target;

const EXAMPLES: &str = "\
Examples:
  pifi-probe export --to tensorboard && tensorboard --logdir outputs/tensorboard
  pifi-probe export demo --to mlflow --server http://127.0.0.1:5000
  pifi-probe export demo --to latex --file runs.tex

Only finished runs are exported. Doing it again adds what is new and leaves the rest alone.
A server of MLflow is given credentials by MLFLOW_TRACKING_TOKEN, or by MLFLOW_TRACKING_USERNAME and
MLFLOW_TRACKING_PASSWORD.";

#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ExportArgs {
    /// Runs of this study only: its directory, or its name below `--out` [default: all runs]
    #[arg(value_name = "STUDY")]
    pub(crate) study: Option<PathBuf>,
    /// What to write
    #[arg(long, value_name = "TARGET", value_parser = word!(Target))]
    pub(crate) to: Target,
    /// The file of csv, json and latex [default: standard output], or the directory of tensorboard
    /// [default: `tensorboard` below `--out`]
    #[arg(long, value_name = "PATH")]
    pub(crate) file: Option<PathBuf>,
    /// Address of the MLflow server [default: MLFLOW_TRACKING_URI, else http://127.0.0.1:5000]
    #[arg(long, value_name = "URL")]
    pub(crate) server: Option<String>,
    /// Name of the experiment in MLflow [default: MLFLOW_EXPERIMENT_NAME, else pifi-probe]
    #[arg(long, value_name = "NAME")]
    pub(crate) experiment: Option<String>,
    /// At most so many points of each training curve; 0 for all
    #[arg(long, value_name = "N", default_value_t = 1000)]
    pub(crate) points: usize,
    /// Directory of all outputs
    #[arg(long, value_name = "DIR", default_value = "outputs")]
    pub(crate) out: PathBuf,
}
