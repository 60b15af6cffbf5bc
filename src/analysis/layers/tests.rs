//! Layer studies with known truth, from clear to degenerate.

use super::synthetic::{Made, hump};
use super::*;
use crate::analysis::statistics::Undefined;
use std::collections::BTreeSet;

#[test]
fn a_clear_winner_is_chosen_and_stands_above_base_last_and_controls() {
    let answer = Made::new(vec![0.0, 0.02, 0.5, 0.05]).study().answer().unwrap();
    assert_eq!((answer.chosen, answer.tied.as_slice()), (2, [2].as_slice()));
    assert_eq!(answer.claims_on, SetRole::Test);
    for claim in &answer.claims {
        assert!(claim.contrast.estimate.low > 0.0, "{claim:?}");
        assert!(claim.contrast.p_holm.unwrap() >= claim.contrast.p);
        // three seeds: the sign-flip test over seeds cannot go below 0.25
        assert_eq!(claim.contrast.sign_flip.as_ref().unwrap().smallest, 0.25);
    }
    let against: Vec<String> = answer.claims.iter().map(|claim| claim.against.to_string()).collect();
    assert_eq!(against, ["base", "layer 3", "mappers", "random"]);
    assert!(answer.best_probability[2].probability > 0.99);
    // nobody else could have been picked
    let corrected = answer.corrected.unwrap();
    assert_eq!(answer.behind[corrected.condition].layer, 2);
    assert!(corrected.surplus < 0.3 * corrected.corrected.standard_error, "{corrected:?}");
    assert!(!answer.warnings.iter().any(|warning| matches!(warning, Warning::NotAboveControl { .. })));
    assert!(answer.warnings.contains(&Warning::FewSeeds { seeds: 3, smallest_p: 0.25 }));
}

#[test]
fn equal_layers_are_tied_and_not_shown_to_beat_the_controls() {
    let answer = Made::new(vec![0.0; 6]).study().answer().unwrap();
    assert_eq!(answer.tied, [0, 1, 2, 3, 4, 5]);
    let sum: f64 = answer.best_probability.iter().map(|best| best.probability).sum();
    assert!((sum - 1.0).abs() < 1e-9);
    assert!(answer.warnings.iter().any(|warning| matches!(warning, Warning::NotAboveControl { .. })));
    assert!(answer.luck.unwrap().excess > 0.0);
    let corrected = answer.corrected.unwrap();
    assert!(corrected.surplus > 0.3 * corrected.corrected.standard_error, "{corrected:?}");
    assert!(corrected.corrected.value < corrected.observed);
}

#[test]
fn means_and_differences_are_those_of_the_scores() {
    let study = Made::new(vec![0.1, 0.2]).study();
    let answer = study.answer().unwrap();
    let mean = |condition: &Condition| {
        let cells: Vec<&Cell> = study.cells.iter().filter(|cell| cell.condition == *condition).collect();
        cells.iter().map(|cell| cell.validation.scores.iter().sum::<f64>() / 400.0).sum::<f64>() / 3.0
    };
    let layer = Condition::Layer(1);
    let row = answer.validation.get(&layer).unwrap();
    assert!((row.metric.mean - mean(&layer)).abs() < 1e-12);
    let difference = row.over_base.as_ref().unwrap().estimate.value;
    assert!((difference - (mean(&layer) - mean(&Condition::base()))).abs() < 1e-12);
    assert_eq!(row.over_last, Err(Undefined::Itself));
    assert_eq!(row.metric.seeds.len(), 3);
    assert!((row.mcc.as_ref().unwrap().mean - (2.0 * row.metric.mean - 1.0)).abs() < 1e-9);
}

#[test]
fn one_seed_has_no_interval_over_seeds_and_says_so() {
    let answer = Made { seeds: 1, ..Made::new(hump(5, 0.2)) }.study().answer().unwrap();
    let row = &answer.validation.conditions[0];
    assert_eq!(row.metric.interval, Err(Undefined::OneObservation));
    assert!(row.over_base.as_ref().unwrap().estimate.standard_error > 0.0);
    assert!(answer.warnings.contains(&Warning::OneSeed));
    assert_eq!(answer.luck, Err(Undefined::OneObservation));
    assert!(answer.detectable.is_ok());
}

#[test]
fn one_layer_is_its_own_last_and_best() {
    let answer = Made::new(vec![0.3]).study().answer().unwrap();
    assert_eq!((answer.chosen, answer.last(), answer.tied.as_slice()), (0, 0, [0].as_slice()));
    assert_eq!(answer.best_probability[0].probability, 1.0);
    assert!(answer.claim(&Condition::Layer(0)).is_none());
}

#[test]
fn eighty_layers_are_answered() {
    let made = Made { examples: 100, ..Made::new(hump(80, 0.2)) };
    let answer = made.study().answer().unwrap();
    assert_eq!(answer.validation.conditions.len(), 83);
    assert!(answer.tied.contains(&answer.chosen) && answer.tied.len() > 5);
}

