//! `similarity`: layers of stored hidden states against each other, as a table and heat maps.

use ndarray::Array2;
use rayon::prelude::*;
use serde_json::json;

use super::super::Context;
use super::super::args::SimilarityArgs;
use super::super::attachments;
use super::super::error::Error;
use super::super::signals;
use super::super::stored::{self, Chosen, Stored, same_examples};
use crate::analysis::similarity::grid::{Sides, grid};
use crate::analysis::similarity::measure::Kind;
use crate::analysis::similarity::pairs::{self, Layers, Request};
use crate::analysis::similarity::rsa::Outer;
use crate::analysis::similarity::{Measure, Options, Side, Undefined, Value, reduce};
use crate::error::Failure;
use crate::report::similarity::{Comparison, Grid, Site, Source, write};
use crate::runs::representations::Representations;
use crate::seed::Seed;

/// Compares, writes and tells.
///
/// # Errors
/// Hidden states that cannot be found or read, or are of other examples; unknown measures; files
/// that cannot be written.
pub(crate) fn run(args: &SimilarityArgs, context: &Context) -> Result<(), Failure> {
    let measures = measures(&args.measure)?;
    let width = args.gaussian_width;
    if !(width.is_finite() && width > 0.0) {
        let (value, expected) = (width.to_string(), "a number above zero");
        return Err(Error::Flag { flag: "--gaussian-width", value, expected }.into());
    }
    let store = Representations::at(&args.out);
    let first = Chosen::find(&store, &args.first, &args.sites)?;
    let second = args.second.as_ref().map(|typed| Chosen::find(&store, typed, &args.sites)).transpose()?;
    if let Some(second) = &second {
        same_examples(&first.manifest, &second.manifest)?;
    }
    let folder = args.out.join("similarity").join(folder_name(args, &first, second.as_ref())?);
    let stop = signals::listen();
    let sides: Vec<&Chosen> = std::iter::once(&first).chain(&second).collect();
    let memory = u64::from(args.memory) << 30;
    let layers = Stored::open(&store, &sides, memory, &|| stop.check())?;
    let work = Work { args, context, layers: &layers, split: second.as_ref().map(|_| first.sites.len()) };
    let grids = work.grids(&measures, &|| stop.check())?;
    let manifest = &first.manifest;
    let other = second.as_ref().map(|other| &other.manifest.pool).filter(|pool| **pool != manifest.pool);
    let pools = other.map_or(manifest.pool.clone(), |other| format!("{} and {other}", manifest.pool));
    let comparison = Comparison {
        first: source(&first),
        second: source(second.as_ref().unwrap_or(&first)),
        examples: format!("{}, {}, {} pooled", manifest.task, manifest.split, pools),
        grids,
    };
    let files = write(&folder, &comparison)?;
    if context.output.json {
        return context.output.document(&document(&comparison, &files));
    }
    for grid in &comparison.grids {
        context.output.line(&summary(grid))?;
    }
    for file in files {
        context.output.say(&format!("written: {}", file.display()));
    }
    Ok(())
}

/// The measures of these names, each once, in the order typed.
fn measures(names: &[String]) -> Result<Vec<&'static Measure>, Failure> {
    let mut found: Vec<&Measure> = Vec::new();
    for name in names.iter().map(|name| name.trim()) {
        let Some(measure) = Measure::named(name) else {
            return Err(stored::Error::NoMeasure(name.to_owned()).into());
        };
        if !found.contains(&measure) {
            found.push(measure);
        }
    }
    Ok(found)
}

fn folder_name(args: &SimilarityArgs, first: &Chosen, second: Option<&Chosen>) -> Result<String, Failure> {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || ['-', '_', '.'].contains(&letter);
    if let Some(name) = &args.name {
        let fits = !name.is_empty() && !name.starts_with('.') && name.chars().all(plain) && name.len() <= 200;
        return if fits {
            Ok(name.clone())
        } else {
            let expected = "letters, digits, `-`, `_` and `.`, not beginning with `.`";
            Err(Error::Flag { flag: "--name", value: name.clone(), expected }.into())
        };
    }
    // the key too: one model may be stored with several poolings
    let word = |side: &Chosen| {
        let name: String = side.manifest.model.chars().map(|c| if plain(c) { c } else { '-' }).collect();
        let name = name.trim_start_matches('.');
        let end = name.char_indices().nth(60).map_or(name.len(), |(at, _)| at);
        format!("{}-{}", &name[..end], &side.manifest.key[..8.min(side.manifest.key.len())])
    };
    Ok(second.map_or_else(|| word(first), |second| format!("{}--{}", word(first), word(second))))
}

