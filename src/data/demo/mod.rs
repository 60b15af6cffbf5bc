//! The demo's text: short reviews of films, kitchen gadgets and hotels, made by a seeded grammar.
//! The verdict lies in how the words stand together (negation, contrast, concession, who beats
//! whom, whose opinion is shared), so that counting words does not find it; the domains share the
//! grammar and only part of their words, and a few words change sides between them.

mod grammar;
mod tokenizer;

use std::collections::BTreeSet;
use std::str::FromStr;

use crate::seed::{Seed, Stream};

use super::Example;

pub use tokenizer::{tokenizer_json, vocabulary};

/// What a review is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Domain {
    /// Films.
    Films,
    /// Kitchen gadgets.
    Gadgets,
    /// Hotels.
    Hotels,
}

impl Domain {
    /// All domains.
    pub const ALL: [Self; 3] = [Self::Films, Self::Gadgets, Self::Hotels];

    /// The name in a task file.
    pub fn name(self) -> &'static str {
        match self {
            Self::Films => "films",
            Self::Gadgets => "gadgets",
            Self::Hotels => "hotels",
        }
    }
}

impl FromStr for Domain {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|domain| domain.name() == name).ok_or_else(|| {
            format!(
                "is `{name}`, expected one of {}",
                Self::ALL.map(|domain| format!("`{}`", domain.name())).join(", ")
            )
        })
    }
}

/// Examples of the three splits of an embedded task.
pub const SIZES: [(&str, usize); 3] = [("train", 1600), ("validation", 400), ("test", 800)];

/// The seed of the embedded tasks: they are the same in every run of every version.
const EMBEDDED: Seed = Seed(2025);

/// The splits of an embedded task: one draw, cut in order, so that no text stands in two of them.
pub fn splits(domain: Domain) -> [(&'static str, Vec<Example>); 3] {
    let mut rest = generate(EMBEDDED, domain, SIZES.iter().map(|(_, size)| size).sum()).into_iter();
    SIZES.map(|(split, size)| {
        let part = rest.by_ref().take(size).enumerate();
        (split, part.map(|(row, example)| Example { id: row as u64, ..example }).collect())
    })
}

/// `n` different reviews, labels 0 (negative) and 1 (positive) in turn. The same for the same seed,
/// and the first of a longer list.
pub fn generate(seed: Seed, domain: Domain, n: usize) -> Vec<Example> {
    let mut stream = seed.derive("demo reviews").derive(domain.name()).stream();
    let mut seen = BTreeSet::new();
    let mut examples = Vec::with_capacity(n);
    while examples.len() < n {
        let label = (examples.len() % 2) as u32;
        let text = review(domain, label == 1, &mut stream);
        if seen.insert(text.clone()) {
            examples.push(Example { id: examples.len() as u64, text, pair: None, label });
        }
    }
    examples
}

/// Text for pre-training: reviews of all domains, half of them followed by an outspoken verdict,
/// and sentences without one. No review of an embedded task is among them.
pub fn corpus(seed: Seed, sentences: usize) -> Vec<String> {
    let kept_apart: BTreeSet<String> = Domain::ALL
        .into_iter()
        .flat_map(splits)
        .flat_map(|(_, examples)| examples)
        .map(|example| example.text)
        .collect();
    let mut stream = seed.derive("demo corpus").stream();
    let mut texts = Vec::with_capacity(sentences);
    while texts.len() < sentences {
        let domain = Domain::ALL[stream.below(3)];
        let kind = stream.below(4);
        if kind == 0 {
            texts.push(grammar::grammar().general(domain, &mut stream) + " .");
            continue;
        }
        let positive = stream.below(2) == 1;
        let mut text = review(domain, positive, &mut stream);
        if kept_apart.contains(&text) {
            continue;
        }
        if kind != 1 {
            text = format!("{text} {} .", grammar::grammar().verdict(positive, &mut stream));
        }
        texts.push(text);
    }
    texts
}

/// One or two clauses with one verdict, and sometimes an aside before or after them.
fn review(domain: Domain, positive: bool, stream: &mut Stream) -> String {
    let grammar = grammar::grammar();
    let (pattern, first) = grammar.clause(domain, positive, stream);
    let mut clauses = vec![first];
    if stream.uniform() < 0.5 {
        let (other, second) = grammar.clause(domain, positive, stream);
        if other != pattern {
            clauses.push(second);
        }
    }
    if stream.uniform() < 0.6 {
        let place = stream.below(clauses.len() + 1);
        clauses.insert(place, grammar.aside(domain, stream));
    }
    clauses.join(" . ") + " ."
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_repeats_and_a_short_list_starts_a_long_one() {
        let long = generate(Seed(3), Domain::Hotels, 200);
        assert_eq!(generate(Seed(3), Domain::Hotels, 50), long[..50]);
        assert_ne!(generate(Seed(4), Domain::Hotels, 50), long[..50]);
        assert_ne!(generate(Seed(3), Domain::Films, 50), long[..50]);
        assert_eq!(corpus(Seed(1), 100), corpus(Seed(1), 200)[..100]);
    }

    #[test]
    fn the_splits_of_a_task_share_no_text_and_are_balanced() {
        for domain in Domain::ALL {
            let splits = splits(domain);
            let mut texts: Vec<&str> = Vec::new();
            for ((split, examples), (name, size)) in splits.iter().zip(SIZES) {
                assert_eq!((*split, examples.len()), (name, size));
                assert_eq!(examples.iter().filter(|example| example.label == 1).count(), size / 2);
                texts.extend(examples.iter().map(|example| example.text.as_str()));
            }
            let count = texts.len();
            texts.sort_unstable();
            texts.dedup();
            assert_eq!(texts.len(), count);
        }
    }

    #[test]
    fn the_corpus_holds_no_review_of_an_embedded_task() {
        let corpus: BTreeSet<String> = corpus(Seed(1), 20_000).into_iter().collect();
        for example in Domain::ALL.into_iter().flat_map(splits).flat_map(|(_, examples)| examples) {
            assert!(!corpus.contains(&example.text), "{}", example.text);
        }
    }
}
