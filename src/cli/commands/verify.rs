//! `verify`: one line an oracle directory, the totals last.

use serde_json::json;

use super::super::Context;
use super::super::args::VerifyArgs;
use super::super::error::Error;
use super::super::{signals, text};
use crate::device::Choice;
use crate::error::Failure;
use crate::usage;
use crate::verify::{self, Outcome, Report, StepTime, Summary};

/// Recomputes reference outputs and compares.
///
/// # Errors
/// Paths without oracle directories; cases beyond their tolerance, and with `--strict` models that
/// are not supported.
pub(crate) fn run(args: &VerifyArgs, context: &Context) -> Result<(), Failure> {
    let mut directories = Vec::new();
    for root in &args.directories {
        directories.extend(verify::find(root)?);
    }
    let device = args.device.parse::<Choice>()?.resolve()?;
    let stop = signals::listen();
    let mut summary = Summary::default();
    for directory in &directories {
        stop.check()?;
        let mut steps = Vec::new();
        let report = verify::run_observed(
            directory,
            &mut verify::Steps { device, packed: args.packed, observe: &mut |step| steps.push(step) },
        );
        if args.times {
            times(&steps, context)?;
        }
        summary.count(&report);
        show(&report, context)?;
    }
    if context.output.json {
        context.output.event(&json!({
            "event": "verified",
            "cases": summary.cases,
            "directories": summary.directories,
            "failed": summary.failed,
            "unsupported": summary.unsupported,
        }))?;
    } else {
        context.output.line(&summary.to_string())?;
    }
    if summary.failed > 0 || (args.strict && summary.unsupported > 0) {
        let (failed, unsupported) = (summary.failed, summary.unsupported);
        return Err(Error::NotVerified { failed, unsupported }.into());
    }
    Ok(())
}

fn times(steps: &[StepTime], context: &Context) -> Result<(), Failure> {
    for StepTime { step, loss, elapsed, cpu, products } in steps {
        let seconds = elapsed.as_secs_f64();
        let cpu = cpu.map(|cpu| cpu.as_secs_f64());
        let (gflop, in_products) = (products.operations as f64 / 1e9, products.time.as_secs_f64());
        if context.output.json {
            let event = json!({
                "event": "step", "step": step, "loss": loss, "seconds": seconds, "cpu_seconds": cpu,
                "products_gflop": gflop, "products_seconds": in_products,
            });
            context.output.event(&event)?;
        } else {
            let cpu = cpu.map(|cpu| format!(", {cpu:.2} CPU s")).unwrap_or_default();
            context.output.line(&format!(
                "step {step}: loss {loss:.6}, {seconds:.3} s{cpu}; {gflop:.0} GFLOP of products in \
                 {in_products:.3} s, {:.0} GF/s",
                gflop / in_products.max(1e-9)
            ))?;
        }
    }
    let Some(peak) = usage::peak_memory().filter(|_| !steps.is_empty()) else { return Ok(()) };
    if context.output.json {
        return context.output.event(&json!({"event": "memory", "peak_memory_bytes": peak}));
    }
    context.output.line(&format!("peak memory {}", text::bytes(peak)))?;
    Ok(())
}

fn show(report: &Report, context: &Context) -> Result<(), Failure> {
    let output = &context.output;
    let (verdict, reason) = match &report.outcome {
        Outcome::Unsupported(reason) => ("unsupported", Some(reason.clone())),
        Outcome::Unreadable(failure) => ("FAIL", Some(failure.to_string())),
        Outcome::Compared(_) | Outcome::Partly { .. } if report.failed() > 0 => ("FAIL", None),
        Outcome::Compared(_) | Outcome::Partly { .. } => ("pass", None),
    };
    let worst = report.worst();
    if output.json {
        return output.event(&json!({
            "event": "directory",
            "path": report.path,
            "kind": report.kind.map(verify::Kind::name),
            "family": report.family,
            "cases": report.cases(),
            "failed": report.failed(),
            "worst_case": worst.map(|case| case.name.clone()),
            "worst_relative_error": worst.map(|case| case.error),
            "tolerance": worst.map(|case| case.tolerance),
            "verdict": verdict.to_lowercase(),
            "reason": reason,
            "unsupported": report.unknown(),
        }));
    }
    let measured = worst.map_or_else(String::new, |case| {
        format!(
            "{} cases, worst relative error {:.1e} (tolerance {:.0e}), ",
            report.cases(),
            case.error,
            case.tolerance
        )
    });
    let reason = reason.map(|reason| format!(": {reason}")).unwrap_or_default();
    let family = if report.family.is_empty() { "unknown" } else { &report.family };
    output.line(&format!("{}  {family}: {measured}{verdict}{reason}", report.path.display()))?;
    for case in report.compared().iter().filter(|case| output.verbose || !case.passed()) {
        let verdict = if case.passed() { "pass" } else { "FAIL" };
        output.line(&format!(
            "    {verdict}  {}: {:.2e} (tolerance {:.0e})",
            case.name, case.error, case.tolerance
        ))?;
    }
    if !report.unknown().is_empty() {
        output.line(&format!("    unsupported values: {}", report.unknown().join(", ")))?;
    }
    Ok(())
}
