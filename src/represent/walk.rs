//! The walk itself: embeddings, then layer after layer, each over all batches.

use std::sync::Arc;

use super::Error;
use super::used::Used;
use crate::data::encode::EncodedSplit;
use crate::device::Device;
use crate::error::Failure;
use crate::models::around::{self, Around};
use crate::models::block;
use crate::models::build::{self, Member, Target};
use crate::models::embeddings;
use crate::models::families::{Model, Scope};
use crate::models::input::{Pass, Tokens};
use crate::models::parts::Size;
use crate::models::pooling::Pooling;
use crate::models::weights::Checkpoint;
use crate::nn::{Arena, Buffer, Rows};

/// Where activations wait between two layers, and where the rows that stand for texts go.
pub trait Tape {
    /// Gives the next activations of the layer before, in the order in which they were kept.
    ///
    /// # Errors
    /// When they are not there.
    fn recall(&mut self, activations: &mut [f32]) -> Result<(), Failure>;

    /// Keeps activations for the layer after.
    ///
    /// # Errors
    /// When they cannot be kept.
    fn keep(&mut self, activations: &[f32]) -> Result<(), Failure>;

    /// Takes the rows of the next `texts` texts.
    ///
    /// # Errors
    /// When they cannot be taken, or the caller wants an end.
    fn rows(&mut self, rows: &[f32], texts: usize) -> Result<(), Failure>;
}

/// A model that all texts pass layer by layer. A layer's mask and window are the model's own, and
/// the last hidden state is what follows the final norm, as transformers reports it.
pub struct Walk<'a> {
    model: &'a Model,
    texts: &'a EncodedSplit,
    /// `None`: every token's row.
    pooling: Option<Pooling>,
    batch: usize,
    device: Device,
    around: Around,
    /// Nothing trains here.
    values: Arena,
    state: around::State,
    block_state: block::State,
    x: Buffer,
    y: Buffer,
    pooled: Buffer,
}

impl<'a> Walk<'a> {
    /// Reads what stands around the layers. `outside` need not hold the layers themselves.
    ///
    /// # Errors
    /// No text, or a tensor that is missing, has another shape or is no float.
    pub fn new(
        model: &'a Model,
        outside: Checkpoint<'_>,
        texts: &'a EncodedSplit,
        pooling: Option<Pooling>,
        batch: usize,
        device: Device,
    ) -> Result<Self, Failure> {
        if texts.is_empty() {
            return Err(Error::NoTexts.into());
        }
        let members = [Member { checkpoint: outside, table: &model.tensors, layer: None }];
        let around = build::around(&mut Target::Frozen(device, &members), &model.spec)?;
        Ok(Self {
            model,
            texts,
            pooling,
            batch: batch.max(1),
            device,
            around,
            values: Arena::zeros(device, Arc::default(), 1),
            state: around::State::default(),
            block_state: block::State::default(),
            x: Buffer::default(),
            y: Buffer::default(),
            pooled: Buffer::default(),
        })
    }

    /// Numbers a row of the embeddings (`None`) or of a layer's output.
    pub fn width(model: &Model, layer: Option<usize>) -> usize {
        let spec = &model.spec;
        match layer {
            Some(layer) if layer + 1 == spec.blocks.len() => {
                spec.output_projection.unwrap_or(spec.hidden_size)
            }
            _ => spec.hidden_size,
        }
    }

    /// Which layer's tensors layer `layer` reads: its own, or those that all share.
    pub fn weights_of(model: &Model, layer: usize) -> usize {
        if model.spec.shared_blocks { 0 } else { layer }
    }

    /// Passes all texts through the embeddings. Their weights are read here and dropped here.
    ///
    /// # Errors
    /// An id beyond its table, a text beyond the position table, tensors that cannot be read, and
    /// whatever the tape says.
    pub fn embed(&mut self, outside: Checkpoint<'_>, tape: &mut dyn Tape) -> Result<(), Failure> {
        for start in (0..self.texts.len()).step_by(self.batch) {
            self.around.check(&self.tokens(start))?;
        }
        let used = Used::new(self.model, outside, self.texts);
        let checkpoint = Checkpoint { tensors: &used, ..outside };
        let members = [Member { checkpoint, table: &self.model.tensors, layer: None }];
        let mut target = Target::Frozen(self.device, &members);
        let embeddings = build::embeddings(&mut target, &used.spec(self.model))?;
        let mut state = embeddings::State::default();
        for start in (0..self.texts.len()).step_by(self.batch) {
            let tokens = self.tokens(start);
            let Tokens { ids, type_ids, rows } = &tokens;
            let ids = &used.places(ids);
            let to = &mut self.y;
            embeddings.forward(&self.values, 1, ids, type_ids, rows, Pass::Evaluate, to, &mut state);
            tape.keep(&self.y.read())?;
            self.emit(None, rows, tape)?;
        }
        Ok(())
    }

