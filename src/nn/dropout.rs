//! Dropout (Srivastava et al. 2014) whose masks are counted, not drawn in order: whether an
//! element is kept depends on what it is, not on where it stands in a batch, a stack or a thread.
#![expect(clippy::inline_always, reason = "a call would leave the vectors of its caller")]

use rayon::prelude::*;

use super::join::Join;
use super::parallel::{rows_in_piece, run, widest};
use super::{Buffer, DropoutKey, Rows};
use crate::seed::{Seed, unit_f32};

/// One dropout of one step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dropout {
    /// Names the mask.
    pub key: DropoutKey,
    /// Of setting an element to zero, in [0, 1); the others are divided by 1 - probability.
    pub probability: f32,
}

/// Channels that one call of the generator decides.
pub(crate) const CHANNELS: usize = 4;

/// A [`Dropout`] ready to decide elements.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mask {
    seed: Seed,
    probability: f32,
    scale: f32,
}

impl Dropout {
    /// The mask, with site and step mixed into a seed of its own, which leaves the generator's
    /// whole counter to example, token and channel.
    pub(crate) fn mask(self) -> Mask {
        let DropoutKey { seed, step, site } = self.key;
        let words = seed.words([site, step as u32, (step >> 32) as u32, 0]);
        Mask {
            seed: Seed(u64::from(words[0]) | u64::from(words[1]) << 32),
            probability: self.probability,
            scale: 1.0 / (1.0 - self.probability),
        }
    }
}

impl Mask {
    /// Low and high word of its seed, probability and scale, as kernels take them.
    #[cfg(feature = "cuda")]
    pub(super) fn parts(self) -> (u32, u32, f32, f32) {
        (self.seed.0 as u32, (self.seed.0 >> 32) as u32, self.probability, self.scale)
    }

    /// What channels from `4 * quad` on are multiplied by, 0 or 1 / (1 - probability): as many as
    /// `factors` holds.
    pub(crate) fn row(self, example_id: u64, token: u32, quad: u32, factors: &mut [f32]) {
        draw(self, example_id, token, quad, factors);
    }

    #[inline(always)]
    fn factor(self, word: u32) -> f32 {
        if unit_f32(word) >= self.probability { self.scale } else { 0.0 }
    }
}

/// Calls of the generator that are computed together.
const TOGETHER: usize = 16;

widest! {
    fn draw(mask: Mask, example_id: u64, token: u32, quad: u32, factors: &mut [f32]) {
        for (block, factors) in factors.chunks_mut(TOGETHER * CHANNELS).enumerate() {
            let first = quad + (block * TOGETHER) as u32;
            let quads: [u32; TOGETHER] = std::array::from_fn(|lane| first + lane as u32);
            let name = [token, example_id as u32, (example_id >> 32) as u32].map(|word| [word; TOGETHER]);
            let words = mask.seed.words_together([quads, name[0], name[1], name[2]]);
            let mut drawn = [0.0; TOGETHER * CHANNELS];
            for (lane, drawn) in drawn.chunks_exact_mut(CHANNELS).enumerate() {
                for (drawn, words) in drawn.iter_mut().zip(&words) {
                    *drawn = mask.factor(words[lane]);
                }
            }
            factors.copy_from_slice(&drawn[..factors.len()]);
        }
    }
}

/// Whether one element is kept.
pub fn keep(key: DropoutKey, example_id: u64, token: u32, channel: u32, probability: f32) -> bool {
    let mut factors = [0.0; CHANNELS];
    let mask = Dropout { key, probability }.mask();
    mask.row(example_id, token, channel / CHANNELS as u32, &mut factors);
    factors[channel as usize % CHANNELS] != 0.0
}

/// Sets elements to zero and scales the others, in place; the same for every member. Applied to
/// the gradient of its output it gives that of its input, so it is its own backward.
///
/// # Shapes
/// x `[K, R, width]`.
pub fn forward(members: usize, rows: &Rows, width: usize, dropout: Dropout, x: &mut Buffer) {
    Join { members, rows, width, dropout: Some(dropout) }.alone(None, x);
}

