//! A probe as something that learns.

use std::sync::Arc;

use super::{Input, Learner, Pass};
use crate::device::Device;
use crate::error::Failure;
use crate::models::probe::Probe;
use crate::nn::{Arena, Buffer, Layout};

impl Learner for Probe {
    fn device(&self) -> Device {
        Probe::device(self)
    }

    fn layout(&self) -> &Arc<Layout> {
        self.parameters().layout()
    }

    fn members(&self) -> usize {
        Probe::members(self)
    }

    fn forward(&mut self, values: &Arena, input: &Input, pass: Pass) -> Result<(), Failure> {
        Ok(Probe::forward(self, values, input, pass)?)
    }

    fn logits(&self) -> &Buffer {
        Probe::logits(self)
    }

    fn backward(&mut self, values: &Arena, dlogits: &Buffer, gradients: &mut Arena) -> Result<(), Failure> {
        Probe::backward(self, values, dlogits, gradients);
        Ok(())
    }
}
