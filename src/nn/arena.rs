//! The parameters that train: one buffer for all of them, with the member axis.

use std::borrow::Cow;
use std::sync::Arc;

use rayon::prelude::*;

use super::Buffer;
use super::buffer::FILLED_TOGETHER;
use super::parallel::{LOOKED_AT, all_zero, run, widest};
#[cfg(feature = "cuda")]
use super::param::Place;
use super::{Param, ParamMut};
use crate::device::Device;

/// Where one trainable parameter stands within each member's part of an [`Arena`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Slot {
    /// First number, counted from the start of a member's part.
    pub offset: usize,
    /// How many numbers.
    pub len: usize,
}

/// A named parameter of a [`Layout`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Unique within the layout.
    pub name: String,
    /// Row-major shape of one member's parameter.
    pub shape: Vec<usize>,
    /// Its place.
    pub slot: Slot,
}

/// Names, shapes and places of all trainable parameters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    entries: Vec<Entry>,
    len: usize,
}

impl Layout {
    /// Appends a parameter. Names are unique by the caller's construction (checked in debug builds).
    pub fn push(&mut self, name: impl Into<String>, shape: &[usize]) -> Slot {
        let name = name.into();
        debug_assert!(self.find(&name).is_none(), "parameter `{name}` twice");
        let slot = Slot { offset: self.len, len: shape.iter().product() };
        self.len += slot.len;
        self.entries.push(Entry { name, shape: shape.to_vec(), slot });
        slot
    }

    /// All parameters in the order of their places.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The parameter with this name.
    pub fn find(&self, name: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.name == name)
    }

    /// Which entry a slot is.
    fn place(&self, slot: Slot) -> usize {
        let key = |slot: Slot| (slot.offset, slot.len);
        let found = self.entries.binary_search_by_key(&key(slot), |entry| key(entry.slot));
        found.expect("a slot is one of the layout that gave it")
    }

    /// Numbers of one member.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing trains.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

/// One number for every trainable parameter of K members, `[K, P]`: the values themselves, their
/// gradients, or one of Adam's moments.
#[derive(Clone, Debug)]
pub struct Arena {
    layout: Arc<Layout>,
    members: usize,
    /// Numbers from one member's first to the next one's, P or more.
    stride: usize,
    buffer: Buffer,
    /// Of every member's every parameter, `[K, entries]`: whether what stands there is of the past, and
    /// zero is meant. Empty where no parameter is.
    stale: Vec<bool>,
}

impl Arena {
    /// Zeros for `members` members.
    pub fn zeros(device: Device, layout: Arc<Layout>, members: usize) -> Self {
        let stride = stride(device, &layout);
        let buffer = Buffer::zeros(device, stride * members);
        Self { layout, members, stride, buffer, stale: Vec::new() }
    }

    /// All numbers, `[K, P]`, moved to the device.
    ///
    /// # Panics
    /// If there are more or fewer than the layout has.
    pub fn from_numbers(device: Device, layout: Arc<Layout>, members: usize, numbers: Vec<f32>) -> Self {
        let (len, stride) = (layout.len(), stride(device, &layout));
        assert_eq!(numbers.len(), len * members);
        if stride == len {
            let buffer = Buffer::from_vec(device, numbers);
            return Self { layout, members, stride, buffer, stale: Vec::new() };
        }
        let mut arena = Self::zeros(device, layout, members);
        for member in 0..members {
            arena.write_member(member, &numbers[member * len..(member + 1) * len]);
        }
        arena
    }

    /// Sets all numbers to zero, each when it is first written: products overwrite what they would
    /// otherwise read and add to. Until [`Arena::settle`] nothing may be read.
    pub fn forget(&mut self) {
        self.stale.clear();
        self.stale.resize(self.members * self.layout.entries.len(), true);
    }

    /// Ends what [`Arena::forget`] began: what nobody has written since becomes zero.
    pub fn settle(&mut self) {
        if self.stale.is_empty() {
            return;
        }
        let entries = &self.layout.entries;
        for (member, stale) in self.stale.chunks_exact(entries.len()).enumerate() {
            for (entry, _) in entries.iter().zip(stale).filter(|(_, stale)| **stale) {
                let start = member * self.stride + entry.slot.offset;
                let part = start..start + entry.slot.len;
                match self.buffer.device() {
                    Device::Cpu(_) => fill_with_zeros(&mut self.buffer.cpu_mut()[part]),
                    #[cfg(feature = "cuda")]
                    Device::Cuda(..) => self.buffer.fill_part(part, 0.0),
                }
            }
        }
        self.stale.clear();
    }

    /// Names, shapes and places.
    pub fn layout(&self) -> &Arc<Layout> {
        &self.layout
    }

    /// K.
    pub fn members(&self) -> usize {
        self.members
    }

    /// Numbers from one member's first to the next one's: P in the host's memory, and on a GPU as many
    /// more as let every member begin where its products read whole lines of memory.
    #[cfg(feature = "cuda")]
    pub(super) fn stride(&self) -> usize {
        self.stride
    }

