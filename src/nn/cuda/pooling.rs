//! Rows gathered and pooled on a GPU.

use crate::nn::cuda::{Gpu, arguments, word, words_of};
use crate::nn::{Buffer, Rows};

pub(super) fn gather(
    gpu: &'static Gpu,
    members: usize,
    width: usize,
    rows: &[usize],
    x: &Buffer,
    y: &mut Buffer,
) {
    let total = members * rows.len();
    let to = y.room(gpu, total * width);
    if total * width == 0 {
        return;
    }
    let all = x.len() / members / width;
    let sizes = (word(all), word(rows.len()), word(total), word(width));
    let numbers = gpu.table(&words_of(rows));
    let arguments = arguments![x.pointer(), numbers, to, sizes.0, sizes.1, sizes.2, sizes.3];
    gpu.launch_rows("gather_rows", (total, width), arguments);
}

pub(super) fn scatter_add(
    gpu: &'static Gpu,
    members: usize,
    width: usize,
    rows: &[usize],
    dy: &Buffer,
    dx: &mut Buffer,
) {
    let total = members * rows.len();
    let all = dx.len() / members / width;
    assert!(rows.iter().all(|&row| row < all));
    let (numbers, dy, to) = (gpu.table(&words_of(rows)), dy.pointer(), dx.room(gpu, dx.len()));
    let (all, count, width_word) = (word(all), word(rows.len()), word(width));
    if rows.is_sorted_by(|a, b| a < b) {
        let arguments = arguments![dy, numbers, to, all, count, word(total), width_word];
        return gpu.launch_rows("scatter_add_distinct", (total, width), arguments);
    }
    let arguments = arguments![dy, numbers, to, all, count, width_word];
    gpu.launch("scatter_add_rows", [width_word.div_ceil(128), word(members), 1], [128, 1], arguments);
}

/// Rows that count in each example's mean.
fn counts(rows: &Rows, include_padding: bool) -> Vec<u32> {
    let counted = |row: &usize| include_padding || rows.is_real(*row);
    (0..rows.examples()).map(|example| word(rows.segment(example).filter(counted).count())).collect()
}

pub(super) fn pool_mean(
    gpu: &'static Gpu,
    members: usize,
    width: usize,
    (rows, include_padding): (&Rows, bool),
    x: &Buffer,
    y: &mut Buffer,
) {
    let total = members * rows.examples();
    let to = y.room(gpu, total * width);
    let offsets = gpu.table(&words_of(&rows.offsets));
    let counts = gpu.table(&counts(rows, include_padding));
    let counted = if include_padding { 0 } else { gpu.real(rows) };
    let sizes = (word(rows.len()), word(rows.examples()), word(total), word(width));
    let arguments = arguments![x.pointer(), offsets, counts, counted, to, sizes.0, sizes.1, sizes.2, sizes.3];
    gpu.launch_rows("pool_mean", (total, width), arguments);
}

pub(super) fn pool_mean_backward(
    gpu: &'static Gpu,
    members: usize,
    width: usize,
    (rows, include_padding): (&Rows, bool),
    dy: &Buffer,
    dx: &mut Buffer,
) {
    let total = members * rows.len();
    let to = dx.room(gpu, total * width);
    let example_of = gpu.examples_of_rows(rows);
    let counts = gpu.table(&counts(rows, include_padding));
    let counted = if include_padding { 0 } else { gpu.real(rows) };
    let sizes = (word(rows.len()), word(rows.examples()), word(total), word(width));
    let arguments =
        arguments![dy.pointer(), example_of, counts, counted, to, sizes.0, sizes.1, sizes.2, sizes.3];
    gpu.launch_rows("pool_mean_backward", (total, width), arguments);
}
