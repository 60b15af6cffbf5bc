//! What a report says about a screen that went before: which layers were pruned at which round, and
//! what the screen would have missed.

use super::text::{decimal, percent, plural, size_in_points};
use crate::analysis::layers::ranges;
use crate::analysis::screen::{Criterion, Missed, Screened};

/// The remarks, a round each; `in_full` lists the layers that the report's own study trains.
pub fn screen_notes(screened: &Screened, in_full: &[usize], missed: Option<Missed>) -> Vec<String> {
    let mut notes = Vec::new();
    let mut before = screened.layers.as_slice();
    for (at, round) in screened.rounds.iter().enumerate() {
        let pruned: Vec<String> = before
            .iter()
            .filter(|layer| !round.kept.contains(layer))
            .map(|layer| {
                let shown = |score: &f64| match round.criterion {
                    Criterion::Validation => format!(" ({}%)", percent(*score)),
                    Criterion::MeanRank => format!(" ({})", decimal(*score, 1)),
                };
                let score = round.scores.get(layer).map(shown);
                format!("{layer}{}", score.unwrap_or_default())
            })
            .collect();
        let pruned = if pruned.is_empty() { "none".to_owned() } else { pruned.join(", ") };
        let (number, what) = match round.criterion {
            Criterion::Validation => ("validation in that round", "of shorter or partial training"),
            Criterion::MeanRank => ("mean rank under the scores", "of no training at all"),
        };
        notes.push(format!(
            "Screen `{}`, round {} of {} (in `{}`): kept {}; pruned, with their {number}: {pruned}. These numbers are \
             {what} and stand in no ranking with finished runs.",
            screened.screen,
            at + 1,
            screened.rounds.len(),
            round.study,
            ranges(&round.kept),
        ));
        before = &round.kept;
    }
    let untrained = screened.layers.iter().filter(|layer| !in_full.contains(layer)).count();
    if untrained > 0 {
        notes.push(format!(
            "{} were pruned and are not among the layers of this report: it answers which of the kept layers is best. \
             Controls and the last layer are never pruned.",
            plural(untrained, "layer")
        ));
    }
    if let Some(missed) = missed {
        let recovery = missed.recovery.map_or_else(
            || "n/a, as the best layer is not above the last one by more than noise".to_owned(),
            |recovery| decimal(recovery, 2),
        );
        let lost = if missed.best == missed.best_kept {
            format!("the screen kept the best layer, {}", missed.best)
        } else {
            format!(
                "the screen pruned the best layer, {}, and would have ended with layer {}",
                missed.best, missed.best_kept
            )
        };
        notes.push(format!(
            "The full training of all {} exists too: {lost}; regret {} of validation, recovery {recovery}.",
            plural(missed.layers, "screened layer"),
            size_in_points(missed.regret)
        ));
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::screen::Round;
    use std::collections::BTreeMap;

    #[test]
    fn pruned_layers_are_listed_apart_and_the_miss_is_told() {
        let mut screened = Screened {
            schema_version: Screened::SCHEMA_VERSION,
            screen: "plug".into(),
            last: 3,
            layers: vec![0, 1, 2, 3],
            rounds: vec![Round {
                study: "x-screen".into(),
                criterion: Criterion::Validation,
                scores: BTreeMap::from([(0, 0.7), (1, 0.65), (2, 0.8), (3, 0.6)]),
                kept: vec![2, 3],
            }],
        };
        let notes = screen_notes(&screened, &[2, 3], None);
        assert!(
            notes[0].contains("0 (70.0%), 1 (65.0%)") && notes[1].starts_with("2 layers were pruned"),
            "{notes:?}"
        );
        screened.rounds[0].criterion = Criterion::MeanRank;
        let by_rank = &screen_notes(&screened, &[2, 3], None)[0];
        assert!(by_rank.contains("mean rank under the scores: 0 (0.7), 1 (0.7)"), "{by_rank}");
        let missed = Missed { best: 1, best_kept: 2, regret: 0.01, recovery: Some(0.5), layers: 4 };
        let notes = screen_notes(&screened, &[0, 1, 2, 3], Some(missed));
        assert_eq!(notes.len(), 2);
        assert!(
            notes[1].contains("pruned the best layer, 1") && notes[1].contains("recovery 0.50"),
            "{notes:?}"
        );
    }
}
