//! Adam (Kingma and Ba 2015) and AdamW (Loshchilov and Hutter 2019) over arenas in one pass, and
//! the clipping of gradients before it. Formulas and their roundings are those of PyTorch's
//! `torch.optim.Adam`, `AdamW` and `clip_grad_norm_` in f32.

#[cfg(feature = "cuda")]
#[path = "cuda/adam.rs"]
mod on_gpu;

use rayon::prelude::*;

use super::parallel::{self, LOOKED_AT, PIECE, all_zero, sum_of, widest};
use super::{Arena, Slot};

/// What of the optimiser stays the same during a run. The learning rate follows a schedule, so it
/// is given to every step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Adam {
    /// Decay of the mean of gradients.
    pub beta1: f64,
    /// Decay of the mean of squared gradients.
    pub beta2: f64,
    /// Added to the root of the second mean.
    pub eps: f64,
    /// λ.
    pub weight_decay: f64,
    /// Whether the decay is applied to the values (AdamW: value (1 - rate λ)) or added to the
    /// gradient (Adam: gradient + λ value).
    pub decoupled: bool,
}

impl Default for Adam {
    /// PyTorch's defaults, without decay.
    fn default() -> Self {
        Self { beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.0, decoupled: false }
    }
}

/// The running means of gradients and of their squares.
#[derive(Clone, Debug)]
pub struct Moments {
    /// m, `[K, P]`.
    pub first: Arena,
    /// v, `[K, P]`.
    pub second: Arena,
}

impl Adam {
    /// One step of every parameter in `trained`; the others, their moments included, stay as they
    /// are. Each member's gradients are first multiplied by its number in `scale` (of
    /// [`clip_scale`]; 1 for none). Every parameter in `trained` decays, as in PyTorch every tensor
    /// with a gradient does, also where the gradient is zero.
    ///
    /// `step` counts from 1. `trained` may be in any order, each slot at most once.
    #[expect(clippy::too_many_arguments, reason = "the arenas are the caller's, each borrowed its own way")]
    pub fn step(
        &self,
        step: u64,
        learning_rate: f64,
        scale: &[f32],
        trained: &[Slot],
        values: &mut Arena,
        grads: &Arena,
        moments: &mut Moments,
    ) {
        let members = values.members();
        assert!(step > 0 && scale.len() == members && grads.members() == members);
        let len = values.layout().len();
        if len == 0 {
            return;
        }
        let update = self.update(step, learning_rate);
        let runs = runs(trained);
        #[cfg(feature = "cuda")]
        if let Some(gpu) = values.buffer().gpu() {
            let Moments { first, second } = moments;
            return on_gpu::step(gpu, &update, &runs, scale, values, grads, first, second);
        }
        let work = members * runs.iter().map(|run| run.len).sum::<usize>();
        let mut pieces = Vec::with_capacity(work / PIECE + members * runs.len());
        let arenas = values
            .buffer_mut()
            .cpu_mut()
            .chunks_exact_mut(len)
            .zip(grads.buffer().cpu().chunks_exact(len))
            .zip(moments.first.buffer_mut().cpu_mut().chunks_exact_mut(len))
            .zip(moments.second.buffer_mut().cpu_mut().chunks_exact_mut(len));
        for ((((values, grads), first), second), &scale) in arenas.zip(scale) {
            let mut rest = (values, first, second);
            let mut passed = 0;
            for run in &runs {
                let (values, first, second) = rest;
                let skipped = run.offset - passed;
                let (values, values_left) = values[skipped..].split_at_mut(run.len);
                let (first, first_left) = first[skipped..].split_at_mut(run.len);
                let (second, second_left) = second[skipped..].split_at_mut(run.len);
                let grads = &grads[run.offset..run.offset + run.len];
                pieces.extend(
                    values
                        .chunks_mut(PIECE)
                        .zip(grads.chunks(PIECE))
                        .zip(first.chunks_mut(PIECE).zip(second.chunks_mut(PIECE)))
                        .map(|((values, grads), (first, second))| Piece {
                            values,
                            grads,
                            first,
                            second,
                            scale,
                        }),
                );
                rest = (values_left, first_left, second_left);
                passed = run.offset + run.len;
            }
        }
        parallel::run(work, pieces.into_par_iter(), |piece| {
            apply(&update, piece.scale, piece.values, piece.grads, piece.first, piece.second);
        });
    }

