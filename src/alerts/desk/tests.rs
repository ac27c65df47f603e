//! Stories of the desk on virtual time: each row is what happens when, and what is seen of it.

use std::{sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp, tz::TimeZone};

use crate::{
    alerts::{CardRules, Changes, Desk, Incoming, Inhibit, Restored, Settings},
    domain::{
        Action, EventKind, Incident, IncidentId, IncidentState, Labels, Matcher, Mute, Severity, Signal,
        SignalSource, SilenceId, Subject,
    },
};

pub(super) fn start() -> Timestamp {
    "2026-12-01T12:00:00Z".parse().unwrap()
}

pub(super) fn at(seconds: i64) -> Timestamp {
    start().checked_add(SignedDuration::from_secs(seconds)).unwrap()
}

pub(super) fn settings() -> Settings {
    Settings {
        group_by: vec!["customer".into(), "service".into()],
        group_wait: Duration::from_secs(10),
        hold_down: Duration::from_secs(60),
        flapping: (5, Duration::from_secs(900)),
        ack_lifetime: Duration::from_secs(3600),
        ladder: vec![Duration::ZERO, Duration::from_secs(600), Duration::from_secs(1200)],
        quiet: None,
        inhibit: vec![],
        zone: TimeZone::UTC,
        cards: CardRules {
            runbook_hosts: vec![],
            customer: Arc::new(|c| c.to_string()),
            suggest: Arc::new(|_, _| vec![]),
        },
    }
}

pub(super) fn matcher(name: &str, value: &str) -> Matcher {
    Matcher { name: name.into(), value: value.into(), is_regex: false, is_equal: true }
}

/// `Disk/7/web critical` is an alert of a customer's service; `Up//x` one of nobody, at instance x; `@h` is its host.
pub(super) fn signal(text: &str, firing: bool, since: Timestamp) -> Incoming {
    let mut words = text.split_whitespace();
    let mut parts = words.next().unwrap().split('/');
    let mut labels = Labels::from([("alertname".to_owned(), parts.next().unwrap().to_owned())]);
    let mut subject = Subject::default();
    match (parts.next(), parts.next()) {
        (Some(""), Some(instance)) => drop(labels.insert("instance".into(), instance.into())),
        (Some(customer), service) => {
            labels.insert("customer".into(), customer.into());
            subject.customer = Some(customer.into());
            if let Some(service) = service {
                labels.insert("service".into(), service.into());
                subject.service = Some(service.into());
            }
        }
        (None, _) => {}
    }
    for word in words {
        match word.strip_prefix('@') {
            Some(host) => subject.host = Some(host.into()),
            None => drop(labels.insert("severity".into(), word.into())),
        }
    }
    let signal = Signal {
        source: SignalSource::Webhook,
        labels,
        annotations: Labels::new(),
        firing,
        starts_at: since,
        ends_at: None,
        generator_url: None,
        value: None,
        excerpt: None,
    };
    Incoming { signal, subject }
}

/// A desk with what was written of it.
pub(super) struct World {
    pub(super) desk: Desk,
    pub(super) settings: Settings,
    pub(super) rows: Restored,
    pub(super) events: Vec<(IncidentId, EventKind)>,
}

impl World {
    pub(super) fn new(settings: Settings) -> Self {
        let (rows, events) = (Restored::default(), vec![]);
        Self { desk: Desk::new(settings.clone(), Restored::default()), settings, rows, events }
    }

    pub(super) fn keep(&mut self, changes: &Changes) {
        for i in &changes.incidents {
            self.rows.incidents.retain(|old| old.id != i.id);
            self.rows.incidents.push(i.clone());
            self.rows.last_incident = self.rows.last_incident.max(i.id.0);
        }
        for a in &changes.alerts {
            self.rows.alerts.retain(|old| old.fingerprint != a.fingerprint);
            self.rows.alerts.push(a.clone());
        }
        for s in &changes.silences {
            self.rows.silences.retain(|old| old.id != s.id);
            self.rows.silences.push(s.clone());
            self.rows.last_silence = self.rows.last_silence.max(s.id.0);
        }
        self.events.extend(changes.events.iter().map(|e| (e.incident, e.kind)));
    }

