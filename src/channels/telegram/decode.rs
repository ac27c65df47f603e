//! From Telegram's updates to what happened: who said or pressed what, where, in which words of their own.

mod wire;
mod words;

#[cfg(test)]
mod tests;

use jiff::Timestamp;
use teloxide::types::{
    CallbackQuery, Chat, ChatMemberUpdated, FileMeta, MaybeInaccessibleMessage, MediaKind, Message,
    MessageCommon, MessageEntity, MessageKind, MessageOrigin, Update, UpdateKind, User,
};

pub use wire::read;

use self::words::Command;
use super::Place;
use crate::domain::Untrusted;

/// The longest shown name, in characters.
const NAME: usize = 64;
/// The longest name of a file, in characters.
const FILE_NAME: usize = 120;

/// The bot itself, as `getMe` tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Me {
    /// Its id.
    pub id: i64,
    /// Its user name, without `@`.
    pub name: String,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A person said something.
    Said(Said),
    /// A person said it otherwise: `at` is when they changed it.
    Edited(Said),
    /// A button was pressed.
    Press(Press),
    /// The bot was taken out of a chat, or blocked by the person whose private chat it is.
    Left {
        /// Which chat.
        place: Place,
        /// Who did it.
        by: Sender,
    },
    /// Nothing for us; the reason is a label for a counter.
    Ignored(&'static str),
}

/// One message of a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// Where.
    pub place: Place,
    /// The message's id, unique in its chat.
    pub message: i32,
    /// Who.
    pub from: Sender,
    /// When, by Telegram's clock.
    pub at: Timestamp,
    /// Their own words: no quotes, no blocks, no name of this bot at either end.
    pub text: String,
    /// What came with it in other people's words.
    pub quoted: Vec<Quoted>,
    /// This bot's message that it answers.
    pub reply_to: Option<i32>,
    /// Whether it is meant for this bot; what is not concerns nobody here.
    pub addressed: bool,
    /// The file that came with it.
    pub attached: Option<Attached>,
}

/// Who said or pressed something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sender {
    /// Telegram's id, the only thing about a sender that can be relied on.
    pub id: i64,
    /// The shown name, which anybody may choose: cleaned, one line, at most 64 characters.
    pub name: String,
    /// Whether it is a bot; never in [`Said`] and [`Press`].
    pub is_bot: bool,
}

/// Words that are not the sender's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quoted {
    /// Where they come from (`reply to Ben`, `forwarded from Ben`, `pasted`).
    pub source: String,
    /// The words.
    pub text: String,
}

/// A file that came with a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attached {
    /// What it is.
    pub kind: Kind,
    /// What `getFile` takes; empty where there is no file behind it (a location, a poll).
    pub file_id: String,
    /// Its name, cleaned.
    pub name: Option<String>,
    /// The content type that the sender's app claims.
    pub mime: Option<String>,
    /// How large, if Telegram knows.
    pub bytes: Option<u64>,
    /// How long it plays.
    pub seconds: Option<u32>,
}

/// Kinds of attachments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A voice message.
    Voice,
    /// Music.
    Audio,
    /// A round video.
    VideoNote,
    /// Any file.
    Document,
    /// A picture, in its largest size.
    Photo,
    /// Something that the bot makes nothing of, by its name in a sentence (`sticker`).
    Other(&'static str),
}

/// The press of a button.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Press {
    /// Where; without a message the private chat of whoever pressed.
    pub place: Place,
    /// The message with the button; none when it is too old for Telegram to tell.
    pub message: Option<i32>,
    /// What `answerCallbackQuery` takes.
    pub query: String,
    /// Who.
    pub from: Sender,
    /// The button's data.
    pub data: String,
}

/// What `update` means to the bot `me`.
pub fn decode(update: &Update, me: &Me) -> Event {
    match &update.kind {
        UpdateKind::Message(message) => said(message, me).map_or_else(Event::Ignored, Event::Said),
        UpdateKind::EditedMessage(message) => said(message, me).map_or_else(Event::Ignored, Event::Edited),
        UpdateKind::CallbackQuery(query) => press(query),
        UpdateKind::MyChatMember(change) => membership(change),
        UpdateKind::ChannelPost(_) | UpdateKind::EditedChannelPost(_) => Event::Ignored("channel"),
        UpdateKind::BusinessConnection(_)
        | UpdateKind::BusinessMessage(_)
        | UpdateKind::EditedBusinessMessage(_)
        | UpdateKind::DeletedBusinessMessages(_) => Event::Ignored("business"),
        UpdateKind::Error(_) => Event::Ignored("unknown"),
        UpdateKind::MessageReaction(_)
        | UpdateKind::MessageReactionCount(_)
        | UpdateKind::InlineQuery(_)
        | UpdateKind::ChosenInlineResult(_)
        | UpdateKind::ShippingQuery(_)
        | UpdateKind::PreCheckoutQuery(_)
        | UpdateKind::PurchasedPaidMedia(_)
        | UpdateKind::Poll(_)
        | UpdateKind::PollAnswer(_)
        | UpdateKind::ChatMember(_)
        | UpdateKind::ChatJoinRequest(_)
        | UpdateKind::ChatBoost(_)
        | UpdateKind::RemovedChatBoost(_) => Event::Ignored("other"),
    }
}

