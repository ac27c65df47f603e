//! Delivers replies from their rows: one after another for each place, with a note before every send whose end is unknown.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, PoisonError},
};

use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::{
    Body, Place, Post,
    cards::{self, shows},
    core::{CHANNEL, Core, place_of, place_text},
    courier::{Attempt, Lane, Undelivered},
    places::Places,
    press, render,
};
use crate::{
    domain::{Block, CardState, Chart, Level},
    policy,
    runtime::clock,
    store::{OpenReply, Posted, Progress, StoreError},
};

/// How far the delivery of a reply came.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Notes {
    /// The messages that stand; 0 for one that may or may not.
    sent: Vec<i32>,
    /// The next one may have been sent: if no row says how that ended, it is marked when it is sent again.
    begun: bool,
}

/// Delivers until `stop`; what is undelivered then stays in its row.
pub(super) async fn run(core: Core, stop: CancellationToken) {
    let mut changes = core.engine.changes();
    let mut places = Places::new();
    while !stop.is_cancelled() {
        changes.mark_unchanged();
        match core.engine.store().replies_open(CHANNEL).await {
            Ok(open) => {
                for (place, replies) in by_place(open) {
                    let core = core.clone();
                    places.begin(place, async move { deliver_all(&core, place, replies).await });
                }
            }
            Err(error) => tracing::error!(%error, "replies could not be read; trying again"),
        }
        tokio::select! {
            () = stop.cancelled() => {}
            changed = changes.changed() => if changed.is_err() { break },
            () = core.wake.notified() => {}
            () = places.one_ends() => {}
            () = tokio::time::sleep(core.settings.look_every) => {}
        }
    }
    places.all_end().await;
}

fn by_place(open: Vec<OpenReply>) -> BTreeMap<Place, Vec<OpenReply>> {
    let mut places: BTreeMap<Place, Vec<OpenReply>> = BTreeMap::new();
    for reply in open {
        match place_of(&reply.conversation) {
            Some(place) => places.entry(place).or_default().push(reply),
            None => tracing::error!(id = reply.id, "a reply is for no chat"),
        }
    }
    places
}

async fn deliver_all(core: &Core, place: Place, replies: Vec<OpenReply>) {
    let mut used = BTreeSet::new();
    for mut reply in replies {
        let id = reply.id;
        if reply.inbox.is_some_and(|row| !used.insert(row)) {
            // An earlier reply to the same message took its live message; this row was read before that.
            reply.live = None;
        }
        match deliver(core, place, reply).await {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => return tracing::error!(%error, id, "a reply's delivery could not be written down"),
        }
    }
}

/// Delivers one reply from where it stands; false when it has to wait.
async fn deliver(core: &Core, place: Place, reply: OpenReply) -> Result<bool, StoreError> {
    let mut delivery = Delivery::begin(core, place, reply).await?;
    while let Some(post) = delivery.next() {
        if !delivery.send(post).await? {
            return Ok(false);
        }
    }
    delivery.end().await?;
    Ok(true)
}

struct Delivery<'a> {
    core: &'a Core,
    place: Place,
    reply: OpenReply,
    posts: Vec<Post>,
    notes: Notes,
    over: bool,
}

impl<'a> Delivery<'a> {
    async fn begin(core: &'a Core, place: Place, reply: OpenReply) -> Result<Self, StoreError> {
        let notes: Notes = match &reply.progress {
            Some(notes) => serde_json::from_value(notes.clone()).unwrap_or_default(),
            None => Notes::default(),
        };
        let posts = posts(core, place, &reply, &notes.sent).await?;
        Ok(Self { core, place, reply, posts, notes, over: false })
    }

    fn next(&self) -> Option<Post> {
        if self.over { None } else { self.posts.get(self.notes.sent.len()).cloned() }
    }

