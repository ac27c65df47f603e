//! What people do: they come, join, write, reply, edit, forward, press buttons, block and leave.

use std::time::Instant;

use bytes::Bytes;
use serde_json::{Value, json};

use super::{
    FakeTelegram,
    draft::Draft,
    state::{ChatKind, Person, Press, Shown, World},
};

impl FakeTelegram {
    /// A person who knows the bot's groups but never wrote to it; `username` may be empty.
    pub fn person(&self, user: i64, first_name: &str, username: &str) {
        let username = Some(username.to_owned()).filter(|name| !name.is_empty());
        let first_name = first_name.to_owned();
        self.change(|w| {
            w.people
                .insert(user, Person { id: user, first_name, username, blocked: false, deactivated: false });
        });
    }

    /// A person with a private chat with the bot; the chat's id is the person's.
    pub fn private(&self, user: i64, first_name: &str) -> i64 {
        if self.look(|w| !w.people.contains_key(&user)) {
            self.person(user, first_name, "");
        }
        self.change(|w| w.add_chat(user, ChatKind::Private, first_name));
        user
    }

    /// A supergroup (`-100…`) with the bot in it.
    pub fn supergroup(&self, id: i64, title: &str, forum: bool) -> i64 {
        self.change(|w| w.add_chat(id, ChatKind::Supergroup { forum }, title));
        id
    }

    /// A basic group with the bot in it.
    pub fn basic_group(&self, id: i64, title: &str) -> i64 {
        self.change(|w| w.add_chat(id, ChatKind::Group, title));
        id
    }

    /// Brings a person into a group; whoever writes there is in it anyway.
    pub fn join(&self, chat: i64, user: i64) {
        self.change(|w| {
            if let Some(chat) = w.chats.get_mut(&chat) {
                chat.members.insert(user);
            }
        });
    }

    /// Opens a topic; its thread id is its first message's number.
    pub fn topic(&self, chat: i64, user: i64, name: &str) -> i32 {
        self.change(|w| {
            let mut draft = Draft::by(chat, user);
            draft.service = Some(json!({"forum_topic_created": {"name": name, "icon_color": 7_322_096}}));
            let mut shown = w.post(draft);
            (shown.thread, shown.in_topic) = (Some(shown.id), true);
            w.store(shown.clone());
            if let Some(chat) = w.chats.get_mut(&chat) {
                chat.topics.insert(shown.id, name.to_owned());
            }
            w.announce(&shown, "message");
            shown.id
        })
    }

    /// Makes the bot `member`, `administrator`, `left` or `kicked` of a group, which it is told of.
    pub fn set_bot_status(&self, chat: i64, user: i64, status: &'static str) {
        self.change(|w| {
            let Some(entry) = w.chats.get_mut(&chat) else { return };
            let old = std::mem::replace(&mut entry.bot_status, status);
            w.membership(chat, user, old, status);
        });
    }

    /// The person blocks the bot, which is told of it; sends answer 403.
    pub fn block(&self, user: i64) {
        self.set_blocked(user, true);
    }

    /// The person takes the bot back.
    pub fn unblock(&self, user: i64) {
        self.set_blocked(user, false);
    }

    fn set_blocked(&self, user: i64, blocked: bool) {
        self.change(|w| {
            let Some(person) = w.people.get_mut(&user) else { return };
            person.blocked = blocked;
            let (old, new) = if blocked { ("member", "kicked") } else { ("kicked", "member") };
            w.membership(user, user, old, new);
        });
    }

    /// The person closes the account; sends answer 403.
    pub fn deactivate(&self, user: i64) {
        self.change(|w| {
            if let Some(person) = w.people.get_mut(&user) {
                person.deactivated = true;
            }
        });
    }

    /// Sends any message; the bot gets it, unless privacy mode hides it.
    pub fn send(&self, draft: Draft) -> i32 {
        self.change(|w| {
            let shown = w.post(draft);
            w.announce(&shown, "message");
            shown.id
        })
    }

