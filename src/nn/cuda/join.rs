//! How a branch joins the residual stream on a GPU, and dropout: the masks of the CPU, bit for bit.

use super::Join;
use crate::nn::Param;
use crate::nn::cuda::{Gpu, arguments, word};
use crate::nn::dropout::{CHANNELS, Dropout, Mask};

/// `to` = x + drop(branch + bias), and `rounded` the same in bfloat16; x and `rounded` may be 0 for none, and
/// `to` may be the branch.
pub(super) fn pass(
    gpu: &'static Gpu,
    join: &Join<'_>,
    [x, branch]: [u64; 2],
    bias: Option<Param>,
    [to, rounded]: [u64; 2],
) {
    let Join { members, rows, width, .. } = *join;
    let mask = join.dropout().map(Dropout::mask);
    let (low, high, probability, scale) = mask.map_or((0, 0, 0.0, 1.0), Mask::parts);
    let names = if mask.is_some() { gpu.names(rows) } else { 0 };
    let (bias, bias_stride) = Param::place_of(bias);
    gpu.launch_rows(
        "join",
        (rows.len(), width.div_ceil(CHANNELS)),
        arguments![
            x,
            branch,
            bias,
            bias_stride,
            names,
            low,
            high,
            probability,
            scale,
            to,
            rounded,
            word(members),
            word(rows.len()),
            word(width),
        ],
    );
}
