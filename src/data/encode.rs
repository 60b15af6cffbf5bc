//! Texts to token ids with the small model's own tokenizer. What the tokenizer's file says about
//! padding and truncation is ignored; a text is cut to the maximum length as transformers does with
//! `truncation=True`: special tokens stay, of a pair the longer text loses first.

use rayon::prelude::*;
use tokenizers::utils::truncation::truncate_encodings;
use tokenizers::{PostProcessor, Tokenizer, TruncationDirection, TruncationParams, TruncationStrategy};

use super::{Error, Example, pad};

/// What the model that reads the ids has room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Most tokens of a text, special tokens counted.
    pub max_length: usize,
    /// Rows of the model's embedding table.
    pub vocab_size: usize,
    /// Rows of the model's table of segment embeddings. With fewer than two (RoBERTa, MPNet, ...)
    /// all segment ids are 0, else they are the tokenizer's (BERT, ALBERT, ELECTRA, DeBERTa).
    pub type_vocab_size: usize,
}

/// One text, or one pair, as tokens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Encoded {
    /// Token ids, special tokens included; T of them.
    pub ids: Vec<u32>,
    /// Segment ids, `[T]`.
    pub type_ids: Vec<u32>,
    /// Whether the text was longer than the maximum.
    pub truncated: bool,
}

/// A split as tokens, texts one after the other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EncodedSplit {
    /// Token ids of all texts.
    pub ids: Vec<u32>,
    /// Segment ids of all texts.
    pub type_ids: Vec<u32>,
    /// N + 1 places: text `i` is `ids[offsets[i]..offsets[i + 1]]`.
    pub offsets: Vec<usize>,
    /// Classes, `[N]`.
    pub labels: Vec<u32>,
    /// Row numbers in the source, `[N]`.
    pub example_ids: Vec<u64>,
    /// Texts that were cut.
    pub truncated: usize,
    /// Texts without any token, for which one padding token stands.
    pub empty: usize,
}

/// How long the texts of a split are, in tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Lengths {
    /// Fewest tokens.
    pub shortest: usize,
    /// Most tokens.
    pub longest: usize,
    /// Lower median.
    pub median: usize,
    /// Mean.
    pub mean: f64,
}

impl EncodedSplit {
    /// N.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is no text.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Lengths of the texts; zeros when there is none.
    pub fn lengths(&self) -> Lengths {
        let mut lengths: Vec<usize> = self.offsets.windows(2).map(|pair| pair[1] - pair[0]).collect();
        lengths.sort_unstable();
        let (Some(&shortest), Some(&longest)) = (lengths.first(), lengths.last()) else {
            return Lengths::default();
        };
        let median = lengths[(lengths.len() - 1) / 2];
        Lengths { shortest, longest, median, mean: self.ids.len() as f64 / lengths.len() as f64 }
    }
}

/// A tokenizer with the limits of one model.
#[derive(Clone, Debug)]
pub struct Encoder {
    tokenizer: Tokenizer,
    options: Options,
    cut_at: TruncationDirection,
    pad_id: Option<u32>,
}

impl Encoder {
    /// Reads `tokenizer.json`, and where they exist `tokenizer_config.json` (padding token,
    /// truncation side) and `special_tokens_map.json` (padding token).
    ///
    /// # Errors
    /// When a file cannot be parsed, or the maximum length leaves no room for text.
    pub fn from_bytes(
        tokenizer: &[u8],
        tokenizer_config: Option<&[u8]>,
        special_tokens_map: Option<&[u8]>,
        options: Options,
    ) -> Result<Self, Error> {
        let config = pad::parse("tokenizer_config.json", tokenizer_config)?;
        let special_tokens = pad::parse("special_tokens_map.json", special_tokens_map)?;
        let mut tokenizer = Tokenizer::from_bytes(tokenizer).map_err(unusable)?;
        let special = special_tokens_of(&tokenizer, false);
        if options.max_length <= special {
            return Err(Error::MaxLength { length: options.max_length, special });
        }
        let left = config["truncation_side"].as_str() == Some("left");
        let cut_at = if left { TruncationDirection::Left } else { TruncationDirection::Right };
        tokenizer.with_padding(None);
        tokenizer.with_truncation(None).map_err(unusable)?;
        let pad_id = pad::pad_id(&tokenizer, &config, &special_tokens);
        Ok(Self { tokenizer, options, cut_at, pad_id })
    }

