//! Language-model training from scratch: what makes the demo models, with the same learner seam,
//! update and schedule as fine-tuning.

use std::time::Instant;

use super::optimization::Rule;
use super::schedule::{Schedule, Shape, Warmup};
use super::{Error, Flow, Input, Learner, Moments, Optimization, Optimizer, Pass, Step, Tokens};
use crate::data::batch::epoch_order;
use crate::error::Failure;
use crate::nn::cross_entropy::{self, IGNORE};
use crate::nn::{Arena, DropoutKey, Rows};
use crate::seed::{Seed, unit_f32};

/// What a language model learns to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Objective {
    /// The token that follows.
    NextToken,
    /// The tokens that were hidden (Devlin et al., 2019): of all tokens that are not special, 15 %
    /// are chosen; of these 80 % become the mask token, 10 % a random one, 10 % stay.
    MaskedTokens {
        /// What hides a token.
        mask_id: u32,
        /// Tokens that are never chosen.
        special_ids: Vec<u32>,
    },
}

/// Settings of a pre-training.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// What is learnt.
    pub objective: Objective,
    /// V, the tokens that the logits range over.
    pub vocabulary: usize,
    /// Updates.
    pub steps: u64,
    /// Sequences a step.
    pub batch_size: usize,
    /// Learning rate after the warm-up; it falls linearly to zero.
    pub learning_rate: f64,
    /// Warm-up steps.
    pub warmup: u64,
    /// How gradients become updates.
    pub rule: Rule,
    /// Order, hiding and dropout follow from it.
    pub seed: Seed,
}

impl Config {
    /// Settings that are usual for small models: AdamW (0.9, 0.98) with weight decay 0.01, clipping
    /// at 1, a tenth of the steps as warm-up.
    pub fn new(objective: Objective, vocabulary: usize, steps: u64, batch_size: usize, seed: Seed) -> Self {
        let rule = Rule {
            optimizer: Optimizer::AdamW,
            beta1: 0.9,
            beta2: 0.98,
            eps: 1e-8,
            weight_decay: 0.01,
            clip: 1.0,
        };
        Self { objective, vocabulary, steps, batch_size, learning_rate: 1e-3, warmup: steps / 10, rule, seed }
    }
}

/// Trains a learner whose logits are `[K, R, V]` on sequences of tokens, from `values` on, and gives
/// the values it ends with. `observe` hears every step; [`Flow::Stop`] ends early.
///
/// # Errors
/// [`Error::Text`] for sequences that are empty, too short for the objective or outside the
/// vocabulary, or a learner that diverged; those of the learner and of `observe`.
pub fn pretrain(
    config: &Config,
    learner: &mut dyn Learner,
    mut values: Arena,
    sequences: &[Vec<u32>],
    observe: &mut dyn FnMut(&Step) -> Result<Flow, Failure>,
) -> Result<Arena, Failure> {
    check(config, sequences)?;
    let members = learner.members();
    let zeros = Arena::zeros(learner.device(), learner.layout().clone(), members);
    let mut moments = Moments { first: zeros.clone(), second: zeros };
    let mut optimization = Optimization::new(learner, config.rule);
    let schedule = Schedule::new(Shape::Linear, Warmup::Steps(config.warmup), config.steps);
    let sampler = Sampler { sequences, batch_size: config.batch_size, seed: config.seed };
    for done in 0..config.steps {
        let begun = Instant::now();
        let mut tokens = sampler.batch(done);
        let targets = config.objective.targets(config, done, &mut tokens);
        let input = Input::Tokens(tokens);
        let pass = Pass::Train(DropoutKey { seed: config.seed.derive("dropout"), step: done + 1, site: 0 });
        optimization.gradient(learner, &values, &input, pass, |rows, logits, losses, dlogits| {
            let expected = members * rows.len() * config.vocabulary;
            if logits.len() != expected {
                return Err(Error::Logits { found: logits.len(), expected });
            }
            dlogits.resize(expected);
            cross_entropy::forward_backward(
                members,
                rows.len(),
                config.vocabulary,
                logits,
                &targets,
                0.0,
                losses,
                dlogits,
            );
            Ok(())
        })?;
        if (0..members).any(|member| optimization.cause(member).is_some()) {
            return Err(Error::Text {
                what: format!("pre-training diverged at step {}", done + 1),
                expected: "a finite loss and gradient",
            }
            .into());
        }
        let learning_rate = config.learning_rate * schedule.factor(done);
        optimization.apply(done + 1, learning_rate, &vec![true; members], &mut values, &mut moments);
        let step = Step {
            step: done + 1,
            total_steps: config.steps,
            epoch: (done / sampler.batches() as u64) as u32 + 1,
            losses: optimization.losses().to_vec(),
            gradient_norms: optimization.norms().to_vec(),
            learning_rate,
            tokens: input.real_rows(),
            elapsed: begun.elapsed(),
        };
        if observe(&step)? == Flow::Stop {
            break;
        }
    }
    Ok(values)
}

