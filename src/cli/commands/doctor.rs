//! `doctor`: what this machine and this build can do.

use std::path::Path;

use serde_json::json;

use super::super::Context;
use super::super::{machine, text};
use crate::device::{Choice, Precision};
use crate::error::Failure;
use crate::hub::{self, ModelName};

/// Shows the machine, the build, the caches and what decides about the network.
///
/// # Errors
/// When nobody reads it.
pub(crate) fn run(context: &Context) -> Result<(), Failure> {
    let mut rows: Vec<(&'static str, String)> = vec![
        ("program", format!("pifi-probe {}", env!("CARGO_PKG_VERSION"))),
        ("commit", option_env!("PIFI_PROBE_COMMIT").unwrap_or("unknown to this build").into()),
        ("processor", machine::processor()),
        ("instructions", machine::instructions().join(", ")),
        ("cores", machine::cores().to_string()),
        ("threads", context.threads().to_string()),
        ("memory", memory()),
        ("device", gpu()),
        ("cpu precisions", precisions()),
    ];
    let settings = context.hub();
    match &settings {
        Ok(settings) => rows.extend(hub_rows(settings)),
        Err(failure) => rows.push(("hub", format!("unusable: {failure}"))),
    }
    rows.push(("demo", demo()));
    let colours = if context.output.draws() { "bars" } else { "lines" };
    rows.push(("progress", colours.into()));
    if context.output.json {
        let fields: serde_json::Map<_, _> =
            rows.into_iter().map(|(name, value)| (name.replace(' ', "_"), json!(value))).collect();
        return context.output.document(&fields);
    }
    context.output.data(&text::pairs(&rows))
}

fn memory() -> String {
    match (machine::total_memory(), machine::available_memory()) {
        (Some(total), Some(free)) => format!("{}, {} available", text::bytes(total), text::bytes(free)),
        _ => "unknown on this system".into(),
    }
}

fn gpu() -> String {
    match Choice::Cuda(0, Precision::F32).resolve() {
        Ok(device) => device.description(),
        Err(error) => format!("cpu ({error})"),
    }
}

/// What `--precision` takes without a GPU, and why not the others.
fn precisions() -> String {
    let said = Precision::ALL.iter().map(|precision| match Choice::Cpu(*precision).resolve() {
        Ok(_) => precision.to_string(),
        Err(error) => format!("not {precision} ({error})"),
    });
    said.collect::<Vec<_>>().join(", ")
}

fn hub_rows(settings: &hub::Settings) -> Vec<(&'static str, String)> {
    let token = match &settings.token {
        Some(token) => format!("from {}", token.source()),
        None => "none (open models need none)".into(),
    };
    let offline = match &settings.offline {
        Some(because) => format!("offline, from {because}"),
        None => "online".into(),
    };
    vec![
        ("endpoint", settings.endpoint.clone()),
        ("token", token),
        ("network", offline),
        ("hub cache", place(&settings.cache)),
        ("layer cache", place(&settings.bundles)),
    ]
}

/// A directory, and whether it can be written: asked of the nearest directory that exists.
fn place(path: &Path) -> String {
    let existing = path.ancestors().find(|folder| folder.is_dir());
    let probe = existing.map(|folder| folder.join(format!(".pifi-probe.{}", std::process::id())));
    let state = match probe {
        None => "cannot be made".to_owned(),
        Some(probe) => match std::fs::write(&probe, b"") {
            Ok(()) => {
                // nothing was in it
                let _ = std::fs::remove_file(&probe);
                if path.is_dir() { "writable".into() } else { "writable, made when needed".into() }
            }
            Err(error) => format!("not writable: {error}"),
        },
    };
    format!("{} ({state})", path.display())
}

fn demo() -> String {
    let present: Vec<_> = hub::demo::repositories().into_iter().collect();
    let embedded = ModelName::Embedded(hub::DEMO.into());
    if present.is_empty() {
        format!("`{embedded}` is not part of this build")
    } else {
        format!("embedded: {}", present.join(", "))
    }
}
