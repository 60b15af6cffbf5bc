//! LayerNorm and both forms of RMSNorm.

use candle_nn::ops::{layer_norm_slow, rms_norm_slow};
use pifi_probe::nn::norm::{Kind, Saved, Shape, backward, forward};

use crate::support::{
    K, Operation, Params, buffer, keeps_its_bits, matches_autograd, matches_differences, random, used, wide,
};

const EPS: f64 = 1e-5;

fn norm(kind: Kind, biased: bool, rows: usize, width: usize, check: impl Fn(&Operation)) {
    let shape = |members| Shape { members, rows, width };
    // rows whose mean is far from zero, so that forgetting it shows
    let x: Vec<f32> = random(1, K * rows * width).iter().map(|x| 0.7 * x + 0.9).collect();
    let mut inputs = vec![x, random(2, K * width)];
    if biased {
        inputs.push(random(3, K * width));
    }
    check(&Operation {
        inputs,
        forward: &|members, values| {
            let params = Params::new(members, &values[1..].iter().collect::<Vec<_>>());
            let (mut y, mut saved) = (used(), Saved::default());
            let bias = biased.then(|| params.value(1));
            let x = buffer(&values[0]);
            forward(kind, EPS, shape(members), &x, params.value(0), bias, &mut y, &mut saved);
            wide(&y)
        },
        backward: &|members, values, dy| {
            let mut params = Params::new(members, &values[1..].iter().collect::<Vec<_>>());
            let (x, dy) = (buffer(&values[0]), buffer(dy));
            let (mut y, mut saved, mut dx) = (used(), Saved::default(), used());
            let shape = shape(members);
            forward(kind, EPS, shape, &x, params.value(0), None, &mut y, &mut saved);
            // weight and bias stand in one arena, so their gradients are borrowed one at a time
            let weights = Params::new(members, &[&values[1]]);
            let (weight, dweight) = (weights.value(0), params.grad(0));
            backward(kind, shape, &x, weight, &saved, &dy, Some(dweight), None, &mut dx, false);
            if biased {
                let mut again = used();
                let dbias = params.grad(1);
                backward(kind, shape, &x, weight, &saved, &dy, None, Some(dbias), &mut again, false);
                assert_eq!(again.cpu(), dx.cpu());
                backward(kind, shape, &x, weight, &saved, &dy, None, None, &mut again, true);
                assert!(again.cpu().iter().zip(dx.cpu()).all(|(twice, once)| *twice == 2.0 * once));
            }
            [vec![dx.to_vec()], params.gradients()].concat()
        },
    });
}

const KINDS: [(Kind, bool); 4] = [
    (Kind::LayerNorm, true),
    (Kind::LayerNorm, false),
    (Kind::RmsNorm, false),
    (Kind::RmsNormPlusOne, false),
];

#[test]
fn norm_gradients_match_differences_and_autograd() {
    for (kind, biased) in KINDS {
        let (rows, width) = (5, 7);
        norm(kind, biased, rows, width, |operation| {
            matches_differences(operation);
            matches_autograd(operation, &|values| {
                let (x, weight) = (values[0].reshape((rows, width))?, &values[1]);
                match kind {
                    Kind::LayerNorm if biased => layer_norm_slow(&x, weight, &values[2], EPS as f32),
                    Kind::LayerNorm => layer_norm_slow(&x, weight, &weight.zeros_like()?, EPS as f32),
                    Kind::RmsNorm => rms_norm_slow(&x, weight, EPS as f32),
                    Kind::RmsNormPlusOne => rms_norm_slow(&x, &(weight + 1.0)?, EPS as f32),
                }
            });
        });
    }
}

#[test]
fn norms_keep_their_bits() {
    for (kind, biased) in KINDS {
        norm(kind, biased, 5, 7, keeps_its_bits);
        norm(kind, biased, 301, 129, keeps_its_bits);
    }
}

#[test]
fn a_large_offset_costs_no_accuracy() {
    let x: Vec<f32> = [1.0, 2.0, 3.0, 4.0].iter().map(|x| x + 4096.0).collect();
    let params = Params::new(1, &[&vec![1.0; 4]]);
    let (mut y, mut saved) = (used(), Saved::default());
    let shape = Shape { members: 1, rows: 1, width: 4 };
    forward(Kind::LayerNorm, 0.0, shape, &buffer(&x), params.value(0), None, &mut y, &mut saved);
    // (x - 2.5) / √1.25
    for (y, expected) in y.cpu().iter().zip([-1.341_640_8_f32, -0.447_213_6, 0.447_213_6, 1.341_640_8]) {
        assert!((y - expected).abs() < 1e-6, "{y} {expected}");
    }
}
