//! Tables looked up on a GPU; gradients go to the rows in use alone.

use crate::nn::cuda::{Gpu, arguments, word};
use crate::nn::param::Place;
use crate::nn::{Buffer, Param, ParamMut};

#[expect(clippy::too_many_arguments, reason = "sizes, inputs and outputs, each once")]
pub(super) fn forward(
    gpu: &'static Gpu,
    members: usize,
    ids: &[u32],
    width: usize,
    table: Param,
    y: &mut Buffer,
    accumulate: bool,
    scale: f32,
) {
    let (rows, total) = (ids.len(), members * ids.len());
    let to = y.room(gpu, total * width);
    let (stride, ids) = (table.stride() as u64, gpu.table(ids));
    let sizes = (word(rows), word(total), word(width));
    gpu.launch_rows(
        "embedding_forward",
        (total, width),
        arguments![ids, table.pointer(), stride, to, sizes.0, sizes.1, sizes.2, scale, accumulate],
    );
}

/// Rows of one id from which on 16 of them are summed side by side.
const MANY: usize = 8;

/// `order` holds the places of all rows that count, those of one id together.
pub(super) fn backward(
    gpu: &'static Gpu,
    members: usize,
    (ids, order): (&[u32], &[usize]),
    width: usize,
    dy: &Buffer,
    scale: f32,
    dtable: &mut ParamMut,
) {
    let Place { pointer, stride, .. } = dtable.place(gpu, members);
    let mut groups = [Vec::new(), Vec::new()];
    let mut first = 0;
    for places in order.chunk_by(|&a, &b| ids[a] == ids[b]) {
        let list = &mut groups[usize::from(places.len() > MANY)];
        list.extend([ids[places[0]], word(first), word(places.len())]);
        first += places.len();
    }
    let order = gpu.table(&crate::nn::cuda::words_of(order));
    for (groups, [across, down]) in groups.iter().zip([[128, 1], [32, 16]]) {
        let count = word(groups.len() / 3);
        gpu.launch(
            "embedding_backward",
            [word(width).div_ceil(across), count.min(1 << 15), word(members)],
            [across, down],
            arguments![
                order,
                gpu.table(groups),
                count,
                dy.pointer(),
                scale,
                pointer,
                stride as u64,
                word(ids.len()),
                word(width),
            ],
        );
    }
}
