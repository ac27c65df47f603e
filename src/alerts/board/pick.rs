//! Which job is next, and what its card says.

use std::cmp::Reverse;

use jiff::{SignedDuration, Timestamp};

use super::{
    Board, Job, MINUTE,
    need::{Facts, Key, Need},
    storm::StormNeed,
};
use crate::{
    alerts::{
        Desk,
        card::{alert_card, in_words, list_line},
        storm_card::{LISTED, StormFacts, storm_card},
    },
    domain::{AlertCard, Block, Incident, IncidentId, IncidentState, Severity},
};

/// At most so many jobs in a minute while a storm lasts, and otherwise no edit after so many: what a messenger takes in a group.
const PER_MINUTE: usize = 20;

/// What is next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pick {
    Storm,
    Card(IncidentId),
    Ring(IncidentId),
    Edit(IncidentId),
}

impl Board {
    /// The most urgent thing to do; none while all that stands is true. First sends, critical ones first, then rings, then edits,
    /// the storm's at most every few seconds.
    pub fn next(&mut self, desk: &Desk, now: Timestamp) -> Option<Job> {
        self.follow(desk, now);
        loop {
            let pick = self.pick(now)?;
            let (Pick::Card(id) | Pick::Ring(id) | Pick::Edit(id)) = pick else {
                return self.storm_job(desk, now);
            };
            let Some(incident) = desk.incident(id) else {
                self.forget(id);
                continue;
            };
            let card = alert_card(desk, incident, now);
            return match pick {
                Pick::Ring(_) => self.ring_job(incident, card, now),
                Pick::Edit(_) => self.edit_job(id, card),
                _ => self.send_job(id, card),
            };
        }
    }

    /// When [`Board::next`] may give something without anything else having changed. Asked after it.
    pub fn wakes_at(&self, desk: &Desk, now: Timestamp) -> Option<Timestamp> {
        if desk.seq() != self.seen {
            return Some(now);
        }
        let free = || self.recent.front().map(|at| *at + MINUTE);
        if self.spent() && self.lasting().is_some() {
            return free();
        }
        let minute = || {
            let second = now.as_second();
            Timestamp::from_second(second + 60 - second.rem_euclid(60)).ok()
        };
        let hours = self.index.waits_for_hours().then(minute).flatten();
        let edits = (self.spent() && !self.index.edits.is_empty()).then(free).flatten();
        let times = [edits, self.index.next_due(), hours, self.storm_needs(now).1, self.passed(now).1];
        times.into_iter().flatten().filter(|at| *at > now).min()
    }

    /// As much was done in the last minute as a minute may hold.
    fn spent(&self) -> bool {
        self.recent.len() >= PER_MINUTE
    }

    fn pick(&self, now: Timestamp) -> Option<Pick> {
        let spent = self.spent();
        if spent && self.lasting().is_some() {
            return None;
        }
        let (storm, passed) = (self.storm_needs(now).0, self.passed(now).0);
        match storm {
            Some(StormNeed::Send { critical: true }) => return Some(Pick::Storm),
            Some(StormNeed::Edit { stale: true }) if !passed => return Some(Pick::Storm),
            _ => {}
        }
        let send = matches!(storm, Some(StormNeed::Send { .. }));
        let alone = (!send && self.lasting().is_none()) || passed;
        let fires = self.index.fires.first().filter(|_| alone);
        let critical = |key: &&Key| key.0 == Reverse(Severity::Critical);
        let own = self.index.own.first();
        let card = |key: &Key| Pick::Card(key.2);
        let first = self.index.leaders.first().or(own.filter(critical)).or(fires.filter(critical)).map(card);
        let first = first.or(send.then_some(Pick::Storm)).or(own.or(fires).map(card));
        first
            .or_else(|| self.index.rings.first().map(|key| Pick::Ring(key.2)))
            .or_else(|| self.index.edits.first().filter(|_| !spent).map(|(_, key)| Pick::Edit(key.2)))
            .or(storm.map(|_| Pick::Storm))
    }

    fn send_job(&self, id: IncidentId, card: AlertCard) -> Option<Job> {
        let watched = self.watched.get(&id)?;
        let facts = &watched.facts;
        // Of what a storm leaves over its card has told already.
        let told = watched.need != Need::Own
            && self.lasting().is_some()
            && !self.index.leaders.contains(&facts.key());
        Some(Job::Send {
            incident: Some(id),
            card: Box::new(Block::Alert(Box::new(card))),
            revision: facts.revision,
            loud: facts.sounds() && !told && !self.asked.contains(&id),
            again: self.pages.get(&id).is_some_and(|page| page.message.is_none() && page.begun == 1),
            critical: facts.severity == Severity::Critical && !facts.is_over(),
        })
    }

