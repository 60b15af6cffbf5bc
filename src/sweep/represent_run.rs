//! Hidden states of a finished run on the way from its encoder to its head, after training or
//! before it.

use super::predict::Predictor;
use super::represent::{About, Event, Hear, Represented, Texts, texts};
use super::{Plan, canonical};
use crate::data::Example;
use crate::error::Failure;
use crate::hub::{Settings, Watch};
use crate::nn::{self, Buffer};
use crate::runs::representations::{Manifest, Representations, SCHEMA_VERSION, Site, SourceOf};
use crate::runs::{Condition, Store};
use crate::train::Source as _;

/// Which run, and when.
#[derive(Clone, Debug)]
pub struct RunRequest<'a> {
    /// The plan that it was made by.
    pub plan: &'a Plan,
    /// The run's id.
    pub id: &'a str,
    /// Before any training instead of the weights that it kept.
    pub before: bool,
    /// The texts, cut as the run cuts them.
    pub texts: Texts,
}

/// Computes what is asked for, or finds it.
///
/// # Errors
/// A run without weights, texts or models that cannot be had, a full disk, and what `hear` says.
/// What stopped goes on behind the last batch of texts that passed.
pub fn compute_run(
    request: &RunRequest<'_>,
    settings: &Settings,
    store: &Store,
    to: &Representations,
    watch: &mut Watch<'_>,
    hear: &mut Hear<'_>,
) -> Result<Represented, Failure> {
    let RunRequest { plan, id, before, .. } = *request;
    let mut predictor = match before {
        true => Predictor::untrained(plan, id, settings, store)?,
        false => Predictor::open(plan, id, settings, store)?,
    };
    let (split, about) = texts(&request.texts, settings, watch)?;
    let key = canonical::id(&serde_json::json!({
        "source": SourceOf::Run, "run": id, "before": before,
        "task": about.task, "data": about.hash, "split": request.texts.split,
        "limit": request.texts.limit,
    }));
    if let Ok(manifest) = to.read(&key) {
        return Ok(Represented { manifest, found: true });
    }
    let (source, truncated) = predictor.read(&split.examples)?;
    let manifest = manifest(request, &about, &split.examples, key, predictor.max_length());
    let mut files = to.work(&manifest.key)?.together(source.len())?;
    let (tokens, passed) = (source.tokens(), files.texts());
    hear(Event::Planned {
        manifest: &manifest,
        tokens,
        truncated,
        waiting: 0,
        steps: 1,
        resumed: 0,
        passed,
    })?;
    let rest: Vec<usize> = (passed..source.len()).collect();
    // one batch at a time is in memory; the very first tells which sites there are
    for batch in rest.chunks(request.texts.batch.max(1)) {
        let rows = predictor.sites(&source, batch)?;
        if files.texts() == 0 {
            files.begin(sites(plan, id, &rows)?)?;
        }
        let numbers: Vec<_> = rows.iter().map(|(_, _, rows)| rows.read()).collect();
        nn::check(predictor.device())?;
        for (at, numbers) in numbers.iter().enumerate() {
            files.push(at, numbers)?;
        }
        files.passed(batch.len())?;
        hear(Event::Texts { step: 0, done: files.texts() })?;
    }
    hear(Event::Passed { step: 0 })?;
    Ok(Represented { manifest: files.publish(manifest)?, found: false })
}

/// The sites of a batch, without files.
fn sites(plan: &Plan, id: &str, rows: &[(&'static str, usize, Buffer)]) -> Result<Vec<Site>, Failure> {
    let site = |(name, width, _): &(&'static str, usize, Buffer)| {
        let (file, sha256) = (String::new(), String::new());
        Ok(Site { name: (*name).into(), layer: layer(plan, id, name)?, width: *width, file, sha256 })
    };
    rows.iter().map(site).collect()
}

/// The LLM's layer, of the site that is its output.
fn layer(plan: &Plan, id: &str, site: &str) -> Result<Option<usize>, Failure> {
    Ok(match plan.cell(id)?.condition {
        Condition::Layer(layer) if site == "layer" => Some(layer),
        _ => None,
    })
}

fn manifest(
    request: &RunRequest<'_>,
    about: &About,
    examples: &[Example],
    key: String,
    max_length: usize,
) -> Manifest {
    let plan = request.plan;
    let moment = if request.before { "before" } else { "after" };
    let short = &request.id[..request.id.len().min(8)];
    Manifest {
        schema_version: SCHEMA_VERSION,
        key,
        source: SourceOf::Run,
        model: format!("run-{short}-{moment}"),
        revision: request.id.into(),
        task: about.task.clone(),
        data_hash: about.hash.clone(),
        whole_hash: Some(about.whole_hash.clone()),
        split: request.texts.split.into(),
        pool: plan.inputs.pooling.name().into(),
        max_length,
        limit: request.texts.limit,
        n: examples.len(),
        sites: Vec::new(),
        example_ids: examples.iter().map(|example| example.id).collect(),
        labels: examples.iter().map(|example| example.label).collect(),
        label_names: about.labels.clone(),
    }
}
