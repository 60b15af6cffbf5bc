//! What the reader of an answer must know, as data with a text.

use super::answer::{LayerAnswer, SetRole};
use super::study::Condition;
use crate::analysis::statistics::sign_flip::{SEEDS_FOR_FIVE_PERCENT, smallest_two_sided};
use serde::Serialize;

/// Something that limits what the answer can claim.
#[derive(Clone, Debug, PartialEq, Serialize, thiserror::Error)]
pub enum Warning {
    /// One seed says nothing about the luck of training.
    #[error(
        "one seed: intervals cover the choice of examples only, not the luck of training; run at least three"
    )]
    OneSeed,
    /// The sign-flip test over seeds cannot reach 0.05.
    #[error(
        "{seeds} seeds: a sign-flip test over seeds cannot go below p = {smallest_p}, six seeds are needed for \
         0.05; what is claimed here rests on the examples"
    )]
    FewSeeds {
        /// Seeds of the study.
        seeds: usize,
        /// What the test can reach.
        smallest_p: f64,
    },
    /// There is no control without a plug.
    #[error("no cell without a plug (base) has finished, so no gain can be stated")]
    NoBase,
    /// The published choice was not run.
    #[error("the last layer ({layer}), the published choice, has no finished cell")]
    NoLastLayer {
        /// The last layer.
        layer: usize,
    },
    /// Cells are missing.
    #[error("{missing} of {planned} cells have no result; run the same command again to complete them")]
    MissingCells {
        /// Cells without a result.
        missing: usize,
        /// Cells planned.
        planned: usize,
    },
    /// Layers that lack a seed take no part in the choice.
    #[error("not compared, because they lack a seed that the others have: {}", ranges(.layers))]
    LayersNotCompared {
        /// These layers.
        layers: Vec<usize>,
    },
    /// Seeds that too few layers finished take no part in the choice.
    #[error("set aside when layers are compared, because too few layers finished it: seed {}", list(.seeds))]
    SeedsSetAside {
        /// These seeds.
        seeds: Vec<u64>,
    },
    /// There is no test set.
    #[error(
        "there is no result on a test set: the gain is stated on validation, on which the layer was chosen, and \
         is too good"
    )]
    NoTest,
    /// The best of many looks better than it is.
    #[error(
        "the best of {layers} equal layers would look {:.1} points better than it is on validation, by luck alone",
        100.0 * .excess
    )]
    LuckOfTheBest {
        /// Layers compared.
        layers: usize,
        /// Expected excess, as a fraction.
        excess: f64,
    },
    /// A control does as well as the layer, so the gain is not the LLM's.
    #[error(
        "the chosen layer is not shown to be better than the control {control}: what the plug gains may come \
         from its shape, not from what the LLM knows"
    )]
    NotAboveControl {
        /// The control.
        control: String,
    },
    /// Texts of an evaluation set stand in the training set.
    #[error("{overlapping} of {examples} texts of {set} also stand in the training set")]
    Overlap {
        /// The evaluation set.
        set: String,
        /// Texts in both.
        overlapping: usize,
        /// Texts of the evaluation set.
        examples: usize,
    },
}

pub(super) fn collect(answer: &LayerAnswer) -> Vec<Warning> {
    let mut warnings = Vec::new();
    let seeds = answer.seeds.len();
    if seeds == 1 {
        warnings.push(Warning::OneSeed);
    } else if seeds < SEEDS_FOR_FIVE_PERCENT {
        warnings.push(Warning::FewSeeds { seeds, smallest_p: smallest_two_sided(seeds) });
    }
    if answer.claims_on != SetRole::Test {
        warnings.push(Warning::NoTest);
    }
    if answer.validation.get(&Condition::base()).is_none() {
        warnings.push(Warning::NoBase);
    }
    if answer.validation.get(&Condition::Layer(answer.last())).is_none() {
        warnings.push(Warning::NoLastLayer { layer: answer.last() });
    }
    let missing = answer.finished.planned - answer.finished.finished;
    if missing > 0 {
        warnings.push(Warning::MissingCells { missing, planned: answer.finished.planned });
    }
    let compared: Vec<usize> = answer.best_probability.iter().map(|best| best.layer).collect();
    let layers: Vec<usize> = answer
        .validation
        .conditions
        .iter()
        .filter_map(|row| row.condition.layer())
        .filter(|layer| !compared.contains(layer))
        .collect();
    if !layers.is_empty() {
        warnings.push(Warning::LayersNotCompared { layers });
    }
    let aside: Vec<u64> =
        answer.seeds.iter().copied().filter(|seed| !answer.compared_seeds.contains(seed)).collect();
    if !aside.is_empty() {
        warnings.push(Warning::SeedsSetAside { seeds: aside });
    }
    for claim in &answer.claims {
        if let Condition::Control(control) = &claim.against
            && !claim.against.is_base()
            && claim.contrast.estimate.low <= 0.0
        {
            warnings.push(Warning::NotAboveControl { control: control.clone() });
        }
    }
    if let Ok(luck) = answer.luck {
        warnings.push(Warning::LuckOfTheBest { layers: luck.layers, excess: luck.excess });
    }
    for set in std::iter::once(&answer.validation).chain(&answer.test).chain(&answer.domains) {
        if set.overlapping > 0 {
            let (overlapping, examples) = (set.overlapping, set.examples);
            let name = match set.role {
                SetRole::Validation => format!("{} (validation)", set.name),
                SetRole::Test => format!("{} (test)", set.name),
                SetRole::Domain => set.name.clone(),
            };
            warnings.push(Warning::Overlap { set: name, overlapping, examples });
        }
    }
    warnings
}

/// `layer 3`, `layers 17-24, 30`.
pub fn ranges(layers: &[usize]) -> String {
    let mut parts: Vec<String> = Vec::new();
    let mut start = 0;
    while start < layers.len() {
        let mut end = start;
        while end + 1 < layers.len() && layers[end + 1] == layers[end] + 1 {
            end += 1;
        }
        parts.push(match end - start {
            0 => layers[start].to_string(),
            1 => format!("{}, {}", layers[start], layers[end]),
            _ => format!("{}\u{2013}{}", layers[start], layers[end]),
        });
        start = end + 1;
    }
    format!("{} {}", if layers.len() == 1 { "layer" } else { "layers" }, parts.join(", "))
}

fn list(values: &[u64]) -> String {
    values.iter().map(u64::to_string).collect::<Vec<_>>().join(", ")
}
