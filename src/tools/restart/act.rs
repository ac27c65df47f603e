//! What is done to a container: its words, and when there is nothing left to do.

use crate::docker::State;

/// What a write does to each of its containers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::tools) enum Act {
    Start,
    Stop,
    Restart,
}

impl Act {
    /// `start`.
    pub fn verb(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Restart => "restart",
        }
    }

    /// `started`.
    pub fn past(self) -> &'static str {
        match self {
            Self::Start => "started",
            Self::Stop => "stopped",
            Self::Restart => "restarted",
        }
    }

    /// `starting`.
    pub fn doing(self) -> &'static str {
        match self {
            Self::Start => "starting",
            Self::Stop => "stopping",
            Self::Restart => "restarting",
        }
    }

    /// How a container is afterwards: `running`.
    pub fn goal(self) -> &'static str {
        if self == Self::Stop { "stopped" } else { "running" }
    }

    /// Whether a container in that state is already as it should be. One that the engine keeps restarting is neither
    /// up nor down.
    pub fn is_done(self, state: State) -> bool {
        match self {
            Self::Start => state == State::Running,
            Self::Stop => matches!(state, State::Created | State::Exited | State::Dead),
            Self::Restart => false,
        }
    }
}
