//! The page on which a person plays the phone: it shows what the chats show, and does what people do.

use std::time::Duration;

use axum::{
    body::Body,
    http::{HeaderValue, Method, Response, header, request::Parts},
};
use bytes::Bytes;
use serde_json::{Value, json};

use super::{
    FakeTelegram,
    draft::Draft,
    faults::Fault,
    media,
    state::{Chat, ChatKind, MediaKind, Shown, World},
    wire::{self, Params, Refusal},
};

const PAGE: &str = include_str!("phone.html");
/// How long the page's question for news is held.
const PATIENCE: Duration = Duration::from_secs(5);
/// Chat actions are shown for so long.
const TYPING: Duration = Duration::from_secs(5);

/// Everything that is not the Bot API.
pub(super) async fn page(fake: &FakeTelegram, head: &Parts, path: &str, body: Bytes) -> Response<Body> {
    let query = head.uri.query().unwrap_or_default();
    match (&head.method, path) {
        (&Method::GET, "/") => wire::respond(200, "text/html; charset=utf-8", PAGE.into()),
        (&Method::GET, "/phone/state") => {
            let params = Params::parse(query, "", &Bytes::new()).unwrap_or_default();
            news(fake, params.int("seen").unwrap_or(-1)).await
        }
        (&Method::GET, file) if file.starts_with("/phone/file/") => download(fake, file),
        // No page of another site can send this header without asking, and nobody answers when it asks.
        (&Method::POST, path) if head.headers.contains_key("x-phone") => {
            let kind = if path == "/phone/do" { "application/json" } else { "" };
            let fields = if kind.is_empty() { Bytes::new() } else { body.clone() };
            let done = Params::parse(query, kind, &fields).and_then(|params| match path {
                "/phone/do" => act(fake, &params),
                "/phone/upload" => upload(fake, &params, body),
                _ => Err(Refusal::new(404, "Not Found")),
            });
            match done {
                Ok(result) => wire::respond(200, "application/json", result.to_string().into()),
                Err(refusal) => wire::respond(refusal.code, "text/plain", refusal.description.into()),
            }
        }
        _ => wire::respond(404, "text/plain", Bytes::from_static(b"there is nothing here")),
    }
}

async fn news(fake: &FakeTelegram, seen: i64) -> Response<Body> {
    let mut world = fake.subscribe();
    let fresh = |w: &World| i64::try_from(w.version) != Ok(seen);
    drop(tokio::time::timeout(PATIENCE, world.wait_for(|w| fresh(w))).await);
    let mut state = fake.look(snapshot);
    state["url"] = fake.url().into();
    state["token"] = fake.token().into();
    wire::respond(200, "application/json", state.to_string().into())
}

fn snapshot(w: &World) -> Value {
    let people = w
        .people
        .values()
        .map(|p| json!({"id": p.id, "name": p.first_name, "username": p.username, "blocked": p.blocked}));
    let typing = w.actions.iter().rev().take_while(|a| a.at.elapsed() < TYPING).map(|a| {
        let age = u64::try_from(a.at.elapsed().as_millis()).unwrap_or(u64::MAX);
        json!({"chat": a.chat, "thread": a.thread, "action": a.action, "age": age})
    });
    let toasts = w.presses.iter().filter_map(|p| {
        let answer = p.answer.as_ref()?;
        Some(json!({"id": p.id, "user": p.user, "text": answer.text, "alert": answer.alert}))
    });
    let menu = w
        .commands
        .iter()
        .map(|((scope, language), list)| json!({"scope": scope, "language": language, "list": list}));
    let faults = w.armed.iter().map(|a| {
        let method = if a.method.is_empty() { "every method" } else { &a.method };
        json!({"method": method, "fault": format!("{:?}", a.fault), "left": a.left})
    });
    json!({
        "version": w.version,
        "bot": {"id": w.bot.id, "name": w.bot.first_name, "username": w.bot.username},
        "people": people.collect::<Vec<_>>(),
        "chats": w.chats.values().map(|c| chat(w, c)).collect::<Vec<_>>(),
        "typing": typing.collect::<Vec<_>>(),
        "toasts": toasts.collect::<Vec<_>>(),
        "menu": menu.collect::<Vec<_>>(),
        "faults": faults.collect::<Vec<_>>(),
        "violations": w.violations.len(),
        "pollers": w.pollers(),
        "pending": w.pending_updates(),
        "webhook": w.queue.webhook.as_ref().map(|h| &h.url),
    })
}

fn chat(w: &World, chat: &Chat) -> Value {
    let kind = match chat.kind {
        ChatKind::Private => "private",
        ChatKind::Group => "group",
        ChatKind::Supergroup { forum: false } => "supergroup",
        ChatKind::Supergroup { forum: true } => "forum",
    };
    let topics: Vec<_> = chat.topics.iter().map(|(id, name)| json!({"id": id, "name": name})).collect();
    let messages: Vec<_> = chat.messages.values().filter(|m| !m.deleted).map(|m| message(w, m)).collect();
    json!({"id": chat.id, "kind": kind, "title": chat.title, "topics": topics, "members": chat.members,
        "messages": messages})
}

