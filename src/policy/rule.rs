//! A rule of the policy: conditions over a call and its circumstances, read from configuration.

use std::{collections::BTreeMap, fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, de};
use serde_json::Value;

use super::{
    example::Example,
    pattern::{ArgCond, Pattern, TargetPattern},
    window::Window,
};
use crate::domain::{ChannelKind, Origin, PersonName, Risk, Role};

/// A rule that holds: where all its conditions are met, a call is at least this risky (unless no rule but this
/// matches and the tool's default is stricter: then it loosens that default, never the floor).
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Rule {
    /// Its name in explanations and audit.
    pub id: String,
    /// What it makes of a call.
    pub effect: Risk,
    /// Why, for the people who read the card.
    pub reason: String,
    /// When it matches; all must hold.
    pub when: Conditions,
    /// Examples that it must match.
    pub matches: Vec<Example>,
    /// Examples that it must not match.
    pub not_matches: Vec<Example>,
}

/// A rule's conditions; an absent one holds for every call.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Conditions {
    /// The tool is one of these.
    pub tools: Option<Vec<Pattern>>,
    /// The call touches one of these.
    pub targets: Option<Vec<TargetPattern>>,
    /// Each of these arguments is as said.
    pub args: BTreeMap<String, ArgCond>,
    /// The person's role is one of these.
    pub roles: Option<Vec<Role>>,
    /// The person is one of these.
    pub people: Option<Vec<PersonName>>,
    /// The channel is one of these.
    pub channels: Option<Vec<ChannelKind>>,
    /// The words came in one of these ways.
    pub origin: Option<Vec<Origin>>,
    /// The time is in this window.
    pub during: Option<Window>,
}

/// A `[[policy.rule]]` as it is written; unknown keys are refused.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawRule {
    /// Its name.
    pub id: String,
    /// `safe`, `confirm`, `two_person` or `blocked`.
    pub effect: String,
    /// One sentence for people.
    pub reason: String,
    /// Examples that must match.
    #[serde(rename = "match")]
    pub matches: Words,
    /// Examples that must not.
    #[serde(rename = "not_match")]
    pub not_matches: Words,
    /// Tool names or globs.
    pub tools: Words,
    /// `customer:19`, `service:db`, `label:tier=gold`, `container:GLOB`, `host:NAME`.
    pub targets: Words,
    /// A value, a list of values, or `{ not = [...] }` for each argument.
    pub args: BTreeMap<String, Value>,
    /// Roles.
    pub roles: Words,
    /// People's names.
    pub people: Words,
    /// Channels.
    pub channels: Words,
    /// Origins.
    pub origin: Words,
    /// A window of time.
    pub during: Option<String>,
}

/// A list of texts; one text alone is a list of one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Words(pub Vec<String>);

impl<'de> Deserialize<'de> for Words {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Words;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text or a list of texts")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Words, E> {
                Ok(Words(vec![text.to_owned()]))
            }

            fn visit_seq<A: de::SeqAccess<'de>>(self, mut seq: A) -> Result<Words, A::Error> {
                let mut words = Vec::new();
                while let Some(word) = seq.next_element()? {
                    words.push(word);
                }
                Ok(Words(words))
            }
        }
        input.deserialize_any(Visitor)
    }
}

impl RawRule {
    /// Checks everything that can be checked without knowing the tools.
    ///
    /// # Errors
    /// All that is wrong, each with its cure.
    pub fn read(self) -> Result<Rule, Vec<String>> {
        let mut check = Check { name: self.id.clone(), errors: Vec::new() };
        if self.id.trim().is_empty() {
            check.name = "(without id)".into();
            check.wrong("`id` is missing; give the rule a short name such as `gold-needs-two`");
        } else if self.id.chars().any(|c| c.is_whitespace() || c.is_control()) {
            check.wrong("`id` has blanks; write one word such as `gold-needs-two`");
        }
        if self.reason.trim().is_empty() {
            check.wrong("`reason` is missing; say in one sentence why, for the people who read the card");
        }
        let effect = if self.effect.is_empty() {
            check.wrong("`effect` is missing; write safe, confirm, two_person or blocked");
            Risk::Blocked
        } else {
            check.one("effect", &self.effect).unwrap_or(Risk::Blocked)
        };
        let during = self.during.as_deref().and_then(|text| check.one::<Window>("during", text));
        let when = Conditions {
            tools: check.some("tools", &self.tools),
            targets: check.some("targets", &self.targets),
            args: self.args.iter().filter_map(|(k, v)| Some((k.clone(), check.arg(k, v)?))).collect(),
            roles: check.some("roles", &self.roles),
            people: check.people(&self.people),
            channels: check.some("channels", &self.channels),
            origin: check.some("origin", &self.origin),
            during,
        };
        let matches = check.all("match", &self.matches);
        let not_matches = check.all("not_match", &self.not_matches);
        if check.errors.is_empty() {
            Ok(Rule {
                id: self.id,
                effect,
                reason: self.reason.trim().to_owned(),
                when,
                matches,
                not_matches,
            })
        } else {
            Err(check.errors)
        }
    }
}

