//! What stands in one chat, beside what should: which card has to be sent, edited or rung next. More than a handful of unsent
//! ones become one storm card.

mod acts;
mod index;
mod need;
mod pick;
mod storm;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap, VecDeque};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use self::{
    index::Index,
    need::{Facts, Hours, Need, need_of, untouched},
    storm::Gale,
};
use super::Desk;
use crate::{
    domain::{Block, IncidentId, IncidentState, Severity},
    policy::Window,
};

/// A step of the ladder that pages a chat.
#[derive(Clone, Debug)]
pub struct Reach {
    /// Which step; 0 is the first.
    pub step: u32,
    /// Only incidents at least as bad.
    pub at_least: Severity,
    /// Only at these times; none means always.
    pub during: Option<Window>,
}

/// One incident's card in one chat.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    /// Which incident.
    pub incident: IncidentId,
    /// The message that is its card, in the channel's own words; none until it is known to stand.
    pub message: Option<String>,
    /// How often its sending, or that of a ring, began and its end is not known: after the first the next one is marked as a
    /// possible repeat, after the second nothing is sent until there is something new to hear.
    pub begun: u8,
    /// The incident's revision that it shows; 0 before it was ever shown.
    pub shown: u64,
    /// The rings that were heard here, or were on their way.
    pub rings: u32,
    /// It was dead-lettered: nothing more is tried here. The reason.
    pub failed: Option<String>,
}

/// Many incidents on one card: those with these numbers that have no page of their own in this chat.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Storm {
    /// The first incident's number.
    pub first: IncidentId,
    /// The last one's; grows while the storm lasts.
    pub last: IncidentId,
    /// The message that is the card.
    pub message: Option<String>,
    /// As [`Page::begun`].
    pub begun: u8,
    /// What it showed last, as a digest of its card.
    pub shown: u64,
    /// When it was shown last.
    pub shown_at: Option<Timestamp>,
    /// All that it covers is over: it is not edited any more.
    pub over: bool,
    /// How many of those that it covered are over, as far as it was seen: what ended between the last edit and a crash is not
    /// counted.
    #[serde(default)]
    pub resolved: u64,
    /// When it began.
    #[serde(default)]
    pub since: Option<Timestamp>,
}

/// What a chat needs next.
#[derive(Clone, Debug, PartialEq)]
pub enum Job {
    /// A new message, loud or not; `again` says that it may stand there already.
    Send {
        /// Which incident; none means the storm card.
        incident: Option<IncidentId>,
        /// What it shows.
        card: Box<Block>,
        /// The card's revision.
        revision: u64,
        /// It makes a sound.
        loud: bool,
        /// Mark it as a possible repeat.
        again: bool,
        /// It goes before everything else.
        critical: bool,
    },
    /// A card changes in place, without a sound.
    Edit {
        /// Which incident; none means the storm card.
        incident: Option<IncidentId>,
        /// The message.
        message: String,
        /// What it shows.
        card: Box<Block>,
        /// The card's revision.
        revision: u64,
    },
    /// A short loud reply to a card that stands: it got worse, nobody answered, an acknowledgement lapsed.
    Ring {
        /// Which incident.
        incident: IncidentId,
        /// The card's message.
        message: String,
        /// What it says.
        text: String,
        /// The rings that are heard with it.
        rings: u32,
    },
}

/// What stands in one chat. Every method that changes something gives back the row that has to be written before (for
/// [`Board::begins`]) or after the act. A chat does one job after the other; whoever asks in between gets an answer too.
///
/// Decisions that are not in the rows: an incident that was over before it was sent here is not sent, whatever it was elsewhere
/// (as Alertmanager has it); it is in the history. A card whose sending began twice without an end is not sent again: it may be
/// missing until it rings, and is on `/alerts` meanwhile.
#[derive(Clone, Debug, Default)]
pub struct Board {
    reach: Vec<Reach>,
    /// More unsent cards than this become a storm card.
    storm_above: usize,
    pages: HashMap<IncidentId, Page>,
    by_message: HashMap<String, IncidentId>,
    storm: Option<Storm>,
    gale: Gale,
    /// Up to which change of the desk this is true, and when it was looked at.
    seen: u64,
    now: Timestamp,
    /// Of each step in `reach`, whether it is its time.
    open: Vec<bool>,
    watched: HashMap<IncidentId, Watched>,
    index: Index,
    /// Cards that a person asked for.
    asked: BTreeSet<IncidentId>,
    /// What was known of an incident when its card was last touched here; tells what a ring is for.
    told: HashMap<IncidentId, Told>,
    /// When something was done in the last minute.
    recent: VecDeque<Timestamp>,
}

