//! The one transformer block: norms, attention and feed-forward around a residual stream, placed
//! and joined as its specification says.

use crate::models::attention::{self, Attention};
use crate::models::feed_forward::{self, FeedForward};
use crate::models::input::Pass;
use crate::models::parts::{Into, Norm, Size};
use crate::models::spec::{BlockSpec, Placement, Residual};
use crate::nn::dropout::Dropout;
use crate::nn::join::Join;
use crate::nn::{Arena, Buffer, Param, Rows, norm, pooling, residual};

impl Pass {
    /// The dropout of one place in the model, or none.
    pub(crate) fn dropout(self, site: u32, probability: f32) -> Option<Dropout> {
        match self {
            Self::Train(key) if probability > 0.0 => Some(Dropout { key: key.at(site), probability }),
            _ => None,
        }
    }
}

/// Rows whose outputs are read; the others only serve as keys and values.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// Row numbers, in order.
    pub rows: Vec<usize>,
    /// How they belong to the examples; the same examples as all rows.
    pub layout: Rows,
}

/// What a block is told besides its input.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// K.
    pub members: usize,
    /// All rows.
    pub rows: &'a Rows,
    /// The rows to compute; all when `None`.
    pub selection: Option<&'a Selection>,
    /// Rows see only themselves and earlier ones.
    pub causal: bool,
    /// Whether the block's own window applies.
    pub honour_window: bool,
    /// Training or not.
    pub pass: Pass,
    /// First of the four dropout sites of this block.
    pub site: u32,
    /// Probabilities of the dropouts in a block.
    pub dropout: BlockDropout,
}

/// Probabilities of dropping elements in a block; attention weights have their own.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct BlockDropout {
    /// After the output projection of attention.
    pub attention: f32,
    /// After the feed-forward.
    pub feed_forward: f32,
    /// Of the relative positions before they are projected.
    pub relative: f32,
}

impl Call<'_> {
    fn size(&self) -> Size {
        Size::new(self.members, self.rows.len())
    }

    /// Rows that come out.
    pub fn out_rows(&self) -> &Rows {
        self.selection.map_or(self.rows, |selection| &selection.layout)
    }

    fn out_size(&self) -> Size {
        Size::new(self.members, self.out_rows().len())
    }
}

/// A block with its weights.
#[derive(Clone, Debug)]
pub struct Block {
    pub(crate) spec: BlockSpec,
    pub(crate) attention_norm: Option<Norm>,
    pub(crate) attention: Attention,
    pub(crate) attention_output_norm: Option<Norm>,
    pub(crate) feed_forward_norm: Option<Norm>,
    pub(crate) feed_forward: FeedForward,
    pub(crate) feed_forward_output_norm: Option<Norm>,
}

/// What a block's backward needs of its forward.
#[derive(Clone, Debug, Default)]
pub struct State {
    attention: attention::State,
    feed_forward: feed_forward::State,
    /// The input of attention, all rows, after the norm before it.
    attended: Buffer,
    attended_saved: norm::Saved,
    /// The input's selected rows.
    selected: Buffer,
    /// Attention's output before its own norm.
    attention_output: Buffer,
    attention_output_saved: norm::Saved,
    /// Input plus attention (before the norm of placement post).
    sum: Buffer,
    /// The residual stream that the feed-forward joins.
    middle: Buffer,
    feed_forward_input: Buffer,
    feed_forward_saved: norm::Saved,
    feed_forward_output: Buffer,
    feed_forward_output_saved: norm::Saved,
    /// Before the last norm of placement post.
    last_sum: Buffer,
}

/// Gradients inside a block; shared by all blocks of a model.
#[derive(Clone, Debug, Default)]
pub struct Scratch {
    attention: attention::Scratch,
    feed_forward: feed_forward::Scratch,
    stream: Buffer,
    branch: Buffer,
    inner: Buffer,
    attended: Buffer,
}

const ATTENTION_OUTPUT: u32 = 1;
const FEED_FORWARD_OUTPUT: u32 = 2;

impl Block {
    /// What the block is.
    pub fn spec(&self) -> &BlockSpec {
        &self.spec
    }

