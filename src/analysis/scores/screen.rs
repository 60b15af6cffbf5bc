//! Which layers to train when there is no time for all: by the mean of their ranks under several
//! scores. One score alone chooses nothing, because none works best everywhere.

use super::Score;
use crate::analysis::statistics::ranks::descending;
use std::collections::BTreeMap;

/// Names of the scores that choose unless others are asked for: one of each kind (evidence of a linear
/// model, class separation, density, neighbourhood), none of them judged on further examples.
pub const USUAL: &str = "logme,hscore_shrunk,nleep,knn";

/// One score does not choose.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{usable} of {given} scores tell layers apart, at least two are needed to choose by")]
pub struct TooFewScores {
    /// Scores with two different values.
    pub usable: usize,
    /// Scores given.
    pub given: usize,
}

impl crate::error::Diagnose for TooFewScores {
    fn hint(&self) -> Option<String> {
        Some("name several scores, for instance `logme,hscore_shrunk,knn`".into())
    }

    fn category(&self) -> crate::error::Category {
        crate::error::Category::Usage
    }
}

/// The mean rank of each layer under the scores, 1 is best; layers without any defined score are left
/// out. Scores that are undefined for all layers, or the same for all, do not count; ranks among the
/// layers that have a value are brought to the scale of all of them.
///
/// # Errors
/// [`TooFewScores`] where fewer than two scores count.
pub fn mean_ranks(layers: &[(usize, &[Score])]) -> Result<BTreeMap<usize, f64>, TooFewScores> {
    let given = layers.iter().map(|(_, scores)| scores.len()).min().unwrap_or(0);
    let ranks: Vec<Vec<Option<f64>>> = (0..given).filter_map(|at| ranks(layers, at)).collect();
    if ranks.len() < 2 {
        return Err(TooFewScores { usable: ranks.len(), given });
    }
    let mean = |(place, (layer, _)): (usize, &(usize, &[Score]))| {
        let defined: Vec<f64> = ranks.iter().filter_map(|score| score[place]).collect();
        (!defined.is_empty()).then(|| (*layer, defined.iter().sum::<f64>() / defined.len() as f64))
    };
    Ok(layers.iter().enumerate().filter_map(mean).collect())
}

/// Ranks under one score among the layers that have a value, 1 is best; `None` for a score that tells
/// nothing apart.
fn ranks(layers: &[(usize, &[Score])], score: usize) -> Option<Vec<Option<f64>>> {
    let value = |(_, scores): &(usize, &[Score])| {
        let found = &scores[score];
        let sign = if found.higher_is_better { 1.0 } else { -1.0 };
        found.value.as_ref().ok().filter(|value| value.is_finite()).map(|value| sign * value)
    };
    let found: Vec<Option<f64>> = layers.iter().map(value).collect();
    let defined: Vec<f64> = found.iter().copied().flatten().collect();
    if defined.iter().all(|value| Some(value) == defined.first()) {
        return None;
    }
    // a rank among few layers weighs as much as one among all
    let stretch = (layers.len() - 1) as f64 / (defined.len() - 1) as f64;
    let mut ranked = descending(&defined).into_iter();
    // a layer without a value takes no rank
    let next =
        |value: &Option<f64>| value.and_then(|_| ranked.next()).map(|rank| 1.0 + stretch * (rank - 1.0));
    Some(found.iter().map(next).collect())
}

#[cfg(test)]
mod tests {
    use super::super::Undefined;
    use super::*;

    fn scores(values: &[Option<f64>]) -> Vec<Score> {
        // the second score is in bits: less is better
        let score = |(at, value): (usize, &Option<f64>)| Score {
            name: ["logme", "mdl"][at],
            value: value.ok_or(Undefined::OneClass),
            interval: None,
            n: 9,
            width: 2,
            classes: 2,
            higher_is_better: at == 0,
            recipe: "",
            remark: None,
        };
        values.iter().enumerate().map(score).collect()
    }

    fn ranked(values: &[[Option<f64>; 2]]) -> Result<Vec<(usize, f64)>, TooFewScores> {
        let scored: Vec<Vec<Score>> = values.iter().map(|each| scores(each)).collect();
        let layers: Vec<(usize, &[Score])> =
            scored.iter().enumerate().map(|(layer, scores)| (10 + layer, scores.as_slice())).collect();
        Ok(mean_ranks(&layers)?.into_iter().collect())
    }

    /// Ranks 1 2 3 4 and 2 1 4 3, mean 1.5 1.5 3.5 3.5.
    #[test]
    fn the_mean_is_over_ranks_and_each_score_has_its_own_direction() {
        let values = [(0.9, 20.0), (0.8, 10.0), (0.7, 40.0), (0.6, 30.0)];
        let found = ranked(&values.map(|(a, b)| [Some(a), Some(b)])).unwrap();
        assert_eq!(found, [(10, 1.5), (11, 1.5), (12, 3.5), (13, 3.5)]);
    }

    #[test]
    fn one_score_does_not_choose_and_neither_does_a_constant_second_one() {
        let constant = [[Some(0.9), Some(1.0)], [Some(0.8), Some(1.0)], [Some(0.7), Some(1.0)]];
        assert_eq!(ranked(&constant), Err(TooFewScores { usable: 1, given: 2 }));
        assert_eq!(mean_ranks(&[]), Err(TooFewScores { usable: 0, given: 0 }));
    }

    /// Ranks of the second score among three layers are 1 2 3, stretched to 1 2.5 4.
    #[test]
    fn a_layer_without_scores_has_no_rank_and_one_with_some_keeps_its_place() {
        let values =
            [[None, None], [Some(0.9), Some(30.0)], [Some(0.8), Some(20.0)], [Some(0.7), Some(10.0)]];
        assert_eq!(ranked(&values).unwrap(), [(11, 2.5), (12, 2.5), (13, 2.5)]);
        let not_finite = [[Some(0.9), Some(f64::NAN)], [Some(0.8), Some(2.0)], [Some(0.7), Some(1.0)]];
        assert_eq!(ranked(&not_finite).unwrap(), [(10, 1.0), (11, 2.5), (12, 2.0)]);
    }
}
