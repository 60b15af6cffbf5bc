//! Recomputes reference outputs of transformers from oracle directories and compares. A directory's
//! kind is found by its files; tolerances are those of a float32 implementation against float64
//! references (of the analyses: float64 against float64), stated beside each comparison.

mod compare;
mod llm;
mod pifi;
mod similarity;
mod slm;
mod tokens;

use std::path::{Path, PathBuf};
use std::time::Duration;

pub use compare::Case;

use crate::device::Device;
use crate::error::{Category, Diagnose, Failure};
use crate::models;
use crate::nn;
use crate::nn::meter::Products;

/// What a directory holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A decoder LLM: single layers, and the whole model.
    Llm,
    /// A small model: hidden states and gradients.
    Slm,
    /// Fifty steps of fine-tuning.
    Pifi,
    /// Texts and their tokens.
    Tokens,
    /// Matrices, and what the analyses say of them.
    Similarity,
}

impl Kind {
    /// Its word in listings.
    pub fn name(self) -> &'static str {
        match self {
            Self::Llm => "llm",
            Self::Slm => "slm",
            Self::Pifi => "pifi",
            Self::Tokens => "tokens",
            Self::Similarity => "similarity",
        }
    }
}

/// What came of one directory.
#[derive(Debug)]
pub enum Outcome {
    /// Its cases were recomputed.
    Compared(Vec<Case>),
    /// Some of its values were recomputed; nothing computes the others.
    Partly {
        /// What was recomputed.
        cases: Vec<Case>,
        /// The names of the others.
        unknown: Vec<String>,
    },
    /// The model, or the kind of file, is not supported.
    Unsupported(String),
    /// It could not be read.
    Unreadable(Failure),
}

/// One directory, recomputed.
#[derive(Debug)]
pub struct Report {
    /// The directory.
    pub path: PathBuf,
    /// What it holds; `None` where that is not supported.
    pub kind: Option<Kind>,
    /// `model_type`, or what else says what it is.
    pub family: String,
    /// What came of it.
    pub outcome: Outcome,
}

impl Report {
    /// What was compared, case by case.
    pub fn compared(&self) -> &[Case] {
        match &self.outcome {
            Outcome::Compared(cases) | Outcome::Partly { cases, .. } => cases,
            Outcome::Unsupported(_) | Outcome::Unreadable(_) => &[],
        }
    }

    /// Names of values that nothing here computes.
    pub fn unknown(&self) -> &[String] {
        if let Outcome::Partly { unknown, .. } = &self.outcome { unknown } else { &[] }
    }

    /// Cases compared.
    pub fn cases(&self) -> usize {
        self.compared().len()
    }

    /// Cases beyond their tolerance; an unreadable directory counts as one.
    pub fn failed(&self) -> usize {
        let beyond = self.compared().iter().filter(|case| !case.passed()).count();
        beyond + usize::from(matches!(self.outcome, Outcome::Unreadable(_)))
    }

    /// The case nearest to (or farthest beyond) its tolerance.
    pub fn worst(&self) -> Option<&Case> {
        self.compared().iter().max_by(|a, b| a.strain().total_cmp(&b.strain()))
    }
}

/// Totals over all directories.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Cases compared.
    pub cases: usize,
    /// Directories compared or unreadable.
    pub directories: usize,
    /// Cases beyond their tolerance, and unreadable directories.
    pub failed: usize,
    /// Directories of models, and single values, that are not supported.
    pub unsupported: usize,
}

impl Summary {
    /// Adds a directory.
    pub fn count(&mut self, report: &Report) {
        self.cases += report.cases();
        self.failed += report.failed();
        match report.outcome {
            Outcome::Unsupported(_) => self.unsupported += 1,
            _ => self.directories += 1,
        }
        self.unsupported += report.unknown().len();
    }
}

impl std::fmt::Display for Summary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { cases, directories, failed, unsupported } = self;
        write!(
            f,
            "verified {cases} cases in {directories} directories, {failed} failed, {unsupported} unsupported"
        )
    }
}

/// Why a path holds nothing to verify.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No oracle directory at or below it.
    #[error("no oracle directory in `{}`: expected `golden.safetensors` with a `config.json` or `curve.json`, or `matrices.safetensors` with a `values.json`", .0.display())]
    Nothing(PathBuf),
    /// A folder that cannot be listed.
    #[error("cannot read `{}`: {cause}", path.display())]
    Unlisted {
        /// The folder.
        path: PathBuf,
        /// Why.
        cause: std::io::Error,
    },
    /// A file of an oracle directory that is not as described.
    #[error("`{}` {what}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
}

