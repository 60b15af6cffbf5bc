//! Adam and the norms of gradients on a GPU.

use super::Update;
use crate::nn::cuda::{Gpu, Memory, QUAD, THREADS, arguments, word};
use crate::nn::{Arena, Slot};

/// Numbers that one block squares at least.
const NUMBERS_A_BLOCK: usize = 1 << 12;

/// Blocks for one run of parameters, at most.
const MOST_BLOCKS: usize = 1 << 10;

#[expect(clippy::too_many_arguments, reason = "the arenas, each once")]
pub(super) fn step(
    gpu: &'static Gpu,
    update: &Update,
    runs: &[Slot],
    scale: &[f32],
    values: &Arena,
    grads: &Arena,
    first: &Arena,
    second: &Arena,
) {
    let [values_at, grads, first, second] =
        [values, grads, first, second].map(|arena| arena.buffer().pointer());
    let rounded = values.buffer().memory().map_or(0, Memory::kept_rounded);
    let (scale_at, stride) = (gpu.floats(scale), values.stride() as u64);
    for run in runs {
        let blocks = run.len.div_ceil(QUAD * THREADS as usize).min(1 << 12) as u32;
        gpu.launch(
            "adam_step",
            [blocks, word(scale.len()), 1],
            [THREADS, 1],
            arguments![
                values_at,
                rounded,
                grads,
                first,
                second,
                scale_at,
                run.offset as u64,
                run.len as u64,
                stride,
                update.shrink,
                update.decay,
                update.towards,
                update.beta2,
                update.fresh,
                update.root_correction,
                update.eps,
                update.rate,
                update.leaves_rest(),
            ],
        );
    }
}

/// Norms by member: f64 sums in an order that depends on the runs only.
pub(super) fn norms(gpu: &'static Gpu, grads: &Arena, runs: &[Slot]) -> Vec<f64> {
    let members = grads.members();
    let blocks_of = |run: &Slot| run.len.div_ceil(NUMBERS_A_BLOCK).min(MOST_BLOCKS);
    let parts: usize = runs.iter().map(blocks_of).sum();
    // K results, then [K, parts]; each f64 takes two places
    let memory = Memory::new(gpu, 2 * members * (1 + parts));
    let (results, partial) = (memory.pointer(), memory.pointer() + 8 * members as u64);
    let mut before = 0;
    for run in runs {
        let blocks = blocks_of(run);
        gpu.launch(
            "square_sums",
            [blocks as u32, word(members), 1],
            [THREADS, 1],
            arguments![
                grads.buffer().pointer(),
                run.offset as u64,
                run.len as u64,
                grads.stride() as u64,
                partial,
                word(parts),
                word(before),
            ],
        );
        before += blocks;
    }
    let arguments = arguments![partial, 1.0_f64, results, word(parts)];
    gpu.launch("weighted_sum", [word(members), 1, 1], [THREADS, 1], arguments);
    memory.read_f64(0, members).into_iter().map(f64::sqrt).collect()
}
