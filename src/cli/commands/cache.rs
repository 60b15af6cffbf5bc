//! `cache ls|rm|verify`.

use serde_json::json;

use super::super::Context;
use super::super::args::{CacheArgs, CacheCommand};
use super::super::error::Error;
use super::super::{signals, text};
use crate::error::Failure;
use crate::hub::cache::{self, Entry};
use crate::hub::{ModelName, Settings};

/// Looks after the layers on this disk.
///
/// # Errors
/// A cache that cannot be read or written; names that nothing is kept of.
pub(crate) fn run(args: CacheArgs, context: &Context) -> Result<(), Failure> {
    let settings = context.hub()?;
    let entries = cache::list(&settings)?;
    match args.command {
        CacheCommand::Ls => list(&settings, &entries, context),
        CacheCommand::Verify => verify(&entries, context),
        CacheCommand::Rm(args) => {
            if args.models.is_empty() && !args.all && !args.unfinished {
                return Err(Error::NothingNamed.into());
            }
            let names = args.models.iter().map(|model| folder(model)).collect::<Vec<_>>();
            let chosen = |entry: &&Entry| {
                let named = names
                    .iter()
                    .any(|name| entry.folder == *name || entry.folder.starts_with(&format!("{name}@")));
                args.all || named || (args.unfinished && entry.about.is_none())
            };
            remove(entries.iter().filter(chosen), args.dry_run, context)
        }
    }
}

/// The directory of a model as the cache names it, from an alias, a Hub id or the name itself.
fn folder(model: &str) -> String {
    match ModelName::parse(model) {
        Ok(ModelName::Hub { id, revision, .. }) if !model.starts_with("models--") => {
            let revision = revision.map(|revision| format!("@{revision}")).unwrap_or_default();
            format!("models--{}{revision}", id.replace('/', "--"))
        }
        _ => model.to_owned(),
    }
}

/// `org/name@commit` of a cache folder, the commit shortened.
fn model(entry: &Entry) -> String {
    let name = entry.folder.strip_prefix("models--").unwrap_or(&entry.folder).replacen("--", "/", 1);
    match name.split_once('@') {
        Some((name, commit)) => format!("{name}@{}", commit.chars().take(8).collect::<String>()),
        None => name,
    }
}

fn layer(entry: &Entry) -> (String, String) {
    match &entry.about {
        Some(about) => (about.layer.to_string(), about.scope.clone()),
        None => ("-".into(), "unfinished or damaged".into()),
    }
}

fn value(entry: &Entry) -> serde_json::Value {
    json!({
        "model": model(entry),
        "folder": entry.folder,
        "layer": entry.about.as_ref().map(|about| about.layer),
        "scope": entry.about.as_ref().map(|about| about.scope.clone()),
        "bytes": entry.bytes,
        "age_seconds": entry.age.as_secs(),
        "path": entry.path,
    })
}

fn list(settings: &Settings, entries: &[Entry], context: &Context) -> Result<(), Failure> {
    let total: u64 = entries.iter().map(|entry| entry.bytes).sum();
    if context.output.json {
        let layers: Vec<_> = entries.iter().map(value).collect();
        return context.output.document(&json!({
            "directory": settings.bundles, "bytes": total, "layers": layers,
        }));
    }
    let rows: Vec<Vec<String>> = entries
        .iter()
        .map(|entry| {
            let (layer, scope) = layer(entry);
            let age = format!("{} ago", text::duration(entry.age.as_secs_f64()));
            vec![model(entry), layer, scope, text::bytes(entry.bytes), age]
        })
        .collect();
    if !rows.is_empty() {
        let columns =
            [("model", false), ("layer", true), ("scope", false), ("size", true), ("written", false)];
        context.output.data(&text::table(&columns, &rows))?;
    }
    context.output.say(&format!(
        "{} in `{}`, {}",
        text::plural(entries.len(), "layer"),
        settings.bundles.display(),
        text::bytes(total)
    ));
    Ok(())
}

fn remove<'a>(
    entries: impl Iterator<Item = &'a Entry>,
    dry_run: bool,
    context: &Context,
) -> Result<(), Failure> {
    let (mut count, mut freed) = (0, 0);
    let mut removed = Vec::new();
    for entry in entries {
        freed += if dry_run { entry.bytes } else { cache::remove(entry)? };
        count += 1;
        removed.push(value(entry));
        let (layer, scope) = layer(entry);
        context.output.detail(&format!("{} layer {layer} ({scope})", model(entry)));
    }
    if context.output.json {
        return context.output.document(&json!({"dry_run": dry_run, "bytes": freed, "removed": removed}));
    }
    let word = if dry_run { "would remove" } else { "removed" };
    context.output.line(&format!("{word} {}, {}", text::plural(count, "layer"), text::bytes(freed)))
}

fn verify(entries: &[Entry], context: &Context) -> Result<(), Failure> {
    let stop = signals::listen();
    let (mut damaged, mut read) = (0, 0);
    for entry in entries {
        stop.check()?;
        let found = cache::verify(entry);
        let (layer, scope) = layer(entry);
        if context.output.json {
            let mut value = value(entry);
            value["event"] = "verified".into();
            value["problem"] = found.as_ref().err().map(ToString::to_string).into();
            context.output.event(&value)?;
        } else {
            let verdict = found.as_ref().map_or_else(|error| format!("FAIL  {error}"), |_| "ok".into());
            context.output.line(&format!("{} layer {layer} ({scope}): {verdict}", model(entry)))?;
        }
        match found {
            Ok(bytes) => read += bytes,
            Err(_) => damaged += 1,
        }
    }
    context.output.say(&format!(
        "hashed {} in {}, {damaged} damaged or unfinished",
        text::bytes(read),
        text::plural(entries.len(), "layer")
    ));
    if damaged > 0 { Err(Error::Damaged(damaged).into()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_is_found_by_its_alias_its_id_and_its_folder() {
        for name in ["gpt2", "openai-community/gpt2", "models--openai-community--gpt2"] {
            assert_eq!(folder(name), "models--openai-community--gpt2", "{name}");
        }
    }
}
