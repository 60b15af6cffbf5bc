//! Values of key-value heads handed to the query heads they serve: all that is left of attention
//! when every row sees one key only, whose softmax is 1.

#[cfg(feature = "cuda")]
#[path = "cuda/heads.rs"]
mod on_gpu;

use super::Buffer;

/// Sizes of one attention.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heads {
    /// H.
    pub heads: usize,
    /// G; each serves H / G consecutive query heads.
    pub kv_heads: usize,
    /// Width of a head.
    pub head_dim: usize,
}

/// # Shapes
/// - values: `[rows, G * d]`, out: `[rows, H * d]`
pub fn repeat(heads: Heads, rows: usize, values: &Buffer, out: &mut Buffer) {
    #[cfg(feature = "cuda")]
    if let Some(gpu) = values.gpu() {
        return on_gpu::repeat(gpu, heads, rows, values, out);
    }
    let Heads { heads, kv_heads, head_dim } = heads;
    let group = heads / kv_heads;
    out.resize(rows * heads * head_dim);
    let (from, to) = (values.cpu(), out.cpu_mut());
    for (from, to) in from.chunks_exact(head_dim).zip(to.chunks_exact_mut(group * head_dim)) {
        to.chunks_exact_mut(head_dim).for_each(|head| head.copy_from_slice(from));
    }
}

/// The derivative of [`repeat`]: sums over the query heads that a value serves.
pub fn reduce(heads: Heads, rows: usize, dout: &Buffer, dvalues: &mut Buffer) {
    #[cfg(feature = "cuda")]
    if let Some(gpu) = dout.gpu() {
        return on_gpu::reduce(gpu, heads, rows, dout, dvalues);
    }
    let Heads { heads, kv_heads, head_dim } = heads;
    let group = heads / kv_heads;
    dvalues.resize(rows * kv_heads * head_dim);
    let (from, to) = (dout.cpu(), dvalues.cpu_mut());
    for (from, to) in from.chunks_exact(group * head_dim).zip(to.chunks_exact_mut(head_dim)) {
        to.copy_from_slice(&from[..head_dim]);
        for head in from.chunks_exact(head_dim).skip(1) {
            to.iter_mut().zip(head).for_each(|(to, from)| *to += from);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::Device;

    #[test]
    fn repeat_and_reduce_are_transposes_of_each_other() {
        let heads = Heads { heads: 4, kv_heads: 2, head_dim: 2 };
        let values = Buffer::from_vec(Device::CPU, vec![1., 2., 3., 4.]);
        let mut out = Buffer::default();
        repeat(heads, 1, &values, &mut out);
        assert_eq!(out.cpu(), [1., 2., 1., 2., 3., 4., 3., 4.]);
        let dout = Buffer::from_vec(Device::CPU, vec![1., 10., 2., 20., 3., 30., 4., 40.]);
        let mut dvalues = Buffer::default();
        reduce(heads, 1, &dout, &mut dvalues);
        assert_eq!(dvalues.cpu(), [3., 30., 7., 70.]);
    }
}
