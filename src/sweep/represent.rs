//! Hidden states of a task's texts, from names to a stored representation: an LLM or a small model
//! layer by layer, picked up where it was left.

use super::inputs::Opened;
use super::plan::NUMERICS_VERSION;
use super::prepare::read_task;
use super::{Error, canonical};
use crate::data::encode::EncodedSplit;
use crate::data::{Limits, Split};
use crate::device::{Device, Precision};
use crate::error::{Category, Context, Failure};
use crate::hub::alias::Role;
use crate::hub::tensor::{TensorRequest, TensorSource};
use crate::hub::{ModelName, Settings, Watch, bundle};
use crate::models::families::{Model, Scope};
use crate::models::layers;
use crate::models::pooling::Pooling;
use crate::represent::{Tape, Walk};
use crate::runs::representations::{Manifest, Representations, SCHEMA_VERSION, SourceOf, Step};
use crate::seed::Seed;

/// Which examples of which task, and how they are read.
#[derive(Clone, Debug)]
pub struct Texts {
    /// The task as it was typed.
    pub task: String,
    /// `train`, `validation` or `test`.
    pub split: &'static str,
    /// Seed of splits that the task does not come with, and of the limit: a study's own, where its
    /// test texts are to be texts that it has not seen.
    pub split_seed: u64,
    /// Most examples; which ones, the split seed decides.
    pub limit: Option<usize>,
    /// Tokens a text is cut to.
    pub max_length: usize,
    /// Texts passed through a layer at once; decides no result beyond rounding.
    pub batch: usize,
}

/// What of a model is to be represented.
#[derive(Clone, Debug)]
pub struct Request {
    /// [`SourceOf::Llm`] or [`SourceOf::Slm`].
    pub role: Role,
    /// The model as it was typed.
    pub model: String,
    /// The texts.
    pub texts: Texts,
    /// From tokens to one row; the model's usual one when `None`.
    pub pool: Option<Pooling>,
    /// The layers, as typed; the embeddings are always there.
    pub layers: String,
    /// Where to compute.
    pub device: Device,
}

/// What happens on the way.
#[derive(Clone, Debug)]
pub enum Event<'a> {
    /// Before anything is computed.
    Planned {
        /// Without its sites.
        manifest: &'a Manifest,
        /// Tokens of all texts.
        tokens: usize,
        /// Texts that were cut.
        truncated: usize,
        /// Bytes of activations that wait on the disk, at most.
        waiting: u64,
        /// Embeddings and layers to pass, and how many were passed before.
        steps: usize,
        /// Of those, done by an earlier command.
        resumed: usize,
        /// Texts that passed the next step in an earlier command.
        passed: usize,
    },
    /// A layer's weights are there.
    Layer {
        /// Bytes that came over the network.
        fetched: u64,
    },
    /// Texts passed a step.
    Texts {
        /// Which step.
        step: usize,
        /// Texts that have passed it.
        done: usize,
    },
    /// All texts passed a step.
    Passed {
        /// Which step.
        step: usize,
    },
}

/// Hears events; an error stops the work, which the same request goes on with later.
pub type Hear<'a> = dyn FnMut(Event<'_>) -> Result<(), Failure> + 'a;

/// What came out.
#[derive(Clone, Debug)]
pub struct Represented {
    /// The representation.
    pub manifest: Manifest,
    /// Whether an earlier command had computed it.
    pub found: bool,
}

/// Computes what is asked for, or finds it.
///
/// # Errors
/// Models, tasks and layers that do not exist or cannot be had, texts that the model cannot read, a
/// full disk, and what `hear` says.
pub fn compute(
    request: &Request,
    settings: &Settings,
    store: &Representations,
    watch: &mut Watch<'_>,
    hear: &mut Hear<'_>,
) -> Result<Represented, Failure> {
    compute_whole(request, settings, store, watch, hear).map_err(|failure| match failure.category() {
        // the remedy of a missing layer would bring that layer alone
        Category::Offline => Error::OfflineStates(failure).into(),
        _ => failure,
    })
}

