//! The methods of the Bot API: which there are, what a call goes through, and everything that shows in a chat.

use std::time::Instant;

use serde_json::Value;

use super::{
    FakeTelegram, account,
    draft::Draft,
    faults::{self, Fault},
    media,
    state::{Action, Call, CallbackAnswer, ChatKind, Media, MediaKind, Shown, World},
    text,
    wire::{Answer, Delivery, Params, Refusal},
};

type Outcome = Result<Value, Refusal>;

const METHODS: [&str; 21] = [
    "getMe",
    "getUpdates",
    "getWebhookInfo",
    "setWebhook",
    "deleteWebhook",
    "sendMessage",
    "sendPhoto",
    "sendDocument",
    "sendVoice",
    "sendChatAction",
    "editMessageText",
    "editMessageCaption",
    "editMessageMedia",
    "editMessageReplyMarkup",
    "deleteMessage",
    "answerCallbackQuery",
    "getFile",
    "setMyCommands",
    "deleteMyCommands",
    "getMyCommands",
    "getChat",
];
const MEMBER: &str = "getChatMember";
const ACTIONS: [&str; 11] = [
    "typing",
    "upload_photo",
    "record_video",
    "upload_video",
    "record_voice",
    "upload_voice",
    "upload_document",
    "choose_sticker",
    "find_location",
    "record_video_note",
    "upload_video_note",
];
const NOT_MODIFIED: &str = "message is not modified: specified new message content and reply markup are exactly the \
same as a current content and reply markup of the message";
const TOO_OLD: &str = "query is too old and response timeout expired or query ID is invalid";
/// Bots may delete what is younger, in seconds.
const DELETABLE: i64 = 48 * 3600;

/// One call from its arrival to its answer.
pub(super) async fn call(fake: &FakeTelegram, asked: &str, params: Params) -> Delivery {
    let known = METHODS.iter().chain([&MEMBER]).find(|m| m.eq_ignore_ascii_case(asked)).copied();
    let Some(method) = known else {
        return Delivery::Whole(Refusal::new(404, "Not Found").into());
    };
    let chat = params.int("chat_id");
    let (at, fault) = fake.quietly(|w| {
        w.calls.push(Call {
            method: method.to_owned(),
            chat,
            message: params.small("message_id"),
            at: Instant::now(),
            code: 0,
            landed: false,
            error: String::new(),
            params: params.shown(),
        });
        (w.calls.len() - 1, faults::take(&mut w.armed, method, chat))
    });
    let answer = match &fault {
        Some(Fault::DropBeforeLanding) => return Delivery::Drop,
        Some(Fault::Hang) => return Delivery::Hang,
        Some(fault) if fault.refusal().is_some() => {
            fault.refusal().unwrap_or_else(|| Answer::Ok(Value::Null))
        }
        Some(Fault::Late(wait)) => {
            tokio::time::sleep(*wait).await;
            perform(fake, method, &params).await
        }
        _ => perform(fake, method, &params).await,
    };
    let landed = matches!(answer, Answer::Ok(_));
    let error = answer.error().to_owned();
    let delivery = Delivery::of(fault.as_ref(), answer);
    fake.quietly(|w| {
        if let Some(call) = w.calls.get_mut(at) {
            (call.code, call.landed, call.error) = (delivery.code(), landed, error);
        }
    });
    delivery
}

async fn perform(fake: &FakeTelegram, method: &str, params: &Params) -> Answer {
    match method {
        "getUpdates" => fake.get_updates(params).await,
        // What changes nothing that a person sees makes no page draw itself anew.
        _ if method.starts_with("get") => fake.quietly(|w| act(w, method, params)).into(),
        _ => fake.change(|w| within_rates(w, method, params).and_then(|()| act(w, method, params))).into(),
    }
}

/// Counts messages and edits; what comes too fast is noted and refused.
fn within_rates(w: &mut World, method: &str, params: &Params) -> Result<(), Refusal> {
    let counts =
        method.starts_with("editMessage") || (method.starts_with("send") && method != "sendChatAction");
    let (Some(meter), Some(chat), true) = (w.meter.as_mut(), params.int("chat_id"), counts) else {
        return Ok(());
    };
    let at = Instant::now();
    meter.count(chat, at).map_err(|broken| {
        let method = method.to_owned();
        w.violations.push(super::state::Violation { method, chat, limit: broken.limit, at });
        faults::too_many(broken.retry_after)
    })
}

