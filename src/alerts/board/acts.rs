//! What a job's beginning and its end mean for what stands in a chat.

use jiff::Timestamp;

use super::{Board, BoardRow, Job, Page, Storm, Told, need::Facts};
use crate::domain::{Block, IncidentId, Untrusted};

/// The longest reason that is kept, in bytes.
const REASON: usize = 300;

impl Board {
    /// The job's sending begins: the row to write before.
    pub fn begins(&mut self, job: &Job) -> Option<BoardRow> {
        match job {
            Job::Send { incident: Some(id), revision, loud, again, .. } => {
                let facts = self.watched.get(id).map(|watched| watched.facts.clone());
                let asked = self.asked.remove(id);
                let mut page = self.page(*id);
                let rings = facts.as_ref().map_or(page.rings, |facts| heard(facts, *revision, *loud));
                let fresh = !again && page.begun >= 2 && (asked || rings > page.rings);
                page.begun = if fresh { 1 } else { page.begun.saturating_add(1) };
                (page.rings, page.failed) = (page.rings.max(rings), None);
                self.tell(*id);
                Some(self.keep(page))
            }
            Job::Ring { incident, rings, .. } => {
                let mut page = self.page(*incident);
                let fresh = page.begun >= 2 && *rings > page.rings;
                page.begun = if fresh { 1 } else { page.begun.saturating_add(1) };
                // The second try is the last.
                page.rings = if page.begun >= 2 { page.rings.max(*rings) } else { page.rings };
                Some(self.keep(page))
            }
            Job::Send { incident: None, again, .. } => {
                let brewing = self.lasting().is_none().then(|| self.brewing());
                let now = self.now;
                let newest = self.gale.newest;
                (self.gale.busy, self.gale.tried) = (Some(now), Some(now));
                let storm = match brewing {
                    Some(storm) => self.storm.insert(storm),
                    None => self.storm.as_mut()?,
                };
                let fresh = !again && storm.begun >= 2 && newest > Some(storm.last);
                storm.begun = if fresh { 1 } else { storm.begun.saturating_add(1) };
                storm.last = newest.unwrap_or(storm.last).max(storm.last);
                Some(BoardRow::Storm(storm.clone()))
            }
            Job::Edit { incident: None, .. } => {
                self.gale.busy = Some(self.now);
                None
            }
            Job::Edit { .. } => None,
        }
    }

    /// The job was done; `message` is the new message's name for a send, and for an edit that changed it.
    pub fn done(&mut self, job: &Job, message: Option<&str>, now: Timestamp) -> Option<BoardRow> {
        self.recent.push_back(now);
        match job {
            Job::Send { incident: None, card, revision, .. }
            | Job::Edit { incident: None, card, revision, .. } => {
                let newest = self.gale.newest;
                let storm = self.ended_storm()?;
                storm.last = newest.unwrap_or(storm.last).max(storm.last);
                if let Job::Send { .. } = job {
                    storm.begun = 0;
                }
                storm.message = message.map(str::to_owned).or(storm.message.take());
                (storm.shown, storm.shown_at) = (*revision, Some(now));
                let row = storm.clone();
                if matches!(&**card, Block::Storm(card) if card.over) {
                    self.end_storm();
                    return Some(BoardRow::Storm(Storm { over: true, ..row }));
                }
                Some(BoardRow::Storm(row))
            }
            Job::Send { incident: Some(id), revision, .. }
            | Job::Edit { incident: Some(id), revision, .. } => {
                let mut page = self.page(*id);
                if let Job::Send { .. } = job {
                    page.begun = 0;
                }
                page.message = message.map(str::to_owned).or(page.message);
                page.shown = page.shown.max(*revision);
                self.tell(*id);
                Some(self.keep(page))
            }
            Job::Ring { incident, rings, .. } => {
                let mut page = self.page(*incident);
                (page.begun, page.rings) = (0, page.rings.max(*rings));
                self.tell(*incident);
                Some(self.keep(page))
            }
        }
    }

