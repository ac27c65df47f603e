//! Calls that a model wrote as text, told apart from prose while the text streams.
//!
//! A [`Reader`] decides piece by piece: prose is shown at once, what is or may become a call is held back. Each decision
//! depends only on text that is already there and would stand whatever follows, so the result is the same for every
//! way of cutting the stream.

use serde_json::Value;

use super::call::{calls_in, close_json, is_meant, mentions};
use crate::agent::port::ModelCall;

/// What was read out of a text.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Found {
    /// The prose, trimmed, without the calls.
    pub text: String,
    /// Thinking that stood in a leading `<think>` block.
    pub thinking: String,
    /// The calls, in order.
    pub calls: Vec<ModelCall>,
    /// There was a call that is of no use: marked and unreadable, or unmarked and of no known tool.
    pub lost: bool,
}

/// Reads a whole text; `known` are the names of the tools on offer.
pub fn read(text: &str, known: &[&str]) -> Found {
    let mut reader = Reader::new(known.iter().map(|n| (*n).to_owned()).collect());
    reader.push(text);
    reader.finish(false).1
}

/// Reads a text as it streams.
#[derive(Debug)]
pub struct Reader {
    known: Option<Vec<String>>,
    buffer: String,
    place: Place,
    blank: String,
    found: Found,
    cut: bool,
    /// Lines that began like JSON and held no call.
    tries: usize,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    /// Only white space has been seen.
    start: bool,
    /// Only white space since the line began.
    line_start: bool,
    /// Within a fenced block that holds no call.
    code: bool,
    /// The last thing was a call.
    after_call: bool,
}

#[derive(Debug)]
enum Step {
    Wait,
    Prose(usize),
    /// Prose that opens a fenced block.
    Code(usize),
    /// The fence that ends such a block.
    CodeEnd(usize),
    Skip(usize),
    Thinking(usize, String),
    Calls(usize, Vec<ModelCall>),
    Lost(usize),
}

enum Match {
    Yes,
    No,
    Maybe,
}

const THINK: &str = "<think>";
const THINK_END: &str = "</think>";
const TAG: &str = "<tool_call>";
const TAG_END: &str = "</tool_call>";
const MISTRAL: &str = "[TOOL_CALLS]";
const PYTHON: &str = "<|python_tag|>";
const FENCE: &str = "```";
const MAX_INFO: usize = 60;
/// More than this is never held back: it is prose then.
const MAX_HELD: usize = 64 * 1024;
/// After so many lines that began like JSON and held no call, none is looked at any more.
const MAX_TRIES: usize = 64;

impl Reader {
    /// A reader that knows these tools.
    pub fn new(known: Vec<String>) -> Self {
        let place = Place { start: true, line_start: true, code: false, after_call: false };
        Self {
            known: Some(known),
            buffer: String::new(),
            place,
            blank: String::new(),
            found: Found::default(),
            cut: false,
            tries: 0,
        }
    }

    /// A reader for an answer without tools: nothing in it is a call.
    pub fn plain() -> Self {
        Self { known: None, ..Self::new(vec![]) }
    }

    /// Takes the next piece; returns what may be shown now.
    pub fn push(&mut self, piece: &str) -> String {
        self.buffer.push_str(piece);
        self.run(false)
    }

    /// Ends the text; `cut` when a length limit ended it, so that a half call is not mended. Returns what may be shown
    /// now, and everything that was found.
    pub fn finish(mut self, cut: bool) -> (String, Found) {
        self.cut = cut;
        let shown = self.run(true);
        (shown, self.found)
    }

    fn run(&mut self, end: bool) -> String {
        let buffer = std::mem::take(&mut self.buffer);
        let mut shown = String::new();
        let mut rest = buffer.as_str();
        while !rest.is_empty() {
            let step = self.step(rest, end);
            if matches!(step, Step::Prose(_)) && self.place.line_start && rest.starts_with(['{', '[']) {
                self.tries += 1;
            }
            let used = match step {
                Step::Wait if rest.len() <= MAX_HELD => break,
                Step::Wait => self.show(rest, rest.len(), &mut shown),
                Step::Prose(n) => self.show(rest, n, &mut shown),
                Step::Code(n) => {
                    self.place.code = true;
                    self.show(rest, n, &mut shown)
                }
                Step::CodeEnd(n) => {
                    self.place.code = false;
                    self.show(rest, n, &mut shown)
                }
                Step::Skip(n) => n,
                Step::Thinking(n, text) => {
                    self.found.thinking.push_str(text.trim());
                    n
                }
                Step::Calls(n, calls) => {
                    self.found.calls.extend(calls);
                    self.place = Place { start: false, line_start: true, code: false, after_call: true };
                    n
                }
                Step::Lost(n) => {
                    self.found.lost = true;
                    self.place.start = false;
                    n
                }
            };
            rest = rest.get(used.max(1)..).unwrap_or_default();
        }
        self.buffer = rest.to_owned();
        shown
    }

