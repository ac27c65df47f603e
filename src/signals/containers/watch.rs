//! What containers' events and looks at them mean: which fault begins, which is over. No IO.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};

use crate::{
    docker::{ContainerEvent, Happening, Health, State},
    domain::{HostName, Severity, Signal, SignalSource},
    signals::{
        ledger::Ledger,
        text::{About, clean, firing},
    },
};

/// A container that is asked to end may take so long (the helper allows no longer grace).
const GRACE: SignedDuration = SignedDuration::from_secs(600);
/// The kernel's kill and the end that it causes lie no further apart.
const OOM_TO_END: SignedDuration = SignedDuration::from_secs(30);
/// Signals that tell a program something and do not end it: HUP, USR1, USR2, WINCH.
const HARMLESS: [i64; 4] = [1, 10, 12, 28];
/// Exit codes of a container that was most likely stopped: by INT, KILL or TERM.
const STOPPED: [i64; 3] = [130, 137, 143];
/// So many containers are remembered; then the quietest are forgotten.
const MOST: usize = 10_000;

/// From when on something is a fault, and until when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bounds {
    /// It has to run, healthy if it can tell, for so long until a fault is over.
    pub settle: Duration,
    /// So many ends within `loop_within` are a restart loop.
    pub loop_ends: usize,
    pub loop_within: Duration,
}

/// A container's place: names stay, ids change with every deployment.
pub(super) type Place = (HostName, String);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fault {
    Died,
    OomKilled,
    Unhealthy,
    Restarting,
}

impl Fault {
    const ALL: [Self; 4] = [Self::Died, Self::OomKilled, Self::Unhealthy, Self::Restarting];

    fn alertname(self) -> &'static str {
        match self {
            Self::Died => "ContainerDied",
            Self::OomKilled => "ContainerOomKilled",
            Self::Unhealthy => "ContainerUnhealthy",
            Self::Restarting => "ContainerRestarting",
        }
    }
}

/// What an inspection adds to a container's end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct End {
    /// The engine starts it again by itself.
    pub restarts: bool,
    /// The engine says that the kernel killed it.
    pub oom_killed: bool,
}

/// A container as a look shows it.
#[derive(Clone, Debug)]
pub(super) struct Glance {
    pub place: Place,
    pub about: About,
    pub state: State,
    pub health: Health,
    /// The exit code of one that has ended, where the list tells it.
    pub exit_code: Option<i64>,
    /// What was looked up of one that has ended, at the first look only.
    pub end: End,
}

/// All containers, as far as something of them matters.
#[derive(Debug)]
pub(super) struct Watch {
    bounds: Bounds,
    seen: BTreeMap<Place, Seen>,
    fires: Ledger<(Place, Fault)>,
    hosts: Ledger<HostName>,
    missed: BTreeMap<HostName, u32>,
}

#[derive(Debug, Default)]
struct Seen {
    ends: VecDeque<Timestamp>,
    killed: Option<Timestamp>,
    oom: Option<Timestamp>,
    /// Since when it runs well.
    steady: Option<Timestamp>,
    /// A person ended it.
    on_purpose: bool,
}

impl Watch {
    /// With what was reported before a restart.
    pub(super) fn new(bounds: Bounds, known: Vec<Signal>) -> Self {
        let (mut fires, mut hosts) = (Ledger::default(), Ledger::default());
        for signal in known {
            let label = |name: &str| signal.labels.get(name).map(String::as_str);
            let fault = Fault::ALL.into_iter().find(|f| label("alertname") == Some(f.alertname()));
            match (fault, label("host"), label("container")) {
                (Some(fault), Some(host), Some(container)) => {
                    fires.adopt(((host.into(), container.to_owned()), fault), signal);
                }
                (None, Some(host), None) => hosts.adopt(HostName::from(host), signal),
                _ => {}
            }
        }
        Self { bounds, seen: BTreeMap::new(), fires, hosts, missed: BTreeMap::new() }
    }

