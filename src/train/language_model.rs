//! A language model as something that learns.

use std::sync::Arc;

use super::{Input, Learner, Pass};
use crate::device::Device;
use crate::error::Failure;
use crate::models::language_model::LanguageModel;
use crate::nn::{Arena, Buffer, Layout};

impl Learner for LanguageModel {
    fn device(&self) -> Device {
        LanguageModel::device(self)
    }

    fn layout(&self) -> &Arc<Layout> {
        self.parameters().layout()
    }

    fn members(&self) -> usize {
        LanguageModel::members(self)
    }

    fn forward(&mut self, values: &Arena, input: &Input, pass: Pass) -> Result<(), Failure> {
        Ok(LanguageModel::forward(self, values, input, pass)?)
    }

    fn logits(&self) -> &Buffer {
        LanguageModel::logits(self)
    }

    fn backward(&mut self, values: &Arena, dlogits: &Buffer, gradients: &mut Arena) -> Result<(), Failure> {
        LanguageModel::backward(self, values, dlogits, gradients);
        Ok(())
    }
}
