//! One parameter of K members, as an operation reads it and as it writes its gradient.

use super::Buffer;
use super::arena::fill_with_zeros;
#[cfg(feature = "cuda")]
use super::cuda::Gpu;
use super::frozen::Weights;
use crate::device::Precision;

/// One parameter of K members as an operation reads it.
#[derive(Clone, Copy, Debug)]
pub struct Param<'a> {
    buffer: &'a Buffer,
    /// One of a member, where a frozen matrix is kept as bfloat16; `buffer` is empty then.
    halves: &'a [Vec<u8>],
    offset: usize,
    len: usize,
    stride: usize,
    /// Whether the buffer holds bfloat16, on a GPU.
    #[cfg(feature = "cuda")]
    narrow: bool,
}

impl<'a> Param<'a> {
    /// `len` numbers from `offset` on, `stride` numbers from one member to the next.
    pub(super) fn new(buffer: &'a Buffer, offset: usize, len: usize, stride: usize) -> Self {
        Self { offset, stride, ..Self::frozen(buffer, &[], len) }
    }

    /// A frozen parameter of so many numbers a member.
    pub(super) fn frozen(buffer: &'a Buffer, halves: &'a [Vec<u8>], len: usize) -> Self {
        Self {
            buffer,
            halves,
            offset: 0,
            len,
            stride: len,
            #[cfg(feature = "cuda")]
            narrow: false,
        }
    }

    /// A frozen matrix of bfloat16 on a GPU, `stride` numbers from one member to the next.
    #[cfg(feature = "cuda")]
    pub(super) fn narrow(buffer: &'a Buffer, len: usize, stride: usize) -> Self {
        Self { stride, narrow: true, ..Self::frozen(buffer, &[], len) }
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

#[cfg(feature = "cuda")]
impl Param<'_> {
    /// The GPU that it stands on, if it does.
    pub(super) fn gpu(self) -> Option<&'static super::cuda::Gpu> {
        self.buffer.gpu()
    }

    /// Where member 0's numbers stand on their GPU.
    pub(super) fn pointer(self) -> u64 {
        let bytes = if self.narrow { 2 } else { 4 };
        self.buffer.pointer() + bytes * self.offset as u64
    }

    /// Where one that may be absent stands, 0 for nowhere, and numbers from one member to the next.
    pub(super) fn place_of(param: Option<Self>) -> (u64, u64) {
        param.map_or((0, 0), |param| (param.pointer(), param.stride() as u64))
    }

    /// Where member 0's numbers stand in bfloat16: [`super::linear`] alone reads these.
    pub(super) fn rounded(self) -> u64 {
        let memory = self.buffer.memory().filter(|_| !self.narrow);
        memory.map_or(self.pointer(), |memory| memory.rounded(self.offset..self.offset + self.len))
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
    /// Whether zeros are meant, a member; empty where none ever are.
    stale: Vec<&'a mut bool>,
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
    /// Numbers of one member.
    pub(super) len: usize,
}

#[cfg(feature = "cuda")]
impl ParamMut<'_> {
    /// It is one on a GPU.
    pub(super) fn stand_at(&mut self, place: Place) {
        self.place = Some(place);
    }

    /// Where it stands on its GPU, for an operation that adds to the numbers of so many members.
    ///
    /// # Panics
    /// If it stands in the host's memory, while the operation's other numbers are on a GPU.
    pub(super) fn place(&mut self, gpu: &Gpu, members: usize) -> Place {
        let place = self.place.expect("one operation's numbers stand on one device");
        for (member, stale) in self.stale.iter_mut().take(members).enumerate() {
            if std::mem::take(&mut **stale) {
                gpu.zero(place.pointer + 4 * (member * place.stride) as u64, place.len);
            }
        }
        place
    }

    /// The same for one that writes all their numbers, and whether it adds to what stands there.
    ///
    /// # Panics
    /// As [`ParamMut::place`].
    pub(super) fn place_to_write(&mut self, gpu: &Gpu, members: usize) -> (Place, bool) {
        match self.stale.get_mut(..members) {
            Some(stale) if stale.iter().all(|stale| **stale) => {
                for stale in stale {
                    **stale = false;
                }
            }
            _ => return (self.place(gpu, members), true),
        }
        (self.place(gpu, members), false)
    }
}

impl<'a> ParamMut<'a> {
    /// Of so many members; where they stand is told afterwards.
    pub(super) fn new(members: usize, precision: Precision) -> Self {
        Self {
            members: Vec::with_capacity(members),
            stale: Vec::new(),
            precision,
            #[cfg(feature = "cuda")]
            place: None,
        }
    }

    /// The next member's numbers in the host's memory.
    pub(super) fn push(&mut self, numbers: &'a mut [f32]) {
        self.members.push(numbers);
    }

    /// The next member's flag.
    pub(super) fn push_flag(&mut self, stale: &'a mut bool) {
        self.stale.push(stale);
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
        }
        self.members.drain(..first.min(self.members.len()));
        self.stale.drain(..first.min(self.stale.len()));
        self
    }

    /// One member's numbers in the host's memory.
    pub fn cpu(&mut self, member: usize) -> &mut [f32] {
        if let (numbers, true) = self.overwritten(member) {
            fill_with_zeros(numbers);
        }
        self.members[member]
    }

    /// The same, and whether they are of the past: then all of them must be written, and none read.
    pub(super) fn overwritten(&mut self, member: usize) -> (&mut [f32], bool) {
        let stale = self.stale.get_mut(member).is_some_and(|stale| std::mem::take(*stale));
        (self.members[member], stale)
    }
}