    /// All numbers, `[K, P]`; on a GPU `[K, stride]`.
    pub fn buffer(&self) -> &Buffer {
        debug_assert!(self.stale.is_empty(), "read before it was settled");
        &self.buffer
    }

    /// The same, to be written.
    pub fn buffer_mut(&mut self) -> &mut Buffer {
        self.settle();
        &mut self.buffer
    }

    /// One parameter of all members.
    pub fn param(&self, slot: Slot) -> Param<'_> {
        debug_assert!(self.stale.is_empty(), "read before it was settled");
        Param::new(&self.buffer, slot.offset, slot.len, self.stride)
    }

    /// One parameter of all members, to be written.
    pub fn param_mut(&mut self, slot: Slot) -> ParamMut<'_> {
        self.params_mut([Some(slot), None]).0.expect("a slot gives a parameter")
    }

    /// Up to two different parameters of all members, to be written by one operation.
    ///
    /// # Panics
    /// If they overlap.
    pub fn params_mut(&mut self, slots: [Option<Slot>; 2]) -> (Option<ParamMut<'_>>, Option<ParamMut<'_>>) {
        let [a, b] = slots;
        let precision = self.buffer.device().precision();
        let mut parts = [a, b].map(|slot| slot.map(|_| ParamMut::new(self.members, precision)));
        if !self.stale.is_empty() {
            let places = [a, b].map(|slot| slot.map(|slot| self.layout.place(slot)));
            for stale in self.stale.chunks_exact_mut(self.layout.entries.len()) {
                let (a, b) = flags(stale, places);
                for (part, flag) in parts.iter_mut().zip([a, b]) {
                    if let (Some(part), Some(flag)) = (part, flag) {
                        part.push_flag(flag);
                    }
                }
            }
        }
        #[cfg(feature = "cuda")]
        if let Some(gpu) = self.buffer.gpu() {
            let start = self.buffer.room(gpu, self.buffer.len());
            let apart = |a: Slot, b: Slot| a.offset + a.len <= b.offset || b.offset + b.len <= a.offset;
            assert!(a.zip(b).is_none_or(|(a, b)| apart(a, b)), "parameters overlap");
            for (part, slot) in parts.iter_mut().zip([a, b]) {
                if let (Some(part), Some(Slot { offset, len })) = (part, slot) {
                    let pointer = start + 4 * offset as u64;
                    part.stand_at(Place { pointer, stride: self.stride, len });
                }
            }
            let [a, b] = parts;
            return (a, b);
        }
        for numbers in self.buffer.cpu_mut().chunks_exact_mut(self.stride.max(1)) {
            let [first, second] = &mut parts;
            match (a, b) {
                (Some(a), Some(b)) if a.offset < b.offset => {
                    let (low, high) = numbers.split_at_mut(b.offset);
                    push(first, &mut low[a.offset..a.offset + a.len]);
                    push(second, &mut high[..b.len]);
                }
                (Some(a), Some(b)) => {
                    let (low, high) = numbers.split_at_mut(a.offset);
                    push(second, &mut low[b.offset..b.offset + b.len]);
                    push(first, &mut high[..a.len]);
                }
                (Some(a), None) => push(first, &mut numbers[a.offset..a.offset + a.len]),
                (None, Some(b)) => push(second, &mut numbers[b.offset..b.offset + b.len]),
                (None, None) => {}
            }
        }
        let [a, b] = parts;
        (a, b)
    }

    /// One member's numbers of one parameter, brought to the host.
    pub fn read(&self, slot: Slot, member: usize) -> Cow<'_, [f32]> {
        #[cfg(feature = "cuda")]
        if self.buffer.gpu().is_some() {
            let start = member * self.stride + slot.offset;
            return Cow::Owned(self.buffer.part_to_vec(start..start + slot.len));
        }
        Cow::Borrowed(self.param(slot).cpu(member))
    }

    /// Sets one member's numbers of one parameter from the host; as many as it has.
    pub fn write(&mut self, slot: Slot, member: usize, numbers: &[f32]) {
        self.settle();
        assert_eq!(numbers.len(), slot.len);
        self.buffer.write_part(member * self.stride + slot.offset, numbers);
    }

    /// All numbers, `[K, P]`, brought to the host.
    pub fn read_all(&self) -> Cow<'_, [f32]> {
        debug_assert!(self.stale.is_empty(), "read before it was settled");
        match self.buffer.device() {
            Device::Cpu(_) => Cow::Borrowed(self.buffer.cpu()),
            #[cfg(feature = "cuda")]
            Device::Cuda(..) => (0..self.members).flat_map(|member| self.read_member(member)).collect(),
        }
    }

    /// All parameters of one member, `[P]`, brought to the host.
    pub fn read_member(&self, member: usize) -> Vec<f32> {
        debug_assert!(self.stale.is_empty(), "read before it was settled");
        self.buffer.part_to_vec(self.range(member))
    }

    /// Sets all parameters of one member, `[P]`, from the host.
    pub fn write_member(&mut self, member: usize, numbers: &[f32]) {
        self.settle();
        assert_eq!(numbers.len(), self.layout.len());
        self.buffer.write_part(self.range(member).start, numbers);
    }

    /// Sets all parameters of one member to one value.
    pub fn fill_member(&mut self, member: usize, value: f32) {
        self.settle();
        self.buffer.fill_part(self.range(member), value);
    }

    /// Takes one member's parameters over from an arena of the same layout, members and device.
    pub fn copy_member(&mut self, member: usize, from: &Self) {
        self.settle();
        self.buffer.copy_part(self.range(member), &from.buffer);
    }

    fn range(&self, member: usize) -> std::ops::Range<usize> {
        let start = member * self.stride;
        start..start + self.layout.len()
    }

    /// All parameters of one member, `[P]`.
    pub fn member(&self, member: usize) -> &[f32] {
        debug_assert!(self.stale.is_empty(), "read before it was settled");
        &self.buffer.cpu()[self.range(member)]
    }

    /// All parameters of one member, `[P]`, to be written.
    pub fn member_mut(&mut self, member: usize) -> &mut [f32] {
        self.settle();
        let part = self.range(member);
        &mut self.buffer.cpu_mut()[part]
    }
}

