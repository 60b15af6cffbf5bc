//! Which layers to train when there is no time for all: by the mean of their ranks under several
//! scores. One score alone chooses nothing, because none works best everywhere, and the last layer,
//! the published choice, is always among the kept ones.

use crate::analysis::statistics::ranks::descending;
use crate::train::metrics::Direction;
use serde::Serialize;

/// One score of every layer.
#[derive(Clone, Debug)]
pub struct LayerScores<'a> {
    /// The score's name.
    pub name: &'a str,
    /// Whether more is better.
    pub direction: Direction,
    /// `[L]`; `None` where the score is undefined.
    pub values: Vec<Option<f64>>,
}

/// A layer in the order of the screen.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RankedLayer {
    /// The layer, from 0.
    pub layer: usize,
    /// Mean of its ranks, 1 is best; `None` where no score is defined.
    pub mean_rank: Option<f64>,
    /// Its rank under each score among the layers that have one, brought to the scale 1 to L.
    pub ranks: Vec<Option<f64>>,
    /// Whether it is kept.
    pub kept: bool,
}

/// What a screen keeps.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Screen {
    /// All layers, best first; layers without any score stand at the end.
    pub order: Vec<RankedLayer>,
    /// Kept layers, ascending.
    pub kept: Vec<usize>,
}

/// Why there is no screen.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ScreenError {
    /// One score does not choose.
    #[error("{usable} of {given} scores tell layers apart, at least two are needed to choose by")]
    TooFewScores {
        /// Scores with two different values.
        usable: usize,
        /// Scores given.
        given: usize,
    },
    /// Nothing to keep.
    #[error("{keep} of {layers} layers cannot be kept, expected 1 to {layers}")]
    Keep {
        /// Layers to keep.
        keep: usize,
        /// Layers there are.
        layers: usize,
    },
    /// A score that does not have a value for each layer.
    #[error("score `{name}` has {found} values, expected one for each of {layers} layers")]
    Ragged {
        /// The score.
        name: String,
        /// Its values.
        found: usize,
        /// Layers.
        layers: usize,
    },
}

impl crate::error::Diagnose for ScreenError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::TooFewScores { .. } => {
                Some("name several scores, for instance `logme,hscore_shrunk,knn`".into())
            }
            Self::Keep { .. } | Self::Ragged { .. } => None,
        }
    }

    fn category(&self) -> crate::error::Category {
        crate::error::Category::Usage
    }
}

