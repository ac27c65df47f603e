//! A signal comes in: it repeats what is known, begins something, or ends it.

use jiff::Timestamp;

use super::{Desk, Known, Open, timers::Timer, work::Work};
use crate::{
    alerts::{
        Incoming,
        group::{WATCHDOG, key, severity},
    },
    domain::{Alert, EventKind, Fingerprint, Incident, IncidentId, IncidentState, Severity, Signal, Subject},
};

impl Desk {
    pub(super) fn take(&mut self, incoming: Incoming, work: &mut Work) {
        let Incoming { signal, subject } = incoming;
        if signal.labels.get("alertname").is_some_and(|name| name == WATCHDOG) {
            return;
        }
        let fingerprint = Fingerprint::of(&signal.labels);
        let over = !signal.firing || signal.ends_at.is_some_and(|at| at <= work.now);
        let known = self.alerts.get(&fingerprint).map(|known| known.alert.signal.firing);
        match (known, over) {
            (Some(true), false) => self.repeats(fingerprint, signal, work.now),
            (Some(false) | None, false) => self.fires(fingerprint, signal, subject, work),
            (Some(true), true) => self.told_over(fingerprint, &signal, work),
            // Over, and nothing of it fires here.
            (Some(false) | None, true) => {}
        }
    }

    /// Only what moves: the words with their figures, and when it expires.
    fn repeats(&mut self, fingerprint: Fingerprint, signal: Signal, now: Timestamp) {
        let Some(known) = self.alerts.get_mut(&fingerprint) else { return };
        known.alert.seen_at = now;
        if let Some(until) = signal.ends_at {
            if known.expires.is_none() {
                self.timers.set(until, Timer::Expires(fingerprint));
            }
            known.expires = known.expires.max(Some(until));
        }
        let kept = &mut known.alert.signal;
        if signal.value.is_some() {
            kept.value = signal.value;
        }
        if kept.annotations != signal.annotations {
            kept.annotations = signal.annotations;
        }
        if signal.excerpt.is_some() {
            kept.excerpt = signal.excerpt;
        }
    }

    fn fires(&mut self, fingerprint: Fingerprint, signal: Signal, subject: Subject, work: &mut Work) {
        let severity = severity(&signal.labels);
        let id = self.incident_for(key(&self.settings, &signal, &subject), subject, severity, work);
        let name =
            signal.labels.get("alertname").cloned().unwrap_or_else(|| "an alert without a name".into());
        let expires = signal.ends_at;
        if let Some(until) = expires {
            self.timers.set(until, Timer::Expires(fingerprint));
        }
        let before = self.alerts.remove(&fingerprint).map(|known| known.alert.incident);
        if let Some(other) = before.filter(|other| *other != id)
            && let Some(open) = self.incidents.get_mut(&other)
        {
            open.alerts.retain(|f| *f != fingerprint);
        }
        let signal = Signal { firing: true, ..signal };
        let alert = Alert { fingerprint, incident: id, signal, severity, seen_at: work.now };
        self.alerts.insert(fingerprint, Known { alert, expires, silenced: None, inhibited: None });
        let Some(open) = self.incidents.get_mut(&id) else { return };
        let first = open.alerts.is_empty();
        if before != Some(id) {
            open.alerts.push(fingerprint);
        }
        open.count(severity, 1);
        if !first {
            work.event(id, EventKind::Joined, format!("{name} fires"));
        }
        work.alert(fingerprint);
        self.note_inhibition(fingerprint, true, work);
        self.judge_alert(fingerprint, work.now);
        self.settle(id, work);
    }

    /// The open incident with this key, the one that flaps with it, or a new one.
    fn incident_for(
        &mut self,
        key: String,
        subject: Subject,
        severity: Severity,
        work: &mut Work,
    ) -> IncidentId {
        let known = self.by_key.get(&key).and_then(|id| self.incidents.get(id));
        if let Some(open) = known {
            let (changes, _) = self.settings.flapping;
            let id = open.incident.id;
            let flaps = open.incident.flapping || self.turns_of(id, work.now) + 1 >= changes;
            if open.incident.state != IncidentState::Resolved || flaps {
                if let Some(open) = self.incidents.get_mut(&id)
                    && open.incident.subject.host.is_none()
                {
                    open.incident.subject.host = subject.host;
                }
                return id;
            }
        }
        self.last_incident += 1;
        let id = IncidentId(self.last_incident);
        let incident = Incident {
            id,
            key: key.clone(),
            subject,
            severity,
            state: IncidentState::Firing,
            mute: None,
            flapping: false,
            ack: None,
            opened_at: work.now,
            changed_at: work.now,
            resolved_at: None,
            due_at: None,
            rings: 0,
            step: 0,
            revision: 0,
            findings: Vec::new(),
        };
        self.incidents.insert(id, Open::new(incident));
        self.by_key.insert(key, id);
        id
    }

    /// A source says that it is over. What it says of an older firing than the one that is known counts for nothing.
    fn told_over(&mut self, fingerprint: Fingerprint, signal: &Signal, work: &mut Work) {
        let Some(known) = self.alerts.get(&fingerprint) else { return };
        let at = signal.ends_at.unwrap_or(work.now);
        if at < known.alert.signal.starts_at {
            return;
        }
        self.ends(fingerprint, at.min(work.now), work);
    }

    pub(super) fn ends(&mut self, fingerprint: Fingerprint, at: Timestamp, work: &mut Work) {
        self.note_inhibition(fingerprint, false, work);
        let Some(known) = self.alerts.get_mut(&fingerprint) else { return };
        let signal = &mut known.alert.signal;
        (signal.firing, signal.ends_at, known.expires) = (false, Some(at), None);
        let (silenced, inhibited) = (known.silenced.take(), known.inhibited.take());
        let (id, severity) = (known.alert.incident, known.alert.severity);
        let name = signal.labels.get("alertname").cloned().unwrap_or_default();
        if let Some(open) = self.incidents.get_mut(&id) {
            open.count(severity, -1);
            open.silenced -= usize::from(silenced.is_some());
            open.muted -= usize::from(silenced.is_some() || inhibited.is_some());
            if open.fires() > 0 {
                work.event(id, EventKind::Left, format!("{name} is over"));
            }
        }
        work.alert(fingerprint);
        self.settle(id, work);
    }
}
