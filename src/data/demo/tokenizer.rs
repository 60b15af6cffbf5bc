//! The demo's tokenizer: whole words of the grammar, and single characters for any other word.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::grammar::grammar;

/// Special tokens, with ids from 0.
const SPECIAL: [&str; 5] = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];

/// All tokens in the order of their ids: special tokens, single printable characters of ASCII
/// (no capital letters), the same letters and digits inside a word (`##x`), the grammar's words.
pub fn vocabulary() -> Vec<String> {
    let letters: Vec<char> = ('!'..='~').filter(|letter| !letter.is_ascii_uppercase()).collect();
    let mut tokens: Vec<String> = SPECIAL.iter().map(|&token| token.to_owned()).collect();
    tokens.extend(letters.iter().map(char::to_string));
    tokens
        .extend(letters.iter().filter(|letter| letter.is_alphanumeric()).map(|letter| format!("##{letter}")));
    let mut words = BTreeSet::new();
    for text in grammar().strings() {
        // slots stand at odd places between braces
        for piece in text.split(['{', '}']).step_by(2) {
            words.extend(piece.split(|letter: char| !letter.is_alphanumeric()).filter(|word| word.len() > 1));
        }
    }
    tokens.extend(words.into_iter().map(str::to_owned));
    tokens
}

/// A `tokenizer.json`: lower case, split at white space and punctuation, `[CLS] text [SEP]`.
pub fn tokenizer_json() -> String {
    let vocabulary: Map<String, Value> =
        vocabulary().into_iter().enumerate().map(|(id, token)| (token, json!(id))).collect();
    let added: Vec<Value> = SPECIAL
        .iter()
        .enumerate()
        .map(|(id, token)| {
            json!({
                "id": id, "content": token, "single_word": false, "lstrip": false, "rstrip": false,
                "normalized": false, "special": true
            })
        })
        .collect();
    let special = |id: &str, type_id: u32| json!({"SpecialToken": {"id": id, "type_id": type_id}});
    let sequence = |id: &str, type_id: u32| json!({"Sequence": {"id": id, "type_id": type_id}});
    let token = |id: &str, number: u32| json!({"id": id, "ids": [number], "tokens": [id]});
    json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": added,
        "normalizer": {
            "type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true,
            "strip_accents": null, "lowercase": true
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [special("[CLS]", 0), sequence("A", 0), special("[SEP]", 0)],
            "pair": [
                special("[CLS]", 0), sequence("A", 0), special("[SEP]", 0),
                sequence("B", 1), special("[SEP]", 1)
            ],
            "special_tokens": {"[CLS]": token("[CLS]", 2), "[SEP]": token("[SEP]", 3)}
        },
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": true},
        "model": {
            "type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100, "vocab": vocabulary
        }
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::demo::{Domain, corpus, splits};
    use crate::data::encode::{Encoder, Options};
    use crate::seed::Seed;

    #[test]
    fn every_word_of_the_grammar_is_one_token() {
        let options = Options { max_length: 64, vocab_size: vocabulary().len(), type_vocab_size: 2 };
        let encoder = Encoder::from_bytes(tokenizer_json().as_bytes(), None, None, options).unwrap();
        assert_eq!(encoder.pad_id().unwrap(), 0);
        let reviews = Domain::ALL.into_iter().flat_map(splits).flat_map(|(_, examples)| examples);
        let texts = reviews.map(|example| example.text).chain(corpus(Seed(2), 5000));
        for text in texts {
            let encoded = encoder.encode(&text, None).unwrap();
            let words = text.split_whitespace().count();
            // an apostrophe stands alone in the text's `'s` and in its tokens
            let clitics =
                text.split_whitespace().filter(|word| word.len() > 1 && word.starts_with('\'')).count();
            assert_eq!(encoded.ids.len(), words + clitics + 2, "{text}");
            assert!(!encoded.ids.contains(&1) && !encoded.truncated, "{text}");
        }
    }

    #[test]
    fn a_foreign_word_is_spelt_and_ids_are_dense() {
        let vocabulary = vocabulary();
        let options = Options { max_length: 64, vocab_size: vocabulary.len(), type_vocab_size: 2 };
        let encoder = Encoder::from_bytes(tokenizer_json().as_bytes(), None, None, options).unwrap();
        let ids = encoder.encode("Zyx", None).unwrap().ids;
        let tokens: Vec<&str> = ids.iter().map(|&id| vocabulary[id as usize].as_str()).collect();
        assert_eq!(tokens, ["[CLS]", "z", "##y", "##x", "[SEP]"]);
        let different: BTreeSet<&String> = vocabulary.iter().collect();
        assert_eq!(different.len(), vocabulary.len());
    }
}
