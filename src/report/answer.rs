//! The answer in one sentence, with its uncertainty.

use super::text::{condition, list, percent, plural, points, points_with_interval, size_in_points};
use crate::analysis::layers::{Claim, Condition, LayerAnswer, SetRole, ranges};

/// What the intervals say about the chosen layer against no plug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The interval lies above zero.
    Helps,
    /// The interval lies below zero.
    Hurts,
    /// The interval covers zero.
    Undecided,
    /// No cell without a plug has finished.
    Unknown,
}

/// The verdict on the chosen layer.
pub(super) fn verdict(answer: &LayerAnswer) -> Verdict {
    match answer.claim(&Condition::base()).map(|claim| claim.contrast.estimate) {
        None => Verdict::Unknown,
        Some(gain) if gain.low > 0.0 => Verdict::Helps,
        Some(gain) if gain.high < 0.0 => Verdict::Hurts,
        Some(_) => Verdict::Undecided,
    }
}

/// The first sentence of the report.
pub(super) fn first_sentence(answer: &LayerAnswer, synthetic: bool) -> String {
    let tied = tied(answer);
    let chosen = chosen(answer);
    let numbers = numbers(answer);
    let set = set_name(answer);
    let (llm, slm, task) = (&answer.llm, &answer.slm, &answer.task);
    let mut sentence = match verdict(answer) {
        Verdict::Helps => {
            let chosen = chosen.subject();
            format!("{tied}; {chosen} was chosen on validation and has on {set} {numbers}")
        }
        Verdict::Undecided => {
            let none = if answer.tied.len() == 1 { "it is not" } else { "none is" };
            let chosen = chosen.described_as("the one chosen on validation", "chosen on validation");
            format!("{tied}, and {none} shown to beat no plug: {chosen} has on {set} {numbers}")
        }
        Verdict::Hurts => {
            let chosen = chosen.described_as("the best on validation", "the best on validation");
            format!("Plugging a layer of {llm} into {slm} hurts on {task}: {chosen} has on {set} {numbers}")
        }
        Verdict::Unknown => {
            let layer = Condition::Layer(answer.chosen);
            let mean = answer
                .claim_set()
                .get(&layer)
                .map_or_else(String::new, |row| format!(" and has {}% on {set}", percent(row.metric.mean)));
            let chosen = chosen.subject();
            format!(
                "{tied}; {chosen} was chosen on validation{mean}, but no cell without a plug has finished, so whether \
                 it gains anything is unknown"
            )
        }
    };
    if answer.seeds.len() == 1 {
        sentence.push_str(" (one seed: the luck of training is not in these intervals)");
    }
    sentence.push('.');
    if synthetic { format!("On synthetic data, made to try the program: {sentence}") } else { sentence }
}

/// Where the layers stand to each other on validation.
fn tied(answer: &LayerAnswer) -> String {
    let (llm, task, compared) = (&answer.llm, &answer.task, answer.behind.len());
    if compared == 1 {
        format!("Layer {} of {llm} is the only layer compared on {task}", answer.chosen)
    } else if answer.tied.len() == 1 {
        format!("Layer {} of {llm} is the best of {compared} layers on {task}", answer.chosen)
    } else if answer.tied.len() == compared {
        let all = if compared == answer.layers { "The" } else { "All compared" };
        format!("{all} {compared} layers of {llm} cannot be told apart on {task}")
    } else {
        let layers = ranges(&answer.tied);
        let capital = layers.replacen('l', "L", 1);
        format!("{capital} of {llm} cannot be told apart on {task}")
    }
}

/// The chosen layer within a sentence.
struct Chosen {
    name: String,
    /// It is also the LLM's last layer, which the sentence says in passing.
    is_last: bool,
}

impl Chosen {
    /// Before a verb: `layer 31, the last layer,`.
    fn subject(&self) -> String {
        if self.is_last { format!("{}, the last layer,", self.name) } else { self.name.clone() }
    }

    /// With what else is said of it: `layer 31, the last layer and the best on validation,`.
    fn described_as(&self, beside_last: &str, alone: &str) -> String {
        let name = &self.name;
        if self.is_last {
            format!("{name}, the last layer and {beside_last},")
        } else {
            format!("{name}, {alone},")
        }
    }
}

