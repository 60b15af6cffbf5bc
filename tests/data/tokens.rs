//! The oracle's tokenizers: ids, segment ids, offsets, pairs, truncation and padding as transformers
//! gives them. Made by the oracle with transformers 5.23.0 and tokenizers 0.23.3.

use std::path::{Path, PathBuf};

use pifi_probe::data::batch::{Batches, Padding};
use pifi_probe::data::encode::{EncodedSplit, Encoder, Options};
use serde_json::Value;

const CASES: usize = 45;

struct Fixture {
    folder: PathBuf,
    golden: Value,
}

fn fixtures() -> Vec<Fixture> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/oracle/slm/_tokenizers");
    let mut folders: Vec<PathBuf> =
        std::fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    assert_eq!(folders.len(), 10);
    let fixture = |folder: PathBuf| {
        let text = std::fs::read(folder.join("golden_tokens.json")).unwrap();
        Fixture { golden: serde_json::from_slice(&text).unwrap(), folder }
    };
    folders.into_iter().map(fixture).collect()
}

impl Fixture {
    fn encoder(&self, max_length: usize, type_vocab_size: usize) -> Encoder {
        let file = |name: &str| std::fs::read(self.folder.join(name)).unwrap();
        let vocab_size = self.golden["vocab_size"].as_u64().unwrap() as usize;
        let options = Options { max_length, vocab_size, type_vocab_size };
        let (config, special) = (file("tokenizer_config.json"), file("special_tokens_map.json"));
        Encoder::from_bytes(&file("tokenizer.json"), Some(&config), Some(&special), options).unwrap()
    }

    fn cases(&self) -> &[Value] {
        let cases = self.golden["cases"].as_array().unwrap();
        assert_eq!(cases.len(), CASES);
        cases
    }
}

fn numbers(value: &Value) -> Vec<u32> {
    value.as_array().unwrap().iter().map(|number| number.as_u64().unwrap() as u32).collect()
}

#[test]
fn ids_segments_truncation_and_padding_are_those_of_transformers() {
    let mut padded_cases = 0;
    for fixture in fixtures() {
        for case in fixture.cases() {
            let name = format!("{}: {case}", fixture.folder.display());
            let (text, pair) = (case["text"].as_str().unwrap(), case["pair"].as_str());
            let limit = case["truncate"].as_u64().map_or(4096, |length| length as usize);
            let encoder = fixture.encoder(limit, 2);
            let encoded = encoder.encode(text, pair).unwrap();
            let real = numbers(&case["mask"]).iter().filter(|mask| **mask == 1).count();
            assert_eq!(encoded.ids, numbers(&case["ids"])[..real], "{name}");
            assert_eq!(encoded.type_ids, numbers(&case["type_ids"])[..real], "{name}");
            assert_eq!(encoded.truncated, case["truncate"].is_number(), "{name}");
            if let Some(length) = case["pad_to"].as_u64() {
                let split = EncodedSplit {
                    offsets: vec![0, encoded.ids.len()],
                    ids: encoded.ids,
                    type_ids: encoded.type_ids,
                    labels: vec![0],
                    example_ids: vec![0],
                    ..EncodedSplit::default()
                };
                let padding = Padding { length: length as usize, id: encoder.pad_id().unwrap() };
                let batch = Batches::new(&split, vec![0], 1, false, Some(padding)).unwrap().next().unwrap();
                assert_eq!(batch.ids, numbers(&case["ids"]), "{name}");
                let mask: Vec<u32> = batch.real().unwrap().into_iter().map(u32::from).collect();
                assert_eq!(mask, numbers(&case["mask"]), "{name}");
                padded_cases += 1;
            }
        }
        assert_eq!(
            u64::from(fixture.encoder(10, 0).pad_id().unwrap()),
            fixture.golden["pad_id"].as_u64().unwrap()
        );
    }
    assert_eq!(padded_cases, 80);
}

#[test]
fn offsets_count_characters_as_in_transformers() {
    let mut compared = 0;
    for fixture in fixtures() {
        let tokenizer = tokenizers::Tokenizer::from_file(fixture.folder.join("tokenizer.json")).unwrap();
        for case in fixture.cases().iter().filter(|case| case["offsets"].is_array()) {
            let text = case["text"].as_str().unwrap();
            let encoding = match case["pair"].as_str() {
                None => tokenizer.encode_char_offsets(text, true).unwrap(),
                Some(pair) => tokenizer.encode_char_offsets((text, pair), true).unwrap(),
            };
            let offsets: Vec<Vec<usize>> =
                encoding.get_offsets().iter().map(|(start, end)| vec![*start, *end]).collect();
            assert_eq!(serde_json::json!(offsets), case["offsets"], "{}: {text}", fixture.folder.display());
            let tokens: Vec<&str> = encoding.get_tokens().iter().map(String::as_str).collect();
            assert_eq!(serde_json::json!(tokens), case["tokens"]);
            compared += 1;
        }
    }
    assert_eq!(compared, 10 * 37);
}

#[test]
fn a_model_without_a_segment_table_gets_zeros() {
    for fixture in fixtures() {
        let encoder = fixture.encoder(64, 1);
        let encoded = encoder.encode("one text", Some("and another")).unwrap();
        assert!(encoded.type_ids.iter().all(|segment| *segment == 0));
        assert_eq!(encoded.type_ids.len(), encoded.ids.len());
    }
}

#[test]
fn a_vocabulary_smaller_than_the_tokenizers_is_a_named_mismatch() {
    for fixture in fixtures() {
        let file = std::fs::read(fixture.folder.join("tokenizer.json")).unwrap();
        let options = Options { max_length: 64, vocab_size: 20, type_vocab_size: 2 };
        let encoder = Encoder::from_bytes(&file, None, None, options).unwrap();
        let message = encoder.encode("splendid valley", None).unwrap_err().to_string();
        assert!(message.contains("tokenizer mismatch with the vocabulary"), "{message}");
        assert!(message.contains("20 entries"), "{message}");
    }
}
