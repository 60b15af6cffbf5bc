//! Losses over classes and over the rows of a text.

use candle_core::{Device, Tensor};
use candle_nn::ops::log_softmax;
use pifi_probe::nn::Rows;
use pifi_probe::nn::cross_entropy::{IGNORE, Span, forward_backward, span_forward_backward};

use crate::support::{
    K, Operation, buffer, keeps_its_bits, matches_autograd, matches_differences, random, used,
};

fn scaled(dlogits: &[f32], dlosses: &[f32]) -> Vec<f32> {
    let len = dlogits.len() / dlosses.len();
    dlogits.chunks(len).zip(dlosses).flat_map(|(part, factor)| part.iter().map(move |x| x * factor)).collect()
}

fn classes(targets: &[u32], classes: usize, smoothing: f32, check: impl Fn(&Operation)) {
    let run = |members: usize, logits: &[f32]| {
        let (mut losses, mut dlogits) = (vec![0.0; members], used());
        let logits = buffer(logits);
        forward_backward(
            members,
            targets.len(),
            classes,
            &logits,
            targets,
            smoothing,
            &mut losses,
            &mut dlogits,
        );
        (losses, dlogits.to_vec())
    };
    check(&Operation {
        inputs: vec![random(1, K * targets.len() * classes)],
        forward: &|members, values| run(members, &values[0]).0,
        backward: &|members, values, dlosses| vec![scaled(&run(members, &values[0]).1, dlosses)],
    });
}

#[test]
fn class_losses_match_differences_and_autograd() {
    let targets = [2, 0, IGNORE, 1, 2];
    for smoothing in [0.0, 0.05] {
        classes(&targets, 3, smoothing, |operation| {
            matches_differences(operation);
            matches_autograd(operation, &|values| {
                let smoothing = f64::from(smoothing);
                let share = |row: u32, class: u32| {
                    let smooth = smoothing / 3.0;
                    match targets[row as usize] {
                        IGNORE => 0.0,
                        target if target == class => 1.0 - smoothing + smooth,
                        _ => smooth,
                    }
                };
                let wanted: Vec<f64> = (0..15).map(|place| share(place / 3, place % 3)).collect();
                let wanted = Tensor::from_vec(wanted, (5, 3), &Device::Cpu)?;
                let log_probabilities = log_softmax(&values[0].reshape((5, 3))?, 1)?;
                log_probabilities.mul(&wanted)?.sum_all()? / -4.0
            });
            keeps_its_bits(operation);
        });
    }
    let many: Vec<u32> = (0..5000).map(|row| row % 7).collect();
    classes(&many, 7, 0.1, keeps_its_bits);
}

#[test]
fn span_losses_match_differences_and_autograd() {
    let mut rows = Rows::packed(&[4, 3]);
    rows.real = Some(vec![true, true, true, false, true, true, false]);
    let targets = [Span { start: 1, end: 2 }, Span { start: 0, end: 0 }];
    for include_padding in [false, true] {
        let run = |members: usize, logits: &[f32]| {
            let (mut losses, mut dlogits) = (vec![0.0; members], used());
            let logits = buffer(logits);
            span_forward_backward(
                members,
                &rows,
                include_padding,
                &logits,
                &targets,
                &mut losses,
                &mut dlogits,
            );
            (losses, dlogits.to_vec())
        };
        let operation = Operation {
            inputs: vec![random(1, K * rows.len() * 2)],
            forward: &|members, values| run(members, &values[0]).0,
            backward: &|members, values, dlosses| vec![scaled(&run(members, &values[0]).1, dlosses)],
        };
        matches_differences(&operation);
        keeps_its_bits(&operation);
        // padding stands at the ends of the segments, so what is counted is a run of rows
        let lengths = if include_padding { [4, 3] } else { [3, 2] };
        matches_autograd(&operation, &|values| {
            let logits = values[0].reshape((7, 2))?;
            let mut loss = Tensor::new(0.0, &Device::Cpu)?;
            for (example, target) in targets.iter().enumerate() {
                let segment = logits.narrow(0, rows.offsets[example], lengths[example])?;
                let log_probabilities = log_softmax(&segment, 0)?;
                for (end, row) in [target.start, target.end].into_iter().enumerate() {
                    let term = log_probabilities.get(row as usize)?.get(end)?;
                    loss = (loss - (term / 4.0)?)?;
                }
            }
            Ok(loss)
        });
    }
}