    /// Writes a text.
    pub fn say(&self, chat: i64, user: i64, text: &str) -> i32 {
        self.send(Draft::by(chat, user).text(text))
    }

    /// Writes a text in a topic.
    pub fn say_in(&self, chat: i64, thread: i32, user: i64, text: &str) -> i32 {
        self.send(Draft::by(chat, user).thread(thread).text(text))
    }

    /// Wrote a text at this time (Unix seconds), which the bot gets only now.
    pub fn say_at(&self, chat: i64, user: i64, text: &str, unix: i64) -> i32 {
        self.send(Draft::by(chat, user).text(text).date(unix))
    }

    /// Replies to a message.
    pub fn reply(&self, chat: i64, user: i64, to: i32, text: &str) -> i32 {
        self.send(Draft::by(chat, user).reply_to(to).text(text))
    }

    /// Replies to a piece of a message.
    pub fn quote(&self, chat: i64, user: i64, (to, piece): (i32, &str), text: &str) -> i32 {
        self.send(Draft::by(chat, user).reply_to(to).quote(piece).text(text))
    }

    /// Forwards a message of any chat into `chat`.
    pub fn forward(&self, chat: i64, user: i64, from_chat: i64, message: i32) -> i32 {
        self.change(|w| {
            let Some(original) = w.message(from_chat, message).cloned() else {
                panic!("there is no message {message} in {from_chat}")
            };
            let mut draft = Draft::by(chat, user);
            let sender = w.user_json(original.from);
            draft.forward_origin =
                Some(original.forward_origin.unwrap_or_else(
                    || json!({"type": "user", "date": original.date, "sender_user": sender}),
                ));
            (draft.text, draft.entities, draft.media) = (original.text, original.entities, original.media);
            let shown = w.post(draft);
            w.announce(&shown, "message");
            shown.id
        })
    }

    /// Sends a file.
    pub fn send_document(
        &self,
        chat: i64,
        user: i64,
        name: &str,
        bytes: impl Into<Bytes>,
        caption: &str,
    ) -> i32 {
        self.send(Draft::by(chat, user).text(caption).document(name, bytes))
    }

    /// Sends a voice note.
    pub fn send_voice(&self, chat: i64, user: i64, bytes: impl Into<Bytes>, seconds: u32) -> i32 {
        self.send(Draft::by(chat, user).voice(bytes, seconds))
    }

    /// Edits a message of one's own (text or caption).
    pub fn edit(&self, chat: i64, user: i64, message: i32, text: &str) {
        self.change(|w| {
            let found = w.message(chat, message).filter(|m| m.from == user && !m.deleted);
            let Some(mut shown) = found.cloned() else { panic!("{user} has no message {message} in {chat}") };
            shown.past.push(std::mem::replace(&mut shown.text, text.to_owned()));
            shown.entities = super::text::found(text);
            shown.edits += 1;
            shown.edit_date = Some(super::unix_now());
            w.store(shown.clone());
            w.announce(&shown, "edited_message");
        });
    }

    /// Deletes a message; Telegram tells no bot of it.
    pub fn delete(&self, chat: i64, message: i32) {
        self.change(|w| {
            if let Some(mut shown) = w.message(chat, message).cloned() {
                shown.deleted = true;
                w.store(shown);
            }
        });
    }

    /// Presses the button with this label or data; panics when the message has none. Gives the callback's id.
    pub fn press(&self, chat: i64, user: i64, message: i32, label_or_data: &str) -> String {
        let found = self.look(|w| {
            let buttons = w.message(chat, message).filter(|m| !m.deleted).map(|m| m.keyboard.concat());
            buttons.and_then(|buttons| {
                let label = buttons.iter().find(|b| b.label == label_or_data);
                let data = || buttons.iter().find(|b| b.data.as_deref() == Some(label_or_data));
                label.or_else(data).and_then(|b| b.data.clone())
            })
        });
        let data = found.unwrap_or_else(|| {
            panic!("message {message} has no button {label_or_data:?}\n{}", self.transcript())
        });
        self.press_data(chat, user, message, &data)
    }

