//! Probes over the reference checkpoints: stacking, frozen weights, gradients through a frozen
//! layer, the one-token path.

mod stack;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use pifi_probe::device::Device;
use pifi_probe::hub::{self, ModelName, Repository, Settings, unwatched};
use pifi_probe::models::block::Block;
use pifi_probe::models::build::{self, Member, Target};
use pifi_probe::models::families::{self, Model, Names, Scope};
use pifi_probe::models::head::HeadSpec;
use pifi_probe::models::input::{Input, Pass, Tokens};
use pifi_probe::models::plug::{Mask, PlugMode, PlugSpec};
use pifi_probe::models::pooling::Pooling;
use pifi_probe::models::probe::{Layer, Probe, ProbeSpec};
use pifi_probe::models::weights::Checkpoint;
use pifi_probe::nn::cross_entropy;
use pifi_probe::nn::{Arena, Buffer, DropoutKey, Rows};
use pifi_probe::seed::Seed;

struct Part {
    model: Model,
    names: Names,
    tensors: hub::Checkpoint,
}

fn oracle(part: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/oracle").join(part)
}

fn open(part: &str) -> Part {
    let path = oracle(part);
    let name = ModelName::Path(path.clone());
    let repository = Repository::open(&Settings::below(&path), &name, None).expect("a fixture opens");
    let model = families::read(&hub::config::read(&repository).expect("a configuration")).expect("a family");
    let tensors = repository.checkpoint(&mut unwatched).expect("a checkpoint");
    let on_disk: BTreeSet<String> = repository.tensor_names().expect("names");
    let names = model.names(&on_disk).expect("known names");
    Part { model, names, tensors }
}

impl Part {
    fn checkpoint(&self) -> Checkpoint<'_> {
        Checkpoint { tensors: &self.tensors, names: &self.names, transform: None }
    }
}

/// The layers as members of one block.
fn stack(llm: &Part, layers: &[usize], scope: Scope) -> Block {
    let members: Vec<Member<'_>> = layers
        .iter()
        .map(|&layer| Member { checkpoint: llm.checkpoint(), table: &llm.model.tensors, layer: Some(layer) })
        .collect();
    let spec = &llm.model.spec.blocks[layers[0]];
    build::block(&mut Target::Frozen(Device::CPU, &members), layers[0], spec, scope, None).expect("a block")
}

#[derive(Clone, Copy)]
struct Setting {
    slm: &'static str,
    llm: &'static str,
    mode: PlugMode,
    mask: Mask,
    pooling: Pooling,
}

const POOLED: Setting = Setting {
    slm: "slm/bert",
    llm: "llm/llama3",
    mode: PlugMode::Pooled,
    mask: Mask::Bidirectional,
    pooling: Pooling::Cls,
};

fn spec(setting: Setting, slm: &Part, llm: &Part) -> ProbeSpec {
    ProbeSpec {
        encoder: Some(slm.model.clone()),
        hidden_size: slm.model.spec.hidden_size,
        pooling: setting.pooling,
        plug: PlugSpec::Layer { width: llm.model.spec.hidden_size, mask: setting.mask, honour_window: false },
        mode: setting.mode,
        head: HeadSpec::Classifier { classes: 3, dropout: 0.2 },
    }
}

/// A probe of these layers with its first values.
fn probe(setting: Setting, layers: &[usize], scope: Scope) -> (Probe, Arena) {
    let (slm, llm) = (open(setting.slm), open(setting.llm));
    let spec = spec(setting, &slm, &llm);
    let probe = Probe::new(&spec, layers.len(), Some(Layer::Frozen(Box::new(stack(&llm, layers, scope)))))
        .expect("a probe");
    let mut values = probe.arena(Device::CPU);
    for member in 0..layers.len() {
        probe.parameters().load(&mut values, member, &slm.checkpoint()).expect("weights");
        probe.parameters().initialise(&mut values, member, Seed(5));
    }
    (probe, values)
}

fn batch() -> Input {
    let lengths = [5, 9, 2, 7];
    let total: usize = lengths.iter().sum();
    let ids: Vec<u32> = (0..total as u32).map(|i| 5 + (i * 37) % 200).collect();
    Input::Tokens(Tokens { type_ids: vec![0; total], ids, rows: Rows::packed(&lengths) })
}

const TRAIN: Pass = Pass::Train(DropoutKey { seed: Seed(9), step: 3, site: 0 });

/// Logits and all gradients of one training pass.
fn pass(probe: &mut Probe, values: &Arena, pass: Pass) -> (Vec<f32>, Arena, Vec<f64>) {
    probe.forward(values, &batch(), pass).expect("a forward");
    let logits = probe.logits().clone();
    let members = probe.members();
    let mut losses = vec![0.0; members];
    let mut dlogits = Buffer::default();
    cross_entropy::forward_backward(members, 4, 3, &logits, &[0, 2, 1, 1], 0.05, &mut losses, &mut dlogits);
    let mut gradients = probe.arena(Device::CPU);
    probe.backward(values, &dlogits, &mut gradients);
    (logits.to_vec(), gradients, losses)
}