fn compute_whole(
    request: &Request,
    settings: &Settings,
    store: &Representations,
    watch: &mut Watch<'_>,
    hear: &mut Hear<'_>,
) -> Result<Represented, Failure> {
    let source = match request.role {
        Role::Llm => SourceOf::Llm,
        Role::Slm => SourceOf::Slm,
    };

    // 1. The model, and the layers that are asked for
    let name = ModelName::parse(&request.model)?.in_role(request.role);
    let opened = Opened::new(settings, &name, None)?;
    let at = opened.at(&request.model, &name);
    let model = &opened.model;
    let chosen = layers::parse_layers(&request.layers, model.spec.blocks.len())
        .map_err(|error| error.of_model(&request.model))?;
    let pool = request.pool.unwrap_or(if model.spec.causal { Pooling::Last } else { Pooling::Cls });

    // 2. The texts
    let tokenizer = opened.tokenizer(request.texts.max_length)?;
    let (split, about) = texts(&request.texts, settings, watch)?;
    let encoded = tokenizer.encode_split(&split.examples)?;

    // 3. The key: everything that decides the numbers
    let words = [&at.revision, &about.hash, pool.name(), request.texts.split];
    let mut decides = serde_json::json!({
        "numerics": NUMERICS_VERSION,
        "source": source,
        "words": words,
        "task": about.task,
        "limit": request.texts.limit,
        "max_length": tokenizer.options().max_length,
        "layers": chosen,
    });
    if request.device.precision() != Precision::F32 {
        decides["precision"] = request.device.precision().to_string().into();
    }
    let key = canonical::id(&decides);
    if let Ok(manifest) = store.read(&key) {
        return Ok(Represented { manifest, found: true });
    }
    let manifest = Manifest {
        schema_version: SCHEMA_VERSION,
        key: key.clone(),
        source,
        model: at.name.clone(),
        revision: at.revision.clone(),
        task: about.task,
        data_hash: about.hash,
        whole_hash: Some(about.whole_hash),
        split: request.texts.split.into(),
        pool: pool.name().into(),
        max_length: tokenizer.options().max_length,
        limit: request.texts.limit,
        n: encoded.len(),
        sites: Vec::new(),
        example_ids: encoded.example_ids.clone(),
        labels: encoded.labels.clone(),
        label_names: about.labels,
    };
    let (batch, device) = (request.texts.batch, request.device);
    let walker = Walker { opened: &opened, encoded: &encoded, pool, batch, chosen, device };
    let manifest = walker.run(manifest, store, watch, hear)?;
    Ok(Represented { manifest, found: false })
}

/// What is known of the task whose texts are read.
pub(super) struct About {
    pub(super) task: String,
    pub(super) hash: String,
    pub(super) whole_hash: String,
    pub(super) labels: Vec<String>,
}

pub(super) fn texts(
    texts: &Texts,
    settings: &Settings,
    watch: &mut Watch<'_>,
) -> Result<(Split, About), Failure> {
    let limit = |split: &str| texts.limit.filter(|_| split == texts.split);
    let limits = Limits { train: limit("train"), validation: limit("validation"), test: limit("test") };
    let (at, data) =
        read_task(crate::data::resolve(&texts.task)?, Seed(texts.split_seed), limits, settings, watch)?;
    let split = match texts.split {
        "train" => data.train,
        "validation" => data.validation,
        _ => data.test,
    };
    let about = About { task: at.name, hash: data.hash, whole_hash: data.whole_hash, labels: data.labels };
    Ok((split, about))
}

struct Walker<'a> {
    opened: &'a Opened,
    encoded: &'a EncodedSplit,
    pool: Pooling,
    batch: usize,
    chosen: Vec<usize>,
    device: Device,
}

