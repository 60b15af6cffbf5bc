//! A plan in words: cells, bytes, memory, time, what could be detected, and what must be known
//! before it starts.

use std::fmt::Write;

use serde::Serialize;

use super::{machine, text};
use crate::analysis::statistics::power::{Demand, Noise, expected_maximum, smallest_detectable};
use crate::analysis::statistics::sign_flip::{SEEDS_FOR_FIVE_PERCENT, smallest_two_sided};
use crate::runs::Condition;
use crate::sweep::cost::{Basis, Estimate};
use crate::sweep::{ModelAt, Plan, TaskAt, TrainMode};

/// What is assumed before anything was measured: a tenth of the examples change sides between two
/// conditions, and seeds differ by half a point.
const ASSUMED: Noise = Noise { discordance: 0.1, seed_deviation: 0.005 };

/// What a study of this size could detect, in fractions of accuracy.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Detectable {
    /// Smallest difference between two conditions that four of five such studies would find.
    difference: Option<f64>,
    /// How much better the best of equal layers looks by luck alone.
    luck_of_the_best: f64,
    /// What both assume.
    assumed: Noise,
}

/// What the plan's seeds and test examples could detect.
pub(crate) fn detectable(plan: &Plan) -> Detectable {
    let seeds = plan.study.seeds.list().len();
    let examples = plan.inputs.task.examples[2];
    let layers = plan.inputs.layers.len();
    Detectable {
        difference: smallest_detectable(seeds, examples, ASSUMED, Demand::default()).ok(),
        luck_of_the_best: expected_maximum(layers) * ASSUMED.seed_deviation / (seeds.max(1) as f64).sqrt(),
        assumed: ASSUMED,
    }
}

/// Where a time comes from, in words.
pub(crate) fn basis(basis: Basis) -> String {
    match basis {
        Basis::Measured { steps } => format!("measured in {steps} steps on this machine"),
        Basis::Estimated => "estimated for a processor of this kind".into(),
    }
}

/// The whole plan.
pub(crate) fn describe(plan: &Plan, name: &str, estimate: &Estimate, jobs: usize) -> String {
    let (study, inputs) = (&plan.study, &plan.inputs);
    let mut rows = vec![
        ("study", name.to_owned()),
        ("LLM", model(&inputs.llm)),
        ("small model", model(&inputs.slm)),
        ("task", task(&inputs.task)),
    ];
    rows.extend(inputs.eval.iter().map(|eval| ("evaluated on", task(eval))));
    rows.push(("layers", format!("{} of {}", text::ranges(&inputs.layers), inputs.llm.layers)));
    let controls: Vec<&str> = study.controls.iter().map(|control| control.name()).collect();
    rows.push(("controls", if controls.is_empty() { "none".into() } else { controls.join(", ") }));
    let seeds: Vec<String> = study.seeds.list().iter().map(|seed| seed.0.to_string()).collect();
    rows.push(("seeds", seeds.join(", ")));
    rows.push(("plug", plug(plan)));
    let done = plan.cells.len().saturating_sub(estimate.cells);
    let done = if done > 0 { format!(", {done} done before") } else { String::new() };
    rows.push(("cells", format!("{}{done}", plan.cells.len())));
    rows.push(("download", text::bytes(estimate.download_bytes)));
    rows.push(("disk", format!("at most {} of layers", text::bytes(estimate.disk_peak_bytes))));
    let free = machine::available_memory();
    let free = free.map(|free| format!(", {} available", text::bytes(free))).unwrap_or_default();
    let workers = if jobs > 1 { format!(", {jobs} at a time") } else { String::new() };
    rows.push((
        "memory",
        format!("about {} a worker{workers}{free}", text::bytes(estimate.memory_peak_bytes)),
    ));
    rows.push(("device", format!("{}, {}", inputs.device, text::plural(inputs.threads, "thread"))));
    rows.push(("time", format!("about {}, {}", text::duration(estimate.seconds), basis(estimate.basis))));
    let mut text = text::pairs(&rows);
    if study.train == TrainMode::Full && estimate.plug_seconds < estimate.seconds / 2.0 {
        let screen = text::duration(estimate.plug_seconds);
        let _ = writeln!(text, "{:13} a screen with `--train plug` would take about {screen}", "");
    }
    let found = detectable(plan);
    if let Some(difference) = found.difference {
        let _ = writeln!(
            text,
            "{:<13} differences of {:.1} points or more between two conditions (assumed: {:.0} % of examples change \
             sides, seeds differ by {:.1} points)",
            "detectable",
            difference * 100.0,
            found.assumed.discordance * 100.0,
            found.assumed.seed_deviation * 100.0,
        );
    }
    text
}

fn model(model: &ModelAt) -> String {
    let at = match (&model.repository, &model.path) {
        (Some(repository), _) => {
            let commit: String = model.revision.chars().take(8).collect();
            format!("{repository}@{commit}")
        }
        (None, Some(path)) => path.display().to_string(),
        (None, None) => "embedded".into(),
    };
    let named = if at.starts_with(&model.name) { at } else { format!("{} ({at})", model.name) };
    format!("{named}: {}, {} layers, width {}", model.model_type, model.layers, model.hidden_size)
}

fn task(task: &TaskAt) -> String {
    let [train, validation, test] = task.examples;
    format!("{}: {train} training, {validation} validation, {test} test examples", task.name)
}

fn plug(plan: &Plan) -> String {
    let study = &plan.study;
    let trained = match study.train {
        TrainMode::Full => "everything but the layer trains",
        TrainMode::Plug => "a screen: the encoder is frozen, mappers and head train",
    };
    let defects: Vec<&str> = study.as_published.named().iter().map(|defect| defect.name()).collect();
    let defects =
        if defects.is_empty() { String::new() } else { format!("; as published: {}", defects.join(", ")) };
    format!("{}, {} pooling, {trained}{defects}", study.plug, plan.inputs.pooling)
}

/// What the reader should know before the start.
pub(crate) fn warnings(plan: &Plan) -> Vec<String> {
    let mut warnings = Vec::new();
    let seeds = plan.study.seeds.list().len();
    if seeds < SEEDS_FOR_FIVE_PERCENT {
        warnings.push(format!(
            "{} cannot reach p < 0.05 in a sign-flip test over seeds (smallest possible p {:.2}); the main interval \
             resamples seeds and examples",
            text::plural(seeds, "seed"),
            smallest_two_sided(seeds),
        ));
    }
    let found = detectable(plan);
    if plan.inputs.layers.len() > 1 {
        warnings.push(format!(
            "of {} equal layers the best would look {:.2} points better by luck alone",
            plan.inputs.layers.len(),
            found.luck_of_the_best * 100.0
        ));
    }
    let has = |condition: Condition| plan.cells.iter().any(|cell| cell.condition == condition);
    if !has(Condition::Control(crate::runs::Control::Base)) {
        warnings.push("without the control `base` a gain over no plug cannot be told".into());
    }
    warnings
}

/// Remarks as lines below a table.
pub(crate) fn listed(remarks: &[String]) -> String {
    let mut text = String::new();
    for remark in remarks {
        let _ = writeln!(text, "note: {remark}");
    }
    text
}
