//! Pure arithmetic of relative positions: which bucket a distance falls into, which row of a table
//! it reads, and the slopes of linear biases. No number here is trained.

use std::ops::Range;

/// Buckets of distances for a learned bias a head and bucket (Raffel et al., JMLR 2020, §2.1): half
/// of the buckets are single distances, the others grow logarithmically up to `max_distance`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Buckets {
    /// Rows of the table of biases; at least 4 when `bidirectional`, else 2.
    pub num_buckets: usize,
    /// Distances from here on share the last bucket.
    pub max_distance: usize,
    /// Half of the buckets for keys after the query; otherwise such keys share bucket 0.
    pub bidirectional: bool,
}

impl Buckets {
    /// The bucket of a distance `key position - query position`.
    ///
    /// Evaluated in f32 as `transformers` does: at distances whose logarithm falls on a bucket's
    /// edge, the rounding decides.
    pub fn bucket(self, key_minus_query: i64) -> usize {
        let mut buckets = self.num_buckets;
        let mut first = 0;
        let distance = if self.bidirectional {
            buckets /= 2;
            first = if key_minus_query > 0 { buckets } else { 0 };
            key_minus_query.unsigned_abs() as usize
        } else {
            (-key_minus_query).max(0) as usize
        };
        let exact = buckets / 2;
        if distance < exact {
            return first + distance;
        }
        let edge = (self.max_distance as f64 / exact as f64).ln() as f32;
        let grown = ln(distance as f32 / exact as f32) / edge * (buckets - exact) as f32;
        first + (exact + grown as usize).min(buckets - 1)
    }
}

/// How a distance finds its row in a table of relative positions, the rows of which stand for
/// distances from `-span` to `span - 1` (He et al., "DeBERTa", ICLR 2021, eq. 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Distances {
    /// One row a distance; those beyond the span share the outermost rows.
    Plain {
        /// Half of the table's rows.
        span: usize,
    },
    /// One row a distance up to half of `buckets`, logarithmic ones beyond.
    Logarithmic {
        /// Half of the table's rows.
        buckets: usize,
        /// Distance of the last bucket is `max_distance - 1`.
        max_distance: usize,
    },
}

impl Distances {
    /// Rows of the table.
    pub fn rows(self) -> usize {
        match self {
            Self::Plain { span } => 2 * span,
            Self::Logarithmic { buckets, .. } => 2 * buckets,
        }
    }

    /// The row that a distance `query position - key position` reads. It serves both terms of
    /// disentangled attention: a query meets the projected key of this row, and a key the projected
    /// query of the same row, because the published index of the second, `-bucket(key - query)`, is
    /// `bucket(query - key)`.
    pub fn row(self, query_minus_key: i64) -> usize {
        let (bucket, span) = match self {
            Self::Plain { span } => (query_minus_key, span),
            Self::Logarithmic { buckets, max_distance } => {
                (logarithmic(query_minus_key, buckets, max_distance), buckets)
            }
        };
        (bucket + span as i64).clamp(0, 2 * span as i64 - 1) as usize
    }

    /// The rows that texts of at most `longest` tokens can read: all others need neither be
    /// projected nor get a gradient. (The span that follows the longest text of a batch, in the
    /// first published version, is this saving and nothing else: within it no distance is clamped.)
    pub fn reach(self, longest: usize) -> Range<usize> {
        let farthest = longest.saturating_sub(1) as i64;
        self.row(-farthest)..self.row(farthest) + 1
    }
}

/// Odd in the distance; evaluated in f32 with its ceil as `transformers` does.
fn logarithmic(distance: i64, buckets: usize, max_distance: usize) -> i64 {
    let middle = buckets / 2;
    let magnitude = distance.unsigned_abs() as usize;
    if magnitude <= middle {
        return distance;
    }
    let edge = ln(((max_distance - 1) as f64 / middle as f64) as f32);
    let grown = (ln(magnitude as f32 / middle as f32) / edge * (middle - 1) as f32).ceil();
    (grown as i64 + middle as i64) * distance.signum()
}

/// The f32 nearest to the logarithm, whatever the platform's f32 routine rounds to.
fn ln(x: f32) -> f32 {
    f64::from(x).ln() as f32
}

