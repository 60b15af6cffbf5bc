//! From a study to its plan: names become repositories at commits, tasks become data with hashes,
//! and sizes become costs.

use std::collections::BTreeMap;

use super::cost::{self, Estimate, Held, LayerBytes, NumberBytes, Rate, Sizes, Workload};
use super::inputs::{self, Opened};
use super::plan::{Inputs, Plan, TaskAt};
use super::{AsPublished, CheckedStudy, Error, Pooling, Stack};
use crate::data::{self, Dataset, Source, SplitFiles, TaskSpec};
use crate::device::Choice;
use crate::error::{Context, Failure};
use crate::hub::alias::Role;
use crate::hub::tensor::Dtype;
use crate::hub::{ModelName, Settings, Watch, datasets};
use crate::models::families::Scope;
use crate::models::layers;
use crate::models::spec::{BlockSpec, FeedForward};
use crate::runs::{Control, Store};
use crate::seed::Seed;

/// What the machine gives.
#[derive(Clone, Debug)]
pub struct Machine {
    /// Threads of one worker where the study does not say.
    pub threads: usize,
    /// Facts for the record.
    pub host: BTreeMap<String, String>,
}

/// A plan with what is known of its cost.
pub struct Prepared {
    /// The cells.
    pub plan: Plan,
    /// The LLM, to fetch layers from.
    pub llm: Opened,
    /// Sizes of the models.
    pub sizes: Sizes,
    /// Sizes of the data.
    pub work: Workload,
    /// Bytes of the layers.
    pub bytes: LayerBytes,
    /// Examples of the validation and test splits, for what differences can be seen.
    pub examples: [usize; 2],
    /// What was decided on the way, for the reader.
    pub notes: Vec<String>,
    /// Whether all of the data was made by this program.
    pub synthetic: bool,
}

