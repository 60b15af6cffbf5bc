//! Texts that stand both in a training set and in an evaluation set: SST-2 is cut from the
//! sentences of MR, so a model trained on one looks far better on the other than it is.
//!
//! *Exact*: equal after normalisation (compatibility forms folded, lower case, letters and digits
//! only), so that `It's good!` and `it 's good .` are one text. *Near*: at least [`Rule::threshold`]
//! of all word n-grams that occur in either text occur in both (Jaccard similarity of the sets of
//! [`Rule::words`]-grams). A text with fewer words than that is compared whole, so it can only be
//! equal. Words are cut so that `does n't` and `doesn't` are one word.
//!
//! Time is near linear: n-grams are ordered from rare to common, and two sets can only be similar
//! enough if they share one among the first `|x| - ceil(t |x|) + 1` of each (prefix filtering,
//! Chaudhuri et al., "A primitive operator for similarity joins", ICDE 2006). Candidates are then
//! compared in full, on 64-bit hashes of the n-grams.

use std::collections::HashMap;

use rayon::prelude::*;
use tokenizers::NormalizedString;

use super::Example;

/// When two texts count as nearly the same.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rule {
    /// Words of an n-gram.
    pub words: usize,
    /// Least Jaccard similarity, above 0 and at most 1.
    pub threshold: f64,
}

impl Default for Rule {
    /// Half of all word trigrams: one changed word leaves a sentence of nine words above it. Between
    /// unrelated sets (SST-2 and CR, IMDB and MR) this finds nothing.
    fn default() -> Self {
        Self { words: 3, threshold: 0.5 }
    }
}

/// Whether an evaluation text stands in the training set.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Match {
    /// It does not.
    None,
    /// It does, as the training example with this id.
    Exact(u64),
    /// Nearly: the training example most like it (of equal ones the first) and the similarity.
    Near(u64, f64),
}

/// What an evaluation set shares with a training set.
#[derive(Clone, Debug, PartialEq)]
pub struct Overlap {
    /// One entry an evaluation example, in order.
    pub matches: Vec<Match>,
    /// Evaluation texts that stand in the training set.
    pub exact: usize,
    /// Evaluation texts that nearly do.
    pub near: usize,
}

impl Overlap {
    /// Evaluation texts that stand in the training set, or nearly do.
    pub fn shared(&self) -> usize {
        self.exact + self.near
    }

    /// Which evaluation examples do not, in order: the metric without the overlap is over these.
    pub fn clean(&self) -> Vec<bool> {
        self.matches.iter().map(|found| *found == Match::None).collect()
    }
}

/// Looks every evaluation text up in the training set. Depends on the texts alone, not on threads.
pub fn between(train: &[Example], evaluation: &[Example], rule: Rule) -> Overlap {
    let fingerprint = |example: &Example| Fingerprint::of(example, rule.words);
    let mut trained: Vec<Fingerprint> = train.par_iter().map(fingerprint).collect();
    let mut looked_up: Vec<Fingerprint> = evaluation.par_iter().map(fingerprint).collect();
    let rarity = Rarity::of(trained.iter().chain(&looked_up));
    trained.par_iter_mut().chain(&mut looked_up).for_each(|print| rarity.sort(&mut print.grams));
    let index = Index::new(train, &trained, rule.threshold);
    let matches: Vec<Match> = looked_up.par_iter().map(|print| index.find(print, &rarity)).collect();
    let exact = matches.iter().filter(|found| matches!(found, Match::Exact(_))).count();
    let near = matches.iter().filter(|found| matches!(found, Match::Near(..))).count();
    Overlap { matches, exact, near }
}

/// What is compared of a text.
struct Fingerprint {
    /// Hash of the normalised text.
    whole: u64,
    /// Hashes of the n-grams, each once; rarest first once sorted.
    grams: Vec<u64>,
}

impl Fingerprint {
    fn of(example: &Example, n: usize) -> Self {
        let mut words = words(&example.text);
        if let Some(pair) = &example.pair {
            // a mark that no word can be keeps the two texts apart
            words.push("\u{1}".to_owned());
            words.extend(self::words(pair));
        }
        let mut whole = words.concat();
        if whole.is_empty() {
            example.text.trim().clone_into(&mut whole);
        }
        let mut grams: Vec<u64> = if words.len() < n.max(1) {
            vec![hash([whole.as_str()])]
        } else {
            words.windows(n.max(1)).map(|gram| hash(gram.iter().map(String::as_str))).collect()
        };
        grams.sort_unstable();
        grams.dedup();
        Self { whole: hash([whole.as_str()]), grams }
    }
}

