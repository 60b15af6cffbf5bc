//! Gradients of what all examples share: the learned bias and the projected positions. One task
//! a member and head adds up the examples in their order.

use rayon::prelude::*;

use super::products::{View, multiply};
use super::segments::Segment;
use super::{Attention, BiasGradient, Buffer, Place, Saved, split};
use crate::nn::ParamMut;

/// See [`Attention::backward`]; the operands are queries and keys.
pub(super) fn run(
    attention: &Attention<'_>,
    segments: &[Segment],
    operands: [&[f32]; 2],
    saved: &Saved,
    gradient: BiasGradient<'_>,
) {
    let scores = saved.score_gradients.cpu();
    match gradient {
        BiasGradient::None => {}
        BiasGradient::Relative(gradient) => relative(attention, segments, scores, gradient),
        BiasGradient::Disentangled { position_keys, position_queries } => {
            let super::Bias::Disentangled { position_keys: keys, position_queries: queries, .. } =
                attention.bias
            else {
                debug_assert!(false, "a disentangled gradient of another bias");
                return;
            };
            if let (Some(positions), Some(gradient)) = (keys, position_keys) {
                projected(attention, segments, scores, operands[0], Side::Queries, positions, gradient);
            }
            if let (Some(positions), Some(gradient)) = (queries, position_queries) {
                projected(attention, segments, scores, operands[1], Side::Keys, positions, gradient);
            }
        }
    }
}

fn relative(attention: &Attention<'_>, segments: &[Segment], scores: &[f32], mut gradient: ParamMut<'_>) {
    let heads = attention.shape.heads;
    let end = segments.iter().map(|segment| segment.reach.end).max().unwrap_or(0);
    let places = (0..attention.shape.members * heads).into_par_iter();
    let sums: Vec<Vec<f64>> = places
        .map(|index| {
            let place = Place { member: index / heads, head: index % heads };
            let mut sums = vec![0.0; end];
            for segment in segments {
                let scores = &scores[attention.scores_start(place, segment)..][..segment.pairs()];
                for (&score, &row) in scores.iter().zip(&segment.rows) {
                    sums[row as usize] += f64::from(score);
                }
            }
            sums
        })
        .collect();
    for (index, sums) in sums.iter().enumerate() {
        let numbers = gradient.cpu(index / heads);
        for (row, sum) in sums.iter().enumerate() {
            numbers[row * heads + index % heads] += *sum as f32;
        }
    }
}

/// Whose content meets the projected positions.
#[derive(Clone, Copy)]
pub(super) enum Side {
    Queries,
    Keys,
}

/// The sum over examples of (gradients gathered by position)' . content, one head a task.
fn projected(
    attention: &Attention<'_>,
    segments: &[Segment],
    scores: &[f32],
    content: &[f32],
    side: Side,
    positions: &Buffer,
    gradient: &mut Buffer,
) {
    let heads = attention.shape.heads;
    let width = attention.shape.head_dim;
    let rows = attention.positions(positions);
    gradient.resize(positions.len());
    let runs = std::iter::repeat_n(rows, attention.shape.members);
    let slices = split::columns(gradient.cpu_mut(), runs, heads, width);
    let scratch = || (Vec::new(), Vec::new());
    slices.into_par_iter().enumerate().for_each_init(scratch, |(met, sum), (index, mut slices)| {
        let place = Place { member: index / heads, head: index % heads };
        sum.clear();
        sum.resize(rows * width, 0.0);
        for segment in segments.iter().filter(|segment| segment.pairs() > 0) {
            let start = attention.scores_start(place, segment);
            scatter(segment, &scores[start..][..segment.pairs()], side, met);
            let (content, tokens) = match side {
                Side::Queries => (attention.of_queries(content, place, segment), segment.queries.len()),
                Side::Keys => (attention.of_keys(content, place, segment), segment.keys.len()),
            };
            let reach = segment.reach.clone();
            let met = View::rows(met, reach.len()).transposed();
            let sum = &mut sum[reach.start * width..reach.end * width];
            multiply([reach.len(), width, tokens], met, content, sum, true);
        }
        split::write(&mut slices, 0, width, sum, attention.options.scale);
    });
}

/// Sums the gradients of scores, `[Tq, Tk]`, by the row of positions that each read, into
/// `[Tq or Tk, reach]`.
pub(super) fn scatter(segment: &Segment, scores: &[f32], side: Side, met: &mut Vec<f32>) {
    let (keys, reach) = (segment.keys.len(), segment.reach.len());
    let tokens = match side {
        Side::Queries => segment.queries.len(),
        Side::Keys => keys,
    };
    met.clear();
    met.resize(tokens * reach, 0.0);
    let rows = scores.chunks_exact(keys).zip(segment.rows.chunks_exact(keys));
    for (query, (scores, rows)) in rows.enumerate() {
        for (key, (score, &row)) in scores.iter().zip(rows).enumerate() {
            let token = match side {
                Side::Queries => query,
                Side::Keys => key,
            };
            met[token * reach + row as usize - segment.reach.start] += score;
        }
    }
}
