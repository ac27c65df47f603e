//! Scenarios of the desk on virtual time, in a small language: `0s fire A; 10s over A; 70s 1 = resolved …`.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::testing::{Stage, begin, report, settings};
use crate::{
    alerts::{Inhibit, Settings, matches},
    domain::{Action, EventKind, IncidentId, Matcher, SilenceId},
};

/// The alerts of scenarios, by their names in them.
const ALERTS: &[(&str, &str)] = &[
    ("A", "alertname=A customer=7 service=web severity=critical"),
    ("B", "alertname=B customer=7 service=web severity=critical"),
    ("W", "alertname=W customer=7 service=web severity=warning"),
    ("V", "alertname=V customer=7 service=web severity=warning"),
    ("I", "alertname=I customer=7 service=web severity=info"),
    ("X", "alertname=X customer=8 service=db severity=critical"),
    ("Y", "alertname=Y customer=9 service=db severity=warning"),
    ("H", "alertname=HostDown host=alpha severity=critical"),
    ("R", "alertname=R customer=5 service=web host=alpha severity=critical"),
    ("S", "alertname=S customer=6 service=web host=beta severity=critical"),
    ("P", "alertname=Watchdog severity=none"),
    ("K", "alertname=RackDown rack=r1 severity=critical"),
    ("L", "alertname=L customer=3 service=web rack=r1 severity=warning"),
    ("M", "alertname=M customer=4 service=web rack=r2 severity=warning"),
];

fn labels_of(name: &str) -> &'static str {
    ALERTS.iter().find(|(known, _)| *known == name).unwrap_or_else(|| panic!("no alert {name}")).1
}

fn span(text: &str) -> SignedDuration {
    let (number, unit) = text.split_at(text.len() - 1);
    let number: i64 = number.parse().unwrap_or_else(|_| panic!("no time: {text}"));
    SignedDuration::from_secs(
        number
            * match unit {
                "s" => 1,
                "m" => 60,
                _ => 3600,
            },
    )
}

fn equal(name: &str, value: &str) -> Matcher {
    Matcher { name: name.into(), value: value.into(), is_regex: false, is_equal: true }
}

fn silence(text: &str, ends_at: Timestamp, starts_at: Timestamp) -> Action {
    let matchers = text.split(',').filter_map(|m| m.split_once('=')).map(|(n, v)| equal(n, v)).collect();
    Action::Silence { matchers, starts_at, ends_at, by: "anna".into(), comment: "test".into(), id: None }
}

/// Plays one step: `fire A B`, `over A`, `late A` (an end before its beginning), `again A` (the same firing once more), `until A 5m`
/// (fires, expires then), `ack 1`, `silence NAME=VALUE 30m`, `unsilence 1`, `restart`, `1 = …`.
fn play(stage: &mut Stage, step: &str) {
    let (at, what) = step.trim().split_once(' ').unwrap_or_else(|| panic!("no step: {step}"));
    stage.until(begin() + span(at));
    let now = stage.now;
    let words: Vec<_> = what.split_whitespace().collect();
    let report_all = |firing: bool, starts_at: Timestamp, names: &[&str]| {
        names.iter().map(|name| report(labels_of(name), firing, starts_at)).collect::<Vec<_>>()
    };
    match words.as_slice() {
        ["fire", names @ ..] => drop(stage.on(report_all(true, now, names))),
        ["again", names @ ..] => {
            assert!(stage.on(report_all(true, begin(), names)).is_empty(), "{step}: something changed");
        }
        ["over", names @ ..] => drop(stage.on(report_all(false, begin(), names))),
        ["late", name] => {
            let mut late = report(labels_of(name), false, begin() - span("2h"));
            late.signal.ends_at = Some(begin() - span("1h"));
            assert!(stage.on(vec![late]).is_empty(), "{step}: something changed");
        }
        ["until", name, until] => {
            let mut fires = report(labels_of(name), true, begin());
            fires.signal.ends_at = Some(begin() + span(until));
            stage.on(vec![fires]);
        }
        ["ack", id] => {
            let incident = IncidentId(id.parse().unwrap());
            stage.act(Action::Ack { incident, by: "anna".into() }).unwrap();
        }
        ["silence", what, long] => drop(stage.act(silence(what, now + span(long), now)).unwrap()),
        ["unsilence", id] => {
            let silence = SilenceId(id.parse().unwrap());
            stage.act(Action::Unsilence { silence, by: "anna".into() }).unwrap();
        }
        ["restart"] => stage.restart(),
        [id, "=", ..] => {
            let want = what.split_once("= ").map(|(_, want)| want).unwrap_or_default();
            assert_eq!(stage.told(id.parse().unwrap()), want, "at `{step}`; events: {:#?}", stage.events);
        }
        _ => panic!("no such step: {step}"),
    }
}

