//! Language models learn what can be learnt of their texts.

use pifi_probe::nn::Arena;
use pifi_probe::seed::Seed;
use pifi_probe::train::Flow;
use pifi_probe::train::pretrain::{Config, Objective, pretrain};

use crate::toy::{Linear, bits};

const VOCABULARY: usize = 12;

/// Texts that count upwards, round from 11 to 2: the next token is certain.
fn counting() -> Vec<Vec<u32>> {
    let mut stream = Seed(3).stream();
    (0..50)
        .map(|_| {
            let first = stream.below(10);
            (0..5 + stream.below(10)).map(|n| 2 + ((first + n) % 10) as u32).collect()
        })
        .collect()
}

fn run(objective: &Objective, steps: u64, stop_at: u64) -> (Vec<f64>, Arena) {
    let mut config = Config::new(objective.clone(), VOCABULARY, steps, 8, Seed(1));
    config.learning_rate = 0.1;
    let mut learner = Linear::new(1, VOCABULARY, VOCABULARY, 0.0);
    let values = learner.values(&[1]);
    let mut losses = Vec::new();
    let values = pretrain(&config, &mut learner, values, &counting(), &mut |step| {
        assert!(step.tokens > 8 && step.total_steps == steps);
        losses.push(step.losses[0]);
        Ok(if step.step == stop_at { Flow::Stop } else { Flow::Continue })
    });
    (losses, values.expect("nothing fails"))
}

/// A table of pairs of tokens can tell the next token for certain.
#[test]
fn the_next_token_is_learnt() {
    let (losses, _) = run(&Objective::NextToken, 200, 0);
    assert!((losses[0] - (VOCABULARY as f64).ln()).abs() < 0.3, "{}", losses[0]);
    assert!(losses[199] < 0.05, "{}", losses[199]);
}

/// A table that sees one token at a time knows nothing of a hidden one, but that it is one of ten,
/// and knows every token that is shown: the loss falls from ln 12 towards 0.8 ln 10 and a little.
#[test]
fn hidden_tokens_are_told_as_well_as_they_can_be() {
    let objective = Objective::MaskedTokens { mask_id: 0, special_ids: vec![1] };
    let (losses, _) = run(&objective, 300, 0);
    let end = losses[250..].iter().sum::<f64>() / 50.0;
    assert!((0.8 * 10_f64.ln()..12_f64.ln()).contains(&end), "{end}");
}

#[test]
fn the_same_seed_gives_the_same_bits_and_a_stop_ends_early() {
    let (losses, values) = run(&Objective::NextToken, 30, 0);
    let (again, same) = run(&Objective::NextToken, 30, 0);
    assert_eq!((losses.len(), &losses), (30, &again));
    assert_eq!(bits(&values), bits(&same));
    let (shorter, other) = run(&Objective::NextToken, 30, 10);
    assert_eq!(shorter, losses[..10]);
    assert_ne!(bits(&values), bits(&other));
}
