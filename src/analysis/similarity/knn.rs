//! Shared nearest neighbours (Huh et al., ICML 2024; the Jaccard form as in the ReSi benchmark):
//! cosine similarity, an example is not its own neighbour, and of equals the one that stands first
//! is nearer.

use ndarray::ArrayView2;
use rayon::prelude::*;

use super::Undefined;
use super::linear::{check, check_pair, gram, unit_rows};
use super::null::PairSums;

/// The nearest neighbours of every example.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Neighbours {
    k: usize,
    /// `[n, k]`, each row sorted by place, not by nearness.
    places: Vec<u32>,
}

impl Neighbours {
    /// Finds the `k` nearest of every row.
    ///
    /// # Errors
    /// [`Undefined::TooFew`] unless `1 <= k < n`, [`Undefined::NoDirection`] for rows of zeros,
    /// [`Undefined::NotFinite`].
    pub fn find(x: ArrayView2<f64>, k: usize) -> Result<Self, Undefined> {
        check(x, k.max(1) + 1)?;
        let similarities = gram(unit_rows(x)?.view());
        let n = similarities.nrows();
        let mut places = vec![0; n * k];
        places.par_chunks_mut(k.max(1)).enumerate().for_each(|(row, places)| {
            let near = similarities.row(row);
            let mut others: Vec<u32> = (0..n as u32).filter(|&other| other as usize != row).collect();
            let nearer = |a: &u32, b: &u32| near[*b as usize].total_cmp(&near[*a as usize]).then(a.cmp(b));
            others.select_nth_unstable_by(k - 1, nearer);
            places.copy_from_slice(&others[..k]);
            places.sort_unstable();
        });
        Ok(Self { k, places })
    }

    /// Neighbours that were found elsewhere, `[n, k]` in any order.
    pub(super) fn from_places(k: usize, mut places: Vec<u32>) -> Self {
        places.chunks_mut(k).for_each(<[u32]>::sort_unstable);
        Self { k, places }
    }

    /// Examples.
    pub fn n(&self) -> usize {
        self.places.len() / self.k
    }

    /// Neighbours of each.
    pub fn k(&self) -> usize {
        self.k
    }

    /// The neighbours of one example, by place.
    pub fn of(&self, row: usize) -> &[u32] {
        &self.places[row * self.k..(row + 1) * self.k]
    }

    /// The same neighbours with example i standing where `order[i]` stood.
    #[must_use]
    pub fn reordered(&self, order: &[usize]) -> Self {
        let mut now_at = vec![0_u32; order.len()];
        for (place, &before) in order.iter().enumerate() {
            now_at[before] = place as u32;
        }
        let renamed = |&row: &usize| self.of(row).iter().map(|&other| now_at[other as usize]);
        Self::from_places(self.k, order.iter().flat_map(renamed).collect())
    }

    /// Sums over the matrix that is 1 where the second example is a neighbour of the first.
    pub(super) fn sums(&self) -> PairSums {
        let (n, k) = (self.n(), self.k as f64);
        let mut followers = vec![0.0; n];
        let mut mutual = 0;
        for row in 0..n {
            for &other in self.of(row) {
                followers[other as usize] += 1.0;
                mutual += usize::from(self.of(other as usize).binary_search(&(row as u32)).is_ok());
            }
        }
        let total = n as f64 * k;
        PairSums {
            total,
            squares: total,
            mutual: mutual as f64,
            rows: total * k,
            columns: followers.iter().map(|count| count * count).sum(),
            chains: followers.iter().map(|count| count * k).sum(),
        }
    }

    fn shared(&self, other: &Self, row: usize) -> usize {
        let (a, b) = (self.of(row), other.of(row));
        let (mut i, mut j, mut shared) = (0, 0, 0);
        while i < a.len() && j < b.len() {
            shared += usize::from(a[i] == b[j]);
            let step = a[i].cmp(&b[j]);
            i += usize::from(step.is_le());
            j += usize::from(step.is_ge());
        }
        shared
    }
}

/// The mean share of neighbours that both sides have in common; by chance k / (n - 1).
pub fn overlap(x: &Neighbours, y: &Neighbours) -> f64 {
    let shared: usize = (0..x.n()).map(|row| x.shared(y, row)).sum();
    shared as f64 / (x.n() * x.k) as f64
}

/// The mean over examples of common neighbours by all neighbours of both sides.
pub fn jaccard(x: &Neighbours, y: &Neighbours) -> f64 {
    let each = (0..x.n()).map(|row| {
        let shared = x.shared(y, row) as f64;
        shared / (2.0 * x.k as f64 - shared)
    });
    each.sum::<f64>() / x.n() as f64
}

/// Mutual nearest neighbours of two sides.
///
/// # Errors
/// As [`Neighbours::find`]; [`Undefined::Unpaired`].
pub fn mutual(x: ArrayView2<f64>, y: ArrayView2<f64>, k: usize) -> Result<f64, Undefined> {
    check_pair(x, y, k + 1)?;
    Ok(overlap(&Neighbours::find(x, k)?, &Neighbours::find(y, k)?))
}

/// Mean cosine between the same example on both sides, channel by channel.
///
/// # Errors
/// [`Undefined::WidthsDiffer`], [`Undefined::NoDirection`], [`Undefined::NotFinite`].
pub fn mean_cosine(x: ArrayView2<f64>, y: ArrayView2<f64>) -> Result<f64, Undefined> {
    check_pair(x, y, 1)?;
    if x.ncols() != y.ncols() {
        return Err(Undefined::WidthsDiffer { left: x.ncols(), right: y.ncols() });
    }
    let (x, y) = (unit_rows(x)?, unit_rows(y)?);
    let cosines = x.rows().into_iter().zip(y.rows()).map(|(x, y)| x.dot(&y));
    Ok(cosines.sum::<f64>() / x.nrows() as f64)
}