/// Resolves everything that a study names. Small files, headers and data are fetched; of the models
/// the small one is fetched whole by `watch`, and of the LLM no weights.
///
/// # Errors
/// Whatever cannot be found, accessed, read or combined.
pub fn prepare(
    study: &CheckedStudy,
    settings: &Settings,
    machine: Machine,
    watch: &mut Watch<'_>,
) -> Result<Prepared, Failure> {
    let device = study.device.parse::<Choice>()?.resolve()?;

    // 1. Models
    let llm_name = ModelName::parse(&study.llm)?.in_role(Role::Llm);
    let slm_name = ModelName::parse(&study.slm)?.in_role(Role::Slm);
    let llm = Opened::new(settings, &llm_name, None)?;
    let slm = Opened::new(settings, &slm_name, None)?;
    let depth = llm.model.spec.blocks.len();
    let chosen = layers::parse_layers(&study.layers, depth).map_err(|error| error.of_model(&study.llm))?;
    slm.repository.checkpoint(watch)?;
    slm.tokenizer(study.hyper_parameters.max_length)?;
    // a configuration of another checkpoint is told before anything trains
    llm.check_shapes(&chosen, false)?;
    slm.check_shapes(&(0..slm.model.spec.blocks.len()).collect::<Vec<_>>(), true)?;

    // 2. Data
    let (task, home) = task(&study.task, study, settings, watch)?;
    let mut notes: Vec<String> = home.notes.iter().map(|note| format!("{}: {note}", task.name)).collect();
    let mut eval = Vec::new();
    let mut test_examples = home.test.examples.len();
    for argument in &study.eval {
        let (other, data) = self::task(argument, study, settings, watch)?;
        if data.labels != home.labels {
            let (found, expected) = (data.labels, home.labels);
            return Err(Error::Labels { task: task.name, other: other.name, found, expected }.into());
        }
        notes.extend(data.notes.iter().map(|note| format!("{}: {note}", other.name)));
        test_examples += data.test.examples.len();
        eval.push(other);
    }
    let synthetic = std::iter::once(&task).chain(&eval).all(|it| is_embedded(&it.definition));

    // 3. Sizes
    let scope = inputs::scope(study);
    let index = llm.repository.tensor_index()?;
    let requests = llm.model.layer_requests(&llm.names, depth - 1, scope)?;
    let each = requests.iter().map(|request| index.bytes_of(request)).sum::<Result<u64, _>>()?;
    let tokens = mean_tokens(&slm, &home, study.hyper_parameters.max_length)?;
    let is_half = |name: &String| index.tensors.get(name).is_some_and(|it| it.dtype == Dtype::Bf16);
    // a control changes its layer in f32
    let changed = study.controls.iter().any(|it| matches!(it, Control::Random | Control::Shuffled));
    let half = !changed && requests.iter().all(|request| is_half(&request.name));
    let sizes = sizes(&slm, &llm, home.labels.len(), NumberBytes::on(device, half));
    let work = Workload {
        train_examples: home.train.examples.len() as u64,
        validation_examples: home.validation.examples.len() as u64,
        test_examples: test_examples as u64,
        tokens,
        epochs: study.hyper_parameters.epochs as u64,
        batch_size: study.hyper_parameters.batch_size as u64,
    };
    let stack = match (study.stack, device.memory()) {
        (Stack::Members(members), _) => members,
        (Stack::Auto, None) => 1,
        (Stack::Auto, Some(memory)) => {
            let needed = |stack: usize| cost::memory_bytes(&sizes, &work, Held::of(study), stack as u64);
            cost::stack_within(&needed, memory, chosen.len())
        }
    };

    // 4. The plan
    let pooling = study.pooling.unwrap_or(if slm.model.spec.causal { Pooling::Last } else { Pooling::Cls });
    let inputs = Inputs {
        llm: llm.at(&study.llm, &llm_name),
        slm: slm.at(&study.slm, &slm_name),
        task,
        eval,
        layers: chosen,
        pooling,
        device: device.to_string(),
        threads: study.threads.unwrap_or(machine.threads),
        cache: Some(settings.bundles.clone()),
        host: machine.host,
    };
    let plan = Plan::build(&study.with_stack(stack), inputs)?;

    let here = llm.repository.is_local();
    let bytes = LayerBytes {
        each: if here { 0 } else { each },
        cached_layers: if here { depth as u64 } else { cached(settings, &llm, scope) },
        other: 0,
        evict: false,
    };
    let examples = [home.validation.examples.len(), home.test.examples.len()];
    Ok(Prepared { plan, llm, sizes, work, bytes, examples, notes, synthetic })
}

impl Prepared {
    /// What the cells that are not done yet will cost with `jobs` workers.
    ///
    /// # Errors
    /// A store that cannot be read.
    pub fn estimate(&self, store: &Store, jobs: usize, evict: bool, rate: Rate) -> Result<Estimate, Failure> {
        let todo = super::local::todo(&self.plan, store)?;
        let bytes = LayerBytes { evict, ..self.bytes };
        let is_todo = |cell: &str| todo.iter().any(|id| id == cell);
        Ok(cost::estimate(&self.plan, &is_todo, &self.sizes, &self.work, bytes, rate, jobs))
    }
}

/// Resolves a task and reads it once, for its hash and its labels.
fn task(
    argument: &str,
    study: &CheckedStudy,
    settings: &Settings,
    watch: &mut Watch<'_>,
) -> Result<(TaskAt, Dataset), Failure> {
    let mut spec = data::resolve(argument)?;
    if study.as_published.has(AsPublished::TestSplits) {
        spec = spec.with_published_splits();
    }
    read_task(spec, Seed(study.split_seed), inputs::limits(&study.limits), settings, watch)
}

