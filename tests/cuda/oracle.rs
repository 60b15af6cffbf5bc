//! Reference outputs of transformers, recomputed on the device: layers, whole models, gradients, and
//! fifty steps of fine-tuning.

use std::path::Path;

use pifi_probe::verify::{self, Steps};

use super::support::device;

/// One of every kind; `verify --device cuda` takes all.
const COMPUTED: [&str; 15] = [
    "llm/bloom",
    "llm/falcon_rw",
    "llm/gemma2",
    "llm/mixtral",
    "llm/qwen3",
    "slm/bert",
    "slm/deberta",
    "slm/deberta_v2",
    "slm/deberta_v3",
    "slm/modernbert",
    "slm/mpnet",
    "pifi/bert__llama2_last_cls",
    "pifi/bert__llama3_1_span",
    "pifi/deberta_v3__qwen3_1_cls_adamw",
    "pifi/electra__falcon7b_last_meanpad",
];

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
