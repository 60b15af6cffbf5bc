//! Scores, weights and their sum of values.

use half::bf16;
use rayon::prelude::*;

use super::products::{View, multiply};
use super::segments::Segment;
use super::{Attention, Bias, Buffer, Empty, Place, Saved, segments, split};
use crate::nn::dropout::{CHANNELS, Dropout};
use crate::nn::elementary::exp;
use crate::nn::parallel::{sum_of, widest};

/// See [`Attention::forward`]; the operands are queries, keys and values.
pub(super) fn run(attention: &Attention<'_>, operands: [&[f32]; 3], out: &mut Buffer, saved: &mut Saved) {
    let shape = attention.shape;
    let segments = segments::read(attention);
    let scores = shape.members * shape.heads * segments.iter().map(Segment::pairs).sum::<usize>();
    let dropping = usize::from(attention.dropout().is_some());
    let capping = usize::from(attention.options.soft_cap.is_some());
    saved.probabilities.resize(scores);
    saved.dropped.resize(scores * dropping);
    saved.cap_slopes.resize(scores * capping);
    out.resize(operands[0].len());

    let groups = shape.kv_heads;
    let width = attention.shared() * shape.head_dim;
    let tiles = |times: usize| {
        let members = (0..shape.members).flat_map(|_| &segments);
        members.flat_map(move |segment| {
            std::iter::repeat_n(segment.pairs() * shape.heads / groups * times, groups)
        })
    };
    let runs = (0..shape.members).flat_map(|_| segments.iter().map(|segment| segment.queries.len()));
    let out = split::columns(out.cpu_mut(), runs, groups, width);
    let probabilities = split::parts(saved.probabilities.cpu_mut(), tiles(1));
    let dropped = split::parts(saved.dropped.cpu_mut(), tiles(dropping));
    let cap_slopes = split::parts(saved.cap_slopes.cpu_mut(), tiles(capping));
    out.into_par_iter().zip(probabilities).zip(dropped).zip(cap_slopes).enumerate().for_each_init(
        Scratch::default,
        |scratch, (index, (((out, probabilities), dropped), cap_slopes))| {
            let example = index / groups % segments.len();
            Task {
                attention,
                segment: &segments[example],
                example: attention.queries.example_ids[example],
                member: index / groups / segments.len(),
                group: index % groups,
                operands,
            }
            .run(Tile { out, probabilities, dropped, cap_slopes }, scratch);
        },
    );
}

/// What one task writes.
struct Tile<'a> {
    out: Vec<&'a mut [f32]>,
    probabilities: &'a mut [f32],
    dropped: &'a mut [f32],
    cap_slopes: &'a mut [f32],
}

#[derive(Default)]
struct Scratch {
    product: Vec<f32>,
    factors: Vec<f32>,
}

/// The heads of queries that share one head of keys, in one example of one member.
struct Task<'a> {
    attention: &'a Attention<'a>,
    segment: &'a Segment,
    example: u64,
    member: usize,
    group: usize,
    operands: [&'a [f32]; 3],
}