fn source(side: &Chosen) -> Source {
    let last = side.layers().saturating_sub(1).max(1) as f64;
    let site = |site: &crate::runs::representations::Site| Site {
        name: site.name.clone(),
        depth: site.layer.map(|layer| layer as f64 / last),
        width: site.width,
    };
    Source {
        name: side.manifest.model.clone(),
        origin: attachments::origin(&side.manifest),
        sites: side.each().map(site).collect(),
    }
}

struct Work<'a> {
    args: &'a SimilarityArgs,
    context: &'a Context,
    layers: &'a Stored,
    /// Where the second side's layers begin, if there is one.
    split: Option<usize>,
}

type Values = Vec<Result<Value, Undefined>>;

impl Work<'_> {
    fn grids(
        &self,
        measures: &[&'static Measure],
        stop: &(dyn Fn() -> Result<(), Failure> + Sync),
    ) -> Result<Vec<Grid>, Failure> {
        let mut found: Vec<Option<Grid>> = measures.iter().map(|_| None).collect();
        // one pass gives debiased CKA, neighbours and one kind of RSA together
        while let Some(request) = self.next_pass(measures, &found) {
            let table = pairs::all(self.layers, &request, &|done, total| {
                self.context.output.detail(&format!("blocks of examples: {done} of {total}"));
                stop()
            })?;
            for (measure, grid) in measures.iter().zip(&mut found).filter(|(_, grid)| grid.is_none()) {
                let values = match measure.kind {
                    Kind::Cka if request.cka => &table.cka,
                    Kind::Knn if request.neighbours.is_some() => &table.neighbours,
                    Kind::Rsa(inner, outer) if request.rsa == Some((inner, outer)) => &table.rsa,
                    _ => continue,
                };
                let Some(values) = values else { continue };
                *grid = Some(self.named(measure, self.part(values)));
            }
        }
        for (measure, grid) in measures.iter().zip(&mut found) {
            if grid.is_none() {
                self.context.output.say(&format!("{}: preparing layers", measure.title));
                let mut whole = self.named(measure, self.prepared(measure, stop)?);
                let (n, most) = (self.layers.rows(), self.args.examples as usize);
                if n > most {
                    let drawn = format!("{most} of {n} examples, drawn by the seed");
                    let known = std::mem::take(&mut whole.settings);
                    whole.settings = if known.is_empty() { drawn } else { format!("{known}, {drawn}") };
                }
                *grid = Some(whole);
            }
        }
        Ok(found.into_iter().flatten().collect())
    }

    /// What one pass over all blocks can still give; `None` when nothing is left to it.
    fn next_pass(&self, measures: &[&Measure], found: &[Option<Grid>]) -> Option<Request> {
        let mut request = Request { cka: false, rsa: None, neighbours: None, memory: pairs::MEMORY };
        for (measure, _) in measures.iter().zip(found).filter(|(_, grid)| grid.is_none()) {
            match measure.kind {
                Kind::Cka => request.cka = true,
                Kind::Knn => request.neighbours = Some(self.args.neighbours as usize),
                Kind::Rsa(inner, outer) if outer != Outer::Kendall && request.rsa.is_none() => {
                    request.rsa = Some((inner, outer));
                }
                _ => {}
            }
        }
        (request.cka || request.rsa.is_some() || request.neighbours.is_some()).then_some(request)
    }

    /// The pairs of one side with the other, of all pairs.
    fn part(&self, values: &Values) -> Values {
        let count = self.layers.len();
        let Some(split) = self.split else { return values.clone() };
        (0..split).flat_map(|a| (split..count).map(move |b| values[a * count + b].clone())).collect()
    }

    /// Measures that prepare each layer once.
    fn prepared(
        &self,
        measure: &Measure,
        stop: &(dyn Fn() -> Result<(), Failure> + Sync),
    ) -> Result<Values, Failure> {
        let options = self.options();
        let rows = self.drawn();
        let sides: Result<Sides, Failure> = (0..self.layers.len())
            .into_par_iter()
            .map(|at| {
                stop()?;
                let features: Array2<f64> = self.layers.features(at, rows.as_deref())?.to_f64();
                let components = self.args.components as usize;
                if measure.works_on_directions() && features.ncols() > components {
                    let reduced = reduce::leading(features.view(), components, options.seed);
                    return Ok(reduced.and_then(|reduced| Side::new(measure, reduced.view(), &options)));
                }
                Ok(Side::new(measure, features.view(), &options))
            })
            .collect();
        let mut firsts = sides?;
        let seconds = self.split.map(|split| firsts.split_off(split));
        Ok(grid(measure, &firsts, seconds.as_ref(), &options))
    }

    fn options(&self) -> Options {
        Options {
            neighbours: self.args.neighbours as usize,
            gaussian_width: self.args.gaussian_width,
            batch: self.args.batch as usize,
            permutations: self.args.permutations as usize,
            seed: Seed(self.args.seed),
        }
    }

    /// The examples of measures that cannot take all, in their order.
    fn drawn(&self) -> Option<Vec<usize>> {
        let (n, most) = (self.layers.rows(), self.args.examples as usize);
        (n > most).then(|| {
            let mut rows: Vec<usize> = (0..n).collect();
            Seed(self.args.seed).derive("examples of similarity").stream().shuffle(&mut rows);
            rows.truncate(most);
            rows.sort_unstable();
            rows
        })
    }

    fn named(&self, measure: &'static Measure, values: Values) -> Grid {
        let mut settings = match measure.kind {
            Kind::Knn | Kind::KnnJaccard => vec![format!("k = {}", self.args.neighbours)],
            Kind::CkaRbf => vec![format!("t = {}", self.args.gaussian_width)],
            Kind::CkaMinibatch => vec![format!("batches of {}", self.args.batch)],
            _ => Vec::new(),
        };
        let components = self.args.components as usize;
        let wide = (0..self.layers.len()).any(|at| self.layers.columns(at) > components);
        if measure.works_on_directions() && wide {
            settings.push(format!("leading {components} components"));
        }
        let values = values.into_iter().map(|value| value.map_err(|reason| reason.to_string())).collect();
        Grid { measure, settings: settings.join(", "), values }
    }
}

