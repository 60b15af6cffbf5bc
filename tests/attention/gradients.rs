//! Values against the definition, and gradients against central differences of it, for every kind
//! of attention and their mixtures.

use pifi_probe::device::Device;
use pifi_probe::nn::attention::{Empty, Shape, Window};
use pifi_probe::nn::dropout::Dropout;
use pifi_probe::nn::relative::{Buckets, Distances, alibi_slopes};
use pifi_probe::nn::{DropoutKey, Rows};
use pifi_probe::seed::Seed;

use crate::case::{Case, Position, case, padded, small};
use crate::definition::{Inputs, attend, inputs};

/// Largest difference over the largest number.
pub(crate) fn difference(found: &[f32], expected: &[f64]) -> f64 {
    assert_eq!(found.len(), expected.len());
    assert!(found.iter().all(|number| number.is_finite()));
    let largest = expected.iter().fold(0.0_f64, |largest, number| largest.max(number.abs()));
    let pairs = found.iter().zip(expected);
    let apart = pairs.fold(0.0_f64, |apart, (a, b)| apart.max((f64::from(*a) - b).abs()));
    if largest == 0.0 { apart } else { apart / largest }
}

fn check(case: &Case) {
    let found = case.run(Device::CPU);
    let mut inputs = inputs(case);
    let apart = difference(&found.out, &attend(case, &inputs));
    assert!(apart < 2e-6, "output is {apart:e} from its definition");
    let loss = |inputs: &Inputs| -> f64 {
        attend(case, inputs).iter().zip(&case.cotangent).map(|(out, g)| out * f64::from(*g)).sum()
    };
    let step = 1e-5;
    for (input, name) in ["q", "k", "v", "table", "position keys", "position queries"].iter().enumerate() {
        let mut expected = Vec::new();
        for at in 0..inputs[input].len() {
            let middle = inputs[input][at];
            inputs[input][at] = middle + step;
            let above = loss(&inputs);
            inputs[input][at] = middle - step;
            expected.push((above - loss(&inputs)) / (2.0 * step));
            inputs[input][at] = middle;
        }
        let apart = difference(&found.gradients[input], &expected);
        assert!(apart < 5e-6, "gradient of {name} is {apart:e} from central differences");
    }
}

fn dropout() -> Dropout {
    Dropout { key: DropoutKey { seed: Seed(5), step: 3, site: 8 }, probability: 0.3 }
}

fn both_terms(distances: Distances) -> Position {
    Position::Disentangled { distances, keys: true, queries: true }
}

#[test]
fn plain_attention() {
    check(&case(&small()));
}

#[test]
fn heads_of_queries_share_heads_of_keys() {
    check(&case(&small()).grouped(2));
    check(&case(&small()).grouped(1));
}

#[test]
fn a_query_sees_the_keys_that_masks_and_windows_leave() {
    check(&case(&small()).with(|o| o.causal = true));
    check(&case(&small()).with(|o| o.window = Some(Window::Past(2))));
    check(&case(&small()).with(|o| o.window = Some(Window::Around(1))));
    check(&case(&small()).with(|o| {
        o.causal = true;
        o.window = Some(Window::Around(3));
    }));
}

#[test]
fn a_soft_cap_bends_scores_before_the_mask() {
    check(&case(&small()).with(|o| o.soft_cap = Some(0.9)));
    check(&case(&small()).grouped(2).with(|o| {
        o.soft_cap = Some(1.5);
        o.causal = true;
    }));
}

#[test]
fn keys_that_are_not_real_are_not_seen_and_such_queries_are_computed() {
    check(&case(&padded(&[4, 1, 3], 4)));
    check(&case(&padded(&[4, 1, 3], 5)).with(|o| o.causal = true));
}

#[test]
fn a_query_that_sees_nothing_attends_to_nothing_or_to_all_keys_equally() {
    for empty in [Empty::Zero, Empty::Uniform] {
        check(&case(&padded(&[4, 1, 2], 4)).with(|o| {
            o.mask_padded_queries = true;
            o.empty = empty;
        }));
        check(&case(&padded(&[1, 4], 5)).with(|o| {
            o.window = Some(Window::Around(1));
            o.empty = empty;
        }));
    }
}

