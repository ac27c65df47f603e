//! What is known of a container that was looked at closely.

use std::fmt;

use jiff::Timestamp;

use super::wire;
use crate::domain::{ContainerRef, Untrusted};

/// What the engine says a container does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// Made, never started.
    Created,
    /// Runs.
    Running,
    /// Frozen by a person.
    Paused,
    /// Ended, and the engine is about to start it again.
    Restarting,
    /// Ended.
    Exited,
    /// Being removed.
    Removing,
    /// Half removed, of no use.
    Dead,
    /// A word that this program does not know.
    Unknown,
}

impl State {
    pub(super) fn read(word: &str) -> Self {
        match word {
            "created" => Self::Created,
            "running" => Self::Running,
            "paused" => Self::Paused,
            "restarting" => Self::Restarting,
            "exited" => Self::Exited,
            "removing" => Self::Removing,
            "dead" => Self::Dead,
            _ => Self::Unknown,
        }
    }

    /// The word on screen.
    pub fn word(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Restarting => "restarting",
            Self::Exited => "exited",
            Self::Removing => "removing",
            Self::Dead => "dead",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// What a container's own health check says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Health {
    /// It has no check.
    None,
    /// Not decided yet.
    Starting,
    /// The check passes.
    Healthy,
    /// The check fails.
    Unhealthy,
}

impl Health {
    pub(super) fn read(word: &str) -> Self {
        match word {
            "starting" => Self::Starting,
            "healthy" => Self::Healthy,
            "unhealthy" => Self::Unhealthy,
            _ => Self::None,
        }
    }

    /// The list of older engines has health only in its status text: `Up 2 minutes (healthy)`.
    pub(super) fn read_status(status: &str) -> Self {
        if status.contains("(unhealthy)") {
            Self::Unhealthy
        } else if status.contains("(healthy)") {
            Self::Healthy
        } else if status.contains("(health: starting)") {
            Self::Starting
        } else {
            Self::None
        }
    }

    /// The word on screen.
    pub fn word(self) -> &'static str {
        match self {
            Self::None => "no health check",
            Self::Starting => "starting",
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
        }
    }
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

pub(super) fn is_id(text: &str) -> bool {
    (12..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric())
}

/// One run of a health check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthProbe {
    /// When it ended.
    pub at: Option<Timestamp>,
    /// Its exit code; 0 passes.
    pub exit_code: i64,
    /// What it printed, cut to 500 bytes.
    pub output: Untrusted,
}

/// A container seen closely.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerInfo {
    /// Which one.
    pub r: ContainerRef,
    /// The image's name.
    pub image: String,
    /// What it does.
    pub state: State,
    /// What its health check says.
    pub health: Health,
    /// How many checks in a row have failed.
    pub failing_streak: i64,
    /// How often the engine restarted it since a person last did.
    pub restart_count: i64,
    /// The engine's restart policy (`no`, `always`, `on-failure`, `unless-stopped`).
    pub restart_policy: String,
    /// The exit code of its last end; 0 while it runs for the first time.
    pub exit_code: i64,
    /// The kernel killed it for its memory.
    pub oom_killed: bool,
    /// Why the engine could not start it, if so.
    pub error: Untrusted,
    /// When it last started.
    pub started_at: Option<Timestamp>,
    /// When it last ended.
    pub finished_at: Option<Timestamp>,
    /// The last runs of its health check, oldest first.
    pub health_log: Vec<HealthProbe>,
}

impl ContainerInfo {
    pub(super) fn read(r: &ContainerRef, wire: wire::Inspect) -> Self {
        let health = wire.state.health.unwrap_or_default();
        let probes = health.log.unwrap_or_default();
        let skip = probes.len().saturating_sub(5);
        Self {
            r: r.clone(),
            image: Untrusted::new(&wire.config.image).cut(200).to_string(),
            state: State::read(&wire.state.status),
            health: Health::read(&health.status),
            failing_streak: health.failing_streak,
            restart_count: wire.restart_count,
            restart_policy: Untrusted::new(&wire.host_config.restart_policy.unwrap_or_default().name)
                .cut(32)
                .to_string(),
            exit_code: wire.state.exit_code,
            oom_killed: wire.state.oom_killed,
            error: Untrusted::new(wire.state.error.trim()).cut(300),
            started_at: read_time(&wire.state.started_at),
            finished_at: read_time(&wire.state.finished_at),
            health_log: probes
                .into_iter()
                .skip(skip)
                .map(|p| HealthProbe {
                    at: read_time(&p.end),
                    exit_code: p.exit_code,
                    output: Untrusted::new(p.output.trim()).cut(500),
                })
                .collect(),
        }
    }

    /// The last health check that failed, if the log still has one.
    pub fn last_failed_probe(&self) -> Option<&HealthProbe> {
        self.health_log.iter().rev().find(|p| p.exit_code != 0)
    }
}

/// The engine's times; its zero (`0001-01-01T00:00:00Z`) means never.
pub(super) fn read_time(text: &str) -> Option<Timestamp> {
    text.parse::<Timestamp>().ok().filter(|t| t.as_second() > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn health_is_read_from_the_words_of_a_list() {
        let table = [
            ("Up 2 minutes (healthy)", Health::Healthy),
            ("Up 2 minutes (unhealthy)", Health::Unhealthy),
            ("Up 1 second (health: starting)", Health::Starting),
            ("Up 3 hours", Health::None),
            ("Exited (1) 2 minutes ago", Health::None),
        ];
        for (status, want) in table {
            assert_eq!(Health::read_status(status), want, "{status}");
        }
    }

    #[test]
    fn only_real_ids_pass_and_zero_times_mean_never() {
        assert!(is_id("c04ca641c435c5e1b60cbdf311287e92c07a5ede7a5180ed37f2f7e3fb775f8a"));
        assert!(!is_id("../../images/json?x="));
        assert!(!is_id(""));
        assert_eq!(read_time("0001-01-01T00:00:00Z"), None);
        assert_eq!(read_time("2026-11-21T10:30:04.88294998Z").map(|t| t.as_second()), Some(1_795_257_004));
    }
}
