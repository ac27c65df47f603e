//! Stories of containers: what happens, and what is reported.

use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_795_257_000 + second).unwrap()
}

fn bounds() -> Bounds {
    Bounds { settle: Duration::from_secs(30), loop_ends: 3, loop_within: Duration::from_secs(300) }
}

fn place() -> Place {
    (HostName::from("local"), "c19-web".to_owned())
}

fn about() -> About {
    About {
        customer: Some("19".into()),
        service: Some("web".into()),
        host: Some("local".into()),
        container: Some("c19-web".into()),
    }
}

enum Step {
    /// It happens; what an inspection would say.
    On(Happening, End),
    /// A look shows it so; the exit code of one that has ended.
    Look(State, Health, Option<i64>),
    /// The first look after a start.
    First(State, Health, Option<i64>, End),
    /// A look shows that it is gone.
    Gone,
    /// The host does not answer a look.
    Down,
}

use Step::{Down, First, Gone, Look, On};

const RESTARTS: End = End { restarts: true, oom_killed: false };
const STAYS: End = End { restarts: false, oom_killed: false };

fn die(exit_code: i64) -> Happening {
    Happening::Die { exit_code }
}

fn kill(signal: i64) -> Step {
    On(Happening::Kill { signal: Some(signal) }, STAYS)
}

fn step(watch: &mut Watch, second: i64, step: Step) -> Vec<Signal> {
    let now = at(second);
    let glance = |state, health, exit_code, end| Glance {
        place: place(),
        about: about(),
        state,
        health,
        exit_code,
        end,
    };
    match step {
        On(happened, end) => {
            let event = ContainerEvent { at: now, id: "c".repeat(64), name: place().1, happened };
            watch.on(&place(), &event, &about(), end)
        }
        Look(state, health, code) => watch.look(&[glance(state, health, code, STAYS)], &[], false, now),
        First(state, health, code, end) => watch.look(&[glance(state, health, code, end)], &[], true, now),
        Gone => watch.look(&[], &[], false, now),
        Down => watch.look(&[], &[place().0], false, now),
    }
}

fn names(signals: &[Signal]) -> String {
    let one = |s: &Signal| format!("{}{}", if s.firing { "+" } else { "-" }, s.labels["alertname"]);
    signals.iter().map(one).collect::<Vec<_>>().join(" ")
}

