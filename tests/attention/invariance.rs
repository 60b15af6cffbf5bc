//! What must not change a result: padding, leaving queries out, stacking members, threads.

use pifi_probe::device::Device;
use pifi_probe::nn::attention::{Options, Shape, Window};
use pifi_probe::nn::dropout::Dropout;
use pifi_probe::nn::relative::{Buckets, Distances, alibi_slopes};
use pifi_probe::nn::{DropoutKey, Rows};
use pifi_probe::seed::Seed;

use crate::case::{Case, K, POSITION_KEYS, Position, Q, Results, V, case, padded, random};
use crate::gradients::difference;

fn positions() -> [Position; 5] {
    [
        Position::None,
        Position::Alibi { slopes: alibi_slopes(4), rounded_before_scaling: true },
        Position::Relative(Buckets { num_buckets: 8, max_distance: 6, bidirectional: true }),
        Position::Disentangled { distances: Distances::Plain { span: 5 }, keys: true, queries: true },
        Position::Disentangled {
            distances: Distances::Logarithmic { buckets: 4, max_distance: 16 },
            keys: true,
            queries: true,
        },
    ]
}

fn noisy(options: &mut Options) {
    options.soft_cap = Some(2.0);
    options.window = Some(Window::Around(6));
    let key = DropoutKey { seed: Seed(1), step: 7, site: 2 };
    options.dropout = Some(Dropout { key, probability: 0.2 });
}

/// Rows of a `[K, R, width]` matrix, and the same within another layout of the rows.
fn pick(numbers: &[f32], members: usize, rows: &[usize]) -> Vec<f32> {
    pick_from(numbers, members, numbers.len() / members, rows)
}

fn pick_from(numbers: &[f32], members: usize, member_len: usize, rows: &[usize]) -> Vec<f32> {
    let width = 12;
    let of_member = |member: usize| rows.iter().map(move |row| member * member_len + row * width);
    (0..members).flat_map(of_member).flat_map(|at| numbers[at..at + width].to_vec()).collect()
}

fn assert_near(found: &[f32], expected: &[f32], what: &str) {
    let expected: Vec<f64> = expected.iter().map(|&number| f64::from(number)).collect();
    let apart = difference(found, &expected);
    assert!(apart < 2e-6, "{what}: {apart:e}");
}

#[test]
fn packed_rows_give_what_padded_ones_give() {
    let lengths = [3, 6, 1, 4];
    let real: Vec<usize> =
        lengths.iter().enumerate().flat_map(|(b, &length)| (0..length).map(move |t| b * 6 + t)).collect();
    for position in positions() {
        let mut wide = case(&padded(&lengths, 6)).at(position.clone()).with(noisy);
        for (index, gradient) in wide.cotangent.chunks_exact_mut(12).enumerate() {
            if !real.contains(&(index % 24)) {
                gradient.fill(0.0);
            }
        }
        let mut tight = case(&Rows::packed(&lengths)).at(position).with(noisy);
        for input in [Q, K, V] {
            tight.inputs[input] = pick(&wide.inputs[input], 2, &real);
        }
        tight.cotangent = pick(&wide.cotangent, 2, &real);
        let (wide, tight) = (wide.run(Device::CPU), tight.run(Device::CPU));
        assert_near(&tight.out, &pick(&wide.out, 2, &real), "output");
        for input in [Q, K, V] {
            assert_near(&tight.gradients[input], &pick(&wide.gradients[input], 2, &real), "q, k, v");
        }
        for input in POSITION_KEYS - 1..6 {
            assert_near(&tight.gradients[input], &wide.gradients[input], "tables");
        }
    }
}

