//! Names become bytes: repositories, ranges, layer bundles, configurations, tokenizers. Builds no
//! model.
//!
//! [`ModelName::parse`] reads what was typed, [`Repository::open`] pins it to a commit,
//! [`Repository::tensor_index`] reads headers, [`bundle::fetch`] brings one layer by byte ranges,
//! [`Repository::checkpoint`] brings a whole small model. The client is the project's own: partial
//! files, exact `206` answers, resuming and a token that never leaves its host are what a client
//! for whole files does not give.

pub mod alias;
pub mod bundle;
pub mod cache;
mod checkpoint;
pub mod config;
pub mod datasets;
pub mod demo;
mod disk;
mod download;
mod error;
mod explain;
pub mod header;
mod http;
mod identity;
mod index;
mod name;
pub mod plan;
mod progress;
mod remote;
mod remote_header;
mod repository;
mod repository_id;
mod settings;
pub mod tensor;
mod write;

pub use bundle::{About, Bundle, Transfer};
pub use checkpoint::Checkpoint;
pub use error::Error;
pub use index::{Shard, TensorEntry, TensorIndex};
pub use name::{DEMO, ModelName};
pub use progress::{Progress, Watch, unwatched};
pub use repository::{LARGEST_FILE, Repository};
pub use settings::{ENDPOINT, Patience, Settings, Token};
pub use write::{write_safetensors, write_safetensors_to};
