//! `inspect MODEL`: what headers alone tell.

use std::collections::BTreeSet;

use serde_json::json;

use super::super::Context;
use super::super::args::InspectArgs;
use super::super::text;
use crate::error::Failure;
use crate::hub::alias::Role;
use crate::hub::{ModelName, Repository, Settings, TensorIndex, config};
use crate::models::families::{self, Model, Scope};

/// A layer's bytes, the smallest and the largest of a model.
type Span = (u64, u64);

/// Reads `config.json` and headers, no weight, and says what they mean.
///
/// # Errors
/// A model that cannot be found, accessed or read. One that is not supported is no error.
pub(crate) fn run(args: &InspectArgs, context: &Context) -> Result<(), Failure> {
    let settings = context.hub()?;
    let repository = open(&args.model, Role::Llm, args.revision.as_deref(), &settings, context)?;
    let config = config::read(&repository)?;
    let index = repository.tensor_index()?;
    let model = families::read(&config);
    let declared = config.get("model_type").and_then(|it| it.as_str()).unwrap_or("unknown").to_owned();
    let layers = model
        .as_ref()
        .map_err(ToString::to_string)
        .and_then(|model| layer_bytes(model, &index).map_err(|failure| failure.to_string()));
    let facts =
        Facts { repository: &repository, model: model.as_ref().ok(), index: &index, declared, layers };
    if context.output.json {
        return context.output.document(&facts.json(args.tensors));
    }
    context.output.data(&text::pairs(&facts.rows()))?;
    if args.tensors {
        context.output.data(&format!("\n{}", tensors(&index)))?;
    }
    for note in facts.model.iter().flat_map(|model| &model.notes) {
        context.output.say(&format!("note: {note}"));
    }
    if let Err(failure) = model
        && let Some(hint) = Failure::from(failure).hint()
    {
        context.output.say(&format!("hint: {hint}"));
    }
    Ok(())
}

/// Opens a model by the name that was typed, and says which repository an alias stands for.
///
/// # Errors
/// A name that is none, or a repository that cannot be found or accessed.
pub(crate) fn open(
    typed: &str,
    role: Role,
    revision: Option<&str>,
    settings: &Settings,
    context: &Context,
) -> Result<Repository, Failure> {
    let name = ModelName::parse(typed)?.in_role(role);
    if let ModelName::Hub { id, alias: Some(alias), .. } = &name {
        context.output.say(&format!("`{alias}` stands for {id}"));
    }
    Ok(Repository::open(settings, &name, revision)?)
}

/// Bytes of one layer: whole, and without what one token does not use.
fn layer_bytes(model: &Model, index: &TensorIndex) -> Result<(Span, Span), Failure> {
    let names = index.names();
    let count = model.spec.blocks.len();
    Ok((
        span(model, &names, index, count, Scope::Sequence)?,
        span(model, &names, index, count, Scope::OneToken)?,
    ))
}

fn span(
    model: &Model,
    on_disk: &BTreeSet<String>,
    index: &TensorIndex,
    count: usize,
    scope: Scope,
) -> Result<Span, Failure> {
    let layers: Vec<usize> = (0..count).collect();
    let names = model.layer_names(on_disk, &layers, scope)?;
    let (mut least, mut most) = (u64::MAX, 0);
    for layer in layers {
        let mut bytes = 0;
        for request in model.layer_requests(&names, layer, scope)? {
            bytes += index.bytes_of(&request)?;
        }
        (least, most) = (least.min(bytes), most.max(bytes));
    }
    Ok((least.min(most), most))
}

struct Facts<'a> {
    repository: &'a Repository,
    model: Option<&'a Model>,
    index: &'a TensorIndex,
    declared: String,
    layers: Result<(Span, Span), String>,
}

