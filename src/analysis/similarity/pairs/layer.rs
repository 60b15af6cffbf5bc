//! One layer: what is known of it before the tiles, and what every tile adds.

use std::ops::Range;

use super::super::Undefined;
use super::super::rsa::{Inner, Outer};
use super::ranks::Histogram;
use super::{Layers, Request};
use crate::nn::gemm::{Size, Strides, gemm_serial};

/// What one run computes, and in which pieces.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    n: usize,
    block: usize,
    cka: bool,
    rsa: Option<(Inner, Outer)>,
    neighbours: Option<usize>,
}

/// Examples whose pairs tell where a layer's dissimilarities lie.
const CALIBRATION: usize = 512;

/// Most examples of a block: beyond, tiles gain nothing and a thread's scratch grows.
const LARGEST_BLOCK: usize = 2048;

impl Plan {
    pub(super) fn new(n: usize, layers: usize, request: &Request) -> Self {
        let kinds = usize::from(request.cka) + usize::from(request.rsa.is_some());
        let numbers = request.memory / (size_of::<f32>() * layers.max(1) * kinds.max(1));
        let block = numbers.isqrt().clamp(1, LARGEST_BLOCK.min(n));
        // blocks of equal size, so that the last is not a sliver
        let block = n.div_ceil(n.div_ceil(block));
        Self { n, block, cka: request.cka, rsa: request.rsa, neighbours: request.neighbours }
    }

    /// Numbers of a tile.
    pub(super) fn tile(&self) -> usize {
        self.block * self.block
    }

    pub(super) fn needs_ranks(&self) -> bool {
        matches!(self.rsa, Some((_, outer)) if outer != Outer::Pearson)
    }

    /// Every unordered pair of blocks once; an example meets the others in ascending order.
    pub(super) fn block_pairs(&self) -> Vec<Pair> {
        let starts: Vec<usize> = (0..self.n).step_by(self.block).collect();
        let rows = |start: usize| start..self.n.min(start + self.block);
        let each = starts.iter().enumerate();
        each.flat_map(|(at, &a)| starts[at..].iter().map(move |&b| Pair { rows: rows(a), columns: rows(b) }))
            .collect()
    }
}

/// A pair of blocks of examples.
#[derive(Clone, Debug)]
pub(super) struct Pair {
    rows: Range<usize>,
    columns: Range<usize>,
}

impl Pair {
    /// Numbers of its tile.
    pub(super) fn used(&self) -> usize {
        self.rows.len() * self.columns.len()
    }

    fn is_diagonal(&self) -> bool {
        self.rows.start == self.columns.start
    }

    /// Where the others of a row begin: the upper triangle alone, on the diagonal.
    fn from(&self, row: usize) -> usize {
        if self.is_diagonal() { row + 1 } else { 0 }
    }
}

/// One layer.
#[derive(Debug)]
pub(super) struct Layer {
    at: usize,
    pub(super) columns: usize,
    /// Why it has no CKA, if so.
    pub(super) variance: Result<(), Undefined>,
    /// Why it has no RSA, if so.
    pub(super) distance: Result<(), Undefined>,
    /// Why it has no neighbours, if so.
    pub(super) direction: Result<(), Undefined>,
    means: Vec<f32>,
    scale: f32,
    cosine: Angles,
    correlation: Angles,
    /// Squared lengths of the centred rows.
    lengths: Vec<f64>,
    histogram: Histogram,
    /// The dissimilarity that is taken for zero where none are ranked.
    origin: f64,
    /// `[n]`: sums of the hollow Gram matrix.
    pub(super) gram_sums: Vec<f64>,
    /// `[n]`: sums of the dissimilarities, or of their ranks.
    pub(super) distance_sums: Vec<f64>,
    /// `[n, k]`: distance and place, nearest first.
    pub(super) nearest: Vec<(f32, u32)>,
}

/// What turns products of centred rows into cosines between other versions of the rows:
/// `1 - (g_ij + a_i + a_j + c - d b_i b_j) / (l_i l_j)`.
#[derive(Debug, Default)]
struct Angles {
    /// a_i + c / 2
    offsets: Vec<f64>,
    /// b_i sqrt(d), zero for plain cosines.
    levels: Vec<f64>,
    /// 1 / l_i
    inverse: Vec<f64>,
}

