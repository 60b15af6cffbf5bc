//! What a study's report says besides the answer: where everything comes from, what it cost, what
//! failed. Counts and sums only.

use std::collections::BTreeSet;

use super::ReportContext;
use crate::analysis::collect::Collected;
use crate::error::Failure;
use crate::runs::record::Status;
use crate::runs::{Condition, RunRecord, Store};
use crate::sweep::{ModelAt, Plan, TrainMode};

/// Gathers it from a plan and its runs.
///
/// # Errors
/// A store that cannot be listed.
pub fn context(
    plan: &Plan,
    store: &Store,
    collected: &Collected,
    command: &str,
) -> Result<ReportContext, Failure> {
    let inputs = &plan.inputs;
    let synthetic = std::iter::once(&inputs.task)
        .chain(&inputs.eval)
        .all(|task| task.definition.pointer("/source/embedded").is_some());
    Ok(ReportContext {
        title: format!("Which layer of {} for {} on {}", inputs.llm.name, inputs.slm.name, inputs.task.name),
        command: command.to_owned(),
        manifest: manifest(plan),
        cost: cost(plan.cells.len(), &collected.records),
        failures: failures(plan, store, collected)?,
        synthetic,
        notes: notes(plan, &collected.records),
        pruned: Vec::new(),
        attached: super::Attached::default(),
        prices: super::prices::of(&collected.records),
    })
}