#[test]
fn linear_biases_of_both_kinds() {
    // 0.3 is no bfloat16 number, and position 259 is none either
    let mut rows = small();
    rows.positions[4] = 259;
    for rounded_before_scaling in [false, true] {
        let slopes = vec![0.3, 0.01, 0.003, 0.1];
        check(&case(&rows).at(Position::Alibi { slopes, rounded_before_scaling }));
        let slopes = alibi_slopes(4);
        check(
            &case(&small()).at(Position::Alibi { slopes, rounded_before_scaling }).with(|o| o.causal = true),
        );
    }
}

#[test]
fn a_learned_bias_a_bucket_and_head() {
    for bidirectional in [false, true] {
        let buckets = Buckets { num_buckets: 6, max_distance: 4, bidirectional };
        check(&case(&small()).at(Position::Relative(buckets)));
        check(&case(&padded(&[4, 2], 4)).at(Position::Relative(buckets)).grouped(2));
    }
}

#[test]
fn disentangled_positions_with_plain_distances() {
    // the span is wider and narrower than the longest text: without and with clamping
    for span in [8, 3] {
        check(&case(&small()).at(both_terms(Distances::Plain { span })));
    }
}

#[test]
fn disentangled_positions_with_logarithmic_distances() {
    let distances = Distances::Logarithmic { buckets: 4, max_distance: 8 };
    check(&case(&Rows::packed(&[7, 2])).at(both_terms(distances)));
    check(&case(&padded(&[6, 2], 6)).at(both_terms(distances)).with(|o| o.mask_padded_queries = true));
}

#[test]
fn either_disentangled_term_alone() {
    for keys in [false, true] {
        let distances = Distances::Plain { span: 4 };
        check(&case(&small()).at(Position::Disentangled { distances, keys, queries: !keys }));
    }
}

#[test]
fn dropped_weights_carry_no_gradient() {
    check(&case(&small()).with(|o| o.dropout = Some(dropout())));
    check(&case(&padded(&[4, 2], 4)).grouped(2).with(|o| {
        o.dropout = Some(dropout());
        o.soft_cap = Some(1.2);
        o.mask_padded_queries = true;
    }));
}

#[test]
fn everything_at_once() {
    let slopes = alibi_slopes(4);
    let mixture = |position| {
        case(&padded(&[5, 2, 3], 5)).grouped(2).at(position).with(|o| {
            o.causal = true;
            o.window = Some(Window::Past(3));
            o.soft_cap = Some(1.1);
            o.dropout = Some(dropout());
        })
    };
    check(&mixture(Position::Alibi { slopes, rounded_before_scaling: true }));
    check(&mixture(Position::Relative(Buckets { num_buckets: 5, max_distance: 4, bidirectional: false })));
    let disentangled = case(&padded(&[5, 2], 5)).at(both_terms(Distances::Plain { span: 3 }));
    check(&disentangled.with(|o| {
        o.dropout = Some(dropout());
        o.soft_cap = Some(1.1);
        o.mask_padded_queries = true;
    }));
}

#[test]
fn queries_and_keys_can_have_different_rows() {
    let queries = Rows { positions: vec![2, 0, 4], ..Rows::packed(&[2, 0, 1]) };
    let keys = padded(&[4, 2, 5], 5);
    let shape = Shape { members: 2, heads: 4, kv_heads: 4, head_dim: 3 };
    for position in [
        Position::None,
        Position::Relative(Buckets { num_buckets: 6, max_distance: 4, bidirectional: true }),
        both_terms(Distances::Plain { span: 4 }),
    ] {
        let case = Case::new(shape, &queries, &keys, position);
        check(&case.clone().with(|o| o.causal = true));
        check(&case.with(|o| o.dropout = Some(dropout())));
    }
}

#[test]
fn an_example_without_keys_gives_zeros() {
    let shape = Shape { members: 2, heads: 2, kv_heads: 1, head_dim: 3 };
    check(&Case::new(shape, &Rows::packed(&[2, 1]), &Rows::packed(&[3, 0]), Position::None));
}
