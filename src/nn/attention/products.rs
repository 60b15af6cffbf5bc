//! Products of the small matrices of one head.

use crate::nn::gemm::{Size, Strides, gemm_serial};

/// A matrix that stands in rows of something wider.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    numbers: &'a [f32],
    strides: Strides,
}

impl<'a> View<'a> {
    /// A matrix whose rows start `stride` numbers apart, the first at the slice's start.
    pub(super) fn rows(numbers: &'a [f32], stride: usize) -> Self {
        Self { numbers, strides: Strides::row_major(stride) }
    }

    /// Its transpose.
    pub(super) fn transposed(self) -> Self {
        let Strides { rows, columns } = self.strides;
        Self { strides: Strides { rows: columns, columns: rows }, ..self }
    }
}

/// `C = A . B`, or `C += A . B`; `[m, n, k]` with C `[m, n]` row-major and k summed over. On the
/// calling thread: there is a task for every head.
pub(super) fn multiply([m, n, k]: [usize; 3], a: View<'_>, b: View<'_>, c: &mut [f32], accumulate: bool) {
    let c = (c, Strides::row_major(n));
    gemm_serial(Size { m, n, k }, (a.numbers, a.strides), (b.numbers, b.strides), c, accumulate);
}
