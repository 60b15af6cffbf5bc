//! What a transfer report says besides the answer: the models, every task, cost and failures of all
//! its studies together.

use super::super::ReportContext;
use super::super::context::{cost, failed_cells, manifest, screened};
use crate::analysis::collect_transfer::CollectedTransfer;
use crate::error::Failure;
use crate::runs::Store;
use crate::sweep::Plan;

/// Gathers it from the plans and their runs.
///
/// # Errors
/// A store that cannot be listed.
pub fn transfer_context(
    plans: &[Plan],
    store: &Store,
    collected: &CollectedTransfer,
    command: &str,
) -> Result<ReportContext, Failure> {
    let mut rows: Vec<(String, String)> = Vec::new();
    let mut failures = Vec::new();
    for plan in plans {
        for row in manifest(plan) {
            if !rows.contains(&row) {
                rows.push(row);
            }
        }
        let trained = &plan.inputs.task.name;
        let failed = failed_cells(plan, store)?.into_iter();
        failures.extend(failed.map(|(cell, reason)| (format!("{cell}, trained on {trained}"), reason)));
    }
    failures
        .extend(collected.unreadable.iter().map(|(cell, reason)| (format!("run {cell}"), reason.clone())));
    let tasks = || plans.iter().flat_map(|plan| std::iter::once(&plan.inputs.task).chain(&plan.inputs.eval));
    Ok(ReportContext {
        title: format!("Does the gain of {} in {} carry over?", collected.study.llm, collected.study.slm),
        command: command.to_owned(),
        manifest: rows,
        cost: cost(plans.iter().map(|plan| plan.cells.len()).sum(), &collected.records),
        failures,
        synthetic: tasks().all(|task| task.definition.pointer("/source/embedded").is_some()),
        pruned: Vec::new(),
        attached: super::super::Attached::default(),
        prices: Vec::new(),
        notes: plans.first().and_then(screened).into_iter().collect(),
    })
}