    /// The step's numbers, computed in f64 and rounded once, as PyTorch does.
    fn update(&self, step: u64, learning_rate: f64) -> Update {
        let correction1 = 1.0 - self.beta1.powf(step as f64);
        let correction2 = 1.0 - self.beta2.powf(step as f64);
        let (shrink, decay) = if self.decoupled {
            (1.0 - learning_rate * self.weight_decay, 0.0)
        } else {
            (1.0, self.weight_decay)
        };
        Update {
            shrink: shrink as f32,
            decay: decay as f32,
            towards: (1.0 - self.beta1) as f32,
            beta2: self.beta2 as f32,
            fresh: (1.0 - self.beta2) as f32,
            root_correction: correction2.sqrt() as f32,
            eps: self.eps as f32,
            rate: (learning_rate / correction1) as f32,
        }
    }
}

struct Piece<'a> {
    values: &'a mut [f32],
    grads: &'a [f32],
    first: &'a mut [f32],
    second: &'a mut [f32],
    scale: f32,
}

struct Update {
    shrink: f32,
    decay: f32,
    towards: f32,
    beta2: f32,
    fresh: f32,
    root_correction: f32,
    eps: f32,
    rate: f32,
}

widest! {
    fn apply(
        update: &Update,
        scale: f32,
        values: &mut [f32],
        grads: &[f32],
        first: &mut [f32],
        second: &mut [f32],
    ) {
        let rest = update.leaves_rest();
        let parts = first.chunks_mut(LOOKED_AT).zip(second.chunks_mut(LOOKED_AT));
        let parts = values.chunks_mut(LOOKED_AT).zip(grads.chunks(LOOKED_AT)).zip(parts);
        for ((values, grads), (first, second)) in parts {
            // words that no batch has had yet: a quarter of BERT's parameters is its table of words
            if rest && all_zero(grads) && all_zero(first) && all_zero(second) {
                continue;
            }
            let moments = first.iter_mut().zip(second);
            for ((value, &grad), (m, v)) in values.iter_mut().zip(grads).zip(moments) {
                *value *= update.shrink;
                let grad = grad * scale + update.decay * *value;
                *m += (grad - *m) * update.towards;
                *v = *v * update.beta2 + update.fresh * grad * grad;
                *value -= update.rate * (*m / (v.sqrt() / update.root_correction + update.eps));
            }
        }
    }
}

impl Update {
    /// Whether a value stays as it is where gradient and moments are zero.
    fn leaves_rest(&self) -> bool {
        self.shrink == 1.0 && self.decay == 0.0 && self.eps > 0.0
    }
}

/// Slots in order, neighbours joined.
fn runs(slots: &[Slot]) -> Vec<Slot> {
    let mut slots = slots.to_vec();
    slots.sort_by_key(|slot| slot.offset);
    let mut runs: Vec<Slot> = Vec::new();
    for slot in slots {
        match runs.last_mut() {
            Some(last) if last.offset + last.len == slot.offset => last.len += slot.len,
            Some(last) => {
                assert!(last.offset + last.len < slot.offset, "slots overlap");
                runs.push(slot);
            }
            None => runs.push(slot),
        }
    }
    runs
}

/// Euclidean norm of all gradients, one for each member.
pub fn gradient_norms(grads: &Arena) -> Vec<f64> {
    gradient_norms_of(grads, &[Slot { offset: 0, len: grads.layout().len() }])
}

/// Euclidean norm of the gradients of some parameters, one for each member: f64 sums in an order
/// that depends on the slots only.
pub fn gradient_norms_of(grads: &Arena, slots: &[Slot]) -> Vec<f64> {
    let runs = runs(slots);
    #[cfg(feature = "cuda")]
    if let Some(gpu) = grads.buffer().gpu() {
        return on_gpu::norms(gpu, grads, &runs);
    }
    (0..grads.members())
        .map(|member| {
            let grads = grads.member(member);
            let pieces: Vec<&[f32]> =
                runs.iter().flat_map(|run| grads[run.offset..run.offset + run.len].chunks(PIECE)).collect();
            let mut sums = vec![0.0; pieces.len()];
            parallel::run(grads.len(), pieces.into_par_iter().zip(sums.par_iter_mut()), |(piece, sum)| {
                add_squares(piece, sum);
            });
            sums.iter().sum::<f64>().sqrt()
        })
        .collect()
}

widest! {
    fn add_squares(numbers: &[f32], sum: &mut f64) {
        *sum += sum_of(numbers, |x| f64::from(x) * f64::from(x));
    }
}

/// What gradients of this norm are multiplied by so that their norm is at most `clip`:
/// min(1, clip / (norm + 1e-6)); NaN if the norm is.
pub fn clip_scale(norm: f64, clip: f64) -> f32 {
    let scale = clip / (norm + 1e-6);
    if scale > 1.0 { 1.0 } else { scale as f32 }
}
