//! Telegram: updates become rows before they are confirmed, replies leave through one governor, cards follow their approval.

pub mod api;
pub mod attach;
mod card;
mod cards;
#[cfg(test)]
mod checks;
mod core;
pub mod courier;
pub mod decode;
pub mod doctor;
mod excerpt;
pub mod fault;
mod follow;
pub mod governor;
mod greet;
mod intake;
mod live;
mod markdown;
#[cfg(test)]
mod markdown_tests;
mod mending;
pub mod menu;
mod places;
mod plot;
pub mod post;
mod postman;
mod press;
mod render;
#[cfg(test)]
mod render_tests;
mod rich;
mod split;
#[cfg(test)]
mod split_tests;
mod table;
mod text;
mod turn;
mod vitals;

use std::{sync::Arc, time::Duration};

use jiff::SignedDuration;
use tokio_util::sync::CancellationToken;

pub use card::card;
pub use core::Settings;
pub use live::live;
pub use mending::{REPEAT, mark_repeat, plain, shorten};
pub use post::{Body, Place, Post, Rich, Tap};
pub use render::{Look, ROOM, render};
pub use split::split;

use crate::{
    domain::{Block, Level},
    engine::Engine,
    runtime::{Counters, clock},
    store::{StoreError, TurnEnd},
    voice::Transcriber,
};
use api::Api;
use core::{CHANNEL, Core, Shared};
use courier::Courier;
use decode::Me;
use intake::Intake;
use vitals::Vitals;

/// A message that was open at so many starts is not tried again: it may be what ends the daemon.
const STARTS_AT_MOST: u32 = 5;

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
    /// What hears voice notes.
    pub transcriber: Arc<dyn Transcriber>,
    /// Figures.
    pub counters: Counters,
    /// How it is.
    pub vitals: Vitals,
}

impl Telegram {
    /// Answers people until `stop`. May be run again after it failed.
    ///
    /// # Errors
    /// The store's, when nothing can be read at the start.
    pub async fn run(&self, stop: CancellationToken) -> Result<(), String> {
        let courier = Courier::new(self.api.clone(), self.courier, self.counters.clone());
        let sending = tokio::spawn(courier.clone().run(stop.clone()));
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
        ));
        resume(&core).await.map_err(|e| e.to_string())?;
        let intake = Intake::new(core.clone());
        tokio::join!(
            intake.poll(&stop),
            postman::run(core.clone(), stop.clone()),
            cards::run(core.clone(), stop.clone()),
            sweep(core, stop.clone()),
        );
        sending.await.map_err(|e| e.to_string())?
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
                    let wait = if fault == fault::Fault::Token { token } else { pause };
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

/// Goes on with what the last run had not answered.
async fn resume(core: &Core) -> Result<(), StoreError> {
    for open in core.engine.store().inbox_resume(CHANNEL).await? {
        if open.restarts > STARTS_AT_MOST {
            let text = "OpsBot ended several times while it worked on your message, so it is left alone. Ask again \
                        in other words, and tell whoever runs OpsBot.";
            let reply = [Block::notice(Level::Error, text)];
            let end = TurnEnd { inbox: Some(open.id), reply: &reply, ..TurnEnd::default() };
            core.engine.store().end_turn(&open.inbound.conversation, end, clock::now()).await?;
            continue;
        }
        let live = open.live.and_then(|live| live.parse().ok());
        turn::begin(core, open.id, open.inbound, live, None);
    }
    Ok(())
}

/// Forgets old voice notes.
async fn sweep(core: Core, stop: CancellationToken) {
    while let Some((dir, _)) = &core.settings.voices {
        if let Err(error) = attach::sweep(dir, clock::now()) {
            tracing::warn!(%error, "old voice notes could not be removed");
        }
        tokio::select! {
            () = tokio::time::sleep(Duration::from_secs(600)) => {}
            () = stop.cancelled() => return,
        }
    }
}
