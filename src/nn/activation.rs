//! Activations and their gated forms, elementwise; with the bias before them in the same pass.
#![expect(clippy::inline_always, reason = "a call would leave the vectors of its caller")]

#[cfg(feature = "cuda")]
#[path = "cuda/activation.rs"]
mod on_gpu;

use rayon::prelude::*;

use super::elementary::{normal, sigmoid};
use super::parallel::{PIECE, rows_in_piece, run, widest};
use super::{Buffer, Param};

/// An elementwise function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// max(x, 0); its derivative at 0 is taken as 0.
    Relu,
    /// x Φ(x), the exact form by the error function (Hendrycks and Gimpel 2016).
    Gelu,
    /// The same paper's approximation x (1 + tanh u) / 2, u = √(2/π) (x + 0.044715 x³).
    GeluTanh,
    /// x / (1 + e^-x).
    Silu,
}

/// A function's value and derivative.
type ValueAndSlope = (f32, f32);

#[inline(always)]
fn relu(x: f32) -> ValueAndSlope {
    // written so that NaN stays NaN, which max would hide
    if x <= 0.0 { (0.0, 0.0) } else { (x, 1.0) }
}

#[inline(always)]
fn gelu(x: f32) -> ValueAndSlope {
    let at = normal(x);
    (x * at.cumulative, at.cumulative + x * at.density)
}

#[inline(always)]
fn gelu_tanh(x: f32) -> ValueAndSlope {
    // (1 + tanh u) / 2 = sigmoid(2u)
    const TWICE_ROOT: f32 = 1.595_769_2;
    const CUBIC: f32 = 0.044_715;
    let gate = sigmoid(TWICE_ROOT * (x + CUBIC * x * x * x));
    // beyond 10 the gate is constant in f32, while the slope of u would overflow
    let near = x.clamp(-10.0, 10.0);
    let slope = TWICE_ROOT * (1.0 + 3.0 * CUBIC * near * near);
    (x * gate, gate + near * gate * (1.0 - gate) * slope)
}

#[inline(always)]
fn silu(x: f32) -> ValueAndSlope {
    let gate = sigmoid(x);
    (x * gate, gate + x * gate * (1.0 - gate))
}

/// Runs a block of code with `$function` bound to the activation's function, so that each gets a
/// loop of its own.
macro_rules! dispatch {
    ($activation:expr, $function:ident => $code:expr) => {
        match $activation {
            Activation::Relu => {
                let $function = relu;
                $code
            }
            Activation::Gelu => {
                let $function = gelu;
                $code
            }
            Activation::GeluTanh => {
                let $function = gelu_tanh;
                $code
            }
            Activation::Silu => {
                let $function = silu;
                $code
            }
        }
    };
}

widest! {
    fn values<A: Fn(f32) -> ValueAndSlope>(a: A, x: &[f32], bias: Option<&[f32]>, y: &mut [f32]) {
        match bias {
            Some(bias) => {
                for ((y, &x), &bias) in y.iter_mut().zip(x).zip(bias) {
                    *y = a(x + bias).0;
                }
            }
            None => {
                for (y, &x) in y.iter_mut().zip(x) {
                    *y = a(x).0;
                }
            }
        }
    }
}

widest! {
    fn slopes<A: Fn(f32) -> ValueAndSlope>(
        a: A,
        x: &[f32],
        bias: Option<&[f32]>,
        dy: &[f32],
        dx: &mut [f32],
    ) {
        match bias {
            Some(bias) => {
                for (((dx, &x), &dy), &bias) in dx.iter_mut().zip(x).zip(dy).zip(bias) {
                    *dx = dy * a(x + bias).1;
                }
            }
            None => {
                for ((dx, &x), &dy) in dx.iter_mut().zip(x).zip(dy) {
                    *dx = dy * a(x).1;
                }
            }
        }
    }
}

widest! {
    fn gated_values<A: Fn(f32) -> ValueAndSlope>(a: A, gate: &[f32], up: &[f32], y: &mut [f32]) {
        for ((y, &gate), &up) in y.iter_mut().zip(gate).zip(up) {
            *y = a(gate).0 * up;
        }
    }
}

widest! {
    fn gated_slopes<A: Fn(f32) -> ValueAndSlope>(
        a: A,
        gate: &[f32],
        up: &[f32],
        dy: &[f32],
        dgate: &mut [f32],
        dup: &mut [f32],
    ) {
        let inputs = gate.iter().zip(up).zip(dy);
        for (((&gate, &up), &dy), (dgate, dup)) in inputs.zip(dgate.iter_mut().zip(dup)) {
            let (value, slope) = a(gate);
            *dgate = dy * up * slope;
            *dup = dy * value;
        }
    }
}