impl Facts<'_> {
    /// Stored element types, the most bytes first.
    fn dtypes(&self) -> Vec<&'static str> {
        let mut bytes: Vec<(&'static str, u64)> = Vec::new();
        for tensor in self.index.tensors.values() {
            let (name, size) = (tensor.dtype.name(), tensor.bytes.end - tensor.bytes.start);
            match bytes.iter_mut().find(|(known, _)| *known == name) {
                Some((_, sum)) => *sum += size,
                None => bytes.push((name, size)),
            }
        }
        bytes.sort_by_key(|(name, sum)| (std::cmp::Reverse(*sum), *name));
        bytes.into_iter().map(|(name, _)| name).collect()
    }

    fn header_bytes(&self) -> u64 {
        self.index.shards.iter().map(|shard| shard.header_bytes).sum()
    }

    fn rows(&self) -> Vec<(&'static str, String)> {
        let mut rows = vec![("model", self.repository.describe())];
        rows.extend(self.repository.commit().map(|commit| ("commit", commit.to_owned())));
        match self.model {
            Some(model) => {
                rows.push(("family", model.family.to_owned()));
                rows.push(("layers", model.spec.blocks.len().to_string()));
                rows.push(("hidden size", model.spec.hidden_size.to_string()));
                if let Some(block) = model.spec.blocks.first() {
                    let attention = &block.attention;
                    rows.push(("heads", attention.num_heads.to_string()));
                    rows.push(("key-value heads", attention.num_kv_heads.to_string()));
                    rows.push(("head width", attention.head_dim.to_string()));
                    rows.push(("feed-forward", block.intermediate_size.to_string()));
                }
            }
            None => rows.push(("family", self.declared.clone())),
        }
        rows.push(("stored as", self.dtypes().join(", ")));
        let (tensors, shards) = (self.index.tensors.len(), self.index.shards.len());
        rows.push(("tensors", format!("{tensors} in {}", text::plural(shards, "file"))));
        rows.push(("whole model", text::bytes(self.index.file_bytes())));
        match &self.layers {
            Ok((whole, one_token)) => {
                rows.push(("one layer", between(*whole)));
                rows.push((
                    "without q and k",
                    format!("{} (all that a pooled plug uses)", between(*one_token)),
                ));
                rows.push(("supported", "yes".into()));
            }
            Err(reason) => rows.push(("supported", format!("no: {reason}"))),
        }
        rows.push(("headers", format!("{}, 0 B of weights read", text::bytes(self.header_bytes()))));
        rows
    }

    fn json(&self, tensors: bool) -> serde_json::Value {
        let spec = self.model.map(|model| &model.spec);
        let block = spec.and_then(|spec| spec.blocks.first());
        let span = |span: Span| json!({"least": span.0, "most": span.1});
        let bytes = self.layers.as_ref().ok();
        let mut value = json!({
            "model": self.repository.id(),
            "identity": self.repository.identity(),
            "commit": self.repository.commit(),
            "family": self.declared,
            "supported": self.layers.is_ok(),
            "reason": self.layers.as_ref().err(),
            "layers": spec.map(|spec| spec.blocks.len()),
            "hidden_size": spec.map(|spec| spec.hidden_size),
            "num_heads": block.map(|block| block.attention.num_heads),
            "num_kv_heads": block.map(|block| block.attention.num_kv_heads),
            "head_dim": block.map(|block| block.attention.head_dim),
            "intermediate_size": block.map(|block| block.intermediate_size),
            "dtypes": self.dtypes(),
            "tensors": self.index.tensors.len(),
            "shards": self.index.shards.iter().map(|shard| json!({
                "name": shard.name, "bytes": shard.size, "header_bytes": shard.header_bytes,
            })).collect::<Vec<_>>(),
            "bytes": self.index.file_bytes(),
            "layer_bytes": bytes.map(|(whole, _)| span(*whole)),
            "layer_bytes_one_token": bytes.map(|(_, one_token)| span(*one_token)),
            "header_bytes": self.header_bytes(),
            "weight_bytes_read": 0,
            "notes": self.model.map(|model| model.notes.clone()),
        });
        if tensors {
            value["tensor_list"] = self
                .index
                .tensors
                .iter()
                .map(|(name, it)| {
                    json!({
                        "name": name, "dtype": it.dtype.name(), "shape": it.shape,
                        "bytes": it.bytes.end - it.bytes.start,
                        "file": self.index.shards[it.shard].name,
                    })
                })
                .collect();
        }
        value
    }
}

fn between((least, most): Span) -> String {
    if least == most { text::bytes(most) } else { format!("{} to {}", text::bytes(least), text::bytes(most)) }
}

fn tensors(index: &TensorIndex) -> String {
    let rows: Vec<Vec<String>> = index
        .tensors
        .iter()
        .map(|(name, it)| {
            let shape = it.shape.iter().map(usize::to_string).collect::<Vec<_>>().join(" x ");
            let size = text::bytes(it.bytes.end - it.bytes.start);
            vec![name.clone(), it.dtype.name().to_owned(), shape, size, index.shards[it.shard].name.clone()]
        })
        .collect();
    text::table(
        &[("tensor", false), ("type", false), ("shape", false), ("size", true), ("file", false)],
        &rows,
    )
}
