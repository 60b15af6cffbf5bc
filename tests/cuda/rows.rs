//! Embeddings, pooling, rotary positions, dropout and joins, and losses.

use std::sync::Arc;

use pifi_probe::nn::cross_entropy::{self, IGNORE, Span};
use pifi_probe::nn::dropout::{self, Dropout};
use pifi_probe::nn::join::Join;
use pifi_probe::nn::rotary::{self, Table};
use pifi_probe::nn::routing::{self, Routes};
use pifi_probe::nn::{Arena, Buffer, DropoutKey, Layout, Rows, embedding, pooling};
use pifi_probe::seed::Seed;

use super::support::{CLOSE, EQUAL, K, agree, buffer, packed, padded, random};

#[test]
fn embeddings_and_gradients_of_the_rows_in_use() {
    // id 0 often enough to be summed side by side, 5 skipped
    let ids: Vec<u32> = (0..60).map(|row| [0, 3, 0, 5, 7, 0, 1][row % 7]).collect();
    for width in [1, 33, 130] {
        agree(&format!("embedding of width {width}"), CLOSE, |device| {
            let mut layout = Layout::default();
            layout.push("before", &[5]);
            let table = layout.push("table", &[9, width]);
            let layout = Arc::new(layout);
            let mut values = Arena::zeros(device, layout.clone(), K);
            for member in 0..K {
                values.write_member(member, &random(member as u64, 5 + 9 * width));
            }
            let mut grads = Arena::zeros(device, layout, K);
            let mut y = Buffer::default();
            embedding::forward(K, &ids, width, values.param(table), &mut y, false, 0.5);
            embedding::forward(K, &ids, width, values.param(table), &mut y, true, 1.0);
            let dy = buffer(device, 4, K * ids.len() * width);
            embedding::backward(K, &ids, width, &dy, 0.5, Some(5), grads.param_mut(table));
            embedding::backward(
                K,
                &ids[..1],
                width,
                &buffer(device, 5, K * width),
                1.0,
                None,
                grads.param_mut(table),
            );
            vec![("y", y.to_vec()), ("gradients", grads.read_all().into_owned())]
        });
    }
}

#[test]
fn rows_gathered_and_pooled() {
    for (rows, width) in [(packed(&[1]), 1), (padded(&[3, 0, 5, 1], 5), 35), (packed(&[4, 1, 9]), 130)] {
        agree(&format!("pooling of {} rows", rows.len()), CLOSE, |device| {
            let all = rows.len();
            let x = buffer(device, 1, K * all * width);
            let mut results = Vec::new();
            for chosen in [vec![0, all - 1, 0], (0..all).step_by(2).collect()] {
                let mut y = Buffer::default();
                pooling::gather(K, width, &chosen, &x, &mut y);
                let mut dx = Buffer::default();
                pooling::scatter(K, width, &chosen, all, &y, &mut dx);
                pooling::scatter_add(K, width, &chosen, &y, &mut dx);
                results.extend([("gathered", y.to_vec()), ("scattered", dx.to_vec())]);
            }
            for padding in [false, true] {
                let (mut y, mut dx) = (Buffer::default(), Buffer::default());
                pooling::pool_mean(K, width, &rows, padding, &x, &mut y);
                pooling::pool_mean_backward(K, width, &rows, padding, &y, &mut dx);
                results.extend([("mean", y.to_vec()), ("its gradient", dx.to_vec())]);
            }
            results
        });
    }
}

#[test]
fn rows_of_all_members_go_to_experts_and_back() {
    for (rows, width, experts, top_k) in [(1, 1, 1, 1), (7, 33, 5, 2), (40, 130, 3, 3)] {
        agree(&format!("{top_k} of {experts} experts"), CLOSE, |device| {
            let scores = buffer(device, 1, K * rows * experts);
            let x = buffer(device, 2, K * rows * width);
            let dy = buffer(device, 3, K * rows * width);
            let mut routes = Routes::default();
            routes.choose([K, rows, experts, top_k], &scores);
            let [mut y, mut dx] = [const { None::<Buffer> }; 2].map(Option::unwrap_or_default);
            let mut dscores = Buffer::default();
            y.zero_beside(&x, x.len());
            dx.zero_beside(&x, x.len());
            let mut results = Vec::new();
            for member in 0..K {
                for expert in 0..experts {
                    let to = routes.of(member, expert).to_vec();
                    if to.is_empty() {
                        continue;
                    }
                    let (mut gathered, mut weighted) = (Buffer::default(), Buffer::default());
                    routing::gather(width, &to, &x, &mut gathered);
                    routing::gather_weighted(width, &to, &dy, &mut weighted);
                    routing::scatter_weighted(width, &to, &gathered, &mut y);
                    routing::scatter(width, &to, &weighted, &mut dx);
                    let output = buffer(device, 9 + expert as u64, to.len() * width);
                    routes.weight_gradients(width, [member, expert], &output, &dy);
                    results.push(("weighted", weighted.to_vec()));
                }
            }
            routes.score_gradients(&mut dscores);
            results.extend([("y", y.to_vec()), ("dx", dx.to_vec()), ("dscores", dscores.to_vec())]);
            results
        });
    }
}

