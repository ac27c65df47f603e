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
    menu::{Menu, RUN},
    post::DATA_LIMIT,
    postman,
};
use crate::domain::{ApprovalId, Block, CardState, Inbound, Level, Origin, Outbound, Role, TurnStatus};

/// The data of the stop button.
pub(super) const STOP: &str = "s";
const APPROVE: &str = "/approve ";
const DENY: &str = "/deny ";
/// A press is answered by then, whatever it does; Telegram shows a running clock until it is.
const ANSWER_WITHIN: Duration = Duration::from_millis(2500);
/// The longest text of an answer to a press, in characters.
const TOAST_LIMIT: usize = 200;

/// What a button's data means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// The same as this text, typed by whoever pressed.
    Text(String),
    /// A decision on a card, a stop, or what is done about an incident, as a command.
    Steer(String),
    /// The page of a menu that this leads to.
    Menu(String),
    /// A reply to show again.
    Again(i64),
    /// None of ours, or of an older build.
    Unknown,
}

/// The data for a button that stands for `text`.
pub(super) fn data(text: &str, long: &mut Vec<(String, String)>) -> String {
    fitting(&format!("{RUN}{text}"), long)
}

/// `data` itself where it fits a button, else a key that is added to `long` with it.
pub(super) fn fitting(data: &str, long: &mut Vec<(String, String)>) -> String {
    if data.len() <= DATA_LIMIT {
        return data.to_owned();
    }
    let key = format!("k:{}", crate::domain::tool::hex(Sha256::digest(data).get(..12).unwrap_or_default()));
    long.push((key.clone(), data.to_owned()));
    key
}

/// The data for a text where nothing can be kept; a long one gets none that works.
pub(super) fn short(text: &str) -> String {
    data(text, &mut Vec::new())
}

/// What `data` means; data that did not fit its button comes from the store.
pub(super) async fn meaning(core: &Core, data: &str) -> Meaning {
    if !data.starts_with("k:") {
        return plain_meaning(data);
    }
    match core.engine.store().tap(data).await {
        Ok(Some(data)) => plain_meaning(&data),
        Ok(None) => Meaning::Unknown,
        Err(error) => {
            tracing::error!(%error, "a button's data could not be read");
            Meaning::Unknown
        }
    }
}

fn plain_meaning(data: &str) -> Meaning {
    let (kind, rest) = data.split_once(':').unwrap_or((data, ""));
    match kind {
        "a" => Meaning::Steer(format!("{APPROVE}{rest}")),
        "d" => Meaning::Steer(format!("{DENY}{rest}")),
        STOP => Meaning::Steer("/stop".to_owned()),
        "t" if steers(rest) => Meaning::Steer(rest.to_owned()),
        "t" if !rest.is_empty() => Meaning::Text(rest.to_owned()),
        "m" => Meaning::Menu(data.to_owned()),
        "r" => rest.parse().map_or(Meaning::Unknown, Meaning::Again),
        _ => Meaning::Unknown,
    }
}

/// Whether the command acts on an incident at once, so that its outcome is the answer to its press. A silence without a
/// time first shows what it would mute, so it is answered like words.
fn steers(text: &str) -> bool {
    let mut words = text.split_whitespace();
    match (words.next(), words.next(), words.next()) {
        (Some("/ack" | "/unsilence" | "/investigate"), Some(_), _) => true,
        (Some("/silence"), Some(_), time) => time.is_some(),
        _ => false,
    }
}

/// Whether a button with this data changes something about an incident.
pub(super) fn changes_incident(data: &str) -> bool {
    data.strip_prefix(RUN).is_some_and(|text| steers(text) || text.starts_with("/silence "))
}

/// The approval whose card has a button with this data.
pub(super) fn card_of(data: &str) -> Option<ApprovalId> {
    data.strip_prefix("a:").or_else(|| data.strip_prefix("d:"))?.parse().ok()
}

/// Whether the kept message was a press that decides, stops, or acts on an incident.
pub(super) fn decides(inbound: &Inbound) -> bool {
    let text = inbound.text.as_str();
    inbound.actor.origin == Origin::Button
        && (text.starts_with(APPROVE) || text.starts_with(DENY) || text == "/stop" || steers(text))
}

