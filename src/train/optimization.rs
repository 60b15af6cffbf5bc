//! One update of K members: gradient, clipping, Adam.

use std::sync::Arc;

use super::{Cause, Error, Input, Learner, Optimizer, Pass};
use crate::error::Failure;
use crate::nn::adam::{Adam, clip_scale, gradient_norms};
use crate::nn::{self, Arena, Buffer, Rows, Slot, cross_entropy};

pub use crate::nn::adam::Moments;

/// How gradients become updates; the learning rate comes with each step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rule {
    /// The form of Adam.
    pub optimizer: Optimizer,
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub eps: f64,
    /// Weight decay of every parameter.
    pub weight_decay: f64,
    /// Largest norm of a member's gradient; 0 turns clipping off.
    pub clip: f64,
}

impl Rule {
    /// The factor of a gradient of this norm.
    pub fn clip_factor(&self, norm: f64) -> f32 {
        if self.clip == 0.0 { 1.0 } else { clip_scale(norm, self.clip) }
    }
}

/// Gradients and what else an update needs, reused from step to step.
#[derive(Debug)]
pub struct Optimization {
    rule: Rule,
    trained: Vec<Slot>,
    gradients: Arena,
    dlogits: Buffer,
    losses: Vec<f64>,
    norms: Vec<f64>,
}

impl Optimization {
    /// For the parameters that this learner trains.
    pub fn new(learner: &dyn Learner, rule: Rule) -> Self {
        let members = learner.members();
        Self {
            rule,
            trained: learner.trained(),
            gradients: Arena::zeros(learner.device(), Arc::clone(learner.layout()), members),
            dlogits: Buffer::zeros(learner.device(), 0),
            losses: vec![0.0; members],
            norms: vec![0.0; members],
        }
    }

    /// Computes losses and gradients of one batch. `loss` turns the logits of these rows into the
    /// members' losses, `[K]`, and the gradient by the logits.
    ///
    /// # Errors
    /// Those of the learner and of the loss. A loss or gradient that is not finite is no error: see
    /// [`Optimization::cause`].
    pub fn gradient(
        &mut self,
        learner: &mut dyn Learner,
        values: &Arena,
        input: &Input,
        pass: Pass,
        loss: impl FnOnce(&Rows, &Buffer, &mut [f64], &mut Buffer) -> Result<(), Error>,
    ) -> Result<(), Failure> {
        self.gradients.forget();
        learner.forward(values, input, pass)?;
        loss(input.rows(), learner.logits(), &mut self.losses, &mut self.dlogits)?;
        learner.backward(values, &self.dlogits, &mut self.gradients)?;
        self.gradients.settle();
        self.norms = gradient_norms(&self.gradients);
        // a GPU is waited for here, at the end of all that it computes, and nowhere before
        cross_entropy::settle(&self.dlogits, &mut self.losses);
        nn::check(learner.device())?;
        Ok(())
    }

    /// Mean losses of the last batch, `[K]`.
    pub fn losses(&self) -> &[f64] {
        &self.losses
    }

    /// Norms of the last gradients before clipping, `[K]`.
    pub fn norms(&self) -> &[f64] {
        &self.norms
    }

    /// The last gradients before clipping.
    pub fn gradients(&self) -> &Arena {
        &self.gradients
    }

    /// What of a member's last gradient is not finite, if anything.
    pub fn cause(&self, member: usize) -> Option<Cause> {
        if !self.losses[member].is_finite() {
            Some(Cause::Loss)
        } else if !self.norms[member].is_finite() {
            Some(Cause::Gradient)
        } else {
            None
        }
    }

    /// Makes update number `step` (from 1) with the last gradients. Members that are not `alive`
    /// keep their values, and their moments become zero, whatever their gradients are.
    pub fn apply(
        &mut self,
        step: u64,
        learning_rate: f64,
        alive: &[bool],
        values: &mut Arena,
        moments: &mut Moments,
    ) {
        let held: Vec<(usize, Vec<f32>)> = (0..alive.len())
            .filter(|&member| !alive[member])
            .map(|member| (member, values.read_member(member)))
            .collect();
        for (member, _) in &held {
            for arena in [&mut self.gradients, &mut moments.first, &mut moments.second] {
                arena.fill_member(*member, 0.0);
            }
        }
        let factor = |(&norm, &alive): (&f64, &bool)| if alive { self.rule.clip_factor(norm) } else { 0.0 };
        let scale: Vec<f32> = self.norms.iter().zip(alive).map(factor).collect();
        let adam = Adam {
            beta1: self.rule.beta1,
            beta2: self.rule.beta2,
            eps: self.rule.eps,
            weight_decay: self.rule.weight_decay,
            decoupled: self.rule.optimizer == Optimizer::AdamW,
        };
        adam.step(step, learning_rate, &scale, &self.trained, values, &self.gradients, moments);
        for (member, numbers) in held {
            // weight decay moves a value whose gradient is zero
            values.write_member(member, &numbers);
            moments.first.fill_member(member, 0.0);
            moments.second.fill_member(member, 0.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gradient_is_clipped_to_its_norm_and_never_stretched() {
        let mut rule = Rule {
            optimizer: Optimizer::Adam,
            beta1: 0.9,
            beta2: 0.999,
            eps: 1e-8,
            weight_decay: 0.0,
            clip: 5.0,
        };
        assert_eq!(rule.clip_factor(4.9), 1.0);
        assert_eq!(rule.clip_factor(0.0), 1.0);
        assert!((rule.clip_factor(10.0) - 0.5).abs() < 1e-6);
        rule.clip = 0.0;
        assert_eq!(rule.clip_factor(1e9), 1.0);
    }
}
