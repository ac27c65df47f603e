//! Time passes, and what was kept wakes up.

use super::{
    Desk, GRACE, Kept, Known, Open, Restored, STAYS,
    settle::{later, ring, span},
    timers::Timer,
    work::Work,
};
use crate::{
    alerts::matching::Conditions,
    domain::{EventKind, Fingerprint, IncidentId, IncidentState, Severity, SilenceId},
};

impl Desk {
    pub(super) fn restore(&mut self, restored: Restored) {
        for silence in restored.silences {
            self.last_silence = self.last_silence.max(silence.id.0);
            self.timers.set(silence.starts_at, Timer::Silence(silence.id));
            self.timers.set(silence.ends_at, Timer::Silence(silence.id));
            let conditions = Conditions::new(&silence.matchers);
            self.silences.insert(silence.id, Kept { silence, conditions });
        }
        for incident in restored.incidents {
            self.last_incident = self.last_incident.max(incident.id.0);
            self.by_key.insert(incident.key.clone(), incident.id);
            self.incidents.insert(incident.id, Open::new(incident));
        }
        for alert in restored.alerts {
            let Some(open) = self.incidents.get_mut(&alert.incident) else { continue };
            let (fingerprint, firing) = (alert.fingerprint, alert.signal.firing);
            open.alerts.push(fingerprint);
            if firing {
                open.count(alert.severity, 1);
                let who = (alert.incident, fingerprint);
                drop(self.inhibitions.note(who, (&alert.signal.labels, &open.incident.subject), true));
            }
            let expires = alert.signal.ends_at.filter(|_| firing);
            self.alerts.insert(fingerprint, Known { alert, expires, silenced: None, inhibited: None });
        }
        let ids: Vec<_> = self.incidents.keys().copied().collect();
        for id in ids {
            self.seq += 1;
            self.touched.insert(self.seq, id);
            if let Some(open) = self.incidents.get_mut(&id) {
                open.touched = self.seq;
            }
        }
    }

    /// The first look at the clock after what was kept was read, or after rules changed.
    pub(super) fn wake(&mut self, work: &mut Work) {
        if std::mem::replace(&mut self.awake, true) {
            return;
        }
        let until = later(work.now, GRACE);
        for known in self.alerts.values_mut() {
            if let Some(expires) = &mut known.expires {
                *expires = (*expires).max(until);
                self.timers.set(*expires, Timer::Expires(known.alert.fingerprint));
            }
        }
        let ladder = self.settings.ladder.clone();
        for (id, open) in &self.incidents {
            let i = &open.incident;
            let mut set = |at, timer| self.timers.set(at, timer);
            match i.state {
                IncidentState::Recovering => {
                    set(later(i.changed_at, span(self.settings.hold_down)), Timer::Holds(*id))
                }
                IncidentState::Resolved => set(later(i.changed_at, STAYS), Timer::Leaves(*id)),
                IncidentState::Firing | IncidentState::Acked => {}
            }
            if let Some(until) = i.ack.as_ref().and_then(|ack| ack.until) {
                set(until, Timer::Lapses(*id));
            }
            if let (Some(due), Some(after)) = (i.due_at, ladder.get(i.step as usize + 1)) {
                set(later(due, span(*after)), Timer::Climbs(*id));
            }
            if i.flapping {
                set(later(i.changed_at, span(self.settings.flapping.1)), Timer::Calms(*id));
            }
        }
        self.judge_all(work);
        // What was kept quiet by a silence that is gone is judged by nothing above.
        let loud: Vec<_> =
            self.incidents.values().filter(|o| o.incident.mute.is_some()).map(|o| o.incident.id).collect();
        for id in loud {
            if self.mute_differs(id) {
                self.settle(id, work);
            }
        }
        // Nothing of it fires, and no row says that: the daemon died between two.
        let over: Vec<_> =
            self.incidents.values().filter(|o| o.fires() == 0).map(|o| o.incident.id).collect();
        for id in over {
            if self.incidents.get(&id).is_some_and(|o| is_open(o.incident.state)) {
                self.settle(id, work);
            }
        }
    }

    pub(super) fn pass_time(&mut self, work: &mut Work) {
        while let Some(timer) = self.timers.due(work.now) {
            match timer {
                Timer::Expires(alert) => self.expires(alert, work),
                Timer::Holds(id) => self.holds(id, work),
                Timer::Lapses(id) => self.lapses(id, work),
                Timer::Climbs(id) => self.climbs(id, work),
                Timer::Calms(id) => self.calms(id, work),
                Timer::Leaves(id) => self.leaves(id, work),
                Timer::Silence(id) => self.silence_turns(id, work),
            }
        }
    }

