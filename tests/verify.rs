//! Every reference directory that is committed as a fixture is recomputed within its tolerances.

use std::path::{Path, PathBuf};

use pifi_probe::verify::{self, Outcome, Summary};

fn oracle(part: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/oracle").join(part)
}

/// Recomputes all directories below `part`; gives the totals and the unsupported families.
fn recompute(part: &str) -> (Summary, Vec<String>) {
    let mut summary = Summary::default();
    let mut unsupported = Vec::new();
    let mut failures = Vec::new();
    for directory in verify::find(&oracle(part)).expect("the fixtures are there") {
        let report = verify::run(&directory);
        summary.count(&report);
        for case in report.compared().iter().filter(|case| !case.passed()) {
            failures.push(format!("{}: {case:?}", directory.display()));
        }
        match &report.outcome {
            Outcome::Compared(_) | Outcome::Partly { .. } => {}
            Outcome::Unsupported(_) => unsupported.push(report.family),
            Outcome::Unreadable(failure) => failures.push(format!("{}: {failure}", directory.display())),
        }
    }
    assert!(failures.is_empty(), "{} failed:\n{}", failures.len(), failures.join("\n"));
    (summary, unsupported)
}

#[test]
fn every_llm_matches_transformers() {
    let (summary, unsupported) = recompute("llm");
    assert_eq!(unsupported, [""; 0]);
    assert_eq!(summary.directories, 32);
    assert!(summary.cases > 32 * 3 * 8, "{summary}");
}

#[test]
fn every_small_model_matches_transformers() {
    let (summary, unsupported) = recompute("slm");
    assert_eq!(unsupported, ["bart", "t5", "t5"]);
    assert!(summary.cases > 14 * 20, "{summary}");
}

#[test]
fn every_training_curve_matches_pytorch() {
    let (summary, unsupported) = recompute("pifi");
    assert_eq!(unsupported, [""; 0]);
    assert_eq!(summary.directories, 9);
    assert!(summary.cases > 9 * 8, "{summary}");
}

#[test]
fn every_similarity_matches_its_definition_in_numpy() {
    let report = verify::run(&oracle("similarity"));
    assert_eq!(report.kind, Some(verify::Kind::Similarity));
    let failed: Vec<_> = report.compared().iter().filter(|case| !case.passed()).collect();
    assert!(failed.is_empty(), "{failed:#?}");
    // every value of the seven pairs has its measure
    assert_eq!(report.compared().iter().filter(|case| case.name.contains('|')).count(), 136);
    // and every value of features with labels, and of two domains
    assert!(report.unknown().is_empty(), "{:?}", report.unknown());
}

#[test]
fn leaving_padding_out_changes_no_curve() {
    for directory in verify::find(&oracle("pifi")).expect("the fixtures") {
        let mut steps = 0;
        let report = verify::run_observed(
            &directory,
            &mut verify::Steps {
                device: pifi_probe::device::Device::CPU,
                packed: true,
                observe: &mut |step| steps += usize::from(step.products.operations > 0),
            },
        );
        assert_eq!((report.failed(), steps > 0), (0, true), "{directory:?}");
    }
}
