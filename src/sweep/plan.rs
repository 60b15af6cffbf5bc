//! A plan: every cell of a study with all that decides its result. A worker needs the plan's file
//! and a cell's id, nothing else. The same study over the same inputs gives the same bytes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::order::{Order, batches, spread};
use super::{AsPublished, CheckedStudy, Error, PlugMode, Pooling, Study, canonical};
use crate::device;
use crate::runs::record::{
    Cost, DataAt, Provenance, RepositoryAt, RunRecord, RunResult, SCHEMA_VERSION as RECORD_VERSION, Status,
    Subject,
};
use crate::runs::{Condition, Control, atomic};
use crate::seed::Seed;

/// Version of `plan.json`.
pub const SCHEMA_VERSION: u32 = 1;

/// Version of the numbers: raised by every change that alters any result, so that older runs are
/// not taken for runs of this program.
pub const NUMERICS_VERSION: u32 = 3;

/// A model at one commit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelAt {
    /// As asked for.
    pub name: String,
    /// Hub repository; absent for a directory, which is known by its content alone.
    pub repository: Option<String>,
    /// Commit sha, or a hash of the directory's content.
    pub revision: String,
    /// Where a local model stands.
    pub path: Option<PathBuf>,
    /// `model_type` of its configuration.
    pub model_type: String,
    /// L.
    pub layers: usize,
    /// D or E.
    pub hidden_size: usize,
}

/// A task with its data by content.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskAt {
    /// As asked for.
    pub name: String,
    /// The task's specification, whole: a worker reads the data by it.
    pub definition: Value,
    /// Hash of its examples.
    pub data_hash: String,
    /// Files that the data stands in, by split of the source.
    pub files: BTreeMap<String, Vec<PathBuf>>,
    /// Labels in the order of their indices.
    pub labels: Vec<String>,
    /// Examples of the training, validation and test splits.
    pub examples: [usize; 3],
}

/// What a study's words turned out to mean.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Inputs {
    /// The LLM.
    pub llm: ModelAt,
    /// The small model.
    pub slm: ModelAt,
    /// The task trained on.
    pub task: TaskAt,
    /// Tasks evaluated on besides it.
    pub eval: Vec<TaskAt>,
    /// Layers asked for, from 0.
    pub layers: Vec<usize>,
    /// Settled pooling.
    pub pooling: Pooling,
    /// Settled device, `cpu` or `cuda:N`.
    pub device: String,
    /// Settled threads of a worker.
    pub threads: usize,
    /// Where fetched files stand.
    pub cache: Option<PathBuf>,
    /// Facts about the machine.
    pub host: BTreeMap<String, String>,
}

/// One planned run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cell {
    /// Content-addressed: a hash of `config`.
    pub id: String,
    /// Layer or control.
    pub condition: Condition,
    /// Seed.
    pub seed: Seed,
    /// Whether it is the LLM's last layer, the published choice.
    pub last: bool,
    /// The layer whose weights must be there.
    pub needs_layer: Option<usize>,
    /// Everything that decides the result, and nothing else.
    pub config: Value,
}

/// All cells of a study.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// See [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// Version of the program that planned.
    pub program: String,
    /// Commit that it was built from, where the build knew.
    pub commit: Option<String>,
    /// See [`NUMERICS_VERSION`].
    pub numerics: u32,
    /// What was asked for.
    pub study: Study,
    /// What that means.
    pub inputs: Inputs,
    /// Cells seed by seed: controls, then layers far apart.
    pub cells: Vec<Cell>,
}

/// How a cell ended, for its record.
#[derive(Clone, Debug)]
pub struct Ending {
    /// Done, or failed and why.
    pub status: Status,
    /// Present exactly when done.
    pub result: Option<RunResult>,
    /// What it cost.
    pub cost: Cost,
    /// RFC 3339 in UTC.
    pub started: String,
    /// RFC 3339 in UTC.
    pub finished: String,
    /// Members that trained together.
    pub stack: usize,
}

