//! Evidence for a small screen: logs as their last and most telling lines, findings with what they rest on.

use super::{
    CAPTION_ROOM, Look, SHARE,
    post::{Body, Post},
    rich::Pen,
    split,
    table::Shown,
    text::{count, cut, file_name, is_blank, lines, moment, one_line, units},
};
use crate::domain::{Finding, Severity};

/// A log of more lines than this goes as a file.
const LOG_LINES: usize = 40;
/// The longest line of an excerpt, in UTF-16 units.
const LINE: usize = 160;
/// An excerpt's share for its last lines, and in all, in UTF-16 units.
const LAST: usize = 400;
const EXCERPT: usize = 650;
/// The most that a file holds, in bytes: below what Telegram takes.
const FILE_BYTES: usize = 40_000_000;
/// A quoted passage has at most this many lines, each at most so many UTF-16 units.
const QUOTE_LINES: usize = 6;
const QUOTE_LINE: usize = 240;
/// A quote up to this length stands as one line of code.
const QUOTE_CODE: usize = 80;
/// Words that make a line worth more than its neighbours.
const TELLING: [&str; 14] = [
    "error",
    "fatal",
    "panic",
    "exception",
    "critical",
    "emerg",
    "oom",
    "killed",
    "refused",
    "denied",
    "fail",
    "timeout",
    "timed out",
    "traceback",
];

/// A log: all of it when it is short, else an excerpt below a file with everything.
pub(super) fn log(source: &str, raw: &[String], omitted: u64, look: &Look<'_>) -> Shown {
    let all: Vec<String> =
        raw.iter().flat_map(|line| if is_blank(line) { vec![String::new()] } else { lines(line) }).collect();
    let source = match one_line(source) {
        name if is_blank(&name) => "log".to_owned(),
        name => cut(&name, 80),
    };
    let mut pen = Pen::default();
    pen.text("📄 ").bold(&source);
    if omitted > 0 {
        pen.text(&format!(" ({omitted} earlier lines not shown)"));
    }
    let text = all.join("\n");
    if is_blank(&text) {
        pen.text("\n(no lines)");
        return Shown::Inline(pen.finish());
    }
    if all.len() <= LOG_LINES && units(&text) + pen.at() < SHARE.min(look.room) {
        pen.text("\n").pre(&text);
        return Shown::Inline(pen.finish());
    }
    let (excerpt, shown) = excerpt(&all);
    pen.text(&format!("\nThe last and most telling of {}:\n", count(all.len(), "line")));
    pen.pre(&excerpt);
    if all.len() > shown {
        pen.text(&format!("\n… {} more in the file", all.len() - shown));
    }
    Shown::File(Post {
        body: Body::File {
            name: file_name(&source, "log", "log.txt"),
            content: bounded(text).into_bytes().into(),
            caption: split::head(pen.finish(), CAPTION_ROOM),
        },
        keyboard: vec![],
        card: None,
        quiet: false,
    })
}

/// The lines worth seeing first, in their order, with a mark at every gap; and how many they are.
fn excerpt(all: &[String]) -> (String, usize) {
    let mut kept = vec![false; all.len()];
    let mut room = EXCERPT;
    let take = |n: usize, least: usize, room: &mut usize, kept: &mut Vec<bool>| {
        let size = all.get(n).map_or(0, |l| units(&cut(l, LINE))) + 3;
        let fits = *room >= size + least;
        if fits && let Some(kept) = kept.get_mut(n) {
            *kept = true;
            *room -= size;
        }
        fits
    };
    let last = (0..all.len()).rev().take_while(|n| take(*n, EXCERPT - LAST, &mut room, &mut kept)).count();
    let telling = |line: &String| {
        let line = line.to_lowercase();
        TELLING.iter().any(|word| line.contains(word))
    };
    let earlier = all.len() - last;
    let told: Vec<usize> = (0..earlier).rev().filter(|n| all.get(*n).is_some_and(telling)).take(8).collect();
    for n in told {
        if !take(n, 0, &mut room, &mut kept) {
            break;
        }
    }
    let mut out: Vec<String> = Vec::new();
    let mut gap = false;
    for (line, kept) in all.iter().zip(&kept) {
        if *kept {
            if gap && !out.is_empty() {
                out.push("⋯".to_owned());
            }
            out.push(cut(line, LINE));
        }
        gap = !*kept;
    }
    (out.join("\n"), kept.iter().filter(|k| **k).count())
}

/// `text`, at most [`FILE_BYTES`] long; a cut is named.
pub(super) fn bounded(mut text: String) -> String {
    if text.len() > FILE_BYTES {
        text.truncate(text.floor_char_boundary(FILE_BYTES));
        text.push_str("\n… cut here: the rest is too long for a file in a chat\n");
    }
    text
}

/// The mark of a severity; the shapes differ as well as the colours.
pub(super) fn mark(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical => "🛑",
        Severity::Warning => "⚠️",
        Severity::Info => "ℹ️",
        Severity::Ok => "✅",
    }
}

/// One claim: mark and sentence, where and when it was seen, what it rests on.
pub(super) fn finding(pen: &mut Pen, finding: &Finding, look: &Look<'_>) {
    let summary = one_line(&finding.summary);
    pen.text(mark(finding.severity)).text(" ");
    pen.bold(if is_blank(&summary) { finding.severity.word() } else { &summary });
    let source = one_line(&finding.source);
    let at = finding.at.map(|at| moment(at, look.now));
    if !is_blank(&source) || at.is_some() {
        pen.text("\n").code(&source);
        pen.text(if is_blank(&source) || at.is_none() { "" } else { " · " });
        pen.text(&at.unwrap_or_default());
    }
    if let Some(raw) = finding.quote.as_deref().filter(|q| !is_blank(q)) {
        pen.text("\n");
        quote(pen, raw);
    }
}

/// Foreign words as code: nothing in them can be tapped, and none can pass for our own.
fn quote(pen: &mut Pen, raw: &str) {
    let all = lines(raw);
    let short = all.iter().map(|l| units(l)).sum::<usize>() <= QUOTE_CODE;
    if let ([only], true) = (all.as_slice(), short) {
        pen.code(only.trim());
        return;
    }
    let mut shown: Vec<String> = all.iter().take(QUOTE_LINES).map(|l| cut(l, QUOTE_LINE)).collect();
    if all.len() > QUOTE_LINES {
        shown.push(format!("… {} more", count(all.len() - QUOTE_LINES, "line")));
    }
    pen.pre(&shown.join("\n"));
}