    fn show(&mut self, rest: &str, n: usize, shown: &mut String) -> usize {
        let piece = rest.get(..n).unwrap_or(rest);
        for c in piece.chars() {
            if c.is_whitespace() {
                self.blank.push(c);
            } else {
                if !self.found.text.is_empty() {
                    self.found.text.push_str(&self.blank);
                    shown.push_str(&self.blank);
                }
                self.blank.clear();
                self.found.text.push(c);
                shown.push(c);
                self.place.start = false;
                self.place.after_call = false;
            }
            self.place.line_start = c == '\n' || (self.place.line_start && c.is_whitespace());
        }
        piece.len()
    }

    fn step(&self, rest: &str, end: bool) -> Step {
        let blanks = rest.len() - rest.trim_start().len();
        if self.place.start && blanks > 0 {
            return Step::Prose(blanks);
        }
        if self.place.start {
            match starts(rest, THINK, end) {
                Match::Yes => return think(rest, end),
                Match::Maybe => return Step::Wait,
                Match::No => {}
            }
        }
        if self.known.is_none() {
            return Step::Prose(rest.len());
        }
        if self.place.after_call {
            let separators = rest.len() - rest.trim_start_matches([' ', '\t', '\r', '\n', ',', ';']).len();
            if separators > 0 {
                return Step::Skip(separators);
            }
        }
        if self.place.line_start && blanks > 0 {
            return Step::Prose(blanks);
        }
        self.marker(rest, end).unwrap_or_else(|| Step::Prose(prose_len(rest)))
    }

    /// What to do where a marker stands or may stand; none where there is certainly none.
    fn marker(&self, rest: &str, end: bool) -> Option<Step> {
        let mut maybe = false;
        for (marker, read) in [
            (TAG, Self::tag as fn(&Self, &str, bool) -> Step),
            (MISTRAL, Self::mistral),
            (PYTHON, Self::python),
            (FENCE, Self::fence),
        ] {
            if marker == FENCE && !self.place.line_start {
                continue;
            }
            match starts(rest, marker, end) {
                Match::Yes => return Some(read(self, rest, end)),
                Match::Maybe => maybe = true,
                Match::No => {}
            }
        }
        let json_may_begin = self.place.line_start && !self.place.code && self.tries < MAX_TRIES;
        if json_may_begin && rest.starts_with(['{', '[']) {
            return Some(self.bare(rest, end));
        }
        maybe.then_some(Step::Wait)
    }

    fn calls(&self, values: &[Value], marked: bool) -> Option<Vec<ModelCall>> {
        let known = self.known.as_deref().unwrap_or_default();
        let mut calls = vec![];
        for value in values {
            calls.extend(calls_in(value, known, marked)?);
        }
        (!calls.is_empty()).then_some(calls)
    }

    /// JSON at a line's start, unmarked.
    fn bare(&self, rest: &str, end: bool) -> Step {
        let second = rest.get(1..).unwrap_or_default().trim_start();
        let wanted = if rest.starts_with('{') { '"' } else { '{' };
        match second.chars().next() {
            None if !end => return Step::Wait,
            Some(c) if c == wanted => {}
            Some('T') if !end && MISTRAL.starts_with(rest) => return Step::Wait,
            _ => return Step::Prose(1),
        }
        let json = Json::read(rest, false);
        match json.end {
            JsonEnd::Whole => match self.calls(&json.values, false) {
                Some(calls) => Step::Calls(json.used, calls),
                None if json.values.iter().all(is_meant) => Step::Lost(json.used),
                None => Step::Prose(json.used),
            },
            JsonEnd::Open if !end => Step::Wait,
            JsonEnd::Open => self.unfinished(rest, rest, false).unwrap_or(Step::Prose(1)),
            JsonEnd::Bad => Step::Prose(1),
        }
    }

