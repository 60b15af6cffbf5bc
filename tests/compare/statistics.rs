//! The numbers of a comparison.

use pifi_probe::analysis::statistics::winner::correct_best;
use pifi_probe::analysis::statistics::{Replicates, Resampling};
use pifi_probe::runs::Condition;
use pifi_probe::seed::Seed;

use crate::fixture::{BASE, LAYER, Made, all_but, compared, gathered, store, twelve_against_three};

/// reference/analyses.md section 6: b = 12, c = 3, n = 100.
#[test]
fn two_runs_of_one_seed_have_the_golden_values() {
    let (_folder, store) = store(&twelve_against_three());
    let comparison = compared(&store, &["a1", "b1"]).expect("compares");
    let pair = &comparison.pairs[0];
    assert_eq!((pair.first.as_str(), pair.second.as_str()), ("layer 3", "base"));
    assert!((pair.difference.estimate.value - 0.09).abs() < 1e-12);
    assert!((pair.difference.estimate.standard_error / 0.037_670 - 1.0).abs() < 0.06, "{pair:?}");
    assert!((pair.mcnemar_exact - 0.035_156_25).abs() < 1e-12);
    assert!((pair.mcnemar_mid - 0.021_270_752).abs() < 1e-9);
    assert_eq!((pair.discordant[0].first_only, pair.discordant[0].second_only), (12, 3));
    // one seed: what needs several has a reason instead of a number
    assert!(pair.sign_flip.is_err() && pair.effects.hedges_g.is_err() && pair.first_better.is_err());
    assert!(comparison.notes[0].starts_with("one seed only"), "{:?}", comparison.notes);
    assert_eq!(comparison.conditions[0].accuracies, [0.85]);
    assert_eq!(comparison.conditions[0].accuracy.as_ref().expect("has an interval").n, 100);
}

#[test]
fn runs_that_differ_in_the_seed_are_seeds_of_one_condition() {
    let mut runs = Vec::new();
    for seed in 0..6_u64 {
        let extra = seed as usize;
        runs.push(Made::new(&format!("a{seed}"), LAYER, seed, all_but(200, |at| at < 10 + extra)));
        runs.push(Made::new(&format!("b{seed}"), BASE, seed, all_but(200, |at| at < 40 + extra)));
    }
    let (_folder, store) = store(&runs);
    let comparison = compared(&store, &["layer:3", "base"]).expect("compares");
    assert_eq!(comparison.conditions.len(), 2);
    let pair = &comparison.pairs[0];
    assert_eq!(pair.seeds, [0, 1, 2, 3, 4, 5]);
    assert!((pair.difference.estimate.value - 0.15).abs() < 1e-12);
    assert_eq!(pair.sign_flip.as_ref().expect("six seeds").two_sided, 0.031_25);
    assert_eq!(pair.effects.cliff_delta.as_ref().expect("six seeds").value, 1.0);
    assert!(pair.first_better.as_ref().expect("six seeds").better());
    assert!(comparison.notes.is_empty(), "{:?}", comparison.notes);
}

#[test]
fn holms_family_is_all_pairs_and_equal_conditions_do_not_differ() {
    let mut runs = Vec::from(twelve_against_three());
    runs.push(Made { condition: Condition::Layer(2), cell: "c1".into(), ..runs[0].clone() });
    let (_folder, store) = store(&runs);
    let comparison = compared(&store, &["a1", "b1", "c1"]).expect("compares");
    assert_eq!(comparison.pairs.len(), 3);
    let same = comparison.pairs.iter().find(|pair| pair.second == "layer 2").expect("is there");
    assert_eq!(
        (same.difference.estimate.low, same.difference.estimate.high, same.difference.p),
        (0.0, 0.0, 1.0)
    );
    let golden = comparison.pairs.iter().find(|pair| pair.first == "layer 3" && pair.second == "base");
    let golden = golden.expect("is there");
    assert!((golden.mcnemar_holm - 3.0 * 0.035_156_25).abs() < 1e-12);
    assert!(golden.p_holm >= golden.difference.p);
}

#[test]
fn only_common_seeds_are_paired() {
    let [layer, base] = twelve_against_three();
    let other = Made { cell: "a2".into(), seed: 1, ..layer.clone() };
    let (_folder, store) = store(&[layer, base, other]);
    let comparison = compared(&store, &["layer:3", "base"]).expect("compares");
    assert_eq!(comparison.conditions[0].runs.len(), 2);
    assert_eq!(comparison.pairs[0].seeds, [0]);
}