#[test]
fn some_queries_give_what_they_give_among_all() {
    let rows = Rows::packed(&[3, 6, 1]);
    let chosen = [0, 3, 5, 9];
    let queries = Rows { positions: vec![0, 0, 2, 0], offsets: vec![0, 1, 3, 4], ..rows.clone() };
    for position in positions() {
        let mut all = case(&rows).at(position.clone()).with(noisy);
        for (index, gradient) in all.cotangent.chunks_exact_mut(12).enumerate() {
            if !chosen.contains(&(index % 10)) {
                gradient.fill(0.0);
            }
        }
        let mut some = Case::new(all.shape, &queries, &rows, position).with(noisy);
        some.inputs = all.inputs.clone();
        some.inputs[Q] = pick(&all.inputs[Q], 2, &chosen);
        some.cotangent = pick(&all.cotangent, 2, &chosen);
        let (all, some) = (all.run(Device::CPU), some.run(Device::CPU));
        assert_near(&some.out, &pick(&all.out, 2, &chosen), "output");
        assert_near(&some.gradients[Q], &pick(&all.gradients[Q], 2, &chosen), "queries");
        for input in 1..6 {
            assert_near(&some.gradients[input], &all.gradients[input], "shared");
        }
    }
}

#[test]
fn stacked_members_equal_members_alone_bit_for_bit() {
    for position in positions() {
        let stacked = case(&padded(&[3, 6, 1], 7)).at(position).with(noisy);
        let alone = [0, 1].map(|member| {
            let half =
                |numbers: &Vec<f32>| numbers[member * numbers.len() / 2..][..numbers.len() / 2].to_vec();
            let mut one = stacked.clone();
            one.shape.members = 1;
            one.inputs = stacked.inputs.each_ref().map(half);
            one.cotangent = half(&stacked.cotangent);
            one.run(Device::CPU)
        });
        let joined = |of: fn(&Results) -> Vec<f32>| [of(&alone[0]), of(&alone[1])].concat();
        let together = stacked.run(Device::CPU);
        assert_eq!(together.out, joined(|results| results.out.clone()));
        let gradients: [fn(&Results) -> Vec<f32>; 6] = [
            |results| results.gradients[0].clone(),
            |results| results.gradients[1].clone(),
            |results| results.gradients[2].clone(),
            |results| results.gradients[3].clone(),
            |results| results.gradients[4].clone(),
            |results| results.gradients[5].clone(),
        ];
        for (input, of) in gradients.into_iter().enumerate() {
            assert_eq!(together.gradients[input], joined(of));
        }
    }
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    let shape = Shape { members: 3, heads: 4, kv_heads: 4, head_dim: 16 };
    let rows = Rows::packed(&[30, 2, 17, 41, 8]);
    for position in positions() {
        let case = Case::new(shape, &rows, &rows, position).with(noisy);
        let on = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
            pool.install(|| case.run(Device::CPU))
        };
        let one = on(1);
        assert!(one == on(2) && one == on(5));
    }
}

#[test]
fn members_with_equal_inputs_see_the_same_dropout() {
    let mut case = case(&Rows::packed(&[9, 4])).with(noisy);
    for numbers in case.inputs.iter_mut().chain([&mut case.cotangent]) {
        let half = numbers.len() / 2;
        numbers.copy_within(..half, half);
    }
    let dropped = case.run(Device::CPU);
    let half = dropped.out.len() / 2;
    assert_eq!(dropped.out[..half], dropped.out[half..]);
    assert_ne!(dropped.out, case.with(|options| options.dropout = None).run(Device::CPU).out);
}

#[test]
fn the_mask_depends_on_the_example_and_not_on_its_place_in_the_batch() {
    let of = |rows: &Rows| {
        let mut case = case(rows).with(noisy);
        // both examples hold the same numbers
        for input in [Q, K, V] {
            let numbers = random(input as u64, 5 * 12);
            case.inputs[input] = [&numbers[..]; 4].concat();
        }
        case.run(Device::CPU).out
    };
    let rows = Rows::packed(&[5, 5]);
    let swapped = Rows { example_ids: vec![1, 0], ..rows.clone() };
    let (out, swapped) = (of(&rows), of(&swapped));
    assert_eq!(out[..60], swapped[60..120]);
    assert_ne!(out[..60], out[60..120]);
}

#[test]
fn a_query_with_one_key_gets_its_value() {
    let case = case(&Rows::packed(&[1, 1, 1]));
    assert_eq!(case.run(Device::CPU).out, case.inputs[V]);
    assert!(
        case.run(Device::CPU).gradients[Q]
            .iter()
            .chain(&case.run(Device::CPU).gradients[K])
            .all(|&number| number == 0.0)
    );
}