/// Brackets as a treebank spells them.
const BRACKETS: [&str; 4] = ["-lrb-", "-rrb-", "-LRB-", "-RRB-"];

/// Words in lower case, letters and digits only. What a treebank tokenizer has cut off (`n't`,
/// `'s`) goes back to its word.
fn words(text: &str) -> Vec<String> {
    let folded;
    let text = if text.is_ascii() {
        text
    } else {
        let mut normalized = NormalizedString::from(text);
        normalized.nfkc();
        folded = normalized.get().to_owned();
        &folded
    };
    let mut words: Vec<String> = Vec::new();
    for piece in text.split_whitespace().filter(|piece| !BRACKETS.contains(piece)) {
        let attached = piece.starts_with(['\'', '\u{2019}'])
            || ["n't", "n\u{2019}t"].iter().any(|ending| piece.eq_ignore_ascii_case(ending));
        let mut new = !attached;
        for letter in piece.chars() {
            if letter.is_alphanumeric() {
                if new || words.is_empty() {
                    words.push(String::new());
                    new = false;
                }
                words.last_mut().expect("a word was just begun").extend(letter.to_lowercase());
            } else if !matches!(letter, '\'' | '\u{2019}') {
                new = true;
            }
        }
    }
    words
}

/// FNV-1a over the words with a mark between them, then mixed: equal on every machine.
fn hash<'a>(words: impl IntoIterator<Item = &'a str>) -> u64 {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for word in words {
        for byte in word.bytes().chain([0]) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
    hash ^= hash >> 32;
    hash = hash.wrapping_mul(0xd6e8_feb8_6659_fd93);
    hash ^ (hash >> 32)
}

/// How common an n-gram is. Counts are kept by the low bits of its hash: neighbours may share one,
/// which changes the order's quality and not its meaning.
struct Rarity {
    counts: Vec<u32>,
}

impl Rarity {
    const SLOTS: usize = 1 << 22;

    fn of<'a>(prints: impl Iterator<Item = &'a Fingerprint>) -> Self {
        let mut counts = vec![0_u32; Self::SLOTS];
        for gram in prints.flat_map(|print| &print.grams) {
            let count = &mut counts[*gram as usize % Self::SLOTS];
            *count = count.saturating_add(1);
        }
        Self { counts }
    }

    fn key(&self, gram: u64) -> (u32, u64) {
        (self.counts[gram as usize % Self::SLOTS], gram)
    }

    fn sort(&self, grams: &mut [u64]) {
        grams.sort_unstable_by_key(|gram| self.key(*gram));
    }
}

/// Training texts by their normalised form and by their rarest n-grams.
struct Index<'a> {
    train: &'a [Example],
    prints: &'a [Fingerprint],
    threshold: f64,
    exact: HashMap<u64, u32>,
    by_gram: HashMap<u64, Vec<u32>>,
}

impl<'a> Index<'a> {
    fn new(train: &'a [Example], prints: &'a [Fingerprint], threshold: f64) -> Self {
        let mut index = Self { train, prints, threshold, exact: HashMap::new(), by_gram: HashMap::new() };
        for (place, print) in prints.iter().enumerate() {
            index.exact.entry(print.whole).or_insert(place as u32);
            for &gram in &print.grams[..index.prefix(print.grams.len())] {
                index.by_gram.entry(gram).or_default().push(place as u32);
            }
        }
        index
    }

    /// How many of the rarest n-grams must be looked at so that no similar text is missed.
    fn prefix(&self, grams: usize) -> usize {
        let needed = (self.threshold * grams as f64 - 1e-9).ceil().max(1.0) as usize;
        grams + 1 - needed.min(grams)
    }

    fn find(&self, print: &Fingerprint, rarity: &Rarity) -> Match {
        if let Some(&place) = self.exact.get(&print.whole) {
            return Match::Exact(self.train[place as usize].id);
        }
        let prefix = &print.grams[..self.prefix(print.grams.len())];
        let mut candidates: Vec<u32> =
            prefix.iter().filter_map(|gram| self.by_gram.get(gram)).flatten().copied().collect();
        candidates.sort_unstable();
        candidates.dedup();
        let mut best: Option<(u32, f64)> = None;
        for place in candidates {
            let other = &self.prints[place as usize].grams;
            let (short, long) = (print.grams.len().min(other.len()), print.grams.len().max(other.len()));
            if (short as f64) < self.threshold * long as f64 {
                continue;
            }
            let score = jaccard(&print.grams, other, rarity);
            if score >= self.threshold && best.is_none_or(|(_, most)| score > most) {
                best = Some((place, score));
            }
        }
        best.map_or(Match::None, |(place, score)| Match::Near(self.train[place as usize].id, score))
    }
}

