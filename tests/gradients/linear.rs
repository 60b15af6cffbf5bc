//! Linear maps over weights that train and that are frozen.

use pifi_probe::device::Device;
use pifi_probe::nn::frozen::Stored;
use pifi_probe::nn::linear::{Shape, backward_bias, backward_input, backward_weight, forward};
use pifi_probe::nn::{Buffer, Frozen};

use crate::support::{
    K, Operation, Params, buffer, keeps_its_bits, matches_autograd, matches_differences, random, used, wide,
};

fn trainable(rows: usize, inputs: usize, outputs: usize, check: impl Fn(&Operation)) {
    let shape = |members| Shape { members, rows, inputs, outputs };
    check(&Operation {
        inputs: vec![random(1, K * rows * inputs), random(2, K * outputs * inputs), random(3, K * outputs)],
        forward: &|members, values| {
            let params = Params::new(members, &[&values[1], &values[2]]);
            let mut y = used();
            let (weight, bias) = (params.value(0), params.value(1));
            forward(shape(members), &buffer(&values[0]), weight, Some(bias), &mut y);
            wide(&y)
        },
        backward: &|members, values, dy| {
            let mut params = Params::new(members, &[&values[1], &values[2]]);
            let (x, dy, mut dx) = (buffer(&values[0]), buffer(dy), used());
            backward_input(shape(members), &dy, params.value(0), &mut dx, false);
            backward_weight(shape(members), &x, &dy, params.grad(0));
            backward_bias(shape(members), &dy, params.grad(1));
            [vec![dx.to_vec()], params.gradients()].concat()
        },
    });
}

/// A frozen weight, the same for all members.
fn frozen(rows: usize, inputs: usize, outputs: usize, check: impl Fn(&Operation)) {
    let shape = |members| Shape { members, rows, inputs, outputs };
    let weight = |members| Frozen::new(Device::CPU, vec![random(2, inputs * outputs); members]);
    check(&Operation {
        inputs: vec![random(1, K * rows * inputs)],
        forward: &|members, values| {
            let (weight, x, mut y) = (weight(members), buffer(&values[0]), used());
            forward(shape(members), &x, weight.param(), None, &mut y);
            wide(&y)
        },
        backward: &|members, _, dy| {
            let (weight, dy, mut dx) = (weight(members), buffer(dy), used());
            backward_input(shape(members), &dy, weight.param(), &mut dx, false);
            vec![dx.to_vec()]
        },
    });
}

#[test]
fn linear_gradients_match_differences_and_autograd() {
    for (rows, inputs, outputs) in [(5, 7, 3), (70, 4, 3), (1, 6, 5), (2, 1, 1)] {
        trainable(rows, inputs, outputs, |operation| {
            matches_differences(operation);
            matches_autograd(operation, &|values| {
                let x = values[0].reshape((rows, inputs))?;
                let weight = values[1].reshape((outputs, inputs))?;
                x.matmul(&weight.t()?)?.broadcast_add(&values[2])
            });
            keeps_its_bits(operation);
        });
    }
}

#[test]
fn large_linear_maps_keep_their_bits() {
    // more rows than the products of few rows take, and fewer
    trainable(129, 257, 131, keeps_its_bits);
    trainable(33, 257, 131, keeps_its_bits);
}

/// Rows around every number at which another kernel takes over; widths below and above that of the
/// strips, and not a multiple of anything; weights that are kept in f32 and as bfloat16.
#[test]
fn every_number_of_rows_and_every_dtype_matches_the_definition() {
    for (inputs, outputs) in [(48, 48), (257, 131), (131, 257), (401, 830), (7, 90), (90, 7)] {
        let halves: Vec<half::bf16> =
            random(2, outputs * inputs).into_iter().map(half::bf16::from_f32).collect();
        let weight: Vec<f64> = halves.iter().map(|x| x.to_f64()).collect();
        let bytes = halves.iter().flat_map(|x| x.to_le_bytes()).collect();
        let kept = [Stored::Bf16(bytes), Stored::F32(halves.iter().map(|x| x.to_f32()).collect())]
            .map(|stored| Frozen::matrices(Device::CPU, vec![stored]));
        for rows in [0, 1, 8, 9, 16, 17, 32, 33, 64, 65] {
            let shape = Shape { members: 1, rows, inputs, outputs };
            let (x, dy) = (random(1, rows * inputs), random(3, rows * outputs));
            for frozen in &kept {
                for accumulate in [false, true] {
                    let bias = Frozen::new(Device::CPU, vec![random(4, outputs)]);
                    let (mut y, mut dx) = (used(), buffer(&random(5, rows * inputs)));
                    let before = dx.to_vec();
                    let added = accumulate.then(|| bias.param());
                    forward(shape, &buffer(&x), frozen.param(), added, &mut y);
                    backward_input(shape, &buffer(&dy), frozen.param(), &mut dx, accumulate);
                    let on = |start: &[f32], at: usize| if accumulate { f64::from(start[at]) } else { 0.0 };
                    let is_sum = |found: f32, start: f64, terms: &mut dyn Iterator<Item = f64>| {
                        let (sum, scale) =
                            terms.fold((start, 1.0), |(sum, scale), x| (sum + x, scale + x.abs()));
                        let apart = (f64::from(found) - sum).abs();
                        assert!(
                            apart < 1e-6 * scale,
                            "{rows} rows, {inputs} to {outputs}: {found}, not {sum}"
                        );
                    };
                    for row in 0..rows {
                        for output in 0..outputs {
                            let term =
                                |i: usize| f64::from(x[row * inputs + i]) * weight[output * inputs + i];
                            let start = on(bias.param().cpu(0), output);
                            is_sum(y.cpu()[row * outputs + output], start, &mut (0..inputs).map(term));
                        }
                        for input in 0..inputs {
                            let term =
                                |o: usize| f64::from(dy[row * outputs + o]) * weight[o * inputs + input];
                            let at = row * inputs + input;
                            is_sum(dx.cpu()[at], on(&before, at), &mut (0..outputs).map(term));
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn frozen_linear_maps_match_differences() {
    frozen(5, 7, 3, matches_differences);
    for (rows, inputs, outputs) in [(1, 7, 3), (5, 7, 3), (33, 257, 131), (129, 257, 131)] {
        frozen(rows, inputs, outputs, keeps_its_bits);
    }
}

#[test]
fn gradients_are_added_to_what_is_there() {
    let shape = Shape { members: 1, rows: 3, inputs: 2, outputs: 2 };
    let (x, dy) = (buffer(&[1., 2., 3., 4., 5., 6.]), buffer(&[1., 0., 0., 1., 1., 1.]));
    let mut params = Params::new(1, &[&vec![1., 2., 3., 4.], &vec![0., 0.]]);
    let mut dx: Buffer = buffer(&[10.; 6]);
    for _ in 0..2 {
        backward_input(shape, &dy, params.value(0), &mut dx, true);
        backward_weight(shape, &x, &dy, params.grad(0));
        backward_bias(shape, &dy, params.grad(1));
    }
    // dy W = (1 2), (3 4), (4 6); dyᵀ x = (1+5 2+6), (3+5 4+6)
    assert_eq!(dx.cpu(), [12., 14., 16., 18., 18., 22.]);
    assert_eq!(params.gradients(), [vec![12., 16., 16., 20.], vec![4., 4.]]);
}