    /// Nothing of the job's sending reached the wire.
    pub fn not_begun(&mut self, job: &Job) -> Option<BoardRow> {
        match job {
            Job::Send { incident: Some(id), .. } | Job::Ring { incident: id, .. } => {
                let mut page = self.page(*id);
                // Heard before its last try, or before its only one.
                let ring = match job {
                    Job::Ring { .. } => page.begun == 2,
                    _ => page.begun == 1 && page.shown > 0,
                };
                page.begun = page.begun.saturating_sub(1);
                page.rings = page.rings.saturating_sub(u32::from(ring));
                Some(self.keep(page))
            }
            Job::Send { incident: None, .. } => {
                let storm = self.ended_storm()?;
                storm.begun = storm.begun.saturating_sub(1);
                let never = storm.begun == 0 && storm.shown == 0;
                let row = storm.clone();
                if never {
                    self.end_storm();
                }
                Some(BoardRow::Storm(Storm { over: never, ..row }))
            }
            Job::Edit { incident, .. } => {
                if incident.is_none() {
                    self.gale.busy = None;
                }
                None
            }
        }
    }

    /// The message is gone: deleted by a person. The card is not sent again for it, until it has to ring.
    pub fn gone(&mut self, job: &Job) -> Option<BoardRow> {
        match job {
            Job::Send { incident: Some(id), revision, .. }
            | Job::Edit { incident: Some(id), revision, .. } => Some(self.lose(*id, *revision)),
            Job::Ring { incident, .. } => Some(self.lose(*incident, 1)),
            Job::Send { incident: None, revision, .. } | Job::Edit { incident: None, revision, .. } => {
                let storm = self.ended_storm()?;
                (storm.message, storm.begun) = (None, 0);
                storm.shown = (*revision).max(1);
                Some(BoardRow::Storm(storm.clone()))
            }
        }
    }

    /// It cannot be delivered here, ever. A card that cannot be sent is given up; one that cannot be changed or answered counts as
    /// gone, so that its next ring sends it anew. A storm's card is tried again once there is more to tell, minutes later.
    pub fn failed(&mut self, job: &Job, why: &str) -> Option<BoardRow> {
        match job {
            Job::Send { incident: Some(id), .. } => {
                let mut page = self.page(*id);
                page.begun = 0;
                page.failed = Some(Untrusted::new(why).cut(REASON).to_string());
                Some(self.keep(page))
            }
            Job::Send { incident: None, .. } => {
                let storm = self.ended_storm()?;
                storm.begun = 2;
                Some(BoardRow::Storm(storm.clone()))
            }
            Job::Edit { .. } | Job::Ring { .. } => self.gone(job),
        }
    }

    /// The storm, on whose card nothing is on its way any more.
    fn ended_storm(&mut self) -> Option<&mut Storm> {
        self.gale.busy = None;
        self.storm.as_mut()
    }

    fn page(&self, id: IncidentId) -> Page {
        let fresh = || Page { incident: id, message: None, begun: 0, shown: 0, rings: 0, failed: None };
        self.pages.get(&id).cloned().unwrap_or_else(fresh)
    }

    fn lose(&mut self, id: IncidentId, revision: u64) -> BoardRow {
        let page = self.page(id);
        let shown = page.shown.max(revision).max(1);
        self.keep(Page { message: None, begun: 0, shown, ..page })
    }

    fn keep(&mut self, page: Page) -> BoardRow {
        let id = page.incident;
        let old = self.pages.insert(id, page.clone()).and_then(|old| old.message);
        if old != page.message {
            if let Some(old) = old {
                self.by_message.remove(&old);
            }
            if let Some(message) = &page.message {
                self.by_message.insert(message.clone(), id);
            }
        }
        self.look_again(id);
        BoardRow::Page(page)
    }

    fn tell(&mut self, id: IncidentId) {
        if let Some(watched) = self.watched.get(&id) {
            let Facts { severity, step, state, muted, .. } = watched.facts;
            self.told.insert(id, Told { severity, step, state, muted });
        }
    }
}

/// The rings that a card's sending stands for: of a newer revision than it shows the last one may still have to be heard.
fn heard(facts: &Facts, revision: u64, loud: bool) -> u32 {
    if facts.revision == revision || loud && facts.rings == 1 {
        return facts.rings;
    }
    facts.rings.saturating_sub(1)
}