    /// The limits.
    pub fn options(&self) -> Options {
        self.options
    }

    /// The token that fills up padded batches.
    ///
    /// # Errors
    /// When the tokenizer has neither a padding nor an end token.
    pub fn pad_id(&self) -> Result<u32, Error> {
        self.pad_id.ok_or(Error::NoPadToken)
    }

    /// One text, or a pair. May be empty where the tokenizer adds no special tokens.
    ///
    /// # Errors
    /// When a token has no row in the model's embedding, or a pair no room.
    pub fn encode(&self, text: &str, pair: Option<&str>) -> Result<Encoded, Error> {
        let special = special_tokens_of(&self.tokenizer, pair.is_some());
        let Some(room) = self.options.max_length.checked_sub(special).filter(|room| *room > 0) else {
            return Err(Error::MaxLength { length: self.options.max_length, special });
        };
        let tokens = |text: &str| self.tokenizer.encode_fast(text, false).map_err(unusable);
        let first = tokens(text)?;
        let second = pair.map(tokens).transpose()?.map(|mut encoding| {
            encoding.set_type_ids(vec![1; encoding.get_ids().len()]);
            encoding
        });
        let whole = first.len() + second.as_ref().map_or(0, tokenizers::Encoding::len);
        // The tokenizer's own truncation (0.23.2) stops reading once a text has `max_length` tokens,
        // so it compares the wrong lengths when it looks for the longer text of a pair: the texts are
        // tokenised whole and cut here.
        let truncation = TruncationParams {
            max_length: room,
            strategy: TruncationStrategy::LongestFirst,
            stride: 0,
            direction: self.cut_at,
        };
        let (first, second) = truncate_encodings(first, second, &truncation).map_err(unusable)?;
        let encoding = self.tokenizer.post_process(first, second, true).map_err(unusable)?;
        let ids = encoding.get_ids().to_vec();
        if let Some(&id) = ids.iter().find(|&&id| id as usize >= self.options.vocab_size) {
            return Err(Error::OutOfVocabulary {
                token: self.tokenizer.id_to_token(id).unwrap_or_default(),
                id,
                vocab_size: self.options.vocab_size,
                tokenizer_size: self.tokenizer.get_vocab_size(true),
            });
        }
        let limit = self.options.type_vocab_size as u32;
        let type_ids = match limit {
            0 | 1 => vec![0; ids.len()],
            _ => encoding.get_type_ids().iter().map(|&segment| segment.min(limit - 1)).collect(),
        };
        Ok(Encoded { ids, type_ids, truncated: whole > room })
    }

    /// All examples, in parallel; the result does not depend on the number of threads. A text
    /// without any token becomes one padding token, so that every example has a row.
    ///
    /// # Errors
    /// As [`Encoder::encode`]; of several, that of the first example.
    pub fn encode_split(&self, examples: &[Example]) -> Result<EncodedSplit, Error> {
        let encoded: Vec<Result<Encoded, Error>> =
            examples.par_iter().map(|example| self.encode(&example.text, example.pair.as_deref())).collect();
        let mut split = EncodedSplit { offsets: vec![0], ..EncodedSplit::default() };
        for (example, encoded) in examples.iter().zip(encoded) {
            let mut encoded = encoded?;
            if encoded.ids.is_empty() {
                encoded.ids.push(self.pad_id()?);
                encoded.type_ids.push(0);
                split.empty += 1;
            }
            split.truncated += usize::from(encoded.truncated);
            split.ids.append(&mut encoded.ids);
            split.type_ids.append(&mut encoded.type_ids);
            split.offsets.push(split.ids.len());
            split.labels.push(example.label);
            split.example_ids.push(example.id);
        }
        Ok(split)
    }
}

fn special_tokens_of(tokenizer: &Tokenizer, pair: bool) -> usize {
    tokenizer.get_post_processor().map_or(0, |processor| processor.added_tokens(pair))
}

