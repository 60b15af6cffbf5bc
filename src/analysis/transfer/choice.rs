//! Which layer is looked at, and by what it was chosen.

use super::grid::{Grid, mean};
use crate::analysis::layers::Condition;
use serde::Serialize;

/// What a layer is chosen by (Gulrajani and Lopez-Paz 2021).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// Validation splits of the domains trained on: what a user without labels elsewhere can do.
    TrainDomainValidation,
    /// The tests of all domains but the one that is claimed.
    LeaveOneDomainOut,
    /// The tested domain itself: an upper bound that nobody may claim.
    Oracle,
}

impl std::fmt::Display for Protocol {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::TrainDomainValidation => "validation in the training domains",
            Self::LeaveOneDomainOut => "leave one domain out",
            Self::Oracle => "oracle",
        })
    }
}

/// The layer that the answer is about.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Choice {
    /// The layer with the best mean validation over the domains trained on, among the layers with
    /// the most finished runs.
    pub layer: usize,
    /// That mean.
    pub validation: f64,
    /// Layers that were compared.
    pub compared: usize,
    /// The best layer of each domain trained on by its own validation: (domain, layer).
    pub by_domain: Vec<(usize, usize)>,
    /// How it was chosen.
    pub protocol: Protocol,
}

/// What another protocol would have chosen for one domain tested on.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Regret {
    /// The domain trained on.
    pub trained: usize,
    /// The domain tested on.
    pub tested: usize,
    /// The protocol.
    pub protocol: Protocol,
    /// Its layer.
    pub layer: usize,
    /// Accuracy of its layer minus that of the chosen one; no interval, as the oracle looked.
    pub regret: f64,
}

/// Chooses on validation; `None` without a layer.
pub(super) fn choose(grid: &Grid<'_>) -> Option<Choice> {
    let study = grid.study;
    let validation = |layer: usize, domain: Option<usize>| -> Vec<f64> {
        let runs = study.runs.iter().filter(|run| run.condition == Condition::Layer(layer));
        runs.filter(|run| domain.is_none_or(|domain| run.trained == domain))
            .map(|run| run.validation)
            .collect()
    };
    let layers: Vec<usize> = grid.conditions().into_iter().filter_map(Condition::layer).collect();
    let best = |domain: Option<usize>| {
        let scores: Vec<(usize, Vec<f64>)> =
            layers.iter().map(|&layer| (layer, validation(layer, domain))).collect();
        // a layer that lacks runs of a hard domain or seed would look better than it is
        let most = scores.iter().map(|(_, scores)| scores.len()).max().filter(|most| *most > 0)?;
        let whole: Vec<(usize, f64)> = scores
            .into_iter()
            .filter(|(_, scores)| scores.len() == most)
            .map(|(layer, scores)| (layer, mean(&scores)))
            .collect();
        let compared = whole.len();
        // of equals the first
        let best = whole.into_iter().reduce(|best, next| if next.1 > best.1 { next } else { best })?;
        Some((best, compared))
    };
    let ((layer, validation), compared) = best(None)?;
    let by_domain =
        study.trained.iter().filter_map(|&domain| best(Some(domain)).map(|((layer, _), _)| (domain, layer)));
    Some(Choice {
        layer,
        validation,
        compared,
        by_domain: by_domain.collect(),
        protocol: Protocol::TrainDomainValidation,
    })
}

/// What the other protocols would have chosen, for every pair of different domains.
pub(super) fn regrets(grid: &Grid<'_>, chosen: usize) -> Vec<Regret> {
    let study = grid.study;
    let layers: Vec<usize> = grid.conditions().into_iter().filter_map(Condition::layer).collect();
    let accuracy = |layer: usize, trained: usize, tested: usize| -> Option<f64> {
        let seeds = grid.seeds(&Condition::Layer(layer), trained, tested).ok()?;
        Some(mean(&seeds.iter().map(|(_, value)| *value).collect::<Vec<f64>>()))
    };
    let mut regrets = Vec::new();
    for &trained in &study.trained {
        for tested in (0..study.domains.len()).filter(|tested| *tested != trained) {
            let Some(reference) = accuracy(chosen, trained, tested) else { continue };
            let others: Vec<usize> = (0..study.domains.len()).filter(|domain| *domain != tested).collect();
            for (protocol, judged_on) in
                [(Protocol::LeaveOneDomainOut, others), (Protocol::Oracle, vec![tested])]
            {
                let score = |layer: usize| -> Option<f64> {
                    let scores: Vec<f64> =
                        judged_on.iter().filter_map(|&domain| accuracy(layer, trained, domain)).collect();
                    (!scores.is_empty()).then(|| mean(&scores))
                };
                let scored = layers.iter().filter_map(|&layer| score(layer).map(|score| (layer, score)));
                let best = scored.reduce(|best, next| if next.1 > best.1 { next } else { best });
                let Some((layer, _)) = best else { continue };
                if let Some(found) = accuracy(layer, trained, tested) {
                    regrets.push(Regret { trained, tested, protocol, layer, regret: found - reference });
                }
            }
        }
    }
    regrets
}
