//! Numbers in a device's memory.

use super::Gpu;
use super::gpu::arguments;

/// A run of f32 numbers on a device; keeps what it once held when it shrinks.
#[derive(Debug)]
pub(in crate::nn) struct Memory {
    gpu: &'static Gpu,
    pointer: u64,
    capacity: usize,
    len: usize,
}

impl Memory {
    /// `len` numbers that nobody has set.
    pub(in crate::nn) fn new(gpu: &'static Gpu, len: usize) -> Self {
        let mut memory = Self { gpu, pointer: 0, capacity: 0, len: 0 };
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

    /// Makes room for `len` numbers; what stood there before is unspecified.
    pub(in crate::nn) fn resize(&mut self, len: usize) {
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
        self.gpu.upload(numbers, self.pointer + 4 * from as u64);
    }

    /// Copies `len` numbers of `other` from `from` on to `to` on.
    pub(in crate::nn) fn copy(&mut self, to: usize, other: &Self, from: usize, len: usize) {
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
