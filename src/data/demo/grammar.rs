//! The grammar as data: reads `grammar.toml` and fills patterns with words.

use std::sync::OnceLock;

use serde::Deserialize;

use crate::seed::Stream;

use super::Domain;

/// What `grammar.toml` holds.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Grammar {
    strong: Vec<String>,
    weak: Vec<String>,
    who: Vec<String>,
    beats: Vec<String>,
    loses: Vec<String>,
    shared: Words,
    films: Lexicon,
    gadgets: Lexicon,
    hotels: Lexicon,
    pattern: Vec<Pattern>,
    corpus: Corpus,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Words {
    positive: Vec<String>,
    negative: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Lexicon {
    thing: Vec<String>,
    aspect: Vec<String>,
    positive: Vec<String>,
    negative: Vec<String>,
    rival: Vec<String>,
    aside: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Pattern {
    weight: usize,
    positive: String,
    negative: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Corpus {
    positive: Vec<String>,
    negative: Vec<String>,
    general: Vec<String>,
}

/// Share of the good and bad words that all domains have in common.
const SHARED_WORDS: f64 = 0.3;

/// The grammar of the binary.
pub(super) fn grammar() -> &'static Grammar {
    static GRAMMAR: OnceLock<Grammar> = OnceLock::new();
    GRAMMAR.get_or_init(|| toml::from_str(include_str!("grammar.toml")).expect("a test reads the grammar"))
}

impl Grammar {
    fn lexicon(&self, domain: Domain) -> &Lexicon {
        match domain {
            Domain::Films => &self.films,
            Domain::Gadgets => &self.gadgets,
            Domain::Hotels => &self.hotels,
        }
    }

    /// One clause with the given verdict; also which pattern it came from.
    pub(super) fn clause(&self, domain: Domain, positive: bool, stream: &mut Stream) -> (usize, String) {
        let total = self.pattern.iter().map(|pattern| pattern.weight).sum();
        let mut ticket = stream.below(total);
        let drawn = self.pattern.iter().position(|pattern| {
            let hit = ticket < pattern.weight;
            ticket = ticket.saturating_sub(pattern.weight);
            hit
        });
        let drawn = drawn.expect("the ticket is below the sum of the weights");
        let pattern = &self.pattern[drawn];
        let mirrored = !positive && pattern.negative.is_none();
        let worded = match &pattern.negative {
            Some(negative) if !positive => negative,
            _ => &pattern.positive,
        };
        (drawn, self.fill(worded, domain, mirrored, stream))
    }

    /// A clause that says nothing about the verdict.
    pub(super) fn aside(&self, domain: Domain, stream: &mut Stream) -> String {
        pick(&self.lexicon(domain).aside, stream).to_owned()
    }

    /// What a reviewer says at the end; only in text for pre-training.
    pub(super) fn verdict(&self, positive: bool, stream: &mut Stream) -> String {
        let verdicts = if positive { &self.corpus.positive } else { &self.corpus.negative };
        pick(verdicts, stream).to_owned()
    }

    /// A sentence without a verdict; only in text for pre-training.
    pub(super) fn general(&self, domain: Domain, stream: &mut Stream) -> String {
        let pattern = pick(&self.corpus.general, stream).to_owned();
        self.fill(&pattern, domain, false, stream)
    }

    /// Puts words into the slots, no word twice; `mirrored` exchanges good and bad.
    fn fill(&self, pattern: &str, domain: Domain, mirrored: bool, stream: &mut Stream) -> String {
        let lexicon = self.lexicon(domain);
        let mut text = String::new();
        let mut used: Vec<&str> = Vec::new();
        for (at, piece) in pattern.split(['{', '}']).enumerate() {
            if at % 2 == 0 {
                text.push_str(piece);
                continue;
            }
            let words = loop {
                let words = match piece {
                    "P" | "N" => {
                        let shared = stream.uniform() < SHARED_WORDS;
                        match ((piece == "P") != mirrored, shared) {
                            (true, true) => &self.shared.positive,
                            (true, false) => &lexicon.positive,
                            (false, true) => &self.shared.negative,
                            (false, false) => &lexicon.negative,
                        }
                    }
                    slot => self.slot(slot, lexicon).expect("a test fills every slot of the grammar"),
                };
                let word = pick(words, stream);
                if !used.contains(&word) {
                    break word;
                }
            };
            used.push(words);
            text.push_str(words);
        }
        text
    }

    fn slot<'a>(&'a self, slot: &str, lexicon: &'a Lexicon) -> Option<&'a [String]> {
        Some(match slot {
            "thing" => &lexicon.thing,
            "aspect" => &lexicon.aspect,
            "rival" => &lexicon.rival,
            "aside" => &lexicon.aside,
            "strong" => &self.strong,
            "weak" => &self.weak,
            "who" => &self.who,
            "beats" => &self.beats,
            "loses" => &self.loses,
            _ => return None,
        })
    }

    /// Every string of the grammar, slots included.
    pub(super) fn strings(&self) -> impl Iterator<Item = &str> {
        let lists = [&self.strong, &self.weak, &self.who, &self.beats, &self.loses];
        let words = [&self.shared.positive, &self.shared.negative];
        let lexicons = [&self.films, &self.gadgets, &self.hotels].into_iter().flat_map(|lexicon| {
            [
                &lexicon.thing,
                &lexicon.aspect,
                &lexicon.positive,
                &lexicon.negative,
                &lexicon.rival,
                &lexicon.aside,
            ]
        });
        let corpus = [&self.corpus.positive, &self.corpus.negative, &self.corpus.general];
        let patterns = self
            .pattern
            .iter()
            .flat_map(|pattern| std::iter::once(&pattern.positive).chain(&pattern.negative));
        let listed = lists.into_iter().chain(words).chain(lexicons).chain(corpus).flatten();
        listed.chain(patterns).map(String::as_str)
    }
}

fn pick<'a>(words: &'a [String], stream: &mut Stream) -> &'a str {
    &words[stream.below(words.len())]
}