impl Angles {
    /// From squared lengths of the rows as the cosine sees them, and of the rows as stored.
    fn new(
        offsets: &[f64],
        levels: Vec<f64>,
        lengths: &[f64],
        stored: &[f64],
    ) -> (Self, Result<(), Undefined>) {
        let lost = lengths.iter().zip(stored).position(|(length, stored)| *length <= 1e-12 * stored);
        let inverse = lengths.iter().map(|length| 1.0 / length.max(f64::MIN_POSITIVE).sqrt()).collect();
        let angles = Self { offsets: offsets.to_vec(), levels, inverse };
        (angles, lost.map_or(Ok(()), |row| Err(Undefined::NoDirection { row })))
    }

    fn distance(&self, i: usize, j: usize, product: f32) -> f32 {
        let raw = f64::from(product) + self.offsets[i] + self.offsets[j] - self.levels[i] * self.levels[j];
        (1.0 - raw * self.inverse[i] * self.inverse[j]) as f32
    }
}

impl Layer {
    /// Reads a layer twice: for the means of its channels, and for the lengths of its rows.
    pub(super) fn profile<L: Layers>(layers: &L, at: usize, plan: &Plan) -> Result<Self, L::Error> {
        let (n, columns) = (plan.n, layers.columns(at));
        let mut sums = vec![0.0_f64; columns];
        let mut finite = true;
        for start in (0..n).step_by(plan.block) {
            let values = layers.read(at, start..n.min(start + plan.block))?;
            finite &= values.iter().all(|value| value.is_finite());
            for row in values.chunks_exact(columns.max(1)) {
                sums.iter_mut().zip(row).for_each(|(sum, &value)| *sum += f64::from(value));
            }
        }
        let means: Vec<f32> = sums.iter().map(|sum| (sum / n as f64) as f32).collect();
        let (mut spread, mut stored) = (0.0_f64, Vec::with_capacity(n));
        let (mut lengths, mut along, mut levels) = (Vec::new(), Vec::new(), Vec::new());
        for start in (0..n).step_by(plan.block) {
            let values = layers.read(at, start..n.min(start + plan.block))?;
            for row in values.chunks_exact(columns.max(1)) {
                let (mut length, mut whole, mut product, mut level) = (0.0, 0.0, 0.0, 0.0);
                for (&value, &mean) in row.iter().zip(&means) {
                    let (centred, mean) = (f64::from(value - mean), f64::from(mean));
                    length += centred * centred;
                    whole += (centred + mean) * (centred + mean);
                    product += centred * mean;
                    level += centred + mean;
                }
                spread += length;
                lengths.push(length);
                stored.push(whole);
                along.push(product);
                levels.push(level / (columns as f64).sqrt());
            }
        }
        let offset: f64 = means.iter().map(|&mean| f64::from(mean).powi(2)).sum();
        let root_mean_square = (spread / (n * columns).max(1) as f64).sqrt();
        let varies = finite && spread > 1e-26 * stored.iter().sum::<f64>();
        let scale = if varies { 1.0 / root_mean_square } else { 1.0 };
        let squared = scale * scale;
        let scaled = |values: &[f64]| -> Vec<f64> { values.iter().map(|value| value * squared).collect() };
        let offsets: Vec<f64> = along.iter().map(|a| (a + offset / 2.0) * squared).collect();
        let (stored, lengths) = (scaled(&stored), scaled(&lengths));
        let levels: Vec<f64> = levels.iter().map(|level| level * scale).collect();
        let (cosine, direction) = Angles::new(&offsets, vec![0.0; lengths.len()], &stored, &stored);
        let apart: Vec<f64> = stored.iter().zip(&levels).map(|(s, level)| s - level * level).collect();
        let (correlation, mut correlated) = Angles::new(&offsets, levels, &apart, &stored);
        if columns < 3 {
            correlated = Err(Undefined::TooNarrow { width: columns });
        }
        let variance = if varies { Ok(()) } else { Err(Undefined::NoVariance) };
        let distance = match plan.rsa {
            Some((Inner::Correlation, _)) => correlated,
            Some((Inner::Cosine, _)) => direction.clone(),
            _ => variance.clone(),
        };
        let unless = |reason: Result<(), Undefined>| if finite { reason } else { Err(Undefined::NotFinite) };
        let mut state = Self {
            at,
            columns,
            variance: unless(variance.clone()),
            distance: unless(distance.and(variance.clone())),
            direction: unless(direction.and(variance)),
            means,
            scale: scale as f32,
            cosine,
            correlation,
            lengths,
            histogram: Histogram::default(),
            origin: 0.0,
            gram_sums: vec![0.0; if plan.cka { n } else { 0 }],
            distance_sums: vec![0.0; if plan.rsa.is_some() { n } else { 0 }],
            nearest: vec![(f32::INFINITY, u32::MAX); plan.neighbours.map_or(0, |k| n * k)],
        };
        state.calibrate(layers, plan)?;
        Ok(state)
    }