    /// What is to be reported after an event; `end` is what an inspection says after an end.
    pub(super) fn on(
        &mut self,
        place: &Place,
        event: &ContainerEvent,
        about: &About,
        end: End,
    ) -> Vec<Signal> {
        let at = event.at;
        if !self.seen.contains_key(place) {
            self.make_room();
        }
        let seen = self.seen.entry(place.clone()).or_default();
        match &event.happened {
            Happening::Start => {
                (seen.killed, seen.on_purpose) = (None, false);
                Vec::new()
            }
            Happening::Kill { signal } => {
                if signal.is_none_or(|number| !HARMLESS.contains(&number)) {
                    seen.killed = Some(at);
                }
                Vec::new()
            }
            Happening::Stop => {
                seen.on_purpose = true;
                Vec::new()
            }
            Happening::Oom => {
                (seen.oom, seen.steady) = (Some(at), None);
                self.fire(
                    place,
                    about,
                    Fault::OomKilled,
                    "ran out of memory: the kernel killed a process of it",
                    at,
                )
            }
            Happening::Health(Health::Unhealthy) => {
                seen.steady = None;
                self.fire(place, about, Fault::Unhealthy, "is unhealthy: its health check fails", at)
            }
            Happening::Health(_) => Vec::new(),
            Happening::Die { exit_code } => self.ended(place, about, (*exit_code, end), at),
            Happening::Destroy => {
                self.seen.remove(place);
                self.all_over(place, at)
            }
        }
    }

    fn ended(&mut self, place: &Place, about: &About, (code, end): (i64, End), at: Timestamp) -> Vec<Signal> {
        let Bounds { loop_ends, loop_within, .. } = self.bounds;
        let seen = self.seen.entry(place.clone()).or_default();
        seen.steady = None;
        if seen.killed.take().is_some_and(|killed| at.duration_since(killed) <= GRACE) {
            seen.on_purpose = true;
            return Vec::new();
        }
        let mut report = Vec::new();
        let oom = seen.oom.take().is_some_and(|oom| at.duration_since(oom) <= OOM_TO_END) || end.oom_killed;
        seen.ends.push_back(at);
        while seen.ends.front().is_some_and(|first| at.duration_since(*first).unsigned_abs() > loop_within)
            || seen.ends.len() > loop_ends.max(1) * 10
        {
            seen.ends.pop_front();
        }
        let ends = seen.ends.len();
        if oom {
            let what = "ran out of memory: the kernel killed it";
            report.extend(self.fire(place, about, Fault::OomKilled, what, at));
        } else if code != 0 {
            let then = if end.restarts { "; Docker starts it again" } else { "" };
            let what = format!("died with exit code {code}{then}");
            let severity = if end.restarts { Severity::Warning } else { Severity::Critical };
            report.extend(self.fire_as(place, about, (Fault::Died, severity), &what, at));
        }
        if end.restarts && ends >= loop_ends {
            let what = format!(
                "restarts again and again: at least {loop_ends} ends within {} s",
                loop_within.as_secs()
            );
            report.extend(self.fire(place, about, Fault::Restarting, &what, at));
        }
        report
    }

    /// What is to be reported after a look at all containers but those of hosts that are `down`. At the `first` look also
    /// what was broken before.
    pub(super) fn look(
        &mut self,
        glances: &[Glance],
        down: &[HostName],
        first: bool,
        now: Timestamp,
    ) -> Vec<Signal> {
        let mut report = self.host_faults(down, now);
        let present: BTreeMap<&Place, &Glance> = glances.iter().map(|g| (&g.place, g)).collect();
        for key in self.fires.keys() {
            if !present.contains_key(&key.0) && !down.contains(&key.0.0) {
                report.extend(self.fires.over(&key, now));
            }
        }
        for glance in glances {
            report.extend(self.stock(glance, first, now));
            report.extend(self.settled(glance, now));
        }
        report
    }

    /// What is broken by the look alone.
    fn stock(&mut self, glance: &Glance, first: bool, now: Timestamp) -> Vec<Signal> {
        let (place, about) = (&glance.place, &glance.about);
        match glance.state {
            State::Running if glance.health == Health::Unhealthy => {
                self.fire(place, about, Fault::Unhealthy, "is unhealthy: its health check fails", now)
            }
            State::Restarting if first => {
                self.fire(place, about, Fault::Restarting, "restarts again and again", now)
            }
            // Of what belongs to nobody old remains lie about.
            State::Exited if first && about.customer.is_some() => match glance.exit_code {
                _ if glance.end.oom_killed => {
                    let what = "ran out of memory: the kernel killed it";
                    self.fire(place, about, Fault::OomKilled, what, now)
                }
                Some(code) if code != 0 && !STOPPED.contains(&code) => {
                    let what = format!("died with exit code {code}");
                    self.fire(place, about, Fault::Died, &what, now)
                }
                _ => Vec::new(),
            },
            _ => Vec::new(),
        }
    }

