//! Text inside a message that is meant as text: quotes, queries, patterns to search for. It never selects a tool.

use super::{
    lexicon,
    words::{self, Break, Role, Word},
};

/// Stands in a message for a quoted text, so that nothing in it is read as a wish.
const MARK: &str = "opsbotquote";
/// A longer text is a paste.
const LONGEST: usize = 300;

/// Takes quoted spans and PromQL out of `text`; what is quoted and `is_name` stays as it is.
pub(super) fn take_out(text: &str, is_name: &dyn Fn(&str) -> bool) -> (String, Vec<String>) {
    let mut spans = Vec::new();
    let text = match promql(text) {
        Some(query) => {
            let out = text.replacen(query.as_str(), &format!(" {MARK}0 "), 1);
            spans.push(query);
            out
        }
        None => text.to_owned(),
    };
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while let Some(&c) = chars.get(at) {
        let opens = at.checked_sub(1).and_then(|n| chars.get(n)).is_none_or(|b| !b.is_alphanumeric());
        let closer = match c {
            '"' => "\"",
            '“' | '„' => "”“\"",
            '«' => "»",
            '`' => "`",
            '\'' | '‘' | '‚' if opens => "'’‘",
            _ => "",
        };
        let rest = chars.get(at + 1..).unwrap_or_default();
        let fence = c == '`' && rest.first() == Some(&'`');
        let end = rest.iter().take(LONGEST).take_while(|c| **c != '\n').position(|x| closer.contains(*x));
        let Some(end) = end.filter(|end| *end > 0 && !fence) else {
            out.push(c);
            at += 1;
            continue;
        };
        let span: String = rest.iter().take(end).collect();
        if is_name(&span) {
            out.push_str(&span);
        } else {
            out.push_str(&format!(" {MARK}{} ", spans.len()));
            spans.push(span.trim().to_owned());
        }
        at += end + 2;
    }
    (out, spans)
}

/// Puts the texts back that [`take_out`] took, as text.
pub(super) fn put_back(words: &mut [Word], spans: &[String]) {
    for word in words {
        let number = word.raw.strip_prefix(MARK).and_then(|n| n.parse::<usize>().ok());
        if let Some(span) = number.and_then(|n| spans.get(n)) {
            word.raw.clone_from(span);
            word.role = Role::Text;
        }
    }
}

/// A query in PromQL: from a metric's name that braces or a bracket follow, to the end of its line.
fn promql(text: &str) -> Option<String> {
    let line = text.lines().find(|line| line.contains(['{', '(', '[']) && !line.contains("```"))?;
    let name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let open = line.char_indices().position(|(at, c)| {
        matches!(c, '{' | '(' | '[') && line.get(..at).is_some_and(|b| b.ends_with(name))
    })?;
    let at = line.char_indices().nth(open).map(|(at, _)| at)?;
    let head = line.get(..at)?;
    let from = head
        .rfind(|c| !name(c))
        .map_or(0, |n| n + head.get(n..).and_then(|t| t.chars().next()).map_or(1, char::len_utf8));
    let mut query = line.get(from..)?;
    for end in [
        " in prom",
        " on prom",
        " over the ",
        " for the ",
        " in the ",
        " during ",
        " since ",
        " please",
        " of customer",
        "`",
    ] {
        query = query.find(end).and_then(|n| query.get(..n)).unwrap_or(query);
    }
    let query = query.trim_end_matches(['?', '.', '!', ' ', '"', '\'']);
    let balanced = |a: char, b: char| query.matches(a).count() == query.matches(b).count();
    (query.contains(['}', ')', ']']) && balanced('(', ')') && balanced('{', '}')).then(|| query.to_owned())
}

/// The quoted text of a clause.
pub(super) fn quoted(words: &[Word]) -> Option<String> {
    words.iter().find(|w| w.role == Role::Text).map(|w| w.raw.clone())
}

/// What is to be searched for in the words from `from` up to `to`; marks it. Second: it was asked for outright.
pub(super) fn pattern(words: &mut [Word], from: usize, to: usize) -> Option<(String, bool)> {
    if let Some(quote) = words.get(from..to).and_then(quoted) {
        return Some((quote, true));
    }
    let searches =
        (from..to).find(|n| is(words, *n, &["search", "grep", "find", "look", "looking", "filter"]));
    let outright: &[&str] = &[
        "matching",
        "matches",
        "match",
        "containing",
        "contains",
        "contain",
        "mentioning",
        "mention",
        "mentions",
    ];
    let mut cues: Vec<usize> = (from..to).filter(|n| is(words, *n, outright)).collect();
    cues.extend((from..to).filter(|n| {
        let after_lines =
            n.checked_sub(1).is_some_and(|b| is(words, b, &["line", "lines", "entries", "messages"]));
        let searched = searches.is_some_and(|s| s < *n);
        is(words, *n, &["for"]) && (searched || after_lines)
            || is(words, *n, &["with", "about", "like", "saying"]) && after_lines
    }));
    cues.extend(searches.filter(|n| is(words, *n, &["grep", "find", "search"])));
    for cue in cues {
        let (begin, end) = extent(words, cue + 1, to);
        if begin < end {
            return Some((take(words, begin, end), true));
        }
    }
    // "Any timeouts in the logs of 19?", "errors in its logs"
    let logs = (from..to).find(|n| is(words, *n, &["log", "logs"]))?;
    let errors =
        ["error", "errors", "warning", "warnings", "exception", "exceptions", "timeout", "timeouts", "fatal"];
    let n = (from..to).find(|n| is(words, *n, &errors) && n.abs_diff(logs) <= 5)?;
    let word = words.get(n)?;
    Some((singular(&word.en), false))
}

