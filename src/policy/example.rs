//! A rule's example in one line: `restart_container(customer_id=19) as operator on telegram with tier=gold`.

use std::{collections::BTreeMap, iter::Peekable, str::Chars, str::FromStr};

use jiff::{Timestamp, civil::DateTime};
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

use crate::domain::{Args, ChannelKind, ContainerRef, Origin, PersonName, Role, ServiceName, ToolCall};

/// When an example happens.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Moment {
    /// An instant.
    Exact(Timestamp),
    /// The wall clock in the zone of the rule's `during`.
    Civil(DateTime),
}

/// A call with its circumstances, all stated; what is not stated is not known.
#[derive(Clone, Debug, PartialEq)]
pub struct Example {
    /// As written.
    pub text: String,
    /// The call; arguments are text.
    pub call: ToolCall,
    /// `as operator`
    pub role: Option<Role>,
    /// `on telegram`
    pub channel: Option<ChannelKind>,
    /// `with tier=gold, region=eu`: the target's labels.
    pub labels: BTreeMap<String, String>,
    /// `at 2026-11-21T23:00`
    pub at: Option<Moment>,
    /// `by anna`
    pub person: Option<PersonName>,
    /// `via voice`
    pub origin: Option<Origin>,
    /// `touching local/shop-web, local/shop-db`: the containers, with their host.
    pub touching: Option<Vec<ContainerRef>>,
}

impl Serialize for Example {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.serialize_str(&self.text)
    }
}

/// Reads `restart_container(customer_id=19, service="web")`; every argument becomes text.
///
/// # Errors
/// A sentence that says what is wrong and how a call is written.
pub fn parse_call(text: &str) -> Result<ToolCall, String> {
    let (call, rest) = split_call(text)?;
    match rest.trim() {
        "" => Ok(call),
        more => Err(format!("`{more}` after the call is not understood")),
    }
}

fn split_call(text: &str) -> Result<(ToolCall, &str), String> {
    let cure = "write tool(name=value, name=value)";
    let (tool, rest) = text.split_once('(').ok_or_else(|| format!("`{text}` is not a call; {cure}"))?;
    let tool = tool.trim();
    if tool.is_empty() || !tool.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.')) {
        return Err(format!("`{tool}` is not a tool's name; {cure}"));
    }
    let mut chars = rest.chars().peekable();
    let mut args = Map::new();
    loop {
        skip_blanks(&mut chars);
        if chars.next_if_eq(&')').is_some() {
            break;
        }
        let name = word(&mut chars, &['=', ',', ')'], false)?;
        if name.is_empty() || chars.next_if_eq(&'=').is_none() {
            return Err(format!("`{text}`: an argument is not name=value, or a `)` is missing; {cure}"));
        }
        skip_blanks(&mut chars);
        let value = word(&mut chars, &[',', ')'], false)?;
        if args.insert(name.clone(), Value::String(value)).is_some() {
            return Err(format!("`{text}` gives `{name}` twice"));
        }
        if chars.next_if_eq(&',').is_none() && chars.peek() != Some(&')') {
            return Err(format!("`{text}`: a `)` is missing; {cure}"));
        }
    }
    let left = chars.map(char::len_utf8).sum::<usize>();
    let rest = rest.get(rest.len() - left..).unwrap_or_default();
    Ok((ToolCall { tool: tool.to_owned(), args: Args(args) }, rest))
}

fn skip_blanks(chars: &mut Peekable<Chars<'_>>) {
    while chars.next_if(|c| c.is_whitespace()).is_some() {}
}

/// Reads up to one of `ends` (or a blank, when `blank` ends it), with quotes removed and outer blanks trimmed.
fn word(chars: &mut Peekable<Chars<'_>>, ends: &[char], blank: bool) -> Result<String, String> {
    let mut out = String::new();
    while let Some(c) = chars.next_if(|c| !(ends.contains(c) || blank && c.is_whitespace())) {
        if c != '"' {
            out.push(c);
            continue;
        }
        loop {
            match chars.next() {
                Some('"') => break,
                Some('\\') => out.extend(chars.next()),
                Some(c) => out.push(c),
                None => return Err(format!("a `\"` is missing after `{out}`")),
            }
        }
    }
    Ok(out.trim().to_owned())
}

/// The comma-separated words from here on.
fn list(chars: &mut Peekable<Chars<'_>>) -> Result<Vec<String>, String> {
    let mut out = Vec::new();
    loop {
        skip_blanks(chars);
        out.push(word(chars, &[','], true)?);
        skip_blanks(chars);
        if chars.next_if_eq(&',').is_none() {
            return Ok(out);
        }
    }
}

impl FromStr for Example {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (call, rest) = split_call(text)?;
        let mut example = Self {
            text: text.to_owned(),
            call,
            role: None,
            channel: None,
            labels: BTreeMap::new(),
            at: None,
            person: None,
            origin: None,
            touching: None,
        };
        let mut chars = rest.chars().peekable();
        loop {
            skip_blanks(&mut chars);
            if chars.peek().is_none() {
                return Ok(example);
            }
            let key = word(&mut chars, &[], true)?;
            let values = list(&mut chars)?;
            example.set(&key, &values).map_err(|e| format!("`{text}`: {e}"))?;
        }
    }
}