fn message(w: &World, m: &Shown) -> Value {
    let name = w.user_json(m.from)["first_name"].clone();
    let media = m.media.as_ref().map(|f| {
        let kind = format!("{:?}", f.kind).to_lowercase();
        json!({"kind": kind, "id": f.file_id, "name": f.name, "mime": f.mime, "size": f.bytes.len(),
            "width": f.width, "height": f.height, "duration": f.duration})
    });
    let keyboard = super::state::keyboard_json(&m.keyboard);
    let forwarded = m.forward_origin.as_ref().map(|o| o["sender_user"]["first_name"].clone());
    json!({"id": m.id, "from": m.from, "name": name, "bot": m.from_bot, "text": m.text, "entities": m.entities,
        "keyboard": keyboard["inline_keyboard"], "media": media, "edited": m.edit_date.is_some(), "date": m.date,
        "thread": m.thread, "reply_to": m.reply_to, "quote": m.quote.as_ref().map(|(text, _)| text),
        "forwarded": forwarded, "service": m.service})
}

fn download(fake: &FakeTelegram, path: &str) -> Response<Body> {
    let id = path.trim_start_matches("/phone/file/");
    let Some(media) = fake.look(|w| w.files.get(id).map(|f| f.media.clone())) else {
        return wire::respond(404, "text/plain", Bytes::from_static(b"no such file"));
    };
    let mut response = wire::respond(200, &media.mime, media.bytes);
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // A file that a bot sent runs nothing here.
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox"));
    if media.kind == MediaKind::Document {
        headers.insert(header::CONTENT_DISPOSITION, HeaderValue::from_static("attachment"));
    }
    response
}

fn act(fake: &FakeTelegram, p: &Params) -> Result<Value, Refusal> {
    let text = p.text("text").unwrap_or_default();
    let (chat, user) = (p.int("chat").unwrap_or(0), p.int("user").unwrap_or(0));
    let message = p.small("message").unwrap_or(0);
    let count = usize::try_from(p.int("times").unwrap_or(1)).unwrap_or(1);
    match p.text("act").unwrap_or_default().as_str() {
        "say" => {
            let draft = draft(fake, p)?.text(text.trim());
            if text.trim().is_empty() {
                return Err(Refusal::bad("an empty message"));
            }
            return Ok(json!({"message": fake.send(draft)}));
        }
        "edit" => {
            if fake.message(chat, message).is_none_or(|m| m.from != user || m.deleted) {
                return Err(Refusal::bad("not your message"));
            }
            fake.edit(chat, user, message, &text);
        }
        "delete" => fake.delete(chat, message),
        "press" => {
            let data = p.text("data").unwrap_or_default();
            return Ok(json!({"id": fake.press_data(chat, user, message, &data)}));
        }
        "forward" => {
            let from = p.int("from_chat").unwrap_or(0);
            draft(fake, p)?;
            if fake.message(from, message).is_none() {
                return Err(Refusal::bad("no such message"));
            }
            fake.forward(chat, user, from, message);
        }
        "block" => fake.block(user),
        "unblock" => fake.unblock(user),
        "fault" => fake.fault(&p.text("method").unwrap_or_else(|| "*".into()), count, fault(p)?),
        "heal" => fake.heal(),
        "duplicate" => fake.duplicate(count),
        "reorder" => fake.reorder(count),
        "expire" => fake.expire_callbacks(),
        other => return Err(Refusal::bad(format!("nobody can {other:?}"))),
    }
    Ok(json!({}))
}

/// An empty message of somebody to a chat that is there.
fn draft(fake: &FakeTelegram, p: &Params) -> Result<Draft, Refusal> {
    let (chat, user) = (p.int("chat").unwrap_or(0), p.int("user").unwrap_or(0));
    if !fake.look(|w| w.chats.contains_key(&chat) && w.people.contains_key(&user)) {
        return Err(Refusal::bad("chat not found"));
    }
    let mut draft = Draft::by(chat, user);
    (draft.thread, draft.reply_to) = (p.small("thread"), p.small("reply_to"));
    Ok(draft)
}

fn upload(fake: &FakeTelegram, p: &Params, body: Bytes) -> Result<Value, Refusal> {
    let draft = draft(fake, p)?.text(&p.text("caption").unwrap_or_default());
    let name = p.text("name").unwrap_or_default();
    let seconds = p.int("seconds").and_then(|n| u32::try_from(n).ok()).unwrap_or(1);
    let draft = match p.text("kind").as_deref() {
        Some("photo") => {
            media::media(MediaKind::Photo, &name, "", body.clone())?;
            draft.photo(body)
        }
        Some("voice") => draft.voice(body, seconds),
        _ => draft.document(&name, body),
    };
    if draft.media.is_none() {
        return Err(Refusal::bad("Telegram takes no such file"));
    }
    Ok(json!({"message": fake.send(draft)}))
}

fn fault(p: &Params) -> Result<Fault, Refusal> {
    Ok(match p.text("kind").unwrap_or_default().as_str() {
        "429" => Fault::TooManyRequests { retry_after: p.int("seconds").unwrap_or(5).unsigned_abs() },
        "502" => Fault::BadGateway,
        "400" => Fault::BadRequest("can't parse entities: on command".into()),
        "401" => Fault::Unauthorized,
        "409" => Fault::Conflict,
        "land_then_drop" => Fault::LandThenDrop,
        "drop" => Fault::DropBeforeLanding,
        "hang" => Fault::Hang,
        "garbage" => Fault::Garbage,
        "drip" => Fault::SlowDrip(Duration::from_millis(20)),
        "late" => Fault::Late(Duration::from_secs(3)),
        other => return Err(Refusal::bad(format!("no fault is called {other:?}"))),
    })
}