impl Diagnose for Error {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Nothing(_) => {
                Some("make one for your own model with `python3 tests/oracle/make_oracle.py`".into())
            }
            Self::Unlisted { .. } => Some("check the path; it counts from the current folder".into()),
            Self::Malformed { .. } => None,
        }
    }

    fn category(&self) -> Category {
        match self {
            Self::Unlisted { cause, .. } if cause.kind() == std::io::ErrorKind::NotFound => Category::Usage,
            _ => Category::Failure,
        }
    }
}

/// All oracle directories at or below `root`, sorted.
///
/// # Errors
/// When there is none, or a folder cannot be listed.
pub fn find(root: &Path) -> Result<Vec<PathBuf>, Failure> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        let unlisted = |cause| Error::Unlisted { path: folder.clone(), cause };
        if is_oracle(&folder) {
            found.push(folder);
            continue;
        }
        for entry in std::fs::read_dir(&folder).map_err(unlisted)? {
            let path = entry.map_err(unlisted)?.path();
            if path.is_dir() {
                folders.push(path);
            }
        }
    }
    found.sort();
    if found.is_empty() { Err(Error::Nothing(root.to_owned()).into()) } else { Ok(found) }
}

fn is_oracle(folder: &Path) -> bool {
    ["golden.safetensors", "golden_tokens.json"].iter().any(|name| folder.join(name).is_file())
        || is_similarity(folder)
}

fn is_similarity(folder: &Path) -> bool {
    ["values.json", "matrices.safetensors"].iter().all(|name| folder.join(name).is_file())
}

/// One step of fine-tuning, recomputed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepTime {
    /// From 0.
    pub step: u64,
    /// Loss before the update.
    pub loss: f64,
    /// Wall time of forward, backward and update.
    pub elapsed: Duration,
    /// Time of all threads, where the system tells.
    pub cpu: Option<Duration>,
    /// Products of matrices among it.
    pub products: Products,
}

/// How steps of fine-tuning are recomputed, and who is told of them.
pub struct Steps<'a> {
    /// Where everything is recomputed.
    pub device: Device,
    /// Leave padding out, as training does, where no number depends on it: the same losses in the
    /// time that training takes.
    pub packed: bool,
    /// Hears of every step.
    pub observe: &'a mut dyn FnMut(StepTime),
}

/// Recomputes one oracle directory.
pub fn run(directory: &Path) -> Report {
    run_observed(directory, &mut Steps { device: Device::CPU, packed: false, observe: &mut |_| {} })
}

/// Recomputes one oracle directory and tells every step of fine-tuning that it recomputes.
pub fn run_observed(directory: &Path, steps: &mut Steps<'_>) -> Report {
    let has = |name: &str| directory.join(name).is_file();
    let (kind, result) = if has("curve.json") {
        (Some(Kind::Pifi), pifi::run(directory, steps))
    } else if has("golden_tokens.json") {
        (Some(Kind::Tokens), tokens::run(directory))
    } else if is_similarity(directory) {
        (Some(Kind::Similarity), similarity::run(directory))
    } else {
        by_tensors(directory, steps.device)
    };
    // numbers of a device that has failed say nothing: the reason is told instead
    let failed = nn::check(steps.device).map_err(Failure::from);
    match failed.and(result) {
        Ok((family, outcome)) => Report { path: directory.to_owned(), kind, family, outcome },
        Err(failure) => Report {
            path: directory.to_owned(),
            kind,
            family: String::new(),
            outcome: Outcome::Unreadable(failure),
        },
    }
}

type Recomputed = Result<(String, Outcome), Failure>;

/// Tells decoders from encoders by the inputs that their reference outputs begin with.
fn by_tensors(directory: &Path, device: Device) -> (Option<Kind>, Recomputed) {
    let golden = match compare::Golden::open(&directory.join("golden.safetensors")) {
        Ok(golden) => golden,
        Err(failure) => return (None, Err(failure)),
    };
    if golden.has("in.ids") {
        (Some(Kind::Slm), slm::run(directory, &golden, device))
    } else {
        (Some(Kind::Llm), llm::run(directory, &golden, device))
    }
}

/// Reads the model of a directory, or says that its family is not supported.
fn model(directory: &Path) -> Result<Result<models::families::Model, (String, String)>, Failure> {
    let path = directory.join("config.json");
    let config = compare::json(&path)?;
    let family = config.get("model_type").and_then(|name| name.as_str()).unwrap_or("unknown").to_owned();
    match models::families::read(&config) {
        Ok(model) => Ok(Ok(model)),
        Err(error @ models::Error::UnsupportedFamily { .. }) => Ok(Err((family, error.to_string()))),
        Err(error) => Err(error.into()),
    }
}
