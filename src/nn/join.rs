//! How a branch joins the residual stream: its bias, its dropout and the sum in one pass.

#[cfg(feature = "cuda")]
#[path = "cuda/join.rs"]
mod on_gpu;

use super::dropout::{self, Dropout};
use super::parallel::widest;
use super::{Buffer, Param, Rows};

/// A branch's rows, `[K, R, width]`, and what happens to them.
#[derive(Clone, Copy, Debug)]
pub struct Join<'a> {
    /// K.
    pub members: usize,
    /// R rows, by whose names dropout knows its elements.
    pub rows: &'a Rows,
    /// Their width.
    pub width: usize,
    /// Of the branch with its bias.
    pub dropout: Option<Dropout>,
}

impl Join<'_> {
    fn dropout(&self) -> Option<Dropout> {
        self.dropout.filter(|dropout| dropout.probability > 0.0)
    }

    fn check(&self, numbers: &Buffer) {
        assert_eq!(numbers.len(), self.members * self.rows.len() * self.width);
    }

    /// y = x + drop(branch + bias).
    ///
    /// # Shapes
    /// x, branch and y `[K, R, width]`, bias `[width]`.
    pub fn forward(&self, x: &Buffer, branch: &Buffer, bias: Option<Param>, y: &mut Buffer) {
        self.check(x);
        self.pass(Some(x), branch, bias, y);
    }

    /// dbranch = drop(dy); the gradient of x is dy itself.
    ///
    /// # Shapes
    /// dy and dbranch `[K, R, width]`.
    pub fn backward(&self, dy: &Buffer, dbranch: &mut Buffer) {
        self.pass(None, dy, None, dbranch);
    }

    /// branch = drop(branch + bias), for a branch that does not join as it is.
    ///
    /// # Shapes
    /// branch `[K, R, width]`, bias `[width]`.
    pub fn alone(&self, bias: Option<Param>, branch: &mut Buffer) {
        self.check(branch);
        if branch.is_empty() || bias.is_none() && self.dropout().is_none() {
            return;
        }
        #[cfg(feature = "cuda")]
        if let Some(gpu) = branch.gpu() {
            let at = branch.room(gpu, branch.len());
            return on_gpu::pass(gpu, self, [0, at], bias, [at, 0]);
        }
        let mask = self.dropout().map(Dropout::mask);
        dropout::each_row(self.rows, self.width, mask, branch, |member, _, factors, y| {
            add_and_drop(bias.map(|bias| bias.cpu(member)), factors, None, y);
        });
    }

    fn pass(&self, x: Option<&Buffer>, branch: &Buffer, bias: Option<Param>, y: &mut Buffer) {
        self.check(branch);
        #[cfg(feature = "cuda")]
        if let Some(gpu) = branch.gpu() {
            // a stream meets a norm first, the gradient of a branch its linear map
            let to = match x {
                Some(_) => [y.room(gpu, branch.len()), 0],
                None => y.room_rounded(gpu, branch.len()),
            };
            let x = x.map_or(0, Buffer::pointer);
            return on_gpu::pass(gpu, self, [x, branch.pointer()], bias, to);
        }
        y.resize(branch.len());
        if branch.is_empty() {
            return;
        }
        let mask = self.dropout().map(Dropout::mask);
        let (rows, width) = (self.rows.len(), self.width);
        dropout::each_row(self.rows, width, mask, y, |member, row, factors, y| {
            let start = (member * rows + row) * width;
            let place = start..start + width;
            y.copy_from_slice(&branch.cpu()[place.clone()]);
            add_and_drop(bias.map(|bias| bias.cpu(member)), factors, x.map(|x| &x.cpu()[place]), y);
        });
    }
}

widest! {
    /// y = x + factors (y + bias), of one row that stays in a core's first cache.
    fn add_and_drop(bias: Option<&[f32]>, factors: Option<&[f32]>, x: Option<&[f32]>, y: &mut [f32]) {
        if let Some(bias) = bias {
            for (y, bias) in y.iter_mut().zip(bias) {
                *y += bias;
            }
        }
        if let Some(factors) = factors {
            for (y, factor) in y.iter_mut().zip(factors) {
                *y *= factor;
            }
        }
        if let Some(x) = x {
            for (y, x) in y.iter_mut().zip(x) {
                *y += x;
            }
        }
    }
}
