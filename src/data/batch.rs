//! Batches by plain shuffling, as published: packed without padding, or padded to one length.

use crate::seed::Seed;

use super::Error;
use super::encode::EncodedSplit;

/// The order of `n` examples in one epoch (epochs count from 0): a uniform shuffle that depends on
/// the seed and the epoch alone, so that every member of a stack and every resumed run sees it.
pub fn epoch_order(seed: Seed, epoch: u64, n: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..n).collect();
    seed.derive("order").derive(&epoch.to_string()).stream().shuffle(&mut order);
    order
}

/// Every row of a batch has this many tokens; shorter texts are filled up with the padding token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Padding {
    /// Tokens a text.
    pub length: usize,
    /// Id of the padding token.
    pub id: u32,
}

/// B texts as token ids, one after the other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// Token ids, `[R]`: R is the sum of the lengths, or B times `padded_to`.
    pub ids: Vec<u32>,
    /// Segment ids (which text of a pair), `[R]`.
    pub type_ids: Vec<u32>,
    /// Real tokens of every text, `[B]`.
    pub lengths: Vec<usize>,
    /// Row numbers in the source, `[B]`.
    pub example_ids: Vec<u64>,
    /// Classes, `[B]`.
    pub labels: Vec<u32>,
    /// Rows of every text where the batch is padded.
    pub padded_to: Option<usize>,
}

impl Batch {
    /// The examples at these places of a split.
    ///
    /// Texts are never longer than `padding.length` when the split was encoded with that maximum.
    pub fn gather(split: &EncodedSplit, places: &[usize], padding: Option<Padding>) -> Self {
        let mut batch = Self { padded_to: padding.map(|padding| padding.length), ..Self::default() };
        for &place in places {
            let tokens = split.offsets[place]..split.offsets[place + 1];
            batch.lengths.push(tokens.len());
            batch.ids.extend_from_slice(&split.ids[tokens.clone()]);
            batch.type_ids.extend_from_slice(&split.type_ids[tokens.clone()]);
            if let Some(padding) = padding {
                let missing = padding.length.saturating_sub(tokens.len());
                batch.ids.extend(std::iter::repeat_n(padding.id, missing));
                batch.type_ids.extend(std::iter::repeat_n(0, missing));
            }
            batch.example_ids.push(split.example_ids[place]);
            batch.labels.push(split.labels[place]);
        }
        batch
    }

    /// B.
    pub fn len(&self) -> usize {
        self.lengths.len()
    }

    /// Whether there is no text.
    pub fn is_empty(&self) -> bool {
        self.lengths.is_empty()
    }

    /// Which rows are real tokens, `[R]`; `None` when the batch is packed and all are.
    pub fn real(&self) -> Option<Vec<bool>> {
        let length = self.padded_to?;
        Some(self.lengths.iter().flat_map(|&real| (0..length).map(move |token| token < real)).collect())
    }
}

/// The batches of one epoch.
#[derive(Clone, Debug)]
pub struct Batches<'a> {
    split: &'a EncodedSplit,
    order: Vec<usize>,
    size: usize,
    drop_last: bool,
    padding: Option<Padding>,
    next: usize,
}

impl<'a> Batches<'a> {
    /// Cuts `order` (places in `split`) into batches of `size` texts; with `drop_last` a last batch
    /// that is not full is left out, as the published training loader does.
    ///
    /// # Errors
    /// When a text is longer than the padding length.
    pub fn new(
        split: &'a EncodedSplit,
        order: Vec<usize>,
        size: usize,
        drop_last: bool,
        padding: Option<Padding>,
    ) -> Result<Self, Error> {
        let longest = split.lengths().longest;
        if let Some(padding) = padding
            && longest > padding.length
        {
            return Err(Error::MaxLength { length: padding.length, special: longest - 1 });
        }
        Ok(Self { split, order, size: size.max(1), drop_last, padding, next: 0 })
    }

    /// Batches in the whole epoch.
    pub fn count(split_len: usize, size: usize, drop_last: bool) -> usize {
        let size = size.max(1);
        if drop_last { split_len / size } else { split_len.div_ceil(size) }
    }

