//! Specifications and weights become encoders, plugs, heads and probes. Nothing here opens a file.

pub mod error;
pub mod families;
pub mod layers;
pub mod spec;
pub mod tensors;

pub use error::Error;
