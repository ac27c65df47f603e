//! An update as Telegram wrote it: freed of what the bot does not use, so that a novelty in it costs nothing else.
//!
//! The types know the messages of one version of Telegram. A kind of formatting or button that is newer, or a reply to
//! another chat, would make a whole message unreadable.

use serde_json::{Map, Value};
use teloxide::types::{Message, MessageEntity, MessageKind, Update, UpdateKind};

/// What a person sends; a message that had it must not come out empty.
const SENT: &[&str] = &["text", "caption", "voice", "audio", "video_note", "document", "photo"];

/// Reads `raw`: the update's id, and the update, or `raw` itself when it is of a kind that is not known. None when it
/// is no update at all.
pub fn read(raw: Value) -> Option<(u32, Result<Update, Value>)> {
    let id = u32::try_from(raw.get("update_id")?.as_u64()?).ok()?;
    let mut pruned = raw.clone();
    prune(&mut pruned);
    // Through text: the type reads its keys borrowed, which a value does not offer.
    let update =
        serde_json::from_str::<Update>(&pruned.to_string()).ok().filter(|update| is_whole(update, &raw));
    Some((id, update.ok_or(raw)))
}

/// Whether nothing that a person sent was lost on the way into the types.
fn is_whole(update: &Update, raw: &Value) -> bool {
    let sent = |key: &str| raw.get(key).is_some_and(|m| SENT.iter().any(|part| m.get(part).is_some()));
    let kept = |message: &Message, key| !sent(key) || !matches!(message.kind, MessageKind::Empty {});
    match &update.kind {
        UpdateKind::Error(_) => false,
        UpdateKind::Message(message) => kept(message, "message"),
        UpdateKind::EditedMessage(message) => kept(message, "edited_message"),
        _ => true,
    }
}

fn prune(update: &mut Value) {
    for key in ["message", "edited_message"] {
        if let Some(Value::Object(message)) = update.get_mut(key) {
            prune_message(message, true);
        }
    }
    let of_press = update.get_mut("callback_query").and_then(|query| query.get_mut("message"));
    if let Some(Value::Object(message)) = of_press {
        prune_message(message, false);
    }
}

fn prune_message(message: &mut Map<String, Value>, with_reply: bool) {
    for unused in ["external_reply", "reply_markup", "link_preview_options"] {
        message.shift_remove(unused);
    }
    for key in ["entities", "caption_entities"] {
        if let Some(Value::Array(entities)) = message.get_mut(key) {
            entities.retain(|entity| serde_json::from_value::<MessageEntity>(entity.clone()).is_ok());
        }
    }
    if let Some(Value::Object(quote)) = message.get_mut("quote") {
        quote.shift_remove("entities");
    }
    for key in ["voice", "audio", "document", "video", "animation"] {
        if let Some(Value::Object(file)) = message.get_mut(key) {
            let mime = file.get("mime_type").and_then(Value::as_str).filter(|mime| is_mime(mime));
            let mime = mime.map_or(Value::Null, Value::from);
            file.insert("mime_type".into(), mime);
        }
    }
    if !with_reply {
        message.shift_remove("reply_to_message");
    } else if let Some(Value::Object(to)) = message.get_mut("reply_to_message") {
        prune_message(to, false);
    }
}

/// Whether `text` is a content type without parameters; apps send what they like.
fn is_mime(text: &str) -> bool {
    let token = |part: &str| {
        !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || "!#$&-^_.+".contains(c))
    };
    text.split_once('/').is_some_and(|(kind, subtype)| token(kind) && token(subtype))
}