#[test]
fn rotary_positions_turn_there_and_back() {
    let rows = packed(&[6, 1, 3]);
    agree("rotary", EQUAL, |device| {
        let mut table = Table::new(vec![1.0, 0.1, 0.013], 1.25);
        table.cover(&rows);
        let shape = rotary::Shape { members: K, heads: 3, head_dim: 9 };
        let mut x = buffer(device, 1, K * rows.len() * 27);
        rotary::forward(shape, &table, &rows, &mut x);
        let turned = x.to_vec();
        rotary::backward(shape, &table, &rows, &mut x);
        vec![("turned", turned), ("back", x.to_vec())]
    });
}

#[test]
fn dropout_masks_are_the_same_bit_for_bit() {
    let key = DropoutKey { seed: Seed(0x1234_5678_9abc_def0), step: (1 << 32) + 7, site: 3 };
    for (rows, width) in [(packed(&[1]), 1), (padded(&[3, 1], 4), 37), (packed(&[4, 5]), 768)] {
        agree(&format!("dropout of width {width}"), EQUAL, |device| {
            let mut x = buffer(device, 1, K * rows.len() * width);
            dropout::forward(K, &rows, width, Dropout { key, probability: 0.3 }, &mut x);
            vec![("x", x.to_vec())]
        });
    }
}

#[test]
fn branches_join_the_stream_bit_for_bit() {
    let key = DropoutKey { seed: Seed(77), step: 5, site: 2 };
    for dropout in [None, Some(Dropout { key, probability: 0.3 })] {
        for (rows, width) in [(packed(&[1]), 1), (padded(&[3, 1], 4), 37), (packed(&[4, 5]), 768)] {
            agree(&format!("join of width {width}"), EQUAL, |device| {
                let n = K * rows.len() * width;
                let (x, branch) = (buffer(device, 1, n), buffer(device, 2, n));
                let mut layout = Layout::default();
                let bias = layout.push("bias", &[width]);
                let biases = Arena::from_numbers(device, Arc::new(layout), K, random(3, K * width));
                let bias = Some(biases.param(bias));
                let join = Join { members: K, rows: &rows, width, dropout };
                let [mut y, mut plain, mut back] =
                    [const { None::<Buffer> }; 3].map(Option::unwrap_or_default);
                join.forward(&x, &branch, bias, &mut y);
                join.forward(&x, &branch, None, &mut plain);
                join.backward(&x, &mut back);
                let mut alone = branch.clone();
                join.alone(bias, &mut alone);
                let named = [("y", y), ("plain", plain), ("back", back), ("alone", alone)];
                named.into_iter().map(|(name, buffer)| (name, buffer.to_vec())).collect()
            });
        }
    }
}

fn losses(losses: &[f64]) -> Vec<f32> {
    losses.iter().map(|loss| *loss as f32).collect()
}

#[test]
fn cross_entropy_and_its_gradient() {
    for (classes, smoothing) in [(2, 0.0), (5, 0.1), (70, 0.05)] {
        for bad in [None, Some(f32::NAN), Some(f32::INFINITY)] {
            agree(&format!("cross entropy of {classes}"), CLOSE, |device| {
                let targets = [0, 1, IGNORE, 1, 0];
                let mut numbers = random(1, K * targets.len() * classes);
                if let Some(bad) = bad {
                    numbers[classes + 1] = bad;
                }
                let logits = Buffer::from_vec(device, numbers);
                let (mut found, mut dlogits) = ([0.0; K], Buffer::default());
                cross_entropy::forward_backward(
                    K,
                    5,
                    classes,
                    &logits,
                    &targets,
                    smoothing,
                    &mut found,
                    &mut dlogits,
                );
                cross_entropy::settle(&dlogits, &mut found);
                vec![("losses", losses(&found)), ("gradient", dlogits.to_vec())]
            });
        }
    }
}

#[test]
fn span_losses_and_their_gradient() {
    let rows: Rows = padded(&[3, 40, 1], 41);
    let targets = [Span { start: 0, end: 2 }, Span { start: 39, end: 5 }, Span { start: 0, end: 0 }];
    for padding in [false, true] {
        agree("span loss", CLOSE, |device| {
            let logits = buffer(device, 1, K * rows.len() * 2);
            let (mut found, mut dlogits) = ([0.0; K], Buffer::default());
            cross_entropy::span_forward_backward(
                K,
                &rows,
                padding,
                &logits,
                &targets,
                &mut found,
                &mut dlogits,
            );
            cross_entropy::settle(&dlogits, &mut found);
            vec![("losses", losses(&found)), ("gradient", dlogits.to_vec())]
        });
    }
}
