//! Embeddings, blocks and what follows them: a small model, or a whole LLM, up to its last hidden
//! state.

use crate::models::Error;
use crate::models::attention::{self, longest};
use crate::models::block::{self, Block, BlockDropout, Call, Selection};
use crate::models::convolution::{self, Convolution};
use crate::models::embeddings::{self, Embeddings};
use crate::models::input::{Pass, Tokens};
use crate::models::parts::{Into, Linear, Norm, Size};
use crate::models::spec::{ModelSpec, Position};
use crate::models::weights::Weight;
use crate::nn::relative::Distances;
use crate::nn::{Arena, Buffer, Rows, norm, relative};

/// A model up to its last hidden state, with its weights.
#[derive(Clone, Debug)]
pub struct Encoder {
    pub(crate) spec: ModelSpec,
    pub(crate) embeddings: Embeddings,
    /// One, where all share their weights.
    pub(crate) blocks: Vec<Block>,
    pub(crate) final_norm: Option<Norm>,
    pub(crate) output_projection: Option<Linear>,
    pub(crate) relative: Option<Relative>,
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

/// What an encoder keeps between forward and backward, and reuses from step to step.
#[derive(Clone, Debug, Default)]
pub struct State {
    embeddings: embeddings::State,
    /// The residual stream before block i, and after the last one.
    hidden: Vec<Buffer>,
    blocks: Vec<block::State>,
    convolution: convolution::State,
    /// Block 0's output where a convolution follows it.
    before_convolution: Buffer,
    last: Buffer,
    last_saved: norm::Saved,
    projected: Buffer,
    positions: attention::Positions,
    relative: RelativeState,
    scratch: block::Scratch,
    gradient: Buffer,
    next_gradient: Buffer,
    convolution_gradient: Buffer,
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
const CONVOLUTION_SITE: u32 = 2;

impl Encoder {
    /// What the model is.
    pub fn spec(&self) -> &ModelSpec {
        &self.spec
    }

    fn block(&self, index: usize) -> &Block {
        if self.spec.shared_blocks { &self.blocks[0] } else { &self.blocks[index] }
    }

    /// Whether the last block may compute some rows only: it is not the one that a convolution
    /// over all rows follows.
    fn may_select(&self) -> bool {
        !self.spec.blocks.is_empty() && (self.convolution.is_none() || self.spec.blocks.len() > 1)
    }

    /// Computes the last hidden state, of the selected rows only if there are any.
    ///
    /// # Errors
    /// When an id lies beyond its table, or a text beyond the position table.
    pub fn forward(
        &self,
        values: &Arena,
        members: usize,
        tokens: &Tokens,
        selection: Option<&Selection>,
        pass: Pass,
        state: &mut State,
    ) -> Result<(), Error> {
        self.check(tokens)?;
        let rows = &tokens.rows;
        let count = self.spec.blocks.len();
        state.hidden.resize_with(count + 1, Buffer::default);
        state.blocks.resize_with(count, block::State::default);

        // 1. Embeddings, and the relative positions that all blocks share
        let Tokens { ids, type_ids, .. } = tokens;
        let first = &mut state.hidden[0];
        self.embeddings.forward(values, members, ids, type_ids, rows, pass, first, &mut state.embeddings);
        self.relative_forward(values, members, rows, state);

        // 2. The blocks
        for index in 0..count {
            let call = self.call(members, rows, self.selection(index, selection), pass, index);
            let (before, after) = state.hidden.split_at_mut(index + 1);
            let x = &before[index];
            match &self.convolution {
                Some(convolution) if index == 0 => {
                    let y = &mut state.before_convolution;
                    self.block(0).forward(values, &call, &state.positions, x, y, &mut state.blocks[0]);
                    let dropout =
                        pass.dropout(CONVOLUTION_SITE, self.drop_here(self.spec.dropout_sites.convolution));
                    let (out, state) = (&mut after[0], &mut state.convolution);
                    convolution.forward(values, members, rows, dropout, x, y, out, state);
                }
                _ => {
                    let block_state = &mut state.blocks[index];
                    self.block(index).forward(values, &call, &state.positions, x, &mut after[0], block_state);
                }
            }
        }

        // 3. What follows them
        let out = Size::new(members, self.out_rows(rows, selection).len());
        if let Some(norm) = &self.final_norm {
            norm.forward(values, out, &state.hidden[count], &mut state.last, &mut state.last_saved);
        }
        if let Some(projection) = &self.output_projection {
            let from = if self.final_norm.is_some() { &state.last } else { &state.hidden[count] };
            projection.forward(values, out, from, &mut state.projected);
        }
        Ok(())
    }

