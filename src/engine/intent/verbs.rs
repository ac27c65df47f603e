//! Whether a clause asks for a change: it must say the verb itself, as a request, undenied and without conditions.
//!
//! What counts as a request is a list of forms; whatever is not on it asks for nothing. A wrong card is worse than a
//! needless question.

use super::{
    lexicon::{self, ADVICE, CANCELS, CONDITIONS, FILLER, LIGHT, NEGATIONS, OPENERS, QUESTION, REPORTED},
    words::{self, Break, Role, Word},
};
use crate::domain::ToolSpec;

/// Verbs by the first word of a tool's name, in the forms in which they order.
const VERBS: &[(&str, &[&str])] = &[
    (
        "restart",
        &[
            "restart",
            "reboot",
            "re-start",
            "relaunch",
            "bounce",
            "restarte",
            "restarten",
            "neustart",
            "neustarten",
            "neustarte",
            "reboote",
            "rebooten",
            "durchstarten",
        ],
    ),
    ("start", &["start", "starte", "starten", "boot", "launch"]),
    ("stop", &["stop", "stoppe", "stoppen", "halt", "shutdown", "anhalten", "beende", "beenden"]),
    ("clear", &["clear", "flush", "purge", "empty", "invalidate", "leere", "leeren", "flushe", "purge"]),
    ("run", &["run", "execute", "ausfuehren", "starte", "start"]),
    ("ack", &["ack", "acknowledge", "quittiere", "quittieren"]),
    ("silence", &["silence", "mute", "snooze", "stummschalten"]),
];

/// Verbs of two words, the second perhaps later.
const PAIRS: &[(&str, &str, &str)] = &[
    ("restart", "starte", "neu"),
    ("restart", "start", "neu"),
    ("restart", "neu", "starten"),
    ("restart", "neu", "start"),
    ("restart", "power", "cycle"),
    ("stop", "shut", "down"),
    ("stop", "take", "down"),
    ("stop", "bring", "down"),
    ("stop", "turn", "off"),
    ("stop", "switch", "off"),
    ("stop", "fahre", "runter"),
    ("stop", "fahr", "runter"),
    ("stop", "fahre", "herunter"),
    ("stop", "halte", "on"),
    ("stop", "schalte", "ab"),
    ("start", "bring", "up"),
    ("start", "turn", "on"),
    ("start", "switch", "on"),
    ("start", "spin", "up"),
    ("start", "fire", "up"),
    ("start", "fahre", "hoch"),
    ("start", "fahr", "hoch"),
    ("start", "schalte", "ein"),
    ("silence", "keep", "quiet"),
    ("silence", "schalte", "stumm"),
];

/// Verbs that mean a tool's own one beside its object alone: "delete the cache".
const BESIDE: &[(&str, &str, &[&str])] = &[(
    "clear",
    "cach",
    &["delete", "drop", "remove", "wipe", "reset", "loesche", "loeschen", "evict", "ban"],
)];

/// How a clause speaks of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mood {
    /// As a request.
    Asked,
    /// In some other way: named, told, wished for later.
    Mentioned,
    /// As a question about facts.
    Question,
    /// As a question for advice, or about what would be.
    Advice,
    /// Denied.
    Denied,
}

/// A verb that changes something, found in a clause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Verb {
    /// The first word of the tools' names that it stands for.
    pub(super) group: &'static str,
    /// Its words.
    pub(super) at: Vec<usize>,
    /// How it is said.
    pub(super) mood: Mood,
}

/// The first word of a tool's name.
pub(super) fn group(spec: &ToolSpec) -> &'static str {
    spec.name.split('_').next().unwrap_or(spec.name)
}

/// Every verb of the writes among `specs` in the clause; `corrected` are words that were misspelt.
pub(super) fn find(clause: &[Word], specs: &[ToolSpec], corrected: &[usize]) -> Vec<Verb> {
    let mut found: Vec<Verb> = Vec::new();
    for spec in specs.iter().filter(|s| s.is_write()) {
        let group = group(spec);
        if found.iter().any(|v| v.group == group) {
            continue;
        }
        if let Some((at, base)) = said(clause, group) {
            let slip = at.iter().any(|n| corrected.contains(n));
            let mood = mood(clause, &at, base && !slip);
            found.push(Verb { group, at, mood });
        }
    }
    // "Starte web neu" is no start, "turn web off and on" is neither a start nor a stop.
    let all = found.clone();
    found.retain(|v| !all.iter().any(|o| o.at.len() > v.at.len() && v.at.iter().any(|n| o.at.contains(n))));
    found
}

