//! Updates on their way in: who is it, is it meant for us, one commit for all of a batch, and only then the next poll.

use std::{
    collections::BTreeSet,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde_json::Value;
use teloxide::types::{AllowedUpdate, Update};
use tokio_util::sync::CancellationToken;

use super::{
    Place, Post, Rich, attach, cards,
    core::{CHANNEL, Core},
    courier::{Attempt, Lane},
    decode::{self, Attached, Event, Kind, Press, Said, Sender},
    fault::Fault,
    greet, postman, press,
    turn::{self, By},
};
use crate::{
    domain::{
        Actor, Attachment, Block, ChannelKind, ConversationKey, Inbound, Origin, PersonName, Role, Untrusted,
    },
    engine::StoreError,
    runtime::clock,
};

/// What we want to hear of.
pub(super) const ALLOWED: [AllowedUpdate; 4] = [
    AllowedUpdate::Message,
    AllowedUpdate::EditedMessage,
    AllowedUpdate::CallbackQuery,
    AllowedUpdate::MyChatMember,
];
/// How many updates without an answer make Telegram's own count a worry.
const LOOK_AT_TELEGRAM_EVERY: Duration = Duration::from_secs(60);

/// An update as it came: its id, and what it is if this build can tell.
pub(super) type Arrived = (u32, Result<Update, Value>);

/// Takes updates in; one for the channel's life.
pub(super) struct Intake {
    core: Core,
    /// Groups whose people were told that nobody answers there.
    told: Mutex<BTreeSet<i64>>,
    /// The last updates that were dealt with; one that comes again changes nothing, also where no row says so.
    seen: Mutex<BTreeSet<u32>>,
}

/// How many updates are remembered as dealt with.
const SEEN_AT_MOST: usize = 1000;

/// What an update leads to.
enum Follows {
    /// A message that is to be kept and answered.
    Turn(Box<Taken>, Role),
    /// Something that needs no row. It is done once the rest of its batch is kept, for until then all may come again.
    Aside(Aside),
}

enum Aside {
    Stranger(Sender),
    NotHere(Place),
    Edit(Box<Taken>),
    Press(Box<Press>, press::Meaning, Role),
    ForeignPress(Box<Press>),
}

/// A message that is to be kept, and what follows once it is.
struct Taken {
    source: String,
    inbound: Inbound,
    place: Place,
    press: Option<(By, String)>,
    /// The edit of it that came in the same batch.
    edit: Option<Box<Taken>>,
}

/// Why what somebody says is not heard.
enum Unheard {
    /// Nobody spoke to us.
    Overheard,
    /// A group that is not listed.
    NotHere,
    /// Nobody that we know.
    Stranger,
}

impl Unheard {
    /// What follows: strangers are greeted in private, and met with silence elsewhere.
    fn aside(self, said: &Said) -> Option<Aside> {
        match self {
            Self::Overheard => None,
            Self::NotHere => Some(Aside::NotHere(said.place)),
            Self::Stranger => (!said.place.is_group()).then(|| Aside::Stranger(said.from.clone())),
        }
    }
}

impl Intake {
    pub(super) fn new(core: Core) -> Self {
        Self { core, told: Mutex::default(), seen: Mutex::default() }
    }

    /// Polls until `stop`.
    pub(super) async fn poll(&self, stop: &CancellationToken) {
        let (first, longest, token_pause) = self.core.settings.retry;
        let mut offset: Option<u32> = None;
        let mut pause = first;
        let mut looked = clock::now();
        while !stop.is_cancelled() {
            let timeout = u16::try_from(self.core.settings.poll_timeout.as_secs()).unwrap_or(50);
            let polled = tokio::select! {
                polled = self.core.api.get_updates(offset, timeout, &ALLOWED) => polled,
                () = stop.cancelled() => return,
            };
            let wait = match polled {
                Ok(updates) => {
                    pause = first;
                    let last = updates.iter().map(|(id, _)| *id).max();
                    match self.take(updates).await {
                        Ok(()) => {
                            if let Some(last) = last {
                                offset = Some(last.wrapping_add(1));
                            }
                            let now = clock::now();
                            if now.duration_since(looked).unsigned_abs() >= LOOK_AT_TELEGRAM_EVERY {
                                looked = now;
                                self.look_at_telegram().await;
                            }
                            continue;
                        }
                        Err(error) => {
                            // Not confirmed, so Telegram keeps them.
                            self.trouble(&format!("updates could not be written down: {error}"));
                            longest.min(Duration::from_secs(1))
                        }
                    }
                }
                Err(fault) => {
                    self.trouble(&cure(&fault));
                    match fault {
                        Fault::RetryAfter(wait) => wait,
                        Fault::Token => token_pause,
                        Fault::Conflict(why) => {
                            if why.contains("webhook") {
                                self.drop_webhook().await;
                            }
                            // Ours yields: the other one may be meant, and two that fight starve both.
                            pause = (pause * 2).min(longest);
                            pause
                        }
                        _ => {
                            let wait = pause;
                            pause = (pause * 2).min(longest);
                            wait
                        }
                    }
                }
            };
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = stop.cancelled() => return,
            }
        }
    }

    fn trouble(&self, why: &str) {
        self.core.counters.add("opsbot_telegram_poll_failures_total", &[], 1);
        if self.core.vitals.trouble(why) {
            tracing::warn!(why, "no updates from Telegram; trying again");
        }
    }

    async fn drop_webhook(&self) {
        if let Err(fault) = self.core.api.delete_webhook().await {
            tracing::warn!(%fault, "the webhook that takes our updates could not be removed");
        }
    }

    /// Telegram itself says whether updates wait there though we hear none.
    pub(super) async fn look_at_telegram(&self) {
        match self.core.api.get_webhook_info().await {
            Ok(info) => {
                let now = clock::now();
                self.core.vitals.waiting(info.pending_update_count.into(), now);
                if info.url.is_some() {
                    match info.last_error_message.filter(|_| info.pending_update_count > 0) {
                        Some(why) => self.trouble(&format!("Telegram cannot reach the webhook: {why}")),
                        None => self.core.vitals.heard(0, now),
                    }
                }
            }
            Err(fault) => tracing::debug!(%fault, "Telegram does not say whether updates wait"),
        }
    }

    pub(super) fn core(&self) -> &Core {
        &self.core
    }

    /// Keeps what is meant for us in one commit, then sets it to work.
    ///
    /// # Errors
    /// The store's; nothing was kept then, and nothing may be confirmed.
    pub(super) async fn take(&self, updates: Vec<Arrived>) -> Result<(), StoreError> {
        let now = clock::now();
        let count = updates.len();
        let mut ids = BTreeSet::new();
        let (mut kinds, mut follows) = (Vec::new(), Vec::new());
        for (id, update) in updates {
            if self.seen().contains(&id) || !ids.insert(id) {
                kinds.push((id, "duplicate"));
                continue;
            }
            let event = match update {
                Ok(update) => decode::decode(&update, &self.core.me),
                Err(_) => Event::Ignored("unreadable"),
            };
            kinds.push((id, label(&event)));
            self.event(id, event, &mut follows).await;
        }
        let taken = |f: &Follows| match f {
            Follows::Turn(taken, _) => Some((taken.source.clone(), taken.inbound.clone())),
            Follows::Aside(_) => None,
        };
        let messages: Vec<_> = follows.iter().filter_map(taken).collect();
        let rows = if messages.is_empty() { vec![] } else { self.core.engine.receive(&messages).await? };
        self.remember(ids);
        for (id, kind) in kinds {
            self.core.counters.add("opsbot_telegram_updates_total", &[("kind", kind)], 1);
            if kind == "unreadable" || kind == "unknown" {
                tracing::warn!(id, "an update of a kind that this build does not know was left out");
            }
        }
        let mut rows = rows.into_iter();
        for follows in follows {
            match follows {
                Follows::Turn(mut taken, role) => {
                    if taken.press.is_none() {
                        greet::menu_of_commands(&self.core, taken.place, role);
                    }
                    let (row, edit) = (rows.next().flatten(), taken.edit.take());
                    self.set_to_work(row, *taken);
                    if let Some(edit) = edit.filter(|_| row.is_none()) {
                        // The message was kept before, perhaps without its edit.
                        self.edited(*edit).await;
                    }
                }
                Follows::Aside(aside) => self.aside(aside).await,
            }
        }
        self.core.vitals.heard(count, now);
        Ok(())
    }

    fn remember(&self, mut ids: BTreeSet<u32>) {
        let mut seen = self.seen();
        seen.append(&mut ids);
        while seen.len() > SEEN_AT_MOST {
            seen.pop_first();
        }
    }

    fn seen(&self) -> MutexGuard<'_, BTreeSet<u32>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_to_work(&self, row: Option<i64>, taken: Taken) {
        let Some(row) = row else {
            // A duplicate changes nothing; a press of it still wants its clock stopped.
            if let Some((_, query)) = taken.press {
                let core = self.core.clone();
                tokio::spawn(async move { core.hush(&query).await });
            }
            return;
        };
        if let Some(message) = taken.inbound.message.and_then(|m| i32::try_from(m).ok()) {
            self.core.row_is(taken.place.chat, message, row);
        }
        if let Some((By::Words, query)) = &taken.press {
            let (core, query) = (self.core.clone(), query.clone());
            tokio::spawn(async move { core.hush(&query).await });
        }
        turn::begin(&self.core, row, taken.inbound, None, taken.press);
    }

    async fn event(&self, id: u32, event: Event, follows: &mut Vec<Follows>) {
        let new = match event {
            Event::Said(said) => match self.who(&said.from, said.place, said.addressed) {
                Ok(who) => {
                    let role = who.1;
                    Some(Follows::Turn(Box::new(self.said_by(source(id), said, who)), role))
                }
                Err(why) => why.aside(&said).map(Follows::Aside),
            },
            Event::Edited(said) => match self.who(&said.from, said.place, said.addressed) {
                Ok(who) => {
                    let edit = self.said_by(source(id), said, who);
                    // What the same batch brings unedited is not worth a turn of its own.
                    match follows.iter_mut().find_map(|f| f.is_of(&edit)) {
                        Some(taken) => {
                            taken.amend(edit);
                            None
                        }
                        None => Some(Follows::Aside(Aside::Edit(Box::new(edit)))),
                    }
                }
                Err(why) => why.aside(&said).map(Follows::Aside),
            },
            Event::Press(press) => Some(self.pressed(id, press).await),
            Event::Left { place, by } => {
                tracing::info!(chat = place.chat, by = by.id, "the bot was removed from a chat or blocked");
                None
            }
            Event::Ignored(_) => None,
        };
        follows.extend(new);
    }

    async fn aside(&self, aside: Aside) {
        let core = self.core.clone();
        match aside {
            Aside::Stranger(from) => greet::stranger(&core, &from).await,
            Aside::NotHere(place) => self.not_here(place),
            Aside::Edit(edit) => self.edited(*edit).await,
            // Strangers are met with silence, but one who may not act on an incident must not think that they did.
            Aside::ForeignPress(press) => drop(tokio::spawn(async move {
                let text = "Nothing was done: only people whom OpsBot knows may do that. Ask an admin to let you in.";
                let text = if press::changes_incident(&press.data) { text } else { "" };
                core.toast(&press.query, text, !text.is_empty()).await;
            })),
            Aside::Press(press, meaning, role) => drop(tokio::spawn(async move {
                match meaning {
                    press::Meaning::Menu(to) => press::turn_page(&core, &press, role, &to).await,
                    press::Meaning::Again(id) => press::again(&core, &press, id).await,
                    _ => {
                        let text = "This button is of an older version; ask again.";
                        core.toast(&press.query, text, true).await;
                    }
                }
            })),
        }
    }

    /// The one function that authorises: who it is, if they may speak here.
    fn who(&self, from: &Sender, place: Place, addressed: bool) -> Result<(PersonName, Role), Unheard> {
        if !addressed {
            return Err(Unheard::Overheard);
        }
        let known = self.core.engine.people().who(ChannelKind::Telegram, &from.id.to_string());
        let listed = !place.is_group() || self.core.settings.groups.contains(&place.chat);
        match known {
            Some(who) if listed => Ok(who),
            Some(_) => Err(Unheard::NotHere),
            None => {
                self.core.counters.add("opsbot_telegram_strangers_total", &[], 1);
                Err(Unheard::Stranger)
            }
        }
    }

    /// A known person asks in a group that is not listed: said once, so that they can list it.
    fn not_here(&self, place: Place) {
        if !self.told.lock().unwrap_or_else(PoisonError::into_inner).insert(place.chat) {
            return;
        }
        let text = format!(
            "I answer in groups only when the configuration lists them, because everybody here can read along: \
             add {} to [telegram] groups and restart me.",
            place.chat
        );
        let core = self.core.clone();
        tokio::spawn(async move {
            let post = Post::text(Rich::plain(text));
            if let Err(fault) = core.courier.send(place, Lane::Reply, post, Attempt::First).await {
                tracing::debug!(?fault, "a group could not be told that it is not listed");
            }
        });
    }

    /// An edit counts while its message still waits; afterwards nothing runs again, and that is said.
    async fn edited(&self, edit: Taken) {
        let Taken { source, inbound, place, .. } = edit;
        let message = inbound.message.and_then(|m| i32::try_from(m).ok()).unwrap_or_default();
        let (engine, row) = (&self.core.engine, self.core.row_of(place.chat, message));
        let done = async {
            if let Some(row) = row
                && engine.amend(row, &inbound.text, inbound.quoted.clone()).await?
            {
                return Ok(());
            }
            // One that counted before a crash comes again; and not every edit changes the text.
            if engine.has_received(&inbound).await? {
                return Ok(());
            }
            let reply = [Block::text("Nothing runs again by an edit. Send it as a new message.")];
            engine.receive_answered((&source, &inbound), (&reply, &postman::remark_on(message))).await
        };
        if let Err(error) = done.await {
            let error: StoreError = error;
            tracing::error!(%error, "an edit could not be written down");
        }
    }

    async fn pressed(&self, id: u32, press: Press) -> Follows {
        let Some((person, role)) = self.who_presses(&press) else {
            return Follows::Aside(Aside::ForeignPress(Box::new(press)));
        };
        let (by, text) = match press::meaning(&self.core, &press.data).await {
            press::Meaning::Text(text) => (By::Words, text),
            press::Meaning::Steer(text) => (By::Press, text),
            other => return Follows::Aside(Aside::Press(Box::new(press), other, role)),
        };
        if let (Some(approval), Some(message)) = (press::card_of(&press.data), press.message) {
            cards::found(&self.core, press.place, message, approval).await;
        }
        let place = press.place;
        let actor = Actor { role, channel: ChannelKind::Telegram, origin: Origin::Button, person };
        let conversation =
            ConversationKey::in_chat(ChannelKind::Telegram, place.chat, place.thread, &actor.person);
        let message = press.message.map(i64::from);
        let inbound = Inbound { message, ..Inbound::new(conversation, actor, text) };
        let press = Some((by, press.query));
        Follows::Turn(Box::new(Taken { source: source(id), inbound, place, press, edit: None }), role)
    }

    /// What somebody said; an answer to an incident's card is about that incident.
    fn said_by(&self, source: String, said: Said, who: (PersonName, Role)) -> Taken {
        let about = said.reply_to.and_then(|message| self.core.incident_of(said.place, message));
        let mut taken = said_by(source, said, who);
        taken.inbound.about = about;
        taken
    }

    /// Who pressed; none for a stranger, and where we are not at home.
    fn who_presses(&self, press: &Press) -> Option<(PersonName, Role)> {
        let listed = !press.place.is_group() || self.core.settings.groups.contains(&press.place.chat);
        let known = self.core.engine.people().who(ChannelKind::Telegram, &press.from.id.to_string());
        known.filter(|_| listed)
    }
}

