//! Linear maps on a GPU: cuBLAS over all members at once. Row-major matrices are handed over as their
//! column-major transposes.

use super::Shape;
use crate::nn::cuda::{Gpu, Memory, Operand, Product, arguments, word};
use crate::nn::param::Place;
use crate::nn::{Buffer, Param, ParamMut};

/// A weight as the left factor that takes column vectors of inputs to outputs, or back.
fn weight_operand(shape: Shape, weight: Param, backwards: bool) -> Operand {
    Operand {
        pointer: weight.pointer(),
        stride: weight.stride(),
        leading: shape.inputs,
        transposed: !backwards,
        narrow: weight.is_narrow(),
    }
}

/// Rows of activations, `[K, rows, width]`, as columns.
fn columns(pointer: u64, rows: usize, width: usize) -> Operand {
    Operand { pointer, stride: rows * width, leading: width, transposed: false, narrow: false }
}

/// Rows of activations for a product with a weight: rounded to bfloat16 where it is kept as that. The
/// memory is theirs until the product has been handed over.
fn meeting(
    gpu: &'static Gpu,
    weight: Param,
    numbers: &Buffer,
    rows: usize,
    width: usize,
) -> (Operand, Option<Memory>) {
    let wide = columns(numbers.pointer(), rows, width);
    if !weight.is_narrow() {
        return (wide, None);
    }
    let count = numbers.len();
    let narrow = Memory::new(gpu, count.div_ceil(2));
    gpu.launch_each("narrow", count, arguments![numbers.pointer(), narrow.pointer(), count as u64]);
    (Operand { pointer: narrow.pointer(), narrow: true, ..wide }, Some(narrow))
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
    let (x, _kept) = meeting(gpu, weight, x, rows, inputs);
    gpu.multiply(&Product {
        members,
        m: outputs,
        n: rows,
        k: inputs,
        a: weight_operand(shape, weight, false),
        b: x,
        c: columns(to, rows, outputs),
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
    let (dy, _kept) = meeting(gpu, weight, dy, rows, outputs);
    gpu.multiply(&Product {
        members,
        m: inputs,
        n: rows,
        k: outputs,
        a: weight_operand(shape, weight, true),
        b: dy,
        c: columns(to, rows, inputs),
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
    let dy = columns(dy.pointer(), rows, outputs);
    gpu.multiply(&Product {
        members,
        m: inputs,
        n: outputs,
        k: rows,
        a: columns(x.pointer(), rows, inputs),
        b: Operand { transposed: true, ..dy },
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