/// Keeps `keep` of `layers` layers: the best by mean rank, equal ones from the deepest, and the last
/// layer in place of the worst of them if it is not among them. Scores that are undefined for all
/// layers, or the same for all, do not count.
///
/// # Errors
/// [`ScreenError`] for fewer than two scores that count, or numbers that do not fit.
pub fn screen(scores: &[LayerScores<'_>], layers: usize, keep: usize) -> Result<Screen, ScreenError> {
    if keep == 0 || keep > layers {
        return Err(ScreenError::Keep { keep, layers });
    }
    if let Some(score) = scores.iter().find(|score| score.values.len() != layers) {
        let (name, found) = (score.name.to_owned(), score.values.len());
        return Err(ScreenError::Ragged { name, found, layers });
    }
    let ranks: Vec<Vec<Option<f64>>> = scores.iter().filter_map(|score| ranks(score, layers)).collect();
    if ranks.len() < 2 {
        return Err(ScreenError::TooFewScores { usable: ranks.len(), given: scores.len() });
    }
    let mut order: Vec<RankedLayer> = (0..layers)
        .map(|layer| {
            let ranks: Vec<Option<f64>> = ranks.iter().map(|score| score[layer]).collect();
            let defined: Vec<f64> = ranks.iter().copied().flatten().collect();
            let mean_rank = (!defined.is_empty()).then(|| defined.iter().sum::<f64>() / defined.len() as f64);
            RankedLayer { layer, mean_rank, ranks, kept: false }
        })
        .collect();
    let place = |layer: &RankedLayer| layer.mean_rank.unwrap_or(f64::INFINITY);
    order.sort_by(|a, b| place(a).total_cmp(&place(b)).then(b.layer.cmp(&a.layer)));
    let mut kept: Vec<usize> = order[..keep].iter().map(|layer| layer.layer).collect();
    if !kept.contains(&(layers - 1)) {
        kept[keep - 1] = layers - 1;
    }
    for layer in &mut order {
        layer.kept = kept.contains(&layer.layer);
    }
    kept.sort_unstable();
    Ok(Screen { order, kept })
}

/// Ranks among the layers that have a value, 1 is best; `None` for a score that tells nothing apart.
fn ranks(score: &LayerScores<'_>, layers: usize) -> Option<Vec<Option<f64>>> {
    let sign = match score.direction {
        Direction::Higher => 1.0,
        Direction::Lower => -1.0,
    };
    let defined: Vec<(usize, f64)> = score
        .values
        .iter()
        .enumerate()
        .filter_map(|(layer, value)| {
            value.filter(|value| value.is_finite()).map(|value| (layer, sign * value))
        })
        .collect();
    let values: Vec<f64> = defined.iter().map(|(_, value)| *value).collect();
    if values.iter().all(|value| Some(value) == values.first()) {
        return None;
    }
    let mut ranks = vec![None; layers];
    // a rank among few layers weighs as much as one among all
    let stretch = (layers - 1) as f64 / (values.len() - 1) as f64;
    for ((layer, _), rank) in defined.iter().zip(descending(&values)) {
        ranks[*layer] = Some(1.0 + stretch * (rank - 1.0));
    }
    Some(ranks)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn score(name: &str, direction: Direction, values: impl IntoIterator<Item = f64>) -> LayerScores<'_> {
        LayerScores { name, direction, values: values.into_iter().map(Some).collect() }
    }

    /// Ranks 1 2 3 4 and 2 1 4 3 (bits: lower is better), mean 1.5 1.5 3.5 3.5.
    #[test]
    fn layers_are_kept_by_mean_rank_and_the_last_one_always() {
        let scores = [
            score("logme", Direction::Higher, [0.9, 0.8, 0.7, 0.6]),
            score("mdl", Direction::Lower, [20.0, 10.0, 40.0, 30.0]),
        ];
        let found = screen(&scores, 4, 2).unwrap();
        assert_eq!(found.kept, [1, 3]);
        let order: Vec<(usize, Option<f64>)> =
            found.order.iter().map(|it| (it.layer, it.mean_rank)).collect();
        assert_eq!(order, [(1, Some(1.5)), (0, Some(1.5)), (3, Some(3.5)), (2, Some(3.5))]);
        assert_eq!(screen(&scores, 4, 1).unwrap().kept, [3]);
        assert_eq!(screen(&scores, 4, 4).unwrap().kept, [0, 1, 2, 3]);
    }

    #[test]
    fn one_score_does_not_choose_and_neither_does_a_constant_second_one() {
        let one = score("logme", Direction::Higher, [0.9, 0.8, 0.7]);
        assert_eq!(
            screen(std::slice::from_ref(&one), 3, 2),
            Err(ScreenError::TooFewScores { usable: 1, given: 1 })
        );
        let constant = score("hscore", Direction::Higher, [1.0, 1.0, 1.0]);
        assert_eq!(screen(&[one, constant], 3, 2), Err(ScreenError::TooFewScores { usable: 1, given: 2 }));
    }

    #[test]
    fn a_layer_without_scores_stands_last_and_one_with_some_keeps_its_place() {
        let mut first = score("logme", Direction::Higher, [0.1, 0.9, 0.8, 0.7]);
        let mut second = score("knn", Direction::Higher, [0.1, 0.9, 0.8, 0.7]);
        first.values[0] = None;
        second.values[0] = None;
        second.values[1] = Some(f64::NAN);
        let found = screen(&[first, second], 4, 2).unwrap();
        assert_eq!(found.order[0].layer, 1);
        assert_eq!((found.order[3].layer, found.order[3].mean_rank), (0, None));
        assert_eq!(found.kept, [1, 3]);
    }

    #[test]
    fn numbers_that_do_not_fit_say_so() {
        let scores = [score("a", Direction::Higher, [1.0, 2.0]), score("b", Direction::Higher, [1.0, 2.0])];
        assert_eq!(screen(&scores, 2, 0), Err(ScreenError::Keep { keep: 0, layers: 2 }));
        assert_eq!(screen(&scores, 2, 3), Err(ScreenError::Keep { keep: 3, layers: 2 }));
        assert!(matches!(screen(&scores, 3, 2), Err(ScreenError::Ragged { .. })));
    }
}
