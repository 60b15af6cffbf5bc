//! Normalisation on a GPU: one block a row, weight gradients by columns.

use super::{Kind, Saved, Shape};
use crate::nn::cuda::{Gpu, THREADS, WARP, arguments, word};
use crate::nn::param::Place;
use crate::nn::{Buffer, Param, ParamMut};

fn number(kind: Kind) -> u32 {
    match kind {
        Kind::LayerNorm => 0,
        Kind::RmsNorm => 1,
        Kind::RmsNormPlusOne => 2,
    }
}

/// Whole warps, no more than a row keeps busy.
fn threads(width: usize) -> u32 {
    (word(width).div_ceil(WARP) * WARP).min(THREADS)
}

#[expect(clippy::too_many_arguments, reason = "sizes, inputs and outputs, each once")]
pub(super) fn forward(
    gpu: &'static Gpu,
    kind: Kind,
    eps: f64,
    shape: Shape,
    x: &Buffer,
    weight: Param,
    bias: Option<Param>,
    y: &mut Buffer,
    saved: &mut Saved,
) {
    let Shape { members, rows, width } = shape;
    let [to, rounded] = y.room_rounded(gpu, shape.len());
    let mean = saved.mean.room(gpu, members * rows);
    let inverse = saved.inverse_deviation.room(gpu, members * rows);
    if width == 0 {
        return;
    }
    let (bias, bias_stride) = Param::place_of(bias);
    gpu.launch(
        "norm_forward",
        [word(members * rows), 1, 1],
        [threads(width), 1],
        arguments![
            number(kind),
            eps,
            x.pointer(),
            weight.pointer(),
            weight.stride() as u64,
            bias,
            bias_stride,
            to,
            rounded,
            mean,
            inverse,
            word(rows),
            word(width),
        ],
    );
}

#[expect(clippy::too_many_arguments, reason = "sizes, inputs and outputs, each once")]
pub(super) fn backward(
    gpu: &'static Gpu,
    kind: Kind,
    shape: Shape,
    x: &Buffer,
    weight: Param,
    saved: &Saved,
    dy: &Buffer,
    dweight: Option<ParamMut>,
    dbias: Option<ParamMut>,
    dx: &mut Buffer,
    accumulate: bool,
) {
    let Shape { members, rows, width } = shape;
    let to = dx.room(gpu, shape.len());
    if width == 0 {
        return;
    }
    let (mean, inverse) = (saved.mean.pointer(), saved.inverse_deviation.pointer());
    gpu.launch(
        "norm_backward",
        [word(members * rows), 1, 1],
        [threads(width), 1],
        arguments![
            number(kind),
            x.pointer(),
            weight.pointer(),
            weight.stride() as u64,
            mean,
            inverse,
            dy.pointer(),
            to,
            word(rows),
            word(width),
            accumulate,
        ],
    );
    if dweight.is_none() && dbias.is_none() {
        return;
    }
    let nowhere = (Place { pointer: 0, stride: 0, len: 0 }, false);
    let place = |gradient: Option<ParamMut>| {
        gradient.map_or(nowhere, |mut gradient| gradient.place_to_write(gpu, members))
    };
    let (dweight, add_to_weight) = place(dweight);
    let (dbias, add_to_bias) = place(dbias);
    gpu.launch(
        "norm_weights",
        [word(width).div_ceil(32), word(members), 1],
        [32, 16],
        arguments![
            x.pointer(),
            mean,
            inverse,
            dy.pointer(),
            dweight.pointer,
            dweight.stride as u64,
            add_to_weight,
            dbias.pointer,
            dbias.stride as u64,
            add_to_bias,
            word(rows),
            word(width),
        ],
    );
}