    /// Sends the next message; false when the reply has to wait.
    async fn send(&mut self, post: Post) -> Result<bool, StoreError> {
        let first = self.notes.sent.is_empty();
        if first && let Some(live) = self.live().await {
            if fits_live(&post) {
                match self.core.courier.edit(self.place, live, false, Lane::Reply, post.clone()).await {
                    Ok(()) => return self.stands(live, &post, true).await,
                    Err(Undelivered::MessageGone) => {}
                    Err(fault) => return self.fails(fault).await,
                }
            } else {
                self.core.delete(self.place, live).await;
            }
        }
        let attempt = if self.notes.begun { Attempt::MaybeRepeat } else { Attempt::First };
        if !self.notes.begun {
            self.notes.begun = true;
            self.write(None, None).await?;
        }
        let lane = if post.card.is_some() { Lane::Critical } else { Lane::Reply };
        let reply_to = self.reply.message.filter(|_| first && self.place.is_group());
        let sent = match reply_to.and_then(|m| i32::try_from(m).ok()) {
            Some(to) => self.core.courier.reply(self.place, to, lane, post.clone(), attempt).await,
            None => self.core.courier.send(self.place, lane, post.clone(), attempt).await,
        };
        match sent {
            Ok(sent) => self.stands(sent.message, &post, first).await,
            Err(fault) => self.fails(fault).await,
        }
    }

    /// The live message of the message that this answers.
    async fn live(&self) -> Option<i32> {
        let row = self.reply.inbox?;
        match self.core.live(row) {
            Some(live) => live.settle().await,
            None => self.reply.live.as_deref()?.parse().ok(),
        }
    }

    async fn stands(&mut self, message: i32, post: &Post, first: bool) -> Result<bool, StoreError> {
        self.notes.sent.push(message);
        // One commit says that this one stands and that the next one begins.
        self.notes.begun = self.notes.sent.len() < self.posts.len();
        let posted = match post.card {
            Some(approval) => self.core.engine.store().approval_get(approval).await?.map(|a| Posted {
                place: place_text(self.place),
                message: message.into(),
                approval,
                // What was drawn may be older than the row: the keeper of cards looks again.
                shown: if shows(&a) == cards::PENDING { shows(&a) } else { cards::EXECUTING.to_owned() },
            }),
            None => None,
        };
        let over = (self.notes.sent.len() >= self.posts.len()).then_some(Ok(()));
        self.over = over.is_some();
        let used_live = self.reply.inbox.filter(|_| first);
        self.write_all(over, posted, used_live).await?;
        if let Some(row) = used_live {
            self.core.live_ends(row);
        }
        Ok(true)
    }

    async fn fails(&mut self, fault: Undelivered) -> Result<bool, StoreError> {
        match fault {
            Undelivered::Stopped { attempted: false } if self.notes.begun => {
                self.notes.begun = false;
                self.write(None, None).await?;
                return Ok(false);
            }
            Undelivered::Stopped { .. } | Undelivered::Token => return Ok(false),
            Undelivered::Unsure => {
                tracing::warn!(id = self.reply.id, "a message may not have arrived; its chat is told");
                self.notes.sent.push(0);
                self.notes.begun = false;
                self.over = self.notes.sent.len() >= self.posts.len();
                self.write(self.over.then_some(Ok(())), None).await?;
                press::offer_again(self.core, self.place, self.reply.id).await;
            }
            Undelivered::Gone(why) | Undelivered::Refused(why) => {
                tracing::error!(id = self.reply.id, why, "a reply cannot be delivered");
                self.core.counters.add("opsbot_telegram_dead_letters_total", &[], 1);
                self.over = true;
                self.write(Some(Err(&why)), None).await?;
            }
            Undelivered::MessageGone => {
                self.over = true;
                self.write(Some(Err("the message to answer is gone")), None).await?;
            }
        }
        Ok(true)
    }

    async fn end(&self) -> Result<(), StoreError> {
        if self.over { Ok(()) } else { self.write(Some(Ok(())), None).await }
    }

