//! What stands around a model's blocks: positions that they share, a convolution beside the first,
//! and what follows the last. Whole models and models run one layer at a time share it.

use crate::models::Error;
use crate::models::attention::{self, longest};
use crate::models::block::{self, Block, BlockDropout, Call, Selection};
use crate::models::convolution::{self, Convolution};
use crate::models::input::{Pass, Tokens};
use crate::models::parts::{Into, Linear, Norm, Size};
use crate::models::spec::ModelSpec;
use crate::models::weights::Weight;
use crate::nn::relative::Distances;
use crate::nn::{Arena, Buffer, Rows, norm};

/// A model without its embeddings and blocks.
#[derive(Clone, Debug)]
pub struct Around {
    pub(crate) spec: ModelSpec,
    pub(crate) final_norm: Option<Norm>,
    pub(crate) output_projection: Option<Linear>,
    pub(crate) relative: Option<Relative>,
    /// A bias a head and bucket of distance, which the blocks are built with (MPNet).
    pub(crate) relative_bias: Option<Weight>,
    pub(crate) convolution: Option<Convolution>,
}

/// A table of relative positions that all blocks share.
#[derive(Clone, Debug)]
pub struct Relative {
    pub(crate) table: Weight,
    pub(crate) norm: Option<Norm>,
    pub(crate) distances: Distances,
    pub(crate) width: usize,
}

/// What is kept between forward and backward, and reused from step to step.
#[derive(Clone, Debug, Default)]
pub struct State {
    pub(super) convolution: convolution::State,
    /// Block 0's output where a convolution follows it.
    pub(super) before_convolution: Buffer,
    pub(super) last: Buffer,
    pub(super) last_saved: norm::Saved,
    pub(super) projected: Buffer,
    pub(super) positions: attention::Positions,
    relative: RelativeState,
}

#[derive(Clone, Debug, Default)]
struct RelativeState {
    rows: Vec<u32>,
    gathered: Buffer,
    saved: norm::Saved,
    gradient: Buffer,
}

/// Dropout sites: the embeddings are 0, block i has four from 4 + 4 i, the rest stands above.
const FIRST_BLOCK_SITE: u32 = 4;
pub(super) const CONVOLUTION_SITE: u32 = 2;

impl Around {
    /// What the model is.
    pub fn spec(&self) -> &ModelSpec {
        &self.spec
    }

    /// Prepares what all blocks read of a batch: the relative positions in use.
    pub fn begin(&self, values: &Arena, members: usize, rows: &Rows, state: &mut State) {
        self.relative_forward(values, members, rows, state);
    }

    /// Passes the residual stream through block `index`, and through what stands beside it.
    ///
    /// # Shapes
    /// - x: `[K, R, D]`, y: `[K, R or selected rows, D]`
    #[expect(clippy::too_many_arguments, reason = "the operands of one operation")]
    pub fn block(
        &self,
        values: &Arena,
        call: &Call<'_>,
        (index, block): (usize, &Block),
        x: &Buffer,
        y: &mut Buffer,
        block_state: &mut block::State,
        state: &mut State,
    ) {
        match &self.convolution {
            Some(convolution) if index == 0 => {
                let between = &mut state.before_convolution;
                block.forward(values, call, &state.positions, x, between, block_state);
                let dropout =
                    call.pass.dropout(CONVOLUTION_SITE, self.drop_here(self.spec.dropout_sites.convolution));
                let kept = &mut state.convolution;
                convolution.forward(values, call.members, call.rows, dropout, x, between, y, kept);
            }
            _ => block.forward(values, call, &state.positions, x, y, block_state),
        }
    }

    /// Computes what follows the last block; [`Around::output`] gives it.
    pub fn finish(&self, values: &Arena, out: Size, hidden: &Buffer, state: &mut State) {
        if let Some(norm) = &self.final_norm {
            norm.forward(values, out, hidden, &mut state.last, &mut state.last_saved);
        }
        if let Some(projection) = &self.output_projection {
            let from = if self.final_norm.is_some() { &state.last } else { hidden };
            projection.forward(values, out, from, &mut state.projected);
        }
    }

