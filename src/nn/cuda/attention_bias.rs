//! What positions add to scores on a GPU, and its gradients.

use half::bf16;

use super::products::Products;
use super::{ROWS_A_BLOCK, rows_of_blocks};
use crate::nn::attention::{Attention, Bias, BiasGradient};
use crate::nn::cuda::{Gpu, Memory, THREADS, WARP, arguments, word};
use crate::nn::{Buffer, Rows};

/// Which rows of a table the distances of a batch read.
struct Distances {
    /// The row of every distance, query position - key position, from `lowest` on.
    rows: u64,
    lowest: u32,
    /// First and last distance of every row of the table.
    ends: u64,
}

impl Distances {
    /// # Panics
    /// Where the distances of one row are not consecutive, or positions do not rise within a text: the
    /// kernels find what reads a row by its first and its last distance.
    fn new(gpu: &'static Gpu, attention: &Attention<'_>, count: usize, row: impl Fn(i64) -> usize) -> Self {
        let (queries, keys) = (attention.queries, attention.keys);
        for rows in [queries, keys] {
            let rising = |b| rows.positions[rows.segment(b)].is_sorted_by(|a, b| a < b);
            assert!((0..rows.examples()).all(rising), "positions rise within a text");
        }
        let ends = |rows: &Rows| {
            let of = |end: Option<&u32>| end.map_or(0, |&position| i64::from(position));
            (of(rows.positions.iter().min()), of(rows.positions.iter().max()))
        };
        let ((first_query, last_query), (first_key, last_key)) = (ends(queries), ends(keys));
        let lowest = first_query - last_key;
        let mut rows = Vec::new();
        let mut ends: Vec<Option<(i64, i64)>> = vec![None; count];
        for distance in lowest..=last_query - first_key {
            let row = row(distance);
            rows.push(word(row));
            let (first, last) = ends[row].unwrap_or((distance, distance - 1));
            assert_eq!(last + 1, distance, "the distances of row {row} are consecutive");
            ends[row] = Some((first, distance));
        }
        // a row that nothing reads ends before it begins
        let ends = ends.iter().flat_map(|ends| {
            let (first, last) = ends.unwrap_or((1, 0));
            [first as u32, last as u32]
        });
        Self { rows: gpu.table(&rows), lowest: lowest as u32, ends: gpu.table(&ends.collect::<Vec<_>>()) }
    }
}

/// Turns products of queries and keys into scaled scores with what positions add.
pub(super) fn add(products: &Products, attention: &Attention<'_>, [q, k]: [&Buffer; 2], scores: u64) {
    let Products { gpu, shape, .. } = *products;
    let Attention { queries, keys, .. } = *attention;
    let scale = attention.options.scale;
    let heads = word(shape.heads);
    let of_rows = |kernel, arguments: &[_]| {
        gpu.launch(kernel, [rows_of_blocks(products), 1, 1], [ROWS_A_BLOCK as u32 * WARP, 1], arguments);
    };
    let example_of = gpu.examples_of_rows(queries);
    let [query_positions, key_positions] = [queries, keys].map(|rows| gpu.positions(rows));
    match attention.bias {
        Bias::None => {}
        Bias::Alibi { slopes, rounded_before_scaling } => {
            let round =
                |&slope: &f32| if rounded_before_scaling { bf16::from_f32(slope).to_f32() } else { slope };
            let slopes = gpu.floats(&slopes.iter().map(round).collect::<Vec<_>>());
            of_rows(
                "add_linear_bias",
                arguments![
                    scores,
                    products.segments,
                    example_of,
                    key_positions,
                    slopes,
                    rounded_before_scaling,
                    scale,
                    heads,
                    word(queries.len()),
                    products.pairs as u64,
                    products.rows(),
                ],
            );
        }
        Bias::Relative { table, bucket } => {
            let distances =
                Distances::new(gpu, attention, table.len() / shape.heads, |distance| bucket(-distance));
            of_rows(
                "add_learned_bias",
                arguments![
                    scores,
                    products.segments,
                    example_of,
                    query_positions,
                    key_positions,
                    distances.rows,
                    distances.lowest,
                    table.pointer(),
                    table.stride() as u64,
                    scale,
                    heads,
                    word(queries.len()),
                    products.pairs as u64,
                    products.rows(),
                ],
            );
        }
        Bias::Disentangled { position_keys, position_queries, row } => {
            let count = position_count(attention);
            let distances = Distances::new(gpu, attention, count, row);
            let meet = |content: &Buffer, rows: &Rows, positions: Option<&Buffer>| {
                positions.map(|positions| {
                    let met = Products::with_positions(gpu, shape, rows.len(), count);
                    let to = Memory::new(gpu, met.scores());
                    met.of_scores([content.pointer(), positions.pointer(), to.pointer()], 1.0);
                    to
                })
            };
            // freed in the order of the stream, after the kernel that reads them
            let of_queries = meet(q, queries, position_keys);
            let of_keys = meet(k, keys, position_queries);
            let [of_queries, of_keys] =
                [&of_queries, &of_keys].map(|met| met.as_ref().map_or(0, Memory::pointer));
            of_rows(
                "add_met_positions",
                arguments![
                    scores,
                    products.segments,
                    example_of,
                    query_positions,
                    key_positions,
                    distances.rows,
                    distances.lowest,
                    of_queries,
                    of_keys,
                    word(count),
                    scale,
                    heads,
                    word(queries.len()),
                    word(keys.len()),
                    products.pairs as u64,
                    products.rows(),
                ],
            );
        }
    }
}

