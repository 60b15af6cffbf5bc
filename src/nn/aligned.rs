//! Numbers that start at a cache line. Large allocations start 16 bytes behind one, so that every other
//! vector of 32 bytes would cross into the next line, and be read and written at half of the speed.

use std::ops::{Deref, DerefMut};

/// Bytes of a cache line.
const LINE: usize = 64;

/// Numbers that grow by starting anew, at a cache line.
#[derive(Debug, Default)]
pub(super) struct Aligned<T> {
    kept: Vec<T>,
    /// First of `kept` that is used.
    start: usize,
    len: usize,
}

impl<T: Copy + Default> Aligned<T> {
    /// `len` zeros.
    pub(super) fn zeros(len: usize) -> Self {
        let more = LINE / size_of::<T>();
        let kept = vec![T::default(); len + more];
        let start = kept.as_ptr().align_offset(LINE).min(more);
        Self { kept, start, len }
    }

    /// Makes room for `len` numbers. They stay as they were where their number does, or where there is
    /// room; else they are unspecified.
    pub(super) fn resize(&mut self, len: usize) {
        if self.start + len <= self.kept.len() {
            self.len = len;
        } else {
            // the old ones go first
            *self = Self { kept: Vec::new(), start: 0, len: 0 };
            *self = Self::zeros(len);
        }
    }
}

impl<T> From<Vec<T>> for Aligned<T> {
    /// The numbers where they are, at a cache line or not: another place for them, and the time to copy
    /// them, is not worth it for what is read once.
    fn from(kept: Vec<T>) -> Self {
        let len = kept.len();
        Self { kept, start: 0, len }
    }
}

impl<T: Copy + Default> Clone for Aligned<T> {
    fn clone(&self) -> Self {
        let mut copy = Self::zeros(self.len);
        copy.copy_from_slice(self);
        copy
    }
}

impl<T> Deref for Aligned<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.kept[self.start..self.start + self.len]
    }
}

impl<T> DerefMut for Aligned<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.kept[self.start..self.start + self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_start_at_a_line_and_stay() {
        let mut numbers = Aligned::from(vec![1.0_f32, 2.0, 3.0]);
        numbers.resize(2);
        assert_eq!(*numbers, [1.0, 2.0]);
        let copy = numbers.clone();
        numbers.resize(3);
        assert_eq!(*numbers, [1.0, 2.0, 3.0]);
        numbers.resize(1000);
        assert_eq!(numbers.len(), 1000);
        for numbers in [&copy, &numbers, &Aligned::zeros(5)] {
            assert_eq!(numbers.as_ptr().align_offset(LINE), 0);
        }
        assert_eq!(*copy, [1.0, 2.0]);
    }
}