/// The same for whoever has no study.
pub(super) fn read_task(
    spec: TaskSpec,
    split_seed: Seed,
    limits: data::Limits,
    settings: &Settings,
    watch: &mut Watch<'_>,
) -> Result<(TaskAt, Dataset), Failure> {
    // what a worker reads by, and what decides a cell's id, are the splits that are read
    let spec = spec.with_default_splits();
    let files = match &spec.source {
        Source::Hub(source) => {
            let mut files = SplitFiles::new();
            for split in spec.source_splits() {
                let found = datasets::parquet(settings, &source.id, &source.config, split, watch)
                    .while_doing(|| format!("task `{}`", spec.name))?;
                files.insert(split.to_owned(), found.files);
            }
            files
        }
        Source::Files(files) => files.clone(),
        Source::Embedded(_) => SplitFiles::new(),
    };
    let mut dataset = data::load(&spec, &files, split_seed, limits)?;
    dataset.notes.extend(spec.caveats.iter().cloned());
    let definition = definition(&spec)?;
    let split = |split: &data::Split| split.examples.len();
    let at = TaskAt {
        name: spec.name.clone(),
        definition,
        data_hash: dataset.hash.clone(),
        files,
        labels: dataset.labels.clone(),
        examples: [split(&dataset.train), split(&dataset.validation), split(&dataset.test)],
    };
    Ok((at, dataset))
}

/// The task without the places of its files, which decide nothing.
fn definition(spec: &TaskSpec) -> Result<serde_json::Value, Failure> {
    let mut spec = spec.clone();
    if let Source::Files(files) = &mut spec.source {
        files.values_mut().for_each(Vec::clear);
    }
    let malformed =
        |error: serde_json::Error| Error::Changed { what: format!("task `{}` ({error})", spec.name) };
    Ok(serde_json::to_value(&spec).map_err(malformed)?)
}

fn is_embedded(definition: &serde_json::Value) -> bool {
    definition.pointer("/source/embedded").is_some()
}

/// Texts whose tokens are counted for the estimate.
const SAMPLE: usize = 512;

fn mean_tokens(slm: &Opened, home: &Dataset, max_length: usize) -> Result<f64, Failure> {
    let examples = &home.train.examples;
    let sample = &examples[..examples.len().min(SAMPLE)];
    Ok(slm.tokenizer(max_length)?.encode_split(sample)?.lengths().mean)
}

/// Layers of the LLM that are on this disk already.
fn cached(settings: &Settings, llm: &Opened, scope: Scope) -> u64 {
    let (identity, word) = (llm.repository.identity(), inputs::scope_word(scope));
    let entries = crate::hub::cache::list(settings).unwrap_or_default();
    let abouts = entries.iter().filter_map(|entry| entry.about.as_ref());
    abouts.filter(|about| about.identity == identity && about.scope == word).count() as u64
}

fn sizes(slm: &Opened, llm: &Opened, classes: usize, bytes: NumberBytes) -> Sizes {
    let small = &slm.model.spec;
    let embeddings = small.embeddings.vocab_size * small.embeddings.embedding_size;
    let encoder: usize = small.blocks.iter().map(|block| parameters(block, true)).sum();
    let block = small.blocks.first();
    let last = llm.model.spec.blocks.last();
    Sizes {
        encoder: (embeddings + encoder) as u64,
        encoder_per_token: encoder as u64,
        encoder_blocks: small.blocks.len() as u64,
        encoder_width: small.hidden_size as u64,
        encoder_feed_forward: block.map_or(0, |block| block.intermediate_size) as u64,
        encoder_heads: block.map_or(0, |block| block.attention.num_heads) as u64,
        layer: last.map_or(0, |block| parameters(block, true)) as u64,
        layer_one_token: last.map_or(0, |block| parameters(block, false)) as u64,
        layer_feed_forward: last.map_or(0, |block| block.intermediate_size) as u64,
        layer_width: llm.model.spec.hidden_size as u64,
        classes: classes as u64,
        bytes,
    }
}

/// Elements of a block's matrices, with or without queries and keys.
fn parameters(block: &BlockSpec, queries_and_keys: bool) -> usize {
    let attention = &block.attention;
    let queries = attention.num_heads * attention.head_dim;
    let keys = attention.num_kv_heads * attention.head_dim;
    let matching = if queries_and_keys { queries + keys } else { 0 };
    let inner = block.intermediate_size;
    let feed_forward = match block.feed_forward {
        FeedForward::Plain(_) => 2 * inner,
        FeedForward::Gated(_) => 3 * inner,
        FeedForward::Mixture { experts, .. } => 3 * inner * experts + experts,
    };
    block.hidden_size * (matching + keys + queries + feed_forward)
}
