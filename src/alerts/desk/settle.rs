//! After any change of an incident: where it stands, how bad it is, whether it makes a sound.

use jiff::{SignedDuration, Timestamp};

use super::{Desk, timers::Timer, work::Work};
use crate::domain::{EventKind, Fingerprint, Incident, IncidentId, IncidentState, Mute, Severity};

impl Desk {
    pub(super) fn settle(&mut self, id: IncidentId, work: &mut Work) {
        let now = work.now;
        let Some(open) = self.incidents.get_mut(&id) else { return };
        let new = open.incident.revision == 0;
        let worst = open.worst();
        let mut rings = false;
        if new {
            work.event(id, EventKind::Opened, format!("{} began", open.incident.key));
            self.turn(id, work);
        } else {
            self.turn_over(id, worst.is_some(), work);
        }
        let Some(open) = self.incidents.get_mut(&id) else { return };
        if let Some(worst) = worst {
            rings = worse(&mut open.incident, worst, work);
        }
        let released = self.settle_mute(id, new, work);
        let (group_wait, ladder) = (span(self.settings.group_wait), self.settings.ladder.get(1).copied());
        let Some(open) = self.incidents.get_mut(&id) else { return };
        let incident = &mut open.incident;
        if incident.mute.is_none() && worst.is_some() {
            if new {
                let wait =
                    if incident.severity == Severity::Critical { SignedDuration::ZERO } else { group_wait };
                (incident.due_at, incident.rings) = (Some(later(now, wait)), 1);
            } else if (rings || released) && !(incident.flapping || incident.state == IncidentState::Acked) {
                ring(incident, now);
            }
            if let (Some(due), Some(after)) = (incident.due_at, ladder) {
                self.timers.set(later(due, span(after)), Timer::Climbs(id));
            }
        }
        self.touch(id, work);
    }

    /// It began or ceased to fire, perhaps.
    fn turn_over(&mut self, id: IncidentId, fires: bool, work: &mut Work) {
        let Some(open) = self.incidents.get_mut(&id) else { return };
        let incident = &mut open.incident;
        match (incident.state, fires) {
            (IncidentState::Firing | IncidentState::Acked, false) => {
                (incident.state, incident.changed_at) = (IncidentState::Recovering, work.now);
                work.event(id, EventKind::Recovering, "nothing of it fires any more");
                self.timers.set(later(work.now, span(self.settings.hold_down)), Timer::Holds(id));
                self.turn(id, work);
            }
            (IncidentState::Recovering | IncidentState::Resolved, true) => {
                let acked = incident.ack.is_some() && incident.state == IncidentState::Recovering;
                incident.state = if acked { IncidentState::Acked } else { IncidentState::Firing };
                (incident.changed_at, incident.resolved_at) = (work.now, None);
                if !acked {
                    incident.ack = None;
                }
                work.event(id, EventKind::Again, "it fires again");
                self.turn(id, work);
            }
            (IncidentState::Firing | IncidentState::Acked, true)
            | (IncidentState::Recovering | IncidentState::Resolved, false) => {}
        }
    }

    fn turn(&mut self, id: IncidentId, work: &mut Work) {
        let (changes, within) = self.settings.flapping;
        let within = span(within);
        let turns = self.turns_of(id, work.now) + 1;
        let Some(open) = self.incidents.get_mut(&id) else { return };
        open.turns.push_back(work.now);
        self.timers.set(later(work.now, within), Timer::Calms(id));
        if turns >= changes && !open.incident.flapping {
            open.incident.flapping = true;
            work.event(id, EventKind::Flapping, format!("it comes and goes: {turns} changes of late"));
            if open.incident.mute.is_none() && open.incident.state != IncidentState::Acked {
                ring(&mut open.incident, work.now);
            }
        }
    }

    /// How often it turned within the span that counts as flapping; older turns are forgotten.
    pub(super) fn turns_of(&self, id: IncidentId, now: Timestamp) -> usize {
        let within = span(self.settings.flapping.1);
        let recent = |at: &&Timestamp| now.duration_since(**at) < within;
        self.incidents.get(&id).map_or(0, |open| open.turns.iter().filter(recent).count())
    }

    /// Whether it makes a sound; true when it does again.
    fn settle_mute(&mut self, id: IncidentId, new: bool, work: &mut Work) -> bool {
        let wanted = self.wanted_mute(id);
        let quiet = self.settings.quiet.as_ref().is_some_and(|w| w.contains(work.now));
        let Some(open) = self.incidents.get_mut(&id) else { return false };
        let incident = &mut open.incident;
        let wanted = match (wanted, &incident.mute) {
            (None, _) if new && quiet && incident.severity < Severity::Critical => Some(Mute::Quiet),
            (None, Some(Mute::Quiet)) if incident.severity < Severity::Critical => Some(Mute::Quiet),
            (wanted, _) => wanted,
        };
        if wanted == incident.mute {
            return false;
        }
        let (kind, text) = match (&wanted, &incident.mute) {
            (Some(Mute::Silenced { silence }), _) => {
                (EventKind::Silenced, format!("silence {silence} holds"))
            }
            (Some(Mute::Inhibited { by }), _) => (EventKind::Inhibited, format!("incident {by} explains it")),
            (Some(Mute::Quiet), _) => {
                (EventKind::Silenced, "quiet hours: it waits for the digest".to_owned())
            }
            (None, Some(Mute::Inhibited { .. })) => {
                (EventKind::Inhibited, "nothing explains it any more".to_owned())
            }
            (None, _) => (EventKind::Silenced, "it makes a sound again".to_owned()),
        };
        work.event(id, kind, text);
        incident.mute = wanted;
        incident.mute.is_none() && open.fires() > 0
    }

