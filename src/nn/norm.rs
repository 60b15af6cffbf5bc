//! Normalisation of rows: LayerNorm (Ba et al. 2016) and RMSNorm (Zhang and Sennrich 2019).
//!
//! With x̂ = (x - mean) / deviation and y = x̂ w + b, and g = dy w:
//! dx = (g - mean(g) - x̂ mean(g x̂)) / deviation. RMSNorm is the same without the two means that
//! come from subtracting the mean.
#![expect(clippy::inline_always, reason = "a call would leave the vectors of its caller")]

#[cfg(feature = "cuda")]
#[path = "cuda/norm.rs"]
mod on_gpu;

use rayon::prelude::*;

use super::parallel::{LANES, add_column_sums, rows_in_piece, run, sum_of, widest};
use super::{Buffer, Param, ParamMut};

/// The formula.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// y = (x - mean) / √(variance + eps) · w + b, variance over the width without correction.
    LayerNorm,
    /// y = x / √(mean square + eps) · w.
    RmsNorm,
    /// y = x / √(mean square + eps) · (1 + w).
    RmsNormPlusOne,
}

impl Kind {
    fn subtracts_mean(self) -> bool {
        self == Self::LayerNorm
    }

    /// Added to the weight before it multiplies.
    fn offset(self) -> f32 {
        if self == Self::RmsNormPlusOne { 1.0 } else { 0.0 }
    }
}

/// Sizes of a normalisation. Queries and keys normalised by head have `rows` times heads rows of
/// `head_dim`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// K.
    pub members: usize,
    /// Rows of one member.
    pub rows: usize,
    /// What is normalised together.
    pub width: usize,
}

impl Shape {
    fn len(self) -> usize {
        self.members * self.rows * self.width
    }

    fn member(self, member: usize) -> std::ops::Range<usize> {
        let len = self.rows * self.width;
        member * len..(member + 1) * len
    }

    fn statistics(self, member: usize) -> std::ops::Range<usize> {
        member * self.rows..(member + 1) * self.rows
    }
}

/// What backward needs of forward.
#[derive(Clone, Debug, Default)]
pub struct Saved {
    /// Of every row, `[K, R]`; zeros where the mean is not subtracted.
    mean: Buffer,
    /// 1 / √(variance or mean square + eps), `[K, R]`.
    inverse_deviation: Buffer,
}

/// Normalises every row; statistics are computed in f64.
///
/// # Shapes
/// x and y `[K, R, width]`, weight and bias `[width]`.
#[expect(clippy::too_many_arguments, reason = "sizes, inputs and outputs, each once")]
pub fn forward(
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
    assert_eq!(x.len(), shape.len());
    #[cfg(feature = "cuda")]
    if let Some(gpu) = x.gpu() {
        return on_gpu::forward(gpu, kind, eps, shape, x, weight, bias, y, saved);
    }
    y.resize(shape.len());
    saved.mean.resize(members * rows);
    saved.inverse_deviation.resize(members * rows);
    if width == 0 {
        return;
    }
    for member in 0..members {
        let weight = weight.cpu(member);
        let bias = bias.map(|bias| bias.cpu(member));
        let rows = rows_in_piece(width);
        let pieces = x.cpu()[shape.member(member)]
            .par_chunks(rows * width)
            .zip(y.cpu_mut()[shape.member(member)].par_chunks_mut(rows * width))
            .zip(saved.mean.cpu_mut()[shape.statistics(member)].par_chunks_mut(rows))
            .zip(saved.inverse_deviation.cpu_mut()[shape.statistics(member)].par_chunks_mut(rows));
        run(shape.rows * width, pieces, |(((x, y), mean), inverse)| {
            let x_and_y = x.chunks_exact(width).zip(y.chunks_exact_mut(width));
            for ((x, y), (mean, inverse)) in x_and_y.zip(mean.iter_mut().zip(inverse)) {
                forward_row(kind, eps, x, weight, bias, y, mean, inverse);
            }
        });
    }
}

widest! {
    #[expect(clippy::too_many_arguments, reason = "sizes, inputs and outputs, each once")]
    fn forward_row(
        kind: Kind,
        eps: f64,
        x: &[f32],
        weight: &[f32],
        bias: Option<&[f32]>,
        y: &mut [f32],
        mean_of_row: &mut f32,
        inverse_of_row: &mut f32,
    ) {
        let width = x.len() as f64;
        let exact = if kind.subtracts_mean() { sum_of(x, f64::from) / width } else { 0.0 };
        let variance = sum_of(x, |x| (f64::from(x) - exact).powi(2)) / width;
        let (mean, inverse) = (exact as f32, (1.0 / (variance + eps).sqrt()) as f32);
        let offset = kind.offset();
        for ((y, &x), &weight) in y.iter_mut().zip(x).zip(weight) {
            *y = (x - mean) * inverse * (offset + weight);
        }
        if let Some(bias) = bias {
            y.iter_mut().zip(bias).for_each(|(y, &bias)| *y += bias);
        }
        (*mean_of_row, *inverse_of_row) = (mean, inverse);
    }
}

