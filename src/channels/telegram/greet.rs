//! The first thing that somebody gets: a stranger a pairing code and nothing else, a person the menu of commands.

use teloxide::types::{BotCommand, BotCommandScope, ChatId, Recipient};

use super::{
    Place, Post, Rich,
    core::Core,
    courier::{Attempt, Lane},
    decode::Sender,
    menu,
};
use crate::domain::{ChannelKind, Role};

/// Gives a stranger in a private chat a pairing code, as far as the rules allow one.
pub(super) async fn stranger(core: &Core, from: &Sender) {
    let offered = core.engine.pair_offer(ChannelKind::Telegram, &from.id.to_string(), &from.name).await;
    let code = match offered {
        Ok(Some(code)) => code,
        Ok(None) => return,
        Err(error) => return tracing::error!(%error, "a pairing code could not be kept"),
    };
    let text = format!(
        "I do not know you. Your pairing code is {code}; it is good for 10 minutes.\n\
         Whoever runs this bot can let you in with: opsbot pair accept {code} --person NAME"
    );
    let (core, place) = (core.clone(), Place::chat(from.id));
    tokio::spawn(async move {
        // Who was known once still has a menu.
        let scope = BotCommandScope::Chat { chat_id: Recipient::Id(ChatId(place.chat)) };
        if core.commands_are_gone(place.chat)
            && let Err(fault) = core.api.delete_commands(&scope).await
        {
            tracing::debug!(%fault, "a stranger's menu of commands could not be taken away");
        }
        let post = Post::text(Rich::plain(text));
        if let Err(fault) = core.courier.send(place, Lane::Reply, post, Attempt::First).await {
            tracing::debug!(?fault, "a stranger could not be answered");
        }
    });
}

/// Registers the commands for a chat when somebody known first speaks there; nobody else gets to see them.
pub(super) fn menu_of_commands(core: &Core, place: Place, role: Role) {
    if !core.commands_are_due(place.chat, role) {
        return;
    }
    let list: Vec<_> = menu::commands(core.engine.current().registry().specs(), role)
        .into_iter()
        .map(|(command, description)| BotCommand { command, description })
        .collect();
    let core = core.clone();
    tokio::spawn(async move {
        let scope = BotCommandScope::Chat { chat_id: Recipient::Id(ChatId(place.chat)) };
        if let Err(fault) = core.api.set_commands(&scope, &list).await {
            tracing::debug!(%fault, "the menu of commands could not be registered");
            core.commands_are_gone(place.chat);
        }
    });
}
