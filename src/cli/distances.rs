//! Stored hidden states of a transfer study's domains, and how far the domains are apart in them.
//! Only states of the very models are read: one revision, one pooling, one length of text.

use std::path::Path;

use ndarray::Array2;
use rayon::prelude::*;

use super::Context;
use super::text::shell_words;
use crate::analysis::transfer::{PlaceDistances, place_distances};
use crate::data;
use crate::error::Failure;
use crate::report::{Distances, ModelDistances};
use crate::runs::representations::{Manifest, Representations, SourceOf};
use crate::seed::Seed;
use crate::sweep::{ModelAt, Plan};

/// Measures what the stored states allow, and names the commands for what is not there.
///
/// # Errors
/// Hidden states that stand in their place and are damaged.
pub(super) fn distances(
    plans: &[Plan],
    domains: &[String],
    out: &Path,
    context: &Context,
) -> Result<Distances, Failure> {
    let mut found = Distances::default();
    let Some(plan) = plans.first() else { return Ok(found) };
    let store = Representations::at(out);
    let stored = store.list()?;
    for (source, at, typed) in [
        (SourceOf::Llm, &plan.inputs.llm, &plan.study.llm),
        (SourceOf::Slm, &plan.inputs.slm, &plan.study.slm),
    ] {
        let states = best(&stored, source, at, domains);
        if states.len() < 2 {
            let flag = if source == SourceOf::Llm { "--llm" } else { "--slm" };
            found.commands.extend(commands(plans, domains, &states, (flag, typed), out));
            continue;
        }
        context.output.say(&format!("distances between {} domains in {}", states.len(), at.name));
        let seed = Seed(plan.study.split_seed).derive("domain distances");
        let places = places(&store, &states, seed)?;
        let left: Vec<&str> = domains
            .iter()
            .filter(|name| states.iter().all(|(at, _)| domains[*at] != **name))
            .map(String::as_str)
            .collect();
        if !left.is_empty() {
            found.notes.push(format!(
                "no hidden states of {} on test texts of {} are stored with the others' pooling and length",
                at.name,
                left.join(", ")
            ));
        }
        found.models.push(ModelDistances {
            model: at.name.clone(),
            llm: source == SourceOf::Llm,
            basis: basis(&states, plans),
            places,
        });
    }
    Ok(found)
}

/// A domain's number and its hidden states.
type States<'a> = Vec<(usize, &'a Manifest)>;

/// Of the states of one model that can be compared with each other, those of most domains; of equal
/// ones the first by pooling and length. Of several of one domain the one with most texts.
fn best<'a>(stored: &'a [Manifest], source: SourceOf, at: &ModelAt, domains: &[String]) -> States<'a> {
    let fits = |manifest: &&Manifest| {
        manifest.source == source
            && manifest.model == at.name
            && manifest.revision == at.revision
            && manifest.split == "test"
    };
    let mut ways: Vec<(&str, usize)> =
        stored.iter().filter(fits).map(|manifest| (manifest.pool.as_str(), manifest.max_length)).collect();
    ways.sort_unstable();
    ways.dedup();
    let group = |(pool, length): (&str, usize)| -> States<'a> {
        let of = |name: &String| {
            let same = |manifest: &&Manifest| {
                manifest.task == *name && manifest.pool == pool && manifest.max_length == length
            };
            stored.iter().filter(fits).filter(same).max_by_key(|manifest| (manifest.n, manifest.key.clone()))
        };
        domains.iter().enumerate().filter_map(|(at, name)| Some((at, of(name)?))).collect()
    };
    let groups = ways.into_iter().map(group);
    groups.reduce(|best, next| if next.len() > best.len() { next } else { best }).unwrap_or_default()
}

/// The distances at every place that all of the states have.
fn places(store: &Representations, states: &States<'_>, seed: Seed) -> Result<Vec<PlaceDistances>, Failure> {
    let Some((_, first)) = states.first() else { return Ok(Vec::new()) };
    let place = |manifest: &Manifest, name: &str, width: usize| {
        manifest.sites.iter().position(|site| site.name == name && site.width == width)
    };
    let shared = first
        .sites
        .iter()
        .filter(|site| states.iter().all(|(_, manifest)| place(manifest, &site.name, site.width).is_some()));
    let shared: Vec<_> = shared.collect();
    let measured = shared.into_par_iter().map(|site| {
        let mut domains = Vec::with_capacity(states.len());
        for (domain, manifest) in states {
            let at = place(manifest, &site.name, site.width).unwrap_or(0);
            let values: Vec<f64> = store.open(manifest).read(at)?.into_iter().map(f64::from).collect();
            let rows = Array2::from_shape_vec((manifest.n, site.width), values)
                .expect("a site is read with n times width numbers");
            domains.push((*domain, rows));
        }
        Ok(place_distances(&site.name, site.layer, &domains, seed))
    });
    measured.collect()
}

fn basis(states: &States<'_>, plans: &[Plan]) -> String {
    let Some((_, first)) = states.first() else { return String::new() };
    let known = |manifest: &Manifest| {
        let mut tasks =
            plans.iter().flat_map(|plan| std::iter::once(&plan.inputs.task).chain(&plan.inputs.eval));
        tasks.any(|task| task.name == manifest.task && task.data_hash == manifest.data_hash)
    };
    let keys: Vec<String> = states.iter().map(|(_, manifest)| manifest.key[..8].to_owned()).collect();
    let same = states.iter().all(|(_, manifest)| known(manifest));
    let texts =
        if same { "of the very texts of this study" } else { "some of other selections of the tasks' texts" };
    format!(
        "Hidden states {} pooled, texts cut to {} tokens, {texts}, from representations {}",
        first.pool,
        first.max_length,
        keys.join(", ")
    )
}

/// What to type for the domains that lack states.
fn commands(
    plans: &[Plan],
    domains: &[String],
    states: &States<'_>,
    (flag, model): (&str, &str),
    out: &Path,
) -> Vec<String> {
    let studies = plans.iter().map(|plan| &plan.study);
    let arguments: Vec<&String> =
        studies.flat_map(|study| std::iter::once(&study.task).chain(&study.eval)).collect();
    let typed = |name: &String| {
        let meant = |argument: &&&String| data::resolve(argument).is_ok_and(|task| task.name == *name);
        arguments.iter().find(meant).map(|argument| (**argument).clone())
    };
    let lacking = domains.iter().enumerate().filter(|(at, _)| states.iter().all(|(known, _)| known != at));
    let out = out.to_string_lossy();
    lacking
        .map(|(_, name)| {
            let task = typed(name).unwrap_or_else(|| name.clone());
            shell_words([
                "pifi-probe",
                "represent",
                flag,
                model,
                "--task",
                &task,
                "--pool",
                "mean",
                "--out",
                &out,
            ])
        })
        .collect()
}
