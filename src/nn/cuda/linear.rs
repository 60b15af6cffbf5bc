//! Linear maps on a GPU: cuBLAS over all members at once. Row-major matrices are handed over as their
//! column-major transposes.

use super::Shape;
use crate::nn::cuda::{Gpu, Operand, Product, arguments, word};
use crate::nn::param::Place;
use crate::nn::{Buffer, Param, ParamMut};

/// A weight as the left factor that takes column vectors of inputs to outputs, or back.
fn weight_operand(gpu: &Gpu, shape: Shape, weight: Param, backwards: bool) -> Operand {
    let narrow = gpu.rounds_to_bf16();
    Operand {
        pointer: if narrow { weight.rounded() } else { weight.pointer() },
        stride: weight.stride(),
        leading: shape.inputs,
        transposed: !backwards,
        narrow,
    }
}

/// Rows of activations, `[K, rows, width]`, as a factor of columns.
fn columns(gpu: &Gpu, numbers: &Buffer, rows: usize, width: usize) -> Operand {
    let narrow = gpu.rounds_to_bf16();
    let pointer = if narrow { numbers.rounded() } else { numbers.pointer() };
    Operand { narrow, ..results(pointer, rows, width) }
}

/// Rows of activations as columns of results.
fn results(pointer: u64, rows: usize, width: usize) -> Operand {
    Operand { pointer, stride: rows * width, leading: width, transposed: false, narrow: false }
}

pub(super) fn forward(
    gpu: &'static Gpu,
    shape: Shape,
    x: &Buffer,
    weight: Param,
    bias: Option<Param>,
    y: &mut Buffer,
) {
    let Shape { members, rows, inputs, outputs } = shape;
    let to = y.room(gpu, members * rows * outputs);
    if let Some(bias) = bias {
        gpu.fill_rows(bias, [members, rows, outputs], to);
    } else if inputs == 0 {
        y.fill(0.0);
    }
    gpu.multiply(&Product {
        members,
        m: outputs,
        n: rows,
        k: inputs,
        a: weight_operand(gpu, shape, weight, false),
        b: columns(gpu, x, rows, inputs),
        c: results(to, rows, outputs),
        accumulate: bias.is_some(),
    });
}

pub(super) fn backward_input(
    gpu: &'static Gpu,
    shape: Shape,
    dy: &Buffer,
    weight: Param,
    dx: &mut Buffer,
    accumulate: bool,
) {
    let Shape { members, rows, inputs, outputs } = shape;
    let to = dx.room(gpu, members * rows * inputs);
    if outputs == 0 && !accumulate {
        dx.fill(0.0);
    }
    gpu.multiply(&Product {
        members,
        m: inputs,
        n: rows,
        k: outputs,
        a: weight_operand(gpu, shape, weight, true),
        b: columns(gpu, dy, rows, outputs),
        c: results(to, rows, inputs),
        accumulate,
    });
}

pub(super) fn backward_weight(
    gpu: &'static Gpu,
    shape: Shape,
    x: &Buffer,
    dy: &Buffer,
    dweight: &mut ParamMut,
) {
    let Shape { members, rows, inputs, outputs } = shape;
    // a sum over no rows writes nothing
    let (Place { pointer, stride, .. }, accumulate) = match rows {
        0 => (dweight.place(gpu, members), true),
        _ => dweight.place_to_write(gpu, members),
    };
    gpu.multiply(&Product {
        members,
        m: inputs,
        n: outputs,
        k: rows,
        a: columns(gpu, x, rows, inputs),
        b: Operand { transposed: true, ..columns(gpu, dy, rows, outputs) },
        c: Operand { pointer, stride, leading: inputs, transposed: false, narrow: false },
        accumulate,
    });
}

pub(super) fn backward_bias(gpu: &'static Gpu, shape: Shape, dy: &Buffer, dbias: &mut ParamMut) {
    let Shape { members, rows, outputs, .. } = shape;
    let (Place { pointer, stride, .. }, accumulate) = dbias.place_to_write(gpu, members);
    gpu.launch(
        "column_sums",
        [word(outputs).div_ceil(32), word(members), 1],
        [32, 16],
        arguments![dy.pointer(), pointer, stride as u64, word(rows), word(outputs), accumulate],
    );
}
