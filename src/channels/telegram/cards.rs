//! Keeps cards true: whatever decides or ends an approval, every message that shows it is edited to how it stands.

use std::collections::BTreeMap;

use tokio_util::sync::CancellationToken;

use super::{
    Place, Post,
    core::{CHANNEL, Core, place_in, place_text},
    courier::{Lane, Undelivered},
    decode::Press,
    places::Places,
    press,
};
use crate::{
    domain::{ApprovalId, Block, CardState},
    policy::{self, Approval},
    runtime::clock,
    store::{Posted, StoreError, TurnEnd},
};

/// The word for a card that waits.
pub(super) const PENDING: &str = "pending";
/// The word for one that has to be looked at again, whatever it shows.
pub(super) const EXECUTING: &str = "executing";
/// The word for one that is shown again further down.
pub(super) const MOVED: &str = "moved";

/// The word for what the approval's card shows.
pub(super) fn shows(approval: &Approval) -> String {
    match (approval.state, &approval.first_approver) {
        (CardState::Pending, Some(_)) => "pending, first of two".to_owned(),
        (state, _) => state.word().to_owned(),
    }
}

/// Follows the pressed card too, if it is a copy that nobody knew had arrived.
pub(super) async fn adopt(core: &Core, press: &Press) {
    let (Some(message), Some((_, id))) = (press.message, press.data.split_once(':')) else { return };
    let Ok(approval) = id.parse::<ApprovalId>() else { return };
    let (store, place, message) = (core.engine.store(), place_text(press.place), i64::from(message));
    let known = async {
        let all = store.posted_of(approval).await?;
        if all.iter().any(|p| p.place == place && p.message == message)
            || store.approval_get(approval).await?.is_none()
        {
            return Ok(());
        }
        let posted = Posted { place, message, approval, shown: EXECUTING.to_owned() };
        store.posted_put(&posted, clock::now()).await
    };
    if let Err(error) = known.await {
        tracing::error!(%error, "a copy of a card could not be noted");
    }
}

/// Follows approvals until `stop`.
pub(super) async fn run(core: Core, stop: CancellationToken) {
    let mut changes = core.engine.changes();
    let mut places = Places::new();
    if let Err(error) = show_again(&core).await {
        tracing::error!(%error, "cards of the last run could not be shown again");
    }
    while !stop.is_cancelled() {
        changes.mark_unchanged();
        match stale(&core).await {
            Ok(stale) => {
                for (place, cards) in stale {
                    let core = core.clone();
                    places.begin(place, async move { edit_all(&core, place, cards).await });
                }
            }
            Err(error) => tracing::error!(%error, "cards could not be looked at; trying again"),
        }
        tokio::select! {
            () = stop.cancelled() => {}
            changed = changes.changed() => if changed.is_err() { break },
            () = places.one_ends() => {}
            () = tokio::time::sleep(core.settings.look_every) => {}
        }
    }
    places.all_end().await;
}

/// A card that waited when the last run ended is shown again below, where it is seen.
async fn show_again(core: &Core) -> Result<(), StoreError> {
    let (store, now) = (core.engine.store(), clock::now());
    for posted in store.posted_unsettled(CHANNEL).await? {
        let Some(approval) = store.approval_get(posted.approval).await? else { continue };
        if approval.state != CardState::Pending || approval.expires_at <= now {
            continue;
        }
        let Some(place) = place_in(&posted.place) else { continue };
        let moved = Posted { shown: MOVED.to_owned(), ..posted.clone() };
        store.posted_put(&moved, now).await?;
        let reply = [Block::Card(policy::card(&approval))];
        let to =
            crate::domain::ConversationKey::new(format!("{}:{}", posted.place, approval.requester.person));
        store.end_turn(&to, TurnEnd { reply: &reply, ..TurnEnd::default() }, now).await?;
        core.wake.notify_one();
        let stub = Post::text(super::Rich::plain("⤵ OpsBot was restarted: this card is shown again below."));
        let message = i32::try_from(posted.message).unwrap_or_default();
        if let Err(fault) = core.courier.edit(place, message, false, Lane::Reply, stub).await {
            tracing::debug!(?fault, "an old card could not be closed");
        }
    }
    Ok(())
}

/// The cards that show something else than what is so.
async fn stale(core: &Core) -> Result<BTreeMap<Place, Vec<(Posted, Approval)>>, StoreError> {
    let store = core.engine.store();
    let mut stale: BTreeMap<Place, Vec<(Posted, Approval)>> = BTreeMap::new();
    for posted in store.posted_unsettled(CHANNEL).await? {
        let Some(approval) = store.approval_get(posted.approval).await? else { continue };
        if posted.shown != shows(&approval)
            && let Some(place) = place_in(&posted.place)
        {
            stale.entry(place).or_default().push((posted, approval));
        }
    }
    Ok(stale)
}

async fn edit_all(core: &Core, place: Place, cards: Vec<(Posted, Approval)>) {
    for (posted, approval) in cards {
        if let Err(error) = edit(core, place, posted, &approval).await {
            return tracing::error!(%error, "a card's edit could not be written down; trying again");
        }
    }
}

async fn edit(core: &Core, place: Place, posted: Posted, approval: &Approval) -> Result<(), StoreError> {
    let store = core.engine.store();
    let message = i32::try_from(posted.message).unwrap_or_default();
    let (draw, data) = (|_: &_| None, |text: &str| press::short(text));
    let post = super::card(&policy::card(approval), &core.look(&draw, &data));
    match core.courier.edit(place, message, false, Lane::Critical, post).await {
        Ok(()) => {
            let shown = Posted { shown: shows(approval), ..posted };
            store.posted_put(&shown, clock::now()).await
        }
        Err(Undelivered::Stopped { .. } | Undelivered::Token) => Ok(()),
        Err(fault) => {
            tracing::info!(?fault, place = place_text(place), "a card is gone and is not edited any more");
            store.posted_gone(&posted.place, posted.message).await
        }
    }
}
