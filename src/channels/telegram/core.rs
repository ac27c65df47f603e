//! What all parts of the channel share: the engine, the wire, who the bot is, and the work in progress.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::tz::TimeZone;
use tokio::sync::Notify;

use super::{
    Place, api::Api, courier::Courier, decode::Me, follow::Live, pages, render::Look, vitals::Vitals,
};
use crate::{
    chart,
    domain::{Block, Chart, ConversationKey, IncidentId, Role},
    engine::Engine,
    pager::Pager,
    runtime::{Counters, clock},
    voice::Transcriber,
};

/// What every name of a conversation, a place or a source begins with.
pub(super) const CHANNEL: &str = "telegram:";

/// How the channel behaves.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The groups that it answers in.
    pub groups: BTreeSet<i64>,
    /// The colours of pictures.
    pub theme: chart::Theme,
    /// Where voice notes are kept; none: not at all.
    pub voices: Option<(PathBuf, Duration)>,
    /// The largest file that is downloaded, in bytes.
    pub max_download: u64,
    /// When no text stands after this, a placeholder is sent.
    pub placeholder_after: Duration,
    /// The shortest time between two edits of one live message.
    pub edit_every: Duration,
    /// How long one `getUpdates` waits.
    pub poll_timeout: Duration,
    /// The first and the longest pause after a failed poll, and the pause after a refused token.
    pub retry: (Duration, Duration, Duration),
    /// How often the whole is looked over: undelivered replies, lapsed cards, pending updates.
    pub look_every: Duration,
}

/// The channel at work; clones share everything.
#[derive(Clone)]
pub(super) struct Core(Arc<Shared>);

pub(super) struct Shared {
    pub engine: Engine,
    pub api: Api,
    pub courier: Courier,
    pub me: Me,
    pub settings: Settings,
    pub transcriber: Arc<dyn Transcriber>,
    pub counters: Counters,
    pub vitals: Vitals,
    /// The alerts to show; none: there are none.
    pub pager: Option<Pager>,
    /// Live messages by the number of the message that they work on.
    lives: Mutex<BTreeMap<i64, Arc<Live>>>,
    /// Rows by chat and message, for edits that come before a turn; the oldest are forgotten.
    taken: Mutex<BTreeMap<(i64, i32), i64>>,
    /// Messages beside incidents' cards (rings, charts) by chat and number; the oldest are forgotten.
    beside: Mutex<BTreeMap<(i64, i32), IncidentId>>,
    /// Chats whose menu of commands is registered, and for which role.
    commands: Mutex<BTreeMap<i64, Role>>,
    /// Wakes the postman.
    pub wake: Notify,
    /// Wakes the keeper of cards.
    pub card_posted: Notify,
}

const TAKEN_AT_MOST: usize = 1000;
const BESIDE_AT_MOST: usize = 1000;

impl std::ops::Deref for Core {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

impl Core {
    pub(super) fn new(shared: Shared) -> Self {
        Self(Arc::new(shared))
    }
}

impl Shared {
    #[expect(clippy::too_many_arguments, reason = "each part once, from the one place that makes them")]
    pub(super) fn new(
        engine: Engine,
        api: Api,
        courier: Courier,
        me: Me,
        settings: Settings,
        transcriber: Arc<dyn Transcriber>,
        counters: Counters,
        vitals: Vitals,
        pager: Option<Pager>,
    ) -> Self {
        let (lives, taken) = (Mutex::default(), Mutex::default());
        let (beside, commands) = (Mutex::default(), Mutex::default());
        let (wake, card_posted) = (Notify::new(), Notify::new());
        Self {
            engine,
            api,
            courier,
            me,
            settings,
            transcriber,
            counters,
            vitals,
            pager,
            lives,
            taken,
            beside,
            commands,
            wake,
            card_posted,
        }
    }

    /// Answers a press; one that came too late needs none.
    pub(super) async fn toast(&self, query: &str, text: &str, alert: bool) {
        if let Err(fault) = self.courier.answer(query, text, alert).await {
            tracing::debug!(?fault, "a press could not be answered");
        }
    }

    /// Answers a press without a word.
    pub(super) async fn hush(&self, query: &str) {
        self.toast(query, "", false).await;
    }

    /// Takes a message away that nobody needs any more.
    pub(super) async fn delete(&self, place: Place, message: i32) {
        if let Err(fault) = self.courier.delete(place, message).await {
            tracing::debug!(?fault, "a message could not be deleted");
        }
    }

