//! Signals in: which are news, and of which incident.

use jiff::{SignedDuration, Timestamp};

use super::{
    Desk, MOST_ALERTS,
    case::{Case, Held},
    inhibition::{Part, Sight},
    timers::Timer,
    work::Work,
};
use crate::{
    alerts::{Incoming, group},
    domain::{Alert, Fingerprint, Incident, IncidentId, IncidentState, Labels, Signal, Subject},
};

/// A report of a firing that is known to be over counts as late for so long; then it is news.
const LATE: SignedDuration = SignedDuration::from_secs(60);
/// Changed words of an alert are written at most this often.
const REWORD: SignedDuration = SignedDuration::from_secs(60);
/// An incident keeps so many alerts that are over; twice as many are cut down to them.
const KEPT_OVER: usize = 100;

impl Desk {
    /// Takes one signal in.
    pub(super) fn take(&mut self, incoming: Incoming, now: Timestamp, work: &mut Work) {
        let Incoming { mut signal, subject } = incoming;
        if signal.labels.get("alertname").is_some_and(|name| name == group::WATCHDOG) {
            return;
        }
        signal.firing &= signal.ends_at.is_none_or(|at| at > now);
        let fingerprint = Fingerprint::of(&signal.labels);
        let known = self.by_alert.get(&fingerprint).copied();
        let case = known.and_then(|id| self.cases.get_mut(&id));
        let held = case.and_then(|case| Some((case.is_open(), case.alerts.get_mut(&fingerprint)?)));
        match held {
            Some((_, held)) if held.fires() && signal.firing => {
                let id = held.alert.incident;
                if repeat(held, signal, now) {
                    work.alerts.insert((id, fingerprint));
                    work.touch(id).changed = true;
                }
                self.watch_expiry(id, fingerprint);
            }
            Some((_, held)) if held.fires() => {
                let id = held.alert.incident;
                if !is_older(held, &signal) {
                    self.leave(id, fingerprint, signal.ends_at.unwrap_or(now).min(now), now, work);
                }
            }
            Some((_, held)) if signal.firing && is_late(held, &signal, now) => {}
            Some((true, held)) if signal.firing => {
                let id = held.alert.incident;
                self.join(id, fingerprint, signal, now, work);
            }
            _ if signal.firing => self.begin(fingerprint, signal, subject, now, work),
            _ => {}
        }
    }

    /// An alert that no open incident has begins to fire.
    fn begin(
        &mut self,
        fingerprint: Fingerprint,
        signal: Signal,
        subject: Subject,
        now: Timestamp,
        work: &mut Work,
    ) {
        if self.by_alert.len() >= MOST_ALERTS {
            self.dropped += 1;
            return;
        }
        let key = group::key(&self.settings, &signal.labels, &subject);
        let last = self.by_key.get(&key).copied();
        let id = match last.and_then(|id| self.cases.get(&id)) {
            Some(case) if case.is_open() => {
                let id = case.incident.id;
                let hosts = (&case.incident.subject.host, &subject.host);
                if matches!(hosts, (Some(one), Some(other)) if one != other) {
                    self.leave_host(id, work);
                }
                id
            }
            before => {
                let turns = before.map(|case| case.turns.clone()).unwrap_or_default();
                let id = self.open_case(key, subject, &signal.labels, now);
                if let Some(case) = self.cases.get_mut(&id) {
                    case.turns = turns;
                }
                work.touch(id).opened = true;
                id
            }
        };
        self.join(id, fingerprint, signal, now, work);
    }

    fn open_case(&mut self, key: String, subject: Subject, labels: &Labels, now: Timestamp) -> IncidentId {
        self.last_incident += 1;
        let id = IncidentId(self.last_incident);
        let incident = Incident {
            id,
            key: key.clone(),
            subject,
            severity: group::severity(labels),
            state: IncidentState::Firing,
            mute: None,
            flapping: false,
            ack: None,
            opened_at: now,
            changed_at: now,
            resolved_at: None,
            due_at: None,
            rings: 0,
            step: 0,
            revision: 0,
            findings: Vec::new(),
        };
        self.cases.insert(id, Box::new(Case::new(incident)));
        self.by_key.insert(key, id);
        id
    }

    /// An alert of an open incident begins to fire.
    fn join(
        &mut self,
        id: IncidentId,
        fingerprint: Fingerprint,
        signal: Signal,
        now: Timestamp,
        work: &mut Work,
    ) {
        let severity = group::severity(&signal.labels);
        let alert = Alert { fingerprint, incident: id, signal, severity, seen_at: now };
        let Some(case) = self.cases.get_mut(&id) else { return };
        let mut held = Held::new(alert);
        held.silenced = self
            .hushes
            .values()
            .find(|hush| hush.mutes(&held.alert.signal.labels, &case.incident.subject))
            .map(|hush| hush.silence.id);
        let worst = case.worst;
        case.put(Box::new(held));
        self.by_alert.insert(fingerprint, id);
        work.alerts.insert((id, fingerprint));
        let touch = work.touch(id);
        touch.joined.push(fingerprint);
        touch.worst.get_or_insert(worst);
        self.watch_expiry(id, fingerprint);
        self.register(id, fingerprint, work);
    }

    /// Adds an alert that fires to the rules of what explains what.
    pub(super) fn register(&mut self, id: IncidentId, fingerprint: Fingerprint, work: &mut Work) {
        let Some(case) = self.cases.get(&id) else { return };
        let Some(sight) = sight(case, fingerprint) else { return };
        // Itself first: of two that explain each other the older one stays loud.
        let others = self.rules.add(sight);
        work.recheck.push_back(fingerprint);
        work.recheck.extend(others);
    }