    /// What is over because the container has run well for long enough, or was ended as it should.
    fn settled(&mut self, glance: &Glance, now: Timestamp) -> Vec<Signal> {
        let faults = Fault::ALL.map(|fault| (glance.place.clone(), fault));
        if !self.seen.contains_key(&glance.place) && faults.iter().all(|key| self.fires.get(key).is_none()) {
            return Vec::new();
        }
        let seen = self.seen.entry(glance.place.clone()).or_default();
        match glance.state {
            State::Running if matches!(glance.health, Health::None | Health::Healthy) => {
                let steady = *seen.steady.get_or_insert(now);
                let so_long = now.duration_since(steady).unsigned_abs();
                let Bounds { settle, loop_within, .. } = self.bounds;
                let need = |fault| if fault == Fault::Restarting { settle.max(loop_within) } else { settle };
                let over = faults.iter().filter(|(_, fault)| so_long >= need(*fault));
                let report = over.filter_map(|key| self.fires.over(key, now)).collect();
                if so_long >= settle.max(loop_within) {
                    self.seen.remove(&glance.place);
                }
                report
            }
            State::Exited if seen.on_purpose || glance.exit_code == Some(0) => {
                self.all_over(&glance.place, now)
            }
            State::Paused => Vec::new(),
            _ => {
                seen.steady = None;
                Vec::new()
            }
        }
    }

    /// A host that misses three looks is an alert itself.
    fn host_faults(&mut self, down: &[HostName], now: Timestamp) -> Vec<Signal> {
        let answers: Vec<_> = self.hosts.keys().into_iter().filter(|host| !down.contains(host)).collect();
        let mut report: Vec<_> = answers.iter().filter_map(|host| self.hosts.over(host, now)).collect();
        self.missed.retain(|host, _| down.contains(host));
        for host in down {
            let missed = self.missed.entry(host.clone()).or_default();
            *missed += 1;
            if *missed >= 3 {
                let about = About { host: Some(host.clone()), ..About::default() };
                let mut labels = about.labels("DockerDown", Severity::Critical);
                labels.insert("instance".into(), clean(host.as_str()));
                let summary = format!("Docker on {host} does not answer; its containers are not watched");
                report.extend(
                    self.hosts.fires(host.clone(), firing(SignalSource::Docker, labels, &summary, now)),
                );
            }
        }
        report
    }

    /// All that fires, for whoever may have lost it.
    pub(super) fn all(&self) -> Vec<Signal> {
        [self.fires.all(), self.hosts.all()].concat()
    }

    fn fire(&mut self, place: &Place, about: &About, fault: Fault, what: &str, at: Timestamp) -> Vec<Signal> {
        self.fire_as(place, about, (fault, Severity::Critical), what, at)
    }

    fn fire_as(
        &mut self,
        place: &Place,
        about: &About,
        (fault, severity): (Fault, Severity),
        what: &str,
        at: Timestamp,
    ) -> Vec<Signal> {
        let key = (place.clone(), fault);
        let labels = about.labels(fault.alertname(), severity);
        // The same again in other words (another exit code) is no news.
        if self.fires.get(&key).is_some_and(|old| old.labels == labels) {
            return Vec::new();
        }
        let summary = format!("{} {what}", place.1);
        self.fires.fires(key, firing(SignalSource::Docker, labels, &summary, at))
    }

    fn all_over(&mut self, place: &Place, at: Timestamp) -> Vec<Signal> {
        Fault::ALL.into_iter().filter_map(|fault| self.fires.over(&(place.clone(), fault), at)).collect()
    }

    /// Forgets the container whose last end is the longest ago.
    fn make_room(&mut self) {
        if self.seen.len() < MOST {
            return;
        }
        let oldest = self.seen.iter().min_by_key(|(_, seen)| seen.ends.back().copied());
        if let Some(place) = oldest.map(|(place, _)| place.clone()) {
            self.seen.remove(&place);
        }
    }
}

#[cfg(test)]
mod tests;
