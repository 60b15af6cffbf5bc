//! From flags, a study file and defaults to a [`Study`], with the origin of every value.

use std::collections::BTreeMap;
use std::path::Path;

use clap::ArgMatches;
use clap::parser::ValueSource;

use super::args::StudyArgs;
use super::error::Error;
use crate::device;
use crate::error::Failure;
use crate::hub::DEMO;
use crate::sweep::collection::Collection;
use crate::sweep::{self, Study};

/// Tasks that the demo is evaluated on besides its own.
const DEMO_EVAL: [&str; 2] = ["demo_gadgets", "demo_hotels"];

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Origin {
    /// Typed.
    Flag,
    /// The study file.
    File,
    /// What goes with the demo models.
    Demo,
    /// Neither.
    Default,
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Flag => "flag",
            Self::File => "study file",
            Self::Demo => "demo",
            Self::Default => "default",
        })
    }
}

/// A study in the making.
pub(crate) struct Builder<'a> {
    /// The study so far.
    pub(crate) study: Study,
    /// Where its values come from, by their keys in a study file.
    pub(crate) origins: BTreeMap<&'static str, Origin>,
    file: toml::Table,
    typed: &'a ArgMatches,
}

impl<'a> Builder<'a> {
    /// Reads the study file, if one was named, and takes every flag that was typed.
    ///
    /// # Errors
    /// A study file that cannot be read, an LLM that nobody named, tasks that contradict each other.
    pub(crate) fn new(args: &StudyArgs, typed: &'a ArgMatches) -> Result<Self, Failure> {
        let (study, file) = match &args.models.config {
            Some(path) => read(path)?,
            None => (Study::default(), toml::Table::new()),
        };
        let mut builder = Self { study, origins: BTreeMap::new(), file, typed };
        builder.models(args)?;
        builder.plug_and_training(args);
        Ok(builder)
    }

    /// Takes a flag's value if it was typed, and notes the value's origin.
    pub(crate) fn take(&mut self, key: &'static str, flag: &str, set: impl FnOnce(&mut Study)) {
        let typed = matches!(self.typed.try_contains_id(flag), Ok(true))
            && self.typed.value_source(flag) == Some(ValueSource::CommandLine);
        let origin = if typed {
            set(&mut self.study);
            Origin::Flag
        } else if self.in_file(key) {
            Origin::File
        } else {
            Origin::Default
        };
        self.origins.insert(key, origin);
    }

    /// Sets a value that follows from which command was typed.
    pub(crate) fn fix(&mut self, key: &'static str, set: impl FnOnce(&mut Study)) {
        set(&mut self.study);
        self.origins.insert(key, Origin::Flag);
    }

    fn in_file(&self, key: &str) -> bool {
        let mut table = Some(&self.file);
        let mut parts = key.split('.').peekable();
        while let Some(part) = parts.next() {
            let value = table.and_then(|table| table.get(part));
            if parts.peek().is_none() {
                return value.is_some();
            }
            table = value.and_then(toml::Value::as_table);
        }
        false
    }

    fn models(&mut self, args: &StudyArgs) -> Result<(), Failure> {
        let models = &args.models;
        self.take("llm", "llm", |study| study.llm = models.llm.clone().unwrap_or_default());
        if self.study.llm.trim().is_empty() {
            return Err(Error::NoLlm.into());
        }
        self.take("slm", "slm", |study| study.slm.clone_from(&models.slm));
        self.take("task", "task", |study| study.task.clone_from(&models.task[0]));
        self.take("eval", "eval", |study| study.eval.clone_from(&models.eval));
        if self.study.llm == DEMO {
            self.demo();
        }
        if let Some(revision) = &models.revision {
            self.study.llm = format!("{}@{revision}", self.study.llm);
        }
        if let Some(revision) = &models.slm_revision {
            self.study.slm = format!("{}@{revision}", self.study.slm);
        }
        define_tasks(&mut self.study.eval, &mut [], &models.task[1..])?;
        self.take("split_seed", "split_seed", |study| study.split_seed = models.split_seed);
        let limits = "limits.max_train_examples";
        self.take(limits, "limit_train", |study| study.limits.max_train_examples = models.limit_train);
        let limits = "limits.max_eval_examples";
        self.take(limits, "limit_eval", |study| study.limits.max_eval_examples = models.limit_eval);
        Ok(())
    }

