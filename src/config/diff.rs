//! What differs between two configurations, in words; a secret's change is told, never the secret.

use toml::{Table, Value};

use super::{
    Config,
    secret::{HIDDEN, marked},
};

/// What only a start takes: a key, or a section with all its keys.
const AT_START: &[&str] = &["state_dir", "http", "log", "telegram", "alerts"];
/// What is taken while running all the same.
const WHILE_RUNNING: &[&str] = &[
    "telegram.old_after",
    "alerts.token",
    "alerts.group_by",
    "alerts.group_wait",
    "alerts.hold_down",
    "alerts.flap_changes",
    "alerts.flap_within",
    "alerts.ack_lifetime",
    "alerts.storm_above",
    "alerts.resolve_timeout",
    "alerts.quiet_hours",
    "alerts.timezone",
    "alerts.runbook_hosts",
    "alerts.step",
    "alerts.inhibit",
];
/// The keys that name an entry of a list of tables.
const NAMES: [&str; 2] = ["name", "id"];
/// The longest value that is shown, in bytes.
const LONGEST: usize = 60;

/// What differs from `old` to `new`, one phrase each: what can hold while the daemon runs, and what only its next start
/// takes.
pub fn changes(old: &Config, new: &Config) -> (Vec<String>, Vec<String>) {
    let tree = |config: &Config| marked(|| Value::try_from(config)).ok();
    let mut found = Vec::new();
    if let (Some(Value::Table(old)), Some(Value::Table(new))) = (tree(old), tree(new)) {
        tables(&Place::default(), &old, &new, &mut found);
    }
    let (later, now): (Vec<_>, Vec<_>) = found.into_iter().partition(|(key, _)| is_at_start(key));
    let texts = |all: Vec<(String, String)>| all.into_iter().map(|(_, text)| text).collect();
    (texts(now), texts(later))
}

fn is_at_start(key: &str) -> bool {
    let below = |section: &str| key.strip_prefix(section).is_some_and(|r| r.is_empty() || r.starts_with('.'));
    AT_START.iter().any(|section| below(section)) && !WHILE_RUNNING.contains(&key)
}

/// Where a value stands: its key path, and how it is called in words.
#[derive(Clone, Default)]
struct Place {
    key: String,
    words: String,
}

impl Place {
    fn below(&self, key: &str) -> Self {
        let joined = |base: &str| if base.is_empty() { key.to_owned() } else { format!("{base}.{key}") };
        let words =
            if self.words.ends_with(": ") { format!("{}{key}", self.words) } else { joined(&self.words) };
        Self { key: joined(&self.key), words }
    }

    /// The entry of this list that has this name.
    fn entry(&self, name: &str) -> Self {
        Self { key: self.key.clone(), words: format!("{} {name}", self.words) }
    }
}

type Found = Vec<(String, String)>;

fn tables(place: &Place, old: &Table, new: &Table, found: &mut Found) {
    for key in old.keys().chain(new.keys().filter(|k| !old.contains_key(*k))) {
        differ(&place.below(key), old.get(key), new.get(key), found);
    }
}

fn differ(place: &Place, old: Option<&Value>, new: Option<&Value>, found: &mut Found) {
    if old == new {
        return;
    }
    if let (Some(Value::Table(old)), Some(Value::Table(new))) = (old, new) {
        return tables(place, old, new, found);
    }
    if let (Some(old), Some(new)) = (entries(old), entries(new))
        && !(old.is_empty() && new.is_empty())
    {
        return lists(place, &old, &new, found);
    }
    let words = &place.words;
    let text = match (old, new) {
        (None, Some(Value::Table(_))) => format!("[{words}] added"),
        (Some(Value::Table(_)), None) => format!("[{words}] removed"),
        (old, new) if old.is_some_and(is_secret) || new.is_some_and(is_secret) => match (old, new) {
            (None, _) => format!("{words} added"),
            (_, None) => format!("{words} removed"),
            _ => format!("{words} changed"),
        },
        (old, new) => {
            let colon = if words.contains(": ") { " " } else { ": " };
            format!("{words}{colon}{} → {}", shown(old), shown(new))
        }
    };
    found.push((place.key.clone(), text));
}

/// The tables of a list by their names; an absent list is an empty one. None for anything else.
fn entries(value: Option<&Value>) -> Option<Vec<(String, &Table)>> {
    let items = match value {
        None => return Some(vec![]),
        Some(Value::Array(items)) => items,
        Some(_) => return None,
    };
    let named = |item: &'_ Value| {
        let table = item.as_table()?;
        let name = NAMES.iter().find_map(|key| table.get(*key))?;
        Some(name.as_str().map_or_else(|| name.to_string(), str::to_owned))
    };
    items.iter().map(|item| Some((named(item)?, item.as_table()?))).collect()
}