/// The tolerance of gradients in the oracle's float32 column.
fn close(a: &[f32], b: &[f32], tolerance: f32) {
    let largest = b.iter().fold(0.0_f32, |largest, x| largest.max(x.abs()));
    let worst = a.iter().zip(b).fold(0.0_f32, |worst, (a, b)| worst.max((a - b).abs()));
    assert!(a.len() == b.len() && worst <= tolerance * largest, "{worst} of {largest}");
}

#[test]
fn stacked_members_equal_separate_runs_in_every_mode() {
    for (mode, scope) in [(PlugMode::Pooled, Scope::OneToken), (PlugMode::Sequence, Scope::Sequence)] {
        for pooling in [Pooling::Cls, Pooling::Mean, Pooling::Last] {
            let setting = Setting { mode, pooling, ..POOLED };
            let (mut stacked, values) = probe(setting, &[0, 1, 2], scope);
            let (logits, gradients, losses) = pass(&mut stacked, &values, TRAIN);
            for layer in 0..3 {
                let (mut alone, values) = probe(setting, &[layer], scope);
                let (own, own_gradients, own_losses) = pass(&mut alone, &values, TRAIN);
                close(&logits[layer * 12..(layer + 1) * 12], &own, 1e-6);
                close(gradients.member(layer), own_gradients.member(0), 1e-5);
                assert!((losses[layer] - own_losses[0]).abs() <= 1e-6 * own_losses[0]);
            }
        }
    }
}

#[test]
fn a_pooled_plug_needs_neither_queries_nor_keys() {
    let (mut short, values) = probe(POOLED, &[1], Scope::OneToken);
    let (mut whole, same) = probe(POOLED, &[1], Scope::Sequence);
    let (a, b) = (pass(&mut short, &values, TRAIN), pass(&mut whole, &same, TRAIN));
    close(&a.0, &b.0, 1e-6);
    close(a.1.member(0), b.1.member(0), 1e-5);
}

/// The last block computes one row an example under `cls`; so does the plug in sequence mode. With
/// the mean of texts of one token the general path gives the same.
#[test]
fn rows_that_nobody_reads_change_nothing() {
    for mode in [PlugMode::Pooled, PlugMode::Sequence] {
        let (mut picked, values) = probe(Setting { mode, ..POOLED }, &[2], Scope::Sequence);
        let ones = Input::Tokens(Tokens {
            ids: vec![7, 90, 31],
            type_ids: vec![0; 3],
            rows: Rows::packed(&[1, 1, 1]),
        });
        picked.forward(&values, &ones, Pass::Evaluate).expect("a forward");
        let setting = Setting { mode, pooling: Pooling::Mean, ..POOLED };
        let (mut meant, same) = probe(setting, &[2], Scope::Sequence);
        meant.forward(&same, &ones, Pass::Evaluate).expect("a forward");
        close(picked.logits().cpu(), meant.logits().cpu(), 1e-6);
    }
}

/// Central differences of the loss through encoder, mappers and the frozen layer. In f32 the noise
/// of a difference is about 1e-7 of the loss over the step.
#[test]
fn the_small_models_embedding_learns_through_the_frozen_layer() {
    for slm in ["slm/bert", "slm/modernbert", "slm/deberta_v3", "slm/smollm2"] {
        let setting = Setting { slm, mode: PlugMode::Sequence, ..POOLED };
        let (mut probe, values) = probe(setting, &[1], Scope::Sequence);
        let (_, gradients, _) = pass(&mut probe, &values, TRAIN);
        let layout = probe.parameters().layout().clone();
        for entry in [&layout.entries()[0], layout.find("l_in.weight").expect("a mapper")] {
            let gradient = gradients.param(entry.slot).cpu(0);
            let (place, expected) = gradient
                .iter()
                .enumerate()
                .max_by(|a, b| a.1.abs().total_cmp(&b.1.abs()))
                .expect("a parameter");
            assert!(*expected != 0.0, "{slm}: {} learns nothing", entry.name);
            let step = 2e-2;
            let mut loss = |by: f32| {
                let mut moved = values.clone();
                moved.param_mut(entry.slot).cpu(0)[place] += by;
                pass(&mut probe, &moved, TRAIN).2[0]
            };
            let found = (loss(step) - loss(-step)) / f64::from(2.0 * step);
            let error = (found - f64::from(*expected)).abs() / f64::from(expected.abs());
            assert!(error < 2e-2, "{slm}: {} is {expected}, differences give {found}", entry.name);
        }
    }
}

