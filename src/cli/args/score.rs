//! `score`.

use std::path::PathBuf;

use clap::Args;
use clap::builder::PossibleValuesParser;

use super::words::word;
use crate::analysis::scores::TABLE;
use crate::analysis::scores::screen::USUAL;
use crate::runs::view::Format;

const EXAMPLES: &str = "\
Examples:
  pifi-probe score qwen2-0.5b:sst2:train
  pifi-probe score qwen2-0.5b:sst2:train --eval qwen2-0.5b:sst2:validation --scores logme,knn,probe
  pifi-probe score qwen2-0.5b:sst2:train --against qwen2-sst2     do the scores agree with training?
  pifi-probe score qwen2-0.5b:sst2:train --keep 6                 which layers to train first

Scores rank layers within one model and task. None works best everywhere: use several.";

#[derive(Args, Clone, Debug)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct ScoreArgs {
    /// Stored hidden states of training examples: a key, `model:task` or `model:task:split`
    #[arg(value_name = "REPRESENTATION", required_unless_present = "train")]
    pub(crate) representations: Vec<String>,
    /// The same, by name
    #[arg(long, value_name = "REPRESENTATION")]
    pub(crate) train: Vec<String>,
    /// Hidden states that probes are judged on, one for each REPRESENTATION [default: the stored
    /// validation split of the same model and task, where there is one]
    #[arg(long, value_name = "REPRESENTATION")]
    pub(crate) eval: Vec<String>,
    /// Scores to compute
    #[arg(
        long,
        value_name = "NAMES",
        value_delimiter = ',',
        default_value = USUAL,
        value_parser = PossibleValuesParser::new(TABLE.iter().map(|method| method.name))
    )]
    pub(crate) scores: Vec<String>,
    /// Print how far each score agrees with what this study's training found on validation: the
    /// study's directory, or its name below `--out` [default: none]
    #[arg(long, value_name = "STUDY")]
    pub(crate) against: Option<PathBuf>,
    /// Print which layers to keep by the mean rank of the scores, the last layer besides
    /// [default: none]
    #[arg(long, value_name = "COUNT")]
    pub(crate) keep: Option<usize>,
    /// Texts of the training examples, one a line in the order of the rows: adds a control task on
    /// the first words to the scores; needs `--eval-texts` [default: none]
    #[arg(long, value_name = "FILE", requires = "eval_texts")]
    pub(crate) texts: Option<PathBuf>,
    /// Texts of the evaluated examples, likewise [default: none]
    #[arg(long, value_name = "FILE", requires = "texts")]
    pub(crate) eval_texts: Option<PathBuf>,
    /// Decides every random choice
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    pub(crate) seed: u64,
    /// Name of the folder below `scores/` [default: model, task and key]
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// How the table is printed; `--json` is short for json
    #[arg(long, value_name = "FORMAT", default_value = "table", value_parser = word!(Format))]
    pub(crate) format: Format,
    /// Directory of all outputs
    #[arg(long, value_name = "DIR", default_value = "outputs")]
    pub(crate) out: PathBuf,
}
