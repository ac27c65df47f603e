//! Buttons: what their data means, and what a press leads to; the answer to the press comes at once.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use sha2::{Digest, Sha256};
use tokio::{sync::mpsc, time::timeout};

use super::{
    Place, Post, Rich, Tap,
    core::Core,
    courier::{Attempt, Lane},
    decode::Press,
    menu::Menu,
    post::DATA_LIMIT,
    postman,
};
use crate::domain::{Block, CardState, Level, Outbound, Role, TurnStatus};

/// The data of the stop button.
pub(super) const STOP: &str = "s";
/// A press is answered by then, whatever it does; Telegram shows a running clock until it is.
const ANSWER_WITHIN: Duration = Duration::from_millis(2500);
/// The longest text of an answer to a press, in characters.
const TOAST_LIMIT: usize = 200;

/// What a button's data means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// The same as this text, typed by whoever pressed.
    Text(String),
    /// A decision on a card or a stop, as a command.
    Steer(String),
    /// A page of a menu.
    Menu,
    /// A reply to show again.
    Again(i64),
    /// None of ours, or of an older build.
    Unknown,
}

/// The data for `text`: itself where it fits, else a key that is added to `long` with the text.
pub(super) fn data(text: &str, long: &mut Vec<(String, String)>) -> String {
    let plain = format!("t:{text}");
    if plain.len() <= DATA_LIMIT {
        return plain;
    }
    let key = format!("k:{}", crate::domain::tool::hex(Sha256::digest(text).get(..12).unwrap_or_default()));
    long.push((key.clone(), text.to_owned()));
    key
}

/// The data for a text where nothing can be kept; a long one gets none that works.
pub(super) fn short(text: &str) -> String {
    data(text, &mut Vec::new())
}

/// What `data` means; long texts come from the store.
pub(super) async fn meaning(core: &Core, data: &str) -> Meaning {
    let (kind, rest) = data.split_once(':').unwrap_or((data, ""));
    match kind {
        "a" => Meaning::Steer(format!("/approve {rest}")),
        "d" => Meaning::Steer(format!("/deny {rest}")),
        STOP => Meaning::Steer("/stop".to_owned()),
        "t" if !rest.is_empty() => Meaning::Text(rest.to_owned()),
        "k" => match core.engine.store().tap(data).await {
            Ok(Some(text)) => Meaning::Text(text),
            Ok(None) => Meaning::Unknown,
            Err(error) => {
                tracing::error!(%error, "a button's text could not be read");
                Meaning::Unknown
            }
        },
        "m" => Meaning::Menu,
        "r" => rest.parse().map_or(Meaning::Unknown, Meaning::Again),
        _ => Meaning::Unknown,
    }
}

/// A decision is told by the answer to its press and by its card; what is left is evidence and what went wrong.
pub(super) fn without_toasts(_: TurnStatus, blocks: Vec<Block>) -> Vec<Block> {
    blocks
        .into_iter()
        .filter(|b| !matches!(b, Block::Notice { level: Level::Info | Level::Warning, .. }))
        .collect()
}

/// Answers the press `query` with what the events of its decision say first, and passes all of them on.
pub(super) async fn toast(
    core: &Core,
    query: &str,
    mut events: mpsc::Receiver<Outbound>,
    on: mpsc::Sender<Outbound>,
) {
    let first = async {
        while let Some(event) = events.recv().await {
            let said = said(&event);
            let _gone = on.send(event).await;
            if said.is_some() {
                return said;
            }
        }
        None
    };
    let said = timeout(ANSWER_WITHIN, first).await.ok().flatten();
    let (text, alert) = said.unwrap_or_default();
    let rest = async {
        while let Some(event) = events.recv().await {
            let _gone = on.send(event).await;
        }
    };
    tokio::join!(core.toast(query, &text, alert), rest);
}