/// A decision is told by the answer to its press and by its card; what is left is evidence and what went wrong.
pub(super) fn without_toasts(_: TurnStatus, blocks: Vec<Block>) -> Vec<Block> {
    let told = |block: &Block| match block {
        Block::Notice { level, .. } => *level != Level::Error,
        Block::Card(card) => card.state == CardState::Pending,
        _ => false,
    };
    blocks.into_iter().filter(|block| !told(block)).collect()
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
            CardState::Failed => (format!("❌ {}", card.outcome.as_deref().unwrap_or("failed")), true),
            CardState::Pending
            | CardState::Done
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

/// Turns a menu to the page that `to` leads to, in place.
pub(super) async fn turn_page(core: &Core, press: &Press, role: Role, to: &str) {
    let page = page(core, role, |menu| menu.navigate(to)).await;
    let (Some(page), Some(message)) = (page, press.message) else {
        return core.toast(&press.query, "This menu is out of date; send /menu.", true).await;
    };
    core.hush(&press.query).await;
    if let Err(fault) = core.courier.edit(press.place, message, false, Lane::Reply, page).await {
        tracing::debug!(?fault, "a menu could not be turned");
    }
}

/// Shows the page that `to` leads to, as an answer to the message `reply_to`.
pub(super) async fn open_menu(core: &Core, place: Place, role: Role, to: &str, reply_to: Option<i32>) {
    let Some(page) = page(core, role, |menu| menu.navigate(to)).await else { return };
    let sent = match reply_to {
        Some(message) => core.courier.reply(place, message, Lane::Reply, page, Attempt::First).await,
        None => core.courier.send(place, Lane::Reply, page, Attempt::First).await,
    };
    if let Err(fault) = sent {
        tracing::warn!(?fault, "the menu could not be shown");
    }
}

/// A page of the menu as it is now for somebody with `role`.
async fn page(core: &Core, role: Role, choose: impl FnOnce(&Menu<'_>) -> Option<Post>) -> Option<Post> {
    let directory = core.engine.directory().await;
    let long = Mutex::default();
    let page = {
        let data = |text: &str| fitting(text, &mut long.lock().unwrap_or_else(PoisonError::into_inner));
        let engine = core.engine.current();
        let specs = engine.registry().specs();
        choose(&Menu { directory: &directory, specs, role, data: &data })
    };
    keep(core, long).await;
    page
}

/// Keeps the data that did not fit its buttons.
pub(super) async fn keep(core: &Core, long: Mutex<Vec<(String, String)>>) {
    for (key, data) in long.into_inner().unwrap_or_else(PoisonError::into_inner) {
        if let Err(error) = core.engine.store().tap_put(&key, &data, crate::runtime::clock::now()).await {
            tracing::error!(%error, "a button's data could not be kept");
        }
    }
}

/// Says that a message may not have arrived, with a button that shows the reply `id` again.
pub(super) fn maybe_missing(id: i64) -> Post {
    let text = "⚠ Twice the connection broke while I sent a message here: it may be missing above.";
    let tap = Tap::new("Show it again", format!("r:{id}"));
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
            assert_eq!(long, [(key.clone(), format!("t:{text}"))]);
            assert_eq!(data(&text, &mut vec![]), key, "the same text has the same key");
        }
    }

    #[test]
    fn what_was_kept_means_what_it_would_have_meant_on_the_button() {
        let id = "x".repeat(80);
        for (data, want) in [
            (format!("t:/check_up {id}"), Meaning::Text(format!("/check_up {id}"))),
            (format!("m:c:{id}"), Meaning::Menu(format!("m:c:{id}"))),
            (format!("k:{id}"), Meaning::Unknown),
        ] {
            let mut long = vec![];
            assert_ne!(fitting(&data, &mut long), data);
            assert_eq!(plain_meaning(&long[0].1), want);
        }
    }

    #[test]
    fn what_acts_on_an_incident_is_answered_at_once() {
        let steer = |text: &str| Meaning::Steer(text.to_owned());
        let words = |text: &str| Meaning::Text(text.to_owned());
        for (data, want) in [
            ("t:/ack 47", steer("/ack 47")),
            ("t:/silence 47 30m", steer("/silence 47 30m")),
            ("t:/silence 47 until 08:00", steer("/silence 47 until 08:00")),
            ("t:/unsilence 3", steer("/unsilence 3")),
            ("t:/investigate 47", steer("/investigate 47")),
            ("t:/silence 47", words("/silence 47")),
            ("t:/incident 47", words("/incident 47")),
            ("t:/ack", words("/ack")),
            ("t:/acknowledge 47", words("/acknowledge 47")),
        ] {
            assert_eq!(plain_meaning(data), want, "{data}");
        }
        assert!(changes_incident("t:/ack 47") && changes_incident("t:/silence 47"));
        assert!(!changes_incident("t:/incident 47") && !changes_incident("a:/ack 47"));
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
