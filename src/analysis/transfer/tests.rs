//! A made study whose answer is known.

use super::synthetic::{EXAMPLES, study};
use super::*;

#[test]
fn the_gain_is_found_at_home_and_elsewhere_and_the_layer_is_chosen_on_validation() {
    let answer = study().answer().unwrap();
    let choice = answer.choice.as_ref().unwrap();
    assert_eq!((choice.layer, choice.compared), (1, 3));
    assert_eq!(choice.by_domain, [(0, 1), (1, 1)]);
    let chosen = answer.chosen().unwrap();
    let (home, away) = (chosen.gain_home.as_ref().unwrap(), chosen.gain_away.as_ref().unwrap());
    assert!((home.estimate.value - 0.12).abs() < 1e-9 && (away.estimate.value - 0.08).abs() < 1e-9);
    assert!(home.estimate.low > 0.08 && away.estimate.low > 0.04 && away.p < 0.05);
    assert_eq!((home.fields, home.of, away.fields, away.of), (2, 2, 4, 4));
    assert_eq!(away.estimate.n, 4 * EXAMPLES);
    // the other layers are no plug again, example by example
    let other = answer.get(&Condition::Layer(0)).unwrap().gain_away.as_ref().unwrap();
    assert_eq!((other.estimate.low, other.estimate.high, other.p), (0.0, 0.0, 1.0));
    assert!(answer.regrets.iter().all(|regret| regret.layer == 1 && regret.regret == 0.0));
}

#[test]
fn drops_loss_ratio_ranks_and_the_worst_field_are_as_reckoned_by_hand() {
    let answer = study().answer().unwrap();
    let base = answer.get(&Condition::base()).unwrap();
    // means over seeds: (280 + 1.5) / 400 at home, (220 + 1.5) / 400 elsewhere
    let field = base.field(0, 1).unwrap();
    assert!((field.accuracy.clone().unwrap() - 221.5 / 400.0).abs() < 1e-12);
    assert!((field.source_drop.as_ref().unwrap().value - 0.15).abs() < 1e-9);
    assert!((field.target_drop.as_ref().unwrap().value - 0.15).abs() < 1e-9);
    assert!((base.loss.as_ref().unwrap().estimate.value - 0.15).abs() < 1e-9);
    assert_eq!(base.loss.as_ref().unwrap().fields, 2);
    let ratio = (400.0 - 221.5) / (400.0 - 281.5);
    let found = base.ratio_interval.as_ref().unwrap();
    assert_eq!(base.ratio, Ok(found.value));
    assert!((found.value - ratio).abs() < 1e-9 && found.low < ratio && ratio < found.high, "{found:?}");
    assert_eq!(answer.get(&Condition::Layer(1)).unwrap().average_rank, Ok(1.0));
    assert_eq!(base.average_rank, Ok(3.0));
    assert_ne!(base.worst.as_ref().unwrap().trained, base.worst.as_ref().unwrap().tested);
    // the hotels are not trained on: nothing to compare with
    assert_eq!(base.field(0, 2).unwrap().target_drop, Err(NotAvailable::NoRun));
    assert_eq!(field.generalisation_gap, Err(NotAvailable::DifferentDomains));
    assert_eq!(base.field(0, 0).unwrap().generalisation_gap, Err(NotAvailable::NotRecorded));
    // no plug lies on its own line, on average
    let robust = field.robustness.as_ref().unwrap();
    assert!(robust.value.abs() < 1e-9, "{robust:?}");
}

#[test]
fn shared_texts_are_left_out_beside_the_whole() {
    let answer = study().answer().unwrap();
    let field = answer.chosen().unwrap().field(0, 1).unwrap();
    let without = field.without_shared.as_ref().unwrap();
    assert_eq!((field.shared, without.examples), (10, EXAMPLES - 10));
    // the ten were all right
    assert!((without.accuracy - (252.0 + 1.5 - 10.0) / 390.0).abs() < 1e-12);
    let gain = without.over_base.as_ref().unwrap();
    assert!(
        (gain.estimate.value - 32.0 / 390.0).abs() < 1e-9 && gain.p < 0.05 && gain.seeds == 4,
        "{gain:?}"
    );
    assert!(answer.chosen().unwrap().field(1, 0).unwrap().without_shared.is_none());
}

#[test]
fn the_mean_gain_is_given_without_shared_texts_where_there_are_some() {
    let mut study = study();
    let answer = study.answer().unwrap();
    let chosen = answer.chosen().unwrap();
    let (whole, clean) = (chosen.gain_away.as_ref().unwrap(), chosen.clean_away.as_ref().unwrap());
    let clean = clean.as_ref().unwrap();
    // one of four fields lost ten examples, which both conditions had right
    assert!((whole.estimate.value - 0.08).abs() < 1e-9);
    assert!((clean.estimate.value - (32.0 / 390.0 + 3.0 * 0.08) / 4.0).abs() < 1e-9, "{clean:?}");
    assert_eq!((clean.fields, clean.of, clean.estimate.n), (4, 4, 4 * EXAMPLES - 10));
    assert!(chosen.clean_home.is_none() && answer.get(&Condition::base()).unwrap().clean_away.is_none());
    // a test set that stands in the training set as a whole leaves its field without a number
    study.shared.insert((0, 1), (0..EXAMPLES as u64).collect());
    let answer = study.answer().unwrap();
    let clean = answer.chosen().unwrap().clean_away.clone().unwrap().unwrap();
    assert_eq!((clean.fields, clean.of), (3, 4));
    assert!(answer.chosen().unwrap().field(0, 1).unwrap().without_shared.is_none());
    study.shared.clear();
    assert!(study.answer().unwrap().chosen().unwrap().clean_away.is_none());
}

