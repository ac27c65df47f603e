//! Where one wish ends and the next begins.

use super::{
    rank::Vocabulary,
    verbs,
    words::{Break, Role, Word},
};

/// Words that begin a new clause wherever they stand.
const STRONG: &[&str] = &["then", "afterwards", "but", "because", "although", "while", "whereas"];
/// Words that begin one where a wish follows.
const WEAK: &[&str] = &["and", "also", "plus", "then"];
/// Verbs and question words that begin a wish to look.
const LOOKS: &[&str] = &[
    "show", "list", "tell", "give", "check", "get", "search", "find", "grep", "look", "what", "how", "is",
    "are", "which", "explain", "diagnose", "who", "why", "see", "print", "fetch", "tail", "do", "dont",
    "please", "can",
];
/// Points from which half a clause is a wish of its own.
const OWN_WISH: f64 = 3.0;

/// The clauses' borders: each from its first word up to the next one's.
pub(super) fn split(words: &[Word], tools: &Vocabulary) -> Vec<(usize, usize)> {
    let mut clauses = Vec::new();
    let mut from = 0;
    for at in 0..words.len() {
        if at > from && parts(words, from, at, tools) {
            clauses.push((from, at));
            from = at;
        }
    }
    if from < words.len() {
        clauses.push((from, words.len()));
    }
    clauses
}

/// Whether a clause ends before the word `at`.
fn parts(words: &[Word], from: usize, at: usize, tools: &Vocabulary) -> bool {
    let Some(word) = words.get(at) else { return false };
    let last = at.checked_sub(1).and_then(|n| words.get(n));
    let after = last.map(|w| w.after).unwrap_or_default();
    if after >= Break::Stop || word.is_any(STRONG) {
        return true;
    }
    let weak = word.is_any(WEAK) || after == Break::Comma;
    if !weak || last.is_some_and(|w| w.is_any(WEAK)) {
        return false;
    }
    let end = (at + 1..words.len())
        .find(|n| {
            words.get(n - 1).is_some_and(|w| w.after != Break::None)
                || words.get(*n).is_some_and(|w| w.is_any(WEAK))
        })
        .unwrap_or(words.len());
    let (left, right) = (words.get(from..at).unwrap_or_default(), words.get(at..end).unwrap_or_default());
    let leading = right
        .iter()
        .find(|w| w.role != Role::Plain || !w.is_any(&["and", "also", "plus", "then", "please", "just"]));
    if left.iter().all(|w| w.role == Role::Name || w.is_any(&["for", "on", "of", "at", "the", "in", "with"]))
    {
        // "For customer 19, restart web": a place, and no wish yet.
        return false;
    }
    if right.iter().all(|w| w.is_any(WEAK) || w.is_any(&["back", "on", "again", "please", "now"])) {
        // "Off and back on" is one wish.
        return false;
    }
    let looks = leading.is_some_and(|w| w.is_any(LOOKS));
    let acts = verbs::find(right, tools.specs(), &[]).iter().any(|v| {
        leading.is_some_and(|w| v.at.iter().any(|n| right.get(*n).is_some_and(|v| std::ptr::eq(v, w))))
    });
    let pronoun_statement = after == Break::Comma
        && leading.is_some_and(|w| w.is_any(&["it", "they", "i", "we", "there", "not", "no", "never", "do"]));
    looks || acts || pronoun_statement || differs(left, right, tools)
}

/// Whether both halves speak of a tool, each of its own.
fn differs(left: &[Word], right: &[Word], tools: &Vocabulary) -> bool {
    let best = |half: &[Word]| {
        let scores = tools.scores(half);
        let best = scores.into_iter().max_by(|a, b| a.points.total_cmp(&b.points));
        best.filter(|s| s.points >= OWN_WISH).map(|s| s.spec.name)
    };
    matches!((best(left), best(right)), (Some(a), Some(b)) if a != b)
}
