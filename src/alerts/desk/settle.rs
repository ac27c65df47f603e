//! What becomes of one incident after its alerts or the time changed: its state, its severity, whether it is quiet, whether it rings.

use jiff::Timestamp;

use super::{
    Desk,
    case::Case,
    inhibition::Part,
    timers::{Timer, after},
    words,
    work::{Touch, Work},
};
use crate::{
    alerts::Settings,
    domain::{EventKind, Fingerprint, IncidentEvent, IncidentId, IncidentState, Mute, Severity},
};

impl Desk {
    /// Brings an incident up to what its alerts and the time say.
    pub(super) fn settle(&mut self, id: IncidentId, touch: &Touch, now: Timestamp, work: &mut Work) {
        let Some(case) = self.cases.get_mut(&id) else { return };
        if !case.is_open() {
            if touch.changed {
                case.incident.revision += 1;
                work.incidents.insert(id);
            }
            return;
        }
        let recovered = case.incident.state == IncidentState::Recovering;
        let (settings, events) = (&self.settings, &mut work.events);
        let mut settling =
            Settling { case, touch, settings, now, events, changed: touch.changed, rung: false };
        settling.run();
        if settling.changed {
            case.incident.revision += 1;
            work.incidents.insert(id);
        }
        let wakes = case.is_open().then(|| next_deadline(case, settings)).flatten();
        self.timers.change(Timer::Incident(id), case.wakes, wakes);
        case.wakes = wakes;
        let explains_no_more = sources_lost(case, touch, recovered);
        let resolved = !case.is_open();
        for fingerprint in explains_no_more {
            self.unregister(id, fingerprint, Part::Source, work);
        }
        if resolved {
            self.retire(id, now);
        }
    }
}

/// The alerts that no longer explain others. What was over last still does until its incident is over, so that what it explained
/// has time to be over as well.
fn sources_lost(case: &Case, touch: &Touch, recovered: bool) -> Vec<Fingerprint> {
    let over = |f: &Fingerprint| case.alerts.get(f).is_some_and(|held| !held.fires());
    if !case.is_open() || (recovered && case.firing() > 0) {
        case.alerts.keys().copied().filter(over).collect()
    } else if case.firing() > 0 {
        touch.left.iter().copied().filter(over).collect()
    } else {
        Vec::new()
    }
}

/// When the incident has to be looked at again.
fn next_deadline(case: &Case, settings: &Settings) -> Option<Timestamp> {
    let incident = &case.incident;
    let state = match incident.state {
        IncidentState::Recovering => Some(resolves_at(case, settings)),
        IncidentState::Acked => incident.ack.as_ref().and_then(|ack| ack.until),
        IncidentState::Firing if may_climb(case) => {
            let step = settings.ladder.get(incident.step as usize + 1);
            incident.due_at.zip(step).map(|(due, wait)| after(due, *wait))
        }
        IncidentState::Firing | IncidentState::Resolved => None,
    };
    let calms = incident.flapping.then(|| calms_at(case, settings)).flatten();
    [state, calms].into_iter().flatten().min()
}

fn may_climb(case: &Case) -> bool {
    let incident = &case.incident;
    incident.severity == Severity::Critical && incident.mute.is_none() && !incident.flapping
}

fn calms_at(case: &Case, settings: &Settings) -> Option<Timestamp> {
    Some(after(*case.turns.back()?, settings.flapping.1))
}

fn resolves_at(case: &Case, settings: &Settings) -> Timestamp {
    let (since, (_, still)) = (case.incident.changed_at, settings.flapping);
    // One that comes and goes is not over, and so not new again, before it was still.
    after(since, if case.incident.flapping { settings.hold_down.max(still) } else { settings.hold_down })
}

struct Settling<'a> {
    case: &'a mut Case,
    touch: &'a Touch,
    settings: &'a Settings,
    now: Timestamp,
    events: &'a mut Vec<IncidentEvent>,
    /// The card shows something else.
    changed: bool,
    /// It has to ring.
    rung: bool,
}

