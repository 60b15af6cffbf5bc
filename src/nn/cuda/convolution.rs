//! Convolution on a GPU: windows laid out in rows, and products by cuBLAS over all members at once.

use super::{Convolution, Gradients, Shape};
use crate::nn::cuda::{Gpu, Memory, Operand, Product, arguments, word, words_of};
use crate::nn::param::Place;
use crate::nn::{Buffer, Param, linear, residual};

pub(super) fn forward(
    gpu: &'static Gpu,
    convolution: &Convolution<'_>,
    x: &Buffer,
    weight: Param<'_>,
    bias: Option<Param<'_>>,
    y: &mut Buffer,
) {
    let Shape { members, outputs, .. } = convolution.shape;
    let rows = convolution.rows.len();
    let total = members * rows;
    let to = y.room(gpu, total * outputs);
    match bias {
        Some(bias) => gpu.fill_rows(bias, [members, rows, outputs], to),
        None => y.fill(0.0),
    }
    let windows = read_windows(gpu, convolution, x);
    let matrices = Matrices::new(convolution);
    for group in 0..convolution.shape.groups {
        let (m, k) = (matrices.group_outputs, matrices.group_window);
        let a = Operand { transposed: true, ..matrices.weight(weight.pointer(), weight.stride(), group) };
        let (b, c) = (matrices.windows(windows.pointer(), group), matrices.outputs(to, group));
        gpu.multiply(&Product { members, m, n: rows, k, a, b, c, accumulate: true });
    }
    residual::zero_padding(members, outputs, convolution.rows, y);
}

pub(super) fn backward(
    gpu: &'static Gpu,
    convolution: &Convolution<'_>,
    x: &Buffer,
    weight: Param<'_>,
    dy: &Buffer,
    gradients: &mut Gradients<'_>,
) {
    let Shape { members, inputs, outputs, taps, groups } = convolution.shape;
    let rows = convolution.rows.len();
    let mut masked = Buffer::default();
    masked.copy_from(dy);
    residual::zero_padding(members, outputs, convolution.rows, &mut masked);
    if let Some(dbias) = gradients.bias.take() {
        linear::backward_bias(linear::Shape { members, rows, inputs: 0, outputs }, &masked, dbias);
    }
    let dy = masked.pointer();
    let windows = read_windows(gpu, convolution, x);
    let matrices = Matrices::new(convolution);
    let (window, channels) = (matrices.group_window, matrices.group_outputs);
    let (Place { pointer, stride, .. }, accumulate) = match rows {
        0 => (gradients.weight.place(gpu, members), true),
        _ => gradients.weight.place_to_write(gpu, members),
    };
    for group in 0..groups {
        let a = matrices.windows(windows.pointer(), group);
        let b = Operand { transposed: true, ..matrices.outputs(dy, group) };
        let c = matrices.weight(pointer, stride, group);
        gpu.multiply(&Product { members, m: window, n: channels, k: rows, a, b, c, accumulate });
    }
    for group in 0..groups {
        let a = matrices.weight(weight.pointer(), weight.stride(), group);
        let (b, c) = (matrices.outputs(dy, group), matrices.windows(windows.pointer(), group));
        gpu.multiply(&Product { members, m: window, n: rows, k: channels, a, b, c, accumulate: false });
    }
    let to = gradients.input.room(gpu, members * rows * inputs);
    let [offsets, examples] = places(gpu, convolution);
    let sizes = [rows, members * rows, inputs, taps].map(word);
    gpu.launch_rows(
        "add_windows",
        (members * rows, inputs),
        arguments![windows.pointer(), offsets, examples, to, sizes[0], sizes[1], sizes[2], sizes[3]],
    );
}

/// The matrices of one group of channels, column-major as cuBLAS has them.
struct Matrices {
    rows: usize,
    outputs: usize,
    window: usize,
    group_outputs: usize,
    group_window: usize,
}

impl Matrices {
    fn new(convolution: &Convolution<'_>) -> Self {
        let Shape { inputs, outputs, taps, groups, .. } = convolution.shape;
        let window = inputs * taps;
        let (group_outputs, group_window) = (outputs / groups, window / groups);
        Self { rows: convolution.rows.len(), outputs, window, group_outputs, group_window }
    }

    fn of_rows(&self, pointer: u64, width: usize, first: usize) -> Operand {
        let pointer = pointer + 4 * first as u64;
        Operand { pointer, stride: self.rows * width, leading: width, transposed: false, narrow: false }
    }

    /// `[window, rows]`.
    fn windows(&self, pointer: u64, group: usize) -> Operand {
        self.of_rows(pointer, self.window, group * self.group_window)
    }

    /// `[outputs, rows]`.
    fn outputs(&self, pointer: u64, group: usize) -> Operand {
        self.of_rows(pointer, self.outputs, group * self.group_outputs)
    }

    /// `[window, outputs]`.
    fn weight(&self, pointer: u64, stride: usize, group: usize) -> Operand {
        let pointer = pointer + 4 * (group * self.group_outputs * self.group_window) as u64;
        Operand { pointer, stride, leading: self.group_window, transposed: false, narrow: false }
    }
}

/// First rows of examples, and the example of every row.
fn places(gpu: &'static Gpu, convolution: &Convolution<'_>) -> [u64; 2] {
    [gpu.table(&words_of(&convolution.rows.offsets)), gpu.examples_of_rows(convolution.rows)]
}

fn read_windows(gpu: &'static Gpu, convolution: &Convolution<'_>, x: &Buffer) -> Memory {
    let Shape { members, inputs, taps, .. } = convolution.shape;
    let (rows, window) = (convolution.rows.len(), inputs * taps);
    let windows = Memory::new(gpu, members * rows * window);
    let [offsets, examples] = places(gpu, convolution);
    let sizes = [rows, members * rows, inputs, taps].map(word);
    gpu.launch_rows(
        "read_windows",
        (members * rows, window),
        arguments![x.pointer(), offsets, examples, windows.pointer(), sizes[0], sizes[1], sizes[2], sizes[3]],
    );
    windows
}
