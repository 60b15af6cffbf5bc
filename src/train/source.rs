//! Where batches come from: encoded texts, or features that were computed once.

use super::{Error, Features, Gold, Input, Tokens};
use crate::data::encode::EncodedSplit;
use crate::device::Device;
use crate::nn::{Buffer, Rows};

pub use crate::data::batch::Padding;

/// The examples of one split as a learner reads them.
pub trait Source {
    /// Number of every example in its data set, `[N]`.
    fn example_ids(&self) -> &[u64];

    /// The gold answers, `[N]`.
    fn gold(&self) -> &Gold;

    /// The batch of these examples, places below N, in this order.
    fn input(&self, examples: &[usize]) -> Input;

    /// N.
    fn len(&self) -> usize {
        self.example_ids().len()
    }

    /// Whether there is no example.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Encoded texts one after another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenSet {
    ids: Vec<u32>,
    type_ids: Vec<u32>,
    offsets: Vec<usize>,
    example_ids: Vec<u64>,
    gold: Gold,
    padding: Option<Padding>,
}

impl TokenSet {
    /// Texts whose tokens stand at `offsets[n]..offsets[n + 1]`; with `padding` each is filled up to
    /// that length, and texts that are longer stay whole. Token types are zeros where
    /// `type_ids` is empty. Spans count tokens from the start of their text.
    ///
    /// # Errors
    /// [`Error::Text`] when the parts do not belong together.
    pub fn new(
        ids: Vec<u32>,
        mut type_ids: Vec<u32>,
        offsets: Vec<usize>,
        example_ids: Vec<u64>,
        gold: Gold,
        padding: Option<Padding>,
    ) -> Result<Self, Error> {
        type_ids.resize(if type_ids.is_empty() { ids.len() } else { type_ids.len() }, 0);
        check_parts(&offsets, ids.len(), type_ids.len(), &example_ids, &gold)?;
        if let Gold::Spans(spans) = &gold {
            for (example, span) in spans.iter().enumerate() {
                let rows = padding.map_or(0, |padding| padding.length);
                let rows = rows.max(offsets[example + 1] - offsets[example]);
                if span.start.max(span.end) as usize >= rows {
                    return Err(Error::Text {
                        what: format!(
                            "the span {}-{} of example {example} ends outside",
                            span.start, span.end
                        ),
                        expected: "positions within the text",
                    });
                }
            }
        }
        Ok(Self { ids, type_ids, offsets, example_ids, gold, padding })
    }

    /// An encoded split of a classification task.
    ///
    /// # Errors
    /// [`Error::Text`] when its parts do not belong together.
    pub fn from_split(split: EncodedSplit, padding: Option<Padding>) -> Result<Self, Error> {
        let EncodedSplit { ids, type_ids, offsets, labels, example_ids, .. } = split;
        Self::new(ids, type_ids, offsets, example_ids, Gold::Classes(labels), padding)
    }

    /// Tokens of all texts, padding not counted.
    pub fn tokens(&self) -> usize {
        self.ids.len()
    }
}

fn check_parts(
    offsets: &[usize],
    rows: usize,
    other_rows: usize,
    example_ids: &[u64],
    gold: &Gold,
) -> Result<(), Error> {
    let whole = offsets.first() == Some(&0) && offsets.last() == Some(&rows) && rows == other_rows;
    let rising = offsets.windows(2).all(|pair| pair[0] < pair[1]);
    let examples = offsets.len().saturating_sub(1);
    if whole && rising && example_ids.len() == examples && gold.len() == examples {
        return Ok(());
    }
    Err(Error::Text {
        what: format!(
            "{rows} rows in {examples} examples with {} ids and {} gold answers",
            example_ids.len(),
            gold.len()
        ),
        expected: "as many of each, and no example without a row",
    })
}

impl Source for TokenSet {
    fn example_ids(&self) -> &[u64] {
        &self.example_ids
    }

    fn gold(&self) -> &Gold {
        &self.gold
    }

