//! `layers` and `train`: a study, and how it is run.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::study::{StudyArgs, SweepArgs};
use super::words::{whole, word};
use crate::runs::Control;
use crate::sweep::Oom;
use crate::sweep::screen::Screen;

const RUNNING: &str = "Running";

const LAYERS_EXAMPLES: &str = "\
Examples:
  pifi-probe layers --llm demo
  pifi-probe layers --llm llama3-8b --slm bert-base --task sst2 --eval cr,mr --dry-run
  pifi-probe layers --llm qwen2-0.5b --layers every:4 --seeds 5 --train plug
  pifi-probe layers --llm ./my-llm --slm minilm --task reviews=reviews.csv --save best

The same command again goes on where it stopped and skips what is done.";

const TRAIN_EXAMPLES: &str = "\
Examples:
  pifi-probe train --llm demo --layer 3 --seed 0
  pifi-probe train --llm llama3-8b --task cola --layer -1 --save best
  pifi-probe train --llm llama3-8b --task cola --control base";

#[derive(Args, Clone, Debug)]
#[command(before_long_help = LAYERS_EXAMPLES)]
pub(crate) struct LayersArgs {
    #[command(flatten)]
    pub(crate) study: StudyArgs,
    #[command(flatten)]
    pub(crate) sweep: SweepArgs,
    #[command(flatten)]
    pub(crate) engine: EngineArgs,
    /// Screen the layers first and train only the best of them in full, with controls and the last
    ///
    /// score: by scores of the LLM's own hidden states of 2,000 training texts, without training.
    /// plug: over a frozen encoder. halving: for one epoch, the better ones for more; every round
    /// starts anew. The report lists pruned layers apart, and what they would have shown where they
    /// were trained in full too.
    #[arg(long, value_name = "SCREEN", default_value = "none", value_parser = word!(Screen), help_heading = RUNNING)]
    pub(crate) screen: Screen,
    /// Layers that a screen leaves for the full training, the last one apart
    #[arg(long, value_name = "K", default_value_t = 4, help_heading = RUNNING)]
    pub(crate) keep: usize,
    /// Print the plan and start nothing: cells, bytes, memory, time, what could be detected
    /// [default: off]
    #[arg(long, visible_alias = "plan", help_heading = RUNNING)]
    pub(crate) dry_run: bool,
    /// Name of the study's directory below `--out`; the same name is the same study
    /// [default: made of the models and the task]
    #[arg(long = "study", value_name = "NAME", help_heading = RUNNING)]
    pub(crate) name: Option<String>,
}

#[derive(Args, Clone, Debug)]
#[command(before_long_help = TRAIN_EXAMPLES)]
pub(crate) struct TrainArgs {
    #[command(flatten)]
    pub(crate) study: StudyArgs,
    #[command(flatten)]
    pub(crate) engine: EngineArgs,
    #[command(flatten)]
    pub(crate) condition: ConditionArgs,
    /// The seed
    #[arg(long, value_name = "SEED", default_value_t = 0, value_parser = whole::<u64>, allow_negative_numbers = true, help_heading = "Models and task")]
    pub(crate) seed: u64,
}

#[derive(Args, Clone, Debug)]
#[group(required = true, multiple = false)]
pub(crate) struct ConditionArgs {
    /// The layer, from 0; -1 is the last [default: none, one of `--layer` and `--control` is needed]
    #[arg(long, value_name = "N", allow_hyphen_values = true, help_heading = "Models and task")]
    pub(crate) layer: Option<i64>,
    /// A control in the layer's place [default: none]
    #[arg(long, value_name = "CONTROL", value_parser = word!(Control), help_heading = "Models and task")]
    pub(crate) control: Option<Control>,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct EngineArgs {
    /// Directory of all outputs: runs, and one directory a study
    #[arg(long, value_name = "DIR", default_value = "outputs", help_heading = RUNNING)]
    pub(crate) out: PathBuf,
    /// Cells that train at the same time, each in a process of its own; one a core with the demo
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = whole::<usize>, allow_negative_numbers = true, help_heading = RUNNING)]
    pub(crate) jobs: usize,
    /// Remove a fetched layer as soon as no cell needs it [default: off]
    #[arg(long, help_heading = RUNNING)]
    pub(crate) evict: bool,
    /// End at the first failed cell instead of going on with the others [default: off]
    #[arg(long, help_heading = RUNNING)]
    pub(crate) fail_fast: bool,
    /// Try a failed cell this often again; a divergence is never tried again
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = whole::<u32>, allow_negative_numbers = true, help_heading = RUNNING)]
    pub(crate) retries: u32,
    /// What to do when cells do not fit into memory: refuse, or take fewer and smaller stacks
    #[arg(long, value_name = "RULE", default_value = "fail", value_parser = word!(Oom), help_heading = RUNNING)]
    pub(crate) oom: Oom,
    /// Ask nothing before a long sweep [default: off]
    #[arg(short, long, help_heading = RUNNING)]
    pub(crate) yes: bool,
    /// Stop at a checkpoint after this time, exit 75: `3h55m`, `90s`, `2h` [default: none]
    #[arg(long, value_name = "TIME", value_parser = time, help_heading = RUNNING)]
    pub(crate) time_limit: Option<Duration>,
    /// Print the study in full with the origin of every value, and start nothing [default: off]
    #[arg(long, help_heading = RUNNING)]
    pub(crate) print_config: bool,
}

/// `3h55m`, `2h`, `90m`, `30s`, or a number of seconds.
pub(super) fn time(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is no time: expected one such as `3h55m`, `90s` or `2h`");
    let (mut total, mut number, mut parts) = (0_u64, String::new(), 0);
    for letter in text.trim().chars() {
        let unit = match letter {
            '0'..='9' => {
                number.push(letter);
                continue;
            }
            'd' => 86_400,
            'h' => 3600,
            'm' => 60,
            's' => 1,
            _ => return Err(wrong()),
        };
        let count: u64 = number.parse().map_err(|_| wrong())?;
        total = count.checked_mul(unit).and_then(|seconds| total.checked_add(seconds)).ok_or_else(wrong)?;
        number.clear();
        parts += 1;
    }
    if !number.is_empty() {
        if parts > 0 {
            return Err(wrong());
        }
        total = number.parse().map_err(|_| wrong())?;
    }
    if total == 0 { Err(wrong()) } else { Ok(Duration::from_secs(total)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_and_what_is_none_is_refused() {
        assert_eq!(time("3h55m"), Ok(Duration::from_secs(14_100)));
        assert_eq!(time("90"), Ok(Duration::from_secs(90)));
        assert_eq!(time("1d"), Ok(Duration::from_secs(86_400)));
        for wrong in ["", "0s", "h", "3x", "3h5", "-1h", "99999999999999999999d"] {
            assert!(time(wrong).is_err(), "{wrong}");
        }
    }
}
