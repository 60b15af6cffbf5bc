//! Rotary positions on a GPU.

use super::{Shape, Table};
use crate::nn::cuda::{Gpu, arguments, word};
use crate::nn::{Buffer, Rows};

pub(super) fn rotate(
    gpu: &'static Gpu,
    shape: Shape,
    table: &Table,
    rows: &Rows,
    x: &mut Buffer,
    direction: f32,
) {
    let pairs = table.inverse_frequencies.len();
    let total = shape.members * rows.len() * shape.heads;
    let (positions, cosines, sines) =
        (gpu.positions(rows), gpu.floats(&table.cosines), gpu.floats(&table.sines));
    let sizes = (word(rows.len()), word(shape.heads), word(shape.head_dim), word(pairs), word(total));
    gpu.launch_rows(
        "rotate",
        (total, pairs),
        arguments![
            x.room(gpu, x.len()),
            positions,
            cosines,
            sines,
            direction,
            sizes.0,
            sizes.1,
            sizes.2,
            sizes.3,
            sizes.4
        ],
    );
}