/// One whose layer trains, of one member.
fn trained(setting: Setting, layer: usize, scope: Scope) -> (Probe, Arena) {
    let (slm, llm) = (open(setting.slm), open(setting.llm));
    let trained = Layer::Trained { model: &llm.model, layer, scope };
    let probe = Probe::new(&spec(setting, &slm, &llm), 1, Some(trained)).expect("a probe");
    let mut values = probe.arena(Device::CPU);
    probe.parameters().load(&mut values, 0, &slm.checkpoint()).expect("weights");
    probe.parameters().load_layer(&mut values, 0, &llm.checkpoint()).expect("weights");
    probe.parameters().initialise(&mut values, 0, Seed(5));
    (probe, values)
}

/// The same layer frozen and trained: equal logits and gradients of all that trains in both, and
/// every tensor of the trained one has the gradient that central differences give.
#[test]
fn a_trained_layer_starts_as_the_frozen_one_and_has_gradients_of_its_own() {
    for (mode, scope, llm) in [
        (PlugMode::Pooled, Scope::OneToken, "llm/llama3"),
        (PlugMode::Sequence, Scope::Sequence, "llm/llama3"),
        (PlugMode::Sequence, Scope::Sequence, "llm/qwen3"),
        (PlugMode::Sequence, Scope::Sequence, "llm/phi3"),
    ] {
        let setting = Setting { llm, mode, ..POOLED };
        let (mut frozen, values) = probe(setting, &[1], scope);
        let (logits, gradients, _) = pass(&mut frozen, &values, TRAIN);
        let (mut free, free_values) = trained(setting, 1, scope);
        let (own, own_gradients, _) = pass(&mut free, &free_values, TRAIN);
        close(&own, &logits, 1e-5);
        for entry in frozen.parameters().layout().entries() {
            let same = free.parameters().layout().find(&entry.name).expect("trains too");
            close(own_gradients.param(same.slot).cpu(0), gradients.param(entry.slot).cpu(0), 1e-4);
        }
        let layout = free.parameters().layout().clone();
        let of_layer = layout.entries().iter().filter(|entry| entry.name.starts_with("layer."));
        let mut tensors = 0;
        for entry in of_layer {
            tensors += 1;
            let gradient = own_gradients.param(entry.slot).cpu(0);
            let largest = gradient.iter().enumerate().max_by(|a, b| a.1.abs().total_cmp(&b.1.abs()));
            let (place, expected) = largest.expect("a parameter");
            assert!(*expected != 0.0, "{llm}: {} learns nothing", entry.name);
            let step = 2e-2;
            let mut loss = |by: f32| {
                let mut moved = free_values.clone();
                moved.param_mut(entry.slot).cpu(0)[place] += by;
                pass(&mut free, &moved, TRAIN).2[0]
            };
            let found = (loss(step) - loss(-step)) / f64::from(2.0 * step);
            // f32 rounds a loss of about 1 to 1e-7, and the step is 4e-2 wide
            let error = (found - f64::from(*expected)).abs();
            let allowed = 3e-2 * f64::from(expected.abs()) + 2e-5;
            assert!(error < allowed, "{llm}: {} is {expected}, differences give {found}", entry.name);
        }
        assert!(tensors >= if mode == PlugMode::Pooled { 6 } else { 8 }, "{llm}: {tensors} tensors");
    }
}

#[test]
fn a_forward_of_padded_texts_gives_packed_logits() {
    let (mut probe, values) = probe(POOLED, &[0], Scope::OneToken);
    probe.forward(&values, &batch(), Pass::Evaluate).expect("a forward");
    let packed = probe.logits().to_vec();
    let Input::Tokens(tokens) = batch() else { unreachable!() };
    let mut padded = Tokens { rows: Rows::packed(&[9; 4]), ..Tokens::default() };
    let mut real = Vec::new();
    for example in 0..4 {
        let segment = tokens.rows.segment(example);
        padded.ids.extend(&tokens.ids[segment.clone()]);
        padded.ids.resize(9 * (example + 1), 0);
        real.extend((0..9).map(|token| token < segment.len()));
    }
    padded.type_ids = vec![0; 36];
    padded.rows.real = Some(real);
    probe.forward(&values, &Input::Tokens(padded), Pass::Evaluate).expect("a forward");
    close(probe.logits().cpu(), &packed, 1e-5);
}

#[test]
fn exported_weights_read_back_whatever_the_family_fuses() {
    for slm in ["slm/modernbert", "slm/deberta", "slm/bert", "slm/albert"] {
        let part = open(slm);
        let (probe, values) = probe(Setting { slm, ..POOLED }, &[0], Scope::OneToken);
        for (name, shape, numbers) in probe.parameters().export(&values, 0) {
            let source = pifi_probe::models::tensors::Source::whole(name.clone());
            let on_disk = part.names.on_disk(&source);
            if name.starts_with("l_") || name.starts_with("classifier") {
                continue;
            }
            let raw = pifi_probe::hub::tensor::TensorSource::read(&part.tensors, &on_disk).expect("a tensor");
            assert_eq!(raw.shape, shape, "{slm} {name}");
            assert_eq!(raw.to_f32().expect("floats"), numbers, "{slm} {name}");
        }
    }
}