/// y = a(x + bias).
///
/// # Shapes
/// x and y `[K, R, width]` as `shape` says, bias `[width]`.
pub fn forward(activation: Activation, shape: [usize; 3], x: &Buffer, bias: Option<Param>, y: &mut Buffer) {
    let [members, rows, width] = shape;
    assert_eq!(x.len(), members * rows * width);
    #[cfg(feature = "cuda")]
    if let Some(gpu) = x.gpu() {
        return on_gpu::forward(gpu, activation, shape, x, bias, y);
    }
    y.resize(x.len());
    let (part, piece) = ((rows * width).max(1), rows_in_piece(width) * width.max(1));
    let all = y.cpu_mut().chunks_exact_mut(part).zip(x.cpu().chunks_exact(part));
    for (member, (y, x)) in all.enumerate() {
        let bias = bias.map(|bias| bias.cpu(member));
        let pieces = y.par_chunks_mut(piece).zip(x.par_chunks(piece));
        dispatch!(activation, a => run(part, pieces, |(y, x)| {
            let of_rows = y.chunks_exact_mut(width).zip(x.chunks_exact(width));
            of_rows.for_each(|(y, x)| values(a, x, bias, y));
        }));
    }
}

/// dx = dy a'(x + bias).
///
/// # Shapes
/// x, dy and dx `[K, R, width]` as `shape` says, bias `[width]`.
pub fn backward(
    activation: Activation,
    shape: [usize; 3],
    x: &Buffer,
    bias: Option<Param>,
    dy: &Buffer,
    dx: &mut Buffer,
) {
    let [members, rows, width] = shape;
    assert!(x.len() == members * rows * width && dy.len() == x.len());
    #[cfg(feature = "cuda")]
    if let Some(gpu) = x.gpu() {
        return on_gpu::backward(gpu, activation, shape, x, bias, dy, dx);
    }
    dx.resize(x.len());
    let (part, piece) = ((rows * width).max(1), rows_in_piece(width) * width.max(1));
    let inputs = x.cpu().chunks_exact(part).zip(dy.cpu().chunks_exact(part));
    for (member, (dx, (x, dy))) in dx.cpu_mut().chunks_exact_mut(part).zip(inputs).enumerate() {
        let bias = bias.map(|bias| bias.cpu(member));
        let pieces = dx.par_chunks_mut(piece).zip(x.par_chunks(piece).zip(dy.par_chunks(piece)));
        dispatch!(activation, a => run(part, pieces, |(dx, (x, dy))| {
            let inputs = x.chunks_exact(width).zip(dy.chunks_exact(width));
            let of_rows = dx.chunks_exact_mut(width).zip(inputs);
            of_rows.for_each(|(dx, (x, dy))| slopes(a, x, bias, dy, dx));
        }));
    }
}

/// y = a(gate) up.
pub fn gated_forward(activation: Activation, gate: &Buffer, up: &Buffer, y: &mut Buffer) {
    assert_eq!(up.len(), gate.len());
    #[cfg(feature = "cuda")]
    if let Some(gpu) = gate.gpu() {
        return on_gpu::gated_forward(gpu, activation, gate, up, y);
    }
    y.resize(gate.len());
    let inputs = gate.cpu().par_chunks(PIECE).zip(up.cpu().par_chunks(PIECE));
    let pieces = y.cpu_mut().par_chunks_mut(PIECE).zip(inputs);
    dispatch!(activation, a => run(gate.len(), pieces, |(y, (gate, up))| gated_values(a, gate, up, y)));
}

/// dgate = dy up a'(gate), dup = dy a(gate).
pub fn gated_backward(
    activation: Activation,
    gate: &Buffer,
    up: &Buffer,
    dy: &Buffer,
    dgate: &mut Buffer,
    dup: &mut Buffer,
) {
    assert!(up.len() == gate.len() && dy.len() == gate.len());
    #[cfg(feature = "cuda")]
    if let Some(gpu) = gate.gpu() {
        return on_gpu::gated_backward(gpu, activation, [gate, up, dy], dgate, dup);
    }
    dgate.resize(gate.len());
    dup.resize(gate.len());
    let work = gate.len();
    let inputs = gate.cpu().par_chunks(PIECE).zip(up.cpu().par_chunks(PIECE)).zip(dy.cpu().par_chunks(PIECE));
    let outputs = dgate.cpu_mut().par_chunks_mut(PIECE).zip(dup.cpu_mut().par_chunks_mut(PIECE));
    dispatch!(activation, a => run(work, inputs.zip(outputs), |(((gate, up), dy), (dgate, dup))| {
        gated_slopes(a, gate, up, dy, dgate, dup);
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn far_from_zero_every_activation_is_the_identity_or_zero() {
        for (name, function) in
            [("gelu", gelu as fn(f32) -> ValueAndSlope), ("tanh", gelu_tanh), ("silu", silu)]
        {
            assert_eq!(function(1e20), (1e20, 1.0), "{name}");
            let (value, slope) = function(-150.0);
            assert!(value.abs() < 1e-30 && slope.abs() < 1e-30, "{name}: {value} {slope}");
            assert_eq!(function(0.0), (0.0, 0.5), "{name}");
            assert!(function(f32::NAN).0.is_nan(), "{name}");
        }
        assert!(relu(f32::NAN).0.is_nan());
        assert_eq!((relu(-1.0), relu(0.0), relu(2.0)), ((0.0, 0.0), (0.0, 0.0), (2.0, 1.0)));
    }
}
