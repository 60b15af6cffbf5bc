//! Attention as its definition reads, one number at a time in f64, and without any code of the
//! library but the counted dropout mask and the buckets of the learned bias.

use half::bf16;
use pifi_probe::nn::attention::{Empty, Window};
use pifi_probe::nn::dropout::keep;
use pifi_probe::nn::relative::Distances;

use crate::case::{Case, K, POSITION_KEYS, POSITION_QUERIES, Position, Q, TABLE, V};

/// Inputs in the order of [`Case::inputs`].
pub(crate) type Inputs = [Vec<f64>; 6];

pub(crate) fn inputs(case: &Case) -> Inputs {
    case.inputs.clone().map(|numbers| numbers.into_iter().map(f64::from).collect())
}

/// The output `[K, Rq, H, d]`.
pub(crate) fn attend(case: &Case, inputs: &Inputs) -> Vec<f64> {
    let shape = case.shape;
    let (d, query_rows, key_rows) = (shape.head_dim, case.queries.len(), case.keys.len());
    let mut out = vec![0.0; inputs[Q].len()];
    for member in 0..shape.members {
        for example in 0..case.queries.examples() {
            for head in 0..shape.heads {
                let kv_head = head / (shape.heads / shape.kv_heads);
                for query in case.queries.segment(example) {
                    let q_at = ((member * query_rows + query) * shape.heads + head) * d;
                    let k_at = |key: usize| ((member * key_rows + key) * shape.kv_heads + kv_head) * d;
                    let keys: Vec<usize> = case.keys.segment(example).collect();
                    let mut weights: Vec<f64> = keys
                        .iter()
                        .map(|&key| {
                            let content = dot(&inputs[Q][q_at..][..d], &inputs[K][k_at(key)..][..d]);
                            let places = Places { member, head, query, key, q_at, k_at: k_at(key) };
                            if sees(case, query, key) {
                                cap(case, score(case, inputs, content, &places))
                            } else {
                                f64::NEG_INFINITY
                            }
                        })
                        .collect();
                    softmax(case, &mut weights);
                    for (weight, &key) in weights.iter().zip(&keys) {
                        let factor = dropout_factor(case, example, head, query, key);
                        for channel in 0..d {
                            out[q_at + channel] += weight * factor * inputs[V][k_at(key) + channel];
                        }
                    }
                }
            }
        }
    }
    out
}

struct Places {
    member: usize,
    head: usize,
    query: usize,
    key: usize,
    q_at: usize,
    k_at: usize,
}

fn score(case: &Case, inputs: &Inputs, content: f64, places: &Places) -> f64 {
    let Places { member, head, query, key, q_at, k_at } = *places;
    let scale = f64::from(case.options.scale);
    let (i, j) = (i64::from(case.queries.positions[query]), i64::from(case.keys.positions[key]));
    let (heads, d) = (case.shape.heads, case.shape.head_dim);
    match &case.position {
        Position::None => content * scale,
        Position::Alibi { slopes, rounded_before_scaling: false } => {
            content * scale + f64::from(slopes[head]) * j as f64
        }
        Position::Alibi { slopes, rounded_before_scaling: true } => {
            let product = bf16::from_f32(slopes[head]).to_f32() * bf16::from_f32(j as f32).to_f32();
            (content + f64::from(bf16::from_f32(product).to_f32())) * scale
        }
        Position::Relative(buckets) => {
            let row = member * buckets.num_buckets + buckets.bucket(j - i);
            content * scale + inputs[TABLE][row * heads + head]
        }
        Position::Disentangled { distances, keys, queries } => {
            // as published: two indexes, gathered along the query's and along the key's row
            let span = distances.rows() as i64 / 2;
            let clamp = |row: i64| row.clamp(0, 2 * span - 1) as usize;
            let content_to_position = clamp(relative(*distances, i - j) + span);
            let position_to_content = clamp(-relative(*distances, j - i) + span);
            let at = |row: usize| ((member * distances.rows() + row) * heads + head) * d;
            let mut sum = content;
            if *keys {
                let position = &inputs[POSITION_KEYS][at(content_to_position)..][..d];
                sum += dot(&inputs[Q][q_at..][..d], position);
            }
            if *queries {
                let position = &inputs[POSITION_QUERIES][at(position_to_content)..][..d];
                sum += dot(&inputs[K][k_at..][..d], position);
            }
            sum * scale
        }
    }
}

fn relative(distances: Distances, distance: i64) -> i64 {
    match distances {
        Distances::Plain { .. } => distance,
        Distances::Logarithmic { buckets, max_distance } => {
            let middle = buckets as f64 / 2.0;
            let magnitude = distance.abs() as f64;
            if magnitude <= middle {
                return distance;
            }
            let share = (magnitude / middle).ln() / ((max_distance as f64 - 1.0) / middle).ln();
            ((share * (middle - 1.0)).ceil() + middle) as i64 * distance.signum()
        }
    }
}

fn cap(case: &Case, score: f64) -> f64 {
    case.options.soft_cap.map_or(score, |cap| f64::from(cap) * (score / f64::from(cap)).tanh())
}

fn sees(case: &Case, query: usize, key: usize) -> bool {
    let distance = i64::from(case.queries.positions[query]) - i64::from(case.keys.positions[key]);
    let options = case.options;
    if !case.keys.is_real(key) || (options.mask_padded_queries && !case.queries.is_real(query)) {
        return false;
    }
    if options.causal && distance < 0 {
        return false;
    }
    match options.window {
        Some(Window::Past(size)) => (0..size as i64).contains(&distance),
        Some(Window::Around(size)) => distance.abs() <= size as i64,
        None => true,
    }
}

fn softmax(case: &Case, scores: &mut [f64]) {
    let highest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if highest == f64::NEG_INFINITY {
        let weight = match case.options.empty {
            Empty::Zero => 0.0,
            Empty::Uniform => 1.0 / scores.len() as f64,
        };
        scores.fill(weight);
        return;
    }
    let sum: f64 = scores.iter().map(|score| (score - highest).exp()).sum();
    for score in scores {
        *score = (*score - highest).exp() / sum;
    }
}

fn dropout_factor(case: &Case, example: usize, head: usize, query: usize, key: usize) -> f64 {
    let Some(dropout) = case.options.dropout else { return 1.0 };
    let id = case.queries.example_ids[example];
    let token = case.queries.positions[query];
    let channel = head as u32 * 65_536 + case.keys.positions[key];
    let kept = keep(dropout.key, id, token, channel, dropout.probability);
    if kept { 1.0 / (1.0 - f64::from(dropout.probability)) } else { 0.0 }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}
