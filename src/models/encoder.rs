//! Embeddings, blocks and what follows them: a small model, or a whole LLM, up to its last hidden
//! state.

use crate::models::Error;
use crate::models::around::{self, Around};
use crate::models::block::{self, Block, Selection};
use crate::models::embeddings::{self, Embeddings};
use crate::models::input::{Pass, Tokens};
use crate::models::parts::{Into, Size};
use crate::models::spec::{ModelSpec, Position};
use crate::nn::relative::Distances;
use crate::nn::{Arena, Buffer, Rows, relative};

/// A model up to its last hidden state, with its weights.
#[derive(Clone, Debug)]
pub struct Encoder {
    pub(crate) embeddings: Embeddings,
    /// One, where all share their weights.
    pub(crate) blocks: Vec<Block>,
    pub(crate) around: Around,
}

/// What an encoder keeps between forward and backward, and reuses from step to step.
#[derive(Clone, Debug, Default)]
pub struct State {
    embeddings: embeddings::State,
    /// The residual stream before block i, and after the last one.
    hidden: Vec<Buffer>,
    blocks: Vec<block::State>,
    around: around::State,
    scratch: block::Scratch,
    gradient: Buffer,
    next_gradient: Buffer,
    convolution_gradient: Buffer,
}

impl Encoder {
    /// What the model is.
    pub fn spec(&self) -> &ModelSpec {
        &self.around.spec
    }

    fn block(&self, index: usize) -> &Block {
        if self.around.spec.shared_blocks { &self.blocks[0] } else { &self.blocks[index] }
    }

    /// Whether the last block may compute some rows only: it is not the one that a convolution
    /// over all rows follows.
    fn may_select(&self) -> bool {
        !self.around.spec.blocks.is_empty()
            && (self.around.convolution.is_none() || self.around.spec.blocks.len() > 1)
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
        self.around.check(tokens)?;
        let rows = &tokens.rows;
        let count = self.around.spec.blocks.len();
        state.hidden.resize_with(count + 1, Buffer::default);
        state.blocks.resize_with(count, block::State::default);

        // 1. Embeddings, and the relative positions that all blocks share
        let Tokens { ids, type_ids, .. } = tokens;
        let first = &mut state.hidden[0];
        self.embeddings.forward(values, members, ids, type_ids, rows, pass, first, &mut state.embeddings);
        self.around.begin(values, members, rows, &mut state.around);

        // 2. The blocks
        for index in 0..count {
            let call = self.around.call(members, rows, self.selection(index, selection), pass, index);
            let (before, after) = state.hidden.split_at_mut(index + 1);
            let (kept, block_state) = (&mut state.around, &mut state.blocks[index]);
            let block = (index, self.block(index));
            self.around.block(values, &call, block, &before[index], &mut after[0], block_state, kept);
        }

        // 3. What follows them
        let out = Size::new(members, self.out_rows(rows, selection).len());
        self.around.finish(values, out, &state.hidden[count], &mut state.around);
        Ok(())
    }

    /// The last hidden state of the latest forward, `[K, R or selected rows, D]`.
    pub fn output<'a>(&self, state: &'a State) -> &'a Buffer {
        self.around.output(&state.hidden[self.around.spec.blocks.len()], &state.around)
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
        let count = self.around.spec.blocks.len();
        let out = Size::new(members, self.out_rows(rows, selection).len());

        // 3. Projection and final norm
        let mut gradient = std::mem::take(&mut state.gradient);
        let mut next = std::mem::take(&mut state.next_gradient);
        gradient.copy_from(dy);
        if let Some(projection) = &self.around.output_projection {
            let from =
                if self.around.final_norm.is_some() { &state.around.last } else { &state.hidden[count] };
            projection.backward(values, out, from, &gradient, gradients, Into::Over(&mut next));
            std::mem::swap(&mut gradient, &mut next);
        }
        if let Some(norm) = &self.around.final_norm {
            let (from, saved) = (&state.hidden[count], &state.around.last_saved);
            norm.backward(values, out, from, saved, &gradient, gradients, Into::Over(&mut next));
            std::mem::swap(&mut gradient, &mut next);
        }

        // 2. The blocks in reverse; `beside` is what the convolution sends past block 0
        let mut beside = std::mem::take(&mut state.convolution_gradient);
        for index in (0..count).rev() {
            let call = self.around.call(members, rows, self.selection(index, selection), pass, index);
            let mut joins = false;
            if let (Some(convolution), 0) = (&self.around.convolution, index) {
                let dropout = pass.dropout(
                    around::CONVOLUTION_SITE,
                    self.around.drop_here(self.around.spec.dropout_sites.convolution),
                );
                convolution.backward(
                    values,
                    members,
                    rows,
                    dropout,
                    &state.hidden[0],
                    &mut state.around.convolution,
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
                &mut state.around.positions,
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
        self.around.relative_backward(values, members, &mut state.around, gradients);
        let Tokens { ids, type_ids, .. } = tokens;
        let kept = &mut state.embeddings;
        self.embeddings.backward(values, members, ids, type_ids, rows, pass, kept, &gradient, gradients);
        state.gradient = gradient;
        state.next_gradient = next;
    }

    fn selection<'a>(&self, index: usize, selection: Option<&'a Selection>) -> Option<&'a Selection> {
        selection.filter(|_| self.may_select() && index + 1 == self.around.spec.blocks.len())
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
