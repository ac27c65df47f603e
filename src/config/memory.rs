//! `[memory]`: how much of a conversation a prompt may hold, and how long histories and notes are kept.

use std::time::Duration;

use serde::{Serialize, Serializer};

use super::reader::{Reader, shown};

const DAY: Duration = Duration::from_secs(24 * 3600);
const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

/// `[memory]`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct MemoryConfig {
    /// The share of the context (without the answer's room) that a conversation may fill before it is condensed.
    pub budget: f64,
    /// What was said longer ago than so many days is deleted.
    pub history_days: u32,
    /// The most notes that one person has.
    pub notes_max: usize,
    /// The longest that a note is kept; none means until it is deleted.
    #[serde(serialize_with = "lifetime")]
    pub note_lifetime: Option<Duration>,
}

impl Default for MemoryConfig {
    fn default() -> Self {
        Self { budget: 0.6, history_days: 30, notes_max: 100, note_lifetime: None }
    }
}

pub(super) fn memory(r: &mut Reader<'_>) -> MemoryConfig {
    let usual = MemoryConfig::default();
    MemoryConfig {
        budget: r.number("budget", 0.2, 0.8).unwrap_or(usual.budget),
        history_days: r
            .integer("history_days", 1, 3650)
            .and_then(|n| u32::try_from(n).ok())
            .unwrap_or(usual.history_days),
        notes_max: r
            .integer("notes_max", 1, 1000)
            .and_then(|n| usize::try_from(n).ok())
            .unwrap_or(usual.notes_max),
        note_lifetime: r.parsed("note_lifetime", read_lifetime).unwrap_or(usual.note_lifetime),
    }
}

fn read_lifetime(text: &str) -> Result<Option<Duration>, String> {
    let text = text.trim();
    if text == "none" {
        return Ok(None);
    }
    let shape = "write \"none\" or a time such as \"2160h\" (90 days)";
    let span: jiff::SignedDuration =
        text.parse().map_err(|_| format!("`{text}` is not a span of time; {shape}"))?;
    match Duration::try_from(span) {
        Ok(span) if span >= DAY && span <= 10 * YEAR => Ok(Some(span)),
        Ok(span) => Err(format!("{} is out of range; {} to {}", shown(span), shown(DAY), shown(10 * YEAR))),
        Err(_) => Err(format!("`{text}` is negative; {shape}")),
    }
}

fn lifetime<S: Serializer>(span: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    match span {
        Some(span) => serializer.serialize_str(&shown(*span)),
        None => serializer.serialize_str("none"),
    }
}
