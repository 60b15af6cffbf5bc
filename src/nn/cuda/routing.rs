//! Rows of a mixture moved to experts and back on a GPU. Which expert a row goes to is decided on the
//! host: how many rows each gets decides what is launched.

use super::{Route, Routes};
use crate::nn::Buffer;
use crate::nn::cuda::{Gpu, THREADS, arguments, word};

/// Rows of the routes.
fn numbers(gpu: &'static Gpu, routes: &[Route]) -> u64 {
    gpu.table(&routes.iter().map(|route| word(route.row)).collect::<Vec<_>>())
}

fn weights(gpu: &'static Gpu, routes: &[Route]) -> u64 {
    gpu.floats(&routes.iter().map(|route| route.weight).collect::<Vec<_>>())
}

pub(super) fn gather_weighted(gpu: &'static Gpu, width: usize, routes: &[Route], x: &Buffer, y: &mut Buffer) {
    let count = routes.len();
    let to = y.room(gpu, count * width);
    let (numbers, weights) = (numbers(gpu, routes), weights(gpu, routes));
    let arguments = arguments![x.pointer(), numbers, weights, to, word(count), word(width)];
    gpu.launch_rows("gather_weighted", (count, width), arguments);
}

pub(super) fn scatter_weighted(
    gpu: &'static Gpu,
    width: usize,
    routes: &[Route],
    x: &Buffer,
    y: &mut Buffer,
) {
    let count = routes.len();
    let (numbers, weights) = (numbers(gpu, routes), weights(gpu, routes));
    let arguments = arguments![x.pointer(), numbers, weights, y.room(gpu, y.len()), word(count), word(width)];
    gpu.launch_rows("scatter_weighted", (count, width), arguments);
}

pub(super) fn weight_gradients(
    gpu: &'static Gpu,
    width: usize,
    routes: &[Route],
    [output, dy]: [&Buffer; 2],
    gradients: u64,
) {
    let slots = gpu.table(&routes.iter().map(|route| word(route.slot)).collect::<Vec<_>>());
    gpu.launch(
        "route_gradients",
        [word(routes.len()), 1, 1],
        [THREADS, 1],
        arguments![output.pointer(), dy.pointer(), numbers(gpu, routes), slots, gradients, word(width)],
    );
}

pub(super) fn score_gradients(gpu: &'static Gpu, routes: &Routes, dscores: &mut Buffer) {
    let Routes { experts, rows, top_k, .. } = *routes;
    let to = dscores.room(gpu, rows * experts);
    let (chosen, weights) = (gpu.table(&routes.chosen), gpu.floats(&routes.weights));
    let gradients = routes.gradients.pointer();
    let arguments = arguments![chosen, weights, gradients, to, word(experts), word(top_k), rows as u64];
    gpu.launch_each("score_gradients", rows, arguments);
}
