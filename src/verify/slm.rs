//! A small model's hidden states over a padded batch, and the gradients of all its parameters.

use std::collections::BTreeSet;
use std::path::Path;

use super::compare::{Case, Golden, checkpoint, json};
use super::{Error, Outcome, Recomputed, model};
use crate::device::Device;
use crate::error::Failure;
use crate::hub::tensor::TensorSource;
use crate::models::build::{self, Target};
use crate::models::encoder;
use crate::models::input::{Pass, Tokens};
use crate::models::weights::{Checkpoint, Registry};
use crate::nn::{Arena, Rows, residual};

/// Of hidden states.
const TOLERANCE: f64 = 1e-5;
/// Of gradients.
const GRADIENT_TOLERANCE: f64 = 1e-4;
/// Gradients below this part of the largest are rounding noise (key biases under a softmax).
const NOISE: f64 = 1e-6;

pub(super) fn run(directory: &Path, golden: &Golden, device: Device) -> Recomputed {
    let model = match model(directory)? {
        Ok(model) => model,
        Err((family, reason)) => return Ok((family, Outcome::Unsupported(reason))),
    };
    let tensors = checkpoint(directory)?;
    let on_disk: BTreeSet<String> = tensors.names().into_iter().collect();
    let names = model.names(&on_disk)?;

    // 1. The encoder with trainable weights
    let mut registry = Registry::default();
    let mut target = Target::Trainable(&mut registry, &model.tensors);
    let encoder = build::encoder(&mut target, &model.spec)?;
    let parameters = registry.finish();
    let mut values = Arena::zeros(device, parameters.layout().clone(), 1);
    let weights = Checkpoint { tensors: &tensors, names: &names, transform: None };
    parameters.load(&mut values, 0, &weights)?;

    // 2. Hidden states
    let tokens = padded_batch(golden)?;
    let mut state = encoder::State::default();
    encoder.forward(&values, 1, &tokens, None, Pass::Evaluate, &mut state)?;
    let mut cases = Vec::new();
    let count = model.spec.blocks.len();
    for index in 0..=count {
        let name = format!("hidden.{index}");
        if golden.has(&name) {
            cases.push(hidden_case(golden, &name, &encoder, &state, index == count)?);
        }
    }
    let last = encoder.output(&state).clone();
    cases.push(golden.case("last", &last.to_vec(), TOLERANCE)?);

    // 3. Gradients of sum(last * g * mask)
    let (mut dlast, ..) = golden.batch("in.g", device)?;
    let width = last.len() / tokens.rows.len();
    residual::zero_rows(1, tokens.rows.len(), width, |row| !tokens.rows.is_real(row), &mut dlast);
    let mut gradients = Arena::zeros(device, parameters.layout().clone(), 1);
    encoder.backward(&values, 1, &tokens, None, Pass::Evaluate, &mut state, &dlast, &mut gradients);
    let path = directory.join("golden.json");
    gradient_cases(golden, &path, &parameters.export(&gradients, 0), &mut cases)?;
    Ok((model.spec.model_type.clone(), Outcome::Compared(cases)))
}

/// A hidden state by index; where a final norm stands after the last block, transformers reports
/// either side of it, so the nearer one counts.
fn hidden_case(
    golden: &Golden,
    name: &str,
    encoder: &encoder::Encoder,
    state: &encoder::State,
    last: bool,
) -> Result<Case, Failure> {
    let index: usize = name.rsplit('.').next().and_then(|index| index.parse().ok()).unwrap_or(0);
    let before = golden.case(name, &encoder.hidden(state, index).to_vec(), TOLERANCE)?;
    if !last {
        return Ok(before);
    }
    let after = golden.case(name, &encoder.output(state).to_vec(), TOLERANCE)?;
    Ok(if after.error <= before.error { after } else { before })
}

fn padded_batch(golden: &Golden) -> Result<Tokens, Failure> {
    let (ids, examples, length) = golden.ids("in.ids")?;
    let (mask, ..) = golden.ids("in.mask")?;
    let type_ids = if golden.has("in.type_ids") { golden.ids("in.type_ids")?.0 } else { vec![0; ids.len()] };
    let mut rows = Rows::packed(&vec![length; examples]);
    rows.real = Some(mask.iter().map(|&real| real != 0).collect());
    Ok(Tokens { ids, type_ids, rows })
}

fn gradient_cases(
    golden: &Golden,
    path: &Path,
    gradients: &[(String, Vec<usize>, Vec<f32>)],
    cases: &mut Vec<Case>,
) -> Result<(), Failure> {
    let malformed = |what: &str| Error::Malformed { path: path.to_owned(), what: what.to_owned() };
    let document = json(path)?;
    let norms = document.get("grad_norms").and_then(|norms| norms.as_object());
    let norms = norms.ok_or_else(|| malformed("has no object `grad_norms`"))?;
    let largest = norms.values().filter_map(serde_json::Value::as_f64).fold(0.0, f64::max);
    for (name, norm) in norms {
        // null: takes no part in the loss
        let Some(expected) = norm.as_f64().filter(|norm| *norm > NOISE * largest) else { continue };
        let found = gradients.iter().find(|(found, ..)| found == name);
        let norm = found.map_or(f64::NAN, |(.., numbers)| {
            numbers.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt()
        });
        cases.push(Case::of_numbers(format!("norm.{name}"), norm, expected, GRADIENT_TOLERANCE));
        let tensor = format!("grad.{name}");
        if let (Some((.., numbers)), true) = (found, golden.has(&tensor)) {
            cases.push(golden.case(&tensor, numbers, GRADIENT_TOLERANCE)?);
        }
    }
    Ok(())
}
