//! Keeps cards true: whatever decides or ends an approval, every message that shows it is edited to how it stands.

use std::collections::BTreeMap;

use tokio_util::sync::CancellationToken;

use super::{
    Place, Post, Rich,
    core::{CHANNEL, Core, place_in, place_text},
    courier::{Lane, Undelivered},
    places::Places,
    press,
};
use crate::{
    domain::{ApprovalId, Block, Card, CardState, ConversationKey},
    engine::redact_block,
    policy::{self, Approval},
    runtime::clock,
    store::{Posted, StoreError},
};

/// The word for a card that waits.
pub(super) const PENDING: &str = "pending";
/// The word for one that is to be shown again further down, and has not become a stub yet.
pub(super) const MOVING: &str = "pending, shown again";
/// The word for a stub.
pub(super) const MOVED: &str = "moved";

/// The word for what the approval's card shows.
pub(super) fn shows(approval: &Approval) -> String {
    match (approval.state, &approval.first_approver) {
        (CardState::Pending, Some(_)) => "pending, first of two".to_owned(),
        (state, _) => state.word().to_owned(),
    }
}

/// Follows approvals until `stop`.
pub(super) async fn run(core: Core, stop: CancellationToken) {
    let mut changes = core.engine.changes();
    let mut places = Places::new();
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
            () = core.card_posted.notified() => {}
            () = places.one_ends() => {}
            () = tokio::time::sleep(core.settings.look_every) => {}
        }
    }
    places.all_end().await;
}

/// Cards that waited when the last process ended are shown again below, where they are seen.
pub(super) async fn show_again(core: &Core) -> Result<(), StoreError> {
    let (store, now) = (core.engine.store(), clock::now());
    for posted in store.posted_unsettled(CHANNEL).await? {
        let Some(approval) = store.approval_get(posted.approval).await? else { continue };
        if approval.state != CardState::Pending || approval.expires_at <= now || posted.shown == MOVING {
            continue;
        }
        let to = ConversationKey::new(format!("{}:{}", posted.place, approval.requester.person));
        let reply = [Block::Card(face(core, &approval))];
        let old = Posted { shown: MOVING.to_owned(), ..posted };
        store.posted_again(&old, &to, &reply, now).await?;
    }
    Ok(())
}

/// A button of a card was pressed: a message that no row knows, because its sending was cut off, is kept true from now.
pub(super) async fn found(core: &Core, place: Place, message: i32, approval: ApprovalId) {
    let store = core.engine.store();
    let shown = PENDING.to_owned();
    let posted = Posted { place: place_text(place), message: message.into(), approval, shown };
    let noted = async {
        if store.approval_get(approval).await?.is_some() {
            store.posted_found(&posted, clock::now()).await?;
            core.card_posted.notify_one();
        }
        Ok::<_, StoreError>(())
    };
    if let Err(error) = noted.await {
        tracing::error!(%error, "where a card is shown could not be written down");
    }
}

/// The approval's card as it may be shown.
pub(super) fn face(core: &Core, approval: &Approval) -> Card {
    let card = policy::card(approval);
    match redact_block(&core.engine.redactor(), Block::Card(card.clone())) {
        Block::Card(clean) => clean,
        _ => card,
    }
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

/// Whether a card that is to be shown again is, or will be: one that was replaced before that is not.
async fn is_shown_again(core: &Core, posted: &Posted, approval: &Approval) -> Result<bool, StoreError> {
    if approval.state != CardState::Superseded {
        return Ok(true);
    }
    let all = core.engine.store().posted_of(approval.id).await?;
    Ok(all.iter().any(|p| p.place == posted.place && ![MOVING, MOVED].contains(&p.shown.as_str())))
}

async fn edit(core: &Core, place: Place, posted: Posted, approval: &Approval) -> Result<(), StoreError> {
    let store = core.engine.store();
    let message = i32::try_from(posted.message).unwrap_or_default();
    let (draw, data) = (|_: &_| None, |text: &str| press::short(text));
    let (post, shown) = if posted.shown == MOVING && is_shown_again(core, &posted, approval).await? {
        let stub = "⤵ OpsBot was restarted: this card is shown again below.";
        (Post::text(Rich::plain(stub)), MOVED.to_owned())
    } else {
        (super::card(&face(core, approval), &core.look(&draw, &data)), shows(approval))
    };
    match core.courier.edit(place, message, false, Lane::Critical, post).await {
        Ok(()) => {
            let shown = Posted { shown, ..posted };
            store.posted_put(&shown, clock::now()).await
        }
        Err(Undelivered::Stopped { .. } | Undelivered::Token) => Ok(()),
        Err(fault) => {
            tracing::info!(?fault, place = place_text(place), "a card is gone and is not edited any more");
            store.posted_gone(&posted.place, posted.message).await
        }
    }
}
