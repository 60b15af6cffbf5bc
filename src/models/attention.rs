//! Attention of a block: projections, norms of queries and keys, positions, and the operation.

use crate::models::block::Call;
use crate::models::parts::{Into, Linear, Norm, Size};
use crate::models::spec::{self, AttentionSpec, Position, QkNorm};
use crate::models::weights::Weight;
use crate::nn::attention::{self, Bias, BiasGradient, Gradients};
use crate::nn::heads::{self, Heads};
use crate::nn::rotary::{self, Table};
use crate::nn::{Arena, Buffer, Rows, dropout, norm, pooling, relative, residual};

/// Attention with its weights. Without queries and keys it serves batches of one row an example.
#[derive(Clone, Debug)]
pub struct Attention {
    pub(crate) spec: AttentionSpec,
    pub(crate) position: Position,
    pub(crate) hidden_size: usize,
    pub(crate) matching: Option<Matching>,
    pub(crate) value: Linear,
    pub(crate) output: Linear,
}

/// What decides which rows look at which: unread when every row sees one key only.
#[derive(Clone, Debug)]
pub struct Matching {
    pub(crate) query: Linear,
    pub(crate) key: Linear,
    pub(crate) query_norm: Option<Norm>,
    pub(crate) key_norm: Option<Norm>,
    /// A bias a head and bucket, shared by all blocks.
    pub(crate) relative_bias: Option<Weight>,
    /// Projections of relative positions, where they are not `key` and `query` themselves.
    pub(crate) position_key: Option<Linear>,
    pub(crate) position_query: Option<Linear>,
}

/// Relative positions that all blocks of a model share, and the gradient that they share too.
#[derive(Clone, Debug, Default)]
pub struct Positions {
    /// `[K, P, D]`: the table's rows in use, normed.
    pub table: Buffer,
    /// Gradient of `table`; blocks add to it.
    pub gradient: Buffer,
    /// P.
    pub rows: usize,
    /// The same rows as one example, for their dropout.
    pub layout: Rows,
    /// Which of the model's table is the first of them.
    pub first_row: usize,
    /// How distances find rows of the model's table.
    pub distances: Option<relative::Distances>,
}

/// What backward needs of one forward.
#[derive(Clone, Debug, Default)]
pub struct State {
    query_input: Buffer,
    query: Buffer,
    key: Buffer,
    query_normed: Buffer,
    key_normed: Buffer,
    query_saved: norm::Saved,
    key_saved: norm::Saved,
    value: Buffer,
    context: Buffer,
    /// The shared positions after this block's dropout.
    relative: Buffer,
    position_keys: Buffer,
    position_queries: Buffer,
    saved: attention::Saved,
    rotary: Option<Table>,
    long_rotary: Option<Table>,
}

/// Gradients inside attention; shared by all blocks of a model.
#[derive(Clone, Debug, Default)]
pub struct Scratch {
    context: Buffer,
    query: Buffer,
    key: Buffer,
    value: Buffer,
    normed: Buffer,
    relative: Buffer,
    position_keys: Buffer,
    position_queries: Buffer,
    query_input: Buffer,
}

/// Dropout sites within a block; `block` has two more.
const PROBABILITIES: u32 = 0;
const RELATIVE: u32 = 3;

impl Attention {
    fn heads(&self) -> Heads {
        let AttentionSpec { num_heads, num_kv_heads, head_dim, .. } = self.spec;
        Heads { heads: num_heads, kv_heads: num_kv_heads, head_dim }
    }

    fn options(&self, call: &Call<'_>) -> attention::Options {
        attention::Options {
            scale: self.spec.scale,
            soft_cap: self.spec.soft_cap,
            causal: call.causal,
            window: self.spec.window.filter(|_| call.honour_window).map(|window| match window {
                spec::Window::Past(size) => attention::Window::Past(size),
                spec::Window::Around(size) => attention::Window::Around(size),
            }),
            dropout: call.pass.dropout(call.site + PROBABILITIES, self.spec.dropout),
            mask_padded_queries: matches!(self.position, Position::Disentangled(_)),
            empty: attention::Empty::Uniform,
        }
    }

