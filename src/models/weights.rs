//! Where a model's weights live: in the arena of what trains, or frozen and apart.

use std::ops::Range;

use crate::device::Device;
use crate::error::Failure;
use crate::hub::tensor::{Dtype, TensorSource};
use crate::models::Error;
use crate::models::families::Names;
use crate::models::parameters::{Binding, Origin, Parameters};
use crate::models::tensors::Source;
use crate::nn::frozen::Stored;
use crate::nn::{Arena, Frozen, Layout, Param, ParamMut, Slot};

/// A parameter of a model.
#[derive(Clone, Debug)]
pub enum Weight {
    /// Stands in the arena and has a gradient.
    Trainable(Slot),
    /// Stands apart and has none.
    Frozen(Frozen),
}

impl Weight {
    /// Its numbers.
    pub fn param<'a>(&'a self, values: &'a Arena) -> Param<'a> {
        match self {
            Self::Trainable(slot) => values.param(*slot),
            Self::Frozen(frozen) => frozen.param(),
        }
    }

    /// Its place in the arena, if it trains.
    pub fn slot(&self) -> Option<Slot> {
        match self {
            Self::Trainable(slot) => Some(*slot),
            Self::Frozen(_) => None,
        }
    }

    /// Where its gradient accumulates, if it trains.
    pub fn gradient<'a>(&self, gradients: &'a mut Arena) -> Option<ParamMut<'a>> {
        self.slot().map(|slot| gradients.param_mut(slot))
    }
}

/// How a parameter is kept once it is frozen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The weight of a linear map, `[out, in]`: in the dtype that it is stored in.
    Matrix,
    /// Anything else: norms, biases, tables, in f32.
    Plain,
}

/// The trainable parameters of a model while it is put together.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    layout: Layout,
    bindings: Vec<Binding>,
}

impl Registry {
    /// Registers a parameter that a checkpoint holds. Parts of a fused tensor are told apart by `role`.
    pub fn from_checkpoint(&mut self, role: &str, shape: &[usize], origin: Origin) -> Weight {
        let tensor = origin.name().unwrap_or_default();
        let name = match origin.source().and_then(|source| source.rows.as_ref()) {
            None => tensor,
            Some(_) => format!("{tensor}#{role}"),
        };
        self.push(name, shape, origin)
    }

    /// Registers a parameter that starts from random numbers.
    pub fn fresh(&mut self, name: &str, shape: &[usize]) -> Weight {
        self.push(name.to_owned(), shape, Origin::Fresh)
    }

    /// All of them, once the model is whole.
    pub fn finish(self) -> Parameters {
        Parameters::new(self.layout, self.bindings)
    }

    fn push(&mut self, name: String, shape: &[usize], origin: Origin) -> Weight {
        let slot = self.layout.push(name, shape);
        self.bindings.push(Binding { slot, shape: shape.to_vec(), origin });
        Weight::Trainable(slot)
    }
}

/// Changes the elements of a layer's tensors on their way into a control (random, shuffled); gets
/// the tensor's name in the checkpoint.
pub type Transform<'a> = &'a (dyn Fn(&str, Vec<f32>) -> Vec<f32> + Sync);

/// A checkpoint to read one member's weights from.
#[derive(Clone, Copy)]
pub struct Checkpoint<'a> {
    /// Its tensors.
    pub tensors: &'a dyn TensorSource,
    /// How it spells the names of the model's table.
    pub names: &'a Names,
    /// For controls.
    pub transform: Option<Transform<'a>>,
}

impl Checkpoint<'_> {
    /// Reads a parameter of this shape, `[out, in]` whatever the checkpoint's orientation.
    ///
    /// # Errors
    /// When the tensor is missing, is no float, or has another shape.
    pub fn read(&self, source: &Source, shape: &[usize]) -> Result<Vec<f32>, Failure> {
        Ok(self.read_stored(source, shape)?.into_f32())
    }

    /// The same in the dtype that it is stored in, where that is bfloat16 and nothing changes it on the
    /// way: else in f32.
    ///
    /// # Errors
    /// As [`Checkpoint::read`].
    pub fn read_stored(&self, source: &Source, shape: &[usize]) -> Result<Stored, Failure> {
        let name = self.names.on_disk(source);
        let mut raw = self.tensors.read(&name)?;
        let wrong_shape = |found: &[usize]| Error::TensorShape {
            tensor: name.clone(),
            found: found.to_vec(),
            expected: shape.to_vec(),
        };
        let columns: usize = shape.iter().skip(1).product();
        let rows_wanted = shape.first().copied().unwrap_or(1);
        let (rows_present, columns_present) = match (source.transpose, raw.shape.as_slice()) {
            (true, [inputs, outputs]) => (*outputs, *inputs),
            (true, found) => return Err(wrong_shape(found).into()),
            (false, dims) => (dims.first().copied().unwrap_or(1), dims.iter().skip(1).product()),
        };
        let whole = 0..rows_present;
        let runs = source.rows.as_deref().unwrap_or(std::slice::from_ref(&whole));
        let selected: usize = runs.iter().map(ExactSizeIterator::len).sum();
        let held = raw.rows.clone().unwrap_or(0..rows_present);
        let inside = runs.iter().all(|run| run.start >= held.start && run.end <= held.end);
        if columns_present != columns || selected != rows_wanted || !inside {
            return Err(wrong_shape(&raw.shape).into());
        }
        let all = source.rows.is_none();
        let places = |width: usize| {
            runs.iter().map(move |run| (run.start - held.start) * width..(run.end - held.start) * width)
        };
        if raw.dtype == Dtype::Bf16 && self.transform.is_none() && !source.transpose {
            let bytes = std::mem::take(&mut raw.bytes);
            return Ok(Stored::Bf16(if all { bytes } else { selection(&bytes, places(2 * columns)) }));
        }
        let dtype = raw.dtype.name();
        let mut numbers = raw.to_f32().ok_or_else(|| Error::TensorDtype { tensor: name.clone(), dtype })?;
        if let Some(transform) = self.transform {
            numbers = transform(&name, numbers);
        }
        Ok(Stored::F32(if source.transpose {
            let rows = runs.iter().cloned().flatten();
            let of_row = |row: usize| (0..columns).map(move |column| column * rows_present + row);
            rows.flat_map(of_row).map(|place| numbers[place]).collect()
        } else if all {
            numbers
        } else {
            selection(&numbers, places(columns))
        }))
    }
}

/// Some stretches of a slice, one after another.
fn selection<T: Copy>(all: &[T], places: impl Iterator<Item = Range<usize>>) -> Vec<T> {
    places.fold(Vec::new(), |mut some, place| {
        some.extend_from_slice(&all[place]);
        some
    })
}

/// Frozen parameter of several members.
///
/// # Errors
/// As [`Checkpoint::read`].
pub fn frozen(
    device: Device,
    members: &[(Checkpoint<'_>, &Source)],
    shape: &[usize],
    kind: Kind,
) -> Result<Weight, Failure> {
    let read = members.iter().map(|(checkpoint, source)| checkpoint.read_stored(source, shape));
    let stored = read.collect::<Result<Vec<_>, _>>()?;
    Ok(Weight::Frozen(match kind {
        Kind::Matrix => Frozen::matrices(device, stored),
        Kind::Plain => Frozen::new(device, stored.into_iter().map(Stored::into_f32).collect()),
    }))
}
