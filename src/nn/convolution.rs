//! One-dimensional convolution over the tokens of each example, with as many zeros beyond its ends
//! as keep its length. Rows that are not real are read as they stand, and their outputs are zero:
//! in DeBERTa v2 the mask stands between the convolution and what follows it.

#[cfg(feature = "cuda")]
#[path = "cuda/convolution.rs"]
mod on_gpu;

use rayon::prelude::*;

use super::gemm::{Size, Strides, gemm};
use super::parallel::add_column_sums;
use super::{Buffer, Param, ParamMut, Rows};

/// Sizes of a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// K.
    pub members: usize,
    /// Channels of the input.
    pub inputs: usize,
    /// Channels of the output.
    pub outputs: usize,
    /// Tokens that one output reads, the middle one at its own place; odd.
    pub taps: usize,
    /// Both kinds of channels fall into this many consecutive groups, each computed from its own.
    pub groups: usize,
}

/// A convolution over a batch: `y[t, o]` = `bias[o]` + the sum over taps s and channels c of o's
/// group of `weight[o, c, s] * x[t + s - (taps - 1) / 2, c]`.
#[derive(Clone, Copy, Debug)]
pub struct Convolution<'a> {
    /// Sizes.
    pub shape: Shape,
    /// Which rows belong together.
    pub rows: &'a Rows,
}

/// Memory that is reused from step to step, on the host.
#[derive(Clone, Debug, Default)]
pub struct Scratch {
    /// What every output row reads, `[R, groups, inputs / groups, taps]` of one member.
    windows: Vec<f32>,
    /// The output's gradient with zeros where rows are not real, `[R, outputs]` of one member.
    masked: Vec<f32>,
}

