//! Gradients of queries, keys and values; those of the scores are left for the shared tables.

use rayon::prelude::*;

use super::products::{View, multiply};
use super::segments::Segment;
use super::tables::{Side, scatter};
use super::{Attention, Bias, Buffer, Place, Saved, split};
use crate::nn::parallel::{dot, widest};

/// See [`Attention::backward`]; the operands are queries, keys, values and the output's gradient,
/// the results those of queries, keys and values. With `keep_scores` the gradients of the scores
/// (after scaling, before the cap) go to `saved.score_gradients`.
pub(super) fn run(
    attention: &Attention<'_>,
    segments: &[Segment],
    operands: [&[f32]; 4],
    saved: &mut Saved,
    results: [&mut Buffer; 3],
    keep_scores: bool,
) {
    let shape = attention.shape;
    let groups = shape.kv_heads;
    let keeping = usize::from(keep_scores);
    saved.score_gradients.resize(saved.probabilities.len() * keeping);
    let [dq, dk, dv] = results;
    dq.resize(operands[0].len());
    dk.resize(operands[1].len());
    dv.resize(operands[2].len());

    let width = attention.shared() * shape.head_dim;
    let all = || (0..shape.members).flat_map(|_| segments);
    let runs = || all().map(|segment| segment.keys.len());
    let dq = split::columns(dq.cpu_mut(), all().map(|segment| segment.queries.len()), groups, width);
    let dk = split::columns(dk.cpu_mut(), runs(), groups, shape.head_dim);
    let dv = split::columns(dv.cpu_mut(), runs(), groups, shape.head_dim);
    let sizes = all()
        .flat_map(|segment| std::iter::repeat_n(segment.pairs() * shape.heads / groups * keeping, groups));
    let scores = split::parts(saved.score_gradients.cpu_mut(), sizes);
    let saved = Weights {
        probabilities: saved.probabilities.cpu(),
        dropped: saved.dropped.cpu(),
        cap_slopes: saved.cap_slopes.cpu(),
    };
    let together = attention.tasks_together(segments);
    dq.into_par_iter().zip(dk).zip(dv).zip(scores).enumerate().with_min_len(together).for_each_init(
        Scratch::default,
        |scratch, (index, (((dq, dk), dv), scores))| {
            let task = Task {
                attention,
                segment: &segments[index / groups % segments.len()],
                member: index / groups / segments.len(),
                group: index % groups,
                operands,
                saved,
            };
            task.run(Tile { dq, dk, dv, scores }, scratch);
        },
    );
}

/// What one task writes.
struct Tile<'a> {
    dq: Vec<&'a mut [f32]>,
    dk: Vec<&'a mut [f32]>,
    dv: Vec<&'a mut [f32]>,
    scores: &'a mut [f32],
}

#[derive(Default)]
struct Scratch {
    scores: Vec<f32>,
    dq: Vec<f32>,
    dk: Vec<f32>,
    dv: Vec<f32>,
    met: Vec<f32>,
}

/// The heads of queries that share one head of keys, in one example of one member.
struct Task<'a> {
    attention: &'a Attention<'a>,
    segment: &'a Segment,
    member: usize,
    group: usize,
    operands: [&'a [f32]; 4],
    saved: Weights<'a>,
}

/// What forward saved, of all members.
#[derive(Clone, Copy)]
struct Weights<'a> {
    probabilities: &'a [f32],
    dropped: &'a [f32],
    cap_slopes: &'a [f32],
}

impl Task<'_> {
    fn run(&self, mut tile: Tile<'_>, scratch: &mut Scratch) {
        let (attention, segment) = (self.attention, self.segment);
        let pairs = segment.pairs();
        if pairs == 0 {
            for row in tile.dq.iter_mut().chain(&mut tile.dk).chain(&mut tile.dv) {
                row.fill(0.0);
            }
            return;
        }
        let width = attention.shape.head_dim;
        let scale = attention.options.scale;
        let (queries, keys) = (segment.queries.len(), segment.keys.len());
        let Scratch { scores, dq, dk, dv, met } = scratch;
        scores.resize(pairs, 0.0);
        dq.resize(queries * width, 0.0);
        dk.resize(keys * width, 0.0);
        dv.resize(keys * width, 0.0);
        for local in 0..attention.shared() {
            let place = Place { member: self.member, head: self.group * attention.shared() + local };
            let [q, dout] = [0, 3].map(|i| attention.of_queries(self.operands[i], place, segment));
            let [k, v] = [1, 2].map(|i| attention.of_keys(self.operands[i], place, segment));
            let start = attention.scores_start(place, segment);
            let probabilities = &self.saved.probabilities[start..][..pairs];
            let dropped = self.saved.dropped.get(start..start + pairs);
            let weights = View::rows(dropped.unwrap_or(probabilities), keys);
            let later = local > 0;
            multiply([keys, width, queries], weights.transposed(), dout, dv, later);

            multiply([queries, keys, width], dout, v.transposed(), scores, false);
            if let (Some(dropped), Some(dropout)) = (dropped, attention.dropout()) {
                let raised = 1.0 / (1.0 - dropout.probability);
                for (gradient, &dropped) in scores.iter_mut().zip(dropped) {
                    *gradient = if dropped == 0.0 { 0.0 } else { *gradient * raised };
                }
            }
            for (query, (row, weights)) in
                scores.chunks_exact_mut(keys).zip(probabilities.chunks_exact(keys)).enumerate()
            {
                // what a blind query attends to does not depend on any score
                if segment.blind(query) {
                    row.fill(0.0);
                } else {
                    softmax_backward(weights, row);
                }
            }
            if let Some(slopes) = self.saved.cap_slopes.get(start..start + pairs) {
                scores.iter_mut().zip(slopes).for_each(|(gradient, slope)| *gradient *= slope);
            }
            if let Some(kept) = tile.scores.get_mut(local * pairs..(local + 1) * pairs) {
                kept.copy_from_slice(scores);
            }

            let by_query = View::rows(scores, keys);
            multiply([queries, width, keys], by_query, k, dq, false);
            multiply([keys, width, queries], by_query.transposed(), q, dk, later);
            if let Bias::Disentangled { position_keys, position_queries, .. } = attention.bias {
                let reach = segment.reach.len();
                if let Some(positions) = position_keys {
                    scatter(segment, scores, Side::Queries, met);
                    let positions = attention.of_positions(positions, place, segment);
                    multiply([queries, width, reach], View::rows(met, reach), positions, dq, true);
                }
                if let Some(positions) = position_queries {
                    scatter(segment, scores, Side::Keys, met);
                    let positions = attention.of_positions(positions, place, segment);
                    multiply([keys, width, reach], View::rows(met, reach), positions, dk, true);
                }
            }
            split::write(&mut tile.dq, local * width, width, dq, scale);
        }
        split::write(&mut tile.dk, 0, width, dk, scale);
        split::write(&mut tile.dv, 0, width, dv, 1.0);
    }
}

widest! {
    /// Turns the gradients of weights into those of scores: p * (g - sum of p * g).
    fn softmax_backward(weights: &[f32], gradients: &mut [f32]) {
        let mean = dot(weights, gradients) as f32;
        for (gradient, weight) in gradients.iter_mut().zip(weights) {
            *gradient = weight * (*gradient - mean);
        }
    }
}