fn lists(place: &Place, old: &[(String, &Table)], new: &[(String, &Table)], found: &mut Found) {
    let before = found.len();
    let get = |list: &[(String, &Table)], name: &str| list.iter().position(|(n, _)| n == name);
    for (name, table) in old {
        let entry = place.entry(name);
        match get(new, name).and_then(|n| new.get(n)) {
            Some((_, other)) => {
                tables(&Place { words: format!("{}: ", entry.words), ..entry }, table, other, found);
            }
            None => found.push((entry.key, format!("{} removed", entry.words))),
        }
    }
    for (name, _) in new.iter().filter(|(name, _)| get(old, name).is_none()) {
        let entry = place.entry(name);
        found.push((entry.key, format!("{} added", entry.words)));
    }
    if found.len() == before {
        found.push((place.key.clone(), format!("{}: another order", place.words)));
    }
}

fn is_secret(value: &Value) -> bool {
    value.as_str().is_some_and(|text| text.starts_with(HIDDEN))
}

fn shown(value: Option<&Value>) -> String {
    let text = match value {
        None => return "none".to_owned(),
        Some(Value::String(text)) => text.clone(),
        // A table within a list may hold a secret.
        Some(Value::Table(_)) => return "…".to_owned(),
        Some(other) => other.to_string(),
    };
    let end = text.floor_char_boundary(LONGEST);
    if end < text.len() { format!("{}…", text.get(..end).unwrap_or_default()) } else { text }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::{Env, parse};

    fn config(text: &str, token: &str) -> Config {
        let env = Env::new([("HOME", "/home/anna"), ("TOKEN", token), ("TELEGRAM", "42:tele")]);
        parse(Path::new("config.toml"), text, &env).unwrap_or_else(|e| panic!("{e}"))
    }

    const OLD: &str = r#"
        [[person]]
        name = "anna"
        role = "admin"
        [[person]]
        name = "ben"
        role = "viewer"
        [[docker]]
        name = "eu1"
        url = "unix:///a.sock"
        [[docker]]
        name = "eu2"
        url = "unix:///b.sock"
        [model]
        name = "mistral:7b"
        token = { env = "TOKEN" }
        [telegram]
        token = { env = "TELEGRAM" }
        [[customer]]
        id = 19
        labels = { tier = "gold" }
        [[policy.rule]]
        id = "old"
        effect = "confirm"
        reason = "x"
    "#;

    #[test]
    fn every_difference_is_a_phrase_and_no_secret_is_in_it() {
        let swapped = OLD
            .replace("\"viewer\"", "\"operator\"\n        telegram_id = 7")
            .replace("eu2", "eu3")
            .replace("mistral:7b", "qwen3.5:4b")
            .replace("gold", "silver")
            .replace("id = \"old\"", "id = \"gold-needs-two\"");
        let new = format!("{swapped}\n[prometheus]\nurl = \"http://127.0.0.1:9\"\n[http]\nlisten = \"off\"");
        let (now, later) = changes(&config(OLD, "tok-1"), &config(&new, "tok-2"));
        let want = [
            "customer 19: labels.tier gold → silver",
            "docker eu2 removed",
            "docker eu3 added",
            "model.name: mistral:7b → qwen3.5:4b",
            "model.token changed",
            "person ben: role viewer → operator",
            "person ben: telegram_id none → 7",
            "policy.rule gold-needs-two added",
            "policy.rule old removed",
            "[prometheus] added",
        ];
        let mut sorted = now.clone();
        sorted.sort_by_key(|w| w.trim_start_matches('[').to_owned());
        assert_eq!(sorted, want);
        assert_eq!(later, ["http.listen: 127.0.0.1:7878 → off"]);
        assert!(!format!("{now:?}{later:?}").contains("tok-"));
    }

    #[test]
    fn what_only_a_start_takes_is_told_apart() {
        let old = config(OLD, "t");
        assert_eq!(changes(&old, &old), (vec![], vec![]));
        let new = OLD.replace(
            "token = { env = \"TELEGRAM\" }",
            "token = { env = \"TELEGRAM\" }\n        old_after = \"1h\"\n        groups = [-5]",
        );
        let new = format!("state_dir = \"/elsewhere\"\n{new}\n[log]\nformat = \"json\"");
        let (now, later) = changes(&old, &config(&new, "t"));
        assert_eq!(now, ["telegram.old_after: 10m → 1h"]);
        assert_eq!(later.len(), 3, "{later:?}");
        let order = OLD.replace("eu1", "eu0").replace("eu2", "eu1").replace("eu0", "eu2");
        let order = order.replace("a.sock", "y").replace("b.sock", "a.sock").replace("/y", "/b.sock");
        assert_eq!(changes(&old, &config(&order, "t")).0, ["docker: another order"]);
    }
}