/// Collects what is wrong with one rule.
struct Check {
    name: String,
    errors: Vec<String>,
}

impl Check {
    fn wrong(&mut self, what: impl fmt::Display) {
        self.errors.push(format!("rule {}: {what}", self.name));
    }

    fn one<T: FromStr<Err = String>>(&mut self, key: &str, text: &str) -> Option<T> {
        text.parse().map_err(|e| self.wrong(format_args!("`{key}`: {e}"))).ok()
    }

    fn all<T: FromStr<Err = String>>(&mut self, key: &str, words: &Words) -> Vec<T> {
        words.0.iter().filter_map(|text| self.one(key, text)).collect()
    }

    fn some<T: FromStr<Err = String>>(&mut self, key: &str, words: &Words) -> Option<Vec<T>> {
        (!words.0.is_empty()).then(|| self.all(key, words))
    }

    fn people(&mut self, words: &Words) -> Option<Vec<PersonName>> {
        if words.0.iter().any(|name| name.trim().is_empty()) {
            self.wrong("`people` has an empty name; remove it");
        }
        (!words.0.is_empty()).then(|| words.0.iter().map(|name| PersonName::from(name.as_str())).collect())
    }

    fn arg(&mut self, name: &str, value: &Value) -> Option<ArgCond> {
        let key = format!("args.{name}");
        let cure = "write a value, a list of values, or { not = [...] }";
        let (negated, value) = match value {
            Value::Object(map) => match (map.len(), map.get("not")) {
                (1, Some(inner)) => (true, inner),
                _ => {
                    self.wrong(format_args!("`{key}`: {cure}"));
                    return None;
                }
            },
            plain => (false, plain),
        };
        let one = std::slice::from_ref(value);
        let items = value.as_array().map_or(one, Vec::as_slice);
        if items.is_empty() {
            self.wrong(format_args!("`{key}`: the list is empty; {cure}"));
        }
        let patterns = items.iter().filter_map(|item| match item {
            Value::String(text) => self.one(&key, text),
            Value::Number(_) | Value::Bool(_) => self.one(&key, &item.to_string()),
            Value::Null | Value::Array(_) | Value::Object(_) => {
                self.wrong(format_args!("`{key}`: {item} is not a text, number or boolean; {cure}"));
                None
            }
        });
        let patterns = patterns.collect();
        Some(if negated { ArgCond::Not(patterns) } else { ArgCond::OneOf(patterns) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(toml: &str) -> RawRule {
        toml::from_str(toml).unwrap()
    }

    #[test]
    fn the_designs_rules_are_read() {
        let rule = raw(r#"
            id = "weekend-freeze"
            effect = "blocked"
            tools = ["run_playbook"]
            roles = "operator"
            args = { name = { not = ["free-disk"] }, lines = 5, kind = ["a*", "b"] }
            during = "Fri 18:00-Mon 06:00 Europe/Berlin"
            reason = "change freeze"
            match = ["run_playbook(name=rotate, customer_id=7) as operator on discord at 2026-11-21T23:00"]
        "#)
        .read()
        .unwrap();
        assert_eq!((rule.id.as_str(), rule.effect), ("weekend-freeze", Risk::Blocked));
        assert_eq!(rule.when.roles, Some(vec![Role::Operator]));
        assert_eq!(rule.when.targets, None);
        assert!(matches!(&rule.when.args["name"], ArgCond::Not(p) if p[0].as_str() == "free-disk"));
        assert!(matches!(&rule.when.args["lines"], ArgCond::OneOf(p) if p[0].as_str() == "5"));
        assert!(matches!(&rule.when.args["kind"], ArgCond::OneOf(p) if p.len() == 2));
        assert_eq!(rule.matches.len(), 1);
    }

    #[test]
    fn all_errors_come_at_once() {
        let errors = raw(r#"
            id = "x y"
            effect = "maybe"
            targets = ["pod:7", "customer:[x"]
            args = { a = {}, b = [], c = { not = [[1]] } }
            roles = ["king"]
            channels = ["irc"]
            origin = "pigeon"
            people = [""]
            during = "always"
            match = ["nonsense"]
        "#)
        .read()
        .unwrap_err();
        let parts = [
            "one word",
            "`reason` is missing",
            "none of safe, confirm",
            "`pod:7`",
            "not a glob",
            "`args.a`",
            "`args.b`: the list is empty",
            "`args.c`",
            "none of viewer",
            "none of console",
            "none of typed",
            "empty name",
            "not a window",
            "not a call",
        ];
        for part in parts {
            assert!(errors.iter().any(|e| e.contains(part)), "{part} is not in {errors:#?}");
        }
        assert!(errors.iter().all(|e| e.starts_with("rule x y: ")));
        let empty = RawRule::default().read().unwrap_err();
        assert_eq!(empty.len(), 3, "{empty:?}");
    }

    #[test]
    fn unknown_keys_are_refused() {
        assert!(toml::from_str::<RawRule>("id = 'a'\neffects = 'safe'").is_err());
        assert!(toml::from_str::<RawRule>("tools = 7").unwrap_err().to_string().contains("a text or a list"));
    }
}
