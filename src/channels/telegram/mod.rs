//! Telegram: updates become rows before they are confirmed, replies leave through one governor, cards follow their approval.

pub mod api;
pub mod attach;
mod cards;
mod core;
pub mod courier;
pub mod decode;
pub mod doctor;
pub mod fault;
mod follow;
pub mod governor;
mod greet;
pub mod hook;
mod intake;
pub mod menu;
mod pages;
mod places;
pub mod post;
mod postman;
mod press;
mod render;
mod turn;
mod vitals;
pub mod webhook;

use std::{sync::Arc, time::Duration};

use jiff::SignedDuration;
use tokio::sync::OnceCell;
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

pub use core::Settings;
pub use post::{Body, Place, Post, Rich, Tap};
pub use render::{Look, ROOM, alert, brief, card, live, mark_repeat, plain, render, shorten, split, storm};

use crate::{
    domain::{Block, ChannelKind, Level},
    engine::Engine,
    pager::Pager,
    runtime::{Counters, clock},
    store::{StoreError, TurnEnd},
    voice::Transcriber,
};
use api::Api;
use core::{CHANNEL, Core, Shared, place_of};
use courier::Courier;
use decode::Me;
use intake::Intake;
use vitals::Vitals;

/// A message that was open at so many starts is not tried again: it may be what ends the daemon.
const STARTS_AT_MOST: u32 = 5;

const FIGURES: [(&str, &str); 4] = [
    ("opsbot_telegram_updates_total", "Updates from Telegram by kind."),
    ("opsbot_telegram_strangers_total", "Messages of people whom nobody knows."),
    ("opsbot_telegram_poll_failures_total", "Polls for updates that failed."),
    ("opsbot_telegram_dead_letters_total", "Replies and cards that Telegram will never take."),
];

/// The channel, ready to run.
#[derive(Debug)]
pub struct Telegram {
    /// What answers.
    pub engine: Engine,
    /// The wire.
    pub api: Api,
    /// How it behaves.
    pub settings: Settings,
    /// How it sends.
    pub courier: courier::Settings,
    /// The alerts to show; none: there are none.
    pub pager: Option<Pager>,
    /// What hears voice notes.
    pub transcriber: Arc<dyn Transcriber>,
    /// Figures.
    pub counters: Counters,
    /// How it is.
    pub vitals: Vitals,
    /// Where updates come to; none: they are polled for.
    pub webhook: Option<hook::Hook>,
    /// Full once what the last process left is taken up; it is once in a process, however often this runs.
    pub resumed: OnceCell<()>,
}

impl Telegram {
    /// Answers people until `stop`. May be run again after it failed.
    ///
    /// # Errors
    /// The store's, when nothing can be read at the start.
    pub async fn run(&self, stop: CancellationToken) -> Result<(), String> {
        for (name, help) in FIGURES {
            self.counters.describe(name, help);
        }
        let courier = Courier::new(self.api.clone(), self.courier, self.counters.clone());
        let _closes = Closing(courier.clone());
        let sending = AbortOnDropHandle::new(tokio::spawn(courier.clone().run(stop.clone())));
        let Some(me) = self.introduce(&stop).await else { return Ok(()) };
        tracing::info!(bot = %me.name, "telegram is up");
        let core = Core::new(Shared::new(
            self.engine.clone(),
            self.api.clone(),
            courier,
            me,
            self.settings.clone(),
            self.transcriber.clone(),
            self.counters.clone(),
            self.vitals.clone(),
            self.pager.clone(),
        ));
        self.resumed.get_or_try_init(|| resume(&core)).await.map_err(|e| e.to_string())?;
        let intake = Arc::new(Intake::new(core.clone()));
        let hearing = async {
            match &self.webhook {
                None => {
                    intake.poll(&stop).await;
                    Ok(())
                }
                Some(hook) => hook.serve(intake.clone(), &stop).await,
            }
        };
        let sent = async {
            sending.await.map_err(|e| e.to_string())??;
            if stop.is_cancelled() { Ok(()) } else { Err("the sending ended by itself".to_owned()) }
        };
        let rest = async {
            tokio::join!(
                postman::run(core.clone(), stop.clone()),
                cards::run(core.clone(), stop.clone()),
                pages::run(core.clone(), stop.clone()),
                sweep(core.clone(), stop.clone()),
            );
            Ok(())
        };
        tokio::try_join!(hearing, sent, rest).map(drop)
    }

    /// Whether updates arrive, and what was seen.
    pub fn health(&self) -> (bool, String) {
        let poll = self.settings.poll_timeout + Duration::from_secs(30);
        let patience = SignedDuration::try_from(poll).unwrap_or(SignedDuration::from_mins(2));
        self.vitals.check(patience, clock::now())
    }

    /// Asks Telegram who we are, for as long as it takes.
    async fn introduce(&self, stop: &CancellationToken) -> Option<Me> {
        let (first, longest, token) = self.settings.retry;
        let mut pause = first;
        loop {
            let me = tokio::select! {
                me = self.api.get_me() => me,
                () = stop.cancelled() => return None,
            };
            match me {
                Ok(me) => {
                    let id = i64::try_from(me.user.id.0).unwrap_or_default();
                    return Some(Me { id, name: me.username().to_owned() });
                }
                Err(fault) => {
                    if self.vitals.trouble(&intake::cure(&fault)) {
                        tracing::warn!(%fault, "Telegram does not say who we are; trying again");
                    }
                    let wait = match fault {
                        fault::Fault::Token => token,
                        fault::Fault::RetryAfter(wait) => wait.max(pause),
                        _ => pause,
                    };
                    pause = (pause * 2).min(longest);
                    tokio::select! {
                        () = tokio::time::sleep(wait) => {}
                        () = stop.cancelled() => return None,
                    }
                }
            }
        }
    }
}

/// Whoever waits for a send hears of the run's end, also of a broken one's.
struct Closing(Courier);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// Goes on with what the last process had not answered.
async fn resume(core: &Core) -> Result<(), StoreError> {
    cards::show_again(core).await?;
    for mut open in core.engine.store().inbox_resume(CHANNEL).await? {
        if open.restarts > STARTS_AT_MOST {
            let text = "OpsBot ended several times while it worked on your message, so it is left alone. Ask again \
                        in other words, and tell whoever runs OpsBot.";
            let reply = [Block::notice(Level::Error, text)];
            let end = TurnEnd { inbox: Some(open.id), reply: &reply, ..TurnEnd::default() };
            core.engine.store().end_turn(&open.inbound.conversation, end, clock::now()).await?;
            continue;
        }
        // The rights that hold now; somebody who is no longer known gets nothing more.
        let Some(role) = core.engine.people().role(ChannelKind::Telegram, &open.inbound.actor.person) else {
            core.engine.store().inbox_done(open.id, clock::now()).await?;
            continue;
        };
        open.inbound.actor.role = role;
        if let (Some(place), Some(message)) = (place_of(&open.inbound.conversation), open.inbound.message) {
            core.row_is(place.chat, i32::try_from(message).unwrap_or_default(), open.id);
        }
        turn::begin(core, open.id, open.inbound, open.live.as_deref(), None);
    }
    Ok(())
}

/// Forgets old voice notes.
async fn sweep(core: Core, stop: CancellationToken) {
    while let Some((dir, lifetime)) = &core.settings.voices {
        if let Err(error) = attach::sweep(dir, *lifetime, clock::now()) {
            tracing::warn!(%error, "old voice notes could not be removed");
        }
        tokio::select! {
            () = tokio::time::sleep(Duration::from_secs(600)) => {}
            () = stop.cancelled() => return,
        }
    }
}
