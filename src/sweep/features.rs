//! The features of a frozen encoder, computed once a sweep and kept beside the runs: `--train plug`
//! trains mappers and head over them.

use std::collections::BTreeMap;
use std::path::Path;

use super::inputs::Opened;
use super::{Error, canonical};
use crate::data::encode::EncodedSplit;
use crate::device::{Device, Precision};
use crate::error::Failure;
use crate::hub::{self, ModelName, Repository, Settings, unwatched};
use crate::models::head::HeadSpec;
use crate::models::input::Pass;
use crate::models::plug::{PlugMode, PlugSpec};
use crate::models::pooling::Pooling;
use crate::models::probe::{Probe, ProbeSpec};
use crate::train::{FeatureSet, Gold, Source};

/// Texts passed through the encoder at once.
pub(super) const BATCH: usize = 16;
const TENSOR: &str = "features";

/// What features depend on besides the texts.
pub(super) struct Frozen<'a> {
    pub(super) slm: &'a Opened,
    pub(super) pooling: Pooling,
    pub(super) device: Device,
    /// Where they are kept.
    pub(super) folder: &'a Path,
}

impl Frozen<'_> {
    /// The pooled features of a split, from an earlier cell if they were kept.
    ///
    /// # Errors
    /// When the small model cannot be read, or the folder cannot be written.
    pub(super) fn of(
        &self,
        encoded: &EncodedSplit,
        tokens: &dyn Source,
        gold: Gold,
    ) -> Result<FeatureSet, Failure> {
        let width = self.slm.model.spec.hidden_size;
        let mut decides = serde_json::json!({
            "numerics": super::plan::NUMERICS_VERSION,
            "slm": self.slm.repository.identity(),
            "pooling": format!("{:?}", self.pooling),
            "ids": encoded.ids,
            "types": encoded.type_ids,
            "offsets": encoded.offsets,
        });
        if self.device.precision() != Precision::F32 {
            decides["precision"] = self.device.precision().to_string().into();
        }
        let key = canonical::id(&decides);
        let path = self.folder.join(format!("{key}.safetensors"));
        let kept = self.kept(&path, tokens.len() * width);
        let numbers = match kept {
            Some(numbers) => numbers,
            None => {
                let numbers = self.compute(tokens, width)?;
                std::fs::create_dir_all(self.folder)
                    .map_err(|source| Error::Features { path: path.clone(), source })?;
                let bytes: Vec<u8> = numbers.iter().flat_map(|x| x.to_le_bytes()).collect();
                let shape = vec![tokens.len(), width];
                let tensor =
                    hub::tensor::RawTensor { dtype: hub::tensor::Dtype::F32, shape, rows: None, bytes };
                hub::write_safetensors(&path, &[(TENSOR.to_owned(), tensor)], &BTreeMap::new())?;
                numbers
            }
        };
        let ids = encoded.example_ids.clone();
        Ok(FeatureSet::pooled(self.device, numbers, width, ids, gold)?)
    }

    /// A file that is damaged or of another size counts as absent: it is computed again.
    fn kept(&self, path: &Path, len: usize) -> Option<Vec<f32>> {
        if !path.is_file() {
            return None;
        }
        let repository =
            Repository::open(&Settings::below(self.folder), &ModelName::Path(path.to_owned()), None).ok()?;
        let tensor = repository.checkpoint(&mut unwatched).ok()?.tensor(TENSOR).ok()?;
        tensor.to_f32().filter(|numbers| numbers.len() == len)
    }

    fn compute(&self, tokens: &dyn Source, width: usize) -> Result<Vec<f32>, Failure> {
        let spec = ProbeSpec {
            encoder: Some(self.slm.model.clone()),
            hidden_size: width,
            pooling: self.pooling,
            plug: PlugSpec::Base,
            mode: PlugMode::Pooled,
            head: HeadSpec::Classifier { classes: 1, dropout: 0.0 },
        };
        let mut probe = Probe::new(&spec, 1, None)?.on(self.device);
        let mut values = probe.arena(self.device);
        let checkpoint = self.slm.repository.checkpoint(&mut unwatched)?;
        probe.parameters().load(&mut values, 0, &self.slm.weights(&checkpoint, None))?;
        let mut numbers = Vec::with_capacity(tokens.len() * width);
        let all: Vec<usize> = (0..tokens.len()).collect();
        for batch in all.chunks(BATCH) {
            probe.forward(&values, &tokens.input(batch), Pass::Evaluate)?;
            numbers.extend(probe.encoded().to_vec());
        }
        crate::nn::check(self.device)?;
        Ok(numbers)
    }
}
