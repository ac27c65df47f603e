//! Time on the desk: what is due, what was kept over a restart, what leaves.

use jiff::{SignedDuration, Timestamp};

use super::{
    Desk, Restored,
    case::{Case, Held},
    inhibition::Rules,
    intake::sight,
    silences::Hush,
    timers::{Timer, after},
    work::Work,
};
use crate::domain::{Fingerprint, IncidentId, IncidentState, Mute};

/// How long a resolved incident stays, so that its last edit can be made.
const STAYS: std::time::Duration = std::time::Duration::from_secs(30 * 60);
/// So many resolved incidents stay at most.
const MOST_OVER: usize = 20_000;
/// So many of those that left are still told as changed.
const MOST_GONE: usize = 10_000;
/// An expiry that is found later than this means that the clock was set or the machine slept: the source could not repeat.
const PATIENCE: SignedDuration = SignedDuration::from_secs(60);
/// So long an alert that expires is waited for once more, at most.
const GRACE: SignedDuration = SignedDuration::from_mins(10);

impl Desk {
    /// Puts what was kept on the desk; it is settled when the time is known.
    pub(super) fn restore(&mut self, restored: Restored) {
        for incident in restored.incidents {
            let id = incident.id;
            self.last_incident = self.last_incident.max(id.0);
            if let Some(other) = self.by_key.insert(incident.key.clone(), id) {
                self.by_key.insert(incident.key.clone(), other.max(id));
            }
            if incident.state == IncidentState::Resolved {
                self.over.push_back(id);
            }
            let mut case = Case::new(incident);
            if case.incident.flapping {
                case.turns.push_back(case.incident.changed_at);
            }
            self.cases.insert(id, Box::new(case));
            self.note_change(id);
        }
        for alert in restored.alerts {
            let (id, fingerprint) = (alert.incident, alert.fingerprint);
            let Some(case) = self.cases.get_mut(&id) else { continue };
            let mut held = Held::new(alert);
            held.expired = true;
            if let Some(Mute::Inhibited { by }) = case.incident.mute {
                held.inhibited = Some(by);
            }
            case.put(Box::new(held));
            let last = self.by_alert.entry(fingerprint).or_insert(id);
            *last = id.max(*last);
        }
        for silence in restored.silences {
            self.last_silence = self.last_silence.max(silence.id.0);
            self.hushes.insert(silence.id, Hush::new(silence));
        }
    }

    /// Does what is due.
    pub(super) fn pass(&mut self, now: Timestamp) -> Work {
        let mut work = Work::default();
        self.unsettled |= self.seen.duration_since(now) > PATIENCE;
        self.seen = now;
        if self.unsettled {
            self.look_again(now, &mut work);
        }
        while let Some(timer) = self.timers.due(now) {
            match timer {
                Timer::Silence(id) => self.turn_silence(id, now, &mut work),
                Timer::Alert(fingerprint) => self.expire(fingerprint, now, &mut work),
                Timer::Incident(id) => {
                    if let Some(case) = self.cases.get_mut(&id) {
                        case.wakes = None;
                        work.touch(id);
                    }
                }
                Timer::Leaves(id) => self.drop_case(id),
            }
        }
        work
    }

    /// Looks at everything: after a restart, and with other settings.
    fn look_again(&mut self, now: Timestamp, work: &mut Work) {
        self.unsettled = false;
        self.rules = Rules::new(&self.settings.inhibit);
        if std::mem::take(&mut self.restarted) {
            for id in self.hushes.keys().copied().collect::<Vec<_>>() {
                self.turn_silence(id, now, work);
            }
            self.over.iter().for_each(|id| self.timers.set(after(now, STAYS), Timer::Leaves(*id)));
            self.put_expiries_off(now);
        }
        for (id, case) in self.cases.iter().filter(|(_, case)| case.is_open()) {
            let recovers = case.incident.state == IncidentState::Recovering;
            for (fingerprint, held) in &case.alerts {
                let fires = held.fires();
                // What was over last explains until its incident is over.
                let counts = fires || recovers && held.alert.seen_at >= case.incident.changed_at;
                if let Some(sight) = sight(case, *fingerprint).filter(|_| counts) {
                    self.rules.add(sight);
                }
                if fires {
                    work.recheck.push_back(*fingerprint);
                }
            }
            work.touch(*id);
        }
    }

    /// While the daemon was down nothing could be reported again: what expires gets its time anew.
    fn put_expiries_off(&mut self, now: Timestamp) {
        let alerts = self.cases.values_mut().flat_map(|case| case.alerts.values_mut());
        for held in alerts.filter(|held| held.fires()) {
            if let Some(at) = put_off(held, now) {
                held.expires = Some(at);
                self.timers.set(at, Timer::Alert(held.alert.fingerprint));
            }
        }
    }

    fn expire(&mut self, fingerprint: Fingerprint, now: Timestamp, work: &mut Work) {
        let Some(id) = self.by_alert.get(&fingerprint).copied() else { return };
        let held = self.cases.get_mut(&id).and_then(|case| case.alerts.get_mut(&fingerprint));
        let Some(held) = held else { return };
        held.expires = held.expires.filter(|at| *at > now);
        let Some(at) = held.alert.signal.ends_at.filter(|_| held.fires()) else { return };
        if at <= now && !held.graced && now.duration_since(at) > PATIENCE {
            held.graced = true;
            put_off(held, now);
        } else if at <= now {
            held.expired = true;
            return self.leave(id, fingerprint, at, now, work);
        }
        self.watch_expiry(id, fingerprint);
    }

    /// An incident was resolved: it stays for a while.
    pub(super) fn retire(&mut self, id: IncidentId, now: Timestamp) {
        self.over.push_back(id);
        self.timers.set(after(now, STAYS), Timer::Leaves(id));
        while self.over.len() > MOST_OVER
            && let Some(oldest) = self.over.front().copied()
        {
            self.drop_case(oldest);
        }
    }

    pub(super) fn drop_case(&mut self, id: IncidentId) {
        if let Some(place) = self.over.iter().position(|over| *over == id) {
            self.over.remove(place);
        }
        let Some(case) = self.cases.remove(&id) else { return };
        for fingerprint in case.alerts.keys() {
            if self.by_alert.get(fingerprint) == Some(&id) {
                self.by_alert.remove(fingerprint);
            }
        }
        if self.by_key.get(&case.incident.key) == Some(&id) {
            self.by_key.remove(&case.incident.key);
        }
        self.changed.remove(&case.seq);
        self.seq += 1;
        self.changed.insert(self.seq, id);
        self.gone.push_back((self.seq, id));
        if self.gone.len() > MOST_GONE
            && let Some((seq, _)) = self.gone.pop_front()
        {
            self.changed.remove(&seq);
        }
    }
}

/// Gives an alert the time anew in which its source repeats it; none for one that does not expire.
fn put_off(held: &mut Held, now: Timestamp) -> Option<Timestamp> {
    let old = held.alert.signal.ends_at?;
    let span = old.duration_since(held.alert.seen_at).clamp(PATIENCE, GRACE);
    let new = now.checked_add(span).unwrap_or(Timestamp::MAX).max(old);
    held.alert.signal.ends_at = Some(new);
    Some(new)
}
