//! What is not written down yet: the rows of a group, each once, and what earlier commits could not write.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::{
    alerts::{BoardRow, Changes, Desk},
    domain::{
        Alert, AuditEntry, Fingerprint, Incident, IncidentEvent, IncidentId, IncidentState, Silence,
        SilenceId,
    },
    store::AlertRows,
};

/// The most rows of each kind that are held while the store cannot be written; the oldest go first.
const MOST: usize = 50_000;
/// How many incidents are written at once when the store works again.
const PART: usize = 2_000;

/// Rows to write; a later one of the same key replaces an earlier one.
#[derive(Debug, Default)]
pub(super) struct Pending {
    incidents: BTreeMap<IncidentId, Incident>,
    alerts: BTreeMap<(IncidentId, Fingerprint), Alert>,
    silences: BTreeMap<SilenceId, Silence>,
    events: VecDeque<IncidentEvent>,
    boards: BTreeMap<(String, BoardKey), BoardRow>,
    audit: VecDeque<AuditEntry>,
    /// Open incidents whose rows a commit could not write. The desk has them, so no copy is held.
    dirty: BTreeSet<IncidentId>,
}

/// Which row of a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum BoardKey {
    Page(IncidentId),
    Storm(IncidentId),
}

impl Pending {
    /// Nothing has to be written.
    pub(super) fn is_empty(&self) -> bool {
        self.dirty.is_empty() && self.rest_is_empty()
    }

    fn rest_is_empty(&self) -> bool {
        self.incidents.is_empty()
            && self.alerts.is_empty()
            && self.silences.is_empty()
            && self.events.is_empty()
            && self.boards.is_empty()
            && self.audit.is_empty()
    }

    /// Takes in what the desk changed.
    pub(super) fn add(&mut self, changes: Changes) {
        let Changes { incidents, alerts, silences, events, .. } = changes;
        self.incidents.extend(incidents.into_iter().map(|row| (row.id, row)));
        self.alerts.extend(alerts.into_iter().map(|row| ((row.incident, row.fingerprint), row)));
        self.silences.extend(silences.into_iter().map(|row| (row.id, row)));
        self.events.extend(events);
    }

    /// Takes in a row of a board.
    pub(super) fn add_board(&mut self, place: String, row: BoardRow) {
        let key = match &row {
            BoardRow::Page(page) => BoardKey::Page(page.incident),
            BoardRow::Storm(storm) => BoardKey::Storm(storm.first),
        };
        self.boards.insert((place, key), row);
    }

    /// Takes in an audit row.
    pub(super) fn add_audit(&mut self, entry: AuditEntry) {
        self.audit.push_back(entry);
    }

    /// The rows that are here, in the order of their keys.
    pub(super) fn rows(&self) -> AlertRows<'_> {
        AlertRows {
            incidents: self.incidents.values().collect(),
            alerts: self.alerts.values().collect(),
            silences: self.silences.values().collect(),
            events: self.events.iter().collect(),
            boards: self.boards.iter().map(|((place, _), row)| (place.as_str(), row)).collect(),
            audit: self.audit.iter().collect(),
        }
    }

    /// Some of the incidents that only the desk has, with their alerts, to be written before everything else; none when
    /// there are none.
    pub(super) fn part(&self, desk: &Desk) -> Option<(Vec<IncidentId>, Changes)> {
        let ids: Vec<_> = self.dirty.iter().take(PART).copied().collect();
        if ids.is_empty() {
            return None;
        }
        let mut changes = Changes::default();
        for id in &ids {
            changes.incidents.extend(desk.incident(*id).cloned());
            changes.alerts.extend(desk.alerts_of(*id).into_iter().cloned());
        }
        Some((ids, changes))
    }

    /// A part was written.
    pub(super) fn wrote_part(&mut self, ids: &[IncidentId]) {
        for id in ids {
            self.dirty.remove(id);
        }
    }

    /// All was written.
    pub(super) fn wrote(&mut self) {
        *self = Self { dirty: std::mem::take(&mut self.dirty), ..Self::default() };
    }

    /// The incidents that are not written.
    pub(super) fn unsaved(&self) -> BTreeSet<IncidentId> {
        self.dirty.iter().chain(self.incidents.keys()).copied().collect()
    }

    /// Nothing was written: lets go of copies that the desk has as well, and of what is too much. Gives how many rows were
    /// dropped for that.
    pub(super) fn hold(&mut self, desk: &Desk) -> usize {
        let on_desk = |id: &IncidentId| {
            desk.incident(*id).is_some_and(|incident| incident.state != IncidentState::Resolved)
        };
        let dirty = &mut self.dirty;
        self.incidents.retain(|id, incident| {
            let kept_there = incident.state != IncidentState::Resolved && on_desk(id);
            if kept_there {
                dirty.insert(*id);
            } else {
                dirty.remove(id);
            }
            !kept_there
        });
        // An alert that is over may leave the desk before it is written; one that fires does not.
        self.alerts.retain(|(id, _), alert| {
            let kept_there = alert.signal.firing && on_desk(id);
            if kept_there {
                dirty.insert(*id);
            }
            !kept_there
        });
        self.bound()
    }

    fn bound(&mut self) -> usize {
        let before = self.copies();
        while self.incidents.len() > MOST {
            self.incidents.pop_first();
        }
        while self.alerts.len() > MOST {
            self.alerts.pop_first();
        }
        self.events.drain(..self.events.len().saturating_sub(MOST));
        self.audit.drain(..self.audit.len().saturating_sub(MOST));
        before - self.copies()
    }

    fn copies(&self) -> usize {
        self.incidents.len() + self.alerts.len() + self.events.len() + self.audit.len()
    }
}
