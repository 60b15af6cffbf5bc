//! The layers that a worker's cells plug: opened, made those of a control, and handed to the probe
//! frozen or to be trained.

use super::controls::{self, Change};
use super::inputs::{self, Opened};
use super::plan::{Cell, Plan};
use super::{Error, convert};
use crate::device::Device;
use crate::error::Failure;
use crate::hub::{self, Settings, unwatched};
use crate::models::build::{self, Member, Target};
use crate::models::families::Scope;
use crate::models::probe::{Layer, Probe};
use crate::nn::Arena;

/// Each cell's layer on disk, with what changes its weights on their way into memory.
pub(super) struct Plugged {
    llm: Opened,
    scope: Scope,
    trains: bool,
    layers: Vec<One>,
}

struct One {
    layer: usize,
    bundle: hub::Bundle,
    change: Option<Change>,
}

impl Plugged {
    /// The layers of the cells in their order; `None` where the cells plug none.
    ///
    /// # Errors
    /// Layers that cannot be had, and cells that cannot stand in one stack.
    pub(super) fn open(plan: &Plan, cells: &[&Cell], settings: &Settings) -> Result<Option<Self>, Failure> {
        let Some(first) = cells[0].needs_layer else { return Ok(None) };
        let llm = Opened::planned(settings, &plan.inputs.llm)?;
        let scope = inputs::scope(&plan.study);
        let mut layers = Vec::new();
        for cell in cells {
            let layer = cell.needs_layer.ok_or(Error::MixedStack)?;
            let bundle = llm.layer(layer, scope, &mut unwatched)?;
            layers.push(One { layer, bundle, change: controls::change(cell.condition, cell.seed) });
        }
        let blocks = &llm.model.spec.blocks;
        let trains = convert::trains_layer(cells[0].condition);
        let alike = |cell: &&Cell| convert::trains_layer(cell.condition) == trains;
        // the trained ones share the names of their parameters
        let equal = |one: &One| blocks[one.layer] == blocks[first] && (!trains || one.layer == first);
        if !cells.iter().all(alike) || !layers.iter().all(equal) {
            return Err(Error::MixedStack.into());
        }
        Ok(Some(Self { llm, scope, trains, layers }))
    }

    /// Bytes that were fetched for them, now or when they came into the cache.
    pub(super) fn bytes(&self) -> u64 {
        let of = |one: &One| {
            let transfer = one.bundle.transfer();
            transfer.header_bytes + transfer.tensor_bytes + transfer.waste_bytes
        };
        self.layers.iter().map(of).sum()
    }

    /// The layer as a probe takes it; a frozen one is read now.
    ///
    /// # Errors
    /// A tensor that is missing, has another shape or is no float.
    pub(super) fn layer(&self, device: Device) -> Result<Layer<'_>, Failure> {
        let layer = self.layers[0].layer;
        if self.trains {
            return Ok(Layer::Trained { model: &self.llm.model, layer, scope: self.scope });
        }
        let members: Vec<Member<'_>> = self.layers.iter().map(|one| self.member(one)).collect();
        let spec = &self.llm.model.spec.blocks[layer];
        let block = build::block(&mut Target::Frozen(device, &members), layer, spec, self.scope, None)?;
        Ok(Layer::Frozen(Box::new(block)))
    }

    /// Gives a layer that trains its first values; a frozen one has them.
    ///
    /// # Errors
    /// As [`Plugged::layer`].
    pub(super) fn first_values(&self, probe: &Probe, values: &mut Arena) -> Result<(), Failure> {
        for (member, one) in self.layers.iter().enumerate() {
            probe.parameters().load_layer(values, member, &self.member(one).checkpoint)?;
        }
        Ok(())
    }

    fn member<'a>(&'a self, one: &'a One) -> Member<'a> {
        Member {
            checkpoint: self.llm.weights(&one.bundle, one.change.as_ref().map(|it| it.as_ref() as _)),
            table: &self.llm.model.tensors,
            layer: Some(one.layer),
        }
    }
}