    /// A call whose JSON the end of the text cut: mended where only brackets lack, dropped where a limit cut it.
    fn unfinished(&self, rest: &str, json: &str, marked: bool) -> Option<Step> {
        if self.cut {
            let known = self.known.as_deref().unwrap_or_default();
            return (marked || mentions(json, known)).then_some(Step::Lost(rest.len()));
        }
        let closed = close_json(json)?;
        let calls = self.calls(&Json::read(&closed, true).values, marked)?;
        Some(Step::Calls(rest.len(), calls))
    }

    fn fence(&self, rest: &str, end: bool) -> Step {
        if self.place.code {
            return Step::CodeEnd(FENCE.len());
        }
        let Some(line) = rest.find('\n') else {
            let undecided = !end && rest.len() <= MAX_INFO;
            return if undecided { Step::Wait } else { Step::Prose(FENCE.len()) };
        };
        if line > MAX_INFO {
            return Step::Prose(FENCE.len());
        }
        let (head, body) = rest.split_at(line + 1);
        let blanks = body.len() - body.trim_start().len();
        let body = body.trim_start();
        match body.chars().next() {
            None if !end => return Step::Wait,
            Some('{' | '[') => {}
            _ => return Step::Code(head.len()),
        }
        let json = Json::read(body, true);
        let after = body.get(json.used..).unwrap_or_default();
        match (json.end, starts(after, FENCE, end)) {
            (JsonEnd::Whole, Match::Yes) => {
                let used = head.len() + blanks + json.used + FENCE.len();
                match self.calls(&json.values, false) {
                    Some(calls) => Step::Calls(used, calls),
                    None if json.values.iter().all(is_meant) => Step::Lost(used),
                    None => Step::Prose(used),
                }
            }
            (JsonEnd::Whole, Match::Maybe) => Step::Wait,
            (JsonEnd::Whole, Match::No) if after.is_empty() && end => match self.calls(&json.values, false) {
                Some(calls) => Step::Calls(rest.len(), calls),
                None => Step::Code(head.len()),
            },
            (JsonEnd::Open, _) if !end => Step::Wait,
            (JsonEnd::Open, _) => self.unfinished(rest, body, false).unwrap_or(Step::Code(head.len())),
            (JsonEnd::Whole | JsonEnd::Bad, _) => Step::Code(head.len()),
        }
    }

    fn tag(&self, rest: &str, end: bool) -> Step {
        let body = rest.get(TAG.len()..).unwrap_or_default();
        let json = Json::read(body, true);
        let after = body.get(json.used..).unwrap_or_default();
        let used = TAG.len() + json.used;
        let lost = || match body.find(TAG_END) {
            Some(at) => Step::Lost(TAG.len() + at + TAG_END.len()),
            None if !end => Step::Wait,
            None => Step::Lost(rest.len()),
        };
        match json.end {
            JsonEnd::Open if !end => Step::Wait,
            JsonEnd::Open => self.unfinished(rest, body, true).unwrap_or(Step::Lost(rest.len())),
            JsonEnd::Bad => lost(),
            JsonEnd::Whole => match (self.calls(&json.values, true), starts(after, TAG_END, end)) {
                (_, Match::Maybe) => Step::Wait,
                (Some(calls), Match::Yes) => Step::Calls(used + TAG_END.len(), calls),
                (Some(calls), Match::No) => Step::Calls(used, calls),
                (None, _) => lost(),
            },
        }
    }

    fn mistral(&self, rest: &str, end: bool) -> Step {
        let body = rest.get(MISTRAL.len()..).unwrap_or_default();
        let blanks = body.len() - body.trim_start().len();
        let trimmed = body.trim_start();
        if trimmed.is_empty() {
            return if end { Step::Lost(rest.len()) } else { Step::Wait };
        }
        if trimmed.starts_with(['{', '[']) {
            return self.marked_value(rest, MISTRAL.len() + blanks, end);
        }
        let name: String = trimmed.chars().take_while(|c| is_name(*c)).collect();
        let mut tail = trimmed.get(name.len()..).unwrap_or_default();
        let mut id = None;
        for tag in ["[CALL_ID]", "[ARGS]"] {
            match starts(tail, tag, end) {
                Match::Maybe => return Step::Wait,
                Match::No => continue,
                Match::Yes => tail = tail.get(tag.len()..).unwrap_or_default(),
            }
            if tag == "[CALL_ID]" {
                let text: String = tail.chars().take_while(|c| is_name(*c)).collect();
                tail = tail.get(text.len()..).unwrap_or_default();
                id = Some(text);
            }
        }
        let tail = tail.trim_start();
        if tail.is_empty() && !end {
            return Step::Wait;
        }
        if name.is_empty() || !tail.starts_with('{') {
            return Step::Lost(MISTRAL.len());
        }
        let at = rest.len() - tail.len();
        let json = Json::read(tail, false);
        match (json.end, json.values.into_iter().next()) {
            (JsonEnd::Whole, Some(args)) => Step::Calls(at + json.used, vec![ModelCall { id, name, args }]),
            (JsonEnd::Open, _) if !end => Step::Wait,
            (JsonEnd::Open, _) => Step::Lost(rest.len()),
            _ => Step::Lost(MISTRAL.len()),
        }
    }