/// Gradients from those of the scores: of the bias, and what comes by it to those of queries and keys,
/// which is added to `dq` and `dk`.
pub(super) fn backward(
    products: &Products,
    attention: &Attention<'_>,
    [q, k]: [&Buffer; 2],
    gradients: u64,
    [dq, dk]: [u64; 2],
    to: BiasGradient<'_>,
) {
    match attention.bias {
        Bias::None | Bias::Alibi { .. } => {}
        Bias::Relative { table, bucket } => {
            let BiasGradient::Relative(mut to) = to else { return };
            let count = table.len() / products.shape.heads;
            let distances = Distances::new(products.gpu, attention, count, |distance| bucket(-distance));
            learned(
                products,
                attention,
                gradients,
                &distances,
                count,
                to.place(products.gpu, products.shape.members),
            );
        }
        Bias::Disentangled { position_keys, position_queries, row } => {
            let count = position_count(attention);
            let distances = Distances::new(products.gpu, attention, count, row);
            let (dkeys, dqueries) = match to {
                BiasGradient::Disentangled { position_keys, position_queries } => {
                    (position_keys, position_queries)
                }
                BiasGradient::None | BiasGradient::Relative(_) => (None, None),
            };
            if let Some(positions) = position_keys {
                let side = Side { rows: attention.queries, of_keys: false };
                met(products, attention, gradients, &distances, &side, [q, positions], dq, dkeys);
            }
            if let Some(positions) = position_queries {
                let side = Side { rows: attention.keys, of_keys: true };
                met(products, attention, gradients, &distances, &side, [k, positions], dk, dqueries);
            }
        }
    }
}

/// Rows of the projected positions.
fn position_count(attention: &Attention<'_>) -> usize {
    let Bias::Disentangled { position_keys, position_queries, .. } = attention.bias else { return 0 };
    position_keys.or(position_queries).map_or(0, |positions| attention.positions(positions))
}

fn learned(
    products: &Products,
    attention: &Attention<'_>,
    gradients: u64,
    distances: &Distances,
    count: usize,
    to: crate::nn::param::Place,
) {
    let Products { gpu, shape, .. } = *products;
    gpu.launch(
        "learned_bias_gradient",
        [count, shape.heads, shape.members].map(word),
        [THREADS, 1],
        arguments![
            gradients,
            to.pointer,
            to.stride as u64,
            products.segments,
            gpu.examples_of_rows(attention.queries),
            gpu.positions(attention.queries),
            gpu.positions(attention.keys),
            distances.ends,
            word(shape.heads),
            word(products.queries),
            products.pairs as u64,
        ],
    );
}

/// Whose content meets the projected positions.
struct Side<'a> {
    rows: &'a Rows,
    of_keys: bool,
}

#[expect(clippy::too_many_arguments, reason = "the operands of one derivative")]
fn met(
    products: &Products,
    attention: &Attention<'_>,
    gradients: u64,
    distances: &Distances,
    side: &Side<'_>,
    [content, positions]: [&Buffer; 2],
    dcontent: u64,
    dpositions: Option<&mut Buffer>,
) {
    let Products { gpu, shape, .. } = *products;
    let count = attention.positions(positions);
    let with_positions = Products::with_positions(gpu, shape, side.rows.len(), count);
    let sums = Memory::new(gpu, with_positions.scores());
    gpu.launch_each(
        "sum_by_distance",
        with_positions.scores(),
        arguments![
            gradients,
            sums.pointer(),
            products.segments,
            gpu.examples_of_rows(side.rows),
            gpu.positions(attention.queries),
            gpu.positions(attention.keys),
            distances.ends,
            side.of_keys,
            word(count),
            word(shape.heads),
            word(side.rows.len()),
            products.pairs as u64,
            with_positions.scores() as u64,
        ],
    );
    let scale = attention.options.scale;
    with_positions.of_queries([sums.pointer(), positions.pointer(), dcontent], scale, true);
    if let Some(to) = dpositions {
        let to = to.room(gpu, positions.len());
        with_positions.of_keys([sums.pointer(), content.pointer(), to], scale);
    }
}
