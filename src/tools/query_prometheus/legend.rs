//! What series are called in a table and a chart: by the labels that tell them apart, short where that is possible. Pure.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
};

use crate::{domain::Untrusted, prometheus::Labels};

/// A label's value is cut to so many bytes.
const LABEL: usize = 80;
/// A series' name is cut to so many bytes.
const NAME: usize = 240;
/// Names longer than this lose labels that they do not need, in bytes.
const WIDE: usize = 60;
/// The label that holds the metric's name.
const METRIC: &str = "__name__";

/// How the series of one answer are called.
#[derive(Debug, Default)]
pub(super) struct Legend<'a> {
    /// The labels that all series share; they are said once.
    common: BTreeMap<&'a str, &'a str>,
    /// Labels that tell nothing apart that others do not.
    left_out: BTreeSet<&'a str>,
}

impl<'a> Legend<'a> {
    /// For these series. A single one keeps all its labels.
    pub(super) fn of(all: &[&'a Labels]) -> Self {
        let mut legend = Self::default();
        let Some((first, rest)) = all.split_first() else { return legend };
        if !rest.is_empty() {
            let pairs = first.iter().map(|(name, value)| (name.as_str(), value.as_str()));
            let shared = |name: &str, value: &str| {
                rest.iter().all(|labels| labels.get(name).is_some_and(|other| other.as_str() == value))
            };
            legend.common = pairs.filter(|(name, value)| shared(name, value)).collect();
        }
        legend.shorten(all);
        legend
    }

    /// Leaves the widest labels out as long as the series stay apart.
    fn shorten(&mut self, all: &[&'a Labels]) {
        let mut widest: BTreeMap<&'a str, usize> = BTreeMap::new();
        for (name, value) in all.iter().flat_map(|labels| labels.iter()) {
            if name != METRIC && !self.common.contains_key(name.as_str()) {
                let width = widest.entry(name).or_default();
                *width = (*width).max(name.len() + value.as_str().len());
            }
        }
        let mut candidates: Vec<_> = widest.into_iter().collect();
        candidates.sort_by_key(|(_, width)| Reverse(*width));
        let apart = self.told_apart(all);
        for (name, _) in candidates {
            if all.iter().all(|labels| self.name(labels).len() <= WIDE) {
                return;
            }
            self.left_out.insert(name);
            if self.told_apart(all) < apart {
                self.left_out.remove(name);
            }
        }
    }

    /// How many different series there are by the labels that are shown.
    fn told_apart(&self, all: &[&Labels]) -> usize {
        let shown = |labels: &&'_ Labels| -> Vec<(String, String)> {
            let kept = labels.iter().filter(|(name, _)| !self.left_out.contains(name.as_str()));
            kept.map(|(name, value)| (name.clone(), value.as_str().to_owned())).collect()
        };
        all.iter().map(shown).collect::<BTreeSet<_>>().len()
    }

    /// The series' name: `up{instance="a"}`.
    pub(super) fn name(&self, labels: &Labels) -> String {
        let own = labels.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let inner = written(own.filter(|(name, _)| {
            *name != METRIC && !self.common.contains_key(name) && !self.left_out.contains(name)
        }));
        let metric = labels.get(METRIC).filter(|_| !self.common.contains_key(METRIC));
        let name = match (metric.map(Untrusted::as_str).unwrap_or_default(), inner.as_str()) {
            ("", inner) => format!("{{{inner}}}"),
            (metric, "") => metric.to_owned(),
            (metric, inner) => format!("{metric}{{{inner}}}"),
        };
        Untrusted::new(&name).cut(NAME).as_str().to_owned()
    }

    /// What a heading says of labels that no name shows; empty when there are none.
    pub(super) fn heading(&self) -> String {
        let mut said = String::new();
        if !self.common.is_empty() {
            let common = written(self.common.iter().map(|(name, value)| (*name, *value)));
            said.push_str(&format!("; all with {{{common}}}"));
        }
        if !self.left_out.is_empty() {
            let names: Vec<_> = self.left_out.iter().copied().collect();
            said.push_str(&format!("; labels not shown: {}", names.join(", ")));
        }
        said
    }
}

/// `job="node", mode="idle"`: each value one short line.
fn written<'a>(labels: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let one = |(name, value): (&str, &str)| {
        let line = value.split_whitespace().collect::<Vec<_>>().join(" ");
        let line = Untrusted::new(&line).cut(LABEL).as_str().replace('\\', "\\\\").replace('"', "\\\"");
        format!("{name}=\"{line}\"")
    };
    labels.map(one).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(of: &[(&str, &str)]) -> Labels {
        of.iter().map(|(name, value)| ((*name).to_owned(), Untrusted::new(value))).collect()
    }

    fn named(all: &[Labels]) -> (Vec<String>, String) {
        let all: Vec<_> = all.iter().collect();
        let legend = Legend::of(&all);
        (all.iter().map(|labels| legend.name(labels)).collect(), legend.heading())
    }

    #[test]
    fn common_labels_are_said_once_and_a_single_series_keeps_its_own() {
        let (names, heading) = named(&[
            labels(&[("__name__", "up"), ("job", "node"), ("instance", "a\nb\"")]),
            labels(&[("__name__", "up"), ("job", "node"), ("instance", "c")]),
        ]);
        assert_eq!(names, ["{instance=\"a b\\\"\"}", "{instance=\"c\"}"]);
        assert_eq!(heading, "; all with {__name__=\"up\", job=\"node\"}");
        let (names, heading) = named(&[labels(&[("__name__", "up"), ("job", "node")])]);
        assert_eq!((names[0].as_str(), heading.as_str()), ("up{job=\"node\"}", ""));
        assert_eq!(named(&[labels(&[])]).0, ["{}"]);
    }

    #[test]
    fn wide_labels_go_only_where_others_tell_the_series_apart() {
        let one =
            |id: &str, name: &str| labels(&[("id", &id.repeat(64)), ("name", name), ("service", "web")]);
        let (names, heading) = named(&[one("a", "c7-web"), one("b", "c8-web")]);
        assert_eq!(names, ["{name=\"c7-web\"}", "{name=\"c8-web\"}"]);
        assert!(heading.ends_with("; labels not shown: id"), "{heading}");
        let (names, _) = named(&[one("a", "c7-web"), one("b", "c7-web")]);
        assert!(names[0].contains("aaa") && names[0] != names[1], "{names:?}");
    }
}
