//! Numbers in a device's memory.

use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use super::gpu::arguments;
use super::{Gpu, QUAD};

/// A run of f32 numbers on a device; keeps what it once held when it shrinks.
#[derive(Debug)]
pub(in crate::nn) struct Memory {
    gpu: &'static Gpu,
    pointer: u64,
    capacity: usize,
    len: usize,
    /// Behind a lock, since products round what they read.
    rounded: Mutex<Rounded>,
}

/// The numbers of a [`Memory`] in bfloat16.
#[derive(Debug, Default)]
struct Rounded {
    /// Two in the place of an f32; none before a product asks for them.
    halves: Option<Box<Memory>>,
    /// Whether the numbers have not been written since.
    current: bool,
}

impl Memory {
    /// `len` numbers that nobody has set.
    pub(in crate::nn) fn new(gpu: &'static Gpu, len: usize) -> Self {
        let mut memory = Self { gpu, pointer: 0, capacity: 0, len: 0, rounded: Mutex::default() };
        memory.grow(len);
        memory
    }

    /// Bytes of several members, whose beginnings are `stride` bytes apart.
    pub(in crate::nn) fn of_bytes(gpu: &'static Gpu, members: &[Vec<u8>], stride: usize) -> Self {
        let memory = Self::new(gpu, (members.len() * stride).div_ceil(4));
        for (member, bytes) in members.iter().enumerate() {
            gpu.upload(bytes, memory.pointer + (member * stride) as u64);
        }
        memory
    }

    pub(in crate::nn) fn gpu(&self) -> &'static Gpu {
        self.gpu
    }

    pub(in crate::nn) fn pointer(&self) -> u64 {
        self.pointer
    }

    pub(in crate::nn) fn len(&self) -> usize {
        self.len
    }

    /// Where some of the numbers stand in bfloat16. All are rounded when a product asks first, and again
    /// after they were written.
    pub(in crate::nn) fn rounded(&self, part: Range<usize>) -> u64 {
        let mut rounded = self.rounded.lock().unwrap_or_else(PoisonError::into_inner);
        let Rounded { halves, current } = &mut *rounded;
        let halves = halves.get_or_insert_with(|| Box::new(Self::new(self.gpu, 0)));
        if !std::mem::replace(current, true) {
            halves.resize(self.len.div_ceil(2));
            let arguments = arguments![self.pointer, halves.pointer, self.len as u64];
            self.gpu.launch_each("narrow", self.len.div_ceil(QUAD), arguments);
        }
        debug_assert!(self.stands_rounded(halves, part.clone()), "written, and not told");
        halves.pointer + 2 * part.start as u64
    }

    /// Where all numbers stand in bfloat16 for a kernel that writes both, 0 if nobody would read them.
    pub(in crate::nn) fn kept_rounded(&self) -> u64 {
        let rounded = self.rounded.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = rounded.halves.as_ref().filter(|_| rounded.current);
        kept.map_or(0, |halves| halves.pointer)
    }

    /// Room for all numbers in bfloat16, for a kernel that writes both.
    pub(in crate::nn) fn room_rounded(&mut self) -> u64 {
        let (gpu, len) = (self.gpu, self.len.div_ceil(2));
        let Rounded { halves, current } = self.rounded.get_mut().unwrap_or_else(PoisonError::into_inner);
        let halves = halves.get_or_insert_with(|| Box::new(Self::new(gpu, 0)));
        halves.resize(len);
        *current = true;
        halves.pointer
    }

    /// Whether the bfloat16 are those of the numbers, or the device has failed.
    fn stands_rounded(&self, halves: &Self, part: Range<usize>) -> bool {
        let mut kept = vec![0_u16; part.len()];
        let numbers = self.read(part.start, part.len());
        let at = halves.pointer + 2 * part.start as u64;
        !self.gpu.download(at, &mut kept)
            || numbers.iter().zip(kept).all(|(x, kept)| {
                let kept = half::bf16::from_bits(kept);
                half::bf16::from_f32(*x) == kept || x.is_nan() && kept.is_nan()
            })
    }

    /// The numbers are about to be written.
    fn written(&mut self) {
        self.rounded.get_mut().unwrap_or_else(PoisonError::into_inner).current = false;
    }

    /// Makes room for `len` numbers, which the caller writes; what stood there before is unspecified.
    pub(in crate::nn) fn resize(&mut self, len: usize) {
        self.written();
        // batches differ a little in their rows
        self.grow(if len > self.capacity && self.capacity > 0 { len + len / 8 } else { len });
        self.len = len;
    }

    fn grow(&mut self, len: usize) {
        if len > self.capacity {
            self.release();
            self.pointer = self.gpu.allocate(len);
            self.capacity = len;
        }
        self.len = len;
    }

    fn release(&mut self) {
        if self.pointer != 0 {
            self.gpu.free(self.pointer);
        }
        (self.pointer, self.capacity) = (0, 0);
    }

    pub(in crate::nn) fn fill(&mut self, from: usize, len: usize, value: f32) {
        self.written();
        let at = self.pointer + 4 * from as u64;
        if value.to_bits() == 0 {
            self.gpu.zero(at, len);
        } else {
            self.gpu.launch_each("fill", len, arguments![at, value, len as u64]);
        }
    }

    /// The numbers from `from` on; NaN where the device has failed.
    pub(in crate::nn) fn read(&self, from: usize, len: usize) -> Vec<f32> {
        let mut numbers = vec![0.0; len];
        if !self.gpu.download(self.pointer + 4 * from as u64, &mut numbers) {
            numbers.fill(f32::NAN);
        }
        numbers
    }

    /// `len` f64 numbers that begin at the f32 number `from`, which is even.
    pub(in crate::nn) fn read_f64(&self, from: usize, len: usize) -> Vec<f64> {
        let mut numbers = vec![0.0; len];
        if !self.gpu.download(self.pointer + 4 * from as u64, &mut numbers) {
            numbers.fill(f64::NAN);
        }
        numbers
    }

    pub(in crate::nn) fn write(&mut self, from: usize, numbers: &[f32]) {
        self.written();
        self.gpu.upload(numbers, self.pointer + 4 * from as u64);
    }

    /// Copies `len` numbers of `other` from `from` on to `to` on.
    pub(in crate::nn) fn copy(&mut self, to: usize, other: &Self, from: usize, len: usize) {
        self.written();
        self.gpu.copy(other.pointer + 4 * from as u64, self.pointer + 4 * to as u64, len);
    }
}

impl Clone for Memory {
    fn clone(&self) -> Self {
        let mut copy = Self::new(self.gpu, self.len);
        copy.copy(0, self, 0, self.len);
        copy
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        self.release();
    }
}
