//! Activations on a GPU.

use super::Activation;
use crate::nn::cuda::{Gpu, QUAD, arguments, word};
use crate::nn::{Buffer, Param};

fn number(activation: Activation) -> u32 {
    match activation {
        Activation::Relu => 0,
        Activation::Gelu => 1,
        Activation::GeluTanh => 2,
        Activation::Silu => 3,
    }
}

pub(super) fn forward(
    gpu: &'static Gpu,
    activation: Activation,
    [members, rows, width]: [usize; 3],
    x: &Buffer,
    bias: Option<Param>,
    y: &mut Buffer,
) {
    let ((bias, stride), total) = (Param::place_of(bias), members * rows);
    let [to, rounded] = y.room_rounded(gpu, total * width);
    let (kind, sizes) = (number(activation), [rows, total, width].map(word));
    gpu.launch_rows(
        "activation_forward",
        (total, width.div_ceil(QUAD)),
        arguments![kind, x.pointer(), bias, stride, to, rounded, sizes[0], sizes[1], sizes[2]],
    );
}

pub(super) fn backward(
    gpu: &'static Gpu,
    activation: Activation,
    [members, rows, width]: [usize; 3],
    x: &Buffer,
    bias: Option<Param>,
    dy: &Buffer,
    dx: &mut Buffer,
) {
    let ((bias, stride), total) = (Param::place_of(bias), members * rows);
    let [to, rounded] = dx.room_rounded(gpu, total * width);
    let (kind, sizes) = (number(activation), [rows, total, width].map(word));
    gpu.launch_rows(
        "activation_backward",
        (total, width.div_ceil(QUAD)),
        arguments![kind, x.pointer(), bias, stride, dy.pointer(), to, rounded, sizes[0], sizes[1], sizes[2]],
    );
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
    let [y, rounded] = y.room_rounded(gpu, n);
    let arguments = arguments![number(activation), gate.pointer(), up.pointer(), y, rounded, n as u64];
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
    let ([dgate, rounded_dgate], [dup, rounded_dup]) = (dgate.room_rounded(gpu, n), dup.room_rounded(gpu, n));
    let (kind, [gate, up, dy]) = (number(activation), [gate, up, dy].map(Buffer::pointer));
    let arguments = arguments![kind, gate, up, dy, dgate, rounded_dgate, dup, rounded_dup, n as u64];
    gpu.launch_each("gated_backward", n, arguments);
}
