//! What was asked for, as a TOML file or by flags that build the same structure.
//!
//! ```toml
//! llm = "llama3-8b"
//! slm = "bert-base"
//! task = "sst2"
//! eval = ["cr", "mr"]
//! layers = "all"
//! seeds = 3
//! controls = ["base", "mappers", "random"]
//!
//! [hyper_parameters]
//! epochs = 3
//! ```

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::settings::{HyperParameters, Limits, Save, Seeds, Stack, TrainMode, WindowMode};
use super::{AsPublished, Error, Invalid, Mask, PlugMode, Pooling, Switches};
use crate::device::Choice;
use crate::error::did_you_mean;
use crate::runs::Control;

/// A declared set of cells.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Study {
    /// The LLM: alias, Hub id or directory.
    pub llm: String,
    /// The small model: alias, Hub id or directory.
    pub slm: String,
    /// The task trained on.
    pub task: String,
    /// Tasks evaluated on besides it.
    pub eval: Vec<String>,
    /// The layers in the syntax of the command line (`all`, `0,4,8`, `8-16`, `-1`, `every:4`); the
    /// last layer always joins them.
    pub layers: String,
    /// The seeds.
    pub seeds: Seeds,
    /// Cells that replace the layer.
    pub controls: Vec<Control>,
    /// What passes through the layer.
    pub plug: PlugMode,
    /// What a token of a sequence plug sees.
    pub mask: Mask,
    /// What becomes of sliding windows in a sequence plug.
    pub window: WindowMode,
    /// What trains.
    pub train: TrainMode,
    /// How a text becomes one vector; `cls` for encoders and `last` for decoders unless given.
    pub pooling: Option<Pooling>,
    /// How cells are trained.
    pub hyper_parameters: HyperParameters,
    /// Defects of the published code to reproduce.
    pub as_published: Switches,
    /// `auto`, `cpu` or `cuda:N`.
    pub device: String,
    /// Threads of a worker; all that the machine has, shared by the workers, unless given.
    pub threads: Option<usize>,
    /// Members trained together.
    pub stack: Stack,
    /// Which weights are kept.
    pub save: Save,
    /// Seed of the splits that a task does not come with, apart from the seeds of the runs.
    pub split_seed: u64,
    /// Caps for quick tries.
    pub limits: Limits,
}

impl Default for Study {
    fn default() -> Self {
        Self {
            llm: String::new(),
            slm: "bert-base".into(),
            task: "sst2".into(),
            eval: Vec::new(),
            layers: "all".into(),
            seeds: Seeds::Count(3),
            controls: vec![Control::Base, Control::Mappers, Control::Random],
            plug: PlugMode::Pooled,
            mask: Mask::Bidirectional,
            window: WindowMode::Ignore,
            train: TrainMode::Full,
            pooling: None,
            hyper_parameters: HyperParameters::default(),
            as_published: Switches::default(),
            device: "auto".into(),
            threads: None,
            stack: Stack::Members(1),
            save: Save::None,
            split_seed: 0,
            limits: Limits::default(),
        }
    }
}

/// A study whose values can be; had from [`Study::check`].
#[derive(Clone, Debug, PartialEq)]
pub struct CheckedStudy(Study);

impl CheckedStudy {
    /// The same with stacks of so many members.
    pub(super) fn with_stack(&self, members: usize) -> Self {
        Self(Study { stack: Stack::Members(members), ..self.0.clone() })
    }
}

impl std::ops::Deref for CheckedStudy {
    type Target = Study;

    fn deref(&self) -> &Study {
        &self.0
    }
}

impl Study {
    /// Reads a study file's text; `path` is for messages.
    ///
    /// # Errors
    /// [`Error::StudyFile`] with the place; an unknown key with the known one that it resembles.
    pub fn from_toml(text: &str, path: &Path) -> Result<Self, Error> {
        toml::from_str(text).map_err(|error| {
            let mut words = error.message().split('`').skip(1).step_by(2);
            let typed = words.next().filter(|_| error.message().starts_with("unknown field"));
            Error::StudyFile {
                path: path.to_path_buf(),
                meant: typed.and_then(|typed| did_you_mean(typed, words)).map(str::to_owned),
                message: error.to_string().trim_end().to_owned(),
            }
        })
    }

