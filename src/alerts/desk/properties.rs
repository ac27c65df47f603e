//! What holds of the desk for any order of events.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use proptest::prelude::*;

use super::testing::{Stage, begin, report, settings};
use crate::{
    alerts::{Incoming, Settings},
    domain::{Action, EventKind, IncidentId, Matcher, SilenceId},
};

#[derive(Clone, Debug)]
enum Step {
    Signals(BTreeMap<usize, bool>),
    Wait(i64),
    Ack(i64),
    Silence(usize, i64),
    Unsilence(i64),
}

const ALERTS: [&str; 8] = [
    "alertname=A customer=7 service=web severity=critical",
    "alertname=W customer=7 service=web severity=warning",
    "alertname=I customer=7 service=web severity=info",
    "alertname=X customer=8 service=db severity=critical",
    "alertname=Y customer=9 service=db",
    "alertname=HostDown host=alpha severity=critical",
    "alertname=R customer=5 service=web host=alpha severity=critical",
    "alertname=S customer=5 service=web host=beta",
];

fn step() -> impl Strategy<Value = Step> {
    let signals = prop::collection::btree_map(0..ALERTS.len(), prop::bool::weighted(0.6), 1..4);
    prop_oneof![
        5 => signals.prop_map(Step::Signals),
        4 => (1i64..400).prop_map(Step::Wait),
        1 => (1i64..6).prop_map(Step::Ack),
        1 => (0..ALERTS.len(), 1i64..900).prop_map(|(alert, secs)| Step::Silence(alert, secs)),
        1 => (1i64..4).prop_map(Step::Unsilence),
    ]
}

fn signals(stage: &Stage, of: &BTreeMap<usize, bool>) -> Vec<Incoming> {
    of.iter().map(|(alert, firing)| report(ALERTS[*alert], *firing, stage.now)).collect()
}

fn play(stage: &mut Stage, step: &Step) {
    match step {
        // Some time passes between two reports of the same alert.
        Step::Signals(of) => {
            stage.until(stage.now + SignedDuration::from_secs(1));
            stage.on(signals(stage, of));
        }
        Step::Wait(secs) => stage.until(stage.now + SignedDuration::from_secs(*secs)),
        Step::Ack(id) => drop(stage.act(Action::Ack { incident: IncidentId(*id), by: "anna".into() })),
        Step::Unsilence(id) => {
            drop(stage.act(Action::Unsilence { silence: SilenceId(*id), by: "anna".into() }))
        }
        Step::Silence(alert, secs) => {
            let name = report(ALERTS[*alert], true, begin()).signal.labels["alertname"].clone();
            let matcher = Matcher { name: "alertname".into(), value: name, is_regex: false, is_equal: true };
            let ends_at = stage.now + SignedDuration::from_secs(*secs);
            let (by, comment) = ("anna".to_owned(), String::new());
            let (starts_at, matchers) = (stage.now, vec![matcher]);
            stage.act(Action::Silence { matchers, starts_at, ends_at, by, comment, id: None }).unwrap();
        }
    }
}

/// Flapping needs what no row holds: when it came and went. A desk that restarts counts anew.
fn without_flapping() -> Settings {
    Settings {
        flapping: (0, settings().flapping.1),
        quiet: Some("daily 12:10-12:30 UTC".parse().unwrap()),
        ..settings()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    // `Stage` checks after every step that nothing that fires is lost, never shown, or not written.
    #[test]
    fn no_order_of_events_loses_what_fires(steps in prop::collection::vec(step(), 1..40)) {
        let mut stage = Stage::new(settings());
        let mut fires = BTreeMap::new();
        for step in &steps {
            play(&mut stage, step);
            if let Step::Signals(of) = step {
                fires.extend(of.iter().map(|(alert, firing)| (*alert, *firing)));
            }
            for (alert, firing) in &fires {
                let labels = report(ALERTS[*alert], true, begin()).signal.labels;
                let held = stage.desk.alerts().find(|alert| alert.signal.labels == labels);
                prop_assert_eq!(held.is_some_and(|alert| alert.signal.firing), *firing, "{}", ALERTS[*alert]);
            }
        }
        // In the end all is over, and each incident ended once, after it began.
        stage.on(signals(&stage, &(0..ALERTS.len())
.map(|alert| (alert, false)).collect()));
        stage.until(stage.now + SignedDuration::from_hours(2));
        prop_assert!(stage.desk.open().is_empty());
        for id in stage.kept.incidents.keys() {
            let of = |kind| stage.events.iter().enumerate().filter(move |(_, e)| e.incident == *id && e.kind == kind);
            prop_assert_eq!(of(EventKind::Resolved).count(), 1);
            let (opened, resolved) = (of(EventKind::Opened).next().unwrap(), of(EventKind::Resolved).next().unwrap());
            prop_assert!(opened.0 < resolved.0);
        }
        // Nothing of it is left.
        prop_assert_eq!(stage.desk.alerts().count(), 0);
        prop_assert_eq!(stage.desk.wakes_at(), None);
    }

    #[test]
    fn the_same_signals_again_change_nothing(
        steps in prop::collection::vec(step(), 0..30),
        of in prop::collection::btree_map(0..ALERTS.len(), any::<bool>(), 1..6),
    ) {
        let mut stage = Stage::new(settings());
        steps.iter().for_each(|step| play(&mut stage, step));
        let same = signals(&stage, &of);
        stage.on(same.clone());
        let seq = stage.desk.seq();
        let changes = stage.on(same);
        prop_assert!(changes.is_empty(), "{changes:?}");
        prop_assert_eq!(stage.desk.seq(), seq);
    }

    #[test]
    fn a_restart_makes_no_difference(steps in prop::collection::vec(step(), 1..40), at in 0usize..40) {
        let (mut with, mut without) = (Stage::new(without_flapping()), Stage::new(without_flapping()));
        for (n, step) in steps.iter().enumerate() {
            if n == at {
                let events = with.events.len();
                with.restart();
                prop_assert_eq!(with.events.len(), events, "{:?}", &with.events[events..]);
            }
            play(&mut with, step);
            play(&mut without, step);
            prop_assert_eq!(with.desk.open(), without.desk.open());
            prop_assert_eq!(&with.kept, &without.kept);
        }
        prop_assert_eq!(with.events, without.events);
    }
}
