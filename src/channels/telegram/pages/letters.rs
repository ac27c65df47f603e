//! Dead letters: a chat that takes no cards is announced in another one, once until it takes them again.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{Chat, about};
use crate::{
    alerts::Job,
    channels::telegram::{
        Place,
        core::{CHANNEL, Core, place_in},
    },
    domain::{Block, ChannelKind, ConversationKey, Level},
    runtime::clock,
    store::TurnEnd,
};

/// The person of the conversation that letters belong to; nobody speaks in it.
const NOBODY: &str = "alerts";

/// The chats that take no cards and were announced as such.
#[derive(Clone, Default)]
pub(super) struct Letters(Arc<Mutex<BTreeSet<Place>>>);

impl Letters {
    /// The chat takes cards.
    pub(super) fn arrived(&self, place: Place) {
        self.dead_places().remove(&place);
    }

    /// A card cannot be shown in a chat: that is logged each time, and told elsewhere the first time.
    pub(super) async fn dead(&self, chat: &Chat, job: &Job, why: &str) {
        let (core, place) = (&chat.core, chat.place);
        let what = about(job);
        core.counters.add("opsbot_telegram_dead_letters_total", &[], 1);
        tracing::error!(place = chat.text, what, why, cure = cure(place), "an alert's card cannot be shown");
        if !self.dead_places().insert(place) {
            return;
        }
        let Some(other) = self.other(chat) else {
            return tracing::error!(place = chat.text, "no other chat is paged, so nobody was told");
        };
        let text = format!(
            "Alerts no longer reach {}: {why}. To mend it, {}. First to miss there was {what}; all that fires is on \
             /alerts.",
            whose(core, place),
            cure(place),
        );
        let to = ConversationKey::new(format!("{other}:{NOBODY}"));
        let reply = [crate::engine::redact_block(&core.engine.redactor(), Block::notice(Level::Error, text))];
        let end = TurnEnd { reply: &reply, ..TurnEnd::default() };
        match core.engine.store().end_turn(&to, end, clock::now()).await {
            Ok(()) => core.wake.notify_one(),
            Err(error) => tracing::error!(%error, "that a chat takes no cards could not be told elsewhere"),
        }
    }

    /// The next place of the ladder that is not known to be dead.
    fn other(&self, chat: &Chat) -> Option<String> {
        let places = chat.pager.places(CHANNEL);
        let from = places.iter().position(|place| *place == chat.text).map_or(0, |at| at + 1);
        let dead = self.dead_places();
        let mut round = places.iter().cycle().skip(from).take(places.len());
        round.find(|text| place_in(text).is_some_and(|place| !dead.contains(&place))).cloned()
    }

    fn dead_places(&self) -> MutexGuard<'_, BTreeSet<Place>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The chat in words.
fn whose(core: &Core, place: Place) -> String {
    let known = core.engine.people().who(ChannelKind::Telegram, &place.chat.to_string());
    match (known, place.thread) {
        (Some((person, _)), _) => format!("{person}'s private chat"),
        (None, None) => format!("the chat {}", place.chat),
        (None, Some(thread)) => format!("the topic {thread} of the chat {}", place.chat),
    }
}

/// What makes a chat take cards.
fn cure(place: Place) -> &'static str {
    if place.is_group() {
        "add the bot to it and let it write there, or name another chat in [[alerts.step]]"
    } else {
        "its person opens the chat with the bot and presses Start, or [[alerts.step]] names somebody else"
    }
}