    /// How blocks are shown; `data` makes a button's data of its text.
    pub(super) fn look<'a>(
        &self,
        draw: &'a (dyn Fn(&Chart) -> Option<Vec<u8>> + Sync),
        data: &'a (dyn Fn(&str) -> String + Sync),
    ) -> Look<'a> {
        Look::new(clock::now(), draw, data)
    }

    /// The pictures of all charts in `blocks`, drawn where they hold nobody up.
    pub(super) async fn draw(&self, blocks: &[Block]) -> Vec<(Chart, Option<Vec<u8>>)> {
        let style = chart::Style::phone(self.settings.theme);
        let charts = blocks.iter().filter_map(|block| match block {
            Block::Chart(chart) => Some(chart),
            Block::Alert(card) => card.chart.as_ref(),
            _ => None,
        });
        let charts: Vec<_> = charts.cloned().collect();
        if charts.is_empty() {
            return vec![];
        }
        let draw = move || {
            let png = |chart: &Chart| chart::png(chart, style, &TimeZone::UTC);
            let log = |error| tracing::warn!(%error, "a chart could not be drawn");
            charts
                .into_iter()
                .map(|c| {
                    let png = png(&c).map_err(log).ok();
                    (c, png)
                })
                .collect()
        };
        tokio::task::spawn_blocking(draw).await.unwrap_or_default()
    }

    pub(super) fn live(&self, message: i64) -> Option<Arc<Live>> {
        lock(&self.lives).get(&message).cloned()
    }

    pub(super) fn live_begins(&self, message: i64, live: Arc<Live>) {
        lock(&self.lives).insert(message, live);
    }

    pub(super) fn live_ends(&self, message: i64) {
        lock(&self.lives).remove(&message);
    }

    /// Whether the chat's menu of commands has to be registered; it then counts as done.
    pub(super) fn commands_are_due(&self, chat: i64, role: Role) -> bool {
        let mut commands = lock(&self.commands);
        // In a group everybody sees the same menu: the widest of those who spoke.
        let group = chat < 0;
        let due = commands.get(&chat).is_none_or(|done| if group { *done < role } else { *done != role });
        if due {
            commands.insert(chat, role);
        }
        due
    }

    /// Forgets that the chat's menu of commands was registered; whether it was.
    pub(super) fn commands_are_gone(&self, chat: i64) -> bool {
        lock(&self.commands).remove(&chat).is_some()
    }

    pub(super) fn row_of(&self, chat: i64, message: i32) -> Option<i64> {
        lock(&self.taken).get(&(chat, message)).copied()
    }

    pub(super) fn row_is(&self, chat: i64, message: i32, row: i64) {
        let mut taken = lock(&self.taken);
        taken.insert((chat, message), row);
        if taken.len() > TAKEN_AT_MOST
            && let Some(oldest) = taken.iter().min_by_key(|(_, row)| **row).map(|(key, _)| *key)
        {
            taken.remove(&oldest);
        }
    }

    /// A message says something about an incident, beside its card.
    pub(super) fn stands_beside(&self, chat: i64, message: i32, incident: IncidentId) {
        let mut beside = lock(&self.beside);
        beside.insert((chat, message), incident);
        if beside.len() > BESIDE_AT_MOST
            && let Some(oldest) = beside.iter().min_by_key(|(_, incident)| **incident).map(|(key, _)| *key)
        {
            beside.remove(&oldest);
        }
    }

    /// The incident that a message of ours is about.
    pub(super) fn incident_of(&self, place: Place, message: i32) -> Option<IncidentId> {
        let pager = self.pager.as_ref()?;
        let text = place_text(place);
        let own = pages::names(message).iter().find_map(|name| pager.incident_at(&text, name));
        own.or_else(|| lock(&self.beside).get(&(place.chat, message)).copied())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The place in a conversation's key (`telegram:-100123:7:anna`).
pub(super) fn place_of(conversation: &ConversationKey) -> Option<Place> {
    place_in(conversation.place())
}

/// The place in its text (`telegram:-100123:7`).
pub(super) fn place_in(text: &str) -> Option<Place> {
    let (chat, thread) = text.strip_prefix(CHANNEL)?.split_once(':')?;
    let thread: i32 = thread.parse().ok()?;
    Some(Place { chat: chat.parse().ok()?, thread: (thread != 0).then_some(thread) })
}

/// The place as text.
pub(super) fn place_text(place: Place) -> String {
    format!("{CHANNEL}{}:{}", place.chat, place.thread.unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ChannelKind;

    #[test]
    fn a_conversation_knows_its_place() {
        for (chat, thread) in [(1001, None), (-100_123, Some(7)), (i64::MIN, None)] {
            let key = ConversationKey::in_chat(ChannelKind::Telegram, chat, thread, &"anna b".into());
            let place = place_of(&key).unwrap();
            assert_eq!((place.chat, place.thread), (chat, thread));
            assert_eq!(place_text(place), key.place());
        }
        for other in ["console:anna:1", "telegram:x:0:anna", "telegram:1", ""] {
            assert_eq!(place_of(&ConversationKey::from(other)), None, "{other}");
        }
    }
}
