//! What of a model trains: where it stands in the arena, its first values, and its names in files.

use std::sync::Arc;

use crate::error::Failure;
use crate::hub::tensor::TensorSource;
use crate::models::families::Names;
use crate::models::tensors::Source;
use crate::models::weights::Checkpoint;
use crate::nn::{Arena, Layout, Slot};
use crate::seed::Seed;

/// Where a trainable parameter's first values come from.
#[derive(Clone, Debug, PartialEq)]
pub enum Origin {
    /// Random numbers.
    Fresh,
    /// The small model's checkpoint.
    Encoder(Source),
    /// The LLM's checkpoint: a layer that trains.
    Layer(Source),
}

/// Before the names of a trained layer's tensors, which could be those of the small model too.
const LAYER: &str = "layer.";

impl Origin {
    /// Name and place in its checkpoint.
    pub fn source(&self) -> Option<&Source> {
        match self {
            Self::Fresh => None,
            Self::Encoder(source) | Self::Layer(source) => Some(source),
        }
    }

    /// The name of its tensor among all that train.
    pub(super) fn name(&self) -> Option<String> {
        match self {
            Self::Fresh => None,
            Self::Encoder(source) => Some(source.name.clone()),
            Self::Layer(source) => Some(format!("{LAYER}{}", source.name)),
        }
    }
}

/// A trainable parameter and where its first values come from, or where they are saved to.
#[derive(Clone, Debug, PartialEq)]
pub struct Binding {
    /// Its place in the arena.
    pub slot: Slot,
    /// Shape of its part of the checkpoint's tensor.
    pub shape: Vec<usize>,
    /// Where its first values come from.
    pub origin: Origin,
}

/// A tensor of one member: name, shape, numbers.
pub type Tensor = (String, Vec<usize>, Vec<f32>);

/// The trainable parameters of a model.
#[derive(Clone, Debug)]
pub struct Parameters {
    layout: Arc<Layout>,
    /// In the order of the layout.
    bindings: Vec<Binding>,
}

impl Parameters {
    pub(super) fn new(layout: Layout, bindings: Vec<Binding>) -> Self {
        Self { layout: Arc::new(layout), bindings }
    }

    /// Names, shapes and places.
    pub fn layout(&self) -> &Arc<Layout> {
        &self.layout
    }

    /// Loads a member's values of what the small model's checkpoint holds.
    ///
    /// # Errors
    /// When a tensor is missing, has another shape or is no float.
    pub fn load(
        &self,
        values: &mut Arena,
        member: usize,
        checkpoint: &Checkpoint<'_>,
    ) -> Result<(), Failure> {
        self.load_from(checkpoint, values, member, |origin| matches!(origin, Origin::Encoder(_)))
    }

    /// Loads a member's values of the LLM layer that trains; nothing where it is frozen.
    ///
    /// # Errors
    /// When a tensor is missing, has another shape or is no float.
    pub fn load_layer(
        &self,
        values: &mut Arena,
        member: usize,
        checkpoint: &Checkpoint<'_>,
    ) -> Result<(), Failure> {
        self.load_from(checkpoint, values, member, |origin| matches!(origin, Origin::Layer(_)))
    }

    fn load_from(
        &self,
        checkpoint: &Checkpoint<'_>,
        values: &mut Arena,
        member: usize,
        wanted: impl Fn(&Origin) -> bool,
    ) -> Result<(), Failure> {
        for binding in self.bindings.iter().filter(|binding| wanted(&binding.origin)) {
            if let Some(source) = binding.origin.source() {
                let numbers = checkpoint.read(source, &binding.shape)?;
                values.write(binding.slot, member, &numbers);
            }
        }
        Ok(())
    }

