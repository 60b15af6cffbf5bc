//! What stands between encoder and head: nothing, the mappers alone, a small trainable network, or
//! one LLM layer, frozen or (as a control) trained, between two mappers (PiFi, Kim et al., ACL 2025, section 3).

use crate::models::attention::Positions;
use crate::models::block::{self, Block, BlockDropout, Call, Selection};
use crate::models::input::Pass;
use crate::models::parts::{Into, Linear, Size};
use crate::models::weights::Registry;
use crate::nn::{Arena, Buffer, Rows, activation};
use crate::words::words;

words! {
    /// Which rows pass through the plug.
    PlugMode, "plug" {
        /// One pooled row an example, as published for classification.
        Pooled = "pooled",
        /// All rows, then pooling or a span head.
        Sequence = "sequence",
    }
}

words! {
    /// Which rows a layer's rows attend to in sequence mode.
    Mask, "mask" {
        /// All real rows of the text.
        Bidirectional = "bidirectional",
        /// Themselves and earlier ones.
        Causal = "causal",
        /// All rows, padding included.
        AsPublished = "as-published",
    }
}

/// What stands between encoder and head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlugSpec {
    /// Nothing.
    Base,
    /// `L_in` and `L_out` without a layer between.
    Mappers {
        /// E.
        width: usize,
    },
    /// The same with a GELU between: as many trainable parameters as the mappers.
    Mlp {
        /// E.
        width: usize,
    },
    /// A layer of an LLM between the mappers.
    Layer {
        /// E.
        width: usize,
        /// Which rows its rows attend to.
        mask: Mask,
        /// Whether the layer's sliding window applies.
        honour_window: bool,
    },
}

impl PlugSpec {
    /// E, if there are mappers.
    pub fn width(self) -> Option<usize> {
        match self {
            Self::Base => None,
            Self::Mappers { width } | Self::Mlp { width } | Self::Layer { width, .. } => Some(width),
        }
    }
}

/// A plug with its weights.
#[derive(Clone, Debug)]
pub(crate) struct Plug {
    pub(crate) l_in: Linear,
    pub(crate) l_out: Linear,
    pub(crate) middle: Middle,
}

/// What stands between the mappers.
#[derive(Clone, Debug)]
pub(crate) enum Middle {
    Identity,
    Gelu,
    Layer { block: Box<Block>, mask: Mask, honour_window: bool },
}

/// What backward needs, and scratch.
#[derive(Clone, Debug, Default)]
pub(crate) struct State {
    pub(super) wide: Buffer,
    pub(super) through: Buffer,
    block: block::State,
    scratch: block::Scratch,
    positions: Positions,
    all_visible: Rows,
    gradient: Buffer,
    inner: Buffer,
}

/// The layer never drops anything; its calls need a site all the same.
const SITE: u32 = 1 << 25;

impl Plug {
    /// `L_in` and `L_out` are linear maps without bias.
    pub(crate) fn new(width: usize, plug_width: usize, middle: Middle, registry: &mut Registry) -> Self {
        let mut mapper = |name: &str, inputs: usize, outputs: usize| Linear {
            weight: registry.fresh(&format!("{name}.weight"), &[outputs, inputs]),
            bias: None,
            inputs,
            outputs,
        };
        Self { l_in: mapper("l_in", width, plug_width), l_out: mapper("l_out", plug_width, width), middle }
    }

    fn call<'a>(
        &self,
        members: usize,
        rows: &'a Rows,
        selection: Option<&'a Selection>,
        all_visible: &'a Rows,
    ) -> Call<'a> {
        let (mask, honour_window) = match &self.middle {
            Middle::Layer { mask, honour_window, .. } => (*mask, *honour_window),
            _ => (Mask::Bidirectional, false),
        };
        Call {
            members,
            rows: if mask == Mask::AsPublished { all_visible } else { rows },
            selection,
            causal: mask == Mask::Causal,
            honour_window,
            pass: Pass::Evaluate,
            site: SITE,
            dropout: BlockDropout::default(),
        }
    }

    /// # Shapes
    /// - x: `[K, R, D]`, y: `[K, R or selected rows, D]`
    #[expect(clippy::too_many_arguments, reason = "the operands of one operation")]
    pub(crate) fn forward(
        &self,
        values: &Arena,
        members: usize,
        rows: &Rows,
        selection: Option<&Selection>,
        x: &Buffer,
        y: &mut Buffer,
        state: &mut State,
    ) {
        let size = Size::new(members, rows.len());
        self.l_in.forward(values, size, x, &mut state.wide);
        let State { wide, through, block: kept, positions, all_visible, .. } = state;
        let passed = match &self.middle {
            Middle::Identity => &*wide,
            Middle::Gelu => {
                let shape = [members, rows.len(), self.l_in.outputs];
                activation::forward(activation::Activation::Gelu, shape, wide, None, through);
                &*through
            }
            Middle::Layer { block, mask, .. } => {
                if *mask == Mask::AsPublished {
                    *all_visible = Rows { real: None, ..rows.clone() };
                }
                let call = self.call(members, rows, selection, all_visible);
                block.forward(values, &call, positions, wide, through, kept);
                &*through
            }
        };
        let out = Size::new(members, self.out_rows(rows, selection));
        self.l_out.forward(values, out, passed, y);
    }

    /// Whether a forward with a selection gives the selected rows only (else all rows).
    pub(crate) fn selects(&self) -> bool {
        matches!(self.middle, Middle::Layer { .. })
    }

    fn out_rows(&self, rows: &Rows, selection: Option<&Selection>) -> usize {
        match selection {
            Some(selection) if self.selects() => selection.layout.len(),
            _ => rows.len(),
        }
    }

    /// Accumulates the gradients of the mappers, and of the layer where it trains. Writes that of x.
    #[expect(clippy::too_many_arguments, reason = "the operands of one derivative")]
    pub(crate) fn backward(
        &self,
        values: &Arena,
        members: usize,
        rows: &Rows,
        selection: Option<&Selection>,
        x: &Buffer,
        state: &mut State,
        dy: &Buffer,
        gradients: &mut Arena,
        dx: Option<&mut Buffer>,
    ) {
        let size = Size::new(members, rows.len());
        let out = Size::new(members, self.out_rows(rows, selection));
        let State { wide, through, block: kept, scratch, positions, all_visible, gradient, inner } = state;
        let passed = if matches!(self.middle, Middle::Identity) { &*wide } else { &*through };
        self.l_out.backward(values, out, passed, dy, gradients, Into::Over(gradient));
        let dwide = match &self.middle {
            Middle::Identity => &*gradient,
            Middle::Gelu => {
                let shape = [members, rows.len(), self.l_in.outputs];
                activation::backward(activation::Activation::Gelu, shape, wide, None, gradient, inner);
                &*inner
            }
            Middle::Layer { block, .. } => {
                let call = self.call(members, rows, selection, all_visible);
                block.backward(values, &call, positions, wide, kept, gradient, gradients, scratch, inner);
                &*inner
            }
        };
        match dx {
            Some(dx) => self.l_in.backward(values, size, x, dwide, gradients, Into::Over(dx)),
            None => self.l_in.backward_weights(size, x, dwide, gradients),
        }
    }
}
