//! What an incident's history says, in words.

use crate::domain::{Alert, Fingerprint, Untrusted};

use super::case::Case;

/// So many alerts are named in one line.
const NAMED: usize = 3;
/// Longer names are cut.
const NAME: usize = 80;

/// An alert's name and where it is (`DiskFull on db:9100`).
pub(super) fn name(alert: &Alert) -> String {
    let label = |name: &str| alert.signal.labels.get(name).filter(|value| !value.is_empty());
    let clean = |text: &String| Untrusted::new(&text.replace('\n', " ")).cut(NAME).as_str().to_owned();
    let own = label("alertname").map_or_else(|| format!("alert {}", alert.fingerprint), clean);
    match label("instance").or_else(|| label("host")) {
        Some(place) => format!("{own} on {}", clean(place)),
        None => own,
    }
}

/// Alerts by name, the first few of them.
pub(super) fn names(case: &Case, alerts: &[Fingerprint]) -> String {
    let named = alerts.iter().take(NAMED).filter_map(|f| case.alerts.get(f).map(|held| name(&held.alert)));
    let mut text = named.collect::<Vec<_>>().join(", ");
    if alerts.len() > NAMED {
        text.push_str(&format!(" and {} more", alerts.len() - NAMED));
    }
    text
}
