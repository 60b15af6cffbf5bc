//! The numbers of a comparison.

use pifi_probe::runs::Condition;

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