    /// The study as the text of a file; every value is written, so that the origin of none is left
    /// to defaults that may change.
    pub fn to_toml(&self) -> String {
        toml::to_string_pretty(self).expect("strings, numbers and lists of them are TOML")
    }

    /// Checks every value, and settles those that follow from others: the task itself is no
    /// foreign one, controls stand once and in their order, `all` published behaviours are those
    /// that apply, and the one called `mask` is a mask.
    ///
    /// # Errors
    /// [`Error::Invalid`] with all values that cannot be.
    pub fn check(mut self) -> Result<CheckedStudy, Error> {
        let mut invalid = Vec::new();
        self.check_words(&mut invalid);
        self.check_modes(&mut invalid);
        self.check_numbers(&mut invalid);
        if !invalid.is_empty() {
            return Err(Error::Invalid(invalid));
        }
        let home = self.task.clone();
        self.eval.retain(|task| *task != home);
        self.controls.sort_unstable();
        self.controls.dedup();
        let plug = self.plug;
        self.as_published = self.as_published.settle(|switch| without_effect(switch, plug).is_none());
        if self.as_published.has(AsPublished::Mask) {
            self.mask = Mask::AsPublished;
        }
        Ok(CheckedStudy(self))
    }

    fn check_words(&self, invalid: &mut Vec<Invalid>) {
        for (field, value, expected) in [
            ("llm", &self.llm, "an alias, a Hub id or a directory"),
            ("slm", &self.slm, "an alias, a Hub id or a directory"),
            ("task", &self.task, "a task of the catalogue or a local one"),
            ("layers", &self.layers, "`all`, indices, ranges or `every:N`"),
        ] {
            if value.trim().is_empty() {
                invalid.push(Invalid { field, value: value.clone(), expected, hint: None });
            }
        }
        if let Some(twice) = repeated(&self.eval) {
            let expected = "every task once";
            invalid.push(Invalid { field: "eval", value: twice.clone(), expected, hint: None });
        }
        if self.device.parse::<Choice>().is_err() {
            let expected = "`auto`, `cpu` or `cuda:N`";
            invalid.push(Invalid { field: "device", value: self.device.clone(), expected, hint: None });
        }
        let seeds = self.seeds.list();
        if seeds.is_empty() || seeds.len() > 1000 || repeated(&seeds).is_some() {
            let expected = "1 to 1000 seeds, each once";
            invalid.push(Invalid { field: "seeds", value: self.seeds.to_string(), expected, hint: None });
        }
    }

    fn check_modes(&self, invalid: &mut Vec<Invalid>) {
        let sequence = Some("a pooled plug sees one token: ask for `--plug sequence`");
        if self.plug == PlugMode::Pooled && self.mask != Mask::Bidirectional {
            let (field, expected) =
                ("mask", "`bidirectional` with plug `pooled`, where no mask has an effect");
            invalid.push(Invalid { field, value: self.mask.to_string(), expected, hint: sequence });
        }
        if self.plug == PlugMode::Pooled && self.window != WindowMode::Ignore {
            let (field, expected) = ("window", "`ignore` with plug `pooled`, where no window has an effect");
            invalid.push(Invalid { field, value: self.window.to_string(), expected, hint: sequence });
        }
        for switch in self.as_published.named() {
            if let Some((expected, hint)) = without_effect(*switch, self.plug) {
                let value = switch.to_string();
                invalid.push(Invalid { field: "as_published", value, expected, hint: Some(hint) });
            }
        }
        if self.as_published.has(AsPublished::Mask) && self.mask == Mask::Causal {
            let (field, expected) = ("mask", "`as-published`, as `as_published` asks for");
            invalid.push(Invalid { field, value: self.mask.to_string(), expected, hint: None });
        }
        if self.train == TrainMode::Plug && self.plug == PlugMode::Sequence {
            invalid.push(Invalid {
                field: "train",
                value: self.train.to_string(),
                expected: "`full` with plug `sequence`",
                hint: Some("a screen caches one pooled vector a text: ask for `--plug pooled`"),
            });
        }
    }