/// `each(member, row, factors, numbers)` for every row of y, `[K, R, width]`, in the host's memory; the
/// factors of a mask are drawn once for all members.
pub(super) fn each_row(
    rows: &Rows,
    width: usize,
    mask: Option<Mask>,
    y: &mut Buffer,
    each: impl Fn(usize, usize, Option<&[f32]>, &mut [f32]) + Sync + Send,
) {
    let examples = if mask.is_some() { examples_of_rows(rows) } else { Vec::new() };
    let rows_together = rows_in_piece(width);
    let work = y.len();
    let pieces = pieces_of_all_members(y, rows.len() * width, rows_together * width);
    run(work, pieces.into_par_iter().enumerate(), |(piece, mut members)| {
        let mut factors = vec![0.0; if mask.is_some() { width } else { 0 }];
        let first = piece * rows_together;
        for (row, &token) in rows.positions.iter().enumerate().skip(first).take(rows_together) {
            let factors = mask.map(|mask| {
                mask.row(examples[row], token, 0, &mut factors);
                &*factors
            });
            let place = (row - first) * width..(row - first + 1) * width;
            for (member, numbers) in members.iter_mut().enumerate() {
                each(member, row, factors, &mut numbers[place.clone()]);
            }
        }
    });
}

/// The id of every row's example.
fn examples_of_rows(rows: &Rows) -> Vec<u64> {
    let mut ids = Vec::with_capacity(rows.len());
    for (example, &id) in rows.example_ids.iter().enumerate() {
        ids.resize(rows.offsets[example + 1], id);
    }
    ids
}

/// The same piece of all members, one after another, so that a mask is drawn once for all.
fn pieces_of_all_members(x: &mut Buffer, member: usize, piece: usize) -> Vec<Vec<&mut [f32]>> {
    let mut members: Vec<_> = x.cpu_mut().chunks_mut(member).map(|x| x.chunks_mut(piece)).collect();
    (0..member.div_ceil(piece)).map(|_| members.iter_mut().filter_map(Iterator::next).collect()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: DropoutKey = DropoutKey { seed: Seed(5), step: 7, site: 3 };

    #[test]
    fn the_mask_has_its_probability_and_its_scale() {
        let rows = Rows::packed(&[40, 60]);
        let mut x = Buffer::from_vec(crate::device::Device::CPU, vec![1.0; 100 * 101]);
        forward(1, &rows, 101, Dropout { key: KEY, probability: 0.1 }, &mut x);
        let zeros = x.cpu().iter().filter(|x| **x == 0.0).count();
        assert!(x.cpu().iter().all(|x| *x == 0.0 || (*x - 1.0 / 0.9).abs() < 1e-6));
        // 10 100 draws of probability 0.1: 1010 with a deviation of 30
        assert!((890..1130).contains(&zeros), "{zeros}");
    }

    #[test]
    fn every_part_of_the_name_changes_the_mask() {
        let mask = |key, example, token| -> Vec<bool> {
            (0..64).map(|channel| keep(key, example, token, channel, 0.5)).collect()
        };
        let first = mask(KEY, 1, 2);
        let others = [
            mask(DropoutKey { seed: Seed(6), ..KEY }, 1, 2),
            mask(DropoutKey { step: 8, ..KEY }, 1, 2),
            mask(KEY.at(4), 1, 2),
            mask(KEY, 1 << 32 | 1, 2),
            mask(KEY, 1, 3),
        ];
        assert!(others.iter().all(|other| *other != first));
        assert_eq!(mask(KEY, 1, 2), first);
    }

    #[test]
    fn elements_follow_the_public_rule_wherever_they_stand() {
        let mut rows = Rows::packed(&[3, 2]);
        rows.example_ids = vec![11, 1 << 40];
        let mut x = Buffer::from_vec(crate::device::Device::CPU, vec![1.0; 2 * 5 * 7]);
        forward(2, &rows, 7, Dropout { key: KEY, probability: 0.4 }, &mut x);
        for (place, &x) in x.cpu().iter().enumerate() {
            let (row, channel) = (place / 7 % 5, place % 7);
            let (example, token) = if row < 3 { (11, row) } else { (1 << 40, row - 3) };
            assert_eq!(x != 0.0, keep(KEY, example, token as u32, channel as u32, 0.4));
        }
    }
}
