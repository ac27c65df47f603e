//! The bot's account: who it is, its webhook and its menu of commands, and what it may know of chats.

use serde_json::{Value, json};

use super::{
    state::{ChatKind, World},
    updates::Webhook,
    wire::{Params, Refusal},
};

type Outcome = Result<Value, Refusal>;

/// The most commands of one menu.
const COMMAND_LIMIT: usize = 100;

pub(super) fn act(w: &mut World, method: &str, params: &Params) -> Outcome {
    match method {
        "getMe" => Ok(me(w)),
        "getWebhookInfo" => Ok(webhook_info(w)),
        "setWebhook" => set_webhook(w, params),
        "deleteWebhook" => {
            w.queue.webhook = None;
            if params.flag("drop_pending_updates") {
                w.queue.clear();
            }
            Ok(true.into())
        }
        "setMyCommands" => set_commands(w, params),
        "deleteMyCommands" => {
            w.commands.remove(&scope(w, params)?);
            Ok(true.into())
        }
        "getMyCommands" => {
            let list = w.commands.get(&scope(w, params)?).cloned().unwrap_or_default();
            let list = list.into_iter().map(|(name, text)| json!({"command": name, "description": text}));
            Ok(list.collect())
        }
        "getChat" => get_chat(w, params),
        "getChatMember" => get_member(w, params),
        _ => Err(Refusal::new(404, "Not Found")),
    }
}

fn me(w: &World) -> Value {
    let mut me = w.user_json(w.bot.id);
    for (key, value) in [
        ("can_join_groups", true),
        ("can_read_all_group_messages", !w.bot.privacy),
        ("supports_inline_queries", false),
        ("can_connect_to_business", false),
        ("has_main_web_app", false),
    ] {
        me[key] = value.into();
    }
    me
}

fn webhook_info(w: &World) -> Value {
    let hook = w.queue.webhook.clone().unwrap_or_default();
    let mut info = json!({"url": hook.url, "has_custom_certificate": false,
        "pending_update_count": w.queue.pending()});
    if let Some((date, message)) = hook.last_error {
        info["last_error_date"] = date.into();
        info["last_error_message"] = message.into();
    }
    if !hook.url.is_empty() {
        info["max_connections"] = hook.max_connections.into();
        info["ip_address"] = "127.0.0.1".into();
    }
    if !w.queue.allowed().is_empty() {
        info["allowed_updates"] = w.queue.allowed().into();
    }
    info
}

fn set_webhook(w: &mut World, params: &Params) -> Outcome {
    let url = params.text("url").unwrap_or_default();
    if params.flag("drop_pending_updates") {
        w.queue.clear();
    }
    if url.is_empty() {
        w.queue.webhook = None;
        return Ok(true.into());
    }
    // A Bot API server of one's own takes plain HTTP too; here only on loopback.
    let local = ["http://127.0.0.1", "http://localhost", "http://[::1]"].iter().any(|p| url.starts_with(p));
    if !url.starts_with("https://") && !local {
        return Err(Refusal::bad("bad webhook: HTTPS url must be provided for webhook"));
    }
    let secret = params.text("secret_token").filter(|s| !s.is_empty());
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if secret.as_ref().is_some_and(|s| s.len() > 256 || !s.chars().all(allowed)) {
        return Err(Refusal::bad("secret token contains unallowed characters"));
    }
    w.queue.allow(params.words("allowed_updates"));
    let max_connections = params.int("max_connections").unwrap_or(40);
    w.queue.webhook = Some(Webhook { url, secret, max_connections, last_error: None });
    Ok(true.into())
}

/// Scope and language of a menu, as observers name them: `default`, `all_private_chats`, `chat:-100…`.
fn scope(w: &World, params: &Params) -> Result<(String, String), Refusal> {
    let scope = params.json("scope").unwrap_or_else(|| json!({"type": "default"}));
    let kind = scope["type"].as_str().unwrap_or_default();
    let name = match kind {
        "default" | "all_private_chats" | "all_group_chats" | "all_chat_administrators" => kind.to_owned(),
        "chat" | "chat_administrators" | "chat_member" => {
            let chat = scope["chat_id"].as_i64().filter(|id| w.chats.contains_key(id));
            let chat = chat.ok_or_else(|| Refusal::bad("chat not found"))?;
            match scope["user_id"].as_i64() {
                Some(user) => format!("{kind}:{chat}:{user}"),
                None => format!("{kind}:{chat}"),
            }
        }
        _ => return Err(Refusal::bad("can't parse BotCommandScope: Unsupported type specified")),
    };
    Ok((name, params.text("language_code").unwrap_or_default()))
}

fn set_commands(w: &mut World, params: &Params) -> Outcome {
    let key = scope(w, params)?;
    let list = params.json("commands").and_then(|v| v.as_array().cloned());
    let list = list.ok_or_else(|| Refusal::bad("can't parse commands: expected an Array of BotCommand"))?;
    if list.len() > COMMAND_LIMIT {
        return Err(Refusal::bad("BOT_COMMANDS_TOO_MUCH"));
    }
    let mut menu = vec![];
    for command in &list {
        let text = |key: &str| command[key].as_str().unwrap_or_default().trim().to_owned();
        let (name, about) = (text("command").trim_start_matches('/').to_owned(), text("description"));
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        if name.is_empty() || name.len() > 32 || !name.chars().all(fits) {
            return Err(Refusal::bad("BOT_COMMAND_INVALID"));
        }
        if about.is_empty() || about.chars().count() > 256 {
            return Err(Refusal::bad("BOT_COMMAND_DESCRIPTION_INVALID"));
        }
        menu.push((name, about));
    }
    w.commands.insert(key, menu);
    Ok(true.into())
}

fn get_chat(w: &World, params: &Params) -> Outcome {
    let id = params.int("chat_id").unwrap_or(0);
    if !w.chats.contains_key(&id) {
        return Err(Refusal::bad("chat not found"));
    }
    let mut chat = w.chat_json(id);
    chat["accent_color_id"] = 0.into();
    chat["max_reaction_count"] = 11.into();
    chat["accepted_gift_types"] = json!({"unlimited_gifts": false, "limited_gifts": false,
        "unique_gifts": false, "premium_subscription": false});
    Ok(chat)
}

fn get_member(w: &World, params: &Params) -> Outcome {
    let id = params.int("chat_id").unwrap_or(0);
    let chat = w.chats.get(&id).ok_or_else(|| Refusal::bad("chat not found"))?;
    let user = params.int("user_id").unwrap_or(0);
    if user == w.bot.id {
        return Ok(w.member_json(user, chat.bot_status));
    }
    let there = chat.members.contains(&user) || (chat.kind == ChatKind::Private && user == id);
    if !there && !w.people.contains_key(&user) {
        return Err(Refusal::bad("user not found"));
    }
    Ok(w.member_json(user, if there { "member" } else { "left" }))
}

impl World {
    /// Somebody's place in a chat, in Telegram's JSON.
    pub(super) fn member_json(&self, user: i64, status: &str) -> Value {
        let mut member = json!({"user": self.user_json(user), "status": status});
        match status {
            "kicked" => member["until_date"] = 0.into(),
            "administrator" => {
                for right in [
                    "can_manage_chat",
                    "can_change_info",
                    "can_delete_messages",
                    "can_manage_video_chats",
                    "can_invite_users",
                    "can_restrict_members",
                    "can_pin_messages",
                ] {
                    member[right] = true.into();
                }
                for right in ["can_be_edited", "can_promote_members", "is_anonymous"] {
                    member[right] = false.into();
                }
            }
            _ => {}
        }
        member
    }
}
