//! What Telegram makes of a text: its limits, its entities and keyboards, checked as Telegram checks them.

use serde_json::{Value, json};

use super::{
    state::Button,
    wire::{Params, Refusal},
};

/// The longest text, in UTF-16 units.
const TEXT_LIMIT: usize = 4096;
/// The longest caption, in UTF-16 units.
const CAPTION_LIMIT: usize = 1024;
/// The most entities; the rest is ignored.
const ENTITY_LIMIT: usize = 100;
/// The most buttons of a keyboard.
const BUTTON_LIMIT: usize = 100;

const ENTITY_TYPES: [&str; 20] = [
    "mention",
    "hashtag",
    "cashtag",
    "bot_command",
    "url",
    "email",
    "phone_number",
    "bold",
    "italic",
    "underline",
    "strikethrough",
    "spoiler",
    "blockquote",
    "expandable_blockquote",
    "code",
    "pre",
    "text_link",
    "text_mention",
    "custom_emoji",
    "media_timestamp",
];

/// A text and its entities, as they are shown.
pub(super) type Formatted = (String, Vec<Value>);

/// The text of a message.
pub(super) fn text(params: &Params) -> Result<Formatted, Refusal> {
    let text = params.text("text").unwrap_or_default();
    let shown = formatted(&text, params.json("entities"), params.get("parse_mode"))?;
    match utf16(&shown.0) {
        0 => Err(Refusal::bad("message text is empty")),
        n if n > TEXT_LIMIT => Err(Refusal::bad("message is too long")),
        _ => Ok(shown),
    }
}

/// The caption of a file; it may be empty.
pub(super) fn caption(
    caption: Option<String>,
    entities: Option<Value>,
    parse_mode: Option<&Value>,
) -> Result<Formatted, Refusal> {
    let shown = formatted(&caption.unwrap_or_default(), entities, parse_mode)?;
    if utf16(&shown.0) > CAPTION_LIMIT {
        return Err(Refusal::bad("message caption is too long"));
    }
    Ok(shown)
}

/// The length that Telegram counts.
pub(super) fn utf16(text: &str) -> usize {
    text.encode_utf16().count()
}

fn formatted(text: &str, entities: Option<Value>, parse_mode: Option<&Value>) -> Result<Formatted, Refusal> {
    if parse_mode.is_some_and(|mode| mode != "") {
        // The emulator knows no markup, and a bot that formats by entities needs none.
        return Err(Refusal::bad("unsupported parse_mode"));
    }
    let entities = match entities {
        None => vec![],
        Some(Value::Array(list)) => list,
        Some(_) => return Err(Refusal::bad("can't parse entities: expected an Array")),
    };
    let mut spans = vec![];
    for entity in entities.into_iter().take(ENTITY_LIMIT) {
        spans.extend(span(text, entity)?);
    }
    spans.sort_by_key(|s| (s.from, std::cmp::Reverse(s.to)));
    Ok(trimmed(text, spans))
}

struct Span {
    from: usize,
    to: usize,
    entity: Value,
}

/// An entity that fits the text; `None` for one without length.
fn span(text: &str, entity: Value) -> Result<Option<Span>, Refusal> {
    let kind = entity["type"].as_str().unwrap_or_default();
    if !ENTITY_TYPES.contains(&kind) {
        return Err(Refusal::bad("can't parse MessageEntity: Unsupported type specified"));
    }
    let (Some(from), Some(length)) = (entity["offset"].as_i64(), entity["length"].as_i64()) else {
        return Err(Refusal::bad("can't parse entities: offset and length must be integers"));
    };
    if from < 0 || length <= 0 {
        return Ok(None);
    }
    let (from, to) = (from as usize, (from + length) as usize);
    if to > utf16(text) {
        let where_ = format!("{from} ends after the end of the text at UTF-16 offset {to}");
        return Err(Refusal::bad(format!(
            "can't parse entities: entity beginning at UTF-16 offset {where_}"
        )));
    }
    let Some(begin) = byte_at(text, from) else {
        let what = "entity begins in a middle of a UTF-16 symbol at byte offset";
        return Err(Refusal::bad(format!("{what} {}", byte_after(text, from))));
    };
    let Some(end) = byte_at(text, to) else {
        let what = format!("entity beginning at UTF-16 offset {from} ends in a middle of a UTF-16 symbol");
        return Err(Refusal::bad(format!("{what} at byte offset {}", byte_after(text, to))));
    };
    // Formatting of nothing but space is dropped in silence.
    let visible = text.get(begin..end).is_some_and(|s| !s.trim().is_empty());
    Ok(visible.then_some(Span { from, to, entity }))
}

/// The byte where the UTF-16 `offset` is, unless that is inside of a character.
fn byte_at(text: &str, offset: usize) -> Option<usize> {
    let mut units = 0;
    for (byte, c) in text.char_indices() {
        if units >= offset {
            return (units == offset).then_some(byte);
        }
        units += c.len_utf16();
    }
    (units == offset).then_some(text.len())
}

