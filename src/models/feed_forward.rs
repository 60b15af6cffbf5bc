//! The feed-forward of a block: plain, gated, or a mixture of gated experts.

use crate::models::parts::{Into, Linear, Size};
use crate::models::spec::Activation;
use crate::nn::{Arena, Buffer, Param, activation, routing};

/// A feed-forward with its weights.
#[cfg_attr(
    feature = "cuda",
    expect(clippy::large_enum_variant, reason = "a handful of a model, and with CUDA a weight is larger")
)]
#[derive(Clone, Debug)]
pub enum FeedForward {
    /// down(act(up(x))).
    Plain {
        /// `[F, D]`.
        up: Linear,
        /// `[D, F]`.
        down: Linear,
        /// Between them.
        activation: Activation,
    },
    /// down(act(gate(x)) * up(x)).
    Gated(Gated),
    /// The best experts of every row, weighted.
    Mixture {
        /// `[experts, D]`.
        router: Linear,
        /// One gated feed-forward an expert.
        experts: Vec<Gated>,
        /// How many a row uses.
        top_k: usize,
    },
}

/// A gated feed-forward.
#[derive(Clone, Debug)]
pub struct Gated {
    /// `[F, D]`.
    pub gate: Linear,
    /// `[F, D]`.
    pub up: Linear,
    /// `[D, F]`.
    pub down: Linear,
    /// On the gate.
    pub activation: Activation,
}

/// What backward needs of one forward.
#[derive(Clone, Debug, Default)]
pub struct State {
    gate: Buffer,
    up: Buffer,
    product: Buffer,
    mixture: Option<Box<Mixture>>,
}

/// What a mixture's backward needs.
#[derive(Clone, Debug, Default)]
struct Mixture {
    scores: Buffer,
    routes: routing::Routes,
    experts: Vec<ExpertState>,
    output_gradient: Buffer,
    input_gradient: Buffer,
}

#[derive(Clone, Debug, Default)]
struct ExpertState {
    input: Buffer,
    output: Buffer,
    state: State,
}

/// Gradients inside a feed-forward; shared by all blocks of a model.
#[derive(Clone, Debug, Default)]
pub struct Scratch {
    product: Buffer,
    gate: Buffer,
    up: Buffer,
}

impl Gated {
    /// Up to what `down` projects, which is left in the state.
    fn inner(&self, values: &Arena, size: Size, x: &Buffer, state: &mut State) {
        self.gate.forward(values, size, x, &mut state.gate);
        self.up.forward(values, size, x, &mut state.up);
        activation::gated_forward(self.activation.kernel(), &state.gate, &state.up, &mut state.product);
    }

    #[expect(clippy::too_many_arguments, reason = "the operands of one derivative")]
    fn backward(
        &self,
        values: &Arena,
        size: Size,
        x: &Buffer,
        state: &State,
        dy: &Buffer,
        gradients: &mut Arena,
        scratch: &mut Scratch,
        dx: Into<'_>,
    ) {
        let Scratch { product, gate, up } = scratch;
        self.down.backward(values, size, &state.product, dy, gradients, Into::Over(product));
        activation::gated_backward(self.activation.kernel(), &state.gate, &state.up, product, gate, up);
        let (dx, accumulate) = dx.parts();
        self.gate.backward(values, size, x, gate, gradients, Into::of(dx, accumulate));
        self.up.backward(values, size, x, up, gradients, Into::Onto(dx));
    }
}

impl FeedForward {
    /// The bias of the output, which [`FeedForward::forward`] leaves out.
    pub fn output_bias<'a>(&'a self, values: &'a Arena, size: Size) -> Option<Param<'a>> {
        match self {
            Self::Plain { down, .. } | Self::Gated(Gated { down, .. }) => down.bias(values, size),
            Self::Mixture { .. } => None,
        }
    }