fn chosen(answer: &LayerAnswer) -> Chosen {
    let named = answer.tied.len() == 1 && verdict(answer) == Verdict::Helps;
    let name = if named { "it".to_owned() } else { format!("layer {}", answer.chosen) };
    Chosen { name, is_last: answer.chosen == answer.last() && answer.layers > 1 }
}

fn set_name(answer: &LayerAnswer) -> &'static str {
    if answer.claims_on == SetRole::Test { "test" } else { "validation" }
}

/// `+0.6 points over no plug (95% interval +0.2 to +1.0), +0.3 over the last layer (−0.1 to +0.7);
/// no plug has 91.2%`.
fn numbers(answer: &LayerAnswer) -> String {
    let claim = |against: &Condition| answer.claim(against).map(|claim| claim.contrast.estimate);
    let mut parts = Vec::new();
    if let Some(gain) = claim(&Condition::base()) {
        parts.push(format!(
            "{} points over no plug (95% interval {} to {})",
            points(gain.value),
            points(gain.low),
            points(gain.high)
        ));
    }
    if let Some(gain) = claim(&Condition::Layer(answer.last())) {
        parts.push(format!(
            "{} over the last layer ({} to {})",
            points(gain.value),
            points(gain.low),
            points(gain.high)
        ));
    }
    let base = answer
        .claim_set()
        .get(&Condition::base())
        .map_or_else(String::new, |row| format!("; no plug has {}%", percent(row.metric.mean)));
    format!("{}{base}", parts.join(", "))
}

/// What follows the first sentence: is it the LLM, and what could have been seen at all.
pub(super) fn further_sentences(answer: &LayerAnswer) -> String {
    let mut sentences = Vec::new();
    let controls: Vec<&Claim> = answer
        .claims
        .iter()
        .filter(|claim| claim.against.layer().is_none() && !claim.against.is_base())
        .collect();
    let (above, not_above): (Vec<&Claim>, Vec<&Claim>) =
        controls.iter().partition(|claim| claim.contrast.estimate.low > 0.0);
    let against = |claims: &[&Claim]| {
        let parts: Vec<String> = claims
            .iter()
            .map(|claim| {
                format!("{} ({})", condition(&claim.against), points_with_interval(&claim.contrast.estimate))
            })
            .collect();
        list(&parts)
    };
    if !above.is_empty() {
        sentences.push(format!("The chosen layer is above {}.", against(&above)));
    }
    if !not_above.is_empty() {
        sentences.push(format!(
            "It is not shown to be above {}, so what it gains may come from the plug's shape and not from what the \
             LLM knows.",
            against(&not_above)
        ));
    }
    if let Ok(detectable) = answer.detectable {
        sentences.push(format!(
            "With {} and {} a difference to no plug of {} would be found in four of five such studies; smaller ones \
             may exist unseen.",
            plural(answer.seeds.len(), "seed"),
            plural(answer.claim_set().examples, "example"),
            size_in_points(detectable)
        ));
    }
    sentences.extend(without_the_curse(answer));
    if !answer.warnings.is_empty() {
        sentences.push(format!(
            "{} what this answer can claim: see Warnings.",
            if answer.warnings.len() == 1 {
                "One thing limits".to_owned()
            } else {
                format!("{} things limit", answer.warnings.len())
            }
        ));
    }
    sentences.join(" ")
}

/// What being picked as the best of several layers flatters on validation.
fn without_the_curse(answer: &LayerAnswer) -> Option<String> {
    let compared = answer.behind.len();
    let picked = answer.corrected.as_ref().ok().filter(|_| compared > 1)?;
    let layer = answer.behind.get(picked.condition)?.layer;
    Some(format!(
        "Being picked as the best of {compared} layers flatters layer {layer} on validation by about {}: without that \
         it has {}% ({} to {}), not {}%.",
        size_in_points(picked.surplus),
        percent(picked.corrected.value),
        percent(picked.corrected.low),
        percent(picked.corrected.high),
        percent(picked.observed)
    ))
}
