//! Whether a container came up, or went down, judged look by look: pure.

use jiff::Timestamp;

use crate::docker::{ContainerInfo, Health, State};

/// What the looks so far say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Not decided yet.
    Wait,
    /// It is as it should be: it runs, its check passes, and it stayed so; or it has ended.
    Reached,
    /// It will not be; the reason follows its name.
    Missed(String),
}

/// Follows one container after it was changed.
#[derive(Debug)]
pub(super) struct Watch {
    goal: Goal,
    restarts_before: i64,
    settle_looks: u32,
    started: Option<Timestamp>,
    good: u32,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Goal {
    Up,
    Down,
}

impl Watch {
    /// Until it is up; `settle_looks` is how many looks in a row it must run.
    pub(super) fn up(before: &ContainerInfo, settle_looks: u32) -> Self {
        let restarts_before = before.restart_count;
        Self { goal: Goal::Up, restarts_before, settle_looks, started: None, good: 0 }
    }

    /// Until it has ended.
    pub(super) fn down(before: &ContainerInfo) -> Self {
        Self { goal: Goal::Down, started: before.started_at, ..Self::up(before, 0) }
    }

    /// Takes in what one look saw.
    pub(super) fn see(&mut self, info: &ContainerInfo) -> Verdict {
        match self.goal {
            Goal::Up => self.see_up(info),
            Goal::Down => self.see_down(info),
        }
    }

    fn see_down(&self, info: &ContainerInfo) -> Verdict {
        match info.state {
            State::Created | State::Exited | State::Dead => Verdict::Reached,
            State::Running if info.started_at > self.started => {
                Verdict::Missed("somebody started it again meanwhile".into())
            }
            State::Running | State::Paused | State::Restarting | State::Removing | State::Unknown => {
                Verdict::Wait
            }
        }
    }

    fn see_up(&mut self, info: &ContainerInfo) -> Verdict {
        match info.state {
            State::Exited | State::Dead => return Verdict::Missed(ended(info)),
            State::Restarting => return Verdict::Missed(format!("it keeps ending: {}", ended(info))),
            State::Removing => return Verdict::Missed("it is being removed".into()),
            State::Created | State::Paused | State::Unknown => {
                self.good = 0;
                return Verdict::Wait;
            }
            State::Running => {}
        }
        // The engine counts its own restarts from the last one that a person asked for.
        let crashed = info.restart_count > 0 && info.restart_count != self.restarts_before;
        let again = self.started.is_some() && self.started != info.started_at;
        if crashed || again {
            // While it runs the engine tells no exit code.
            let times =
                if info.restart_count > 1 { format!(" {} times", info.restart_count) } else { String::new() };
            return Verdict::Missed(format!("it ended and was started again by the engine{times}"));
        }
        self.started = info.started_at;
        self.good += 1;
        let healthy = matches!(info.health, Health::None | Health::Healthy);
        if healthy && self.good > self.settle_looks { Verdict::Reached } else { Verdict::Wait }
    }
}

fn ended(info: &ContainerInfo) -> String {
    let code = info.exit_code;
    let mut text = if info.oom_killed {
        format!("it was killed for using too much memory (exit code {code})")
    } else {
        format!("it ended with exit code {code}")
    };
    if info.restart_count > 0 {
        let times =
            if info.restart_count == 1 { "once".into() } else { format!("{} times", info.restart_count) };
        text += &format!(", restarted {times} by the engine");
    }
    text
}

/// Why it is not as it should be when time has run out.
pub(super) fn overdue(info: &ContainerInfo) -> String {
    match (info.state, info.health) {
        (State::Running, Health::Unhealthy) => {
            format!("it runs, but its health check fails ({} times in a row)", info.failing_streak)
        }
        (State::Running, Health::Starting) => "it runs, but its health check has not passed yet".into(),
        (State::Running, _) => "it has not been up long enough to tell".into(),
        (state, _) => format!("it is {state}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Untrusted;

    fn info(state: State, health: Health, restarts: i64, started: i64) -> ContainerInfo {
        ContainerInfo {
            r: crate::domain::ContainerRef {
                host: "local".into(),
                id: "a".repeat(64),
                name: "c".into(),
                service: "web".into(),
            },
            image: "i".into(),
            state,
            health,
            failing_streak: 0,
            restart_count: restarts,
            restart_policy: "no".into(),
            exit_code: 1,
            oom_killed: false,
            error: Untrusted::default(),
            started_at: Timestamp::from_second(started).ok(),
            finished_at: None,
            health_log: vec![],
        }
    }

    #[test]
    fn a_container_is_judged_look_by_look() {
        use Health as H;
        use State as S;
        let run = |health| (S::Running, health, 0, 1);
        type Looks<'a> = &'a [(State, Health, i64, i64)];
        let table: &[(&str, Looks<'_>, &str)] = &[
            ("runs and stays", &[run(H::None), run(H::None), run(H::None)], "wait wait up"),
            (
                "gets healthy late",
                &[run(H::Starting), run(H::Starting), run(H::Starting), run(H::Healthy)],
                "wait wait wait up",
            ),
            ("healthy too early", &[run(H::Healthy), run(H::Healthy), run(H::Healthy)], "wait wait up"),
            (
                "unhealthy may recover",
                &[run(H::Unhealthy), run(H::Unhealthy), run(H::Healthy)],
                "wait wait up",
            ),
            ("ends", &[run(H::None), (S::Exited, H::None, 0, 1)], "wait down"),
            ("loops", &[(S::Restarting, H::None, 3, 1)], "down"),
            ("was restarted between two looks", &[run(H::None), (S::Running, H::None, 0, 2)], "wait down"),
            ("was restarted before the first look", &[(S::Running, H::None, 1, 1)], "down"),
            ("the old count still stands", &[(S::Running, H::None, 5, 1); 3], "wait wait up"),
            ("is created first", &[(S::Created, H::None, 0, 0), run(H::None)], "wait wait"),
            ("is removed", &[(S::Removing, H::None, 0, 0)], "down"),
        ];
        for (what, looks, want) in table {
            let mut watch = Watch::up(&info(S::Running, H::None, 5, 0), 2);
            let seen = looks.iter().map(|(s, h, n, at)| match watch.see(&info(*s, *h, *n, *at)) {
                Verdict::Wait => "wait",
                Verdict::Reached => "up",
                Verdict::Missed(_) => "down",
            });
            assert_eq!(seen.collect::<Vec<_>>().join(" "), *want, "{what}");
        }
    }

    #[test]
    fn a_stop_is_over_when_it_has_ended() {
        let before = info(State::Running, Health::None, 0, 5);
        let table = [
            (State::Exited, 5, Verdict::Reached),
            (State::Created, 0, Verdict::Reached),
            (State::Running, 5, Verdict::Wait),
            (State::Paused, 5, Verdict::Wait),
            (State::Removing, 5, Verdict::Wait),
            (State::Running, 6, Verdict::Missed("somebody started it again meanwhile".into())),
        ];
        for (state, started, want) in table {
            let mut watch = Watch::down(&before);
            assert_eq!(watch.see(&info(state, Health::None, 0, started)), want, "{state}");
        }
    }
}