fn said(message: &Message, me: &Me) -> Result<Said, &'static str> {
    if message.sender_chat.is_some() {
        return Err("anonymous");
    }
    let from = sender(message.from.as_ref().ok_or("anonymous")?)?;
    if message.sender_business_bot.is_some() {
        return Err("business");
    }
    let MessageKind::Common(common) = &message.kind else { return Err("service") };
    let (text, entities, attached) = content(&common.media_kind)?;
    if common.edit_date.is_some() && text.is_empty() && matches!(&attached, Some(a) if a.file_id.is_empty()) {
        // A live location moves every few seconds.
        return Err("other");
    }
    let mut words = words::split(text, entities, me);
    let mut quoted = Vec::new();
    if let Some(source) = foreign(message, common) {
        words = words::Words::default();
        quoted.push(Quoted { source, text: text.to_owned() });
    }
    quoted.extend(words.pasted.into_iter().map(|text| Quoted { source: "pasted".into(), text }));
    let replied = replied(common);
    quoted.extend(replied.and_then(|to| quote(to, common)).or_else(|| quote_alone(common, replied)));
    quoted.retain(|quoted| !quoted.text.trim().is_empty());
    let reply_to = replied.filter(|to| to.from.as_ref().is_some_and(|u| id(u) == me.id)).map(|to| to.id.0);
    let addressed = message.chat.is_private()
        || match words.command {
            Command::Ours => true,
            Command::Foreign => false,
            Command::None => words.names_us || reply_to.is_some(),
        };
    Ok(Said {
        place: place(message),
        message: message.id.0,
        from,
        at: at(common.edit_date.unwrap_or(message.date).timestamp()),
        text: words.own,
        quoted,
        reply_to,
        addressed,
        attached,
    })
}

/// Whose words the whole text is, when it is not the sender's.
fn foreign(message: &Message, common: &MessageCommon) -> Option<String> {
    if let Some(origin) = &common.forward_origin {
        return Some(format!("forwarded from {}", author(origin)));
    }
    let bot = message.via_bot.as_ref()?;
    Some(format!("written by the bot {}", shown(&bot.full_name(), bot.id.0)))
}

/// The message that this one answers. What stands first in a topic refers to the topic's own service message.
fn replied(common: &MessageCommon) -> Option<&Message> {
    common.reply_to_message.as_deref().filter(|to| matches!(to.kind, MessageKind::Common(_)))
}

/// What is quoted of the answered message: the part that was chosen, or all of it.
fn quote(to: &Message, common: &MessageCommon) -> Option<Quoted> {
    let name = match (&to.sender_chat, &to.from) {
        (Some(chat), _) => title(chat),
        (None, Some(user)) => shown(&user.full_name(), user.id.0),
        (None, None) => "nobody".into(),
    };
    let text = match &common.quote {
        Some(chosen) => chosen.text.as_str(),
        None => to.text().or(to.caption())?,
    };
    Some(Quoted { source: format!("reply to {name}"), text: text.to_owned() })
}

/// A quote from another chat, whose message is not shown to bots.
fn quote_alone(common: &MessageCommon, replied: Option<&Message>) -> Option<Quoted> {
    let chosen = common.quote.as_ref().filter(|_| replied.is_none())?;
    Some(Quoted { source: "reply to a message elsewhere".into(), text: chosen.text.clone() })
}

/// Text, its entities, and what is attached.
type Content<'a> = (&'a str, &'a [MessageEntity], Option<Attached>);