    /// A new desk from the rows, as after a kill.
    pub(super) fn restart(&mut self, now: Timestamp) {
        let mut rows = self.rows.clone();
        let open: Vec<_> =
            rows.incidents.iter().filter(|i| i.state != IncidentState::Resolved).map(|i| i.id).collect();
        rows.incidents.retain(|i| open.contains(&i.id));
        rows.alerts.retain(|a| open.contains(&a.incident));
        rows.silences.retain(|s| s.ends_at > now);
        self.desk = Desk::new(self.settings.clone(), rows);
        let changes = self.desk.tick(now);
        self.keep(&changes);
    }

    /// One line of a story (`fire Disk/7/web critical`).
    pub(super) fn act(&mut self, line: &str, now: Timestamp) {
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        let changes = match verb {
            "fire" => self.desk.on(vec![signal(rest, true, now)], now),
            "over" => {
                let mut over = signal(rest, false, start());
                over.signal.ends_at = Some(now);
                self.desk.on(vec![over], now)
            }
            "ack" => {
                let action = Action::Ack { incident: IncidentId(rest.parse().unwrap()), by: "anna".into() };
                self.desk.act(action, now).unwrap()
            }
            "silence" => {
                let (what, seconds) = rest.split_once(' ').unwrap();
                let (name, value) = what.split_once('=').unwrap();
                let action = Action::Silence {
                    matchers: vec![matcher(name, value)],
                    starts_at: now,
                    ends_at: now.checked_add(SignedDuration::from_secs(seconds.parse().unwrap())).unwrap(),
                    by: "anna".into(),
                    comment: String::new(),
                    id: None,
                };
                self.desk.act(action, now).unwrap()
            }
            "unsilence" => {
                let silence = SilenceId(rest.parse().unwrap());
                self.desk.act(Action::Unsilence { silence, by: "anna".into() }, now).unwrap()
            }
            "tick" => self.desk.tick(now),
            "restart" => return self.restart(now),
            other => panic!("nobody can {other}"),
        };
        self.keep(&changes);
    }

    fn shown(&self, now: Timestamp) -> String {
        let mut all: Vec<_> = self.desk.open();
        all.sort_by_key(|i| i.id);
        all.into_iter().map(|i| describe(i, now)).collect::<Vec<_>>().join("; ")
    }
}

fn describe(i: &Incident, now: Timestamp) -> String {
    let due = match i.due_at {
        None => "hidden".to_owned(),
        Some(at) if at <= now => "due".to_owned(),
        Some(at) => format!("due in {}", at.duration_since(now).as_secs()),
    };
    let mute = match &i.mute {
        None => String::new(),
        Some(Mute::Silenced { silence }) => format!(" silenced by {silence}"),
        Some(Mute::Inhibited { by }) => format!(" explained by {by}"),
        Some(Mute::Quiet) => " quiet".to_owned(),
    };
    let flaps = if i.flapping { " flapping" } else { "" };
    format!("{} {} {} rings {} step {} {due}{mute}{flaps}", i.id, i.severity, i.state, i.rings, i.step)
}

/// Each line: seconds, what happens, and after `->` what is seen then.
fn story(settings: Settings, lines: &str) {
    let mut world = World::new(settings);
    for line in lines.lines().map(str::trim).filter(|l| !l.is_empty()) {
        let (when, rest) = line.split_once(": ").unwrap();
        let now = at(when.parse().unwrap());
        let (act, seen) = rest.split_once(" -> ").map_or((rest, None), |(act, seen)| (act, Some(seen)));
        world.act(act.trim(), now);
        if let Some(seen) = seen {
            assert_eq!(world.shown(now), seen.trim().trim_matches('-'), "at {line}");
        }
    }
}

