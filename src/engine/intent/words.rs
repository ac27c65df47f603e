//! A message as words: folded, translated where a common German word stands, stemmed, with the breaks between them.

use std::{collections::BTreeMap, sync::LazyLock};

use super::{german, lexicon};

type Translations = LazyLock<BTreeMap<&'static str, &'static str>>;

static ONLY_GERMAN: Translations = LazyLock::new(|| german::GERMAN.iter().copied().collect());
static ALSO_GERMAN: Translations = LazyLock::new(|| german::GERMAN_BESIDE_OTHERS.iter().copied().collect());
static SYNONYMS: Translations = LazyLock::new(|| lexicon::SYNONYMS.iter().copied().collect());

/// What follows a word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Break {
    /// The next word of the same phrase.
    #[default]
    None,
    /// A comma, a colon or a dash.
    Comma,
    /// The end of a sentence.
    Stop,
    /// The end of a question.
    Question,
}

/// What a word was found to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Role {
    /// Not looked at yet, or of no other kind.
    #[default]
    Plain,
    /// Part of a customer's or service's name.
    Name,
    /// Part of a count or a span of time.
    Value,
    /// Text to search for or to explain; says nothing about what is wished.
    Text,
    /// An incident's number, a silence's end or kind: read already.
    Aside,
}

/// One word.
#[derive(Clone, Debug, Default)]
pub(super) struct Word {
    /// As it was typed, without the punctuation around it.
    pub(super) raw: String,
    /// Lower-case, umlauts and accents spelt out.
    pub(super) folded: String,
    /// The English word that it stands for; else `folded`.
    pub(super) en: String,
    /// Its parts, stemmed: `check-up` has two.
    pub(super) stems: Vec<String>,
    /// What it is.
    pub(super) role: Role,
    /// A `#` stood before it.
    pub(super) hash: bool,
    /// An `'s` stood after it.
    pub(super) possessive: bool,
    /// What follows it.
    pub(super) after: Break,
}

impl Word {
    /// Whether it is this English word, and not part of a name, value or text.
    pub(super) fn is(&self, en: &str) -> bool {
        self.role == Role::Plain && self.en == en
    }

    /// Whether it is one of these English words, and not part of a name, value or text.
    pub(super) fn is_any(&self, of: &[&str]) -> bool {
        self.role == Role::Plain && of.contains(&self.en.as_str())
    }
}

/// The words of `text`.
pub(super) fn words(text: &str) -> Vec<Word> {
    let mut out: Vec<Word> = Vec::new();
    for line in text.lines() {
        for token in line.split_whitespace() {
            add_token(token, &mut out);
        }
        if let Some(last) = out.last_mut() {
            last.after = last.after.max(Break::Stop);
        }
    }
    translate(&mut out);
    out
}

fn add_token(token: &str, out: &mut Vec<Word>) {
    let token = token.replace(['’', '´', '`', '‘'], "'");
    let before = token.trim_start_matches(|c: char| !c.is_alphanumeric());
    let lead = token.get(..token.len() - before.len()).unwrap_or_default();
    let bare = before.trim_end_matches(|c: char| !c.is_alphanumeric());
    let tail = before.get(bare.len()..).unwrap_or_default();
    // `sess:*` is a pattern.
    let star = tail.starts_with('*') && bare.contains([':', '_', '-', '/', '.']) || tail.starts_with('%');
    let bare = before.get(..bare.len() + usize::from(star)).unwrap_or(bare);
    let after = break_of(tail);
    if bare.is_empty() {
        match (lead, out.last_mut()) {
            ("&" | "+", _) => out.push(Word { after, ..word("and") }),
            (_, Some(last)) => last.after = last.after.max(break_of(lead).max(dash(lead))),
            (_, None) => {}
        }
        return;
    }
    let first = out.len();
    for piece in pieces(bare) {
        add_word(piece, out);
    }
    if let Some(word) = out.get_mut(first) {
        word.hash = lead.ends_with('#');
    }
    if let Some(last) = out.last_mut() {
        last.after = after;
    }
}

/// `status/health` is two words, a path is one.
fn pieces(bare: &str) -> Vec<&str> {
    match bare.split_once('/') {
        Some((a, b)) if plain(a) && plain(b) => vec![a, "and", b],
        _ => vec![bare],
    }
}

fn plain(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_alphanumeric() || c == '-')
}

