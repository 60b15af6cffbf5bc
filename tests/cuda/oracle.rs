//! Reference outputs of transformers, recomputed on the device: layers, whole models, gradients, and
//! fifty steps of fine-tuning.

use std::path::Path;

use pifi_probe::verify::{self, Outcome, Steps};

use super::support::device;

/// One of every kind that the device computes, and of what it refuses; `verify --device cuda` takes all.
const COMPUTED: [&str; 7] = [
    "llm/gemma2",
    "llm/qwen3",
    "slm/bert",
    "slm/modernbert",
    "pifi/bert__llama2_last_cls",
    "pifi/bert__llama3_1_span",
    "pifi/electra__falcon7b_last_meanpad",
];
const REFUSED: [&str; 5] = ["llm/bloom", "llm/mixtral", "slm/deberta_v3", "slm/deberta_v2", "slm/mpnet"];

fn recompute(name: &str, device: pifi_probe::device::Device) -> verify::Report {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/oracle").join(name);
    verify::run_observed(&directory, &mut Steps { device, packed: false, observe: &mut |_| {} })
}

#[test]
fn reference_outputs_are_reproduced() {
    let Some(device) = device() else { return };
    for name in COMPUTED {
        let report = recompute(name, device);
        assert!(
            report.cases() > 9 && report.failed() == 0,
            "{name}: {:?} {:?}",
            report.worst(),
            report.outcome
        );
    }
}

#[test]
fn models_without_their_operations_are_refused() {
    let Some(device) = device() else { return };
    for name in REFUSED {
        let outcome = recompute(name, device).outcome;
        let Outcome::Unsupported(reason) = &outcome else { panic!("{name}: {outcome:?}") };
        assert!(reason.contains("is not on the GPU yet"), "{name}: {reason}");
    }
}