impl Walker<'_> {
    fn run(
        &self,
        manifest: Manifest,
        store: &Representations,
        watch: &mut Watch<'_>,
        hear: &mut Hear<'_>,
    ) -> Result<Manifest, Failure> {
        let model = &self.opened.model;
        let last = self.chosen.iter().copied().max().unwrap_or(0);
        let mut work = store.work(&manifest.key)?;
        if work.steps() > last + 2 {
            work.restart()?;
        }
        let waiting = 2 * self.encoded.ids.len() * model.spec.hidden_size * size_of::<f32>();
        hear(Event::Planned {
            manifest: &manifest,
            tokens: self.encoded.ids.len(),
            truncated: self.encoded.truncated,
            waiting: waiting as u64,
            steps: last + 2,
            resumed: work.steps(),
            passed: 0,
        })?;
        let outside = self.outside(manifest.source, watch)?;
        let weights = self.opened.weights(outside.as_ref(), None);
        let pool = Some(self.pool);
        let mut walk = Walk::new(model, weights, self.encoded, pool, self.batch, self.device)?;
        for step in work.steps()..last + 2 {
            let layer = step.checked_sub(1);
            let name = layer.map_or_else(|| "embeddings".to_owned(), |layer| format!("layer {layer}"));
            let wanted = layer.is_none_or(|layer| self.chosen.contains(&layer));
            let width = Walk::width(model, layer);
            let site = wanted.then_some((name.as_str(), layer, self.encoded.len(), width));
            let mut tape = Heard { inner: work.step(site, step < last + 1)?, step, done: 0, hear };
            match layer {
                None => walk.embed(weights, &mut tape)?,
                Some(layer) => {
                    let (tensors, fetched) = self.layer(manifest.source, layer, watch)?;
                    (tape.hear)(Event::Layer { fetched })?;
                    let tensors: &dyn TensorSource = tensors.as_ref().map_or(outside.as_ref(), |it| it as _);
                    let weights = self.opened.weights(tensors, None);
                    walk.layer(layer, weights, &mut tape).while_doing(|| name.clone())?;
                }
            }
            let finished = tape.inner.finish()?;
            work.done(finished)?;
            hear(Event::Passed { step })?;
        }
        Ok(work.publish(manifest)?)
    }

    /// What stands outside the layers; of a small model everything.
    fn outside(&self, source: SourceOf, watch: &mut Watch<'_>) -> Result<Box<dyn TensorSource>, Failure> {
        let Opened { repository, model, names } = self.opened;
        if source == SourceOf::Slm {
            return Ok(Box::new(repository.checkpoint(watch)?));
        }
        let requests = outside_requests(model, names);
        Ok(Box::new(bundle::fetch(repository, &requests, 0, "outside", watch)?))
    }

    /// One layer of an LLM and the bytes that it took; a small model's is there already.
    fn layer(
        &self,
        source: SourceOf,
        layer: usize,
        watch: &mut Watch<'_>,
    ) -> Result<(Option<bundle::Bundle>, u64), Failure> {
        if source == SourceOf::Slm {
            return Ok((None, 0));
        }
        let own = Walk::weights_of(&self.opened.model, layer);
        let bundle = self.opened.layer(own, Scope::Sequence, watch)?;
        let transfer = bundle.transfer();
        let bytes = transfer.header_bytes + transfer.tensor_bytes + transfer.waste_bytes;
        Ok((Some(bundle), bytes))
    }
}

/// Everything that a model reads besides its layers.
fn outside_requests(model: &Model, names: &crate::models::families::Names) -> Vec<TensorRequest> {
    let on_disk = model.tensors.model.iter().map(|(_, source)| names.on_disk(source));
    let mut requests: Vec<_> = on_disk.map(|name| TensorRequest { name, rows: None }).collect();
    requests.sort();
    requests.dedup();
    requests
}

/// A step whose listener is told of every batch.
struct Heard<'a, 'b, 'c> {
    inner: Step<'a>,
    step: usize,
    done: usize,
    hear: &'b mut Hear<'c>,
}

impl Tape for Heard<'_, '_, '_> {
    fn recall(&mut self, activations: &mut [f32]) -> Result<(), Failure> {
        self.inner.recall(activations)
    }

    fn keep(&mut self, activations: &[f32]) -> Result<(), Failure> {
        self.inner.keep(activations)
    }

    fn rows(&mut self, rows: &[f32], texts: usize) -> Result<(), Failure> {
        self.inner.rows(rows, texts)?;
        self.done += texts;
        (self.hear)(Event::Texts { step: self.step, done: self.done })
    }
}