    fn wanted_mute(&self, id: IncidentId) -> Option<Mute> {
        let open = self.incidents.get(&id)?;
        let fires = open.fires();
        // What is over stays as it was: it makes no sound anyway.
        if fires == 0 {
            return open.incident.mute.clone();
        }
        if open.muted < fires {
            return None;
        }
        let firing =
            || open.alerts.iter().filter_map(|f| self.alerts.get(f)).filter(|k| k.alert.signal.firing);
        if open.silenced == fires {
            return firing().find_map(|k| k.silenced).map(|silence| Mute::Silenced { silence });
        }
        firing().find_map(|k| k.inhibited).map(|by| Mute::Inhibited { by })
    }

    /// Whether an incident is to be kept quiet otherwise than it is; what waits for the digest goes on waiting.
    pub(super) fn mute_differs(&self, id: IncidentId) -> bool {
        let Some(mute) = self.incidents.get(&id).map(|open| &open.incident.mute) else { return false };
        let wanted = self.wanted_mute(id);
        wanted != *mute && !(wanted.is_none() && *mute == Some(Mute::Quiet))
    }

    /// Looks anew which silence and which incident keep an alert quiet; whether that changed.
    pub(super) fn judge_alert(&mut self, fingerprint: Fingerprint, now: Timestamp) -> bool {
        let Some(known) = self.alerts.get(&fingerprint).filter(|k| k.alert.signal.firing) else {
            return false;
        };
        let Some(open) = self.incidents.get(&known.alert.incident) else { return false };
        let (labels, subject) = (&known.alert.signal.labels, &open.incident.subject);
        let holds = |kept: &&super::Kept| {
            kept.silence.starts_at <= now
                && now < kept.silence.ends_at
                && kept.conditions.hold(labels, subject)
        };
        let silenced = self.silences.values().find(holds).map(|kept| kept.silence.id);
        let inhibited = self.inhibitions.explains(known.alert.incident, labels, subject);
        let before = (known.silenced, known.inhibited);
        let id = known.alert.incident;
        if before == (silenced, inhibited) {
            return false;
        }
        if let Some(known) = self.alerts.get_mut(&fingerprint) {
            (known.silenced, known.inhibited) = (silenced, inhibited);
        }
        let Some(open) = self.incidents.get_mut(&id) else { return false };
        let differ = |n: usize, was: bool, is: bool| (n + usize::from(is)).saturating_sub(usize::from(was));
        open.silenced = differ(open.silenced, before.0.is_some(), silenced.is_some());
        let (was, is) = (before.0.is_some() || before.1.is_some(), silenced.is_some() || inhibited.is_some());
        open.muted = differ(open.muted, was, is);
        true
    }

    /// An alert fires or ceased to: who is explained by it is looked at again.
    pub(super) fn note_inhibition(&mut self, fingerprint: Fingerprint, fires: bool, work: &mut Work) {
        let Some(known) = self.alerts.get(&fingerprint) else { return };
        let id = known.alert.incident;
        let Some(open) = self.incidents.get(&id) else { return };
        let about = (&known.alert.signal.labels, &open.incident.subject);
        for concerned in self.inhibitions.note((id, fingerprint), about, fires) {
            if self.judge_alert(concerned, work.now)
                && let Some(other) = self.alerts.get(&concerned).map(|k| k.alert.incident)
            {
                self.settle(other, work);
            }
        }
    }

    /// All alerts are judged again, and the incidents settled whose alerts are kept quiet otherwise than before.
    pub(super) fn judge_all(&mut self, work: &mut Work) {
        let all: Vec<_> = self.alerts.keys().copied().collect();
        let mut changed = std::collections::BTreeSet::new();
        for fingerprint in all {
            if self.judge_alert(fingerprint, work.now)
                && let Some(known) = self.alerts.get(&fingerprint)
            {
                changed.insert(known.alert.incident);
            }
        }
        for id in changed {
            if self.mute_differs(id) {
                self.settle(id, work);
            }
        }
    }
}

/// Takes the worst of what fires; whether that is a reason to ring.
fn worse(incident: &mut Incident, worst: Severity, work: &mut Work) -> bool {
    let before = std::mem::replace(&mut incident.severity, worst);
    if worst <= before || incident.revision == 0 {
        return false;
    }
    work.event(incident.id, EventKind::Worse, format!("{worst}, after {before}"));
    if incident.state == IncidentState::Acked {
        (incident.state, incident.ack) = (IncidentState::Firing, None);
    }
    true
}

/// It has to be loud once more, now.
pub(super) fn ring(incident: &mut Incident, now: Timestamp) {
    incident.rings += 1;
    incident.due_at = Some(now);
}

pub(super) fn span(span: std::time::Duration) -> SignedDuration {
    SignedDuration::try_from(span).unwrap_or(SignedDuration::MAX)
}

pub(super) fn later(at: Timestamp, by: SignedDuration) -> Timestamp {
    at.checked_add(by).unwrap_or(Timestamp::MAX)
}