pub(super) fn manifest(plan: &Plan) -> Vec<(String, String)> {
    let (inputs, study) = (&plan.inputs, &plan.study);
    let hyper = &study.hyper_parameters;
    let model = |at: &ModelAt| match &at.repository {
        Some(repository) => format!("{repository} at commit {}", at.revision),
        None => format!("{} (local, content {})", at.name, at.revision),
    };
    let mut rows = vec![
        ("LLM", format!("{}; {}, {} layers", model(&inputs.llm), inputs.llm.model_type, inputs.llm.layers)),
        ("small model", format!("{}; {}", model(&inputs.slm), inputs.slm.model_type)),
    ];
    for task in std::iter::once(&inputs.task).chain(&inputs.eval) {
        let [train, validation, test] = task.examples;
        rows.push((
            "task",
            format!(
                "{}: {train} train, {validation} validation, {test} test; labels {}; content {}",
                task.name,
                task.labels.join(", "),
                task.data_hash
            ),
        ));
    }
    let seeds: Vec<String> = study.seeds.list().iter().map(|seed| seed.0.to_string()).collect();
    let published: Vec<String> = study.as_published.named().iter().map(ToString::to_string).collect();
    rows.extend([
        ("plug", format!("{}, mask {}, window {}", study.plug, study.mask, study.window)),
        ("trained", format!("{}, pooling {}", study.train, inputs.pooling)),
        (
            "training",
            format!(
                "{} epochs, batch {}, at most {} tokens, {} at {}, schedule {}, warm-up {}, smoothing {}, clip {}, head dropout {}",
                hyper.epochs, hyper.batch_size, hyper.max_length, hyper.optimizer, hyper.learning_rate,
                hyper.schedule, hyper.warmup, hyper.label_smoothing, hyper.clip, hyper.head_dropout
            ),
        ),
        ("seeds", format!("{} (of runs: first values, order, dropout); splits {}", seeds.join(", "), study.split_seed)),
        ("as published", if published.is_empty() { "nothing".to_owned() } else { published.join(", ") }),
        ("selection", "best epoch and layer by validation accuracy; test reported once".to_owned()),
        ("machine", format!("{}, {} threads a worker, stack {}", inputs.device, inputs.threads, study.stack)),
        ("program", format!("pifi-probe {}{}", plan.program, plan.commit.as_ref().map_or(String::new(), |commit| format!(" ({commit})")))),
    ]);
    rows.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

pub(super) fn cost(planned: usize, records: &[RunRecord]) -> Vec<(String, String)> {
    let seconds: f64 = records.iter().map(|record| record.cost.seconds).sum();
    let most = |of: fn(&RunRecord) -> Option<u64>| records.iter().filter_map(of).max();
    let mut rows = vec![
        ("cells".to_owned(), format!("{} of {} finished", records.len(), planned)),
        ("time in workers".to_owned(), format!("{seconds:.0} s")),
    ];
    if !records.is_empty() {
        rows.push(("time a cell".to_owned(), format!("{:.1} s", seconds / records.len() as f64)));
    }
    for (what, with_layer) in [("a cell with a layer", true), ("a cell without one", false)] {
        let of = |record: &&RunRecord| matches!(record.condition, Condition::Layer(_)) == with_layer;
        let times: Vec<f64> = records.iter().filter(of).map(|record| record.cost.seconds).collect();
        let (least, most) = times.iter().fold((f64::INFINITY, 0.0_f64), |(a, b), t| (a.min(*t), b.max(*t)));
        if !times.is_empty() {
            rows.push((
                format!("time of {what}"),
                format!("{least:.1} to {most:.1} s ({} cells)", times.len()),
            ));
        }
    }
    let fetched: Vec<u64> = records.iter().filter_map(|record| record.cost.bytes_fetched).collect();
    if fetched.iter().any(|bytes| *bytes > 0) {
        let mebibytes = fetched.iter().sum::<u64>() as f64 / 1_048_576.0;
        rows.push(("fetched for these cells".to_owned(), format!("{mebibytes:.0} MiB")));
    }
    rows.extend(stages(records));
    let rates: Vec<f64> = records.iter().filter_map(|record| record.cost.tokens_per_second).collect();
    if !rates.is_empty() {
        let mean = rates.iter().sum::<f64>() / rates.len() as f64;
        rows.push(("tokens a second in training".to_owned(), format!("{mean:.0}")));
    }
    if let Some(bytes) = most(|record| record.cost.peak_memory_bytes) {
        rows.push(("peak memory of a worker".to_owned(), format!("{:.0} MiB", bytes as f64 / 1_048_576.0)));
    }
    if let Some(parameters) = most(|record| record.result.as_ref().map(|result| result.trainable_parameters))
    {
        rows.push(("trainable parameters, at most".to_owned(), parameters.to_string()));
    }
    rows
}

/// Where the workers' time went, each worker counted once: cells of a stack share theirs.
fn stages(records: &[RunRecord]) -> Option<(String, String)> {
    let (mut whole, mut parts) = (0.0, [0.0; 3]);
    for record in records {
        let Some(stages) = record.cost.stages else { continue };
        let share = 1.0 / record.provenance.stack.max(1) as f64;
        whole += record.cost.seconds * share;
        let own = [stages.preparation_seconds, stages.training_seconds, stages.evaluation_seconds];
        parts.iter_mut().zip(own).for_each(|(part, seconds)| *part += seconds * share);
    }
    let [preparation, training, evaluation] = parts.map(|seconds| 100.0 * seconds / whole);
    let shares =
        format!("{preparation:.0} % preparing, {training:.0} % training, {evaluation:.0} % evaluating");
    (whole > 0.0).then(|| ("where that time went".to_owned(), shares))
}

fn failures(plan: &Plan, store: &Store, collected: &Collected) -> Result<Vec<(String, String)>, Failure> {
    let mut rows = failed_cells(plan, store)?;
    for (cell, reason) in &collected.unreadable {
        rows.push((format!("run {cell}"), reason.clone()));
    }
    Ok(rows)
}

/// Cells of a plan whose last attempt failed, with the reason.
pub(super) fn failed_cells(plan: &Plan, store: &Store) -> Result<Vec<(String, String)>, Failure> {
    let mut rows = Vec::new();
    for failure in store.failures()? {
        match failure {
            Ok(record) => {
                let planned = plan.cells.iter().find(|cell| cell.id == record.cell);
                if let (Some(cell), Status::Failed { reason, .. }) = (planned, record.status) {
                    rows.push((format!("{}, seed {}", cell.condition, cell.seed.0), reason));
                }
            }
            Err(error) => rows.push(("a recorded failure".to_owned(), error.to_string())),
        }
    }
    Ok(rows)
}

/// What trains in a screen, and what it does not show.
pub(super) fn screened(plan: &Plan) -> Option<String> {
    (plan.study.train == TrainMode::Plug).then(|| {
        "These runs are a screen (`--train plug`): the small model was frozen, only mappers and head were trained. \
         Full training may order layers differently."
            .to_owned()
    })
}

/// What the runs remark, once each, and which texts training and evaluation share.
fn notes(plan: &Plan, records: &[RunRecord]) -> Vec<String> {
    let mut notes: Vec<String> = screened(plan).into_iter().collect();
    let mut seen = BTreeSet::new();
    let results = || records.iter().filter_map(|record| record.result.as_ref());
    for note in results().flat_map(|result| &result.notes) {
        if seen.insert(note.clone()) {
            notes.push(note.clone());
        }
    }
    if let Some(result) = results().next() {
        for it in result.evaluations.iter().filter(|it| it.overlap_exact + it.overlap_near > 0) {
            notes.push(format!(
                "of the {} test texts of {}, {} also stand in the training set of {} and {} nearly do; \
                 results are given with and without them",
                it.metrics.n, it.task, it.overlap_exact, plan.inputs.task.name, it.overlap_near
            ));
        }
    }
    notes
}
