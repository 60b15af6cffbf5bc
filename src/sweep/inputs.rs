//! From the words of a plan to models and data: the same reading for whoever plans and whoever works.

use std::collections::BTreeSet;
use std::path::Path;

use super::plan::{ModelAt, TaskAt};
use super::{Error, Limits, Study};
use crate::data::{self, Dataset, TaskSpec, encode};
use crate::error::{Context, Failure};
use crate::hub::tensor::TensorSource;
use crate::hub::{self, ModelName, Repository, Settings, Watch};
use crate::models::families::{self, Model, Names, Scope};
use crate::models::spec::PositionTable;
use crate::models::weights;
use crate::seed::Seed;

/// A model's repository and what its configuration says.
pub struct Opened {
    /// Where its files are.
    pub repository: Repository,
    /// Its specification and table of tensors.
    pub model: Model,
    /// Its names for them.
    pub names: Names,
}

impl Opened {
    /// Opens a model at what its name means.
    ///
    /// # Errors
    /// When it cannot be found, accessed or read, or its family is not supported.
    pub fn new(settings: &Settings, name: &ModelName, revision: Option<&str>) -> Result<Self, Failure> {
        let repository = Repository::open(settings, name, revision)?;
        let config = hub::config::read(&repository)?;
        let described = || format!("in `{}`", repository.describe());
        let model = families::read(&config).while_doing(described)?;
        let on_disk: BTreeSet<String> = repository.tensor_names()?;
        let names = model.names(&on_disk).while_doing(described)?;
        Ok(Self { repository, model, names })
    }

    /// Opens the model that a plan names.
    ///
    /// # Errors
    /// As [`Opened::new`], and when a local model is no longer what was planned.
    pub fn planned(settings: &Settings, at: &ModelAt) -> Result<Self, Failure> {
        let name = match (&at.path, &at.repository) {
            (Some(path), _) => ModelName::Path(path.clone()),
            (None, Some(id)) => {
                ModelName::Hub { id: id.clone(), alias: None, revision: Some(at.revision.clone()) }
            }
            (None, None) => ModelName::Embedded(at.name.clone()),
        };
        let opened = Self::new(settings, &name, None)?;
        if at.path.is_some() && opened.repository.identity() != at.revision {
            return Err(Error::Changed { what: format!("model `{}`", at.name) }.into());
        }
        Ok(opened)
    }

    /// Compares the shapes in the checkpoint's headers with what the configuration says: of these
    /// layers and, if asked for, of what stands outside the layers.
    ///
    /// # Errors
    /// Headers that cannot be had; the first tensor that differs.
    pub fn check_shapes(&self, layers: &[usize], outside: bool) -> Result<(), Failure> {
        let index = self.repository.tensor_index()?;
        let shape = |name: &str| index.tensors.get(name).map(|entry| entry.shape.clone());
        self.model
            .check_shapes(&self.names, layers, outside, &shape)
            .while_doing(|| format!("in `{}`", self.repository.describe()))
    }

    /// How a plan names it.
    pub fn at(&self, typed: &str, name: &ModelName) -> ModelAt {
        let hub = match name {
            ModelName::Hub { id, .. } => Some(id.clone()),
            ModelName::Path(_) | ModelName::Embedded(_) => None,
        };
        ModelAt {
            name: match name {
                ModelName::Embedded(embedded) => embedded.clone(),
                ModelName::Path(path) => last_part(path),
                ModelName::Hub { .. } => typed.to_owned(),
            },
            revision: match (&hub, self.repository.commit()) {
                (Some(_), Some(commit)) => commit.to_owned(),
                _ => self.repository.identity(),
            },
            repository: hub,
            path: match name {
                ModelName::Path(path) => Some(std::path::absolute(path).unwrap_or_else(|_| path.clone())),
                _ => None,
            },
            model_type: self.model.spec.model_type.clone(),
            layers: self.model.spec.blocks.len(),
            hidden_size: self.model.spec.hidden_size,
        }
    }

    /// The tensors of one layer, from an earlier fetch, this disk or the network.
    ///
    /// # Errors
    /// As [`hub::bundle::fetch`].
    pub fn layer(&self, layer: usize, scope: Scope, watch: &mut Watch<'_>) -> Result<hub::Bundle, Failure> {
        let requests = self.model.layer_requests(&self.names, layer, scope)?;
        Ok(hub::bundle::fetch(&self.repository, &requests, layer, scope_word(scope), watch)?)
    }

    /// A checkpoint of this model to read weights from.
    pub fn weights<'a>(
        &'a self,
        tensors: &'a dyn TensorSource,
        transform: Option<weights::Transform<'a>>,
    ) -> weights::Checkpoint<'a> {
        weights::Checkpoint { tensors, names: &self.names, transform }
    }

    /// Its own tokenizer, for texts of at most `max_length` tokens.
    ///
    /// # Errors
    /// When a file is missing or broken.
    pub fn tokenizer(&self, max_length: usize) -> Result<encode::Encoder, Failure> {
        let embeddings = &self.model.spec.embeddings;
        let room = embeddings.positions.map_or(usize::MAX, PositionTable::longest_text);
        let options = encode::Options {
            max_length: max_length.min(room),
            vocab_size: embeddings.vocab_size,
            type_vocab_size: embeddings.token_types.unwrap_or(0),
        };
        let file = |name: &str| self.repository.read_optional(name);
        let encoder = encode::Encoder::from_bytes(
            &self.repository.read_file("tokenizer.json")?,
            file("tokenizer_config.json")?.as_deref(),
            file("special_tokens_map.json")?.as_deref(),
            options,
        );
        encoder.while_doing(|| format!("in `{}`", self.repository.describe()))
    }
}

/// What a local model is called in tables and charts: the last part of its path.
fn last_part(path: &Path) -> String {
    let whole = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    whole.file_name().map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned())
}

/// The word for a scope in the names of layer bundles.
pub fn scope_word(scope: Scope) -> &'static str {
    match scope {
        Scope::OneToken => "one-token",
        Scope::Sequence => "sequence",
    }
}

/// What of a layer a study reads.
pub fn scope(study: &Study) -> Scope {
    match study.plug {
        super::PlugMode::Pooled => Scope::OneToken,
        super::PlugMode::Sequence => Scope::Sequence,
    }
}

/// Reads the data of a planned task.
///
/// # Errors
/// When a file cannot be read, or its content is no longer what was planned.
pub fn dataset(task: &TaskAt, study: &Study) -> Result<Dataset, Failure> {
    let malformed = |reason: serde_json::Error| Error::Changed {
        what: format!("definition of task `{}` ({reason})", task.name),
    };
    let mut spec: TaskSpec = serde_json::from_value(task.definition.clone()).map_err(malformed)?;
    if let data::Source::Files(files) = &mut spec.source {
        files.clone_from(&task.files);
    }
    let dataset = data::load(&spec, &task.files, Seed(study.split_seed), limits(&study.limits))?;
    if dataset.hash != task.data_hash {
        return Err(Error::Changed { what: format!("data of task `{}`", task.name) }.into());
    }
    Ok(dataset)
}

/// The caps of a study as the data module has them.
pub(super) fn limits(limits: &Limits) -> data::Limits {
    let eval = limits.max_eval_examples;
    data::Limits { train: limits.max_train_examples, validation: eval, test: eval }
}
