//! What people say about alerts, and what it must come to.

use std::{sync::Arc, time::Duration};

use super::*;
use crate::domain::{Param, ToolSpec};

fn spec(
    name: &'static str,
    summary: &'static str,
    params: Vec<Param>,
    phrases: &'static [&'static str],
) -> ToolSpec {
    let write = ["restart_", "ack_", "silence_"].iter().any(|verb| name.starts_with(verb));
    let floor = if write { Risk::Confirm } else { Risk::Safe };
    let timeout = Duration::from_secs(1);
    ToolSpec { name, summary, params, phrases, floor, default: floor, untrusted: true, timeout }
}

fn param(name: &'static str, kind: ParamKind, required: bool) -> Param {
    Param { name, kind, required, help: "" }
}

/// The tools over the desk, and their nearest neighbours.
fn specs() -> Vec<ToolSpec> {
    let incident = |required| param("incident", ParamKind::Integer { min: 1, max: 999_999 }, required);
    let customer = |required| param("customer_id", ParamKind::Customer, required);
    let service = || param("service", ParamKind::Service, false);
    let text = |name, required| param(name, ParamKind::Text, required);
    vec![
        spec(
            "check_up",
            "What is wrong with a customer? Use this first.",
            vec![customer(true)],
            &["what is wrong", "how is it", "diagnose"],
        ),
        spec(
            "list_active_alerts",
            "All firing and pending alerts, worst first.",
            vec![],
            &["what is firing", "any alerts", "open alerts", "is anything firing"],
        ),
        spec(
            "get_recent_logs",
            "Last log lines.",
            vec![customer(true), service()],
            &["show logs", "recent logs", "logs of it"],
        ),
        spec("restart_container", "Restart containers.", vec![customer(true), service()], &["reboot it"]),
        spec("get_disk_usage", "How full the disks are.", vec![customer(false)], &["disk usage"]),
        spec(
            "get_incident",
            "One incident in full: its alerts, history and findings.",
            vec![incident(true)],
            &["show incident", "about this alert", "what is this"],
        ),
        spec(
            "alert_history",
            "Incidents that were: of the last day, or of a customer.",
            vec![customer(false), param("since", ParamKind::Duration, false)],
            &["what happened", "alert history", "what fired", "any incidents"],
        ),
        spec(
            "ack_alert",
            "Take an incident, so that nobody else is paged for it.",
            vec![incident(true)],
            &["ack", "acknowledge"],
        ),
        spec(
            "silence_alert",
            "Keep an incident or a customer's alerts quiet for a time.",
            vec![incident(false), customer(false), service(), text("what", false), text("until", true)],
            &["silence alerts", "mute alerts", "keep it quiet"],
        ),
        spec("who_is_on_call", "Who is paged now.", vec![], &["who is on call", "who is paged"]),
    ]
}

fn directory() -> Directory {
    let customer = |id: &str| Customer {
        id: id.into(),
        name: None,
        aliases: vec![],
        domain: None,
        labels: Default::default(),
    };
    let customers: Vec<_> = ["7", "8", "12", "19"].map(customer).into();
    let of = |c: &Customer| ["db", "web"].map(|s| (c.id.clone(), ServiceName::from(s)));
    let services = customers.iter().flat_map(of).collect();
    Directory { customers, services }
}

fn said(text: &str, answers: Option<i64>) -> String {
    let (tools, directory) = (Vocabulary::new(Arc::new(specs())), directory());
    let earlier: Vec<String> = answers.iter().map(|n| format!("incident-{n} customer 19 web")).collect();
    let asked = Asked { text, earlier: &earlier, incident: answers, ..Asked::default() };
    match understand(&asked, Offer { tools: &tools, directory: &directory }) {
        Verdict::Run(calls) => calls.iter().map(ToString::to_string).collect::<Vec<_>>().join(" & "),
        Verdict::Choose(calls) => format!("? {}", calls.first().map(ToString::to_string).unwrap_or_default()),
        Verdict::Whose(call) => format!("whose {}", call.tool),
        Verdict::Held(..) => "held".into(),
        other => format!("{other:?}"),
    }
}

#[test]
fn alerts_are_taken_silenced_and_asked_about_in_plain_words() {
    let table = [
        ("ack 12", "ack_alert(incident=12)"),
        ("please acknowledge incident 12", "ack_alert(incident=12)"),
        ("silence 12 for 2h", "silence_alert(incident=12, until=for 2h)"),
        ("mute incident 12 for 2 hours", "silence_alert(incident=12, until=for 2 hours)"),
        (
            "silence disk alerts of customer 7 until tomorrow 8",
            "silence_alert(customer_id=7, what=disk, until=until tomorrow 8)",
        ),
        ("mute all alerts of customer 7 for 2h", "silence_alert(customer_id=7, until=for 2h)"),
        (
            "silence web alerts of customer 7 for 2h",
            "silence_alert(customer_id=7, service=web, until=for 2h)",
        ),
        (
            "silence the DiskFull alert of 7 until Monday 7",
            "silence_alert(customer_id=7, what=DiskFull, until=until Monday 7)",
        ),
        ("silence customer 7", "? silence_alert(customer_id=7)"),
        ("silence everything for 2h", "whose silence_alert"),
        ("don't silence 12 for 2h", "held"),
        ("don't ack 12", "held"),
        ("should I ack 12?", "held"),
        ("who is on call?", "who_is_on_call()"),
        ("what happened last night?", "alert_history(since=12h)"),
        ("any incidents of customer 7?", "alert_history(customer_id=7)"),
        ("show me incident 12", "get_incident(incident=12)"),
        ("is anything firing?", "list_active_alerts()"),
        ("investigate 19", "check_up(customer_id=19)"),
        ("restart web of customer 12", "restart_container(customer_id=12, service=web)"),
    ];
    for (text, want) in table {
        assert_eq!(said(text, None), want, "{text}");
    }
}

#[test]
fn a_reply_to_a_card_means_its_incident_unless_somebody_else_is_named() {
    let table = [
        ("ack", "ack_alert(incident=5)"),
        ("ack it", "ack_alert(incident=5)"),
        ("ack 12", "ack_alert(incident=12)"),
        ("silence this for 2h", "silence_alert(incident=5, until=for 2h)"),
        ("mute it until 08:00", "silence_alert(incident=5, until=until 08:00)"),
        ("show me its logs", "get_recent_logs(customer_id=19, service=web)"),
        ("restart it", "restart_container(customer_id=19, service=web)"),
        ("show incident", "get_incident(incident=5)"),
        ("what is this?", "get_incident(incident=5)"),
        ("how is customer 7?", "check_up(customer_id=7)"),
        (
            "silence disk alerts of customer 7 until tomorrow 8",
            "silence_alert(customer_id=7, what=disk, until=until tomorrow 8)",
        ),
    ];
    for (text, want) in table {
        assert_eq!(said(text, Some(5)), want, "{text}");
    }
}
