//! The two parameterised maps that everything is made of: linear and norm, each over weights that
//! train or are frozen.

use crate::models::spec::{self, NormKind};
use crate::models::weights::Weight;
use crate::nn::linear;
use crate::nn::{Arena, Buffer, Param, activation, norm};

/// How many matrices of how many rows an activation holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// K.
    pub members: usize,
    /// R.
    pub rows: usize,
    /// Which member's weights the first matrix meets; 0 but for work on one member alone.
    pub first_member: usize,
}

impl Size {
    /// K matrices of R rows.
    pub fn new(members: usize, rows: usize) -> Self {
        Self { members, rows, first_member: 0 }
    }

    /// Some rows of one member.
    #[must_use]
    pub fn one_member(self, member: usize, rows: usize) -> Self {
        Self { members: 1, rows, first_member: self.first_member + member }
    }
}

/// Where the gradient of an input goes.
#[derive(Debug)]
pub enum Into<'a> {
    /// Replaces what stands there.
    Over(&'a mut Buffer),
    /// Adds to it.
    Onto(&'a mut Buffer),
}

impl<'a> Into<'a> {
    /// The buffer, added to or replaced.
    pub(super) fn of(buffer: &'a mut Buffer, accumulate: bool) -> Self {
        if accumulate { Self::Onto(buffer) } else { Self::Over(buffer) }
    }

    /// The buffer, and whether to add to it.
    pub(super) fn parts(self) -> (&'a mut Buffer, bool) {
        match self {
            Self::Over(buffer) => (buffer, false),
            Self::Onto(buffer) => (buffer, true),
        }
    }
}

/// y = x Wᵀ + b.
#[derive(Clone, Debug)]
pub struct Linear {
    /// `[out, in]`.
    pub weight: Weight,
    /// `[out]`.
    pub bias: Option<Weight>,
    /// Width of x.
    pub inputs: usize,
    /// Width of y.
    pub outputs: usize,
}

impl Linear {
    fn shape(&self, size: Size) -> linear::Shape {
        linear::Shape { members: size.members, rows: size.rows, inputs: self.inputs, outputs: self.outputs }
    }

    fn weight<'a>(&'a self, values: &'a Arena, size: Size) -> Param<'a> {
        self.weight.param(values).from_member(size.first_member)
    }

    /// # Shapes
    /// - x: `[K, R, in]`, y: `[K, R, out]`
    pub fn forward(&self, values: &Arena, size: Size, x: &Buffer, y: &mut Buffer) {
        linear::forward(self.shape(size), x, self.weight(values, size), self.bias(values, size), y);
    }

    /// The same without the bias, which whatever reads y adds in its own pass.
    ///
    /// # Shapes
    /// - x: `[K, R, in]`, y: `[K, R, out]`
    pub fn forward_without_bias(&self, values: &Arena, size: Size, x: &Buffer, y: &mut Buffer) {
        linear::forward(self.shape(size), x, self.weight(values, size), None, y);
    }

    /// `[out]`, if it has one.
    pub fn bias<'a>(&'a self, values: &'a Arena, size: Size) -> Option<Param<'a>> {
        self.bias.as_ref().map(|bias| bias.param(values).from_member(size.first_member))
    }

    /// Accumulates the gradients of what trains, and gives the gradient of x to `dx`.
    pub fn backward(
        &self,
        values: &Arena,
        size: Size,
        x: &Buffer,
        dy: &Buffer,
        gradients: &mut Arena,
        dx: Into<'_>,
    ) {
        self.backward_weights(size, x, dy, gradients);
        let shape = self.shape(size);
        let weight = self.weight(values, size);
        let (dx, accumulate) = dx.parts();
        linear::backward_input(shape, dy, weight, dx, accumulate);
    }

    /// Accumulates the gradients of what trains, where nobody reads that of x.
    pub fn backward_weights(&self, size: Size, x: &Buffer, dy: &Buffer, gradients: &mut Arena) {
        let shape = self.shape(size);
        if let Some(dweight) = self.weight.gradient(gradients) {
            linear::backward_weight(shape, x, dy, dweight.from_member(size.first_member));
        }
        if let Some(dbias) = self.bias.as_ref().and_then(|bias| bias.gradient(gradients)) {
            linear::backward_bias(shape, dy, dbias.from_member(size.first_member));
        }
    }
}

/// A normalisation with its weight.
#[derive(Clone, Debug)]
pub struct Norm {
    kind: norm::Kind,
    eps: f64,
    width: usize,
    weight: Weight,
    bias: Option<Weight>,
}

impl Norm {
    /// Over rows of `width`.
    pub fn new(spec: spec::Norm, width: usize, weight: Weight, bias: Option<Weight>) -> Self {
        let kind = match spec.kind {
            NormKind::LayerNorm => norm::Kind::LayerNorm,
            NormKind::RmsNorm => norm::Kind::RmsNorm,
            NormKind::RmsNormPlusOne => norm::Kind::RmsNormPlusOne,
        };
        Self { kind, eps: spec.eps, width, weight, bias }
    }

    fn shape(&self, size: Size) -> norm::Shape {
        norm::Shape { members: size.members, rows: size.rows, width: self.width }
    }

    /// # Shapes
    /// - x, y: `[K, R, width]`
    pub fn forward(&self, values: &Arena, size: Size, x: &Buffer, y: &mut Buffer, saved: &mut norm::Saved) {
        let bias = self.bias.as_ref().map(|bias| bias.param(values).from_member(size.first_member));
        norm::forward(self.kind, self.eps, self.shape(size), x, self.weight.param(values), bias, y, saved);
    }

    /// Accumulates the gradients of what trains, and gives the gradient of x to `dx`.
    #[expect(clippy::too_many_arguments, reason = "the operands of one derivative")]
    pub fn backward(
        &self,
        values: &Arena,
        size: Size,
        x: &Buffer,
        saved: &norm::Saved,
        dy: &Buffer,
        gradients: &mut Arena,
        dx: Into<'_>,
    ) {
        let (dx, accumulate) = dx.parts();
        let shape = self.shape(size);
        let weight = self.weight.param(values);
        let slots = [Some(&self.weight), self.bias.as_ref()].map(|weight| weight.and_then(Weight::slot));
        let (dweight, dbias) = gradients.params_mut(slots);
        norm::backward(self.kind, shape, x, weight, saved, dy, dweight, dbias, dx, accumulate);
    }
}

impl spec::Activation {
    /// The operation that computes it.
    pub(crate) fn kernel(self) -> activation::Activation {
        match self {
            Self::Relu => activation::Activation::Relu,
            Self::Gelu => activation::Activation::Gelu,
            Self::GeluTanh => activation::Activation::GeluTanh,
            Self::Silu => activation::Activation::Silu,
        }
    }
}
