//! What is called at once, beside the chats' queues: typing, and answers to button presses.

use std::time::Duration;

use teloxide::types::ChatAction;
use tokio::time::{sleep, timeout};

use super::{Shared, Undelivered};
use crate::channels::telegram::{fault::Fault, post::Place};

/// Shows that the bot is typing, unless anything speaks against it.
pub(super) async fn act(shared: &Shared, place: Place) {
    let Some(under_way) = begin_action(shared, place) else { return shared.dropped("action", 1) };
    let result = shared.api.chat_action(place, ChatAction::Typing).await;
    drop(under_way);
    if let Err(Fault::RetryAfter(wait)) = result {
        shared.desk().governor.blocked(place.chat, wait, shared.now());
    }
}

fn begin_action(shared: &Shared, place: Place) -> Option<Overall<'_>> {
    let now = shared.now();
    let desk = shared.desk();
    let blocked = desk.governor.is_blocked(place.chat, now) || desk.governor.ready_overall(now).is_err();
    let allowed = !blocked && !desk.probe.holds_all();
    drop(desk);
    allowed.then(|| Overall::begin(shared))
}

/// Answers a button's press; repeats what may be repeated until the time is up.
pub(super) async fn answer(shared: &Shared, id: &str, text: &str, alert: bool) -> Result<(), Undelivered> {
    let late = || Undelivered::Refused("the button's press could not be answered in time".into());
    timeout(shared.settings.waits.answer, answer_until_done(shared, id, text, alert))
        .await
        .unwrap_or_else(|_| Err(late()))
}

async fn answer_until_done(shared: &Shared, id: &str, text: &str, alert: bool) -> Result<(), Undelivered> {
    let waits = &shared.settings.waits;
    let mut tries = 0;
    loop {
        tries += 1;
        let under_way = Overall::begin(shared);
        let result = shared.api.answer_callback(id, text, alert).await;
        drop(under_way);
        let fault = match result {
            Ok(()) | Err(Fault::QueryTooOld) => return Ok(()),
            Err(Fault::Token) => return Err(Undelivered::Token),
            Err(fault) => fault,
        };
        let wait = match &fault {
            Fault::RetryAfter(wait) => (*wait).max(Duration::from_millis(1)),
            Fault::Server(_) | Fault::NotSent(_) | Fault::Unknown(_) => waits.backoff(tries, 2),
            other => return Err(Undelivered::Refused(other.to_string())),
        };
        shared.counters.add("opsbot_telegram_retries_total", &[("reason", fault.name())], 1);
        sleep(wait).await;
    }
}

/// A call in the overall count, ended also when it is given up.
struct Overall<'a>(&'a Shared);

impl<'a> Overall<'a> {
    fn begin(shared: &'a Shared) -> Self {
        shared.desk().governor.took_overall(shared.now());
        Self(shared)
    }
}

impl Drop for Overall<'_> {
    fn drop(&mut self) {
        self.0.desk().governor.landed_overall(self.0.now());
    }
}