fn summary(grid: &Grid) -> String {
    let found: Vec<&Value> = grid.values.iter().filter_map(|value| value.as_ref().ok()).collect();
    let measure = grid.measure;
    let mut parts = vec![format!("{}: {}", measure.name, measure.title)];
    if !grid.settings.is_empty() {
        parts.push(grid.settings.clone());
    }
    parts.push(measure.direction.words().to_owned());
    let range = |values: &mut dyn Iterator<Item = f64>| {
        let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)));
        let (least, most) = (format!("{low:.3}"), format!("{high:.3}"));
        let words = if least == most { least } else { format!("{least} to {most}") };
        (low <= high).then_some(words)
    };
    if let (Some(one), Some(values)) = (found.first(), range(&mut found.iter().map(|value| value.value))) {
        parts.push(format!("{} pairs from {values}", found.len()));
        parts.push(format!("n = {}", one.n));
    }
    let mut chances = found.iter().filter_map(|value| value.chance).map(|chance| chance.mean);
    parts.extend(range(&mut chances).map(|level| format!("by chance {level}")));
    if let Some(reason) = grid.values.iter().find_map(|value| value.as_ref().err()) {
        let without = grid.values.len() - found.len();
        parts.push(format!("{without} pairs without a value ({reason})"));
    }
    parts.join(", ")
}

fn document(comparison: &Comparison, files: &[std::path::PathBuf]) -> serde_json::Value {
    let source = |source: &Source| {
        let sites = source
            .sites
            .iter()
            .map(|site| json!({"name": site.name, "depth": site.depth, "width": site.width}));
        json!({"name": source.name, "sites": sites.collect::<Vec<_>>()})
    };
    let grids = comparison.grids.iter().map(|grid| {
        let values = grid.values.iter().map(|value| match value {
            Ok(value) => json!(value),
            Err(reason) => json!({"reason": reason}),
        });
        json!({
            "measure": grid.measure.column, "settings": grid.settings,
            "direction": grid.measure.direction.words(), "values": values.collect::<Vec<_>>(),
        })
    });
    json!({
        "first": source(&comparison.first), "second": source(&comparison.second),
        "examples": comparison.examples, "grids": grids.collect::<Vec<_>>(), "files": files,
    })
}
