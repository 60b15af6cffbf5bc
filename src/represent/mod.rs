//! Hidden states of texts, one layer of a model at a time: all texts pass a layer before the next
//! one's weights are read, so that memory holds one layer and one batch, whatever the number of
//! texts and of layers. Opens no file, prints nothing: what waits between two layers goes into a
//! [`Tape`] of the caller's.

mod error;
mod used;
mod walk;

pub use error::Error;
pub use walk::{Tape, Walk};
