//! Which log lines tell of trouble, and which of them say the same.

use std::{collections::BTreeMap, sync::LazyLock};

use jiff::Timestamp;
use regex::Regex;
use serde_json::Value;

use crate::docker::LogLine;

/// How bad a line is; the later the worse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Trouble {
    /// A warning about something that does not work.
    Warning,
    /// An answer with a 5xx status in an access log.
    Answer(u16),
    /// An error.
    Error,
    /// The program cannot go on.
    Fatal,
}

/// Lines that say the same but for numbers and names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster {
    /// How bad.
    pub trouble: Trouble,
    /// How many lines.
    pub count: u64,
    /// The time of the first.
    pub first: Option<Timestamp>,
    /// The time of the last.
    pub last: Option<Timestamp>,
    /// The last line, cleaned.
    pub sample: String,
}

/// A pattern of this file; the tests prove that each one compiles.
type Pattern = LazyLock<Option<Regex>>;

fn hit(pattern: &Pattern, text: &str) -> bool {
    pattern.as_ref().is_some_and(|p| p.is_match(text))
}

fn group<'t>(pattern: &Pattern, text: &'t str) -> Option<&'t str> {
    let found = pattern.as_ref()?.captures(text)?;
    found.iter().skip(1).flatten().next().map(|m| m.as_str())
}

fn without(pattern: &Pattern, text: &str, by: &str) -> String {
    pattern.as_ref().map_or_else(|| text.to_owned(), |p| p.replace_all(text, by).into_owned())
}

