//! The third way to a call: a JSON schema over all tools forces the answer's shape, and no tools are sent.
//!
//! Servers may sort a schema's keys, and a model writes them in that order: `name` comes before `params` either way.

mod asked;

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use super::{
    call::calls_in,
    lenient::{self, Found},
};
use crate::{
    agent::port::{CallMode, Message, ModelCall, ModelRequest},
    domain::{Param, ParamKind, Risk, ToolSpec},
};

/// The name of the variant that is plain text.
const NONE: &str = "none";
/// The most examples of one call each in the instructions.
const EXAMPLES: usize = 4;
/// The most calls of one answer.
const CALLS: usize = 4;
/// How many of a tool's phrases the instructions name.
const PHRASES: usize = 4;

/// The schema of an answer: a list of calls, with a variant per kind of parameters (tools that take the same share one,
/// which keeps the request small), or plain text. Optional parameters that `said`, in lower case, cannot ask for are left
/// out.
///
/// A list even for one call and for text: a small model goes on with a second object where it would not have begun a
/// list, and what it does is decided by a name, not by a bracket.
pub fn schema(tools: &[ToolSpec], said: &str) -> Value {
    let mut kinds: Vec<(Value, Vec<&str>)> = vec![];
    for tool in tools {
        let params = forced(tool, said);
        match kinds.iter_mut().find(|(kind, _)| *kind == params) {
            Some((_, names)) => names.push(tool.name),
            None => kinds.push((params, vec![tool.name])),
        }
    }
    let text = json!({"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]});
    let list =
        |items: Value, most: usize| json!({"type": "array", "items": items, "minItems": 1, "maxItems": most});
    let text = list(variant(&[NONE], text), 1);
    if kinds.is_empty() {
        return text;
    }
    let variants: Vec<_> = kinds.into_iter().map(|(params, names)| variant(&names, params)).collect();
    json!({"anyOf": [list(json!({"anyOf": variants}), CALLS), text]})
}

/// The schema that forces the answer to `request`.
pub fn schema_for(mode: CallMode, request: &ModelRequest) -> Value {
    let tools: &[ToolSpec] = if mode == CallMode::Words { &[] } else { &request.tools };
    schema(tools, &asked::said(request))
}

fn variant(names: &[&str], params: Value) -> Value {
    json!({
        "type": "object",
        "properties": {"name": {"enum": names}, "params": params},
        "required": ["name", "params"],
    })
}

/// The parameters' schema without help, which the instructions give, and with a span of time held to its form.
fn forced(tool: &ToolSpec, said: &str) -> Value {
    let mut schema = tool.schema();
    let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) else { return schema };
    for param in &tool.params {
        if !asked::can_be_asked(param, said) {
            properties.shift_remove(param.name);
        } else if let Some(property) = properties.get_mut(param.name).and_then(Value::as_object_mut) {
            property.remove("description");
            if param.kind == ParamKind::Duration {
                property.insert("pattern".into(), "^[1-9][0-9]{0,3}[smh]$".into());
            }
        }
    }
    schema
}

/// What the system message is told about the shape, the tools and a few examples made from their specs.
pub fn instructions(tools: &[ToolSpec]) -> String {
    let mut text = String::from(
        "Answer with JSON and nothing else: [{\"name\":TOOL,\"params\":{…}}] calls a tool, with one object more for \
         each further call; [{\"name\":\"none\",\"params\":{\"text\":…}}] says text to the person. Take names and ids \
         from the conversation, never from the examples; leave out every parameter with ? that nobody asked for. \
         Tools:\n",
    );
    for tool in tools {
        let params: Vec<_> = tool.params.iter().map(signature).collect();
        write!(text, "{}({}): {}", tool.name, params.join(", "), tool.summary).unwrap_or_default();
        if !tool.phrases.is_empty() {
            let said: Vec<_> = tool.phrases.iter().take(PHRASES).copied().collect();
            write!(text, " Also: {}.", said.join(", ")).unwrap_or_default();
        }
        text.push('\n');
    }
    text.push_str("Examples:");
    for (said, answer) in examples(tools) {
        write!(text, "\n{said} -> {answer}").unwrap_or_default();
    }
    text
}

/// What a person says and the answer to it: thanks, questions back, a wish not to, single calls, two at once. What comes
/// last weighs most.
fn examples(tools: &[ToolSpec]) -> Vec<(String, Value)> {
    let none = |text: &str| json!([{"name": NONE, "params": {"text": text}}]);
    let write = tools.iter().find(|t| t.is_write() && t.floor < Risk::Blocked && t.params.len() > 1);
    let picked = pick(tools);
    let reads: Vec<_> = picked.iter().filter(|t| !t.is_write() && !t.params.is_empty()).collect();
    let mut all = vec![("thanks".to_owned(), none("You are welcome."))];
    if let Some(read) = reads.first() {
        all.push((format!("show me {}", Example::of(read, 0).words()), none("Of which customer?")));
    }
    if let Some(write) = write {
        let example = Example::of(write, EXAMPLES + 1);
        all.push((format!("{} it", example.words()), none("Which customer do you mean?")));
        all.push((format!("do not {}", example.said()), none("All right, I leave it alone.")));
    }
    all.extend(picked.iter().enumerate().map(|(n, tool)| {
        let example = Example::of(tool, n);
        (example.said(), json!([example.call()]))
    }));
    if let [first, second, ..] = reads.as_slice() {
        let (first, second) = (Example::of(first, EXAMPLES), Example::of(second, EXAMPLES));
        let said = format!("{} and {}", first.words(), second.said());
        all.push((said, json!([first.call(), second.call()])));
    }
    all
}

/// The n-th example: a call with values of its own.
struct Example<'a> {
    tool: &'a ToolSpec,
    n: usize,
}

