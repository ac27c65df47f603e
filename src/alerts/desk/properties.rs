//! What must hold of the desk whatever comes in which order.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::tests::{World, at, settings, signal};
use crate::domain::{EventKind, IncidentState};

const ALERTS: [&str; 6] = [
    "A/1/web warning",
    "B/1/web critical",
    "C/1/db info",
    "D/2/web warning",
    "HostDown//h critical @h",
    "E/3/web warning @h",
];

#[derive(Clone, Debug)]
enum Step {
    Fire(usize),
    Over(usize),
    Wait(i64),
    Back(i64),
    Ack(i64),
    Silence(usize),
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0..ALERTS.len()).prop_map(Step::Fire),
        5 => (0..ALERTS.len()).prop_map(Step::Over),
        4 => (1..2_000_i64).prop_map(Step::Wait),
        1 => (1..100_i64).prop_map(Step::Back),
        1 => (1..6_i64).prop_map(Step::Ack),
        1 => (0..3_usize).prop_map(Step::Silence),
        1 => Just(Step::Restart),
    ];
    prop::collection::vec(step, 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_that_fires_is_lost(steps in steps()) {
        let mut world = World::new(settings());
        let mut firing: BTreeMap<usize, bool> = BTreeMap::new();
        let mut now = 0;
        for step in steps {
            match step {
                Step::Fire(n) => {
                    world.act(&format!("fire {}", ALERTS[n]), at(now));
                    firing.insert(n, true);
                    let again = world.desk.on(vec![signal(ALERTS[n], true, at(now))], at(now));
                    prop_assert!(again.is_empty(), "the same again wrote {again:?}");
                }
                Step::Over(n) => {
                    // A resolve from before the firing began, as a jump of the clock makes it, may not count.
                    let since = world.desk.alerts().find(|a| {
                        a.fingerprint == crate::domain::Fingerprint::of(&signal(ALERTS[n], true, at(0)).signal.labels)
                    }).map(|a| a.signal.starts_at);
                    world.act(&format!("over {}", ALERTS[n]), at(now));
                    if since.is_none_or(|since| since <= at(now)) {
                        firing.insert(n, false);
                    }
                }
                Step::Wait(seconds) => {
                    now += seconds;
                    world.act("tick", at(now));
                }
                Step::Back(seconds) => now -= seconds,
                Step::Ack(n) => {
                    let by = "anna".into();
                    if let Ok(changes) = world.desk.act(crate::domain::Action::Ack { incident: crate::domain::IncidentId(n), by }, at(now)) {
                        world.keep(&changes);
                    }
                }
                Step::Silence(customer) => world.act(&format!("silence customer={} 300", customer + 1), at(now)),
                Step::Restart => world.act("restart", at(now)),
            }
            check(&world, &firing)?;
        }
        let mut opened = std::collections::BTreeSet::new();
        for (id, kind) in &world.events {
            match kind {
                EventKind::Opened => prop_assert!(opened.insert(*id), "opened twice"),
                _ => prop_assert!(opened.contains(id), "{kind:?} before it was opened"),
            }
        }
    }
}

fn check(world: &World, firing: &BTreeMap<usize, bool>) -> Result<(), TestCaseError> {
    for (n, fires) in firing {
        let fingerprint = crate::domain::Fingerprint::of(&signal(ALERTS[*n], true, at(0)).signal.labels);
        let alert = world.desk.alert(fingerprint);
        prop_assert_eq!(alert.is_some_and(|a| a.signal.firing), *fires, "{}", ALERTS[*n]);
        if let (Some(alert), true) = (alert, *fires) {
            let incident = world.desk.incident(alert.incident);
            prop_assert!(
                incident.is_some_and(|i| matches!(i.state, IncidentState::Firing | IncidentState::Acked))
            );
        }
    }
    for incident in world.desk.open() {
        let fires = world.desk.alerts_of(incident.id).iter().any(|a| a.signal.firing);
        prop_assert_eq!(fires, incident.state != IncidentState::Recovering);
        if fires && incident.mute.is_none() && incident.state == IncidentState::Firing {
            prop_assert!(
                incident.due_at.is_some() && incident.rings > 0,
                "nobody would hear of {incident:?}"
            );
        }
        // What is on the desk is what was written.
        let row = world.rows.incidents.iter().find(|row| row.id == incident.id);
        prop_assert_eq!(row, Some(incident));
    }
    Ok(())
}
