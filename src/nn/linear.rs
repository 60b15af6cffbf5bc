//! y = x · Wᵀ + b for K members, and its gradients by inputs, weights and bias.

#[cfg(feature = "cuda")]
#[path = "cuda/linear.rs"]
mod on_gpu;

use std::ops::Range;

use rayon::prelude::*;

use super::few_rows::{self, Way};
use super::frozen::Weights;
use super::gemm::{Size, Strides, gemm_in};
use super::parallel::{add_column_sums, rows_in_piece, run};
use super::{Buffer, Param, ParamMut};
use crate::device::Precision;

/// Sizes of a linear map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// K.
    pub members: usize,
    /// Rows of one member.
    pub rows: usize,
    /// Width of x.
    pub inputs: usize,
    /// Width of y.
    pub outputs: usize,
}

impl Shape {
    fn x(self, member: usize) -> Range<usize> {
        let len = self.rows * self.inputs;
        member * len..(member + 1) * len
    }

    fn y(self, member: usize) -> Range<usize> {
        let len = self.rows * self.outputs;
        member * len..(member + 1) * len
    }
}

/// y = x · Wᵀ + b.
///
/// # Shapes
/// x `[K, R, inputs]`, weight `[outputs, inputs]`, bias `[outputs]`, y `[K, R, outputs]`.
pub fn forward(shape: Shape, x: &Buffer, weight: Param, bias: Option<Param>, y: &mut Buffer) {
    let Shape { members, rows, inputs, outputs } = shape;
    assert_eq!(x.len(), members * rows * inputs);
    assert_eq!(weight.len(), inputs * outputs);
    #[cfg(feature = "cuda")]
    if let Some(gpu) = x.gpu() {
        return on_gpu::forward(gpu, shape, x, weight, bias, y);
    }
    y.resize(members * rows * outputs);
    for member in 0..members {
        let y = &mut y.cpu_mut()[shape.y(member)];
        if let Some(bias) = bias {
            fill_rows(y, bias.cpu(member));
        }
        let x = &x.cpu()[shape.x(member)];
        let product = Through { shape, way: Way::Forward, precision: weight.precision() };
        product.of(x, weight.weights(member), y, bias.is_some());
    }
}

fn fill_rows(y: &mut [f32], row: &[f32]) {
    let width = row.len();
    if width > 0 {
        run(y.len(), y.par_chunks_mut(rows_in_piece(width) * width), |rows| {
            rows.chunks_exact_mut(width).for_each(|y| y.copy_from_slice(row));
        });
    }
}

/// dx = dy · W, added to what stands there if `accumulate`.
///
/// # Shapes
/// dy `[K, R, outputs]`, weight `[outputs, inputs]`, dx `[K, R, inputs]`.
pub fn backward_input(shape: Shape, dy: &Buffer, weight: Param, dx: &mut Buffer, accumulate: bool) {
    let Shape { members, rows, inputs, outputs } = shape;
    assert_eq!(dy.len(), members * rows * outputs);
    assert_eq!(weight.len(), inputs * outputs);
    if accumulate {
        assert_eq!(dx.len(), members * rows * inputs);
    }
    #[cfg(feature = "cuda")]
    if let Some(gpu) = dy.gpu() {
        return on_gpu::backward_input(gpu, shape, dy, weight, dx, accumulate);
    }
    dx.resize(members * rows * inputs);
    for member in 0..members {
        let (dy, dx) = (&dy.cpu()[shape.y(member)], &mut dx.cpu_mut()[shape.x(member)]);
        let product = Through { shape, way: Way::Backward, precision: weight.precision() };
        product.of(dy, weight.weights(member), dx, accumulate);
    }
}

/// Numbers of a weight that are widened at once where many rows meet it: 32 MiB in f32, while a part is
/// still large enough for a product at full speed.
const WIDENED: usize = 1 << 23;

/// The product of one member's rows with its weight.
#[derive(Clone, Copy)]
struct Through {
    shape: Shape,
    way: Way,
    precision: Precision,
}

