//! The commands that steer alerts, as they are written.

use crate::{
    alerts::silencing,
    domain::{IncidentId, SilenceId},
};

/// What a command about alerts asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AlertWish {
    /// Take an incident.
    Ack(IncidentId),
    /// Keep something quiet.
    Silence(SilenceWish),
    /// End a silence.
    Unsilence(SilenceId),
    /// The silences.
    Silences,
    /// One incident in full.
    Incident(IncidentId),
    /// Look into an incident now.
    Investigate(IncidentId),
    /// What fires, and what happened since the last digest.
    Digest,
    /// Who is paged.
    OnCall,
}

/// What is to be kept quiet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SilenceWish {
    /// An incident; for how long is still to be chosen.
    Ask(IncidentId),
    /// An incident, for these words.
    Incident(IncidentId, String),
    /// What meets these conditions, for these words.
    Matchers(Vec<String>, String),
}

/// How each is written and what it does, for `/help`.
pub const USAGE: [(&str, &str); 8] = [
    ("/ack N", "takes incident N: nobody else is paged for it"),
    (
        "/silence N [30m | until 08:00 | MATCHERS for 2h]",
        "keeps an incident quiet, and shows what else it would mute",
    ),
    ("/unsilence ID", "ends a silence"),
    ("/silences", "what is kept quiet, until when and by whom"),
    ("/incident N", "an incident in full, open or over"),
    ("/investigate N", "looks into an incident now; changes nothing"),
    ("/digest", "what fires, and what happened since the last digest"),
    ("/oncall", "who is paged now, and who next"),
];

/// Reads the command `name`; none when it is no command about alerts.
pub fn parse(name: &str, rest: &str) -> Option<Result<AlertWish, String>> {
    let incident = |make: fn(IncidentId) -> AlertWish| {
        let read = number(rest).map(|n| make(IncidentId(n)));
        read.ok_or_else(|| format!("say which incident: /{name} N (/alerts lists them)"))
    };
    Some(match name {
        "ack" => incident(AlertWish::Ack),
        "incident" => incident(AlertWish::Incident),
        "investigate" => incident(AlertWish::Investigate),
        "silence" => silence(rest).map(AlertWish::Silence),
        "unsilence" => {
            let read = number(rest).map(|n| AlertWish::Unsilence(SilenceId(n)));
            read.ok_or_else(|| "say which silence: /unsilence ID (/silences lists them)".into())
        }
        "silences" => Ok(AlertWish::Silences),
        "digest" => Ok(AlertWish::Digest),
        "oncall" | "on_call" => Ok(AlertWish::OnCall),
        _ => return None,
    })
}

/// The command with the incident whose card it answers, where it names none: `/ack`, `/silence 2h`.
pub fn completed(text: &str, incident: IncidentId) -> Option<String> {
    let rest = text.trim().strip_prefix('/')?;
    let (name, rest) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    let rest = rest.trim();
    let plain = name.split('@').next().unwrap_or_default();
    let alone = rest.is_empty() && ["ack", "incident", "investigate"].contains(&plain);
    let first = rest.split_whitespace().next().unwrap_or_default();
    let timed = plain == "silence" && number(first).is_none() && !rest.contains(['=', '~']);
    (alone || timed).then(|| format!("/{plain} {incident} {rest}").trim().to_owned())
}

fn silence(rest: &str) -> Result<SilenceWish, String> {
    let shape = "it is written /silence N, /silence N 2h, /silence N until tomorrow 8, or \
                 /silence customer=\"7\" alertname=~\"Disk.*\" for 2h";
    let (first, time) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    if let Some(n) = number(first) {
        let time = time.trim();
        let incident = IncidentId(n);
        return Ok(if time.is_empty() {
            SilenceWish::Ask(incident)
        } else {
            SilenceWish::Incident(incident, time.to_owned())
        });
    }
    let (matchers, time) = silencing::split(rest);
    match (matchers.is_empty(), time.is_empty()) {
        (true, _) => Err(shape.into()),
        (false, true) => Err(format!("say for how long; {shape}")),
        (false, false) => Ok(SilenceWish::Matchers(matchers, time)),
    }
}

/// `12` or `#12`.
fn number(text: &str) -> Option<i64> {
    let text = text.trim();
    text.strip_prefix('#').unwrap_or(text).parse().ok().filter(|n| *n > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_about_alerts_are_read() {
        let id = IncidentId;
        let table = [
            ("ack", "12", Ok(AlertWish::Ack(id(12)))),
            ("ack", "#12", Ok(AlertWish::Ack(id(12)))),
            ("ack", "", Err("/ack N")),
            ("ack", "web", Err("/alerts lists them")),
            ("silence", "12", Ok(AlertWish::Silence(SilenceWish::Ask(id(12))))),
            ("silence", "12 30m", Ok(AlertWish::Silence(SilenceWish::Incident(id(12), "30m".into())))),
            (
                "silence",
                "12 until tomorrow 8",
                Ok(AlertWish::Silence(SilenceWish::Incident(id(12), "until tomorrow 8".into()))),
            ),
            (
                "silence",
                "customer=7 alertname=~\"Disk .*\" for 2h",
                Ok(AlertWish::Silence(SilenceWish::Matchers(
                    vec!["customer=7".into(), "alertname=~\"Disk .*\"".into()],
                    "for 2h".into(),
                ))),
            ),
            ("silence", "customer=7", Err("for how long")),
            ("silence", "", Err("it is written")),
            ("silence", "everything for 2h", Err("it is written")),
            ("unsilence", "3", Ok(AlertWish::Unsilence(SilenceId(3)))),
            ("unsilence", "-3", Err("/silences")),
            ("silences", "", Ok(AlertWish::Silences)),
            ("incident", "7", Ok(AlertWish::Incident(id(7)))),
            ("investigate", "7", Ok(AlertWish::Investigate(id(7)))),
            ("digest", "", Ok(AlertWish::Digest)),
            ("oncall", "", Ok(AlertWish::OnCall)),
        ];
        for (name, rest, want) in table {
            match (parse(name, rest), want) {
                (Some(Ok(got)), Ok(want)) => assert_eq!(got, want, "/{name} {rest}"),
                (Some(Err(error)), Err(part)) => assert!(error.contains(part), "/{name} {rest}: {error}"),
                (got, want) => panic!("/{name} {rest}: {got:?} instead of {want:?}"),
            }
        }
        assert_eq!(parse("restart_container", "19"), None);
    }

    #[test]
    fn a_command_that_answers_a_card_needs_no_number() {
        let table = [
            ("/ack", Some("/ack 12")),
            ("/ack@opsbot", Some("/ack 12")),
            ("/silence", Some("/silence 12")),
            ("/silence 2h", Some("/silence 12 2h")),
            ("/silence until tomorrow 8", Some("/silence 12 until tomorrow 8")),
            ("/silence 7 2h", None),
            ("/silence customer=7 for 2h", None),
            ("/ack 7", None),
            ("/digest", None),
            ("ack", None),
        ];
        for (text, want) in table {
            assert_eq!(completed(text, IncidentId(12)).as_deref(), want, "{text}");
        }
    }
}
