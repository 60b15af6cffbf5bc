//! Specifications and weights become encoders, plugs, heads and probes. Nothing here opens a file.

pub mod families;
pub mod spec;
pub mod tensors;
