//! Which optional parameters a person's words can ask for at all: small models fill in numbers and spans that nobody said.

use crate::{
    agent::port::{Message, ModelRequest},
    domain::{Param, ParamKind},
};

/// Words that speak of a span of time, in English and German; digits may stand right before them (`30m`).
const TIME: [&str; 34] = [
    "s",
    "sec",
    "second",
    "seconds",
    "m",
    "min",
    "mins",
    "minute",
    "minutes",
    "h",
    "hour",
    "hours",
    "d",
    "day",
    "days",
    "week",
    "weeks",
    "month",
    "today",
    "yesterday",
    "night",
    "morning",
    "noon",
    "evening",
    "since",
    "sekunden",
    "minuten",
    "stunde",
    "stunden",
    "tag",
    "tage",
    "tagen",
    "heute",
    "gestern",
];
/// Words that speak of a text to look for; quotes and wildcards do too.
const TEXT: [&str; 11] = [
    "contain",
    "contains",
    "containing",
    "matching",
    "match",
    "mention",
    "mentions",
    "grep",
    "filter",
    "pattern",
    "keys",
];
/// After one of these a number is an id.
const IDS: [&str; 8] = ["customer", "customers", "client", "kunde", "kunden", "and", "und", "or"];

/// What the person says last, in lower case.
pub(super) fn said(request: &ModelRequest) -> String {
    let mine = |m: &Message| if let Message::User { text } = m { Some(text.to_lowercase()) } else { None };
    request.messages.iter().rev().find_map(mine).unwrap_or_default()
}

/// Whether `said`, in lower case, can ask for `param`.
pub(super) fn can_be_asked(param: &Param, said: &str) -> bool {
    if param.required {
        return true;
    }
    match param.kind {
        ParamKind::Integer { .. } => counts(said),
        ParamKind::Duration => {
            words(said).any(|word| TIME.contains(&word.trim_start_matches(|c: char| c.is_ascii_digit())))
        }
        ParamKind::Choice(choices) => words(said).any(|word| choices.contains(&word)),
        ParamKind::Text => {
            said.contains(['"', '\'', '`', '*', '“', '„', '/'])
                || words(said).any(|word| TEXT.contains(&word))
        }
        ParamKind::Customer | ParamKind::Service => true,
    }
}

/// Whether some number is said that is no customer's.
fn counts(said: &str) -> bool {
    let mut before = "";
    words(said).any(|word| {
        let counts = word.bytes().all(|b| b.is_ascii_digit()) && !IDS.contains(&before);
        before = word;
        counts
    })
}

fn words(said: &str) -> impl Iterator<Item = &str> {
    said.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_said_can_be_asked_for() {
        let number = ParamKind::Integer { min: 1, max: 500 };
        let kind = ParamKind::Choice(&["redis", "varnish"]);
        let table = [
            (&number, "the last 20 lines of customer 19", true),
            (&number, "the logs of customer 19", false),
            (&number, "the logs of customers 7 and 12", false),
            (&ParamKind::Duration, "logs of 19 from the last hour", true),
            (&ParamKind::Duration, "logs of 19, 30m back", true),
            (&ParamKind::Duration, "the last logs of customer 19", false),
            (&kind, "clear the cache of customer 19", false),
            (&kind, "flush redis for customer 19", true),
            (&ParamKind::Service, "logs of 19", true),
            (&ParamKind::Text, "logs of 19", false),
            (&ParamKind::Text, "lines with errors of 19", false),
            (&ParamKind::Text, "lines of 19 that mention redis", true),
            (&ParamKind::Text, "the cache keys session:* of 19", true),
        ];
        for (kind, said, want) in table {
            let param = Param { name: "x", kind: kind.clone(), required: false, help: "" };
            assert_eq!(can_be_asked(&param, said), want, "{kind:?} {said}");
            assert!(can_be_asked(&Param { required: true, ..param }, said));
        }
    }
}