    /// The demo LLM goes with the demo small model and the demo's texts.
    fn demo(&mut self) {
        self.settle("slm", |study| study.slm = DEMO.into());
        self.settle("task", |study| study.task = DEMO.into());
        if self.study.task == DEMO {
            self.settle("eval", |study| study.eval = DEMO_EVAL.map(str::to_owned).into());
        }
    }

    /// Gives a value that nobody chose the one that goes with the demo.
    fn settle(&mut self, key: &'static str, set: impl FnOnce(&mut Study)) {
        if self.origins.get(key) == Some(&Origin::Default) {
            set(&mut self.study);
            self.origins.insert(key, Origin::Demo);
        }
    }

    fn plug_and_training(&mut self, args: &StudyArgs) {
        let plug = &args.plug;
        self.take("plug", "plug", |study| study.plug = plug.plug);
        self.take("mask", "mask", |study| study.mask = plug.mask);
        self.take("window", "window", |study| study.window = plug.window);
        self.take("train", "train", |study| study.train = plug.train);
        self.take("pooling", "pooling", |study| study.pooling = plug.pooling);
        self.take("as_published", "as_published", |study| {
            study.as_published = plug.as_published.clone();
        });
        let training = args.training.clone();
        macro_rules! hyper {
            ($($field:ident),+) => {
                $(self.take(concat!("hyper_parameters.", stringify!($field)), stringify!($field), |study| {
                    study.hyper_parameters.$field = training.$field;
                });)+
            };
        }
        hyper!(
            epochs,
            batch_size,
            max_length,
            learning_rate,
            optimizer,
            weight_decay,
            warmup,
            schedule,
            label_smoothing,
            clip,
            head_dropout
        );
        // the published values would leave models as small as the demo's where they are
        if self.study.slm == DEMO {
            let demo = sweep::demo::hyper_parameters();
            macro_rules! settle {
                ($($field:ident),+) => {
                    $(self.settle(concat!("hyper_parameters.", stringify!($field)), |study| {
                        study.hyper_parameters.$field = demo.$field;
                    });)+
                };
            }
            settle!(epochs, max_length, learning_rate);
            // nothing in its pre-training taught the first token to speak for the others
            self.settle("pooling", |study| study.pooling = Some(sweep::Pooling::Mean));
        }
        self.take("device", "device", |study| study.device = training.device);
        if let Some(precision) = training.precision {
            self.fix("device", |study| {
                study.device = format!("{}/{precision}", device::parts(&study.device).0);
            });
        }
        self.take("stack", "stack", |study| study.stack = training.stack);
        self.take("save", "save", |study| study.save = training.save);
    }

    /// The study as a file's text, the origin of every value beside it.
    pub(crate) fn commented(&self) -> String {
        let mut section = String::new();
        let mut text = String::new();
        for line in self.study.to_toml().lines() {
            text.push_str(line);
            if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
                section = format!("{name}.");
            } else if let Some((key, _)) = line.split_once(" = ")
                && let Some(origin) = self.origins.get(format!("{section}{key}").as_str())
            {
                text.push_str("  # ");
                text.push_str(&origin.to_string());
            }
            text.push('\n');
        }
        text
    }
}

fn read(path: &Path) -> Result<(Study, toml::Table), Failure> {
    let text =
        std::fs::read_to_string(path).map_err(|cause| Error::Unreadable { path: path.to_owned(), cause })?;
    let mut file: toml::Table = text.parse().unwrap_or_default();
    // an analysis of one study is that study; its demo variant is for `analyze`
    if ["study", "demo", "screen", "train_on"].iter().any(|key| file.contains_key(*key)) {
        let single = Collection::from_toml(&text, path, false)?.single();
        let study = single.ok_or_else(|| Error::SeveralStudies(path.to_owned()))?;
        file.remove("demo");
        return Ok((study, file));
    }
    Ok((Study::from_toml(&text, path)?, file))
}