    fn input(&self, examples: &[usize]) -> Input {
        let lengths: Vec<usize> = examples.iter().map(|&n| self.offsets[n + 1] - self.offsets[n]).collect();
        let padded = self.padding.map_or_else(
            || lengths.clone(),
            |padding| lengths.iter().map(|&length| length.max(padding.length)).collect(),
        );
        let mut tokens = Tokens { rows: Rows::packed(&padded), ..Tokens::default() };
        tokens.rows.example_ids = examples.iter().map(|&n| self.example_ids[n]).collect();
        if let Some(padding) = self.padding {
            for (n, example) in examples.iter().enumerate() {
                let text = self.offsets[*example]..self.offsets[example + 1];
                tokens.ids.extend_from_slice(&self.ids[text.clone()]);
                tokens.type_ids.extend_from_slice(&self.type_ids[text]);
                tokens.ids.resize(tokens.rows.offsets[n + 1], padding.id);
                tokens.type_ids.resize(tokens.rows.offsets[n + 1], 0);
            }
            let real = |n: usize| (0..padded[n]).map(move |token| (n, token));
            let real = (0..examples.len()).flat_map(real).map(|(n, token)| token < lengths[n]);
            tokens.rows.real = Some(real.collect());
        } else {
            for &example in examples {
                let text = self.offsets[example]..self.offsets[example + 1];
                tokens.ids.extend_from_slice(&self.ids[text.clone()]);
                tokens.type_ids.extend_from_slice(&self.type_ids[text]);
            }
        }
        Input::Tokens(tokens)
    }
}

/// Features of examples one after another: one row each for pooled features, one row a token for
/// sequences.
#[derive(Clone, Debug)]
pub struct FeatureSet {
    device: Device,
    numbers: Vec<f32>,
    width: usize,
    offsets: Vec<usize>,
    example_ids: Vec<u64>,
    gold: Gold,
}

impl FeatureSet {
    /// Rows of `width` numbers; example n owns the rows `offsets[n]..offsets[n + 1]`.
    ///
    /// # Errors
    /// [`Error::Text`] when the parts do not belong together.
    pub fn new(
        device: Device,
        numbers: Vec<f32>,
        width: usize,
        offsets: Vec<usize>,
        example_ids: Vec<u64>,
        gold: Gold,
    ) -> Result<Self, Error> {
        let rows = numbers.len() / width.max(1);
        let whole_rows = if rows * width == numbers.len() { rows } else { rows + 1 };
        check_parts(&offsets, rows, whole_rows, &example_ids, &gold)?;
        Ok(Self { device, numbers, width, offsets, example_ids, gold })
    }

    /// One row an example, `[N, D]`.
    ///
    /// # Errors
    /// [`Error::Text`] when the parts do not belong together.
    pub fn pooled(
        device: Device,
        numbers: Vec<f32>,
        width: usize,
        example_ids: Vec<u64>,
        gold: Gold,
    ) -> Result<Self, Error> {
        let offsets = (0..=example_ids.len()).collect();
        Self::new(device, numbers, width, offsets, example_ids, gold)
    }
}

impl Source for FeatureSet {
    fn example_ids(&self) -> &[u64] {
        &self.example_ids
    }

    fn gold(&self) -> &Gold {
        &self.gold
    }

