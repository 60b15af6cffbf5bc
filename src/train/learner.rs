//! The seam between training and models.

use std::sync::Arc;

use super::{Input, Pass};
use crate::device::Device;
use crate::error::Failure;
use crate::nn::{Arena, Buffer, Layout, Slot};

/// K models of one layout that compute logits and gradients together. Members never mix: what one
/// computes is the same whichever others are in the stack.
pub trait Learner {
    /// Where it computes.
    fn device(&self) -> Device;

    /// Names, shapes and places of what trains.
    fn layout(&self) -> &Arc<Layout>;

    /// K.
    fn members(&self) -> usize;

    /// The parameters that receive gradients, so that optimisers leave the others as they are
    /// (weight decay included); all of the layout unless the learner says otherwise.
    fn trained(&self) -> Vec<Slot> {
        self.layout().entries().iter().map(|entry| entry.slot).collect()
    }

    /// Computes the logits, and for [`Pass::Train`] keeps what [`Learner::backward`] needs.
    ///
    /// # Errors
    /// An input that the model cannot read, such as features for a model that wants tokens.
    fn forward(&mut self, values: &Arena, input: &Input, pass: Pass) -> Result<(), Failure>;

    /// The logits of the last forward: `[K, B, C]` for classes, `[K, R, 2]` (start, end) for spans,
    /// `[K, R, V]` for language models.
    fn logits(&self) -> &Buffer;

    /// Adds the gradients of what trains, given those of the logits, after a forward to train.
    ///
    /// # Errors
    /// A device that fails.
    fn backward(&mut self, values: &Arena, dlogits: &Buffer, gradients: &mut Arena) -> Result<(), Failure>;
}
