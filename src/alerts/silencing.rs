//! What a silence covers: the conditions that mean an incident, in labels and in words.

use std::collections::BTreeSet;

use super::Desk;
use crate::domain::{Alert, Incident, IncidentId, Matcher, Silence};

/// Labels that tell an alert apart where no customer is known.
const OWN: [&str; 4] = ["alertname", "instance", "host", "job"];

/// The condition that a label has this value.
pub fn equal(name: &str, value: &str) -> Matcher {
    Matcher { name: name.to_owned(), value: value.to_owned(), is_regex: false, is_equal: true }
}

/// The condition that a label is one of these values; none for no value.
pub fn one_of(name: &str, values: &BTreeSet<String>) -> Option<Matcher> {
    let mut all = values.iter();
    let first = all.next()?;
    if all.next().is_none() {
        return Some(equal(name, first));
    }
    let value = values.iter().map(|v| regex::escape(v)).collect::<Vec<_>>().join("|");
    Some(Matcher { name: name.to_owned(), value, is_regex: true, is_equal: true })
}

/// What a silence for this incident covers where nobody says more: its customer and service, and the alert where it has
/// one only; of nobody's incident whatever labels all its alerts share.
pub fn covering(incident: &Incident, alerts: &[&Alert]) -> Vec<Matcher> {
    let subject = &incident.subject;
    let mut all = Vec::new();
    all.extend(subject.customer.as_ref().map(|c| equal("customer", c.as_str())));
    all.extend(subject.service.as_ref().map(|s| equal("service", s.as_str())));
    let shared = |name: &str| {
        let mut values = alerts.iter().map(|a| a.signal.labels.get(name));
        let first = values.next()??;
        values.all(|v| v == Some(first)).then(|| equal(name, first))
    };
    if subject.customer.is_some() {
        all.extend(shared("alertname"));
        return all;
    }
    all.extend(OWN.iter().filter_map(|name| shared(name)));
    if all.is_empty() {
        let names = alerts.iter().filter_map(|a| a.signal.labels.get("alertname").cloned()).collect();
        all.extend(one_of("alertname", &names));
    }
    all
}

/// The conditions in words: `customer 19, service web, alert DiskFull`.
pub fn said(matchers: &[Matcher]) -> String {
    let one = |m: &Matcher| {
        let name = if m.name == "alertname" { "alert" } else { &m.name };
        match (m.is_equal, m.is_regex) {
            (true, false) => format!("{name} {}", m.value),
            (false, false) => format!("{name} not {}", m.value),
            (true, true) => format!("{name} matching {}", m.value),
            (false, true) => format!("{name} not matching {}", m.value),
        }
    };
    matchers.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// The other open incidents that these conditions would mute.
pub fn besides(desk: &Desk, matchers: &[Matcher], incident: Option<IncidentId>) -> Vec<IncidentId> {
    desk.would_mute(matchers).into_iter().filter(|id| Some(*id) != incident).collect()
}

/// The silence that has these very conditions already.
pub fn same<'a>(silences: &[&'a Silence], matchers: &[Matcher]) -> Option<&'a Silence> {
    let sorted = |all: &[Matcher]| {
        let mut all: Vec<_> =
            all.iter().map(|m| (m.name.clone(), m.value.clone(), m.is_regex, m.is_equal)).collect();
        all.sort();
        all
    };
    silences.iter().find(|s| sorted(&s.matchers) == sorted(matchers)).copied()
}

/// Splits `customer="7" alertname=~"Disk.*" for 2h` into the matchers' texts and the words of the time.
pub fn split(text: &str) -> (Vec<String>, String) {
    let (mut parts, mut part, mut quoted, mut escaped) = (Vec::new(), String::new(), false, false);
    for c in text.trim().chars() {
        match c {
            '"' if !escaped => quoted = !quoted,
            c if !quoted && (c.is_whitespace() || ",{}".contains(c)) => {
                parts.push(std::mem::take(&mut part));
                continue;
            }
            _ => {}
        }
        escaped = c == '\\' && !escaped;
        part.push(c);
    }
    parts.push(part);
    parts.retain(|p| !p.is_empty());
    let is_matcher = |p: &String| p.contains('=') || p.contains("!~");
    let last = parts.iter().rposition(is_matcher).map_or(0, |n| n + 1);
    let time = parts.split_off(last);
    (parts, time.join(" "))
}

#[cfg(test)]
mod tests {
    use super::{super::testing::incident, *};

    fn words(matchers: &[Matcher]) -> String {
        said(matchers)
    }

    #[test]
    fn a_silence_covers_the_customer_the_service_and_a_single_alert() {
        type Row<'a> = (Option<&'a str>, Option<&'a str>, &'a [&'a [(&'a str, &'a str)]], &'a str);
        let table: [Row<'_>; 6] = [
            (
                Some("19"),
                Some("web"),
                &[&[("alertname", "Down"), ("instance", "a")]],
                "customer 19, service web, alert Down",
            ),
            (
                Some("19"),
                Some("web"),
                &[&[("alertname", "Down")], &[("alertname", "Slow")]],
                "customer 19, service web",
            ),
            (
                Some("19"),
                None,
                &[&[("alertname", "Disk")], &[("alertname", "Disk")]],
                "customer 19, alert Disk",
            ),
            (None, None, &[&[("alertname", "Disk"), ("instance", "h1")]], "alert Disk, instance h1"),
            (
                None,
                None,
                &[&[("alertname", "A"), ("instance", "h1")], &[("alertname", "B"), ("instance", "h1")]],
                "instance h1",
            ),
            (None, None, &[&[("alertname", "A.x")], &[("alertname", "B")]], r"alert matching A\.x|B"),
        ];
        for (customer, service, labels, want) in table {
            let (incident, alerts) = incident(12, (customer, service), labels);
            assert_eq!(words(&covering(&incident, &alerts.iter().collect::<Vec<_>>())), want);
        }
    }

    #[test]
    fn matchers_and_the_time_behind_them_are_told_apart() {
        let table: [(&str, &[&str], &str); 6] = [
            (r#"customer="7" for 2h"#, &[r#"customer="7""#], "for 2h"),
            (
                r#"{customer="7", alertname=~"Disk .*"} until tomorrow 8"#,
                &[r#"customer="7""#, r#"alertname=~"Disk .*""#],
                "until tomorrow 8",
            ),
            ("customer=7 service!~web 30m", &["customer=7", "service!~web"], "30m"),
            ("customer=7", &["customer=7"], ""),
            (r#"a="x \" y" 1h"#, &[r#"a="x \" y""#], "1h"),
            ("nothing here", &[], "nothing here"),
        ];
        for (text, matchers, time) in table {
            let (got, rest) = split(text);
            assert_eq!(
                (got.iter().map(String::as_str).collect::<Vec<_>>(), rest.as_str()),
                (matchers.to_vec(), time),
                "{text}"
            );
        }
    }

    #[test]
    fn the_same_conditions_in_another_order_are_the_same_silence() {
        let at = "2026-12-01T00:00:00Z".parse().unwrap();
        let silence = Silence {
            id: crate::domain::SilenceId(3),
            matchers: vec![equal("customer", "19"), equal("service", "web")],
            starts_at: at,
            ends_at: at,
            by: "anna".into(),
            comment: String::new(),
        };
        let turned = [equal("service", "web"), equal("customer", "19")];
        assert_eq!(same(&[&silence], &turned).map(|s| s.id.0), Some(3));
        assert_eq!(same(&[&silence], &turned[..1]), None);
    }
}