    /// Presses a button with this data, whether or not it is there (any more). Gives the callback's id.
    pub fn press_data(&self, chat: i64, user: i64, message: i32, data: &str) -> String {
        self.change(|w| {
            let id = format!("48{:016}", w.serial());
            let mut query = json!({"id": id, "from": w.user_json(user), "data": data,
                "chat_instance": format!("{}", chat.wrapping_mul(7919))});
            query["message"] = match w.message(chat, message) {
                Some(shown) => w.message_json(shown),
                None => json!({"chat": w.chat_json(chat), "message_id": message, "date": 0}),
            };
            w.queue.push("callback_query", query);
            w.presses.push(Press {
                id: id.clone(),
                chat,
                message,
                user,
                data: data.to_owned(),
                at: Instant::now(),
                expired: false,
                answer: None,
            });
            id
        })
    }

    /// Queues any update, for what no person can do; gives its id.
    pub fn push_update(&self, kind: &str, value: Value) -> Option<i64> {
        self.change(|w| w.queue.push(kind, value))
    }
}

impl World {
    /// Tells the bot of a message, unless it may not see it.
    fn announce(&mut self, shown: &Shown, kind: &str) {
        if self.sees(shown) {
            let json = self.message_json(shown);
            self.queue.push(kind, json);
        }
    }

    /// Whether the bot gets a person's message.
    fn sees(&self, shown: &Shown) -> bool {
        let Some(chat) = self.chats.get(&shown.chat) else { return false };
        if matches!(chat.bot_status, "left" | "kicked") {
            return false;
        }
        if chat.kind == ChatKind::Private {
            return !self.people.get(&shown.from).is_some_and(|p| p.blocked);
        }
        if !self.bot.privacy || chat.bot_status == "administrator" || shown.service.is_some() {
            return true;
        }
        let name = format!("@{}", self.bot.username);
        let to_bot = shown.reply_to.and_then(|id| self.message(shown.chat, id)).is_some_and(|m| m.from_bot);
        let command = shown.entities.iter().any(|e| e["type"] == "bot_command" && e["offset"] == 0);
        let first = shown.text.split_whitespace().next().unwrap_or_default();
        let meant = command && first.split_once('@').is_none_or(|(_, bot)| bot == self.bot.username);
        to_bot || meant || shown.text.contains(&name)
    }

    fn membership(&mut self, chat: i64, user: i64, old: &str, new: &str) {
        let bot = self.bot.id;
        let value = json!({
            "chat": self.chat_json(chat), "from": self.user_json(user), "date": super::unix_now(),
            "old_chat_member": self.member_json(bot, old), "new_chat_member": self.member_json(bot, new),
        });
        self.queue.push("my_chat_member", value);
    }

    /// What happened, line by line.
    pub(super) fn transcript(&self) -> String {
        let mut lines = vec![];
        for chat in self.chats.values() {
            lines.push(format!("chat {} {:?}", chat.id, chat.title));
            lines.extend(chat.messages.values().map(line));
        }
        for call in self.calls.iter().rev().take(30).rev() {
            lines.push(format!("call {} chat={:?} {} {}", call.method, call.chat, call.code, call.error));
        }
        lines.push(format!("{} updates wait, {} pollers", self.pending_updates(), self.pollers()));
        lines.join("\n")
    }
}

fn line(m: &Shown) -> String {
    let who = if m.from_bot { "bot".into() } else { m.from.to_string() };
    let file = m.media.as_ref().map(|f| format!(" [{} {} B]", f.name, f.bytes.len())).unwrap_or_default();
    let buttons: Vec<_> = m.keyboard.iter().flatten().map(|b| b.label.as_str()).collect();
    let gone = if m.deleted { " (deleted)" } else { "" };
    format!("  #{} {who}: {:?}{file} {buttons:?} edits={}{gone}", m.id, m.text, m.edits)
}