fn act(w: &mut World, method: &str, params: &Params) -> Outcome {
    match method {
        "sendMessage" => send_text(w, params),
        "sendPhoto" => send_media(w, params, MediaKind::Photo),
        "sendDocument" => send_media(w, params, MediaKind::Document),
        "sendVoice" => send_media(w, params, MediaKind::Voice),
        "sendChatAction" => chat_action(w, params),
        "editMessageText" => edit_text(w, params),
        "editMessageCaption" => edit_caption(w, params),
        "editMessageMedia" => edit_media(w, params),
        "editMessageReplyMarkup" => edit_markup(w, params),
        "deleteMessage" => delete(w, params),
        "answerCallbackQuery" => answer_callback(w, params),
        "getFile" => media::get_file(w, params),
        _ => account::act(w, method, params),
    }
}

/// The chat that a call means, if the bot may write there.
pub(super) fn writable(w: &World, params: &Params) -> Result<i64, Refusal> {
    if params.get("chat_id").is_none() {
        return Err(Refusal::bad("chat_id is empty"));
    }
    let id = params.int("chat_id").unwrap_or(0);
    let Some(chat) = w.chats.get(&id) else {
        let known = w.people.contains_key(&id);
        let stranger = Refusal::new(403, "Forbidden: bot can't initiate conversation with a user");
        return Err(if known { stranger } else { Refusal::bad("chat not found") });
    };
    let kind = match chat.kind {
        ChatKind::Private => {
            let person = w.people.get(&id);
            return match person {
                Some(p) if p.blocked => Err(Refusal::new(403, "Forbidden: bot was blocked by the user")),
                Some(p) if p.deactivated => Err(Refusal::new(403, "Forbidden: user is deactivated")),
                _ => Ok(id),
            };
        }
        ChatKind::Group => "group",
        ChatKind::Supergroup { .. } => "supergroup",
    };
    match chat.bot_status {
        "kicked" => Err(Refusal::new(403, format!("Forbidden: bot was kicked from the {kind} chat"))),
        "left" => Err(Refusal::new(403, format!("Forbidden: bot is not a member of the {kind} chat"))),
        _ => Ok(id),
    }
}

/// The message to send, without its content.
fn draft(w: &World, params: &Params) -> Result<Draft, Refusal> {
    let chat = writable(w, params)?;
    let mut draft = Draft::by(chat, w.bot.id);
    if let Some(thread) = params.small("message_thread_id") {
        if !w.chats.get(&chat).is_some_and(|c| c.topics.contains_key(&thread)) {
            return Err(Refusal::bad("message thread not found"));
        }
        draft.thread = Some(thread);
    }
    if let Some(reply) = params.json("reply_parameters") {
        let to = reply["message_id"].as_i64().and_then(|n| i32::try_from(n).ok()).unwrap_or(0);
        let original = w.message(chat, to).filter(|m| !m.deleted);
        let lenient = reply["allow_sending_without_reply"].as_bool().unwrap_or(false);
        match (original, reply["quote"].as_str()) {
            (None, _) if lenient => {}
            (None, _) => return Err(Refusal::bad("message to be replied not found")),
            (Some(original), Some(quote)) if !original.text.contains(quote) => {
                return Err(Refusal::bad("QUOTE_TEXT_INVALID"));
            }
            (Some(_), quote) => {
                draft.reply_to = Some(to);
                draft.quote = quote.map(str::to_owned);
            }
        }
    }
    draft.keyboard = text::keyboard(params.json("reply_markup"))?;
    draft.silent = params.flag("disable_notification");
    Ok(draft)
}

fn send_text(w: &mut World, params: &Params) -> Outcome {
    let mut draft = draft(w, params)?;
    (draft.text, draft.entities) = text::text(params)?;
    let shown = w.post(draft);
    Ok(w.message_json(&shown))
}

fn send_media(w: &mut World, params: &Params, kind: MediaKind) -> Outcome {
    let mut draft = draft(w, params)?;
    let caption = params.text("caption");
    (draft.text, draft.entities) =
        text::caption(caption, params.json("caption_entities"), params.get("parse_mode"))?;
    draft.media = Some(media::given(w, params, kind)?);
    let shown = w.post(draft);
    Ok(w.message_json(&shown))
}

fn chat_action(w: &mut World, params: &Params) -> Outcome {
    let chat = writable(w, params)?;
    let action = params.text("action").unwrap_or_default();
    if !ACTIONS.contains(&action.as_str()) {
        return Err(Refusal::bad("wrong parameter action in request"));
    }
    w.actions.push(Action { chat, thread: params.small("message_thread_id"), action, at: Instant::now() });
    Ok(true.into())
}

/// The bot's own message that a call wants to edit.
fn editable(w: &World, params: &Params) -> Result<Shown, Refusal> {
    let chat = writable(w, params)?;
    let Some(id) = params.small("message_id") else {
        return Err(Refusal::bad("message identifier is not specified"));
    };
    let found = w.message(chat, id).filter(|m| !m.deleted && m.service.is_none());
    let message = found.ok_or_else(|| Refusal::bad("message to edit not found"))?;
    if !message.from_bot {
        return Err(Refusal::bad("message can't be edited"));
    }
    Ok(message.clone())
}

