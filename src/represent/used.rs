//! A table of words cut down to those that occur: of 128 000 words of a large model's table, a task's
//! texts use some thousands, and the others need no memory.

use crate::data::encode::EncodedSplit;
use crate::error::Failure;
use crate::hub::tensor::{RawTensor, TensorSource};
use crate::models::Error;
use crate::models::families::Model;
use crate::models::spec::ModelSpec;
use crate::models::tensors::ModelTensor;
use crate::models::weights::Checkpoint;

/// The tensors outside the layers, with the words in use only.
pub(super) struct Used<'a> {
    inner: &'a dyn TensorSource,
    /// The table's name in the checkpoint, and its shape.
    words: Option<(String, [usize; 2])>,
    /// Ids in use, rising.
    rows: Vec<usize>,
}

impl<'a> Used<'a> {
    pub(super) fn new(model: &Model, outside: Checkpoint<'a>, texts: &EncodedSplit) -> Self {
        let mut rows: Vec<usize> = texts.ids.iter().map(|id| *id as usize).collect();
        rows.sort_unstable();
        rows.dedup();
        let of_words = |(role, _): &&(ModelTensor, _)| *role == ModelTensor::WordEmbeddings;
        let found = model.tensors.model.iter().find(of_words);
        let whole = found.filter(|(_, source)| !source.transpose && source.rows.is_none());
        let spec = &model.spec.embeddings;
        let words =
            whole.map(|(_, source)| (outside.names.on_disk(source), [spec.vocab_size, spec.embedding_size]));
        Self { inner: outside.tensors, words, rows }
    }

    /// The model whose table these rows are.
    pub(super) fn spec(&self, model: &Model) -> ModelSpec {
        let mut spec = model.spec.clone();
        if self.words.is_some() {
            spec.embeddings.vocab_size = self.rows.len();
        }
        spec
    }

    /// The ids' places in the smaller table.
    pub(super) fn places(&self, ids: &[u32]) -> Vec<u32> {
        if self.words.is_none() {
            return ids.to_vec();
        }
        let place = |id: &u32| self.rows.partition_point(|row| *row < *id as usize) as u32;
        ids.iter().map(place).collect()
    }
}

impl TensorSource for Used<'_> {
    fn names(&self) -> Vec<String> {
        self.inner.names()
    }

    fn read(&self, name: &str) -> Result<RawTensor, Failure> {
        match &self.words {
            Some((words, expected)) if words == name => {
                let (some, found) = self.inner.read_rows(name, &self.rows)?;
                if found != expected {
                    let (tensor, expected) = (name.to_owned(), expected.to_vec());
                    return Err(Error::TensorShape { tensor, found, expected }.into());
                }
                Ok(some)
            }
            _ => self.inner.read(name),
        }
    }
}
