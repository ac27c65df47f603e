//! When many incidents share one card: when a storm begins, when its card changes, when it is over.

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};

use super::{Board, Storm, index::mix, need::Need};
use crate::domain::IncidentId;

/// The least time between two edits of a storm's card.
const BETWEEN: SignedDuration = SignedDuration::from_secs(5);
/// From this age on the storm's card goes before single ones.
const STALE: SignedDuration = SignedDuration::from_secs(30);
/// For so long nothing may come before what is left of a storm gets cards of its own.
const STILL: SignedDuration = SignedDuration::from_mins(3);
/// The least time between two storm cards, where the first is gone or never arrived.
const AFRESH: SignedDuration = SignedDuration::from_mins(5);
/// For so long a job on the storm's card that has begun keeps the next one away.
const BUSY: SignedDuration = SignedDuration::from_mins(1);

/// What is known of a storm besides its row; all of it may be lost.
#[derive(Clone, Debug, Default)]
pub(super) struct Gale {
    /// The highest number that was ever due here.
    pub newest: Option<IncidentId>,
    /// When the last job on its card began, if that has not ended.
    pub busy: Option<Timestamp>,
    /// When a card was last sent.
    pub tried: Option<Timestamp>,
    /// The line of each incident, and of which revision.
    pub lines: HashMap<IncidentId, (u64, String)>,
}

/// What a storm's card needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StormNeed {
    Send { critical: bool },
    Edit { stale: bool },
}

impl Board {
    /// The storm that lasts.
    pub(super) fn lasting(&self) -> Option<&Storm> {
        self.storm.as_ref().filter(|storm| !storm.over)
    }

    /// What the storm's card needs, and otherwise when it will.
    pub(super) fn storm_needs(&self, now: Timestamp) -> (Option<StormNeed>, Option<Timestamp>) {
        let send = StormNeed::Send { critical: self.index.covers_critical() };
        let covered = self.index.covered();
        let Some(storm) = self.lasting() else {
            return ((self.index.fires.len() > self.storm_above && covered > 0).then_some(send), None);
        };
        if let Some(until) = self.gale.busy.map(|began| began + BUSY).filter(|until| *until > now) {
            return (None, Some(until));
        }
        let at = |need, due: Timestamp| if due <= now { (Some(need), None) } else { (None, Some(due)) };
        match (&storm.message, storm.begun) {
            (Some(_), _) if storm.shown == self.digest() => (None, None),
            (Some(_), _) => {
                let shown = storm.shown_at.unwrap_or_default();
                at(StormNeed::Edit { stale: shown + STALE <= now }, shown + BETWEEN)
            }
            (None, 1) => (Some(send), None),
            (None, _) if self.gale.newest > Some(storm.last) => {
                at(send, self.gale.tried.map_or(now, |tried| tried + AFRESH))
            }
            (None, _) => (None, None),
        }
    }

    /// Whether the storm has passed and left so few that each gets a card of its own, and otherwise when it may have.
    pub(super) fn passed(&self, now: Timestamp) -> (bool, Option<Timestamp>) {
        let few = self.index.covered() <= self.storm_above;
        if !few || self.lasting().is_none_or(|storm| storm.begun == 1) {
            return (false, None);
        }
        let due = |id: &IncidentId| self.watched.get(id).and_then(|watched| watched.facts.due_at);
        match self.index.each_covered().filter_map(|((_, _, id), _)| due(&id)).max() {
            Some(newest) if newest + STILL <= now => (true, None),
            newest => (false, newest.map(|newest| newest + STILL)),
        }
    }

    /// Stands for what the storm's card shows: never 0, which is a card that was never shown, and
    /// never more than a signed number holds.
    pub(super) fn digest(&self) -> u64 {
        let resolved = self.lasting().map_or(0, |storm| storm.resolved);
        let over = u64::from(self.index.covered() == 0);
        (mix(self.index.sum() ^ mix(resolved ^ over << 63)) >> 1).max(1)
    }

    /// The storm of which a card is sent now.
    pub(super) fn brewing(&self) -> Storm {
        let ids = self.index.each_covered().map(|((_, _, id), _)| id);
        let first = ids.min().unwrap_or(IncidentId(0));
        Storm {
            first,
            last: first.max(self.gale.newest.unwrap_or(first)),
            message: None,
            begun: 0,
            shown: 0,
            shown_at: None,
            over: false,
            resolved: 0,
            since: Some(self.now),
        }
    }

    /// Ends a storm that covers nothing any more and has no card that should say so.
    pub(super) fn calm_down(&mut self) {
        let bare = |storm: &Storm| storm.message.is_none() && storm.begun != 1;
        if self.index.covered() == 0 && self.lasting().is_some_and(bare) {
            self.end_storm();
        }
    }

    pub(super) fn end_storm(&mut self) {
        if let Some(storm) = &mut self.storm {
            storm.over = true;
        }
        self.gale.lines = HashMap::new();
        self.gale.busy = None;
        // What was over stayed only to tell which customer has had its critical card.
        let over = self.watched.values().filter(|w| w.facts.is_over() && w.need == Need::Nothing);
        let over: Vec<_> = over.map(|watched| watched.facts.id).collect();
        for id in over {
            self.lift(id);
            self.told.remove(&id);
        }
    }
}
