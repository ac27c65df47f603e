//! A round trip through Telegram itself: who we are, whether updates can come, a message to each admin and its deletion.

use teloxide::types::ChatAction;

use super::{Place, Post, Rich, api::Api, core::place_in, fault::Fault, intake};

/// What was tried, and what came of it; an error is a sentence with its cure.
pub type Finding = (String, Result<String, String>);

/// Tries everything. With `daemon`, a daemon polls already, and another poll would take its updates.
pub async fn examine(api: &Api, admins: &[(String, i64)], daemon: bool, webhook: bool) -> Vec<Finding> {
    let mut found = Vec::new();
    match api.get_me().await {
        Ok(me) => found.push(("telegram".to_owned(), Ok(format!("the bot is @{}", me.username())))),
        Err(fault) => {
            found.push(("telegram".to_owned(), Err(intake::cure(&fault))));
            return found;
        }
    }
    found.push(("telegram updates".to_owned(), updates(api, daemon, webhook).await));
    if admins.is_empty() {
        let text = "no admin is known on Telegram: write to the bot, and run `opsbot pair accept CODE --person NAME \
                    --role admin` on this host";
        found.push(("telegram message".to_owned(), Err(text.to_owned())));
    }
    for (name, id) in admins {
        found.push((format!("telegram {name}"), message(api, *id).await));
    }
    found
}

/// Whether alerts' cards can be shown in these places (`telegram:-100123:0`): each is shown for a moment that the bot
/// types, which leaves nothing behind.
pub async fn paged(api: &Api, places: &[String]) -> Vec<Finding> {
    let mut found = Vec::new();
    for text in places {
        let Some(place) = place_in(text) else { continue };
        let seen = match api.chat_action(place, ChatAction::Typing).await {
            Ok(()) => Ok("alerts can be shown there".to_owned()),
            Err(Fault::Blocked(why)) => Err(format!("no alert can be shown there ({why}): {}", opens(place))),
            Err(Fault::ChatGone { .. }) => {
                Err(format!("there is no such chat for the bot: {}", opens(place)))
            }
            Err(fault) => Err(intake::cure(&fault)),
        };
        found.push((format!("alerts to {text}"), seen));
    }
    found
}

/// What lets the bot write somewhere.
fn opens(place: Place) -> &'static str {
    if place.is_group() {
        "add the bot to the group, let it write, and check the number in [[alerts.step]]"
    } else {
        "open the chat with it in Telegram and press Start"
    }
}

async fn updates(api: &Api, daemon: bool, webhook: bool) -> Result<String, String> {
    let info = api.get_webhook_info().await.map_err(|f| intake::cure(&f))?;
    let waiting = info.pending_update_count;
    match (info.url, webhook) {
        (Some(url), false) => {
            return Err(format!(
                "a webhook takes the updates ({}); `opsbot run` removes it, or set [telegram.webhook]",
                url.host_str().unwrap_or("elsewhere")
            ));
        }
        (None, true) => return Err("no webhook is set yet; `opsbot run` sets it".to_owned()),
        (Some(_), true) => {
            return match info.last_error_message {
                Some(why) => Err(format!("Telegram cannot reach the webhook: {why}")),
                None => Ok(format!("they come by webhook, {waiting} wait")),
            };
        }
        (None, false) => {}
    }
    if daemon {
        return Ok(format!("the daemon polls, {waiting} wait"));
    }
    // Without an offset nothing is confirmed, so nothing is taken away.
    match api.get_updates(None, 0, &intake::ALLOWED).await {
        Ok(_) => Ok(format!("a poll answers, {waiting} wait")),
        Err(fault) => Err(intake::cure(&fault)),
    }
}

async fn message(api: &Api, admin: i64) -> Result<String, String> {
    let place = Place::chat(admin);
    let text = "`opsbot doctor` proves that messages arrive here; this one goes away by itself.";
    let post = Post { quiet: true, ..Post::text(Rich::plain(text)) };
    let sent = api.send(place, &post, None).await.map_err(|fault| match fault {
        Fault::Blocked(_) | Fault::ChatGone { .. } => {
            "the bot may not write there: open the chat with it in Telegram and press Start".to_owned()
        }
        fault => intake::cure(&fault),
    })?;
    match api.delete_message(place, sent).await {
        Ok(()) => Ok("a message was sent and deleted".to_owned()),
        Err(fault) => Err(format!("a message was sent, but not deleted: {fault}")),
    }
}
