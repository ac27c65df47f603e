//! Delivers replies from their rows: one after another for each place, with a note before every send whose end is unknown.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, PoisonError},
};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::{
    Body, Place, Post, Rich, cards,
    core::{CHANNEL, Core, place_of, place_text},
    courier::{Attempt, Lane, Undelivered},
    follow,
    places::Places,
    press, render,
};
use crate::{
    domain::{ApprovalId, Block, Card, CardState, Chart, Level},
    runtime::clock,
    store::{OpenReply, Posted, Progress, StoreError},
};

/// How far the delivery of a reply came.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Notes {
    /// The messages that stand; 0 for one that may or may not, or never will.
    sent: Vec<i32>,
    /// How often the sending of the next one began. As no row says how that ended, it is marked the second time, and
    /// announced in place of a third.
    begun: u8,
    /// What the chat is still to be told about the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tell: Option<Tell>,
    /// Why something of it was never delivered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    failed: Option<String>,
    /// It only remarks on this message of a person: it replies to it, without a sound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    remarks_on: Option<i32>,
}

/// The first notes on a reply that only remarks on a person's message.
pub(super) fn remark_on(message: i32) -> Value {
    serde_json::to_value(Notes { remarks_on: Some(message), ..Notes::default() }).unwrap_or_default()
}

/// What a chat is told in place of a message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Tell {
    /// It may be there or not; so often this may still be tried to be said.
    MaybeMissing { tries: u8 },
    /// Telegram refuses it, in these words.
    Refused { why: String },
}

/// How often it is tried to say that a message may be missing, when that itself may or may not arrive.
const TELL_AT_MOST: u8 = 3;

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
    loop {
        let goes_on = if let Some(tell) = delivery.notes.tell.clone() {
            delivery.tell(tell).await?
        } else if let Some(piece) = delivery.next() {
            delivery.send(piece).await?
        } else {
            delivery.end().await?;
            return Ok(true);
        };
        if !goes_on {
            return Ok(false);
        }
    }
}

/// One message of a reply.
#[derive(Clone)]
struct Piece {
    post: Post,
    /// The message that it replies to.
    to: Option<i32>,
    /// For a card: its approval, and a word for the state that it shows.
    card: Option<(ApprovalId, String)>,
}

impl Piece {
    fn replies(post: Post, to: Option<i32>) -> Self {
        Self { post, to, card: None }
    }

    fn posted(&self, place: Place, message: i32) -> Option<Posted> {
        let (approval, shown) = self.card.clone()?;
        Some(Posted { place: place_text(place), message: message.into(), approval, shown })
    }
}

struct Delivery<'a> {
    core: &'a Core,
    place: Place,
    reply: OpenReply,
    pieces: Vec<Piece>,
    notes: Notes,
    /// The row says already that the next one begins, and nothing was tried since.
    noted: bool,
    over: bool,
}

impl<'a> Delivery<'a> {
    async fn begin(core: &'a Core, place: Place, reply: OpenReply) -> Result<Self, StoreError> {
        let notes: Notes = match &reply.progress {
            Some(notes) => serde_json::from_value(notes.clone()).unwrap_or_default(),
            None => Notes::default(),
        };
        let mut pieces = pieces(core, place, &reply, &notes.sent).await?;
        if notes.remarks_on.is_some() {
            pieces.iter_mut().for_each(|piece| (piece.to, piece.post.quiet) = (notes.remarks_on, true));
        }
        Ok(Self { core, place, reply, pieces, notes, noted: false, over: false })
    }

    fn next(&self) -> Option<Piece> {
        if self.over { None } else { self.pieces.get(self.notes.sent.len()).cloned() }
    }