    async fn write(&self, over: Option<Result<(), &str>>, posted: Option<Posted>) -> Result<(), StoreError> {
        self.write_all(over, posted, None).await
    }

    async fn write_all(
        &self,
        over: Option<Result<(), &str>>,
        posted: Option<Posted>,
        used_live: Option<i64>,
    ) -> Result<(), StoreError> {
        let notes = serde_json::to_value(&self.notes).unwrap_or_default();
        let progress = Progress { notes, over, posted, used_live };
        self.core.engine.store().reply_progress(self.reply.id, progress, clock::now()).await
    }
}

/// An edit makes no sound and cannot turn text into a picture.
fn fits_live(post: &Post) -> bool {
    post.card.is_none() && matches!(post.body, Body::Text(_))
}

/// What the reply looks like in this place now; `sent` are its messages that stand already.
async fn posts(core: &Core, place: Place, reply: &OpenReply, sent: &[i32]) -> Result<Vec<Post>, StoreError> {
    let store = core.engine.store();
    let mut blocks = Vec::with_capacity(reply.blocks.len());
    for block in &reply.blocks {
        let Block::Card(card) = block else {
            blocks.push(block.clone());
            continue;
        };
        // A card is shown once in a place, as its approval stands now.
        let here = place_text(place);
        let posted = store.posted_of(card.id).await?;
        let here: Vec<_> = posted.iter().filter(|p| p.place == here).collect();
        // One of this very reply keeps its place among the messages.
        let ours = here.iter().any(|p| sent.iter().any(|message| i64::from(*message) == p.message));
        if !ours && here.iter().any(|p| p.shown != cards::MOVED) {
            if card.state == CardState::Pending {
                let what = card.calls.join(", ");
                let id: String = card.id.to_string().chars().take(8).collect();
                let text = format!("Waiting: {what}. Its card ({id}) stands above.");
                blocks.push(Block::notice(Level::Info, text));
            }
            continue;
        }
        if let Some(approval) = store.approval_get(card.id).await? {
            blocks.push(Block::Card(policy::card(&approval)));
        }
    }
    let long = Mutex::default();
    let pictures = core.draw(&blocks).await;
    let posts = {
        let draw = |chart: &_| picture(&pictures, chart);
        let data = |text: &str| press::data(text, &mut long.lock().unwrap_or_else(PoisonError::into_inner));
        render::render(&blocks, &core.look(&draw, &data))
    };
    press::keep(core, long).await;
    Ok(posts)
}

fn picture(pictures: &[(Chart, Option<Vec<u8>>)], chart: &Chart) -> Option<Vec<u8>> {
    pictures.iter().find(|(drawn, _)| drawn == chart)?.1.clone()
}

/// Shows what no row holds because the store failed; once, and it says so.
pub(super) async fn push(core: &Core, place: Place, mut blocks: Vec<Block>) {
    blocks.push(Block::notice(Level::Error, "The store failed: this was not stored and is shown once."));
    let pictures = core.draw(&blocks).await;
    let (draw, data) = (|chart: &_| picture(&pictures, chart), |text: &str| press::short(text));
    for post in render::render(&blocks, &core.look(&draw, &data)) {
        if let Err(fault) = core.courier.send(place, Lane::Critical, post, Attempt::First).await {
            tracing::error!(?fault, "what could not be stored could not be shown either");
        }
    }
}

/// Delivers the reply `id` once more, because a person asks for it.
pub(super) async fn again(core: &Core, place: Place, id: i64) -> Result<bool, StoreError> {
    let Some(reply) = core.engine.store().reply(id).await? else { return Ok(false) };
    if place_of(&reply.conversation) != Some(place) {
        return Ok(false);
    }
    for post in posts(core, place, &reply, &[]).await? {
        if let Err(fault) = core.courier.send(place, Lane::Reply, post, Attempt::First).await {
            tracing::warn!(?fault, "a reply could not be shown again");
            return Ok(true);
        }
    }
    Ok(true)
}