/// Layer 1 has rank 1 in all six fields and the other three share rank 3: Friedman's statistic is
/// 12 6 / 20 (28 - 25) = 10.8, over 1 - 24 / 60 for ties 18, the largest that there is.
#[test]
fn mean_ranks_are_tested_over_the_fields() {
    let mut study = study();
    let answer = study.answer().unwrap();
    let ranks = answer.ranks.as_ref().unwrap();
    let test = ranks.test.as_ref().unwrap();
    assert!((test.friedman.chi_squared - 18.0).abs() < 1e-9 && test.friedman.p < 0.001, "{test:?}");
    assert!(test.friedman.iman_davenport.is_err());
    assert!((test.critical.as_ref().unwrap().ranks - 1.914_843).abs() < 5e-7);
    assert_eq!(test.apart, [(1, 0), (1, 2), (1, 3)]);
    let control = test.control.as_ref().unwrap();
    assert!(answer.conditions[ranks.conditions[control.control]].condition.is_base());
    // without no plug the last layer is the control, and a condition that lacks a field is not ranked
    study.runs.retain(|run| !run.condition.is_base());
    for run in &mut study.runs {
        if run.condition == Condition::Layer(0) {
            run.tests[2] = None;
        }
    }
    assert!(study.answer().unwrap().ranks.is_none(), "two conditions are a pair");
    let mut study = super::synthetic::study();
    study.runs.retain(|run| !run.condition.is_base());
    let answer = study.answer().unwrap();
    let ranks = answer.ranks.as_ref().unwrap();
    assert_eq!(ranks.test.as_ref().unwrap().control.as_ref().unwrap().control, 2);
}

#[test]
fn fields_with_other_classes_are_not_available_and_count_nowhere() {
    let mut study = study();
    study.domains[2].labels.reverse();
    let answer = study.answer().unwrap();
    let chosen = answer.chosen().unwrap();
    let field = chosen.field(0, 2).unwrap();
    assert!(matches!(field.accuracy, Err(NotAvailable::Labels(LabelMismatch::Order { .. }))));
    assert_eq!(chosen.gain_away.as_ref().unwrap().of, 2);
    assert_eq!(answer.incomparable.len(), 2);
}

#[test]
fn missing_runs_give_reasons_and_shrink_what_is_counted() {
    let mut study = study();
    study.runs.retain(|run| !(run.condition.is_base() && run.trained == 1));
    let answer = study.answer().unwrap();
    let chosen = answer.chosen().unwrap();
    assert_eq!(chosen.field(1, 0).unwrap().over_base, Err(NotAvailable::NoRun));
    let away = chosen.gain_away.as_ref().unwrap();
    assert_eq!((away.fields, away.of), (2, 4));
    let base = answer.get(&Condition::base()).unwrap();
    assert_eq!(base.average_rank, Err(NotAvailable::NoRun));
    assert!(base.ratio.is_err() && base.loss.is_err());
    study.runs.clear();
    assert_eq!(study.answer().unwrap_err(), Error::NoRun);
}

#[test]
fn runs_that_contradict_each_other_are_refused() {
    let mut twice = study();
    let run = twice.runs[0].clone();
    twice.runs.push(run);
    assert!(matches!(twice.answer(), Err(Error::Twice { .. })));
    let mut other = study();
    other.runs[3].tests[1].as_mut().unwrap().ids[0] = 9_999;
    assert!(matches!(other.answer(), Err(Error::DifferentExamples { .. })));
}

/// reference/analyses.md section 5: over a full square the two drops average to one number, whatever
/// the fields are.
#[test]
fn source_and_target_drops_are_equal_on_average_over_a_full_square() {
    let mut study = study();
    for (at, run) in study.runs.iter_mut().enumerate() {
        for (tested, outcome) in run.tests.iter_mut().enumerate() {
            let scores = &mut outcome.as_mut().unwrap().scores;
            let right = (37 * (at + 3) + 101 * (tested + 1) * (run.trained + 2)) % EXAMPLES;
            scores
                .iter_mut()
                .enumerate()
                .for_each(|(example, score)| *score = f64::from(u8::from(example < right)));
        }
    }
    let answer = study.answer().unwrap();
    for row in &answer.conditions {
        let drops = [(0, 1), (1, 0)].map(|(trained, tested)| {
            let field = row.field(trained, tested).unwrap();
            let drop = |drop: &Result<crate::analysis::statistics::Estimate, NotAvailable>| {
                drop.as_ref().unwrap().value
            };
            (drop(&field.source_drop), drop(&field.target_drop))
        });
        let (source, target) = (drops[0].0 + drops[1].0, drops[0].1 + drops[1].1);
        assert!((source - target).abs() < 1e-9, "{}: {source} {target}", row.condition);
        assert!((row.loss.as_ref().unwrap().estimate.value - target / 2.0).abs() < 1e-9);
    }
}