/// Stores `new` in the place of what is there, unless it is the same.
fn replace(w: &mut World, mut new: Shown) -> Outcome {
    let Some(old) = w.message(new.chat, new.id) else {
        return Err(Refusal::bad("message to edit not found"));
    };
    let same = |a: Option<&Media>, b: Option<&Media>| a.map(|m| &m.file_id) == b.map(|m| &m.file_id);
    let unchanged = old.text == new.text
        && old.entities == new.entities
        && old.keyboard == new.keyboard
        && same(old.media.as_ref(), new.media.as_ref());
    if unchanged {
        return Err(Refusal::bad(NOT_MODIFIED));
    }
    new.past.push(old.text.clone());
    new.edits += 1;
    new.edit_date = Some(super::unix_now());
    let json = w.message_json(&new);
    w.store(new);
    Ok(json)
}

fn edit_text(w: &mut World, params: &Params) -> Outcome {
    let mut message = editable(w, params)?;
    if message.media.is_some() {
        return Err(Refusal::bad("there is no text in the message to edit"));
    }
    let too_long = |r: Refusal| {
        let long = r.description.ends_with("message is too long");
        if long { Refusal::bad("MESSAGE_TOO_LONG") } else { r }
    };
    (message.text, message.entities) = text::text(params).map_err(too_long)?;
    // An edit without a keyboard takes the keyboard away.
    message.keyboard = text::keyboard(params.json("reply_markup"))?;
    replace(w, message)
}

fn edit_caption(w: &mut World, params: &Params) -> Outcome {
    let mut message = editable(w, params)?;
    if message.media.is_none() {
        return Err(Refusal::bad("there is no caption in the message to edit"));
    }
    let caption = params.text("caption");
    (message.text, message.entities) =
        text::caption(caption, params.json("caption_entities"), params.get("parse_mode"))?;
    message.keyboard = text::keyboard(params.json("reply_markup"))?;
    replace(w, message)
}

fn edit_media(w: &mut World, params: &Params) -> Outcome {
    let mut message = editable(w, params)?;
    let Some(new) = params.json("media") else { return Err(Refusal::bad("media is empty")) };
    let kind = match new["type"].as_str() {
        Some("photo") => MediaKind::Photo,
        Some("document") => MediaKind::Document,
        _ => return Err(Refusal::bad("can't parse InputMedia: media type is unsupported")),
    };
    let caption = new["caption"].as_str().map(str::to_owned);
    let entities = Some(new["caption_entities"].clone()).filter(|v| !v.is_null());
    (message.text, message.entities) =
        text::caption(caption, entities, new.get("parse_mode").filter(|m| !m.is_null()))?;
    message.media = Some(media::named(w, params, kind, "media", new["media"].as_str())?);
    message.keyboard = text::keyboard(params.json("reply_markup"))?;
    replace(w, message)
}

fn edit_markup(w: &mut World, params: &Params) -> Outcome {
    let mut message = editable(w, params)?;
    message.keyboard = text::keyboard(params.json("reply_markup"))?;
    replace(w, message)
}

fn delete(w: &mut World, params: &Params) -> Outcome {
    let chat = writable(w, params)?;
    let id = params.small("message_id").unwrap_or(0);
    let found = w.message(chat, id).filter(|m| !m.deleted);
    let message = found.ok_or_else(|| Refusal::bad("message to delete not found"))?;
    let admin = w.chats.get(&chat).is_some_and(|c| c.bot_status == "administrator");
    if chat < 0 && !message.from_bot && !admin {
        return Err(Refusal::bad("message can't be deleted"));
    }
    if super::unix_now() - message.date > DELETABLE {
        return Err(Refusal::bad("message can't be deleted for everyone"));
    }
    let mut message = message.clone();
    message.deleted = true;
    w.store(message);
    Ok(true.into())
}

fn answer_callback(w: &mut World, params: &Params) -> Outcome {
    let id = params.text("callback_query_id").unwrap_or_default();
    let press = w.presses.iter_mut().rev().find(|p| p.id == id && !p.expired);
    let press = press.ok_or_else(|| Refusal::bad(TOO_OLD))?;
    let text = params.text("text").unwrap_or_default();
    if text.chars().count() > 200 {
        return Err(Refusal::bad("MESSAGE_TOO_LONG"));
    }
    press.answer = Some(CallbackAnswer { text, alert: params.flag("show_alert"), at: Instant::now() });
    Ok(true.into())
}