#[test]
fn failed_cells_are_missing_and_nothing_else_changes() {
    let mut study = Made::new(vec![0.0, 0.4, 0.1, 0.0]).study();
    study.cells.retain(|cell| !(cell.condition == Condition::Layer(2) && cell.seed == 2));
    study.cells.retain(|cell| !(cell.condition == Condition::base() && cell.seed == 3));
    let answer = study.answer().unwrap();
    assert_eq!(answer.chosen, 1);
    assert_eq!(answer.compared_seeds, [1, 2, 3]);
    assert_eq!(answer.finished, Finished { planned: 21, finished: 19 });
    assert!(answer.warnings.contains(&Warning::MissingCells { missing: 2, planned: 21 }));
    assert!(answer.warnings.contains(&Warning::LayersNotCompared { layers: vec![2] }));
    let row = answer.validation.get(&Condition::Layer(2)).unwrap();
    assert_eq!(row.metric.seeds.len(), 2);
    // seeds 1 and 3 of the layer against seeds 1 and 2 of base: one in common
    assert_eq!(row.over_base.as_ref().unwrap().seeds, 1);
}

#[test]
fn without_base_no_gain_is_stated() {
    let mut study = Made::new(vec![0.0, 0.1]).study();
    study.cells.retain(|cell| !cell.condition.is_base());
    let answer = study.answer().unwrap();
    assert_eq!(answer.validation.conditions[0].over_base, Err(Undefined::NoReference));
    assert!(answer.claim(&Condition::base()).is_none());
    assert_eq!(answer.detectable, Err(Undefined::NoReference));
    assert!(answer.warnings.contains(&Warning::NoBase));
}

#[test]
fn without_a_test_set_claims_are_made_on_validation_and_marked() {
    let mut study = Made::new(vec![0.0, 0.1]).study();
    study.test = None;
    let answer = study.answer().unwrap();
    assert_eq!(answer.claims_on, SetRole::Validation);
    assert!(answer.warnings.contains(&Warning::NoTest));
}

#[test]
fn overlapping_texts_are_taken_out_beside_the_whole() {
    let made = Made { domains: vec!["mr", "cr"], overlap_every: 4, ..Made::new(vec![0.0, 0.2]) };
    let answer = made.study().answer().unwrap();
    let [mr, cr] = &answer.domains[..] else { panic!("two domains") };
    assert_eq!((mr.examples, mr.overlapping, cr.overlapping), (400, 100, 0));
    let row = mr.get(&Condition::Layer(1)).unwrap();
    let part = row.without_overlap.as_ref().unwrap();
    assert_eq!(part.over_base.as_ref().unwrap().estimate.n, 300);
    assert_eq!(row.over_base.as_ref().unwrap().estimate.n, 400);
    assert!(cr.conditions.iter().all(|row| row.without_overlap.is_none()));
    assert!(answer.warnings.iter().any(|warning| matches!(warning, Warning::Overlap { .. })));
}

#[test]
fn examples_are_paired_by_id_whatever_their_order() {
    let study = Made::new(vec![0.0, 0.2]).study();
    let mut shuffled = study.clone();
    for cell in &mut shuffled.cells {
        cell.validation.ids.reverse();
        cell.validation.scores.reverse();
    }
    assert_eq!(study.answer().unwrap(), shuffled.answer().unwrap());
}

#[test]
fn cells_that_do_not_fit_together_are_refused_by_name() {
    let study = Made::new(vec![0.0, 0.2]).study();
    let change = |edit: &dyn Fn(&mut LayerStudy)| {
        let mut study = study.clone();
        edit(&mut study);
        study.answer().unwrap_err()
    };
    assert!(matches!(
        change(&|s| s.cells[1].validation.ids[0] = 9_999),
        Error::DifferentExamples { seed: 2, .. }
    ));
    assert!(matches!(
        change(&|s| s.cells[0].validation.ids[1] = 0),
        Error::DifferentExamples { seed: 1, .. }
    ));
    assert!(matches!(change(&|s| s.cells[0].validation.scores.truncate(3)), Error::Ragged { scores: 3, .. }));
    assert!(matches!(change(&|s| s.cells[1].seed = 1), Error::DuplicateCell { seed: 1, .. }));
    assert!(matches!(change(&|s| s.layers = 1), Error::LayerOutOfRange { layer: 1, layers: 1 }));
    assert!(matches!(change(&|s| s.domains.push(ExampleSet::default())), Error::DomainCount { .. }));
    assert_eq!(change(&|s| s.cells.retain(|cell| cell.condition.is_base())), Error::NoFinishedLayer);
    assert!(matches!(change(&|s| s.cells[0].validation.scores[0] = f64::NAN), Error::Statistic { .. }));
}

#[test]
fn ranges_name_layers_shortly() {
    assert_eq!(ranges(&[3]), "layer 3");
    assert_eq!(ranges(&[17, 18, 19, 24, 30, 31]), "layers 17\u{2013}19, 24, 30, 31");
}

#[test]
fn the_same_study_gives_the_same_answer() {
    let made = Made { domains: vec!["mr"], ..Made::new(hump(4, 0.1)) };
    let once = made.study().answer().unwrap();
    assert_eq!(once, made.study().answer().unwrap());
    let seeds: BTreeSet<u64> = once.seeds.iter().copied().collect();
    assert_eq!(seeds.len(), 3);
}