fn add_word(bare: &str, out: &mut Vec<Word>) {
    let lower = bare.to_lowercase();
    if let Some(expanded) = lexicon::CONTRACTIONS.iter().find(|(short, _)| *short == lower) {
        out.extend(expanded.1.split(' ').map(word));
        return;
    }
    let (base, possessive) = match lower.strip_suffix("'s") {
        Some(base) if lexicon::WITH_IS.contains(&base) => {
            out.push(word(base));
            out.push(word("is"));
            return;
        }
        Some(base) => (bare.get(..base.len()).unwrap_or(bare), true),
        None => (bare, false),
    };
    out.push(Word { possessive, ..word(base) });
}

fn word(raw: &str) -> Word {
    let folded = fold(raw);
    Word { raw: raw.to_owned(), en: folded.replace('\'', ""), folded, ..Word::default() }
}

fn break_of(punctuation: &str) -> Break {
    if punctuation.contains('?') {
        Break::Question
    } else if punctuation.contains(['.', '!', ';', '…']) {
        Break::Stop
    } else if punctuation.contains([',', ':', ')']) {
        Break::Comma
    } else {
        Break::None
    }
}

fn dash(lead: &str) -> Break {
    if lead.contains(['-', '–', '—']) { Break::Comma } else { Break::None }
}

/// Puts the English word to common German ones. Words that both languages have count as German only beside others.
fn translate(words: &mut [Word]) {
    let of = |list: &BTreeMap<&str, &'static str>, word: &Word| list.get(word.folded.as_str()).copied();
    let in_german = words.iter().any(|w| of(&ONLY_GERMAN, w).is_some());
    for word in words {
        let found = of(&ONLY_GERMAN, word)
            .or_else(|| if in_german { of(&ALSO_GERMAN, word) } else { None })
            .or_else(|| of(&SYNONYMS, word));
        if let Some(english) = found {
            word.en = english.to_owned();
        }
        word.stems = stems(&word.en);
    }
}

/// The stems of a word's parts.
pub(super) fn stems(word: &str) -> Vec<String> {
    word.split(|c: char| !c.is_alphanumeric()).filter(|p| !p.is_empty()).map(stem).collect()
}

/// Lower-case, with umlauts and accents spelt out.
pub(super) fn fold(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars().flat_map(char::to_lowercase) {
        match c {
            'ä' | 'æ' => out.push_str("ae"),
            'ö' | 'ø' => out.push_str("oe"),
            'ü' => out.push_str("ue"),
            'ß' => out.push_str("ss"),
            'à' | 'á' | 'â' | 'ã' | 'å' => out.push('a'),
            'è' | 'é' | 'ê' | 'ë' => out.push('e'),
            'ì' | 'í' | 'î' | 'ï' => out.push('i'),
            'ò' | 'ó' | 'ô' | 'õ' => out.push('o'),
            'ù' | 'ú' | 'û' => out.push('u'),
            'ç' => out.push('c'),
            'ñ' => out.push('n'),
            c => out.push(c),
        }
    }
    out
}

/// As [`fold`], for those who leave the dots out: `muller`.
pub(super) fn flat(text: &str) -> String {
    fold(&text.to_lowercase().replace('ä', "a").replace('ö', "o").replace('ü', "u"))
}

/// The word without its English ending: `restarting`, `restarted` and `restarts` meet.
pub(super) fn stem(word: &str) -> String {
    let mut stem = word.to_owned();
    if let Some(base) = word.strip_suffix("ies").filter(|b| b.len() >= 3) {
        return format!("{base}y");
    }
    for ending in ["ing", "ed"] {
        if let Some(base) = word.strip_suffix(ending).filter(|b| b.len() >= 3 && vowel(b)) {
            stem = undoubled(base).to_owned();
            // "Firing" is of "fire", "logging" of "log".
            if base.len() == 3 && stem == base && !vowel(base.get(2..).unwrap_or_default()) {
                stem.push('e');
            }
        }
    }
    if stem == word
        && let Some(base) = word.strip_suffix('s').filter(|b| b.len() >= 3 && !b.ends_with(['s', 'u', 'i']))
    {
        stem = match base.strip_suffix('e') {
            Some(short) if short.ends_with(['s', 'x', 'z']) || short.ends_with("ch") => short.to_owned(),
            _ => base.to_owned(),
        };
    }
    match stem.strip_suffix('e') {
        Some(short) if short.len() >= 4 => short.to_owned(),
        _ => stem,
    }
}

