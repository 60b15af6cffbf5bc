//! Published and derived vectors of every measure, compiled in and recomputed: the golden values of
//! `reference/analyses.md`, one file a section. Whoever doubts a number of this program can run
//! them on the machine that made it.

mod fixtures;
mod scores;
mod similarity;
mod statistics;
mod transfer;

use serde::{Serialize, Serializer};

/// One value that must come out.
#[derive(Clone, Copy, Debug)]
pub struct Check {
    /// Section of `reference/analyses.md`, with its title.
    pub section: &'static str,
    /// What is measured.
    pub name: &'static str,
    /// The golden value.
    pub expected: f64,
    /// How far the measured value may be from it: one unit of the last digit that was published.
    pub tolerance: f64,
    /// Recomputes it.
    pub measure: fn() -> Result<f64, String>,
}

/// A check with what came out.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Measured {
    /// As [`Check::section`].
    pub section: &'static str,
    /// As [`Check::name`].
    pub name: &'static str,
    /// As [`Check::expected`].
    pub expected: f64,
    /// As [`Check::tolerance`].
    pub tolerance: f64,
    /// What came out, or the reason why nothing did.
    #[serde(serialize_with = "value_or_words")]
    pub measured: Result<f64, String>,
    /// Whether it is within the tolerance.
    pub passed: bool,
}

/// Every check, by section.
pub fn checks() -> Vec<Check> {
    let sections = [similarity::checks, scores::checks, transfer::checks, statistics::checks];
    sections.iter().flat_map(|section| section()).collect()
}

/// Recomputes one value.
pub fn run(check: &Check) -> Measured {
    let measured = (check.measure)();
    let passed = measured.as_ref().is_ok_and(|value| (value - check.expected).abs() <= check.tolerance);
    let Check { section, name, expected, tolerance, .. } = *check;
    Measured { section, name, expected, tolerance, measured, passed }
}

/// A check of a value that was published with so many decimals.
fn check(
    section: &'static str,
    name: &'static str,
    expected: f64,
    decimals: i32,
    measure: fn() -> Result<f64, String>,
) -> Check {
    Check { section, name, expected, tolerance: 10_f64.powi(-decimals), measure }
}

/// An error as the reason of a missing value.
fn words(error: impl std::fmt::Display) -> String {
    error.to_string()
}

fn value_or_words<S: Serializer>(value: &Result<f64, String>, serializer: S) -> Result<S::Ok, S::Error> {
    match value {
        Ok(value) => serializer.serialize_f64(*value),
        Err(reason) => serializer.serialize_str(reason),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_golden_value_comes_out() {
        let failed: Vec<Measured> = checks().iter().map(run).filter(|measured| !measured.passed).collect();
        assert!(failed.is_empty(), "{failed:#?}");
    }

    #[test]
    fn every_check_has_a_name_of_its_own() {
        let checks = checks();
        let names: BTreeSet<(&str, &str)> = checks.iter().map(|check| (check.section, check.name)).collect();
        assert_eq!(names.len(), checks.len());
    }

    #[test]
    fn a_wrong_value_and_a_missing_one_fail() {
        assert!(!run(&check("0", "off by two units", 1.002, 3, || Ok(1.0))).passed);
        assert!(run(&check("0", "off by half a unit", 1.0005, 3, || Ok(1.0))).passed);
        assert!(!run(&check("0", "not a number", 1.0, 3, || Ok(f64::NAN))).passed);
        let missing = run(&check("0", "missing", 1.0, 3, || Err("no value".into())));
        assert!(!missing.passed);
        assert!(serde_json::to_string(&missing).expect("serialises").contains(r#""measured":"no value""#));
    }
}