fn scenario(settings: Settings, script: &str) -> Stage {
    let mut stage = Stage::new(settings);
    script.split(';').map(str::trim).filter(|step| !step.is_empty()).for_each(|step| play(&mut stage, step));
    stage
}

fn all(scripts: &[&str]) {
    for script in scripts {
        scenario(settings(), script);
    }
}

#[test]
fn alerts_fire_and_are_over() {
    all(&[
        "0s fire A; 0s 1 = firing critical rings 1 step 0 due 0s; 30s over A;
         30s 1 = recovering critical rings 1 step 0 due 0s; 89s 1 = recovering critical rings 1 step 0 due 0s;
         90s 1 = resolved critical rings 1 step 0 due 0s; 3h 1 = none",
        // A warning waits for what belongs to it; something critical does not.
        "0s fire W; 0s 1 = firing warning rings 1 step 0 due 10s; 5s fire V; 5s 1 = firing warning rings 1 step 0 due 10s",
        "0s fire W; 5s fire A; 5s 1 = firing critical rings 1 step 0 due 5s",
        // One that fires again within the hold-down is the same; later it is another.
        "0s fire A; 30s over A; 60s fire A; 60s 1 = firing critical rings 1 step 0 due 0s; 61s 2 = none",
        "0s fire A; 30s over A; 91s fire A; 91s 1 = resolved critical rings 1 step 0 due 0s;
         91s 2 = firing critical rings 1 step 0 due 91s",
        // Different subjects are different incidents, and the watchdog is none.
        "0s fire A X P; 0s 1 = firing critical rings 1 step 0 due 0s; 0s 2 = firing critical rings 1 step 0 due 0s; 0s 3 = none",
        // It lasts as long as one of them fires, and is as bad as the worst of them.
        "0s fire A W; 30s over A; 30s 1 = firing warning rings 1 step 0 due 0s; 40s over W;
         40s 1 = recovering warning rings 1 step 0 due 0s; 100s 1 = resolved critical rings 1 step 0 due 0s",
        // An end without a beginning is nothing.
        "0s over A; 0s 1 = none",
    ]);
}

#[test]
fn repeats_and_old_reports_change_nothing() {
    all(&[
        "0s fire A; 10s again A; 20s again A A; 20s 1 = firing critical rings 1 step 0 due 0s",
        "0s fire A; 10s late A; 10s 1 = firing critical rings 1 step 0 due 0s",
        // A report that its end has overtaken; a minute later it is news.
        "0s fire A; 10s over A; 11s again A; 11s 1 = recovering critical rings 1 step 0 due 0s",
    ]);
    let mut stage =
        scenario(settings(), "0s fire A; 10s over A; 70s 1 = resolved critical rings 1 step 0 due 0s");
    stage.on(vec![report(labels_of("A"), true, begin())]);
    assert_eq!(stage.told(2), "firing critical rings 1 step 0 due 70s");
}