    /// The last hidden state of the latest forward, `[K, R or selected rows, D]`.
    pub fn output<'a>(&self, state: &'a State) -> &'a Buffer {
        if self.output_projection.is_some() {
            &state.projected
        } else if self.final_norm.is_some() {
            &state.last
        } else {
            &state.hidden[self.spec.blocks.len()]
        }
    }

    /// The residual stream before block `index`, or after the last one, of the latest forward.
    pub fn hidden<'a>(&self, state: &'a State, index: usize) -> &'a Buffer {
        &state.hidden[index]
    }

    /// Accumulates the gradients of everything that trains.
    ///
    /// # Shapes
    /// - dy: as [`Encoder::output`]
    #[expect(clippy::too_many_arguments, reason = "the operands of one derivative")]
    pub fn backward(
        &self,
        values: &Arena,
        members: usize,
        tokens: &Tokens,
        selection: Option<&Selection>,
        pass: Pass,
        state: &mut State,
        dy: &Buffer,
        gradients: &mut Arena,
    ) {
        let rows = &tokens.rows;
        let count = self.spec.blocks.len();
        let out = Size::new(members, self.out_rows(rows, selection).len());

        // 3. Projection and final norm
        let mut gradient = std::mem::take(&mut state.gradient);
        let mut next = std::mem::take(&mut state.next_gradient);
        gradient.copy_from(dy);
        if let Some(projection) = &self.output_projection {
            let from = if self.final_norm.is_some() { &state.last } else { &state.hidden[count] };
            projection.backward(values, out, from, &gradient, gradients, Into::Over(&mut next));
            std::mem::swap(&mut gradient, &mut next);
        }
        if let Some(norm) = &self.final_norm {
            let (from, saved) = (&state.hidden[count], &state.last_saved);
            norm.backward(values, out, from, saved, &gradient, gradients, Into::Over(&mut next));
            std::mem::swap(&mut gradient, &mut next);
        }

        // 2. The blocks in reverse; `beside` is what the convolution sends past block 0
        let mut beside = std::mem::take(&mut state.convolution_gradient);
        for index in (0..count).rev() {
            let call = self.call(members, rows, self.selection(index, selection), pass, index);
            let mut joins = false;
            if let (Some(convolution), 0) = (&self.convolution, index) {
                let dropout =
                    pass.dropout(CONVOLUTION_SITE, self.drop_here(self.spec.dropout_sites.convolution));
                convolution.backward(
                    values,
                    members,
                    rows,
                    dropout,
                    &state.hidden[0],
                    &mut state.convolution,
                    &gradient,
                    gradients,
                    &mut beside,
                    &mut next,
                );
                std::mem::swap(&mut gradient, &mut next);
                joins = true;
            }
            let block_state = &mut state.blocks[index];
            self.block(index).backward(
                values,
                &call,
                &mut state.positions,
                &state.hidden[index],
                block_state,
                &gradient,
                gradients,
                &mut state.scratch,
                &mut next,
            );
            if joins {
                crate::nn::residual::add(&beside, &mut next);
            }
            std::mem::swap(&mut gradient, &mut next);
        }
        state.convolution_gradient = beside;

        // 1. The shared positions and the embeddings
        self.relative_backward(values, members, state, gradients);
        let Tokens { ids, type_ids, .. } = tokens;
        let kept = &mut state.embeddings;
        self.embeddings.backward(values, members, ids, type_ids, rows, pass, kept, &gradient, gradients);
        state.gradient = gradient;
        state.next_gradient = next;
    }

    fn selection<'a>(&self, index: usize, selection: Option<&'a Selection>) -> Option<&'a Selection> {
        selection.filter(|_| self.may_select() && index + 1 == self.spec.blocks.len())
    }

    fn out_rows<'a>(&self, rows: &'a Rows, selection: Option<&'a Selection>) -> &'a Rows {
        match selection {
            Some(selection) if self.may_select() => &selection.layout,
            _ => rows,
        }
    }

    /// Whether a forward with a selection gives the selected rows only (else all rows).
    pub fn selects(&self) -> bool {
        self.may_select()
    }

    fn call<'a>(
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

    fn drop_here(&self, here: bool) -> f32 {
        if here { self.spec.hidden_dropout } else { 0.0 }
    }

    fn check(&self, tokens: &Tokens) -> Result<(), Error> {
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
        positions.gradient.resize(positions.table.len());
        positions.gradient.fill(0.0);
    }

    fn relative_backward(&self, values: &Arena, members: usize, state: &mut State, gradients: &mut Arena) {
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

/// How DeBERTa's distances find the rows of their table.
pub(crate) fn distances(spec: &ModelSpec) -> Option<Distances> {
    let Position::Disentangled(position) = spec.blocks.first()?.position else { return None };
    Some(match position.position_buckets {
        Some(buckets) => {
            relative::Distances::Logarithmic { buckets, max_distance: position.max_relative_positions }
        }
        None => relative::Distances::Plain { span: position.span },
    })
}