impl<'a> Example<'a> {
    fn of(tool: &'a ToolSpec, n: usize) -> Self {
        Self { tool, n }
    }

    fn words(&self) -> String {
        self.tool.name.replace('_', " ")
    }

    /// Optional ones mostly stay out: a small model copies what it sees into calls where nobody asked for it.
    fn params(&self) -> impl Iterator<Item = (&'a Param, Value)> {
        let n = self.n;
        let shown = move |p: &&Param| p.required || (n % 2 == 1 && p.kind == ParamKind::Service);
        self.tool.params.iter().filter(shown).map(move |p| (p, sample(p, n)))
    }

    fn call(&self) -> Value {
        let params: Map<_, _> = self.params().map(|(p, value)| (p.name.to_owned(), value)).collect();
        json!({"name": self.tool.name, "params": params})
    }

    /// `restart container S48 of Acme48`
    fn said(&self) -> String {
        let (mut said, mut whose) = (self.words(), String::new());
        for (param, value) in self.params() {
            let value = plain(&value);
            if param.kind == ParamKind::Customer {
                let noun = if value.starts_with(|c: char| c.is_ascii_digit()) { "customer " } else { "" };
                whose = format!(" of {noun}{value}");
            } else {
                write!(said, " {value}").unwrap_or_default();
            }
        }
        said + &whose
    }
}

/// Tools for the examples: those that differ in what they take first.
fn pick(tools: &[ToolSpec]) -> Vec<&ToolSpec> {
    let shape = |t: &ToolSpec| t.params.iter().map(|p| (p.name, p.required)).collect::<Vec<_>>();
    let mut picked: Vec<&ToolSpec> = vec![];
    for tool in tools {
        if picked.len() < EXAMPLES && !picked.iter().any(|p| shape(p) == shape(tool)) {
            picked.push(tool);
        }
    }
    for tool in tools {
        if picked.len() < EXAMPLES && !picked.iter().any(|p| p.name == tool.name) {
            picked.push(tool);
        }
    }
    picked
}

fn signature(param: &Param) -> String {
    let optional = if param.required { "" } else { "?" };
    let kind = match param.kind {
        ParamKind::Integer { min, max } => format!(": {min}..{max}"),
        ParamKind::Duration => ": 15m, 2h …".into(),
        ParamKind::Choice(words) => format!(": {}", words.join("|")),
        ParamKind::Customer => ": id or name".into(),
        ParamKind::Service | ParamKind::Text => String::new(),
    };
    format!("{}{optional}{kind}", param.name)
}

/// A value for the n-th example: each has its own, so that a model learns to copy from the question; none of them is
/// likely to exist.
fn sample(param: &Param, n: usize) -> Value {
    let number = 31 + 17 * n;
    match param.kind {
        // People say numbers as often as names.
        ParamKind::Customer if n.is_multiple_of(2) => format!("90{number}").into(),
        ParamKind::Customer => nth(&["Acme", "Globex", "Initech"], n / 2),
        ParamKind::Service => nth(&["mailer", "indexer", "queue"], n / 2),
        ParamKind::Text => format!("T{number}").into(),
        ParamKind::Integer { min, max } => {
            i64::try_from(number).unwrap_or(max).clamp(min, max.max(min)).into()
        }
        ParamKind::Duration => format!("{number}m").into(),
        ParamKind::Choice(words) => nth(words, n),
    }
}