/// What the event says to whoever pressed, and whether it needs a look.
fn said(event: &Outbound) -> Option<(String, bool)> {
    let (text, alert) = match event {
        Outbound::Block { content: Block::Notice { level, text } } => (text.clone(), *level != Level::Info),
        Outbound::Block { content: Block::Card(card) } => match card.state {
            CardState::Executing => ("Confirmed: it runs now.".to_owned(), false),
            CardState::Denied => ("Denied: nothing runs.".to_owned(), false),
            CardState::Pending
            | CardState::Done
            | CardState::Failed
            | CardState::Unknown
            | CardState::Expired
            | CardState::Superseded => return None,
        },
        Outbound::Done { .. } => (String::new(), false),
        Outbound::Delta { .. } | Outbound::Retract | Outbound::Progress { .. } | Outbound::Block { .. } => {
            return None;
        }
    };
    Some((text.chars().take(TOAST_LIMIT).collect(), alert))
}

/// Turns a menu's page, in place.
pub(super) async fn turn_page(core: &Core, press: &Press, role: Role) {
    let directory = core.engine.directory().await;
    let long = Mutex::default();
    let page = {
        let data = |text: &str| data(text, &mut long.lock().unwrap_or_else(PoisonError::into_inner));
        let specs = core.engine.registry().specs();
        Menu { directory: &directory, specs, role, data: &data }.navigate(&press.data)
    };
    keep(core, long).await;
    let (Some(page), Some(message)) = (page, press.message) else {
        return core.toast(&press.query, "This menu is out of date; send /menu.", true).await;
    };
    core.hush(&press.query).await;
    if let Err(fault) = core.courier.edit(press.place, message, false, Lane::Reply, page).await {
        tracing::debug!(?fault, "a menu could not be turned");
    }
}

/// Shows the menu.
pub(super) async fn open_menu(core: &Core, place: Place, role: Role) {
    let directory = core.engine.directory().await;
    let long = Mutex::default();
    let page = {
        let data = |text: &str| data(text, &mut long.lock().unwrap_or_else(PoisonError::into_inner));
        let specs = core.engine.registry().specs();
        Menu { directory: &directory, specs, role, data: &data }.open()
    };
    keep(core, long).await;
    if let Err(fault) = core.courier.send(place, Lane::Reply, page, Attempt::First).await {
        tracing::warn!(?fault, "the menu could not be shown");
    }
}

/// Keeps the texts of buttons that are too long for their data.
pub(super) async fn keep(core: &Core, long: Mutex<Vec<(String, String)>>) {
    for (key, text) in long.into_inner().unwrap_or_else(PoisonError::into_inner) {
        if let Err(error) = core.engine.store().tap_put(&key, &text, crate::runtime::clock::now()).await {
            tracing::error!(%error, "a button's text could not be kept");
        }
    }
}

/// Says that a message may not have arrived, with a button that shows the reply `id` again.
pub(super) fn maybe_missing(id: i64) -> Post {
    let text = "⚠ Twice the connection broke while I sent a message here: it may be missing above.";
    let tap = Tap { label: "Show it again".to_owned(), data: format!("r:{id}") };
    Post { keyboard: vec![vec![tap]], ..Post::text(Rich::plain(text)) }
}

/// Shows the reply `id` again.
pub(super) async fn again(core: &Core, press: &Press, id: i64) {
    core.hush(&press.query).await;
    match postman::again(core, press.place, id).await {
        Ok(true) => {}
        Ok(false) => tracing::info!(id, "a reply of another place was asked for"),
        Err(error) => tracing::error!(%error, "a reply could not be read"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_fits_and_a_long_text_gets_a_key() {
        let mut long = vec![];
        assert_eq!(data("/check_up 19", &mut long), "t:/check_up 19");
        assert!(long.is_empty());
        for text in ["x".repeat(63), "ä".repeat(400)] {
            long.clear();
            let key = data(&text, &mut long);
            assert!(key.len() <= DATA_LIMIT && key.starts_with("k:"));
            assert_eq!(long, [(key.clone(), text.clone())]);
            assert_eq!(data(&text, &mut vec![]), key, "the same text has the same key");
        }
    }

    #[test]
    fn a_decision_leaves_no_sentences_behind_that_its_toast_said() {
        let kept = without_toasts(
            TurnStatus::Answered,
            vec![
                Block::notice(Level::Info, "Stopping 1."),
                Block::notice(Level::Warning, "already denied"),
                Block::notice(Level::Error, "This outcome could not be written down"),
                Block::text("web is up again"),
            ],
        );
        assert_eq!(kept.len(), 2);
    }
}