fn check(config: &Config, sequences: &[Vec<u32>]) -> Result<(), Error> {
    let wrong = |what: String, expected| Err(Error::Text { what, expected });
    if sequences.is_empty() || config.batch_size == 0 {
        return wrong(
            format!("{} sequences in batches of {}", sequences.len(), config.batch_size),
            "at least one of each",
        );
    }
    let shortest = if config.objective == Objective::NextToken { 2 } else { 0 };
    for (n, sequence) in sequences.iter().enumerate() {
        if sequence.len() < shortest {
            return wrong(
                format!("sequence {n} has {} tokens", sequence.len()),
                "at least two to tell the next",
            );
        }
        if let Objective::MaskedTokens { special_ids, .. } = &config.objective
            && sequence.iter().all(|token| special_ids.contains(token))
        {
            return wrong(format!("sequence {n} holds special tokens only"), "a token that can be hidden");
        }
        if let Some(token) = sequence.iter().find(|&&token| token as usize >= config.vocabulary) {
            return wrong(format!("sequence {n} has token {token}"), "tokens of the vocabulary");
        }
    }
    Ok(())
}

/// Batches by plain shuffling, a function of the step alone.
struct Sampler<'a> {
    sequences: &'a [Vec<u32>],
    batch_size: usize,
    seed: Seed,
}

impl Sampler<'_> {
    /// Batches of one pass over the sequences; the last may be short.
    fn batches(&self) -> usize {
        self.sequences.len().div_ceil(self.batch_size)
    }

    fn batch(&self, step: u64) -> Tokens {
        let (pass, batch) = (step / self.batches() as u64, (step % self.batches() as u64) as usize);
        let order = epoch_order(self.seed, pass, self.sequences.len());
        let start = batch * self.batch_size;
        let chosen = &order[start..(start + self.batch_size).min(order.len())];
        let lengths: Vec<usize> = chosen.iter().map(|&n| self.sequences[n].len()).collect();
        let mut rows = Rows::packed(&lengths);
        rows.example_ids = chosen.iter().map(|&n| n as u64).collect();
        let ids: Vec<u32> = chosen.iter().flat_map(|&n| &self.sequences[n]).copied().collect();
        Tokens { type_ids: vec![0; ids.len()], ids, rows }
    }
}

impl Objective {
    /// The target of every row, `[R]`, [`IGNORE`] where there is none; hides what is to be told.
    fn targets(&self, config: &Config, step: u64, tokens: &mut Tokens) -> Vec<u32> {
        let mut targets = vec![IGNORE; tokens.ids.len()];
        match self {
            Self::NextToken => {
                for example in 0..tokens.rows.examples() {
                    for row in tokens.rows.segment(example).skip(1) {
                        targets[row - 1] = tokens.ids[row];
                    }
                }
            }
            Self::MaskedTokens { mask_id, special_ids } => {
                let seed = config.seed.derive("hide").derive(&step.to_string());
                let mut nearest: Option<(u32, usize)> = None;
                for example in 0..tokens.rows.examples() {
                    let id = tokens.rows.example_ids[example];
                    for (position, row) in tokens.rows.segment(example).enumerate() {
                        let word = &mut tokens.ids[row];
                        if special_ids.contains(word) {
                            continue;
                        }
                        let draw = seed.words([position as u32, id as u32, (id >> 32) as u32, 0]);
                        let candidate = (draw[0], row);
                        nearest = Some(nearest.map_or(candidate, |nearest| nearest.min(candidate)));
                        if let Some(shown) = hide(draw, *word, *mask_id, config.vocabulary) {
                            targets[row] = *word;
                            *word = shown;
                        }
                    }
                }
                // a small batch in which chance chose nothing would have no loss
                if let (true, Some((_, row))) = (targets.iter().all(|&target| target == IGNORE), nearest) {
                    targets[row] = std::mem::replace(&mut tokens.ids[row], *mask_id);
                }
            }
        }
        targets
    }
}

