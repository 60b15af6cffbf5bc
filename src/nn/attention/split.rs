//! Cuts a buffer into the parts that tasks write, so that the compiler sees that no two tasks
//! write the same number.

/// Consecutive parts of these lengths.
pub(super) fn parts(mut numbers: &mut [f32], lengths: impl IntoIterator<Item = usize>) -> Vec<&mut [f32]> {
    let mut found = Vec::new();
    for length in lengths {
        let (part, rest) = numbers.split_at_mut(length);
        found.push(part);
        numbers = rest;
    }
    found
}

/// Columns of heads: of a matrix `[K * rows, groups * width]` whose rows come in runs of these
/// lengths, every run's part of every group, as one slice of `width` a row; runs outermost.
pub(super) fn columns(
    mut numbers: &mut [f32],
    runs: impl IntoIterator<Item = usize>,
    groups: usize,
    width: usize,
) -> Vec<Vec<&mut [f32]>> {
    let mut found = Vec::new();
    for rows in runs {
        let (run, rest) = numbers.split_at_mut(rows * groups * width);
        numbers = rest;
        let first = found.len();
        found.extend((0..groups).map(|_| Vec::with_capacity(rows)));
        for (index, slice) in run.chunks_exact_mut(width).enumerate() {
            found[first + index % groups].push(slice);
        }
    }
    found
}

/// Writes a matrix `[rows, slice width]` times `factor` into a task's slices.
pub(super) fn write(slices: &mut [&mut [f32]], from: usize, width: usize, matrix: &[f32], factor: f32) {
    for (slice, row) in slices.iter_mut().zip(matrix.chunks_exact(width)) {
        for (to, number) in slice[from..from + width].iter_mut().zip(row) {
            *to = number * factor;
        }
    }
}