    /// # Shapes
    /// - x: `[K, R, D]`, y: `[K, R or selected rows, D]`
    pub fn forward(
        &self,
        values: &Arena,
        call: &Call<'_>,
        positions: &attention::Positions,
        x: &Buffer,
        y: &mut Buffer,
        state: &mut State,
    ) {
        let width = self.spec.hidden_size;
        let (size, out) = (call.size(), call.out_size());

        // 1. Attention over the (normed) input
        let attended = match &self.attention_norm {
            Some(norm) => {
                norm.forward(values, size, x, &mut state.attended, &mut state.attended_saved);
                &state.attended
            }
            None => x,
        };
        self.attention.forward(
            values,
            call,
            positions,
            attended,
            &mut state.attention_output,
            &mut state.attention,
        );

        // 2. Join it with the stream
        let x = match call.selection {
            Some(selection) => {
                pooling::gather(call.members, width, &selection.rows, x, &mut state.selected);
                &state.selected
            }
            None => x,
        };
        let State { attention_output, attention_output_saved, sum, middle, .. } = state;
        let join = self.join(call, ATTENTION_OUTPUT, call.dropout.attention);
        let bias = self.attention.output.bias(values, out);
        let norm = self.attention_output_norm.as_ref();
        self.join_stream(values, join, norm, x, attention_output, bias, sum, attention_output_saved, middle);

        // 3. Feed-forward over the (normed) stream, or over the input where branches are parallel
        let input = match (self.spec.residual, &self.feed_forward_norm) {
            (Residual::Parallel, _) => match call.selection {
                Some(selection) => {
                    let to = &mut state.feed_forward_input;
                    pooling::gather(call.members, width, &selection.rows, attended, to);
                    &state.feed_forward_input
                }
                None => attended,
            },
            (residual, Some(norm)) => {
                let from = if residual == Residual::Sequential { &state.middle } else { x };
                let saved = &mut state.feed_forward_saved;
                norm.forward(values, out, from, &mut state.feed_forward_input, saved);
                &state.feed_forward_input
            }
            (Residual::Sequential, None) => &state.middle,
            (Residual::ParallelTwoNorms, None) => x,
        };
        let State { feed_forward, feed_forward_output: output, feed_forward_output_saved: saved, .. } = state;
        self.feed_forward.forward(values, out, input, output, feed_forward);

        // 4. Join it with the stream
        let join = self.join(call, FEED_FORWARD_OUTPUT, call.dropout.feed_forward);
        let bias = self.feed_forward.output_bias(values, out);
        let norm = self.feed_forward_output_norm.as_ref();
        self.join_stream(values, join, norm, &state.middle, output, bias, &mut state.last_sum, saved, y);
    }

    /// How a branch joins the stream, with the dropout of its site.
    fn join<'a>(&self, call: &'a Call<'_>, site: u32, probability: f32) -> Join<'a> {
        let dropout = call.pass.dropout(call.site + site, probability);
        Join { members: call.members, rows: call.out_rows(), width: self.spec.hidden_size, dropout }
    }

    /// y = x + branch, normed before or after as the placement says; `sum` is what stands before the last
    /// norm of placement post, and `branch` what stands before its own norm.
    #[expect(clippy::too_many_arguments, reason = "the operands of one operation")]
    fn join_stream(
        &self,
        values: &Arena,
        join: Join<'_>,
        norm: Option<&Norm>,
        x: &Buffer,
        branch: &mut Buffer,
        bias: Option<Param<'_>>,
        sum: &mut Buffer,
        saved: &mut norm::Saved,
        y: &mut Buffer,
    ) {
        let size = Size::new(join.members, join.rows.len());
        match (norm, self.spec.placement) {
            (Some(norm), Placement::Post) => {
                join.forward(x, branch, bias, sum);
                norm.forward(values, size, sum, y, saved);
            }
            (Some(norm), _) => {
                join.alone(bias, branch);
                norm.forward(values, size, branch, y, saved);
                residual::add(x, y);
            }
            (None, _) => join.forward(x, branch, bias, y),
        }
    }

