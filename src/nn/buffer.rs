//! Numbers on a device that are reused from step to step.

use std::borrow::Cow;
use std::ops::Range;

use rayon::prelude::*;

use super::aligned::Aligned;
#[cfg(feature = "cuda")]
use super::cuda::{Gpu, Memory};
use super::parallel::run;
use crate::device::{Device, Precision};

/// Numbers of one piece of a fill: 1 MiB, so that the system's own fill goes past the caches.
pub(super) const FILLED_TOGETHER: usize = 1 << 18;

/// A run of f32 numbers on one device. Shrinking and growing within what it once held allocates
/// nothing, so that a training step touches no fresh memory.
///
/// This is the seam to CUDA: operations ask for the host's numbers by [`Buffer::cpu`], after handing
/// over to their CUDA form where the numbers stand on a GPU. What an operation writes goes to the
/// device of what it reads, wherever it stood before.
#[derive(Clone, Debug, Default)]
pub struct Buffer {
    numbers: Aligned<f32>,
    /// What products with them round to, where they stand in the host's memory.
    precision: Precision,
    /// The numbers, where they stand on a GPU; `numbers` is empty then.
    #[cfg(feature = "cuda")]
    memory: Option<Memory>,
}

impl Buffer {
    /// `len` zeros.
    pub fn zeros(device: Device, len: usize) -> Self {
        #[cfg(feature = "cuda")]
        if let Some(gpu) = Gpu::of(device) {
            let mut memory = Memory::new(gpu, len);
            memory.fill(0, len, 0.0);
            return Self { memory: Some(memory), ..Self::default() };
        }
        Self::of_host(device, Aligned::zeros(len))
    }

    /// The numbers, moved to the device.
    pub fn from_vec(device: Device, numbers: Vec<f32>) -> Self {
        #[cfg(feature = "cuda")]
        if let Some(gpu) = Gpu::of(device) {
            let mut memory = Memory::new(gpu, numbers.len());
            memory.write(0, &numbers);
            return Self { memory: Some(memory), ..Self::default() };
        }
        Self::of_host(device, numbers.into())
    }

    /// Bytes of members on a GPU, their beginnings `stride` bytes apart; `None` for the host.
    #[cfg(feature = "cuda")]
    pub(super) fn of_halves(device: Device, members: &[Vec<u8>], stride: usize) -> Option<Self> {
        let memory = Memory::of_bytes(Gpu::of(device)?, members, stride);
        Some(Self { memory: Some(memory), ..Self::default() })
    }

    fn of_host(device: Device, numbers: Aligned<f32>) -> Self {
        debug_assert!(matches!(device, Device::Cpu(_)), "{device} has no numbers in the host's memory");
        Self {
            numbers,
            precision: device.precision(),
            #[cfg(feature = "cuda")]
            memory: None,
        }
    }

    /// Where the numbers stand.
    pub fn device(&self) -> Device {
        #[cfg(feature = "cuda")]
        if let Some(memory) = &self.memory {
            return memory.gpu().device();
        }
        Device::Cpu(self.precision)
    }

    /// How many numbers.
    pub fn len(&self) -> usize {
        #[cfg(feature = "cuda")]
        if let Some(memory) = &self.memory {
            return memory.len();
        }
        self.numbers.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Makes room for `len` numbers; what stood there before is unspecified.
    pub fn resize(&mut self, len: usize) {
        #[cfg(feature = "cuda")]
        if let Some(memory) = &mut self.memory {
            return memory.resize(len);
        }
        self.numbers.resize(len);
    }

    /// Sets every number.
    pub fn fill(&mut self, value: f32) {
        #[cfg(feature = "cuda")]
        if let Some(memory) = &mut self.memory {
            return memory.fill(0, memory.len(), value);
        }
        let pieces = self.numbers.par_chunks_mut(FILLED_TOGETHER);
        run(pieces.len() * FILLED_TOGETHER, pieces, |numbers| numbers.fill(value));
    }

    /// Becomes `len` zeros on the device of `other`.
    pub fn zero_beside(&mut self, other: &Self, len: usize) {
        #[cfg(feature = "cuda")]
        if let Some(gpu) = other.gpu() {
            self.room(gpu, len);
        } else {
            self.memory = None;
        }
        self.precision = other.precision;
        self.resize(len);
        self.fill(0.0);
    }

    /// Becomes a copy of `other`, on its device.
    pub fn copy_from(&mut self, other: &Self) {
        #[cfg(feature = "cuda")]
        if let Some(from) = &other.memory {
            let len = from.len();
            self.on(from.gpu(), len).copy(0, from, 0, len);
            return;
        }
        #[cfg(feature = "cuda")]
        {
            self.memory = None;
        }
        self.precision = other.precision;
        self.numbers.resize(other.numbers.len());
        self.numbers.copy_from_slice(&other.numbers);
    }

    /// The numbers, where they stand or brought to the host.
    pub fn read(&self) -> Cow<'_, [f32]> {
        #[cfg(feature = "cuda")]
        if self.memory.is_some() {
            return Cow::Owned(self.to_vec());
        }
        Cow::Borrowed(&self.numbers)
    }