/// The byte of the first character that begins after the UTF-16 `offset`.
fn byte_after(text: &str, offset: usize) -> usize {
    let mut units = 0;
    for (byte, c) in text.char_indices() {
        if units > offset {
            return byte;
        }
        units += c.len_utf16();
    }
    text.len()
}

/// Space at the end goes, and space at the beginning up to the first entity.
fn trimmed(text: &str, spans: Vec<Span>) -> Formatted {
    let is_space = |c: char| c == ' ' || c == '\n' || c == '\t' || c == '\r';
    let kept = text.trim_end_matches(is_space);
    let first = spans.first().map_or(usize::MAX, |s| s.from);
    let lead = kept.chars().take_while(|c| is_space(*c)).count().min(first);
    let shown: String = kept.chars().skip(lead).collect();
    let end = utf16(&shown);
    let entities = spans.into_iter().filter_map(|mut s| {
        let (from, to) = (s.from - lead, (s.to - lead).min(end));
        s.entity["offset"] = from.into();
        s.entity["length"] = to.checked_sub(from).filter(|n| *n > 0)?.into();
        Some(s.entity)
    });
    let entities = entities.collect();
    (shown, entities)
}

/// The inline keyboard of a call; no markup is an empty one.
pub(super) fn keyboard(markup: Option<Value>) -> Result<Vec<Vec<Button>>, Refusal> {
    let Some(markup) = markup else { return Ok(vec![]) };
    let Some(rows) = markup.get("inline_keyboard") else {
        let known = ["keyboard", "remove_keyboard", "force_reply"].iter().any(|k| markup.get(k).is_some());
        let error = Refusal::bad("object expected as reply markup");
        return if known { Ok(vec![]) } else { Err(error) };
    };
    let row_error = || Refusal::bad("field \"inline_keyboard\" must be an Array of Arrays");
    let mut out = vec![];
    for row in rows.as_array().ok_or_else(row_error)? {
        let row = row.as_array().ok_or_else(row_error)?;
        let row: Vec<Button> = row.iter().map(button).collect::<Result<_, _>>()?;
        if !row.is_empty() {
            out.push(row);
        }
    }
    if out.iter().map(Vec::len).sum::<usize>() > BUTTON_LIMIT {
        return Err(Refusal::bad("reply markup is too long"));
    }
    Ok(out)
}

fn button(json: &Value) -> Result<Button, Refusal> {
    let label = json["text"].as_str().unwrap_or_default().to_owned();
    if label.trim().is_empty() {
        return Err(Refusal::bad("can't parse InlineKeyboardButton: Field \"text\" must be non-empty"));
    }
    let data = json["callback_data"].as_str().map(str::to_owned);
    let url = json["url"].as_str().map(str::to_owned);
    if data.as_ref().is_some_and(|d| d.is_empty() || d.len() > 64) {
        return Err(Refusal::bad("BUTTON_DATA_INVALID"));
    }
    if url.as_ref().is_some_and(|u| !["http://", "https://", "tg://"].iter().any(|p| u.starts_with(p))) {
        return Err(Refusal::bad("BUTTON_URL_INVALID"));
    }
    if data.is_none() && url.is_none() {
        return Err(Refusal::bad(
            "can't parse inline keyboard button: Text buttons are unallowed in the inline keyboard",
        ));
    }
    Ok(Button { label, data, url })
}

/// The entities that Telegram finds in what a person types: commands, mentions and links.
pub(super) fn found(text: &str) -> Vec<Value> {
    let mut out = vec![];
    let mut offset = 0;
    for word in text.split_inclusive(char::is_whitespace) {
        let bare = word.trim_end().trim_end_matches(['.', ',', ';', ':', '!', '?', ')']);
        let length = if let Some(name) = bare.strip_prefix('/') {
            command(name).map(|n| ("bot_command", n + 1))
        } else if let Some(name) = bare.strip_prefix('@') {
            let n = name.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').count();
            (n >= 3).then_some(("mention", n + 1))
        } else if bare.starts_with("http://") || bare.starts_with("https://") {
            (bare.split("://").nth(1).is_some_and(|host| !host.is_empty())).then(|| ("url", utf16(bare)))
        } else {
            None
        };
        if let Some((kind, length)) = length {
            out.push(json!({"type": kind, "offset": offset, "length": length}));
        }
        offset += utf16(word);
    }
    out
}

/// How long the command is that `text` (without the slash) begins with: `name` or `name@bot`.
fn command(text: &str) -> Option<usize> {
    let word = |s: &str| s.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').count();
    let name = word(text);
    let next = text.chars().nth(name);
    if name == 0 || name > 64 || next.is_some_and(|c| c == '/') {
        return None;
    }
    let bot = text.get(name..).and_then(|rest| rest.strip_prefix('@')).map_or(0, word);
    Some(if bot > 0 { name + 1 + bot } else { name })
}
