//! Adam and AdamW against candle's AdamW in f64 and against the papers' formulas, and clipping.

use std::sync::Arc;

use candle_core::{Device as CandleDevice, Tensor, Var};
use candle_nn::optim::{AdamW, Optimizer, ParamsAdamW};
use pifi_probe::device::Device;
use pifi_probe::nn::adam::{Adam, Moments, clip_scale, gradient_norms, gradient_norms_of};
use pifi_probe::nn::{Arena, Layout, Slot};

use crate::support::random;

const STEPS: u64 = 50;

/// Three parameters, the middle one not trained, with values; the third is longer than one piece.
fn arena(members: usize) -> (Arena, [Slot; 3]) {
    let mut layout = Layout::default();
    let slots = [layout.push("a", &[5]), layout.push("b", &[4]), layout.push("c", &[9001])];
    let mut values = Arena::zeros(Device::CPU, Arc::new(layout), members);
    for member in 0..members {
        let len = values.layout().len();
        values.member_mut(member).copy_from_slice(&random(10 + member as u64, len));
    }
    (values, slots)
}

fn zeros(like: &Arena) -> Arena {
    Arena::zeros(Device::CPU, like.layout().clone(), like.members())
}

fn gradient(step: u64, member: usize, len: usize) -> Vec<f32> {
    random(1000 * step + member as u64, len)
}

fn rate(step: u64) -> f64 {
    0.01 / (1.0 + 0.1 * step as f64)
}

fn train(adam: Adam, members: usize, first_member: usize, scale: &[f32]) -> (Arena, Arena) {
    let (mut values, slots) = arena(first_member + members);
    let mut kept = Arena::zeros(Device::CPU, values.layout().clone(), members);
    for member in 0..members {
        kept.member_mut(member).copy_from_slice(values.member(first_member + member));
    }
    std::mem::swap(&mut values, &mut kept);
    let before = values.clone();
    let mut grads = zeros(&values);
    let mut moments = Moments { first: zeros(&values), second: zeros(&values) };
    for step in 1..=STEPS {
        for member in 0..members {
            let gradient = gradient(step, first_member + member, grads.layout().len());
            grads.member_mut(member).copy_from_slice(&gradient);
        }
        let trained = [slots[2], slots[0]];
        adam.step(step, rate(step), scale, &trained, &mut values, &grads, &mut moments);
    }
    (before, values)
}

/// The papers' formulas in f64.
fn expected(adam: Adam, scale: f32, member: usize, place: usize, mut value: f64, len: usize) -> f64 {
    let (mut m, mut v) = (0.0, 0.0);
    for step in 1..=STEPS {
        let mut g = f64::from(gradient(step, member, len)[place] * scale);
        if adam.decoupled {
            value -= rate(step) * adam.weight_decay * value;
        } else {
            g += adam.weight_decay * value;
        }
        m = adam.beta1 * m + (1.0 - adam.beta1) * g;
        v = adam.beta2 * v + (1.0 - adam.beta2) * g * g;
        let (m_hat, v_hat) =
            (m / (1.0 - adam.beta1.powf(step as f64)), v / (1.0 - adam.beta2.powf(step as f64)));
        value -= rate(step) * m_hat / (v_hat.sqrt() + adam.eps);
    }
    value
}

#[test]
fn steps_follow_the_formulas() {
    for decoupled in [false, true] {
        let adam = Adam { weight_decay: 0.1, decoupled, eps: 1e-3, ..Adam::default() };
        let scale = [1.0, 0.25];
        let (before, after) = train(adam, 2, 0, &scale);
        let len = before.layout().len();
        for (member, scale) in scale.into_iter().enumerate() {
            for place in [0, 4, 9, 8000, 9009] {
                let value = f64::from(before.member(member)[place]);
                let expected = expected(adam, scale, member, place, value, len);
                let error = (f64::from(after.member(member)[place]) - expected).abs();
                // fifty roundings of values near 1
                assert!(error < 3e-6, "{decoupled} {member} {place}: {error}");
            }
            assert_eq!(after.member(member)[5..9], before.member(member)[5..9], "`b` does not train");
        }
    }
}

#[test]
fn the_decoupled_form_matches_candle() {
    let adam = Adam { weight_decay: 0.1, decoupled: true, ..Adam::default() };
    let (before, after) = train(adam, 1, 0, &[1.0]);
    let start: Vec<f64> = before.member(0)[..5].iter().copied().map(f64::from).collect();
    let start = Tensor::new(start, &CandleDevice::Cpu).expect("a tensor");
    let var = Var::from_tensor(&start).expect("a variable");
    let options =
        ParamsAdamW { lr: 0.0, beta1: adam.beta1, beta2: adam.beta2, eps: adam.eps, weight_decay: 0.1 };
    let mut candle = AdamW::new(vec![var.clone()], options).expect("an optimiser");
    for step in 1..=STEPS {
        candle.set_learning_rate(rate(step));
        let gradient: Vec<f64> =
            gradient(step, 0, before.layout().len())[..5].iter().copied().map(f64::from).collect();
        let gradient = Tensor::new(gradient, &CandleDevice::Cpu).expect("a tensor");
        let loss = var.mul(&gradient).and_then(|product| product.sum_all()).expect("a loss");
        candle.backward_step(&loss).expect("a step");
    }
    for (x, expected) in after.member(0).iter().zip(var.to_vec1::<f64>().expect("values")) {
        assert!((f64::from(*x) - expected).abs() < 3e-6, "{x} {expected}");
    }
}

#[test]
fn a_member_takes_the_same_steps_in_a_stack_and_alone_and_on_any_threads() {
    let adam = Adam { weight_decay: 0.01, ..Adam::default() };
    let on = |threads: usize, members, first| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
        pool.install(|| train(adam, members, first, &vec![0.5; members]).1)
    };
    let stacked = on(1, 2, 0);
    assert_eq!(stacked.buffer().cpu(), on(2, 2, 0).buffer().cpu());
    assert_eq!(stacked.member(1), on(1, 1, 1).member(0));
}

#[test]
fn norms_are_of_members_and_groups() {
    let (grads, [a, b, c]) = arena(2);
    let norm = |numbers: &[f32]| numbers.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
    for member in 0..2 {
        let numbers = grads.member(member);
        assert!((gradient_norms(&grads)[member] - norm(numbers)).abs() < 1e-9);
        assert!((gradient_norms_of(&grads, &[b])[member] - norm(&numbers[5..9])).abs() < 1e-12);
        let parts = [gradient_norms_of(&grads, &[c, a])[member], gradient_norms_of(&grads, &[b])[member]];
        assert!((parts[0].hypot(parts[1]) - norm(numbers)).abs() < 1e-9);
    }
}

#[test]
fn clipping_only_ever_shrinks() {
    assert_eq!(clip_scale(0.5, 1.0), 1.0);
    assert_eq!(clip_scale(0.0, 1.0), 1.0);
    assert!((f64::from(clip_scale(4.0, 1.0)) - 1.0 / 4.000_001).abs() < 1e-7);
    assert!(clip_scale(f64::NAN, 1.0).is_nan());
    assert_eq!(clip_scale(f64::INFINITY, 1.0), 0.0);
}