#[test]
fn alerts_of_one_subject_are_one_incident_until_the_hold_down_is_over() {
    story(
        settings(),
        "
        0: fire Slow/7/web warning -> 1 warning firing rings 1 step 0 due in 10
        0: fire Slow/7/web warning -> 1 warning firing rings 1 step 0 due in 10
        5: fire Errors/7/web warning -> 1 warning firing rings 1 step 0 due in 5
        6: fire Slow/7/db warning -> 1 warning firing rings 1 step 0 due in 4; 2 warning firing rings 1 step 0 due in 10
        20: over Slow/7/web warning -> 1 warning firing rings 1 step 0 due; 2 warning firing rings 1 step 0 due
        21: over Errors/7/web warning -> 1 warning recovering rings 1 step 0 due; 2 warning firing rings 1 step 0 due
        40: fire Errors/7/web warning -> 1 warning firing rings 1 step 0 due; 2 warning firing rings 1 step 0 due
        50: over Errors/7/web warning
        51: over Slow/7/db warning
        109: tick -> 1 warning recovering rings 1 step 0 due; 2 warning recovering rings 1 step 0 due
        110: tick -> 2 warning recovering rings 1 step 0 due
        111: tick -> -
        4000: fire Slow/7/web warning -> 3 warning firing rings 1 step 0 due in 10
        ",
    );
}

#[test]
fn what_gets_worse_rings_and_needs_a_new_answer() {
    story(
        settings(),
        "
        0: fire Slow/7/web warning -> 1 warning firing rings 1 step 0 due in 10
        2: fire Down/7/web critical -> 1 critical firing rings 2 step 0 due
        3: ack 1 -> 1 critical acked rings 2 step 0 due
        4: over Down/7/web critical -> 1 warning acked rings 2 step 0 due
        5: fire Down/7/web critical -> 1 critical firing rings 3 step 0 due
        ",
    );
}

#[test]
fn a_critical_one_is_paged_at_once_and_climbs_until_somebody_answers() {
    story(
        settings(),
        "
        0: fire Down/7/web critical -> 1 critical firing rings 1 step 0 due
        599: tick -> 1 critical firing rings 1 step 0 due
        600: tick -> 1 critical firing rings 2 step 1 due
        700: restart -> 1 critical firing rings 2 step 1 due
        1200: tick -> 1 critical firing rings 3 step 2 due
        9000: tick -> 1 critical firing rings 3 step 2 due
        9001: ack 1 -> 1 critical acked rings 3 step 2 due
        9500: restart
        12600: tick -> 1 critical acked rings 3 step 2 due
        12601: tick -> 1 critical firing rings 4 step 2 due
        ",
    );
    story(
        settings(),
        "
        0: fire Slow/7/web warning
        1: ack 1 -> 1 warning acked rings 1 step 0 due in 9
        99999: tick -> 1 warning acked rings 1 step 0 due
        ",
    );
}

#[test]
fn what_comes_and_goes_is_told_once() {
    story(
        settings(),
        "
        0: fire Slow/7/web warning
        10: over Slow/7/web
        10: over Slow/7/web warning
        20: fire Slow/7/web warning -> 1 warning firing rings 1 step 0 due
        30: over Slow/7/web warning
        40: fire Slow/7/web warning -> 1 warning firing rings 2 step 0 due flapping
        50: over Slow/7/web warning
        60: fire Down/7/web critical -> 1 critical firing rings 2 step 0 due flapping
        70: over Down/7/web critical
        200: fire Slow/7/web warning -> 1 warning firing rings 2 step 0 due flapping
        1099: tick -> 1 warning firing rings 2 step 0 due flapping
        1100: tick -> 1 warning firing rings 2 step 0 due
        ",
    );
}

#[test]
fn a_silence_keeps_quiet_and_its_end_is_heard() {
    story(
        settings(),
        "
        0: silence customer=7 100
        1: fire Slow/7/web warning -> 1 warning firing rings 0 step 0 hidden silenced by 1
        2: fire Down/8/web critical -> 1 warning firing rings 0 step 0 hidden silenced by 1; 2 critical firing rings 1 step 0 due
        3: silence alertname=Down 10 -> 1 warning firing rings 0 step 0 hidden silenced by 1; 2 critical firing rings 1 step 0 due silenced by 2
        4: unsilence 2 -> 1 warning firing rings 0 step 0 hidden silenced by 1; 2 critical firing rings 2 step 0 due
        50: restart -> 1 warning firing rings 0 step 0 hidden silenced by 1; 2 critical firing rings 2 step 0 due
        99: tick -> 1 warning firing rings 0 step 0 hidden silenced by 1; 2 critical firing rings 2 step 0 due
        100: tick -> 1 warning firing rings 1 step 0 due; 2 critical firing rings 2 step 0 due
        ",
    );
    // A silence that ended while the bot was down.
    story(
        settings(),
        "
        0: silence customer=7 100
        1: fire Slow/7/web warning
        200: restart -> 1 warning firing rings 1 step 0 due
        ",
    );
    // Not all of it is silenced.
    story(
        settings(),
        "
        0: silence alertname=Slow 100
        1: fire Slow/7/web warning -> 1 warning firing rings 0 step 0 hidden silenced by 1
        2: fire Errors/7/web warning -> 1 warning firing rings 1 step 0 due
        3: over Errors/7/web warning -> 1 warning firing rings 1 step 0 due silenced by 1
        ",
    );
}

