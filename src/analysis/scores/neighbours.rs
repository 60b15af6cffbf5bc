//! Nearest neighbours without training: the part of examples whose class is that of most of their k
//! nearest others, by cosine. Needs no fit and no scale, and sees curved boundaries that a linear
//! probe does not.

use super::{Labelled, Undefined};
use crate::analysis::statistics::Estimate;
use crate::analysis::statistics::proportion::wilson;
use ndarray::{Array2, Axis, s};
use rayon::prelude::*;

/// Neighbours that vote, unless told otherwise.
pub const NEIGHBOURS: usize = 10;
/// Rows whose similarities to all others are held at a time.
const TOGETHER: usize = 128;

/// Leave-one-out accuracy of the k nearest others, with Wilson's interval. Equal similarities go to
/// the earlier example, equal votes to the class of the nearest of those that voted for one of them.
///
/// # Errors
/// [`Undefined::TooFew`] unless there are more than k examples, [`Undefined::ZeroRow`] for an example
/// that has no direction.
pub fn accuracy(data: &Labelled<'_>, k: usize) -> Result<Estimate, Undefined> {
    let n = data.features.nrows();
    if n <= k || k == 0 {
        return Err(Undefined::TooFew { n, least: k + 1 });
    }
    let mut unit = data.features.to_owned();
    for (at, mut row) in unit.axis_iter_mut(Axis(0)).enumerate() {
        let length = row.dot(&row).sqrt();
        if length == 0.0 {
            return Err(Undefined::ZeroRow { row: at });
        }
        row /= length;
    }
    let starts: Vec<usize> = (0..n).step_by(TOGETHER).collect();
    let right: usize = starts
        .par_iter()
        .map(|&start| {
            let end = (start + TOGETHER).min(n);
            let similar: Array2<f64> = unit.slice(s![start..end, ..]).dot(&unit.t());
            let rows = similar.axis_iter(Axis(0)).enumerate();
            rows.filter(|(at, row)| {
                let row = row.to_vec();
                vote(&row, start + at, k, data) == data.labels[start + at]
            })
            .count()
        })
        .sum();
    wilson(right, n).map_err(|_| Undefined::TooFew { n, least: 1 })
}

fn vote(similar: &[f64], own: usize, k: usize, data: &Labelled<'_>) -> usize {
    let mut others: Vec<usize> = (0..similar.len()).filter(|&at| at != own).collect();
    let nearer = |a: &usize, b: &usize| similar[*b].total_cmp(&similar[*a]).then(a.cmp(b));
    if k < others.len() {
        others.select_nth_unstable_by(k, nearer);
        others.truncate(k);
    }
    others.sort_by(nearer);
    let mut votes = vec![0; data.classes()];
    for &other in &others {
        votes[data.labels[other]] += 1;
    }
    let most = votes.iter().max().copied().unwrap_or(0);
    // the nearest of a class with the most votes decides
    others.iter().map(|&other| data.labels[other]).find(|&class| votes[class] == most).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::toy_labels;
    use super::super::synthetic::normal;
    use super::*;

    #[test]
    fn clusters_by_direction_are_told_apart_whatever_their_length() {
        let x = ndarray::array![[1.0, 0.1], [9.0, 0.0], [2.0, 0.3], [0.1, 1.0], [0.0, 7.0], [0.2, 3.0]];
        let labels = [0, 0, 0, 1, 1, 1];
        let found = accuracy(&Labelled::new(x.view(), &labels).unwrap(), 2).unwrap();
        assert_eq!((found.value, found.n), (1.0, 6));
    }

    /// By hand: every example's nearest other is the one beside it, of the other class.
    #[test]
    fn the_nearest_other_is_never_the_example_itself() {
        let x = ndarray::array![[1.0, 0.0], [1.0, 0.01], [0.0, 1.0], [0.01, 1.0]];
        let found = accuracy(&Labelled::new(x.view(), &[0, 1, 0, 1]).unwrap(), 1).unwrap();
        assert_eq!(found.value, 0.0);
    }

    #[test]
    fn noise_is_at_chance() {
        let x = normal(600, 20, 5);
        let labels: Vec<u32> = (0..600).map(|at| at % 2).collect();
        let found = accuracy(&Labelled::new(x.view(), &labels).unwrap(), NEIGHBOURS).unwrap();
        assert!(found.covers(0.5), "{found:?}");
    }

    #[test]
    fn too_few_examples_and_rows_without_direction_say_so() {
        let x = ndarray::array![
            [0.0, 0.0],
            [1.0, 0.0],
            [1.0, 1.0],
            [2.0, 1.0],
            [0.5, 2.0],
            [1.5, 1.0],
            [3.0, 2.0],
            [0.0, 1.0]
        ];
        let labels = toy_labels();
        let data = Labelled::new(x.view(), &labels).unwrap();
        assert_eq!(accuracy(&data, 8), Err(Undefined::TooFew { n: 8, least: 9 }));
        assert_eq!(accuracy(&data, 3), Err(Undefined::ZeroRow { row: 0 }));
    }
}
