//! Specifications and weights become encoders, plugs, heads and probes. Nothing here opens a file.

pub mod around;
pub mod attention;
pub mod block;
pub mod build;
pub mod convolution;
pub mod embeddings;
pub mod encoder;
pub mod error;
pub mod families;
pub mod feed_forward;
pub mod head;
pub mod input;
pub mod language_model;
pub mod layers;
pub mod parameters;
pub mod parts;
pub mod plug;
pub mod pooling;
pub mod probe;
pub mod spec;
pub mod tensors;
pub mod weights;

pub use error::Error;
