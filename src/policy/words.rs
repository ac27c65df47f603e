//! A person's own words, apart from what they quoted or pasted: only own words name a target.

use std::sync::LazyLock;

use regex::Regex;

use crate::domain::Untrusted;

/// A quoted span of at most this many words is a name in quotes; a longer one is somebody else's sentence.
const NAME_WORDS: usize = 2;

/// What a line looks like that a program wrote.
static LOG_LINE: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let line = [
        r"\d{4}[-/]\d\d[-/]\d\d[T ]\d\d:\d\d",
        r"\[?\d\d?/[A-Z][a-z]{2}/\d{4}",
        r"[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d",
        r"[\[(]?\d\d:\d\d:\d\d",
        r"\d{10,13}(?:\.\d+)?\s",
        r"\[[^\]]{1,60}\]\s*\S",
        r"(?:\d{1,3}\.){3}\d{1,3}\s",
        r"(?i:trace|debug|info|notice|warn|warning|error|err|fatal|critical|panic|exception)\s*[:\]|]",
        r"(?-i:TRACE|DEBUG|INFO|NOTICE|WARN|WARNING|ERROR|FATAL|CRITICAL)\b",
        r"[\w.-]+=\S+\s+[\w.-]+=\S+",
        r"(?:level|time|ts|msg|severity)=",
        r#"[{\[]\s*["{\[]"#,
        r#"["'][\w.-]+["']\s*:"#,
        r"[}\])]+,?\s*$",
        r"Traceback |Caused by|goroutine \d|thread '|stack backtrace|at \S+[(:]|File .+, line \d",
        r"[\w.-]+(?:\[\d+\])?\s*\|\s",
        r"\|",
        r"(?:GET|POST|PUT|DELETE|PATCH|HEAD) /\S* ",
        r"[$#%] ",
    ];
    Regex::new(&format!(r"^\s*(?:{})", line.join("|"))).ok()
});

/// `text` without quotes and pastes: `>` lines, fenced blocks, quoted spans and inline code of more than two words,
/// what follows an attribution or "original message", and blocks that look like logs, from their first such line to
/// the blank line after their last. Favours leaving words out: the cost is a question, not a wrong target.
pub fn own_words(text: &str) -> String {
    let clean = Untrusted::new(text);
    let lines: Vec<_> = without_fences(clean.as_str());
    let kept = without_pastes(&lines);
    without_spans(&kept.join("\n")).trim().to_owned()
}

fn without_fences(text: &str) -> Vec<&str> {
    let mut fence: Option<&str> = None;
    let mut kept = Vec::new();
    for line in text.lines() {
        let start = line.trim_start();
        let mark = ["```", "~~~"].into_iter().find(|mark| start.contains(mark));
        match (fence, mark) {
            (None, None) => kept.push(line),
            // A block on one line, or the first line of one.
            (None, Some(mark)) => {
                kept.push(line.split(mark).next().unwrap_or_default());
                fence = (line.matches(mark).count() % 2 == 1).then_some(mark);
            }
            (Some(open), Some(mark)) if open == mark => fence = None,
            (Some(_), _) => {}
        }
    }
    kept
}

fn without_pastes<'a>(lines: &[&'a str]) -> Vec<&'a str> {
    let mut kept = Vec::new();
    // Where a pasted log began, counted in kept lines; what lies between two log lines was pasted with them.
    let mut log_from: Option<usize> = None;
    let mut in_block = false;
    for line in lines {
        let trimmed = line.trim();
        let lower = trimmed.to_lowercase();
        if lower.starts_with("-----original") || lower.starts_with("---------- forwarded") {
            break;
        }
        if trimmed.is_empty() {
            in_block = false;
            kept.push("");
        } else if is_log(line) {
            let from = *log_from.get_or_insert(kept.len());
            kept.truncate(from);
            in_block = true;
        } else if in_block || is_quote(line, &lower) {
        } else {
            kept.push(line);
        }
    }
    kept
}

fn is_log(line: &str) -> bool {
    let indented = line.starts_with('\t') || line.starts_with("    ");
    // Without the expression nothing could be told apart, so nothing would count as own words.
    (indented && !line.trim().is_empty()) || LOG_LINE.as_ref().is_none_or(|regex| regex.is_match(line))
}

fn is_quote(line: &str, lower: &str) -> bool {
    let attribution = ["wrote:", "schrieb:", "said:", "sagte:", "says:", "sagt:"];
    line.trim_start().starts_with(['>', '›', '»', '┃', '│'])
        || (attribution.iter().any(|end| lower.ends_with(end))
            && lower.split_whitespace().count() > NAME_WORDS)
}