    /// The last hidden state, `hidden` being the residual stream after the last block.
    pub fn output<'a>(&self, hidden: &'a Buffer, state: &'a State) -> &'a Buffer {
        if self.output_projection.is_some() {
            &state.projected
        } else if self.final_norm.is_some() {
            &state.last
        } else {
            hidden
        }
    }

    /// How block `index` is called on a batch.
    pub fn call<'a>(
        &self,
        members: usize,
        rows: &'a Rows,
        selection: Option<&'a Selection>,
        pass: Pass,
        index: usize,
    ) -> Call<'a> {
        Call {
            members,
            rows,
            selection,
            causal: self.spec.causal,
            honour_window: true,
            pass,
            site: FIRST_BLOCK_SITE + 4 * index as u32,
            dropout: BlockDropout {
                attention: self.drop_here(self.spec.dropout_sites.attention),
                feed_forward: self.drop_here(self.spec.dropout_sites.feed_forward),
                relative: self.drop_here(self.spec.dropout_sites.relative),
            },
        }
    }

    pub(super) fn drop_here(&self, here: bool) -> f32 {
        if here { self.spec.hidden_dropout } else { 0.0 }
    }

    /// Whether a batch is one that the model can read.
    ///
    /// # Errors
    /// When an id lies beyond its table, or a text beyond the position table.
    pub fn check(&self, tokens: &Tokens) -> Result<(), Error> {
        let spec = &self.spec.embeddings;
        if let Some(&id) = tokens.ids.iter().find(|&&id| id as usize >= spec.vocab_size) {
            return Err(Error::IdBeyondTable { id, rows: spec.vocab_size });
        }
        if let Some(types) = spec.token_types
            && let Some(&id) = tokens.type_ids.iter().find(|&&id| id as usize >= types)
        {
            return Err(Error::IdBeyondTable { id, rows: types });
        }
        if let Some(table) = spec.positions {
            let room = table.longest_text();
            let longest = longest(&tokens.rows);
            if longest > room {
                return Err(Error::TextTooLong { tokens: longest, limit: room });
            }
        }
        Ok(())
    }

    fn relative_forward(&self, values: &Arena, members: usize, rows: &Rows, state: &mut State) {
        let Some(relative) = &self.relative else { return };
        let reach = relative.distances.reach(longest(rows));
        let kept = &mut state.relative;
        let positions = &mut state.positions;
        if positions.rows != reach.len() || positions.first_row != reach.start {
            positions.rows = reach.len();
            positions.first_row = reach.start;
            positions.distances = Some(relative.distances);
            kept.rows = reach.map(|row| row as u32).collect();
            positions.layout = Rows::packed(&[positions.rows]);
            positions.layout.example_ids = vec![u64::MAX];
        }
        let size = Size::new(members, positions.rows);
        let table = relative.table.param(values);
        let to = if relative.norm.is_some() { &mut kept.gathered } else { &mut positions.table };
        crate::nn::embedding::forward(members, &kept.rows, relative.width, table, to, false, 1.0);
        if let Some(norm) = &relative.norm {
            norm.forward(values, size, &kept.gathered, &mut positions.table, &mut kept.saved);
        }
        positions.gradient.zero_beside(&positions.table, positions.table.len());
    }

    pub(super) fn relative_backward(
        &self,
        values: &Arena,
        members: usize,
        state: &mut State,
        gradients: &mut Arena,
    ) {
        let Some(relative) = &self.relative else { return };
        let kept = &mut state.relative;
        let positions = &mut state.positions;
        let size = Size::new(members, positions.rows);
        let gradient = match &relative.norm {
            Some(norm) => {
                let (from, saved, to) = (&kept.gathered, &kept.saved, Into::Over(&mut kept.gradient));
                norm.backward(values, size, from, saved, &positions.gradient, gradients, to);
                &kept.gradient
            }
            None => &positions.gradient,
        };
        if let Some(dtable) = relative.table.gradient(gradients) {
            crate::nn::embedding::backward(members, &kept.rows, relative.width, gradient, 1.0, None, dtable);
        }
    }
}