/// An incident that is followed.
#[derive(Clone, Debug)]
struct Watched {
    facts: Facts,
    need: Need,
    /// It has a card of its own here, as far as is known.
    card: bool,
}

/// What a chat was told of an incident last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Told {
    severity: Severity,
    step: u32,
    state: IncidentState,
    muted: bool,
}

/// A row of a board to be written.
#[derive(Clone, Debug, PartialEq)]
pub enum BoardRow {
    /// A page.
    Page(Page),
    /// The storm; the newest of its chat.
    Storm(Storm),
}

impl Board {
    /// What stands there, as it was kept; and when the chat is paged.
    pub fn new(reach: Vec<Reach>, storm_above: usize, pages: Vec<Page>, storms: Vec<Storm>) -> Self {
        let by_message =
            pages.iter().filter_map(|p| Some((p.message.clone()?, p.incident))).collect::<HashMap<_, _>>();
        let storm = storms.into_iter().max_by_key(|storm| storm.last).filter(|storm| !storm.over);
        Self {
            reach,
            storm_above,
            pages: pages.into_iter().map(|page| (page.incident, page)).collect(),
            by_message,
            storm,
            ..Self::default()
        }
    }

    /// Takes changed settings; what stands in the chat stays.
    pub fn set(&mut self, reach: Vec<Reach>, storm_above: usize) {
        (self.reach, self.storm_above) = (reach, storm_above);
        // Others may be concerned now: the desk is read from its beginning.
        self.open.clear();
        self.seen = 0;
    }

    /// A person asked for this incident's own card: it is sent, storm or not, unless it stands. Not kept over a restart.
    pub fn show(&mut self, incident: IncidentId) {
        if self.pages.get(&incident).is_none_or(|page| page.message.is_none()) {
            self.asked.insert(incident);
            self.look_again(incident);
        }
    }

    /// The incident whose card a message is.
    pub fn incident_at(&self, message: &str) -> Option<IncidentId> {
        self.by_message.get(message).copied()
    }

    /// Brings what is watched up to `now` and to the desk's last change.
    fn follow(&mut self, desk: &Desk, now: Timestamp) {
        self.now = now;
        let open = self.reach.iter().map(|r| r.during.as_ref().is_none_or(|w| w.contains(now))).collect();
        let mut stale = self.index.due(now);
        if self.open != open {
            self.open = open;
            stale.extend(self.index.by_hours());
        }
        for id in stale {
            self.look_again(id);
        }
        if desk.seq() != self.seen {
            for id in desk.changed_since(self.seen) {
                match desk.incident(id) {
                    Some(incident) => self.place(Facts::of(incident)),
                    None => self.forget(id),
                }
            }
            self.seen = desk.seq();
        }
        while self.recent.front().is_some_and(|at| now.duration_since(*at) >= MINUTE) {
            self.recent.pop_front();
        }
        self.calm_down();
    }

    /// Decides again what an incident needs, for its page or the time changed.
    fn look_again(&mut self, id: IncidentId) {
        if let Some(facts) = self.watched.get(&id).map(|watched| watched.facts.clone()) {
            self.place(facts);
        }
    }

    fn place(&mut self, facts: Facts) {
        let id = facts.id;
        let before = self.lift(id);
        let page = self.pages.get(&id);
        let hours = Hours { reach: &self.reach, open: &self.open };
        let need = need_of(&facts, page, &hours, self.asked.contains(&id), self.now);
        let card = !untouched(page);
        if let Some(storm) = self.storm.as_mut().filter(|storm| !storm.over) {
            let was_covered = matches!(before, Some(Need::First { .. }));
            storm.resolved += u64::from(was_covered && facts.is_over() && !card);
        } else if facts.is_over() && need == Need::Nothing {
            self.told.remove(&id);
            return;
        }
        if matches!(need, Need::First { .. }) {
            self.gale.newest = self.gale.newest.max(Some(id));
        }
        self.index.add(&facts, need, card);
        self.watched.insert(id, Watched { facts, need, card });
    }

    /// The desk has it no more: nothing true can be said of it.
    fn forget(&mut self, id: IncidentId) {
        self.lift(id);
        self.told.remove(&id);
        self.asked.remove(&id);
    }

    fn lift(&mut self, id: IncidentId) -> Option<Need> {
        let Watched { facts, need, card } = self.watched.remove(&id)?;
        self.index.remove(&facts, need, card);
        Some(need)
    }
}

const MINUTE: SignedDuration = SignedDuration::from_mins(1);