    fn python(&self, rest: &str, end: bool) -> Step {
        let body = rest.get(PYTHON.len()..).unwrap_or_default();
        let blanks = body.len() - body.trim_start().len();
        match body.trim_start().chars().next() {
            None if !end => Step::Wait,
            Some('{' | '[') => self.marked_value(rest, PYTHON.len() + blanks, end),
            _ => Step::Skip(PYTHON.len()),
        }
    }

    /// One JSON value behind a marker, at `at`.
    fn marked_value(&self, rest: &str, at: usize, end: bool) -> Step {
        let body = rest.get(at..).unwrap_or_default();
        let json = Json::read(body, false);
        match json.end {
            JsonEnd::Whole => match self.calls(&json.values, true) {
                Some(calls) => Step::Calls(at + json.used, calls),
                None => Step::Lost(at + json.used),
            },
            JsonEnd::Open if !end => Step::Wait,
            JsonEnd::Open => self.unfinished(rest, body, true).unwrap_or(Step::Lost(rest.len())),
            JsonEnd::Bad => Step::Lost(at),
        }
    }
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.')
}

fn think(rest: &str, end: bool) -> Step {
    match rest.find(THINK_END) {
        Some(at) => {
            let text = rest.get(THINK.len()..at).unwrap_or_default().to_owned();
            Step::Thinking(at + THINK_END.len(), text)
        }
        None if !end => Step::Wait,
        None => Step::Thinking(rest.len(), rest.get(THINK.len()..).unwrap_or_default().to_owned()),
    }
}

/// How far prose surely goes: to the next character that may begin a marker, or past a line's end.
fn prose_len(rest: &str) -> usize {
    let mut chars = rest.char_indices();
    let mut first = true;
    for (at, c) in chars.by_ref() {
        if !first && matches!(c, '<' | '[') {
            return at;
        }
        if c == '\n' {
            return at + 1;
        }
        first = false;
    }
    rest.len()
}

fn starts(rest: &str, marker: &str, end: bool) -> Match {
    if rest.starts_with(marker) {
        Match::Yes
    } else if !end && marker.starts_with(rest) {
        Match::Maybe
    } else {
        Match::No
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum JsonEnd {
    /// Whole values, then something else (or nothing).
    Whole,
    /// The text ends within a value, or before one.
    Open,
    /// Not JSON.
    Bad,
}

struct Json {
    values: Vec<Value>,
    /// Bytes used, with the white space and separators that follow.
    used: usize,
    end: JsonEnd,
}

impl Json {
    /// Reads one object or array, or with `many` all that follow each other.
    fn read(text: &str, many: bool) -> Self {
        let mut json = Self { values: vec![], used: 0, end: JsonEnd::Open };
        loop {
            let rest = text.get(json.used..).unwrap_or_default();
            let separators: &[char] = if many { &[' ', '\t', '\r', '\n', ',', ';'] } else { &[] };
            let trimmed = rest.trim_start_matches(separators);
            let blanks = rest.len() - trimmed.len();
            if !trimmed.starts_with(['{', '[']) {
                json.used += blanks;
                if json.values.is_empty() {
                    json.end = if trimmed.is_empty() { JsonEnd::Open } else { JsonEnd::Bad };
                }
                return json;
            }
            let mut stream = serde_json::Deserializer::from_str(trimmed).into_iter::<Value>();
            match stream.next() {
                Some(Ok(value)) => {
                    json.used += blanks + stream.byte_offset();
                    json.values.push(value);
                    json.end = JsonEnd::Whole;
                    if !many {
                        return json;
                    }
                }
                Some(Err(e)) if !e.is_eof() => {
                    json.end = JsonEnd::Bad;
                    return json;
                }
                _ => {
                    json.end = JsonEnd::Open;
                    return json;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
