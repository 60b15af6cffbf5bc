//! From files to batches of token ids: tasks as data, readers that treat files as hostile, splits,
//! texts that two sets share, a small model's own tokenizer, shuffled batches. Sees no tensor.

pub mod batch;
mod clean;
pub mod dataset;
pub mod demo;
pub mod encode;
mod error;
mod labels;
mod local;
pub mod overlap;
mod pad;
pub mod read;
pub mod task;

pub use clean::{squeeze_whitespace, strip_html};
pub use dataset::{Dataset, Example, Limits, Split, SplitFiles, load};
pub use error::Error;
pub use task::{Source, TaskSpec, catalog, resolve};