#[expect(clippy::needless_pass_by_value, reason = "it is handed to map_err")]
fn unusable(error: tokenizers::Error) -> Error {
    Error::Tokenizer { file: "tokenizer.json", reason: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::demo;

    fn encoder(max_length: usize, vocab_size: usize) -> Result<Encoder, Error> {
        let options = Options { max_length, vocab_size, type_vocab_size: 2 };
        Encoder::from_bytes(demo::tokenizer_json().as_bytes(), None, None, options)
    }

    fn example(id: u64, text: &str) -> Example {
        Example { id, text: text.to_owned(), pair: None, label: (id % 2) as u32 }
    }

    #[test]
    fn a_split_counts_what_was_cut_and_keeps_its_order() {
        let encoder = encoder(5, 100_000).unwrap();
        let examples =
            [example(3, "the film is good"), example(8, "good"), example(9, "not the film , not the plot")];
        let split = encoder.encode_split(&examples).unwrap();
        assert_eq!((split.truncated, split.empty, split.len()), (2, 0, 3));
        assert_eq!(split.offsets, [0, 5, 8, 13]);
        assert_eq!((split.example_ids.as_slice(), split.labels.as_slice()), (&[3, 8, 9][..], &[1, 0, 1][..]));
        let lengths = split.lengths();
        assert_eq!((lengths.shortest, lengths.median, lengths.longest), (3, 5, 5));
        assert!((lengths.mean - 13.0 / 3.0).abs() < 1e-12);
        let one = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        assert_eq!(one.install(|| encoder.encode_split(&examples)).unwrap(), split);
    }

    #[test]
    fn a_token_beyond_the_vocabulary_is_named_with_both_sizes() {
        let whole = encoder(20, 100_000).unwrap();
        let id = whole.encode("good", None).unwrap().ids[1];
        let error = encoder(20, id as usize).unwrap().encode("good", None).unwrap_err();
        let message = error.to_string();
        assert!(message.contains("tokenizer mismatch with the vocabulary: token `good`"), "{message}");
        assert!(message.contains(&format!("id {id}")), "{message}");
    }

    #[test]
    fn a_maximum_length_without_room_is_refused() {
        assert!(matches!(encoder(2, 100_000), Err(Error::MaxLength { length: 2, special: 2 })));
        let three = encoder(3, 100_000).unwrap();
        assert_eq!(three.encode("a good film", None).unwrap().ids.len(), 3);
        assert!(matches!(three.encode("a", Some("b")), Err(Error::MaxLength { length: 3, special: 3 })));
    }

    #[test]
    fn stored_padding_and_truncation_are_ignored() {
        let mut stored: serde_json::Value = serde_json::from_str(&demo::tokenizer_json()).unwrap();
        stored["truncation"] = serde_json::json!({
            "direction": "Right", "max_length": 3, "strategy": "LongestFirst", "stride": 0
        });
        stored["padding"] = serde_json::json!({
            "strategy": {"Fixed": 9}, "direction": "Right", "pad_to_multiple_of": null,
            "pad_id": 0, "pad_type_id": 0, "pad_token": "[PAD]"
        });
        let options = Options { max_length: 20, vocab_size: 100_000, type_vocab_size: 0 };
        let encoder = Encoder::from_bytes(stored.to_string().as_bytes(), None, None, options).unwrap();
        let encoded = encoder.encode("the film is good", None).unwrap();
        assert_eq!((encoded.ids.len(), encoded.truncated), (6, false));
    }

    #[test]
    fn broken_tokenizer_files_are_errors() {
        let options = Options { max_length: 20, vocab_size: 10, type_vocab_size: 0 };
        for bytes in [&b""[..], b"{}", b"{\"model\": 3}", b"\xff"] {
            let error = Encoder::from_bytes(bytes, None, None, options).unwrap_err();
            assert!(matches!(error, Error::Tokenizer { file: "tokenizer.json", .. }), "{error}");
        }
        let tokenizer = demo::tokenizer_json();
        let error = Encoder::from_bytes(tokenizer.as_bytes(), Some(b"{"), None, options).unwrap_err();
        assert!(matches!(error, Error::Tokenizer { file: "tokenizer_config.json", .. }), "{error}");
    }
}