    /// Takes an alert out of these rules.
    pub(super) fn unregister(
        &mut self,
        id: IncidentId,
        fingerprint: Fingerprint,
        part: Part,
        work: &mut Work,
    ) {
        let Some(case) = self.cases.get(&id) else { return };
        let Some(sight) = sight(case, fingerprint) else { return };
        work.recheck.extend(self.rules.remove(sight, part));
    }

    /// The incident is on more than one host: no single one explains it.
    fn leave_host(&mut self, id: IncidentId, work: &mut Work) {
        let alerts: Vec<_> =
            self.cases.get(&id).map(|c| c.alerts.keys().copied().collect()).unwrap_or_default();
        for fingerprint in &alerts {
            self.unregister(id, *fingerprint, Part::Source, work);
            self.unregister(id, *fingerprint, Part::Target, work);
        }
        let Some(case) = self.cases.get_mut(&id) else { return };
        case.incident.subject.host = None;
        work.touch(id).changed = true;
        for fingerprint in alerts {
            self.refresh_silence(id, fingerprint);
            if self.fires(id, fingerprint) {
                self.register(id, fingerprint, work);
            }
        }
    }

    fn fires(&self, id: IncidentId, fingerprint: Fingerprint) -> bool {
        self.cases.get(&id).and_then(|case| case.alerts.get(&fingerprint)).is_some_and(|held| held.fires())
    }

    /// An alert is over since `at`.
    pub(super) fn leave(
        &mut self,
        id: IncidentId,
        fingerprint: Fingerprint,
        at: Timestamp,
        now: Timestamp,
        work: &mut Work,
    ) {
        self.unregister(id, fingerprint, Part::Target, work);
        let Some(case) = self.cases.get_mut(&id) else { return };
        case.edit(fingerprint, |held| {
            held.alert.signal.firing = false;
            held.alert.signal.ends_at = Some(at);
            held.alert.seen_at = now;
        });
        work.alerts.insert((id, fingerprint));
        work.touch(id).left.push(fingerprint);
    }

    /// Forgets the oldest of too many alerts of an incident that are over while it goes on.
    pub(super) fn trim(&mut self, id: IncidentId) {
        let Some(case) = self.cases.get_mut(&id).filter(|case| case.firing() > 0) else { return };
        let over = case.alerts.len().saturating_sub(case.firing() as usize);
        if over <= 2 * KEPT_OVER {
            return;
        }
        let alerts = case.alerts.values().filter(|held| !held.fires()).map(|held| &held.alert);
        let mut old: Vec<_> = alerts.map(|alert| (alert.seen_at, alert.fingerprint)).collect();
        old.sort_unstable();
        for (_, fingerprint) in old.into_iter().take(over - KEPT_OVER) {
            case.remove(fingerprint);
            if self.by_alert.get(&fingerprint) == Some(&id) {
                self.by_alert.remove(&fingerprint);
            }
        }
    }

    /// Sets the deadline of an alert that expires.
    pub(super) fn watch_expiry(&mut self, id: IncidentId, fingerprint: Fingerprint) {
        let held = self.cases.get_mut(&id).and_then(|case| case.alerts.get_mut(&fingerprint));
        let Some((held, at)) = held.and_then(|held| {
            let at = held.alert.signal.ends_at?;
            Some((held, at))
        }) else {
            return;
        };
        // A later one is seen when the earlier one comes.
        if held.expires.is_none_or(|set| at < set) {
            self.timers.change(Timer::Alert(fingerprint), held.expires, Some(at));
            held.expires = Some(at);
        }
    }
}

/// An alert as the rules see it.
pub(super) fn sight(case: &Case, fingerprint: Fingerprint) -> Option<Sight<'_>> {
    let labels = &case.alerts.get(&fingerprint)?.alert.signal.labels;
    Some(Sight { fingerprint, incident: case.incident.id, labels, subject: &case.incident.subject })
}

/// Whether the end that a signal reports is that of an earlier firing than the one that is known.
fn is_older(held: &Held, signal: &Signal) -> bool {
    signal.starts_at < held.began && signal.ends_at.is_some_and(|at| at < held.began)
}

/// Whether a report of a firing was overtaken by the report of its end.
fn is_late(held: &Held, signal: &Signal, now: Timestamp) -> bool {
    let age = now.duration_since(held.alert.seen_at);
    signal.starts_at <= held.began && !held.expired && age < LATE && age >= SignedDuration::ZERO
}

/// Takes in what is reported again; whether that has to be written.
fn repeat(held: &mut Held, signal: Signal, now: Timestamp) -> bool {
    let (old, new) = (&mut held.alert.signal, signal);
    held.alert.seen_at = now;
    held.began = held.began.max(new.starts_at);
    held.graced = false;
    // Of two sources the one that sees it longer counts.
    old.ends_at = if old.source == new.source {
        new.ends_at
    } else {
        old.ends_at.zip(new.ends_at).map(|(a, b)| a.max(b))
    };
    old.value = new.value.or(old.value);
    if old.source == new.source {
        held.unwritten |= old.annotations != new.annotations
            || old.generator_url != new.generator_url
            || (new.excerpt.is_some() && old.excerpt != new.excerpt);
        (old.annotations, old.generator_url) = (new.annotations, new.generator_url);
        old.excerpt = new.excerpt.or_else(|| old.excerpt.take());
    }
    let age = now.duration_since(held.worded_at);
    if !held.unwritten || (age < REWORD && age >= SignedDuration::ZERO) {
        return false;
    }
    (held.unwritten, held.worded_at) = (false, now);
    true
}
