//! What every message must keep to, whatever it was made of.

use teloxide::types::MessageEntityKind as Kind;

use super::{
    post::{Body, CAPTION_LIMIT, DATA_LIMIT, ENTITY_LIMIT, Post, Rich, TEXT_LIMIT},
    text::is_blank,
};

/// The entities as kind and covered text.
pub(super) fn shown(rich: &Rich) -> Vec<(String, String)> {
    let wide: Vec<u16> = rich.text.encode_utf16().collect();
    let kind = |kind: &Kind| match kind {
        Kind::Pre { language: Some(language) } => format!("pre {language}"),
        Kind::Pre { language: None } => "pre".to_owned(),
        kind => format!("{kind:?}").to_lowercase(),
    };
    let piece = |offset: usize, length: usize| String::from_utf16(&wide[offset..offset + length]).unwrap();
    rich.entities.iter().map(|e| (kind(&e.kind), piece(e.offset, e.length))).collect()
}

/// Asserts text and entities, the latter as kind and covered text.
pub(super) fn assert_rich(rich: &Rich, text: &str, entities: &[(&str, &str)]) {
    assert_eq!(rich.text, text);
    let want: Vec<_> = entities.iter().map(|(k, t)| ((*k).to_owned(), (*t).to_owned())).collect();
    assert_eq!(shown(rich), want, "{text}");
}

/// Fails unless Telegram would take it as it is: not blank, within `limit`, its entities sound.
pub(super) fn sound(rich: &Rich, limit: usize) -> Result<(), String> {
    let wide: Vec<u16> = rich.text.encode_utf16().collect();
    let say = |what: &str| Err(format!("{what}: {rich:?}"));
    if is_blank(&rich.text) {
        return say("blank");
    }
    if wide.len() > limit {
        return say("too long");
    }
    if rich.entities.len() > ENTITY_LIMIT {
        return say("too many entities");
    }
    let low = |at: usize| wide.get(at).is_some_and(|u| (0xdc00..0xe000).contains(u));
    let mut open: Vec<(usize, bool)> = Vec::new();
    let mut last = (0, usize::MAX);
    for e in &rich.entities {
        let end = e.offset + e.length;
        if e.length == 0 || end > wide.len() {
            return say("an entity out of bounds");
        }
        if low(e.offset) || low(end) {
            return say("an entity within a character");
        }
        if e.offset < last.0 || (e.offset == last.0 && e.length > last.1) {
            return say("entities out of order");
        }
        last = (e.offset, e.length);
        open.retain(|(stop, _)| *stop > e.offset);
        let code = matches!(e.kind, Kind::Code | Kind::Pre { .. });
        if open.iter().any(|(stop, code)| *stop < end || *code) {
            return say("entities that cross, or stand in code");
        }
        open.push((end, code));
    }
    Ok(())
}

/// [`sound`] for a whole message: its words, its buttons.
pub(super) fn sendable(post: &Post) -> Result<(), String> {
    match &post.body {
        Body::Text(rich) => sound(rich, TEXT_LIMIT)?,
        Body::Photo { caption, png } => {
            sound(caption, CAPTION_LIMIT)?;
            assert!(!png.is_empty());
        }
        Body::File { caption, name, content } => {
            sound(caption, CAPTION_LIMIT)?;
            assert!(!content.is_empty() && !name.is_empty() && !name.contains(['/', '\\', '\n']), "{name:?}");
        }
    }
    for tap in post.keyboard.iter().flatten() {
        let limit = if tap.link { 2048 } else { DATA_LIMIT };
        if is_blank(&tap.label) || tap.data.is_empty() || tap.data.len() > limit {
            return Err(format!("{tap:?}"));
        }
    }
    if post.keyboard.iter().any(Vec::is_empty) || post.keyboard.iter().map(Vec::len).sum::<usize>() > 100 {
        return Err("the keyboard".to_owned());
    }
    Ok(())
}
