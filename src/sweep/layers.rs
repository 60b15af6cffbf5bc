//! Layers for the workers: fetched ahead into layer bundles, removed when no cell needs them.

use super::Provider;
use super::inputs::Opened;
use crate::error::Failure;
use crate::hub::unwatched;
use crate::models::families::Scope;

/// Fetches the layers of one LLM.
pub struct LayerProvider {
    /// The LLM.
    pub llm: Opened,
    /// What of a layer is needed.
    pub scope: Scope,
    /// Whether a layer that no cell needs any more is removed from the disk.
    pub evict: bool,
}

impl Provider for LayerProvider {
    fn provide(&self, layer: usize) -> Result<u64, Failure> {
        let transfer = self.llm.layer(layer, self.scope, &mut unwatched)?.transfer();
        Ok(transfer.header_bytes + transfer.tensor_bytes + transfer.waste_bytes)
    }

    fn release(&self, layer: usize) {
        if self.evict
            && let Ok(bundle) = self.llm.layer(layer, self.scope, &mut unwatched)
        {
            // what cannot be removed stays in the cache, where `cache rm` finds it
            let _ = bundle.evict();
        }
    }
}
