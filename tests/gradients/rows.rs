//! What moves, mixes, drops or joins rows: embedding, pooling, dropout, residual sums.

use pifi_probe::nn::dropout::{self, Dropout};
use pifi_probe::nn::join::Join;
use pifi_probe::nn::{DropoutKey, Rows, embedding, linear, pooling, residual};
use pifi_probe::seed::Seed;

use crate::support::{
    K, Operation, Params, buffer, keeps_its_bits, matches_autograd, matches_differences, random, used, wide,
};

fn lookup(ids: &[u32], vocabulary: usize, width: usize, check: impl Fn(&Operation)) {
    let scale = 1.5;
    check(&Operation {
        inputs: vec![random(1, K * vocabulary * width), random(2, K * ids.len() * width)],
        forward: &|members, values| {
            let params = Params::new(members, &[&values[0]]);
            let mut y = buffer(&values[1]);
            embedding::forward(members, ids, width, params.value(0), &mut y, true, scale);
            let mut overwritten = used();
            embedding::forward(members, ids, width, params.value(0), &mut overwritten, false, scale);
            let sum: Vec<f32> = overwritten.cpu().iter().zip(&values[1]).map(|(y, x)| x + y).collect();
            assert_eq!(y.cpu(), sum);
            wide(&y)
        },
        backward: &|members, values, dy| {
            let mut params = Params::new(members, &[&values[0]]);
            embedding::backward(members, ids, width, &buffer(dy), scale, None, params.grad(0));
            vec![params.gradients().remove(0), dy.to_vec()]
        },
    });
}

#[test]
fn embedding_gradients_match_differences_and_autograd() {
    let ids = [4, 1, 4, 0, 6, 1, 4];
    lookup(&ids, 7, 5, |operation| {
        matches_differences(operation);
        matches_autograd(operation, &|values| {
            let index = candle_core::Tensor::new(&ids, &candle_core::Device::Cpu)?;
            let found = values[0].reshape((7, 5))?.index_select(&index, 0)?;
            (found * 1.5)?.add(&values[1].reshape((7, 5))?)
        });
        keeps_its_bits(operation);
    });
    let many: Vec<u32> = (0..700).map(|row| row * row % 37).collect();
    lookup(&many, 40, 65, keeps_its_bits);
}

fn segments() -> Rows {
    let mut rows = Rows::packed(&[4, 1, 3, 2]);
    rows.real = Some(vec![true, true, false, true, true, true, false, false, true, true]);
    rows
}

#[test]
fn pooling_gradients_match_differences() {
    let (rows, width) = (segments(), 3);
    for include_padding in [false, true] {
        let operation = Operation {
            inputs: vec![random(1, K * rows.len() * width)],
            forward: &|members, values| {
                let mut y = used();
                pooling::pool_mean(members, width, &rows, include_padding, &buffer(&values[0]), &mut y);
                wide(&y)
            },
            backward: &|members, _, dy| {
                let mut dx = used();
                pooling::pool_mean_backward(members, width, &rows, include_padding, &buffer(dy), &mut dx);
                vec![dx.to_vec()]
            },
        };
        matches_differences(&operation);
        keeps_its_bits(&operation);
    }
}

#[test]
fn gathering_gradients_match_differences_and_autograd() {
    let (total, width, rows) = (6, 3, [5, 0, 2, 0]);
    let operation = Operation {
        inputs: vec![random(1, K * total * width)],
        forward: &|members, values| {
            let mut y = used();
            pooling::gather(members, width, &rows, &buffer(&values[0]), &mut y);
            wide(&y)
        },
        backward: &|members, _, dy| {
            let mut dx = used();
            pooling::scatter(members, width, &rows, total, &buffer(dy), &mut dx);
            vec![dx.to_vec()]
        },
    };
    matches_differences(&operation);
    matches_autograd(&operation, &|values| {
        let index = candle_core::Tensor::new(&rows.map(|row| row as u32), &candle_core::Device::Cpu)?;
        values[0].reshape((total, width))?.index_select(&index, 0)
    });
    keeps_its_bits(&operation);
}