#[test]
fn a_machine_that_is_down_explains_what_runs_on_it_in_any_order() {
    let host_first = "
        0: fire HostDown//alpha critical @alpha -> 1 critical firing rings 1 step 0 due
        1: fire Down/7/web critical @alpha -> 1 critical firing rings 1 step 0 due; 2 critical firing rings 0 step 0 hidden explained by 1
        2: fire Down/8/web critical @beta -> 1 critical firing rings 1 step 0 due; 2 critical firing rings 0 step 0 hidden explained by 1; 3 critical firing rings 1 step 0 due
        3: over HostDown//alpha critical @alpha -> 1 critical recovering rings 1 step 0 due; 2 critical firing rings 1 step 0 due; 3 critical firing rings 1 step 0 due
        ";
    let host_later = "
        0: fire Down/7/web critical @alpha -> 1 critical firing rings 1 step 0 due
        1: fire HostDown//alpha critical @alpha -> 1 critical firing rings 1 step 0 due explained by 2; 2 critical firing rings 1 step 0 due
        2: restart -> 1 critical firing rings 1 step 0 due explained by 2; 2 critical firing rings 1 step 0 due
        ";
    story(settings(), host_first);
    story(settings(), host_later);
    let rack = Inhibit {
        source: vec![matcher("alertname", "RackDown")],
        target: vec![matcher("severity", "warning")],
        equal: vec!["customer".into()],
    };
    story(
        Settings { inhibit: vec![rack], ..settings() },
        "
        0: fire RackDown/7 critical -> 1 critical firing rings 1 step 0 due
        1: fire Slow/7/web warning -> 1 critical firing rings 1 step 0 due; 2 warning firing rings 0 step 0 hidden explained by 1
        2: fire Slow/8/web warning -> 1 critical firing rings 1 step 0 due; 2 warning firing rings 0 step 0 hidden explained by 1; 3 warning firing rings 1 step 0 due in 10
        ",
    );
}

#[test]
fn warnings_in_quiet_hours_wait_for_the_digest() {
    let quiet = Some("daily 12:00-13:00 UTC".parse().unwrap());
    story(
        Settings { quiet, ..settings() },
        "
        0: fire Slow/7/web warning -> 1 warning firing rings 0 step 0 hidden quiet
        5: fire Down/8/web critical -> 1 warning firing rings 0 step 0 hidden quiet; 2 critical firing rings 1 step 0 due
        9: restart -> 1 warning firing rings 0 step 0 hidden quiet; 2 critical firing rings 1 step 0 due
        4000: tick -> 1 warning firing rings 0 step 0 hidden quiet; 2 critical firing rings 3 step 2 due
        4001: fire Down/7/web critical -> 1 critical firing rings 1 step 0 due; 2 critical firing rings 3 step 2 due
        ",
    );
}

#[test]
fn an_alert_that_is_not_repeated_expires() {
    let mut world = World::new(settings());
    let until = |seconds| {
        let mut incoming = signal("Slow/7/web warning", true, at(0));
        incoming.signal.ends_at = Some(at(seconds));
        vec![incoming]
    };
    let first = world.desk.on(until(100), at(0));
    world.keep(&first);
    assert!(world.desk.on(until(200), at(60)).is_empty(), "a repeat writes nothing");
    assert!(world.desk.tick(at(150)).is_empty());
    // Its repeats are nowhere written, so a restart gives it time.
    world.restart(at(190));
    assert_eq!(world.desk.open()[0].state, IncidentState::Firing);
    assert!(world.desk.on(until(600), at(200)).is_empty());
    assert!(world.desk.tick(at(599)).is_empty());
    let ended = world.desk.tick(at(600));
    assert_eq!(ended.incidents[0].state, IncidentState::Recovering);
    // What ended in the past is over, whatever it is called.
    drop(world.desk.on(until(610), at(700)));
    assert!(world.desk.alerts().all(|alert| !alert.signal.firing));
}

