//! What a person sees while a turn works: a sign of life at once, and one message that grows when the answer takes long.

use std::{pin::pin, sync::Arc, time::Duration};

use futures::{
    FutureExt,
    future::{Fuse, FusedFuture},
};
use tokio::{
    sync::{Mutex, mpsc},
    time::{Instant, sleep_until},
};

use super::{
    Place, Post, Tap,
    core::Core,
    courier::{Attempt, Lane, Undelivered},
    press,
};
use crate::{
    domain::{Block, Outbound},
    policy::Redactor,
};

/// Telegram shows an action for five seconds.
const ACTION_LASTS: Duration = Duration::from_millis(4500);
/// Edits in a group: its limit is 20 messages a minute for everybody's.
const GROUP_PACE: u32 = 3;

/// Stands for a live message that shows a part of the answer, was sent, and whose number nobody learnt.
pub(super) const UNSURE: &str = "?";

/// The live message of one turn.
#[derive(Debug)]
pub(super) struct Live {
    place: Place,
    row: i64,
    reply_to: Option<i32>,
    shown: Mutex<Shown>,
}

#[derive(Debug, Default)]
struct Shown {
    message: Option<i32>,
    /// A part of the answer may stand in a message whose number nobody learnt.
    unsure: bool,
    /// Nothing more may be sent: the turn is over, or a send went wrong.
    closed: bool,
}

/// What a turn has said so far.
#[derive(Debug)]
struct Said {
    blocks: Vec<Block>,
    text: String,
    progress: Option<String>,
    /// Something came that is not shown yet; at first the silence itself.
    fresh: bool,
}

impl Default for Said {
    fn default() -> Self {
        Self { blocks: vec![], text: String::new(), progress: None, fresh: true }
    }
}

impl Live {
    /// For the message `row`; `live` is what an earlier process noted of its live message.
    pub(super) fn new(place: Place, row: i64, reply_to: Option<i32>, live: Option<&str>) -> Arc<Self> {
        let unsure = live == Some(UNSURE);
        let message = live.and_then(|live| live.parse().ok());
        let shown = Mutex::new(Shown { message, unsure, closed: unsure });
        Arc::new(Self { place, row, reply_to, shown })
    }

    /// Ends it and gives its message, once a send that is under way has ended.
    pub(super) async fn settle(&self) -> Option<i32> {
        let mut shown = self.shown.lock().await;
        shown.closed = true;
        shown.message
    }

    /// Whether a part of the answer may stand in a message whose number nobody learnt.
    pub(super) async fn is_unsure(&self) -> bool {
        self.shown.lock().await.unsure
    }

    /// Shows the turn's events until they end.
    pub(super) async fn follow(&self, core: &Core, mut events: mpsc::Receiver<Outbound>) {
        let mut said = Said::default();
        let pace = core.settings.edit_every * if self.place.is_group() { GROUP_PACE } else { 1 };
        let mut next = Instant::now() + core.settings.placeholder_after;
        // The first one went out with the turn's begin.
        let mut action = Instant::now() + ACTION_LASTS;
        // A send that is under way; it is never dropped, for its answer names the message.
        let mut showing = pin!(Fuse::terminated());
        loop {
            tokio::select! {
                event = events.recv() => match event {
                    None | Some(Outbound::Done { .. }) => break,
                    Some(event) => said.hear(event, &core.engine.redactor()),
                },
                () = sleep_until(action) => {
                    core.courier.action(self.place);
                    action = Instant::now() + ACTION_LASTS;
                }
                () = sleep_until(next), if said.fresh && showing.is_terminated() => {
                    said.fresh = false;
                    let post = self.compose(core, &said);
                    showing.set(self.show(core, post, said.tells()).fuse());
                }
                () = &mut showing => next = Instant::now() + pace,
            }
        }
        if !showing.is_terminated() {
            showing.await;
        }
    }

    fn compose(&self, core: &Core, said: &Said) -> Post {
        let (draw, data) = (|_: &_| None, |text: &str| press::short(text));
        let progress = said.progress.as_deref();
        let text = core.engine.redactor().redact(said.whole_words()).into_owned();
        let rich = super::live(&said.blocks, &text, progress, &core.look(&draw, &data));
        let stop = Tap::new("■ Stop", press::STOP);
        Post { keyboard: vec![vec![stop]], ..Post::text(rich) }
    }

    /// Shows `post`, which `tells` a part of the answer or only that there is work.
    async fn show(&self, core: &Core, post: Post, tells: bool) {
        let mut shown = self.shown.lock().await;
        if shown.closed {
            return;
        }
        if let Some(message) = shown.message {
            return core.courier.edit_live(self.place, message, post);
        }
        if tells {
            self.note(core, Some(UNSURE)).await;
        }
        let (place, lane, attempt) = (self.place, Lane::Live, Attempt::First);
        let sent = match self.reply_to {
            Some(to) => core.courier.reply(place, to, lane, post, attempt).await,
            None => core.courier.send(place, lane, post, attempt).await,
        };
        match sent {
            Ok(sent) => {
                shown.message = Some(sent.message);
                self.note(core, Some(&sent.message.to_string())).await;
            }
            // The answer itself will come as a message of its own.
            Err(fault) => {
                let maybe = matches!(fault, Undelivered::Unsure | Undelivered::Stopped { attempted: true });
                (shown.closed, shown.unsure) = (true, tells && maybe);
                if tells && !maybe {
                    self.note(core, None).await;
                }
            }
        }
    }

    async fn note(&self, core: &Core, live: Option<&str>) {
        if let Err(error) = core.engine.store().inbox_live(self.row, live).await {
            tracing::warn!(%error, "a live message could not be written down");
        }
    }
}

impl Said {
    /// Whether something of the answer is there.
    fn tells(&self) -> bool {
        !self.blocks.is_empty() || !self.whole_words().trim().is_empty()
    }

    /// The text without its last word, which may be the beginning of a secret.
    fn whole_words(&self) -> &str {
        let end = self.text.rfind(char::is_whitespace).unwrap_or_default();
        self.text.get(..end).unwrap_or_default()
    }

    fn hear(&mut self, event: Outbound, redactor: &Redactor) {
        self.fresh = true;
        match event {
            Outbound::Delta { text } => {
                self.text.push_str(&text);
                // Text that grows says more than a line about what goes on.
                self.progress = None;
            }
            Outbound::Retract => self.text.clear(),
            Outbound::Progress { text } => self.progress = Some(text),
            Outbound::Block { content } => {
                let text = std::mem::take(&mut self.text);
                if !text.trim().is_empty() {
                    self.blocks.push(Block::text(redactor.redact(&text).into_owned()));
                }
                // A card is a message of its own.
                if !matches!(content, Block::Card(_)) {
                    self.blocks.push(content);
                }
            }
            Outbound::Done { .. } => {}
        }
    }
}