    /// The numbers, brought to the host.
    pub fn to_vec(&self) -> Vec<f32> {
        self.part_to_vec(0..self.len())
    }

    /// Some of the numbers, brought to the host.
    pub(super) fn part_to_vec(&self, part: Range<usize>) -> Vec<f32> {
        #[cfg(feature = "cuda")]
        if let Some(memory) = &self.memory {
            assert!(part.end <= memory.len());
            return memory.read(part.start, part.len());
        }
        self.numbers[part].to_vec()
    }

    /// Sets the numbers from `from` on.
    pub(super) fn write_part(&mut self, from: usize, numbers: &[f32]) {
        #[cfg(feature = "cuda")]
        if let Some(memory) = &mut self.memory {
            assert!(from + numbers.len() <= memory.len());
            return memory.write(from, numbers);
        }
        self.numbers[from..from + numbers.len()].copy_from_slice(numbers);
    }

    /// Sets some of the numbers to one value.
    pub(super) fn fill_part(&mut self, part: Range<usize>, value: f32) {
        #[cfg(feature = "cuda")]
        if let Some(memory) = &mut self.memory {
            assert!(part.end <= memory.len());
            return memory.fill(part.start, part.len(), value);
        }
        self.numbers[part].fill(value);
    }

    /// Copies some of the numbers of `other`, on the same device, to the same places.
    pub(super) fn copy_part(&mut self, part: Range<usize>, other: &Self) {
        #[cfg(feature = "cuda")]
        if let (Some(memory), Some(from)) = (&mut self.memory, &other.memory) {
            assert!(part.end <= memory.len() && part.end <= from.len());
            return memory.copy(part.start, from, part.start, part.len());
        }
        self.numbers[part.clone()].copy_from_slice(&other.numbers[part]);
    }

    /// The numbers in the host's memory.
    ///
    /// # Panics
    /// If they stand on a GPU: an operation that forgot to hand over.
    pub fn cpu(&self) -> &[f32] {
        #[cfg(feature = "cuda")]
        assert!(self.memory.is_none(), "numbers on a GPU are no slice of the host");
        &self.numbers
    }

    /// The numbers in the host's memory, to be written.
    ///
    /// # Panics
    /// As [`Buffer::cpu`].
    pub fn cpu_mut(&mut self) -> &mut [f32] {
        #[cfg(feature = "cuda")]
        assert!(self.memory.is_none(), "numbers on a GPU are no slice of the host");
        &mut self.numbers
    }
}

#[cfg(feature = "cuda")]
impl Buffer {
    /// The GPU that the numbers stand on, if they do.
    pub(super) fn gpu(&self) -> Option<&'static Gpu> {
        self.memory.as_ref().map(Memory::gpu)
    }

    /// The numbers' place on their GPU.
    pub(super) fn pointer(&self) -> u64 {
        self.memory.as_ref().map_or(0, Memory::pointer)
    }

    /// The same for one whose results meet a linear map: where they stand, and where in bfloat16 too, or 0 if
    /// no product rounds its factors.
    pub(super) fn room_rounded(&mut self, gpu: &'static Gpu, len: usize) -> [u64; 2] {
        let memory = self.on(gpu, len);
        [memory.pointer(), if gpu.rounds_to_bf16() { memory.room_rounded() } else { 0 }]
    }

    /// The place of the numbers in bfloat16 on their GPU.
    pub(super) fn rounded(&self) -> u64 {
        self.memory.as_ref().map_or(0, |memory| memory.rounded(0..memory.len()))
    }

    /// The memory of numbers on a GPU.
    pub(super) fn memory(&self) -> Option<&Memory> {
        self.memory.as_ref()
    }

    /// Moves to this GPU and makes room for `len` numbers; what stood there before is unspecified,
    /// but stays where neither device nor length change.
    pub(super) fn on(&mut self, gpu: &'static Gpu, len: usize) -> &mut Memory {
        if self.memory.as_ref().is_none_or(|memory| memory.gpu().device() != gpu.device()) {
            self.numbers = Aligned::default();
            self.memory = None;
        }
        let memory = self.memory.get_or_insert_with(|| Memory::new(gpu, len));
        memory.resize(len);
        memory
    }

    /// [`Buffer::on`], for a kernel that writes there.
    pub(super) fn room(&mut self, gpu: &'static Gpu, len: usize) -> u64 {
        self.on(gpu, len).pointer()
    }
}