impl Example {
    fn set(&mut self, key: &str, values: &[String]) -> Result<(), String> {
        let one = || match values {
            [one] if !one.is_empty() => Ok(one.as_str()),
            _ => Err(format!("`{key}` takes one word")),
        };
        let fresh = match key {
            "as" => self.role.replace(one()?.parse()?).is_none(),
            "on" => self.channel.replace(one()?.parse()?).is_none(),
            "via" => self.origin.replace(one()?.parse()?).is_none(),
            "by" => self.person.replace(PersonName::from(one()?)).is_none(),
            "at" => self.at.replace(moment(one()?)?).is_none(),
            "with" => {
                let fresh = self.labels.is_empty();
                for pair in values {
                    let (key, value) = pair
                        .split_once('=')
                        .ok_or_else(|| format!("`with {pair}`: write with label=value, label=value"))?;
                    self.labels.insert(key.to_owned(), value.to_owned());
                }
                fresh
            }
            "touching" => {
                let refs = values.iter().map(|v| container(v)).collect::<Result<_, _>>()?;
                self.touching.replace(refs).is_none()
            }
            _ => {
                return Err(format!(
                    "`{key}` is not understood; after the call come `as` role, `on` channel, `with` label=value, \
                     `at` time, `by` person, `via` origin and `touching` host/container, in any order"
                ));
            }
        };
        if fresh { Ok(()) } else { Err(format!("`{key}` comes twice")) }
    }
}

fn moment(text: &str) -> Result<Moment, String> {
    if let Ok(exact) = text.parse::<Timestamp>() {
        return Ok(Moment::Exact(exact));
    }
    let civil = text.parse::<DateTime>();
    civil.map(Moment::Civil).map_err(|_| format!("`at {text}`: write a time like 2026-11-21T23:00"))
}

fn container(text: &str) -> Result<ContainerRef, String> {
    let (host, name) = text
        .split_once('/')
        .filter(|(host, name)| !host.is_empty() && !name.is_empty())
        .ok_or_else(|| format!("`touching {text}`: write touching HOST/CONTAINER"))?;
    Ok(ContainerRef {
        host: host.into(),
        id: String::new(),
        name: name.to_owned(),
        service: ServiceName::new(String::new()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_are_read_in_any_order() {
        let full: Example = "restart_container(customer_id=19, service=web) via voice by anna at 2026-11-21T23:00 \
                             with tier=gold, region=\"eu west\" on telegram as operator touching local/shop-web,b/c"
            .parse()
            .unwrap();
        assert_eq!(full.call.tool, "restart_container");
        assert_eq!(full.call.args.text("customer_id").as_deref(), Some("19"));
        assert_eq!(full.call.args.text("service").as_deref(), Some("web"));
        assert_eq!(full.role, Some(Role::Operator));
        assert_eq!(full.channel, Some(ChannelKind::Telegram));
        assert_eq!(full.origin, Some(Origin::Voice));
        assert_eq!(full.person, Some(PersonName::from("anna")));
        assert_eq!(full.labels.get("region").map(String::as_str), Some("eu west"));
        assert_eq!(full.at, Some(Moment::Civil("2026-11-21T23:00".parse().unwrap())));
        let touched: Vec<_> =
            full.touching.unwrap().into_iter().map(|c| (c.host.to_string(), c.name)).collect();
        assert_eq!(touched, [("local".into(), "shop-web".into()), ("b".into(), "c".into())]);

        let bare: Example = "list_customers()".parse().unwrap();
        assert!(bare.call.args.0.is_empty() && bare.role.is_none() && bare.touching.is_none());
        let exact: Example = "t() at 2026-11-21T23:00:00Z".parse().unwrap();
        assert_eq!(exact.at, Some(Moment::Exact("2026-11-21T23:00:00Z".parse().unwrap())));
    }

    #[test]
    fn calls_may_quote() {
        let call = parse_call(r#" search_output( id = "a, b)", pattern="say \"hi\"" ) "#).unwrap();
        assert_eq!(call.args.text("id").as_deref(), Some("a, b)"));
        assert_eq!(call.args.text("pattern").as_deref(), Some(r#"say "hi""#));
    }

    #[test]
    fn a_wrong_example_says_what_is_wrong() {
        let table = [
            ("", "not a call"),
            ("restart", "not a call"),
            ("re start(x=1)", "not a tool's name"),
            ("t(x)", "not name=value"),
            ("t(x=1", "missing"),
            ("t(x=\"1)", "missing"),
            ("t(x=1, x=2)", "twice"),
            ("t() as king", "none of viewer"),
            ("t() on irc", "none of console"),
            ("t() via pigeon", "none of typed"),
            ("t() at noon", "write a time like"),
            ("t() with tier", "label=value"),
            ("t() as admin as admin", "comes twice"),
            ("t() for me", "not understood"),
            ("t() as", "one word"),
            ("t() touching web", "HOST/CONTAINER"),
        ];
        for (text, part) in table {
            let error = text.parse::<Example>().unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
        assert!(parse_call("t() as admin").is_err());
    }
}