    fn check_numbers(&self, invalid: &mut Vec<Invalid>) {
        let hyper = &self.hyper_parameters;
        let mut number = |field, value: f64, holds: bool, expected| {
            if !holds || !value.is_finite() {
                invalid.push(Invalid { field, value: value.to_string(), expected, hint: None });
            }
        };
        let share = |value: f64| (0.0..1.0).contains(&value);
        let rate = hyper.learning_rate;
        number("hyper_parameters.learning_rate", rate, rate > 0.0 && rate <= 1.0, "above 0, at most 1");
        number(
            "hyper_parameters.weight_decay",
            hyper.weight_decay,
            share(hyper.weight_decay),
            "0 to below 1",
        );
        number("hyper_parameters.warmup", hyper.warmup, share(hyper.warmup), "a share of the steps below 1");
        let smoothing = hyper.label_smoothing;
        number("hyper_parameters.label_smoothing", smoothing, share(smoothing), "0 to below 1");
        number("hyper_parameters.clip", hyper.clip, hyper.clip >= 0.0, "a norm, or 0 for no limit");
        number(
            "hyper_parameters.head_dropout",
            hyper.head_dropout,
            share(hyper.head_dropout),
            "0 to below 1",
        );

        let most = u32::try_from(hyper.epochs).is_ok();
        number("hyper_parameters.epochs", hyper.epochs as f64, most, "at most 4294967295");

        let mut count = |field, value: Option<usize>, least: usize, expected| {
            if let Some(value) = value.filter(|value| *value < least) {
                invalid.push(Invalid { field, value: value.to_string(), expected, hint: None });
            }
        };
        count("hyper_parameters.epochs", Some(hyper.epochs), 1, "at least 1");
        count("hyper_parameters.batch_size", Some(hyper.batch_size), 1, "at least 1");
        // two special tokens and one of the text
        count("hyper_parameters.max_length", Some(hyper.max_length), 3, "at least 3");
        count("stack", Some(self.stack.members()), 1, "at least 1");
        count("threads", self.threads, 1, "at least 1");
        count("limits.max_train_examples", self.limits.max_train_examples, 1, "at least 1");
        count("limits.max_eval_examples", self.limits.max_eval_examples, 1, "at least 1");
    }
}

/// Why a published behaviour changes nothing in a study, and what to do about it. Asked for by name
/// it is refused rather than ignored; `all` leaves it out.
fn without_effect(switch: AsPublished, plug: PlugMode) -> Option<(&'static str, &'static str)> {
    const ABSENT: &str = "leave it out; `all` takes the ones that apply";
    match switch {
        AsPublished::LossPadding | AsPublished::Rescale => Some((
            "one that applies: this one belongs to encoder-decoder models (T5, BART), which this version does \
             not train",
            ABSENT,
        )),
        AsPublished::SpanPadding => Some((
            "one that applies: this one belongs to tasks that mark a span, which this version does not train",
            ABSENT,
        )),
        AsPublished::Mask if plug == PlugMode::Pooled => Some((
            "one that applies: with plug `pooled` no mask has an effect",
            "a pooled plug sees one token: ask for `--plug sequence`",
        )),
        AsPublished::Mask | AsPublished::Metrics | AsPublished::DropLast | AsPublished::TestSplits => None,
    }
}

