//! `similarity.json`: a comparison in full precision with where both sides come from, for reports to
//! read back. A file from elsewhere is held against itself before anything of it is drawn.

use serde::{Deserialize, Serialize};

use super::{Comparison, Grid, Site, Source};
use crate::analysis::similarity::null::Basis;
use crate::analysis::similarity::{Chance, Measure, Value};
use crate::report::Origin;

const SCHEMA_VERSION: u32 = 1;
/// More places than any model has, so that a hostile file cannot ask for an endless figure.
const MOST_SITES: usize = 1000;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    schema_version: u32,
    first: Side,
    second: Side,
    examples: String,
    grids: Vec<Stored>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Side {
    name: String,
    origin: Origin,
    sites: Vec<Place>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Place {
    name: String,
    depth: Option<f64>,
    width: usize,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    measure: String,
    settings: String,
    values: Vec<Entry>,
}

/// A value with its chance level, or a reason.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    value: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    n: Option<usize>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    chance: Option<Level>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Level {
    mean: f64,
    deviation: Option<f64>,
    threshold: f64,
    p: Option<f64>,
    /// Absent for a formula.
    permutations: Option<usize>,
}

/// The text of the file.
pub(super) fn text(comparison: &Comparison) -> String {
    let side = |source: &Source| Side {
        name: source.name.clone(),
        origin: source.origin.clone(),
        sites: source
            .sites
            .iter()
            .map(|site| Place { name: site.name.clone(), depth: site.depth, width: site.width })
            .collect(),
    };
    let entry = |value: &Result<Value, String>| match value {
        Err(reason) => Entry { reason: Some(reason.clone()), ..Entry::default() },
        Ok(value) => Entry {
            value: Some(value.value),
            n: Some(value.n),
            chance: value.chance.map(|chance| Level {
                mean: chance.mean,
                deviation: chance.deviation,
                threshold: chance.threshold,
                p: chance.p,
                permutations: match chance.basis {
                    Basis::Exact => None,
                    Basis::Permutations(count) => Some(count),
                },
            }),
            reason: None,
        },
    };
    let grid = |grid: &Grid| Stored {
        measure: grid.measure.name.to_owned(),
        settings: grid.settings.clone(),
        values: grid.values.iter().map(entry).collect(),
    };
    let file = File {
        schema_version: SCHEMA_VERSION,
        first: side(&comparison.first),
        second: side(&comparison.second),
        examples: comparison.examples.clone(),
        grids: comparison.grids.iter().map(grid).collect(),
    };
    serde_json::to_string(&file).expect("names and numbers are always JSON")
}

/// The comparison of a file's text.
///
/// # Errors
/// What contradicts the format or itself, in words.
pub fn parse(text: &str) -> Result<Comparison, String> {
    let file: File = serde_json::from_str(text).map_err(|error| error.to_string())?;
    if file.schema_version != SCHEMA_VERSION {
        return Err(format!("schema {}, expected {SCHEMA_VERSION}", file.schema_version));
    }
    let (first, second) = (source(file.first)?, source(file.second)?);
    let pairs = first.sites.len() * second.sites.len();
    let mut grids = Vec::new();
    for stored in file.grids {
        let measure = Measure::named(&stored.measure)
            .ok_or_else(|| format!("unknown measure `{}`", stored.measure.escape_debug()))?;
        if stored.values.len() != pairs {
            return Err(format!("{} values for {pairs} pairs of places", stored.values.len()));
        }
        let mut values = Vec::with_capacity(pairs);
        for (at, entry) in stored.values.into_iter().enumerate() {
            let widths = [at / second.sites.len(), at % second.sites.len()];
            let widths = [first.sites[widths[0]].width, second.sites[widths[1]].width];
            values.push(match entry {
                Entry { value: Some(value), n: Some(n), chance, reason: None } => {
                    Ok(Value::new(value, chance.as_ref().map(level), n, widths, measure.direction))
                }
                Entry { value: None, reason: Some(reason), .. } => Err(reason),
                _ => return Err("an entry without value and reason, or with both".into()),
            });
        }
        grids.push(Grid { measure, settings: stored.settings, values });
    }
    Ok(Comparison { first, second, examples: file.examples, grids })
}

fn level(level: &Level) -> Chance {
    let Level { mean, deviation, threshold, p, permutations } = *level;
    let basis = permutations.map_or(Basis::Exact, Basis::Permutations);
    Chance { mean, deviation, threshold, p, basis }
}

fn source(side: Side) -> Result<Source, String> {
    if side.sites.is_empty() || side.sites.len() > MOST_SITES {
        return Err(format!("{} places, expected 1 to {MOST_SITES}", side.sites.len()));
    }
    let site = |place: Place| Site { name: place.name, depth: place.depth, width: place.width };
    Ok(Source { name: side.name, origin: side.origin, sites: side.sites.into_iter().map(site).collect() })
}