#[test]
fn alerts_expire_unless_they_are_repeated() {
    all(&[
        "0s until A 5m; 299s 1 = firing critical rings 1 step 0 due 0s; 300s 1 = recovering critical rings 1 step 0 due 0s",
        "0s until W 5m; 60s until W 6m; 359s 1 = firing warning rings 1 step 0 due 10s;
         360s 1 = recovering warning rings 1 step 0 due 10s; 420s 1 = resolved warning rings 1 step 0 due 10s",
        // After a restart the source gets time to repeat it.
        "0s until W 5m; 290s restart; 589s 1 = firing warning rings 1 step 0 due 10s;
         590s 1 = recovering warning rings 1 step 0 due 10s",
        // What has expired and is reported again fires again, though it began when it did.
        "0s until W 5m; 310s until W 10m; 310s 1 = firing warning rings 1 step 0 due 10s",
        // Its end has passed already.
        "60s until W 1m; 60s 1 = none",
    ]);
}

#[test]
fn what_gets_worse_rings() {
    all(&[
        "0s fire W; 20s fire A; 20s 1 = firing critical rings 2 step 0 due 10s",
        "0s fire I; 20s fire W; 20s 1 = firing warning rings 2 step 0 due 10s",
        "0s fire W; 20s fire V; 20s 1 = firing warning rings 1 step 0 due 10s",
        "0s fire A; 20s fire B; 20s 1 = firing critical rings 1 step 0 due 0s",
        "0s fire W; 20s ack 1; 30s fire V; 30s 1 = acked warning rings 1 step 0 due 10s;
         40s fire A; 40s 1 = firing critical rings 2 step 0 due 10s",
        // What was as bad before does not end an acknowledgement.
        "0s fire A W; 10s ack 1; 20s over A; 20s 1 = acked warning rings 1 step 0 due 0s; 90s fire A;
         90s 1 = acked critical rings 1 step 0 due 0s",
    ]);
}

#[test]
fn acknowledgements_hold_and_lapse() {
    all(&[
        "0s fire A; 60s ack 1; 20m 1 = acked critical rings 1 step 0 due 0s; 60m 1 = acked critical rings 1 step 0 due 0s;
         61m 1 = firing critical rings 2 step 0 due 3660s; 66m 1 = firing critical rings 3 step 1 due 3660s",
        "0s fire W; 60s ack 1; 5h 1 = acked warning rings 1 step 0 due 10s",
        // Taken once more in time.
        "0s fire A; 60s ack 1; 50m ack 1; 100m 1 = acked critical rings 1 step 0 due 0s;
         110m 1 = firing critical rings 2 step 0 due 6600s",
        // Over and back: still taken. Over when it lapses: it rings when it is back.
        "0s fire A; 60s ack 1; 70s over A; 80s fire A; 80s 1 = acked critical rings 1 step 0 due 0s",
        "0s fire A; 60s ack 1; 3650s over A; 3680s fire A; 3680s 1 = firing critical rings 2 step 0 due 3680s",
        "0s fire A; 60s ack 1; 10m restart; 61m 1 = firing critical rings 2 step 0 due 3660s",
    ]);
}

#[test]
fn nobody_answers_and_the_ladder_is_climbed() {
    all(&[
        "0s fire A; 299s 1 = firing critical rings 1 step 0 due 0s; 300s 1 = firing critical rings 2 step 1 due 0s;
         899s 1 = firing critical rings 2 step 1 due 0s; 900s 1 = firing critical rings 3 step 2 due 0s;
         9h 1 = firing critical rings 3 step 2 due 0s",
        "0s fire A; 299s ack 1; 20m 1 = acked critical rings 1 step 0 due 0s",
        "0s fire A; 310s ack 1; 20m 1 = acked critical rings 2 step 1 due 0s",
        "0s fire W; 9h 1 = firing warning rings 1 step 0 due 10s",
        "0s fire A; 299s over A; 310s 1 = recovering critical rings 1 step 0 due 0s",
        // Silenced it waits; afterwards it begins anew.
        "0s fire A; 60s silence customer=7 10m; 610s 1 = firing critical rings 1 step 0 due 0s silenced 1;
         660s 1 = firing critical rings 2 step 0 due 660s; 960s 1 = firing critical rings 3 step 1 due 660s",
        "0s fire A; 100s restart; 300s 1 = firing critical rings 2 step 1 due 0s",
    ]);
}

