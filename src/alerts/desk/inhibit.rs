//! What a larger alert explains: for each rule, who explains and who can be explained, by the labels that both have alike.

use std::collections::{BTreeSet, HashMap};

use super::super::{
    Inhibit,
    matching::{Conditions, label},
};
use crate::domain::{Fingerprint, IncidentId, Labels, Matcher, Subject};

/// Alerts that say that a whole machine is down.
const HOST_DOWN: &str = "HostDown|NodeDown|InstanceDown";

/// The rules, and whom they concern right now.
#[derive(Clone, Debug, Default)]
pub(super) struct Inhibitions(Vec<Rule>);

#[derive(Clone, Debug)]
struct Rule {
    source: Conditions,
    target: Conditions,
    equal: Vec<String>,
    sources: HashMap<Vec<String>, BTreeSet<(IncidentId, Fingerprint)>>,
    targets: HashMap<Vec<String>, BTreeSet<Fingerprint>>,
}

impl Inhibitions {
    /// The configured rules, and the one that a machine which is down explains what runs on it.
    pub(super) fn new(rules: &[Inhibit]) -> Self {
        let matcher = |name: &str, value: &str, is_regex| Matcher {
            name: name.into(),
            value: value.into(),
            is_regex,
            is_equal: true,
        };
        let host = Inhibit {
            source: vec![matcher("alertname", HOST_DOWN, true), matcher("host", ".+", true)],
            target: vec![matcher("host", ".+", true)],
            equal: vec!["host".into()],
        };
        let rule = |rule: &Inhibit| Rule {
            source: Conditions::new(&rule.source),
            target: Conditions::new(&rule.target),
            equal: rule.equal.clone(),
            sources: HashMap::new(),
            targets: HashMap::new(),
        };
        Self(rules.iter().chain([&host]).map(rule).collect())
    }

    /// An alert fires now, or no longer; gives the alerts that may be explained otherwise than before.
    pub(super) fn note(
        &mut self,
        (incident, alert): (IncidentId, Fingerprint),
        (labels, subject): (&Labels, &Subject),
        fires: bool,
    ) -> Vec<Fingerprint> {
        let mut concerned = Vec::new();
        for rule in &mut self.0 {
            let key = rule.key(labels, subject);
            // As in Alertmanager: what explains is not explained by its like.
            if rule.source.hold(labels, subject) {
                let sources = rule.sources.entry(key.clone()).or_default();
                let before = sources.is_empty();
                let _changed = if fires {
                    sources.insert((incident, alert))
                } else {
                    sources.remove(&(incident, alert))
                };
                let empty = sources.is_empty();
                if empty {
                    rule.sources.remove(&key);
                }
                // A further source can explain what the first one is part of; so they are looked at whenever the set changes.
                if before || empty || !fires {
                    concerned.extend(rule.targets.get(&key).into_iter().flatten().copied());
                }
            } else if rule.target.hold(labels, subject) {
                let targets = rule.targets.entry(key.clone()).or_default();
                let _changed = if fires { targets.insert(alert) } else { targets.remove(&alert) };
                if targets.is_empty() {
                    rule.targets.remove(&key);
                }
            }
        }
        concerned
    }

    /// The incident that explains an alert of `incident`.
    pub(super) fn explains(
        &self,
        incident: IncidentId,
        labels: &Labels,
        subject: &Subject,
    ) -> Option<IncidentId> {
        self.0.iter().find_map(|rule| {
            if rule.sources.is_empty()
                || !rule.target.hold(labels, subject)
                || rule.source.hold(labels, subject)
            {
                return None;
            }
            let sources = rule.sources.get(&rule.key(labels, subject))?;
            sources.iter().map(|(source, _)| *source).find(|source| *source != incident)
        })
    }
}

impl Rule {
    fn key(&self, labels: &Labels, subject: &Subject) -> Vec<String> {
        self.equal.iter().map(|name| label(labels, subject, name).to_owned()).collect()
    }
}
