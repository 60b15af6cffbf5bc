//! The convolution over tokens against its definition in f64, and its gradients against central
//! differences of it.

use std::sync::Arc;

use pifi_probe::device::Device;
use pifi_probe::nn::convolution::{Convolution, Gradients, Scratch, Shape};
use pifi_probe::nn::{Arena, Buffer, Layout, Rows};

use crate::case::{padded, random};
use crate::gradients::difference;

/// x, weight, bias of all members.
type Inputs = [Vec<f64>; 3];

fn definition(shape: Shape, rows: &Rows, [x, weight, bias]: &Inputs) -> Vec<f64> {
    let Shape { members, inputs, outputs, taps, groups } = shape;
    let (of_input, of_output) = (inputs / groups, outputs / groups);
    let mut y = vec![0.0; members * rows.len() * outputs];
    for member in 0..members {
        for example in 0..rows.examples() {
            let segment = rows.segment(example);
            for row in segment.clone().filter(|&row| rows.is_real(row)) {
                for output in 0..outputs {
                    let mut sum = bias[member * outputs + output];
                    for channel in 0..of_input {
                        for tap in 0..taps {
                            let source = (row + tap) as i64 - (taps as i64 - 1) / 2;
                            if source >= segment.start as i64 && source < segment.end as i64 {
                                let input = output / of_output * of_input + channel;
                                let at = (member * rows.len() + source as usize) * inputs + input;
                                let weight_at =
                                    ((member * outputs + output) * of_input + channel) * taps + tap;
                                sum += x[at] * weight[weight_at];
                            }
                        }
                    }
                    y[(member * rows.len() + row) * outputs + output] = sum;
                }
            }
        }
    }
    y
}

fn check(shape: Shape, rows: &Rows) {
    let Shape { members, inputs, outputs, taps, groups } = shape;
    let weight_len = outputs * inputs / groups * taps;
    let x = random(1, members * rows.len() * inputs);
    let cotangent = random(2, members * rows.len() * outputs);
    let mut layout = Layout::default();
    let weight = layout.push("weight", &[outputs, inputs / groups, taps]);
    let bias = layout.push("bias", &[outputs]);
    let layout = Arc::new(layout);
    let mut values = Arena::zeros(Device::CPU, layout.clone(), members);
    let numbers = random(3, members * (weight_len + outputs));
    values.buffer_mut().cpu_mut().copy_from_slice(&numbers);
    // weight and bias accumulate: both start at 1
    let mut dweight = Arena::zeros(Device::CPU, layout.clone(), members);
    let mut dbias = Arena::zeros(Device::CPU, layout, members);
    dweight.buffer_mut().fill(1.0);
    dbias.buffer_mut().fill(1.0);

    let convolution = Convolution { shape, rows };
    let buffer = |numbers: &[f32]| Buffer::from_vec(Device::CPU, numbers.to_vec());
    let mut scratch = Scratch::default();
    let mut y = buffer(&[f32::NAN; 3]);
    let mut dx = buffer(&[f32::NAN; 3]);
    convolution.forward(&buffer(&x), values.param(weight), Some(values.param(bias)), &mut y, &mut scratch);
    let gradients =
        Gradients { weight: dweight.param_mut(weight), bias: Some(dbias.param_mut(bias)), input: &mut dx };
    convolution.backward(&buffer(&x), values.param(weight), &buffer(&cotangent), gradients, &mut scratch);

    let all = |arena: &Arena, slot| -> Vec<f32> {
        (0..members).flat_map(|member| arena.param(slot).cpu(member).to_vec()).collect()
    };
    let exact = |numbers: &[f32]| numbers.iter().map(|&number| f64::from(number)).collect::<Vec<_>>();
    let mut given = [exact(&x), exact(&all(&values, weight)), exact(&all(&values, bias))];
    let apart = difference(y.cpu(), &definition(shape, rows, &given));
    assert!(apart < 1e-6, "output is {apart:e} from its definition");
    let less_one = |numbers: Vec<f32>| numbers.iter().map(|number| number - 1.0).collect::<Vec<_>>();
    let found = [dx.to_vec(), less_one(all(&dweight, weight)), less_one(all(&dbias, bias))];
    let loss = |given: &Inputs| -> f64 {
        let y = definition(shape, rows, given);
        y.iter().zip(&cotangent).map(|(y, g)| y * f64::from(*g)).sum()
    };
    for (input, name) in ["x", "weight", "bias"].iter().enumerate() {
        let mut expected = Vec::new();
        for at in 0..given[input].len() {
            let middle = given[input][at];
            // linear in each number: the step has no error of its own
            given[input][at] = middle + 1.0;
            let above = loss(&given);
            given[input][at] = middle;
            expected.push(above - loss(&given));
        }
        let apart = difference(&found[input], &expected);
        assert!(apart < 2e-6, "gradient of {name} is {apart:e} from differences");
    }
}

#[test]
fn a_convolution_reads_its_neighbours_within_the_example() {
    check(Shape { members: 2, inputs: 3, outputs: 4, taps: 3, groups: 1 }, &Rows::packed(&[5, 1, 3]));
    check(Shape { members: 1, inputs: 3, outputs: 2, taps: 5, groups: 1 }, &Rows::packed(&[2, 4, 0]));
    check(Shape { members: 1, inputs: 2, outputs: 2, taps: 1, groups: 1 }, &Rows::packed(&[3]));
}

#[test]
fn groups_of_channels_are_convolved_apart() {
    check(Shape { members: 2, inputs: 6, outputs: 4, taps: 3, groups: 2 }, &Rows::packed(&[4, 3]));
}

#[test]
fn rows_that_are_not_real_are_read_and_give_zero() {
    check(Shape { members: 2, inputs: 3, outputs: 4, taps: 3, groups: 1 }, &padded(&[3, 1], 4));
}
