//! What stands after the plug: a classifier over pooled rows, or a span head over every row.

use crate::models::input::Pass;
use crate::models::parts::{Into, Linear, Size};
use crate::models::weights::Registry;
use crate::nn::{Arena, Buffer, Rows, activation, dropout};

/// What a head predicts.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HeadSpec {
    /// Linear, dropout, GELU, linear, as PiFi's classifier.
    Classifier {
        /// C.
        classes: usize,
        /// Between the linear maps.
        dropout: f32,
    },
    /// Scores of every row as the start and as the end of the answer.
    Span,
}

/// A head with its weights.
#[cfg_attr(
    feature = "cuda",
    expect(clippy::large_enum_variant, reason = "a handful of a model, and with CUDA a weight is larger")
)]
#[derive(Clone, Debug)]
pub(crate) enum Head {
    Classifier { first: Linear, second: Linear, dropout: f32 },
    Span { scores: Linear },
}

/// What backward needs, and scratch.
#[derive(Clone, Debug, Default)]
pub(crate) struct State {
    first: Buffer,
    activated: Buffer,
    gradient: Buffer,
    inner: Buffer,
}

/// Dropout site of the head, above all sites of an encoder.
const SITE: u32 = 1 << 24;

impl Head {
    pub(crate) fn new(spec: HeadSpec, width: usize, registry: &mut Registry) -> Self {
        let mut linear = |name: &str, outputs: usize| Linear {
            weight: registry.fresh(&format!("{name}.weight"), &[outputs, width]),
            bias: Some(registry.fresh(&format!("{name}.bias"), &[outputs])),
            inputs: width,
            outputs,
        };
        match spec {
            HeadSpec::Classifier { classes, dropout } => Self::Classifier {
                first: linear("classifier.0", width),
                second: linear("classifier.3", classes),
                dropout,
            },
            HeadSpec::Span => Self::Span { scores: linear("span", 2) },
        }
    }

    /// Whether it reads one row an example.
    pub(crate) fn pools(&self) -> bool {
        matches!(self, Self::Classifier { .. })
    }

    /// # Shapes
    /// - x: `[K, R, D]`, logits: `[K, R, C]`, or `[K, R, 2]` for spans
    #[expect(clippy::too_many_arguments, reason = "the operands of one operation")]
    pub(crate) fn forward(
        &self,
        values: &Arena,
        members: usize,
        rows: &Rows,
        pass: Pass,
        x: &Buffer,
        logits: &mut Buffer,
        state: &mut State,
    ) {
        let size = Size::new(members, rows.len());
        match self {
            Self::Classifier { first, second, dropout } => {
                first.forward(values, size, x, &mut state.first);
                if let Some(dropout) = pass.dropout(SITE, *dropout) {
                    dropout::forward(members, rows, first.outputs, dropout, &mut state.first);
                }
                let shape = [members, rows.len(), first.outputs];
                let (before, after) = (&state.first, &mut state.activated);
                activation::forward(activation::Activation::Gelu, shape, before, None, after);
                second.forward(values, size, &state.activated, logits);
            }
            Self::Span { scores } => scores.forward(values, size, x, logits),
        }
    }

    /// Accumulates the gradients of its weights; writes the gradient of x.
    #[expect(clippy::too_many_arguments, reason = "the operands of one derivative")]
    pub(crate) fn backward(
        &self,
        values: &Arena,
        members: usize,
        rows: &Rows,
        pass: Pass,
        x: &Buffer,
        state: &mut State,
        dlogits: &Buffer,
        gradients: &mut Arena,
        dx: &mut Buffer,
    ) {
        let size = Size::new(members, rows.len());
        match self {
            Self::Classifier { first, second, dropout } => {
                let State { first: before, activated, gradient, inner } = state;
                second.backward(values, size, activated, dlogits, gradients, Into::Over(gradient));
                let shape = [members, rows.len(), first.outputs];
                activation::backward(activation::Activation::Gelu, shape, before, None, gradient, inner);
                if let Some(dropout) = pass.dropout(SITE, *dropout) {
                    dropout::forward(members, rows, first.outputs, dropout, inner);
                }
                first.backward(values, size, x, inner, gradients, Into::Over(dx));
            }
            Self::Span { scores } => scores.backward(values, size, x, dlogits, gradients, Into::Over(dx)),
        }
    }
}
