//! Which tools a clause speaks of: BM25 over a document per tool, and whole phrases that people use for it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{
    lexicon,
    words::{self, Break, Role, Word},
};
use crate::domain::ToolSpec;

/// How soon a word that comes again adds nothing, and how much a long document is held back: BM25's usual names.
const K1: f64 = 1.2;
const B: f64 = 0.3;
/// What a word of each field counts.
const NAME: f64 = 3.0;
const PHRASE: f64 = 2.0;
const SUMMARY: f64 = 1.0;
const PARAMETER: f64 = 0.5;
/// What a phrase of one word would add; longer ones more.
const WHOLE_PHRASE: f64 = 1.1;
/// Words that may stand between those of a phrase, and what each leaves of it.
const GAPS: usize = 2;
const GAP: f64 = 0.85;

/// The tools, and the words that are used for each; made once.
#[derive(Debug)]
pub struct Vocabulary {
    specs: Arc<Vec<ToolSpec>>,
    documents: Vec<Document>,
    spread: BTreeMap<String, usize>,
    mean: f64,
}

#[derive(Debug)]
struct Document {
    terms: BTreeMap<String, f64>,
    length: f64,
    phrases: Vec<Vec<String>>,
}

/// How near a tool is to a clause, by words alone.
#[derive(Clone, Copy, Debug)]
pub(super) struct Score<'a> {
    pub(super) spec: &'a ToolSpec,
    pub(super) points: f64,
}

impl Vocabulary {
    /// The words of these tools.
    pub fn new(specs: Arc<Vec<ToolSpec>>) -> Self {
        let documents: Vec<_> = specs.iter().map(Document::new).collect();
        let mut spread = BTreeMap::new();
        for term in documents.iter().flat_map(|d| d.terms.keys()) {
            *spread.entry(term.clone()).or_default() += 1;
        }
        let mean = documents.iter().map(|d| d.length).sum::<f64>() / documents.len().max(1) as f64;
        Self { specs, documents, spread, mean }
    }

    /// The tools.
    pub fn specs(&self) -> &[ToolSpec] {
        &self.specs
    }

    /// Every tool with its points for these words, in the order of the registry.
    pub(super) fn scores(&self, words: &[Word]) -> Vec<Score<'_>> {
        let terms: BTreeSet<String> = terms(words).collect();
        let said = skeleton(words);
        let score = |(spec, d)| {
            let by_words: f64 = terms.iter().map(|t| self.weight(d, t)).sum();
            let by_phrase = d.phrases.iter().map(|p| whole(p, &said)).fold(0.0, f64::max);
            Score { spec, points: by_words + by_phrase }
        };
        self.specs.iter().zip(&self.documents).map(score).collect()
    }

    /// Whether any tool uses the word.
    pub(super) fn knows(&self, word: &Word) -> bool {
        word.stems.iter().any(|s| self.spread.contains_key(s))
    }

    /// Whether `spec` uses the word, in phrases or anywhere.
    pub(super) fn uses(&self, spec: &ToolSpec, word: &Word) -> bool {
        let at = self.specs.iter().position(|s| s.name == spec.name);
        at.and_then(|n| self.documents.get(n)).is_some_and(|d| {
            word.stems.iter().all(|s| {
                d.terms.contains_key(s)
                    || d.phrases.iter().any(|p| p.contains(s))
                    || lexicon::STOP.contains(&s.as_str())
            })
        })
    }

    /// Corrects slips of the pen in words that no tool uses; gives the numbers of the corrected words.
    pub(super) fn correct(&self, words: &mut [Word]) -> Vec<usize> {
        let mut corrected = Vec::new();
        for (n, word) in words.iter_mut().enumerate() {
            let known = self.knows(word)
                || [
                    lexicon::STOP,
                    lexicon::FILLER,
                    lexicon::NEGATIONS,
                    lexicon::CONDITIONS,
                    lexicon::QUESTION,
                    lexicon::REPORTED,
                ]
                .iter()
                .any(|list| list.contains(&word.en.as_str()));
            let letters = word.folded.chars().count();
            if word.role != Role::Plain || known || letters < 4 {
                continue;
            }
            let stem = words::stem(&word.folded);
            let near = |term: &&String| {
                term.len() >= 4
                    && stem.len() >= 4
                    && words::distance(&stem, term) <= 1
                    && (letters >= 5 || swapped(&stem, term))
                    || term.len() == 3 && letters == 4 && swapped(&word.folded, &format!("{term}s"))
            };
            let mut terms = self.spread.keys().filter(near);
            if let (Some(only), None) = (terms.next(), terms.next()) {
                word.stems = vec![only.clone()];
                word.en.clone_from(only);
                corrected.push(n);
            }
        }
        corrected
    }

    fn weight(&self, document: &Document, term: &str) -> f64 {
        let Some(tf) = document.terms.get(term) else { return 0.0 };
        let spread = self.spread.get(term).copied().unwrap_or(1) as f64;
        let all = self.documents.len() as f64;
        let rarity = (1.0 + (all - spread + 0.5) / (spread + 0.5)).ln();
        let length = 1.0 - B + B * document.length / self.mean.max(1.0);
        rarity * tf * (K1 + 1.0) / (tf + K1 * length)
    }
}

