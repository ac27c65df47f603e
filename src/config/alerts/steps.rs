//! `[[alerts.step]]`: the ladder. Whom alerts page, after how long, at what times.

use std::time::Duration;

use serde::Serialize;

use super::Around;
use crate::{
    config::{
        check::{HOUR, choice},
        people::plain_name,
        reader::{Reader, shown},
        span,
    },
    domain::{PersonName, Severity},
    policy::Window,
};

/// `[[alerts.step]]`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StepConfig {
    /// How long after the first page nobody may have answered; the first step has none.
    #[serde(serialize_with = "span")]
    pub after: Duration,
    /// The people whose private chats are paged; each is a `[[person]]` with an id there.
    pub people: Vec<PersonName>,
    /// The chats that are paged (`telegram:-100123:7`; the topic is 0 where there is none).
    pub places: Vec<String>,
    /// Only incidents at least as bad.
    pub at_least: Severity,
    /// Only at these times; none means always.
    pub during: Option<Window>,
}

/// The steps in the file's order; steps with the same `after` belong together.
pub(super) fn steps(r: &mut Reader<'_>, around: &Around<'_>) -> Vec<StepConfig> {
    let mut before: Option<Duration> = None;
    let all = r.tables("step", |r| {
        let step = step(r, around);
        match before {
            None if !step.after.is_zero() => {
                r.bad("after", "the first step pages at once; write after = \"0s\" or leave it out");
            }
            Some(earlier) if step.after < earlier => {
                let text = format!(
                    "comes before the step above ({}); write the steps in their order",
                    shown(earlier)
                );
                r.bad("after", text);
            }
            _ => {}
        }
        before = before.max(Some(step.after));
        step
    });
    if all.len() > MOST {
        r.bad("step", format!("there are {} steps; at most {MOST}", all.len()));
    }
    all
}

/// No team has a longer ladder.
const MOST: usize = 50;

fn step(r: &mut Reader<'_>, around: &Around<'_>) -> StepConfig {
    let severities =
        [("info", Severity::Info), ("warning", Severity::Warning), ("critical", Severity::Critical)];
    let step = StepConfig {
        after: r.duration("after", Duration::ZERO, 24 * HOUR).unwrap_or_default(),
        people: r.list("people", |text| person(text, around)),
        places: r.list("places", |text| place(text, around)),
        at_least: r.parsed("at_least", |t| choice(t, &severities)).unwrap_or(Severity::Info),
        during: r.parsed("during", str::parse),
    };
    if !r.has("people") && !r.has("places") {
        r.bad(
            "people",
            "is missing; write whom this step pages: people = [\"NAME\"] or places = [\"telegram:CHAT\"]",
        );
    }
    step
}

fn person(text: &str, around: &Around<'_>) -> Result<PersonName, String> {
    let wanted = PersonName::new(plain_name(text)?);
    let Some(person) = around.people.iter().find(|p| p.name.same(&wanted)) else {
        let known: Vec<_> = around.people.iter().map(|p| p.name.as_str()).collect();
        let known = if known.is_empty() { "nobody".to_owned() } else { known.join(", ") };
        return Err(format!("`{wanted}` is no [[person]]; known: {known}"));
    };
    if person.telegram_id.is_none() {
        return Err(format!("`{wanted}` has no chat to be paged in; add telegram_id to that [[person]]"));
    }
    telegram(around).map(|()| person.name.clone())
}

/// A chat as channels name it: `telegram:CHAT:TOPIC`, with topic 0 for none.
fn place(text: &str, around: &Around<'_>) -> Result<String, String> {
    let shape = "write telegram:CHAT or telegram:CHAT:TOPIC, such as \"telegram:-1001234567890:7\"";
    let wrong = || format!("`{}` is no chat; {shape}", text.trim());
    let rest = text.trim().strip_prefix("telegram:").ok_or_else(wrong)?;
    let (chat, topic) = rest.split_once(':').unwrap_or((rest, "0"));
    let chat: i64 = chat.parse().ok().filter(|chat| *chat != 0).ok_or_else(wrong)?;
    let topic: i32 = topic.parse().ok().filter(|topic| *topic >= 0).ok_or_else(wrong)?;
    telegram(around).map(|()| format!("telegram:{chat}:{topic}"))
}

fn telegram(around: &Around<'_>) -> Result<(), String> {
    if around.telegram {
        Ok(())
    } else {
        Err("there is no [telegram] to page through; add that section".into())
    }
}