/// Removes quoted spans; one that is never closed ends with the text.
fn without_spans(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    // Once a kind of quote was not closed, no later one of its kind is: looking again would take quadratic time.
    let mut unclosed: Vec<char> = Vec::new();
    while let Some(&c) = chars.get(at) {
        let before = at.checked_sub(1).and_then(|n| chars.get(n)).copied();
        let Some(closers) = closers(c, before) else {
            out.push(c);
            at += 1;
            continue;
        };
        let rest = chars.get(at + 1..).unwrap_or_default();
        let end = if unclosed.contains(&c) {
            None
        } else {
            rest.iter()
                .enumerate()
                .position(|(n, x)| closers.contains(x) && closes(*x, rest.get(n + 1).copied()))
        };
        if end.is_none() && !unclosed.contains(&c) {
            unclosed.push(c);
        }
        let (span, next) = match end {
            Some(end) => (rest.get(..end).unwrap_or_default(), at + end + 2),
            None => (rest, chars.len()),
        };
        let span: String = span.iter().collect();
        if span.split_whitespace().count() <= NAME_WORDS && !span.contains('\n') {
            out.push(' ');
            out.push_str(&span);
        }
        out.push(' ');
        at = next;
    }
    out
}

/// What closes the quote that `c` opens, if it opens one here.
fn closers(c: char, before: Option<char>) -> Option<&'static [char]> {
    match c {
        '"' | '“' | '”' | '„' | '‟' | '＂' => Some(&['"', '“', '”', '‟', '＂']),
        '«' => Some(&['»', '"']),
        '»' => Some(&['«', '"']),
        '‹' => Some(&['›']),
        '‘' | '‚' => Some(&['’', '‘', '\'']),
        '`' => Some(&['`', '´']),
        // An apostrophe follows a letter.
        '\'' if before.is_none_or(|b| !b.is_alphanumeric()) => Some(&['\'', '’']),
        _ => None,
    }
}

/// An apostrophe inside a word closes nothing.
fn closes(c: char, after: Option<char>) -> bool {
    !matches!(c, '\'' | '’') || after.is_none_or(|a| !a.is_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_and_pastes_go_and_own_words_stay() {
        let log = "2026-11-21T10:00:00Z ERROR restart customer 7";
        let table = [
            ("restart customer 19", "restart customer 19"),
            ("> restart customer 7\nno, 19", "no, 19"),
            ("  >restart 7\n>> and 8\nwhat is this?", "what is this?"),
            ("look:\n```\nrestart customer 7\n```\nfor 19", "look:\n\nfor 19"),
            ("look ```restart customer 7``` please", "look"),
            ("look:\n```\nrestart customer 7", "look:"),
            ("the log says \"please restart customer 7\", why?", "the log says  , why?"),
            ("the log says “restart customer 7 now” hm", "the log says   hm"),
            ("er schrieb „bitte Kunde 7 neu starten“, warum?", "er schrieb  , warum?"),
            ("it says «restart customer 7 now» ok", "it says   ok"),
            ("it says 'restart customer 7 now' ok", "it says   ok"),
            ("it says `docker restart c7 db` ok", "it says   ok"),
            ("it says \"restart customer 7", "it says"),
            ("restart \"web\" of `Acme Labs`", "restart  web  of  Acme Labs"),
            ("it's the customers' web, don't wait", "it's the customers' web, don't wait"),
            (log, ""),
            (&format!("see:\n{log}\n  at restart 8\nand that\n\nwhat about 19?"), "see:\n\nwhat about 19?"),
            (&format!("see:\n{log}\n\nrestart customer 7\n\n{log}\n\nwhy?"), "see:\n\nwhy?"),
            ("{\"customer\": 7, \"do\": \"restart\"}", ""),
            ("[error] restart customer 7", ""),
            ("level=error msg=restart customer=7", ""),
            ("10.0.0.7 - - [21/Nov/2026] GET /", ""),
            ("Traceback (most recent call last):\n  File \"x\", line 7\n\nwhy?", "why?"),
            ("web-1  | restart customer 7", ""),
            ("\trestart customer 7", ""),
            ("On Monday Ben wrote:\n> restart 7\nis 19 ok?", "is 19 ok?"),
            ("is 19 ok?\n-----Original Message-----\nrestart 7", "is 19 ok?"),
            ("19\u{200b}0 and \u{202e}x", "190 and x"),
        ];
        for (text, want) in table {
            assert_eq!(own_words(text), want, "{text:?}");
        }
        assert!(LOG_LINE.is_some());
    }

    #[test]
    fn long_messages_take_linear_time() {
        for unit in ["\"", "'a ", "“x y z ", "`", "```\n", "> a\n", "[x] y\n\n"] {
            let text = unit.repeat((1 << 20) / unit.len());
            assert!(own_words(&text).len() <= text.len() * 2, "{unit:?}");
        }
    }
}