#[test]
fn an_old_resolve_does_not_end_a_new_firing() {
    let mut world = World::new(settings());
    let mut over = signal("Slow/7/web", false, at(0));
    over.signal.ends_at = Some(at(5));
    drop(world.desk.on(vec![signal("Slow/7/web", true, at(100))], at(101)));
    assert!(world.desk.on(vec![over.clone()], at(102)).is_empty());
    over.signal.ends_at = Some(at(103));
    assert!(!world.desk.on(vec![over], at(104)).is_empty());
}

#[test]
fn actions_that_make_no_sense_are_refused_in_words() {
    let mut world = World::new(settings());
    world.act("fire Slow/7/web", at(0));
    world.act("ack 1", at(1));
    let silence = |matchers: Vec<Matcher>, from: i64, to: i64, id| Action::Silence {
        matchers,
        starts_at: at(from),
        ends_at: at(to),
        by: "anna".into(),
        comment: String::new(),
        id,
    };
    let ack = |n| Action::Ack { incident: IncidentId(n), by: "ben".into() };
    let everything = Matcher { is_regex: true, ..matcher("customer", ".*") };
    for (action, part) in [
        (ack(7), "no open incident 7"),
        (ack(1), "anna has taken incident 1 at 12:00"),
        (silence(vec![], 0, 100, None), "at least one condition"),
        (silence(vec![everything], 0, 100, None), "must not match everything"),
        (silence(vec![matcher("customer", "7")], 0, 1, None), "not in the past"),
        (silence(vec![matcher("customer", "7")], 90, 80, None), "after it begins"),
        (silence(vec![matcher("7", "7")], 0, 100, None), "no label's name"),
        (silence(vec![matcher("a", "7")], 0, 100, Some(SilenceId(3))), "no silence 3"),
        (Action::Unsilence { silence: SilenceId(9), by: "ben".into() }, "no silence 9"),
    ] {
        let refused = world.desk.act(action, at(2)).unwrap_err();
        assert!(refused.0.contains(part), "{refused:?} lacks {part:?}");
    }
    assert_eq!(world.desk.would_mute(&[matcher("service", "web")]), [IncidentId(1)]);
}

#[test]
fn what_changed_is_told_to_whoever_follows() {
    let mut world = World::new(settings());
    let seen = world.desk.seq();
    world.act("fire Slow/7/web", at(0));
    world.act("fire Slow/8/web", at(0));
    assert_eq!(world.desk.changed_since(seen).collect::<Vec<_>>(), [IncidentId(1), IncidentId(2)]);
    let seen = world.desk.seq();
    world.act("over Slow/7/web", at(1));
    world.act("tick", at(61));
    assert_eq!(world.desk.changed_since(seen).collect::<Vec<_>>(), [IncidentId(1)]);
    let seen = world.desk.seq();
    world.act("tick", at(61 + 900));
    assert_eq!(world.desk.changed_since(seen).collect::<Vec<_>>(), [IncidentId(1)], "that it left");
    assert!(world.desk.incident(IncidentId(1)).is_none() && world.desk.alerts_of(IncidentId(1)).is_empty());
}

#[test]
fn severities_and_keys_are_read_from_labels() {
    for (word, want) in
        [("critical", Severity::Critical), ("PAGE", Severity::Critical), ("minor", Severity::Warning)]
    {
        let labels = Labels::from([("severity".to_owned(), word.to_owned())]);
        assert_eq!(crate::alerts::group::severity(&labels), want);
    }
    assert_eq!(crate::alerts::group::severity(&Labels::new()), Severity::Warning);
    let mut world = World::new(settings());
    world.act("fire Watchdog//x none", at(0));
    assert!(world.desk.open().is_empty(), "it only shows that alerting works");
    world.act("fire Slow//x", at(0));
    world.act("fire Slow//y", at(0));
    world.act("fire Slow/7", at(0));
    let keys: Vec<_> = world.desk.open().into_iter().map(|i| i.key.as_str()).collect();
    assert_eq!(keys, ["alertname=Slow,instance=x", "alertname=Slow,instance=y", "customer=7"]);
}
