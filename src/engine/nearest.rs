//! Plain words without a model: the commands that come nearest, filled in with the customer and service they name.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::{
    domain::{Args, Customer, CustomerId, ParamKind, Risk, ServiceName, ToolCall, ToolSpec},
    engine::commands,
};

/// Who and what there is, for names in plain words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Directory {
    /// The customers.
    pub customers: Vec<Customer>,
    /// The services that each has.
    pub services: Vec<(CustomerId, ServiceName)>,
}

/// At most three commands, nearest first.
pub fn nearest(text: &str, specs: &[ToolSpec], directory: &Directory) -> Vec<String> {
    let mut words = words(text);
    let customer = directory.customers.iter().find(|c| names_customer(&words, c));
    if customer.is_some() {
        // It tells the tools that list customers from the others only where none is named.
        words.retain(|w| w != "customer");
    }
    let service = directory
        .services
        .iter()
        .filter(|(id, _)| customer.is_none_or(|c| c.id == *id))
        .map(|(_, service)| service)
        .find(|s| words.contains(&stem(&s.as_str().to_lowercase())));
    let vocabulary: Vec<(&ToolSpec, Vec<String>)> = specs.iter().map(|s| (s, tool_words(s))).collect();
    let mut spread: BTreeMap<&str, usize> = BTreeMap::new();
    for (_, tool) in &vocabulary {
        for word in tool {
            *spread.entry(word).or_default() += 1;
        }
    }
    let mut scored: Vec<(f64, &ToolSpec)> = vocabulary
        .iter()
        .map(|(spec, tool)| {
            let weigh = |w: &String| 1.0 / spread.get(w.as_str()).copied().unwrap_or(1) as f64;
            let hit = |w: &&String| tool.contains(*w) && words.contains(*w);
            // A word of the command's own name counts twice: it says more than one of its description.
            let name = self::words(&spec.name.replace('_', " "));
            let said: f64 = tool.iter().chain(&name).filter(hit).map(weigh).sum();
            let wants_customer = spec.params.iter().any(|p| p.kind == ParamKind::Customer);
            let fit = if wants_customer == customer.is_some() { 0.2 } else { 0.0 };
            let first_look = if spec.name == "check_up" && customer.is_some() { 0.15 } else { 0.0 };
            // What is always refused is named only to who asks for that very thing.
            let enough = if spec.floor == Risk::Blocked { said >= 1.0 } else { said > 0.0 };
            // Whoever names a customer and nothing else wants to look.
            let looks = wants_customer && customer.is_some() && spec.floor == Risk::Safe;
            let counts = enough || looks;
            (if counts { said + fit + first_look } else { 0.0 }, *spec)
        })
        .filter(|(score, _)| *score > 0.0)
        .collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0));
    scored.into_iter().take(3).map(|(_, spec)| fill(spec, customer, service)).collect()
}

fn fill(spec: &ToolSpec, customer: Option<&Customer>, service: Option<&ServiceName>) -> String {
    let mut args = Map::new();
    for param in &spec.params {
        let value = match param.kind {
            ParamKind::Customer => customer.map(|c| c.id.to_string()),
            ParamKind::Service => service.map(ToString::to_string),
            ParamKind::Text | ParamKind::Integer { .. } | ParamKind::Duration | ParamKind::Choice(_) => None,
        };
        match value {
            Some(value) => {
                args.insert(param.name.into(), Value::from(value));
            }
            None if param.required => return commands::usage(spec),
            None => {}
        }
    }
    commands::command_for(&ToolCall { tool: spec.name.into(), args: Args(args) })
}

fn names_customer(words: &[String], customer: &Customer) -> bool {
    let names = std::iter::once(customer.id.as_str())
        .chain(customer.name.as_deref())
        .chain(customer.aliases.iter().map(String::as_str))
        .chain(customer.domain.as_deref());
    names.map(self::words).any(|name| !name.is_empty() && words.windows(name.len()).any(|w| w == name))
}

fn words(text: &str) -> Vec<String> {
    let text = text.to_lowercase().replace("'s", " ").replace("’s", " ");
    text.split(|c: char| !c.is_alphanumeric()).filter(|w| !w.is_empty()).map(stem).collect()
}

fn stem(word: &str) -> String {
    for end in ["ing", "ed", "es", "s"] {
        if let Some(short) = word.strip_suffix(end)
            && short.len() >= 3
        {
            return short.to_owned();
        }
    }
    word.to_owned()
}

fn tool_words(spec: &ToolSpec) -> Vec<String> {
    const COMMON: &[&str] =
        &["a", "an", "the", "of", "or", "and", "for", "in", "to", "get", "one", "by", "with", "all", "id"];
    let mut words = words(&format!("{} {}", spec.name.replace('_', " "), spec.summary));
    words.retain(|w| !COMMON.contains(&w.as_str()));
    words.sort();
    words.dedup();
    words
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::domain::Param;

    fn directory() -> Directory {
        let customer = |id: &str, name: &str| Customer {
            id: id.into(),
            name: Some(name.into()),
            aliases: vec![],
            domain: None,
            labels: BTreeMap::new(),
        };
        Directory {
            customers: vec![customer("7", "Acme"), customer("19", "Nordwind Bakery")],
            services: vec![("19".into(), "web".into()), ("7".into(), "db".into())],
        }
    }

    fn specs() -> Vec<ToolSpec> {
        let c = Param { name: "customer_id", kind: ParamKind::Customer, required: true, help: "" };
        let s = Param { name: "service", kind: ParamKind::Service, required: false, help: "" };
        [
            ("check_up", "Find out what is wrong with a customer", vec![c.clone()]),
            ("get_container_status", "State, health, restarts of containers", vec![c.clone(), s.clone()]),
            ("list_customers", "List all customers", vec![]),
            ("get_recent_logs", "Last log lines of a customer", vec![c.clone(), s.clone()]),
            ("restart_container", "Restart one service or the whole stack", vec![c, s]),
        ]
        .into_iter()
        .map(|(name, summary, params)| ToolSpec {
            name,
            summary,
            params,
            floor: Risk::Safe,
            default: Risk::Safe,
            phrases: &[],
            untrusted: false,
            timeout: Duration::from_secs(1),
        })
        .collect()
    }

    #[test]
    fn the_nearest_command_comes_first_and_filled_in() {
        let table = [
            ("what's wrong with customer 19?", "/check_up 19"),
            ("is customer 7 ok", "/check_up 7"),
            ("restart the web of nordwind bakery", "/restart_container 19 web"),
            ("show me Acme's logs", "/get_recent_logs 7"),
            ("which customers are there", "/list_customers"),
            ("restart its web container", "/restart_container <customer_id> [service]"),
            ("restart something", "/restart_container <customer_id> [service]"),
            ("restarting web of 19 please", "/restart_container 19 web"),
        ];
        for (text, want) in table {
            assert_eq!(
                nearest(text, &specs(), &directory()).first().map(String::as_str),
                Some(want),
                "{text}"
            );
        }
        assert_eq!(nearest("zzz", &specs(), &directory()), Vec::<String>::new());
    }
}
