//! A call's parameters, from a query, JSON, a form or multipart, all with the same shape afterwards.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::wire::Refusal;

/// Fields whose value is text even when it looks like JSON.
const TEXTS: [&str; 14] = [
    "text",
    "caption",
    "callback_query_id",
    "url",
    "secret_token",
    "file_id",
    "language_code",
    "parse_mode",
    "photo",
    "document",
    "voice",
    "action",
    "emoji",
    "title",
];

/// The parameters and files of a call.
#[derive(Clone, Debug, Default)]
pub(crate) struct Params {
    fields: Map<String, Value>,
    files: BTreeMap<String, Upload>,
}

/// A file in a multipart body.
#[derive(Clone, Debug)]
pub(crate) struct Upload {
    pub name: String,
    pub mime: String,
    pub bytes: Bytes,
}

impl Params {
    pub(super) fn parse(query: &str, kind: &str, body: &Bytes) -> Result<Self, Refusal> {
        let mut params = Self::default();
        params.form(query);
        let lower = kind.to_lowercase();
        if lower.starts_with("application/json") {
            if !body.is_empty() {
                let parsed = serde_json::from_slice::<Value>(body);
                let Ok(Value::Object(fields)) = parsed else {
                    return Err(Refusal::bad("can't parse JSON object"));
                };
                params.fields.extend(fields);
            }
        } else if lower.starts_with("application/x-www-form-urlencoded") {
            params.form(&String::from_utf8_lossy(body));
        } else if lower.starts_with("multipart/form-data") {
            let boundary = kind.split("boundary=").nth(1).map(|b| b.trim().trim_matches('"').to_owned());
            let parts = boundary.and_then(|b| multipart(body, &b));
            let Some(parts) = parts else {
                return Err(Refusal::bad("can't parse multipart/form-data request body"));
            };
            for part in parts {
                params.part(part);
            }
        }
        Ok(params)
    }

    fn form(&mut self, encoded: &str) {
        // The URL parser decodes forms too.
        let Ok(url) = reqwest::Url::parse(&format!("http://form/?{encoded}")) else { return };
        for (key, value) in url.query_pairs() {
            self.set_text(&key, &value);
        }
    }

    fn set_text(&mut self, key: &str, value: &str) {
        let as_json = || serde_json::from_str(value).ok().filter(|v: &Value| !v.is_string());
        let value = if TEXTS.contains(&key) { None } else { as_json() }.unwrap_or_else(|| value.into());
        self.fields.insert(key.to_owned(), value);
    }

    fn part(&mut self, part: Part) {
        match part.file_name {
            Some(name) => {
                let upload = Upload { name, mime: part.mime, bytes: part.bytes };
                self.files.insert(part.name, upload);
            }
            // A file part without a name is still one: it is no text, or the field points at it.
            None if std::str::from_utf8(&part.bytes).is_err() || !part.mime.is_empty() => {
                let upload = Upload { name: part.name.clone(), mime: part.mime, bytes: part.bytes };
                self.files.insert(part.name, upload);
            }
            None => self.set_text(&part.name, &String::from_utf8_lossy(&part.bytes)),
        }
    }

    pub(super) fn get(&self, key: &str) -> Option<&Value> {
        self.fields.get(key).filter(|v| !v.is_null())
    }

    pub(super) fn text(&self, key: &str) -> Option<String> {
        match self.get(key)? {
            Value::String(text) => Some(text.clone()),
            other => Some(other.to_string()),
        }
    }

    pub(super) fn int(&self, key: &str) -> Option<i64> {
        match self.get(key)? {
            Value::String(text) => text.trim().parse().ok(),
            other => other.as_i64(),
        }
    }

    pub(super) fn small(&self, key: &str) -> Option<i32> {
        self.int(key).and_then(|n| i32::try_from(n).ok())
    }

    pub(super) fn flag(&self, key: &str) -> bool {
        match self.get(key) {
            Some(Value::Bool(flag)) => *flag,
            Some(Value::String(text)) => text.eq_ignore_ascii_case("true") || text == "1",
            Some(other) => other.as_i64() == Some(1),
            None => false,
        }
    }

    /// An object or array, which JSON bodies may also carry as text.
    pub(super) fn json(&self, key: &str) -> Option<Value> {
        match self.get(key)? {
            Value::String(text) => serde_json::from_str(text).ok(),
            other => Some(other.clone()),
        }
    }

    /// A list of words.
    pub(super) fn words(&self, key: &str) -> Option<Vec<String>> {
        let list = self.json(key)?;
        let words = list.as_array()?.iter().filter_map(Value::as_str);
        Some(words.map(str::to_owned).collect())
    }

    /// The part that `attach://NAME` or the field's own name points at.
    pub(super) fn upload(&self, field: &str, value: Option<&str>) -> Option<&Upload> {
        let name = value.and_then(|v| v.strip_prefix("attach://")).unwrap_or(field);
        self.files.get(name)
    }

    /// What an observer reads: files by name and size.
    pub(super) fn shown(&self) -> Value {
        let mut all = self.fields.clone();
        for (key, file) in &self.files {
            all.insert(key.clone(), json!({"file": file.name, "bytes": file.bytes.len()}));
        }
        Value::Object(all)
    }
}

struct Part {
    name: String,
    file_name: Option<String>,
    mime: String,
    bytes: Bytes,
}

/// The parts of a multipart body; `None` when it is none.
fn multipart(body: &Bytes, boundary: &str) -> Option<Vec<Part>> {
    let first = format!("--{boundary}");
    let next = format!("\r\n--{boundary}");
    let mut at = find(body, first.as_bytes(), 0)? + first.len();
    let mut parts = vec![];
    loop {
        let rest = body.get(at..)?;
        if rest.starts_with(b"--") {
            return Some(parts);
        }
        let head_end = find(body, b"\r\n\r\n", at)?;
        let end = find(body, next.as_bytes(), head_end + 2)?;
        let head = String::from_utf8_lossy(body.get(at..head_end)?).into_owned();
        parts.push(part(&head, body.slice((head_end + 4).min(end)..end))?);
        at = end + next.len();
    }
}

fn part(head: &str, bytes: Bytes) -> Option<Part> {
    let header = |wanted: &str| {
        head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.trim().eq_ignore_ascii_case(wanted).then(|| value.trim().to_owned())
        })
    };
    let disposition = header("content-disposition")?;
    let mime = header("content-type").unwrap_or_default();
    Some(Part {
        name: attribute(&disposition, "name")?,
        file_name: attribute(&disposition, "filename"),
        mime,
        bytes,
    })
}

/// `name="value"` or `name*=utf-8''value` of a header.
fn attribute(header: &str, name: &str) -> Option<String> {
    for piece in header.split(';').map(str::trim) {
        let Some((key, value)) = piece.split_once('=') else { continue };
        if key.trim() == name {
            return Some(value.trim().trim_matches('"').replace("%22", "\"").replace("\\\"", "\""));
        }
        if key.trim().strip_suffix('*') == Some(name) {
            let encoded = value.split("''").nth(1).unwrap_or(value);
            return Some(super::wire::percent_decoded(encoded));
        }
    }
    None
}

fn find(haystack: &[u8], needle: &[u8], from: usize) -> Option<usize> {
    let (first, tail) = needle.split_first()?;
    let mut at = from;
    loop {
        // A search byte by byte of 50 MB takes long in a debug build; this skips to candidates.
        at += haystack.get(at..)?.iter().position(|b| b == first)?;
        if haystack.get(at + 1..)?.starts_with(tail) {
            return Some(at);
        }
        at += 1;
    }
}