impl Plan {
    /// Plans every cell. The last layer joins the layers; a control depends on no layer but, where
    /// it is made of one, the last.
    ///
    /// # Errors
    /// [`Error::NoSuchLayer`].
    pub fn build(study: &CheckedStudy, mut inputs: Inputs) -> Result<Self, Error> {
        let depth = inputs.llm.layers;
        if let Some(layer) = inputs.layers.iter().copied().find(|layer| *layer >= depth) {
            return Err(Error::NoSuchLayer { layer, depth });
        }
        inputs.layers.extend(depth.checked_sub(1));
        inputs.layers.sort_unstable();
        inputs.layers.dedup();
        inputs.eval.sort_by(|a, b| a.name.cmp(&b.name));
        let controls = study.controls.iter().map(|control| Condition::Control(*control));
        let layers = spread(inputs.layers.len()).into_iter().map(|at| Condition::Layer(inputs.layers[at]));
        let conditions: Vec<Condition> = controls.chain(layers).collect();
        let seeds = study.seeds.list();
        let cells = seeds
            .iter()
            .flat_map(|seed| conditions.iter().map(|condition| cell(study, &inputs, *condition, *seed)));
        Ok(Self {
            schema_version: SCHEMA_VERSION,
            program: env!("CARGO_PKG_VERSION").into(),
            commit: option_env!("PIFI_PROBE_COMMIT").map(str::to_owned),
            numerics: NUMERICS_VERSION,
            cells: cells.collect(),
            study: (**study).clone(),
            inputs,
        })
    }

    /// The cell with this id.
    ///
    /// # Errors
    /// [`Error::NoSuchCell`].
    pub fn cell(&self, id: &str) -> Result<&Cell, Error> {
        let found = self.cells.iter().find(|cell| cell.id == id);
        found.ok_or_else(|| Error::NoSuchCell { cell: id.into(), cells: self.cells.len() })
    }

    /// The cells as batches in the order in which they start, by their places in the plan: a
    /// control alone, layer cells of one seed in stacks of up to `stack`.
    pub fn batches(&self, stack: usize, order: Order) -> Vec<Vec<usize>> {
        batches(&self.cells, stack, order)
    }

    /// The record of a cell that ended so.
    pub fn record(&self, cell: &Cell, ending: Ending) -> RunRecord {
        let inputs = &self.inputs;
        let llm = cell.needs_layer.map(|_| &inputs.llm);
        let repository = |role: &str, model: &ModelAt| RepositoryAt {
            role: role.into(),
            name: model.repository.clone().unwrap_or_else(|| model.name.clone()),
            revision: model.revision.clone(),
        };
        let data = |task: &TaskAt| DataAt {
            task: task.name.clone(),
            definition: canonical::id(&task.definition),
            hash: task.data_hash.clone(),
        };
        let plugged = cell.condition != Condition::Control(Control::Base);
        RunRecord {
            schema_version: RECORD_VERSION,
            cell: cell.id.clone(),
            condition: cell.condition,
            seed: cell.seed,
            status: ending.status,
            subject: Subject {
                llm: llm.map(|llm| llm.name.clone()),
                llm_layers: llm.map(|llm| llm.layers),
                slm: inputs.slm.name.clone(),
                task: inputs.task.name.clone(),
                plug: plugged.then(|| self.study.plug.to_string()),
                train: self.study.train.to_string(),
            },
            config: cell.config.clone(),
            result: ending.result,
            provenance: Provenance {
                program: self.program.clone(),
                commit: self.commit.clone(),
                numerics: self.numerics,
                repositories: llm
                    .map(|llm| repository("llm", llm))
                    .into_iter()
                    .chain([repository("slm", &inputs.slm)])
                    .collect(),
                data: std::iter::once(&inputs.task).chain(&inputs.eval).map(data).collect(),
                device: inputs.device.clone(),
                threads: inputs.threads,
                stack: ending.stack,
                host: inputs.host.clone(),
                started: ending.started,
                finished: ending.finished,
            },
            cost: ending.cost,
        }
    }

