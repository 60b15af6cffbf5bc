//! A made transfer study for tests here and in `report`: three domains, of which two are trained on.

use std::collections::{BTreeMap, BTreeSet};

use super::{Domain, Run, TransferStudy};
use crate::analysis::layers::{Condition, Outcome};
use crate::analysis::statistics::Resampling;
use crate::seed::Seed;

/// Examples of every test set.
pub(crate) const EXAMPLES: usize = 400;

/// Layer 1 of 3 is right 12 points more often than no plug at home and 8 points elsewhere; the other
/// layers are no plug again. Seeds differ by single examples.
pub(crate) fn study() -> TransferStudy {
    let conditions = [Condition::Layer(0), Condition::Layer(1), Condition::Layer(2), Condition::base()];
    let mut runs = Vec::new();
    for condition in &conditions {
        let plugged = *condition == Condition::Layer(1);
        for trained in 0..2 {
            for seed in 0..4_u64 {
                let tests = (0..3).map(|tested| {
                    let base = if tested == trained { 280 } else { 220 };
                    let gain = match (plugged, tested == trained) {
                        (false, _) => 0,
                        (true, true) => 48,
                        (true, false) => 32,
                    };
                    Some(outcome(base + gain + seed as usize))
                });
                let validation = if plugged { 0.82 } else { 0.7 };
                let tests = tests.collect();
                let condition = condition.clone();
                runs.push(Run { condition, trained, seed, validation, training: None, tests });
            }
        }
    }
    let labels = vec!["negative".to_owned(), "positive".to_owned()];
    TransferStudy {
        llm: "a-llm".into(),
        slm: "a-slm".into(),
        metric: "accuracy".into(),
        layers: 3,
        domains: ["films", "gadgets", "hotels"]
            .map(|name| Domain { name: name.into(), labels: labels.clone() })
            .into(),
        trained: vec![0, 1],
        seeds: (0..4).collect(),
        runs,
        shared: BTreeMap::from([((0, 1), (0..10).collect::<BTreeSet<u64>>())]),
        resampling: Resampling { resamples: 400, ..Resampling::new(Seed(3)) },
    }
}

/// The first so many of the examples are right.
fn outcome(right: usize) -> Outcome {
    Outcome {
        ids: (0..EXAMPLES as u64).collect(),
        scores: (0..EXAMPLES).map(|example| f64::from(u8::from(example < right))).collect(),
        macro_f1: None,
        mcc: None,
    }
}
