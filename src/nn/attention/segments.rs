//! What all members and heads share of one example: its rows, who sees whom, and which row of a
//! table of positions each pair of query and key reads.

use std::ops::Range;

use rayon::prelude::*;

use super::{Attention, Bias, Window};

/// One example of an attention.
pub(super) struct Segment {
    /// Its rows among all queries, Tq of them.
    pub(super) queries: Range<usize>,
    /// Its rows among all keys, Tk of them.
    pub(super) keys: Range<usize>,
    /// Pairs of query and key in the examples before it; each is a score in every head.
    pub(super) start: usize,
    /// Pairs in all examples.
    pub(super) pairs_of_all: usize,
    /// `[Tq, Tk]`; `None` where every query sees every key.
    visible: Option<Vec<bool>>,
    /// `[Tq, Tk]`, rows of a table of positions; empty where the bias has none.
    pub(super) rows: Vec<u32>,
    /// All of `rows` are in here.
    pub(super) reach: Range<usize>,
}

impl Segment {
    /// Pairs of query and key: scores of one head.
    pub(super) fn pairs(&self) -> usize {
        self.queries.len() * self.keys.len()
    }

    /// Which keys a query (counted from the segment's first) sees; `None` for all.
    pub(super) fn visible(&self, query: usize) -> Option<&[bool]> {
        let keys = self.keys.len();
        self.visible.as_ref().map(|visible| &visible[query * keys..][..keys])
    }

    /// Whether a query sees no key.
    pub(super) fn blind(&self, query: usize) -> bool {
        self.visible(query).is_some_and(|visible| !visible.contains(&true))
    }
}

/// All examples of an attention.
pub(super) fn read(attention: &Attention<'_>) -> Vec<Segment> {
    let mut segments: Vec<Segment> =
        (0..attention.queries.examples()).into_par_iter().map(|example| one(attention, example)).collect();
    let pairs_of_all = segments.iter().map(Segment::pairs).sum();
    let mut start = 0;
    for segment in &mut segments {
        segment.start = start;
        segment.pairs_of_all = pairs_of_all;
        start += segment.pairs();
    }
    segments
}

fn one(attention: &Attention<'_>, example: usize) -> Segment {
    let (queries, keys) = (attention.queries.segment(example), attention.keys.segment(example));
    let visible = masks(attention, &queries, &keys);
    let rows = match attention.bias {
        Bias::None | Bias::Alibi { .. } => Vec::new(),
        Bias::Relative { bucket, .. } => table_rows(attention, &queries, &keys, |back| bucket(-back)),
        Bias::Disentangled { row, .. } => table_rows(attention, &queries, &keys, row),
    };
    let first = rows.iter().min().map_or(0, |&row| row as usize);
    let end = rows.iter().max().map_or(0, |&row| row as usize + 1);
    Segment { queries, keys, start: 0, pairs_of_all: 0, visible, rows, reach: first..end }
}

fn masks(attention: &Attention<'_>, queries: &Range<usize>, keys: &Range<usize>) -> Option<Vec<bool>> {
    let options = &attention.options;
    let masked_query = |query| options.mask_padded_queries && !attention.queries.is_real(query);
    let by_position = options.causal || options.window.is_some();
    let by_row = keys.clone().any(|key| !attention.keys.is_real(key)) || queries.clone().any(masked_query);
    if !by_position && !by_row {
        return None;
    }
    let sees = |query: usize, key: usize| {
        let back = i64::from(attention.queries.positions[query]) - i64::from(attention.keys.positions[key]);
        let in_window = match options.window {
            None => true,
            Some(Window::Past(size)) => back >= 0 && back < size as i64,
            Some(Window::Around(size)) => back.unsigned_abs() <= size as u64,
        };
        attention.keys.is_real(key) && in_window && !(options.causal && back < 0)
    };
    let mut visible = Vec::with_capacity(queries.len() * keys.len());
    for query in queries.clone() {
        let masked = masked_query(query);
        visible.extend(keys.clone().map(|key| !masked && sees(query, key)));
    }
    Some(visible)
}

/// `row` of query position - key position for every pair, asked once a distance.
fn table_rows(
    attention: &Attention<'_>,
    queries: &Range<usize>,
    keys: &Range<usize>,
    row: impl Fn(i64) -> usize,
) -> Vec<u32> {
    let queries = &attention.queries.positions[queries.clone()];
    let keys = &attention.keys.positions[keys.clone()];
    let (Some(&first_query), Some(&last_query)) = (queries.iter().min(), queries.iter().max()) else {
        return Vec::new();
    };
    let (Some(&first_key), Some(&last_key)) = (keys.iter().min(), keys.iter().max()) else {
        return Vec::new();
    };
    let lowest = i64::from(first_query) - i64::from(last_key);
    let highest = i64::from(last_query) - i64::from(first_key);
    let of_distance: Vec<u32> = (lowest..=highest).map(|back| row(back) as u32).collect();
    let mut rows = Vec::with_capacity(queries.len() * keys.len());
    for &query in queries {
        let place = |&key: &u32| of_distance[(i64::from(query) - i64::from(key) - lowest) as usize];
        rows.extend(keys.iter().map(place));
    }
    rows
}