impl Task<'_> {
    fn run(&self, mut tile: Tile<'_>, scratch: &mut Scratch) {
        let pairs = self.segment.pairs();
        if pairs == 0 {
            tile.out.iter_mut().for_each(|row| row.fill(0.0));
            return;
        }
        let (attention, segment) = (self.attention, self.segment);
        let width = attention.shape.head_dim;
        let (queries, keys) = (segment.queries.len(), segment.keys.len());
        for local in 0..attention.shared() {
            let place = Place { member: self.member, head: self.group * attention.shared() + local };
            let weights = &mut tile.probabilities[local * pairs..][..pairs];
            self.score(place, weights, scratch);
            if let Some(cap) = attention.options.soft_cap {
                soft_cap(cap, weights, &mut tile.cap_slopes[local * pairs..][..pairs]);
            }
            for (query, row) in weights.chunks_exact_mut(keys).enumerate() {
                if segment.blind(query) {
                    row.fill(match attention.options.empty {
                        Empty::Zero => 0.0,
                        Empty::Uniform => 1.0 / keys as f32,
                    });
                } else {
                    softmax(row, segment.visible(query));
                }
            }
            let weights = match attention.dropout() {
                None => &*weights,
                Some(dropout) => {
                    let dropped = &mut tile.dropped[local * pairs..][..pairs];
                    self.drop_weights(dropout, place.head, weights, dropped, &mut scratch.factors);
                    &*dropped
                }
            };
            let values = attention.of_keys(self.operands[2], place, segment);
            scratch.product.resize(queries * width, 0.0);
            let product = &mut scratch.product[..queries * width];
            multiply([queries, width, keys], View::rows(weights, keys), values, product, false);
            split::write(&mut tile.out, local * width, width, product, 1.0);
        }
    }

    /// Scores before the cap and the masks, `[Tq, Tk]`.
    fn score(&self, place: Place, scores: &mut [f32], scratch: &mut Scratch) {
        let (attention, segment) = (self.attention, self.segment);
        let Place { member, head } = place;
        let scale = attention.options.scale;
        let width = attention.shape.head_dim;
        let (queries, keys) = (segment.queries.len(), segment.keys.len());
        let q = attention.of_queries(self.operands[0], place, segment);
        let k = attention.of_keys(self.operands[1], place, segment);
        multiply([queries, keys, width], q, k.transposed(), scores, false);
        match attention.bias {
            Bias::None => scores.iter_mut().for_each(|score| *score *= scale),
            Bias::Alibi { slopes, rounded_before_scaling } => {
                let positions = &attention.keys.positions[segment.keys.clone()];
                for row in scores.chunks_exact_mut(keys) {
                    for (score, &position) in row.iter_mut().zip(positions) {
                        *score = if rounded_before_scaling {
                            (*score + rounded_product(slopes[head], position)) * scale
                        } else {
                            *score * scale + slopes[head] * position as f32
                        };
                    }
                }
            }
            Bias::Relative { table, .. } => {
                let table = table.cpu(member);
                for (score, &row) in scores.iter_mut().zip(&segment.rows) {
                    *score = *score * scale + table[row as usize * attention.shape.heads + head];
                }
            }
            Bias::Disentangled { position_keys, position_queries, .. } => {
                let reach = segment.reach.len();
                let column = |row: u32| row as usize - segment.reach.start;
                if let Some(position_keys) = position_keys {
                    let positions = attention.of_positions(position_keys, place, segment);
                    scratch.product.resize(queries * reach, 0.0);
                    let met = &mut scratch.product[..queries * reach];
                    multiply([queries, reach, width], q, positions.transposed(), met, false);
                    let rows = scores.chunks_exact_mut(keys).zip(segment.rows.chunks_exact(keys));
                    for ((scores, rows), met) in rows.zip(met.chunks_exact(reach)) {
                        for (score, &row) in scores.iter_mut().zip(rows) {
                            *score += met[column(row)];
                        }
                    }
                }
                if let Some(position_queries) = position_queries {
                    let positions = attention.of_positions(position_queries, place, segment);
                    scratch.product.resize(keys * reach, 0.0);
                    let met = &mut scratch.product[..keys * reach];
                    multiply([keys, reach, width], k, positions.transposed(), met, false);
                    let rows = scores.chunks_exact_mut(keys).zip(segment.rows.chunks_exact(keys));
                    for (scores, rows) in rows {
                        for ((score, &row), met) in scores.iter_mut().zip(rows).zip(met.chunks_exact(reach)) {
                            *score += met[column(row)];
                        }
                    }
                }
                for score in scores {
                    *score *= scale;
                }
            }
        }
    }

    fn drop_weights(
        &self,
        dropout: Dropout,
        head: usize,
        weights: &[f32],
        dropped: &mut [f32],
        factors: &mut Vec<f32>,
    ) {
        let (attention, segment) = (self.attention, self.segment);
        let mask = dropout.mask();
        let keys = &attention.keys.positions[segment.keys.clone()];
        let rows = weights.chunks_exact(keys.len()).zip(dropped.chunks_exact_mut(keys.len()));
        let quad = head as u32 * CHANNELS_A_HEAD / CHANNELS as u32;
        // every position up to the last key's is drawn: as a rule they are those of the keys
        let reach = keys.iter().max().map_or(0, |last| *last as usize + 1);
        factors.resize(reach, 0.0);
        for (query, (weights, dropped)) in segment.queries.clone().zip(rows) {
            mask.row(self.example, attention.queries.positions[query], quad, factors);
            if reach == keys.len() {
                let pairs = weights.iter().zip(&*factors);
                dropped.iter_mut().zip(pairs).for_each(|(to, (weight, factor))| *to = weight * factor);
            } else {
                for ((to, weight), &key) in dropped.iter_mut().zip(weights).zip(keys) {
                    *to = weight * factors[key as usize];
                }
            }
        }
    }
}

/// Room for the keys' positions in the channels of a dropout mask.
const CHANNELS_A_HEAD: u32 = 65_536;

/// Slope, position and product in bfloat16, as a product of bfloat16 tensors gives them.
fn rounded_product(slope: f32, position: u32) -> f32 {
    let round = |number: f32| bf16::from_f32(number).to_f32();
    round(round(slope) * round(position as f32))
}

fn soft_cap(cap: f32, scores: &mut [f32], slopes: &mut [f32]) {
    for (score, slope) in scores.iter_mut().zip(slopes) {
        let bent = (*score / cap).tanh();
        *score = cap * bent;
        *slope = 1.0 - bent * bent;
    }
}

widest! {
    /// In place over the visible keys, of which there is at least one; others become zero.
    fn softmax(row: &mut [f32], visible: Option<&[bool]>) {
        if let Some(visible) = visible {
            for (score, &visible) in row.iter_mut().zip(visible) {
                *score = if visible { *score } else { f32::NEG_INFINITY };
            }
        }
        let highest = highest_of(row);
        for score in row.iter_mut() {
            *score = exp(*score - highest);
        }
        let share = (1.0 / sum_of(row, f64::from)) as f32;
        for weight in row {
            *weight *= share;
        }
    }
}

/// The largest number; NaN counts as none, and stays in the sum that follows.
#[inline(always)]
fn highest_of(numbers: &[f32]) -> f32 {
    const LANES: usize = 16;
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let whole = numbers.chunks_exact(LANES);
    let rest = whole.remainder().iter().copied().fold(f32::NEG_INFINITY, f32::max);
    for chunk in whole {
        for (lane, &number) in lanes.iter_mut().zip(chunk) {
            *lane = if number > *lane { number } else { *lane };
        }
    }
    lanes.iter().copied().fold(rest, f32::max)
}
