//! Synthetic studies for tests: examples of known difficulty, conditions of known strength.

use super::study::{Cell, Condition, ExampleSet, LayerStudy, Outcome};
use crate::analysis::statistics::Resampling;
use crate::seed::{Seed, Stream};

/// What to make up.
#[derive(Clone)]
pub(crate) struct Made {
    /// Strength of each layer; 0 is the base's. 0.3 is about 8 points.
    pub(crate) layers: Vec<f64>,
    /// Strength of each control.
    pub(crate) controls: Vec<(&'static str, f64)>,
    pub(crate) seeds: usize,
    pub(crate) examples: usize,
    pub(crate) domains: Vec<&'static str>,
    /// Every how many-th example overlaps with the training set, in the first domain; 0 for none.
    pub(crate) overlap_every: usize,
    /// Spread of a run's strength over seeds.
    pub(crate) luck: f64,
}

impl Made {
    pub(crate) fn new(layers: Vec<f64>) -> Self {
        Self {
            layers,
            controls: vec![("base", 0.0), ("mappers", 0.02), ("random", -0.02)],
            seeds: 3,
            examples: 400,
            domains: Vec::new(),
            overlap_every: 0,
            luck: 0.02,
        }
    }

    pub(crate) fn study(&self) -> LayerStudy {
        let mut conditions: Vec<(Condition, f64)> =
            self.layers.iter().enumerate().map(|(layer, s)| (Condition::Layer(layer), *s)).collect();
        conditions.extend(self.controls.iter().map(|(name, s)| (Condition::Control((*name).to_owned()), *s)));
        let seeds: Vec<u64> = (1..=self.seeds as u64).collect();
        let mut stream = Seed(20).stream();
        let difficulty = |stream: &mut Stream| -> Vec<f64> {
            (0..self.examples).map(|_| 1.5 * stream.normal() - 1.5).collect()
        };
        let validation = difficulty(&mut stream);
        let test = difficulty(&mut stream);
        let domains: Vec<Vec<f64>> = self.domains.iter().map(|_| difficulty(&mut stream)).collect();
        let mut cells = Vec::new();
        for (condition, strength) in &conditions {
            for &seed in &seeds {
                let strength = 2.0 * strength + self.luck * stream.normal();
                cells.push(Cell {
                    condition: condition.clone(),
                    seed,
                    validation: outcome(&validation, strength, &mut stream),
                    test: Some(outcome(&test, strength, &mut stream)),
                    domains: domains
                        .iter()
                        .enumerate()
                        .map(|(at, hard)| {
                            Some(outcome(hard, strength * (1.0 - 0.8 * at as f64), &mut stream))
                        })
                        .collect(),
                });
            }
        }
        let set = |name: &str, every: usize| ExampleSet {
            name: name.to_owned(),
            overlapping: (0..self.examples as u64).filter(|id| every > 0 && id % every as u64 == 0).collect(),
        };
        LayerStudy {
            llm: "meta-llama/Llama-3.1-8B".to_owned(),
            slm: "bert-base-uncased".to_owned(),
            task: "sst2".to_owned(),
            metric: "accuracy".to_owned(),
            layers: self.layers.len(),
            planned: conditions.into_iter().map(|(condition, _)| condition).collect(),
            seeds,
            validation: set("sst2", 0),
            test: Some(set("sst2", 0)),
            domains: self
                .domains
                .iter()
                .enumerate()
                .map(|(at, name)| set(name, if at == 0 { self.overlap_every } else { 0 }))
                .collect(),
            cells,
            resampling: Resampling { resamples: 1_000, ..Resampling::new(Seed(4)) },
        }
    }
}

fn outcome(difficulty: &[f64], strength: f64, stream: &mut Stream) -> Outcome {
    let scores: Vec<f64> = difficulty
        .iter()
        .map(|hard| f64::from(u8::from(strength + 0.25 * stream.normal() > *hard)))
        .collect();
    let accuracy = scores.iter().sum::<f64>() / scores.len() as f64;
    Outcome {
        ids: (0..scores.len() as u64).collect(),
        macro_f1: Some(accuracy - 0.01),
        mcc: Some(2.0 * accuracy - 1.0),
        scores,
    }
}

/// A hump over depth, as layer studies often look.
pub(crate) fn hump(layers: usize, height: f64) -> Vec<f64> {
    (0..layers)
        .map(|layer| {
            let depth = layer as f64 / (layers.max(2) - 1) as f64;
            height * (1.0 - 3.0 * (depth - 0.62).powi(2))
        })
        .collect()
}