/// Puts definitions (`name=path`) into the places where `--eval` or `--train-on` names them.
///
/// # Errors
/// A definition that is none, or that nothing names.
pub(crate) fn define_tasks(
    eval: &mut [String],
    train_on: &mut [String],
    definitions: &[String],
) -> Result<(), Error> {
    for definition in definitions {
        let Some((name, _)) = definition.split_once('=') else {
            return Err(Error::SecondTask(definition.clone()));
        };
        match eval.iter_mut().chain(train_on.iter_mut()).find(|task| *task == name) {
            Some(task) => task.clone_from(definition),
            None => return Err(Error::UnusedTask(name.to_owned())),
        }
    }
    Ok(())
}

/// A model's or task's name as a part of a directory's.
fn word(text: &str) -> String {
    let text = text.split_once('=').map_or(text, |(name, _)| name);
    let last = text.trim_end_matches('/').rsplit('/').next().unwrap_or(text).trim_end_matches(".toml");
    let kept = last.chars().map(|c| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '-' });
    kept.collect::<String>().trim_start_matches('.').to_owned()
}

/// The directory of a study by what it is about: `llama3-8b-bert-base-sst2`.
pub(crate) fn name(study: &Study) -> String {
    let mut words = vec![word(&study.llm)];
    for other in [word(&study.slm), word(&study.task)] {
        if other != words[0] {
            words.push(other);
        }
    }
    if study.plug == crate::sweep::PlugMode::Sequence {
        words.push("sequence".into());
    }
    if study.train == crate::sweep::TrainMode::Plug {
        words.push("screen".into());
    }
    words.join("-")
}

/// The directory of one of several studies that are answered together: `transfer-x-imdb`.
pub(crate) fn member_name(whole: &str, task: &str) -> String {
    format!("{whole}-{}", word(task))
}

/// Checks a name that was typed: it must be one directory, and not the one of all runs.
///
/// # Errors
/// [`Error::StudyName`].
pub(crate) fn check_name(name: &str) -> Result<(), Error> {
    let letters = name.chars().all(|c| c.is_alphanumeric() || "-_.".contains(c));
    let good = letters && !name.is_empty() && !name.starts_with('.') && name.len() <= 200 && name != "runs";
    if good { Ok(()) } else { Err(Error::StudyName(name.to_owned())) }
}

#[cfg(test)]
mod tests {
    use super::super::args::{Cli, Command};
    use super::*;
    use clap::{CommandFactory, FromArgMatches};

    /// The study that a command line of `layers` makes.
    fn study(words: &[&str]) -> Result<(Study, BTreeMap<&'static str, Origin>, String), Failure> {
        let words = ["pifi-probe", "layers"].iter().chain(words);
        let mut matches = Cli::command().try_get_matches_from(words).expect("parses");
        let cli = Cli::from_arg_matches(&matches).expect("parses");
        let (_, typed) = matches.remove_subcommand().expect("has one");
        let Command::Layers(args) = cli.command else { panic!("layers") };
        let mut builder = Builder::new(&args.study, &typed)?;
        super::super::commands::layers::sweep(&mut builder, &args.sweep);
        let text = builder.commented();
        Ok((builder.study, builder.origins, text))
    }

    #[test]
    fn the_flags_defaults_are_those_of_a_study() {
        let (found, origins, _) = study(&["--llm", "llama3-8b"]).unwrap();
        assert_eq!(found, Study { llm: "llama3-8b".into(), ..Study::default() });
        let typed: Vec<_> = origins.iter().filter(|(_, origin)| **origin != Origin::Default).collect();
        assert_eq!(typed, [(&"llm", &Origin::Flag)]);
        // typing a default changes nothing
        let typed = [
            "--llm",
            "llama3-8b",
            "--slm",
            "bert-base",
            "--task",
            "sst2",
            "--layers",
            "all",
            "--seeds",
            "3",
            "--controls",
            "base,mappers,random",
            "--plug",
            "pooled",
            "--mask",
            "bidirectional",
            "--window",
            "ignore",
            "--train",
            "full",
            "--as-published",
            "none",
            "--epochs",
            "3",
            "--batch-size",
            "32",
            "--max-length",
            "100",
            "--lr",
            "5e-5",
            "--optimizer",
            "adam",
            "--weight-decay",
            "0",
            "--warmup",
            "0",
            "--schedule",
            "constant",
            "--label-smoothing",
            "0.05",
            "--clip",
            "5",
            "--head-dropout",
            "0.2",
            "--device",
            "auto",
            "--stack",
            "1",
            "--save",
            "none",
            "--split-seed",
            "0",
        ];
        assert_eq!(study(&typed).unwrap().0, found);
    }

