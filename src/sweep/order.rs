//! In which order cells run: controls first, then layers far apart, so that an early leaderboard
//! already means something.

use std::collections::BTreeMap;

use super::Cell;
use crate::runs::Condition;
use crate::words::words;

words! {
    /// Which loop is the outer one.
    Order, "order" {
        /// All conditions with the first seed, then with the next: a whole curve early.
        SeedsOutside = "seeds-outside",
        /// All seeds of a condition, then the next: a layer is needed once, for small disks.
        LayersOutside = "layers-outside",
    }
}

/// Numbers of `0..n` such that every prefix is spread over the range: the last, the first, then
/// always the middle of the widest gap (the leftmost of equals).
pub(super) fn spread(n: usize) -> Vec<usize> {
    let mut order: Vec<usize> = n.checked_sub(1).into_iter().collect();
    if n > 1 {
        order.push(0);
    }
    while order.len() < n {
        let mut sorted = order.clone();
        sorted.sort_unstable();
        let widest = sorted.windows(2).max_by_key(|gap| (gap[1] - gap[0], std::cmp::Reverse(gap[0])));
        let gap = widest.expect("two numbers stand in the order before the first gap is asked for");
        order.push(usize::midpoint(gap[0], gap[1]));
    }
    order
}

/// The cells of a plan as batches in the order in which they start: a control alone, layer cells
/// of one seed in stacks of up to `stack`.
pub(super) fn batches(cells: &[Cell], stack: usize, order: Order) -> Vec<Vec<usize>> {
    // cells stand in the plan seed by seed, each seed's conditions in the plan's order
    let mut by_seed: BTreeMap<usize, Vec<Vec<usize>>> = BTreeMap::new();
    let mut seeds = Vec::new();
    for (at, cell) in cells.iter().enumerate() {
        let rank = seeds.iter().position(|seed| *seed == cell.seed).unwrap_or_else(|| {
            seeds.push(cell.seed);
            seeds.len() - 1
        });
        let stacks = by_seed.entry(rank).or_default();
        let is_layer = |at: usize| matches!(cells[at].condition, Condition::Layer(_));
        match stacks.last_mut() {
            Some(last) if is_layer(at) && is_layer(last[0]) && last.len() < stack => last.push(at),
            _ => stacks.push(vec![at]),
        }
    }
    let ranked = by_seed.into_iter().flat_map(|(seed, stacks)| {
        stacks.into_iter().enumerate().map(move |(rank, stack)| (seed, rank, stack))
    });
    let mut ranked: Vec<(usize, usize, Vec<usize>)> = ranked.collect();
    if order == Order::LayersOutside {
        ranked.sort_by_key(|(seed, rank, _)| (*rank, *seed));
    }
    ranked.into_iter().map(|(_, _, stack)| stack).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_prefix_is_spread_and_every_number_comes_once() {
        assert_eq!(spread(8), [7, 0, 3, 5, 1, 2, 4, 6]);
        assert_eq!((spread(0), spread(1), spread(2)), (vec![], vec![0], vec![1, 0]));
        let mut all = spread(100);
        all.sort_unstable();
        assert!(all.into_iter().eq(0..100));
    }
}
