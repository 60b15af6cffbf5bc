//! Which ranges to ask for, so that few requests carry little waste.

use std::ops::Range;

/// Gaps smaller than this may be read over.
pub const LARGEST_GAP: u64 = 64 << 10;
/// All gaps read over are together at most one in this many of the bytes wanted: 2%.
const WASTE_SHARE: u64 = 50;

/// Merges pieces of one file (sorted, disjoint) into ranges. Touching pieces always merge; gaps
/// below [`LARGEST_GAP`] are read over, smallest first, while `budget` lasts, which is reduced.
pub fn coalesce(pieces: &[Range<u64>], budget: &mut u64) -> Vec<Range<u64>> {
    let mut gaps: Vec<(u64, usize)> = pieces
        .windows(2)
        .enumerate()
        .map(|(at, pair)| (pair[1].start - pair[0].end, at))
        .filter(|(gap, _)| *gap < LARGEST_GAP)
        .collect();
    gaps.sort_unstable();
    let mut closed = vec![false; pieces.len()];
    for (gap, at) in gaps {
        if gap <= *budget {
            *budget -= gap;
            closed[at] = true;
        }
    }
    let mut ranges: Vec<Range<u64>> = Vec::new();
    for (at, piece) in pieces.iter().enumerate() {
        match ranges.last_mut() {
            Some(last) if at > 0 && closed[at - 1] => last.end = piece.end,
            _ => ranges.push(piece.clone()),
        }
    }
    ranges
}

/// Bytes that may be read over for so many wanted ones.
pub fn waste_budget(wanted: u64) -> u64 {
    wanted / WASTE_SHARE
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(pieces: &[Range<u64>]) -> u64 {
        pieces.iter().map(|piece| piece.end - piece.start).sum()
    }

    #[test]
    fn touching_pieces_merge_without_any_budget() {
        assert_eq!(coalesce(&[0..10, 10..30, 31..40], &mut 0), [0..30, 31..40]);
        assert_eq!(coalesce(&[], &mut 9), []);
    }

    #[test]
    fn a_gap_of_64_kib_is_left_out_and_one_byte_less_is_read_over() {
        let unlimited = || u64::MAX;
        let edge = 1_000 + LARGEST_GAP;
        assert_eq!(coalesce(&[0..1_000, edge..edge + 10], &mut unlimited()), [0..1_000, edge..edge + 10]);
        let merged = coalesce(&[0..1_000, edge - 1..edge + 10], &mut unlimited());
        assert_eq!(merged, std::slice::from_ref(&(0..edge + 10)));
    }

    #[test]
    fn the_smallest_gaps_are_read_over_first() {
        let mut budget = 3;
        assert_eq!(coalesce(&[0..10, 13..20, 21..30, 32..40], &mut budget), [0..10, 13..40]);
        assert_eq!(budget, 0);
    }

    #[test]
    fn no_plan_wastes_more_than_two_percent_or_misses_a_byte() {
        let mut state = 7u64;
        let mut next = |limit: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % limit
        };
        for _ in 0..2_000 {
            let mut at = 0;
            let pieces: Vec<Range<u64>> = (0..=next(11))
                .map(|_| {
                    let start = at + next(3) * next(90_000);
                    at = start + 1 + next(300_000);
                    start..at
                })
                .collect();
            let needed = wanted(&pieces);
            let mut budget = waste_budget(needed);
            let ranges = coalesce(&pieces, &mut budget);
            assert!((wanted(&ranges) - needed) * 50 <= needed, "{pieces:?}");
            let inside =
                |piece: &Range<u64>| ranges.iter().any(|it| it.start <= piece.start && piece.end <= it.end);
            assert!(pieces.iter().all(inside), "{pieces:?}");
            assert!(ranges.windows(2).all(|pair| pair[0].end < pair[1].start), "{pieces:?}");
        }
    }
}
