//! Activations, plain and gated.

use candle_core::Tensor;
use pifi_probe::nn::activation::{Activation, backward, forward, gated_backward, gated_forward};
use pifi_probe::nn::linear;

use crate::support::{
    K, Operation, Params, buffer, keeps_its_bits, matches_autograd, matches_differences, random, used, wide,
};

const ALL: [Activation; 4] = [Activation::Relu, Activation::Gelu, Activation::GeluTanh, Activation::Silu];

fn reference(activation: Activation, x: &Tensor) -> candle_core::Result<Tensor> {
    match activation {
        Activation::Relu => x.relu(),
        Activation::Gelu => x.gelu_erf(),
        Activation::GeluTanh => x.gelu(),
        Activation::Silu => x.silu(),
    }
}

/// From -4 to 4, and not so near zero that a difference would straddle Relu's bend.
fn spread(seed: u64, len: usize) -> Vec<f32> {
    let away = |x: &f32| if x.abs() < 0.05 { 0.05_f32.copysign(*x) } else { (2.0 * x).clamp(-4.0, 4.0) };
    random(seed, len).iter().map(away).collect()
}

fn plain(activation: Activation, [rows, width]: [usize; 2], check: impl Fn(&Operation)) {
    check(&Operation {
        inputs: vec![spread(1, K * rows * width)],
        forward: &|members, values| {
            let mut y = used();
            forward(activation, [members, rows, width], &buffer(&values[0]), None, &mut y);
            wide(&y)
        },
        backward: &|members, values, dy| {
            let mut dx = used();
            let x = buffer(&values[0]);
            backward(activation, [members, rows, width], &x, None, &buffer(dy), &mut dx);
            vec![dx.to_vec()]
        },
    });
}

/// With a bias, whose gradient is that of a linear map before it.
fn biased(activation: Activation, [rows, width]: [usize; 2], check: impl Fn(&Operation)) {
    check(&Operation {
        inputs: vec![random(3, K * rows * width), random(4, K * width)],
        forward: &|members, values| {
            let params = Params::new(members, &[&values[1]]);
            let (x, bias, mut y) = (buffer(&values[0]), params.value(0), used());
            forward(activation, [members, rows, width], &x, Some(bias), &mut y);
            wide(&y)
        },
        backward: &|members, values, dy| {
            let mut params = Params::new(members, &[&values[1]]);
            let (x, bias, mut dx) = (buffer(&values[0]), params.value(0), used());
            backward(activation, [members, rows, width], &x, Some(bias), &buffer(dy), &mut dx);
            let shape = linear::Shape { members, rows, inputs: 0, outputs: width };
            linear::backward_bias(shape, &dx, params.grad(0));
            vec![dx.to_vec(), params.gradients().remove(0)]
        },
    });
}

fn gated(activation: Activation, len: usize, check: impl Fn(&Operation)) {
    check(&Operation {
        inputs: vec![spread(1, K * len), random(2, K * len)],
        forward: &|_, values| {
            let mut y = used();
            gated_forward(activation, &buffer(&values[0]), &buffer(&values[1]), &mut y);
            wide(&y)
        },
        backward: &|_, values, dy| {
            let (mut dgate, mut dup) = (used(), used());
            let (gate, up) = (buffer(&values[0]), buffer(&values[1]));
            gated_backward(activation, &gate, &up, &buffer(dy), &mut dgate, &mut dup);
            vec![dgate.to_vec(), dup.to_vec()]
        },
    });
}

#[test]
fn activation_gradients_match_differences_and_autograd() {
    for activation in ALL {
        plain(activation, [1, 61], |operation| {
            matches_differences(operation);
            matches_autograd(operation, &|values| reference(activation, &values[0]));
        });
    }
}

#[test]
fn gradients_of_a_biased_activation_match_autograd() {
    for activation in ALL {
        biased(activation, [7, 9], |operation| {
            matches_autograd(operation, &|values| {
                reference(activation, &values[0].reshape((7, 9))?.broadcast_add(&values[1])?)
            });
        });
    }
}

#[test]
fn gated_gradients_match_differences_and_autograd() {
    for activation in ALL {
        gated(activation, 61, |operation| {
            matches_differences(operation);
            matches_autograd(operation, &|values| reference(activation, &values[0])?.mul(&values[1]));
        });
    }
}

#[test]
fn activations_keep_their_bits() {
    for activation in ALL {
        plain(activation, [1, 20_001], keeps_its_bits);
        biased(activation, [61, 331], keeps_its_bits);
        gated(activation, 20_001, keeps_its_bits);
    }
}
