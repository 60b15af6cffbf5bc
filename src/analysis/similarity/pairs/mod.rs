//! All pairs of many large layers at once: debiased linear CKA, RSA and shared neighbours of L
//! layers from L Gram matrices instead of L² products, a block of examples by a block of examples.
//!
//! The tile of every layer's Gram matrix for one pair of blocks is computed once, in f32 from
//! centred features, and serves all three measures; the inner products between the tiles of all
//! layers are then one small matrix product, added up in f64. Memory grows with the layers and with
//! the square of the block, never with the pairs. Spearman needs ranks over all pairs of examples
//! before the first product, and hence a second pass over the tiles: a histogram of each layer's
//! dissimilarities in the first, the mean rank of each bin in the second.
//!
//! Pieces depend on sizes only, so no bit of the result depends on the number of threads.

mod layer;
mod products;
mod ranks;
#[cfg(test)]
mod tests;

use std::ops::Range;

use rayon::prelude::*;

use super::measure::Direction;
use super::null::{Chance, PairSums};
use super::rsa::{Inner, Outer};
use super::{Undefined, Value, cka, knn, side};
use layer::{Layer, Plan};
use products::Products;

/// Where features come from: a file a layer, or memory.
pub trait Layers: Sync {
    /// What can go wrong while reading.
    type Error: Send;

    /// Number of layers.
    fn len(&self) -> usize;

    /// Whether there is none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Examples, the same in every layer.
    fn rows(&self) -> usize;

    /// Channels of one layer.
    fn columns(&self, layer: usize) -> usize;

    /// These rows of one layer, row-major; read several times.
    ///
    /// # Errors
    /// When they cannot be read.
    fn read(&self, layer: usize, rows: Range<usize>) -> Result<Vec<f32>, Self::Error>;
}

/// What to compute.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Request {
    /// Debiased linear CKA.
    pub cka: bool,
    /// RSA with these dissimilarities and this correlation; Kendall's is not offered here.
    pub rsa: Option<(Inner, Outer)>,
    /// Shared nearest neighbours, this many.
    pub neighbours: Option<usize>,
    /// Bytes that the tiles of all layers may take.
    pub memory: usize,
}

/// Bytes for tiles unless told otherwise: a gibibyte.
pub const MEMORY: usize = 1 << 30;

/// Values of all pairs of layers, `[layers, layers]` row-major.
pub type Grid = Vec<Result<Value, Undefined>>;

/// What was asked for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table {
    /// Debiased linear CKA.
    pub cka: Option<Grid>,
    /// RSA.
    pub rsa: Option<Grid>,
    /// Shared neighbours.
    pub neighbours: Option<Grid>,
}

/// Fewest examples that all three measures work with.
const LEAST: usize = 4;

/// Computes all pairs. `watch` is told after each pair of blocks how many of how many are done, and
/// may stop the work with an error.
///
/// # Errors
/// What reading or `watch` gives.
pub fn all<L: Layers>(
    layers: &L,
    request: &Request,
    watch: &(dyn Fn(usize, usize) -> Result<(), L::Error> + Sync),
) -> Result<Table, L::Error> {
    let n = layers.rows();
    let count = layers.len();
    if n < LEAST || request.neighbours.is_some_and(|k| k == 0 || k >= n) {
        let least = request.neighbours.map_or(LEAST, |k| LEAST.max(k + 1));
        return Ok(nothing(count, request, &Undefined::TooFew { n, least }));
    }
    let plan = Plan::new(n, count, request);
    let states: Result<Vec<Layer>, L::Error> =
        (0..count).into_par_iter().map(|at| Layer::profile(layers, at, &plan)).collect();
    let mut states = states?;
    let blocks = plan.block_pairs();
    let passes = if plan.needs_ranks() { 2 } else { 1 };
    let total = blocks.len() * passes;
    if plan.needs_ranks() {
        for (done, pair) in blocks.iter().enumerate() {
            states.par_iter_mut().try_for_each(|state| state.count(layers, pair, &plan))?;
            watch(done + 1, total)?;
        }
        states.par_iter_mut().for_each(Layer::rank);
    }
    let mut grams = request.cka.then(|| Products::new(count, plan.tile()));
    let mut distances = request.rsa.map(|_| Products::new(count, plan.tile()));
    for (done, pair) in blocks.iter().enumerate() {
        let gram_tiles = tiles(grams.as_mut(), count);
        let distance_tiles = tiles(distances.as_mut(), count);
        let work = states.par_iter_mut().zip(gram_tiles).zip(distance_tiles);
        work.try_for_each(|((state, gram), distance)| state.add(layers, pair, &plan, gram, distance))?;
        let used = pair.used();
        grams.iter_mut().chain(&mut distances).for_each(|products| products.add(used));
        watch(blocks.len() * (passes - 1) + done + 1, total)?;
    }
    Ok(Table {
        cka: grams.map(|products| grid(&states, n, |a, b| cka_of(&states, &products, n, a, b))),
        rsa: distances.map(|products| {
            let sums: Vec<PairSums> = states
                .iter()
                .enumerate()
                .map(|(at, state)| PairSums::symmetric(&state.distance_sums, products.of(at, at)))
                .collect();
            grid(&states, n, |a, b| rsa_of(&states, &sums, &products, n, a, b))
        }),
        neighbours: request.neighbours.map(|k| {
            let found: Vec<Option<(knn::Neighbours, PairSums)>> = states
                .par_iter()
                .map(|state| {
                    state.direction.as_ref().ok()?;
                    let found = knn::Neighbours::from_places(k, state.nearest.iter().map(|n| n.1).collect());
                    let sums = found.sums();
                    Some((found, sums))
                })
                .collect();
            grid(&states, n, |a, b| knn_of(&states, &found, n, k, a, b))
        }),
    })
}