/// The words that say the verb of `group`, and whether in a form that orders.
fn said(clause: &[Word], group: &'static str) -> Option<(Vec<usize>, bool)> {
    let plain = |n: &usize| clause.get(*n).is_some_and(|w| w.role == Role::Plain);
    let is = |n: usize, text: &str| {
        clause.get(n).is_some_and(|w| w.role == Role::Plain && (w.en == text || w.folded == text))
    };
    let all = 0..clause.len();
    if group == "restart"
        && let Some(at) = off_and_on(clause)
    {
        return Some((at, true));
    }
    for (_, first, second) in PAIRS.iter().filter(|(g, ..)| *g == group) {
        if let Some(a) = all.clone().find(|n| is(*n, first))
            && let Some(b) = (a + 1..clause.len()).find(|n| is(*n, second))
        {
            return Some((vec![a, b], true));
        }
    }
    for (_, object, verbs) in BESIDE.iter().filter(|(g, ..)| *g == group) {
        let near = clause.iter().any(|w| w.role == Role::Plain && w.stems.iter().any(|s| s == object));
        if near && let Some(at) = all.clone().find(|n| verbs.iter().any(|v| is(*n, v))) {
            return Some((vec![at], true));
        }
    }
    let listed = VERBS.iter().find(|(g, _)| *g == group).map(|(_, forms)| *forms);
    let own = [group];
    let forms: &[&str] = listed.unwrap_or(&own);
    if let Some(at) = all.clone().find(|n| forms.iter().any(|f| is(*n, f))) {
        return Some((vec![at], true));
    }
    let stems: Vec<String> = forms.iter().map(|f| words::stem(f)).collect();
    let inflected = all.filter(plain).find(|n| {
        clause
            .get(*n)
            .is_some_and(|w| w.stems.first().is_some_and(|s| stems.contains(s)) && w.stems.len() == 1)
    });
    inflected.map(|at| (vec![at], false))
}

/// "Turn it off and on again"; in "turn off web on 19" the "on" leads to a name.
fn off_and_on(clause: &[Word]) -> Option<Vec<usize>> {
    let find = |from: usize, any: &[&str]| {
        (from..clause.len()).find(|n| clause.get(*n).is_some_and(|w| w.is_any(any)))
    };
    let turn = find(0, &["turn", "switch", "power"])?;
    let off = find(turn + 1, &["off"])?;
    let on = find(off + 1, &["on"])?;
    let after_and = clause.get(on - 1).is_some_and(|w| w.is_any(&["and", "then", "back", "off"]));
    let last = clause.get(on + 1).is_none_or(|w| w.is_any(&["again", "please", "now"]));
    (after_and || last).then(|| vec![turn, off, on])
}

fn mood(clause: &[Word], at: &[usize], base: bool) -> Mood {
    let first = at.first().copied().unwrap_or_default();
    let plain: Vec<&str> = clause.iter().filter(|w| w.role == Role::Plain).map(|w| w.en.as_str()).collect();
    if denied(&plain) || stops_doing(clause, first) {
        return Mood::Denied;
    }
    if starts_with_any(&significant(clause), ADVICE) && !requested(clause, first) {
        return Mood::Advice;
    }
    if asks(clause) && !requested(clause, first) {
        return Mood::Question;
    }
    let conditional = clause
        .iter()
        .enumerate()
        .any(|(n, w)| !at.contains(&n) && w.is_any(CONDITIONS) && !(n < first && w.is_any(&["would"])));
    let later = clause.iter().any(|w| w.role == Role::Value);
    let told = clause.iter().take(first).any(|w| w.is_any(REPORTED));
    let asked = base && !conditional && !later && !told && requested(clause, first);
    let doubt = clause.last().is_some_and(|w| w.after == Break::Question) && !opened(clause, first);
    if asked && !doubt { Mood::Asked } else { Mood::Mentioned }
}

