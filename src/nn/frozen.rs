//! Parameters that never train, kept in the dtype that they came in.

use std::ops::Range;

use super::parallel::{PIECE, run, widest};
use super::{Buffer, Param};
use crate::device::Device;
use rayon::prelude::*;

/// Numbers as they were stored.
#[derive(Clone, Debug, PartialEq)]
pub enum Stored {
    /// f32.
    F32(Vec<f32>),
    /// bfloat16, little-endian, two bytes a number.
    Bf16(Vec<u8>),
}

impl Stored {
    /// How many numbers.
    pub fn len(&self) -> usize {
        match self {
            Self::F32(numbers) => numbers.len(),
            Self::Bf16(bytes) => bytes.len() / 2,
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The same numbers in bfloat16, to which others are rounded.
    fn into_halves(self) -> Vec<u8> {
        match self {
            Self::F32(numbers) => {
                let mut bytes = vec![0; 2 * numbers.len()];
                let pieces = bytes.par_chunks_mut(2 * PIECE).zip(numbers.par_chunks(PIECE));
                run(numbers.len(), pieces, |(bytes, numbers)| {
                    for (to, x) in bytes.as_chunks_mut().0.iter_mut().zip(numbers) {
                        *to = half::bf16::from_f32(*x).to_le_bytes();
                    }
                });
                bytes
            }
            Self::Bf16(bytes) => bytes,
        }
    }

    /// The same numbers in f32, which holds every bfloat16.
    pub fn into_f32(self) -> Vec<f32> {
        match self {
            Self::F32(numbers) => numbers,
            Self::Bf16(bytes) => {
                let mut numbers = vec![0.0; bytes.len() / 2];
                Weights::Bf16(bytes.as_chunks().0).widen_all(0, &mut numbers);
                numbers
            }
        }
    }
}

/// Whether a frozen matrix is kept as bfloat16 on a device: in the host's memory if it is stored as that,
/// and on a GPU if its products round their factors to it anyway.
pub fn keeps_halves(device: Device, stored_as_halves: bool) -> bool {
    match device {
        Device::Cpu(_) => stored_as_halves,
        #[cfg(feature = "cuda")]
        Device::Cuda(_, precision) => precision == crate::device::Precision::Bf16,
    }
}

/// A parameter that never trains, of K members, `[K, len]`. It has no slot, so nothing can
/// accumulate a gradient for it.
#[derive(Clone, Debug)]
pub struct Frozen {
    buffer: Buffer,
    /// One of a member, where they are kept as bfloat16; `buffer` is empty then.
    halves: Vec<Vec<u8>>,
    len: usize,
    /// Whether the buffer is on a GPU and holds bfloat16, two in the place of an f32.
    #[cfg(feature = "cuda")]
    narrow: bool,
}

impl Frozen {
    /// The members' numbers, all of the same length. Matrices that are all stored as bfloat16 stay that in
    /// the host's memory, where [`super::linear`] widens them on their way into a product. On a GPU whose
    /// products round their factors to it all matrices become that.
    pub fn matrices(device: Device, members: Vec<Stored>) -> Self {
        let is_half = |member: &Stored| matches!(member, Stored::Bf16(_));
        if !keeps_halves(device, members.iter().all(is_half)) {
            return Self::new(device, members.into_iter().map(Stored::into_f32).collect());
        }
        let len = members.first().map_or(0, Stored::len);
        debug_assert!(members.iter().all(|member| member.len() == len));
        let halves: Vec<Vec<u8>> = members.into_iter().map(Stored::into_halves).collect();
        #[cfg(feature = "cuda")]
        if let Some(buffer) = Buffer::of_halves(device, &halves, 2 * narrow_stride(len)) {
            return Self { buffer, halves: Vec::new(), len, narrow: true };
        }
        Self::kept(Buffer::zeros(device, 0), halves, len)
    }

    /// The members' numbers in f32, all of the same length.
    pub fn new(device: Device, members: Vec<Vec<f32>>) -> Self {
        let len = members.first().map_or(0, Vec::len);
        debug_assert!(members.iter().all(|member| member.len() == len));
        let numbers = if members.len() == 1 {
            members.into_iter().next().unwrap_or_default()
        } else {
            members.concat()
        };
        Self::kept(Buffer::from_vec(device, numbers), Vec::new(), len)
    }

    fn kept(buffer: Buffer, halves: Vec<Vec<u8>>, len: usize) -> Self {
        Self {
            buffer,
            halves,
            len,
            #[cfg(feature = "cuda")]
            narrow: false,
        }
    }

    /// The parameter of all members.
    pub fn param(&self) -> Param<'_> {
        #[cfg(feature = "cuda")]
        if self.narrow {
            return Param::narrow(&self.buffer, self.len, narrow_stride(self.len));
        }
        Param::frozen(&self.buffer, &self.halves, self.len)
    }
}

/// Numbers from one member's bfloat16 to the next on a GPU: 16 bytes are what its products ask for.
#[cfg(feature = "cuda")]
fn narrow_stride(len: usize) -> usize {
    len.next_multiple_of(8)
}

/// One member's matrix in the host's memory, row-major, as it is kept.
#[derive(Clone, Copy, Debug)]
pub(super) enum Weights<'a> {
    F32(&'a [f32]),
    Bf16(&'a [[u8; 2]]),
}

impl Weights<'_> {
    pub(super) fn len(self) -> usize {
        match self {
            Self::F32(numbers) => numbers.len(),
            Self::Bf16(numbers) => numbers.len(),
        }
    }

    /// Some of the numbers as f32.
    pub(super) fn widen(self, part: Range<usize>, to: &mut [f32]) {
        match self {
            Self::F32(numbers) => to.copy_from_slice(&numbers[part]),
            Self::Bf16(numbers) => {
                let from = &numbers[part];
                assert_eq!(from.len(), to.len());
                widen(from, to);
            }
        }
    }

    /// As many as `to` holds from `start` on, on all threads.
    pub(super) fn widen_all(self, start: usize, to: &mut [f32]) {
        run(to.len(), to.par_chunks_mut(PIECE).enumerate(), |(piece, to)| {
            let start = start + piece * PIECE;
            self.widen(start..start + to.len(), to);
        });
    }

    /// Asks for some of the numbers to be brought near; nothing depends on it.
    pub(super) fn prefetch(self, part: Range<usize>) {
        match self {
            Self::F32(numbers) => fetch(&numbers[part]),
            Self::Bf16(numbers) => fetch(&numbers[part]),
        }
    }
}

fn fetch<T>(numbers: &[T]) {
    /// Bytes of a cache line.
    const LINE: usize = 64;
    #[cfg(target_arch = "x86_64")]
    for line in numbers.chunks((LINE / size_of::<T>()).max(1)) {
        use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
        #[expect(unsafe_code, reason = "an address is handed over, and not read from")]
        // SAFETY: a prefetch has no effect that a program could see, and the address is a slice's.
        unsafe {
            _mm_prefetch::<_MM_HINT_T1>(line.as_ptr().cast());
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (numbers, LINE);
}

widest! {
    /// bfloat16 as f32, exactly.
    fn widen(from: &[[u8; 2]], to: &mut [f32]) {
        for (to, &from) in to.iter_mut().zip(from) {
            *to = f32::from_bits(u32::from(u16::from_le_bytes(from)) << 16);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bfloat16_widens_to_the_same_numbers() {
        let numbers: Vec<half::bf16> = (0..=u16::MAX).map(half::bf16::from_bits).collect();
        let bytes: Vec<u8> = numbers.iter().flat_map(|x| x.to_le_bytes()).collect();
        let wide = Stored::Bf16(bytes).into_f32();
        assert!(
            wide.iter()
                .zip(&numbers)
                .all(|(wide, x)| wide.to_bits() == x.to_f32().to_bits() || x.is_nan() && wide.is_nan())
        );
    }

    #[test]
    fn members_are_kept_as_they_are_stored_or_all_in_f32() {
        let [half, wide] = [Stored::Bf16(vec![0x80, 0x3f, 0, 0xc0]), Stored::F32(vec![3.0, 4.0])];
        let kept = Frozen::matrices(Device::CPU, vec![half.clone(); 2]);
        assert!(matches!(kept.param().weights(1), Weights::Bf16([[0x80, 0x3f], [0, 0xc0]])));
        let mixed = Frozen::matrices(Device::CPU, vec![half, wide]);
        assert!(matches!(mixed.param().weights(0), Weights::F32([1.0, -2.0])));
        assert_eq!(mixed.param().cpu(1), [3.0, 4.0]);
    }
}
