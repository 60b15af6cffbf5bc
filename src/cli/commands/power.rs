//! `power`: what so many seeds and examples can show, and what they cannot.

use serde_json::{Value, json};

use super::super::Context;
use super::super::args::PowerArgs;
use super::super::error::Error;
use crate::analysis::statistics::Undefined;
use crate::analysis::statistics::power::{
    Demand, Noise, examples_needed, expected_maximum, seeds_needed, smallest_detectable,
};
use crate::analysis::statistics::sign_flip::{SEEDS_FOR_FIVE_PERCENT, smallest_two_sided};
use crate::error::Failure;
use crate::runs::render::Grid;
use crate::runs::view::Format;

/// Shows the smallest detectable differences, the sizes that differences need, and the luck of the
/// best of many layers.
///
/// # Errors
/// Flags outside of their range.
pub(crate) fn run(args: &PowerArgs, context: &Context) -> Result<(), Failure> {
    let (noise, demand) = assumed(args)?;
    let output = &context.output;
    let tables = [detectable(args, noise, demand), needed(args, noise, demand), luck(args)];
    if output.json || args.format == Format::Json {
        return output.document(&json!({
            "assumed": {
                "discordance": noise.discordance,
                "seed_deviation": noise.seed_deviation,
                "alpha": demand.alpha,
                "power": demand.power,
                "layers": args.layers,
            },
            "detectable": tables[0].json,
            "needed": tables[1].json,
            "luck_of_the_best": tables[2].json,
        }));
    }
    let written = |table: &Table| match args.format {
        Format::Markdown => format!("{}\n\n{}", table.title, table.grid.markdown()),
        _ => format!("{}\n{}", table.title, table.grid.text()),
    };
    if args.format == Format::Csv {
        output.data(&long(&tables).csv())?;
    } else {
        output.data(&tables.iter().map(written).collect::<Vec<_>>().join("\n"))?;
    }
    output.say(&format!(
        "note: assumed: {} % of the examples change sides between two conditions, their difference varies by {} \
         points over seeds; found with a chance of {} at a two-sided level of {}",
        args.discordance, args.seed_deviation, demand.power, demand.alpha
    ));
    let few: Vec<String> = args
        .seeds
        .iter()
        .filter(|seeds| (**seeds as usize) < SEEDS_FOR_FIVE_PERCENT)
        .map(u32::to_string)
        .collect();
    if !few.is_empty() {
        output.say(&format!(
            "note: with {} seeds a two-sided sign-flip test over seeds cannot reach p < 0.05, whatever the difference: \
             it needs {SEEDS_FOR_FIVE_PERCENT}",
            few.join(", ")
        ));
    }
    Ok(())
}

/// A table with its title and the same in full precision.
struct Table {
    title: String,
    grid: Grid,
    json: Vec<Value>,
}

/// All numbers below each other, in full precision; what does not apply is empty.
fn long(tables: &[Table]) -> Grid {
    let names = ["quantity", "examples", "seeds", "layers", "difference", "value"];
    let mut columns: Vec<(String, bool)> = names.iter().map(|name| ((*name).to_owned(), true)).collect();
    columns[0].1 = false;
    let cell = |value: &Value| if value.is_null() { String::new() } else { value.to_string() };
    let row = |quantity: &str, of: [&Value; 5]| {
        let mut row = vec![quantity.to_owned()];
        row.extend(of.iter().map(|value| cell(value)));
        row
    };
    let none = &Value::Null;
    let mut rows = Vec::new();
    for it in &tables[0].json {
        rows.push(row("smallest_difference", [&it["examples"], &it["seeds"], none, none, &it["difference"]]));
    }
    for it in &tables[1].json {
        let difference = &it["difference"];
        rows.push(row("examples_needed", [none, none, none, difference, &it["examples_of_one_run"]]));
        for seeds in it["seeds"].as_array().into_iter().flatten() {
            rows.push(row("seeds_needed", [&seeds["examples"], none, none, difference, &seeds["seeds"]]));
        }
    }
    for it in &tables[2].json {
        rows.push(row("luck_of_the_best", [none, &it["seeds"], &it["layers"], none, &it["excess"]]));
    }
    Grid { columns, rows }
}