/// One slope a head (Press et al., "Train short, test long", ICLR 2022): a geometric series for a
/// power of two; for another count the series of the power below, then odd members of the series
/// of the power above. Base and powers are rounded to f32 one after another, as BLOOM computes them.
pub fn alibi_slopes(heads: usize) -> Vec<f32> {
    if heads == 0 {
        return Vec::new();
    }
    let below = 1 << heads.ilog2();
    let base = |count: usize| 2f64.powf(-(2f64.powf(3.0 - (count as f64).log2()))) as f32;
    let power = |base: f32, exponent: usize| f64::from(base).powi(exponent as i32) as f32;
    let regular = (1..=below).map(|exponent| power(base(below), exponent));
    let odd = (0..heads - below).map(|extra| power(base(2 * below), 2 * extra + 1));
    regular.chain(odd).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// T5's published function with 32 buckets and distance 128, both directions, by hand: exact up
    /// to 7, then edges at 8 * 16^(n / 8).
    #[test]
    fn buckets_are_exact_then_logarithmic() {
        let both = Buckets { num_buckets: 32, max_distance: 128, bidirectional: true };
        let found: Vec<usize> =
            [0, -1, -7, -8, -11, -12, -15, -16, -22, -23, -64, -90, -91, -127, -128, -5000]
                .map(|distance| both.bucket(distance))
                .to_vec();
        assert_eq!(found, [0, 1, 7, 8, 8, 9, 9, 10, 10, 11, 14, 14, 15, 15, 15, 15]);
        assert_eq!([1, 7, 8, 300].map(|distance| both.bucket(distance)), [17, 23, 24, 31]);
        let past = Buckets { bidirectional: false, ..both };
        assert_eq!([5, 0, -15, -16, -128].map(|distance| past.bucket(distance)), [0, 0, 15, 16, 31]);
    }

    #[test]
    fn plain_distances_are_clamped_at_the_span() {
        let plain = Distances::Plain { span: 4 };
        assert_eq!([-9, -4, -1, 0, 3, 4, 9].map(|d| plain.row(d)), [0, 0, 3, 4, 7, 7, 7]);
        assert_eq!(plain.reach(3), 2..7);
        assert_eq!(plain.reach(100), 0..plain.rows());
    }

    /// With 8 buckets and largest distance 64: 4 + ceil(3 ln(d / 4) / ln(63 / 4)) by hand;
    /// ln(15.75) = 2.7568, so the edges are 4 * 15.75^(1/3) = 10.03 and 4 * 15.75^(2/3) = 25.13.
    #[test]
    fn logarithmic_distances_round_up_and_are_odd() {
        let log = Distances::Logarithmic { buckets: 8, max_distance: 64 };
        assert_eq!([0, 3, 4, 5, 10, 11, 25].map(|d| log.row(d)), [8, 11, 12, 13, 13, 14, 14]);
        assert_eq!([26, 63, 64].map(|d| log.row(d)), [15, 15, 15]);
        for distance in 0..63 {
            let (ahead, behind) = (log.row(distance) as i64 - 8, log.row(-distance) as i64 - 8);
            assert_eq!(ahead, -behind, "distance {distance}");
        }
    }

    /// The hub's configurations are away from every edge but the last, where f32 and f64 could
    /// disagree: buckets 256, distances up to 512.
    #[test]
    fn published_bucket_sizes_do_not_depend_on_rounding() {
        let log = Distances::Logarithmic { buckets: 256, max_distance: 512 };
        for distance in 129..511_i64 {
            let exact = (distance as f64 / 128.0).ln() / (511.0_f64 / 128.0).ln() * 127.0;
            assert_eq!(log.row(distance), 256 + 128 + exact.ceil() as usize, "distance {distance}");
        }
    }

    #[test]
    fn rows_within_reach_are_all_that_short_texts_read() {
        for distances in [
            Distances::Plain { span: 16 },
            Distances::Logarithmic { buckets: 8, max_distance: 64 },
            Distances::Logarithmic { buckets: 16, max_distance: 512 },
        ] {
            for longest in 1..80_usize {
                let reach = distances.reach(longest);
                let farthest = longest as i64 - 1;
                assert!((-farthest..=farthest).all(|d| reach.contains(&distances.row(d))));
            }
        }
    }

    /// Powers of two: 2^(-8 i / n); others: the paper's rule, here for 6 and 12 heads.
    #[test]
    fn slopes_of_any_number_of_heads() {
        assert_eq!(
            alibi_slopes(8),
            [0.5, 0.25, 0.125, 0.0625, 0.03125, 0.015_625, 0.007_812_5, 0.003_906_25]
        );
        assert_eq!(alibi_slopes(6), [0.25, 0.0625, 0.015_625, 0.003_906_25, 0.5, 0.125]);
        let twelve = alibi_slopes(12);
        let expected = [1., 2., 3., 4., 5., 6., 7., 8., 0.5, 1.5, 2.5, 3.5].map(|e: f64| 2f64.powf(-e));
        for (slope, expected) in twelve.iter().zip(expected) {
            assert!((f64::from(*slope) / expected - 1.0).abs() < 1e-6, "{slope} {expected}");
        }
        assert_eq!(alibi_slopes(1), [0.003_906_25]);
        assert!(alibi_slopes(0).is_empty());
    }
}
