//! What happens to a host's containers, as the engine tells it: lines of JSON to events.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{
    DockerError,
    host::Host,
    info::{Health, is_id},
    wire,
};
use crate::domain::Untrusted;

/// No event is longer; an engine that sends more is none.
const MAX_EVENT: usize = 1 << 20;
/// The events of containers' lives and no others, as JSON in a URL: `{"type":["container"],"event":["start",…]}`.
const FILTERS: &str = "%7B%22type%22%3A%5B%22container%22%5D%2C%22event%22%3A%5B%22start%22%2C%22kill%22%2C\
    %22die%22%2C%22stop%22%2C%22oom%22%2C%22health_status%22%2C%22destroy%22%5D%7D";

/// Something that happened to a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerEvent {
    /// When, by the engine's clock.
    pub at: Timestamp,
    /// The container's full id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// What happened.
    pub happened: Happening,
}

/// What happened to a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Happening {
    /// It was started.
    Start,
    /// Somebody had the engine send it a signal, to end it or not.
    Kill {
        /// The signal's number, where the engine says it.
        signal: Option<i64>,
    },
    /// Its first process ended.
    Die {
        /// With this exit code.
        exit_code: i64,
    },
    /// Somebody had the engine stop it.
    Stop,
    /// The kernel killed a process of it for its memory.
    Oom,
    /// Its health check changed its mind.
    Health(Health),
    /// It was removed.
    Destroy,
}

impl ContainerEvent {
    /// None for a line that is of no interest, or that makes no sense.
    fn read(line: &[u8]) -> Option<Self> {
        let wire: wire::Event = serde_json::from_slice(line).ok()?;
        let (id, attributes) = (wire.actor.id, wire.actor.attributes);
        let happened = Happening::read(&wire.action, &attributes)?;
        let at = Timestamp::from_nanosecond(i128::from(wire.time_nano)).ok().filter(|_| wire.time_nano > 0);
        let at = at.or_else(|| Timestamp::from_second(wire.time).ok())?;
        let name = attributes.get("name").map(|name| Untrusted::new(name).cut(128).to_string());
        let name = name.unwrap_or_else(|| id.chars().take(12).collect());
        is_id(&id).then_some(Self { at, id, name, happened })
    }
}

impl Happening {
    fn read(action: &str, attributes: &BTreeMap<String, String>) -> Option<Self> {
        let number = |name: &str| attributes.get(name).and_then(|n| n.parse().ok());
        let (word, rest) = action.split_once(':').unwrap_or((action, ""));
        Some(match word {
            "start" => Self::Start,
            "kill" => Self::Kill { signal: number("signal") },
            "die" => Self::Die { exit_code: number("exitCode")? },
            "stop" => Self::Stop,
            "oom" => Self::Oom,
            "health_status" => Self::Health(Health::read(rest.trim())),
            "destroy" => Self::Destroy,
            _ => return None,
        })
    }
}

impl Host {
    pub(super) async fn events(
        &self,
        since: Option<Timestamp>,
        mut take: impl FnMut(ContainerEvent) -> bool,
    ) -> Result<(), DockerError> {
        let since = since
            .map_or_else(String::new, |t| format!("since={}.{:09}&", t.as_second(), t.subsec_nanosecond()));
        let path = format!("/events?{since}filters={FILTERS}");
        let mut open = Vec::new();
        let read = self.get("", &path, |piece| {
            if open.len() + piece.len() > MAX_EVENT {
                return Err(DockerError::garbage(self.name(), "an event too long"));
            }
            open.extend_from_slice(piece);
            while let Some(end) = open.iter().position(|b| *b == b'\n') {
                let line: Vec<u8> = open.drain(..=end).collect();
                if ContainerEvent::read(&line).is_some_and(|event| !take(event)) {
                    return Ok(false);
                }
            }
            Ok(true)
        });
        self.forgetting(read.await)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn lines_of_the_engine_become_events() {
        let table = [
            ("start", json!({}), Some(Happening::Start)),
            ("kill", json!({"signal": "15"}), Some(Happening::Kill { signal: Some(15) })),
            ("kill", json!({}), Some(Happening::Kill { signal: None })),
            ("die", json!({"exitCode": "137"}), Some(Happening::Die { exit_code: 137 })),
            ("die", json!({}), None),
            ("oom", json!({}), Some(Happening::Oom)),
            ("health_status: unhealthy", json!({}), Some(Happening::Health(Health::Unhealthy))),
            ("destroy", json!({}), Some(Happening::Destroy)),
            ("exec_create: sh -c x", json!({}), None),
        ];
        let id = "c".repeat(64);
        for (action, mut attributes, want) in table {
            attributes["name"] = json!("we\u{1b}[31mb");
            let line = json!({"Type": "container", "Action": action, "Actor": {"ID": id, "Attributes": attributes},
                "time": 1_795_257_004, "timeNano": 1_795_257_004_000_000_007_i64});
            let read = ContainerEvent::read(line.to_string().as_bytes());
            assert_eq!(read.as_ref().map(|e| e.happened.clone()), want, "{action}");
            if let Some(event) = read {
                assert_eq!((event.name.as_str(), event.at.subsec_nanosecond()), ("web", 7));
            }
        }
        assert_eq!(ContainerEvent::read(b"{}"), None);
        assert_eq!(ContainerEvent::read(br#"{"Action":"start","Actor":{"ID":"../x"},"time":1}"#), None);
    }
}
