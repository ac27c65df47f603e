//! Silences: when they begin and end, and which alerts they keep quiet.

use jiff::Timestamp;

use super::{Desk, timers::Timer, work::Work};
use crate::{
    alerts::matching::Conditions,
    domain::{Fingerprint, IncidentId, Labels, Silence, SilenceId, Subject},
};

/// A silence with its conditions, compiled once.
#[derive(Clone, Debug)]
pub(super) struct Hush {
    pub silence: Silence,
    conditions: Conditions,
    /// It has begun.
    active: bool,
}

impl Hush {
    pub(super) fn new(silence: Silence) -> Self {
        Self { conditions: Conditions::new(&silence.matchers), silence, active: false }
    }

    /// Whether it keeps an alert quiet now.
    pub(super) fn mutes(&self, labels: &Labels, subject: &Subject) -> bool {
        // Without conditions it would keep everything quiet.
        self.active && !self.conditions.is_empty() && self.conditions.hold(labels, subject)
    }
}

impl Desk {
    /// Puts a silence on the desk, new or in place of an older form.
    pub(super) fn put_silence(&mut self, silence: Silence, now: Timestamp, work: &mut Work) {
        let id = silence.id;
        self.lift_silence(id, work);
        work.silences.push(silence.clone());
        self.hushes.insert(id, Hush::new(silence));
        self.turn_silence(id, now, work);
    }

    /// Takes a silence off the desk.
    pub(super) fn lift_silence(&mut self, id: SilenceId, work: &mut Work) -> Option<Silence> {
        let hush = self.hushes.remove(&id)?;
        for (timer_at, timer) in
            [hush.silence.starts_at, hush.silence.ends_at].map(|at| (at, Timer::Silence(id)))
        {
            self.timers.change(timer, Some(timer_at), None);
        }
        let of_it = |_: &Labels, _: &Subject, silenced: Option<SilenceId>| silenced == Some(id);
        for (incident, fingerprint) in self.firing_where(of_it) {
            self.refresh_silence(incident, fingerprint);
            work.touch(incident);
        }
        Some(hush.silence)
    }

    /// A silence may begin or end.
    pub(super) fn turn_silence(&mut self, id: SilenceId, now: Timestamp, work: &mut Work) {
        let Some(hush) = self.hushes.get_mut(&id) else { return };
        if hush.silence.ends_at <= now {
            self.lift_silence(id, work);
            return;
        }
        if hush.silence.starts_at > now {
            self.timers.set(hush.silence.starts_at, Timer::Silence(id));
            return;
        }
        self.timers.set(hush.silence.ends_at, Timer::Silence(id));
        if std::mem::replace(&mut hush.active, true) {
            return;
        }
        let hush = hush.clone();
        let by_it = |labels: &Labels, subject: &Subject, silenced: Option<SilenceId>| {
            silenced.is_none_or(|other| other > id) && hush.mutes(labels, subject)
        };
        for (incident, fingerprint) in self.firing_where(by_it) {
            if let Some(case) = self.cases.get_mut(&incident) {
                case.edit(fingerprint, |held| held.silenced = Some(id));
                work.touch(incident);
            }
        }
    }

    /// Finds the oldest silence that keeps an alert quiet.
    pub(super) fn refresh_silence(&mut self, id: IncidentId, fingerprint: Fingerprint) {
        let Some(case) = self.cases.get_mut(&id) else { return };
        let Some(held) = case.alerts.get(&fingerprint) else { return };
        let (labels, subject) = (&held.alert.signal.labels, &case.incident.subject);
        let found = self.hushes.values().find(|hush| hush.mutes(labels, subject)).map(|hush| hush.silence.id);
        if found != held.silenced {
            case.edit(fingerprint, |held| held.silenced = found);
        }
    }

    fn firing_where(
        &self,
        wanted: impl Fn(&Labels, &Subject, Option<SilenceId>) -> bool,
    ) -> Vec<(IncidentId, Fingerprint)> {
        let mut found = Vec::new();
        for case in self.open_cases() {
            let (id, subject) = (case.incident.id, &case.incident.subject);
            let firing = case.alerts.iter().filter(|(_, held)| held.fires());
            let firing = firing.filter(|(_, h)| wanted(&h.alert.signal.labels, subject, h.silenced));
            found.extend(firing.map(|(fingerprint, _)| (id, *fingerprint)));
        }
        found
    }
}
