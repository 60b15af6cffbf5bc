//! DeBERTa v2's convolution beside block 0: norm(block output + act(conv(embeddings))).

use crate::models::parts::{Into, Norm, Size};
use crate::models::spec;
use crate::models::weights::Weight;
use crate::nn::dropout::Dropout;
use crate::nn::{Arena, Buffer, Rows, activation, convolution, dropout, norm, residual};

/// The branch with its weights.
#[derive(Clone, Debug)]
pub struct Convolution {
    options: spec::Convolution,
    width: usize,
    weight: Weight,
    bias: Weight,
    norm: Norm,
}

/// What backward needs, and scratch.
#[derive(Clone, Debug, Default)]
pub struct State {
    convolved: Buffer,
    activated: Buffer,
    sum: Buffer,
    saved: norm::Saved,
    scratch: convolution::Scratch,
    gradient: Buffer,
    inner: Buffer,
}

impl Convolution {
    /// Over rows of `width`.
    pub fn new(options: spec::Convolution, width: usize, weight: Weight, bias: Weight, norm: Norm) -> Self {
        Self { options, width, weight, bias, norm }
    }

    fn operation<'a>(&self, members: usize, rows: &'a Rows) -> convolution::Convolution<'a> {
        let spec::Convolution { kernel_size, groups, .. } = self.options;
        let shape = convolution::Shape {
            members,
            inputs: self.width,
            outputs: self.width,
            taps: kernel_size,
            groups,
        };
        convolution::Convolution { shape, rows }
    }

    /// # Shapes
    /// - embeddings, block, y: `[K, R, D]`
    #[expect(clippy::too_many_arguments, reason = "the operands of one operation")]
    pub fn forward(
        &self,
        values: &Arena,
        members: usize,
        rows: &Rows,
        dropout: Option<Dropout>,
        embeddings: &Buffer,
        block: &Buffer,
        y: &mut Buffer,
        state: &mut State,
    ) {
        let (weight, bias) = (self.weight.param(values), self.bias.param(values));
        let State { convolved, activated, sum, saved, scratch, .. } = state;
        self.operation(members, rows).forward(embeddings, weight, Some(bias), convolved, scratch);
        if let Some(dropout) = dropout {
            dropout::forward(members, rows, self.width, dropout, convolved);
        }
        let shape = [members, rows.len(), self.width];
        activation::forward(self.options.activation.kernel(), shape, convolved, None, activated);
        residual::sum(block, activated, sum);
        self.norm.forward(values, Size::new(members, rows.len()), sum, y, saved);
        residual::zero_padding(members, self.width, rows, y);
    }

    /// Accumulates gradients of what trains; writes those of the embeddings and of the block's output.
    #[expect(clippy::too_many_arguments, reason = "the operands of one derivative")]
    pub fn backward(
        &self,
        values: &Arena,
        members: usize,
        rows: &Rows,
        dropout: Option<Dropout>,
        embeddings: &Buffer,
        state: &mut State,
        dy: &Buffer,
        gradients: &mut Arena,
        dembeddings: &mut Buffer,
        dblock: &mut Buffer,
    ) {
        let size = Size::new(members, rows.len());
        let State { convolved, sum, saved, scratch, gradient, inner, .. } = state;
        gradient.copy_from(dy);
        residual::zero_padding(members, self.width, rows, gradient);
        self.norm.backward(values, size, sum, saved, gradient, gradients, Into::Over(dblock));
        let shape = [members, rows.len(), self.width];
        activation::backward(self.options.activation.kernel(), shape, convolved, None, dblock, inner);
        if let Some(dropout) = dropout {
            dropout::forward(members, rows, self.width, dropout, inner);
        }
        let weight = self.weight.param(values);
        let slots = [&self.weight, &self.bias].map(Weight::slot);
        if let (Some(weight_gradient), bias) = gradients.params_mut(slots) {
            let to = convolution::Gradients { weight: weight_gradient, bias, input: dembeddings };
            self.operation(members, rows).backward(embeddings, weight, inner, to, scratch);
        }
    }
}
