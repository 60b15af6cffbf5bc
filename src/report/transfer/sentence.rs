//! Whether the gain carries over, in one sentence with its uncertainty.

use crate::analysis::transfer::{ConditionTransfer, MeanGain, TransferAnswer};
use crate::report::text::{plural, points, points_with_interval};

/// The first sentence of the report.
pub(super) fn first(answer: &TransferAnswer, synthetic: bool) -> String {
    let mut sentence = match (&answer.choice, answer.chosen()) {
        (Some(choice), Some(row)) => {
            let layer = format!("layer {} of {}", choice.layer, answer.llm);
            of_chosen(answer, &layer, row)
        }
        _ => format!("No layer of {} has finished, so whether a gain carries over is unknown", answer.llm),
    };
    if answer.seeds.len() == 1 {
        sentence.push_str(" (one seed: the luck of training is not in these intervals)");
    }
    sentence.push('.');
    if synthetic { format!("On synthetic data, made to try the program: {sentence}") } else { sentence }
}

fn of_chosen(answer: &TransferAnswer, layer: &str, row: &ConditionTransfer) -> String {
    let slm = &answer.slm;
    let home = row.gain_home.as_ref().ok();
    let Some(away) = row.gain_away.as_ref().ok() else {
        let known = home.map_or_else(String::new, |home| {
            format!(" (at home it has {} points over no plug)", points_with_interval(&home.estimate))
        });
        return format!(
            "Whether the gain of {layer} in {slm} carries over is unknown: no run without a plug was tested on \
             another domain{known}"
        );
    };
    // a sentence that begins with the place does not end with it
    let there = |place: &str| {
        let estimate = &away.estimate;
        let (low, high) = (points(estimate.low), points(estimate.high));
        let value = points(estimate.value);
        format!("{value} points over no plug{place} (95% interval {low} to {high}, mean of {})", of(away))
    };
    let elsewhere = there(" on other domains");
    let at_home = home.map_or_else(String::new, |home| {
        format!(
            ", {} at home ({} to {})",
            points(home.estimate.value),
            points(home.estimate.low),
            points(home.estimate.high)
        )
    });
    let gains_home = home.is_some_and(|home| home.estimate.low > 0.0);
    if away.estimate.low > 0.0 && gains_home {
        format!("The gain of {layer} in {slm} carries over: {elsewhere}{at_home}")
    } else if away.estimate.low > 0.0 {
        format!(
            "On other domains {layer} in {slm} beats no plug, at home it is not shown to: {}{at_home}",
            there("")
        )
    } else if away.estimate.high < 0.0 {
        format!("On other domains {layer} in {slm} hurts: {}{at_home}", there(""))
    } else if gains_home {
        format!("That the gain of {layer} in {slm} carries over is not shown: {elsewhere}{at_home}")
    } else {
        format!(
            "Neither at home nor on other domains is {layer} in {slm} shown to beat no plug: {elsewhere}{at_home}"
        )
    }
}

/// `6 pairs`, `4 of 6 pairs`.
fn of(gain: &MeanGain) -> String {
    if gain.fields == gain.of {
        plural(gain.of, "pair")
    } else {
        format!("{} of {}", gain.fields, plural(gain.of, "pair"))
    }
}

/// What the reader should know before believing it.
pub(super) fn warnings(answer: &TransferAnswer) -> Vec<String> {
    let mut warnings = Vec::new();
    let seeds = answer.seeds.len();
    if seeds < crate::analysis::statistics::sign_flip::SEEDS_FOR_FIVE_PERCENT {
        warnings.push(format!(
            "{}: the bootstrap over seeds resamples few units, and its part of the intervals is rather narrow",
            plural(seeds, "seed")
        ));
    }
    for row in &answer.conditions {
        if let Ok(gain) = &row.gain_away
            && gain.fields < gain.of
        {
            warnings.push(format!(
                "the mean of {} stands on {} of {} pairs; it is not to be compared with means over all of them",
                super::name(answer, &row.condition),
                gain.fields,
                gain.of
            ));
        }
    }
    for (trained, tested, reason) in &answer.incomparable {
        warnings.push(format!(
            "{} on {} is not available: {reason}",
            answer.domain(*trained),
            answer.domain(*tested)
        ));
    }
    let shared =
        answer.conditions.first().into_iter().flat_map(|row| &row.fields).filter(|field| field.shared > 0);
    for field in shared {
        warnings.push(format!(
            "of the {} test texts of {}, {} also stand in the training set of {} (exactly or nearly): see the gains \
             without them",
            field.examples,
            answer.domain(field.tested),
            field.shared,
            answer.domain(field.trained)
        ));
    }
    warnings
}