    /// Sends the next message; false when the reply has to wait.
    async fn send(&mut self, piece: Piece) -> Result<bool, StoreError> {
        let first = self.notes.sent.is_empty();
        let post = &piece.post;
        if first && let Some(live) = self.live().await {
            if fits_live(post) {
                match self.core.courier.edit(self.place, live, false, Lane::Reply, post.clone()).await {
                    Ok(()) => return self.stands(live, &piece, true).await,
                    Err(Undelivered::MessageGone) => {}
                    // What an edit may not do a new message may.
                    Err(Undelivered::Refused(_)) => self.core.delete(self.place, live).await,
                    Err(fault) => return self.fails(fault).await,
                }
            } else {
                self.core.delete(self.place, live).await;
            }
        }
        if !std::mem::take(&mut self.noted) {
            if first && self.notes.begun == 0 && self.may_stand_in_part().await {
                self.notes.begun = 1;
            }
            if self.notes.begun > 1 {
                return self.fails(Undelivered::Unsure).await;
            }
            self.notes.begun += 1;
            self.write(None, None).await?;
        }
        let attempt = if self.notes.begun > 1 { Attempt::MaybeRepeat } else { Attempt::First };
        let lane = if post.card.is_some() { Lane::Critical } else { Lane::Reply };
        let sent = match piece.to {
            Some(to) => self.core.courier.reply(self.place, to, lane, post.clone(), attempt).await,
            None => self.core.courier.send(self.place, lane, post.clone(), attempt).await,
        };
        match sent {
            Ok(sent) => self.stands(sent.message, &piece, first).await,
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

    /// Whether a live message whose number nobody learnt may show a part of this.
    async fn may_stand_in_part(&self) -> bool {
        let Some(row) = self.reply.inbox else { return false };
        match self.core.live(row) {
            Some(live) => live.is_unsure().await,
            None => self.reply.live.as_deref() == Some(follow::UNSURE),
        }
    }

    async fn stands(&mut self, message: i32, piece: &Piece, first: bool) -> Result<bool, StoreError> {
        self.notes.sent.push(message);
        // One commit says that this one stands and that the next one begins.
        self.noted = self.notes.sent.len() < self.pieces.len();
        self.notes.begun = u8::from(self.noted);
        self.over = !self.noted;
        let used_live = self.reply.inbox.filter(|_| first);
        self.write(piece.posted(self.place, message), used_live).await?;
        if piece.card.is_some() {
            self.core.card_posted.notify_one();
        }
        if let Some(row) = used_live {
            self.core.live_ends(row);
        }
        Ok(true)
    }

    async fn fails(&mut self, fault: Undelivered) -> Result<bool, StoreError> {
        match fault {
            Undelivered::Stopped { attempted: false } if self.notes.begun > 0 => {
                self.notes.begun -= 1;
                self.write(None, None).await?;
                return Ok(false);
            }
            Undelivered::Stopped { .. } | Undelivered::Token => return Ok(false),
            Undelivered::Unsure => {
                tracing::warn!(id = self.reply.id, "a message may not have arrived; its chat is told");
                self.instead(Tell::MaybeMissing { tries: TELL_AT_MOST }).await?;
            }
            Undelivered::Refused(why) => {
                self.dead_letter(&why);
                self.instead(Tell::Refused { why }).await?;
            }
            Undelivered::Gone(why) => self.give_up(&why).await?,
            Undelivered::MessageGone => self.give_up("the message to answer is gone").await?,
        }
        Ok(true)
    }

    /// The next message is done with; the chat is told something in its place.
    async fn instead(&mut self, tell: Tell) -> Result<(), StoreError> {
        self.notes.sent.push(0);
        self.notes.begun = 0;
        self.notes.tell = Some(tell);
        self.write(None, None).await
    }

    /// Tells the chat what became of a message; false when that has to wait.
    async fn tell(&mut self, tell: Tell) -> Result<bool, StoreError> {
        let post = match &tell {
            Tell::MaybeMissing { .. } => press::maybe_missing(self.reply.id),
            Tell::Refused { why } => Post::text(Rich::plain(format!(
                "⚠ A message of mine cannot be shown here: {why}. Ask for less at a time, and tell whoever runs OpsBot."
            ))),
        };
        match (self.core.courier.send(self.place, Lane::Reply, post, Attempt::First).await, tell) {
            (Ok(_), _) => self.notes.tell = None,
            (Err(Undelivered::Stopped { .. } | Undelivered::Token), _) => return Ok(false),
            (Err(Undelivered::Unsure), Tell::MaybeMissing { tries }) if tries > 1 => {
                self.notes.tell = Some(Tell::MaybeMissing { tries: tries - 1 });
            }
            (Err(Undelivered::Gone(why)), _) => {
                self.give_up(&why).await?;
                return Ok(true);
            }
            (Err(fault), _) => {
                self.dead_letter(&fault.to_string());
                self.notes.tell = None;
            }
        }
        self.over = self.notes.tell.is_none() && self.notes.sent.len() >= self.pieces.len();
        self.write(None, None).await?;
        Ok(true)
    }

    fn dead_letter(&mut self, why: &str) {
        tracing::error!(id = self.reply.id, why, "a message cannot be delivered");
        self.core.counters.add("opsbot_telegram_dead_letters_total", &[], 1);
        self.notes.failed = Some(why.to_owned());
    }

    /// Nothing more of the reply can be delivered.
    async fn give_up(&mut self, why: &str) -> Result<(), StoreError> {
        self.dead_letter(why);
        (self.over, self.notes.tell) = (true, None);
        self.write(None, None).await
    }

    async fn end(&mut self) -> Result<(), StoreError> {
        if std::mem::replace(&mut self.over, true) {
            return Ok(());
        }
        if self.notes.sent.is_empty()
            && let Some(row) = self.reply.inbox
        {
            // Everything stands elsewhere already: what showed the work goes.
            if let Some(live) = self.live().await {
                self.core.delete(self.place, live).await;
            }
            self.write(None, Some(row)).await?;
            self.core.live_ends(row);
            return Ok(());
        }
        self.write(None, None).await
    }

    async fn write(&self, posted: Option<Posted>, used_live: Option<i64>) -> Result<(), StoreError> {
        let notes = serde_json::to_value(&self.notes).unwrap_or_default();
        let over = self.over.then(|| self.notes.failed.as_deref().map_or(Ok(()), Err));
        let progress = Progress { notes, over, posted, used_live };
        self.core.engine.store().reply_progress(self.reply.id, progress, clock::now()).await
    }
}

/// An edit makes no sound and cannot turn text into a picture.
fn fits_live(post: &Post) -> bool {
    post.card.is_none() && matches!(post.body, Body::Text(_))
}

/// What the reply looks like in this place now; `own` are the messages of it that stand.
async fn pieces(core: &Core, place: Place, reply: &OpenReply, own: &[i32]) -> Result<Vec<Piece>, StoreError> {
    let store = core.engine.store();
    let mut blocks = Vec::with_capacity(reply.blocks.len());
    let mut shown = BTreeMap::new();
    let outcomes: Vec<_> = reply.blocks.iter().filter_map(outcome).collect();
    // The cards that stand in this place already: one is shown once, and kept true there.
    let mut above = Vec::new();
    for block in &reply.blocks {
        let Block::Card(card) = block else {
            let told = matches!(block, Block::Notice { level: Level::Info, text } if outcomes.iter().any(|o| o.contains(text)));
            blocks.extend((!told).then(|| block.clone()));
            continue;
        };
        let Some(approval) = store.approval_get(card.id).await? else { continue };
        let mut posted = store.posted_of(card.id).await?;
        posted.retain(|p| p.place == place_text(place));
        let begun = posted.iter().any(|p| own.iter().any(|id| i64::from(*id) == p.message));
        let stands = posted.iter().find(|p| ![cards::MOVED, cards::MOVING].contains(&p.shown.as_str()));
        let face = cards::face(core, &approval);
        if let Some(stands) = stands.filter(|_| !begun) {
            let pressed = posted.iter().any(|p| reply.message == Some(p.message));
            let message = i32::try_from(stands.message).unwrap_or_default();
            above.push(Above { message, card: face, pressed });
            continue;
        }
        // It was settled before anybody saw it here, and nobody here waits for an answer.
        let late = reply.inbox.is_none() && card.state == CardState::Pending && posted.is_empty();
        let moot = match approval.state {
            CardState::Pending => false,
            CardState::Superseded => true,
            _ => late,
        };
        if begun || !moot {
            shown.insert(approval.id, cards::shows(&approval));
            blocks.push(Block::Card(face));
        }
    }
    let posts = compose(core, &blocks).await;
    if posts.is_empty() {
        return Ok(above.iter().filter(|a| a.is_told(reply)).map(Above::point).collect());
    }
    let asked = reply.message.filter(|_| place.is_group()).and_then(|m| i32::try_from(m).ok());
    let about = above.first().map(|a| a.message);
    let piece = |(n, post): (usize, Post)| {
        let to = if post.card.is_none() { about.or(asked) } else { asked };
        let card = post.card.and_then(|id| Some((id, shown.get(&id)?.clone())));
        Piece { card, ..Piece::replies(post, to.filter(|_| n == 0)) }
    };
    Ok(posts.into_iter().enumerate().map(piece).collect())
}

/// What a card says of its end, so that nothing else need say it.
fn outcome(block: &Block) -> Option<&str> {
    if let Block::Card(card) = block { card.outcome.as_deref() } else { None }
}

/// A card that stands in the reply's place already.
struct Above {
    message: i32,
    card: Card,
    /// The reply answers a press of it.
    pressed: bool,
}

impl Above {
    /// Whether a line has to point to it: words are always answered, a press was; and an outcome that nobody knows must
    /// be heard.
    fn is_told(&self, reply: &OpenReply) -> bool {
        if reply.inbox.is_some() { !self.pressed } else { self.card.state == CardState::Unknown }
    }

    fn point(&self) -> Piece {
        Piece::replies(render::brief(&self.card), Some(self.message))
    }
}

async fn compose(core: &Core, blocks: &[Block]) -> Vec<Post> {
    let long = Mutex::default();
    let pictures = core.draw(blocks).await;
    let posts = {
        let draw = |chart: &_| picture(&pictures, chart);
        let data = |text: &str| press::data(text, &mut long.lock().unwrap_or_else(PoisonError::into_inner));
        render::render(blocks, &core.look(&draw, &data))
    };
    press::keep(core, long).await;
    posts
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
    for piece in pieces(core, place, &reply, &[]).await? {
        match core.courier.send(place, Lane::Reply, piece.post.clone(), Attempt::First).await {
            Ok(sent) => {
                if let Some(posted) = piece.posted(place, sent.message) {
                    core.engine.store().posted_put(&posted, clock::now()).await?;
                    core.card_posted.notify_one();
                }
            }
            Err(fault) => {
                tracing::warn!(?fault, "a reply could not be shown again");
                return Ok(true);
            }
        }
    }
    Ok(true)
}