/// One tile for each layer, none where they are not wanted.
fn tiles(products: Option<&mut Products>, count: usize) -> Vec<Option<&mut [f32]>> {
    match products {
        Some(products) => products.tiles().map(Some).collect(),
        None => (0..count).map(|_| None).collect(),
    }
}

fn nothing(count: usize, request: &Request, reason: &Undefined) -> Table {
    let grid = || vec![Err(reason.clone()); count * count];
    Table {
        cka: request.cka.then(grid),
        rsa: request.rsa.map(|_| grid()),
        neighbours: request.neighbours.map(|_| grid()),
    }
}

fn grid(
    states: &[Layer],
    n: usize,
    compute: impl Fn(usize, usize) -> Result<(f64, Chance), Undefined> + Sync,
) -> Grid {
    let count = states.len();
    let pairs = (0..count * count).into_par_iter();
    pairs
        .map(|pair| {
            // both orders of a pair are one computation, so that the grid is symmetric to the bit
            let (a, b) = (pair / count, pair % count);
            let (value, chance) = compute(a.min(b), a.max(b))?;
            let widths = [states[a].columns, states[b].columns];
            Ok(Value::new(value, Some(chance), n, widths, Direction::HigherIsCloser))
        })
        .collect()
}

fn cka_of(
    states: &[Layer],
    products: &Products,
    n: usize,
    a: usize,
    b: usize,
) -> Result<(f64, Chance), Undefined> {
    states[a].variance.clone()?;
    states[b].variance.clone()?;
    let size = n as f64;
    let term = |a: usize, b: usize| {
        let (rows_a, rows_b) = (&states[a].gram_sums, &states[b].gram_sums);
        let along: f64 = rows_a.iter().zip(rows_b).map(|(a, b)| a * b).sum();
        let totals = rows_a.iter().sum::<f64>() * rows_b.iter().sum::<f64>();
        products.of(a, b) + totals / ((size - 1.0) * (size - 2.0)) - 2.0 / (size - 2.0) * along
    };
    let (first, second) = (term(a, a), term(b, b));
    // what rounding in f32 leaves of a self-term that is zero
    let rounding = |term: f64, at: usize| term <= 1e-9 * products.of(at, at);
    if rounding(first, a) || rounding(second, b) {
        return Err(Undefined::NotPositive);
    }
    let value = cka::ratio(term(a, b), first, second)?;
    Ok((value, Chance::exact(0.0, Some(cka::chance_debiased(n)))))
}

fn rsa_of(
    states: &[Layer],
    sums: &[PairSums],
    products: &Products,
    n: usize,
    a: usize,
    b: usize,
) -> Result<(f64, Chance), Undefined> {
    states[a].distance.clone()?;
    states[b].distance.clone()?;
    let pairs = n as f64 * (n as f64 - 1.0);
    let (first, second) = (sums[a].spread(n), sums[b].spread(n));
    if first <= 1e-9 * sums[a].squares || second <= 1e-9 * sums[b].squares {
        return Err(Undefined::NoVariance);
    }
    let both = products.of(a, b) - sums[a].total * sums[b].total / pairs;
    let value = (both / (first.sqrt() * second.sqrt())).clamp(-1.0, 1.0);
    Ok((value, side::rsa_chance(n, &sums[a], &sums[b])))
}

fn knn_of(
    states: &[Layer],
    found: &[Option<(knn::Neighbours, PairSums)>],
    n: usize,
    k: usize,
    a: usize,
    b: usize,
) -> Result<(f64, Chance), Undefined> {
    states[a].direction.clone()?;
    states[b].direction.clone()?;
    match (&found[a], &found[b]) {
        (Some((first, first_sums)), Some((second, second_sums))) => {
            Ok((knn::overlap(first, second), side::knn_chance(n, k, first_sums, second_sums)))
        }
        _ => Err(Undefined::NoVariance),
    }
}
