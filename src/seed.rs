//! Randomness that is counted, not drawn in order: every random number is a function of a seed
//! and of what it is for, so that it does not depend on threads, devices, stacking or resuming.
//! The function is Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3",
//! SC 2011).

use sha2::{Digest, Sha256};

/// The only way by which randomness enters the library.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct Seed(pub u64);

impl Seed {
    /// An independent seed for one purpose (`"head"`, `"order"`, ...), stable across versions.
    #[must_use]
    pub fn derive(self, purpose: &str) -> Self {
        let mut hash = Sha256::new();
        hash.update(self.0.to_le_bytes());
        hash.update(purpose.as_bytes());
        let digest = hash.finalize();
        let mut first = [0; 8];
        first.copy_from_slice(&digest[..8]);
        Self(u64::from_le_bytes(first))
    }

    /// The four words at a place of this seed's sequence.
    pub fn words(self, counter: [u32; 4]) -> [u32; 4] {
        self.words_together(counter.map(|word| [word])).map(|[word]| word)
    }

    /// Those of N counters, word by word; a loop over them becomes vector code.
    #[expect(clippy::inline_always, reason = "a call would leave the vectors of its caller")]
    #[inline(always)]
    pub(crate) fn words_together<const N: usize>(self, counters: [[u32; N]; 4]) -> [[u32; N]; 4] {
        philox(counters, [self.0 as u32, (self.0 >> 32) as u32])
    }

    /// The sequence from its start, for code that draws in order (shuffles, initial weights).
    pub fn stream(self) -> Stream {
        Stream { seed: self, block: 0, words: [0; 4], used: 4, spare: None }
    }
}

const MULTIPLIERS: [u32; 2] = [0xD251_1F53, 0xCD9E_8D57];
const WEYL: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];

#[expect(clippy::inline_always, reason = "a call would leave the vectors of its caller")]
#[inline(always)]
fn philox<const N: usize>(mut counters: [[u32; N]; 4], mut key: [u32; 2]) -> [[u32; N]; 4] {
    for _ in 0..10 {
        let [first, second, third, fourth] = &mut counters;
        for (((first, second), third), fourth) in first.iter_mut().zip(second).zip(third).zip(fourth) {
            let a = u64::from(MULTIPLIERS[0]) * u64::from(*first);
            let b = u64::from(MULTIPLIERS[1]) * u64::from(*third);
            *first = (b >> 32) as u32 ^ *second ^ key[0];
            *second = b as u32;
            *third = (a >> 32) as u32 ^ *fourth ^ key[1];
            *fourth = a as u32;
        }
        key = [key[0].wrapping_add(WEYL[0]), key[1].wrapping_add(WEYL[1])];
    }
    counters
}

/// A uniform number in [0, 1) with 24 bits, exact in f32.
#[inline]
pub fn unit_f32(word: u32) -> f32 {
    // signed numbers have a vector conversion everywhere
    (word >> 8) as i32 as f32 / 16_777_216.0
}

/// Random numbers in order.
#[derive(Clone, Debug)]
pub struct Stream {
    seed: Seed,
    block: u64,
    words: [u32; 4],
    used: usize,
    spare: Option<f64>,
}

impl Stream {
    /// The next 32 bits.
    pub fn word(&mut self) -> u32 {
        if self.used == 4 {
            self.words = self.seed.words([self.block as u32, (self.block >> 32) as u32, 0, 0]);
            self.block += 1;
            self.used = 0;
        }
        self.used += 1;
        self.words[self.used - 1]
    }

    /// A uniform number in [0, 1) with 53 bits.
    pub fn uniform(&mut self) -> f64 {
        let high = u64::from(self.word() >> 5);
        let low = u64::from(self.word() >> 6);
        ((high << 26) | low) as f64 / 9_007_199_254_740_992.0
    }

    /// A standard normal number (Box and Muller).
    pub fn normal(&mut self) -> f64 {
        if let Some(spare) = self.spare.take() {
            return spare;
        }
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        let angle = std::f64::consts::TAU * self.uniform();
        self.spare = Some(radius * angle.sin());
        radius * angle.cos()
    }

    /// A uniform whole number below `bound` without bias (Lemire's rejection), `bound` > 0.
    pub fn below(&mut self, bound: usize) -> usize {
        let bound = bound as u64;
        loop {
            let random = (u64::from(self.word()) << 32) | u64::from(self.word());
            let product = u128::from(random) * u128::from(bound);
            if (product as u64) >= bound.wrapping_neg() % bound {
                return (product >> 64) as usize;
            }
        }
    }

    /// Puts the items into a uniformly random order (Fisher and Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let other = self.below(last + 1);
            items.swap(last, other);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Known answers of Random123's `kat_vectors`, philox4x32 with 10 rounds.
    #[test]
    fn philox_gives_the_published_answers() {
        let [zeros, ones] = [0, u32::MAX].map(|word| philox([[word]; 4], [word; 2]).map(|[word]| word));
        assert_eq!(zeros, [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
        assert_eq!(ones, [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]);
    }

    #[test]
    fn a_shuffle_is_a_permutation_and_repeats() {
        let mut once: Vec<usize> = (0..100).collect();
        let mut again = once.clone();
        Seed(7).stream().shuffle(&mut once);
        Seed(7).stream().shuffle(&mut again);
        assert_eq!(once, again);
        once.sort_unstable();
        assert!(once.into_iter().eq(0..100));
    }

    #[test]
    fn normal_numbers_have_mean_zero_and_variance_one() {
        let mut stream = Seed(3).stream();
        let draws: Vec<f64> = (0..20_000).map(|_| stream.normal()).collect();
        let mean = draws.iter().sum::<f64>() / 20_000.0;
        let variance = draws.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 20_000.0;
        assert!(mean.abs() < 0.03 && (variance - 1.0).abs() < 0.04, "{mean} {variance}");
    }
}