/// Gradients of [`forward`] at the same x and weight; dx is added to what stands there if
/// `accumulate`, those of weight and bias are always added.
///
/// # Shapes
/// x, dy and dx `[K, R, width]`; weight, dweight and dbias `[width]`.
#[expect(clippy::too_many_arguments, reason = "sizes, inputs and outputs, each once")]
pub fn backward(
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
    let width = shape.width;
    assert!(x.len() == shape.len() && dy.len() == shape.len());
    if accumulate {
        assert_eq!(dx.len(), shape.len());
    }
    #[cfg(feature = "cuda")]
    if let Some(gpu) = x.gpu() {
        return on_gpu::backward(gpu, kind, shape, x, weight, saved, dy, dweight, dbias, dx, accumulate);
    }
    dx.resize(shape.len());
    if width == 0 {
        return;
    }
    for member in 0..shape.members {
        let weight = weight.cpu(member);
        let rows = rows_in_piece(width);
        let pieces = x.cpu()[shape.member(member)]
            .par_chunks(rows * width)
            .zip(dy.cpu()[shape.member(member)].par_chunks(rows * width))
            .zip(dx.cpu_mut()[shape.member(member)].par_chunks_mut(rows * width))
            .zip(saved.mean.cpu()[shape.statistics(member)].par_chunks(rows))
            .zip(saved.inverse_deviation.cpu()[shape.statistics(member)].par_chunks(rows));
        run(shape.rows * width, pieces, |((((x, dy), dx), mean), inverse)| {
            let x_and_dy = x.chunks_exact(width).zip(dy.chunks_exact(width));
            let statistics = mean.iter().copied().zip(inverse.iter().copied());
            for (((x, dy), dx), statistics) in x_and_dy.zip(dx.chunks_exact_mut(width)).zip(statistics) {
                backward_row(kind, statistics, x, weight, dy, dx, accumulate);
            }
        });
    }
    add_weight_gradients(shape, x, saved, dy, dweight, dbias);
}

widest! {
    fn backward_row(
        kind: Kind,
        statistics: (f32, f32),
        x: &[f32],
        weight: &[f32],
        dy: &[f32],
        dx: &mut [f32],
        accumulate: bool,
    ) {
        let (mean, inverse) = statistics;
        let (sum, sum_with_x) = sums(kind, statistics, x, weight, dy);
        let width = x.len() as f64;
        let of_g = if kind.subtracts_mean() { (sum / width) as f32 } else { 0.0 };
        let of_g_with_x = (sum_with_x / width) as f32;
        let offset = kind.offset();
        for (((dx, &x), &dy), &weight) in dx.iter_mut().zip(x).zip(dy).zip(weight) {
            let g = dy * (offset + weight);
            let gradient = (g - of_g - (x - mean) * inverse * of_g_with_x) * inverse;
            *dx = if accumulate { *dx + gradient } else { gradient };
        }
    }
}

/// The sums of g and of g x̂ over a row.
#[inline(always)]
fn sums(kind: Kind, (mean, inverse): (f32, f32), x: &[f32], weight: &[f32], dy: &[f32]) -> (f64, f64) {
    let mut lanes = [[0.0; LANES]; 2];
    let offset = kind.offset();
    let whole = x.len() / LANES * LANES;
    let mut add = |from: usize, len: usize| {
        let row = x[from..from + len].iter().zip(&weight[from..from + len]).zip(&dy[from..from + len]);
        for (lane, ((&x, &weight), &dy)) in row.enumerate() {
            let g = dy * (offset + weight);
            lanes[0][lane] += f64::from(g);
            lanes[1][lane] += f64::from(g * ((x - mean) * inverse));
        }
    };
    for from in (0..whole).step_by(LANES) {
        add(from, LANES);
    }
    add(whole, x.len() - whole);
    let [of_g, of_g_with_x] = lanes.map(|lanes| lanes.iter().sum());
    (of_g, of_g_with_x)
}

fn add_weight_gradients(
    shape: Shape,
    x: &Buffer,
    saved: &Saved,
    dy: &Buffer,
    mut dweight: Option<ParamMut>,
    mut dbias: Option<ParamMut>,
) {
    for member in 0..shape.members {
        let (x, dy) = (&x.cpu()[shape.member(member)], &dy.cpu()[shape.member(member)]);
        let mean = &saved.mean.cpu()[shape.statistics(member)];
        let inverse = &saved.inverse_deviation.cpu()[shape.statistics(member)];
        if let Some(dweight) = &mut dweight {
            add_column_sums(shape.rows, dweight.cpu(member), |row, columns, totals| {
                let place = row * shape.width + columns.start..row * shape.width + columns.end;
                for ((total, &x), &dy) in totals.iter_mut().zip(&x[place.clone()]).zip(&dy[place]) {
                    *total += f64::from(dy * ((x - mean[row]) * inverse[row]));
                }
            });
        }
        if let Some(dbias) = &mut dbias {
            add_column_sums(shape.rows, dbias.cpu(member), |row, columns, totals| {
                let place = row * shape.width + columns.start..row * shape.width + columns.end;
                totals.iter_mut().zip(&dy[place]).for_each(|(total, &dy)| *total += f64::from(dy));
            });
        }
    }
}
