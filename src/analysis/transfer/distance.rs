//! How far apart two domains are for a linear classifier.

use crate::analysis::probing::domain::{self, Classifier, DomainDistance};
use crate::analysis::scores;
use crate::analysis::statistics::Undefined;
use crate::seed::Seed;
use ndarray::{Array2, Axis};

/// The proxy A-distance 2 (1 - 2 ε) of a held-out error ε of a classifier that tells two domains
/// apart, given as many examples of each (Ben-David et al. 2007): 0 where it guesses, 2 where it
/// never errs. A classifier that does worse than guessing has learned nothing, so the distance is
/// not below 0.
///
/// # Errors
/// [`Undefined`] for an error outside of [0, 1].
pub fn proxy_a_distance(error: f64) -> Result<f64, Undefined> {
    if !error.is_finite() {
        return Err(Undefined::NotFinite);
    }
    if !(0.0..=1.0).contains(&error) {
        return Err(Undefined::OutOfRange { name: "error", value: error, expected: "from 0 to 1" });
    }
    Ok((2.0 * (1.0 - 2.0 * error)).max(0.0))
}

/// Rows of a domain that a classifier sees at most: half of them are fitted.
pub const ROWS: usize = 800;

/// How far every two domains are apart at one place of a model.
#[derive(Clone, Debug, PartialEq)]
pub struct PlaceDistances {
    /// The place: `embeddings`, `layer 3`.
    pub site: String,
    /// The layer whose output it is, if it is one.
    pub layer: Option<usize>,
    /// First and second domain, and their distance or why there is none.
    pub pairs: Vec<(usize, usize, Result<DomainDistance, scores::Undefined>)>,
    /// Mean over the pairs that have a distance.
    pub mean: Option<f64>,
    /// The nearest two and the farthest two: first, second, distance.
    pub ends: Option<[(usize, usize, f64); 2]>,
}

/// The distances at one place, from each domain's number and features, a row a text. As many rows of
/// both domains are drawn, at most [`ROWS`]; logistic regression tells them apart.
pub fn place_distances(
    site: &str,
    layer: Option<usize>,
    domains: &[(usize, Array2<f64>)],
    seed: Seed,
) -> PlaceDistances {
    let mut pairs = Vec::new();
    for (at, (a, first)) in domains.iter().enumerate() {
        for (b, second) in &domains[at + 1..] {
            let rows = first.nrows().min(second.nrows()).min(ROWS);
            let seed = seed.derive(&format!("domains {a} {b}"));
            let drawn = |of: &Array2<f64>, purpose: &str| {
                let mut order: Vec<usize> = (0..of.nrows()).collect();
                seed.derive(purpose).stream().shuffle(&mut order);
                order.truncate(rows);
                of.select(Axis(0), &order)
            };
            let (first, second) = (drawn(first, "first"), drawn(second, "second"));
            pairs.push((*a, *b, domain::proxy_a_distance(first.view(), second.view(), Classifier::Logistic)));
        }
    }
    let found: Vec<(usize, usize, f64)> = pairs
        .iter()
        .filter_map(|(a, b, found)| found.as_ref().ok().map(|found| (*a, *b, found.distance.value)))
        .collect();
    let mean = (!found.is_empty()).then(|| found.iter().map(|it| it.2).sum::<f64>() / found.len() as f64);
    let nearest = found.iter().copied().reduce(|best, next| if next.2 < best.2 { next } else { best });
    let farthest = found.iter().copied().reduce(|best, next| if next.2 > best.2 { next } else { best });
    let ends = nearest.zip(farthest).map(|(nearest, farthest)| [nearest, farthest]);
    PlaceDistances { site: site.to_owned(), layer, pairs, mean, ends }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two domains around one point and a third far away; the oracle of the single distance is
    /// tested where it is computed.
    #[test]
    fn every_pair_has_its_distance_and_the_ends_are_named() {
        let cloud = |seed: u64, shift: f64| {
            let mut stream = Seed(seed).stream();
            Array2::from_shape_simple_fn((60, 3), || stream.uniform() + shift)
        };
        let domains = [(0, cloud(1, 0.0)), (2, cloud(2, 0.0)), (3, cloud(3, 9.0))];
        let found = place_distances("layer 1", Some(1), &domains, Seed(0));
        let names: Vec<(usize, usize)> = found.pairs.iter().map(|(a, b, _)| (*a, *b)).collect();
        assert_eq!(names, [(0, 2), (0, 3), (2, 3)]);
        let value = |at: usize| found.pairs[at].2.as_ref().unwrap().distance;
        assert_eq!((value(1).value, value(2).value), (2.0, 2.0));
        assert!(value(0).value < 1.0 && value(0).n == 60, "{:?}", value(0));
        let [nearest, farthest] = found.ends.unwrap();
        assert_eq!((nearest.0, nearest.1, farthest.2), (0, 2, 2.0));
        let mean = (value(0).value + 4.0) / 3.0;
        assert!((found.mean.unwrap() - mean).abs() < 1e-12);
        let one = place_distances("layer 1", Some(1), &domains[..1], Seed(0));
        assert_eq!((one.pairs.len(), one.mean, one.ends), (0, None, None));
    }

    /// reference/analyses.md section 5, and `adist_logreg` of the similarity oracle (11 errors in 36).
    #[test]
    fn the_distance_runs_from_guessing_to_never_erring() {
        for (error, distance) in [(0.5, 0.0), (0.25, 1.0), (0.1, 1.6), (0.0, 2.0), (0.7, 0.0)] {
            assert!((proxy_a_distance(error).unwrap() - distance).abs() < 1e-12, "{error}");
        }
        assert!((proxy_a_distance(11.0 / 36.0).unwrap() - 0.777_777_777_777_777_7).abs() < 1e-12);
        assert_eq!(proxy_a_distance(f64::NAN), Err(Undefined::NotFinite));
        assert!(matches!(proxy_a_distance(1.2), Err(Undefined::OutOfRange { .. })));
    }
}