    /// Goes on at this batch (from 0): how a resumed epoch skips what it has seen.
    #[must_use]
    pub fn skip_to(mut self, batch: usize) -> Self {
        self.next = batch * self.size;
        self
    }
}

impl Iterator for Batches<'_> {
    type Item = Batch;

    fn next(&mut self) -> Option<Batch> {
        let end = (self.next + self.size).min(self.order.len());
        let full = end.saturating_sub(self.next) == self.size;
        if self.next >= end || (self.drop_last && !full) {
            return None;
        }
        let places = &self.order[self.next..end];
        self.next = end;
        Some(Batch::gather(self.split, places, self.padding))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn five() -> EncodedSplit {
        EncodedSplit {
            ids: vec![1, 2, 3, 4, 5, 6, 7, 8, 9],
            type_ids: vec![0, 0, 1, 0, 0, 0, 1, 0, 0],
            offsets: vec![0, 3, 4, 7, 8, 9],
            labels: vec![0, 1, 0, 1, 0],
            example_ids: vec![10, 11, 12, 13, 14],
            truncated: 0,
            empty: 0,
        }
    }

    #[test]
    fn a_packed_batch_has_no_padding() {
        let batch = Batch::gather(&five(), &[2, 0], None);
        assert_eq!(batch.ids, [5, 6, 7, 1, 2, 3]);
        assert_eq!(batch.type_ids, [0, 0, 1, 0, 0, 1]);
        assert_eq!((batch.lengths.as_slice(), batch.real()), ([3, 3].as_slice(), None));
        assert_eq!((batch.example_ids, batch.labels), (vec![12, 10], vec![0, 0]));
    }

    #[test]
    fn a_padded_batch_marks_what_is_real() {
        let batch = Batch::gather(&five(), &[1, 0], Some(Padding { length: 4, id: 99 }));
        assert_eq!(batch.ids, [4, 99, 99, 99, 1, 2, 3, 99]);
        assert_eq!(batch.type_ids, [0, 0, 0, 0, 0, 0, 1, 0]);
        assert_eq!(batch.real().unwrap(), [true, false, false, false, true, true, true, false]);
    }

    #[test]
    fn an_epoch_sees_every_example_once_unless_the_last_batch_is_dropped() {
        let split = five();
        for (drop_last, sizes) in [(false, vec![2, 2, 1]), (true, vec![2, 2])] {
            let order = epoch_order(Seed(1), 0, 5);
            let batches: Vec<Batch> =
                Batches::new(&split, order.clone(), 2, drop_last, None).unwrap().collect();
            assert_eq!(batches.iter().map(Batch::len).collect::<Vec<_>>(), sizes);
            assert_eq!(batches.len(), Batches::count(5, 2, drop_last));
            let seen: Vec<u64> = batches.iter().flat_map(|batch| batch.example_ids.clone()).collect();
            let expected: Vec<u64> = order.iter().map(|&place| 10 + place as u64).collect();
            assert_eq!(seen, expected[..seen.len()]);
            let resumed: Vec<Batch> =
                Batches::new(&split, order, 2, drop_last, None).unwrap().skip_to(1).collect();
            assert_eq!(resumed, batches[1..]);
        }
    }

    #[test]
    fn an_order_depends_on_seed_and_epoch_and_repeats() {
        let first = epoch_order(Seed(1), 0, 100);
        assert_eq!(first, epoch_order(Seed(1), 0, 100));
        assert_ne!(first, epoch_order(Seed(1), 1, 100));
        assert_ne!(first, epoch_order(Seed(2), 0, 100));
        let mut sorted = first;
        sorted.sort_unstable();
        assert!(sorted.into_iter().eq(0..100));
    }

    #[test]
    fn a_text_longer_than_the_padding_is_refused() {
        let padding = Some(Padding { length: 2, id: 0 });
        assert!(Batches::new(&five(), vec![0], 1, false, padding).is_err());
    }
}
