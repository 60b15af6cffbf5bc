//! What happens before the first block: word, position and type tables, their norm, a projection.

use crate::models::input::Pass;
use crate::models::parts::{Into, Linear, Norm, Size};
use crate::models::spec::{EmbeddingSpec, PositionStart, ProjectionPlace};
use crate::models::weights::Weight;
use crate::nn::{Arena, Buffer, Rows, dropout, embedding, norm, residual};

/// The embeddings with their weights.
#[derive(Clone, Debug)]
pub struct Embeddings {
    pub(crate) spec: EmbeddingSpec,
    pub(crate) words: Weight,
    pub(crate) positions: Option<Weight>,
    pub(crate) token_types: Option<Weight>,
    pub(crate) norm: Option<Norm>,
    pub(crate) projection: Option<Linear>,
    pub(crate) dropout: f32,
}

/// What backward needs, and scratch.
#[derive(Clone, Debug, Default)]
pub struct State {
    words: Buffer,
    sum: Buffer,
    saved: norm::Saved,
    normed: Buffer,
    position_ids: Vec<u32>,
    gradient: Buffer,
    inner: Buffer,
    dwords: Buffer,
}

/// Dropout site of the embeddings; blocks follow.
const SITE: u32 = 0;

impl Embeddings {
    /// # Shapes
    /// - ids, type_ids: `[R]`, y: `[K, R, D]`
    #[expect(clippy::too_many_arguments, reason = "the operands of one operation")]
    pub fn forward(
        &self,
        values: &Arena,
        members: usize,
        ids: &[u32],
        type_ids: &[u32],
        rows: &Rows,
        pass: Pass,
        y: &mut Buffer,
        state: &mut State,
    ) {
        let size = Size::new(members, rows.len());
        let scale = self.spec.scale.unwrap_or(1.0);

        // 1. Words, projected on their own or with the sum
        let words = self.words.param(values);
        let inner = self.spec.embedding_size;
        let width = self.summed_width();
        let before = self.projection.as_ref().filter(|_| self.projects_words());
        match before {
            Some(projection) => {
                embedding::forward(members, ids, inner, words, &mut state.words, false, scale);
                projection.forward(values, size, &state.words, &mut state.sum);
            }
            None => embedding::forward(members, ids, inner, words, &mut state.sum, false, scale),
        }

        // 2. Types and positions
        if let Some(types) = &self.token_types {
            let table = types.param(values);
            embedding::forward(members, type_ids, width, table, &mut state.sum, true, 1.0);
        }
        if let (Some(table), Some(spec)) = (&self.positions, self.spec.positions) {
            position_ids(spec.start, rows, &mut state.position_ids);
            let ids = &state.position_ids;
            embedding::forward(members, ids, width, table.param(values), &mut state.sum, true, 1.0);
        }

        // 3. Norm, padding, dropout, projection of the sum
        let normed = match &self.norm {
            Some(norm) => {
                norm.forward(values, size, &state.sum, &mut state.normed, &mut state.saved);
                &mut state.normed
            }
            None => &mut state.sum,
        };
        if self.spec.mask_padding {
            residual::zero_padding(members, width, rows, normed);
        }
        if let Some(dropout) = pass.dropout(SITE, self.dropout) {
            dropout::forward(members, rows, width, dropout, normed);
        }
        match self.projection.as_ref().filter(|_| !self.projects_words()) {
            Some(projection) => projection.forward(values, size, normed, y),
            None => y.copy_from(normed),
        }
    }

    fn projects_words(&self) -> bool {
        self.spec.projection.is_some_and(|projection| projection.place == ProjectionPlace::Words)
    }

    /// Width of the sum of the tables.
    fn summed_width(&self) -> usize {
        match &self.projection {
            Some(projection) if self.projects_words() => projection.outputs,
            _ => self.spec.embedding_size,
        }
    }

    /// Accumulates the gradients of the tables.
    ///
    /// # Shapes
    /// - dy: `[K, R, D]`
    #[expect(clippy::too_many_arguments, reason = "the operands of one derivative")]
    pub fn backward(
        &self,
        values: &Arena,
        members: usize,
        ids: &[u32],
        type_ids: &[u32],
        rows: &Rows,
        pass: Pass,
        state: &mut State,
        dy: &Buffer,
        gradients: &mut Arena,
    ) {
        let size = Size::new(members, rows.len());
        let width = self.summed_width();
        let State { words, sum, saved, normed, position_ids, gradient, inner, dwords } = state;

        // 3. Projection of the sum, dropout, padding, norm
        let input = if self.norm.is_some() { &*normed } else { &*sum };
        match self.projection.as_ref().filter(|_| !self.projects_words()) {
            Some(projection) => projection.backward(values, size, input, dy, gradients, Into::Over(inner)),
            None => inner.copy_from(dy),
        }
        if let Some(dropout) = pass.dropout(SITE, self.dropout) {
            dropout::forward(members, rows, width, dropout, inner);
        }
        if self.spec.mask_padding {
            residual::zero_padding(members, width, rows, inner);
        }
        let dsum = match &self.norm {
            Some(norm) => {
                norm.backward(values, size, sum, saved, inner, gradients, Into::Over(gradient));
                &*gradient
            }
            None => &*inner,
        };

        // 2. Positions and types
        if let (Some(table), Some(spec)) = (&self.positions, self.spec.positions) {
            let padding = match spec.start {
                PositionStart::AfterPadding(padding) => Some(padding as u32),
                PositionStart::Offset(_) => None,
            };
            if let Some(dtable) = table.gradient(gradients) {
                embedding::backward(members, position_ids, width, dsum, 1.0, padding, dtable);
            }
        }
        if let Some(dtable) = self.token_types.as_ref().and_then(|types| types.gradient(gradients)) {
            embedding::backward(members, type_ids, width, dsum, 1.0, None, dtable);
        }

        // 1. Words
        let dwords = match self.projection.as_ref().filter(|_| self.projects_words()) {
            Some(projection) => {
                projection.backward(values, size, words, dsum, gradients, Into::Over(dwords));
                &*dwords
            }
            None => dsum,
        };
        if let Some(dtable) = self.words.gradient(gradients) {
            let (scale, width) = (self.spec.scale.unwrap_or(1.0), self.spec.embedding_size);
            embedding::backward(members, ids, width, dwords, scale, self.spec.padding_id, dtable);
        }
    }
}

/// Row of the position table for every token.
fn position_ids(start: PositionStart, rows: &Rows, ids: &mut Vec<u32>) {
    ids.clear();
    match start {
        PositionStart::Offset(offset) => {
            ids.extend(rows.positions.iter().map(|position| position + offset as u32));
        }
        PositionStart::AfterPadding(padding) => {
            for example in 0..rows.examples() {
                let mut next = padding as u32;
                for row in rows.segment(example) {
                    let real = rows.is_real(row);
                    next += u32::from(real);
                    ids.push(if real { next } else { padding as u32 });
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_after_padding_count_real_tokens_only() {
        let mut rows = Rows::packed(&[3, 3]);
        rows.real = Some(vec![true, true, true, true, true, false]);
        let mut ids = Vec::new();
        position_ids(PositionStart::AfterPadding(1), &rows, &mut ids);
        assert_eq!(ids, [2, 3, 4, 2, 3, 1]);
        position_ids(PositionStart::Offset(2), &rows, &mut ids);
        assert_eq!(ids, [2, 3, 4, 2, 3, 4]);
    }
}