    fn input(&self, examples: &[usize]) -> Input {
        let mut numbers = Vec::new();
        let mut lengths = Vec::with_capacity(examples.len());
        for &example in examples {
            let rows = self.offsets[example]..self.offsets[example + 1];
            lengths.push(rows.len());
            numbers.extend_from_slice(&self.numbers[rows.start * self.width..rows.end * self.width]);
        }
        let mut rows = Rows::packed(&lengths);
        rows.example_ids = examples.iter().map(|&n| self.example_ids[n]).collect();
        Input::Features(Features { numbers: Buffer::from_vec(self.device, numbers), width: self.width, rows })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::Span;

    fn texts(padding: Option<Padding>) -> TokenSet {
        let gold = Gold::Classes(vec![0, 1, 0]);
        let ids = vec![5, 6, 7, 8, 9, 10];
        TokenSet::new(ids, vec![], vec![0, 3, 4, 6], vec![40, 41, 42], gold, padding).unwrap()
    }

    #[test]
    fn a_packed_batch_holds_the_texts_in_the_order_asked_for() {
        let Input::Tokens(batch) = texts(None).input(&[2, 0]) else { panic!("tokens") };
        assert_eq!(batch.ids, [9, 10, 5, 6, 7]);
        assert_eq!(batch.type_ids, [0; 5]);
        assert_eq!(batch.rows.offsets, [0, 2, 5]);
        assert_eq!(batch.rows.positions, [0, 1, 0, 1, 2]);
        assert_eq!((batch.rows.real, batch.rows.example_ids), (None, vec![42, 40]));
    }

    #[test]
    fn a_padded_batch_marks_what_is_real() {
        let input = texts(Some(Padding { length: 3, id: 99 })).input(&[1, 0]);
        assert_eq!(input.real_rows(), 4);
        let Input::Tokens(batch) = input else { panic!("tokens") };
        assert_eq!(batch.ids, [8, 99, 99, 5, 6, 7]);
        assert_eq!(batch.rows.real.unwrap(), [true, false, false, true, true, true]);
    }

    /// The same batch by the two ways that lead to it.
    #[test]
    fn an_encoded_split_gives_the_batches_of_the_data_module() {
        let split = EncodedSplit {
            ids: vec![5, 6, 7, 8, 9, 10],
            type_ids: vec![0, 1, 1, 0, 0, 1],
            offsets: vec![0, 3, 4, 6],
            labels: vec![0, 1, 0],
            example_ids: vec![40, 41, 42],
            truncated: 0,
            empty: 0,
        };
        for padding in [None, Some(Padding { length: 4, id: 99 })] {
            let expected = crate::data::batch::Batch::gather(&split, &[2, 0], padding);
            let set = TokenSet::from_split(split.clone(), padding).unwrap();
            let Input::Tokens(batch) = set.input(&[2, 0]) else { panic!("tokens") };
            assert_eq!(batch.rows.real, expected.real());
            assert_eq!((batch.ids, batch.type_ids), (expected.ids, expected.type_ids));
            assert_eq!(batch.rows.example_ids, expected.example_ids);
            assert_eq!(set.gold().pick(&[2, 0]), Gold::Classes(expected.labels));
        }
    }

    #[test]
    fn features_are_rows_of_examples() {
        let gold = Gold::Classes(vec![0, 1]);
        let set = FeatureSet::pooled(Device::CPU, vec![1., 2., 3., 4.], 2, vec![7, 8], gold.clone()).unwrap();
        let Input::Features(batch) = set.input(&[1, 0]) else { panic!("features") };
        assert_eq!(batch.numbers.to_vec(), [3., 4., 1., 2.]);
        assert!(batch.rows.single());
        assert!(FeatureSet::pooled(Device::CPU, vec![1., 2., 3.], 2, vec![7, 8], gold).is_err());
    }

    #[test]
    fn parts_that_do_not_belong_together_are_refused() {
        let set = |offsets: Vec<usize>, gold: Gold| {
            TokenSet::new(vec![1, 2, 3], vec![], offsets, vec![0, 1], gold, None)
        };
        let classes = Gold::Classes(vec![0, 0]);
        assert!(set(vec![0, 1, 3], classes.clone()).is_ok());
        assert!(set(vec![0, 1, 4], classes.clone()).is_err());
        assert!(set(vec![0, 0, 3], classes).is_err());
        assert!(set(vec![0, 1, 3], Gold::Classes(vec![0])).is_err());
        let outside = Gold::Spans(vec![Span { start: 0, end: 0 }, Span { start: 1, end: 2 }]);
        assert!(set(vec![0, 1, 3], outside).unwrap_err().to_string().contains("the span 1-2 of example 1"));
    }
}