fn is(words: &[Word], at: usize, of: &[&str]) -> bool {
    words.get(at).is_some_and(|w| w.is_any(of))
}

/// Where the text behind a cue begins and ends.
fn extent(words: &[Word], mut from: usize, to: usize) -> (usize, usize) {
    let lead = [
        "the", "a", "an", "word", "words", "string", "text", "phrase", "pattern", "all", "any", "lines", "me",
    ];
    while from < to && is(words, from, &lead) {
        from += 1;
    }
    let mut end = from;
    while end < to {
        let Some(word) = words.get(end).filter(|w| w.role == Role::Plain) else { break };
        if word.is_any(&[
            "in", "of", "on", "from", "within", "during", "since", "over", "inside", "across", "at", "for",
            "please", "now",
        ]) && leads_away(words, end + 1, to)
        {
            break;
        }
        if end == from && word.is_any(&["logs", "log", "output", "customer", "out", "its", "it", "through"]) {
            break;
        }
        end += 1;
        if word.after >= Break::Stop {
            break;
        }
    }
    (from, end)
}

/// Whether a preposition's object is a place or a time, and not part of the text before it.
fn leads_away(words: &[Word], mut at: usize, to: usize) -> bool {
    while at < to
        && is(
            words,
            at,
            &["the", "a", "an", "all", "its", "their", "last", "past", "latest", "recent", "our"],
        )
    {
        at += 1;
    }
    at >= to
        || words.get(at).is_some_and(|w| w.role != Role::Plain)
        || is(
            words,
            at,
            &["logs", "log", "it", "there", "them", "output", "customer", "service", "container"],
        )
}

fn take(words: &mut [Word], from: usize, to: usize) -> String {
    let mut parts = Vec::new();
    for word in words.iter_mut().take(to).skip(from) {
        word.role = Role::Text;
        parts.push(word.raw.clone());
    }
    match parts.as_slice() {
        [only] => singular(only),
        _ => parts.join(" "),
    }
}

/// `errors` finds no line that says ERROR.
fn singular(word: &str) -> String {
    let plain = word.len() >= 5 && word.chars().all(|c| c.is_ascii_lowercase());
    match word.strip_suffix('s').filter(|b| plain && !b.ends_with(['s', 'u', 'i'])) {
        Some(base) => base.to_owned(),
        None => word.to_owned(),
    }
}

/// The words behind "explain", "mean" or a colon: the error that somebody asks about.
pub(super) fn explained(words: &mut [Word], from: usize, to: usize) -> Option<String> {
    if let Some(quote) = words.get(from..to).and_then(quoted) {
        return Some(quote);
    }
    let about = [
        "this",
        "the",
        "error",
        "message",
        "that",
        "following",
        "me",
        "to",
        "a",
        "an",
        "it",
        "what",
        "does",
        "means",
        "mean",
        "explain",
        "log",
    ];
    let colon = (from..to).find(|n| words.get(*n).is_some_and(|w| w.after == Break::Comma)).map(|n| n + 1);
    let cue = (from..to).find(|n| is(words, *n, &["explain", "does"])).map(|n| n + 1);
    let mut begin = colon.or(cue)?;
    while begin < to && is(words, begin, &about) {
        begin += 1;
    }
    let end = (begin..to).find(|n| is(words, *n, &["mean", "means"])).unwrap_or(to);
    (begin < end).then(|| take(words, begin, end))
}

/// The name of a playbook: beside that word, or the one word with a hyphen.
pub(super) fn playbook(words: &mut [Word], from: usize, to: usize) -> Option<String> {
    let free = |words: &[Word], n: usize| {
        words.get(n).is_some_and(|w| {
            w.role == Role::Plain
                && !lexicon::STOP.contains(&w.en.as_str())
                && !w.is_any(&["run", "execute", "start", "which", "list", "playbook", "playbooks", "all"])
        })
    };
    let hyphen = (from..to).find(|n| {
        words.get(*n).is_some_and(|w| {
            w.role == Role::Plain && w.raw.contains(['-', '_']) && words::fold(&w.raw) != "check-up"
        })
    });
    let beside = (from..to).find(|n| is(words, *n, &["playbook"])).and_then(|n| {
        let after = (n + 1 < to && free(words, n + 1)).then_some(n + 1);
        after.or_else(|| n.checked_sub(1).filter(|b| *b >= from && free(words, *b)))
    });
    let n = hyphen.or(beside)?;
    let word = words.get_mut(n)?;
    word.role = Role::Text;
    Some(word.raw.clone())
}

/// The id of a kept output: eight hexadecimal digits.
pub(super) fn kept_id(words: &mut [Word], from: usize, to: usize) -> Option<String> {
    let digits = |w: &Word| {
        w.role == Role::Plain && w.raw.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    };
    // One of another length counts where it is called an output.
    let id = |n: usize| {
        let called = n.checked_sub(1).is_some_and(|b| b >= from && is(words, b, &["output", "id"]));
        words.get(n).is_some_and(|w| digits(w) && (w.raw.len() == 8 || called && w.raw.len() >= 4))
    };
    let at = (from..to).find(|n| id(*n))?;
    let word = words.get_mut(at)?;
    word.role = Role::Text;
    Some(word.raw.clone())
}