    /// Leaves out the bias of the output projection, which joins the residual stream with y.
    ///
    /// # Shapes
    /// - x: `[K, R, D]`, y: `[K, R or selected rows, D]`
    pub fn forward(
        &self,
        values: &Arena,
        call: &Call<'_>,
        positions: &Positions,
        x: &Buffer,
        y: &mut Buffer,
        state: &mut State,
    ) {
        let size = Size::new(call.members, call.rows.len());
        let out = Size::new(call.members, call.out_rows().len());

        // 1. Values; with one row an example they are the whole of attention
        self.value.forward(values, size, x, &mut state.value);
        let Some(matching) = &self.matching else {
            heads::repeat(self.heads(), size.members * size.rows, &state.value, &mut state.context);
            self.output.forward_without_bias(values, out, &state.context, y);
            return;
        };

        // 2. Queries (of the selected rows) and keys, normed and turned
        matching.key.forward(values, size, x, &mut state.key);
        match call.selection {
            Some(selection) => {
                let to = &mut state.query_input;
                pooling::gather(call.members, self.hidden_size, &selection.rows, x, to);
                matching.query.forward(values, out, &state.query_input, &mut state.query);
            }
            None => matching.query.forward(values, out, x, &mut state.query),
        }
        if let Some(norm) = &matching.query_norm {
            let size = self.norm_size(out, self.spec.num_heads);
            norm.forward(values, size, &state.query, &mut state.query_normed, &mut state.query_saved);
        }
        if let Some(norm) = &matching.key_norm {
            let size = self.norm_size(size, self.spec.num_kv_heads);
            norm.forward(values, size, &state.key, &mut state.key_normed, &mut state.key_saved);
        }
        self.turn(call, matching, state);

        // 3. Relative positions, projected
        if let Position::Disentangled(spec) = &self.position {
            let size = Size::new(call.members, positions.rows);
            state.relative.copy_from(&positions.table);
            self.drop_positions(call, positions, &mut state.relative);
            if spec.content_to_position {
                let projection = matching.position_key.as_ref().unwrap_or(&matching.key);
                projection.forward(values, size, &state.relative, &mut state.position_keys);
            }
            if spec.position_to_content {
                let projection = matching.position_query.as_ref().unwrap_or(&matching.query);
                projection.forward(values, size, &state.relative, &mut state.position_queries);
            }
        }

        // 4. The operation and the output projection
        let State { query, key, query_normed, key_normed, value, context, saved, .. } = state;
        let query = if matching.query_norm.is_some() { query_normed } else { query };
        let key = if matching.key_norm.is_some() { key_normed } else { key };
        let terms = (&state.position_keys, &state.position_queries);
        self.with_bias(values, matching, positions, terms, |bias| {
            self.operation(call, bias).forward(query, key, value, context, saved);
        });
        self.output.forward_without_bias(values, out, context, y);
    }

    /// Accumulates gradients of what trains, and gives the gradient of x to `dx`.
    #[expect(clippy::too_many_arguments, reason = "the operands of one derivative")]
    pub fn backward(
        &self,
        values: &Arena,
        call: &Call<'_>,
        positions: &mut Positions,
        x: &Buffer,
        state: &mut State,
        dy: &Buffer,
        gradients: &mut Arena,
        scratch: &mut Scratch,
        dx: Into<'_>,
    ) {
        let size = Size::new(call.members, call.rows.len());
        let out = Size::new(call.members, call.out_rows().len());
        let Scratch {
            context,
            query,
            key,
            value,
            normed,
            query_input,
            position_keys,
            position_queries,
            relative,
        } = scratch;

        // 4. Output projection and operation
        self.output.backward(values, out, &state.context, dy, gradients, Into::Over(context));
        let Some(matching) = &self.matching else {
            heads::reduce(self.heads(), size.members * size.rows, context, value);
            self.value.backward(values, size, x, value, gradients, dx);
            return;
        };
        let q = if matching.query_norm.is_some() { &state.query_normed } else { &state.query };
        let k = if matching.key_norm.is_some() { &state.key_normed } else { &state.key };
        let terms = (&state.position_keys, &state.position_queries);
        let table = matching.relative_bias.as_ref().and_then(|table| table.gradient(gradients));
        let bias_gradient = match (&self.position, table) {
            (Position::RelativeBias(_), Some(table)) => BiasGradient::Relative(table),
            (Position::Disentangled(spec), _) => BiasGradient::Disentangled {
                position_keys: spec.content_to_position.then_some(&mut *position_keys),
                position_queries: spec.position_to_content.then_some(&mut *position_queries),
            },
            _ => BiasGradient::None,
        };
        let to = Gradients { queries: query, keys: key, values: value, bias: bias_gradient };
        self.with_bias(values, matching, positions, terms, |bias| {
            self.operation(call, bias).backward(q, k, &state.value, context, &mut state.saved, to);
        });

        // 3. Relative positions
        if let Position::Disentangled(spec) = &self.position {
            let size = Size::new(call.members, positions.rows);
            let table = &state.relative;
            relative.zero_beside(table, table.len());
            if spec.content_to_position {
                let projection = matching.position_key.as_ref().unwrap_or(&matching.key);
                projection.backward(values, size, table, position_keys, gradients, Into::Onto(relative));
            }
            if spec.position_to_content {
                let projection = matching.position_query.as_ref().unwrap_or(&matching.query);
                projection.backward(values, size, table, position_queries, gradients, Into::Onto(relative));
            }
            self.drop_positions(call, positions, relative);
            residual::add(relative, &mut positions.gradient);
        }

        // 2. Turned back, through the norms
        if matches!(self.position, Position::Rotary(_)) {
            let shape = |heads| rotary::Shape { members: call.members, heads, head_dim: self.spec.head_dim };
            let table = self.table(call, state).expect("forward turned");
            rotary::backward(shape(self.spec.num_heads), table, call.out_rows(), query);
            rotary::backward(shape(self.spec.num_kv_heads), table, call.rows, key);
        }
        if let Some(norm) = &matching.query_norm {
            let size = self.norm_size(out, self.spec.num_heads);
            let saved = &state.query_saved;
            norm.backward(values, size, &state.query, saved, query, gradients, Into::Over(normed));
            std::mem::swap(query, normed);
        }
        if let Some(norm) = &matching.key_norm {
            let size = self.norm_size(size, self.spec.num_kv_heads);
            norm.backward(values, size, &state.key, &state.key_saved, key, gradients, Into::Over(normed));
            std::mem::swap(key, normed);
        }

        // 1. The projections
        let (dx, accumulate) = dx.parts();
        self.value.backward(values, size, x, value, gradients, Into::of(dx, accumulate));
        matching.key.backward(values, size, x, key, gradients, Into::Onto(dx));
        match call.selection {
            Some(selection) => {
                let to = Into::Over(query_input);
                matching.query.backward(values, out, &state.query_input, query, gradients, to);
                let width = self.hidden_size;
                pooling::scatter_add(call.members, width, &selection.rows, query_input, dx);
            }
            None => matching.query.backward(values, out, x, query, gradients, Into::Onto(dx)),
        }
    }