fn vowel(text: &str) -> bool {
    text.contains(['a', 'e', 'i', 'o', 'u', 'y'])
}

fn undoubled(base: &str) -> &str {
    let mut ends = base.chars().rev();
    match (ends.next(), ends.next()) {
        (Some(a), Some(b)) if a == b && !matches!(a, 'l' | 's' | 'z') => {
            base.get(..base.len() - a.len_utf8()).unwrap_or(base)
        }
        _ => base,
    }
}

/// How many letters differ: inserted, left out, exchanged, or two neighbours swapped. Long words are not compared.
pub(super) fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    if a.len().max(b.len()) > 40 || a.len().abs_diff(b.len()) > 2 {
        return usize::MAX;
    }
    let mut rows: Vec<Vec<usize>> = vec![(0..=b.len()).collect()];
    let at = |rows: &[Vec<usize>], i: usize, j: usize| {
        rows.get(i).and_then(|row| row.get(j)).copied().unwrap_or(usize::MAX - 1)
    };
    for (i, x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let left = row.last().copied().unwrap_or_default();
            let mut best = (at(&rows, i, j) + usize::from(x != y)).min(at(&rows, i, j + 1) + 1).min(left + 1);
            let swapped = i > 0 && j > 0 && a.get(i - 1) == Some(y) && b.get(j - 1) == Some(x);
            if swapped {
                best = best.min(at(&rows, i - 1, j - 1) + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    at(&rows, a.len(), b.len())
}

/// Whether `typed` is a slip of `meant`: one letter in five, two in eight.
pub(super) fn is_slip(typed: &str, meant: &str) -> bool {
    let letters = typed.chars().count().min(meant.chars().count());
    let allowed = match letters {
        0..=4 => 0,
        5..=7 => 1,
        _ => 2,
    };
    allowed > 0 && typed.chars().all(char::is_alphabetic) && distance(typed, meant) <= allowed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_folded_expanded_and_broken() {
        let en = |text: &str| words(text).iter().map(|w| w.en.clone()).collect::<Vec<_>>().join(" ");
        let table = [
            ("What's wrong with #19?", "what is wrong with 19"),
            ("Don't restart Müller’s web!", "do not restart mueller web"),
            ("Zeig mir die Logs von 19", "show me the logs of 19"),
            ("was web of 19 restarted", "was web of 19 restarted"),
            ("was ist mit 19 los", "what is with 19 wrong"),
            ("status/health of 7 & 12", "status and health of 7 and 12"),
            ("look at /var/log/x.log", "look at var/log/x.log"),
        ];
        for (text, want) in table {
            assert_eq!(en(text), want, "{text}");
        }
        let breaks: Vec<_> = words("19: restart web, now. Ok?").iter().map(|w| w.after).collect();
        use Break::{Comma, None, Question, Stop};
        assert_eq!(breaks, [Comma, None, Comma, Stop, Question]);
        assert!(words("#19").first().is_some_and(|w| w.hash));
        assert!(words("acme's web").first().is_some_and(|w| w.possessive && w.raw == "acme"));
    }

    #[test]
    fn stems_meet() {
        for group in [
            &["restart", "restarts", "restarted", "restarting"][..],
            &["stop", "stopped", "stopping", "stops"],
            &["fire", "firing", "fires", "fired"],
            &["cache", "caches", "caching"],
            &["query", "queries"],
            &["log", "logs", "logging"],
            &["process", "processes"],
        ] {
            let stems: Vec<_> = group.iter().map(|w| stem(w)).collect();
            assert!(stems.iter().all(|s| s == &stems[0]), "{stems:?}");
        }
        assert_eq!(stem("status"), "status");
        assert_eq!(stem("redis"), "redis");
    }

    #[test]
    fn slips_are_few_letters() {
        for (typed, meant, want) in [
            ("nordwnd", "nordwind", true),
            ("nrdwnd", "nordwind", false),
            ("redsi", "redis", true),
            ("webb", "web", false),
            ("alpenblik", "alpenblick", true),
            ("alert", "albert", true),
            ("c1234", "c1235", false),
        ] {
            assert_eq!(is_slip(typed, meant), want, "{typed} {meant}");
        }
    }
}
