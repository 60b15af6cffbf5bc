//! Activations on a GPU.

use super::Activation;
use crate::nn::Buffer;
use crate::nn::cuda::{Gpu, arguments};

fn number(activation: Activation) -> u32 {
    match activation {
        Activation::Relu => 0,
        Activation::Gelu => 1,
        Activation::GeluTanh => 2,
        Activation::Silu => 3,
    }
}

pub(super) fn forward(gpu: &'static Gpu, activation: Activation, x: &Buffer, y: &mut Buffer) {
    let n = x.len();
    let y = y.room(gpu, n);
    gpu.launch_each("activation_forward", n, arguments![number(activation), x.pointer(), y, n as u64]);
}

pub(super) fn backward(gpu: &'static Gpu, activation: Activation, x: &Buffer, dy: &Buffer, dx: &mut Buffer) {
    let n = x.len();
    let dx = dx.room(gpu, n);
    let arguments = arguments![number(activation), x.pointer(), dy.pointer(), dx, n as u64];
    gpu.launch_each("activation_backward", n, arguments);
}

pub(super) fn gated_forward(
    gpu: &'static Gpu,
    activation: Activation,
    gate: &Buffer,
    up: &Buffer,
    y: &mut Buffer,
) {
    assert_eq!(up.len(), gate.len());
    let n = gate.len();
    let y = y.room(gpu, n);
    let arguments = arguments![number(activation), gate.pointer(), up.pointer(), y, n as u64];
    gpu.launch_each("gated_forward", n, arguments);
}

pub(super) fn gated_backward(
    gpu: &'static Gpu,
    activation: Activation,
    [gate, up, dy]: [&Buffer; 3],
    dgate: &mut Buffer,
    dup: &mut Buffer,
) {
    let n = gate.len();
    let (dgate, dup) = (dgate.room(gpu, n), dup.room(gpu, n));
    let kind = number(activation);
    let arguments = arguments![kind, gate.pointer(), up.pointer(), dy.pointer(), dgate, dup, n as u64];
    gpu.launch_each("gated_backward", n, arguments);
}