#[test]
fn names_say_what_tells_conditions_apart() {
    let [layer, _] = twelve_against_three();
    let mut other = Made { cell: "c1".into(), ..layer.clone() };
    other = other.with("hyper_parameters", serde_json::json!({"learning_rate": 1e-4}));
    let (_folder, store) = store(&[layer, other]);
    let comparison = compared(&store, &["a1", "c1"]).expect("compares");
    let pair = &comparison.pairs[0];
    assert_eq!((pair.first.as_str(), pair.second.as_str()), ("layer 3 [a1]", "layer 3 [c1]"));
    assert_eq!(pair.differs_in, ["hyper_parameters"]);
    // the last layer of four is layer 3
    assert_eq!(gathered(&store, &["last"]).groups.len(), 2);
}

/// Every layer of these is right on 80 of 200 other examples: the best is the best by luck.
#[test]
fn the_best_is_named_with_what_being_picked_flatters() {
    let layer = |layer: usize| {
        let wrong = move |at: usize| (at * 7 + layer * 31) % 200 >= 80;
        Made::new(&format!("a{layer}"), Condition::Layer(layer), 0, all_but(200, wrong))
    };
    let mut runs: Vec<Made> = (0..6).map(layer).collect();
    runs[4].right[0] = true;
    runs[4].right[1] = true;
    runs[4].right[2] = true;
    let (_folder, store) = store(&runs);
    let words: Vec<String> = (0..6).map(|layer| format!("layer:{layer}")).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let comparison = compared(&store, &words).expect("compares");
    let [best] = comparison.best.as_slice() else { panic!("one family: {:?}", comparison.best) };
    assert_eq!((best.name(), best.among.len(), best.seeds.as_slice()), (Some("layer 4"), 6, [0].as_slice()));
    let corrected = best.corrected.as_ref().expect("is corrected");
    assert!(corrected.surplus > 0.01 && corrected.corrected.covers(0.4), "{corrected:?}");
    assert!((corrected.observed - corrected.surplus - corrected.corrected.value).abs() < 1e-12);
    // on the terms of a layer study: the same resamples and the same correction
    let scores: Vec<Vec<f64>> =
        runs.iter().map(|run| run.right.iter().map(|right| f64::from(u8::from(*right))).collect()).collect();
    let resampling = Resampling { resamples: 2_000, ..Resampling::new(Seed(1)) };
    let drawn = Replicates::draw(&scores, resampling).expect("draws");
    let drawn: Vec<_> = (0..6).map(|run| drawn.condition(&[run]).expect("draws")).collect();
    assert_eq!(*corrected, correct_best(&drawn, 0.95, 200).expect("corrects"));
}

#[test]
fn conditions_that_cannot_be_compared_have_a_best_each_or_none() {
    let [layer, base] = twelve_against_three();
    let away = Made { cell: "c1".into(), task: "away", ..base.clone() };
    let (_folder, store) = store(&[layer, base, away]);
    let comparison = compared(&store, &["a1", "b1", "c1"]).expect("the rest is compared");
    let [best] = comparison.best.as_slice() else { panic!("one family: {:?}", comparison.best) };
    assert_eq!(best.among, ["layer 3", "base (on home)"]);
}

/// Of 12 examples that only the layer has right, 10 are texts of the training set: without them the
/// base is ahead by one of 90.
#[test]
fn without_overlapping_texts_the_comparison_may_turn() {
    let overlapping = |made: Made| Made { overlapping: 10, ..made };
    let (_folder, store) = store(&twelve_against_three().map(overlapping));
    let comparison = compared(&store, &["a1", "b1"]).expect("compares");
    let pair = &comparison.pairs[0];
    assert!((pair.difference.estimate.value - 0.09).abs() < 1e-12);
    let without = pair.without_overlap.as_ref().expect("texts overlap");
    assert_eq!((without.overlapping, without.examples), (10, 90));
    let difference = without.difference.as_ref().expect("is compared");
    assert!((difference.estimate.value + 1.0 / 90.0).abs() < 1e-12, "{difference:?}");
    assert!(difference.estimate.covers(0.0) && difference.p > 0.5 && difference.estimate.n == 90);
}

#[test]
fn without_overlap_nothing_is_said_of_it_and_a_set_of_overlap_leaves_a_reason() {
    let (_folder, none) = store(&twelve_against_three());
    assert!(compared(&none, &["a1", "b1"]).expect("compares").pairs[0].without_overlap.is_none());
    let (_folder, all) = store(&twelve_against_three().map(|made| Made { overlapping: 100, ..made }));
    let comparison = compared(&all, &["a1", "b1"]).expect("compares");
    let without = comparison.pairs[0].without_overlap.as_ref().expect("texts overlap");
    assert!(without.examples == 0 && without.difference.is_err());
}