    /// The range, with a margin, and the mean of the dissimilarities between the first examples.
    fn calibrate<L: Layers>(&mut self, layers: &L, plan: &Plan) -> Result<(), L::Error> {
        let (Some((inner, _)), Ok(())) = (plan.rsa, &self.distance) else { return Ok(()) };
        let first = 0..plan.block.min(CALIBRATION);
        let pair = Pair { rows: first.clone(), columns: first };
        let tile = self.tile(layers, &pair)?;
        let (mut low, mut high, mut sum, mut count) = (f32::INFINITY, f32::NEG_INFINITY, 0.0, 0_u32);
        self.each(&pair, &tile, inner, |_, _, distance| {
            low = low.min(distance);
            high = high.max(distance);
            sum += f64::from(distance);
            count += 1;
        });
        if count > 0 {
            self.origin = sum / f64::from(count);
            if plan.needs_ranks() {
                let margin = (high - low) / 4.0;
                self.histogram = Histogram::between(low - margin, high + margin);
            }
        } else if plan.needs_ranks() {
            self.histogram = Histogram::between(0.0, 2.0);
        }
        Ok(())
    }

    /// The tile of the Gram matrix of the centred features, `[rows, columns]` of `pair`.
    fn tile<L: Layers>(&self, layers: &L, pair: &Pair) -> Result<Vec<f32>, L::Error> {
        let rows = self.centred(layers, pair.rows.clone())?;
        let other = if pair.is_diagonal() { None } else { Some(self.centred(layers, pair.columns.clone())?) };
        let mut tile = vec![0.0; pair.used()];
        let size = Size { m: pair.rows.len(), n: pair.columns.len(), k: self.columns };
        gemm_serial(
            size,
            (&rows, Strides::row_major(self.columns)),
            (other.as_ref().unwrap_or(&rows), Strides::transposed(self.columns)),
            (&mut tile, Strides::row_major(pair.columns.len())),
            false,
        );
        Ok(tile)
    }

    fn centred<L: Layers>(&self, layers: &L, rows: Range<usize>) -> Result<Vec<f32>, L::Error> {
        let mut values = layers.read(self.at, rows)?;
        for row in values.chunks_exact_mut(self.columns.max(1)) {
            row.iter_mut().zip(&self.means).for_each(|(value, mean)| *value = (*value - mean) * self.scale);
        }
        Ok(values)
    }

    fn distance(&self, inner: Inner, i: usize, j: usize, product: f32) -> f32 {
        match inner {
            Inner::Cosine => self.cosine.distance(i, j, product),
            Inner::Correlation => self.correlation.distance(i, j, product),
            Inner::Euclid => {
                (self.lengths[i] + self.lengths[j] - 2.0 * f64::from(product)).max(0.0).sqrt() as f32
            }
        }
    }

    /// The dissimilarity of every unordered pair of examples in a tile.
    fn each(&self, pair: &Pair, tile: &[f32], inner: Inner, mut found: impl FnMut(usize, usize, f32)) {
        for (row, products) in tile.chunks_exact(pair.columns.len()).enumerate() {
            let from = pair.from(row);
            for (column, &product) in products.iter().enumerate().skip(from) {
                let distance =
                    self.distance(inner, pair.rows.start + row, pair.columns.start + column, product);
                found(row, column, distance);
            }
        }
    }