/// What is shown in place of a token if it is chosen, by four random words.
fn hide(draw: [u32; 4], token: u32, mask_id: u32, vocabulary: usize) -> Option<u32> {
    if unit_f32(draw[0]) >= 0.15 {
        return None;
    }
    let kind = unit_f32(draw[1]);
    Some(if kind < 0.8 {
        mask_id
    } else if kind < 0.9 {
        ((u64::from(draw[2]) * vocabulary as u64) >> 32) as u32
    } else {
        token
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(objective: Objective) -> Config {
        Config::new(objective, 1000, 10, 4, Seed(5))
    }

    fn tokens(lengths: &[usize]) -> Tokens {
        let rows = Rows::packed(lengths);
        let ids = (0..rows.len() as u32).map(|row| 10 + row % 900).collect();
        Tokens { type_ids: vec![0; rows.len()], ids, rows }
    }

    #[test]
    fn the_next_token_is_told_within_a_sequence_only() {
        let mut batch = tokens(&[3, 2]);
        let before = batch.clone();
        let targets = Objective::NextToken.targets(&config(Objective::NextToken), 0, &mut batch);
        assert_eq!(targets, [11, 12, IGNORE, 14, IGNORE]);
        assert_eq!(batch, before);
    }

    /// Of 100 000 tokens 15 % are chosen, of these 80 / 10 / 10 %; five standard deviations are
    /// 0.0057 of all and below 0.017 of the chosen.
    #[test]
    fn tokens_are_hidden_at_the_published_rates() {
        let objective = Objective::MaskedTokens { mask_id: 4, special_ids: vec![10] };
        let mut batch = tokens(&[1000; 100]);
        let before = batch.ids.clone();
        let targets = objective.targets(&config(objective.clone()), 3, &mut batch);
        let mut counts = [0.0_f64; 3];
        for ((&target, &was), &shown) in targets.iter().zip(&before).zip(&batch.ids) {
            if target == IGNORE {
                assert_eq!(was, shown);
                continue;
            }
            assert!(target == was && was != 10);
            counts[if shown == 4 { 0 } else { 1 + usize::from(shown == was) }] += 1.0;
        }
        let chosen: f64 = counts.iter().sum();
        assert!((chosen / 100_000.0 - 0.15).abs() < 0.006, "{chosen}");
        for (count, part) in counts.into_iter().zip([0.8, 0.1, 0.1]) {
            assert!((count / chosen - part).abs() < 0.017, "{counts:?}");
        }
    }

    #[test]
    fn what_is_hidden_depends_on_the_example_and_the_step_not_on_the_batch() {
        let objective = Objective::MaskedTokens { mask_id: 4, special_ids: vec![] };
        let config = config(objective.clone());
        let hidden = |step: u64, lengths: &[usize]| {
            let mut batch = tokens(lengths);
            objective.targets(&config, step, &mut batch);
            batch.ids[..200].to_vec()
        };
        assert_eq!(hidden(1, &[200]), hidden(1, &[200, 50]));
        assert_ne!(hidden(1, &[200]), hidden(2, &[200]));
    }

    #[test]
    fn a_pass_sees_every_sequence_once() {
        let sequences: Vec<Vec<u32>> = (0..10).map(|n| vec![n; 2]).collect();
        let sampler = Sampler { sequences: &sequences, batch_size: 4, seed: Seed(1) };
        let pass = |pass: u64| -> Vec<u64> {
            (0..3).flat_map(|batch| sampler.batch(pass * 3 + batch).rows.example_ids).collect()
        };
        let (first, second) = (pass(0), pass(1));
        assert_ne!(first, second);
        for mut seen in [first, second] {
            seen.sort_unstable();
            assert!(seen.into_iter().eq(0..10));
        }
    }

    #[test]
    fn sequences_that_cannot_be_learnt_are_named() {
        let config = config(Objective::NextToken);
        let message = |sequences: &[Vec<u32>]| check(&config, sequences).unwrap_err().to_string();
        assert!(message(&[]).contains("0 sequences"));
        assert!(message(&[vec![1, 2], vec![3]]).contains("sequence 1 has 1 tokens"));
        assert!(message(&[vec![1, 2000]]).contains("token 2000"));
        assert!(check(&config, &[vec![1, 2]]).is_ok());
    }
}
