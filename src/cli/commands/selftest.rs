//! `selftest`: every golden value, measured against expected.

use serde_json::json;

use super::super::Context;
use super::super::error::Error;
use super::super::text;
use crate::analysis::selftest::{self, Measured};
use crate::error::Failure;

/// Recomputes every golden value and shows it.
///
/// # Errors
/// Values beyond their tolerance.
pub(crate) fn run(context: &Context) -> Result<(), Failure> {
    let output = &context.output;
    let measured: Vec<Measured> = selftest::checks().iter().map(selftest::run).collect();
    let failed = measured.iter().filter(|check| !check.passed).count();
    if output.json {
        output.document(&json!({"checks": measured, "passed": measured.len() - failed, "failed": failed}))?;
    } else {
        let shown: Vec<&Measured> = measured.iter().filter(|check| !output.quiet || !check.passed).collect();
        if !shown.is_empty() {
            output.data(&table(&shown))?;
        }
        output.line(&format!("{} values recomputed, {failed} failed", measured.len()))?;
    }
    if failed > 0 { Err(Error::SelftestFailed { failed, checks: measured.len() }.into()) } else { Ok(()) }
}

fn table(checks: &[&Measured]) -> String {
    let columns = [
        ("section", false),
        ("value", false),
        ("expected", true),
        ("measured", true),
        ("tolerance", true),
        ("verdict", false),
    ];
    let row = |check: &&Measured| {
        let decimals = (-check.tolerance.log10()).round().clamp(1.0, 15.0) as usize;
        let measured = match &check.measured {
            Ok(value) => format!("{value:.decimals$}"),
            Err(reason) => reason.clone(),
        };
        vec![
            check.section.to_owned(),
            check.name.to_owned(),
            format!("{:.decimals$}", check.expected),
            measured,
            format!("{:.0e}", check.tolerance),
            if check.passed { "pass" } else { "FAIL" }.to_owned(),
        ]
    };
    text::table(&columns, &checks.iter().map(row).collect::<Vec<_>>())
}