/// Shared n-grams over all; both sides in the order of `rarity`.
fn jaccard(a: &[u64], b: &[u64], rarity: &Rarity) -> f64 {
    let (mut i, mut j, mut shared) = (0, 0, 0_usize);
    while i < a.len() && j < b.len() {
        match rarity.key(a[i]).cmp(&rarity.key(b[j])) {
            std::cmp::Ordering::Less => i += 1,
            std::cmp::Ordering::Greater => j += 1,
            std::cmp::Ordering::Equal => {
                shared += 1;
                i += 1;
                j += 1;
            }
        }
    }
    shared as f64 / (a.len() + b.len() - shared) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Seed;

    fn texts(texts: &[&str]) -> Vec<Example> {
        let example = |(id, text): (usize, &&str)| Example {
            id: id as u64 + 100,
            text: (*text).to_owned(),
            pair: None,
            label: 0,
        };
        texts.iter().enumerate().map(example).collect()
    }

    fn matches(train: &[&str], evaluation: &[&str]) -> Vec<Match> {
        between(&texts(train), &texts(evaluation), Rule::default()).matches
    }

    #[test]
    fn spelling_differences_are_no_difference() {
        let train =
            ["it does n't work -lrb- at all -rrb- , and it 's ugly .", "Caf\u{e9} \u{ff21}\u{ff11}", "!!!"];
        let evaluation =
            ["It doesn't work (at all) and it\u{2019}s ugly", "cafe\u{301} a1", "!!!", "!", "other"];
        let expected = [Match::Exact(100), Match::Exact(101), Match::Exact(102), Match::None, Match::None];
        assert_eq!(matches(&train, &evaluation), expected);
    }

    #[test]
    fn one_changed_word_in_nine_is_near_and_a_short_text_must_be_equal() {
        // nine words have seven trigrams; changing the last word changes one: 6 / 8
        let train = ["a b c d e f g h i", "good film"];
        let found = matches(&train, &["a b c d e f g h z", "a b c d e x y z w", "good films"]);
        assert_eq!(found, [Match::Near(100, 0.75), Match::None, Match::None]);
    }

    #[test]
    fn a_pair_is_compared_as_a_pair() {
        let pair = |first: &str, second: &str| Example {
            pair: Some(second.to_owned()),
            ..texts(&[first]).remove(0)
        };
        let overlap = between(
            &[pair("a man sleeps", "he rests")],
            &[pair("a man sleeps", "he rests"), pair("a man", "sleeps he rests"), pair("a man sleeps", "no")],
            Rule::default(),
        );
        assert_eq!(overlap.matches[0], Match::Exact(100));
        assert!(overlap.clean()[1..].iter().all(|clean| *clean), "{:?}", overlap.matches);
    }

    /// Every pair compared in full, as a reference for the index.
    #[test]
    fn the_index_misses_nothing_that_comparing_all_pairs_finds() {
        let mut stream = Seed(5).stream();
        let mut draw = |n: usize| -> Vec<String> {
            let text = |stream: &mut crate::seed::Stream| {
                let length = 4 + stream.below(8);
                (0..length).map(|_| format!("w{}", stream.below(3))).collect::<Vec<_>>().join(" ")
            };
            (0..n).map(|_| text(&mut stream)).collect()
        };
        let (train, evaluation) = (draw(300), draw(300));
        let train = texts(&train.iter().map(String::as_str).collect::<Vec<_>>());
        let evaluation = texts(&evaluation.iter().map(String::as_str).collect::<Vec<_>>());
        for threshold in [0.3, 0.5, 0.7] {
            let rule = Rule { words: 3, threshold };
            let overlap = between(&train, &evaluation, rule);
            assert!(overlap.near > 0 && overlap.near < 300);
            for (example, found) in evaluation.iter().zip(&overlap.matches) {
                let a = Fingerprint::of(example, 3);
                let score = |other: &Example| {
                    let b = Fingerprint::of(other, 3);
                    let shared = a.grams.iter().filter(|gram| b.grams.contains(gram)).count();
                    shared as f64 / (a.grams.len() + b.grams.len() - shared) as f64
                };
                let best = train.iter().map(score).fold(0.0, f64::max);
                match found {
                    Match::Exact(_) => assert_eq!(best, 1.0),
                    Match::Near(id, similarity) => {
                        assert_eq!(*similarity, best);
                        assert_eq!(score(&train[*id as usize - 100]), best);
                    }
                    Match::None => assert!(best < threshold, "{best}"),
                }
            }
        }
    }
}