const DROPOUT: Dropout = Dropout { key: DropoutKey { seed: Seed(5), step: 3, site: 8 }, probability: 0.3 };

fn dropped(members: usize, rows: &Rows, width: usize, dropout: Dropout, x: &[f32]) -> Vec<f32> {
    let mut x = buffer(x);
    dropout::forward(members, rows, width, dropout, &mut x);
    x.to_vec()
}

#[test]
fn dropout_is_its_own_gradient() {
    for (rows, width) in [(segments(), 7), (Rows::packed(&[150, 200]), 101)] {
        let operation = Operation {
            inputs: vec![random(1, K * rows.len() * width)],
            forward: &|members, values| {
                dropped(members, &rows, width, DROPOUT, &values[0]).into_iter().map(f64::from).collect()
            },
            backward: &|members, _, dy| vec![dropped(members, &rows, width, DROPOUT, dy)],
        };
        if width == 7 {
            matches_differences(&operation);
        }
        keeps_its_bits(&operation);
    }
}

#[test]
fn gradients_of_a_joined_branch_match_differences() {
    for dropout in [None, Some(DROPOUT)] {
        for (rows, width) in [(segments(), 5), (Rows::packed(&[150, 200]), 101)] {
            let join = |members| Join { members, rows: &rows, width, dropout };
            let len = K * rows.len() * width;
            let operation = Operation {
                inputs: vec![random(1, len), random(2, len), random(3, K * width)],
                forward: &|members, values| {
                    let params = Params::new(members, &[&values[2]]);
                    let (x, branch, mut y) = (buffer(&values[0]), buffer(&values[1]), used());
                    join(members).forward(&x, &branch, Some(params.value(0)), &mut y);
                    // the same in two steps
                    let mut alone = branch.clone();
                    join(members).alone(Some(params.value(0)), &mut alone);
                    residual::add(&x, &mut alone);
                    assert_eq!(y.cpu(), alone.cpu());
                    wide(&y)
                },
                backward: &|members, values, dy| {
                    let mut params = Params::new(members, &[&values[2]]);
                    let mut dbranch = used();
                    join(members).backward(&buffer(dy), &mut dbranch);
                    let shape = linear::Shape { members, rows: rows.len(), inputs: 0, outputs: width };
                    linear::backward_bias(shape, &dbranch, params.grad(0));
                    vec![dy.to_vec(), dbranch.to_vec(), params.gradients().remove(0)]
                },
            };
            if width == 5 {
                matches_differences(&operation);
            }
            keeps_its_bits(&operation);
        }
    }
}

#[test]
fn a_dropout_mask_depends_on_neither_member_nor_packing() {
    let width = 9;
    let mut rows = Rows::packed(&[3, 2]);
    rows.example_ids = vec![40, 50];
    let both = dropped(K, &rows, width, DROPOUT, &vec![1.0; K * 5 * width]);
    assert_eq!(both[..5 * width], both[5 * width..]);
    assert!(both.contains(&0.0));
    let mut alone = Rows::packed(&[2]);
    alone.example_ids = vec![50];
    assert_eq!(dropped(1, &alone, width, DROPOUT, &vec![1.0; 2 * width]), both[3 * width..5 * width]);
}

#[test]
fn no_dropout_changes_nothing() {
    let x = random(1, 5 * 9);
    let none = Dropout { probability: 0.0, ..DROPOUT };
    assert_eq!(dropped(1, &Rows::packed(&[5]), 9, none, &x), x);
}

#[test]
fn residual_sums_add_what_they_say() {
    let (a, b) = (buffer(&[1., 2., 3.]), buffer(&[10., 20., 30.]));
    let mut y = used();
    residual::sum(&a, &b, &mut y);
    assert_eq!(y.cpu(), [11., 22., 33.]);
    residual::add(&a, &mut y);
    assert_eq!(y.cpu(), [12., 24., 36.]);
    residual::add_scaled(&b, -0.5, &mut y);
    assert_eq!(y.cpu(), [7., 14., 21.]);
    residual::scaled(&a, 4., &mut y);
    assert_eq!(y.cpu(), [4., 8., 12.]);
}
