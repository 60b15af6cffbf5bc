//! The demo's text is worth a demo: balanced, free of repetition, and not solved by counting words.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]

use std::collections::BTreeMap;

use linfa::prelude::{Fit, Predict};
use linfa_logistic::LogisticRegression;
use ndarray::{Array1, Array2};
use pifi_probe::data::Example;
use pifi_probe::data::demo::{self, Domain};
use pifi_probe::data::overlap::{self, Rule};

/// A task that counting words solves better than this would be no test of a layer.
const MOST_BY_COUNTING: f64 = 0.80;

fn counts(examples: &[Example], words: &BTreeMap<String, usize>) -> Array2<f64> {
    let mut counts = Array2::zeros((examples.len(), words.len()));
    for (row, example) in examples.iter().enumerate() {
        for word in example.text.split_whitespace() {
            if let Some(&column) = words.get(word) {
                counts[(row, column)] += 1.0;
            }
        }
    }
    counts
}

fn labels(examples: &[Example]) -> Array1<usize> {
    examples.iter().map(|example| example.label as usize).collect()
}

/// Accuracies on several test sets of a logistic regression on the word counts of one training set.
fn counting(train: &[Example], tests: &[&[Example]]) -> Vec<f64> {
    let mut words = BTreeMap::new();
    for word in train.iter().flat_map(|example| example.text.split_whitespace()) {
        let next = words.len();
        words.entry(word.to_owned()).or_insert(next);
    }
    let data = linfa::Dataset::new(counts(train, &words), labels(train));
    let model = LogisticRegression::default().alpha(1.0).max_iterations(60).fit(&data).unwrap();
    let accuracy = |test: &&[Example]| {
        let predicted = model.predict(&counts(test, &words));
        let right = predicted.iter().zip(labels(test)).filter(|(a, b)| **a == *b).count();
        right as f64 / test.len() as f64
    };
    tests.iter().map(accuracy).collect()
}

#[test]
fn counting_words_does_not_solve_the_demo() {
    let splits: Vec<_> = Domain::ALL.into_iter().map(demo::splits).collect();
    let tests: Vec<&[Example]> = splits.iter().map(|[.., (_, test)]| test.as_slice()).collect();
    for (home, [(_, train), ..]) in splits.iter().enumerate() {
        let accuracies = counting(train, &tests);
        let name = Domain::ALL[home].name();
        assert!(accuracies.iter().all(|accuracy| *accuracy < MOST_BY_COUNTING), "{name}: {accuracies:?}");
        // at home some verdicts are said straight, so words are worth something
        assert!(accuracies[home] > 0.55, "{name}: {accuracies:?}");
    }
}

#[test]
fn training_and_test_reviews_are_not_near_copies() {
    for domain in Domain::ALL {
        let [(_, train), _, (_, test)] = demo::splits(domain);
        let overlap = overlap::between(&train, &test, Rule::default());
        assert_eq!(overlap.exact, 0);
        assert!((overlap.near as f64) < 0.2 * test.len() as f64, "{}", overlap.near);
    }
}