static ACCESS: Pattern = LazyLock::new(|| Regex::new(r#"HTTP/\d(?:\.\d)?"?\s+(\d{3})(?:\s|$)"#).ok());

static FIELD: Pattern = LazyLock::new(|| {
    Regex::new(
        r#"(?i)(?:"(?:level|severity|lvl|log_?level)"\s*:\s*"?|\b(?:level|lvl|severity)="?)([a-z0-9]+)"#,
    )
    .ok()
});

static WORD: Pattern = LazyLock::new(|| {
    Regex::new(concat!(
        r"\b(TRACE|DEBUG|INFO|NOTICE|WARN|WARNING|ERROR|ERR|SEVERE|CRITICAL|CRIT|FATAL|PANIC|EMERG|LOG)\b",
        r"|[\[<](?i:(trace|debug|info|notice|warn|warning|error|err|crit|critical|fatal|panic|alert|emerg))[\]>]",
    ))
    .ok()
});

/// What is fatal whatever the level says.
static HARD: Pattern = LazyLock::new(|| {
    Regex::new(concat!(
        r"(?i)\bout of memory\b|\boom[- _]?kill|\bkilled process\b|\bsegmentation fault\b|\bsegfault\b",
        r"|\bno space left on device\b|\bterminated by signal\b|\bpanicked at\b|\bpanic:",
    ))
    .ok()
});

/// Phrases that hold a bad word and no bad news.
static BENIGN: Pattern = LazyLock::new(|| {
    Regex::new(concat!(
        r"(?i)\b(?:0|no|without|zero)\s+(?:\w+\s+)?(?:errors?|fail\w*|exceptions?|timeouts?|time-outs?)\b",
        r#"|\b\w*(?:errors?|fail\w*|exceptions?)["']?\s*[=:]\s*["']?(?:0+(?:\.0+)?|none|null|nil|false|no|""|-)(?:[\s,;)}"'\]]|$)"#,
        r"|\berror[- ]?rate\W+0(?:\.0+)?\s*%?(?:\W|$)",
        r#"|\b\w*time-?out\w*["']?\s*(?:[=:]|is|of|set to)\s*["']?\d+\s*\w*"#,
        r"|\berror[- _](?:handl\w*|log\w*|pages?|report\w*|counts?)\b|\b(?:on|if|until)[- ](?:error|failure)\b",
    ))
    .ok()
});

/// File names and addresses: `/var/log/error.log` is no error.
static PLACES: Pattern = LazyLock::new(|| Regex::new(r#"(?:\b[a-z]+://|/)[^\s"',;)]+"#).ok());

static BAD: Pattern = LazyLock::new(|| {
    Regex::new(concat!(
        r"(?i)\b(?:errors?|(?-i:\w+(?:Error|Exception))|exception|fail(?:ed|ure|s)|fatal|panic(?:ked)?|critical|traceback",
        r"|refused|refuses|timed out|time-?out|unreachable|unavailable|aborted|denied|cannot|could not|can't",
        r"|unable to|no such|corrupt(?:ed|ion)?|deadlock|connection reset|broken pipe|does not answer|not responding",
        r"|exhausted|too many)\b",
    ))
    .ok()
});

/// Judges one line.
pub fn judge(line: &str) -> Option<Trouble> {
    if let Some(status) = group(&ACCESS, line).and_then(|s| s.parse::<u16>().ok())
        && !hit(&FIELD, line)
        && !leveled(line)
    {
        return (500..600).contains(&status).then_some(Trouble::Answer(status));
    }
    if hit(&HARD, line) {
        return Some(Trouble::Fatal);
    }
    let head = line.get(..line.floor_char_boundary(160)).unwrap_or(line);
    let level = group(&FIELD, line).or_else(|| group(&WORD, head)).map(str::to_lowercase);
    match level.as_deref() {
        Some("fatal" | "panic" | "crit" | "critical" | "emerg" | "alert" | "60") => Some(Trouble::Fatal),
        Some("error" | "err" | "severe" | "50") => Some(Trouble::Error),
        Some("warn" | "warning" | "40") => is_bad(line).then_some(Trouble::Warning),
        Some("trace" | "debug" | "info" | "notice" | "log" | "10" | "20" | "30") => None,
        Some(_) | None => is_bad(line).then_some(Trouble::Error),
    }
}

/// An error log quotes requests too (`[error] … request: "GET / HTTP/1.1", …`): then its level counts.
fn leveled(line: &str) -> bool {
    hit(&WORD, line.get(..line.floor_char_boundary(80)).unwrap_or(line))
}

fn is_bad(line: &str) -> bool {
    hit(&BAD, &without(&BENIGN, &without(&PLACES, line, " "), " "))
}

static QUOTED: Pattern = LazyLock::new(|| Regex::new(r#""[^"]*""#).ok());
static NUMBERS: Pattern = LazyLock::new(|| Regex::new(r"(?i)\b(?:0x)?[0-9a-f]{8,}\b|\d+").ok());

/// What a line says without its numbers, quotes and places.
fn gist(line: &str) -> String {
    let message = line.trim_start().starts_with('{').then(|| serde_json::from_str::<Value>(line.trim()).ok());
    let message = message.flatten().and_then(|json| {
        let field = ["msg", "message", "error", "err"].iter().find_map(|k| json.get(*k)?.as_str());
        field.map(str::to_owned)
    });
    let text = message.unwrap_or_else(|| without(&QUOTED, line, "\"\""));
    let text = without(&NUMBERS, &without(&PLACES, &text, "/"), "#");
    text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(160).collect()
}

/// Groups the lines that tell of trouble, the worst and most frequent first.
pub fn clusters(lines: &[LogLine]) -> Vec<Cluster> {
    let mut found: BTreeMap<(Trouble, String), Cluster> = BTreeMap::new();
    for line in lines {
        let text = line.text.as_str();
        let Some(trouble) = judge(text) else { continue };
        let key = if let Trouble::Answer(status) = trouble { status.to_string() } else { gist(text) };
        let cluster = found.entry((trouble, key)).or_insert_with(|| Cluster {
            trouble,
            count: 0,
            first: line.at,
            last: line.at,
            sample: String::new(),
        });
        cluster.count += 1;
        cluster.last = line.at.max(cluster.last);
        cluster.sample.clear();
        cluster.sample.push_str(text);
    }
    let mut all: Vec<_> = found.into_values().collect();
    all.sort_by(|a, b| {
        let rank = |c: &Cluster| (kind(c.trouble), c.count, c.last);
        rank(b).cmp(&rank(a))
    });
    all
}

/// Errors explain, answers only show: between kinds the order is fixed, within one the most frequent leads.
fn kind(trouble: Trouble) -> u8 {
    match trouble {
        Trouble::Fatal => 3,
        Trouble::Error => 2,
        Trouble::Answer(_) => 1,
        Trouble::Warning => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Untrusted;

    #[test]
    fn every_pattern_compiles() {
        for pattern in [&ACCESS, &FIELD, &WORD, &HARD, &BENIGN, &PLACES, &BAD, &QUOTED, &NUMBERS] {
            assert!(pattern.is_some());
        }
    }

    #[test]
    fn lines_are_judged() {
        let (a, e, f, w) = (Trouble::Answer(502), Trouble::Error, Trouble::Fatal, Trouble::Warning);
        let table: &[(&str, Option<Trouble>)] = &[
            (
                r#"1.2.3.4 - - [21/Nov/2026:10:30:24 +0000] "GET /cart HTTP/1.1" 502 157 "-" "x" rt=0.003"#,
                Some(a),
            ),
            (
                r#"1.2.3.4 - - [21/Nov/2026:10:30:24 +0000] "GET /error?timeout=failed HTTP/1.1" 200 5 "-""#,
                None,
            ),
            (r#"1.2.3.4 - - [x] "GET /favicon.ico HTTP/1.1" 404 153 "-" "x""#, None),
            (
                r#"2026/11/21 10:30:24 [error] 12#12: *4 connect() failed (111: Connection refused), request: "GET / HTTP/1.1", host: "x""#,
                Some(e),
            ),
            (r#"2026/11/21 10:30:24 [error] 12#12: *4 upstream sent "HTTP/1.1 200 OK" header"#, Some(e)),
            ("[app] 2026-11-21T10:30:24Z FATAL config: workers = \"16x\" is not a number", Some(f)),
            ("[app] 2026-11-21T10:30:24Z WARN dependency redis:6379 does not answer: x", Some(w)),
            ("[app] 2026-11-21T10:30:24Z WARN cache is cold", None),
            ("[app] 2026-11-21T10:30:24Z INFO retry after error 5", None),
            ("2026-11-21 10:29:27.000 UTC [1] LOG:  database system is ready to accept connections", None),
            (
                "2026-11-21 10:29:27 UTC [1] LOG:  server process (PID 9) was terminated by signal 9: Killed",
                Some(f),
            ),
            ("2026-11-21 10:29:27 UTC [7] ERROR:  deadlock detected", Some(e)),
            ("checkpoint complete: wrote 31 buffers; 0 WAL file(s) added; sync=0.011 s", None),
            (r#"{"level":"error","msg":"db gone"}"#, Some(e)),
            (r#"{"level":30,"msg":"errors: 3"}"#, None),
            (r#"{"level":60,"msg":"bye"}"#, Some(f)),
            ("time=x level=info msg=\"error budget fine\"", None),
            ("time=x level=warn msg=\"request timed out\"", Some(w)),
            ("Traceback (most recent call last):", Some(e)),
            ("ValueError: invalid literal", Some(e)),
            ("java.lang.NullPointerException: x", Some(e)),
            ("thread 'main' panicked at src/main.rs:3", Some(f)),
            ("Out of memory: Killed process 12 (node)", Some(f)),
            ("write: no space left on device", Some(f)),
            ("dial tcp 10.0.0.2:5432: connect: connection refused", Some(e)),
            ("errors=0 warnings=0", None),
            ("finished: 0 errors, 3 files", None),
            ("done without errors", None),
            ("no new failures", None),
            ("\"error\": null, \"ok\": true", None),
            ("error: none", None),
            ("error: 0x80004005", Some(e)),
            ("errors: 12", Some(e)),
            ("error rate: 0.0%", None),
            ("proxy_timeout = 30s", None),
            ("read timeout after 30s", Some(e)),
            ("opened /var/log/error.log", None),
            ("restart: on-failure", None),
            ("1:M 21 Nov 2026 10:30:12.000 * 197 changes in 60 seconds. Saving...", None),
            ("1:M 21 Nov # Can't save in background: fork: Cannot allocate memory", Some(e)),
            ("terror in the streets", None),
            ("", None),
        ];
        for (line, want) in table {
            assert_eq!(judge(line), *want, "{line}");
        }
    }

    fn line(n: i64, text: &str) -> LogLine {
        LogLine {
            at: Timestamp::from_second(1_795_257_000 + n).ok(),
            stderr: false,
            text: Untrusted::new(text),
            cut_from: None,
        }
    }

    #[test]
    fn lines_that_differ_in_numbers_and_quotes_are_one_cluster() {
        let mut lines = Vec::new();
        for n in 0..42 {
            let path = ["/", "/cart", "/checkout"][(n % 3) as usize];
            lines.push(line(n, &format!(
                "2026/11/21 10:30:{n:02} [error] 12#12: *{n} connect() failed (111: Connection refused), client: 1.2.3.{n}, \
                 request: \"GET {path} HTTP/1.1\", upstream: \"http://127.0.0.1:9000{path}\""
            )));
            lines.push(line(n, &format!("x \"GET {path} HTTP/1.1\" 502 1")));
        }
        lines.push(line(50, "ERROR worker pool exhausted: 16 of 16 workers blocked"));
        lines.push(line(51, "INFO all good"));
        lines.push(line(52, r#"{"level":"error","msg":"db 1 gone","id":"a"}"#));
        lines.push(line(53, r#"{"level":"error","msg":"db 2 gone","id":"b"}"#));
        let found = clusters(&lines);
        let counts: Vec<_> = found.iter().map(|c| (c.trouble, c.count)).collect();
        let (e, a) = (Trouble::Error, Trouble::Answer(502));
        assert_eq!(counts, [(e, 42), (e, 2), (e, 1), (a, 42)]);
        assert_eq!(found[0].last, lines[82].at);
        assert!(found[0].sample.contains("*41 connect()"), "{}", found[0].sample);
    }
}