fn nth(words: &[&str], n: usize) -> Value {
    words.get(n % words.len().max(1)).copied().unwrap_or_default().into()
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// The prompt without tool roles, which a template may lack: calls become the JSON that is wanted, results a person's
/// message, and neighbours of one role are joined because some templates insist on turns.
pub fn messages(messages: &[Message], tools: &[ToolSpec]) -> Vec<Message> {
    let mut out: Vec<Message> = vec![];
    let mut instructed = false;
    for message in messages {
        let next = match message {
            Message::System { text } if !instructed => {
                instructed = true;
                Message::System { text: format!("{text}\n\n{}", instructions(tools)) }
            }
            Message::Assistant { text, calls, .. } => {
                Message::Assistant { text: as_answer(text, calls), thinking: String::new(), calls: vec![] }
            }
            Message::Tool { name, text, .. } => Message::User { text: format!("Result of {name}:\n{text}") },
            Message::System { .. } | Message::User { .. } => message.clone(),
        };
        match (out.last_mut(), next) {
            (Some(Message::User { text: last }), Message::User { text }) => {
                last.push_str("\n\n");
                last.push_str(&text);
            }
            (_, next) => out.push(next),
        }
    }
    if !instructed {
        out.insert(0, Message::System { text: instructions(tools) });
    }
    out
}

fn as_answer(text: &str, calls: &[ModelCall]) -> String {
    if calls.is_empty() {
        return json!([{"name": NONE, "params": {"text": text}}]).to_string();
    }
    calls.iter().map(|c| json!({"name": c.name, "params": c.args})).collect::<Value>().to_string()
}

/// Reads an answer as it streams: the text of the `none` variant shows at once, anything else at the end or never.
#[derive(Debug, Default)]
pub struct Reader {
    raw: String,
    /// Where the undecoded rest of the `none` text begins in `raw`.
    text_at: Option<usize>,
    ended: bool,
    text: String,
}

impl Reader {
    /// Takes the next piece; returns what may be shown now.
    pub fn push(&mut self, piece: &str) -> String {
        self.raw.push_str(piece);
        if self.text_at.is_none() {
            self.text_at = none_text_start(&self.raw);
        }
        let Some(at) = self.text_at.filter(|_| !self.ended) else { return String::new() };
        let rest = self.raw.get(at..).unwrap_or_default();
        let (whole, ended) = whole_part(rest);
        let piece = rest.get(..whole).unwrap_or_default();
        let shown: String = serde_json::from_str(&format!("\"{piece}\"")).unwrap_or_default();
        self.text_at = Some(at + whole);
        self.ended = ended;
        self.text.push_str(&shown);
        shown
    }

    /// Ends the answer; `cut` when a length limit did. Returns what may be shown now, and what was found.
    pub fn finish(self, known: &[&str], cut: bool) -> (String, Found) {
        let mut found = Found::default();
        if self.text_at.is_some() {
            found.text = self.text;
            return (String::new(), found);
        }
        let names: Vec<_> = known.iter().map(|n| (*n).to_owned()).collect();
        match serde_json::from_str::<Value>(self.raw.trim()) {
            Ok(value) => match none_text(&value) {
                Some(text) => found.text = text,
                None => match calls_in(&without_text(value), &names, true) {
                    Some(calls) => found.calls = calls,
                    None => found.lost = true,
                },
            },
            // A half answer is dropped; where the server ignored the schema the text is read as any other.
            Err(_) if cut => {}
            Err(_) => found = lenient::read(&self.raw, known),
        }
        (found.text.clone(), found)
    }
}

fn none_text(value: &Value) -> Option<String> {
    if let Value::Array(items) = value {
        // Beside calls it is only talk.
        let texts: Option<Vec<_>> = items.iter().map(none_text).collect();
        return texts.and_then(|all| all.into_iter().next());
    }
    (value.get("name")? == NONE).then(|| {
        let text = value.get("params").and_then(|p| p.get("text")).or_else(|| value.get("text"));
        text.and_then(Value::as_str).unwrap_or_default().to_owned()
    })
}

/// A list without the objects that are text.
fn without_text(mut value: Value) -> Value {
    if let Value::Array(items) = &mut value {
        items.retain(|item| none_text(item).is_none());
    }
    value
}

/// The offset behind `[{"name":"none","params":{"text":"`, white space aside; servers that ignore the schema may leave
/// the bracket out.
fn none_text_start(raw: &str) -> Option<usize> {
    let rest = raw.trim_start().strip_prefix('[').unwrap_or(raw);
    let skipped = raw.len() - rest.len();
    none_object_start(rest).map(|at| skipped + at)
}

fn none_object_start(raw: &str) -> Option<usize> {
    let mut wanted = r#"{"name":"none","params":{"text":""#.chars();
    let mut next = wanted.next();
    for (at, c) in raw.char_indices() {
        match next {
            None => return Some(at),
            Some(w) if w == c => next = wanted.next(),
            Some(_) if c.is_whitespace() => {}
            Some(_) => return None,
        }
    }
    next.is_none().then_some(raw.len())
}

/// How much of a JSON string's inside is whole (no half escape), and whether its closing quote follows.
fn whole_part(inside: &str) -> (usize, bool) {
    let bytes = inside.as_bytes();
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let width = match byte {
            b'"' => return (at, true),
            b'\\' => match bytes.get(at + 1) {
                Some(b'u') if is_high_surrogate(bytes.get(at + 2..at + 6)) => 12,
                Some(b'u') => 6,
                _ => 2,
            },
            _ => 1,
        };
        if at + width > bytes.len() {
            break;
        }
        at += width;
    }
    (at, false)
}

fn is_high_surrogate(digits: Option<&[u8]>) -> bool {
    digits.is_some_and(|d| {
        d.first().is_some_and(|b| b.eq_ignore_ascii_case(&b'd'))
            && d.get(1).is_some_and(|b| matches!(b, b'8' | b'9' | b'a' | b'b' | b'A' | b'B'))
    })
}

#[cfg(test)]
mod tests;