impl Convolution<'_> {
    /// `x` `[K, R, inputs]`, `weight` `[outputs, inputs / groups, taps]` and `bias` `[outputs]` give
    /// `y` `[K, R, outputs]`.
    pub fn forward(
        &self,
        x: &Buffer,
        weight: Param<'_>,
        bias: Option<Param<'_>>,
        y: &mut Buffer,
        scratch: &mut Scratch,
    ) {
        #[cfg(feature = "cuda")]
        if let Some(gpu) = x.gpu() {
            return on_gpu::forward(gpu, self, x, weight, bias, y);
        }
        let Shape { members, inputs, outputs, .. } = self.shape;
        let rows = self.rows.len();
        y.resize(members * rows * outputs);
        for member in 0..members {
            self.read_windows(&x.cpu()[member * rows * inputs..][..rows * inputs], &mut scratch.windows);
            let y = &mut y.cpu_mut()[member * rows * outputs..][..rows * outputs];
            for part in self.groups() {
                gemm(
                    Size { m: rows, n: part.outputs, k: part.window },
                    (part.of_windows(&scratch.windows), Strides::row_major(self.window())),
                    (part.of_weight(weight.cpu(member)), Strides::transposed(part.window)),
                    (part.of_outputs_mut(y), Strides::row_major(outputs)),
                    false,
                );
            }
            for (row, y) in y.chunks_exact_mut(outputs).enumerate() {
                if !self.rows.is_real(row) {
                    y.fill(0.0);
                } else if let Some(bias) = bias {
                    y.iter_mut().zip(bias.cpu(member)).for_each(|(y, bias)| *y += bias);
                }
            }
        }
    }

    /// From the output's gradient `dy` `[K, R, outputs]`: adds to `dweight` and `dbias`, and writes
    /// the input's, `dx` `[K, R, inputs]`.
    pub fn backward(
        &self,
        x: &Buffer,
        weight: Param<'_>,
        dy: &Buffer,
        gradients: Gradients<'_>,
        scratch: &mut Scratch,
    ) {
        #[cfg(feature = "cuda")]
        if let Some(gpu) = x.gpu() {
            let mut gradients = gradients;
            return on_gpu::backward(gpu, self, x, weight, dy, &mut gradients);
        }
        let Shape { members, inputs, outputs, .. } = self.shape;
        let rows = self.rows.len();
        let Gradients { weight: mut dweight, bias: mut dbias, input: dx } = gradients;
        dx.resize(members * rows * inputs);
        for member in 0..members {
            let Scratch { windows, masked } = scratch;
            masked.clear();
            masked.extend_from_slice(&dy.cpu()[member * rows * outputs..][..rows * outputs]);
            for (row, dy) in masked.chunks_exact_mut(outputs).enumerate() {
                if !self.rows.is_real(row) {
                    dy.fill(0.0);
                }
            }
            if let Some(dbias) = &mut dbias {
                add_column_sums(rows, dbias.cpu(member), |row, columns, totals| {
                    let dy = &masked[row * outputs..][..outputs][columns];
                    totals.iter_mut().zip(dy).for_each(|(total, dy)| *total += f64::from(*dy));
                });
            }
            self.read_windows(&x.cpu()[member * rows * inputs..][..rows * inputs], windows);
            for part in self.groups() {
                let dy = part.of_outputs(masked);
                gemm(
                    Size { m: part.outputs, n: part.window, k: rows },
                    (dy, Strides::transposed(outputs)),
                    (part.of_windows(windows), Strides::row_major(self.window())),
                    (part.of_weight_mut(dweight.cpu(member)), Strides::row_major(part.window)),
                    true,
                );
            }
            for part in self.groups() {
                gemm(
                    Size { m: rows, n: part.window, k: part.outputs },
                    (part.of_outputs(masked), Strides::row_major(outputs)),
                    (part.of_weight(weight.cpu(member)), Strides::row_major(part.window)),
                    (part.of_windows_mut(windows), Strides::row_major(self.window())),
                    false,
                );
            }
            self.add_windows(windows, &mut dx.cpu_mut()[member * rows * inputs..][..rows * inputs]);
        }
    }

    /// Numbers that one output row reads in all groups.
    fn window(&self) -> usize {
        self.shape.inputs * self.shape.taps
    }

    fn groups(&self) -> impl Iterator<Item = Group> + use<> {
        let Shape { inputs, outputs, taps, groups, .. } = self.shape;
        debug_assert!(taps % 2 == 1 && inputs.is_multiple_of(groups) && outputs.is_multiple_of(groups));
        (0..groups).map(move |index| Group {
            index,
            outputs: outputs / groups,
            window: inputs / groups * taps,
        })
    }

    /// The row that a tap of an output row reads, unless it is beyond the example's ends.
    fn source(&self, segment: &std::ops::Range<usize>, row: usize, tap: usize) -> Option<usize> {
        (row + tap).checked_sub((self.shape.taps - 1) / 2).filter(|source| segment.contains(source))
    }

    fn read_windows(&self, x: &[f32], windows: &mut Vec<f32>) {
        let Shape { inputs, taps, .. } = self.shape;
        windows.resize(self.rows.len() * self.window(), 0.0);
        self.by_segment(windows, self.window()).into_par_iter().for_each(|(segment, windows)| {
            for (row, window) in segment.clone().zip(windows.chunks_exact_mut(self.window())) {
                for tap in 0..taps {
                    let places = window[tap..].iter_mut().step_by(taps);
                    match self.source(&segment, row, tap) {
                        Some(source) => {
                            let x = &x[source * inputs..][..inputs];
                            places.zip(x).for_each(|(to, x)| *to = *x);
                        }
                        None => places.for_each(|to| *to = 0.0),
                    }
                }
            }
        });
    }

    fn add_windows(&self, windows: &[f32], dx: &mut [f32]) {
        let Shape { inputs, taps, .. } = self.shape;
        self.by_segment(dx, inputs).into_par_iter().for_each(|(segment, dx)| {
            dx.fill(0.0);
            for row in segment.clone() {
                let window = &windows[row * self.window()..][..self.window()];
                for tap in 0..taps {
                    if let Some(source) = self.source(&segment, row, tap) {
                        let dx = &mut dx[(source - segment.start) * inputs..][..inputs];
                        dx.iter_mut().zip(window[tap..].iter().step_by(taps)).for_each(|(to, x)| *to += x);
                    }
                }
            }
        });
    }

    /// Every example's rows with its part of a matrix of this width.
    fn by_segment<'b>(
        &self,
        mut numbers: &'b mut [f32],
        width: usize,
    ) -> Vec<(std::ops::Range<usize>, &'b mut [f32])> {
        let mut parts = Vec::with_capacity(self.rows.examples());
        for example in 0..self.rows.examples() {
            let segment = self.rows.segment(example);
            let (part, rest) = numbers.split_at_mut(segment.len() * width);
            parts.push((segment, part));
            numbers = rest;
        }
        parts
    }
}

/// Where the gradients of a convolution go.
pub struct Gradients<'a> {
    /// `[outputs, inputs / groups, taps]`; added to.
    pub weight: ParamMut<'a>,
    /// `[outputs]`; added to.
    pub bias: Option<ParamMut<'a>>,
    /// `[K, R, inputs]`; resized and overwritten.
    pub input: &'a mut Buffer,
}

/// One group of channels.
#[derive(Clone, Copy)]
struct Group {
    index: usize,
    /// Channels of its output.
    outputs: usize,
    /// Numbers that one of its output rows reads.
    window: usize,
}

impl Group {
    fn of_windows(self, windows: &[f32]) -> &[f32] {
        windows.get(self.index * self.window..).unwrap_or_default()
    }

    fn of_windows_mut(self, windows: &mut [f32]) -> &mut [f32] {
        windows.get_mut(self.index * self.window..).unwrap_or_default()
    }

    fn of_weight(self, weight: &[f32]) -> &[f32] {
        &weight[self.index * self.outputs * self.window..][..self.outputs * self.window]
    }

    fn of_weight_mut(self, weight: &mut [f32]) -> &mut [f32] {
        &mut weight[self.index * self.outputs * self.window..][..self.outputs * self.window]
    }

    fn of_outputs(self, y: &[f32]) -> &[f32] {
        y.get(self.index * self.outputs..).unwrap_or_default()
    }

    fn of_outputs_mut(self, y: &mut [f32]) -> &mut [f32] {
        y.get_mut(self.index * self.outputs..).unwrap_or_default()
    }
}