    /// Counts the dissimilarities of a pair of blocks.
    pub(super) fn count<L: Layers>(&mut self, layers: &L, pair: &Pair, plan: &Plan) -> Result<(), L::Error> {
        let (Some((inner, _)), Ok(())) = (plan.rsa, &self.distance) else { return Ok(()) };
        let tile = self.tile(layers, pair)?;
        let mut histogram = std::mem::take(&mut self.histogram);
        self.each(pair, &tile, inner, |_, _, distance| histogram.count(distance));
        self.histogram = histogram;
        Ok(())
    }

    /// Turns counts into ranks.
    pub(super) fn rank(&mut self) {
        if self.distance.is_ok() {
            self.histogram.rank();
        }
    }

    /// Adds a pair of blocks: writes the tiles, and keeps sums and neighbours.
    pub(super) fn add<L: Layers>(
        &mut self,
        layers: &L,
        pair: &Pair,
        plan: &Plan,
        gram: Option<&mut [f32]>,
        distances: Option<&mut [f32]>,
    ) -> Result<(), L::Error> {
        let tile = self.tile(layers, pair)?;
        let width = pair.columns.len();
        if let (Some(k), Ok(())) = (plan.neighbours, &self.direction) {
            self.find(pair, &tile, k);
        }
        if let Some(written) = distances {
            let written = &mut written[..pair.used()];
            written.fill(0.0);
            if let (Some((inner, _)), Ok(())) = (plan.rsa, &self.distance) {
                let mut sums = std::mem::take(&mut self.distance_sums);
                let ranked = plan.needs_ranks();
                self.each(pair, &tile, inner, |row, column, distance| {
                    let value = if ranked {
                        self.histogram.rank_of(distance)
                    } else {
                        (f64::from(distance) - self.origin) as f32
                    };
                    written[row * width + column] = value;
                    sums[pair.rows.start + row] += f64::from(value);
                    sums[pair.columns.start + column] += f64::from(value);
                });
                self.distance_sums = sums;
            }
        }
        if let Some(written) = gram {
            let written = &mut written[..pair.used()];
            if self.variance.is_err() {
                written.fill(0.0);
                return Ok(());
            }
            for (row, products) in tile.chunks_exact(width).enumerate() {
                let from = pair.from(row);
                let out = &mut written[row * width..(row + 1) * width];
                out[..from].fill(0.0);
                out[from..].copy_from_slice(&products[from..]);
                let (mut sum, others) = (0.0, &mut self.gram_sums[pair.columns.clone()]);
                for (other, &product) in others[from..].iter_mut().zip(&products[from..]) {
                    sum += f64::from(product);
                    *other += f64::from(product);
                }
                self.gram_sums[pair.rows.start + row] += sum;
            }
        }
        Ok(())
    }

    /// Keeps the nearest examples that a tile brings, for its rows and for its columns.
    fn find(&mut self, pair: &Pair, tile: &[f32], k: usize) {
        let width = pair.columns.len();
        for (row, products) in tile.chunks_exact(width).enumerate() {
            let i = pair.rows.start + row;
            for (column, &product) in products.iter().enumerate() {
                let j = pair.columns.start + column;
                if i == j {
                    continue;
                }
                let distance = self.cosine.distance(i, j, product);
                insert(&mut self.nearest[i * k..(i + 1) * k], distance, j);
                if !pair.is_diagonal() {
                    insert(&mut self.nearest[j * k..(j + 1) * k], distance, i);
                }
            }
        }
    }
}

/// Others come in ascending order, so one that is equally near stands behind.
fn insert(nearest: &mut [(f32, u32)], distance: f32, other: usize) {
    let last = nearest.len() - 1;
    if distance >= nearest[last].0 {
        return;
    }
    let at = nearest.partition_point(|near| near.0 <= distance);
    nearest.copy_within(at..last, at + 1);
    nearest[at] = (distance, other as u32);
}
