//! y = x · Wᵀ + b for K members, and its gradients by inputs, weights and bias.

#[cfg(feature = "cuda")]
#[path = "cuda/linear.rs"]
mod on_gpu;

use rayon::prelude::*;

use super::gemm::{Size, Strides, gemm};
use super::parallel::{add_column_sums, rows_in_piece, run};
use super::{Buffer, Param, ParamMut};

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

/// How a weight stands in memory, row-major.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Orientation {
    /// `[outputs, inputs]`, as checkpoints have it and as trainable weights stand in the arena.
    OutIn,
    /// `[inputs, outputs]`: frozen weights, laid out once so that products of few rows read them
    /// at full speed.
    InOut,
}

impl Shape {
    fn x(self, member: usize) -> std::ops::Range<usize> {
        let len = self.rows * self.inputs;
        member * len..(member + 1) * len
    }

    fn y(self, member: usize) -> std::ops::Range<usize> {
        let len = self.rows * self.outputs;
        member * len..(member + 1) * len
    }

    /// Strides of W as a matrix of `outputs` rows and `inputs` columns.
    fn weight(self, orientation: Orientation) -> Strides {
        match orientation {
            Orientation::OutIn => Strides::row_major(self.inputs),
            Orientation::InOut => Strides::transposed(self.outputs),
        }
    }
}

fn transpose(strides: Strides) -> Strides {
    Strides { rows: strides.columns, columns: strides.rows }
}

/// y = x · Wᵀ + b.
///
/// # Shapes
/// x `[K, R, inputs]`, weight as its orientation says, bias `[outputs]`, y `[K, R, outputs]`.
pub fn forward(
    shape: Shape,
    x: &Buffer,
    weight: Param,
    orientation: Orientation,
    bias: Option<Param>,
    y: &mut Buffer,
) {
    let Shape { members, rows, inputs, outputs } = shape;
    assert_eq!(x.len(), members * rows * inputs);
    assert_eq!(weight.len(), inputs * outputs);
    #[cfg(feature = "cuda")]
    if let Some(gpu) = x.gpu() {
        return on_gpu::forward(gpu, shape, x, weight, orientation, bias, y);
    }
    y.resize(members * rows * outputs);
    for member in 0..members {
        let y = &mut y.cpu_mut()[shape.y(member)];
        if let Some(bias) = bias {
            fill_rows(y, bias.cpu(member));
        }
        times_weight(
            Size { m: rows, n: outputs, k: inputs },
            &x.cpu()[shape.x(member)],
            (weight.cpu(member), transpose(shape.weight(orientation))),
            y,
            bias.is_some(),
        );
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
/// dy `[K, R, outputs]`, weight as its orientation says, dx `[K, R, inputs]`.
pub fn backward_input(
    shape: Shape,
    dy: &Buffer,
    weight: Param,
    orientation: Orientation,
    dx: &mut Buffer,
    accumulate: bool,
) {
    let Shape { members, rows, inputs, outputs } = shape;
    assert_eq!(dy.len(), members * rows * outputs);
    assert_eq!(weight.len(), inputs * outputs);
    if accumulate {
        assert_eq!(dx.len(), members * rows * inputs);
    }
    #[cfg(feature = "cuda")]
    if let Some(gpu) = dy.gpu() {
        return on_gpu::backward_input(gpu, shape, dy, weight, orientation, dx, accumulate);
    }
    dx.resize(members * rows * inputs);
    for member in 0..members {
        times_weight(
            Size { m: rows, n: inputs, k: outputs },
            &dy.cpu()[shape.y(member)],
            (weight.cpu(member), shape.weight(orientation)),
            &mut dx.cpu_mut()[shape.x(member)],
            accumulate,
        );
    }
}

/// Most rows for which [`times_weight`] goes through the transposed product; measured on 2 cores
/// for weights of 768 to 4096 by 4096 to 14336: twice to five times as fast up to 32 rows, equal
/// at 128.
const FEW_ROWS: usize = 64;

/// y = x · weight, or y += that, for row-major x and y and a weight of any strides.
///
/// A weight that is contiguous along the summed dimension would be packed by the product, which
/// costs more than multiplying it by a few rows; as the left factor of the transposed product
/// it is read once, in its order.
fn times_weight(
    size: Size,
    x: &[f32],
    (weight, strides): (&[f32], Strides),
    y: &mut [f32],
    accumulate: bool,
) {
    let Size { m: rows, n: outputs, k: inputs } = size;
    if strides.rows != 1 || rows > FEW_ROWS {
        let (x, y) = ((x, Strides::row_major(inputs)), (y, Strides::row_major(outputs)));
        return gemm(size, x, (weight, strides), y, accumulate);
    }
    let mut transposed = vec![0.0; rows * outputs];
    gemm(
        Size { m: outputs, n: rows, k: inputs },
        (weight, transpose(strides)),
        (x, Strides::transposed(inputs)),
        (&mut transposed, Strides::row_major(rows)),
        false,
    );
    for (row, y) in y.chunks_exact_mut(outputs.max(1)).enumerate() {
        for (y, column) in y.iter_mut().zip(transposed.chunks_exact(rows)) {
            *y = if accumulate { *y + column[row] } else { column[row] };
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
        return on_gpu::backward_weight(gpu, shape, x, dy, &dweight);
    }
    for member in 0..members {
        gemm(
            Size { m: outputs, n: inputs, k: rows },
            (&dy.cpu()[shape.y(member)], Strides::transposed(outputs)),
            (&x.cpu()[shape.x(member)], Strides::row_major(inputs)),
            (dweight.cpu(member), Strides::row_major(inputs)),
            true,
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
        return on_gpu::backward_bias(gpu, shape, dy, &dbias);
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
