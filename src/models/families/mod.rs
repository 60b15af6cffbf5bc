//! One table a model family: from `config.json` and tensor names to the block's specification.

use crate::models::spec::ModelSpec;
use crate::models::tensors::{Source, TensorTable};

/// TEMP
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// a
    OneToken,
    /// b
    Sequence,
}
/// TEMP
#[derive(Clone, Debug)]
pub struct Names;
impl Names {
    /// c
    pub fn on_disk(&self, s: &Source) -> String {
        s.name.clone()
    }
}
/// TEMP
#[derive(Clone, Debug)]
pub struct Model {
    /// a
    pub spec: ModelSpec,
    /// b
    pub tensors: TensorTable,
}