    /// Leaves out the bias of the output, which joins the residual stream with y.
    ///
    /// # Shapes
    /// - x, y: `[K, R, D]`
    pub fn forward(&self, values: &Arena, size: Size, x: &Buffer, y: &mut Buffer, state: &mut State) {
        match self {
            Self::Plain { up, down, activation } => {
                up.forward_without_bias(values, size, x, &mut state.up);
                let shape = [size.members, size.rows, up.outputs];
                let bias = up.bias(values, size);
                activation::forward(activation.kernel(), shape, &state.up, bias, &mut state.product);
                down.forward_without_bias(values, size, &state.product, y);
            }
            Self::Gated(gated) => {
                gated.inner(values, size, x, state);
                gated.down.forward_without_bias(values, size, &state.product, y);
            }
            Self::Mixture { router, experts, top_k } => {
                let mixture = state.mixture.get_or_insert_with(Box::default);
                router.forward(values, size, x, &mut mixture.scores);
                let Mixture { scores, routes, .. } = &mut **mixture;
                routes.choose([size.members, size.rows, experts.len(), *top_k], scores);
                mixture.experts.resize_with(experts.len() * size.members, ExpertState::default);
                y.zero_beside(x, size.members * size.rows * router.inputs);
                for member in 0..size.members {
                    for (number, expert) in experts.iter().enumerate() {
                        let routes = mixture.routes.of(member, number);
                        if routes.is_empty() {
                            continue;
                        }
                        let one = size.one_member(member, routes.len());
                        let ExpertState { input, output, state } =
                            &mut mixture.experts[member * experts.len() + number];
                        routing::gather(router.inputs, routes, x, input);
                        expert.inner(values, one, input, state);
                        expert.down.forward(values, one, &state.product, output);
                        routing::scatter_weighted(router.inputs, routes, output, y);
                    }
                }
            }
        }
    }

    /// Accumulates gradients of what trains, and gives the gradient of x to `dx`.
    #[expect(clippy::too_many_arguments, reason = "the operands of one derivative")]
    pub fn backward(
        &self,
        values: &Arena,
        size: Size,
        x: &Buffer,
        state: &mut State,
        dy: &Buffer,
        gradients: &mut Arena,
        scratch: &mut Scratch,
        dx: Into<'_>,
    ) {
        match self {
            Self::Plain { up, down, activation } => {
                let Scratch { product, up: dup, .. } = scratch;
                down.backward(values, size, &state.product, dy, gradients, Into::Over(product));
                let shape = [size.members, size.rows, up.outputs];
                let bias = up.bias(values, size);
                activation::backward(activation.kernel(), shape, &state.up, bias, product, dup);
                up.backward(values, size, x, dup, gradients, dx);
            }
            Self::Gated(gated) => gated.backward(values, size, x, state, dy, gradients, scratch, dx),
            Self::Mixture { router, experts, .. } => {
                let mixture = state.mixture.as_mut().expect("forward ran before backward");
                let width = router.inputs;
                let (dx, accumulate) = dx.parts();
                if !accumulate {
                    dx.zero_beside(x, size.members * size.rows * width);
                }
                for member in 0..size.members {
                    for (number, expert) in experts.iter().enumerate() {
                        let state = &mixture.experts[member * experts.len() + number];
                        mixture.routes.weight_gradients(width, [member, number], &state.output, dy);
                        let routes = mixture.routes.of(member, number);
                        if routes.is_empty() {
                            continue;
                        }
                        let one = size.one_member(member, routes.len());
                        routing::gather_weighted(width, routes, dy, &mut mixture.output_gradient);
                        expert.backward(
                            values,
                            one,
                            &state.input,
                            &state.state,
                            &mixture.output_gradient,
                            gradients,
                            scratch,
                            Into::Over(&mut mixture.input_gradient),
                        );
                        routing::scatter(width, routes, &mixture.input_gradient, dx);
                    }
                }
                let dscores = &mut scratch.gate;
                mixture.routes.score_gradients(dscores);
                router.backward(values, size, x, dscores, gradients, Into::Onto(dx));
            }
        }
    }
}