    /// Accumulates gradients of what trains; writes the gradient of x.
    ///
    /// # Shapes
    /// - dy: `[K, R or selected rows, D]`, dx: `[K, R, D]`
    #[expect(clippy::too_many_arguments, reason = "the operands of one derivative")]
    pub fn backward(
        &self,
        values: &Arena,
        call: &Call<'_>,
        positions: &mut attention::Positions,
        x: &Buffer,
        state: &mut State,
        dy: &Buffer,
        gradients: &mut Arena,
        scratch: &mut Scratch,
        dx: &mut Buffer,
    ) {
        let width = self.spec.hidden_size;
        let (size, out) = (call.size(), call.out_size());
        let attended = if self.attention_norm.is_some() { &state.attended } else { x };
        let selected = if call.selection.is_some() { &state.selected } else { x };
        let Scratch {
            attention: attention_scratch,
            feed_forward,
            stream,
            branch,
            inner,
            attended: dattended,
        } = scratch;

        // 4. `stream` becomes the gradient of the stream, `branch` that of the feed-forward's output
        let join = self.join(call, FEED_FORWARD_OUTPUT, call.dropout.feed_forward);
        match (&self.feed_forward_output_norm, self.spec.placement) {
            (Some(norm), Placement::Post) => {
                let saved = &state.feed_forward_output_saved;
                norm.backward(values, out, &state.last_sum, saved, dy, gradients, Into::Over(stream));
                join.backward(stream, branch);
            }
            (Some(norm), _) => {
                stream.copy_from(dy);
                let saved = &state.feed_forward_output_saved;
                let output = &state.feed_forward_output;
                norm.backward(values, out, output, saved, dy, gradients, Into::Over(branch));
                join.alone(None, branch);
            }
            (None, _) => {
                stream.copy_from(dy);
                join.backward(dy, branch);
            }
        }

        // 3. Through the feed-forward; `inner` is the gradient of its input, where it is not the stream
        let input = match (self.spec.residual, &self.feed_forward_norm) {
            (Residual::Parallel, _) if call.selection.is_none() => attended,
            (Residual::Parallel, _) | (_, Some(_)) => &state.feed_forward_input,
            (Residual::Sequential, None) => &state.middle,
            (Residual::ParallelTwoNorms, None) => selected,
        };
        let onto_stream = self.spec.residual == Residual::Sequential && self.feed_forward_norm.is_none();
        let to = if onto_stream { Into::Onto(stream) } else { Into::Over(inner) };
        let ff_state = &mut state.feed_forward;
        self.feed_forward.backward(values, out, input, ff_state, branch, gradients, feed_forward, to);
        // what the parallel branches add to the gradient of their common input
        let mut parallel: Option<&Buffer> = None;
        match (self.spec.residual, &self.feed_forward_norm) {
            (Residual::Sequential, Some(norm)) => {
                let saved = &state.feed_forward_saved;
                norm.backward(values, out, &state.middle, saved, inner, gradients, Into::Onto(stream));
            }
            (Residual::Sequential, None) => {}
            _ => parallel = Some(inner),
        }

        // 2. `stream` becomes the gradient of the input's residual path, `branch` attention's output's
        let join = self.join(call, ATTENTION_OUTPUT, call.dropout.attention);
        match (&self.attention_output_norm, self.spec.placement) {
            (Some(norm), Placement::Post) => {
                let saved = &state.attention_output_saved;
                norm.backward(values, out, &state.sum, saved, stream, gradients, Into::Over(branch));
                std::mem::swap(stream, branch);
                join.backward(stream, branch);
            }
            (Some(norm), _) => {
                let saved = &state.attention_output_saved;
                let output = &state.attention_output;
                norm.backward(values, out, output, saved, stream, gradients, Into::Over(branch));
                join.alone(None, branch);
            }
            (None, _) => join.backward(stream, branch),
        }
        if let (Some(inner), Residual::ParallelTwoNorms) = (parallel, self.spec.residual) {
            match &self.feed_forward_norm {
                Some(norm) => {
                    let saved = &state.feed_forward_saved;
                    norm.backward(values, out, selected, saved, inner, gradients, Into::Onto(stream));
                }
                None => residual::add(inner, stream),
            }
        }

        // 1. Through attention; `dattended` is the gradient of its normed input, all rows. Where all rows
        // are computed, what goes through attention is added to what goes past it
        let accumulate = call.selection.is_none();
        if accumulate {
            std::mem::swap(stream, dx);
        }
        let to = match &self.attention_norm {
            Some(_) => Into::Over(dattended),
            None => Into::of(dx, accumulate),
        };
        let attention = &mut state.attention;
        self.attention.backward(
            values,
            call,
            positions,
            attended,
            attention,
            branch,
            gradients,
            attention_scratch,
            to,
        );
        if let (Some(inner), Residual::Parallel) = (parallel, self.spec.residual) {
            let common = if self.attention_norm.is_some() { &mut *dattended } else { &mut *dx };
            match call.selection {
                Some(selection) => {
                    pooling::scatter_add(call.members, width, &selection.rows, inner, common);
                }
                None => residual::add(inner, common),
            }
        }
        if let Some(norm) = &self.attention_norm {
            let to = Into::of(dx, accumulate);
            norm.backward(values, size, x, &state.attended_saved, dattended, gradients, to);
        }
        if let Some(selection) = call.selection {
            pooling::scatter_add(call.members, width, &selection.rows, stream, dx);
        }
    }
}
