//! The parameters that train: one buffer for all of them, with the member axis.

use std::borrow::Cow;
use std::sync::Arc;

use super::Buffer;
use super::frozen::Weights;
use crate::device::{Device, Precision};

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
    buffer: Buffer,
}

impl Arena {
    /// Zeros for `members` members.
    pub fn zeros(device: Device, layout: Arc<Layout>, members: usize) -> Self {
        let buffer = Buffer::zeros(device, layout.len() * members);
        Self { layout, members, buffer }
    }

    /// Names, shapes and places.
    pub fn layout(&self) -> &Arc<Layout> {
        &self.layout
    }

    /// K.
    pub fn members(&self) -> usize {
        self.members
    }

    /// All numbers, `[K, P]`.
    pub fn buffer(&self) -> &Buffer {
        &self.buffer
    }

    /// All numbers, `[K, P]`, to be written.
    pub fn buffer_mut(&mut self) -> &mut Buffer {
        &mut self.buffer
    }

    /// One parameter of all members.
    pub fn param(&self, slot: Slot) -> Param<'_> {
        let (offset, len, stride) = (slot.offset, slot.len, self.layout.len());
        Param { buffer: &self.buffer, halves: &[], offset, len, stride }
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
        #[cfg(feature = "cuda")]
        if self.buffer.gpu().is_some() {
            let apart = |a: Slot, b: Slot| a.offset + a.len <= b.offset || b.offset + b.len <= a.offset;
            assert!(a.zip(b).is_none_or(|(a, b)| apart(a, b)), "parameters overlap");
            let (base, stride) = (self.buffer.pointer(), self.layout.len());
            let precision = self.buffer.device().precision();
            let place = |slot: Slot| ParamMut {
                members: Vec::new(),
                precision,
                place: Some(Place { pointer: base + 4 * slot.offset as u64, stride }),
            };
            return (a.map(place), b.map(place));
        }
        let precision = self.buffer.device().precision();
        let mut parts = [a, b].map(|slot| slot.map(|_| ParamMut::of_host(self.members, precision)));
        for numbers in self.buffer.cpu_mut().chunks_exact_mut(self.layout.len().max(1)) {
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
            let start = member * self.layout.len() + slot.offset;
            return Cow::Owned(self.buffer.part_to_vec(start..start + slot.len));
        }
        Cow::Borrowed(self.param(slot).cpu(member))
    }

    /// Sets one member's numbers of one parameter from the host; as many as it has.
    pub fn write(&mut self, slot: Slot, member: usize, numbers: &[f32]) {
        assert_eq!(numbers.len(), slot.len);
        self.buffer.write_part(member * self.layout.len() + slot.offset, numbers);
    }

    /// All numbers, `[K, P]`, brought to the host.
    pub fn read_all(&self) -> Cow<'_, [f32]> {
        match self.buffer.device() {
            Device::Cpu(_) => Cow::Borrowed(self.buffer.cpu()),
            #[cfg(feature = "cuda")]
            Device::Cuda(..) => Cow::Owned(self.buffer.to_vec()),
        }
    }

    /// All parameters of one member, `[P]`, brought to the host.
    pub fn read_member(&self, member: usize) -> Vec<f32> {
        self.buffer.part_to_vec(self.range(member))
    }

    /// Sets all parameters of one member, `[P]`, from the host.
    pub fn write_member(&mut self, member: usize, numbers: &[f32]) {
        assert_eq!(numbers.len(), self.layout.len());
        self.buffer.write_part(self.range(member).start, numbers);
    }

    /// Sets all parameters of one member to one value.
    pub fn fill_member(&mut self, member: usize, value: f32) {
        self.buffer.fill_part(self.range(member), value);
    }

    /// Takes one member's parameters over from an arena of the same layout, members and device.
    pub fn copy_member(&mut self, member: usize, from: &Self) {
        self.buffer.copy_part(self.range(member), &from.buffer);
    }

    fn range(&self, member: usize) -> std::ops::Range<usize> {
        let len = self.layout.len();
        member * len..(member + 1) * len
    }

    /// All parameters of one member, `[P]`.
    pub fn member(&self, member: usize) -> &[f32] {
        let len = self.layout.len();
        &self.buffer.cpu()[member * len..(member + 1) * len]
    }

    /// All parameters of one member, `[P]`, to be written.
    pub fn member_mut(&mut self, member: usize) -> &mut [f32] {
        let len = self.layout.len();
        &mut self.buffer.cpu_mut()[member * len..(member + 1) * len]
    }
}