impl Settling<'_> {
    fn run(&mut self) {
        self.rebase();
        self.tell();
        let again = self.turn();
        self.weigh();
        let unmuted = self.mute(again);
        self.lapse();
        self.flap();
        self.resolve();
        self.page(unmuted);
        self.climb();
        if self.rung {
            self.case.incident.rings += 1;
            self.changed = true;
        }
    }

    /// After the clock was set back nothing waits for the time that it showed before.
    fn rebase(&mut self) {
        let (now, incident) = (self.now, &mut self.case.incident);
        let (first, lapses) = (after(now, self.settings.group_wait), after(now, self.settings.ack_lifetime));
        let until = incident.ack.as_mut().and_then(|ack| ack.until.as_mut());
        let mut pull = |at: Option<&mut Timestamp>, latest: Timestamp, to: Timestamp| {
            if let Some(at) = at.filter(|at| **at > latest) {
                *at = to;
                self.changed = true;
            }
        };
        pull(incident.due_at.as_mut(), first, now);
        pull(until, lapses, lapses);
        pull(Some(&mut incident.changed_at), now, now);
        self.case.turns.iter_mut().for_each(|at| *at = now.min(*at));
    }

    fn event(&mut self, kind: EventKind, text: impl Into<String>) {
        let incident = self.case.incident.id;
        self.events.push(IncidentEvent { incident, at: self.now, kind, text: text.into() });
        self.changed = true;
    }

    fn enter(&mut self, state: IncidentState) {
        (self.case.incident.state, self.case.incident.changed_at) = (state, self.now);
        self.changed = true;
    }

    fn note_turn(&mut self) {
        if self.case.turns.back() == Some(&self.now) {
            return;
        }
        self.case.turns.push_back(self.now);
        while self.case.turns.len() > self.settings.flapping.0.max(1) {
            self.case.turns.pop_front();
        }
    }

    fn tell(&mut self) {
        let Touch { opened, joined, left, .. } = self.touch;
        if *opened {
            let text = format!("began: {}", words::names(self.case, joined));
            self.event(EventKind::Opened, text);
            self.note_turn();
        } else if !joined.is_empty() {
            let text = format!("fires: {}", words::names(self.case, joined));
            self.event(EventKind::Joined, text);
        }
        if !left.is_empty() {
            let text = format!("over: {}", words::names(self.case, left));
            self.event(EventKind::Left, text);
        }
    }

    /// Whether anything fires still, or again; gives whether it does again.
    fn turn(&mut self) -> bool {
        let (state, fires) = (self.case.incident.state, self.case.firing() > 0);
        match state {
            IncidentState::Firing | IncidentState::Acked if !fires => {
                self.enter(IncidentState::Recovering);
                self.note_turn();
                self.event(EventKind::Recovering, "nothing fires any more");
                false
            }
            IncidentState::Recovering if fires => {
                let acked = self.case.incident.ack.is_some();
                self.enter(if acked { IncidentState::Acked } else { IncidentState::Firing });
                self.note_turn();
                self.event(EventKind::Again, "fires again");
                true
            }
            _ => false,
        }
    }

    /// How bad it is now. What is worse than ever ends an acknowledgement and rings even while it flaps.
    fn weigh(&mut self) {
        let Some(severity) = self.case.severity() else { return };
        let old = std::mem::replace(&mut self.case.incident.severity, severity);
        if severity == old || self.touch.opened {
            return;
        }
        self.changed = true;
        if severity < old {
            return;
        }
        self.note_turn();
        self.event(EventKind::Worse, format!("got worse: {} after {}", severity.word(), old.word()));
        let worse_than_ever = self.touch.worst.is_some_and(|worst| severity > worst);
        if worse_than_ever && self.case.incident.ack.take().is_some() {
            self.enter(IncidentState::Firing);
        }
        let calm = self.case.incident.ack.is_some() || self.case.incident.flapping;
        self.rung |= worse_than_ever || !calm;
    }

    /// Whether it is quiet; gives whether it no longer is.
    fn mute(&mut self, again: bool) -> bool {
        if self.case.firing() == 0 {
            return false;
        }
        let new = if let Some(silence) = self.case.all_silenced() {
            Some(Mute::Silenced { silence })
        } else if let Some(by) = self.case.all_explained() {
            Some(Mute::Inhibited { by })
        } else {
            self.waits(again).then_some(Mute::Quiet)
        };
        if new == self.case.incident.mute {
            return false;
        }
        let old = std::mem::replace(&mut self.case.incident.mute, new.clone());
        let (kind, text) = match (&new, &old) {
            (Some(Mute::Silenced { silence }), _) => {
                (EventKind::Silenced, format!("silenced by silence {silence}"))
            }
            (Some(Mute::Inhibited { by }), _) => {
                (EventKind::Inhibited, format!("explained by incident {by}"))
            }
            (Some(Mute::Quiet), _) => (EventKind::Silenced, "waits for the digest: quiet hours".to_owned()),
            (None, Some(Mute::Inhibited { .. })) => (EventKind::Inhibited, "no longer explained".to_owned()),
            (None, _) => (EventKind::Silenced, "no longer quiet".to_owned()),
        };
        self.event(kind, text);
        new.is_none() && !self.touch.opened
    }

    /// Whether it is a warning that waits for the digest.
    fn waits(&self, again: bool) -> bool {
        let incident = &self.case.incident;
        if incident.severity >= Severity::Critical {
            return false;
        }
        match incident.mute {
            // What begins outside the quiet hours does not wait.
            Some(Mute::Quiet) => (self.touch.joined.is_empty() && !again) || self.in_quiet_hours(),
            Some(_) => self.in_quiet_hours(),
            None => self.touch.opened && self.in_quiet_hours(),
        }
    }

    fn in_quiet_hours(&self) -> bool {
        self.settings.quiet.as_ref().is_some_and(|window| window.contains(self.now))
    }

    /// An acknowledgement of something critical lapses.
    fn lapse(&mut self) {
        let (lifetime, now) = (self.settings.ack_lifetime, self.now);
        let incident = &mut self.case.incident;
        let critical = incident.severity == Severity::Critical;
        let Some(ack) = incident.ack.as_mut().filter(|_| incident.state == IncidentState::Acked) else {
            return;
        };
        match ack.until {
            Some(until) if until > now => {}
            Some(_) if critical => {
                let text = format!("the acknowledgement of {} lapsed", ack.by);
                incident.ack = None;
                incident.due_at = Some(now);
                self.enter(IncidentState::Firing);
                self.event(EventKind::Lapsed, text);
                self.rung = true;
            }
            Some(_) => (ack.until, self.changed) = (None, true),
            None if critical => (ack.until, self.changed) = (Some(after(now, lifetime)), true),
            None => {}
        }
    }

    fn flap(&mut self) {
        let (most, span) = self.settings.flapping;
        if self.case.incident.flapping {
            if calms_at(self.case, self.settings).is_none_or(|at| at <= self.now) {
                self.case.incident.flapping = false;
                self.case.turns.clear();
                self.event(EventKind::Flapping, "it no longer comes and goes");
            }
            return;
        }
        let recent = self.case.turns.iter().filter(|at| after(**at, span) > self.now).count();
        if most > 0 && recent >= most {
            self.case.incident.flapping = true;
            self.event(EventKind::Flapping, "it comes and goes; it makes no sound until it is still");
        }
    }

    fn resolve(&mut self) {
        let recovers = self.case.incident.state == IncidentState::Recovering;
        if recovers && resolves_at(self.case, self.settings) <= self.now {
            self.enter(IncidentState::Resolved);
            self.case.incident.resolved_at = Some(self.now);
            self.case.incident.severity = self.case.worst;
            self.event(EventKind::Resolved, "over");
        }
    }

    /// When it may be shown, and whether it is to be heard now.
    fn page(&mut self, unmuted: bool) {
        let now = self.now;
        let critical = self.case.incident.severity == Severity::Critical;
        let hushed = !critical && self.rung && self.in_quiet_hours();
        let incident = &mut self.case.incident;
        let rung = std::mem::take(&mut self.rung) && !hushed;
        if incident.mute.is_some() {
            return;
        }
        let Some(due) = incident.due_at else {
            let wait = self.touch.opened && !critical;
            incident.due_at = Some(if wait { after(now, self.settings.group_wait) } else { now });
            self.rung = incident.state != IncidentState::Acked;
            self.changed = true;
            return;
        };
        if unmuted && incident.state == IncidentState::Firing {
            incident.due_at = Some(now);
            self.rung = !incident.flapping || rung;
        } else if due > now {
            // The first page is still to come, and says it all.
            if critical && rung {
                incident.due_at = Some(now);
            }
        } else {
            self.rung = rung && incident.state == IncidentState::Firing;
        }
    }

    /// Nobody answered: further steps of the ladder are paged.
    fn climb(&mut self) {
        let incident = &self.case.incident;
        let Some(due) = incident.due_at.filter(|_| incident.state == IncidentState::Firing) else { return };
        let due_steps = self.settings.ladder.iter().take_while(|wait| after(due, **wait) <= self.now).count();
        let step = u32::try_from(due_steps.saturating_sub(1)).unwrap_or(u32::MAX);
        if may_climb(self.case) && step > incident.step {
            self.case.incident.step = step;
            self.event(EventKind::Escalated, format!("nobody answered: step {step} is paged"));
            self.rung = true;
        }
    }
}