fn assumed(args: &PowerArgs) -> Result<(Noise, Demand), Failure> {
    let within = |flag, value: f64, good: bool, expected| {
        if good { Ok(()) } else { Err(Error::Flag { flag, value: value.to_string(), expected }) }
    };
    let open = "a number strictly between 0 and 1";
    within("--alpha", args.alpha, args.alpha > 0.0 && args.alpha < 1.0, open)?;
    within("--power", args.power, args.power > 0.0 && args.power < 1.0, open)?;
    let discordance = args.discordance;
    within("--discordance", discordance, (0.0..=100.0).contains(&discordance), "a percentage from 0 to 100")?;
    let deviation = args.seed_deviation;
    within("--seed-deviation", deviation, (0.0..=100.0).contains(&deviation), "points from 0 to 100")?;
    for &difference in &args.difference {
        let good = difference > 0.0 && difference <= 100.0;
        within("--difference", difference, good, "points above 0, at most 100")?;
    }
    let noise = Noise { discordance: discordance / 100.0, seed_deviation: deviation / 100.0 };
    Ok((noise, Demand { alpha: args.alpha, power: args.power }))
}

fn grid(columns: &[(String, bool)], rows: Vec<Vec<String>>) -> Grid {
    Grid { columns: columns.to_vec(), rows }
}

fn points(value: &Result<f64, Undefined>) -> String {
    value.as_ref().map_or_else(|_| "-".to_owned(), |value| format!("{:.2}", value * 100.0))
}

/// Rows by examples, columns by seeds.
fn detectable(args: &PowerArgs, noise: Noise, demand: Demand) -> Table {
    let mut columns = vec![("examples".to_owned(), true)];
    columns.extend(args.seeds.iter().map(|seeds| (plural(*seeds, "seed"), true)));
    let mut json = Vec::new();
    let mut rows = Vec::new();
    for &examples in &args.examples {
        let mut row = vec![examples.to_string()];
        for &seeds in &args.seeds {
            let found = smallest_detectable(seeds as usize, examples as usize, noise, demand);
            row.push(points(&found));
            json.push(json!({"examples": examples, "seeds": seeds, "difference": found.ok()}));
        }
        rows.push(row);
    }
    let title = "smallest difference that is found, in points".to_owned();
    Table { title, grid: grid(&columns, rows), json }
}

/// Rows by difference; the examples that one run needs, and the seeds that each test set needs.
fn needed(args: &PowerArgs, noise: Noise, demand: Demand) -> Table {
    let mut columns = vec![("points".to_owned(), true), ("examples".to_owned(), true)];
    columns.extend(args.examples.iter().map(|examples| (format!("seeds at {examples}"), true)));
    let mut json = Vec::new();
    let mut rows = Vec::new();
    for &wanted in &args.difference {
        let difference = wanted / 100.0;
        let count = examples_needed(difference, noise.discordance, demand).ok();
        let mut row = vec![wanted.to_string()];
        row.push(count.map_or_else(|| "-".to_owned(), |count| format!("{count}")));
        let mut seeds_of = Vec::new();
        for &examples in &args.examples {
            let seeds = seeds_needed(difference, examples as usize, noise, demand).ok().flatten();
            row.push(seeds.map_or_else(|| "never".to_owned(), |seeds| format!("{seeds}")));
            seeds_of.push(json!({"examples": examples, "seeds": seeds}));
        }
        rows.push(row);
        json.push(json!({"difference": difference, "examples_of_one_run": count, "seeds": seeds_of}));
    }
    let title = "what a difference needs: examples of one run without a spread over seeds, or seeds with a test set \
                 of a given size (never: the test set is too small for any number of seeds)";
    Table { title: title.to_owned(), grid: grid(&columns, rows), json }
}

/// How much better the best of L equal layers looks, by seeds.
fn luck(args: &PowerArgs) -> Table {
    let mut columns = vec![("layers".to_owned(), true), ("deviations".to_owned(), true)];
    columns.extend(args.seeds.iter().map(|seeds| (plural(*seeds, "seed"), true)));
    let mut counts = vec![2, 6, 12, 24, 32, 48, 80, args.layers];
    counts.sort_unstable();
    counts.dedup();
    let mut json = Vec::new();
    let mut rows = Vec::new();
    for layers in counts {
        let deviations = expected_maximum(layers as usize);
        let mut row = vec![layers.to_string(), format!("{deviations:.3}")];
        for &seeds in &args.seeds {
            let excess = deviations * args.seed_deviation / f64::from(seeds).sqrt();
            row.push(format!("{excess:.2}"));
            json.push(json!({
                "layers": layers,
                "seeds": seeds,
                "deviations": deviations,
                "excess": excess / 100.0,
                "smallest_sign_flip_p": smallest_two_sided(seeds as usize),
            }));
        }
        rows.push(row);
    }
    let title = "points by which the best of so many equal layers looks better than it is";
    Table { title: title.to_owned(), grid: grid(&columns, rows), json }
}

fn plural(count: u32, noun: &str) -> String {
    super::super::text::plural(count as usize, noun)
}