impl Document {
    fn new(spec: &ToolSpec) -> Self {
        let mut terms: BTreeMap<String, f64> = BTreeMap::new();
        let mut add = |text: &str, weight: f64| {
            // A field says a word once, however often it comes.
            let once: BTreeSet<String> = self::terms(&words::words(&text.replace('_', " "))).collect();
            for term in once {
                *terms.entry(term).or_default() += weight;
            }
        };
        add(spec.name, NAME);
        add(spec.summary, SUMMARY);
        for phrase in spec.phrases {
            add(phrase, PHRASE);
        }
        for param in &spec.params {
            add(param.name, PARAMETER);
        }
        for weight in terms.values_mut() {
            *weight = weight.min(6.0);
        }
        let length = terms.values().sum();
        let phrases =
            spec.phrases.iter().map(|p| skeleton(&words::words(p))).filter(|p| p.len() > 1).collect();
        Self { terms, length, phrases }
    }
}

/// Stems that say something.
fn terms(words: &[Word]) -> impl Iterator<Item = String> {
    let telling = words.iter().filter(|w| w.role == Role::Plain && !lexicon::STOP.contains(&w.en.as_str()));
    let stems =
        telling.flat_map(|w| w.stems.iter()).filter(|s| s.len() > 1 && !lexicon::STOP.contains(&s.as_str()));
    stems.cloned().collect::<Vec<_>>().into_iter()
}

/// The words as phrases are compared: names and pronouns become "it", articles and amounts go.
fn skeleton(words: &[Word]) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    for (n, word) in words.iter().enumerate() {
        let is_it = word.role == Role::Name
            || word.is_any(lexicon::PRONOUNS) && !word.is("there") && !word.is("same");
        match word.role {
            Role::Value | Role::Text | Role::Aside => continue,
            Role::Plain if is_it => {}
            Role::Plain
                if word.is_any(&[
                    "the",
                    "a",
                    "an",
                    "please",
                    "our",
                    "my",
                    "currently",
                    "now",
                    "right",
                    "just",
                    "all",
                ]) =>
            {
                continue;
            }
            // "web of 19" is one thing.
            Role::Plain if word.is_any(&["of", "on", "for", "at", "in", "and"]) => {
                let named = |w: Option<&Word>| {
                    w.is_some_and(|w| w.role == Role::Name && w.after == Break::None || w.is("the"))
                };
                if named(n.checked_sub(1).and_then(|b| words.get(b)))
                    && words.get(n + 1).is_some_and(|w| w.role == Role::Name || w.is("the"))
                {
                    continue;
                }
            }
            Role::Plain | Role::Name => {}
        }
        if is_it {
            if out.last().is_none_or(|last| last != "it") {
                out.push("it".to_owned());
            }
        } else {
            // "Are all of them up?" asks what "is it up?" asks.
            out.extend(word.stems.iter().map(|s| if s == "are" { "is".to_owned() } else { s.clone() }));
        }
    }
    out
}

/// What a phrase adds that stands in `said`, its words in order and near each other.
fn whole(phrase: &[String], said: &[String]) -> f64 {
    let mut best = 0.0_f64;
    for start in 0..said.len() {
        let mut at = start;
        let mut gaps = 0;
        let mut found = said.get(start) == phrase.first();
        for word in phrase.iter().skip(1) {
            let next = (at + 1..said.len().min(at + 2 + GAPS)).find(|n| said.get(*n) == Some(word));
            match next.filter(|_| found) {
                Some(next) => {
                    gaps += next - at - 1;
                    at = next;
                }
                None => {
                    found = false;
                    break;
                }
            }
        }
        if found && gaps <= GAPS {
            let points =
                WHOLE_PHRASE * (phrase.len() as f64) * GAP.powi(i32::try_from(gaps).unwrap_or(i32::MAX));
            best = best.max(points);
        }
    }
    best
}

fn swapped(a: &str, b: &str) -> bool {
    let sorted = |text: &str| {
        let mut chars: Vec<char> = text.chars().collect();
        chars.sort_unstable();
        chars
    };
    a != b && a.len() == b.len() && sorted(a) == sorted(b) && words::distance(a, b) == 1
}
