//! Which layer of which LLM should be plugged into a small model, is the gain real, and does it
//! carry over to other domains? Plug-in and Fine-tuning (PiFi, Kim et al., ACL 2025) puts one
//! frozen decoder layer of an LLM between a small model's encoder and its head; this library takes
//! every layer out of an LLM, plugs each in turn, fine-tunes, evaluates and compares.
//!
//! Modules stand on floors and import downwards only: `error`, `seed`, `words`, `device`, `usage` · `hub`, `nn` ·
//! `models`, `data` · `train`, `represent` · `runs` · `sweep` · `analysis` · `verify` (of models and of
//! analyses) · `report` · `cli`.
//!
//! Letters in shapes: K members, B batch, T tokens, R packed rows, D width of the small model,
//! E width of the LLM, H heads, G key-value heads, F feed-forward width, C classes, N examples,
//! L layers.

pub mod analysis;
pub mod cli;
pub mod data;
pub mod device;
pub mod error;
pub mod hub;
pub mod models;
pub mod nn;
pub mod report;
pub mod represent;
pub mod runs;
pub mod seed;
pub mod sweep;
pub mod train;
pub mod usage;
pub mod verify;
pub mod words;