fn content(media: &MediaKind) -> Result<Content<'_>, &'static str> {
    let file = |kind, meta: &FileMeta| Attached {
        kind,
        file_id: meta.id.0.clone(),
        name: None,
        mime: None,
        bytes: (meta.size != u32::MAX).then_some(u64::from(meta.size)),
        seconds: None,
    };
    let bare = |kind| {
        let kind = Kind::Other(kind);
        let attached =
            Attached { kind, file_id: String::new(), name: None, mime: None, bytes: None, seconds: None };
        Ok(("", &[][..], Some(attached)))
    };
    let named = |name: &Option<String>| name.as_deref().map(|name| one_line(name, FILE_NAME));
    Ok(match media {
        MediaKind::Text(m) => (&m.text, &m.entities, None),
        MediaKind::Voice(m) => {
            let mime = m.voice.mime_type.as_ref().map(ToString::to_string);
            let seconds = Some(m.voice.duration.seconds());
            let attached = Attached { mime, seconds, ..file(Kind::Voice, &m.voice.file) };
            (m.caption.as_deref().unwrap_or_default(), &m.caption_entities, Some(attached))
        }
        MediaKind::Audio(m) => {
            let mime = m.audio.mime_type.as_ref().map(ToString::to_string);
            let (name, seconds) = (named(&m.audio.file_name), Some(m.audio.duration.seconds()));
            let attached = Attached { name, mime, seconds, ..file(Kind::Audio, &m.audio.file) };
            (m.caption.as_deref().unwrap_or_default(), &m.caption_entities, Some(attached))
        }
        MediaKind::VideoNote(m) => {
            let seconds = Some(m.video_note.duration.seconds());
            ("", &[], Some(Attached { seconds, ..file(Kind::VideoNote, &m.video_note.file) }))
        }
        MediaKind::Document(m) => {
            let mime = m.document.mime_type.as_ref().map(ToString::to_string);
            let name = named(&m.document.file_name);
            let attached = Attached { name, mime, ..file(Kind::Document, &m.document.file) };
            (m.caption.as_deref().unwrap_or_default(), &m.caption_entities, Some(attached))
        }
        MediaKind::Photo(m) => {
            let largest = m.photo.iter().max_by_key(|size| u64::from(size.width) * u64::from(size.height));
            let attached = largest.map(|size| file(Kind::Photo, &size.file));
            (m.caption.as_deref().unwrap_or_default(), &m.caption_entities, attached)
        }
        MediaKind::Video(m) => {
            let attached = file(Kind::Other("video"), &m.video.file);
            (m.caption.as_deref().unwrap_or_default(), &m.caption_entities, Some(attached))
        }
        MediaKind::Animation(m) => {
            let attached = file(Kind::Other("animation"), &m.animation.file);
            (m.caption.as_deref().unwrap_or_default(), &m.caption_entities, Some(attached))
        }
        MediaKind::Sticker(m) => ("", &[], Some(file(Kind::Other("sticker"), &m.sticker.file))),
        MediaKind::Contact(_) => return bare("contact"),
        MediaKind::Venue(_) | MediaKind::Location(_) => return bare("location"),
        MediaKind::Poll(_) => return bare("poll"),
        MediaKind::Checklist(_) => return bare("checklist"),
        MediaKind::Game(_) => return bare("game"),
        MediaKind::Story(_) => return bare("story"),
        MediaKind::PaidMedia(_) => return bare("paid picture or video"),
        MediaKind::Migration(_) => return Err("service"),
    })
}

fn press(query: &CallbackQuery) -> Event {
    let from = match sender(&query.from) {
        Ok(from) => from,
        Err(why) => return Event::Ignored(why),
    };
    let Some(data) = query.data.clone() else { return Event::Ignored("other") };
    let (place, message) = match &query.message {
        Some(MaybeInaccessibleMessage::Regular(message)) => (place(message), Some(message.id.0)),
        Some(MaybeInaccessibleMessage::Inaccessible(old)) => {
            (Place::chat(old.chat.id.0), Some(old.message_id.0))
        }
        None if query.inline_message_id.is_some() => return Event::Ignored("other"),
        None => (Place::chat(from.id), None),
    };
    Event::Press(Press { place, message, query: query.id.0.clone(), from, data })
}

fn membership(change: &ChatMemberUpdated) -> Event {
    if change.new_chat_member.kind.is_present() {
        return Event::Ignored("membership");
    }
    let place = Place::chat(change.chat.id.0);
    Event::Left { place, by: person(&change.from) }
}

/// The general topic of a forum and threads of replies are the chat itself.
fn place(message: &Message) -> Place {
    let thread = message.thread_id.filter(|_| message.is_topic_message).map(|thread| thread.0.0);
    Place { chat: message.chat.id.0, thread }
}

fn sender(user: &User) -> Result<Sender, &'static str> {
    let from = person(user);
    if from.is_bot { Err("bot") } else { Ok(from) }
}

fn person(user: &User) -> Sender {
    Sender { id: id(user), name: shown(&user.full_name(), user.id.0), is_bot: user.is_bot }
}

/// Telegram's ids have at most 52 bits; a larger one is nobody's.
fn id(user: &User) -> i64 {
    i64::try_from(user.id.0).unwrap_or(0)
}

fn author(origin: &MessageOrigin) -> String {
    match origin {
        MessageOrigin::User { sender_user, .. } => shown(&sender_user.full_name(), sender_user.id.0),
        MessageOrigin::HiddenUser { sender_user_name, .. } => shown(sender_user_name, "somebody"),
        MessageOrigin::Chat { sender_chat: chat, .. } | MessageOrigin::Channel { chat, .. } => title(chat),
    }
}

fn title(chat: &Chat) -> String {
    shown(chat.title().or(chat.first_name()).unwrap_or_default(), chat.id)
}

/// A name as it may be shown; `otherwise` where nothing of it can be seen.
fn shown(name: &str, otherwise: impl ToString) -> String {
    let name = one_line(name, NAME);
    if name.is_empty() { otherwise.to_string() } else { name }
}

/// `text` cleaned, on one line, at most `most` characters.
pub(super) fn one_line(text: &str, most: usize) -> String {
    let clean = Untrusted::new(text);
    let words: Vec<_> = clean.as_str().split_whitespace().collect();
    words.join(" ").chars().take(most).collect::<String>().trim_end().to_owned()
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap_or(Timestamp::UNIX_EPOCH)
}
