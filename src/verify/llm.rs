//! Single layers of a decoder under every mask, with the gradients of their inputs, and the whole
//! model's hidden states.

use std::collections::BTreeSet;
use std::path::Path;

use super::compare::{Case, Golden, checkpoint};
use super::{Outcome, Recomputed, model};
use crate::device::Device;
use crate::error::Failure;
use crate::hub::tensor::TensorSource;
use crate::models::attention::Positions;
use crate::models::block::{self, Block, BlockDropout, Call};
use crate::models::build::{self, Member, Target};
use crate::models::encoder;
use crate::models::families::{Model, Names, Scope};
use crate::models::input::{Pass, Tokens};
use crate::models::weights::Checkpoint;
use crate::nn::{Arena, Buffer, Layout, Rows};

/// Of outputs and input gradients, float32 against float64: ten times what transformers' own
/// float32 needs.
const TOLERANCE: f64 = 1e-5;

pub(super) fn run(directory: &Path, golden: &Golden, device: Device) -> Recomputed {
    let model = match model(directory)? {
        Ok(model) => model,
        Err((family, reason)) => return Ok((family, Outcome::Unsupported(reason))),
    };
    let tensors = checkpoint(directory)?;
    let on_disk: BTreeSet<String> = tensors.names().into_iter().collect();
    let names = model.names(&on_disk)?;
    let source = Source { model: &model, names: &names, tensors: &tensors, device };

    let mut cases = Vec::new();
    for layer in 0..model.spec.blocks.len() {
        layer_cases(&source, golden, layer, &mut cases)?;
    }
    if golden.has("in.full.ids") {
        whole_cases(&source, golden, &mut cases)?;
    }
    Ok((model.spec.model_type.clone(), Outcome::Compared(cases)))
}

struct Source<'a> {
    model: &'a Model,
    names: &'a Names,
    tensors: &'a dyn TensorSource,
    device: Device,
}

impl Source<'_> {
    fn member(&self, layer: Option<usize>) -> Member<'_> {
        Member {
            checkpoint: Checkpoint { tensors: self.tensors, names: self.names, transform: None },
            table: &self.model.tensors,
            layer,
        }
    }

    fn block(&self, layer: usize, scope: Scope) -> Result<Block, Failure> {
        let members = [self.member(Some(layer))];
        let spec = &self.model.spec.blocks[layer];
        build::block(&mut Target::Frozen(self.device, &members), layer, spec, scope, None)
    }
}

/// One way of calling a layer.
struct Way {
    name: &'static str,
    input: &'static str,
    causal: bool,
    windowed: bool,
    padded: bool,
    scope: Scope,
}

const WAYS: [Way; 6] = [
    Way { name: "s1", input: "s1", causal: false, windowed: false, padded: false, scope: Scope::OneToken },
    Way { name: "s1", input: "s1", causal: false, windowed: false, padded: false, scope: Scope::Sequence },
    Way { name: "bi", input: "sN", causal: false, windowed: false, padded: false, scope: Scope::Sequence },
    Way { name: "causal", input: "sN", causal: true, windowed: false, padded: false, scope: Scope::Sequence },
    Way { name: "bipad", input: "sN", causal: false, windowed: false, padded: true, scope: Scope::Sequence },
    Way { name: "win", input: "sN", causal: true, windowed: true, padded: false, scope: Scope::Sequence },
];

fn layer_cases(
    source: &Source<'_>,
    golden: &Golden,
    layer: usize,
    cases: &mut Vec<Case>,
) -> Result<(), Failure> {
    let no_parameters = std::sync::Arc::new(Layout::default());
    let mut arena = Arena::zeros(source.device, no_parameters, 1);
    let empty = arena.clone();
    for way in &WAYS {
        let reference = format!("L{layer}.{}.y", way.name);
        if !golden.has(&reference) {
            continue;
        }
        let (x, examples, tokens) = golden.batch(&format!("in.{}.x", way.input), source.device)?;
        let mut rows = Rows::packed(&vec![tokens; examples]);
        if way.padded {
            let (mask, _) = golden.integers(&format!("in.{}.pad_mask", way.input))?;
            rows.real = Some(mask.iter().map(|&real| real != 0).collect());
        }
        let call = Call {
            members: 1,
            rows: &rows,
            selection: None,
            causal: way.causal,
            honour_window: way.windowed,
            pass: Pass::Evaluate,
            site: 0,
            dropout: BlockDropout::default(),
        };
        let block = source.block(layer, way.scope)?;
        let (mut positions, mut state) = (Positions::default(), block::State::default());
        let mut y = Buffer::default();
        block.forward(&empty, &call, &positions, &x, &mut y, &mut state);
        let label = if way.scope == Scope::OneToken { " (one-token path)" } else { "" };
        let mut case = golden.case(&reference, &y.to_vec(), TOLERANCE)?;
        case.name += label;
        cases.push(case);

        let reference = format!("L{layer}.{}.gx", way.name);
        if golden.has(&reference) {
            let (g, ..) = golden.batch(&format!("in.{}.g", way.input), source.device)?;
            let (mut dx, mut scratch) = (Buffer::default(), block::Scratch::default());
            let (kept, shared) = (&mut state, &mut positions);
            block.backward(&empty, &call, shared, &x, kept, &g, &mut arena, &mut scratch, &mut dx);
            let mut case = golden.case(&reference, &dx.to_vec(), TOLERANCE)?;
            case.name += label;
            cases.push(case);
        }
    }
    Ok(())
}

fn whole_cases(source: &Source<'_>, golden: &Golden, cases: &mut Vec<Case>) -> Result<(), Failure> {
    let members = [source.member(None)];
    let whole = build::encoder(&mut Target::Frozen(source.device, &members), &source.model.spec)?;
    let (ids, examples, tokens) = golden.ids("in.full.ids")?;
    let type_ids = vec![0; ids.len()];
    let tokens = Tokens { ids, type_ids, rows: Rows::packed(&vec![tokens; examples]) };
    let empty = Arena::zeros(source.device, std::sync::Arc::default(), 1);
    let mut state = encoder::State::default();
    whole.forward(&empty, 1, &tokens, None, Pass::Evaluate, &mut state)?;
    let count = source.model.spec.blocks.len();
    for index in 0..=count {
        let name = format!("full.hidden.{index}");
        if golden.has(&name) {
            // transformers reports what follows the last block as the last hidden state
            let hidden = if index == count { whole.output(&state) } else { whole.hidden(&state, index) };
            cases.push(golden.case(&name, &hidden.to_vec(), TOLERANCE)?);
        }
    }
    Ok(())
}