    /// Writes the plan in one step.
    ///
    /// # Errors
    /// Refusals of the file system.
    pub fn write(&self, path: &Path) -> Result<(), Error> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(|e| crate::runs::Error::io("create", folder, e))?;
        }
        Ok(atomic::replace(path, |out| {
            serde_json::to_writer_pretty(&mut *out, self)?;
            std::io::Write::write_all(out, b"\n")
        })?)
    }

    /// Reads a plan and checks that its cells are what their ids say.
    ///
    /// # Errors
    /// [`Error::PlanFile`], and refusals of the file system.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let text = std::fs::read(path).map_err(|e| crate::runs::Error::io("read", path, e))?;
        let malformed = |reason: String| Error::PlanFile { path: path.to_path_buf(), reason };
        let plan: Self = serde_json::from_slice(&text).map_err(|e| malformed(e.to_string()))?;
        if plan.schema_version != SCHEMA_VERSION || plan.numerics != NUMERICS_VERSION {
            return Err(malformed(format!(
                "made by version {} with schema {} and numerics {}: expected {SCHEMA_VERSION} and {NUMERICS_VERSION}",
                plan.program, plan.schema_version, plan.numerics
            )));
        }
        match plan.cells.iter().find(|cell| canonical::id(&cell.config) != cell.id) {
            Some(cell) => Err(malformed(format!("cell `{}` was changed: its id is another", cell.id))),
            None => Ok(plan),
        }
    }
}

fn cell(study: &Study, inputs: &Inputs, condition: Condition, seed: Seed) -> Cell {
    let last = inputs.llm.layers.saturating_sub(1);
    let needs_layer = match condition {
        Condition::Layer(layer) => Some(layer),
        Condition::Control(Control::Random | Control::Shuffled | Control::Trained) => Some(last),
        Condition::Control(Control::Base | Control::Mappers | Control::Mlp) => None,
    };
    let config = config(study, inputs, condition, needs_layer, seed);
    Cell {
        id: canonical::id(&config),
        condition,
        seed,
        last: condition == Condition::Layer(last),
        needs_layer,
        config,
    }
}

/// What decides a cell's result: of the LLM nothing for `base`, its width for controls that only
/// map to it, the repository and the layer for what is made of one; mask and window only where a
/// sequence meets an attention.
fn config(study: &Study, inputs: &Inputs, condition: Condition, layer: Option<usize>, seed: Seed) -> Value {
    let model = |model: &ModelAt| json!({"repository": model.repository, "revision": model.revision});
    let task = |task: &TaskAt| json!({"name": task.name, "definition": canonical::id(&task.definition), "data": task.data_hash});
    let base = condition == Condition::Control(Control::Base);
    let attends = layer.is_some() && study.plug == PlugMode::Sequence;
    // the mask stands by itself
    let published = study.as_published.named().iter().filter(|switch| **switch != AsPublished::Mask);
    json!({
        "numerics": NUMERICS_VERSION,
        "condition": condition,
        "llm": layer.map(|layer| json!({"model": model(&inputs.llm), "layer": layer})),
        "width": (!base).then_some(inputs.llm.hidden_size),
        "plug": (!base).then_some(study.plug),
        "mask": attends.then_some(study.mask),
        "window": attends.then_some(study.window),
        "slm": model(&inputs.slm),
        "pooling": inputs.pooling,
        "train": study.train,
        "task": task(&inputs.task),
        "eval": inputs.eval.iter().map(task).collect::<Vec<_>>(),
        "seed": seed,
        "split_seed": study.split_seed,
        "hyper_parameters": study.hyper_parameters,
        "as_published": published.collect::<Vec<_>>(),
        "limits": study.limits,
        "device": kind(&inputs.device),
        "threads": inputs.threads,
        "stack": study.stack,
    })
}
/// A device without its number, which decides nothing: `cuda/bf16` of `cuda:1/bf16`.
fn kind(device: &str) -> String {
    let (place, precision) = device::parts(device);
    let kind = place.split(':').next().unwrap_or(place);
    precision.map_or_else(|| kind.to_owned(), |precision| format!("{kind}/{precision}"))
}