    #[test]
    fn a_precision_is_said_with_the_device_or_apart() {
        let device =
            |typed: &[&str]| study(&[&["--llm", "gpt2"], typed].concat()).map(|(found, ..)| found.device);
        assert_eq!(device(&["--precision", "bf16"]).unwrap(), "auto/bf16");
        assert_eq!(device(&["--precision", "tf32", "--device", "cuda:1"]).unwrap(), "cuda:1/tf32");
        assert_eq!(device(&["--device", "cpu/bf16"]).unwrap(), "cpu/bf16");
        assert_eq!(device(&["--precision", "f32", "--device", "cuda:0/bf16"]).unwrap(), "cuda:0/f32");
    }

    #[test]
    fn the_demo_brings_its_own_small_model_task_and_domains() {
        let (found, origins, _) = study(&["--llm", "demo"]).unwrap();
        assert_eq!((found.slm.as_str(), found.task.as_str()), ("demo", "demo"));
        assert_eq!(found.eval, DEMO_EVAL);
        assert_eq!(origins["eval"], Origin::Demo);
        assert_eq!((found.pooling, found.hyper_parameters.epochs), (Some(sweep::Pooling::Mean), 4));
        let (typed, ..) = study(&["--llm", "demo", "--pooling", "cls", "--epochs", "1"]).unwrap();
        assert_eq!((typed.pooling, typed.hyper_parameters.epochs), (Some(sweep::Pooling::Cls), 1));
        let (found, ..) = study(&["--llm", "demo", "--task", "sst2"]).unwrap();
        assert_eq!((found.slm.as_str(), found.eval.len()), ("demo", 0));
    }

    #[test]
    fn a_flag_counts_more_than_a_file_and_a_file_more_than_a_default() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("study.toml");
        std::fs::write(&path, "llm = 'gpt2'\nseeds = 5\n[hyper_parameters]\nepochs = 1\nclip = 1.0\n")
            .unwrap();
        let (found, origins, text) = study(&["--config", path.to_str().unwrap(), "--epochs", "2"]).unwrap();
        let hyper = &found.hyper_parameters;
        assert_eq!((hyper.epochs, hyper.clip, hyper.batch_size), (2, 1.0, 32));
        assert_eq!(found.seeds.list().len(), 5);
        assert_eq!(origins["hyper_parameters.clip"], Origin::File);
        assert!(text.contains("epochs = 2  # flag") && text.contains("clip = 1.0  # study file"), "{text}");
        assert_eq!(Study::from_toml(&text, &path).unwrap(), found);
    }

    #[test]
    fn further_tasks_define_what_eval_names() {
        let (found, ..) =
            study(&["--llm", "gpt2", "--task", "sst2", "--task", "mine=a.csv", "--eval", "cr,mine"]).unwrap();
        assert_eq!((found.task.as_str(), found.eval[1].as_str()), ("sst2", "mine=a.csv"));
        let unused = study(&["--llm", "gpt2", "--task", "sst2", "--task", "mine=a.csv"]).unwrap_err();
        assert!(unused.to_string().contains("`mine` is given and not used"), "{unused}");
        assert!(study(&["--llm", "gpt2", "--task", "sst2", "--task", "cr"]).is_err());
        assert!(study(&[]).unwrap_err().hint().unwrap().contains("demo"));
    }

    #[test]
    fn a_studys_directory_tells_what_it_is_about() {
        let named = |llm: &str, slm: &str, task: &str| {
            name(&Study { llm: llm.into(), slm: slm.into(), task: task.into(), ..Study::default() })
        };
        assert_eq!(named("demo", "demo", "demo"), "demo");
        assert_eq!(named("org/big@v1", "./models/my slm/", "mine=x/y.csv"), "big-v1-my-slm-mine");
        for wrong in ["", "runs", "../x", "a/b", ".hidden"] {
            assert!(check_name(wrong).is_err(), "{wrong}");
        }
        assert!(check_name("llama3.1-8b_x").is_ok());
    }
}