/// Numbers from one member's first to the next one's.
fn stride(device: Device, layout: &Layout) -> usize {
    /// Numbers of a line of a GPU's memory; products fall back on slow forms where members do not begin
    /// at a multiple of 16 bytes.
    #[cfg(feature = "cuda")]
    const LINE: usize = 32;
    match device {
        Device::Cpu(_) => layout.len(),
        #[cfg(feature = "cuda")]
        Device::Cuda(..) => layout.len().next_multiple_of(LINE),
    }
}

/// Two different flags, or one.
fn flags(flags: &mut [bool], places: [Option<usize>; 2]) -> (Option<&mut bool>, Option<&mut bool>) {
    match places {
        [Some(a), Some(b)] => {
            let [a, b] = flags.get_disjoint_mut([a, b]).expect("parameters overlap");
            (Some(a), Some(b))
        }
        [a, b] => {
            let flag = a.or(b).map(|place| &mut flags[place]);
            if a.is_some() { (flag, None) } else { (None, flag) }
        }
    }
}

/// On all threads.
pub(super) fn fill_with_zeros(numbers: &mut [f32]) {
    let pieces = numbers.par_chunks_mut(FILLED_TOGETHER);
    run(pieces.len() * FILLED_TOGETHER, pieces, clear);
}

widest! {
    /// Zeros are read only: most rows of a table of words have no gradient in a step, and what has never
    /// been written takes no memory.
    fn clear(numbers: &mut [f32]) {
        for part in numbers.chunks_mut(LOOKED_AT) {
            if !all_zero(part) {
                part.fill(0.0);
            }
        }
    }
}

fn push<'a>(part: &mut Option<ParamMut<'a>>, numbers: &'a mut [f32]) {
    if let Some(part) = part {
        part.push(numbers);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_and_parameters_do_not_overlap() {
        let mut layout = Layout::default();
        let a = layout.push("a", &[2, 3]);
        let b = layout.push("b", &[4]);
        let mut arena = Arena::zeros(Device::CPU, Arc::new(layout), 2);
        arena.param_mut(a).cpu(1).fill(1.0);
        arena.param_mut(b).cpu(0).fill(2.0);
        assert_eq!(arena.member(0), [0., 0., 0., 0., 0., 0., 2., 2., 2., 2.]);
        assert_eq!(arena.member(1), [1., 1., 1., 1., 1., 1., 0., 0., 0., 0.]);
        assert_eq!(arena.param(b).cpu(0), [2.0; 4]);
    }

    #[test]
    fn what_is_forgotten_is_zero_where_nobody_writes() {
        let mut layout = Layout::default();
        let _ = layout.push("nothing", &[0]);
        let [a, b, c] = ["a", "b", "c"].map(|name| layout.push(name, &[2]));
        let mut arena = Arena::zeros(Device::CPU, Arc::new(layout), 2);
        for member in 0..2 {
            arena.fill_member(member, 7.0);
        }
        arena.forget();
        // added to, member by member
        arena.param_mut(a).from_member(1).cpu(0)[1] += 3.0;
        let (first, second) = arena.params_mut([Some(c), Some(b)]);
        assert_eq!(first.expect("c").cpu(0), [0.0; 2]);
        // overwritten, once
        let mut b_again = second.expect("b");
        let (numbers, stale) = b_again.overwritten(0);
        numbers.fill(5.0);
        assert!(stale && !b_again.overwritten(0).1);
        arena.settle();
        assert_eq!(arena.member(0), [0., 0., 5., 5., 0., 0.]);
        assert_eq!(arena.member(1), [0., 3., 0., 0., 0., 0.]);
        assert_eq!(arena.param_mut(b).cpu(0), [5.0; 2]);
    }
}