    /// Rows as the norm of queries or keys sees them.
    fn norm_size(&self, size: Size, heads: usize) -> Size {
        match self.spec.qk_norm {
            QkNorm::PerHead(_) => Size { rows: size.rows * heads, ..size },
            QkNorm::None | QkNorm::Whole(_) => size,
        }
    }

    fn drop_positions(&self, call: &Call<'_>, positions: &Positions, x: &mut Buffer) {
        if let Some(dropout) = call.pass.dropout(call.site + RELATIVE, call.dropout.relative) {
            dropout::forward(call.members, &positions.layout, self.hidden_size, dropout, x);
        }
    }

    fn turn(&self, call: &Call<'_>, matching: &Matching, state: &mut State) {
        let Position::Rotary(spec) = &self.position else { return };
        let table = match &spec.long {
            Some(long) if longest(call.rows) > long.original_max_position_embeddings => state
                .long_rotary
                .get_or_insert_with(|| Table::new(long.inverse_frequencies.clone(), spec.attention_factor)),
            _ => state
                .rotary
                .get_or_insert_with(|| Table::new(spec.inverse_frequencies.clone(), spec.attention_factor)),
        };
        table.cover(call.rows);
        let shape = |heads| rotary::Shape { members: call.members, heads, head_dim: self.spec.head_dim };
        let query = if matching.query_norm.is_some() { &mut state.query_normed } else { &mut state.query };
        rotary::forward(shape(self.spec.num_heads), table, call.out_rows(), query);
        let key = if matching.key_norm.is_some() { &mut state.key_normed } else { &mut state.key };
        rotary::forward(shape(self.spec.num_kv_heads), table, call.rows, key);
    }

    /// The angles of the latest forward.
    fn table<'a>(&self, call: &Call<'_>, state: &'a State) -> Option<&'a Table> {
        match &self.position {
            Position::Rotary(spec) => match &spec.long {
                Some(long) if longest(call.rows) > long.original_max_position_embeddings => {
                    state.long_rotary.as_ref()
                }
                _ => state.rotary.as_ref(),
            },
            _ => None,
        }
    }

    fn operation<'a>(&self, call: &'a Call<'_>, bias: Bias<'a>) -> attention::Attention<'a> {
        let Heads { heads, kv_heads, head_dim } = self.heads();
        attention::Attention {
            shape: attention::Shape { members: call.members, heads, kv_heads, head_dim },
            options: self.options(call),
            queries: call.out_rows(),
            keys: call.rows,
            bias,
        }
    }

    /// Hands the bias of the scores to `attend`; its table lookups borrow what stands here.
    fn with_bias(
        &self,
        values: &Arena,
        matching: &Matching,
        positions: &Positions,
        (position_keys, position_queries): (&Buffer, &Buffer),
        attend: impl FnOnce(Bias<'_>),
    ) {
        match &self.position {
            Position::None | Position::Rotary(_) => attend(Bias::None),
            Position::Alibi(alibi) => attend(Bias::Alibi {
                slopes: &alibi.slopes,
                rounded_before_scaling: alibi.rounded_before_scaling,
            }),
            Position::RelativeBias(spec) => {
                let buckets = relative::Buckets {
                    num_buckets: spec.num_buckets,
                    max_distance: spec.max_distance,
                    bidirectional: spec.bidirectional,
                };
                let table = matching.relative_bias.as_ref().expect("bound with the block").param(values);
                attend(Bias::Relative { table, bucket: &|distance| buckets.bucket(distance) });
            }
            Position::Disentangled(spec) => {
                let distances = positions.distances.expect("prepared by the encoder");
                let first = positions.first_row;
                attend(Bias::Disentangled {
                    position_keys: spec.content_to_position.then_some(position_keys),
                    position_queries: spec.position_to_content.then_some(position_queries),
                    row: &|distance| distances.row(distance) - first,
                });
            }
        }
    }
}

/// Tokens of the longest example.
pub(crate) fn longest(rows: &Rows) -> usize {
    rows.positions.iter().max().map_or(0, |&last| last as usize + 1)
}