    /// Loads a member's values from a file of the names that [`Parameters::export`] gives; with
    /// `encoder_stays` the encoder, which such a run did not train, stays as it is.
    ///
    /// # Errors
    /// When a tensor is missing, has another shape or is no float.
    pub fn load_exported(
        &self,
        values: &mut Arena,
        member: usize,
        tensors: &dyn TensorSource,
        encoder_stays: bool,
    ) -> Result<(), Failure> {
        let names = Names::default();
        let checkpoint = Checkpoint { tensors, names: &names, transform: None };
        for (entry, binding) in self.layout.entries().iter().zip(&self.bindings) {
            let numbers = match &binding.origin {
                Origin::Encoder(_) if encoder_stays => continue,
                Origin::Encoder(source) => checkpoint.read(source, &binding.shape)?,
                Origin::Layer(source) => {
                    let source = Source { name: format!("{LAYER}{}", source.name), ..source.clone() };
                    checkpoint.read(&source, &binding.shape)?
                }
                Origin::Fresh => checkpoint.read(&Source::whole(entry.name.clone()), &binding.shape)?,
            };
            values.write(binding.slot, member, &numbers);
        }
        Ok(())
    }

    /// Gives a member's other parameters, mappers and head, their first values: uniform within one
    /// over the root of the number of inputs, PyTorch's default for linear maps. Members with one
    /// seed and equal shapes start equal.
    pub fn initialise(&self, values: &mut Arena, member: usize, seed: Seed) {
        for (entry, binding) in self.layout.entries().iter().zip(&self.bindings) {
            if binding.origin != Origin::Fresh {
                continue;
            }
            let map = entry.name.rsplit_once('.').map_or("", |(map, _)| map);
            let inputs = self
                .layout
                .find(&format!("{map}.weight"))
                .and_then(|entry| entry.shape.get(1))
                .copied()
                .expect("every fresh parameter is the weight or bias of a linear map");
            let bound = 1.0 / (inputs as f64).sqrt();
            let mut stream = seed.derive(&entry.name).stream();
            let drawn = (0..binding.slot.len).map(|_| ((2.0 * stream.uniform() - 1.0) * bound) as f32);
            values.write(binding.slot, member, &drawn.collect::<Vec<_>>());
        }
    }

    /// A member's numbers (values or gradients) under Hugging Face names, fused tensors put together
    /// again.
    pub fn export(&self, numbers: &Arena, member: usize) -> Vec<Tensor> {
        let mut tensors: Vec<Tensor> = Vec::new();
        for (entry, binding) in self.layout.entries().iter().zip(&self.bindings) {
            let numbers = numbers.read(binding.slot, member);
            let (Some(source), Some(name)) = (binding.origin.source(), binding.origin.name()) else {
                tensors.push((entry.name.clone(), binding.shape.clone(), numbers.to_vec()));
                continue;
            };
            let columns: usize = binding.shape.iter().skip(1).product();
            let whole = 0..binding.shape[0];
            let runs = source.rows.as_deref().unwrap_or(std::slice::from_ref(&whole));
            let place = tensors.iter().position(|(known, ..)| *known == name).unwrap_or_else(|| {
                let shape = [&[0], &binding.shape[1..]].concat();
                tensors.push((name, shape, Vec::new()));
                tensors.len() - 1
            });
            let (_, shape, fused) = &mut tensors[place];
            let end = runs.iter().map(|run| run.end).max().unwrap_or(0);
            if end > shape[0] {
                shape[0] = end;
                fused.resize(end * columns, 0.0);
            }
            let mut read = 0;
            for run in runs {
                let len = run.len() * columns;
                fused[run.start * columns..][..len].copy_from_slice(&numbers[read..read + len]);
                read += len;
            }
        }
        self.transpose_back(&mut tensors);
        tensors
    }

    /// Tensors that checkpoints keep `[in, out]` are written as they were read.
    fn transpose_back(&self, tensors: &mut [Tensor]) {
        for (name, shape, numbers) in tensors {
            let transposed = self
                .bindings
                .iter()
                .filter(|binding| binding.origin.source().is_some_and(|source| source.transpose))
                .any(|binding| binding.origin.name().as_ref() == Some(name));
            if transposed && shape.len() == 2 {
                let (rows, columns) = (shape[0], shape[1]);
                let read = |place: usize| numbers[(place % rows) * columns + place / rows];
                *numbers = (0..rows * columns).map(read).collect();
                shape.swap(0, 1);
            }
        }
    }
}