#[test]
fn what_comes_and_goes_is_told_once() {
    let flaps = "0s fire A; 30s over A; 60s fire A; 90s over A; 120s fire A;
                 120s 1 = firing critical rings 1 step 0 due 0s flapping";
    all(&[
        flaps,
        // No sound and no escalation, and it is not over before it was still.
        &format!("{flaps}; 150s over A; 400s 1 = recovering critical rings 1 step 0 due 0s flapping;
                  410s fire A; 10m 1 = firing critical rings 1 step 0 due 0s flapping; 11m over A;
                  1559s 1 = recovering critical rings 1 step 0 due 0s flapping;
                  1560s 1 = resolved critical rings 1 step 0 due 0s"),
        // Still firing when it is still: what nobody took is paged further.
        &format!("{flaps}; 1019s 1 = firing critical rings 1 step 0 due 0s flapping;
                  1020s 1 = firing critical rings 2 step 2 due 0s"),
        // Slower than the hold-down: each is a new incident, until they are too many.
        "0s fire W; 30s over W; 100s fire W; 130s over W; 200s fire W; 200s 3 = firing warning rings 1 step 0 due 210s flapping;
         230s over W; 400s fire W; 400s 3 = firing warning rings 1 step 0 due 210s flapping; 401s 4 = none",
        // Worse than it ever was is heard.
        "0s fire W; 30s over W; 60s fire W; 90s over W; 120s fire W; 130s fire A;
         130s 1 = firing critical rings 2 step 0 due 10s flapping; 140s over A; 150s fire A;
         150s 1 = firing critical rings 2 step 0 due 10s flapping",
        &format!("{flaps}; 130s restart; 140s 1 = firing critical rings 1 step 0 due 0s flapping;
                  1020s 1 = firing critical rings 2 step 2 due 0s"),
    ]);
    let stage = scenario(settings(), flaps);
    assert_eq!(stage.events.iter().filter(|e| e.kind == EventKind::Flapping).count(), 1);
}

#[test]
fn silences_keep_quiet_and_end() {
    all(&[
        // Silenced before: never shown until it ends, then it rings.
        "0s silence alertname=A 30m; 10s fire A; 10s 1 = firing critical rings 0 step 0 due never silenced 1;
         1799s 1 = firing critical rings 0 step 0 due never silenced 1; 30m 1 = firing critical rings 1 step 0 due 1800s",
        "0s silence alertname=A 30m; 10s fire A; 60s unsilence 1; 60s 1 = firing critical rings 1 step 0 due 60s",
        // Over when the silence ends: nothing is heard.
        "0s silence alertname=A 30m; 10s fire A; 60s over A; 120s 1 = resolved critical rings 0 step 0 due never silenced 1",
        // Only if all of it is silenced.
        "0s silence alertname=W 30m; 10s fire W A; 10s 1 = firing critical rings 1 step 0 due 10s;
         20s over A; 20s 1 = firing warning rings 1 step 0 due 10s silenced 1;
         30s fire A; 30s 1 = firing critical rings 2 step 0 due 30s",
        // Two silences: the second still holds.
        "0s fire A; 1s silence customer=7 10m; 2s silence service=web 20m; 10m 1 = firing critical rings 1 step 0 due 0s silenced 1;
         15m 1 = firing critical rings 1 step 0 due 0s silenced 2; 21m 1 = firing critical rings 2 step 0 due 1202s",
        "0s fire A; 1s ack 1; 2s silence customer=7 10m; 15m 1 = acked critical rings 1 step 0 due 0s",
        "0s fire A; 1s silence customer=7 10m; 5m restart; 5m 1 = firing critical rings 1 step 0 due 0s silenced 1;
         11m 1 = firing critical rings 2 step 0 due 601s",
    ]);
    let mut stage = scenario(settings(), "0s fire A X Y");
    let later = begin() + span("10m");
    stage.act(silence("customer=7", later + span("1h"), later)).unwrap();
    play(&mut stage, "599s 1 = firing critical rings 2 step 1 due 0s");
    play(&mut stage, "600s 1 = firing critical rings 2 step 1 due 0s silenced 1");
    // Changed: of another customer from now on.
    let Action::Silence { matchers, by, comment, .. } = silence("customer=8", later, later) else { panic!() };
    let (starts_at, ends_at, id) = (later, later + span("2h"), Some(SilenceId(1)));
    stage.act(Action::Silence { matchers, starts_at, ends_at, by, comment, id }).unwrap();
    assert_eq!(stage.told(1), "firing critical rings 3 step 1 due 600s");
    assert_eq!(stage.told(2), "firing critical rings 2 step 1 due 0s silenced 1");
    assert_eq!(stage.desk.would_mute(&[equal("customer", "7")]), [IncidentId(1)]);
    assert_eq!(stage.desk.would_mute(&[equal("service", "db")]), [IncidentId(2), IncidentId(3)]);
    assert!(stage.desk.would_mute(&[]).is_empty());
    assert_eq!(stage.desk.silences().len(), 1);
}

fn rack() -> Settings {
    let source = vec![equal("alertname", "RackDown")];
    let target = vec![equal("severity", "warning")];
    let inhibit = vec![Inhibit { source, target, equal: vec!["rack".into()] }];
    Settings { inhibit, ..settings() }
}

#[test]
fn what_is_explained_is_quiet() {
    for script in [
        // The larger one first.
        "0s fire H; 1s fire R S; 1s 2 = firing critical rings 0 step 0 due never inhibited 1;
         1s 3 = firing critical rings 1 step 0 due 1s",
        // The explained one first: its card is edited, and it rings no more.
        "0s fire R; 10s fire H; 10s 1 = firing critical rings 1 step 0 due 0s inhibited 2;
         20m 1 = firing critical rings 1 step 0 due 0s inhibited 2",
        // The host is back: what runs on it gets the hold-down to be over as well.
        "0s fire H; 1s fire R; 60s over H; 100s 2 = firing critical rings 0 step 0 due never inhibited 1;
         119s over R; 200s 2 = resolved critical rings 0 step 0 due never inhibited 1",
        "0s fire H; 1s fire R; 60s over H; 120s 2 = firing critical rings 1 step 0 due 120s",
        "0s fire H; 1s fire R; 10s restart; 10s 2 = firing critical rings 0 step 0 due never inhibited 1;
         60s over H; 70s restart; 70s 2 = firing critical rings 0 step 0 due never inhibited 1;
         120s 2 = firing critical rings 1 step 0 due 120s",
        // Configured: only in the same rack.
        "0s fire K L M; 0s 2 = firing warning rings 0 step 0 due never inhibited 1;
         0s 3 = firing warning rings 1 step 0 due 10s",
    ] {
        scenario(rack(), script);
    }
}

#[test]
fn two_alerts_never_silence_each_other() {
    let mut both = rack();
    let (a, x) = (vec![equal("alertname", "A")], vec![equal("alertname", "X")]);
    both.inhibit.push(Inhibit { source: a.clone(), target: x.clone(), equal: vec![] });
    both.inhibit.push(Inhibit { source: x, target: a, equal: vec![] });
    scenario(
        both,
        "0s fire A; 1s fire X; 1s 1 = firing critical rings 1 step 0 due 0s;
         1s 2 = firing critical rings 0 step 0 due never inhibited 1; 2s restart;
         2s 1 = firing critical rings 1 step 0 due 0s; 2s 2 = firing critical rings 0 step 0 due never inhibited 1",
    );
}

#[test]
fn changed_rules_hold_for_what_fires() {
    let mut stage = scenario(settings(), "0s fire K L; 0s 2 = firing warning rings 1 step 0 due 10s");
    stage.desk.set(rack());
    play(&mut stage, "20s 2 = firing warning rings 1 step 0 due 10s inhibited 1");
    stage.desk.set(settings());
    play(&mut stage, "30s 2 = firing warning rings 2 step 0 due 20s");
}

#[test]
fn warnings_in_quiet_hours_wait_for_the_digest() {
    // It begins at 12:00.
    let quiet = |window: &str| Settings { quiet: Some(window.parse().unwrap()), ..settings() };
    for script in [
        "0s fire W; 0s 1 = firing warning rings 0 step 0 due never quiet; 90m 1 = firing warning rings 0 step 0 due never quiet",
        "0s fire A; 0s 1 = firing critical rings 1 step 0 due 0s",
        "0s fire W; 5m fire A; 5m 1 = firing critical rings 1 step 0 due 300s",
        "0s fire W; 5m fire V; 5m 1 = firing warning rings 0 step 0 due never quiet",
        // Something new of it outside of them is heard.
        "0s fire W; 90m fire V; 90m 1 = firing warning rings 1 step 0 due 5400s",
        "0s fire W; 1s silence customer=7 10m; 1s 1 = firing warning rings 0 step 0 due never silenced 1;
         11m 1 = firing warning rings 0 step 0 due never quiet; 12m restart; 12m 1 = firing warning rings 0 step 0 due never quiet",
        "0s fire I A; 1m over A; 10m fire W; 10m 1 = firing warning rings 1 step 0 due 0s",
    ] {
        scenario(quiet("daily 11:00-13:00 UTC"), script);
    }
    let stage = scenario(quiet("daily 11:00-13:00 UTC"), "0s fire W X");
    assert_eq!(stage.desk.quiet().map(|i| i.id.0).collect::<Vec<_>>(), [1]);
    scenario(quiet("daily 22:00-08:00 UTC"), "0s fire W; 0s 1 = firing warning rings 1 step 0 due 10s");
}

#[test]
fn a_clock_that_jumps_loses_nothing() {
    let mut stage = scenario(settings(), "0s fire W; 10s until A 5m");
    // The machine slept for two hours: the source could not repeat.
    stage.now = begin() + span("2h");
    stage.on(vec![report(labels_of("X"), true, stage.now)]);
    assert_eq!(stage.told(1), "firing critical rings 3 step 2 due 10s");
    stage.until(stage.now + span("5m"));
    assert_eq!(stage.told(1), "firing warning rings 3 step 2 due 10s");
    // And the clock was set back to long before.
    stage.now = begin() - span("9h");
    stage.on(vec![report(labels_of("W"), true, stage.now), report(labels_of("X"), false, begin())]);
    assert_eq!(stage.told(1), "firing warning rings 3 step 2 due -32400s");
    assert_eq!(stage.told(2), "recovering critical rings 2 step 1 due -32400s");
    stage.on(vec![report(labels_of("Y"), true, stage.now)]);
    stage.until(stage.now + Duration::from_secs(100));
    assert_eq!(stage.told(2), "resolved critical rings 2 step 1 due -32400s");
}

#[test]
fn the_board_hears_of_every_change_once() {
    let mut stage = scenario(settings(), "0s fire A X; 1s fire B");
    let seq = stage.desk.seq();
    assert_eq!(stage.desk.changed_since(0).map(|id| id.0).collect::<Vec<_>>(), [2, 1]);
    play(&mut stage, "10s again X");
    assert_eq!(stage.desk.changed_since(seq).count(), 0);
    play(&mut stage, "20s over X");
    assert_eq!(stage.desk.changed_since(seq).map(|id| id.0).collect::<Vec<_>>(), [2]);
    let order: Vec<_> = stage.desk.open().iter().map(|i| i.id.0).collect();
    assert_eq!(order, [1, 2]);
    play(&mut stage, "90s 2 = resolved critical rings 1 step 0 due 0s");
    let seq = stage.desk.seq();
    play(&mut stage, "2h 2 = none");
    assert!(stage.desk.changed_since(seq).any(|id| id.0 == 2), "that it left is told");
}

#[test]
fn what_is_put_on_the_desk_and_taken_off_is_told_as_changed() {
    let stage = scenario(settings(), "0s fire A; 0s 1 = firing critical rings 1 step 0 due 0s");
    let (id, mut desk) = (IncidentId(1), Stage::new(settings()).desk);
    for _ in 0..2 {
        desk.put(stage.kept.incidents[&id].clone(), stage.kept.alerts.values().cloned().collect());
        assert_eq!(desk.changed_since(0).collect::<Vec<_>>(), [id]);
    }
    assert_eq!(desk.alerts_of(id).len(), 1);
    let seq = desk.seq();
    desk.take_off(id);
    assert_eq!(desk.changed_since(seq).collect::<Vec<_>>(), [id]);
    assert!(desk.incident(id).is_none());
}

#[test]
fn what_makes_no_sense_is_refused() {
    let mut stage =
        scenario(settings(), "0s fire A; 1s over A; 100s 1 = resolved critical rings 1 step 0 due 0s");
    let now = stage.now;
    let regex = Matcher { is_regex: true, ..equal("a", "(") };
    let ack = |id| Action::Ack { incident: IncidentId(id), by: "anna".into() };
    let with = |matchers: Vec<Matcher>| Action::Silence {
        matchers,
        starts_at: now,
        ends_at: now + span("1h"),
        by: "anna".into(),
        comment: String::new(),
        id: None,
    };
    let table = [
        (ack(1), "is over already"),
        (ack(9), "no open incident 9"),
        (Action::Unsilence { silence: SilenceId(4), by: "anna".into() }, "no silence 4"),
        (silence("a=b", now, now), "over before it begins"),
        (silence("a=b", now + span("1h"), now + span("2h")), "over before it begins"),
        (with(vec![]), "keep everything quiet"),
        (with(vec![Matcher { is_regex: true, ..equal("a", ".*") }]), "keep everything quiet"),
        (with(vec![regex]), "no regular expression"),
        (with(vec![equal("1", "x")]), "no label's name"),
        (with(vec![equal("a", "x"); 51]), "at most 50"),
        (with(vec![equal("a", &"x".repeat(3000))]), "longer than"),
    ];
    for (action, part) in table {
        let error = stage.act(action.clone()).unwrap_err().0;
        assert!(error.contains(part), "{action:?}: {error}");
    }
    assert!(!matches(
        &[Matcher { is_regex: true, ..equal("a", "(") }],
        &Default::default(),
        &Default::default()
    ));
}

#[test]
fn words_that_change_are_written_at_most_every_minute() {
    let mut stage = scenario(settings(), "0s fire W");
    let reworded = |text: &str| {
        let mut incoming = report(labels_of("W"), true, begin());
        incoming.signal.annotations.insert("summary".into(), text.into());
        vec![incoming]
    };
    for (at, text, written) in
        [("10s", "x 1", false), ("59s", "x 2", false), ("60s", "x 2", true), ("61s", "x 2", false)]
    {
        stage.until(begin() + span(at));
        let changes = stage.on(reworded(text));
        assert_eq!(!changes.is_empty(), written, "at {at}");
        assert_eq!(stage.desk.alerts_of(IncidentId(1))[0].signal.annotations["summary"], text);
    }
}

#[test]
fn many_alerts_that_are_over_do_not_pile_up() {
    let mut stage = Stage::new(settings());
    let pod = |n: usize| format!("alertname=Pod customer=7 service=web pod=p{n}");
    stage.on(vec![report(labels_of("A"), true, begin())]);
    for n in 0..1000 {
        stage.on(vec![report(&pod(n), true, stage.now)]);
        stage.on(vec![report(&pod(n), false, stage.now)]);
    }
    assert!(stage.desk.alerts().count() <= 202, "{}", stage.desk.alerts().count());
    assert_eq!(stage.told(1), "firing critical rings 1 step 0 due 0s");
}
