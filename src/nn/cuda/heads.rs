//! Values handed to the heads they serve, on a GPU.

use super::Heads;
use crate::nn::Buffer;
use crate::nn::cuda::{Gpu, arguments, word};

pub(super) fn repeat(gpu: &'static Gpu, heads: Heads, rows: usize, values: &Buffer, out: &mut Buffer) {
    let Heads { heads, kv_heads, head_dim } = heads;
    let n = rows * heads * head_dim;
    let out = out.room(gpu, n);
    let arguments = arguments![values.pointer(), out, word(heads / kv_heads), word(head_dim), n as u64];
    gpu.launch_each("repeat_heads", n, arguments);
}

pub(super) fn reduce(gpu: &'static Gpu, heads: Heads, rows: usize, dout: &Buffer, dvalues: &mut Buffer) {
    let Heads { heads, kv_heads, head_dim } = heads;
    let n = rows * kv_heads * head_dim;
    let dvalues = dvalues.room(gpu, n);
    let arguments = arguments![dout.pointer(), dvalues, word(heads / kv_heads), word(head_dim), n as u64];
    gpu.launch_each("reduce_heads", n, arguments);
}
