//! Which alerts explain which others, found by the labels that both must have alike.

use std::collections::{BTreeMap, BTreeSet};

use super::{Desk, intake::sight, work::Work};
use crate::{
    alerts::{
        Inhibit,
        matching::{Conditions, label},
    },
    domain::{Fingerprint, IncidentId, Labels, Matcher, Subject},
};

/// The built-in rule's sources: a host that is down explains what runs on it.
const HOST_DOWN: &str = "HostDown|NodeDown|InstanceDown";

/// All rules, with what fires by them.
#[derive(Clone, Debug, Default)]
pub(super) struct Rules(Vec<Rule>);

#[derive(Clone, Debug)]
struct Rule {
    source: Conditions,
    target: Conditions,
    equal: Vec<String>,
    groups: BTreeMap<String, Group>,
}

/// What has alike what must be alike.
#[derive(Clone, Debug, Default)]
struct Group {
    sources: BTreeSet<(IncidentId, Fingerprint)>,
    targets: BTreeSet<Fingerprint>,
}

/// An alert as rules see it.
#[derive(Clone, Copy)]
pub(super) struct Sight<'a> {
    pub fingerprint: Fingerprint,
    pub incident: IncidentId,
    pub labels: &'a Labels,
    pub subject: &'a Subject,
}

/// The part that an alert plays in a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Source,
    Target,
}

impl Desk {
    /// Finds out which incident explains an alert that fires.
    pub(super) fn explain(&mut self, fingerprint: Fingerprint, work: &mut Work) {
        let Some(id) = self.by_alert.get(&fingerprint).copied() else { return };
        let Some(case) = self.cases.get(&id) else { return };
        let Some(held) = case.alerts.get(&fingerprint).filter(|held| held.fires()) else { return };
        let Some(sight) = sight(case, fingerprint) else { return };
        // Two that explain each other would both be quiet: the first one stays loud.
        let explained_by_this = |incident: IncidentId, source: Fingerprint| {
            let source = self.cases.get(&incident).and_then(|case| case.alerts.get(&source));
            source.is_some_and(|source| source.inhibited == Some(id))
        };
        let by = self.rules.explained(sight, |incident, source| !explained_by_this(incident, source));
        if by != held.inhibited
            && let Some(case) = self.cases.get_mut(&id)
        {
            case.edit(fingerprint, |held| held.inhibited = by);
            work.touch(id);
        }
    }
}

impl Rules {
    /// The configured rules and the built-in one.
    pub(super) fn new(configured: &[Inhibit]) -> Self {
        let built_in = host_down();
        let rule = |inhibit: &Inhibit| Rule {
            source: Conditions::new(&inhibit.source),
            target: Conditions::new(&inhibit.target),
            equal: inhibit.equal.clone(),
            groups: BTreeMap::new(),
        };
        // A rule without conditions on a side would explain everything by anything.
        let usable = configured.iter().filter(|i| !i.source.is_empty() && !i.target.is_empty());
        Self(usable.chain([&built_in]).map(rule).collect())
    }

    /// Adds an alert that fires, as source and as target; gives the alerts that may be explained otherwise now.
    pub(super) fn add(&mut self, sight: Sight<'_>) -> Vec<Fingerprint> {
        let mut others = Vec::new();
        for rule in &mut self.0 {
            let Some(part) = rule.part(sight) else { continue };
            let group = rule.groups.entry(rule_key(&rule.equal, sight)).or_default();
            if part == Part::Target {
                group.targets.insert(sight.fingerprint);
                continue;
            }
            if group.sources.insert((sight.incident, sight.fingerprint)) && group.is_named(sight) {
                others.extend(&group.targets);
            }
        }
        others
    }

    /// Takes an alert's part away; gives the alerts that may be explained otherwise now.
    pub(super) fn remove(&mut self, sight: Sight<'_>, part: Part) -> Vec<Fingerprint> {
        let mut others = Vec::new();
        for rule in &mut self.0 {
            if rule.part(sight) != Some(part) {
                continue;
            }
            let key = rule_key(&rule.equal, sight);
            let Some(group) = rule.groups.get_mut(&key) else { continue };
            match part {
                Part::Target => {
                    group.targets.remove(&sight.fingerprint);
                }
                Part::Source if group.sources.remove(&(sight.incident, sight.fingerprint)) => {
                    others.extend(&group.targets);
                }
                Part::Source => {}
            }
            if group.sources.is_empty() && group.targets.is_empty() {
                rule.groups.remove(&key);
            }
        }
        others
    }

    /// The oldest incident that explains an alert, of those that `counts` lets through.
    pub(super) fn explained(
        &self,
        sight: Sight<'_>,
        counts: impl Fn(IncidentId, Fingerprint) -> bool,
    ) -> Option<IncidentId> {
        let of_rule = |rule: &Rule| {
            if rule.groups.is_empty() || rule.part(sight) != Some(Part::Target) {
                return None;
            }
            let sources = &rule.groups.get(&rule_key(&rule.equal, sight))?.sources;
            let other =
                |(id, source): &&(IncidentId, Fingerprint)| *id != sight.incident && counts(*id, *source);
            sources.iter().find(other).map(|(id, _)| *id)
        };
        self.0.iter().filter_map(of_rule).min()
    }
}

impl Group {
    /// Whether a source may be the one that is named: the first of its incident, which is the oldest or the second oldest (to
    /// the oldest's own alerts).
    fn is_named(&self, source: Sight<'_>) -> bool {
        let from = |id: IncidentId| self.sources.range((id, Fingerprint(0))..).next();
        let Some((oldest, _)) = self.sources.first() else { return false };
        let second = from(IncidentId(oldest.0.saturating_add(1))).map(|(id, _)| *id);
        let old = source.incident == *oldest || Some(source.incident) == second;
        old && from(source.incident).is_some_and(|(_, first)| *first == source.fingerprint)
    }
}

impl Rule {
    /// What matches both sides is a source only, so that no two alerts explain each other by one rule.
    fn part(&self, sight: Sight<'_>) -> Option<Part> {
        if self.source.hold(sight.labels, sight.subject) {
            Some(Part::Source)
        } else {
            self.target.hold(sight.labels, sight.subject).then_some(Part::Target)
        }
    }
}

fn rule_key(equal: &[String], sight: Sight<'_>) -> String {
    let mut key = String::new();
    for name in equal {
        key.push_str(label(sight.labels, sight.subject, name));
        key.push('\u{0}');
    }
    key
}

fn host_down() -> Inhibit {
    let on_a_host = || matcher("host", "", false, false);
    Inhibit {
        source: vec![matcher("alertname", HOST_DOWN, true, true), on_a_host()],
        target: vec![on_a_host()],
        equal: vec!["host".into()],
    }
}

fn matcher(name: &str, value: &str, is_regex: bool, is_equal: bool) -> Matcher {
    Matcher { name: name.into(), value: value.into(), is_regex, is_equal }
}
