//! Rows looked up in a table, and their gradients added to the rows that were looked up; the rest
//! of the table is not touched.

#[cfg(feature = "cuda")]
#[path = "cuda/embedding.rs"]
mod on_gpu;

use rayon::prelude::*;

use super::parallel::{add_column_sums, rows_in_piece, run};
use super::{Buffer, Param, ParamMut};

/// y = scale `table[id]` for every row, or y += that if `accumulate` (words + positions + types).
///
/// # Shapes
/// ids `[R]`, below the table's rows; table `[V, width]`; y `[K, R, width]`.
pub fn forward(
    members: usize,
    ids: &[u32],
    width: usize,
    table: Param,
    y: &mut Buffer,
    accumulate: bool,
    scale: f32,
) {
    let len = ids.len() * width;
    if accumulate {
        assert_eq!(y.len(), members * len);
    }
    #[cfg(feature = "cuda")]
    if let Some(gpu) = table.gpu() {
        return on_gpu::forward(gpu, members, ids, width, table, y, accumulate, scale);
    }
    y.resize(members * len);
    if len == 0 {
        return;
    }
    let rows = rows_in_piece(width);
    for (member, y) in y.cpu_mut().chunks_exact_mut(len).enumerate() {
        let table = table.cpu(member);
        run(len, ids.par_chunks(rows).zip(y.par_chunks_mut(rows * width)), |(ids, y)| {
            for (&id, y) in ids.iter().zip(y.chunks_exact_mut(width)) {
                let found = table[id as usize * width..][..width].iter();
                if accumulate {
                    y.iter_mut().zip(found).for_each(|(y, &x)| *y += scale * x);
                } else {
                    y.iter_mut().zip(found).for_each(|(y, &x)| *y = scale * x);
                }
            }
        });
    }
}

/// `dtable[id]` += scale dy for every row whose id is not `skip_id` (the padding row of most models,
/// which keeps what it was trained to). Rows of one id are summed in f64, in their order.
///
/// # Shapes
/// ids `[R]`, dy `[K, R, width]`, dtable `[V, width]`.
pub fn backward(
    members: usize,
    ids: &[u32],
    width: usize,
    dy: &Buffer,
    scale: f32,
    skip_id: Option<u32>,
    mut dtable: ParamMut,
) {
    let len = ids.len() * width;
    assert_eq!(dy.len(), members * len);
    if len == 0 {
        return;
    }
    let mut order: Vec<usize> = (0..ids.len()).filter(|&row| Some(ids[row]) != skip_id).collect();
    // stable, so that rows of one id keep their order
    order.sort_by_key(|&row| ids[row]);
    #[cfg(feature = "cuda")]
    if let Some(gpu) = dy.gpu() {
        return on_gpu::backward(gpu, members, (ids, &order), width, dy, scale, &mut dtable);
    }
    for (member, dy) in dy.cpu().chunks_exact(len).enumerate() {
        let touched = touched_rows(dtable.cpu(member), ids, width, &order);
        let add = |(gradient, rows): (&mut [f32], &[usize])| {
            add_column_sums(rows.len(), gradient, |row, columns, totals| {
                let dy = &dy[rows[row] * width..][columns];
                totals.iter_mut().zip(dy).for_each(|(total, &dy)| *total += f64::from(scale * dy));
            });
        };
        run(order.len() * width, touched.into_par_iter(), add);
    }
}

/// The rows of a table that are in use, each with the places of its id.
fn touched_rows<'a, 'b>(
    mut table: &'a mut [f32],
    ids: &[u32],
    width: usize,
    order: &'b [usize],
) -> Vec<(&'a mut [f32], &'b [usize])> {
    let mut touched = Vec::new();
    let mut passed = 0;
    for rows in order.chunk_by(|&a, &b| ids[a] == ids[b]) {
        let id = ids[rows[0]] as usize;
        let (gradient, rest) = table[(id - passed) * width..].split_at_mut(width);
        touched.push((gradient, rows));
        table = rest;
        passed = id + 1;
    }
    touched
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::device::Device;
    use crate::nn::{Arena, Layout};

    #[test]
    fn gradients_reach_only_the_rows_that_were_read() {
        let mut layout = Layout::default();
        layout.push("before", &[3]);
        let table = layout.push("table", &[5, 2]);
        let mut grads = Arena::zeros(Device::CPU, Arc::new(layout), 1);
        let dy = Buffer::from_vec(Device::CPU, vec![1., 2., 10., 20., 100., 200., 7., 7.]);
        backward(1, &[4, 1, 4, 0], 2, &dy, 0.5, Some(0), grads.param_mut(table));
        assert_eq!(grads.member(0), [0., 0., 0., 0., 0., 5., 10., 0., 0., 0., 0., 50.5, 101.]);
    }
}
