//! Reference outputs of transformers, recomputed on the device: layers, whole models, gradients, and
//! fifty steps of fine-tuning.

use std::path::{Path, PathBuf};

use pifi_probe::data::encode::EncodedSplit;
use pifi_probe::hub::tensor::TensorSource as _;
use pifi_probe::hub::{self, ModelName, Repository, Settings, unwatched};
use pifi_probe::models::families;
use pifi_probe::models::pooling::Pooling;
use pifi_probe::models::weights::Checkpoint;
use pifi_probe::represent::Walk;
use pifi_probe::verify::{self, StepTime, Steps};

use super::support::{CLOSE, agree, device, rounding};
use super::tape::Memory;

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

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/oracle").join(name)
}

fn recompute(name: &str, device: pifi_probe::device::Device) -> verify::Report {
    verify::run_observed(&fixture(name), &mut Steps { device, packed: false, observe: &mut |_| {} })
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

/// Fifty steps whose products round their factors: the losses of f32, nearly.
#[test]
fn training_in_bfloat16_follows_f32() {
    let (Some(device), Some(rounding)) = (device(), rounding()) else { return };
    let losses = |device| {
        let mut losses = Vec::new();
        let mut observe = |step: StepTime| losses.push(step.loss);
        let path = fixture("pifi/bert__llama2_last_cls");
        verify::run_observed(&path, &mut Steps { device, packed: true, observe: &mut observe });
        losses
    };
    let (wide, rounded) = (losses(device), losses(rounding));
    assert_eq!((wide.len(), rounded.len()), (50, 50));
    let apart = wide.iter().zip(&rounded).map(|(a, b)| (a - b).abs());
    let most = apart.fold(0.0, f64::max);
    assert!(most > 0.0 && most < 1e-2, "{most}: {wide:?} {rounded:?}");
}

#[test]
fn hidden_states_of_all_layers_are_those_of_the_cpu() {
    for name in ["llm/gemma2", "llm/bloom", "slm/deberta_v3"] {
        let folder = fixture(name);
        let config = std::fs::read(folder.join("config.json")).expect("reads");
        let config = hub::config::parse(&config, "config.json").expect("parses");
        let model = families::read(&config).expect("is supported");
        let opened = Repository::open(&Settings::below(&folder), &ModelName::Path(folder.clone()), None);
        let tensors = opened.expect("opens").checkpoint(&mut unwatched).expect("is whole");
        let names = model.names(&tensors.names().into_iter().collect()).expect("has all tensors");
        let weights = Checkpoint { tensors: &tensors, names: &names, transform: None };
        let texts = EncodedSplit {
            ids: (0..12).collect(),
            type_ids: vec![0; 12],
            offsets: vec![0, 5, 6, 12],
            labels: vec![0; 3],
            example_ids: vec![0, 1, 2],
            ..EncodedSplit::default()
        };
        agree(name, CLOSE, |device| {
            let pooling = Some(Pooling::Mean);
            let mut walk = Walk::new(&model, weights, &texts, pooling, 2, device).expect("begins");
            let mut tape = Memory::default();
            walk.embed(weights, &mut tape).expect("embeds");
            let mut rows = tape.turn();
            for layer in 0..model.spec.blocks.len() {
                walk.layer(layer, weights, &mut tape).expect("passes the layer");
                rows.extend(tape.turn());
            }
            vec![("rows", rows)]
        });
    }
}
