//! `fetch MODEL --layers ...`: layers on their own, with an account of every byte.

use serde_json::json;

use super::super::Context;
use super::super::args::{FetchArgs, ScopeWord};
use super::super::progress::Transfers;
use super::super::{signals, text};
use super::inspect::open;
use crate::error::{Category, Failure};
use crate::hub::alias::Role;
use crate::hub::{Transfer, bundle, config};
use crate::models::families::{self, Scope};
use crate::models::layers::parse_layers;

/// Fetches layers into the cache, and writes them to a portable directory if asked to.
///
/// # Errors
/// Models and layers that do not exist or cannot be had; a full disk; a stop.
pub(crate) fn run(args: &FetchArgs, context: &Context) -> Result<(), Failure> {
    let output = &context.output;
    let settings = context.hub()?;
    let repository = open(&args.model, Role::Llm, args.revision.as_deref(), &settings, context)?;
    let model = families::read(&config::read(&repository)?)?;
    let count = model.spec.blocks.len();
    let layers = parse_layers(&args.layers, count).map_err(|error| error.of_model(&args.model))?;
    output.say(&format!("layers {} of {count} of {}", text::ranges(&layers), repository.describe()));
    let (scope, word) = match args.scope {
        ScopeWord::Pooled => (Scope::OneToken, "one-token"),
        ScopeWord::Sequence => (Scope::Sequence, "sequence"),
    };
    let names = model.layer_names(&repository.tensor_names()?, &layers, scope)?;
    let stop = signals::listen();
    let mut transfers = Transfers::new(output, &stop);
    let mut sum = Transfer::default();
    let mut needed = 0;
    for layer in layers {
        let requests = model.layer_requests(&names, layer, scope)?;
        let fetched = bundle::fetch(&repository, &requests, layer, word, &mut |step| transfers.hear(step));
        transfers.clear();
        let bundle = fetched.map_err(|error| match Failure::from(error) {
            failure if failure.category() == Category::Interrupted => stop.error(),
            failure => failure.while_doing(format!("layer {layer}")),
        })?;
        let transfer = bundle.transfer();
        if let Some(folder) = &args.export {
            bundle::export(&bundle, &repository, folder)?;
        }
        if output.json {
            let mut event = account(bundle.bytes(), &transfer);
            event["event"] = "layer".into();
            event["layer"] = layer.into();
            event["path"] = json!(bundle.path());
            output.event(&event)?;
        } else {
            output.line(&format!("layer {layer}: {}", words(bundle.bytes(), &transfer)))?;
        }
        needed += bundle.bytes();
        add(&mut sum, &transfer);
    }
    if output.json {
        let mut event = account(needed, &sum);
        event["event"] = "fetched".into();
        event["model"] = repository.id().into();
        event["identity"] = repository.identity().into();
        event["export"] = json!(args.export);
        return output.event(&event);
    }
    output.line(&format!("all: {}", words(needed, &sum)))?;
    if let Some(folder) = &args.export {
        output.say(&format!("exported to `{}`: use it as a model's directory", folder.display()));
    }
    Ok(())
}

fn add(sum: &mut Transfer, one: &Transfer) {
    sum.header_bytes += one.header_bytes;
    sum.tensor_bytes += one.tensor_bytes;
    sum.waste_bytes += one.waste_bytes;
    sum.requests += one.requests;
    sum.from_cache += one.from_cache;
}

fn account(needed: u64, transfer: &Transfer) -> serde_json::Value {
    json!({
        "needed_bytes": needed,
        "tensor_bytes": transfer.tensor_bytes,
        "header_bytes": transfer.header_bytes,
        "waste_bytes": transfer.waste_bytes,
        "requests": transfer.requests,
        "from_cache_bytes": transfer.from_cache,
    })
}

fn words(needed: u64, transfer: &Transfer) -> String {
    let percent = transfer.waste_bytes as f64 * 100.0 / needed.max(1) as f64;
    format!(
        "{} needed, {} fetched, {} of headers, {} of gaps ({percent:.2} %), {}, {} from this disk",
        text::bytes(needed),
        text::bytes(transfer.tensor_bytes),
        text::bytes(transfer.header_bytes),
        text::bytes(transfer.waste_bytes),
        text::plural(usize::try_from(transfer.requests).unwrap_or(usize::MAX), "request"),
        text::bytes(transfer.from_cache),
    )
}