    /// Passes all texts through a layer whose input the tape kept. `weights` holds its tensors under
    /// the names of layer [`weights_of`](Self::weights_of). The tape keeps the residual stream, and
    /// of the last layer nothing.
    ///
    /// # Errors
    /// As [`embed`](Self::embed).
    pub fn layer(
        &mut self,
        layer: usize,
        weights: Checkpoint<'_>,
        tape: &mut dyn Tape,
    ) -> Result<(), Failure> {
        let spec = &self.model.spec;
        let count = spec.blocks.len();
        let block_spec = spec.blocks.get(layer).ok_or(Error::NoSuchLayer { layer, count })?;
        let own = Self::weights_of(self.model, layer);
        let members = [Member { checkpoint: weights, table: &self.model.tensors, layer: Some(own) }];
        let bias = self.around.relative_bias.as_ref();
        let mut target = Target::Frozen(self.device, &members);
        let block = build::block(&mut target, own, block_spec, Scope::Sequence, bias)?;
        // its table of rotations is the layer's own: families mix local and global frequencies
        self.block_state = block::State::default();
        for start in (0..self.texts.len()).step_by(self.batch) {
            let rows = self.tokens(start).rows;
            let mut activations = vec![0.0; rows.len() * spec.hidden_size];
            tape.recall(&mut activations)?;
            self.x = Buffer::from_vec(self.device, activations);
            self.around.begin(&self.values, 1, &rows, &mut self.state);
            let call = self.around.call(1, &rows, None, Pass::Evaluate, layer);
            let (values, state) = (&self.values, &mut self.state);
            let (x, y, kept) = (&self.x, &mut self.y, &mut self.block_state);
            self.around.block(values, &call, (layer, &block), x, y, kept, state);
            if layer + 1 == count {
                self.around.finish(values, Size::new(1, rows.len()), &self.y, &mut self.state);
            } else {
                tape.keep(&self.y.read())?;
            }
            self.emit(Some(layer), &rows, tape)?;
        }
        Ok(())
    }

    /// The texts from `start` on, as many as make a batch.
    fn tokens(&self, start: usize) -> Tokens {
        let texts = self.texts;
        let end = (start + self.batch).min(texts.len());
        let lengths: Vec<usize> =
            texts.offsets[start..=end].windows(2).map(|pair| pair[1] - pair[0]).collect();
        let mut rows = Rows::packed(&lengths);
        rows.example_ids = texts.example_ids[start..end].to_vec();
        let span = texts.offsets[start]..texts.offsets[end];
        Tokens { ids: texts.ids[span.clone()].to_vec(), type_ids: texts.type_ids[span].to_vec(), rows }
    }

    /// Hands the rows of a batch on, pooled.
    fn emit(&mut self, layer: Option<usize>, rows: &Rows, tape: &mut dyn Tape) -> Result<(), Failure> {
        let width = Self::width(self.model, layer);
        let last = layer.is_some_and(|layer| layer + 1 == self.model.spec.blocks.len());
        let hidden = if last { self.around.output(&self.y, &self.state) } else { &self.y };
        let out = match self.pooling {
            Some(pooling) => {
                pooling.forward(1, width, rows, hidden, &mut self.pooled);
                &self.pooled
            }
            None => hidden,
        };
        let out = out.read();
        crate::nn::check(self.device)?;
        if let Some(at) = out.iter().position(|x| !x.is_finite()) {
            let site = layer.map_or_else(|| "the embeddings".to_owned(), |layer| format!("layer {layer}"));
            let row = at / width;
            let example = match self.pooling {
                Some(_) => row,
                None => rows.offsets.partition_point(|offset| *offset <= row) - 1,
            };
            let (example, value) = (rows.example_ids[example], out[at]);
            return Err(Error::NotFinite { site, example, value }.into());
        }
        tape.rows(&out, rows.examples())
    }
}