    fn expires(&mut self, alert: Fingerprint, work: &mut Work) {
        let Some(expires) = self.alerts.get(&alert).and_then(|known| known.expires) else { return };
        if expires <= work.now {
            self.ends(alert, expires, work);
        } else {
            self.timers.set(expires, Timer::Expires(alert));
        }
    }

    fn holds(&mut self, id: IncidentId, work: &mut Work) {
        let hold_down = span(self.settings.hold_down);
        let Some(open) = self.incidents.get_mut(&id) else { return };
        let incident = &mut open.incident;
        if incident.state != IncidentState::Recovering {
            return;
        }
        let at = later(incident.changed_at, hold_down);
        if at > work.now {
            return self.timers.set(at, Timer::Holds(id));
        }
        (incident.state, incident.changed_at) = (IncidentState::Resolved, work.now);
        incident.resolved_at = Some(work.now);
        work.event(id, EventKind::Resolved, "it is over");
        self.timers.set(later(work.now, STAYS), Timer::Leaves(id));
        self.touch(id, work);
    }

    fn lapses(&mut self, id: IncidentId, work: &mut Work) {
        let Some(open) = self.incidents.get_mut(&id) else { return };
        let fires = open.fires() > 0;
        let incident = &mut open.incident;
        let lapsed = incident.ack.as_ref().and_then(|ack| ack.until).is_some_and(|until| until <= work.now);
        if !lapsed || incident.state != IncidentState::Acked || !fires {
            return;
        }
        incident.ack = None;
        (incident.state, incident.changed_at) = (IncidentState::Firing, work.now);
        if incident.mute.is_none() {
            ring(incident, work.now);
        }
        work.event(id, EventKind::Lapsed, "the acknowledgement lapsed, and it still fires");
        if let Some(after) = self.settings.ladder.get(1) {
            self.timers.set(later(work.now, span(*after)), Timer::Climbs(id));
        }
        self.touch(id, work);
    }

    fn climbs(&mut self, id: IncidentId, work: &mut Work) {
        let Some(open) = self.incidents.get_mut(&id) else { return };
        let incident = &mut open.incident;
        let next = incident.step as usize + 1;
        let (Some(due), Some(after)) = (incident.due_at, self.settings.ladder.get(next)) else { return };
        if incident.state != IncidentState::Firing
            || incident.severity < Severity::Critical
            || incident.mute.is_some()
        {
            return;
        }
        let at = later(due, span(*after));
        if at > work.now {
            return self.timers.set(at, Timer::Climbs(id));
        }
        incident.step += 1;
        // Not `ring`: the ladder is counted from the first page on.
        incident.rings += 1;
        work.event(id, EventKind::Escalated, format!("nobody answered: step {next} of the ladder is paged"));
        if let Some(after) = self.settings.ladder.get(next + 1) {
            self.timers.set(later(due, span(*after)), Timer::Climbs(id));
        }
        self.touch(id, work);
    }

    fn calms(&mut self, id: IncidentId, work: &mut Work) {
        let within = span(self.settings.flapping.1);
        let Some(open) = self.incidents.get_mut(&id) else { return };
        while open.turns.front().is_some_and(|at| work.now.duration_since(*at) >= within) {
            open.turns.pop_front();
        }
        if open.incident.flapping && open.turns.is_empty() {
            open.incident.flapping = false;
            work.event(id, EventKind::Flapping, "it has been still for a while");
            self.touch(id, work);
        }
    }

    fn leaves(&mut self, id: IncidentId, work: &mut Work) {
        let Some(open) = self.incidents.get(&id) else { return };
        let at = later(open.incident.changed_at, STAYS);
        if open.incident.state != IncidentState::Resolved {
            return;
        }
        if at > work.now {
            return self.timers.set(at, Timer::Leaves(id));
        }
        let Some(open) = self.incidents.remove(&id) else { return };
        for fingerprint in &open.alerts {
            if self.alerts.get(fingerprint).is_some_and(|known| known.alert.incident == id) {
                self.alerts.remove(fingerprint);
            }
        }
        if self.by_key.get(&open.incident.key) == Some(&id) {
            self.by_key.remove(&open.incident.key);
        }
        // Whoever follows changes hears that it is gone.
        self.touched.remove(&open.touched);
        self.seq += 1;
        self.touched.insert(self.seq, id);
        self.gone.push_back(self.seq);
        if self.gone.len() > GONE
            && let Some(seq) = self.gone.pop_front()
        {
            self.touched.remove(&seq);
        }
    }

    fn silence_turns(&mut self, id: SilenceId, work: &mut Work) {
        if self.silences.get(&id).is_some_and(|kept| kept.silence.ends_at <= work.now) {
            self.silences.remove(&id);
        }
        self.judge_all(work);
    }
}

/// So many incidents that left the desk are told to whoever follows changes.
const GONE: usize = 2_000;

fn is_open(state: IncidentState) -> bool {
    matches!(state, IncidentState::Firing | IncidentState::Acked)
}