/// What is wrong, and what to do about it.
pub(super) fn cure(fault: &Fault) -> String {
    match fault {
        Fault::Conflict(why) if why.contains("webhook") => {
            "a webhook takes this bot's updates; it is being removed".to_owned()
        }
        Fault::Conflict(_) => {
            "another program polls with this bot's token (409): stop it, or give OpsBot a bot of \
                               its own (@BotFather)"
                .to_owned()
        }
        Fault::Token => {
            "Telegram refuses the token (401): put the one that @BotFather shows into telegram.token, \
                         and check telegram.api_url"
                .to_owned()
        }
        Fault::Unknown(why) => format!("Telegram's answer is missing or cannot be read ({why})"),
        fault => fault.to_string(),
    }
}

impl Follows {
    /// The message that `edit` changes, if this is it.
    fn is_of(&mut self, edit: &Taken) -> Option<&mut Taken> {
        let Self::Turn(taken, _) = self else { return None };
        let same = taken.press.is_none()
            && taken.place == edit.place
            && taken.inbound.message == edit.inbound.message;
        same.then_some(taken)
    }
}

impl Taken {
    fn amend(&mut self, edit: Self) {
        self.inbound.text.clone_from(&edit.inbound.text);
        self.inbound.quoted.clone_from(&edit.inbound.quoted);
        self.edit = Some(Box::new(edit));
    }
}

