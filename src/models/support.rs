//! What a device can compute of a model: everything on the CPU, the common path on a GPU. Asked once,
//! when a model is built for a device, so that nothing is found out in the middle of a step.

use crate::device::Device;
use crate::models::Error;
use crate::models::families::Scope;
use crate::models::spec::{BlockSpec, FeedForward, ModelSpec, Position};

/// Whether a device computes this model.
///
/// # Errors
/// [`Error::NotOnDevice`] with the first thing that it does not.
pub fn check_model(device: Device, spec: &ModelSpec) -> Result<(), Error> {
    if spec.convolution.is_some() {
        refuse(device, "a convolution over tokens")?;
    }
    if spec.relative.is_some() {
        refuse(device, "a table of relative positions")?;
    }
    spec.blocks.iter().try_for_each(|block| check_block(device, block, Scope::Sequence))
}

/// Whether a device computes this block; of one token an example positions are not read.
///
/// # Errors
/// As [`check_model`].
pub fn check_block(device: Device, spec: &BlockSpec, scope: Scope) -> Result<(), Error> {
    if matches!(spec.feed_forward, FeedForward::Mixture { .. }) {
        refuse(device, "a mixture of experts")?;
    }
    if scope == Scope::OneToken {
        return Ok(());
    }
    match spec.position {
        Position::None | Position::Rotary(_) => Ok(()),
        Position::Alibi(_) => refuse(device, "a linear bias of positions (ALiBi)"),
        Position::RelativeBias(_) => refuse(device, "a learned bias of positions"),
        Position::Disentangled(_) => refuse(device, "disentangled attention"),
    }
}

fn refuse(device: Device, what: &'static str) -> Result<(), Error> {
    if matches!(device, Device::Cpu(_)) {
        Ok(())
    } else {
        Err(Error::NotOnDevice { what, device: device.to_string() })
    }
}
