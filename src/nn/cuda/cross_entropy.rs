//! Losses on a GPU. They stand behind the gradients, in the same memory, until the step's end: to read
//! them at once would wait for the device in the middle of a step.

use super::Span;
use crate::nn::cuda::{Gpu, THREADS, WARP, arguments, word};
use crate::nn::{Buffer, Rows};

/// Where the losses begin behind so many gradients, counted in f32 numbers: f64 numbers stand on even
/// places.
fn behind(gradients: usize) -> usize {
    gradients.next_multiple_of(2)
}

/// Room for gradients, K losses and `terms` of their sum; the places of all three.
fn room(gpu: &'static Gpu, gradients: usize, members: usize, terms: usize, to: &mut Buffer) -> [u64; 3] {
    let start = behind(gradients);
    let memory = to.on(gpu, start + 2 * (members + terms));
    let pointer = memory.pointer();
    memory.resize(gradients);
    let losses = pointer + 4 * start as u64;
    [pointer, losses, losses + 8 * members as u64]
}

fn sum(gpu: &'static Gpu, members: usize, [losses, terms]: [u64; 2], count: usize, weight: f64) {
    let arguments = arguments![terms, weight, losses, word(count)];
    gpu.launch("weighted_sum", [word(members), 1, 1], [THREADS, 1], arguments);
}

/// Warps of a block.
const ROWS_A_BLOCK: u32 = 4;

#[expect(clippy::too_many_arguments, reason = "sizes, inputs and outputs, each once")]
pub(super) fn forward_backward(
    gpu: &'static Gpu,
    members: usize,
    classes: usize,
    logits: &Buffer,
    targets: &[u32],
    smoothing: f64,
    weight: f64,
    dlogits: &mut Buffer,
) {
    let examples = targets.len();
    let total = members * examples;
    let [gradients, losses, terms] = room(gpu, logits.len(), members, total, dlogits);
    gpu.launch(
        "cross_entropy",
        [word(total).div_ceil(ROWS_A_BLOCK), 1, 1],
        [ROWS_A_BLOCK * WARP, 1],
        arguments![
            logits.pointer(),
            gpu.table(targets),
            smoothing,
            weight,
            terms,
            gradients,
            word(examples),
            word(classes),
            word(total),
        ],
    );
    sum(gpu, members, [losses, terms], examples, weight);
}

#[expect(clippy::too_many_arguments, reason = "sizes, inputs and outputs, each once")]
pub(super) fn span_forward_backward(
    gpu: &'static Gpu,
    members: usize,
    rows: &Rows,
    include_padding: bool,
    logits: &Buffer,
    targets: &[Span],
    weight: f64,
    dlogits: &mut Buffer,
) {
    for (example, target) in targets.iter().enumerate() {
        let length = rows.segment(example).len();
        assert!((target.start.max(target.end) as usize) < length, "target beyond its segment");
    }
    let ends = 2 * targets.len();
    let total = members * ends;
    let [gradients, losses, terms] = room(gpu, logits.len(), members, total, dlogits);
    dlogits.fill(0.0);
    let places: Vec<u32> = targets.iter().flat_map(|target| [target.start, target.end]).collect();
    gpu.launch(
        "span_cross_entropy",
        [word(total).div_ceil(ROWS_A_BLOCK), 1, 1],
        [ROWS_A_BLOCK * WARP, 1],
        arguments![
            logits.pointer(),
            gpu.table(&crate::nn::cuda::words_of(&rows.offsets)),
            if include_padding { 0 } else { gpu.real(rows) },
            gpu.table(&places),
            weight,
            terms,
            gradients,
            word(rows.len()),
            word(targets.len()),
            word(total),
        ],
    );
    sum(gpu, members, [losses, terms], ends, weight);
}

/// The losses behind gradients that one of these functions wrote last.
pub(super) fn settle(dlogits: &Buffer, losses: &mut [f64]) {
    if let Some(memory) = dlogits.memory() {
        losses.copy_from_slice(&memory.read_f64(behind(memory.len()), losses.len()));
    }
}
