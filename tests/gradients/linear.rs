//! Linear maps in both orientations of the weight.

use pifi_probe::device::Device;
use pifi_probe::nn::linear::{Orientation, Shape, backward_bias, backward_input, backward_weight, forward};
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
            forward(shape(members), &buffer(&values[0]), weight, Orientation::OutIn, Some(bias), &mut y);
            wide(&y)
        },
        backward: &|members, values, dy| {
            let mut params = Params::new(members, &[&values[1], &values[2]]);
            let (x, dy, mut dx) = (buffer(&values[0]), buffer(dy), used());
            backward_input(shape(members), &dy, params.value(0), Orientation::OutIn, &mut dx, false);
            backward_weight(shape(members), &x, &dy, params.grad(0));
            backward_bias(shape(members), &dy, params.grad(1));
            [vec![dx.to_vec()], params.gradients()].concat()
        },
    });
}

/// A frozen weight, the same for all members.
fn frozen(rows: usize, inputs: usize, outputs: usize, check: impl Fn(&Operation)) {
    let shape = |members| Shape { members, rows, inputs, outputs };
    let weight = |members| Frozen::new(Device::Cpu, vec![random(2, inputs * outputs); members]);
    check(&Operation {
        inputs: vec![random(1, K * rows * inputs)],
        forward: &|members, values| {
            let (weight, x, mut y) = (weight(members), buffer(&values[0]), used());
            forward(shape(members), &x, weight.param(), Orientation::InOut, None, &mut y);
            wide(&y)
        },
        backward: &|members, _, dy| {
            let (weight, dy, mut dx) = (weight(members), buffer(dy), used());
            backward_input(shape(members), &dy, weight.param(), Orientation::InOut, &mut dx, false);
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
    // more rows than the transposed product takes, and fewer
    trainable(129, 257, 131, keeps_its_bits);
    trainable(33, 257, 131, keeps_its_bits);
}

#[test]
fn both_orientations_of_a_weight_are_one_map() {
    let (rows, inputs, outputs) = (70, 7, 3);
    let shape = Shape { members: 1, rows, inputs, outputs };
    let out_in = random(2, outputs * inputs);
    let in_out: Vec<f32> =
        (0..inputs * outputs).map(|i| out_in[i % outputs * inputs + i / outputs]).collect();
    let (x, dy) = (buffer(&random(1, rows * inputs)), buffer(&random(3, rows * outputs)));
    let results =
        [(out_in, Orientation::OutIn), (in_out, Orientation::InOut)].map(|(weight, orientation)| {
            let weight = Frozen::new(Device::Cpu, vec![weight]);
            let (mut y, mut dx) = (used(), used());
            forward(shape, &x, weight.param(), orientation, None, &mut y);
            backward_input(shape, &dy, weight.param(), orientation, &mut dx, false);
            [y.to_vec(), dx.to_vec()].concat()
        });
    let error = results[0].iter().zip(&results[1]).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(error < 1e-5, "{error}");
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
        backward_input(shape, &dy, params.value(0), Orientation::OutIn, &mut dx, true);
        backward_weight(shape, &x, &dy, params.grad(0));
        backward_bias(shape, &dy, params.grad(1));
    }
    // dy W = (1 2), (3 4), (4 6); dyᵀ x = (1+5 2+6), (3+5 4+6)
    assert_eq!(dx.cpu(), [12., 14., 16., 18., 18., 22.]);
    assert_eq!(params.gradients(), [vec![12., 16., 16., 20.], vec![4., 4.]]);
}