    fn edit_job(&self, id: IncidentId, card: AlertCard) -> Option<Job> {
        Some(Job::Edit {
            incident: Some(id),
            message: self.pages.get(&id)?.message.clone()?,
            card: Box::new(Block::Alert(Box::new(card))),
            revision: self.watched.get(&id)?.facts.revision,
        })
    }

    fn ring_job(&self, incident: &Incident, card: AlertCard, now: Timestamp) -> Option<Job> {
        let (page, facts) = (self.pages.get(&incident.id)?, &self.watched.get(&incident.id)?.facts);
        let whose: Vec<_> = [card.customer, card.service].into_iter().flatten().collect();
        let again = if page.begun == 1 { " (may be a repeat)" } else { "" };
        let colon = if whose.is_empty() { "" } else { ": " };
        Some(Job::Ring {
            incident: incident.id,
            message: page.message.clone()?,
            text: format!("{}. {}{colon}{}{again}", self.why(incident, now), whose.join(" "), card.title),
            rings: facts.rings,
        })
    }

    /// Why it rings, told from what the chat knew of it; in general words after a restart.
    fn why(&self, incident: &Incident, now: Timestamp) -> String {
        let severity = incident.severity.word();
        let open = now.duration_since(incident.due_at.unwrap_or(incident.opened_at));
        let open = in_words(open.max(SignedDuration::ZERO));
        match self.told.get(&incident.id) {
            Some(told) if incident.severity > told.severity => format!("⏫ worse: now {severity}"),
            Some(told) if told.state == IncidentState::Acked => "⏰ the acknowledgement lapsed".to_owned(),
            Some(told) if incident.step > told.step => format!("⏰ nobody answered for {open}"),
            Some(told) if told.muted => "🔔 no longer silenced, and it still fires".to_owned(),
            _ => format!("⏰ still {severity} after {open}, and nobody has it"),
        }
    }

    /// The storm's card as it has to be sent or edited.
    fn storm_job(&mut self, desk: &Desk, now: Timestamp) -> Option<Job> {
        self.read_lines(desk);
        let facts: Vec<_> = self.covered_facts().collect();
        let resolved = self.lasting().map_or(0, |storm| storm.resolved);
        let line = |facts: &Facts| self.gale.lines.get(&facts.id).map(|(_, line)| line.as_str());
        let each = facts.iter().map(|(facts, fires)| StormFacts {
            severity: facts.severity,
            customer: facts.customer.as_ref(),
            fires: *fires,
            line: line(facts).unwrap_or_default(),
        });
        let since = self.lasting().and_then(|storm| storm.since);
        let card = storm_card(each, resolved, since.unwrap_or(now), &desk.settings().cards);
        let sounds = facts.iter().any(|(facts, _)| facts.sounds());
        let (card, revision) = (Box::new(Block::Storm(Box::new(card))), self.digest());
        let storm = self.lasting();
        Some(match storm.and_then(|storm| storm.message.clone()) {
            Some(message) => Job::Edit { incident: None, message, card, revision },
            None => Job::Send {
                incident: None,
                card,
                revision,
                loud: sounds && storm.is_none_or(|storm| storm.shown == 0),
                again: storm.is_some_and(|storm| storm.begun == 1),
                critical: self.index.covers_critical(),
            },
        })
    }

    fn covered_facts(&self) -> impl Iterator<Item = (&Facts, bool)> {
        let each = self.index.each_covered();
        each.filter_map(|((_, _, id), fires)| Some((&self.watched.get(&id)?.facts, fires)))
    }

    /// Writes the lines of those that are listed and new or changed.
    fn read_lines(&mut self, desk: &Desk) {
        let lines = &self.gale.lines;
        let known = |facts: &Facts| lines.get(&facts.id).is_some_and(|(at, _)| *at == facts.revision);
        let listed = self.covered_facts().filter(|(_, fires)| *fires).take(LISTED);
        let stale: Vec<_> =
            listed.filter(|(facts, _)| !known(facts)).map(|(facts, _)| (facts.id, facts.revision)).collect();
        for (id, revision) in stale {
            if let Some(incident) = desk.incident(id) {
                self.gale.lines.insert(id, (revision, list_line(desk, incident)));
            }
        }
    }
}