fn source(update: u32) -> String {
    format!("{CHANNEL}{update}")
}

fn said_by(source: String, said: Said, (person, role): (PersonName, Role)) -> Taken {
    let place = said.place;
    let actor = Actor { role, channel: ChannelKind::Telegram, origin: Origin::Typed, person };
    let conversation =
        ConversationKey::in_chat(ChannelKind::Telegram, place.chat, place.thread, &actor.person);
    let quoted = quoted(&said);
    let mut text = said.text;
    let attached = said.attached.map(attachment);
    if text.trim().is_empty() && attached.is_none() && !quoted.is_empty() {
        text = "What do you make of this?".to_owned();
    }
    let inbound = Inbound {
        quoted,
        sent_at: Some(said.at),
        message: Some(said.message.into()),
        attached,
        ..Inbound::new(conversation, actor, text)
    };
    Taken { source, inbound, place, press: None, edit: None }
}

/// What came in other people's words, each with where it comes from.
fn quoted(said: &Said) -> Vec<Untrusted> {
    said.quoted.iter().map(|q| Untrusted::new(&format!("{}:\n{}", q.source, q.text))).collect()
}

/// What can be fetched, or the sentence that says what would help instead.
fn attachment(attached: Attached) -> Attachment {
    let refused = attach::refusal(&attached);
    let voice = attached.kind == Kind::Voice;
    Attachment { voice, file: attached.file_id, name: attached.name, bytes: attached.bytes, refused }
}

fn label(event: &Event) -> &'static str {
    match event {
        Event::Said(_) => "message",
        Event::Edited(_) => "edited_message",
        Event::Press(_) => "callback_query",
        Event::Left { .. } => "my_chat_member",
        Event::Ignored(why) => why,
    }
}