fn repeated<T: PartialEq>(items: &[T]) -> Option<&T> {
    items.iter().enumerate().find(|(at, item)| items[..*at].contains(item)).map(|(_, item)| item)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Category, Diagnose};

    fn study() -> Study {
        Study { llm: "demo".into(), ..Study::default() }
    }

    #[test]
    fn the_defaults_are_valid_and_a_file_reads_back() {
        study().check().expect("valid");
        let text = study().to_toml();
        assert_eq!(Study::from_toml(&text, Path::new("s.toml")).expect("reads"), study());
        let small = "llm = 'demo'\nplug = 'sequence'\nseeds = [42, 1004]\nas_published = ['all']\n\
                     [hyper_parameters]\nepochs = 1\n";
        let read = Study::from_toml(small, Path::new("s.toml")).expect("reads");
        assert_eq!((read.seeds.list().len(), read.hyper_parameters.epochs), (2, 1));
        assert_eq!(read.hyper_parameters.batch_size, 32);
        assert_eq!(read.check().expect("valid").mask, Mask::AsPublished);
    }

    #[test]
    fn an_unknown_key_and_an_unknown_word_are_named_with_their_place() {
        let error =
            Study::from_toml("llm = 'demo'\nlayer = '3'\n", Path::new("s.toml")).expect_err("unknown");
        assert!(error.to_string().contains("unknown field `layer`"), "{error}");
        assert!(error.to_string().contains("line 2"), "{error}");
        assert_eq!(error.hint().as_deref(), Some("did you mean `layers`?"));
        assert_eq!(error.category(), Category::Usage);
        let error = Study::from_toml("plug = 'polled'", Path::new("s.toml")).expect_err("unknown");
        assert!(
            error.to_string().contains("unknown plug `polled`: expected `pooled` or `sequence`"),
            "{error}"
        );
    }

    #[test]
    fn every_value_that_cannot_be_is_named_at_once() {
        let mut wrong = study();
        wrong.llm = " ".into();
        wrong.seeds = Seeds::List(vec![1, 1]);
        wrong.device = "gpu".into();
        wrong.mask = Mask::Causal;
        wrong.hyper_parameters.learning_rate = f64::NAN;
        wrong.hyper_parameters.epochs = 0;
        wrong.limits.max_eval_examples = Some(0);
        let Err(Error::Invalid(values)) = wrong.check() else { panic!("invalid") };
        let fields: Vec<&str> = values.iter().map(|value| value.field).collect();
        assert_eq!(
            fields,
            [
                "llm",
                "device",
                "seeds",
                "mask",
                "hyper_parameters.learning_rate",
                "hyper_parameters.epochs",
                "limits.max_eval_examples"
            ]
        );
        let text = Error::Invalid(values).to_string();
        assert!(text.contains("`device` is `gpu`: expected `auto`, `cpu` or `cuda:N`"), "{text}");
    }

    #[test]
    fn a_published_behaviour_without_effect_is_refused_by_name_and_left_out_of_all() {
        for (word, reason) in [
            ("rescale", "encoder-decoder"),
            ("loss-padding", "encoder-decoder"),
            ("span-padding", "span"),
            ("mask", "no mask has an effect"),
        ] {
            let asked = Study { as_published: word.parse().expect("a word"), ..study() };
            let error = asked.check().expect_err("no effect");
            assert!(error.to_string().contains(&format!("`as_published` is `{word}`")), "{error}");
            assert!(error.to_string().contains(reason), "{error}");
            assert_eq!(error.category(), Category::Usage);
        }
        let all = Study { as_published: "all".parse().expect("a word"), ..study() };
        let named = all.clone().check().expect("valid").as_published.named().clone();
        assert_eq!(
            named.into_iter().collect::<Vec<_>>(),
            [AsPublished::Metrics, AsPublished::DropLast, AsPublished::TestSplits]
        );
        let sequence = Study { plug: PlugMode::Sequence, ..all }.check().expect("valid");
        assert_eq!((sequence.mask, sequence.as_published.named().len()), (Mask::AsPublished, 4));
    }

    #[test]
    fn what_follows_from_other_values_is_settled() {
        let mut study = study();
        study.eval = vec!["cr".into(), "sst2".into()];
        study.controls = vec![Control::Random, Control::Base, Control::Random];
        let checked = study.check().expect("valid");
        assert_eq!(checked.eval, ["cr"]);
        assert_eq!(checked.controls, [Control::Base, Control::Random]);
    }
}
