//! What stands in one chat, beside what should: which card has to be sent, edited or rung next. More than a handful of unsent
//! ones become one storm card.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Desk;
use crate::{
    domain::{Block, IncidentId, Severity},
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
    /// How often its sending began and its end is not known: over 0 the next one is marked as a possible repeat.
    pub begun: u8,
    /// The incident's revision that it shows.
    pub shown: u64,
    /// The rings that were heard here.
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
/// [`Board::begins`]) or after the act.
#[derive(Clone, Debug, Default)]
pub struct Board {
    reach: Vec<Reach>,
    /// More unsent cards than this become a storm card.
    storm_above: usize,
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
        let _ = (pages, storms);
        Self { reach, storm_above }
    }

    /// Takes changed settings; what stands in the chat stays.
    pub fn set(&mut self, reach: Vec<Reach>, storm_above: usize) {
        (self.reach, self.storm_above) = (reach, storm_above);
    }

    /// The most urgent thing to do; none while all that stands is true. First sends, critical ones first, then rings, then edits,
    /// the storm's at most every few seconds.
    pub fn next(&self, desk: &Desk, now: Timestamp) -> Option<Job> {
        let _ = (desk, now, &self.reach, self.storm_above);
        None
    }

    /// When [`Board::next`] may give something without anything else having changed.
    pub fn wakes_at(&self, desk: &Desk, now: Timestamp) -> Option<Timestamp> {
        let _ = (desk, now);
        None
    }

    /// The job's sending begins: the row to write before.
    pub fn begins(&mut self, job: &Job) -> Option<BoardRow> {
        let _ = job;
        None
    }

    /// The job was done; `message` is the new message's name for a send.
    pub fn done(&mut self, job: &Job, message: Option<&str>, now: Timestamp) -> Option<BoardRow> {
        let _ = (job, message, now);
        None
    }

    /// Nothing of the job's sending reached the wire.
    pub fn not_begun(&mut self, job: &Job) -> Option<BoardRow> {
        let _ = job;
        None
    }

    /// The message is gone: deleted by a person. The card is not sent again for it, until it has to ring.
    pub fn gone(&mut self, job: &Job) -> Option<BoardRow> {
        let _ = job;
        None
    }

    /// It cannot be delivered here, ever.
    pub fn failed(&mut self, job: &Job, why: &str) -> Option<BoardRow> {
        let _ = (job, why);
        None
    }

    /// The incident whose card a message is.
    pub fn incident_at(&self, message: &str) -> Option<IncidentId> {
        let _ = message;
        None
    }
}