/// One parameter of K members as an operation reads it.
#[derive(Clone, Copy, Debug)]
pub struct Param<'a> {
    buffer: &'a Buffer,
    /// One of a member, where a frozen matrix is kept as bfloat16; `buffer` is empty then.
    halves: &'a [Vec<u8>],
    offset: usize,
    len: usize,
    stride: usize,
}

impl<'a> Param<'a> {
    /// A frozen parameter of so many numbers a member.
    pub(super) fn frozen(buffer: &'a Buffer, halves: &'a [Vec<u8>], len: usize) -> Self {
        Self { buffer, halves, offset: 0, len, stride: len }
    }

    /// What its products round their factors to.
    pub(super) fn precision(self) -> Precision {
        self.buffer.device().precision()
    }

    /// One member's matrix in the host's memory, as it is kept.
    pub(super) fn weights(self, member: usize) -> Weights<'a> {
        match self.halves.get(member) {
            Some(bytes) => Weights::Bf16(bytes.as_chunks().0),
            None => Weights::F32(self.cpu(member)),
        }
    }

    /// One member's numbers in the host's memory.
    ///
    /// # Panics
    /// If they are those of a frozen matrix that is kept as bfloat16: [`super::linear`] reads these.
    pub fn cpu(self, member: usize) -> &'a [f32] {
        debug_assert!(self.halves.is_empty(), "a matrix of bfloat16 is read by linear maps alone");
        let start = self.offset + member * self.stride;
        &self.buffer.cpu()[start..start + self.len]
    }

    /// The members from this one on.
    #[must_use]
    pub fn from_member(self, first: usize) -> Self {
        let halves = self.halves.get(first..).unwrap_or_default();
        Self { halves, offset: self.offset + first * self.stride, ..self }
    }

    /// Numbers of one member.
    pub fn len(self) -> usize {
        self.len
    }

    /// Whether it has none.
    pub fn is_empty(self) -> bool {
        self.len == 0
    }
}

fn push<'a>(part: &mut Option<ParamMut<'a>>, numbers: &'a mut [f32]) {
    if let Some(part) = part {
        part.members.push(numbers);
    }
}

#[cfg(feature = "cuda")]
impl Param<'_> {
    /// The GPU that it stands on, if it does.
    pub(super) fn gpu(self) -> Option<&'static super::cuda::Gpu> {
        self.buffer.gpu()
    }

    /// Where member 0's numbers stand on their GPU.
    pub(super) fn pointer(self) -> u64 {
        self.buffer.pointer() + 4 * self.offset as u64
    }

    /// Numbers from one member to the next.
    pub(super) fn stride(self) -> usize {
        self.stride
    }
}

/// One parameter's gradient (or value) of K members as an operation writes it.
#[derive(Debug)]
pub struct ParamMut<'a> {
    members: Vec<&'a mut [f32]>,
    precision: Precision,
    /// Where it stands, on a GPU; `members` is empty then.
    #[cfg(feature = "cuda")]
    place: Option<Place>,
}

/// A parameter on a GPU. The borrow of the arena, by which it came about, keeps the memory.
#[cfg(feature = "cuda")]
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    /// Of member 0.
    pub(super) pointer: u64,
    /// Numbers from one member to the next.
    pub(super) stride: usize,
}

#[cfg(feature = "cuda")]
impl ParamMut<'_> {
    /// Where it stands on its GPU.
    ///
    /// # Panics
    /// If it stands in the host's memory, while the operation's other numbers are on a GPU.
    pub(super) fn place(&self) -> Place {
        self.place.expect("one operation's numbers stand on one device")
    }
}

impl ParamMut<'_> {
    fn of_host(members: usize, precision: Precision) -> Self {
        Self {
            members: Vec::with_capacity(members),
            precision,
            #[cfg(feature = "cuda")]
            place: None,
        }
    }

    /// What products that are added to it round their factors to.
    pub(super) fn precision(&self) -> Precision {
        self.precision
    }

    /// The members from this one on.
    #[must_use]
    pub fn from_member(mut self, first: usize) -> Self {
        #[cfg(feature = "cuda")]
        if let Some(place) = &mut self.place {
            place.pointer += 4 * (first * place.stride) as u64;
            return self;
        }
        self.members.drain(..first);
        self
    }

    /// One member's numbers in the host's memory.
    pub fn cpu(&mut self, member: usize) -> &mut [f32] {
        self.members[member]
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
}