/// Whether the plain words deny something.
pub(super) fn denied(plain: &[&str]) -> bool {
    plain.iter().any(|w| NEGATIONS.contains(w)) || cancels(plain)
}

/// Whether the plain words take back what was said.
pub(super) fn cancels(plain: &[&str]) -> bool {
    CANCELS.iter().any(|seq| plain.windows(seq.len()).any(|w| w == *seq))
}

/// "Stop restarting it" is no wish for a restart, and none for a stop.
fn stops_doing(clause: &[Word], first: usize) -> bool {
    let stop = clause.iter().position(|w| w.is_any(&["stop", "quit", "hoer", "stoppe"]));
    stop.is_some_and(|n| {
        let next = clause.get(n + 1).filter(|w| w.role == Role::Plain);
        next.is_some_and(|w| w.en.len() > 5 && w.en.ends_with("ing")) || n < first
    })
}

/// Whether the clause is a question by its first word or its end.
pub(super) fn asks(clause: &[Word]) -> bool {
    significant(clause).first().is_some_and(|w| QUESTION.contains(w) && !LIGHT.contains(w))
}

/// The plain words from the first that is no greeting or politeness.
fn significant(clause: &[Word]) -> Vec<&str> {
    let skip = [
        "please", "ok", "now", "then", "also", "and", "so", "well", "hey", "hi", "hello", "bot", "opsbot",
        "yes", "but", "or", "just", "hm", "um",
    ];
    let plain = clause.iter().filter(|w| w.role == Role::Plain).map(|w| w.en.as_str());
    plain.skip_while(|w| skip.contains(w)).collect()
}

fn starts_with_any(words: &[&str], of: &[&[&str]]) -> bool {
    of.iter().any(|seq| words.starts_with(seq))
}

/// What stands before the verb, without politeness, names and connecting words.
fn before(clause: &[Word], first: usize) -> Option<Vec<&str>> {
    let mut rest = Vec::new();
    for word in clause.iter().take(first) {
        match word.role {
            Role::Name | Role::Aside => {}
            Role::Plain if FILLER.contains(&word.en.as_str()) && !word.is("you") => {}
            Role::Plain => rest.push(word.en.as_str()),
            Role::Value | Role::Text => return None,
        }
    }
    Some(rest)
}

/// Whether nothing before the verb keeps it from being a request.
fn requested(clause: &[Word], first: usize) -> bool {
    let Some(mut rest) = before(clause, first) else { return false };
    if let Some(opener) = OPENERS.iter().filter(|seq| rest.starts_with(seq)).max_by_key(|seq| seq.len()) {
        rest.drain(..opener.len());
    }
    rest.iter().all(|w| LIGHT.contains(w) || FILLER.contains(w))
}

/// Whether it begins as a request does: "can you …".
fn opened(clause: &[Word], first: usize) -> bool {
    before(clause, first).is_some_and(|rest| OPENERS.iter().any(|seq| rest.starts_with(seq)))
}

/// Words of the clause that a write neither needs nor allows for: what is more than verb, target and politeness.
pub(super) fn unexplained<'w>(
    clause: &'w [Word],
    verb: &Verb,
    uses: &dyn Fn(&Word) -> bool,
) -> Option<&'w Word> {
    let pattern = clause.iter().any(|w| w.role == Role::Text);
    clause.iter().enumerate().find_map(|(n, word)| {
        let plain = word.role == Role::Plain && !verb.at.contains(&n);
        let allowed = FILLER.contains(&word.en.as_str())
            || LIGHT.contains(&word.en.as_str())
            || lexicon::PRONOUNS.contains(&word.en.as_str())
            || [
                "can", "could", "would", "will", "i", "we", "you", "u", "want", "need", "like", "have",
                "lets", "let", "time", "is", "are",
            ]
            .contains(&word.en.as_str());
        let cue = pattern
            && [
                "matching",
                "containing",
                "like",
                "pattern",
                "named",
                "key",
                "keys",
                "page",
                "pages",
                "entries",
            ]
            .contains(&word.en.as_str());
        (plain && !allowed && !cue && !uses(word)).then_some(word)
    })
}