impl Through {
    /// y = x · Wᵀ or dx = dy · W, added to what stands there if `accumulate`.
    fn of(self, x: &[f32], weight: Weights<'_>, y: &mut [f32], accumulate: bool) {
        let Shape { rows, inputs, outputs, .. } = self.shape;
        // a head of a few classes is no work for anybody
        if rows <= few_rows::MOST_ROWS && outputs.min(inputs) >= few_rows::LEAST_WIDTH {
            return few_rows::product(self.way, [outputs, inputs], x, weight, y, accumulate);
        }
        if let Weights::F32(weight) = weight {
            return self.part(0..outputs, x, weight, y, accumulate);
        }
        let together = (WIDENED / inputs.max(1)).max(1);
        let mut wide = vec![0.0; together.min(outputs) * inputs];
        if outputs == 0 && self.way == Way::Backward && !accumulate {
            y.fill(0.0);
        }
        for start in (0..outputs).step_by(together) {
            let part = start..outputs.min(start + together);
            let wide = &mut wide[..part.len() * inputs];
            weight.widen_all(part.start * inputs, wide);
            // what parts give to outputs stands apart; what they give to inputs adds up
            let onto = accumulate || self.way == Way::Backward && start > 0;
            self.part(part, x, wide, y, onto);
        }
    }

    /// The same with some of the outputs, whose weights are `weight`.
    fn part(self, part: Range<usize>, x: &[f32], weight: &[f32], y: &mut [f32], accumulate: bool) {
        let Shape { rows, inputs, outputs, .. } = self.shape;
        let of_inputs = Strides::row_major(inputs);
        let of_outputs = Strides::row_major(outputs);
        match self.way {
            Way::Forward => gemm_in(
                self.precision,
                Size { m: rows, n: part.len(), k: inputs },
                (x, of_inputs),
                (weight, Strides::transposed(inputs)),
                (y.get_mut(part.start..).unwrap_or_default(), of_outputs),
                accumulate,
            ),
            Way::Backward => gemm_in(
                self.precision,
                Size { m: rows, n: inputs, k: part.len() },
                (x.get(part.start..).unwrap_or_default(), of_outputs),
                (weight, of_inputs),
                (y, of_inputs),
                accumulate,
            ),
        }
    }
}

/// dW += dyᵀ · x, for a weight `[outputs, inputs]`.
///
/// # Shapes
/// x `[K, R, inputs]`, dy `[K, R, outputs]`.
pub fn backward_weight(shape: Shape, x: &Buffer, dy: &Buffer, mut dweight: ParamMut) {
    let Shape { members, rows, inputs, outputs } = shape;
    assert_eq!(x.len(), members * rows * inputs);
    assert_eq!(dy.len(), members * rows * outputs);
    #[cfg(feature = "cuda")]
    if let Some(gpu) = dy.gpu() {
        return on_gpu::backward_weight(gpu, shape, x, dy, &mut dweight);
    }
    let precision = dweight.precision();
    for member in 0..members {
        let (dweight, stale) = dweight.overwritten(member);
        gemm_in(
            precision,
            Size { m: outputs, n: inputs, k: rows },
            (&dy.cpu()[shape.y(member)], Strides::transposed(outputs)),
            (&x.cpu()[shape.x(member)], Strides::row_major(inputs)),
            (dweight, Strides::row_major(inputs)),
            !stale,
        );
    }
}

/// db += the sum of dy over its rows.
///
/// # Shapes
/// dy `[K, R, outputs]`, bias `[outputs]`.
pub fn backward_bias(shape: Shape, dy: &Buffer, mut dbias: ParamMut) {
    assert_eq!(dy.len(), shape.members * shape.rows * shape.outputs);
    #[cfg(feature = "cuda")]
    if let Some(gpu) = dy.gpu() {
        return on_gpu::backward_bias(gpu, shape, dy, &mut dbias);
    }
    for member in 0..shape.members {
        let dy = &dy.cpu()[shape.y(member)];
        add_column_sums(shape.rows, dbias.cpu(member), |row, columns, totals| {
            let start = row * shape.outputs;
            let dy = &dy[start + columns.start..start + columns.end];
            totals.iter_mut().zip(dy).for_each(|(total, &dy)| *total += f64::from(dy));
        });
    }
}