#[test]
#[allow(clippy::too_many_lines, reason = "a table of stories")]
fn stories() {
    let running = || Look(State::Running, Health::None, None);
    let story = |name: &'static str, steps: Vec<(i64, Step, &'static str)>| (name, steps);
    let stories = vec![
        story(
            "it dies and stays down until somebody starts it",
            vec![
                (0, On(die(1), STAYS), "+ContainerDied"),
                (10, Look(State::Exited, Health::None, Some(1)), ""),
                (20, On(Happening::Start, STAYS), ""),
                (21, running(), ""),
                (50, running(), ""),
                (51, running(), "-ContainerDied"),
                (61, running(), ""),
            ],
        ),
        story(
            "a person stops it",
            vec![
                (0, kill(15), ""),
                (10, On(die(143), STAYS), ""),
                (10, On(Happening::Stop, STAYS), ""),
                (11, Look(State::Exited, Health::None, Some(143)), ""),
            ],
        ),
        story("a person kills it", vec![(0, kill(9), ""), (0, On(die(137), STAYS), "")]),
        story(
            "told to read its configuration again, it dies of it much later",
            vec![(0, kill(1), ""), (5, On(die(1), STAYS), "+ContainerDied")],
        ),
        story(
            "a stop that was asked for long ago explains nothing",
            vec![(0, kill(15), ""), (700, On(die(1), STAYS), "+ContainerDied")],
        ),
        story(
            "it is killed from outside Docker",
            vec![
                (0, On(die(137), STAYS), "+ContainerDied"),
                (1, On(Happening::Destroy, STAYS), "-ContainerDied"),
            ],
        ),
        story("it ends well", vec![(0, On(die(0), STAYS), ""), (1, On(die(0), STAYS), "")]),
        story(
            "out of memory is told once, as what it is",
            vec![
                (0, On(Happening::Oom, STAYS), "+ContainerOomKilled"),
                (1, On(die(137), End { restarts: false, oom_killed: true }), ""),
                (2, Gone, "-ContainerOomKilled"),
            ],
        ),
        story(
            "out of memory is known by the inspection alone",
            vec![(1, On(die(137), End { restarts: false, oom_killed: true }), "+ContainerOomKilled")],
        ),
        story(
            "a restart loop, with any exit code, until it has run for as long",
            vec![
                (0, On(die(0), RESTARTS), ""),
                (60, On(die(0), RESTARTS), ""),
                (120, On(die(0), RESTARTS), "+ContainerRestarting"),
                (180, On(die(2), RESTARTS), "+ContainerDied"),
                (190, running(), ""),
                (225, running(), "-ContainerDied"),
                (489, running(), ""),
                (490, running(), "-ContainerRestarting"),
            ],
        ),
        story(
            "three ends over a longer time are no loop",
            vec![
                (0, On(die(0), RESTARTS), ""),
                (200, On(die(0), RESTARTS), ""),
                (400, On(die(0), RESTARTS), ""),
            ],
        ),
        story(
            "ends by a person's hand are no loop",
            vec![
                (0, kill(15), ""),
                (0, On(die(0), RESTARTS), ""),
                (1, On(Happening::Start, STAYS), ""),
                (2, kill(15), ""),
                (2, On(die(0), RESTARTS), ""),
                (3, On(Happening::Start, STAYS), ""),
                (4, kill(15), ""),
                (4, On(die(0), RESTARTS), ""),
            ],
        ),
        story(
            "unhealthy, and again in between",
            vec![
                (0, On(Happening::Health(Health::Unhealthy), STAYS), "+ContainerUnhealthy"),
                (5, Look(State::Running, Health::Unhealthy, None), ""),
                (10, On(Happening::Health(Health::Healthy), STAYS), ""),
                (11, Look(State::Running, Health::Healthy, None), ""),
                (20, On(Happening::Health(Health::Unhealthy), STAYS), ""),
                (45, Look(State::Running, Health::Healthy, None), ""),
                (74, Look(State::Running, Health::Healthy, None), ""),
                (75, Look(State::Running, Health::Healthy, None), "-ContainerUnhealthy"),
            ],
        ),
        story(
            "a person stops what is broken",
            vec![
                (0, On(Happening::Health(Health::Unhealthy), STAYS), "+ContainerUnhealthy"),
                (5, kill(15), ""),
                (6, On(die(143), STAYS), ""),
                (7, Look(State::Exited, Health::None, Some(143)), "-ContainerUnhealthy"),
            ],
        ),
        story(
            "a look sees what no event told",
            vec![(0, Look(State::Running, Health::Unhealthy, None), "+ContainerUnhealthy")],
        ),
        story(
            "a host that does not answer resolves nothing and is an alert itself",
            vec![
                (0, On(die(1), STAYS), "+ContainerDied"),
                (10, Down, ""),
                (20, Down, ""),
                (30, Down, "+DockerDown"),
                (40, Down, ""),
                (50, Gone, "-DockerDown -ContainerDied"),
            ],
        ),
        story(
            "broken at the start",
            vec![(0, First(State::Exited, Health::None, Some(2), STAYS), "+ContainerDied")],
        ),
        story("stopped at the start", vec![(0, First(State::Exited, Health::None, Some(143), STAYS), "")]),
        story(
            "out of memory at the start",
            vec![(
                0,
                First(State::Exited, Health::None, Some(137), End { restarts: false, oom_killed: true }),
                "+ContainerOomKilled",
            )],
        ),
        story(
            "a loop at the start",
            vec![(0, First(State::Restarting, Health::None, None, STAYS), "+ContainerRestarting")],
        ),
    ];
    for (name, steps) in stories {
        let mut watch = Watch::new(bounds(), vec![]);
        for (second, what, want) in steps {
            assert_eq!(names(&step(&mut watch, second, what)), want, "{name}, at {second}");
        }
    }
}

#[test]
fn a_container_that_comes_back_by_itself_is_a_warning() {
    let mut watch = Watch::new(bounds(), vec![]);
    let report = step(&mut watch, 0, On(die(1), RESTARTS));
    assert_eq!(report[0].labels["severity"], "warning");
    assert!(report[0].annotations["summary"].contains("c19-web died with exit code 1"), "{report:?}");
    let worse = step(&mut watch, 1, On(die(1), STAYS));
    assert_eq!(names(&worse), "-ContainerDied +ContainerDied");
    assert_eq!(worse[1].labels["severity"], "critical");
    let want = ["alertname", "container", "customer", "host", "service", "severity"];
    assert_eq!(worse[1].labels.keys().map(String::as_str).collect::<Vec<_>>(), want);
}

#[test]
fn what_fired_before_a_restart_is_over_when_it_is() {
    let fired = step(&mut Watch::new(bounds(), vec![]), 0, On(die(1), STAYS));
    let again = || Watch::new(bounds(), fired.clone());
    let mut watch = again();
    assert_eq!(names(&step(&mut watch, 5, First(State::Exited, Health::None, Some(1), STAYS))), "");
    assert_eq!(names(&step(&mut watch, 6, Gone)), "-ContainerDied");
    let mut watch = again();
    assert_eq!(names(&step(&mut watch, 5, First(State::Running, Health::None, None, STAYS))), "");
    assert_eq!(names(&step(&mut watch, 40, Look(State::Running, Health::None, None))), "-ContainerDied");
}
